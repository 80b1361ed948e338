/* engine/x86_few.h - linear layers for few tokens: decode
 *
 * Bound by memory traffic, so weights are read once, in the type they have, four rows side by side.
 * A block of 32 weights becomes unsigned codes; one int8 dot product with the activations gives the
 * exact sum, scaled into f32 lanes; what the codes are off by goes through the activations' sums (s).
 */
#ifndef ENGINE_X86_FEW_H
#define ENGINE_X86_FEW_H

#include "base/size.h"
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
	__m256 off;	/* what offsets and minima add */
};

static inline __m256i act32(const int8_t *q)
{
	return _mm256_loadu_si256((const __m256i *)q);
}

/* Eight bytes as floats. */
static inline __m256 floats8(uint64_t bytes)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes)));
}

/* Sixteen signed bytes as floats: eight from at on. */
static inline __m256 signed8(__m128i bytes, int at)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(at ? _mm_srli_si128(bytes, 8) : bytes));
}

/* The eight scales and minima of a Q4_K block, a byte each: six bits, packed as k_scale says. */
static inline void k_scales8(const uint8_t *p, uint64_t *sc, uint64_t *mn)
{
	uint32_t a, b, c;

	memcpy(&a, p, 4);
	memcpy(&b, p + 4, 4);
	memcpy(&c, p + 8, 4);
	*sc = (a & 0x3f3f3f3f) | (uint64_t)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)) << 32;
	*mn = (b & 0x3f3f3f3f) | (uint64_t)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)) << 32;
}

/* Eight sums over 32 from sixteen over 16, in order. */
static inline __m256 pair_sums(const float *s)
{
	__m256 v = _mm256_hadd_ps(_mm256_loadu_ps(s), _mm256_loadu_ps(s + 8));

	return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}

