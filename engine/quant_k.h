/* engine/quant_k.h - the 256-element blocks ("K types"), for quant.c
 *
 * Each function writes the 256 values of one block.  Layouts, in bytes:
 *
 *   Q2_K   84   scales 16 (scale in the low, minimum in the high half) | qs 64 | d | dmin
 *   Q3_K  110   hmask 32 | qs 64 | scales 12 (sixteen 6-bit) | d
 *   Q4_K  144   d | dmin | scales 12 (eight 6-bit scales, eight 6-bit minima) | qs 128
 *   Q5_K  176   d | dmin | scales 12 (the same) | qh 32 | qs 128
 *   Q6_K  210   ql 128 | qh 64 | scales 16 (int8) | d
 *
 * d and dmin are halves.  The drawing of every bit is in doc/gguf.md.
 */
#ifndef ENGINE_QUANT_K_H
#define ENGINE_QUANT_K_H

#include <stdint.h>

void quant_block_q2_k(const uint8_t *b, float *y);
void quant_block_q3_k(const uint8_t *b, float *y);
void quant_block_q4_k(const uint8_t *b, float *y);
void quant_block_q5_k(const uint8_t *b, float *y);
void quant_block_q6_k(const uint8_t *b, float *y);

/* The scale and minimum of sub-block 0..7 of Q4_K and Q5_K, from their 12 bytes. */
void quant_scale_min(const uint8_t *s, int sub, int *scale, int *min);

#endif
