/* engine/forward.h - the forward pass: one, driven by the plan, for every architecture
 *
 * Layer-major: all tokens of a batch, of however many sequences, go through one layer before the next
 * one is touched, so that each weight (each expert) is read and unpacked once a batch.  Per layer
 * (reference/llama4.md sections 2 to 7, restated in engine/README.md):
 *
 *     norm -> q, k, v -> [far sink] -> RoPE, QK-norm, temperature -> store K, V -> attend -> o -> + h
 *     norm -> gate, up, swiglu, down  or  router, experts, shared expert -> + h
 *
 * Threads: one forward pass at a time per struct forward; it runs on its pool.  Results do not depend
 * on the number of threads: every tile computes its outputs in a fixed order.
 */
#ifndef ENGINE_FORWARD_H
#define ENGINE_FORWARD_H

#include "base/err.h"
#include "base/pool.h"
#include "engine/kern.h"
#include "engine/kv.h"
#include "engine/model.h"

#include <stddef.h>
#include <stdint.h>

struct forward;

/* Running softmax state of a batch of queries, see kern.h: m, l [n_token][n_head],
 * o [n_token][n_head][head_dim]. */
struct far_state {
	float *m, *l, *o;
};

/* More keys for the far layers of an item than its own kv holds: pages of a library.  attend merges
 * them into the state; q is [n_token][n_head][head_dim], scaled.  far counts far layers from 0.  Items that
 * follow each other with the same source are one call: many questions share one scan.  When the model's last
 * layer is a far one, it is asked only for tokens whose logits are wanted. */
struct far_source {
	void *ctx;
	int (*attend)(void *ctx, uint32_t far, const float *q, size_t n_token,
		      const struct far_state *state, struct err *e);
	/* Tokens that the temperature counts beside the item's own positions, and the law it follows. */
	int64_t n_mounted;
	enum plan_law law;
};

/* Receives K and V of far layers as they are made, before rotation: [n_token][n_head_kv][head_dim],
 * valid during the call. */
struct far_sink {
	void *ctx;
	int (*put)(void *ctx, uint32_t far, const float *k, const float *v, size_t n_token, struct err *e);
};

/* Receives, per far layer, the scaled and rotated queries: [n_token][n_head][head_dim]. */
struct query_tap {
	void *ctx;
	void (*put)(void *ctx, uint32_t far, const float *q, size_t n_token);
};

/* Tokens that continue one sequence.  Distinct items of one call have distinct kv. */
struct fwd_item {
	struct kv     *kv;		/* grows by n */
	const int32_t *token;
	size_t         n;
	float         *logits;		/* where to put them, or NULL */
	bool           all_logits;	/* [n][n_vocab]; else of the last token only, [n_vocab] */
	const struct far_source *source;	/* or NULL */
	const struct far_sink   *sink;		/* or NULL */
	const struct query_tap  *tap;		/* or NULL */
	uint32_t       n_layer;		/* stop after so many layers (no logits then); 0 = all */
	/* Only the sink is wanted: nothing is computed behind the last far layer's keys and values when
	 * all items of a call say so.  kv then lacks that layer and must not be continued. */
	bool           keys_only;
};

/* n_batch: tokens that one pass may hold (memory grows with it). */
int forward_new(struct forward **out, const struct model *m, const struct kern *kern, struct pool *pool,
		size_t n_batch, struct err *e);
void forward_free(struct forward *f);
size_t forward_batch(const struct forward *f);

/* Run all items; together at most n_batch tokens (ERR_INVALID), ids inside the vocabulary
 * (ERR_INVALID).  After an error the items' kv are as before the call; only one whose tokens crossed the
 * edge of an open chunk is lost (its near keys were written over), and refused from then on. */
int forward_run(struct forward *f, const struct fwd_item *item, size_t n_item, struct err *e);

/* Rotate keys [n][n_head_kv][head_dim] as layer does for positions pos, pos + 1, ..., in place, with
 * the norm that follows it: turns what a far_sink received into what a kv stores. */
void forward_place_keys(const struct forward *f, uint32_t layer, float *k, size_t n, int64_t pos);

/* The rotation of a position: n_rot / 2 cosines, then as many sines. */
void forward_angles(const struct forward *f, int64_t pos, float *cos_sin);

#endif
