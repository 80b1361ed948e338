/* Geometry, halves, KV types, identities: the arithmetic of cache/, no files. */
#include "config.h"

#include "cache/ident.h"
#include "cache/kvtype.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

#define IDENT_VECTOR "1d92e2c080c8c16e261523131bb2a3d5096071cf0b27ad9dbf5647e6781f94eb"

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static float gauss(void)
{
	float s = 0;

	for (int i = 0; i < 12; i++)
		s += (float)(rnd() >> 40) * 0x1p-24f;
	return s - 6;
}

static struct kv_geom geom(uint32_t n_head, uint32_t dim)
{
	return (struct kv_geom){ 2, n_head, dim, KV_PAGE_TOKENS };
}

static void test_geom(void)
{
	struct kv_geom g = geom(8, 128);
	struct err e;

	ok(!kv_geom_check(&g, &e), "a usual geometry is accepted");
	g.head_dim = 12;
	ok(kv_geom_check(&g, &e) == ERR_INVALID, "a head dimension that is no multiple of 8 is refused");
	g = geom(0, 64);
	ok(kv_geom_check(&g, &e) == ERR_INVALID, "no heads are refused");
	g = geom(1024, 1024);
	ok(kv_geom_check(&g, &e) == ERR_INVALID, "a row above the limit is refused");
	g = geom(4, 64);
	g.page_tokens = 128;
	ok(kv_geom_check(&g, NULL) == ERR_INVALID, "another page length is refused");
	ok(kv_page_count(0) == 0 && kv_page_count(1) == 1 && kv_page_count(63) == 1 &&
	   kv_page_count(64) == 1 && kv_page_count(65) == 2 && kv_page_count(128) == 2,
	   "pages are counted right around 64");
	ok(kv_page_len(65, 0) == 64 && kv_page_len(65, 1) == 1 && kv_page_len(64, 0) == 64 &&
	   kv_page_len(63, 0) == 63, "only the last page is short");
}

static void test_halves(void)
{
	int bad = 0, up = 0, down = 0;

	for (uint32_t h = 0; h < 0x7c00; h++) {
		float f = kv_f16_to_f32((uint16_t)h), next = kv_f16_to_f32((uint16_t)(h + 1));
		float mid = h + 1 < 0x7c00 ? (f + next) / 2 : 65520.0f;
		uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);

		bad += kv_f32_to_f16(f) != h || kv_f32_to_f16(-f) != (h | 0x8000);
		bad += kv_f32_to_f16(mid) != even;
		bad += kv_f32_to_f16(nextafterf(mid, 0)) != h;
		bad += kv_f32_to_f16(nextafterf(mid, INFINITY)) != h + 1;
		up += kv_f32_to_f16_up(nextafterf(f, INFINITY)) != h + 1 || kv_f32_to_f16_up(f) != h;
		down += h && kv_f32_to_f16_down(nextafterf(f, 0)) != h - 1;
	}
	ok(!bad, "every half goes to f32 and back, and ties go to even");
	ok(!up && !down, "rounding up and down gives the neighbours");
	ok(isnan(kv_f16_to_f32(kv_f32_to_f16(NAN))) && isinf(kv_f16_to_f32(0x7c00)),
	   "NaN and infinity survive");
}

/* Largest error of one value, in units of the bound that kvtype.h promises. */
static double worst_over_bound(const struct kv_layout *l, const uint8_t *b, uint32_t t, uint32_t c,
			       int is_v, double x, double got)
{
	const uint8_t *p;
	uint16_t h;
	uint32_t i;
	double step, slack = fabs(x) * 0x1p-22 + 1e-30;

	if (l->type == KV_F16)
		return fabs(got - x) / (fmax(fabs(x) * 0x1p-11, 0x1p-25) + 1e-30);
	if (l->type == KV_Q8) {
		p = b + (is_v ? l->v_step : l->k_step);
		i = t;
	} else if (is_v) {
		p = b + l->v_step;
		i = t * (l->head_dim / l->v_group) + c / l->v_group;
	} else {
		p = b + l->k_step;
		i = c;
	}
	memcpy(&h, p + 2 * i, 2);
	step = kv_f16_to_f32(h);
	return fabs(got - x) / (step / 2 + step * 15 * 0x1p-22 + slack);
}

