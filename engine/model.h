/* engine/model.h - a model file with its tensors bound to the plan
 *
 * Matrices stay where they are in the mapping, in the type they have; vectors (norms, biases, rope
 * factors) are copied out as f32, since they are small and read all the time.  Every shape is
 * checked against the plan here, so that the forward pass need not look again.
 *
 * Threads: read-only after open.
 */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

#include "base/err.h"
#include "base/hash.h"
#include "engine/gguf.h"
#include "engine/plan.h"

#include <stddef.h>
#include <stdint.h>

/* A matrix W [n_row][n_col], or n_mat of them (experts), row-major: y = W x. */
struct weight {
	const uint8_t *data;
	int      type;			/* enum quant_type */
	uint32_t n_row, n_col, n_mat;
	size_t   row_bytes, mat_bytes;
	const struct gguf_tensor *tensor;	/* NULL: the model has no such matrix */
};

struct model_layer {
	const float *attn_norm, *ffn_norm;	/* [n_embd] */
	const float *q_norm, *k_norm;		/* [head_dim] or NULL */
	const float *q_bias, *k_bias, *v_bias, *o_bias;	/* or NULL */
	struct weight q, k, v, o;
	struct weight gate, up, down;		/* dense layers */
	struct weight router;			/* [n_expert][n_embd], MoE layers */
	struct weight gate_exps, up_exps, down_exps;
	struct weight gate_shexp, up_shexp, down_shexp;
};

struct model {
	struct gguf *gguf;
	struct plan  plan;
	struct weight embd;			/* [n_vocab][n_embd] */
	struct weight output;			/* the same, or embd itself when tied */
	const float *output_norm;		/* [n_embd] */
	const float *rope_factor;		/* [n_rot/2]: frequencies are divided by it; or NULL */
	struct model_layer *layer;		/* [n_layer] */
	float  *floats;				/* the memory behind all vectors */
	size_t  n_float;
};

/* ERR_MODEL names the tensor that is missing, has another shape, or is one that the plan has no use for. */
int model_open(struct model **out, const char *path, struct err *e);
void model_close(struct model *m);

/* Identity of the weights: BLAKE2b over plan keys and, of each tensor, name, type, shape and bytes
 * sampled at 4 KiB in every MiB (whole when smaller).  Cheap enough for every open (some ms a GB); a
 * changed file of the same size is found unless it differs only between the samples. */
void model_id(const struct model *m, struct id *out);

/* Walk all float data, dequantised: the first value that is not finite is reported as ERR_MODEL with
 * tensor and index.  Reads the whole file. */
int model_scan(const struct model *m, struct err *e);
/* The same for one tensor of the file. */
int model_scan_tensor(const struct model *m, const struct gguf_tensor *t, struct err *e);

#endif
