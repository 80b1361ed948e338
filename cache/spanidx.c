#include "config.h"

#include "cache/spanidx.h"

#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPANIDX_VERSION 1u
#define HEAD_BYTES      192u
#define SUM_FROM        32u
#define F16_MAX         65504.0f

static const char SPANIDX_MAGIC[8] = "FOLIOSIX";

struct spanidx_head {
	char          magic[8];
	uint64_t      bytes;
	struct sum128 sum;
	uint32_t      version;
	uint32_t      n_token;
	uint32_t      n_pair;
	uint32_t      head_dim;
	uint64_t      pair_bytes;
	uint8_t       zero[8];
	struct id     span;
	struct id     profile;
	uint8_t       rest[64];
};
_Static_assert(sizeof(struct spanidx_head) == HEAD_BYTES, "head layout is the format");

int spanidx_plan_init(struct spanidx_plan *p, uint32_t n_token, uint32_t n_pair, uint32_t head_dim,
		      struct err *e)
{
	if (n_token < 1 || n_token > KV_MAX_SPAN || n_pair < 1 || n_pair > SPANIDX_MAX_PAIR ||
	    head_dim < 8 || head_dim > KV_MAX_HEAD_DIM || head_dim % 8)
		return err_set(e, ERR_INVALID,
			       "a span index of %u tokens, %u pairs, head dimension %u", n_token,
			       n_pair, head_dim);
	*p = (struct spanidx_plan){ .n_token = n_token, .n_pair = n_pair, .head_dim = head_dim };
	/* step_off: at most 2^24 * 2^10, within 32 bits only up to 2^22 tokens of the widest
	 * head. */
	if ((uint64_t)n_token * head_dim > UINT32_MAX)
		return err_set(e, ERR_INVALID, "a span index of %u tokens is too large", n_token);
	p->step_off = n_token * head_dim;
	p->pair_bytes = round_up((uint64_t)p->step_off + 2ull * n_token, 64);
	p->bytes = HEAD_BYTES + p->pair_bytes * n_pair;
	return 0;
}

/* ---- building ---- */

int spanidx_build_pair(const struct spanidx_plan *p, void *out, uint32_t pair, const float *k,
		       size_t stride, struct err *e)
{
	uint8_t *at = (uint8_t *)out + HEAD_BYTES + pair * p->pair_bytes;

	if (pair >= p->n_pair)
		return err_set(e, ERR_INVALID, "pair %u of %u", pair, p->n_pair);
	for (uint32_t t = 0; t < p->n_token; t++, k += stride) {
		int8_t *code = (int8_t *)at + (size_t)t * p->head_dim;
		float most = 0, step;
		uint16_t h;

		for (uint32_t c = 0; c < p->head_dim; c++) {
			float a = fabsf(k[c]);

			if (!(a <= F16_MAX * 127))
				return err_set(e, ERR_INVALID,
					       "cannot index a key of magnitude %g", (double)a);
			most = a > most ? a : most;
		}
		h = kv_f32_to_f16_up(most / 127);
		memcpy(at + p->step_off + 2ull * t, &h, 2);
		step = kv_f16_to_f32(h);
		for (uint32_t c = 0; c < p->head_dim; c++)
			code[c] = step > 0 ? (int8_t)lrintf(k[c] / step) : 0;
	}
	return 0;
}

void spanidx_seal(const struct spanidx_plan *p, void *out, const struct id *span,
		  const struct id *profile)
{
	struct spanidx_head *h = out;

	memset(h, 0, sizeof(*h));
	memcpy(h->magic, SPANIDX_MAGIC, sizeof(h->magic));
	h->bytes = p->bytes;
	h->version = SPANIDX_VERSION;
	h->n_token = p->n_token;
	h->n_pair = p->n_pair;
	h->head_dim = p->head_dim;
	h->pair_bytes = p->pair_bytes;
	h->span = *span;
	h->profile = *profile;
	h->sum = sum128_of((uint8_t *)out + SUM_FROM, p->bytes - SUM_FROM);
}

/* One head's keys of a whole span to k [n_token][head_dim]. */
static int decode_pair(const struct extent *x, const struct spanidx_pair *pair, float *k,
		       struct err *e)
{
	int rc;

