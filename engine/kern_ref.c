/* The reference kernels: readable C, the oracle of every faster set. */
#include "config.h"

#include "engine/kern.h"
#include "engine/quant.h"

#include <math.h>
#include <string.h>

/* Sixteen partial sums: a fixed order that any compiler can put into vector registers. */
static float dot(const float *a, const float *b, size_t n)
{
	float s[16] = { 0 }, sum = 0;
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (size_t j = 0; j < 16; j++)
			s[j] += a[i + j] * b[i + j];
	for (; i < n; i++)
		s[i % 16] += a[i] * b[i];
	for (size_t j = 0; j < 16; j++)
		sum += s[j];
	return sum;
}

static void ref_rms_norm(const float *x, const float *w, float *y, size_t n, float eps)
{
	float scale = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);

	for (size_t i = 0; i < n; i++)
		y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

static int8_t round_to_i8(float x)
{
	long v = lrintf(x);

	return (int8_t)(v > 127 ? 127 : v < -127 ? -127 : v);
}

static void ref_quant_act(const struct act *a, size_t t)
{
	size_t n_block = a->n_col / ACT_BLOCK;
	const float *x = a->x + t * a->n_col;
	float *d = a->d + t * n_block, *d2 = a->d2 + t * n_block, *s = a->s + 2 * t * n_block, mean = 0;

	for (size_t b = 0; b < n_block; b++) {
		float top = 0;

		for (size_t i = 0; i < ACT_BLOCK; i++)
			top = fmaxf(top, fabsf(x[b * ACT_BLOCK + i]));
		d[b] = top;
		mean += top;
	}
	mean /= (float)n_block;
	for (size_t b = 0; b < n_block; b++) {
		bool fine = d[b] > ACT_COARSE * mean;
		float inv = d[b] > 0 ? 127.0f / d[b] : 0, inv2;

		d[b] /= 127.0f;
		d2[b] = fine ? d[b] / 254.0f : 0;
		inv2 = fine ? 254.0f / d[b] : 0;
		for (size_t half = 0; half < 2; half++) {
			int sum = 0, sum2 = 0;

			for (size_t i = 16 * half; i < 16 * half + 16; i++) {
				size_t at = t * a->n_col + b * ACT_BLOCK + i;
				float v = x[b * ACT_BLOCK + i];
				int8_t q = round_to_i8(v * inv);
				int8_t q2 = round_to_i8((v - (float)q * d[b]) * inv2);

				a->q[at] = q;
				a->q2[at] = q2;
				sum += q;
				sum2 += q2;
			}
			s[2 * b + half] = d[b] * (float)sum + d2[b] * (float)sum2;
		}
	}
}

static size_t ref_linear_scratch(size_t n_col)
{
	return n_col * sizeof(float);
}

static void ref_linear(const struct rows *w, const struct act *a, size_t t0, size_t t1, float *y,
		       size_t ldy, void *scratch)
{
	float *row = scratch;

	for (size_t r = w->r0; r < w->r1; r++) {
		quant_row_ref(w->type, w->data + r * w->row_bytes, row, a->n_col);
		for (size_t t = t0; t < t1; t++)
			y[t * ldy + r] = dot(row, a->x + t * a->n_col, a->n_col);
	}
}

