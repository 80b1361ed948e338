/* engine/kv.h - keys and values of one sequence, in memory
 *
 * Holds, for every layer, the K and V of the tokens a sequence can still see: all of them in far
 * layers, those of the open chunk in near layers (a ring of one chunk: when position p opens a new
 * chunk, the slots are used again).  Stored keys are ready for use: rotated and normalised as the
 * layer wants them.
 *
 * A sequence may stand on a prefix, another kv that must not change or go while it is in use: the
 * preamble, encoded once and shared.  Positions continue after the prefix.
 *
 *     block = one page of KV_PAGE slots in one layer (all KV heads), f16 or f32:
 *         K [n_head_kv][head_dim][KV_PAGE]   then   V [n_head_kv][KV_PAGE][head_dim]
 *
 * Threads: one writer; readers of a prefix may be many.
 */
#ifndef ENGINE_KV_H
#define ENGINE_KV_H

#include "base/err.h"
#include "engine/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_layer {
	void  **block;		/* [n_block], each allocated on first use */
	size_t  n_block;
};

struct kv {
	const struct plan *plan;
	const struct kv *prefix;	/* or NULL; borrowed */
	bool     f16;
	int64_t  start;			/* position of the first own token: the prefix's end, see kv_skip */
	int64_t  n;			/* own tokens */
	bool     torn;			/* a pass failed after a chunk's edge: its last keys are lost */
	struct kv_layer *layer;		/* [plan->n_layer] */
};

/* Empty; start is prefix's end, or 0.  The prefix must have no prefix itself and the same plan and
 * element type (ERR_INVALID). */
int kv_new(struct kv **out, const struct plan *plan, bool f16, const struct kv *prefix, struct err *e);
void kv_free(struct kv *kv);

/* Position of the next token: start + n. */
int64_t kv_end(const struct kv *kv);

/* In layer, the slot of the own token at position pos, counted from slot 0 of block 0. */
size_t kv_slot(const struct kv *kv, uint32_t layer, int64_t pos);

/* Make sure that blocks up to slot exist.  ERR_NOMEM. */
int kv_reserve(struct kv *kv, uint32_t layer, size_t slot, struct err *e);

/* Addresses inside block b of a layer. */
void *kv_k(const struct kv *kv, uint32_t layer, size_t b, uint32_t head);
void *kv_v(const struct kv *kv, uint32_t layer, size_t b, uint32_t head);

/* Does the token at pos see the prefix in this layer?  Always in a far layer; in a near layer while
 * it shares the prefix's chunk. */
bool kv_sees_prefix(const struct kv *kv, uint32_t layer, int64_t pos);
/* How many slots of the prefix's blocks are then filled. */
size_t kv_prefix_slots(const struct kv *kv, uint32_t layer);

/* Leave n positions out between the prefix and the first own token.  ERR_INVALID: there are own tokens
 * already, no prefix, or near layers. */
int kv_skip(struct kv *kv, int64_t n, struct err *e);

/* Forget own tokens from n on.  Only back to the beginning of the open chunk where the plan has near
 * layers (ERR_INVALID: the slots before it were used again). */
int kv_truncate(struct kv *kv, int64_t n, struct err *e);

/* Bytes allocated. */
size_t kv_bytes(const struct kv *kv);

#endif
