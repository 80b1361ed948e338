/* select_study MODEL TEXT [TOKENS [PROMPTS]] - which code finds the keys that attention wants, as CSV:
 * model,far_layer,keys,queries,code,bytes,budget_pct,mass,oracle,ratio,best
 *
 * Keys are those of TEXT in each far layer, at most TOKENS (default 200000).  Queries are those of the text
 * behind it (TEXT is cut in keys and, from its end, 64 query tokens), or of the last tokens of PROMPTS, one a line.
 *   iRoPE models     keys of isolated spans as a library holds them; queries under the temperature of as many tokens
 *   other models     one sequence, within the trained context; keys and queries rotated, as they meet
 *
 * For each code the best budget_pct of the tokens are chosen by its estimate:
 *   mass     share of the softmax over all keys that the chosen tokens hold, mean over queries and heads
 *   oracle   the same for the tokens with the largest exact scores: the most that so many tokens can hold
 *   ratio    mass / oracle
 *   best     share of queries and heads whose best token is among the chosen ones
 * Codes: signs (cache/sketch.h); re-ranked: of four times as many by signs, the best by exact
 * score; 32 principal components in f32; boxes (min and max of a page of 64) and means of pages,
 * which choose whole pages.  bytes: of the code, per token and KV head, at 8 bits a component. */
#include "config.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/size.h"
#include "cache/sketch.h"
#include "engine/encode.h"
#include "engine/forward_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_QUERY 64
#define RANK 32
#define PAGE 64

static const double budget[] = { 0.05, 0.2, 0.5, 1, 5 };

struct study {
	struct engine  *en;
	struct tok     *tok;
	struct encoder *enc;
	const struct plan *p;
	size_t n;			/* keys */
	float **k;			/* by far layer, [n][n_head_kv][head_dim] */
	size_t n_query;
	float **q;			/* by far layer, [n_query][n_head][head_dim] */
	size_t at;			/* where the sink or tap is */
};

static void must(int rc, const struct err *e, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "select_study: %s: %s\n", what, e->msg);
	exit(1);
}

static void *room(size_t n, size_t size)
{
	void *p = aligned_alloc(64, round_up(n * size + 64, 64));

	if (!p) {
		fprintf(stderr, "select_study: out of memory\n");
		exit(1);
	}
	memset(p, 0, n * size);
	return p;
}

/* ---- keys and queries ---- */

static int put_keys(void *ctx, uint32_t far, const float *k, const float *v, size_t n, struct err *e)
{
	struct study *s = ctx;
	size_t row = (size_t)s->p->n_head_kv * s->p->head_dim;

	(void)v, (void)e;
	if (s->at + n <= s->n)
		memcpy(s->k[far] + s->at * row, k, n * row * sizeof(*k));
	return 0;
}

static void put_queries(void *ctx, uint32_t far, const float *q, size_t n)
{
	struct study *s = ctx;
	size_t row = (size_t)s->p->n_head * s->p->head_dim, m = MIN(n, s->n_query - s->at);

	/* Of a prompt or of the text's end: the last ones. */
	memcpy(s->q[far] + s->at * row, q + (n - m) * row, m * row * sizeof(*q));
}

static int no_pages(void *ctx, uint32_t far, const float *q, size_t n, const struct far_state *st, struct err *e)
{
	(void)ctx, (void)far, (void)q, (void)n, (void)st, (void)e;
	return 0;
}

/* Spans of the text, each alone behind the preamble. */
static void isolated(struct study *s, const int32_t *id)
{
	size_t span = encoder_span_max(s->enc);
	struct err e;

	for (s->at = 0; s->at < s->n;) {
		size_t m = MIN(span, s->n - s->at);
		struct far_sink sink = { .ctx = s, .put = put_keys };
		struct fwd_item item = { .token = id + s->at, .n = m, .sink = &sink, .keys_only = true };

		must(engine_seq(s->en, encoder_preamble(s->enc), &item.kv, &e), &e, "sequence");
		must(forward_run(engine_forward(s->en), &item, 1, &e), &e, "keys");
		kv_free(item.kv);
		s->at += m;
	}
}

