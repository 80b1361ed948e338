#include "config.h"

#include "cache/sketch.h"
#include "cache/sketch_impl.h"

#include "base/cpu.h"
#include "base/size.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SKETCH_VERSION 1u
#define HEAD_FIXED     128u
#define SUM_FROM       32u
#define BLOCK          32u		/* tokens scored together */
#define F16_MAX        65504.0f

static const char SKETCH_MAGIC[8] = "FOLIOSKT";

struct sketch_head {
	char           magic[8];
	uint64_t       bytes;
	struct sum128  sum;
	uint32_t       version;
	uint32_t       n_token;
	uint64_t       layer_bytes;
	uint32_t       head_bytes;
	uint8_t        zero[12];
	struct id      span;
	struct kv_geom geom;
	uint8_t        rest[16];
};
_Static_assert(sizeof(struct sketch_head) == HEAD_FIXED, "head layout is the format");

int sketch_plan_init(struct sketch_plan *p, const struct kv_geom *g, uint32_t n_token,
		     struct err *e)
{
	int rc = kv_geom_check(g, e);
	uint64_t end;

	if (rc)
		return rc;
	if (n_token < 1 || n_token > KV_MAX_SPAN)
		return err_set(e, ERR_INVALID, "a span of %u tokens, not 1..%u", n_token,
			       KV_MAX_SPAN);
	*p = (struct sketch_plan){ .geom = *g, .n_token = n_token,
				   .n_page = kv_page_count(n_token),
				   .n_block = (n_token + BLOCK - 1) / BLOCK };
	p->head_bytes = (uint32_t)round_up(HEAD_FIXED + 16ull * g->n_far_layer, 64);
	/* At most 2^18 pages of 2 KiB: below 2^30. */
	p->factor_off = p->n_page * g->head_dim * 2;
	p->sign_off = p->factor_off + p->n_block * BLOCK * 2;
	end = p->sign_off + (uint64_t)p->n_block * (g->head_dim / 8) * BLOCK;
	p->head_stride = round_up(end, 64);
	p->layer_bytes = p->head_stride * g->n_head_kv;
	p->bytes = p->head_bytes + p->layer_bytes * g->n_far_layer;
	return 0;
}

/* ---- rotation ---- */

/* A fixed sign per channel: the low bit of a splitmix64 step. */
static bool flips(uint32_t c)
{
	uint64_t z = (c + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) & 1;
}

/* The signs of R, as factors. */
static void fill_flips(float *flip, uint32_t d)
{
	for (uint32_t c = 0; c < d; c++)
		flip[c] = flips(c) ? -1.0f : 1.0f;
}

/* In place.  Sums and one scaling only, so that it is the same everywhere. */
static void rotate(float *x, const float *flip, uint32_t d)
{
	uint32_t b = d & (0u - d);	/* largest power of two that divides d */
	float scale = (float)(1 / sqrt((double)b));

	for (uint32_t c = 0; c < d; c++)
		x[c] *= flip[c];
	for (uint32_t from = 0; from < d; from += b)
		for (uint32_t h = 1; h < b; h *= 2)
			for (uint32_t i = from; i < from + b; i += 2 * h)
				for (uint32_t j = i; j < i + h; j++) {
					float s = x[j] + x[j + h], t = x[j] - x[j + h];

					x[j] = s;
					x[j + h] = t;
				}
	for (uint32_t c = 0; c < d; c++)
		x[c] *= scale;
}

