/* Records of the cache from memory: extents, sketches, parts of the span index.  The first byte says
 * which; checksums and identities are repaired first, or nothing behind them would ever be reached.
 * Whatever parses is used to the last token, and what is derived from it is parsed in turn. */
#include "config.h"

#include "base/size.h"
#include "cache/extent.h"
#include "cache/sketch.h"
#include "cache/spanidx.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DERIVED (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static volatile int sink;	/* so that reads are not dropped */

static uint32_t u32_at(const uint8_t *p, size_t at)
{
	uint32_t x;

	memcpy(&x, p + at, 4);
	return x;
}

static void put_sum(uint8_t *p, size_t at, size_t from, size_t to)
{
	struct sum128 s = sum128_of(p + from, to - from);

	memcpy(p + at, &s, sizeof(s));
}

/* Tables and sums as the head's own fields imply them, as far as they lie within n. */
static void repair_extent(uint8_t *p, size_t n)
{
	struct kv_geom g;
	struct extent_plan plan;
	struct id engine, attends, span;

	if (n < EXTENT_HEAD_BYTES)
		return;
	memcpy(&g, p + 40, sizeof(g));
	memcpy(&engine, p + 80, 32);
	memcpy(&attends, p + 112, 32);
	if (!extent_plan_init(&plan, &g, (enum kv_type)p[64], u32_at(p, 56), NULL) &&
	    plan.bytes <= n) {
		int32_t *tok = malloc(4ull * plan.n_token);
		struct id *page = malloc(32ull * plan.n_page);

		if (!tok || !page)
			abort();
		memcpy(tok, p + EXTENT_HEAD_BYTES + 32ull * plan.n_page, 4ull * plan.n_token);
		span = ident_span(&engine, (enum ident_mode)p[65], &attends, tok, plan.n_token, page);
		memcpy(p + EXTENT_HEAD_BYTES, page, 32ull * plan.n_page);
		memcpy(p + 144, &span, 32);
		for (uint32_t l = 0; l < g.n_far_layer; l++)
			for (uint32_t i = 0; i < plan.n_page; i++) {
				uint8_t *s = p + extent_strip_off(&plan, l, i);

				memcpy(s + 32, &span, 32);
				put_sum(s, 0, 16, extent_strip_bytes(&plan, i));
			}
		free(tok);
		free(page);
	}
	if (u32_at(p, 36) >= 32 && u32_at(p, 36) <= n)
		put_sum(p, 16, 32, u32_at(p, 36));
}

static void derive(const struct extent *x)
{
	struct sketch_plan sp;
	struct spanidx_plan ip;
	struct spanidx_pair pair = { x->plan.geom.n_far_layer - 1, x->plan.geom.n_head_kv - 1 };
	struct sketch s;
	struct spanidx si;
	struct id profile = { { 0 } };
	void *rec;

	if (sketch_plan_init(&sp, &x->plan.geom, x->plan.n_token, NULL) ||
	    spanidx_plan_init(&ip, x->plan.n_token, 1, x->plan.geom.head_dim, NULL))
		abort();
	if (sp.bytes <= MAX_DERIVED && (rec = aligned_alloc(64, round_up(sp.bytes, 64)))) {
		memset(rec, 0, sp.bytes);
		if (!sketch_from_extent(&sp, x, rec, NULL) && sketch_parse(&s, rec, sp.bytes, NULL))
			abort();
		free(rec);
	}
	if (ip.bytes <= MAX_DERIVED && (rec = aligned_alloc(64, round_up(ip.bytes, 64)))) {
		memset(rec, 0, ip.bytes);
		if (!spanidx_from_extent(&ip, x, &pair, &profile, rec, NULL) &&
		    spanidx_parse(&si, rec, ip.bytes, NULL, NULL))
			abort();
		free(rec);
	}
}

static void use_extent(const uint8_t *p, size_t n)
{
	static float k[KV_PAGE_TOKENS * KV_MAX_HEAD_DIM], v[KV_PAGE_TOKENS * KV_MAX_HEAD_DIM];
	struct extent x;

	(void)extent_verify(p, n, NULL, NULL, NULL);
	if (extent_parse(&x, p, n, NULL))
		return;
	for (uint32_t l = 0; l < x.plan.geom.n_far_layer; l++)
		for (uint32_t i = 0; i < x.plan.n_page; i++) {
			const uint8_t *strip = p + extent_strip_off(&x.plan, l, i);
			struct kv_layout lay;

			if (extent_check_strip(&x.plan, &x.span, l, i, strip, NULL))
				continue;
			extent_strip_layout(&x.plan, i, &lay);
			kv_decode_head(&lay, strip + STRIP_HEAD_BYTES, lay.n_head_kv - 1, k, v);
			kv_decode_token(&lay, strip + STRIP_HEAD_BYTES, 0, lay.n_token - 1, k, v);
		}
	derive(&x);
}

static void repair_sketch(uint8_t *p, size_t n)
{
	struct kv_geom g;
	struct sketch_plan plan;

	if (n < 128)
		return;
	memcpy(&g, p + 96, sizeof(g));
	if (!sketch_plan_init(&plan, &g, u32_at(p, 36), NULL) && plan.bytes <= n)
		for (uint32_t l = 0; l < g.n_far_layer; l++)
			put_sum(p, 128 + 16ull * l, plan.head_bytes + l * plan.layer_bytes,
				plan.head_bytes + (l + 1) * plan.layer_bytes);
	if (u32_at(p, 48) >= 32 && u32_at(p, 48) <= n)
		put_sum(p, 16, 32, u32_at(p, 48));
}

static void use_sketch(const uint8_t *p, size_t n)
{
	static struct sketch_query sq;
	float q[KV_MAX_HEAD_DIM], *est;
	struct sketch s;

	if (sketch_parse(&s, p, n, NULL))
		return;
	for (uint32_t c = 0; c < s.plan.geom.head_dim; c++)
		q[c] = (float)c - 7;
	sketch_query_init(&sq, q, s.plan.geom.head_dim);
	est = malloc(s.plan.n_block * 32ull * sizeof(*est));
	for (uint32_t l = 0; est && l < s.plan.geom.n_far_layer; l++)
		if (!sketch_check_layer(&s, l, NULL))
			sketch_score(&s, l, s.plan.geom.n_head_kv - 1, &sq, est);
	free(est);
}

static void use_spanidx(uint8_t *p, size_t n)
{
	const int8_t *code;
	const uint16_t *step;
	uint64_t bytes;
	struct spanidx s;

	if (n >= 192) {
		memcpy(&bytes, p + 8, 8);
		if (bytes >= 192 && bytes <= n)
			put_sum(p, 16, 32, bytes);
	}
	if (spanidx_parse(&s, p, n, NULL, NULL))
		return;
	for (uint32_t i = 0; i < s.plan.n_pair; i++) {
		spanidx_get(&s, i, &code, &step);
		sink = code[(size_t)s.plan.n_token * s.plan.head_dim - 1] + step[s.plan.n_token - 1];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *p;

	/* Of the exact size, so that ASan sees a read beyond it. */
	if (n < 2 || n > 1 << 20 || !(p = malloc(n - 1)))
		return 0;
	memcpy(p, data + 1, n - 1);
	switch (data[0] % 4) {
	case 0:
		repair_extent(p, n - 1);
		/* fall through */
	case 1:
		use_extent(p, n - 1);
		break;
	case 2:
		repair_sketch(p, n - 1);
		use_sketch(p, n - 1);
		break;
	default:
		use_spanidx(p, n - 1);
	}
	free(p);
	return 0;
}