/* Queries of tokens that continue the preamble while n keys are mounted. */
static void queries(struct study *s, const int32_t *id, size_t n)
{
	struct far_source src = { .attend = no_pages, .n_mounted = (int64_t)s->n };
	struct query_tap tap = { .ctx = s, .put = put_queries };
	struct fwd_item item = { .token = id, .n = n, .source = &src, .tap = &tap };
	struct err e;

	must(engine_seq(s->en, encoder_preamble(s->enc), &item.kv, &e), &e, "sequence");
	must(forward_run(engine_forward(s->en), &item, 1, &e), &e, "queries");
	kv_free(item.kv);
}

static void prompts(struct study *s, const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	struct err e;

	/* The last token of each prompt asks. */
	for (s->at = 0; f && s->at < s->n_query && getline(&line, &cap, f) > 0; s->at++) {
		struct tok_ids ids = { 0 };
		size_t keep = s->n_query;

		line[strcspn(line, "\t\n")] = '\0';
		must(tok_encode(s->tok, line, strlen(line), 0, &ids, NULL, &e), &e, "prompt");
		s->n_query = s->at + 1;
		queries(s, ids.id, ids.n);
		s->n_query = keep;
		free(ids.id);
	}
	s->n_query = s->at;
	free(line);
	if (f)
		fclose(f);
}

/* One sequence: keys of its first n tokens, queries of the last. */
static void in_sequence(struct study *s, const int32_t *id)
{
	struct far_sink sink = { .ctx = s, .put = put_keys };
	struct query_tap tap = { .ctx = s, .put = put_queries };
	size_t batch = forward_batch(engine_forward(s->en));
	struct kv *kv;
	struct err e;

	must(engine_seq(s->en, NULL, &kv, &e), &e, "sequence");
	for (size_t i = 0; i < s->n; i += batch) {
		struct fwd_item item = { .kv = kv, .token = id + i, .n = MIN(batch, s->n - i), .sink = &sink };

		s->at = i;
		must(forward_run(engine_forward(s->en), &item, 1, &e), &e, "keys");
	}
	for (uint32_t l = 0; l < s->p->n_far; l++)
		forward_place_keys(engine_forward(s->en), s->p->far_layer[l], s->k[l], s->n, 0);
	s->at = 0;
	must(forward_run(engine_forward(s->en), &(struct fwd_item){ .kv = kv, .token = id + s->n, .n = s->n_query,
								     .tap = &tap }, 1, &e), &e, "queries");
	kv_free(kv);
}

/* ---- codes: an estimate of q . k for every key of one KV head ---- */

struct head {
	const float *k;			/* [n][ld] */
	size_t n, ld, hd;
	float *mean, *lo, *hi;		/* [pages][hd] */
	float *pc, *code;		/* [RANK][hd], [n][RANK] */
	float *centre;			/* [hd] */
};

