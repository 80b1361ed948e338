/* folio bench: prefill and decode speed of a model, beside what this machine could do at most. */
#include "config.h"

#include "cmd/cmd_bench.h"
#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/size.h"
#include "base/stop.h"
#include "engine/engine.h"
#include "engine/kern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define AT(field) OPT_AT(struct bench_opts, field)
#define MAX_SHAPES 16
#define DECODED 32	/* tokens a decode figure is taken over */

const struct opt bench_opts[] = {
	{ "prefill", 0, OPT_STR, AT(prefill), "N,N,...", .help = "read so many tokens into an empty context",
	  .def = "512,4096" },
	{ "decode-after", 0, OPT_STR, AT(decode_after), "N,N,...",
	  .help = "generate 32 tokens one by one behind so many", .def = "512,4096" },
	{ "reps", 0, OPT_INT, AT(reps), "N", .help = "rounds; the median counts", .def = "5" },
	{ "csv", 0, OPT_FLAG, AT(csv), NULL, .help = "one line a measurement, for programs" },
	OPT_END
};

struct shape {
	bool   decode;
	size_t n;
	double *rate, *cpu_rate;	/* [reps] tokens/s by the clock and by processor time */
};

struct bench {
	struct ctx *c;
	struct engine *en;
	struct shape shape[MAX_SHAPES];
	size_t n_shape;
	size_t reps;
	int32_t *token;
	float *logits;
	double peak_gmac, read_gbs;	/* of one thread */
};

static int parse_sizes(struct bench *b, const char *list, bool decode, struct err *e)
{
	for (const char *s = list; *s;) {
		char *end;
		unsigned long n = strtoul(s, &end, 10);

		if (end == s || (*end && *end != ',') || n > 1 << 24)
			return err_set(e, ERR_INVALID, "'%s' is no list of token counts", list);
		if (b->n_shape == MAX_SHAPES)
			return err_set(e, ERR_INVALID, "more than %d shapes", MAX_SHAPES);
		if (n)
			b->shape[b->n_shape++] = (struct shape){ .decode = decode, .n = n };
		s = *end ? end + 1 : end;
	}
	return 0;
}

static double cpu_now(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)r.ru_utime.tv_sec + 1e-6 * (double)r.ru_utime.tv_usec +
	       (double)r.ru_stime.tv_sec + 1e-6 * (double)r.ru_stime.tv_usec;
}

static int measure(struct bench *b, struct shape *s, size_t rep, struct err *e)
{
	double wall, cpu, n = s->decode ? DECODED : (double)s->n;
	struct kv *kv;
	int rc = engine_seq(b->en, NULL, &kv, e);

	if (rc)
		return rc;
	if (s->decode)
		rc = engine_feed(b->en, kv, b->token, s->n, b->logits, false, NULL, e);
	wall = clock_now();
	cpu = cpu_now();
	if (!s->decode)
		rc = engine_feed(b->en, kv, b->token, s->n, b->logits, false, NULL, e);
	for (size_t i = 0; s->decode && i < DECODED && !rc; i++)
		rc = engine_feed(b->en, kv, b->token + i, 1, b->logits, false, NULL, e);
	s->rate[rep] = n / (clock_now() - wall);
	s->cpu_rate[rep] = n / (cpu_now() - cpu);
	kv_free(kv);
	return rc;
}

/* What one thread of this processor can do: the better of three short tries each, since anything that
 * disturbs can only make it slower. */
static int limits(struct bench *b, struct err *e)
{
	const struct kern *k = kern_choose(engine_kernels(b->en));
	size_t n = (size_t)256 << 20;
	char *mem = aligned_alloc(64, n);
	volatile uint64_t sink;

	if (!mem)
		return err_nomem(e);
	memset(mem, 1, n);
	for (int i = 0; i < 3; i++) {
		double t = cpu_now();
		uint64_t macs = k->spin(3000000);

		b->peak_gmac = MAX(b->peak_gmac, (double)macs / (cpu_now() - t) / 1e9);
		t = cpu_now();
		sink = k->read(mem, n);
		b->read_gbs = MAX(b->read_gbs, (double)n / (cpu_now() - t) / 1e9);
	}
	(void)sink;
	free(mem);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const double *v, size_t n)
{
	double *s = malloc(n * sizeof(*s)), m;

	if (!s)
		return v[0];
	memcpy(s, v, n * sizeof(*s));
	qsort(s, n, sizeof(*s), by_value);
	m = n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
	free(s);
	return m;
}

