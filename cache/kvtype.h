/* cache/kvtype.h - how keys and values are stored: f16, q8, q4
 *
 * The body of a strip: K and V of one page in one far layer.  Heads follow each other, each in a
 * block of head_bytes (a multiple of 64), so that one KV head's keys are one contiguous run and an
 * attention kernel can work on the stored form.  Knows nothing of checksums or files (extent.h).
 *
 *   body = block(head 0) block(head 1) ... block(n_head_kv - 1)
 *   block, offsets in struct kv_layout (n = tokens of the page, d = head_dim, all little-endian):
 *
 *   f16   k   f16 [n][d]          v   f16 [n][d]
 *   q8    k    i8 [n][d]          v    i8 [n][d]       k_step f16 [n]   v_step f16 [n]
 *   q4    k    u4 [64][d]         v    u4 [64][d]      k_step f16 [d]   k_lo f16 [d]
 *                                                      v_step f16 [64][d/g]  v_lo f16 [64][d/g]
 *   then zeros up to head_bytes
 *
 *   q8    x[t][c] = step[t] * code[t][c],              code in -127..127
 *   q4 K  x[t][c] = lo[c] + step[c] * code[t][c],      code in 0..15: per channel over the page
 *   q4 V  x[t][c] = lo[t][c/g] + step[t][c/g] * code,  per token in groups of g = v_group channels
 *   u4    row of d/2 bytes; byte j holds channel j in its low nibble and channel j + d/2 in its
 *         high nibble, so that both halves of a row unpack to contiguous channels
 *
 * q4 exists for full pages only; kv_page_type() gives the first page of a span (the sink: its keys
 * are unlike all others) and short pages q8.  4-bit K per token is unusable (NLL 2.80 against
 * 1.10), per channel over 64 un-rotated keys loses nothing measurable; KVQuant (arXiv:2401.18079)
 * found the same and stores outliers apart, which we do not.
 *
 * ERROR BOUNDS, for every finite input within the f16 range, proven by tests/kvtype_test.c:
 *   f16  |x' - x| <= 2^-11 |x|, or 2^-25 where x is subnormal in f16
 *   q8   |x' - x| <= step / 2,  step = max|x| of (token, head) / 127, rounded up to f16
 *   q4   |x' - x| <= step / 2,  step = (max - lo) / 15 of the group, rounded up to f16, lo = min
 *        rounded down to f16; plus one rounding of the f32 sum
 * Codes are chosen against the rounded step and lo, so their rounding adds nothing.
 *
 * Every variant (plain C, AVX2) encodes to the same bytes, and decodes to the same bits: decoding
 * is exact arithmetic up to one f32 rounding.  Threads: all functions are pure.
 */
#ifndef CACHE_KVTYPE_H
#define CACHE_KVTYPE_H

#include "cache/geom.h"

#include <stddef.h>
#include <stdint.h>

enum kv_type {
	KV_F16 = 1,
	KV_Q8 = 2,
	KV_Q4 = 3
};

/* "f16", "q8", "q4"; "?" for anything else.  kv_type_parse: 0 when the name is none of them. */
const char *kv_type_name(int type);
int kv_type_parse(const char *name);

/* The type of page pgno, n_token tokens long, in a span stored as `want`. */
enum kv_type kv_page_type(enum kv_type want, uint32_t pgno, uint32_t n_token);

/* Where things lie in one head's block; offsets in bytes from the block's start.  What a type does
 * not have is 0. */
struct kv_layout {
	enum kv_type type;
	uint32_t n_token;
	uint32_t n_head_kv;
	uint32_t head_dim;
	uint32_t v_group;		/* q4: channels per group of V; 64, 32 or head_dim */
	uint32_t k, v;
	uint32_t k_step, k_lo;
	uint32_t v_step, v_lo;
	uint32_t head_bytes;		/* stride from head to head */
	uint32_t body_bytes;		/* n_head_kv * head_bytes */
};

/* Fill *l for a page of n_token tokens (1..64) under a geometry that passed kv_geom_check().
 * ERR_INVALID: unknown type, or q4 for a short page. */
int kv_layout_init(struct kv_layout *l, const struct kv_geom *g, enum kv_type type,
		   uint32_t n_token, struct err *e);

/* Encode one page: k and v are f32 [n_token][n_head_kv][head_dim] (token rows kv_row() apart), body
 * is l->body_bytes long and written whole.  ERR_INVALID: a value is not finite or too large for the
 * type (65504 for f16 and q4, 127 times that for q8); body is then garbage. */
int kv_encode(const struct kv_layout *l, const float *k, const float *v, void *body,
	      struct err *e);
/* The plain variant, with the same result. */
int kv_encode_ref(const struct kv_layout *l, const float *k, const float *v, void *body,
		  struct err *e);

/* Decode one head to f32 [n_token][head_dim], K to k and V to v; either may be NULL.  The fastest
 * variant for this processor; kv_decode_head_ref() is the plain one, with the same result. */
void kv_decode_head(const struct kv_layout *l, const void *body, uint32_t head, float *k, float *v);
void kv_decode_head_ref(const struct kv_layout *l, const void *body, uint32_t head, float *k,
			float *v);

/* Decode a single token of one head to f32 [head_dim]: what re-ranking reads. */
void kv_decode_token(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
		     float *k, float *v);

/* IEEE half, exact to f32; to f16: nearest even, up (towards +inf) and down. */
float kv_f16_to_f32(uint16_t h);
uint16_t kv_f32_to_f16(float f);
uint16_t kv_f32_to_f16_up(float f);
uint16_t kv_f32_to_f16_down(float f);

#endif
