/* What the pipeline around the model costs:  encode_bench MODEL THREADS ROUNDS TOKENS FILE...
 *
 * The same spans, cut from the files and packed into the same batches, in interleaved rounds:
 *   prefill  forward passes that end in the logits of each span's last token: a plain prefill
 *   pass     forward passes that stop at the last keys, as encoding does, with nobody to take them
 *   encode   pages_encode into a fresh library: text read and tokenised, passes, keys and values
 *            quantised and sealed, extents written, fdatasync, commit
 *   cut      pages_cut alone: cutting, counting, identities, rows (before encode, not in it)
 * CSV, one line a measurement; lines that begin with # compare medians. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "engine/encode.h"
#include "ingest/pages.h"
#include "libtemp.h"

#define MAX_DOC   4096
#define MAX_ROUND 64

enum part { PREFILL, PASS, CUT, ENCODE, N_PART };
static const char *const part_name[] = { "prefill", "pass", "cut", "encode" };

static struct err e;
static struct engine *en;
static struct tok *tok;
static struct encoder *enc;

static struct buf text[MAX_DOC];
static size_t n_text;
static struct cat_span *span;		/* of all documents, as the first library numbered them */
static struct tok_ids *ids;
static size_t n_span;
static uint64_t n_token, want;
static double wall[N_PART][MAX_ROUND], cpu[N_PART][MAX_ROUND];

static void die(const char *what)
{
	fprintf(stderr, "encode_bench: %s: %s\n", what, e.msg);
	exit(2);
}

#define TRY(x) do { if (x) die(#x); } while (0)

static int add_span(void *ctx, const struct cat_span *s)
{
	(void)ctx;
	if (n_token >= want)
		return 0;
	span = reallocarray(span, n_span + 1, sizeof(*span));
	if (!span)
		return ERR_NOMEM;
	span[n_span++] = *s;
	n_token += s->n_token;
	return 0;
}

/* A library with the documents, their spans in span[]; what cutting took is round r's. */
static struct pages *fill(struct library **lib, int r)
{
	struct cat_text t = { .format = "text" };
	struct cat_blob *blob;
	struct pages *p;
	int64_t doc[MAX_DOC];
	double since, since_cpu;

	temp_clear(temp_path("lib"));
	TRY(lib_open(lib, temp_path("lib"), LIB_CREATE, &e));
	for (size_t i = 0; i < n_text; i++) {
		t.text = text[i].data;
		t.n = text[i].len;
		TRY(cat_blob_new(&blob, &t, &e));
		TRY(cat_begin(lib_catalog(*lib), &e));
		TRY(cat_put_text(lib_catalog(*lib), blob, &doc[i], NULL, &e));
		TRY(cat_commit(lib_catalog(*lib), &e));
		cat_blob_free(blob);
	}
	TRY(pages_open(&p, *lib, enc, &e));
	since = clock_now();
	since_cpu = clock_cpu();
	TRY(pages_cut(p, doc, n_text, &e));
	wall[CUT][r] = clock_now() - since;
	cpu[CUT][r] = clock_cpu() - since_cpu;
	n_span = n_token = 0;
	for (size_t i = 0; i < n_text; i++)
		TRY(cat_spans(lib_catalog(*lib), doc[i], pages_engine(p), CAT_ISOLATED, add_span, NULL, &e));
	return p;
}

/* Batches as encoder_run makes them. */
static void passes(bool keys_only)
{
	struct forward *f = engine_forward(en);
	size_t n_vocab = engine_plan(en)->n_vocab;
	struct fwd_item *item = calloc(n_span, sizeof(*item));
	float *logits = malloc(n_span * n_vocab * sizeof(*logits));

	if (!item || !logits)
		die("no memory");
	for (size_t i = 0, m; i < n_span; i += m) {
		size_t tokens = 0;

		for (m = 0; i + m < n_span && (!m || tokens + ids[i + m].n <= forward_batch(f)); m++) {
			item[m] = (struct fwd_item){ .token = ids[i + m].id, .n = ids[i + m].n,
						     .keys_only = keys_only };
			if (!keys_only)
				item[m].logits = logits + m * n_vocab;
			TRY(engine_seq(en, encoder_preamble(enc), &item[m].kv, &e));
			tokens += ids[i + m].n;
		}
		TRY(forward_run(f, item, m, &e));
		for (size_t k = 0; k < m; k++)
			kv_free(item[k].kv);
	}
	free(item);
	free(logits);
}

