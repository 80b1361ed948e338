/* engine/x86_many_avx2.h - the tile of x86_many.h with AVX2: 4 tokens by 16 rows, twice a panel
 *
 * u8 x s8 products go pairwise through 16 bits.  Small codes let several steps add up there before
 * they are widened: 255 * 2 * limit * steps must stay below 2^15, so 8 steps of 4 columns for |code| <= 8,
 * 4 for 15 and 16, 2 for 31 and 32.  8-bit codes are widened first and multiplied in 16 bits.
 * The running f32 sums live in memory: 16 registers hold 8 sums of 16 bits and what they need.
 */
#ifndef ENGINE_X86_MANY_AVX2_H
#define ENGINE_X86_MANY_AVX2_H

#define TILE_TOKENS 4
#define TILE_ROWS   16

/* GCC 12 reorders the 16-bit additions and then spills; an empty asm pins each sum where it is. */
#define PIN(v) __asm__ volatile("" : "+x"(v))

static inline __m256i bcast4(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return _mm256_set1_epi32(v);
}

/* Sums of `steps` steps of 4 columns in 16 bits, widened and added to s. */
static inline __attribute__((always_inline))
void narrow_steps(const int8_t *code, const uint8_t *u, size_t ldu, size_t nt, size_t steps,
		  __m256i s[TILE_TOKENS][2], bool first)
{
	const __m256i one = _mm256_set1_epi16(1);
	__m256i t16[TILE_TOKENS][2];

	for (size_t k = 0; k < steps; k++) {
		__m256i w0 = _mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4));
		__m256i w1 = _mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4 + 32));

#pragma GCC unroll 4
		for (size_t t = 0; t < nt; t++) {
			__m256i x = bcast4(u + t * ldu + 4 * k);
			__m256i a = _mm256_maddubs_epi16(x, w0), b = _mm256_maddubs_epi16(x, w1);

			t16[t][0] = k ? _mm256_add_epi16(t16[t][0], a) : a;
			t16[t][1] = k ? _mm256_add_epi16(t16[t][1], b) : b;
			PIN(t16[t][0]);
			PIN(t16[t][1]);
		}
	}
#pragma GCC unroll 4
	for (size_t t = 0; t < nt; t++)
		for (size_t c = 0; c < 2; c++) {
			__m256i w = _mm256_madd_epi16(t16[t][c], one);

			s[t][c] = first ? w : _mm256_add_epi32(s[t][c], w);
		}
}

/* 8-bit codes: 4 columns of 8 rows become two vectors of 16-bit pairs. */
static inline __attribute__((always_inline))
void wide_group(const int8_t *code, const int8_t *q, size_t ldq, size_t nt, size_t n4, __m256i s[TILE_TOKENS][2])
{
#pragma GCC unroll 4
	for (size_t t = 0; t < nt; t++)
		s[t][0] = s[t][1] = _mm256_setzero_si256();
	for (size_t c = 0; c < 2; c++)
		for (size_t k = 0; k < n4; k++) {
			__m256i w = _mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4 + 32 * c));
			/* even and odd pairs of each row's four columns, sign-extended */
			__m256i even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
			__m256i odd = _mm256_srai_epi16(w, 8);

#pragma GCC unroll 4
			for (size_t t = 0; t < nt; t++) {
				__m256i x = bcast4((const uint8_t *)q + t * ldq + 4 * k);
				__m256i xe = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
				__m256i xo = _mm256_srai_epi16(x, 8);

				s[t][c] = _mm256_add_epi32(s[t][c], _mm256_add_epi32(
					_mm256_madd_epi16(even, xe), _mm256_madd_epi16(odd, xo)));
			}
		}
}