/* One block of 256 columns. */
static inline __attribute__((always_inline))
void few_block(int type, const uint8_t *w, const int8_t *q, const float *d, const float *s, struct sums *t)
{
	float k[8];

	switch (type) {
	case QUANT_Q4_K: {
		const __m256i low = _mm256_set1_epi8(15);
		uint64_t sc, mn;

		k_scales8(w + 4, &sc, &mn);
		_mm256_storeu_ps(k, _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(f16_at(w)), floats8(sc)),
						  _mm256_loadu_ps(d)));
		t->off = _mm256_fnmadd_ps(_mm256_mul_ps(_mm256_set1_ps(f16_at(w + 2)), floats8(mn)), pair_sums(s),
					  t->off);
#pragma GCC unroll 4
		for (size_t g = 0; g < 4; g++) {
			__m256i v = _mm256_loadu_si256((const __m256i *)(w + 16 + 32 * g));

			t->acc = scaled(dot_u8(_mm256_and_si256(v, low), act32(q + 64 * g)), k[2 * g], t->acc);
			t->acc = scaled(dot_u8(_mm256_and_si256(_mm256_srli_epi16(v, 4), low),
					       act32(q + 64 * g + 32)), k[2 * g + 1], t->acc);
		}
		break;
	}
	case QUANT_Q6_K: {
		/* Codes stay unsigned, 32 too large.  A pair's sum in 16 bits, at most 2 * 63 * 127, meets its
		 * group's scale in the addition that widens it. */
		__m128i sc = _mm_loadu_si128((const __m128i *)(w + 192));
		__m256 ds = _mm256_set1_ps(f16_at(w + 208)), off = _mm256_mul_ps(ds, _mm256_set1_ps(-32));

		t->off = _mm256_fmadd_ps(_mm256_mul_ps(off, signed8(sc, 0)), _mm256_loadu_ps(s), t->off);
		t->off = _mm256_fmadd_ps(_mm256_mul_ps(off, signed8(sc, 8)), _mm256_loadu_ps(s + 8), t->off);
		_mm256_storeu_ps(k, _mm256_mul_ps(ds, _mm256_loadu_ps(d)));
#pragma GCC unroll 2
		for (size_t h = 0; h < 2; h++) {
			__m256i c[4];

			q6_codes(w + 64 * h, w + 128 + 32 * h, c);
#pragma GCC unroll 4
			for (size_t i = 0; i < 4; i++) {
				size_t b = 4 * h + i;
				char lo = (char)(2 * b), hi = (char)(2 * b + 1);
				__m128i two = _mm_shuffle_epi8(sc, _mm_setr_epi8(lo, lo, lo, lo, lo, lo, lo, lo,
										 hi, hi, hi, hi, hi, hi, hi, hi));
				__m256i pair = _mm256_maddubs_epi16(c[i], act32(q + 32 * b));

				t->acc = scaled(_mm256_madd_epi16(pair, _mm256_cvtepi8_epi16(two)), k[b], t->acc);
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

/* ---- types with blocks of 32 columns: four rows at a time ---- */

/* The codes of a block, unsigned but for the two 8-bit types. */
static inline __attribute__((always_inline)) __m256i codes32(int type, const uint8_t *w)
{
	switch (type) {
	case QUANT_Q4_0: return nibbles32(w + 2);
	case QUANT_Q4_1: return nibbles32(w + 4);
	case QUANT_Q5_0: return _mm256_or_si256(nibbles32(w + 6), bit16_of(w + 2));
	case QUANT_Q5_1: return _mm256_or_si256(nibbles32(w + 8), bit16_of(w + 4));
	case QUANT_IQ4_NL: return iq4_codes(w + 2);
	default: return act32((const int8_t *)w + 2);
	}
}

static inline __attribute__((always_inline)) __m256i dot32(int type, __m256i code, __m256i q)
{
	return type == QUANT_Q8_0 || type == QUANT_IQ4_NL ? dot_s8(code, q) : dot_u8(code, q);
}

static inline int load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static inline int load32(const uint8_t *p)
{
	int v;

	memcpy(&v, p, 4);
	return v;
}

/* The scales of one block of four rows, at o[i], and what is added for each unit of sum. */
static inline __attribute__((always_inline))
void scales4(int type, const uint8_t *w, const size_t o[4], __m128 *d, __m128 *m)
{
	if (type == QUANT_Q4_1 || type == QUANT_Q5_1) {
		const __m128i apart = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
		__m128i h = _mm_setr_epi32(load32(w), load32(w + o[1]), load32(w + o[2]), load32(w + o[3]));
		__m256 dm = _mm256_cvtph_ps(_mm_shuffle_epi8(h, apart));

		*d = _mm256_castps256_ps128(dm);
		*m = _mm256_extractf128_ps(dm, 1);
		return;
	}
	*d = _mm_cvtph_ps(_mm_insert_epi16(_mm_insert_epi16(_mm_insert_epi16(_mm_cvtsi32_si128(load16(w)),
			  load16(w + o[1]), 1), load16(w + o[2]), 2), load16(w + o[3]), 3));
	*m = _mm_mul_ps(*d, _mm_set1_ps(type == QUANT_Q4_0 ? -8.0f : -16.0f));
}

static inline bool has_offset(int type)
{
	return type != QUANT_Q8_0 && type != QUANT_IQ4_NL;
}

static inline __attribute__((always_inline))
void few_rows32(int type, size_t bytes, const struct rows *w, const struct act *a, size_t t, float *y)
{
	const int8_t *q = a->q + t * a->n_col, *q2 = a->q2 + t * a->n_col;
	const float *d = a->d + t * (a->n_col / 32), *d2 = a->d2 + t * (a->n_col / 32);
	const float *s = a->s + t * (a->n_col / 16);
	size_t n = a->n_col / 32, ld = w->row_bytes;

	for (size_t r = w->r0; r < w->r1; r += 4) {
		/* Where fewer than four are left the last one stands in for the rest. */
		size_t left = w->r1 - 1 - r;
		size_t o[4] = { 0, MIN(left, (size_t)1) * ld, MIN(left, (size_t)2) * ld, MIN(left, (size_t)3) * ld };
		const uint8_t *row = w->data + r * ld, *p = row;
		__m256 acc[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps() };
		__m128 off = _mm_setzero_ps();

		for (size_t b = 0; b < n; b++, p += bytes) {
			__m128 k, m;
			__m256i c[4];
			float scale[4];	/* broadcast from memory: that costs no vector unit */

			/* The four rows stand side by side in memory: fetch as much ahead as is used. */
			_mm_prefetch((const char *)row + AHEAD + b * 4 * bytes, _MM_HINT_T0);
			_mm_prefetch((const char *)row + AHEAD + b * 4 * bytes + 64, _MM_HINT_T0);
			scales4(type, p, o, &k, &m);
			if (has_offset(type))
				off = _mm_fmadd_ps(m, _mm_set1_ps(s[2 * b] + s[2 * b + 1]), off);
			_mm_storeu_ps(scale, _mm_mul_ps(k, _mm_set1_ps(d[b])));
#pragma GCC unroll 4
			for (int i = 0; i < 4; i++) {
				c[i] = codes32(type, p + o[i]);
				acc[i] = scaled(dot32(type, c[i], act32(q + 32 * b)), scale[i], acc[i]);
			}
			if (d2[b] > 0) {
				_mm_storeu_ps(scale, _mm_mul_ps(k, _mm_set1_ps(d2[b])));
#pragma GCC unroll 4
				for (int i = 0; i < 4; i++)
					acc[i] = scaled(dot32(type, c[i], act32(q2 + 32 * b)), scale[i], acc[i]);
			}
		}
		off = _mm_add_ps(hsum4(acc[0], acc[1], acc[2], acc[3]), off);
		if (left >= 3) {
			_mm_storeu_ps(y + r, off);
		} else {
			float out[4];

			_mm_storeu_ps(out, off);
			memcpy(y + r, out, (left + 1) * sizeof(float));
		}
	}
}

/* ---- types with blocks of 256 columns ---- */

static inline __attribute__((always_inline))
void few_rows256(int type, size_t bytes, const struct rows *w, const struct act *a, size_t t, float *y)
{
	const int8_t *q = a->q + t * a->n_col, *q2 = a->q2 + t * a->n_col;
	const float *d = a->d + t * (a->n_col / 32), *d2 = a->d2 + t * (a->n_col / 32);
	const float *s = a->s + t * (a->n_col / 16);
	size_t n = a->n_col / 256;

	for (size_t r = w->r0; r < w->r1; r++) {
		const uint8_t *p = w->data + r * w->row_bytes;
		struct sums one = { _mm256_setzero_ps(), _mm256_setzero_ps() };
		float out[4];

		for (size_t b = 0; b < n; b++) {
			for (size_t i = 0; i < bytes; i += 64)
				_mm_prefetch((const char *)p + AHEAD + b * bytes + i, _MM_HINT_T0);
			few_block(type, p + b * bytes, q + b * 256, d + b * 8, s + b * 16, &one);
			few_fine(type, 8, p + b * bytes, q2 + b * 256, d2 + b * 8, &one);
		}
		one.acc = _mm256_add_ps(one.acc, one.off);
		_mm_storeu_ps(out, hsum4(one.acc, one.acc, one.acc, one.acc));
		y[r] = out[0];
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
	case QUANT_Q4_0: few_rows32(QUANT_Q4_0, 18, w, a, t, y); break;
	case QUANT_Q4_1: few_rows32(QUANT_Q4_1, 20, w, a, t, y); break;
	case QUANT_Q5_0: few_rows32(QUANT_Q5_0, 22, w, a, t, y); break;
	case QUANT_Q5_1: few_rows32(QUANT_Q5_1, 24, w, a, t, y); break;
	case QUANT_Q8_0: few_rows32(QUANT_Q8_0, 34, w, a, t, y); break;
	case QUANT_IQ4_NL: few_rows32(QUANT_IQ4_NL, 18, w, a, t, y); break;
	case QUANT_Q4_K: few_rows256(QUANT_Q4_K, 144, w, a, t, y); break;
	case QUANT_Q6_K: few_rows256(QUANT_Q6_K, 210, w, a, t, y); break;
	default: few_generic(w, a, t, y, scratch);
	}
}

#endif