/* Encode, decode by both variants; returns the worst error over its bound, -1 when variants differ. */
static double round_trip(uint32_t n_head, uint32_t dim, enum kv_type type, uint32_t n, float scale,
			 float offset)
{
	struct kv_geom g = geom(n_head, dim);
	struct kv_layout l;
	size_t row = (size_t)n_head * dim;
	float *k = calloc(row * n, sizeof(*k)), *v = calloc(row * n, sizeof(*v));
	float *kd = calloc((size_t)dim * n, 4), *vd = calloc((size_t)dim * n, 4);
	float *kr = calloc((size_t)dim * n, 4), *vr = calloc((size_t)dim * n, 4);
	double worst = 0;
	uint8_t *body, *plain;

	for (size_t i = 0; i < row * n; i++) {
		k[i] = gauss() * scale + offset * (float)(i % dim) / (float)dim;
		v[i] = gauss() * scale;
	}
	if (kv_layout_init(&l, &g, type, n, NULL))
		return -2;
	body = malloc(l.body_bytes);
	plain = malloc(l.body_bytes);
	if (kv_encode(&l, k, v, body, NULL) || kv_encode_ref(&l, k, v, plain, NULL))
		worst = -3;
	else if (memcmp(body, plain, l.body_bytes))
		worst = -1;
	for (uint32_t h = 0; h < n_head && worst >= 0; h++) {
		const uint8_t *b = body + (size_t)h * l.head_bytes;

		kv_decode_head(&l, body, h, kd, vd);
		kv_decode_head_ref(&l, body, h, kr, vr);
		if (memcmp(kd, kr, (size_t)dim * n * 4) || memcmp(vd, vr, (size_t)dim * n * 4))
			worst = -1;
		kv_decode_token(&l, body, h, n - 1, kd, vd);
		if (memcmp(kd, kr + (size_t)dim * (n - 1), dim * 4) ||
		    memcmp(vd, vr + (size_t)dim * (n - 1), dim * 4))
			worst = -1;
		for (uint32_t t = 0; t < n && worst >= 0; t++)
			for (uint32_t c = 0; c < dim; c++) {
				size_t i = t * row + h * dim + c;
				double a = worst_over_bound(&l, b, t, c, 0, k[i],
							    kr[(size_t)t * dim + c]);
				double w = worst_over_bound(&l, b, t, c, 1, v[i],
							    vr[(size_t)t * dim + c]);

				worst = fmax(worst, fmax(a, w));
			}
	}
	free(k), free(v), free(kd), free(vd), free(kr), free(vr), free(body), free(plain);
	return worst;
}

static void test_bounds(void)
{
	static const uint32_t dims[] = { 8, 24, 32, 64, 80, 96, 128, 192, 256 };
	static const uint32_t lens[] = { 1, 2, 63, 64 };
	static const float scales[] = { 1e-9f, 1e-4f, 1, 3000 };

	for (int type = KV_F16; type <= KV_Q4; type++) {
		double worst = 0;
		int differ = 0, failed = 0;

		for (size_t i = 0; i < 9; i++)
			for (size_t j = type == KV_Q4 ? 3 : 0; j < 4; j++)
				for (size_t s = 0; s < 4; s++) {
					double w = round_trip(3, dims[i], (enum kv_type)type, lens[j],
							      scales[s], scales[s] * 8);

					differ += w == -1;
					failed += w < -1;
					worst = fmax(worst, w);
				}
		ok(!failed && worst <= 1, "%s: every error is within its bound (worst %.3f of it)",
		   kv_type_name(type), worst);
		ok(!differ, "%s: the fast variants give the bits of the plain ones",
		   kv_type_name(type));
	}
}

