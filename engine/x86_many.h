/* engine/x86_many.h - linear layers for many tokens: prefill
 *
 * KERN_PANEL rows of the weight are unpacked once and then multiplied with all tokens of the call:
 *
 *     code [n_col / 4][32 rows][4 columns]   one vector instruction takes 4 columns of 8 or 16 rows
 *     d, m [n_col / group][32 rows]          f32
 *
 * The weights are the unsigned side of the dot product: symmetric codes get a bias, which is taken out
 * again through the sums of the activations.  A group's sum is exact; then y += float(sum) * d * act.d,
 * and m * act.s where a type has minima.  Each y is summed over groups in rising order, whatever the tile.
 *
 * What was tried: one activation scale a row is 8 % faster and loses a bit and a half; unpacking to
 * 16 rows a panel halves the panel but doubles the loads of activations.
 */
#ifndef ENGINE_X86_MANY_H
#define ENGINE_X86_MANY_H

#include "base/size.h"
#include "engine/kern.h"
#include "engine/x86_unpack.h"

#define PANEL KERN_PANEL
#define UNPACK_COLS 256		/* columns unpacked at a time: the largest block of any type */

struct panel {
	int8_t  *code;
	float   *d, *m;
	size_t   n_col, group;
	bool     has_min;
};

static size_t panel_bytes(size_t n_col)
{
	/* code, three arrays at the finest group, and the rows being unpacked; the few-token loops and
	 * the float loops need less. */
	return PANEL * n_col + 3 * 4 * PANEL * (n_col / 16 + 1) +
	       PANEL * UNPACK_COLS + 2 * 4 * PANEL * (UNPACK_COLS / 16) + 8 * n_col + 256;
}

/* Eight rows of 32 bytes, rows ld apart, plus bias, to eight groups of [8 rows][4 bytes], groups
 * PANEL*4 apart. */
static inline void interleave8(const int8_t *src, size_t ld, char bias, int8_t *dst)
{
	__m256i r[8], a[8], b[8];

	for (size_t i = 0; i < 8; i++)
		r[i] = _mm256_add_epi8(_mm256_loadu_si256((const __m256i *)(src + i * ld)), _mm256_set1_epi8(bias));
	for (size_t i = 0; i < 8; i += 2) {
		a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
		a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (size_t i = 0; i < 8; i += 4) {
		b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	for (size_t i = 0; i < 4; i++) {
		_mm256_storeu_si256((__m256i *)(dst + i * PANEL * 4),
				    _mm256_permute2x128_si256(b[i], b[i + 4], 0x20));
		_mm256_storeu_si256((__m256i *)(dst + (i + 4) * PANEL * 4),
				    _mm256_permute2x128_si256(b[i], b[i + 4], 0x31));
	}
}

/* What is added to the codes of a symmetric type to make them unsigned. */
static inline char code_bias(struct code_form f)
{
#ifdef __AVX512VNNI__
	return f.has_min ? 0 : (char)128;
#else
	return f.has_min ? 0 : f.limit > 32 ? (char)128 : f.group == 16 ? 32 : 16;
#endif
}

/* By how much the tile centres the codes of a type with minima: that much more of d is in the minimum. */
static inline float code_centre(struct code_form f)
{
#ifdef __AVX512VNNI__
	(void)f;
	return 0;
#else
	return f.has_min && f.limit > 15 ? 16 : 0;
#endif
}

/* Unpack rows [r0, r0 + n) of w, n <= PANEL; the rest of the panel is zero. */
static void panel_fill(struct panel *p, const struct rows *w, size_t r0, size_t n, size_t n_col, char *scratch)
{
	struct code_form f = code_form(w->type);
	size_t ng = n_col / f.group;
	float centre = code_centre(f);
	char bias = code_bias(f);
	int8_t *row;
	float *rd, *rm;

	p->n_col = n_col;
	p->group = f.group;
	p->has_min = f.has_min;
	p->d = (float *)scratch;
	p->m = p->d + PANEL * ng;
	p->code = (int8_t *)(p->m + PANEL * ng);
	row = p->code + PANEL * n_col;
	rd = (float *)(row + PANEL * UNPACK_COLS);
	rm = rd + PANEL * (UNPACK_COLS / 16);
	if (n < PANEL) {
		memset(row, 0, PANEL * UNPACK_COLS);
		memset(rd, 0, 2 * 4 * PANEL * (UNPACK_COLS / 16));
	}
	for (size_t c = 0; c < n_col; c += UNPACK_COLS) {
		size_t nc = MIN((size_t)UNPACK_COLS, n_col - c), g0 = c / f.group;

		for (size_t i = 0; i < n; i++)
			unpack_row(w->type, w->data + (r0 + i) * w->row_bytes + col_bytes(w->type, c), nc,
				   row + i * UNPACK_COLS, rd + i * 16, rm + i * 16);
		for (size_t k = 0; k < nc; k += 32)
			for (size_t i = 0; i < PANEL; i += 8)
				interleave8(row + i * UNPACK_COLS + k, UNPACK_COLS, bias,
					    p->code + (c + k) * PANEL + i * 4);
		for (size_t g = 0; g < nc / f.group; g++) {
			for (size_t i = 0; i < PANEL; i++)
				p->d[(g0 + g) * PANEL + i] = rd[i * 16 + g];
			for (size_t i = 0; i < PANEL && f.has_min; i++)
				p->m[(g0 + g) * PANEL + i] = rm[i * 16 + g] + centre * rd[i * 16 + g];
		}
	}
}

#ifdef __AVX512VNNI__
#include "engine/x86_many_vnni.h"
#else
#include "engine/x86_many_avx2.h"
#endif

/* Tokens [t0, t1) against one panel of n rows, into y (of the panel's first row). */
static void panel_multiply(const struct panel *p, const struct act *a, size_t t0, size_t t1, float *y,
			   size_t ldy, size_t n, int limit)
{
	for (size_t t = t0; t < t1;) {
		size_t tile = t / ACT_TILE, first = t % ACT_TILE, last = MIN((size_t)ACT_TILE, t1 - tile * ACT_TILE);

		tile_run(p, a, tile, first, last, y + t * ldy, ldy, n, limit);
		t = tile * ACT_TILE + last;
	}
}

static void many(const struct rows *w, const struct act *a, size_t t0, size_t t1, float *y, size_t ldy,
		 void *scratch)
{
	int limit = code_form(w->type).limit;

	for (size_t r = w->r0; r < w->r1; r += PANEL) {
		size_t n = MIN((size_t)PANEL, w->r1 - r);
		struct panel p;

		panel_fill(&p, w, r, n, a->n_col, scratch);
		panel_multiply(&p, a, t0, t1, y + r, ldy, n, limit);
	}
}

#endif
