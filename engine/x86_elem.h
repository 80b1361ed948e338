/* engine/x86_elem.h - the small loops: norm, int8 form of activations, SwiGLU, axpy */
#ifndef ENGINE_X86_ELEM_H
#define ENGINE_X86_ELEM_H

#include "engine/kern.h"
#include "engine/x86_vec.h"

#include <math.h>

static void x86_rms_norm(const float *x, const float *w, float *y, size_t n, float eps)
{
	vf s0 = v_zero(), s1 = v_zero();
	float sum, scale;
	size_t i = 0;

	for (; i + 2 * VW <= n; i += 2 * VW) {
		vf a = v_load(x + i), b = v_load(x + i + VW);

		s0 = v_fma(a, a, s0);
		s1 = v_fma(b, b, s1);
	}
	sum = v_hsum(v_add(s0, s1));
	for (; i < n; i++)
		sum += x[i] * x[i];
	scale = 1.0f / sqrtf(sum / (float)n + eps);
	i = 0;
	for (; i + VW <= n; i += VW) {
		vf a = v_mul(v_load(x + i), v_set1(scale));

		v_store(y + i, w ? v_mul(a, v_load(w + i)) : a);
	}
	for (; i < n; i++)
		y[i] = w ? x[i] * scale * w[i] : x[i] * scale;
}

static inline int hsum_i32(__m128i a)
{
	a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

static inline float block_top(const float *x)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	__m256 a = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x)),
				 _mm256_andnot_ps(sign, _mm256_loadu_ps(x + 8)));
	__m256 b = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + 16)),
				 _mm256_andnot_ps(sign, _mm256_loadu_ps(x + 24)));
	__m128 m;

	a = _mm256_max_ps(a, b);
	m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	m = _mm_max_ps(m, _mm_movehl_ps(m, m));
	return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* Four vectors of 32-bit integers to 32 bytes in order; half sums to sum[2]. */
static inline __m256i pack_codes(const __m256i i[4], int sum[2])
{
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

	for (int half = 0; half < 2; half++) {
		__m256i t = _mm256_add_epi32(i[2 * half], i[2 * half + 1]);

		sum[half] = hsum_i32(_mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1)));
	}
	return _mm256_permutevar8x32_epi32(
		_mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3])), order);
}

/* What takes a bias of the weights out of 32 columns' sums and of either half's, in the unit that the
 * tile of this set adds up in (act_scales.z). */
struct unbias {
	int32_t all, half[2];
};

static inline struct unbias unbias_of(__m256i q, const int sum[2])
{
#ifdef __AVX512VNNI__
	(void)q;
	return (struct unbias){ -128 * (sum[0] + sum[1]), { -128 * sum[0], -128 * sum[1] } };
#else
	__m256i s = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
	__m128i half[2];
	struct unbias u;

	(void)sum;
	s = _mm256_add_epi16(s, _mm256_shuffle_epi32(s, 0x4e));
	s = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_add_epi16(s, _mm256_shuffle_epi32(s, 0xb1)));
	half[0] = _mm256_castsi256_si128(s);
	half[1] = _mm256_extracti128_si256(s, 1);
	u.all = _mm_cvtsi128_si32(_mm_add_epi16(half[0], half[1]));
	u.half[0] = _mm_cvtsi128_si32(half[0]);
	u.half[1] = _mm_cvtsi128_si32(half[1]);
	return u;
#endif
}

static inline __m256i clamp127(__m256i v)
{
	return _mm256_max_epi32(_mm256_min_epi32(v, _mm256_set1_epi32(127)), _mm256_set1_epi32(-127));
}

