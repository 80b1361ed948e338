/* Sketches and the span index: estimates, equality of variants, damage, rebuilding from pages. */
#include "config.h"

#include "cache/sketch.h"
#include "cache/spanidx.h"
#include "tests/cache_make.h"
#include "tests/check.h"

#include <math.h>

static void *zeroed(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) / 64 * 64);

	memset(p, 0, n);
	return p;
}

static double dot(const float *a, const float *b, uint32_t d)
{
	double s = 0;

	for (uint32_t c = 0; c < d; c++)
		s += (double)a[c] * b[c];
	return s;
}

/* Correlation of estimates with exact products over a span of made-up keys that share an offset, as
 * real ones do; -1 when the variants differ. */
static double correlation(uint32_t n_head, uint32_t d, uint32_t n_token)
{
	struct kv_geom g = { 2, n_head, d, KV_PAGE_TOKENS };
	size_t row = (size_t)n_head * d;
	float *k = malloc(row * n_token * sizeof(*k)), q[KV_MAX_HEAD_DIM], off[KV_MAX_HEAD_DIM];
	struct sketch_query *sq = aligned_alloc(32, (sizeof(*sq) + 31) / 32 * 32);
	double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0, n = 0, r = 0;
	struct sketch_plan p;
	struct sketch s;
	struct id span = { { 3 } };
	float *est, *ref;
	void *rec, *plain;

	if (sketch_plan_init(&p, &g, n_token, NULL))
		return -2;
	make_values(off, d, 5);
	make_values(q, d, 6);
	make_values(k, row * n_token, 7);
	for (size_t i = 0; i < row * n_token; i++)
		k[i] += 3 * off[i % d];
	rec = zeroed(p.bytes);
	est = malloc(p.n_block * 32 * sizeof(*est));
	ref = malloc(p.n_block * 32 * sizeof(*ref));
	if (sketch_build_layer(&p, rec, 0, k, NULL) || sketch_build_layer(&p, rec, 1, k, NULL))
		r = -3;
	plain = zeroed(p.bytes);
	sketch_build_layer_ref(&p, plain, 0, k, NULL);
	sketch_build_layer_ref(&p, plain, 1, k, NULL);
	if (memcmp(plain, rec, p.bytes))
		r = -1;
	sketch_seal(&p, rec, &span);
	if (sketch_parse(&s, rec, p.bytes, NULL) || sketch_check_layer(&s, 1, NULL))
		r = -4;
	sketch_query_init(sq, q, d);
	for (uint32_t h = 0; h < n_head && r >= 0; h++) {
		sketch_score(&s, 1, h, sq, est);
		sketch_score_ref(&s, 1, h, sq, ref);
		if (memcmp(est, ref, p.n_block * 32 * sizeof(*est)))
			r = -1;
		for (uint32_t t = 0; t < n_token; t++) {
			double x = est[t], y = dot(q, k + t * row + h * d, d);

			sx += x, sy += y, sxx += x * x, syy += y * y, sxy += x * y, n++;
		}
	}
	if (r >= 0)
		r = n > 1 ? (sxy - sx * sy / n) / sqrt((sxx - sx * sx / n) * (syy - sy * sy / n)) : 1;
	free(k), free(sq), free(est), free(ref), free(rec), free(plain);
	return r;
}

static void test_estimate(void)
{
	static const uint32_t dims[] = { 8, 24, 64, 80, 96, 128, 192, 256, 1024 };
	static const uint32_t lens[] = { 1, 31, 32, 33, 63, 64, 65, 129 };
	int differ = 0, failed = 0;
	double r;

	for (size_t i = 0; i < 9; i++)
		for (size_t j = 0; j < 8; j++) {
			r = correlation(2, dims[i], lens[j]);
			differ += r == -1;
			failed += r < -1;
		}
	ok(!failed, "sketches are built around every edge of blocks and pages");
	ok(!differ, "the fast variants give the bits of the plain ones");
	/* Independent channels are the hardest case: sqrt(2/pi) = 0.798 for 1-bit codes. */
	r = correlation(2, 128, 2048);
	ok(r > 0.77, "estimates follow exact products: correlation %.3f", r);
}

/* A key that a query was made for ranks first among 16,384 noise keys, exactly what selection needs. */
static void test_needle(void)
{
	struct kv_geom g = { 1, 1, 64, KV_PAGE_TOKENS };
	uint32_t n = 16384, worst = 0;
	float *k = malloc((size_t)n * 64 * sizeof(*k)), q[64];
	static struct sketch_query sq;
	struct sketch_plan p;
	struct sketch s;
	struct id span = { { 0 } };
	float *est;
	void *rec;

	sketch_plan_init(&p, &g, n, NULL);
	make_values(k, (size_t)n * 64, 11);
	rec = zeroed(p.bytes);
	est = malloc(p.n_block * 32 * sizeof(*est));
	if (sketch_build_layer(&p, rec, 0, k, NULL))
		printf("# cannot build\n");
	sketch_seal(&p, rec, &span);
	sketch_parse(&s, rec, p.bytes, NULL);
	for (uint32_t i = 0; i < 20; i++) {
		uint32_t needle = (i * 811 + 5) % n, rank = 0;

		make_values(q, 64, 1000 + i);
		for (uint32_t c = 0; c < 64; c++)
			q[c] = k[needle * 64 + c] + 0.7f * q[c];
		sketch_query_init(&sq, q, 64);
		sketch_score(&s, 0, 0, &sq, est);
		for (uint32_t t = 0; t < n; t++)
			rank += est[t] > est[needle];
		worst = rank > worst ? rank : worst;
	}
	ok(worst < 64, "20 noisy needles in 16,384 keys rank within 64 (worst %u)", worst);
	free(k), free(rec), free(est);
}

