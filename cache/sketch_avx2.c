/* Scoring sketches with AVX2: 32 tokens a step, one table lookup per four channels (PSHUFB).  Integer
 * sums and the order of the few float operations are those of the plain variant, so are the bits; this
 * file is compiled without contraction. */
#include "config.h"

#include "cache/sketch_impl.h"

#include <immintrin.h>

static float dot_mean(const float *q, const uint8_t *mean, uint32_t d)
{
	__m256 a = _mm256_setzero_ps();
	__m128 h;

	for (uint32_t c = 0; c < d; c += 8) {
		__m256 m = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(mean + 2 * c)));

		a = _mm256_add_ps(a, _mm256_mul_ps(_mm256_loadu_ps(q + c), m));
	}
	h = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	h = _mm_add_ps(h, _mm_movehl_ps(h, h));
	return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}

static inline void put8(float *est, __m256i sum, __m256i base, __m256 step, __m256 mean,
			const uint8_t *factor)
{
	__m256 x = _mm256_mul_ps(step, _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, base)));
	__m256 f = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)factor));

	_mm256_storeu_ps(est, _mm256_add_ps(mean, _mm256_mul_ps(f, x)));
}

void sketch_score_avx2(const struct sketch_plan *p, const uint8_t *part,
		       const struct sketch_query *sq, float *est)
{
	uint32_t d = p->geom.head_dim, n_row = d / 8;
	const uint8_t *factor = part + p->factor_off, *sign = part + p->sign_off;
	const __m256i low = _mm256_set1_epi8(15), base = _mm256_set1_epi32(sq->base);
	const __m256 step = _mm256_set1_ps(sq->step);
	__m256 mean = _mm256_setzero_ps();

	for (uint32_t b = 0; b < p->n_block; b++) {
		/* 16-bit lanes hold two tokens: all adds whole lanes (token 2i + 256 * token 2i+1),
		 * odd the upper bytes alone.  All sums stay below 2^16 (256 groups of 255), so
		 * subtracting gives the even ones. */
		__m256i all = _mm256_setzero_si256(), odd = all, even, lo, hi;

		if (b % 2 == 0)
			mean = _mm256_set1_ps(dot_mean(sq->q, part + (size_t)(b / 2) * d * 2, d));
		for (uint32_t g = 0; g < n_row; g++, sign += 32) {
			__m256i s = _mm256_loadu_si256((const __m256i *)sign);
			__m256i t0 = _mm256_broadcastsi128_si256(
				_mm_load_si128((const __m128i *)sq->table[2 * g]));
			__m256i t1 = _mm256_broadcastsi128_si256(
				_mm_load_si128((const __m128i *)sq->table[2 * g + 1]));
			__m256i x = _mm256_shuffle_epi8(t0, _mm256_and_si256(s, low));
			__m256i y = _mm256_shuffle_epi8(
				t1, _mm256_and_si256(_mm256_srli_epi16(s, 4), low));

			all = _mm256_add_epi16(all, _mm256_add_epi16(x, y));
			odd = _mm256_add_epi16(odd, _mm256_add_epi16(_mm256_srli_epi16(x, 8),
								     _mm256_srli_epi16(y, 8)));
		}
		even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
		/* Unpacking works within 128-bit halves: lo has tokens 0-7 and 16-23, hi the rest. */
		lo = _mm256_unpacklo_epi16(even, odd);
		hi = _mm256_unpackhi_epi16(even, odd);
		put8(est, _mm256_cvtepu16_epi32(_mm256_castsi256_si128(lo)), base, step, mean, factor);
		put8(est + 8, _mm256_cvtepu16_epi32(_mm256_castsi256_si128(hi)), base, step, mean,
		     factor + 16);
		put8(est + 16, _mm256_cvtepu16_epi32(_mm256_extracti128_si256(lo, 1)), base, step,
		     mean, factor + 32);
		put8(est + 24, _mm256_cvtepu16_epi32(_mm256_extracti128_si256(hi, 1)), base, step,
		     mean, factor + 48);
		est += 32;
		factor += 64;
	}
}