static float lanes_sum(const float *a)
{
	return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

/* ---- building ---- */

static void put_f16(uint8_t *p, size_t i, uint16_t h)
{
	memcpy(p + 2 * i, &h, 2);
}

static float get_f16(const uint8_t *p, size_t i)
{
	uint16_t h;

	memcpy(&h, p + 2 * i, 2);
	return kv_f16_to_f32(h);
}

static void add_ref(const float *k, uint32_t d, float *sum)
{
	for (uint32_t c = 0; c < d; c++)
		sum[c] += k[c];
}

static void token_ref(const float *k, const float *mean, const float *flip, uint32_t d,
		      uint8_t *sign, float *l1, float *l2)
{
	float r[KV_MAX_HEAD_DIM], a[8] = { 0 }, b[8] = { 0 };

	for (uint32_t c = 0; c < d; c++)
		r[c] = k[c] - mean[c];
	rotate(r, flip, d);
	memset(sign, 0, d / 8);
	for (uint32_t c = 0; c < d; c++) {
		a[c % 8] += fabsf(r[c]);
		b[c % 8] += r[c] * r[c];
		if (r[c] >= 0)
			sign[c / 8] |= (uint8_t)(1u << (c % 8));
	}
	*l1 = lanes_sum(a);
	*l2 = lanes_sum(b);
}

static const struct sketch_maker maker_ref = { add_ref, token_ref };

/* The mean key of a page as stored, also to mean[]. */
static int put_mean(const struct sketch_maker *mk, uint8_t *out, const float *k, size_t stride,
		    uint32_t n, uint32_t d, float *mean, struct err *e)
{
	memset(mean, 0, d * sizeof(*mean));
	for (uint32_t t = 0; t < n; t++)
		mk->add(k + t * stride, d, mean);
	for (uint32_t c = 0; c < d; c++) {
		float m = mean[c] / (float)n;

		if (!(fabsf(m) <= F16_MAX))
			return err_set(e, ERR_INVALID, "cannot sketch keys whose mean is %g",
				       (double)m);
		put_f16(out, c, kv_f32_to_f16(m));
		mean[c] = get_f16(out, c);
	}
	return 0;
}

/* Signs and factor of one token: its byte in the rows of the block, which are BLOCK apart. */
static int put_token(const struct sketch_maker *mk, uint8_t *rows, uint8_t *factor, const float *k,
		     const float *mean, const float *flip, uint32_t d, struct err *e)
{
	uint8_t sign[KV_MAX_HEAD_DIM / 8];
	float l1, l2, f;

	mk->token(k, mean, flip, d, sign, &l1, &l2);
	for (uint32_t g = 0; g < d / 8; g++)
		rows[g * BLOCK] = sign[g];
	f = l1 > 0 ? l2 / l1 : l1;
	if (!(f <= F16_MAX))
		return err_set(e, ERR_INVALID, "cannot sketch a key of length %g", sqrt((double)l2));
	put_f16(factor, 0, kv_f32_to_f16(f));
	return 0;
}

static int build_head(const struct sketch_maker *mk, const struct sketch_plan *p, uint8_t *part,
		      const float *k, size_t stride, struct err *e)
{
	uint32_t d = p->geom.head_dim;
	float mean[KV_MAX_HEAD_DIM], flip[KV_MAX_HEAD_DIM];
	int rc = 0;

	fill_flips(flip, d);
	for (uint32_t t = 0; !rc && t < p->n_token; t++) {
		uint32_t page = t / KV_PAGE_TOKENS;

		if (t % KV_PAGE_TOKENS == 0)
			rc = put_mean(mk, part + (size_t)page * d * 2, k + t * stride, stride,
				      kv_page_len(p->n_token, page), d, mean, e);
		if (!rc)
			rc = put_token(mk, part + p->sign_off +
					       (size_t)(t / BLOCK) * (d / 8) * BLOCK + t % BLOCK,
				       part + p->factor_off + 2 * (size_t)t, k + t * stride, mean,
				       flip, d, e);
	}
	return rc;
}

static int build_layer(const struct sketch_maker *mk, const struct sketch_plan *p, void *out,
		       uint32_t layer, const float *k, struct err *e)
{
	uint8_t *at = (uint8_t *)out + p->head_bytes + layer * p->layer_bytes;
	int rc = 0;

	if (layer >= p->geom.n_far_layer)
		return err_set(e, ERR_INVALID, "far layer %u of %u", layer, p->geom.n_far_layer);
	for (uint32_t h = 0; !rc && h < p->geom.n_head_kv; h++)
		rc = build_head(mk, p, at + h * p->head_stride, k + (size_t)h * p->geom.head_dim,
				kv_row(&p->geom), e);
	return rc;
}

static const struct sketch_maker *the_maker;
static sketch_score_fn *the_score, score_ref;

static void choose(void)
{
	the_maker = &maker_ref;
	the_score = score_ref;
#ifdef HAVE_X86_KERNELS
	if (cpu_get()->avx2_fma) {
		the_maker = &sketch_maker_avx2;
		the_score = sketch_score_avx2;
	}
#endif
}

static void choose_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, choose);
}

int sketch_build_layer(const struct sketch_plan *p, void *out, uint32_t layer, const float *k,
		       struct err *e)
{
	choose_once();
	return build_layer(the_maker, p, out, layer, k, e);
}