static void test_sketch_damage(void)
{
	struct kv_geom g = { 2, 1, 16, KV_PAGE_TOKENS };
	struct extent_build *b = make_extent(&g, KV_F16, 70, 3);
	struct sketch_plan p;
	struct sketch s;
	struct extent x;
	size_t n, missed = 0;
	uint8_t *rec, *again;
	const void *image = extent_build_image(b, &n);
	struct err e;

	extent_parse(&x, image, n, NULL);
	sketch_plan_init(&p, &g, 70, NULL);
	rec = zeroed(p.bytes);
	again = zeroed(p.bytes);
	ok(!sketch_from_extent(&p, &x, rec, &e) && !sketch_from_extent(&p, &x, again, &e) &&
	   !memcmp(rec, again, p.bytes), "a sketch is rebuilt from pages, always the same");
	for (size_t i = 0; i < p.bytes; i++) {
		rec[i] ^= 0x20;
		missed += !sketch_parse(&s, rec, p.bytes, NULL) && !sketch_check_layer(&s, 0, NULL) &&
			  !sketch_check_layer(&s, 1, NULL);
		rec[i] ^= 0x20;
	}
	ok(!missed, "a flip in any byte of a sketch is found (invariant 4)");
	ok(sketch_parse(&s, rec, p.bytes - 64, &e) == ERR_CORRUPT, "a cut sketch is damage");
	{
		float *bad = calloc(70 * 16, sizeof(*bad));

		bad[20] = NAN;
		ok(sketch_build_layer(&p, again, 0, bad, &e) == ERR_INVALID, "NaN is refused");
		free(bad);
	}
	free(rec), free(again);
	extent_build_free(b);
}

static void test_spanidx(void)
{
	struct kv_geom g = { 3, 2, 24, KV_PAGE_TOKENS };
	struct spanidx_pair pair[] = { { 0, 1 }, { 2, 0 }, { 2, 1 } }, wrong = { 3, 0 };
	struct extent_build *b = make_extent(&g, KV_Q8, 130, 4);
	struct id profile = { { 8 } }, other = { { 9 } };
	struct spanidx_plan p;
	struct spanidx s;
	struct extent x;
	const int8_t *code;
	const uint16_t *step;
	float *k = malloc(130 * 48 * sizeof(*k));
	uint8_t *rec, *direct;
	size_t n, missed = 0;
	const void *image = extent_build_image(b, &n);
	double worst = 0;
	struct err e;

	extent_parse(&x, image, n, NULL);
	ok(!spanidx_plan_init(&p, 130, 3, 24, &e), "a plan");
	rec = zeroed(p.bytes);
	direct = zeroed(p.bytes);
	ok(!spanidx_from_extent(&p, &x, pair, &profile, rec, &e), "a part is made from pages");
	ok(spanidx_from_extent(&p, &x, (struct spanidx_pair[]){ pair[0], wrong, pair[1] }, &profile,
			       direct, &e) == ERR_INVALID, "a head that is not there is refused");
	ok(!spanidx_parse(&s, rec, p.bytes, &profile, &e), "it is read");
	ok(spanidx_parse(&s, rec, p.bytes, &other, &e) == ERR_MISMATCH, "another profile is told apart");
	spanidx_parse(&s, rec, p.bytes, NULL, &e);
	make_values(k, 130 * 48, 4 * 100 + 2 * 2);	/* the keys of layer 2, see make_extent */
	spanidx_get(&s, 2, &code, &step);
	for (uint32_t t = 0; t < 130; t++)
		for (uint32_t c = 0; c < 24; c++) {
			double d = fabs(code[t * 24 + c] * (double)kv_f16_to_f32(step[t]) -
					k[t * 48 + 24 + c]) / kv_f16_to_f32(step[t]);

			worst = d > worst ? d : worst;
		}
	ok(worst <= 1.01, "keys are right within the rounding of page and index (%.2f steps)", worst);
	memset(direct, 0, p.bytes);
	ok(!spanidx_build_pair(&p, direct, 2, k + 24, 48, &e), "a pair is made from a layer's keys");
	for (size_t i = 0; i < p.bytes; i++) {
		rec[i] ^= 1;
		missed += !spanidx_parse(&s, rec, p.bytes, NULL, NULL);
		rec[i] ^= 1;
	}
	ok(!missed, "a flip in any byte of a part is found (invariant 4)");
	free(rec), free(direct), free(k);
	extent_build_free(b);
}

int main(void)
{
	test_estimate();
	test_needle();
	test_sketch_damage();
	test_spanidx();
	return done();
}