static float dot(const float *a, const float *b, size_t n)
{
	float s[8] = { 0 };

	for (size_t i = 0; i < n; i += 8)
		for (size_t j = 0; j < 8; j++)
			s[j] += a[i + j] * b[i + j];
	return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

static void pages(struct head *h)
{
	size_t n_page = (h->n + PAGE - 1) / PAGE;

	h->mean = room(n_page * h->hd, sizeof(float));
	h->lo = room(n_page * h->hd, sizeof(float));
	h->hi = room(n_page * h->hd, sizeof(float));
	for (size_t p = 0; p < n_page; p++)
		for (size_t d = 0; d < h->hd; d++) {
			size_t last = MIN((p + 1) * PAGE, h->n);
			float lo = INFINITY, hi = -INFINITY, sum = 0;

			for (size_t i = p * PAGE; i < last; i++) {
				float x = h->k[i * h->ld + d];

				lo = fminf(lo, x);
				hi = fmaxf(hi, x);
				sum += x;
			}
			h->mean[p * h->hd + d] = sum / (float)(last - p * PAGE);
			h->lo[p * h->hd + d] = lo;
			h->hi[p * h->hd + d] = hi;
		}
}

/* The largest principal components, by power iteration on the covariance of at most 20,000 keys. */
static void components(struct head *h)
{
	size_t hd = h->hd, step = h->n / 20000 + 1, m = 0;
	double *cov = room(hd * hd, sizeof(double)), *v = room(hd, sizeof(double)), *w = room(hd, sizeof(double));

	h->centre = room(hd, sizeof(float));
	h->pc = room(RANK * hd, sizeof(float));
	for (size_t i = 0; i < h->n; i += step, m++)
		for (size_t d = 0; d < hd; d++)
			h->centre[d] += h->k[i * h->ld + d];
	for (size_t d = 0; d < hd; d++)
		h->centre[d] /= (float)m;
	for (size_t i = 0; i < h->n; i += step)
		for (size_t a = 0; a < hd; a++)
			for (size_t b = 0; b < hd; b++)
				cov[a * hd + b] += (double)(h->k[i * h->ld + a] - h->centre[a]) *
						   (double)(h->k[i * h->ld + b] - h->centre[b]);
	for (size_t r = 0; r < MIN((size_t)RANK, hd); r++) {
		double value = 0;

		for (size_t d = 0; d < hd; d++)
			v[d] = sin((double)(d * 7 + r * 13 + 1));
		for (int it = 0; it < 200; it++) {
			value = 0;
			for (size_t a = 0; a < hd; a++) {
				w[a] = 0;
				for (size_t b = 0; b < hd; b++)
					w[a] += cov[a * hd + b] * v[b];
				value += w[a] * w[a];
			}
			value = sqrt(value);
			for (size_t d = 0; d < hd; d++)
				v[d] = value > 0 ? w[d] / value : 0;
		}
		for (size_t a = 0; a < hd; a++) {
			h->pc[r * hd + a] = (float)v[a];
			for (size_t b = 0; b < hd; b++)
				cov[a * hd + b] -= value * v[a] * v[b];
		}
	}
	h->code = room(h->n * RANK, sizeof(float));
	for (size_t i = 0; i < h->n; i++)
		for (size_t r = 0; r < RANK; r++)
			h->code[i * RANK + r] = dot(h->pc + r * hd, h->k + i * h->ld, hd) -
						dot(h->pc + r * hd, h->centre, hd);
	free(cov);
	free(v);
	free(w);
}

static void est_components(const struct head *h, const float *q, float *est)
{
	float t[RANK];

	for (size_t r = 0; r < RANK; r++)
		t[r] = dot(h->pc + r * h->hd, q, h->hd);
	for (size_t i = 0; i < h->n; i++)
		est[i] = dot(t, h->code + i * RANK, RANK);
}

static void est_pages(const struct head *h, const float *q, bool boxes, float *est)
{
	for (size_t i = 0; i < h->n; i++) {
		size_t p = i / PAGE;

		if (i % PAGE) {
			est[i] = est[i - 1];
			continue;
		}
		est[i] = 0;
		for (size_t d = 0; d < h->hd; d++)
			est[i] += boxes ? fmaxf(q[d] * h->lo[p * h->hd + d], q[d] * h->hi[p * h->hd + d])
					: q[d] * h->mean[p * h->hd + d];
	}
}

/* ---- what a choice holds ---- */

struct ranked {
	float est;
	uint32_t i;
};

static int by_est(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->est != y->est)
		return x->est > y->est ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

struct sum {
	double mass[ARRAY_LEN(budget)], best[ARRAY_LEN(budget)];
};

static void add_choice(const float *est, const double *weight, size_t n, uint32_t best, struct ranked *r,
		       struct sum *sum)
{
	double mass = 0;
	bool has = false;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked){ est[i], (uint32_t)i };
	qsort(r, n, sizeof(*r), by_est);
	for (size_t b = 0; b < ARRAY_LEN(budget); b++) {
		size_t want = (size_t)(budget[b] / 100 * (double)n + 0.5);

		for (; at < MAX(want, (size_t)1); at++) {
			mass += weight[r[at].i];
			has |= r[at].i == best;
		}
		sum->mass[b] += mass;
		sum->best[b] += has;
	}
}

