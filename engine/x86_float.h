/* engine/x86_float.h - linear layers whose weights are floats: f32, f16, bf16
 *
 * Rows are turned to f32 and multiplied with f32 activations, four tokens at a time.  Small matrices
 * (routers) and unquantised models only, so plain dot products will do.
 */
#ifndef ENGINE_X86_FLOAT_H
#define ENGINE_X86_FLOAT_H

#include "engine/kern.h"
#include "engine/quant.h"
#include "engine/x86_vec.h"

static void float_linear(const struct rows *w, const struct act *a, size_t t0, size_t t1, float *y,
			 size_t ldy, void *scratch)
{
	size_t n = a->n_col;

	for (size_t r = w->r0; r < w->r1; r++) {
		const float *row = scratch;
		size_t t = t0;

		if (w->type == QUANT_F32)
			row = (const float *)(w->data + r * w->row_bytes);
		else
			quant_row_ref(w->type, w->data + r * w->row_bytes, scratch, n);
		for (; t < t1; t += 4) {
			const float *x = a->x + t * n;
			size_t nt = t1 - t < 4 ? t1 - t : 4, i = 0;
			vf s[4] = { v_zero(), v_zero(), v_zero(), v_zero() };
			float tail[4] = { 0 };

			for (; i + VW <= n; i += VW)
				for (size_t j = 0; j < nt; j++)
					s[j] = v_fma(v_load(row + i), v_load(x + j * n + i), s[j]);
			for (; i < n; i++)
				for (size_t j = 0; j < nt; j++)
					tail[j] += row[i] * x[j * n + i];
			for (size_t j = 0; j < nt; j++)
				y[(t + j) * ldy + r] = v_hsum(s[j]) + tail[j];
		}
	}
}

#endif
