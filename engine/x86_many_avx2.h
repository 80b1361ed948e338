/* engine/x86_many_avx2.h - the tile of x86_many.h with AVX2: 4 tokens by 16 rows, twice a panel
 *
 * u8 x s8 products go pairwise through 16 bits, the weights on the unsigned side, and a whole group
 * of columns adds up there before it is widened:
 *
 *     codes of a type with minima, up to 15       16 products of at most 15 * 127 < 2^15
 *     centred codes of 5 bits, groups of 32       16 products of at most 16 * 127
 *     centred codes of 6 bits, groups of 16        8 products of at most 32 * 127
 *
 * Centred codes are stored with a bias; sums may then wrap on the way, for they start at -bias times
 * the activations' own sums (act_scales.z, a pair of 16-bit sums here) and end where they belong.
 * Codes of 8 bits are two digits, 16 * (high - 8) + low, each summed like a 4-bit code.
 *
 * 8 sums of 16 bits, 2 weights, 2 products: the running f32 sums live in memory, one load and one
 * store each in some twenty vector instructions.
 */
#ifndef ENGINE_X86_MANY_AVX2_H
#define ENGINE_X86_MANY_AVX2_H

#define TILE_TOKENS 4		/* a third of a tile of struct act */
#define TILE_ROWS   16

typedef int32_t i32_any __attribute__((may_alias));

/* a += products of w's bytes with the four bytes at q.  Written out because GCC 12, left to itself,
 * reorders the sums and spills them: a third of the speed. */
static inline __attribute__((always_inline))
void step_avx2(__m256i a[2], __m256i w0, __m256i w1, const int8_t *q)
{
	__m256i x, y;

	__asm__("vpbroadcastd %4, %2\n\t"
		"vpmaddubsw %2, %5, %3\n\t"
		"vpmaddubsw %2, %6, %2\n\t"
		"vpaddw %3, %0, %0\n\t"
		"vpaddw %2, %1, %1"
		: "+x"(a[0]), "+x"(a[1]), "=&x"(x), "=&x"(y)
		: "m"(*(const i32_any *)q), "x"(w0), "x"(w1));
}

/* Which digit of the codes is multiplied. */
enum digit { WHOLE, LOW, HIGH };

static inline __m256i digit_of(__m256i w, enum digit which)
{
	const __m256i low = _mm256_set1_epi8(15);

	if (which == WHOLE)
		return w;
	return _mm256_and_si256(which == LOW ? w : _mm256_srli_epi16(w, 4), low);
}

/* Sums of n4 steps of 4 columns in 16 bits, from -z << shift on, where z is given. */
static inline __attribute__((always_inline))
void sum16(const int8_t *code, const int8_t *q, size_t n4, const int32_t *z, int shift, enum digit which,
	   __m256i a[TILE_TOKENS][2])
{
#pragma GCC unroll 4
	for (size_t t = 0; t < TILE_TOKENS; t++)
		a[t][0] = a[t][1] = z ? _mm256_slli_epi16(_mm256_set1_epi32(z[t]), shift)
				      : _mm256_setzero_si256();
#pragma GCC unroll 8
	for (size_t k = 0; k < n4; k++) {
		__m256i w0 = digit_of(_mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4)), which);
		__m256i w1 = digit_of(_mm256_loadu_si256((const __m256i *)(code + k * PANEL * 4 + 32)), which);

#pragma GCC unroll 4
		for (size_t t = 0; t < TILE_TOKENS; t++)
			step_avx2(a[t], w0, w1, q + t * ACT_BLOCK + 4 * k);
	}
}

/* out += sums * d * ad, and m * sum where there are minima. */
static inline __attribute__((always_inline))
void add_scaled(const __m256i s[TILE_TOKENS][2], const float *d, const float *ad, const float *m, const float *sum,
		float *out)
{
	__m256 d0 = _mm256_loadu_ps(d), d1 = _mm256_loadu_ps(d + 8);

	__asm__ volatile("" : "+r"(out), "+r"(ad) : : "memory");
#pragma GCC unroll 4
	for (size_t t = 0; t < TILE_TOKENS; t++) {
		__m256 x = _mm256_broadcast_ss(ad + t), y0 = _mm256_loadu_ps(out + t * TILE_ROWS);
		__m256 y1 = _mm256_loadu_ps(out + t * TILE_ROWS + 8);

		y0 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[t][0]), _mm256_mul_ps(d0, x), y0);
		y1 = _mm256_fmadd_ps(_mm256_cvtepi32_ps(s[t][1]), _mm256_mul_ps(d1, x), y1);
		if (m) {
			x = _mm256_broadcast_ss(sum + t);
			y0 = _mm256_fmadd_ps(_mm256_loadu_ps(m), x, y0);
			y1 = _mm256_fmadd_ps(_mm256_loadu_ps(m + 8), x, y1);
		}
		_mm256_storeu_ps(out + t * TILE_ROWS, y0);
		_mm256_storeu_ps(out + t * TILE_ROWS + 8, y1);
	}
}

/* How a type's codes are summed: columns a group, z's shift or -1: not centred. */
struct tile_form {
	size_t group;
	int    shift;
	bool   two_digits;
};

