/* engine/plan.h - the layer plan: what kind of transformer a model file describes
 *
 * One generic forward pass runs every architecture; the plan is everything in which they differ, read
 * from the file's keys and from nothing else.  Knows keys and numbers, not tensors (model.h).
 *
 *   near layer  sees its own chunk of attn_chunk tokens only: j visible to p iff j <= p and
 *               j / attn_chunk == p / attn_chunk (block-diagonal, not a sliding window)
 *   far layer   sees every j <= p; the layers whose K and V a library keeps
 *
 * Architectures: llama4, llama, qwen2, qwen3, smollm3 (Llama 4: HF modeling_llama4.py; the others: HF
 * modelling files of the same names).  GGUF has no keys for Llama 4's chunk size, NoPE interval,
 * temperature and QK-norm; the private keys folio.attention.* give them, for llama4 only, and without
 * them Llama 4's own constants hold: 8192, every 4th layer NoPE, floor 8192, scale 0.1, QK-norm on
 * unless there are 128 experts.
 */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "base/err.h"
#include "engine/gguf.h"

#include <stdbool.h>
#include <stdint.h>

enum plan_rope {
	PLAN_ROPE_NORM,		/* rotates pairs (2m, 2m+1) */
	PLAN_ROPE_NEOX		/* rotates pairs (m, m + n_rot/2) */
};

enum plan_qk_norm {
	PLAN_QK_NONE,
	PLAN_QK_AFTER,		/* weightless RMS of each head after RoPE, on RoPE layers only (Llama 4) */
	PLAN_QK_BEFORE		/* RMS with a weight [head_dim] before RoPE (Qwen 3) */
};

struct plan_layer {
	bool uses_rope;		/* 0 = NoPE.  HF's `no_rope_layers` has it the other way round */
	bool is_far;		/* sees everything; else only its own chunk */
	bool scales_query;	/* attention temperature multiplies q */
	bool is_moe;
};

struct plan {
	char     arch[32];
	char     name[96];		/* general.name, or the architecture */
	uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_rot;
	uint32_t n_vocab, n_ctx_train;	/* trained context; at most the sliding window, if the file has one */
	uint32_t n_ff;			/* dense FFN width */
	uint32_t n_ff_expert;		/* width of each expert and of the shared expert */
	uint32_t n_expert, n_expert_used;
	uint32_t attn_chunk;		/* tokens; 0 when no layer is near */
	uint32_t n_far;			/* far layers */
	float    rms_eps, rope_base;
	float    temp_floor, temp_scale;	/* q *= 1 + scale * ln(1 + floor((p + 1) / floor)) */
	enum plan_rope rope;
	enum plan_qk_norm qk_norm;
	struct plan_layer *layer;	/* [n_layer] */
	uint32_t *far_layer;		/* [n_far] layer numbers, ascending */
};

/* Read and check the plan of g.  n_vocab comes from the vocabulary key or, lacking that, from
 * token_embd.weight.  ERR_MODEL names the key that is missing, out of range, or contradictory, and
 * an architecture that is not known.  Release with plan_release. */
int plan_read(struct plan *out, const struct gguf *g, struct err *e);
void plan_release(struct plan *p);

/* True when every far layer is NoPE: stored keys then compose as a set, without positions. */
bool plan_is_irope(const struct plan *p);

/* The factor for the query at position pos (from 0): Llama 4's law, in float32 as HF computes it. */
float plan_temperature(const struct plan *p, int64_t pos);

/* Laws a question may choose from; pages are always made under the model's own. */
enum plan_law {
	PLAN_LAW_MODEL,		/* Llama 4's, with the model's floor and scale */
	PLAN_LAW_LOG,		/* max(1, ln(pos + 1) / ln(n)), n = attn_chunk: as sharp as over one chunk */
	PLAN_LAW_OFF		/* 1 */
};
float plan_temperature_by(const struct plan *p, enum plan_law law, int64_t pos);

#endif
