/* One page of int8 keys for many queries, with AVX2 and FMA.
 *
 * The page is unpacked and rotated once, and turned so that the 64 tokens of one dimension lie side by side: a
 * query is then 64 running sums in eight registers, and needs no sum across a register. */
#include "config.h"

#include "engine/headscore.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { PAGE = 64, VECS = PAGE / 8 };

/* exp(x) for x <= 0, within 2e-7 of it: 2^n times a polynomial on [-ln2/2, ln2/2] (Cephes' coefficients). */
static inline __m256 exp8(__m256 x)
{
	__m256 n, y;

	x = _mm256_max_ps(x, _mm256_set1_ps(-87.0f));
	n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
			    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
	x = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
	x = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), x);
	y = _mm256_set1_ps(1.9875691500e-4f);
	y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(1.3981999507e-3f));
	y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(8.3334519073e-3f));
	y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(4.1665795894e-2f));
	y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(1.6666665459e-1f));
	y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(5.0000001201e-1f));
	y = _mm256_fmadd_ps(y, _mm256_mul_ps(x, x), _mm256_add_ps(x, _mm256_set1_ps(1)));
	return _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(
		_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)));
}

/* Token t of the page to column t of k [head_dim][PAGE]. */
static void unpack(const struct headpage *p, uint32_t t, float *k)
{
	const int8_t *code = p->code + (size_t)t * p->head_dim;
	uint32_t half = p->n_rot / 2, from = p->cos_sin ? 2 * half : 0;
	float step = _cvtsh_ss(p->step[t]);

	if (p->cos_sin) {
		const float *c = p->cos_sin + (size_t)t * p->n_rot;

		for (uint32_t m = 0; m < half; m++) {
			uint32_t i = p->neox ? m : 2 * m, j = p->neox ? m + half : 2 * m + 1;
			float a = step * (float)code[i], b = step * (float)code[j];

			k[i * PAGE + t] = a * c[m] - b * c[half + m];
			k[j * PAGE + t] = a * c[half + m] + b * c[m];
		}
	}
	for (uint32_t i = from; i < p->head_dim; i++)
		k[i * PAGE + t] = step * (float)code[i];
}

static float sum8(__m256 v)
{
	__m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

static float max8(__m256 v)
{
	__m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

	x = _mm_max_ps(x, _mm_movehl_ps(x, x));
	return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

void headpage_avx2(const struct headpage *p, float *lse)
{
	_Alignas(32) float k[1024 * PAGE], none[PAGE];

	memset(k, 0, p->head_dim * PAGE * sizeof(*k));
	for (uint32_t t = 0; t < PAGE; t++)
		none[t] = t < p->n ? 0 : -INFINITY;
	for (uint32_t t = 0; t < p->n; t++)
		unpack(p, t, k);
	for (size_t r = 0; r < p->n_row; r++) {
		const float *q = p->q + r * p->head_dim;
		__m256 s[VECS], max = _mm256_set1_ps(-INFINITY), sum = _mm256_setzero_ps();
		float top;

		for (int v = 0; v < VECS; v++)
			s[v] = _mm256_load_ps(none + 8 * v);
		for (uint32_t i = 0; i < p->head_dim; i++) {
			__m256 x = _mm256_set1_ps(q[i]);

			for (int v = 0; v < VECS; v++)
				s[v] = _mm256_fmadd_ps(x, _mm256_load_ps(k + i * PAGE + 8 * v), s[v]);
		}
		for (int v = 0; v < VECS; v++)
			max = _mm256_max_ps(max, s[v]);
		top = max8(max);
		for (int v = 0; v < VECS; v++) {
			/* Tokens that the page lacks: exp8 stops at exp(-87), which must not be added. */
			__m256 there = _mm256_cmp_ps(_mm256_load_ps(none + 8 * v), _mm256_setzero_ps(), _CMP_EQ_OQ);

			sum = _mm256_add_ps(sum, _mm256_and_ps(there, exp8(_mm256_sub_ps(s[v], _mm256_set1_ps(top)))));
		}
		lse[r] = top + logf(sum8(sum));
	}
}
