/* engine/x86_attn.h - attention over pages, see kern.h
 *
 * Scores of RB rows against NV vectors of keys at a time stay in registers; K and V of a page are
 * turned to f32 once when enough rows share them, else they are converted while being loaded (decode:
 * the group of heads of one token).  Head sizes that are no multiple of the vector go to kern_ref.
 */
#ifndef ENGINE_X86_ATTN_H
#define ENGINE_X86_ATTN_H

#include "engine/kern.h"
#include "engine/x86_vec.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define RB 6
#define NV_FEW 4	/* vectors for up to RB_FEW rows: too few sums would wait for each other */
#ifdef __AVX512F__
#define NV 4		/* 6 x 4 accumulators + 4 keys + 1 query of 32 registers */
#define RB_FEW 5
#else
#define NV 2		/* 6 x 2 + 2 + 1 of 16 */
#define RB_FEW 3	/* 3 x 4 + 1 + 1, keys from memory */
#endif

static inline vf load_elem(const void *p, size_t i, bool f16)
{
	return f16 ? v_load_f16((const uint16_t *)p + i) : v_load((const float *)p + i);
}

/* out[r][0 .. nv * VW) (+)= sum over i < n of a[r * lda + i] * b[i * ldb + 0 ..]: the one loop under
 * both products.  rows and nv are constants at every call. */
static inline __attribute__((always_inline))
void block(size_t rows, size_t nv, size_t n, const float *a, size_t lda, const void *b, size_t ldb, bool f16,
	   float *out, size_t ldo, bool add)
{
	vf acc[RB][NV_FEW];

#pragma GCC unroll 8
	for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (size_t c = 0; c < nv; c++)
			acc[r][c] = add ? v_load(out + r * ldo + c * VW) : v_zero();
	for (size_t i = 0; i < n; i++) {
		vf bv[NV_FEW];

#pragma GCC unroll 4
		for (size_t c = 0; c < nv; c++)
			bv[c] = load_elem(b, i * ldb + c * VW, f16);
#pragma GCC unroll 8
		for (size_t r = 0; r < rows; r++) {
			vf x = v_set1(a[r * lda + i]);

#pragma GCC unroll 4
			for (size_t c = 0; c < nv; c++)
				acc[r][c] = v_fma(x, bv[c], acc[r][c]);
		}
	}
#pragma GCC unroll 8
	for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (size_t c = 0; c < nv; c++)
			v_store(out + r * ldo + c * VW, acc[r][c]);
}

/* Rows [r, n_row) that are less than RB, over the NV_FEW or NV vectors from one column on. */
static inline __attribute__((always_inline))
void block_rest(size_t rows, size_t nv, size_t n, const float *a, size_t lda, const void *b, size_t ldb,
		bool f16, float *out, size_t ldo, bool add)
{
	switch (rows) {
	case 1: block(1, nv, n, a, lda, b, ldb, f16, out, ldo, add); break;
	case 2: block(2, nv, n, a, lda, b, ldb, f16, out, ldo, add); break;
	case 3: block(3, nv, n, a, lda, b, ldb, f16, out, ldo, add); break;
#if RB_FEW > 3
	case 4: block(4, nv, n, a, lda, b, ldb, f16, out, ldo, add); break;
	case 5: block(5, nv, n, a, lda, b, ldb, f16, out, ldo, add); break;
#endif
	}
}

static inline const void *at_col(const void *b, size_t c, bool f16)
{
	return f16 ? (const void *)((const uint16_t *)b + c) : (const float *)b + c;
}

/* n_col is a multiple of NV_FEW vectors. */
static void blocks(size_t n_row, size_t n, const float *a, size_t lda, const void *b, size_t ldb,
		   size_t n_col, bool f16, float *out, size_t ldo, bool add)
{
	size_t few = n_row % RB <= RB_FEW ? n_row % RB : n_row % RB - RB_FEW, most = n_row - few;

	for (size_t c = 0; c < n_col && most; c += NV * VW) {
		const void *bc = at_col(b, c, f16);
		size_t r = 0;

		for (; r + RB <= most; r += RB)
			block(RB, NV, n, a + r * lda, lda, bc, ldb, f16, out + r * ldo + c, ldo, add);
		if (r < most)
			block(RB_FEW, NV, n, a + r * lda, lda, bc, ldb, f16, out + r * ldo + c, ldo, add);
	}
	for (size_t c = 0; c < n_col && few; c += NV_FEW * VW)
		block_rest(few, NV_FEW, n, a + most * lda, lda, at_col(b, c, f16), ldb, f16,
			   out + most * ldo + c, ldo, add);
}