/* One group of columns, one digit of the activations: exact sums, then out += sum * d * act.d. */
static inline __attribute__((always_inline))
void group_avx2(const struct panel *p, size_t g, size_t c0, size_t group, size_t steps, size_t nt,
		const uint8_t *u, const int8_t *q, size_t ldu, const float *ad, size_t ldd, float *out)
{
	const int8_t *code = p->code + g * group * PANEL + c0 * 4;
	__m256i s[TILE_TOKENS][2];

	if (steps)
		for (size_t k = 0; k < group / 4; k += steps)
			narrow_steps(code + k * PANEL * 4, u + 4 * k, ldu, nt, steps, s, k == 0);
	else
		wide_group(code, q, ldu, nt, group / 4, s);
#pragma GCC unroll 4
	for (size_t t = 0; t < nt; t++) {
		__m256 x = _mm256_set1_ps(ad[t * ldd]);

		for (size_t c = 0; c < 2; c++) {
			float *o = out + t * TILE_ROWS + 8 * c;
			__m256i sum = s[t][c];
			__m256 d = _mm256_mul_ps(_mm256_loadu_ps(p->d + g * PANEL + c0 + 8 * c), x);

			if (steps)
				sum = _mm256_add_epi32(sum, _mm256_loadu_si256(
					(const __m256i *)(p->fix + g * PANEL + c0 + 8 * c)));
			_mm256_storeu_ps(o, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), d, _mm256_loadu_ps(o)));
		}
	}
}

static inline __attribute__((always_inline))
void tile_avx2(const struct panel *p, const struct act *a, size_t t0, size_t nt, size_t c0, size_t group,
	       size_t steps, bool has_min, float *out)
{
	size_t nk = a->n_col, ng = nk / group, n32 = nk / 32, n16 = nk / 16;
	const float *ad = a->d + t0 * n32, *as = a->s + t0 * n16;

	for (size_t i = 0; i < nt * TILE_ROWS; i += 8)
		_mm256_storeu_ps(out + i, _mm256_setzero_ps());
	for (size_t g = 0; g < ng; g++) {
		size_t b = g * group / 32, at = t0 * nk + g * group;

		group_avx2(p, g, c0, group, steps, nt, a->u + at, a->q + at, nk, ad + b, n32, out);
		if (p->any[b] > 0)
			group_avx2(p, g, c0, group, steps, nt, a->u2 + at, a->q2 + at, nk,
				   a->d2 + t0 * n32 + b, n32, out);
		if (!has_min)
			continue;
		for (size_t t = 0; t < nt; t++) {
			const float *st = as + t * n16 + g * group / 16;
			__m256 x = _mm256_set1_ps(group == 32 ? st[0] + st[1] : st[0]);

			for (size_t c = 0; c < 2; c++) {
				float *o = out + t * TILE_ROWS + 8 * c;

				_mm256_storeu_ps(o, _mm256_fmadd_ps(_mm256_loadu_ps(p->m + g * PANEL + c0 + 8 * c), x,
								   _mm256_loadu_ps(o)));
			}
		}
	}
}

static inline __attribute__((always_inline))
void tile_any(const struct panel *p, const struct act *a, size_t t0, size_t nt, float *y, size_t ldy, size_t n,
	      int limit)
{
	float out[TILE_TOKENS * TILE_ROWS];

	for (size_t c = 0; c < PANEL && c < n; c += TILE_ROWS) {
		if (p->group == 32 && limit <= 8)
			tile_avx2(p, a, t0, nt, c, 32, 8, false, out);
		else if (p->group == 32 && limit <= 16 && p->has_min)
			tile_avx2(p, a, t0, nt, c, 32, 4, true, out);
		else if (p->group == 32 && limit <= 16)
			tile_avx2(p, a, t0, nt, c, 32, 4, false, out);
		else if (p->group == 32 && limit <= 32)
			tile_avx2(p, a, t0, nt, c, 32, 2, true, out);
		else if (p->group == 32)
			tile_avx2(p, a, t0, nt, c, 32, 0, false, out);
		else if (p->has_min)
			tile_avx2(p, a, t0, nt, c, 16, 4, true, out);
		else
			tile_avx2(p, a, t0, nt, c, 16, 2, false, out);
		for (size_t t = 0; t < nt; t++)
			memcpy(y + t * ldy + c, out + t * TILE_ROWS, MIN((size_t)TILE_ROWS, n - c) * sizeof(float));
	}
}

static void tile_full(const struct panel *p, const struct act *a, size_t t0, float *y, size_t ldy, size_t n,
		      int limit)
{
	tile_any(p, a, t0, TILE_TOKENS, y, ldy, n, limit);
}

static void tile_rest(const struct panel *p, const struct act *a, size_t t0, size_t nt, float *y, size_t ldy,
		      size_t n, int limit)
{
	switch (nt) {
	case 1: tile_any(p, a, t0, 1, y, ldy, n, limit); break;
	case 2: tile_any(p, a, t0, 2, y, ldy, n, limit); break;
	case 3: tile_any(p, a, t0, 3, y, ldy, n, limit); break;
	}
}

#endif
