/* Version 1 of the files, as a second implementation wrote them (tests/vectors/make_segment.py): read
 * whole, and made again byte for byte.  Later releases must go on passing this. */
#include "config.h"

#include "base/file.h"
#include "cache/segment.h"
#include "cache/sketch.h"
#include "cache/spanidx.h"
#include "tests/cache_make.h"
#include "tests/check.h"

#define LAYERS 2u
#define HEADS  2u
#define DIM    24u
#define TOKENS 130u
#define ROW    (HEADS * DIM)

static const struct kv_geom geom = { LAYERS, HEADS, DIM, KV_PAGE_TOKENS };
static const struct id engine = { { 7 } }, attends = { { 9 } }, profile = { { 5 } };
static char *dir;

/* The values of make_segment.py; which: 0 K, 1 V. */
static void values(float *x, uint32_t which, uint32_t layer)
{
	for (uint32_t t = 0; t < TOKENS; t++)
		for (uint32_t h = 0; h < HEADS; h++)
			for (uint32_t c = 0; c < DIM; c++) {
				uint32_t n = (t * 31 + h * 13 + c * c * 17 + layer * 7 + which * 3 + t * c) % 97;

				*x++ = ((float)n - 48) / 8 + (c == 5 ? 40 : 0);
			}
}

static struct extent_build *build(enum kv_type type)
{
	static float k[TOKENS * ROW], v[TOKENS * ROW];
	int32_t tok[TOKENS];
	struct extent_desc d = { .geom = geom, .type = type, .mode = IDENT_ISOLATED, .engine = engine,
				 .attends = attends, .token = tok, .n_token = TOKENS };
	struct extent_build *b;
	struct err e = { 0 };
	int rc;

	for (uint32_t i = 0; i < TOKENS; i++)
		tok[i] = (int32_t)i * 3 - 7;
	rc = extent_build_new(&b, &d, &e);
	for (uint32_t l = 0; !rc && l < LAYERS; l++) {
		values(k, 0, l);
		values(v, 1, l);
		rc = extent_build_layer(b, l, k, v, &e);
	}
	if (!rc)
		rc = extent_build_seal(b, &e);
	if (rc) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	return b;
}

static char *vector(const char *name)
{
	const char *src = getenv("srcdir");
	char *path = malloc(4200);

	snprintf(path, 4200, "%s/tests/vectors/%s", src ? src : ".", name);
	return path;
}

/* Is the file in dir equal to the vector, to the last byte? */
static int same(const char *made, const char *name)
{
	struct file_map a, b;
	char *want = vector(name);
	int rc;

	if (file_map_open(&a, made, NULL) || file_map_open(&b, want, NULL)) {
		printf("# cannot open %s or %s\n", made, want);
		return 0;
	}
	rc = a.size == b.size;
	for (size_t i = 0; rc && i < a.size; i++)
		if (a.data[i] != b.data[i]) {
			printf("# %s differs at %zu\n", name, i);
			rc = 0;
		}
	file_map_close(&a);
	file_map_close(&b);
	free(want);
	return rc;
}