/* One block of one token into its tile. */
static inline void store_tile(const struct act *a, size_t t, size_t b, __m256i q, __m256i q2, const int sum[2],
			      const int sum2[2])
{
	size_t n_block = a->n_col / ACT_BLOCK, at = t / ACT_TILE * n_block + b, i = t % ACT_TILE;
	size_t row = t * n_block + b;
	struct act_scales *s = a->tile_s + at;
	struct unbias u = unbias_of(q, sum), u2 = unbias_of(q2, sum2);

	_mm256_storeu_si256((__m256i *)(a->tile_q + (at * ACT_TILE + i) * ACT_BLOCK), q);
	_mm256_storeu_si256((__m256i *)(a->tile_q2 + (at * ACT_TILE + i) * ACT_BLOCK), q2);
	s->d[i] = a->d[row];
	s->d2[i] = a->d2[row];
	s->s32[i] = a->s[2 * row] + a->s[2 * row + 1];
	s->z32[i] = u.all;
	s->z32_2[i] = u2.all;
	for (size_t half = 0; half < 2; half++) {
		s->s16[half][i] = a->s[2 * row + half];
		s->z16[half][i] = u.half[half];
		s->z16_2[half][i] = u2.half[half];
	}
	s->fine = (i ? s->fine : 0) | (a->d2[row] > 0);
}

static void x86_quant_act(const struct act *a, size_t t)
{
	size_t n_block = a->n_col / ACT_BLOCK;
	const float *x = a->x + t * a->n_col;
	float *d = a->d + t * n_block, *d2 = a->d2 + t * n_block, *s = a->s + 2 * t * n_block, mean = 0;

	for (size_t b = 0; b < n_block; b++) {
		d[b] = block_top(x + b * ACT_BLOCK);
		mean += d[b];
	}
	mean /= (float)n_block;
	for (size_t b = 0; b < n_block; b++, x += ACT_BLOCK) {
		size_t at = t * a->n_col + b * ACT_BLOCK;
		bool fine = d[b] > ACT_COARSE * mean;
		float inv = d[b] > 0 ? 127.0f / d[b] : 0;
		int sum[2], sum2[2] = { 0, 0 };
		__m256i v[4], q, q2 = _mm256_setzero_si256();

		d[b] /= 127.0f;
		d2[b] = fine ? d[b] / 254.0f : 0;
		for (int i = 0; i < 4; i++)
			v[i] = clamp127(_mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i),
									_mm256_set1_ps(inv))));
		q = pack_codes(v, sum);
		if (fine) {
			for (int i = 0; i < 4; i++) {
				__m256 back = _mm256_mul_ps(_mm256_cvtepi32_ps(v[i]), _mm256_set1_ps(d[b]));
				__m256 rest = _mm256_sub_ps(_mm256_loadu_ps(x + 8 * i), back);

				v[i] = clamp127(_mm256_cvtps_epi32(_mm256_mul_ps(rest,
										 _mm256_set1_ps(254.0f / d[b]))));
			}
			q2 = pack_codes(v, sum2);
		}
		_mm256_storeu_si256((__m256i *)(a->q + at), q);
		_mm256_storeu_si256((__m256i *)(a->q2 + at), q2);
		for (int half = 0; half < 2; half++)
			s[2 * b + (size_t)half] = d[b] * (float)sum[half] + d2[b] * (float)sum2[half];
		if (a->n_row > KERN_FEW)
			store_tile(a, t, b, q, q2, sum, sum2);
	}
}

static void x86_swiglu(float *gate, const float *up, size_t n)
{
	size_t i = 0;

	for (; i + VW <= n; i += VW) {
		vf g = v_load(gate + i), e = v_exp(v_min(v_sub(v_zero(), g), v_set1(88.0f)));

		v_store(gate + i, v_mul(v_div(g, v_add(v_set1(1.0f), e)), v_load(up + i)));
	}
	for (; i < n; i++)
		gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void x86_axpy(float a, const float *x, float *y, size_t n)
{
	size_t i = 0;

	for (; i + VW <= n; i += VW)
		v_store(y + i, v_fma(v_set1(a), v_load(x + i), v_load(y + i)));
	for (; i < n; i++)
		y[i] += a * x[i];
}

#endif
