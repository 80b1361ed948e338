/* cache/spanidx.h - the retrieval heads' keys, alone and small
 *
 * For models whose far layers use RoPE, spans are chosen before they are attended to, by a few
 * (layer, KV head) pairs of the model itself.  Their keys, before rotation as stored, are kept a
 * second time in int8, so that scoring a library reads half a kilobyte a token and no page.  Which
 * pairs is the caller's list; `profile` is the identity of that list, and parts of another profile
 * are refused.  Derived, rebuilt from pages.
 *
 * A part holds one span, in a segment of kind SEGMENT_SPANIDX.  Little-endian.
 *
 *   head   0  8  magic "FOLIOSIX"        32  4  version, 1        64 32  identity of the span
 *          8  8  bytes                   36  4  n_token           96 32  profile
 *         16 16  XXH3-128 of bytes       40  4  n_pair           128     zero up to 192
 *                32 .. end               44  4  head_dim
 *                                        48  8  pair_bytes, stride
 *   pair   code  i8  [n_token][head_dim]         key = step * code, error at most step / 2
 *          step  f16 [n_token]                   max|key| / 127, rounded up
 *          zeros up to a multiple of 64
 *
 * Threads: pure functions over borrowed bytes.
 */
#ifndef CACHE_SPANIDX_H
#define CACHE_SPANIDX_H

#include "base/err.h"
#include "base/hash.h"
#include "cache/extent.h"

#include <stddef.h>
#include <stdint.h>

#define SPANIDX_MAX_PAIR 4096u

struct spanidx_pair {
	uint32_t far_layer;
	uint32_t head;			/* KV head */
};

struct spanidx_plan {
	uint32_t n_token, n_pair, head_dim;
	uint32_t step_off;		/* within a pair */
	uint64_t pair_bytes, bytes;
};

int spanidx_plan_init(struct spanidx_plan *p, uint32_t n_token, uint32_t n_pair, uint32_t head_dim,
		      struct err *e);

/* Write pair number `pair` of the part at out (p->bytes long, zeroed) from one head's keys; rows of
 * head_dim floats are `stride` floats apart, so a whole layer's K can be given with stride
 * kv_row(). */
int spanidx_build_pair(const struct spanidx_plan *p, void *out, uint32_t pair, const float *k,
		       size_t stride, struct err *e);
void spanidx_seal(const struct spanidx_plan *p, void *out, const struct id *span,
		  const struct id *profile);
/* All pairs from the stored pages.  ERR_INVALID: a pair the extent does not have.  ERR_CORRUPT: a
 * strip it needs is damaged. */
int spanidx_from_extent(const struct spanidx_plan *p, const struct extent *x,
			const struct spanidx_pair *pair, const struct id *profile, void *out,
			struct err *e);

struct spanidx {
	struct spanidx_plan plan;
	struct id span, profile;
	const uint8_t *data;
};

/* Check head and all bytes (one pass at memory speed; once per process is enough).  profile may be
 * NULL.  ERR_CORRUPT, ERR_NEWER; ERR_MISMATCH: another profile. */
int spanidx_parse(struct spanidx *out, const void *data, size_t n, const struct id *profile,
		  struct err *e);

/* The same for bytes that spanidx_parse() found good before: only the profile is looked at. */
int spanidx_parse_again(struct spanidx *out, const void *data, const struct id *profile,
			struct err *e);

/* Keys of one pair: codes [n_token][head_dim] and f16 steps [n_token], borrowed. */
void spanidx_get(const struct spanidx *s, uint32_t pair, const int8_t **code,
		 const uint16_t **step);

#endif
