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

static void x86_quant_act(const float *x, size_t n, int8_t *q, uint8_t *u, float *d, float *s)
{
	const __m256 sign = _mm256_set1_ps(-0.0f);
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

	for (size_t b = 0; b < n / ACT_BLOCK; b++, x += ACT_BLOCK) {
		__m256 v[4], amax;
		__m256i i32[4], bytes;
		__m128 m;
		float top, inv;

		for (int i = 0; i < 4; i++)
			v[i] = _mm256_loadu_ps(x + 8 * i);
		amax = _mm256_max_ps(_mm256_max_ps(_mm256_andnot_ps(sign, v[0]), _mm256_andnot_ps(sign, v[1])),
				     _mm256_max_ps(_mm256_andnot_ps(sign, v[2]), _mm256_andnot_ps(sign, v[3])));
		m = _mm_max_ps(_mm256_castps256_ps128(amax), _mm256_extractf128_ps(amax, 1));
		m = _mm_max_ps(m, _mm_movehl_ps(m, m));
		m = _mm_max_ss(m, _mm_movehdup_ps(m));
		top = _mm_cvtss_f32(m);
		d[b] = top / 127.0f;
		inv = top > 0 ? 127.0f / top : 0;
		for (int i = 0; i < 4; i++)
			i32[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(inv)));
		for (int half = 0; half < 2; half++) {
			__m256i t = _mm256_add_epi32(i32[2 * half], i32[2 * half + 1]);

			s[2 * b + (size_t)half] = d[b] * (float)hsum_i32(_mm_add_epi32(
				_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1)));
		}
		bytes = _mm256_packs_epi16(_mm256_packs_epi32(i32[0], i32[1]),
					   _mm256_packs_epi32(i32[2], i32[3]));
		bytes = _mm256_permutevar8x32_epi32(bytes, order);
		_mm256_storeu_si256((__m256i *)(q + b * ACT_BLOCK), bytes);
		_mm256_storeu_si256((__m256i *)(u + b * ACT_BLOCK),
				    _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80)));
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