static void test_special(void)
{
	struct kv_geom g = geom(1, 64);
	struct kv_layout l;
	static float x[64 * 64], out[64 * 64];
	uint8_t *body = malloc(65536);
	struct err e;
	int bad = 0;

	for (int type = KV_F16; type <= KV_Q4; type++) {
		kv_layout_init(&l, &g, (enum kv_type)type, 64, NULL);
		memset(x, 0, sizeof(x));
		bad += kv_encode(&l, x, x, body, NULL) != 0;
		kv_decode_head(&l, body, 0, out, NULL);
		bad += memcmp(out, x, sizeof(x)) != 0;
		for (int i = 0; i < 64 * 64; i++)
			x[i] = 2.5f;
		bad += kv_encode(&l, x, x, body, NULL) != 0;
		kv_decode_head(&l, body, 0, NULL, out);
		for (int i = 0; i < 64 * 64; i++)
			bad += fabsf(out[i] - 2.5f) > 2.5f / 127;
	}
	ok(!bad, "all zeros and all equal values survive every type");
	bad = 0;
	for (int type = KV_F16; type <= KV_Q4; type++) {
		float wrong[] = { NAN, INFINITY, -INFINITY, 1e9f };

		kv_layout_init(&l, &g, (enum kv_type)type, 64, NULL);
		for (int i = 0; i < 4; i++) {
			memset(x, 0, sizeof(x));
			x[4000] = wrong[i];
			bad += kv_encode(&l, x, out, body, &e) != ERR_INVALID;
			bad += kv_encode(&l, out, x, body, &e) != ERR_INVALID;
		}
	}
	ok(!bad, "values that no type can hold are refused, in K and in V");
	ok(kv_layout_init(&l, &g, KV_Q4, 63, NULL) == ERR_INVALID &&
	   kv_layout_init(&l, &g, (enum kv_type)7, 64, NULL) == ERR_INVALID &&
	   kv_layout_init(&l, &g, KV_F16, 0, NULL) == ERR_INVALID &&
	   kv_layout_init(&l, &g, KV_F16, 65, NULL) == ERR_INVALID,
	   "short q4 pages, unknown types and bad lengths are refused");
	ok(kv_page_type(KV_Q4, 0, 64) == KV_Q8 && kv_page_type(KV_Q4, 1, 64) == KV_Q4 &&
	   kv_page_type(KV_Q4, 1, 63) == KV_Q8 && kv_page_type(KV_F16, 0, 5) == KV_F16,
	   "of a q4 span the first page and short pages are q8");
	ok(kv_type_parse("q4") == KV_Q4 && kv_type_parse("q5") == 0, "type names are parsed");
	kv_layout_init(&l, &g, KV_Q4, 64, NULL);
	ok(l.head_bytes == 64 * 32 * 2 + 2 * 64 * 2 + 2 * 64 * 2, "q4 takes 4.5 bits a value at 64");
	free(body);
}

/* Per-channel offsets are what makes 4-bit K per token unusable; per channel they cost nothing. */
static void test_channels(void)
{
	struct kv_geom g = geom(1, 64);
	struct kv_layout l;
	static float x[64 * 64], out[64 * 64];
	double se = 0, s2 = 0;
	uint8_t *body;

	kv_layout_init(&l, &g, KV_Q4, 64, NULL);
	body = malloc(l.body_bytes);
	for (int i = 0; i < 64 * 64; i++)
		x[i] = gauss() + (i % 64 == 5 ? 200.0f : i % 64 == 40 ? -90.0f : 0);
	kv_encode(&l, x, x, body, NULL);
	kv_decode_head(&l, body, 0, out, NULL);
	for (int i = 0; i < 64 * 64; i++) {
		double off = i % 64 == 5 ? 200 : i % 64 == 40 ? -90 : 0;

		se += (out[i] - x[i]) * (out[i] - x[i]);
		s2 += (x[i] - off) * (x[i] - off);
	}
	ok(sqrt(se / s2) < 0.12, "q4 K: channels with large offsets keep %.1f %% error",
	   100 * sqrt(se / s2));
	free(body);
}

static void test_ident(void)
{
	int32_t tok[130];
	struct id engine = { { 1 } }, pre = { { 2 } }, page[3], again[3], span;
	char hex[65];

	for (int i = 0; i < 130; i++)
		tok[i] = i * 7 - 3;
	span = ident_span(&engine, IDENT_ISOLATED, &pre, tok, 130, page);
	ok(id_eq(&span, &page[2]), "a span's identity is that of its last page");
	/* tests/vectors/make_ident.py */
	id_hex(&span, hex);
	ok(!strcmp(hex, IDENT_VECTOR), "the rule is the one in ident.h, computed elsewhere");
	ident_span(&engine, IDENT_ISOLATED, &pre, tok, 128, again);
	ok(id_eq(&again[0], &page[0]) && id_eq(&again[1], &page[1]),
	   "pages before a change keep their identity");
	tok[64]++;
	ident_span(&engine, IDENT_ISOLATED, &pre, tok, 130, again);
	ok(id_eq(&again[0], &page[0]) && !id_eq(&again[1], &page[1]) && !id_eq(&again[2], &page[2]),
	   "a changed token changes its page and those after it (invariant 3)");
	tok[64]--;
	span = ident_span(&engine, IDENT_CAUSAL, &pre, tok, 130, NULL);
	ok(!id_eq(&span, &page[2]), "the mode is part of the identity");
	span = ident_span(&pre, IDENT_ISOLATED, &pre, tok, 130, NULL);
	ok(!id_eq(&span, &page[2]), "the engine is part of the identity");
	span = ident_span(&engine, IDENT_ISOLATED, NULL, tok, 130, NULL);
	ok(!id_eq(&span, &page[2]), "what is attended to is part of the identity");
	span = ident_span(&engine, IDENT_ISOLATED, &pre, tok, 129, NULL);
	ok(!id_eq(&span, &page[2]), "the length is part of the identity");
}

int main(void)
{
	test_geom();
	test_halves();
	test_bounds();
	test_special();
	test_channels();
	test_ident();
	return done();
}