/* Multiply-adds of one token in the matrices, the output matrix apart (prefill wants one row of it);
 * bytes that decoding one token must read. */
static void work(const struct model *m, double *macs, double *bytes)
{
	const struct plan *p = &m->plan;

	*macs = *bytes = 0;
	for (uint32_t i = 0; i < p->n_layer; i++) {
		const struct model_layer *l = &m->layer[i];
		const struct weight *w[] = { &l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down, &l->router,
					     &l->gate_shexp, &l->up_shexp, &l->down_shexp };
		const struct weight *x[] = { &l->gate_exps, &l->up_exps, &l->down_exps };

		for (size_t j = 0; j < ARRAY_LEN(w); j++) {
			*macs += w[j]->tensor ? (double)w[j]->n_row * w[j]->n_col : 0;
			*bytes += w[j]->tensor ? (double)w[j]->mat_bytes : 0;
		}
		for (size_t j = 0; j < ARRAY_LEN(x); j++) {
			*macs += x[j]->tensor ? (double)x[j]->n_row * x[j]->n_col * p->n_expert_used : 0;
			*bytes += x[j]->tensor ? (double)x[j]->mat_bytes * p->n_expert_used : 0;
		}
	}
	*bytes += (double)m->output.mat_bytes;
}

/* Attention of one token over n keys in all layers (near ones see a chunk at most): multiply-adds
 * of scores and values, bytes of K and V. */
static void attention_work(const struct plan *p, double n, bool f16, double *macs, double *bytes)
{
	*macs = *bytes = 0;
	for (uint32_t i = 0; i < p->n_layer; i++) {
		double seen = p->layer[i].is_far ? n : MIN(n, (double)p->attn_chunk);

		*macs += 2 * seen * p->n_head * p->head_dim;
		*bytes += 2 * seen * p->n_head_kv * p->head_dim * (f16 ? 2 : 4);
	}
}

/* Share of the limit: of the int8 peak for prefill, of memory bandwidth for decode. */
static double share(const struct bench *b, const struct shape *s, double rate)
{
	const struct model *m = engine_model(b->en);
	double macs, bytes, amacs, abytes;

	work(m, &macs, &bytes);
	attention_work(&m->plan, s->decode ? (double)s->n : (double)s->n / 2,
		       kern_choose(engine_kernels(b->en))->int8, &amacs, &abytes);
	return s->decode ? rate * (bytes + abytes) / 1e9 / b->read_gbs : rate * (macs + amacs) / 1e9 / b->peak_gmac;
}

static void print_csv(const struct bench *b)
{
	puts("kind,n,threads,tokens_per_s,rep,tokens_per_cpu_s");
	for (size_t r = 0; r < b->reps; r++)
		for (size_t i = 0; i < b->n_shape; i++)
			printf("%s,%zu,%d,%.3f,%zu,%.3f\n", b->shape[i].decode ? "decode" : "prefill", b->shape[i].n,
			       engine_threads(b->en), b->shape[i].rate[r], r, b->shape[i].cpu_rate[r]);
}

static void print_json(const struct bench *b)
{
	struct buf out = { 0 };
	struct jw j = { .out = &out };

	jw_open(&j, NULL, '{');
	if (b->c->g.jsonl)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.bench/1");
	jw_str(&j, "model", engine_plan(b->en)->name);
	jw_str(&j, "processor", cpu_get()->name);
	jw_str(&j, "kernels", engine_kernels(b->en));
	jw_uint(&j, "threads", (uint64_t)engine_threads(b->en));
	jw_real(&j, "peak_gmac_per_s", b->peak_gmac);
	jw_real(&j, "memory_gb_per_s", b->read_gbs);
	jw_open(&j, "shapes", '[');
	for (size_t i = 0; i < b->n_shape; i++) {
		const struct shape *s = &b->shape[i];
		double m = median(s->rate, b->reps);

		jw_open(&j, NULL, '{');
		jw_str(&j, "kind", s->decode ? "decode" : "prefill");
		jw_uint(&j, "n", s->n);
		jw_real(&j, "tokens_per_s", m);
		jw_real(&j, "tokens_per_cpu_s", median(s->cpu_rate, b->reps));
		jw_real(&j, s->decode ? "share_of_memory" : "share_of_peak", share(b, s, m) / engine_threads(b->en));
		jw_close(&j);
	}
	jw_close(&j);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(out.data, 1, out.len, stdout);
	buf_release(&out);
}

