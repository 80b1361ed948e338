/* engine/x86_kern.h - puts one kernel set together; included once by each kern_*.c of x86 */
#ifndef ENGINE_X86_KERN_H
#define ENGINE_X86_KERN_H

#include "engine/x86_attn.h"
#include "engine/x86_elem.h"
#include "engine/x86_few.h"
#include "engine/x86_float.h"
#include "engine/x86_many.h"

static void x86_linear(const struct rows *w, const struct act *a, size_t t0, size_t t1, float *y, size_t ldy,
		       void *scratch)
{
	if (!code_form(w->type).group) {
		float_linear(w, a, t0, t1, y, ldy, scratch);
		return;
	}
	/* The choice follows the whole batch, not the tile: a tile's cut must not change its sums. */
	if (a->n_row > KERN_FEW) {
		many(w, a, t0, t1, y, ldy, scratch);
		return;
	}
	for (size_t t = t0; t < t1; t++)
		few(w, a, t, y + t * ldy, scratch);
}

static size_t x86_linear_scratch(size_t n_col)
{
	return panel_bytes(n_col);
}

#endif
