/* engine/linear.h - linear layers over a batch, cut into tiles for the pool
 *
 * The only place that knows how a weight matrix is divided among threads.  Tiles are fixed by the
 * shapes alone (never by the number of threads), and every output is computed by one tile.
 */
#ifndef ENGINE_LINEAR_H
#define ENGINE_LINEAR_H

#include "base/pool.h"
#include "engine/kern.h"
#include "engine/model.h"

#include <stddef.h>

struct linear {
	const struct kern *kern;
	struct pool *pool;
	void **scratch;		/* [threads], each linear_scratch(max columns) bytes */
};

/* One product of several that share the same activations.
 * y[t * ldy + r] = W_r . x_t + bias[r]; with gate set, y = silu(y) * (gate_up W2_r . x_t). */
struct linear_job {
	const struct weight *w;
	uint32_t     mat;		/* which matrix of w (an expert) */
	const float *bias;		/* [n_row] or NULL */
	float       *y;
	size_t       ldy;
	const struct weight *up;	/* SwiGLU: the second matrix, same shape; or NULL */
	float       *up_y;		/* [n_token][ldy], scratch for it */
};

/* Run all jobs on activations a (all its rows). */
void linear_run(const struct linear *l, const struct linear_job *job, size_t n_job, const struct act *a);

#endif
