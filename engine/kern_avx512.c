/* The kernels compiled for AVX-512 F, BW, VL, DQ and VNNI. */
#include "config.h"

#include "engine/x86_kern.h"

extern const struct kern kern_avx512;

const struct kern kern_avx512 = {
	.name = "avx512", .int8 = true,
	.rms_norm = x86_rms_norm, .quant_act = x86_quant_act,
	.linear = x86_linear, .linear_scratch = x86_linear_scratch,
	.swiglu = x86_swiglu, .axpy = x86_axpy,
	.attn = x86_attn, .attn_scratch = x86_attn_scratch,
	.spin = x86_spin, .read = x86_read,
};
