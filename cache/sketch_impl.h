/* cache/sketch_impl.h - between the files of sketch: what has variants, all with the same bits */
#ifndef CACHE_SKETCH_IMPL_H
#define CACHE_SKETCH_IMPL_H

#include "cache/sketch.h"

/* part: the KV head's part of the layer; est [n_block * 32]. */
typedef void sketch_score_fn(const struct sketch_plan *p, const uint8_t *part,
			     const struct sketch_query *sq, float *est);

/* Sums over channels run in eight lanes, channel c in lane c % 8, which are added as
 * ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)); sums over tokens run in their order. */
struct sketch_maker {
	/* sum[c] += k[c] */
	void (*add)(const float *k, uint32_t d, float *sum);
	/* r = R (k - mean), flip being the signs of R; bit c % 8 of sign[c / 8] is r[c] >= 0; and
	 * the two norms of r, the second one squared. */
	void (*token)(const float *k, const float *mean, const float *flip, uint32_t d,
		      uint8_t *sign, float *l1, float *l2);
};

#ifdef HAVE_X86_KERNELS
extern const struct sketch_maker sketch_maker_avx2;
void sketch_score_avx2(const struct sketch_plan *p, const uint8_t *part,
		       const struct sketch_query *sq, float *est);
#endif

#endif