	for (uint32_t page = 0; page < x->plan.n_page; page++) {
		const uint8_t *strip = x->data + extent_strip_off(&x->plan, pair->far_layer, page);
		struct kv_layout l;

		rc = extent_check_strip(&x->plan, &x->span, pair->far_layer, page, strip, e);
		if (rc)
			return rc;
		extent_strip_layout(&x->plan, page, &l);
		kv_decode_head(&l, strip + STRIP_HEAD_BYTES, pair->head, k, NULL);
		k += (size_t)l.n_token * l.head_dim;
	}
	return 0;
}

int spanidx_from_extent(const struct spanidx_plan *p, const struct extent *x,
			const struct spanidx_pair *pair, const struct id *profile, void *out,
			struct err *e)
{
	const struct kv_geom *g = &x->plan.geom;
	float *k;
	int rc = 0;

	if (p->n_token != x->plan.n_token || p->head_dim != g->head_dim)
		return err_set(e, ERR_INVALID, "a span index of another shape than its extent");
	for (uint32_t i = 0; i < p->n_pair; i++)
		if (pair[i].far_layer >= g->n_far_layer || pair[i].head >= g->n_head_kv)
			return err_set(e, ERR_INVALID, "there is no head %u in far layer %u",
				       pair[i].head, pair[i].far_layer);
	k = malloc((size_t)p->n_token * p->head_dim * sizeof(*k));
	if (!k)
		return err_nomem(e);
	for (uint32_t i = 0; !rc && i < p->n_pair; i++) {
		rc = decode_pair(x, &pair[i], k, e);
		if (!rc)
			rc = spanidx_build_pair(p, out, i, k, p->head_dim, e);
	}
	if (!rc)
		spanidx_seal(p, out, &x->span, profile);
	free(k);
	return rc;
}

/* ---- reading ---- */

static int corrupt(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "a part of the span index is damaged: %s", what);
}

int spanidx_parse(struct spanidx *out, const void *data, size_t n, const struct id *profile,
		  struct err *e)
{
	const struct spanidx_head *h = data;
	struct spanidx_plan p;

	*out = (struct spanidx){ 0 };
	if (n < HEAD_BYTES)
		return corrupt(e, "it is shorter than its head");
	if (memcmp(h->magic, SPANIDX_MAGIC, sizeof(h->magic)))
		return corrupt(e, "bad magic");
	if (h->bytes < HEAD_BYTES || h->bytes > n)
		return corrupt(e, "it reaches beyond its end");
	if (!sum128_eq(h->sum, sum128_of((const uint8_t *)data + SUM_FROM, h->bytes - SUM_FROM)))
		return corrupt(e, "bad checksum");
	if (h->version > SPANIDX_VERSION)
		return err_set(e, ERR_NEWER,
			       "a span index has format version %u, this program knows %u",
			       h->version, SPANIDX_VERSION);
	if (h->version != SPANIDX_VERSION)
		return corrupt(e, "no such version");
	if (spanidx_plan_init(&p, h->n_token, h->n_pair, h->head_dim, NULL))
		return corrupt(e, "impossible shape");
	if (p.bytes != h->bytes || p.pair_bytes != h->pair_bytes)
		return corrupt(e, "its sizes contradict its shape");
	return spanidx_parse_again(out, data, profile, e);
}

int spanidx_parse_again(struct spanidx *out, const void *data, const struct id *profile,
			struct err *e)
{
	const struct spanidx_head *h = data;
	int rc;

	*out = (struct spanidx){ 0 };
	if (profile && !id_eq(profile, &h->profile))
		return err_set(e, ERR_MISMATCH, "a span index was made for another profile");
	rc = spanidx_plan_init(&out->plan, h->n_token, h->n_pair, h->head_dim, e);
	if (rc)
		return rc;
	out->span = h->span;
	out->profile = h->profile;
	out->data = data;
	return 0;
}

void spanidx_get(const struct spanidx *s, uint32_t pair, const int8_t **code,
		 const uint16_t **step)
{
	const uint8_t *at = s->data + HEAD_BYTES + pair * s->plan.pair_bytes;

	*code = (const int8_t *)at;
	*step = (const uint16_t *)(const void *)(at + s->plan.step_off);
}
