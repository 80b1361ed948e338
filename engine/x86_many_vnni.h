/* engine/x86_many_vnni.h - the tile of x86_many.h with AVX-512 VNNI: 12 tokens by 16 rows
 *
 * The weights are the unsigned side, so that the activations can be broadcast by the dot product
 * itself (its memory operand is the signed one): one instruction for 64 multiply-adds and nothing
 * beside it.  12 i32 sums + 12 f32 sums + a weight, d, m and a product: 28 of 32 registers.  Per group
 * of 32 columns and 12 sums: 96 dot products, 12 conversions, 12 multiplications, 12 (with minima 24)
 * additions; the first and the last two share two pipes on Zen 4, so 132 cycles at best.
 */
#ifndef ENGINE_X86_MANY_VNNI_H
#define ENGINE_X86_MANY_VNNI_H

#define TILE_TOKENS ACT_TILE

typedef int32_t i32_any __attribute__((may_alias));

/* s + four products of w's unsigned bytes with the four signed bytes at q, in every lane.  GCC 12 does
 * not fold the broadcast by itself. */
static inline __m512i dot_bcast(__m512i s, __m512i w, const int8_t *q)
{
	__asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(s) : "v"(w), "m"(*(const i32_any *)q));
	return s;
}

/* One group of columns, one digit of the activations: exact sums, then acc += sum * d * act.d.  z, if
 * given, takes the bias of the codes out again. */
static inline __attribute__((always_inline))
void group_vnni(const int8_t *code, __m512 d, size_t group, size_t nt, const int8_t *q, const float *ad,
		const int32_t *z, __m512 acc[TILE_TOKENS])
{
	__m512i s[TILE_TOKENS];

#pragma GCC unroll 12
	for (size_t t = 0; t < nt; t++)
		s[t] = z ? _mm512_set1_epi32(z[t]) : _mm512_setzero_si512();
#pragma GCC unroll 8
	for (size_t k = 0; k < group / 4; k++) {
		__m512i w = _mm512_loadu_si512(code + k * PANEL * 4);

#pragma GCC unroll 12
		for (size_t t = 0; t < nt; t++)
			s[t] = dot_bcast(s[t], w, q + t * ACT_BLOCK + 4 * k);
	}
#pragma GCC unroll 12
	for (size_t t = 0; t < nt; t++)
		acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[t]), _mm512_mul_ps(d, _mm512_set1_ps(ad[t])), acc[t]);
}

/* One group with both digits and minima; half is 0 but for the second 16 columns of a block. */
static inline __attribute__((always_inline))
void step_vnni(const struct panel *p, size_t g, size_t c0, size_t group, bool has_min, size_t nt, const int8_t *q,
	       const int8_t *q2, const struct act_scales *s, size_t half, __m512 acc[TILE_TOKENS])
{
	const int8_t *code = p->code + g * group * PANEL + c0 * 4;
	const float *sum = group == 32 ? s->s32 : s->s16[half];
	const int32_t *z = group == 32 ? s->z32 : s->z16[half], *z2 = group == 32 ? s->z32_2 : s->z16_2[half];
	__m512 d = _mm512_loadu_ps(p->d + g * PANEL + c0);

	group_vnni(code, d, group, nt, q + 16 * half, s->d, has_min ? NULL : z, acc);
	if (s->fine)
		group_vnni(code, d, group, nt, q2 + 16 * half, s->d2, has_min ? NULL : z2, acc);
	if (has_min) {
		__m512 m = _mm512_loadu_ps(p->m + g * PANEL + c0);

#pragma GCC unroll 12
		for (size_t t = 0; t < nt; t++)
			acc[t] = _mm512_fmadd_ps(m, _mm512_set1_ps(sum[t]), acc[t]);
	}
}

/* Tokens [first, last) of a tile are kept. */
static inline __attribute__((always_inline))
void tile_vnni(const struct panel *p, const struct act *a, size_t tile, size_t nt, size_t first, size_t last,
	       size_t c0, size_t group, bool has_min, float *y, size_t ldy, size_t n)
{
	size_t n32 = a->n_col / 32;
	const int8_t *q = a->tile_q + tile * n32 * ACT_TILE * 32, *q2 = a->tile_q2 + tile * n32 * ACT_TILE * 32;
	const struct act_scales *s = a->tile_s + tile * n32;
	__mmask16 keep = (__mmask16)(n >= c0 + 16 ? 0xffff : (1u << (n - c0)) - 1);
	__m512 acc[TILE_TOKENS];

#pragma GCC unroll 12
	for (size_t t = 0; t < nt; t++)
		acc[t] = _mm512_setzero_ps();
	for (size_t b = 0; b < n32; b++, s++, q += ACT_TILE * 32, q2 += ACT_TILE * 32) {
		if (group == 32) {
			step_vnni(p, b, c0, 32, has_min, nt, q, q2, s, 0, acc);
		} else {
			step_vnni(p, 2 * b, c0, 16, has_min, nt, q, q2, s, 0, acc);
			step_vnni(p, 2 * b + 1, c0, 16, has_min, nt, q, q2, s, 1, acc);
		}
	}
#pragma GCC unroll 12
	for (size_t t = 0; t < nt; t++)
		if (t >= first && t < last)
			_mm512_mask_storeu_ps(y + (t - first) * ldy + c0, keep, acc[t]);
}

static inline __attribute__((always_inline))
void tile_some(const struct panel *p, const struct act *a, size_t tile, size_t nt, size_t first, size_t last,
	       float *y, size_t ldy, size_t n)
{
	for (size_t c0 = 0; c0 < n; c0 += 16) {
		if (p->group == 32 && p->has_min)
			tile_vnni(p, a, tile, nt, first, last, c0, 32, true, y, ldy, n);
		else if (p->group == 32)
			tile_vnni(p, a, tile, nt, first, last, c0, 32, false, y, ldy, n);
		else if (p->has_min)
			tile_vnni(p, a, tile, nt, first, last, c0, 16, true, y, ldy, n);
		else
			tile_vnni(p, a, tile, nt, first, last, c0, 16, false, y, ldy, n);
	}
}

/* Tokens [first, last) of a tile against the panel, into y (of the first one). */
static void tile_run(const struct panel *p, const struct act *a, size_t tile, size_t first, size_t last, float *y,
		     size_t ldy, size_t n, int limit)
{
	(void)limit;
	if (last > 8)
		tile_some(p, a, tile, 12, first, last, y, ldy, n);
	else if (last > 4)
		tile_some(p, a, tile, 8, first, last, y, ldy, n);
	else
		tile_some(p, a, tile, 4, first, last, y, ldy, n);
}

#endif
