/* engine/x86_few.h - linear layers for few tokens: decode
 *
 * Bound by memory traffic, so weights are read once, in the type they have, four rows side by side.
 * A block of 32 weights becomes unsigned codes; one int8 dot product with the activations gives the
 * exact sum, scaled into f32 lanes; what the codes are off by goes through the activations' sums (s).
 */
#ifndef ENGINE_X86_FEW_H
#define ENGINE_X86_FEW_H

#include "engine/kern.h"
#include "engine/x86_unpack.h"

/* Eight i32 lanes, lane i = products 4i .. 4i+3 of unsigned a and signed b.  Without VNNI pairs go
 * through 16 bits: exact while a <= 127 (all types here; 8-bit ones use dot_s8). */
static inline __m256i dot_u8(__m256i a, __m256i b)
{
#ifdef __AVX512VNNI__
	return _mm256_dpbusd_epi32(_mm256_setzero_si256(), a, b);
#else
	return _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
#endif
}

static inline __m256i dot_s8(__m256i a, __m256i b)
{
	return dot_u8(_mm256_sign_epi8(a, a), _mm256_sign_epi8(b, a));
}

static inline __m256 scaled(__m256i dot, float d, __m256 acc)
{
	return _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(d), acc);
}

/* Bytes to prefetch ahead of the block at work; past the end of a matrix it is harmless. */
#define AHEAD 4096

struct sums {
	__m256 acc;	/* lanes of d * code * x */
	float  off;	/* what offsets and minima add */
};

static inline __m256i act32(const int8_t *q)
{
	return _mm256_loadu_si256((const __m256i *)q);
}

/* One block of 32 (or 256) columns: w at the block, b its number in units of 32 columns. */
static inline __attribute__((always_inline))
void few_block(int type, const uint8_t *w, const int8_t *q, const float *d, const float *s, struct sums *t)
{
	switch (type) {
	case QUANT_Q4_0:
		t->acc = scaled(dot_u8(nibbles32(w + 2), act32(q)), f16_at(w) * d[0], t->acc);
		t->off -= 8 * f16_at(w) * (s[0] + s[1]);
		break;
	case QUANT_Q4_1:
		t->acc = scaled(dot_u8(nibbles32(w + 4), act32(q)), f16_at(w) * d[0], t->acc);
		t->off += f16_at(w + 2) * (s[0] + s[1]);
		break;
	case QUANT_Q5_0: {
		__m256i c = _mm256_or_si256(nibbles32(w + 6), bit16_of(w + 2));

		t->acc = scaled(dot_u8(c, act32(q)), f16_at(w) * d[0], t->acc);
		t->off -= 16 * f16_at(w) * (s[0] + s[1]);
		break;
	}
	case QUANT_Q5_1: {
		__m256i c = _mm256_or_si256(nibbles32(w + 8), bit16_of(w + 4));

		t->acc = scaled(dot_u8(c, act32(q)), f16_at(w) * d[0], t->acc);
		t->off += f16_at(w + 2) * (s[0] + s[1]);
		break;
	}
	case QUANT_Q8_0:
		t->acc = scaled(dot_s8(act32((const int8_t *)w + 2), act32(q)), f16_at(w) * d[0], t->acc);
		break;
	case QUANT_IQ4_NL:
		t->acc = scaled(dot_s8(iq4_codes(w + 2), act32(q)), f16_at(w) * d[0], t->acc);
		break;
	case QUANT_Q4_K: {
		float ds = f16_at(w), dm = f16_at(w + 2);
		const __m256i low = _mm256_set1_epi8(15);

		for (size_t g = 0; g < 4; g++) {
			__m256i v = _mm256_loadu_si256((const __m256i *)(w + 16 + 32 * g));
			uint8_t sc[2], mn[2];

			k_scale(w + 4, 2 * g, &sc[0], &mn[0]);
			k_scale(w + 4, 2 * g + 1, &sc[1], &mn[1]);
			t->acc = scaled(dot_u8(_mm256_and_si256(v, low), act32(q + 64 * g)),
					ds * sc[0] * d[2 * g], t->acc);
			t->acc = scaled(dot_u8(_mm256_and_si256(_mm256_srli_epi16(v, 4), low),
					       act32(q + 64 * g + 32)), ds * sc[1] * d[2 * g + 1], t->acc);
			t->off -= dm * (mn[0] * (s[4 * g] + s[4 * g + 1]) + mn[1] * (s[4 * g + 2] + s[4 * g + 3]));
		}
		break;
	}
	case QUANT_Q6_K: {
		float ds = f16_at(w + 208);
		/* The sixteen scales as floats, each to the four lanes of its sixteen columns. */
		__m256i sc16 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + 192)));
		int16_t sc[16];

		_mm256_storeu_si256((__m256i *)sc, sc16);
		for (size_t h = 0; h < 2; h++) {
			__m256i c[4];

			q6_half(w + 64 * h, w + 128 + 32 * h, c);
			for (size_t i = 0; i < 4; i++) {
				size_t b = 4 * h + i;
				__m256i dot = dot_s8(c[i], act32(q + 32 * b));
				__m256 k = _mm256_insertf128_ps(
					_mm256_castps128_ps256(_mm_set1_ps(ds * d[b] * (float)sc[2 * b])),
					_mm_set1_ps(ds * d[b] * (float)sc[2 * b + 1]), 1);

				t->acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), k, t->acc);
			}
		}
		break;
	}
	}
}

/* The same with the second digit of the activations, where any of the block's has one. */
static const float NO_SUMS[16];

static inline __attribute__((always_inline))
void few_fine(int type, size_t n32, const uint8_t *w, const int8_t *q2, const float *d2, struct sums *t)
{
	float any = d2[0];

	for (size_t i = 1; i < n32; i++)
		any += d2[i];
	if (any > 0)
		few_block(type, w, q2, d2, NO_SUMS, t);
}