static void test_kv(void)
{
	static const enum kv_type type[] = { KV_Q4, KV_F16, KV_Q8 };
	static float k[TOKENS * ROW], kd[64 * DIM], vd[64 * DIM];
	struct segment_writer *w;
	char made[4200], *path = vector("segment-1.kv");
	struct segment *s;
	uint64_t off = 0, n;
	double worst = 0;
	int bad = 0;
	struct err e = { 0 };

	snprintf(made, sizeof(made), "%s/00000001.kv", dir);
	bad += segment_create(&w, made, SEGMENT_KV, 1 << 20, &e);
	for (int i = 0; i < 3; i++) {
		struct extent_build *b = build(type[i]);
		size_t bytes;
		const void *image = extent_build_image(b, &bytes);

		bad += segment_append(w, image, bytes, &off, &e);
		if (i == 1)
			bad += segment_sync(w, &e);
		extent_build_free(b);
	}
	bad += segment_sync(w, &e);
	segment_writer_close(w);
	ok(!bad && same(made, "segment-1.kv"), "extents of all types are made as version 1 has them");

	if (segment_open(&s, path, SEGMENT_KV, 0, &e)) {
		ok(0, "the vector opens: %s", e.msg);
		return;
	}
	values(k, 0, 1);
	off = 0;
	for (int i = 0; i < 3; i++) {
		const uint8_t *p;
		struct extent x;
		struct kv_layout l;

		bad += segment_next_record(s, 110592, &off, &n, &e) || segment_borrow(s, off, n, &p, &e) ||
		       extent_verify(p, n, NULL, NULL, &e) || extent_parse(&x, p, n, &e) ||
		       x.plan.type != type[i] || x.token[2] != -1;
		if (bad)
			break;
		extent_strip_layout(&x.plan, 1, &l);
		kv_decode_head(&l, p + extent_strip_off(&x.plan, 1, 1) + STRIP_HEAD_BYTES, 1, kd, vd);
		for (uint32_t t = 0; t < 64; t++)
			for (uint32_t c = 0; c < DIM; c++) {
				double d = kd[t * DIM + c] - k[(64 + t) * ROW + DIM + c];

				worst = d * d > worst ? d * d : worst;
			}
		off += n;
	}
	ok(!bad, "the vector is read and verified%s%s", bad ? ": " : "", bad ? e.msg : "");
	ok(worst < 0.42 * 0.42, "and decodes to the values it was made from");
	segment_close(s);
	free(path);
}

static void test_sk(void)
{
	static float k[TOKENS * ROW];
	struct extent_build *b = build(KV_F16);
	struct id span = extent_build_span(b);
	struct segment_writer *w;
	struct sketch_plan p;
	char made[4200];
	uint64_t off;
	uint8_t *rec;
	int bad = 0;

	snprintf(made, sizeof(made), "%s/00000001.sk", dir);
	bad += sketch_plan_init(&p, &geom, TOKENS, NULL);
	rec = aligned_alloc(64, p.bytes);
	memset(rec, 0, p.bytes);
	for (uint32_t l = 0; l < LAYERS; l++) {
		values(k, 0, l);
		bad += sketch_build_layer(&p, rec, l, k, NULL);
	}
	sketch_seal(&p, rec, &span);
	bad += segment_create(&w, made, SEGMENT_SKETCH, 1 << 20, NULL) ||
	       segment_append(w, rec, p.bytes, &off, NULL) || segment_sync(w, NULL);
	segment_writer_close(w);
	ok(!bad && same(made, "segment-1.sk"), "sketches are made as version 1 has them");
	free(rec);
	extent_build_free(b);
}

static void test_si(void)
{
	static const struct spanidx_pair pair[] = { { 0, 1 }, { 1, 0 } };
	static float k[TOKENS * ROW];
	struct extent_build *b = build(KV_F16);
	struct id span = extent_build_span(b);
	struct segment_writer *w;
	struct spanidx_plan p;
	char made[4200];
	uint64_t off;
	uint8_t *rec;
	int bad = 0;

	snprintf(made, sizeof(made), "%s/00000001.si", dir);
	bad += spanidx_plan_init(&p, TOKENS, 2, DIM, NULL);
	rec = aligned_alloc(64, p.bytes);
	memset(rec, 0, p.bytes);
	for (uint32_t i = 0; i < 2; i++) {
		values(k, 0, pair[i].far_layer);
		bad += spanidx_build_pair(&p, rec, i, k + pair[i].head * DIM, ROW, NULL);
	}
	spanidx_seal(&p, rec, &span, &profile);
	bad += segment_create(&w, made, SEGMENT_SPANIDX, 1 << 20, NULL) ||
	       segment_append(w, rec, p.bytes, &off, NULL) || segment_sync(w, NULL);
	segment_writer_close(w);
	ok(!bad && same(made, "segment-1.si"), "span index parts are made as version 1 has them");
	free(rec);
	extent_build_free(b);
}

int main(void)
{
	dir = make_dir();
	test_kv();
	test_sk();
	test_si();
	make_rmdir(dir);
	return done();
}
