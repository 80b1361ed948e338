/* cache/sketch_impl.h - between the files of sketch: one KV head's part of one layer, scored */
#ifndef CACHE_SKETCH_IMPL_H
#define CACHE_SKETCH_IMPL_H

#include "cache/sketch.h"

/* part: the KV head's part of the layer; est [n_block * 32]. */
typedef void sketch_score_fn(const struct sketch_plan *p, const uint8_t *part,
			     const struct sketch_query *sq, float *est);

#ifdef HAVE_X86_KERNELS
void sketch_score_avx2(const struct sketch_plan *p, const uint8_t *part,
		       const struct sketch_query *sq, float *est);
#endif

#endif
