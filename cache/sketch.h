/* cache/sketch.h - one bit per channel: which stored keys a query would like, without reading them
 *
 * For every token, far layer and KV head: the signs of the key, less the mean key of its page, in a
 * rotated basis, and one factor.  A scan over the signs estimates q . k for every token; the best
 * few thousand are then read and scored exactly.  After RaBitQ (arXiv:2405.12497, section 3): there
 * the centre is a cluster's and the rotation random; here it is the page's mean and a fixed
 * Hadamard rotation.  Min/max boxes and mean keys lose the needle at ten million tokens; signs do
 * not.
 *
 *   r = R (k - mean)            R orthonormal: seeded sign flips, then a Hadamard transform over
 *                               blocks of the largest power of two that divides head_dim
 *   bit[c] = r[c] >= 0          s[c] = +1 or -1
 *   factor = |r|^2 / |r|_1      so that  <q, k> ~ <q, mean> + factor * sum_c s[c] (Rq)[c],
 *                               exact for q = k - mean
 *
 * The sum is computed in integers: a table holds the 16 possible sums of every four channels, in
 * 127ths of the largest, and is looked up for 32 tokens at a time.  Integer
 * sums are the same in every variant and every order, so AVX2 and plain C agree bit for bit.
 *
 * A sketch record holds one span, in a segment of kind SEGMENT_SKETCH.  Derived from the pages and
 * rebuilt from them.  Little-endian.
 *
 *   head   0  8  magic "FOLIOSKT"        32  4  version, 1        64 32  identity of the span
 *          8  8  bytes                   36  4  n_token           96 16  geometry, 4 x u32
 *         16 16  XXH3-128 of bytes       40  8  layer_bytes      112     zero up to 128
 *                32 .. head_bytes        48  4  head_bytes
 *                                        52     zero up to 64
 *         128    layer sums: XXH3-128 of each layer's bytes, 16 * n_far_layer; zeros up to
 *                head_bytes, a multiple of 64
 *   layer  for each KV head, head_stride bytes apart:
 *          mean    f16 [n_page][head_dim]
 *          factor  f16 [n_block * 32]                             n_block = ceil(n_token / 32)
 *          sign    u8  [n_block][head_dim / 8][32]                byte t of row g: channels 8g ..
 *          8g+7
 *                                                                 of token t, channel 8g in bit 0
 *          zeros up to a multiple of 64; tokens past the end have factor 0 and signs 0
 *
 * Bytes: head_dim / 8 + 2 + head_dim / 32 per token and head: 22 at 128, 12 at 64.
 * Threads: pure functions over borrowed bytes.
 */
#ifndef CACHE_SKETCH_H
#define CACHE_SKETCH_H

#include "base/err.h"
#include "base/hash.h"
#include "cache/extent.h"
#include "cache/geom.h"

#include <stddef.h>
#include <stdint.h>

struct sketch_plan {
	struct kv_geom geom;
	uint32_t n_token, n_page, n_block;
	uint32_t head_bytes;		/* of the record's head, layer sums included */
	uint32_t factor_off, sign_off;	/* within a KV head's part */
	uint64_t head_stride, layer_bytes, bytes;
};

int sketch_plan_init(struct sketch_plan *p, const struct kv_geom *g, uint32_t n_token,
		     struct err *e);

/* ---- building ---- */

/* Write layer `layer` of the record at out (p->bytes long, 64-aligned, zeroed) from keys f32
 * [n_token][n_head_kv][head_dim].  Layers may be built in different threads.  ERR_INVALID: a value
 * is not finite or its mean too large for f16. */
int sketch_build_layer(const struct sketch_plan *p, void *out, uint32_t layer, const float *k,
		       struct err *e);
/* The plain variant, with the same result. */
int sketch_build_layer_ref(const struct sketch_plan *p, void *out, uint32_t layer, const float *k,
			   struct err *e);
/* When every layer is there: sums and head. */
void sketch_seal(const struct sketch_plan *p, void *out, const struct id *span);
/* Both from the stored pages of an extent, which are checked: what ingest and repair do, so that a
 * sketch made again has the same bytes.  (One built from the keys before the KV type rounded them
 * may differ.)  out as above. */
int sketch_from_extent(const struct sketch_plan *p, const struct extent *x, void *out,
		       struct err *e);

/* ---- reading ---- */

struct sketch {
	struct sketch_plan plan;
	struct id span;
	const uint8_t *data;
};

/* Check the head; the layers are not touched.  ERR_CORRUPT, ERR_NEWER. */
int sketch_parse(struct sketch *out, const void *data, size_t n, struct err *e);
/* Check one layer's bytes; once per process and layer is enough. */
int sketch_check_layer(const struct sketch *s, uint32_t layer, struct err *e);

/* A query of one head, prepared once and used for every span of a layer.  8 KiB, the caller's. */
struct sketch_query {
	uint32_t head_dim;
	float    step;				/* one unit of the tables */
	int32_t  base;				/* what their bias sums up to */
	float    q[KV_MAX_HEAD_DIM];		/* as given: for the mean */
	_Alignas(32) uint8_t table[KV_MAX_HEAD_DIM / 4][16];
};
void sketch_query_init(struct sketch_query *sq, const float *q, uint32_t head_dim);

/* est[t] ~ q . k[t] for all tokens of the span in one layer and KV head; est has room for n_block *
 * 32 floats, those past n_token are garbage.  Unscaled: multiply by 1/sqrt(head_dim) and
 * temperature as the model does.  sketch_score_ref() is the plain variant, with the same bits. */
void sketch_score(const struct sketch *s, uint32_t layer, uint32_t head,
		  const struct sketch_query *sq, float *est);
void sketch_score_ref(const struct sketch *s, uint32_t layer, uint32_t head,
		      const struct sketch_query *sq, float *est);

#endif