static void print_table(const struct bench *b)
{
	printf("%s, %s kernels, %d thread%s on %s\n", engine_plan(b->en)->name, engine_kernels(b->en),
	       engine_threads(b->en), engine_threads(b->en) == 1 ? "" : "s", cpu_get()->name);
	printf("limits of one thread: %.0f G multiply-adds/s, %.1f GB/s from memory\n", b->peak_gmac, b->read_gbs);
	for (size_t i = 0; i < b->n_shape; i++) {
		const struct shape *s = &b->shape[i];
		double m = median(s->rate, b->reps), cpu = median(s->cpu_rate, b->reps);

		printf("%-14s %6zu  %8.1f tokens/s  (%.1f a second of processor time; %.0f %% of %s)\n",
		       s->decode ? "decode after" : "prefill", s->n, m, cpu, 100 * share(b, s, cpu),
		       s->decode ? "memory bandwidth" : "the multiply-add peak");
	}
}

static int run(struct bench *b, struct err *e)
{
	size_t longest = 64;
	int rc = limits(b, e);

	for (size_t i = 0; i < b->n_shape; i++) {
		longest = MAX(longest, b->shape[i].n);
		b->shape[i].rate = calloc(2 * b->reps, sizeof(double));
		if (!b->shape[i].rate)
			return err_nomem(e);
		b->shape[i].cpu_rate = b->shape[i].rate + b->reps;
	}
	b->token = malloc((longest + DECODED) * sizeof(int32_t));
	b->logits = malloc(engine_plan(b->en)->n_vocab * sizeof(float));
	if (!b->token || !b->logits)
		return err_nomem(e);
	for (size_t i = 0; i < longest + DECODED; i++)
		b->token[i] = (int32_t)((i * 7919 + 13) % (engine_plan(b->en)->n_vocab - 1) + 1);
	if (!rc) {
		/* The first touch of the weights is not what is measured. */
		struct kv *kv;

		rc = engine_seq(b->en, NULL, &kv, e);
		if (!rc)
			rc = engine_feed(b->en, kv, b->token, 64, b->logits, false, NULL, e);
		kv_free(kv);
	}
	for (size_t r = 0; r < b->reps && !rc; r++)
		for (size_t i = 0; i < b->n_shape && !rc; i++) {
			rc = measure(b, &b->shape[i], r, e);
			if (!rc && stop_requested())
				rc = err_set(e, ERR_INTR, "interrupted");
		}
	return rc;
}

int cmd_bench(struct ctx *c, int argc, char **argv)
{
	const struct bench_opts *o = c->opts;
	struct bench b = { .c = c, .reps = (size_t)MAX(o->reps, 1) };
	struct err e;
	int rc;

	(void)argc, (void)argv;
	rc = parse_sizes(&b, o->prefill, false, &e);
	if (!rc)
		rc = parse_sizes(&b, o->decode_after, true, &e);
	if (!rc)
		rc = cmd_open_model(c, NULL, &b.en, NULL, &e);
	if (!rc)
		rc = run(&b, &e);
	if (!rc && o->csv)
		print_csv(&b);
	else if (!rc && (c->g.json || c->g.jsonl))
		print_json(&b);
	else if (!rc)
		print_table(&b);
	for (size_t i = 0; i < b.n_shape; i++)
		free(b.shape[i].rate);
	free(b.token);
	free(b.logits);
	engine_close(b.en);
	return rc ? fail(c, &e) : EXIT_DONE;
}
