/* Mixture of experts as in Llama 4: the k largest router logits choose, sigmoid(logit) scales the
 * expert's INPUT, a shared expert is always added unscaled (reference/llama4.md section 7). */
#include "config.h"

#include "engine/forward_impl.h"

#include <math.h>
#include <string.h>

/* The k largest logits of one token, by falling logit; ties go to the lower expert. */
static void choose(const float *logit, uint32_t n, uint32_t k, int32_t *out)
{
	for (uint32_t j = 0; j < k; j++) {
		int32_t best = -1;

		for (uint32_t i = 0; i < n; i++) {
			bool taken = false;

			for (uint32_t s = 0; s < j; s++)
				taken |= out[s] == (int32_t)i;
			if (!taken && (best < 0 || logit[i] > logit[best]))
				best = (int32_t)i;
		}
		out[j] = best;
	}
}

static float gate_of(float logit)
{
	return 1.0f / (1.0f + expf(-logit));
}

/* y rows [n] = down(silu(gate x) * up x); x is f->moe_x or f->x, n rows. */
static void expert(struct forward *f, const struct weight *gate, const struct weight *up,
		   const struct weight *down, uint32_t mat, const float *x, size_t n, float *y)
{
	const struct plan *p = f->plan;
	struct linear_job g = { .w = gate, .mat = mat, .y = f->gate, .ldy = p->n_ff_expert, .up = up,
				.up_y = f->up };
	struct linear_job d = { .w = down, .mat = mat, .y = y, .ldy = p->n_embd };

	forward_act(f, x, n, p->n_embd);
	linear_run(&f->linear, &g, 1, &f->act);
	forward_act(f, f->gate, n, p->n_ff_expert);
	linear_run(&f->linear, &d, 1, &f->act);
}

/* Tokens are grouped by expert, so that each expert's weights are touched once a batch.  Each token
 * adds its experts in rising order of expert, whatever else is in the batch. */
void moe_layer(struct forward *f, uint32_t layer, size_t n_token)
{
	const struct plan *p = f->plan;
	const struct model_layer *l = &f->model->layer[layer];
	struct linear_job router = { .w = &l->router, .y = f->router, .ldy = p->n_expert };
	size_t ne = p->n_embd;
	uint32_t used = p->n_expert_used;

	forward_act(f, f->x, n_token, ne);
	linear_run(&f->linear, &router, 1, &f->act);
	for (size_t t = 0; t < n_token; t++)
		choose(f->router + t * p->n_expert, p->n_expert, used, f->expert + t * used);
	expert(f, &l->gate_shexp, &l->up_shexp, &l->down_shexp, 0, f->x, n_token, f->moe_y);
	f->kern->axpy(1.0f, f->moe_y, f->h, n_token * ne);
	for (uint32_t x = 0; x < p->n_expert; x++) {
		size_t n = 0;

		for (size_t t = 0; t < n_token; t++)
			for (uint32_t j = 0; j < used; j++) {
				if (f->expert[t * used + j] != (int32_t)x)
					continue;
				float g = gate_of(f->router[t * p->n_expert + x]);

				for (size_t i = 0; i < ne; i++)
					f->moe_x[n * ne + i] = g * f->x[t * ne + i];
				n++;
			}
		if (!n)
			continue;
		expert(f, &l->gate_exps, &l->up_exps, &l->down_exps, x, f->moe_x, n, f->moe_y);
		n = 0;
		for (size_t t = 0; t < n_token; t++)
			for (uint32_t j = 0; j < used; j++)
				if (f->expert[t * used + j] == (int32_t)x)
					f->kern->axpy(1.0f, f->moe_y + ne * n++, f->h + t * ne, ne);
	}
}
