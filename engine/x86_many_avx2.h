/* engine/x86_many_avx2.h - the tile of x86_many.h with AVX2: 4 tokens by 16 rows, twice a panel
 *
 * u8 x s8 products go pairwise through 16 bits, the weights on the unsigned side: small codes let
 * several steps add up there before they are widened: code * 2 * 127 * steps must stay below 2^15, so 8
 * steps of 4 columns for codes up to 15, 4 up to 31, 2 up to 63.  What a bias added to symmetric codes
 * comes out again as a minimum, -bias * d.  8-bit codes are widened first and multiplied in 16 bits.
 * The running f32 sums live in memory: 16 registers hold 8 sums of 16 bits and what they need.
 */
#ifndef ENGINE_X86_MANY_AVX2_H
#define ENGINE_X86_MANY_AVX2_H

#define TILE_TOKENS 4		/* a third of a tile of struct act */
#define TILE_ROWS   16

/* GCC 12 reorders the 16-bit additions and then spills; an empty asm pins each sum where it is. */
#define PIN(v) __asm__ volatile("" : "+x"(v))

static inline __m256i bcast4(const int8_t *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return _mm256_set1_epi32(v);
}

/* Sums of `steps` steps of 4 columns in 16 bits, widened and added to s. */
static inline __attribute__((always_inline))
void narrow_steps(const int8_t *code, const int8_t *q, size_t steps, __m256i s[TILE_TOKENS][2], bool first)
{
	const __m256i one = _mm256_set1_epi16(1);
	__m256i t16[TILE_TOKENS][2];

#pragma GCC unroll 8
	for (size_t k = 0; k < steps; k++) {
		__m256i w0 = _mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4));
		__m256i w1 = _mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4 + 32));

#pragma GCC unroll 4
		for (size_t t = 0; t < TILE_TOKENS; t++) {
			__m256i x = bcast4(q + t * ACT_BLOCK + 4 * k);
			__m256i a = _mm256_maddubs_epi16(w0, x), b = _mm256_maddubs_epi16(w1, x);

			t16[t][0] = k ? _mm256_add_epi16(t16[t][0], a) : a;
			t16[t][1] = k ? _mm256_add_epi16(t16[t][1], b) : b;
			PIN(t16[t][0]);
			PIN(t16[t][1]);
		}
	}
#pragma GCC unroll 4
	for (size_t t = 0; t < TILE_TOKENS; t++)
#pragma GCC unroll 2
		for (size_t c = 0; c < 2; c++) {
			__m256i w = _mm256_madd_epi16(t16[t][c], one);

			s[t][c] = first ? w : _mm256_add_epi32(s[t][c], w);
		}
}

/* 8-bit codes: 4 columns of 8 rows become two vectors of 16-bit pairs. */
static inline __attribute__((always_inline))
void wide_group(const int8_t *code, const int8_t *q, size_t n4, __m256i s[TILE_TOKENS][2])
{
#pragma GCC unroll 4
	for (size_t t = 0; t < TILE_TOKENS; t++)
		s[t][0] = s[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 2
	for (size_t c = 0; c < 2; c++)
		for (size_t k = 0; k < n4; k++) {
			__m256i w = _mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4 + 32 * c));
			/* even and odd pairs of each row's four columns, sign-extended */
			__m256i even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
			__m256i odd = _mm256_srai_epi16(w, 8);

#pragma GCC unroll 4
			for (size_t t = 0; t < TILE_TOKENS; t++) {
				__m256i x = bcast4(q + t * ACT_BLOCK + 4 * k);
				__m256i xe = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
				__m256i xo = _mm256_srai_epi16(x, 8);

				s[t][c] = _mm256_add_epi32(s[t][c], _mm256_add_epi32(
					_mm256_madd_epi16(even, xe), _mm256_madd_epi16(odd, xo)));
			}
		}
}

