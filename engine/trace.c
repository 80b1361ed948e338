#include "config.h"

#include "engine/trace.h"
#include "base/size.h"
#include "engine/kern.h"
#include "engine/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct trace {
	const struct plan *plan;
	const struct kv *kv;
	struct query_tap tap;
	uint32_t *watched;	/* [n_watched] far layers, rising */
	size_t  n_watched;
	float  *query;		/* [n_watched][n_query][n_head * head_dim] of the pass just made */
	size_t  n_query, cap_query;
	size_t  base;		/* own tokens before that pass */
	double *weight;
	size_t  n, cap;
	float  *score, *page;	/* score of every key, prefix first; one K page in f32 */
	size_t  cap_score;
	float  *half;		/* f16 -> f32, all 65,536 */
	bool    failed;
};

static void unpack(const struct trace *t, const void *src, float *out)
{
	size_t n = (size_t)t->plan->head_dim * KV_PAGE;

	if (!t->kv->f16) {
		memcpy(out, src, n * sizeof(float));
		return;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = t->half[((const uint16_t *)src)[i]];
}

/* Scores of the group of query heads against n keys of a kv, into out rows ld apart. */
static void score_keys(struct trace *t, const struct kv *kv, uint32_t layer, uint32_t head, size_t n,
		       const float *q, size_t group, float *out, size_t ld)
{
	size_t hd = t->plan->head_dim;

	for (size_t b = 0; b * KV_PAGE < n; b++) {
		size_t m = MIN((size_t)KV_PAGE, n - b * KV_PAGE);

		unpack(t, kv_k(kv, layer, b, head), t->page);
		for (size_t g = 0; g < group; g++) {
			float s[KV_PAGE] = { 0 };

			for (size_t d = 0; d < hd; d++)
				for (size_t j = 0; j < KV_PAGE; j++)
					s[j] += q[g * hd + d] * t->page[d * KV_PAGE + j];
			memcpy(out + g * ld + b * KV_PAGE, s, m * sizeof(float));
		}
	}
}

static bool room_for(struct trace *t, size_t n_own)
{
	if (n_own > t->cap) {
		double *w = realloc(t->weight, 2 * n_own * sizeof(*w));

		if (!w)
			return false;
		t->weight = w;
		t->cap = 2 * n_own;
	}
	while (t->n < n_own)
		t->weight[t->n++] = 0;
	return true;
}

static bool room(struct trace *t, size_t n_own, size_t n_all, size_t group)
{
	if (!room_for(t, n_own))
		return false;
	if (n_all * group > t->cap_score) {
		float *s = realloc(t->score, 2 * n_all * group * sizeof(*s));

		if (!s)
			return false;
		t->score = s;
		t->cap_score = 2 * n_all * group;
	}
	return true;
}

/* Keep the queries of a watched layer. */
static void put(void *ctx, uint32_t far, const float *q, size_t n_token)
{
	struct trace *t = ctx;
	size_t width = (size_t)t->plan->n_head * t->plan->head_dim, i = 0;

	while (i < t->n_watched && t->watched[i] != far)
		i++;
	if (i == t->n_watched || t->failed)
		return;
	if (i == 0) {
		t->n_query = n_token;
		t->base = (size_t)t->kv->n;
		if (n_token > t->cap_query) {
			float *more = realloc(t->query, t->n_watched * n_token * width * sizeof(*more));

			t->failed = !more;
			if (!more)
				return;
			t->query = more;
			t->cap_query = n_token;
		}
	}
	memcpy(t->query + i * t->n_query * width, q, n_token * width * sizeof(*q));
}

/* One token's queries q [n_head][head_dim] against the prefix and the first n_own own keys. */
static void weigh(struct trace *t, uint32_t layer, const float *q, size_t n_own)
{
	const struct plan *p = t->plan;
	uint32_t group = p->n_head / p->n_head_kv;
	size_t n_pre = kv_prefix_slots(t->kv, layer), n_all = n_own + n_pre;

	if (!room(t, n_own, n_all, group)) {
		t->failed = true;
		return;
	}
	for (uint32_t h = 0; h < p->n_head_kv; h++) {
		const float *qh = q + h * group * p->head_dim;

		if (n_pre)
			score_keys(t, t->kv->prefix, layer, h, n_pre, qh, group, t->score, n_all);
		score_keys(t, t->kv, layer, h, n_own, qh, group, t->score + n_pre, n_all);
		for (uint32_t g = 0; g < group; g++) {
			float *s = t->score + g * n_all, top = -INFINITY;
			double sum = 0, scale;

			for (size_t j = 0; j < n_all; j++)
				top = fmaxf(top, s[j]);
			for (size_t j = 0; j < n_all; j++)
				sum += (double)(s[j] = expf(s[j] - top));
			scale = 1 / (sum * p->n_head * (double)t->n_watched);
			for (size_t j = 0; j < n_own; j++)
				t->weight[j] += scale * (double)s[n_pre + j];
		}
	}
}

void trace_take(struct trace *t, size_t k)
{
	size_t width = (size_t)t->plan->n_head * t->plan->head_dim;

	if (k >= t->n_query || !(t->base + k))
		return;
	for (size_t i = 0; i < t->n_watched && !t->failed; i++)
		weigh(t, t->plan->far_layer[t->watched[i]], t->query + (i * t->n_query + k) * width, t->base + k);
}

int trace_new(struct trace **out, struct engine *en, const struct kv *kv, size_t n_layer, struct err *e)
{
	const struct plan *p = engine_plan(en);
	struct trace *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return err_nomem(e);
	t->plan = p;
	t->kv = kv;
	t->tap = (struct query_tap){ .ctx = t, .put = put };
	t->watched = calloc(n_layer + 1, sizeof(*t->watched));
	t->page = malloc((size_t)p->head_dim * KV_PAGE * sizeof(float));
	t->half = malloc(65536 * sizeof(float));
	if (!t->watched || !t->page || !t->half) {
		trace_free(t);
		return err_nomem(e);
	}
	for (size_t i = 0; i < 65536; i++)
		t->half[i] = quant_f16_to_f32((uint16_t)i);
	/* From a quarter to three quarters of the depth, where retrieval happens. */
	for (size_t i = 0; i < n_layer; i++) {
		size_t far = p->n_far / 4 + i * (p->n_far / 2) / n_layer;

		if (far < p->n_far && (!t->n_watched || t->watched[t->n_watched - 1] != far))
			t->watched[t->n_watched++] = (uint32_t)far;
	}
	*out = t;
	return 0;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	free(t->watched);
	free(t->query);
	free(t->weight);
	free(t->score);
	free(t->page);
	free(t->half);
	free(t);
}

const struct query_tap *trace_tap(const struct trace *t)
{
	return &t->tap;
}

const double *trace_weights(const struct trace *t, size_t *n)
{
	*n = t->n;
	return t->weight;
}

int trace_add(struct trace *t, size_t token, double weight, struct err *e)
{
	if (!room_for(t, token + 1))
		return err_nomem(e);
	t->weight[token] += weight;
	return 0;
}

void trace_reset(struct trace *t)
{
	for (size_t i = 0; i < t->n; i++)
		t->weight[i] = 0;
}

bool trace_failed(const struct trace *t)
{
	return t->failed;
}
