#include "config.h"

#include "cache/kvtype.h"
#include "cache/kvtype_impl.h"

#include "base/cpu.h"
#include "base/size.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#define F16_MAX 65504.0f

/* ---- halves ---- */

float kv_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 0x3ff, u;
	float f;

	if (exp == 31)
		u = sign | 0x7f800000u | (man << 13);
	else if (exp)
		u = sign | ((exp + 112) << 23) | (man << 13);
	else {
		f = (float)man * 0x1p-24f;	/* subnormal: exact */
		return sign ? -f : f;
	}
	memcpy(&f, &u, sizeof(f));
	return f;
}

uint16_t kv_f32_to_f16(float f)
{
	uint32_t u, sign, man, shift, half, rest;
	int exp;

	memcpy(&u, &f, sizeof(u));
	sign = (u >> 16) & 0x8000;
	u &= 0x7fffffff;
	if (u >= 0x7f800000)
		return (uint16_t)(sign | (u > 0x7f800000 ? 0x7e00 : 0x7c00));
	exp = (int)(u >> 23) - 112;
	man = (u & 0x7fffff) | 0x800000;
	if (exp >= 31)
		return (uint16_t)(sign | 0x7c00);
	if (exp < -10)
		return (uint16_t)sign;		/* below half of the least subnormal */
	/* The implicit bit makes the exponent one larger, hence exp - 1; 0 for subnormals. */
	shift = exp > 0 ? 13 : (uint32_t)(14 - exp);
	half = (exp > 0 ? (uint32_t)(exp - 1) << 10 : 0) + (man >> shift);
	rest = man & ((1u << shift) - 1);
	if (rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (half & 1)))
		half++;				/* may carry into the exponent: right */
	return (uint16_t)(sign | half);
}

/* The next half above h, in the order of numbers. */
static uint16_t f16_above(uint16_t h)
{
	if (h == 0x8000)
		return 1;
	return (uint16_t)(h & 0x8000 ? h - 1 : h + 1);
}

uint16_t kv_f32_to_f16_up(float f)
{
	uint16_t h = kv_f32_to_f16(f);

	return kv_f16_to_f32(h) < f ? f16_above(h) : h;
}

uint16_t kv_f32_to_f16_down(float f)
{
	return (uint16_t)(kv_f32_to_f16_up(-f) ^ 0x8000);
}

/* ---- types and layouts ---- */

const char *kv_type_name(int type)
{
	switch (type) {
	case KV_F16: return "f16";
	case KV_Q8: return "q8";
	case KV_Q4: return "q4";
	}
	return "?";
}

int kv_type_parse(const char *name)
{
	for (int t = KV_F16; t <= KV_Q4; t++)
		if (!strcmp(name, kv_type_name(t)))
			return t;
	return 0;
}

enum kv_type kv_page_type(enum kv_type want, uint32_t pgno, uint32_t n_token)
{
	return want == KV_Q4 && (pgno == 0 || n_token < KV_PAGE_TOKENS) ? KV_Q8 : want;
}

int kv_layout_init(struct kv_layout *l, const struct kv_geom *g, enum kv_type type,
		   uint32_t n_token, struct err *e)
{
	uint32_t d = g->head_dim, n = n_token, end;

	*l = (struct kv_layout){ .type = type, .n_token = n, .n_head_kv = g->n_head_kv,
				 .head_dim = d };
	if (n < 1 || n > KV_PAGE_TOKENS)
		return err_set(e, ERR_INVALID, "a page of %u tokens, not 1..%u", n, KV_PAGE_TOKENS);
	switch (type) {
	case KV_F16:
		l->v = n * d * 2;
		end = l->v + n * d * 2;
		break;
	case KV_Q8:
		l->v = n * d;
		l->k_step = l->v + n * d;
		l->v_step = l->k_step + n * 2;
		end = l->v_step + n * 2;
		break;
	case KV_Q4:
		if (n != KV_PAGE_TOKENS)
			return err_set(e, ERR_INVALID, "q4 needs a full page, not %u tokens", n);
		l->v_group = d % 64 == 0 ? 64 : d % 32 == 0 ? 32 : d;
		l->v = n * d / 2;
		l->k_step = l->v + n * d / 2;
		l->k_lo = l->k_step + d * 2;
		l->v_step = l->k_lo + d * 2;
		l->v_lo = l->v_step + n * (d / l->v_group) * 2;
		end = l->v_lo + n * (d / l->v_group) * 2;
		break;
	default:
		return err_set(e, ERR_INVALID, "unknown KV type %d", (int)type);
	}
	l->head_bytes = (uint32_t)round_up(end, 64);
	l->body_bytes = l->head_bytes * l->n_head_kv;
	return 0;
}