/* Turn one row's scores of a page into weights; returns the factor by which its old value shrinks. */
static float soften(float *score, int first, int last, float *m, float *l)
{
	vf top = v_set1(-INFINITY), sum = v_zero();
	float shrink, new_m;

	for (int j = 0; j < KV_PAGE; j += VW) {
		vf s = v_load(score + j);

		if (first > j || last < j + VW) {
			int a = first > j ? (first - j < VW ? first - j : VW) : 0;
			int b = last > j ? (last - j < VW ? last - j : VW) : 0;

			s = v_keep(s, v_set1(-INFINITY), a < b ? a : b, b);
			v_store(score + j, s);
		}
		top = v_max(top, s);
	}
	new_m = fmaxf(v_hmax(top), *m);
	top = v_set1(new_m);
	for (int j = 0; j < KV_PAGE; j += VW) {
		vf s = v_load(score + j), p = v_exp(v_sub(s, top));

		/* v_exp stops at e^-87; what is masked must be nothing at all. */
		if (first > j || last < j + VW) {
			int a = first > j ? (first - j < VW ? first - j : VW) : 0;
			int b = last > j ? (last - j < VW ? last - j : VW) : 0;

			p = v_keep(p, v_zero(), a < b ? a : b, b);
		}
		sum = v_add(sum, p);
		v_store(score + j, p);
	}
	shrink = *m == new_m ? 1.0f : expf(*m - new_m);
	*m = new_m;
	*l = *l * shrink + v_hsum(sum);
	return shrink;
}

/* Rows of scores are a line apart from a power of two: they would share cache sets. */
#define SCORE_LD (KV_PAGE + 16)

static size_t x86_attn_scratch(size_t n_row, size_t head_dim)
{
	return n_row * SCORE_LD + 2 * KV_PAGE * head_dim + 64;
}

static void to_f32(const void *page, size_t n, float *out)
{
	for (size_t i = 0; i < n; i += VW)
		v_store(out + i, v_load_f16((const uint16_t *)page + i));
}

static void x86_attn(const struct attn_args *a)
{
	size_t hd = a->head_dim, n_col = NV_FEW * VW;
	float *score = a->scratch, *kf = score + a->n_row * SCORE_LD, *vfl = kf + KV_PAGE * hd;
	bool convert = a->f16 && a->n_row > 2 * RB;

	if (hd % n_col) {
		kern_ref.attn(a);
		return;
	}
	for (size_t p = 0; p < a->n_page; p++) {
		int64_t base = (int64_t)(p * KV_PAGE);
		const void *k = a->k[p], *v = a->v[p];
		size_t r0 = a->n_row, r1 = 0;
		int last_key = 0;

		/* Rows that see nothing of this page are left out at both ends. */
		for (size_t r = 0; r < a->n_row; r++)
			if (a->hi[r] > base && (!a->lo || a->lo[r] < base + KV_PAGE)) {
				int hi = a->hi[r] - base < KV_PAGE ? (int)(a->hi[r] - base) : KV_PAGE;

				r0 = r < r0 ? r : r0;
				r1 = r + 1;
				last_key = hi > last_key ? hi : last_key;
			}
		if (r0 >= r1)
			continue;
		if (convert) {
			to_f32(k, KV_PAGE * hd, kf);
			to_f32(v, KV_PAGE * hd, vfl);
			k = kf;
			v = vfl;
		}
		blocks(r1 - r0, hd, a->q + r0 * hd, hd, k, KV_PAGE, KV_PAGE, a->f16 && !convert,
		       score + r0 * SCORE_LD, SCORE_LD, false);
		for (size_t r = r0; r < r1; r++) {
			int64_t lo = a->lo ? a->lo[r] - base : 0, hi = a->hi[r] - base;
			int first = lo > 0 ? (int)(lo < KV_PAGE ? lo : KV_PAGE) : 0;
			int last = hi < KV_PAGE ? (int)(hi > 0 ? hi : 0) : KV_PAGE;
			float shrink;

			if (first >= last) {
				memset(score + r * SCORE_LD, 0, KV_PAGE * sizeof(float));
				continue;
			}
			shrink = soften(score + r * SCORE_LD, first, last, &a->m[r], &a->l[r]);
			if (shrink != 1.0f)
				for (size_t d = 0; d < hd; d += VW)
					v_store(a->o + r * hd + d,
						v_mul(v_load(a->o + r * hd + d), v_set1(shrink)));
		}
		blocks(r1 - r0, (size_t)last_key, score + r0 * SCORE_LD, SCORE_LD, v, hd, hd,
		       a->f16 && !convert, a->o + r0 * hd, hd, true);
	}
}

#endif