static void ref_swiglu(float *gate, const float *up, size_t n)
{
	for (size_t i = 0; i < n; i++)
		gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void ref_axpy(float a, const float *x, float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

static float load(const void *page, size_t i, bool f16)
{
	return f16 ? quant_f16_to_f32(((const uint16_t *)page)[i]) : ((const float *)page)[i];
}

static size_t ref_attn_scratch(size_t n_row, size_t head_dim)
{
	(void)n_row;
	return KV_PAGE + 2 * KV_PAGE * head_dim;
}

/* One row against one page, whose K and V are now floats: rescale the state to the new maximum. */
static void ref_attn_page(const struct attn_args *a, size_t r, size_t first, size_t last,
			  const float *k, const float *v, float *score)
{
	const float *q = a->q + r * a->head_dim;
	float *o = a->o + r * a->head_dim, m = a->m[r], shrink;

	memset(score, 0, KV_PAGE * sizeof(float));
	for (size_t d = 0; d < a->head_dim; d++)
		for (size_t j = 0; j < KV_PAGE; j++)
			score[j] += q[d] * k[d * KV_PAGE + j];
	for (size_t j = first; j < last; j++)
		m = fmaxf(m, score[j]);
	shrink = a->m[r] == m ? 1.0f : expf(a->m[r] - m);
	a->m[r] = m;
	a->l[r] *= shrink;
	for (size_t d = 0; d < a->head_dim; d++)
		o[d] *= shrink;
	for (size_t j = first; j < last; j++) {
		float p = expf(score[j] - m);

		a->l[r] += p;
		for (size_t d = 0; d < a->head_dim; d++)
			o[d] += p * v[j * a->head_dim + d];
	}
}

static void ref_attn(const struct attn_args *a)
{
	float *score = a->scratch, *k = score + KV_PAGE, *v = k + KV_PAGE * a->head_dim;

	for (size_t p = 0; p < a->n_page; p++) {
		int64_t base = (int64_t)(p * KV_PAGE);
		bool loaded = false;

		for (size_t r = 0; r < a->n_row; r++) {
			int64_t lo = a->lo ? a->lo[r] : 0, hi = a->hi[r];
			size_t first = lo > base ? (size_t)(lo - base) : 0;
			size_t last = hi - base < KV_PAGE ? (size_t)(hi > base ? hi - base : 0) : KV_PAGE;

			if (first >= last)
				continue;
			if (!loaded) {
				for (size_t i = 0; i < KV_PAGE * a->head_dim; i++) {
					k[i] = load(a->k[p], i, a->f16);
					v[i] = load(a->v[p], i, a->f16);
				}
				loaded = true;
			}
			ref_attn_page(a, r, first, last, k, v, score);
		}
	}
}

static uint64_t ref_spin(size_t n)
{
	volatile float keep;
	float s[16], x = 1.0f + (float)(n & 1) * 1e-7f;

	for (size_t j = 0; j < 16; j++)
		s[j] = (float)j;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < 16; j++)
			s[j] = s[j] * x + 1e-9f;
	keep = s[n % 16];
	(void)keep;
	return 16 * (uint64_t)n;
}

static uint64_t ref_read(const void *p, size_t n)
{
	const uint64_t *w = p;
	uint64_t s[8] = { 0 }, sum = 0;

	for (size_t i = 0; i + 8 <= n / 8; i += 8)
		for (size_t j = 0; j < 8; j++)
			s[j] += w[i + j];
	for (size_t j = 0; j < 8; j++)
		sum += s[j];
	return sum;
}

/* Values [n_token][head_dim] into slots of pages; element d of slot j lies at d * step_d + j * step_j. */
static void put(void *const *page, size_t slot, const float *src, size_t n_token, size_t ld, size_t head_dim,
		bool f16, size_t step_d, size_t step_j)
{
	for (size_t t = 0; t < n_token; t++, slot++, src += ld) {
		void *p = page[slot / KV_PAGE];
		size_t at = slot % KV_PAGE * step_j;

		for (size_t d = 0; d < head_dim; d++)
			if (f16)
				((uint16_t *)p)[at + d * step_d] = quant_f32_to_f16(src[d]);
			else
				((float *)p)[at + d * step_d] = src[d];
	}
}

void kern_put_k(void *const *page, size_t slot, const float *src, size_t n_token, size_t ld,
		size_t head_dim, bool f16)
{
	put(page, slot, src, n_token, ld, head_dim, f16, KV_PAGE, 1);
}

void kern_put_v(void *const *page, size_t slot, const float *src, size_t n_token, size_t ld,
		size_t head_dim, bool f16)
{
	put(page, slot, src, n_token, ld, head_dim, f16, 1, head_dim);
}

const struct kern kern_ref = {
	.name = "ref", .int8 = false,
	.rms_norm = ref_rms_norm, .quant_act = ref_quant_act,
	.linear = ref_linear, .linear_scratch = ref_linear_scratch,
	.swiglu = ref_swiglu, .axpy = ref_axpy,
	.attn = ref_attn, .attn_scratch = ref_attn_scratch,
	.spin = ref_spin, .read = ref_read,
};
