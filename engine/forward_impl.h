/* engine/forward_impl.h - what forward.c, attend.c and moe.c share; nobody else includes it */
#ifndef ENGINE_FORWARD_IMPL_H
#define ENGINE_FORWARD_IMPL_H

#include "engine/forward.h"
#include "engine/linear.h"

#include <stdbool.h>

/* Rows of queries that one attention task takes: group heads of QT tokens. */
#define ATTEND_ROWS 48

struct forward {
	const struct model *model;
	const struct plan  *plan;
	const struct kern  *kern;
	struct pool   *pool;
	struct linear  linear;
	size_t n_batch;
	float *inv_freq;		/* [n_rot / 2], after rope factors */
	/* per token, n_batch rows each */
	float *h, *x;			/* [n_embd] */
	float *q, *att;			/* [n_head * head_dim] */
	float *k, *v;			/* [n_head_kv * head_dim] */
	float *gate, *up;		/* [max FFN width] */
	float *cos_sin;			/* [n_rot]: cos then sin, half each */
	int64_t *pos;
	float *temperature;		/* query factor of NoPE layers, times 1/sqrt(head_dim) */
	float *state_m, *state_l;	/* [n_head], running softmax of a layer */
	struct act act;			/* one at a time: of the norm, of att, of gate */
	struct act act_room;		/* int8 forms of n_batch rows of the widest layer */
	/* MoE */
	float *router;			/* [n_expert] */
	int32_t *expert;		/* [n_expert_used] chosen, by token */
	float *moe_x, *moe_y;		/* gathered rows of one expert */
	/* attention scratch, one a worker */
	float **attn_scratch;
	void  **linear_scratch;
};

/* Fill f->act from rows x [n][n_col]; int8 form too where the weights of the next product want it. */
void forward_act(struct forward *f, const float *x, size_t n, size_t n_col);

/* Attention of one layer over all items, q in f->q (scaled), K and V in f->k, f->v; result in f->att. */
int attend_layer(struct forward *f, uint32_t layer, const struct fwd_item *item, size_t n_item,
		 struct err *e);

/* f->h += routed and shared experts of the normed rows f->x. */
void moe_layer(struct forward *f, uint32_t layer, size_t n_token);

#endif
