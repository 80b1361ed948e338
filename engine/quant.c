#include "config.h"

#include "engine/quant.h"

#include "base/size.h"
#include "engine/quant_k.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Built without contraction (see Makefile.am): a fused multiply-add would round once where the
 * reference rounds twice, and this file has to be equal to it in every bit. */

static const struct quant_info info[] = {
	[QUANT_F32]    = { "F32", 1, 4 },
	[QUANT_F16]    = { "F16", 1, 2 },
	[QUANT_Q4_0]   = { "Q4_0", 32, 18 },
	[QUANT_Q4_1]   = { "Q4_1", 32, 20 },
	[QUANT_Q5_0]   = { "Q5_0", 32, 22 },
	[QUANT_Q5_1]   = { "Q5_1", 32, 24 },
	[QUANT_Q8_0]   = { "Q8_0", 32, 34 },
	[QUANT_Q2_K]   = { "Q2_K", 256, 84 },
	[QUANT_Q3_K]   = { "Q3_K", 256, 110 },
	[QUANT_Q4_K]   = { "Q4_K", 256, 144 },
	[QUANT_Q5_K]   = { "Q5_K", 256, 176 },
	[QUANT_Q6_K]   = { "Q6_K", 256, 210 },
	[QUANT_IQ4_NL] = { "IQ4_NL", 32, 18 },
	[QUANT_IQ4_XS] = { "IQ4_XS", 256, 136 },
	[QUANT_BF16]   = { "BF16", 1, 2 },
};

/* Numbers that GGUF gives to types we do not read: only so that a message can name them. */
static const char *const unread[] = {
	[9] = "Q8_1", [15] = "Q8_K", [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS",
	[19] = "IQ1_S", [21] = "IQ3_S", [22] = "IQ2_S", [24] = "I8", [25] = "I16", [26] = "I32",
	[27] = "I64", [28] = "F64", [29] = "IQ1_M", [34] = "TQ1_0", [35] = "TQ2_0", [39] = "MXFP4",
	[40] = "NVFP4",
};

/* Values of the non-linear four-bit types. */
static const int8_t iq4_value[16] = {
	-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
};

static uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static float load_half(const uint8_t *p)
{
	return quant_f16_to_f32(load16(p));
}

/* In the 32-element types byte j holds element j in its low half and element j + 16 in its high
 * half. */
static void block_q4_0(const uint8_t *b, float *y)
{
	float d = load_half(b);

	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)((b[2 + j] & 15) - 8);
		y[j + 16] = d * (float)((b[2 + j] >> 4) - 8);
	}
}

static void block_q4_1(const uint8_t *b, float *y)
{
	float d = load_half(b), m = load_half(b + 2);

	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)(b[4 + j] & 15) + m;
		y[j + 16] = d * (float)(b[4 + j] >> 4) + m;
	}
}

static void block_q5_0(const uint8_t *b, float *y)
{
	float d = load_half(b);
	uint32_t high = load32(b + 2);

	for (int j = 0; j < 16; j++) {
		int lo = (b[6 + j] & 15) | (int)(high >> j & 1) << 4;
		int hi = b[6 + j] >> 4 | (int)(high >> (j + 16) & 1) << 4;

		y[j] = d * (float)(lo - 16);
		y[j + 16] = d * (float)(hi - 16);
	}
}

static void block_q5_1(const uint8_t *b, float *y)
{
	float d = load_half(b), m = load_half(b + 2);
	uint32_t high = load32(b + 4);

	for (int j = 0; j < 16; j++) {
		int lo = (b[8 + j] & 15) | (int)(high >> j & 1) << 4;
		int hi = b[8 + j] >> 4 | (int)(high >> (j + 16) & 1) << 4;

		y[j] = d * (float)lo + m;
		y[j + 16] = d * (float)hi + m;
	}
}

static void block_q8_0(const uint8_t *b, float *y)
{
	float d = load_half(b);

	for (int j = 0; j < 32; j++)
		y[j] = d * (float)(int8_t)b[2 + j];
}

static void block_iq4_nl(const uint8_t *b, float *y)
{
	float d = load_half(b);

	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)iq4_value[b[2 + j] & 15];
		y[j + 16] = d * (float)iq4_value[b[2 + j] >> 4];
	}
}

