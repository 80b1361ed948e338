/* engine/x86_many_vnni.h - the tile of x86_many.h with AVX-512 VNNI: 6 tokens by 32 rows
 *
 * 12 i32 sums + 12 f32 sums + 2 weights + a broadcast: 27 of 32 registers.  Per group of 32 columns and
 * 12 sums: 96 dot products, 12 conversions, 12 multiplications, 12 (with minima 24) additions.
 */
#ifndef ENGINE_X86_MANY_VNNI_H
#define ENGINE_X86_MANY_VNNI_H

#define TILE_TOKENS 6

static inline __m512i bcast4(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, 4);
	return _mm512_set1_epi32(v);
}

/* One group of columns, one digit of the activations: exact sums, then acc += sum * d * act.d. */
static inline __attribute__((always_inline))
void group_vnni(const struct panel *p, size_t g, size_t group, size_t nt, const uint8_t *u, size_t ldu,
		const float *ad, size_t ldd, __m512 acc[TILE_TOKENS][2])
{
	const int8_t *code = p->code + g * group * PANEL;
	const int32_t *fix = p->fix + g * PANEL;
	__m512i s[TILE_TOKENS][2];
	__m512 d0 = _mm512_loadu_ps(p->d + g * PANEL), d1 = _mm512_loadu_ps(p->d + g * PANEL + 16);

#pragma GCC unroll 6
	for (size_t t = 0; t < nt; t++) {
		s[t][0] = _mm512_loadu_si512(fix);
		s[t][1] = _mm512_loadu_si512(fix + 16);
	}
#pragma GCC unroll 8
	for (size_t k = 0; k < group / 4; k++) {
		__m512i w0 = _mm512_loadu_si512(code + k * PANEL * 4);
		__m512i w1 = _mm512_loadu_si512(code + k * PANEL * 4 + 64);

#pragma GCC unroll 6
		for (size_t t = 0; t < nt; t++) {
			__m512i x = bcast4(u + t * ldu + 4 * k);

			s[t][0] = _mm512_dpbusd_epi32(s[t][0], x, w0);
			s[t][1] = _mm512_dpbusd_epi32(s[t][1], x, w1);
		}
	}
#pragma GCC unroll 6
	for (size_t t = 0; t < nt; t++) {
		__m512 x = _mm512_set1_ps(ad[t * ldd]);

		acc[t][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[t][0]), _mm512_mul_ps(d0, x), acc[t][0]);
		acc[t][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[t][1]), _mm512_mul_ps(d1, x), acc[t][1]);
	}
}

static inline __attribute__((always_inline))
void tile_vnni(const struct panel *p, const struct act *a, size_t t0, size_t nt, size_t group, bool has_min,
	       float *y, size_t ldy, size_t n)
{
	size_t nk = a->n_col, ng = nk / group, n32 = nk / 32, n16 = nk / 16;
	const uint8_t *u = a->u + t0 * nk;
	const float *ad = a->d + t0 * n32, *as = a->s + t0 * n16;
	__m512 acc[TILE_TOKENS][2];
	__mmask16 k0 = (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1);
	__mmask16 k1 = (__mmask16)(n >= 32 ? 0xffff : n > 16 ? (1u << (n - 16)) - 1 : 0);

#pragma GCC unroll 6
	for (size_t t = 0; t < nt; t++)
		acc[t][0] = acc[t][1] = _mm512_setzero_ps();
	for (size_t g = 0; g < ng; g++) {
		size_t b = g * group / 32;

		group_vnni(p, g, group, nt, u + g * group, nk, ad + b, n32, acc);
		if (p->any[b] > 0)
			group_vnni(p, g, group, nt, a->u2 + t0 * nk + g * group, nk, a->d2 + t0 * n32 + b, n32, acc);
		if (has_min) {
			__m512 m0 = _mm512_loadu_ps(p->m + g * PANEL), m1 = _mm512_loadu_ps(p->m + g * PANEL + 16);

#pragma GCC unroll 6
			for (size_t t = 0; t < nt; t++) {
				const float *st = as + t * n16 + g * group / 16;
				__m512 x = _mm512_set1_ps(group == 32 ? st[0] + st[1] : st[0]);

				acc[t][0] = _mm512_fmadd_ps(m0, x, acc[t][0]);
				acc[t][1] = _mm512_fmadd_ps(m1, x, acc[t][1]);
			}
		}
	}
#pragma GCC unroll 6
	for (size_t t = 0; t < nt; t++) {
		_mm512_mask_storeu_ps(y + t * ldy, k0, acc[t][0]);
		_mm512_mask_storeu_ps(y + t * ldy + 16, k1, acc[t][1]);
	}
}

static inline __attribute__((always_inline))
void tile_any(const struct panel *p, const struct act *a, size_t t0, size_t nt, float *y, size_t ldy, size_t n)
{
	if (p->group == 32 && p->has_min)
		tile_vnni(p, a, t0, nt, 32, true, y, ldy, n);
	else if (p->group == 32)
		tile_vnni(p, a, t0, nt, 32, false, y, ldy, n);
	else if (p->has_min)
		tile_vnni(p, a, t0, nt, 16, true, y, ldy, n);
	else
		tile_vnni(p, a, t0, nt, 16, false, y, ldy, n);
}

static void tile_full(const struct panel *p, const struct act *a, size_t t0, float *y, size_t ldy, size_t n,
		      int limit)
{
	(void)limit;
	tile_any(p, a, t0, TILE_TOKENS, y, ldy, n);
}

static void tile_rest(const struct panel *p, const struct act *a, size_t t0, size_t nt, float *y, size_t ldy,
		      size_t n, int limit)
{
	(void)limit;
	switch (nt) {
	case 1: tile_any(p, a, t0, 1, y, ldy, n); break;
	case 2: tile_any(p, a, t0, 2, y, ldy, n); break;
	case 3: tile_any(p, a, t0, 3, y, ldy, n); break;
	case 4: tile_any(p, a, t0, 4, y, ldy, n); break;
	case 5: tile_any(p, a, t0, 5, y, ldy, n); break;
	}
}

#endif