/* One group of columns, one digit of the activations: exact sums, then out += sum * d * act.d. */
static inline __attribute__((always_inline))
void group_avx2(const struct panel *p, size_t g, size_t c0, size_t group, size_t steps, const int8_t *q,
		const float *ad, float *out)
{
	const int8_t *code = p->code + g * group * PANEL + c0 * 4;
	__m256i s[TILE_TOKENS][2] = { { _mm256_setzero_si256() } };

	if (steps)
#pragma GCC unroll 4
		for (size_t k = 0; k < group / 4; k += steps)
			narrow_steps(code + k * PANEL * 4, q + 4 * k, steps, s, k == 0);
	else
		wide_group(code, q, group / 4, s);
#pragma GCC unroll 4
	for (size_t t = 0; t < TILE_TOKENS; t++) {
		__m256 x = _mm256_set1_ps(ad[t]);

#pragma GCC unroll 2
		for (size_t c = 0; c < 2; c++) {
			float *o = out + t * TILE_ROWS + 8 * c;
			__m256 d = _mm256_mul_ps(_mm256_loadu_ps(p->d + g * PANEL + c0 + 8 * c), x);

			_mm256_storeu_ps(o, _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[t][c]), d, _mm256_loadu_ps(o)));
		}
	}
}

/* Tokens [i0, i0 + 4) of a tile. */
static inline __attribute__((always_inline))
void tile_avx2(const struct panel *p, const struct act *a, size_t tile, size_t i0, size_t c0, size_t group,
	       size_t steps, float *out)
{
	size_t n32 = a->n_col / 32;

	for (size_t i = 0; i < TILE_TOKENS * TILE_ROWS; i += 8)
		_mm256_storeu_ps(out + i, _mm256_setzero_ps());
	for (size_t g = 0; g < a->n_col / group; g++) {
		size_t at = tile * n32 + g * group / 32, half = group == 32 ? 0 : g % 2;
		size_t off = (at * ACT_TILE + i0) * ACT_BLOCK + 16 * half;
		const struct act_scales *s = a->tile_s + at;
		const float *sum = (group == 32 ? s->s32 : s->s16[half]) + i0;

		group_avx2(p, g, c0, group, steps, a->tile_q + off, s->d + i0, out);
		if (s->fine)
			group_avx2(p, g, c0, group, steps, a->tile_q2 + off, s->d2 + i0, out);
		if (!p->has_min)
			continue;
#pragma GCC unroll 4
		for (size_t t = 0; t < TILE_TOKENS; t++)
#pragma GCC unroll 2
			for (size_t c = 0; c < 2; c++) {
				float *o = out + t * TILE_ROWS + 8 * c;

				_mm256_storeu_ps(o, _mm256_fmadd_ps(_mm256_loadu_ps(p->m + g * PANEL + c0 + 8 * c),
								   _mm256_set1_ps(sum[t]), _mm256_loadu_ps(o)));
			}
	}
}

/* Tokens [first, last) of a tile against the panel, into y (of the first one). */
static void tile_run(const struct panel *p, const struct act *a, size_t tile, size_t first, size_t last, float *y,
		     size_t ldy, size_t n, int limit)
{
	float out[TILE_TOKENS * TILE_ROWS];

	for (size_t i0 = first / TILE_TOKENS * TILE_TOKENS; i0 < last; i0 += TILE_TOKENS)
		for (size_t c = 0; c < PANEL && c < n; c += TILE_ROWS) {
			if (p->group == 32 && limit <= 15)
				tile_avx2(p, a, tile, i0, c, 32, 8, out);
			else if (p->group == 32 && limit <= 32)
				tile_avx2(p, a, tile, i0, c, 32, 4, out);
			else if (p->group == 32)
				tile_avx2(p, a, tile, i0, c, 32, 0, out);
			else if (limit <= 15)
				tile_avx2(p, a, tile, i0, c, 16, 4, out);
			else
				tile_avx2(p, a, tile, i0, c, 16, 2, out);
			for (size_t t = MAX(i0, first); t < MIN(i0 + TILE_TOKENS, last); t++)
				memcpy(y + (t - first) * ldy + c, out + (t - i0) * TILE_ROWS,
				       MIN((size_t)TILE_ROWS, n - c) * sizeof(float));
		}
}

#endif
