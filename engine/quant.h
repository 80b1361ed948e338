/* engine/quant.h - tensor types: block sizes and the reference dequantisation
 *
 * The numbers are GGUF's.  quant_row_ref() is plain C and the oracle for every faster kernel; it
 * equals the `gguf` Python package bit for bit (tests/vectors/).  Formulas: ggml's block formats, as
 * restated in doc/gguf.md.
 */
#ifndef ENGINE_QUANT_H
#define ENGINE_QUANT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quant_type {
	QUANT_F32 = 0, QUANT_F16 = 1, QUANT_Q4_0 = 2, QUANT_Q4_1 = 3, QUANT_Q5_0 = 6, QUANT_Q5_1 = 7,
	QUANT_Q8_0 = 8, QUANT_Q2_K = 10, QUANT_Q3_K = 11, QUANT_Q4_K = 12, QUANT_Q5_K = 13,
	QUANT_Q6_K = 14, QUANT_IQ4_NL = 20, QUANT_IQ4_XS = 23, QUANT_BF16 = 30
};

struct quant_info {
	const char *name;		/* "Q4_K" */
	uint32_t    block_elems;	/* 1, 32 or 256 */
	uint32_t    block_bytes;
};

/* NULL for a type this program cannot read. */
const struct quant_info *quant_info(int type);

/* A name for any number, also those we cannot read ("IQ2_XXS", "type 99"), for messages. */
const char *quant_name(int type);

/* Bytes of a row of n elements; 0 when n is not a multiple of the block or the type is unknown. */
size_t quant_row_bytes(int type, size_t n);

/* y[0..n) = the row at src; n a multiple of the block.  src need not be aligned. */
void quant_row_ref(int type, const void *src, float *y, size_t n);

/* IEEE half and bfloat16, exact; f32 to f16 rounds to nearest even, overflow to infinity. */
float quant_f16_to_f32(uint16_t h);
uint16_t quant_f32_to_f16(float f);
float quant_bf16_to_f32(uint16_t h);

#endif