/* Sums of four times eight lanes, in order. */
static inline __m128 hsum4(__m256 a, __m256 b, __m256 c, __m256 d)
{
	__m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));

	return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

static inline __attribute__((always_inline))
void few_rows(int type, size_t cols, size_t bytes, const struct rows *w, const struct act *a, size_t t,
	      float *y)
{
	const int8_t *q = a->q + t * a->n_col, *q2 = a->q2 + t * a->n_col;
	const float *d = a->d + t * (a->n_col / 32), *d2 = a->d2 + t * (a->n_col / 32);
	const float *s = a->s + t * (a->n_col / 16);
	size_t n = a->n_col / cols, n32 = cols / 32, r = w->r0;

	for (; r + 4 <= w->r1; r += 4) {
		const uint8_t *p = w->data + r * w->row_bytes;
		struct sums t4[4] = { { _mm256_setzero_ps(), 0 }, { _mm256_setzero_ps(), 0 },
				      { _mm256_setzero_ps(), 0 }, { _mm256_setzero_ps(), 0 } };

		for (size_t b = 0; b < n; b++) {
			/* The four rows stand side by side in memory: fetch as much ahead as is used. */
			for (size_t i = 0; i < 4 * bytes; i += 64)
				_mm_prefetch((const char *)p + AHEAD + b * 4 * bytes + i, _MM_HINT_T0);
#pragma GCC unroll 4
			for (size_t i = 0; i < 4; i++)
				few_block(type, p + i * w->row_bytes + b * bytes, q + b * cols, d + b * n32,
					  s + 2 * b * n32, &t4[i]);
			for (size_t i = 0; i < 4; i++)
				few_fine(type, n32, p + i * w->row_bytes + b * bytes, q2 + b * cols, d2 + b * n32,
					 &t4[i]);
		}
		_mm_storeu_ps(y + r, _mm_add_ps(hsum4(t4[0].acc, t4[1].acc, t4[2].acc, t4[3].acc),
						_mm_setr_ps(t4[0].off, t4[1].off, t4[2].off, t4[3].off)));
	}
	for (; r < w->r1; r++) {
		const uint8_t *p = w->data + r * w->row_bytes;
		struct sums one = { _mm256_setzero_ps(), 0 };
		float out[4];

		for (size_t b = 0; b < n; b++) {
			few_block(type, p + b * bytes, q + b * cols, d + b * n32, s + 2 * b * n32, &one);
			few_fine(type, n32, p + b * bytes, q2 + b * cols, d2 + b * n32, &one);
		}
		_mm_storeu_ps(out, hsum4(one.acc, one.acc, one.acc, one.acc));
		y[r] = out[0] + one.off;
	}
}

/* Types without a loop of their own: unpack a row, then the same sums. */
static void few_generic(const struct rows *w, const struct act *a, size_t t, float *y, void *scratch)
{
	struct code_form f = code_form(w->type);
	size_t n = a->n_col, ng = n / f.group;
	int8_t *code = scratch;
	float *wd = (float *)(code + n), *wm = wd + ng;
	const int8_t *q = a->q + t * n, *q2 = a->q2 + t * n;
	const float *d = a->d + t * (n / 32), *d2 = a->d2 + t * (n / 32), *s = a->s + t * (n / 16);

	for (size_t r = w->r0; r < w->r1; r++) {
		__m256 acc = _mm256_setzero_ps();
		float off = 0, out[4];

		unpack_row(w->type, w->data + r * w->row_bytes, n, code, wd, wm);
		for (size_t b = 0; b < n / 32; b++) {
			__m256i c = act32(code + 32 * b), dot = dot_s8(c, act32(q + 32 * b));
			float k0 = f.group == 32 ? wd[b] : wd[2 * b], k1 = f.group == 32 ? wd[b] : wd[2 * b + 1];
			__m256 k = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_set1_ps(k0)), _mm_set1_ps(k1), 1);

			acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(k, _mm256_set1_ps(d[b])), acc);
			if (d2[b] > 0) {
				dot = dot_s8(c, act32(q2 + 32 * b));
				acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot),
						      _mm256_mul_ps(k, _mm256_set1_ps(d2[b])), acc);
			}
			if (f.has_min)
				off += f.group == 32 ? wm[b] * (s[2 * b] + s[2 * b + 1])
						     : wm[2 * b] * s[2 * b] + wm[2 * b + 1] * s[2 * b + 1];
		}
		_mm_storeu_ps(out, hsum4(acc, acc, acc, acc));
		y[r] = out[0] + off;
	}
}

static void few(const struct rows *w, const struct act *a, size_t t, float *y, void *scratch)
{
	switch (w->type) {
	case QUANT_Q4_0: few_rows(QUANT_Q4_0, 32, 18, w, a, t, y); break;
	case QUANT_Q4_1: few_rows(QUANT_Q4_1, 32, 20, w, a, t, y); break;
	case QUANT_Q5_0: few_rows(QUANT_Q5_0, 32, 22, w, a, t, y); break;
	case QUANT_Q5_1: few_rows(QUANT_Q5_1, 32, 24, w, a, t, y); break;
	case QUANT_Q8_0: few_rows(QUANT_Q8_0, 32, 34, w, a, t, y); break;
	case QUANT_IQ4_NL: few_rows(QUANT_IQ4_NL, 32, 18, w, a, t, y); break;
	case QUANT_Q4_K: few_rows(QUANT_Q4_K, 256, 144, w, a, t, y); break;
	case QUANT_Q6_K: few_rows(QUANT_Q6_K, 256, 210, w, a, t, y); break;
	default: few_generic(w, a, t, y, scratch);
	}
}

#endif
