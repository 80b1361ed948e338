/* Making and scoring sketches with AVX2.  Scoring: 32 tokens a step, one table lookup per four
 * channels (PSHUFB).  Integer sums and the order of the few float operations are those of the plain
 * variant, so are the bits; this file is compiled without contraction. */
#include "config.h"

#include "cache/sketch_impl.h"

#include <immintrin.h>
#include <math.h>

/* ---- making ---- */

static void add_avx2(const float *k, uint32_t d, float *sum)
{
	for (uint32_t c = 0; c < d; c += 8)
		_mm256_storeu_ps(sum + c, _mm256_add_ps(_mm256_loadu_ps(sum + c),
							_mm256_loadu_ps(k + c)));
}

/* The three butterflies within eight channels: lanes 1, 2, 4 apart. */
static inline __m256 within8(__m256 x)
{
	__m256 y = _mm256_permute_ps(x, 0xb1);

	x = _mm256_blend_ps(_mm256_add_ps(x, y), _mm256_sub_ps(y, x), 0xaa);
	y = _mm256_permute_ps(x, 0x4e);
	x = _mm256_blend_ps(_mm256_add_ps(x, y), _mm256_sub_ps(y, x), 0xcc);
	y = _mm256_permute2f128_ps(x, x, 1);
	return _mm256_blend_ps(_mm256_add_ps(x, y), _mm256_sub_ps(y, x), 0xf0);
}

static inline float lanes_sum(__m256 a)
{
	__m128 h = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));

	h = _mm_add_ps(h, _mm_movehl_ps(h, h));
	return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}

static void token_avx2(const float *k, const float *mean, const float *flip, uint32_t d,
		       uint8_t *sign, float *l1, float *l2)
{
	uint32_t b = d & (0u - d);
	__m256 scale = _mm256_set1_ps((float)(1 / sqrt((double)b)));
	__m256 one = _mm256_setzero_ps(), two = one, x, y;
	float r[KV_MAX_HEAD_DIM];

	for (uint32_t c = 0; c < d; c += 8) {
		x = _mm256_sub_ps(_mm256_loadu_ps(k + c), _mm256_loadu_ps(mean + c));
		_mm256_storeu_ps(r + c, within8(_mm256_mul_ps(x, _mm256_loadu_ps(flip + c))));
	}
	for (uint32_t h = 8; h < b; h *= 2)
		for (uint32_t i = 0; i < d; i += 2 * h)
			for (uint32_t j = i; j < i + h; j += 8) {
				x = _mm256_loadu_ps(r + j);
				y = _mm256_loadu_ps(r + j + h);
				_mm256_storeu_ps(r + j, _mm256_add_ps(x, y));
				_mm256_storeu_ps(r + j + h, _mm256_sub_ps(x, y));
			}
	for (uint32_t c = 0; c < d; c += 8) {
		x = _mm256_mul_ps(_mm256_loadu_ps(r + c), scale);
		sign[c / 8] = (uint8_t)_mm256_movemask_ps(
			_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ));
		one = _mm256_add_ps(one, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x));
		two = _mm256_add_ps(two, _mm256_mul_ps(x, x));
	}
	*l1 = lanes_sum(one);
	*l2 = lanes_sum(two);
}

const struct sketch_maker sketch_maker_avx2 = { add_avx2, token_avx2 };

/* ---- scoring ---- */

static float dot_mean(const float *q, const uint8_t *mean, uint32_t d)
{
	__m256 a = _mm256_setzero_ps();

	for (uint32_t c = 0; c < d; c += 8) {
		__m256 m = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(mean + 2 * c)));

		a = _mm256_add_ps(a, _mm256_mul_ps(_mm256_loadu_ps(q + c), m));
	}
	return lanes_sum(a);
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
		/* Unpacking works within 128-bit halves: lo has tokens 0-7 and 16-23, hi the
		 * rest. */
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