int sketch_build_layer_ref(const struct sketch_plan *p, void *out, uint32_t layer, const float *k,
			   struct err *e)
{
	return build_layer(&maker_ref, p, out, layer, k, e);
}

static uint8_t *layer_sum(const void *record, uint32_t layer)
{
	return (uint8_t *)record + HEAD_FIXED + 16ull * layer;
}

void sketch_seal(const struct sketch_plan *p, void *out, const struct id *span)
{
	struct sketch_head *h = out;

	for (uint32_t l = 0; l < p->geom.n_far_layer; l++) {
		struct sum128 s = sum128_of((uint8_t *)out + p->head_bytes + l * p->layer_bytes,
					    p->layer_bytes);

		memcpy(layer_sum(out, l), &s, sizeof(s));
	}
	memcpy(h->magic, SKETCH_MAGIC, sizeof(h->magic));
	h->bytes = p->bytes;
	h->version = SKETCH_VERSION;
	h->n_token = p->n_token;
	h->layer_bytes = p->layer_bytes;
	h->head_bytes = p->head_bytes;
	h->span = *span;
	h->geom = p->geom;
	h->sum = sum128_of((uint8_t *)out + SUM_FROM, p->head_bytes - SUM_FROM);
}

/* One layer of keys back to f32 [n_token][n_head_kv][head_dim]. */
static int decode_layer(const struct extent *x, uint32_t layer, float *k, struct err *e)
{
	const struct kv_geom *g = &x->plan.geom;
	float *head = malloc((size_t)KV_PAGE_TOKENS * g->head_dim * sizeof(*head));
	int rc = head ? 0 : err_nomem(e);

	for (uint32_t page = 0; !rc && page < x->plan.n_page; page++) {
		const uint8_t *strip = x->data + extent_strip_off(&x->plan, layer, page);
		struct kv_layout l;

		rc = extent_check_strip(&x->plan, &x->span, layer, page, strip, e);
		extent_strip_layout(&x->plan, page, &l);
		for (uint32_t h = 0; !rc && h < g->n_head_kv; h++) {
			kv_decode_head(&l, strip + STRIP_HEAD_BYTES, h, head, NULL);
			for (uint32_t t = 0; t < l.n_token; t++)
				memcpy(k + ((size_t)page * KV_PAGE_TOKENS + t) * kv_row(g) +
					       (size_t)h * g->head_dim,
				       head + (size_t)t * g->head_dim, g->head_dim * sizeof(*k));
		}
	}
	free(head);
	return rc;
}

int sketch_from_extent(const struct sketch_plan *p, const struct extent *x, void *out,
		       struct err *e)
{
	float *k;
	int rc = 0;

	if (!kv_geom_eq(&p->geom, &x->plan.geom) || p->n_token != x->plan.n_token)
		return err_set(e, ERR_INVALID, "a sketch of another shape than its extent");
	k = malloc((size_t)p->n_token * kv_row(&p->geom) * sizeof(*k));
	if (!k)
		return err_nomem(e);
	for (uint32_t l = 0; !rc && l < p->geom.n_far_layer; l++) {
		rc = decode_layer(x, l, k, e);
		if (!rc)
			rc = sketch_build_layer(p, out, l, k, e);
	}
	if (!rc)
		sketch_seal(p, out, &x->span);
	free(k);
	return rc;
}

/* ---- reading ---- */

static int corrupt(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "a sketch is damaged: %s", what);
}

int sketch_parse(struct sketch *out, const void *data, size_t n, struct err *e)
{
	const struct sketch_head *h = data;
	struct sketch_plan p;

	*out = (struct sketch){ 0 };
	if (n < HEAD_FIXED)
		return corrupt(e, "it is shorter than its head");
	if (memcmp(h->magic, SKETCH_MAGIC, sizeof(h->magic)))
		return corrupt(e, "bad magic");
	if (h->head_bytes < HEAD_FIXED || h->head_bytes > n)
		return corrupt(e, "its head reaches beyond its end");
	if (!sum128_eq(h->sum, sum128_of((const uint8_t *)data + SUM_FROM,
					 h->head_bytes - SUM_FROM)))
		return corrupt(e, "bad checksum of its head");
	if (h->version > SKETCH_VERSION)
		return err_set(e, ERR_NEWER, "a sketch has format version %u, this program knows %u",
			       h->version, SKETCH_VERSION);
	if (h->version != SKETCH_VERSION)
		return corrupt(e, "no such version");
	if (sketch_plan_init(&p, &h->geom, h->n_token, NULL))
		return corrupt(e, "impossible geometry or length");
	if (p.bytes != h->bytes || p.head_bytes != h->head_bytes ||
	    p.layer_bytes != h->layer_bytes || p.bytes > n)
		return corrupt(e, "its sizes contradict its shape");
	*out = (struct sketch){ .plan = p, .span = h->span, .data = data };
	return 0;
}

