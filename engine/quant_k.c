#include "config.h"

#include "engine/quant_k.h"

#include "engine/quant.h"

#include <string.h>

static float load_half(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return quant_f16_to_f32(v);
}

void quant_scale_min(const uint8_t *s, int sub, int *scale, int *min)
{
	if (sub < 4) {
		*scale = s[sub] & 63;
		*min = s[sub + 4] & 63;
	} else {
		*scale = (s[sub + 4] & 15) | s[sub - 4] >> 6 << 4;
		*min = s[sub + 4] >> 4 | s[sub] >> 6 << 4;
	}
}

/* Two- and three-bit values lie alike: in each half of the block, bit pair g of byte l is element
 * 32 g + l, and every 16 elements share a scale. */
void quant_block_q2_k(const uint8_t *b, float *y)
{
	const uint8_t *scales = b, *qs = b + 16;
	float d = load_half(b + 80), dmin = load_half(b + 82);

	for (int sub = 0; sub < 16; sub++) {
		const uint8_t *q = qs + 32 * (sub / 8) + 16 * (sub % 2);
		int shift = 2 * (sub % 8 / 2);
		float dl = d * (float)(scales[sub] & 15), ml = dmin * (float)(scales[sub] >> 4);

		for (int j = 0; j < 16; j++)
			*y++ = dl * (float)(q[j] >> shift & 3) - ml;
	}
}

void quant_block_q3_k(const uint8_t *b, float *y)
{
	const uint8_t *hmask = b, *qs = b + 32, *s = b + 96;
	float d = load_half(b + 108);

	for (int sub = 0; sub < 16; sub++) {
		const uint8_t *q = qs + 32 * (sub / 8) + 16 * (sub % 2);
		const uint8_t *h = hmask + 16 * (sub % 2);
		int shift = 2 * (sub % 8 / 2), bit = sub / 2;
		int lo = s[sub % 8] >> (sub < 8 ? 0 : 4) & 15;
		int hi = s[8 + sub % 4] >> 2 * (sub / 4) & 3;
		float dl = d * (float)((lo | hi << 4) - 32);

		/* A high bit that is set adds nothing; one that is not takes four away. */
		for (int j = 0; j < 16; j++)
			*y++ = dl * (float)((q[j] >> shift & 3) - (h[j] >> bit & 1 ? 0 : 4));
	}
}

/* Each 32 bytes of qs are two sub-blocks: low halves the even one, high halves the odd one. */
void quant_block_q4_k(const uint8_t *b, float *y)
{
	const uint8_t *qs = b + 16;
	float d = load_half(b), dmin = load_half(b + 2);

	for (int sub = 0; sub < 8; sub++) {
		const uint8_t *q = qs + 32 * (sub / 2);
		int shift = 4 * (sub % 2), scale, min;
		float dl, ml;

		quant_scale_min(b + 4, sub, &scale, &min);
		dl = d * (float)scale;
		ml = dmin * (float)min;
		for (int j = 0; j < 32; j++)
			*y++ = dl * (float)(q[j] >> shift & 15) - ml;
	}
}

/* As Q4_K; bit sub of qh[j] is the fifth bit of element j of sub-block sub. */
void quant_block_q5_k(const uint8_t *b, float *y)
{
	const uint8_t *qh = b + 16, *qs = b + 48;
	float d = load_half(b), dmin = load_half(b + 2);

	for (int sub = 0; sub < 8; sub++) {
		const uint8_t *q = qs + 32 * (sub / 2);
		int shift = 4 * (sub % 2), scale, min;
		float dl, ml;

		quant_scale_min(b + 4, sub, &scale, &min);
		dl = d * (float)scale;
		ml = dmin * (float)min;
		for (int j = 0; j < 32; j++)
			*y++ = dl * (float)((q[j] >> shift & 15) | (qh[j] >> sub & 1) << 4) - ml;
	}
}

/* In each half of the block: elements 32 g + l take their low four bits from ql[32 (g % 2) + l],
 * the low half of the byte for g < 2, and two high bits from bit pair g of qh[l]. */
void quant_block_q6_k(const uint8_t *b, float *y)
{
	const uint8_t *scales = b + 192;
	float d = load_half(b + 208);

	for (int sub = 0; sub < 16; sub++) {
		int g = sub % 8 / 2, shift = g < 2 ? 0 : 4;
		const uint8_t *ql = b + 64 * (sub / 8) + 32 * (g % 2) + 16 * (sub % 2);
		const uint8_t *qh = b + 128 + 32 * (sub / 8) + 16 * (sub % 2);
		float dl = d * (float)(int8_t)scales[sub];

		for (int j = 0; j < 16; j++) {
			int q = (ql[j] >> shift & 15) | (qh[j] >> 2 * g & 3) << 4;

			*y++ = dl * (float)(q - 32);
		}
	}
}