/* Eight sub-blocks of 32 with six-bit scales: four low bits in scales_l, two high in scales_h. */
static void block_iq4_xs(const uint8_t *b, float *y)
{
	float d = load_half(b);
	unsigned scales_h = load16(b + 2);
	const uint8_t *scales_l = b + 4, *qs = b + 8;

	for (int s = 0; s < 8; s++, qs += 16, y += 32) {
		int lo = scales_l[s / 2] >> 4 * (s % 2) & 15;
		int hi = (int)(scales_h >> 2 * s & 3);
		float dl = d * (float)((lo | hi << 4) - 32);

		for (int j = 0; j < 16; j++) {
			y[j] = dl * (float)iq4_value[qs[j] & 15];
			y[j + 16] = dl * (float)iq4_value[qs[j] >> 4];
		}
	}
}

const struct quant_info *quant_info(int type)
{
	if (type < 0 || (size_t)type >= ARRAY_LEN(info) || !info[type].name)
		return NULL;
	return &info[type];
}

const char *quant_name(int type)
{
	static _Thread_local char other[24];
	const struct quant_info *qi = quant_info(type);

	if (qi)
		return qi->name;
	if (type >= 0 && (size_t)type < ARRAY_LEN(unread) && unread[type])
		return unread[type];
	snprintf(other, sizeof(other), "type %d", type);
	return other;
}

size_t quant_row_bytes(int type, size_t n)
{
	const struct quant_info *qi = quant_info(type);
	size_t bytes;

	if (!qi || n % qi->block_elems || size_mul(n / qi->block_elems, qi->block_bytes, &bytes))
		return 0;
	return bytes;
}

void quant_row_ref(int type, const void *src, float *y, size_t n)
{
	static void (*const block_fn[])(const uint8_t *, float *) = {
		[QUANT_Q4_0] = block_q4_0, [QUANT_Q4_1] = block_q4_1, [QUANT_Q5_0] = block_q5_0,
		[QUANT_Q5_1] = block_q5_1, [QUANT_Q8_0] = block_q8_0, [QUANT_Q2_K] = quant_block_q2_k,
		[QUANT_Q3_K] = quant_block_q3_k, [QUANT_Q4_K] = quant_block_q4_k,
		[QUANT_Q5_K] = quant_block_q5_k, [QUANT_Q6_K] = quant_block_q6_k,
		[QUANT_IQ4_NL] = block_iq4_nl, [QUANT_IQ4_XS] = block_iq4_xs,
	};
	const struct quant_info *qi = quant_info(type);
	const uint8_t *b = src;

	assert(qi && n % qi->block_elems == 0);
	switch (type) {
	case QUANT_F32:
		memcpy(y, b, n * sizeof(*y));
		break;
	case QUANT_F16:
		for (size_t i = 0; i < n; i++)
			y[i] = quant_f16_to_f32(load16(b + 2 * i));
		break;
	case QUANT_BF16:
		for (size_t i = 0; i < n; i++)
			y[i] = quant_bf16_to_f32(load16(b + 2 * i));
		break;
	default:
		for (; n; n -= qi->block_elems, b += qi->block_bytes, y += qi->block_elems)
			block_fn[type](b, y);
	}
}

float quant_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, frac = h & 0x3ff;
	uint32_t u;
	float f;

	if (exp == 31) {
		u = sign | 0x7f800000u | frac << 13;	/* infinity, or NaN with its payload */
	} else if (exp) {
		u = sign | (exp + 112) << 23 | frac << 13;
	} else {
		f = (float)frac * 0x1p-24f;		/* zero or subnormal: exact */
		memcpy(&u, &f, sizeof(u));
		u |= sign;
	}
	memcpy(&f, &u, sizeof(f));
	return f;
}

uint16_t quant_f32_to_f16(float f)
{
	uint32_t u, sign, frac, half, rest;
	int exp;

	memcpy(&u, &f, sizeof(u));
	sign = u >> 16 & 0x8000;
	exp = (int)(u >> 23 & 255) - 112;	/* the exponent field of the half */
	frac = u & 0x7fffff;
	if (exp == 143)				/* NaN stays NaN: keep a bit of it */
		return (uint16_t)(sign | 0x7c00 | (frac ? 0x200 | frac >> 13 : 0));
	if (exp >= 31)
		return (uint16_t)(sign | 0x7c00);
	if (exp < -10)
		return (uint16_t)sign;		/* below half of the smallest subnormal */
	if (exp <= 0) {
		int shift = 14 - exp;

		frac |= 0x800000;
		half = frac >> shift;
		rest = frac & ((1u << shift) - 1);
		if (rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (half & 1)))
			half++;
		return (uint16_t)(sign | half);
	}
	half = (uint32_t)exp << 10 | frac >> 13;
	rest = frac & 0x1fff;
	if (rest > 0x1000 || (rest == 0x1000 && (half & 1)))
		half++;				/* may carry into the exponent, up to infinity */
	return (uint16_t)(sign | half);
}

float quant_bf16_to_f32(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}
