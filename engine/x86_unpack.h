/* engine/x86_unpack.h - quantised rows to small integers with scales
 *
 * Every quantised type becomes  w = d * code + m  with a signed 8-bit code, d and m one for each group
 * of 16 or 32 columns; m is zero for symmetric types (their codes are centred), and not written.
 * |code| <= limit, which says how many products fit into 16 bits on the way (AVX2).
 */
#ifndef ENGINE_X86_UNPACK_H
#define ENGINE_X86_UNPACK_H

#include "engine/quant.h"
#include "engine/x86_vec.h"

#include <stdbool.h>
#include <string.h>

struct code_form {
	uint8_t group;		/* columns a scale: 16 or 32; 0 = a float type */
	uint8_t limit;		/* largest |code| */
	bool    has_min;	/* m is used */
};

static inline struct code_form code_form(int type)
{
	switch (type) {
	case QUANT_Q4_0: return (struct code_form){ 32, 8, false };
	case QUANT_Q4_1: return (struct code_form){ 32, 15, true };
	case QUANT_Q5_0: return (struct code_form){ 32, 16, false };
	case QUANT_Q5_1: return (struct code_form){ 32, 31, true };
	case QUANT_Q8_0: return (struct code_form){ 32, 128, false };
	case QUANT_Q2_K: return (struct code_form){ 16, 3, true };
	case QUANT_Q3_K: return (struct code_form){ 16, 4, false };
	case QUANT_Q4_K: return (struct code_form){ 32, 15, true };
	case QUANT_Q5_K: return (struct code_form){ 32, 31, true };
	case QUANT_Q6_K: return (struct code_form){ 16, 32, false };
	case QUANT_IQ4_NL: return (struct code_form){ 32, 127, false };
	case QUANT_IQ4_XS: return (struct code_form){ 32, 127, false };
	default: return (struct code_form){ 0, 0, false };
	}
}

static inline float f16_at(const uint8_t *p)
{
	uint16_t h;

	memcpy(&h, p, 2);
	return _cvtsh_ss(h);
}

/* Low nibbles of 16 bytes, then high nibbles: 32 codes in order. */
static inline __m256i nibbles32(const uint8_t *p)
{
	__m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));

	v = _mm256_srlv_epi32(v, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4));
	return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

/* Bit j of a 32-bit word to byte j: 16 where it is set, else 0. */
static inline __m256i bit16_of(const uint8_t *p)
{
	uint32_t w;

	memcpy(&w, p, 4);
#ifdef __AVX512BW__
	return _mm256_maskz_set1_epi8(w, 16);
#else
	{
		const __m256i spread = _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101,
							  0x0202020202020202, 0x0303030303030303);
		const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
		__m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)w), spread);

		v = _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
		return _mm256_and_si256(v, _mm256_set1_epi8(16));
	}
#endif
}

static inline void k_scale(const uint8_t *s, size_t b, uint8_t *sc, uint8_t *mn)
{
	if (b < 4) {
		*sc = s[b] & 63;
		*mn = s[b + 4] & 63;
	} else {
		*sc = (uint8_t)((s[b + 4] & 15) | (s[b - 4] >> 6) << 4);
		*mn = (uint8_t)((s[b + 4] >> 4) | (s[b] >> 6) << 4);
	}
}

/* Six-bit codes of half a Q6_K block: 128 of them, unsigned, in order. */
static inline void q6_codes(const uint8_t *ql, const uint8_t *qh, __m256i out[4])
{
	const __m256i low = _mm256_set1_epi8(15), two = _mm256_set1_epi8(3);
	__m256i a = _mm256_loadu_si256((const __m256i *)ql);
	__m256i b = _mm256_loadu_si256((const __m256i *)(ql + 32));
	__m256i h = _mm256_loadu_si256((const __m256i *)qh);

	out[0] = _mm256_or_si256(_mm256_and_si256(a, low),
				 _mm256_slli_epi16(_mm256_and_si256(h, two), 4));
	out[1] = _mm256_or_si256(_mm256_and_si256(b, low),
				 _mm256_slli_epi16(_mm256_and_si256(_mm256_srli_epi16(h, 2), two), 4));
	out[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low),
				 _mm256_slli_epi16(_mm256_and_si256(_mm256_srli_epi16(h, 4), two), 4));
	out[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low),
				 _mm256_slli_epi16(_mm256_and_si256(_mm256_srli_epi16(h, 6), two), 4));
}

