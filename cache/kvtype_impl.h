/* cache/kvtype_impl.h - between the files of kvtype: the variants of decoding */
#ifndef CACHE_KVTYPE_IMPL_H
#define CACHE_KVTYPE_IMPL_H

#include "cache/kvtype.h"

/* Rows t .. t + n of one head to k and v [n][head_dim]; either may be NULL. */
typedef void kv_decode_fn(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
			  uint32_t n, float *k, float *v);

void kv_encode_q8_row(const float *x, float step, uint32_t n, int8_t *out);

#ifdef HAVE_X86_KERNELS
void kv_decode_rows_avx2(const struct kv_layout *l, const void *body, uint32_t head, uint32_t t,
			 uint32_t n, float *k, float *v);
#endif

#endif