/* One group of columns, one digit of the activations. */
static inline __attribute__((always_inline))
void group_avx2(const struct panel *p, size_t g, size_t c0, struct tile_form f, const int8_t *q, const int32_t *z,
		const float *ad, const float *sum, float *out)
{
	const int8_t *code = p->code + g * f.group * PANEL + c0 * 4;
	const __m256i one = _mm256_set1_epi16(1), sixteen = _mm256_set1_epi16(16);
	const float *m = sum ? p->m + g * PANEL + c0 : NULL;
	__m256i a[TILE_TOKENS][2], s[TILE_TOKENS][2];

	/* Else the compiler makes a pointer of every constant offset, and keeps them all on the stack. */
	__asm__("" : "+r"(code), "+r"(q));
	sum16(code, q, f.group / 4, f.shift < 0 || f.two_digits ? NULL : z, f.shift, f.two_digits ? LOW : WHOLE, a);
#pragma GCC unroll 4
	for (size_t t = 0; t < TILE_TOKENS; t++)
#pragma GCC unroll 2
		for (size_t c = 0; c < 2; c++)
			s[t][c] = _mm256_madd_epi16(a[t][c], one);
	if (f.two_digits) {
		sum16(code, q, f.group / 4, z, f.shift, HIGH, a);
#pragma GCC unroll 4
		for (size_t t = 0; t < TILE_TOKENS; t++)
#pragma GCC unroll 2
			for (size_t c = 0; c < 2; c++)
				s[t][c] = _mm256_add_epi32(s[t][c], _mm256_madd_epi16(a[t][c], sixteen));
	}
	add_scaled(s, p->d + g * PANEL + c0, ad, m, sum, out);
}

/* Tokens [i0, i0 + 4) of a tile. */
static inline __attribute__((always_inline))
void tile_avx2(const struct panel *p, const struct act *a, size_t tile, size_t i0, size_t c0, struct tile_form f,
	       bool has_min, float *out)
{
	size_t n32 = a->n_col / 32, per = 32 / f.group;
	const struct act_scales *s = a->tile_s + tile * n32;
	size_t at = (tile * n32 * ACT_TILE + i0) * ACT_BLOCK;
	const int8_t *q = a->tile_q + at, *q2 = a->tile_q2 + at;

	/* Not to be kept in registers, there are none: the compiler would only move them about. */
	__asm__("" : "+r"(out));
	for (size_t i = 0; i < TILE_TOKENS * TILE_ROWS; i += 8)
		_mm256_storeu_ps(out + i, _mm256_setzero_ps());
	for (size_t b = 0; b < n32; b++, s++, q += ACT_TILE * ACT_BLOCK, q2 += ACT_TILE * ACT_BLOCK) {
		bool fine = s->fine && !_mm_testz_si128(_mm_set1_epi32(-1),
							_mm_loadu_si128((const __m128i *)(s->d2 + i0)));

#pragma GCC unroll 2
		for (size_t h = 0; h < per; h++) {
			const float *sum = (per == 1 ? s->s32 : s->s16[h]) + i0;
			const int32_t *z = (per == 1 ? s->z32 : s->z16[h]) + i0;
			const int32_t *z2 = (per == 1 ? s->z32_2 : s->z16_2[h]) + i0;

			group_avx2(p, b * per + h, c0, f, q + 16 * h, z, s->d + i0, has_min ? sum : NULL, out);
			if (fine)
				group_avx2(p, b * per + h, c0, f, q2 + 16 * h, z2, s->d2 + i0, NULL, out);
		}
	}
}

/* The first n of a token's rows.  (memcpy of a length the compiler does not know is `rep movs` here.) */
static inline void keep_rows(float *y, const float *out, size_t n)
{
	if (n >= TILE_ROWS) {
		_mm256_storeu_ps(y, _mm256_load_ps(out));
		_mm256_storeu_ps(y + 8, _mm256_load_ps(out + 8));
		return;
	}
	for (size_t i = 0; i < n; i++)
		y[i] = out[i];
}

/* Tokens [first, last) of a tile against the panel, into y (of the first one). */
static void tile_run(const struct panel *p, const struct act *a, size_t tile, size_t first, size_t last, float *y,
		     size_t ldy, size_t n, int limit)
{
	float out[TILE_TOKENS * TILE_ROWS] __attribute__((aligned(32)));

	for (size_t i0 = first / TILE_TOKENS * TILE_TOKENS; i0 < last; i0 += TILE_TOKENS)
		for (size_t c = 0; c < PANEL && c < n; c += TILE_ROWS) {
			if (limit > 32)
				tile_avx2(p, a, tile, i0, c, (struct tile_form){ 32, 3, true }, false, out);
			else if (p->group == 16 && p->has_min)
				tile_avx2(p, a, tile, i0, c, (struct tile_form){ 16, -1, false }, true, out);
			else if (p->group == 16)
				tile_avx2(p, a, tile, i0, c, (struct tile_form){ 16, 5, false }, false, out);
			else if (limit <= 15 && p->has_min)
				tile_avx2(p, a, tile, i0, c, (struct tile_form){ 32, -1, false }, true, out);
			else if (p->has_min)
				tile_avx2(p, a, tile, i0, c, (struct tile_form){ 32, 4, false }, true, out);
			else
				tile_avx2(p, a, tile, i0, c, (struct tile_form){ 32, 4, false }, false, out);
			for (size_t t = MAX(i0, first); t < MIN(i0 + TILE_TOKENS, last); t++)
				keep_rows(y + (t - first) * ldy + c, out + (t - i0) * TILE_ROWS, n - c);
		}
}

#endif