static const int8_t IQ4_VALUES[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
					1, 13, 25, 38, 53, 69, 89, 113 };

static inline __m256i iq4_codes(const uint8_t *p)
{
	__m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)IQ4_VALUES));

	return _mm256_shuffle_epi8(table, nibbles32(p));
}

/* Six-bit scales of a Q3_K block, less 32. */
static inline void q3_scales(const uint8_t *s, int8_t out[16])
{
	for (int b = 0; b < 16; b++) {
		int lo = b < 8 ? s[b] & 15 : s[b - 8] >> 4;
		int hi = s[8 + b % 4] >> 2 * (b / 4) & 3;

		out[b] = (int8_t)((lo | hi << 4) - 32);
	}
}

/* Columns [0, n) of the row at src (already moved to a block edge), n a multiple of the type's block. */
static inline void unpack_row(int type, const uint8_t *src, size_t n, int8_t *code, float *d, float *m)
{
	size_t n32 = n / 32, n256 = n / 256;
	__m256i *c = (__m256i *)code;

	switch (type) {
	case QUANT_Q4_0:
		for (size_t b = 0; b < n32; b++, src += 18) {
			d[b] = f16_at(src);
			_mm256_storeu_si256(c + b, _mm256_sub_epi8(nibbles32(src + 2), _mm256_set1_epi8(8)));
		}
		break;
	case QUANT_Q4_1:
		for (size_t b = 0; b < n32; b++, src += 20) {
			d[b] = f16_at(src);
			m[b] = f16_at(src + 2);
			_mm256_storeu_si256(c + b, nibbles32(src + 4));
		}
		break;
	case QUANT_Q5_0:
		for (size_t b = 0; b < n32; b++, src += 22) {
			__m256i q = _mm256_or_si256(nibbles32(src + 6), bit16_of(src + 2));

			d[b] = f16_at(src);
			_mm256_storeu_si256(c + b, _mm256_sub_epi8(q, _mm256_set1_epi8(16)));
		}
		break;
	case QUANT_Q5_1:
		for (size_t b = 0; b < n32; b++, src += 24) {
			d[b] = f16_at(src);
			m[b] = f16_at(src + 2);
			_mm256_storeu_si256(c + b, _mm256_or_si256(nibbles32(src + 8), bit16_of(src + 4)));
		}
		break;
	case QUANT_Q8_0:
		for (size_t b = 0; b < n32; b++, src += 34) {
			d[b] = f16_at(src);
			_mm256_storeu_si256(c + b, _mm256_loadu_si256((const __m256i *)(src + 2)));
		}
		break;
	case QUANT_IQ4_NL:
		for (size_t b = 0; b < n32; b++, src += 18) {
			d[b] = f16_at(src);
			_mm256_storeu_si256(c + b, iq4_codes(src + 2));
		}
		break;
	case QUANT_Q2_K:
		for (size_t b = 0; b < n256; b++, src += 84, code += 256, d += 16, m += 16) {
			float ds = f16_at(src + 80), dm = f16_at(src + 82);

			for (int i = 0; i < 16; i++) {
				d[i] = ds * (float)(src[i] & 15);
				m[i] = -dm * (float)(src[i] >> 4);
			}
			for (int e = 0; e < 256; e++)
				code[e] = src[16 + 32 * (e / 128) + e % 32] >> 2 * (e % 128 / 32) & 3;
		}
		break;
	case QUANT_Q3_K:
		for (size_t b = 0; b < n256; b++, src += 110, code += 256, d += 16) {
			float ds = f16_at(src + 108);
			int8_t sc[16];

			q3_scales(src + 96, sc);
			for (int i = 0; i < 16; i++)
				d[i] = ds * (float)sc[i];
			for (int e = 0; e < 256; e++) {
				int g = e % 128 / 32, l = e % 32, high = src[l] >> (4 * (e / 128) + g) & 1;

				code[e] = (int8_t)((src[32 + 32 * (e / 128) + l] >> 2 * g & 3) - (high ? 0 : 4));
			}
		}
		break;
	case QUANT_Q4_K:
	case QUANT_Q5_K:
		for (size_t b = 0; b < n256; b++, d += 8, m += 8) {
			float ds = f16_at(src), dm = f16_at(src + 2);
			const uint8_t *qh = src + 16, *qs = type == QUANT_Q4_K ? src + 16 : src + 48;
			uint8_t sc, mn;

			for (size_t i = 0; i < 8; i++) {
				k_scale(src + 4, i, &sc, &mn);
				d[i] = ds * sc;
				m[i] = -dm * mn;
			}
			for (int g = 0; g < 4; g++, qs += 32) {
				const __m256i low = _mm256_set1_epi8(15);
				__m256i q = _mm256_loadu_si256((const __m256i *)qs);
				__m256i lo = _mm256_and_si256(q, low);
				__m256i hi = _mm256_and_si256(_mm256_srli_epi16(q, 4), low);

				if (type == QUANT_Q5_K) {
					const __m256i one = _mm256_set1_epi8(1);
					__m256i h = _mm256_loadu_si256((const __m256i *)qh);
					__m128i by = _mm_cvtsi32_si128(2 * g);
					__m128i by1 = _mm_cvtsi32_si128(2 * g + 1);
					__m256i h0 = _mm256_and_si256(_mm256_srl_epi16(h, by), one);
					__m256i h1 = _mm256_and_si256(_mm256_srl_epi16(h, by1), one);

					lo = _mm256_or_si256(lo, _mm256_slli_epi16(h0, 4));
					hi = _mm256_or_si256(hi, _mm256_slli_epi16(h1, 4));
				}
				_mm256_storeu_si256(c++, lo);
				_mm256_storeu_si256(c++, hi);
			}
			src += type == QUANT_Q4_K ? 144 : 176;
		}
		break;
	case QUANT_Q6_K:
		for (size_t b = 0; b < n256; b++, src += 210, d += 16) {
			float ds = f16_at(src + 208);

			for (int i = 0; i < 16; i++)
				d[i] = ds * (float)(int8_t)src[192 + i];
			for (int half = 0; half < 2; half++) {
				__m256i out[4];

				q6_codes(src + 64 * half, src + 128 + 32 * half, out);
				for (int i = 0; i < 4; i++)
					_mm256_storeu_si256(c++, _mm256_sub_epi8(out[i], _mm256_set1_epi8(32)));
			}
		}
		break;
	case QUANT_IQ4_XS:
		for (size_t b = 0; b < n256; b++, src += 136, d += 8) {
			float ds = f16_at(src);
			unsigned high = src[2] | (unsigned)src[3] << 8;

			for (int i = 0; i < 8; i++) {
				int s = (src[4 + i / 2] >> 4 * (i % 2) & 15) | (int)(high >> 2 * i & 3) << 4;

				d[i] = ds * (float)(s - 32);
				_mm256_storeu_si256(c++, iq4_codes(src + 8 + 16 * i));
			}
		}
		break;
	}
}

/* Bytes from one column to another of the same row, for starts at a block edge. */
static inline size_t col_bytes(int type, size_t col)
{
	const struct quant_info *q = quant_info(type);

	return col / q->block_elems * q->block_bytes;
}

#endif
