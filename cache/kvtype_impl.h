/* cache/kvtype_impl.h - between the files of kvtype: what has variants */
#ifndef CACHE_KVTYPE_IMPL_H
#define CACHE_KVTYPE_IMPL_H

#include "cache/kvtype.h"

/* Rows t .. t + n of one head to k and v [n][head_dim]; either may be NULL. */
typedef void kv_decode_fn(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
			  uint32_t n, float *k, float *v);

/* Rows of n floats, n a multiple of 8; every variant gives the same bits. */
struct kv_encoder {
	float (*abs_max)(const float *x, uint32_t n);	/* NaN when there is one */
	void  (*f16_row)(const float *x, uint32_t n, uint8_t *out);
	void  (*q8_row)(const float *x, float step, uint32_t n, int8_t *out);
	void  (*min_max)(const float *x, uint32_t n, float *lo, float *hi);	/* updates */
	void  (*q4_row)(const float *x, const float *lo, const float *step, uint32_t n,
			uint8_t *out);
};
extern const struct kv_encoder kv_encoder_ref;

#ifdef HAVE_X86_KERNELS
extern const struct kv_encoder kv_encoder_avx2;
void kv_decode_rows_avx2(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
			 uint32_t n, float *k, float *v);
#endif

#endif