static void encode(struct pages *p)
{
	uint64_t done = 0;

	TRY(pages_encode(p, span, n_span, NULL, NULL, &done, &e));
	if (done != n_token) {
		err_set(&e, ERR_MISMATCH, "%llu tokens of %llu", (unsigned long long)done,
			(unsigned long long)n_token);
		die("encode");
	}
}

static void round_of(int r)
{
	struct library *lib;
	struct pages *p = fill(&lib, r);

	for (int k = 0; k < N_PART; k++) {
		/* In turns, so that no part is always the first. */
		enum part part = (enum part)((k + r) % N_PART);
		double since = clock_now(), since_cpu = clock_cpu();

		if (part == CUT)
			continue;
		if (part == ENCODE)
			encode(p);
		else
			passes(part == PASS);
		wall[part][r] = clock_now() - since;
		cpu[part][r] = clock_cpu() - since_cpu;
	}
	pages_close(p);
	lib_close(lib);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const double *v, int n)
{
	double s[MAX_ROUND];

	memcpy(s, v, (size_t)n * sizeof(*s));
	qsort(s, (size_t)n, sizeof(*s), by_value);
	return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

/* Of each round, since rounds differ more among themselves than parts of one. */
static double ratio(double v[N_PART][MAX_ROUND], enum part a, int rounds)
{
	double r[MAX_ROUND];

	for (int i = 0; i < rounds; i++)
		r[i] = v[a][i] / v[ENCODE][i];
	return median(r, rounds);
}

int main(int argc, char **argv)
{
	struct engine_opts o = { 0 };
	struct library *lib;
	struct pages *p;
	int rounds;

	if (argc < 6) {
		fprintf(stderr, "usage: %s MODEL THREADS ROUNDS TOKENS FILE...\n", argv[0]);
		return 2;
	}
	temp_make();
	o.n_thread = atoi(argv[2]);
	rounds = MIN(MAX(atoi(argv[3]), 1), MAX_ROUND);
	want = strtoull(argv[4], NULL, 10);
	for (int i = 5; i < argc && n_text < MAX_DOC; i++)
		TRY(file_read(&text[n_text++], argv[i], 1 << 30, &e));
	TRY(engine_open(&en, argv[1], &o, &e));
	TRY(tok_open(&tok, engine_model(en)->gguf, &e));
	TRY(encoder_open(&enc, en, tok, KV_Q8, &e));
	p = fill(&lib, 0);
	ids = calloc(n_span, sizeof(*ids));
	for (size_t i = 0; i < n_span; i++)
		TRY(pages_tokens(p, &span[i], &ids[i], NULL, &e));
	pages_close(p);
	lib_close(lib);
	passes(true);		/* the first touch of the weights is not what is measured */

	puts("part,round,spans,tokens,threads,wall_s,cpu_s,tokens_per_s,tokens_per_cpu_s");
	for (int r = 0; r < rounds; r++) {
		round_of(r);
		for (int k = 0; k < N_PART; k++)
			printf("%s,%d,%zu,%llu,%d,%.3f,%.3f,%.1f,%.1f\n", part_name[k], r, n_span,
			       (unsigned long long)n_token, engine_threads(en), wall[k][r], cpu[k][r],
			       (double)n_token / wall[k][r], (double)n_token / cpu[k][r]);
		fflush(stdout);
	}
	printf("# encode against prefill: %.3f by the clock, %.3f by processor time\n",
	       ratio(wall, PREFILL, rounds), ratio(cpu, PREFILL, rounds));
	printf("# encode against pass: %.3f by the clock, %.3f by processor time\n", ratio(wall, PASS, rounds),
	       ratio(cpu, PASS, rounds));
	for (size_t i = 0; i < n_span; i++)
		free(ids[i].id);
	for (size_t i = 0; i < n_text; i++)
		buf_release(&text[i]);
	free(ids);
	free(span);
	encoder_close(enc);
	tok_close(tok);
	engine_close(en);
	return 0;
}