int sketch_check_layer(const struct sketch *s, uint32_t layer, struct err *e)
{
	struct sum128 want;

	memcpy(&want, layer_sum(s->data, layer), sizeof(want));
	if (!sum128_eq(want, sum128_of(s->data + s->plan.head_bytes + layer * s->plan.layer_bytes,
				       s->plan.layer_bytes)))
		return err_set(e, ERR_CORRUPT, "a sketch is damaged in far layer %u", layer);
	return 0;
}

/* ---- scoring ---- */

void sketch_query_init(struct sketch_query *sq, const float *q, uint32_t head_dim)
{
	uint32_t n_group = head_dim / 4;
	float r[KV_MAX_HEAD_DIM], flip[KV_MAX_HEAD_DIM], most = 0;

	memcpy(sq->q, q, head_dim * sizeof(*q));
	memcpy(r, q, head_dim * sizeof(*q));
	fill_flips(flip, head_dim);
	rotate(r, flip, head_dim);
	for (uint32_t j = 0; j < n_group; j++) {
		float sum = fabsf(r[4 * j]) + fabsf(r[4 * j + 1]) + fabsf(r[4 * j + 2]) +
			    fabsf(r[4 * j + 3]);

		most = sum > most ? sum : most;
	}
	sq->head_dim = head_dim;
	sq->step = most / 127;
	sq->base = 128 * (int32_t)n_group;
	for (uint32_t j = 0; j < n_group; j++)
		for (unsigned m = 0; m < 16; m++) {
			float sum = 0;

			for (unsigned i = 0; i < 4; i++)
				sum += m >> i & 1 ? r[4 * j + i] : -r[4 * j + i];
			sq->table[j][m] = (uint8_t)(128 + (sq->step > 0 ?
							   lrintf(sum / sq->step) : 0));
		}
}

/* q . mean, in the order of sketch_impl.h. */
static float dot_mean(const float *q, const uint8_t *mean, uint32_t d)
{
	float a[8] = { 0 };

	for (uint32_t c = 0; c < d; c++)
		a[c % 8] += q[c] * get_f16(mean, c);
	return lanes_sum(a);
}

static void score_ref(const struct sketch_plan *p, const uint8_t *part,
		      const struct sketch_query *sq, float *est)
{
	uint32_t d = p->geom.head_dim, n_row = d / 8;
	const uint8_t *factor = part + p->factor_off, *sign = part + p->sign_off;
	float mean = 0;

	for (uint32_t b = 0; b < p->n_block; b++, sign += (size_t)n_row * BLOCK) {
		if (b % 2 == 0)
			mean = dot_mean(sq->q, part + (size_t)(b / 2) * d * 2, d);
		for (uint32_t t = 0; t < BLOCK; t++) {
			int32_t sum = -sq->base;

			for (uint32_t g = 0; g < n_row; g++) {
				uint8_t s = sign[g * BLOCK + t];

				sum += sq->table[2 * g][s & 15] + sq->table[2 * g + 1][s >> 4];
			}
			est[b * BLOCK + t] = mean + get_f16(factor, b * BLOCK + t) *
						    (sq->step * (float)sum);
		}
	}
}

static const uint8_t *part_of(const struct sketch *s, uint32_t layer, uint32_t head)
{
	return s->data + s->plan.head_bytes + layer * s->plan.layer_bytes +
	       head * s->plan.head_stride;
}

void sketch_score(const struct sketch *s, uint32_t layer, uint32_t head,
		  const struct sketch_query *sq, float *est)
{
	choose_once();
	the_score(&s->plan, part_of(s, layer, head), sq, est);
}

void sketch_score_ref(const struct sketch *s, uint32_t layer, uint32_t head,
		      const struct sketch_query *sq, float *est)
{
	score_ref(&s->plan, part_of(s, layer, head), sq, est);
}
