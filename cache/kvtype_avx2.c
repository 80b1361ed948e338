/* Decoding with AVX2, FMA and F16C.  Same bits as the plain C: a code has at most 8 bits and a step
 * 11, so their product is exact in f32 and one rounding is left, fused or not. */
#include "config.h"

#include "cache/kvtype_impl.h"

#include <immintrin.h>
#include <string.h>

static inline __m256 load_f16(const uint8_t *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline float one_f16(const uint8_t *p)
{
	uint16_t h;

	memcpy(&h, p, 2);
	return _cvtsh_ss(h);
}

static inline __m256 bytes_to_f32(__m128i low8)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low8));
}

/* head_dim is a multiple of 8, so rows of f16 and q8 need no tail. */
static void row_f16(const uint8_t *row, uint32_t d, float *out)
{
	for (uint32_t c = 0; c < d; c += 8)
		_mm256_storeu_ps(out + c, load_f16(row + 2 * c));
}

static void row_q8(const uint8_t *row, const uint8_t *step, uint32_t d, float *out)
{
	__m256 s = _mm256_set1_ps(one_f16(step));

	for (uint32_t c = 0; c < d; c += 8) {
		__m128i b = _mm_loadl_epi64((const __m128i *)(row + c));

		_mm256_storeu_ps(out + c,
				 _mm256_mul_ps(s, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b))));
	}
}

static inline __m128i low_nibbles(__m128i b)
{
	return _mm_and_si128(b, _mm_set1_epi8(15));
}

static inline __m128i high_nibbles(__m128i b)
{
	return _mm_and_si128(_mm_srli_epi16(b, 4), _mm_set1_epi8(15));
}

/* Four bytes of codes starting at channel c of the low half; d/2 may be 4 modulo 8 (head_dim
 * 24). */
static void tail_q4(const uint8_t *row, uint32_t c, uint32_t half, const float *lo,
		    const float *step, uint32_t n, float *out)
{
	for (; c < n; c++) {
		out[c] = lo[c] + step[c] * (float)(row[c] & 15);
		out[c + half] = lo[c + half] + step[c + half] * (float)(row[c] >> 4);
	}
}

/* K: lo and step per channel, already widened. */
static void row_q4_k(const uint8_t *row, const float *lo, const float *step, uint32_t d, float *out)
{
	uint32_t half = d / 2, c;

	for (c = 0; c + 8 <= half; c += 8) {
		__m128i b = _mm_loadl_epi64((const __m128i *)(row + c));

		_mm256_storeu_ps(out + c, _mm256_fmadd_ps(bytes_to_f32(low_nibbles(b)),
				 _mm256_loadu_ps(step + c), _mm256_loadu_ps(lo + c)));
		_mm256_storeu_ps(out + half + c, _mm256_fmadd_ps(bytes_to_f32(high_nibbles(b)),
				 _mm256_loadu_ps(step + half + c), _mm256_loadu_ps(lo + half + c)));
	}
	tail_q4(row, c, half, lo, step, half, out);
}

static void row_q4_v(const uint8_t *row, const uint8_t *lo_h, const uint8_t *step_h, uint32_t g,
		     uint32_t d, float *out)
{
	float lo[KV_MAX_HEAD_DIM], step[KV_MAX_HEAD_DIM];

	for (uint32_t j = 0; j < d / g; j++) {
		__m256 l8 = _mm256_set1_ps(one_f16(lo_h + 2 * j));
		__m256 s8 = _mm256_set1_ps(one_f16(step_h + 2 * j));

		for (uint32_t c = j * g; c < (j + 1) * g; c += 8) {
			_mm256_storeu_ps(lo + c, l8);
			_mm256_storeu_ps(step + c, s8);
		}
	}
	row_q4_k(row, lo, step, d, out);
}

static void widen(const uint8_t *h, uint32_t n, float *out)
{
	for (uint32_t c = 0; c < n; c += 8)
		_mm256_storeu_ps(out + c, load_f16(h + 2 * c));
}

