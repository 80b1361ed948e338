/* engine/x86_kern.h - puts one kernel set together; included once by each kern_*.c of x86 */
#ifndef ENGINE_X86_KERN_H
#define ENGINE_X86_KERN_H

#include "engine/x86_attn.h"
#include "engine/x86_elem.h"
#include "engine/x86_few.h"
#include "engine/x86_float.h"
#include "engine/x86_many.h"

static void x86_linear(const struct rows *w, const struct act *a, size_t t0, size_t t1, float *y, size_t ldy,
		       void *scratch)
{
	if (!code_form(w->type).group) {
		float_linear(w, a, t0, t1, y, ldy, scratch);
		return;
	}
	/* The choice follows the whole batch, not the tile: a tile's cut must not change its sums. */
	if (a->n_row > KERN_FEW) {
		many(w, a, t0, t1, y, ldy, scratch);
		return;
	}
	for (size_t t = t0; t < t1; t++)
		few(w, a, t, y + t * ldy, scratch);
}

static size_t x86_linear_scratch(size_t n_col)
{
	return panel_bytes(n_col);
}

/* Twelve chains cover the latency of the dot products on every processor met so far. */
static uint64_t x86_spin(size_t n)
{
	volatile int keep;
#ifdef __AVX512VNNI__
	__m512i s[12], a = _mm512_set1_epi8((char)(n & 3)), b = _mm512_set1_epi8(1);

#pragma GCC unroll 12
	for (int j = 0; j < 12; j++)
		s[j] = _mm512_setzero_si512();
	for (size_t i = 0; i < n; i++)
#pragma GCC unroll 12
		for (int j = 0; j < 12; j++) {
			s[j] = _mm512_dpbusd_epi32(s[j], a, b);
			__asm__ volatile("" : "+v"(s[j]));
		}
	/* Unrolled too: else the sums live in memory, and this measures stores. */
#pragma GCC unroll 12
	for (int j = 1; j < 12; j++)
		s[0] = _mm512_add_epi32(s[0], s[j]);
	keep = _mm512_reduce_add_epi32(s[0]);
	(void)keep;
	return 12 * 64 * (uint64_t)n;
#else
	__m256i s[12], a = _mm256_set1_epi8((char)(n & 3)), b = _mm256_set1_epi8(1);

#pragma GCC unroll 12
	for (int j = 0; j < 12; j++)
		s[j] = _mm256_setzero_si256();
	for (size_t i = 0; i < n; i++)
#pragma GCC unroll 12
		for (int j = 0; j < 12; j++) {
			/* The empty asm keeps the product inside the loop. */
			s[j] = _mm256_add_epi16(s[j], _mm256_maddubs_epi16(a, b));
			__asm__ volatile("" : "+x"(s[j]), "+x"(a));
		}
#pragma GCC unroll 12
	for (int j = 1; j < 12; j++)
		s[0] = _mm256_add_epi16(s[0], s[j]);
	keep = _mm256_extract_epi16(s[0], 0);
	(void)keep;
	return 12 * 32 * (uint64_t)n;
#endif
}

static uint64_t x86_read(const void *p, size_t n)
{
	const char *c = p;
	__m256i s[8];
	uint64_t out[4];

	for (int j = 0; j < 8; j++)
		s[j] = _mm256_setzero_si256();
	for (size_t i = 0; i + 256 <= n; i += 256)
#pragma GCC unroll 8
		for (int j = 0; j < 8; j++)
			s[j] = _mm256_xor_si256(s[j], _mm256_loadu_si256((const __m256i *)(c + i + 32 * j)));
	for (int j = 1; j < 8; j++)
		s[0] = _mm256_xor_si256(s[0], s[j]);
	_mm256_storeu_si256((__m256i *)out, s[0]);
	return out[0] ^ out[1] ^ out[2] ^ out[3];
}

#endif