/* r as add_choice left it, by estimates: the first four times as many, by their exact scores. */
static void add_reranked(const float *exact, const double *weight, size_t n, uint32_t best, const struct ranked *r,
			 struct ranked *again, struct sum *sum)
{
	for (size_t b = 0; b < ARRAY_LEN(budget); b++) {
		size_t want = MAX((size_t)(budget[b] / 100 * (double)n + 0.5), (size_t)1), m = MIN(4 * want, n);

		for (size_t i = 0; i < m; i++)
			again[i] = (struct ranked){ exact[r[i].i], r[i].i };
		qsort(again, m, sizeof(*again), by_est);
		for (size_t i = 0; i < MIN(want, m); i++) {
			sum->mass[b] += weight[again[i].i];
			sum->best[b] += again[i].i == best;
		}
	}
}

enum code { ORACLE, SIGNS, RERANKED, COMPONENTS, BOXES, MEANS, N_CODE };

static void study_head(const struct study *s, uint32_t far, uint32_t kv_head, struct sum sum[N_CODE])
{
	const struct plan *p = s->p;
	size_t hd = p->head_dim, group = p->n_head / p->n_head_kv, room_n = (s->n + 31) / 32 * 32 + 32;
	struct head h = { .k = s->k[far] + kv_head * hd, .n = s->n, .ld = (size_t)p->n_head_kv * hd, .hd = hd };
	float *one = room(s->n * hd, sizeof(float)), *est = room(room_n, sizeof(float));
	double *weight = room(s->n, sizeof(double));
	struct ranked *r = room(s->n, sizeof(*r)), *again = room(s->n, sizeof(*again));
	float *exact = room(s->n, sizeof(float));
	struct kv_geom g = { 1, 1, (uint32_t)hd, KV_PAGE_TOKENS };
	struct sketch_plan sp;
	struct sketch_query *sq = room(1, sizeof(*sq));
	struct sketch sk = { 0 };
	struct err e;
	void *image;

	pages(&h);
	components(&h);
	for (size_t i = 0; i < s->n; i++)
		memcpy(one + i * hd, h.k + i * h.ld, hd * sizeof(float));
	must(sketch_plan_init(&sp, &g, (uint32_t)s->n, &e), &e, "sketch");
	image = room(sp.bytes, 1);
	must(sketch_build_layer(&sp, image, 0, one, &e), &e, "sketch");
	sk = (struct sketch){ .plan = sp, .data = image };
	for (size_t t = 0; t < s->n_query; t++)
		for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
			const float *q = s->q[far] + (t * p->n_head + head) * hd;
			uint32_t best = 0;
			double all = 0;

			for (size_t i = 0; i < s->n; i++) {
				est[i] = dot(q, one + i * hd, hd);
				best = est[i] > est[best] ? (uint32_t)i : best;
			}
			for (size_t i = 0; i < s->n; i++)
				all += weight[i] = exp((double)(est[i] - est[best]));
			for (size_t i = 0; i < s->n; i++)
				weight[i] /= all;
			memcpy(exact, est, s->n * sizeof(*est));
			add_choice(est, weight, s->n, best, r, &sum[ORACLE]);
			sketch_query_init(sq, q, (uint32_t)hd);
			sketch_score(&sk, 0, 0, sq, est);
			add_choice(est, weight, s->n, best, r, &sum[SIGNS]);
			add_reranked(exact, weight, s->n, best, r, again, &sum[RERANKED]);
			est_components(&h, q, est);
			add_choice(est, weight, s->n, best, r, &sum[COMPONENTS]);
			est_pages(&h, q, true, est);
			add_choice(est, weight, s->n, best, r, &sum[BOXES]);
			est_pages(&h, q, false, est);
			add_choice(est, weight, s->n, best, r, &sum[MEANS]);
		}
	free(one), free(est), free(weight), free(r), free(sq), free(image), free(again), free(exact);
	free(h.mean), free(h.lo), free(h.hi), free(h.pc), free(h.code), free(h.centre);
}

