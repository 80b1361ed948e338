/* engine/kern.h - the kernels: arrays in, arrays out; no I/O, no malloc, no errors
 *
 * A kernel set is a table of functions for one instruction set.  kern_ref is plain C, stays for ever
 * and is the oracle; the others are proven against it (tests/kern_test.c) and chosen once at start by
 * kern_choose().  Everything accumulates in f32.
 *
 * Linear layers.  The reference multiplies dequantised weights with f32 activations.  The fast sets
 * multiply quantised weights with activations in int8, one scale for every 32 (struct act), as int8
 * dot products with exact i32 sums inside a block; float weights stay in f32 in every set.
 *
 * Attention works on pages of KV_PAGE tokens of one KV head:
 *
 *     K page  [head_dim][KV_PAGE]   one channel's 64 keys side by side: scores need no horizontal sums
 *     V page  [KV_PAGE][head_dim]   one token's value side by side
 *
 * in f16 or f32.  It returns running (max, sum, value), so partial results over any partition of the
 * keys merge exactly (online softmax: Milakov & Gimelshein 2018, arXiv:1805.02867; blockwise as in
 * FlashAttention, arXiv:2205.14135, here one page a block).
 *
 * Threads: kernels are pure.  Which output a call computes does not change any output's value, so a
 * loop may be cut into tiles in any way: each y[t][r] is summed in one fixed order (two orders in the
 * fast sets: few tokens and many; KERN_FEW tells where they meet).
 */
#ifndef ENGINE_KERN_H
#define ENGINE_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_PAGE   64		/* tokens a page, design: identity and checksum have this grain too */
#define ACT_BLOCK 32		/* activations that share a scale */
#define KERN_FEW  4		/* up to so many tokens a linear layer runs row by row (decode) */
#define KERN_PANEL 32		/* rows of a weight that the many-token kernels unpack together */

/* Activations of n_row tokens, n_col values each, and their int8 form: x ~ q * d + q2 * d2.
 *
 * A block's scale follows its largest value, and a few channels of a trained model are many times
 * larger than the rest: their blocks made nearly all of the error.  So a block whose largest value
 * exceeds ACT_COARSE times the row's mean of largest values gets a second digit, q2, 254 times finer;
 * elsewhere d2 and q2 are zero.  Measured on SmolLM2-135M over 512 positions of text: mean KL
 * against the reference 3.1e-3 without it, 1.3e-3 with 3, 7.0e-4 with 2 (9 % of the blocks).
 * Everything but x is NULL in f32-only use. */
struct act {
	size_t   n_row, n_col;
	const float *x;		/* [n_row][n_col] */
	int8_t  *q, *q2;	/* [n_row][n_col], at most 127 in absolute value */
	float   *d, *d2;	/* [n_row][n_col / 32] */
	float   *s;		/* [n_row][n_col / 16], sums of q * d + q2 * d2 over 16: for types with an offset */
	/* The same for the many-token kernels, filled when n_row > KERN_FEW: tiles of ACT_TILE tokens,
	 * block by block, so that a tile is read in one sweep from one pointer.  The tokens past n_row of
	 * the last tile hold anything. */
	int8_t  *tile_q, *tile_q2;	/* [n_tile][n_col / 32][ACT_TILE][32] */
	struct act_scales *tile_s;	/* [n_tile][n_col / 32] */
};

#define ACT_COARSE 2.0f
#define ACT_TILE   12

/* What goes with one block of 32 columns of ACT_TILE tokens. */
struct act_scales {
	float   d[ACT_TILE], s32[ACT_TILE], s16[2][ACT_TILE];	/* s over 32 and over 16 */
	/* What takes a bias of the weights out: -128 * sum of q with VNNI; with AVX2 two 16-bit numbers,
	 * minus the sums of the first and of the second two of each four columns. */
	int32_t z32[ACT_TILE], z16[2][ACT_TILE];
	float   d2[ACT_TILE];
	int32_t z32_2[ACT_TILE], z16_2[2][ACT_TILE];	/* of q2 */
	uint32_t fine;		/* some token has a second digit here */
	uint32_t pad[3];
};

/* Rows [r0, r1) of a weight matrix [..][n_col]. */
struct rows {
	const uint8_t *data;	/* of row 0 */
	int    type;		/* enum quant_type */
	size_t row_bytes;
	size_t r0, r1;
};

/* Queries of one KV head against a run of pages. */
struct attn_args {
	const float *q;		/* [n_row][head_dim], scaled by 1/sqrt(head_dim) and temperature */
	size_t   n_row, head_dim;
	const void *const *k;	/* [n_page] K pages */
	const void *const *v;	/* [n_page] V pages */
	size_t   n_page;
	bool     f16;		/* element type of all pages; else f32 */
	const int64_t *lo;	/* [n_row] first key a row sees, counted from page 0, or NULL: 0 */
	const int64_t *hi;	/* [n_row] one past the last; a row with hi <= lo sees nothing */
	/* in and out: the running state; start with m = -inf, l = 0, o = 0 */
	float   *m, *l;		/* [n_row] maximum of scores, sum of exp(score - m) */
	float   *o;		/* [n_row][head_dim] sum of exp(score - m) * v */
	float   *scratch;	/* kern->attn_scratch(n_row, head_dim) floats, 64-byte aligned */
};

struct kern {
	const char *name;	/* "ref", "avx2", "avx512" */
	bool int8;		/* quantised weights want act.q */

	/* y[n] = x / sqrt(mean(x^2) + eps) * w; w NULL: no weight.  y may be x. */
	void (*rms_norm)(const float *x, const float *w, float *y, size_t n, float eps);
	/* Fill the int8 form of row t; n_col a multiple of 32. */
	void (*quant_act)(const struct act *a, size_t t);
	/* y[t * ldy + r] = W_r . x_t for rows [r0, r1) and tokens [t0, t1).  scratch holds
	 * linear_scratch(n_col) bytes, 64-byte aligned. */
	void (*linear)(const struct rows *w, const struct act *a, size_t t0, size_t t1, float *y,
		       size_t ldy, void *scratch);
	size_t (*linear_scratch)(size_t n_col);
	/* gate[i] = silu(gate[i]) * up[i] */
	void (*swiglu)(float *gate, const float *up, size_t n);
	/* y[i] += a * x[i] */
	void (*axpy)(float a, const float *x, float *y, size_t n);
	void (*attn)(const struct attn_args *a);
	size_t (*attn_scratch)(size_t n_row, size_t head_dim);
	/* The physical limits, for `folio bench`: run n rounds of independent multiply-adds of the kind
	 * `linear` is made of, in registers, and return how many multiply-adds that were; read n bytes
	 * once and return something made of all of them.  The caller holds the clock. */
	uint64_t (*spin)(size_t n);
	uint64_t (*read)(const void *p, size_t n);
};

extern const struct kern kern_ref;

/* The set by name ("auto", "ref", "avx2", "avx512"); NULL when unknown or not possible on this
 * processor.  "auto" is the fastest possible one. */
const struct kern *kern_choose(const char *name);

/* The n-th possible set on this processor, from 0 (always kern_ref), for tests; NULL past the end. */
const struct kern *kern_at(int n);

/* Copy one K and V vector of n_token tokens into pages.  src is [n_token][ld]; tokens land at slots
 * [slot, slot + n_token) of consecutive pages k[], v[] (slot counts from the first page). */
void kern_put_k(void *const *page, size_t slot, const float *src, size_t n_token, size_t ld,
		size_t head_dim, bool f16);
void kern_put_v(void *const *page, size_t slot, const float *src, size_t n_token, size_t ld,
		size_t head_dim, bool f16);

#endif