void kv_decode_rows_avx2(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
			 uint32_t n, float *k, float *v)
{
	const uint8_t *b = (const uint8_t *)body + (size_t)head * l->head_bytes;
	uint32_t d = l->head_dim, n_group = l->v_group ? d / l->v_group : 0;
	float lo[KV_MAX_HEAD_DIM], step[KV_MAX_HEAD_DIM];

	if (l->type == KV_Q4 && k) {
		widen(b + l->k_lo, d, lo);
		widen(b + l->k_step, d, step);
	}
	for (uint32_t i = t; i < t + n; i++) {
		if (k && l->type == KV_F16)
			row_f16(b + l->k + (size_t)i * d * 2, d, k);
		else if (k && l->type == KV_Q8)
			row_q8(b + l->k + (size_t)i * d, b + l->k_step + 2 * i, d, k);
		else if (k)
			row_q4_k(b + l->k + (size_t)i * (d / 2), lo, step, d, k);
		if (v && l->type == KV_F16)
			row_f16(b + l->v + (size_t)i * d * 2, d, v);
		else if (v && l->type == KV_Q8)
			row_q8(b + l->v + (size_t)i * d, b + l->v_step + 2 * i, d, v);
		else if (v)
			row_q4_v(b + l->v + (size_t)i * (d / 2), b + l->v_lo + 2 * i * n_group,
				 b + l->v_step + 2 * i * n_group, l->v_group, d, v);
		k = k ? k + d : NULL;
		v = v ? v + d : NULL;
	}
}

/* ---- encoding ---- */

static inline __m256 abs8(__m256 x)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

static inline float max8(__m256 m)
{
	__m128 h = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));

	h = _mm_max_ps(h, _mm_movehl_ps(h, h));
	return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}

/* MAXPS gives its second operand where one is NaN, so a NaN would get lost: it is looked for
 * apart. */
static float abs_max_avx2(const float *x, uint32_t n)
{
	__m256 m = _mm256_setzero_ps(), nan = m;
	float out;

	for (uint32_t c = 0; c < n; c += 8) {
		__m256 v = _mm256_loadu_ps(x + c);

		nan = _mm256_or_ps(nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
		m = _mm256_max_ps(m, abs8(v));
	}
	out = max8(m);
	return _mm256_movemask_ps(nan) ? __builtin_nanf("") : out;
}

static void f16_row_avx2(const float *x, uint32_t n, uint8_t *out)
{
	for (uint32_t c = 0; c < n; c += 8)
		_mm_storeu_si128((__m128i *)(out + 2 * c),
				 _mm256_cvtps_ph(_mm256_loadu_ps(x + c), _MM_FROUND_TO_NEAREST_INT));
}

/* Eight 32-bit codes to eight bytes, with signed saturation. */
static inline __m128i pack8(__m256i v)
{
	__m128i w = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return _mm_packs_epi16(w, w);
}

/* Quotients are at most 127 and a rounding error, which rounds to 127. */
static void q8_row_avx2(const float *x, float step, uint32_t n, int8_t *out)
{
	__m256 s = _mm256_set1_ps(step);

	for (uint32_t c = 0; c < n; c += 8)
		_mm_storel_epi64((__m128i *)(out + c), pack8(_mm256_cvtps_epi32(
				 _mm256_div_ps(_mm256_loadu_ps(x + c), s))));
}

static void min_max_avx2(const float *x, uint32_t n, float *lo, float *hi)
{
	for (uint32_t c = 0; c < n; c += 8) {
		__m256 v = _mm256_loadu_ps(x + c);

		_mm256_storeu_ps(lo + c, _mm256_min_ps(v, _mm256_loadu_ps(lo + c)));
		_mm256_storeu_ps(hi + c, _mm256_max_ps(v, _mm256_loadu_ps(hi + c)));
	}
}

static inline __m128i q4_codes(const float *x, const float *lo, const float *step)
{
	__m256 q = _mm256_div_ps(_mm256_sub_ps(_mm256_loadu_ps(x), _mm256_loadu_ps(lo)),
				 _mm256_loadu_ps(step));
	__m128i b = pack8(_mm256_cvtps_epi32(q));

	return _mm_max_epi8(_mm_min_epi8(b, _mm_set1_epi8(15)), _mm_setzero_si128());
}

static unsigned q4_code(float x, float lo, float step)
{
	float q = __builtin_rintf((x - lo) / step);

	return q > 15 ? 15 : q < 0 ? 0 : (unsigned)q;
}

static void q4_row_avx2(const float *x, const float *lo, const float *step, uint32_t d,
			uint8_t *out)
{
	uint32_t half = d / 2, c;

	for (c = 0; c + 8 <= half; c += 8) {
		__m128i a = q4_codes(x + c, lo + c, step + c);
		__m128i b = q4_codes(x + half + c, lo + half + c, step + half + c);

		/* Codes are below 16: shifting 16-bit lanes carries nothing into the next byte. */
		_mm_storel_epi64((__m128i *)(out + c), _mm_or_si128(a, _mm_slli_epi16(b, 4)));
	}
	for (; c < half; c++)
		out[c] = (uint8_t)(q4_code(x[c], lo[c], step[c]) |
				   q4_code(x[c + half], lo[c + half], step[c + half]) << 4);
}

const struct kv_encoder kv_encoder_avx2 = { abs_max_avx2, f16_row_avx2, q8_row_avx2, min_max_avx2,
					    q4_row_avx2 };