static void print_layer(const struct study *s, uint32_t far, const struct sum *sum)
{
	static const char *const name[] = { "oracle", "signs", "re-ranked", "components", "boxes", "means" };
	double n = (double)s->n_query * s->p->n_head, hd = s->p->head_dim;
	double bytes[] = { hd, hd / 8 + 2 + hd / 32, hd / 8 + 2 + hd / 32, RANK, 2 * hd / PAGE, hd / PAGE };

	for (int c = 0; c < N_CODE; c++)
		for (size_t b = 0; b < ARRAY_LEN(budget); b++)
			printf("%s,%u,%zu,%zu,%s,%.3g,%.2f,%.4f,%.4f,%.4f,%.4f\n", s->p->name, far, s->n, s->n_query,
			       name[c], bytes[c], budget[b], sum[c].mass[b] / n, sum[ORACLE].mass[b] / n,
			       sum[c].mass[b] / sum[ORACLE].mass[b], sum[c].best[b] / n);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct study s = { .n = 200000, .n_query = N_QUERY };
	struct engine_opts o = { .n_thread = 1, .n_batch = 1024 };
	struct tok_ids ids = { 0 };
	struct buf text = { 0 };
	struct err e;
	bool irope;

	if (argc < 3) {
		fprintf(stderr, "usage: %s MODEL TEXT [TOKENS [PROMPTS]]\n", argv[0]);
		return 2;
	}
	must(engine_open(&s.en, argv[1], &o, &e), &e, "model");
	must(tok_open(&s.tok, engine_model(s.en)->gguf, &e), &e, "tokenizer");
	must(encoder_open(&s.enc, s.en, s.tok, KV_F16, &e), &e, "encoder");
	must(file_read(&text, argv[2], 1 << 30, &e), &e, "text");
	must(tok_encode(s.tok, text.data, text.len, 0, &ids, NULL, &e), &e, "tokens");
	s.p = engine_plan(s.en);
	irope = plan_is_irope(s.p);
	if (argc > 3)
		s.n = strtoull(argv[3], NULL, 10);
	if (!irope)
		s.n = MIN(s.n, (size_t)s.p->n_ctx_train - N_QUERY);
	s.n = MIN(s.n, ids.n - N_QUERY) / PAGE * PAGE;
	s.k = room(s.p->n_far, sizeof(*s.k));
	s.q = room(s.p->n_far, sizeof(*s.q));
	for (uint32_t l = 0; l < s.p->n_far; l++) {
		s.k[l] = room(s.n * s.p->n_head_kv * s.p->head_dim, sizeof(float));
		s.q[l] = room((size_t)N_QUERY * s.p->n_head * s.p->head_dim, sizeof(float));
	}
	if (irope) {
		isolated(&s, ids.id);
		s.at = 0;
		if (argc > 4)
			prompts(&s, argv[4]);
		else
			queries(&s, ids.id + s.n, N_QUERY);
	} else {
		in_sequence(&s, ids.id);
	}
	printf("model,far_layer,keys,queries,code,bytes,budget_pct,mass,oracle,ratio,best\n");
	/* All layers of a model of 30 take an hour: every sixth of an all-RoPE model. */
	for (uint32_t l = 0; l < s.p->n_far; l += irope ? 1 : 6) {
		struct sum sum[N_CODE] = { 0 };

		for (uint32_t h = 0; h < s.p->n_head_kv; h++)
			study_head(&s, l, h, sum);
		print_layer(&s, l, sum);
	}
	for (uint32_t l = 0; l < s.p->n_far; l++) {
		free(s.k[l]);
		free(s.q[l]);
	}
	free(s.k), free(s.q), free(ids.id);
	buf_release(&text);
	encoder_close(s.enc);
	tok_close(s.tok);
	engine_close(s.en);
	return 0;
}
