/* The reference dequantisation against the gguf package's, and halves against their definition. */
#include "config.h"

#include "engine/quant.h"

#include "tests/check.h"
#include "tests/vector.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Copies that end where the block ends, one byte off any alignment: reading past shows in ASan. */
static void test_vectors(void)
{
	struct buf b = vector_read("quant.bin");
	int n_type = 0;

	for (size_t at = 0; at < b.len; n_type++) {
		uint32_t head[3];
		uint8_t *raw;
		float *want, *got;
		size_t bad = 0;

		memcpy(head, b.data + at, sizeof(head));
		at += sizeof(head);
		raw = malloc(head[2] + 1);
		want = malloc(head[1] * sizeof(float));
		got = malloc(head[1] * sizeof(float));
		if (!raw || !want || !got)
			exit(99);
		memcpy(raw + 1, b.data + at, head[2]);
		memcpy(want, b.data + at + head[2], head[1] * sizeof(float));
		at += head[2] + head[1] * sizeof(float);
		ok(quant_row_bytes((int)head[0], head[1]) == head[2], "%s: %" PRIu32 " elements are %"
		   PRIu32 " bytes", quant_name((int)head[0]), head[1], head[2]);
		quant_row_ref((int)head[0], raw + 1, got, head[1]);
		for (uint32_t i = 0; i < head[1]; i++)
			bad += memcmp(&want[i], &got[i], sizeof(float)) != 0;
		ok(!bad, "%s: equal to the gguf package in every bit of %" PRIu32 " values",
		   quant_name((int)head[0]), head[1]);
		free(raw);
		free(want);
		free(got);
	}
	ok(n_type == 15, "there are vectors of all fifteen types");
	buf_release(&b);
}

/* What the bits of a half mean, by the definition of IEEE 754. */
static double half_value(unsigned h)
{
	int exp = (int)(h >> 10 & 31);
	double m = h & 0x3ff, v = exp ? ldexp(m + 1024, exp - 25) : ldexp(m, -24);

	return h & 0x8000 ? -v : v;
}

static void test_halves(void)
{
	size_t bad_value = 0, bad_back = 0, bad_nan = 0, bad_round = 0;

	for (unsigned h = 0; h < 0x10000; h++) {
		float f = quant_f16_to_f32((uint16_t)h);

		if ((h & 0x7c00) == 0x7c00) {
			bad_nan += h & 0x3ff ? !isnan(f) : !isinf(f) || (f < 0) != (h >> 15);
			bad_nan += h & 0x3ff ? (quant_f32_to_f16(f) & 0x7fff) <= 0x7c00
					     : quant_f32_to_f16(f) != h;
			continue;
		}
		bad_value += (double)f != half_value(h) || !!signbit(f) != h >> 15;
		bad_back += quant_f32_to_f16(f) != h;
	}
	ok(!bad_value, "every finite half has its value");
	ok(!bad_back, "and comes back as itself");
	ok(!bad_nan, "infinities and NaN stay what they are");

	/* Halfway to the next one, and one step of f32 to either side; the last halfway is 65520. */
	for (unsigned h = 0; h < 0x7c00; h++) {
		double above = h == 0x7bff ? 65536 : half_value(h + 1);
		float mid = (float)((half_value(h) + above) / 2);
		unsigned even = h & 1 ? h + 1 : h;

		bad_round += quant_f32_to_f16(mid) != even;
		bad_round += quant_f32_to_f16(nextafterf(mid, 0)) != h;
		bad_round += quant_f32_to_f16(nextafterf(mid, INFINITY)) != h + 1;
		bad_round += quant_f32_to_f16(-mid) != (even | 0x8000);
	}
	ok(!bad_round, "rounding is to nearest, ties to even, past 65520 to infinity");
	ok(quant_f32_to_f16(1e30f) == 0x7c00 && quant_f32_to_f16(-1e-30f) == 0x8000,
	   "what is too large is infinity, what is too small a zero with its sign");
	ok(quant_bf16_to_f32(0x3f80) == 1 && quant_bf16_to_f32(0xc040) == -3, "bfloat16");
}

static void test_names(void)
{
	ok(!quant_info(16) && !quant_info(-1) && !quant_info(4) && !quant_info(1000),
	   "types that cannot be read have no info");
	ok(!strcmp(quant_name(QUANT_Q4_K), "Q4_K") && !strcmp(quant_name(16), "IQ2_XXS") &&
	   !strcmp(quant_name(39), "MXFP4"), "known types are named, readable or not");
	ok(!strcmp(quant_name(99), "type 99") && !strcmp(quant_name(-7), "type -7"),
	   "others by their number");
	ok(quant_row_bytes(QUANT_Q4_0, 33) == 0 && quant_row_bytes(16, 256) == 0 &&
	   quant_row_bytes(QUANT_F32, SIZE_MAX) == 0, "no bytes for part blocks, strangers, overflow");
}

int main(void)
{
	test_vectors();
	test_halves();
	test_names();
	return done();
}