/* ---- encoding ---- */

static int bad_value(float amax, float limit, const char *type, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "cannot store a key or value of magnitude %g as %s: the largest is %g",
		       (double)amax, type, (double)limit);
}

static void put_f16(uint8_t *p, uint32_t i, uint16_t h)
{
	memcpy(p + 2 * i, &h, 2);
}

/* Largest |x|; NaN when one of them is not a number, so that !(amax <= limit) catches both. */
static float abs_max_ref(const float *x, uint32_t n)
{
	float m = 0;

	for (uint32_t i = 0; i < n; i++) {
		float a = fabsf(x[i]);

		if (a != a)
			return a;
		m = a > m ? a : m;
	}
	return m;
}

static void f16_row_ref(const float *x, uint32_t n, uint8_t *out)
{
	for (uint32_t c = 0; c < n; c++)
		put_f16(out, c, kv_f32_to_f16(x[c]));
}

static void q8_row_ref(const float *x, float step, uint32_t n, int8_t *out)
{
	for (uint32_t c = 0; c < n; c++) {
		float q = rintf(x[c] / step);

		out[c] = (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
	}
}

static void min_max_ref(const float *x, uint32_t n, float *lo, float *hi)
{
	for (uint32_t c = 0; c < n; c++) {
		lo[c] = x[c] < lo[c] ? x[c] : lo[c];
		hi[c] = x[c] > hi[c] ? x[c] : hi[c];
	}
}

static unsigned q4_code(float x, float lo, float step)
{
	float q = rintf((x - lo) / step);

	return q > 15 ? 15 : q < 0 ? 0 : (unsigned)q;
}

static void q4_row_ref(const float *x, const float *lo, const float *step, uint32_t d, uint8_t *out)
{
	uint32_t half = d / 2;

	for (uint32_t c = 0; c < half; c++)
		out[c] = (uint8_t)(q4_code(x[c], lo[c], step[c]) |
				   q4_code(x[c + half], lo[c + half], step[c + half]) << 4);
}

const struct kv_encoder kv_encoder_ref = { abs_max_ref, f16_row_ref, q8_row_ref, min_max_ref,
					   q4_row_ref };

/* x and its rows: one head's K or V, row t at x + t * stride. */
static int encode_f16(const struct kv_encoder *en, const struct kv_layout *l, const float *x,
		      size_t stride, uint8_t *out, struct err *e)
{
	for (uint32_t t = 0; t < l->n_token; t++, x += stride) {
		float amax = en->abs_max(x, l->head_dim);

		if (!(amax <= F16_MAX))
			return bad_value(amax, F16_MAX, "f16", e);
		en->f16_row(x, l->head_dim, out + (size_t)t * l->head_dim * 2);
	}
	return 0;
}

static int encode_q8(const struct kv_encoder *en, const struct kv_layout *l, const float *x,
		     size_t stride, uint8_t *code, uint8_t *step, struct err *e)
{
	for (uint32_t t = 0; t < l->n_token; t++, x += stride) {
		float amax = en->abs_max(x, l->head_dim);
		uint16_t h;

		if (!(amax <= F16_MAX * 127))
			return bad_value(amax, F16_MAX * 127, "q8", e);
		h = kv_f32_to_f16_up(amax / 127);
		put_f16(step, t, h);
		if (h)			/* else all codes stay 0 */
			en->q8_row(x, kv_f16_to_f32(h), l->head_dim,
				   (int8_t *)code + (size_t)t * l->head_dim);
	}
	return 0;
}

/* Store lo and step of a 4-bit group that spans [*lo, hi], rounded outwards, and give back what was
 * stored.  Where all values are equal the step is 0; 1 is as good for choosing codes. */
static float put_grid(uint8_t *lo_at, uint8_t *step_at, uint32_t i, float *lo, float hi)
{
	uint16_t lo_h = kv_f32_to_f16_down(*lo), step_h;

	*lo = kv_f16_to_f32(lo_h);
	step_h = kv_f32_to_f16_up((hi - *lo) / 15);
	put_f16(lo_at, i, lo_h);
	put_f16(step_at, i, step_h);
	return step_h ? kv_f16_to_f32(step_h) : 1;
}

static int encode_q4_k(const struct kv_encoder *en, const struct kv_layout *l, const float *x,
		       size_t stride, uint8_t *b, struct err *e)
{
	uint32_t d = l->head_dim;
	float lo[KV_MAX_HEAD_DIM], hi[KV_MAX_HEAD_DIM], step[KV_MAX_HEAD_DIM];

	memcpy(lo, x, d * sizeof(*x));
	memcpy(hi, x, d * sizeof(*x));
	for (uint32_t t = 0; t < l->n_token; t++) {
		float amax = en->abs_max(x + t * stride, d);

		if (!(amax <= F16_MAX))
			return bad_value(amax, F16_MAX, "q4", e);
		en->min_max(x + t * stride, d, lo, hi);
	}
	for (uint32_t c = 0; c < d; c++)
		step[c] = put_grid(b + l->k_lo, b + l->k_step, c, &lo[c], hi[c]);
	for (uint32_t t = 0; t < l->n_token; t++)
		en->q4_row(x + t * stride, lo, step, d, b + l->k + (size_t)t * (d / 2));
	return 0;
}

static int encode_q4_v(const struct kv_encoder *en, const struct kv_layout *l, const float *x,
		       size_t stride, uint8_t *b, struct err *e)
{
	uint32_t d = l->head_dim, g = l->v_group, n_group = d / g;
	float lo[KV_MAX_HEAD_DIM], step[KV_MAX_HEAD_DIM];

	for (uint32_t t = 0; t < l->n_token; t++, x += stride) {
		float amax = en->abs_max(x, d);

		if (!(amax <= F16_MAX))
			return bad_value(amax, F16_MAX, "q4", e);
		for (uint32_t j = 0; j < n_group; j++) {
			const float *grp = x + j * g;
			float least = grp[0], most = grp[0], s;

			for (uint32_t c = 1; c < g; c++) {
				least = grp[c] < least ? grp[c] : least;
				most = grp[c] > most ? grp[c] : most;
			}
			s = put_grid(b + l->v_lo, b + l->v_step, t * n_group + j, &least, most);
			for (uint32_t c = j * g; c < (j + 1) * g; c++) {
				lo[c] = least;
				step[c] = s;
			}
		}
		en->q4_row(x, lo, step, d, b + l->v + (size_t)t * (d / 2));
	}
	return 0;
}

static int encode_head(const struct kv_encoder *en, const struct kv_layout *l, const float *k,
		       const float *v, size_t stride, uint8_t *b, struct err *e)
{
	int rc;

	if (l->type == KV_F16) {
		rc = encode_f16(en, l, k, stride, b + l->k, e);
		return rc ? rc : encode_f16(en, l, v, stride, b + l->v, e);
	}
	if (l->type == KV_Q8) {
		rc = encode_q8(en, l, k, stride, b + l->k, b + l->k_step, e);
		return rc ? rc : encode_q8(en, l, v, stride, b + l->v, b + l->v_step, e);
	}
	rc = encode_q4_k(en, l, k, stride, b, e);
	return rc ? rc : encode_q4_v(en, l, v, stride, b, e);
}

static int encode(const struct kv_encoder *en, const struct kv_layout *l, const float *k,
		  const float *v, void *body, struct err *e)
{
	size_t stride = (size_t)l->n_head_kv * l->head_dim;
	int rc = 0;

	memset(body, 0, l->body_bytes);
	for (uint32_t h = 0; h < l->n_head_kv && !rc; h++)
		rc = encode_head(en, l, k + (size_t)h * l->head_dim, v + (size_t)h * l->head_dim,
				 stride, (uint8_t *)body + (size_t)h * l->head_bytes, e);
	return rc;
}

/* ---- decoding ---- */

static float get_f16(const uint8_t *p, uint32_t i)
{
	uint16_t h;

	memcpy(&h, p + 2 * i, 2);
	return kv_f16_to_f32(h);
}

static unsigned get_u4(const uint8_t *row, uint32_t c, uint32_t d)
{
	return c < d / 2 ? row[c] & 15u : row[c - d / 2] >> 4;
}

static void decode_k_row(const struct kv_layout *l, const uint8_t *b, uint32_t t, float *out)
{
	uint32_t d = l->head_dim;

	for (uint32_t c = 0; c < d; c++)
		if (l->type == KV_F16)
			out[c] = get_f16(b + l->k, t * d + c);
		else if (l->type == KV_Q8)
			out[c] = get_f16(b + l->k_step, t) *
				 (float)((const int8_t *)b + l->k)[t * d + c];
		else
			out[c] = get_f16(b + l->k_lo, c) +
				 get_f16(b + l->k_step, c) *
				 (float)get_u4(b + l->k + t * (d / 2), c, d);
}

static void decode_v_row(const struct kv_layout *l, const uint8_t *b, uint32_t t, float *out)
{
	uint32_t d = l->head_dim;

	for (uint32_t c = 0; c < d; c++) {
		if (l->type == KV_F16) {
			out[c] = get_f16(b + l->v, t * d + c);
		} else if (l->type == KV_Q8) {
			out[c] = get_f16(b + l->v_step, t) *
				 (float)((const int8_t *)b + l->v)[t * d + c];
		} else {
			uint32_t i = t * (d / l->v_group) + c / l->v_group;

			out[c] = get_f16(b + l->v_lo, i) +
				 get_f16(b + l->v_step, i) *
				 (float)get_u4(b + l->v + t * (d / 2), c, d);
		}
	}
}

static void decode_rows_ref(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
			    uint32_t n, float *k, float *v)
{
	const uint8_t *b = (const uint8_t *)body + (size_t)head * l->head_bytes;

	for (uint32_t i = 0; i < n; i++) {
		if (k)
			decode_k_row(l, b, t + i, k + (size_t)i * l->head_dim);
		if (v)
			decode_v_row(l, b, t + i, v + (size_t)i * l->head_dim);
	}
}

void kv_decode_head_ref(const struct kv_layout *l, const void *body, uint32_t head, float *k,
			float *v)
{
	decode_rows_ref(l, body, head, 0, l->n_token, k, v);
}

/* ---- the variant for this processor ---- */

static kv_decode_fn *the_decode;
static const struct kv_encoder *the_encoder;

static void choose(void)
{
	the_decode = decode_rows_ref;
	the_encoder = &kv_encoder_ref;
#ifdef HAVE_X86_KERNELS
	if (cpu_get()->avx2_fma) {
		the_decode = kv_decode_rows_avx2;
		the_encoder = &kv_encoder_avx2;
	}
#endif
}

static void choose_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, choose);
}

int kv_encode(const struct kv_layout *l, const float *k, const float *v, void *body, struct err *e)
{
	choose_once();
	return encode(the_encoder, l, k, v, body, e);
}

int kv_encode_ref(const struct kv_layout *l, const float *k, const float *v, void *body,
		  struct err *e)
{
	return encode(&kv_encoder_ref, l, k, v, body, e);
}

void kv_decode_head(const struct kv_layout *l, const void *body, uint32_t head, float *k, float *v)
{
	choose_once();
	the_decode(l, body, head, 0, l->n_token, k, v);
}

void kv_decode_token(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
		     float *k, float *v)
{
	choose_once();
	the_decode(l, body, head, t, 1, k, v);
}
