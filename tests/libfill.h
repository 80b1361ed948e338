/* tests/libfill.h - fill a library with everything it can hold: texts, maps, spans, extents with
 * their sketches and index parts, a session with turns and tails.  The pages' bytes are real
 * (sealed by extent.h), their values follow from the document's number. */
#ifndef TESTS_LIBFILL_H
#define TESTS_LIBFILL_H

#include "cache/extent.h"
#include "cache/search.h"
#include "cache/session.h"
#include "cache/sketch.h"
#include "cache/spanidx.h"
#include "libtemp.h"

struct fill {
	struct library   *lib;
	struct catalog   *c;
	struct kv_store  *store;
	struct kv_writer *writer;
	struct segment_writer *parts;		/* of the span index */
	uint32_t          number;		/* ... and their file */
	int64_t           engine, source, snapshot, session;
	struct id         fingerprint, preamble, profile;
	bool              sketches;
};

static const struct kv_geom fill_geom = { 2, 1, 8, KV_PAGE_TOKENS };

static int fill_number(void *ctx, uint32_t *number, struct err *e)
{
	struct fill *f = ctx;

	return cat_new_segment(f->c, f->engine, number, e);
}

__attribute__((unused)) static int fill_open(struct fill *f, const char *dir, struct err *e)
{
	struct cat_engine en = {.n_far_layer = fill_geom.n_far_layer,
				.n_head_kv = fill_geom.n_head_kv,
				.head_dim = fill_geom.head_dim,
				.page_tokens = fill_geom.page_tokens,
				.kv_type = KV_Q8,
				.name = "fill"};
	int rc;

	*f = (struct fill){ .sketches = true };
	f->fingerprint = en.fingerprint = id_of("fill", 4);
	f->preamble = en.preamble = id_of("pre", 3);
	f->profile = id_of("profile", 7);
	rc = lib_open(&f->lib, dir, LIB_CREATE, e);
	if (rc)
		return rc;
	f->c = lib_catalog(f->lib);
	rc = cat_begin(f->c, e);
	if (!rc)
		rc = cat_put_engine(f->c, &en, &f->engine, e);
	if (!rc)
		rc = cat_put_source(f->c, "src", "dir", "/src", &f->source, e);
	if (!rc && cat_snapshot_open(f->c, f->source, &f->snapshot, NULL))
		rc = cat_snapshot_begin(f->c, f->source, "", 0, &f->snapshot, e);
	if (!rc)
		rc = cat_commit(f->c, e);
	if (!rc)
		rc = kv_store_open(&f->store, lib_segments(f->lib), e);
	return rc ? rc : kv_writer_new(&f->writer, f->store, 0, fill_number, f, e);
}

__attribute__((unused)) static void fill_close(struct fill *f)
{
	if (f->parts)
		segment_writer_close(f->parts);
	kv_writer_free(f->writer);
	kv_store_close(f->store);
	lib_close(f->lib);
	*f = (struct fill){ 0 };
}

/* The sealed pages of span number nr. */
__attribute__((unused)) static int fill_pages(const struct fill *f, int nr, uint32_t n_token,
					      struct extent_build **out, struct err *e)
{
	uint32_t row = kv_row(&fill_geom);
	float *k = calloc((size_t)n_token * row, sizeof(*k)),
	      *v = calloc((size_t)n_token * row, sizeof(*v));
	int32_t *token = calloc(n_token, sizeof(*token));
	struct extent_desc d = {.geom = fill_geom,
				.type = KV_Q8,
				.mode = IDENT_ISOLATED,
				.token = token,
				.n_token = n_token,
				.engine = f->fingerprint,
				.attends = f->preamble};
	int rc;

	for (uint32_t i = 0; i < n_token; i++)
		token[i] = (int32_t)(nr * 10007 + (int)i);
	rc = extent_build_new(out, &d, e);
	for (uint32_t layer = 0; layer < fill_geom.n_far_layer && !rc; layer++) {
		for (uint32_t i = 0; i < n_token * row; i++) {
			k[i] = (float)(((uint32_t)nr * 31 + i * 7 + layer) % 97) / 97;
			v[i] = (float)(((uint32_t)nr * 17 + i * 5 + layer) % 89) / 89;
		}
		rc = extent_build_layer(*out, layer, k, v, e);
	}
	if (!rc)
		rc = extent_build_seal(*out, e);
	free(k);
	free(v);
	free(token);
	return rc;
}

/* Append the index part of a sealed extent; its file is made on first use. */
static int fill_part(struct fill *f, struct extent_build *b, struct part_ref *part, struct err *e)
{
	static const struct spanidx_pair pair[2] = { { 0, 0 }, { 1, 0 } };
	struct spanidx_plan plan;
	struct extent x;
	size_t n;
	const void *image = extent_build_image(b, &n);
	void *out = NULL;
	char *path;
	int rc = extent_parse(&x, image, n, e);

	if (!rc && !f->parts) {
		rc = cat_new_segment(f->c, f->engine, &f->number, e);
		path = kv_store_path(f->store, SEGMENT_SPANIDX, f->number);
		if (!rc)
			rc = segment_create(&f->parts, path, SEGMENT_SPANIDX, 1 << 20, e);
		free(path);
	}
	if (!rc)
		rc = spanidx_plan_init(&plan, x.plan.n_token, 2, fill_geom.head_dim, e);
	if (!rc)
		out = aligned_alloc(64, plan.bytes);
	if (out)
		memset(out, 0, plan.bytes);
	if (!rc)
		rc = spanidx_from_extent(&plan, &x, pair, &f->profile, out, e);
	if (!rc)
		rc = segment_append(f->parts, out, plan.bytes, &part->off, e);
	if (!rc)
		rc = segment_sync(f->parts, e);
	part->number = f->number;
	part->bytes = rc ? 0 : plan.bytes;
	free(out);
	return rc;
}

/* Document nr under this path, one span of n_token tokens, encoded. */
__attribute__((unused)) static int fill_document(struct fill *f, int nr, const char *path,
						 uint32_t n_token, struct err *e)
{
	struct cat_span s = { .n_token = n_token, .after = f->preamble };
	struct cat_extent x = { .engine = f->engine, .type = KV_Q8, .n_token = n_token,
				.n_page = kv_page_count(n_token) };
	struct extent_build *b = NULL;
	struct sketch_plan plan;
	struct part_ref part;
	struct buf text = { 0 };
	void *sketch = NULL;
	const void *image;
	struct extent parsed;
	int64_t doc = 0, id;
	size_t n, sketch_n = 0;
	int rc;

	for (int i = 0; i < 20; i++)
		buf_addf(&text, "document %d line %d\n", nr, i);
	s.end = text.len;
	rc = fill_pages(f, nr, n_token, &b, e);
	if (!rc)
		image = extent_build_image(b, &n);
	if (!rc && f->sketches) {
		rc = extent_parse(&parsed, image, n, e);
		if (!rc)
			rc = sketch_plan_init(&plan, &fill_geom, n_token, e);
		if (!rc) {
			sketch_n = plan.bytes;
			sketch = aligned_alloc(64, sketch_n);
			memset(sketch, 0, sketch_n);
			rc = sketch_from_extent(&plan, &parsed, sketch, e);
		}
	}
	if (!rc)
		rc = kv_writer_add(f->writer, image, n, sketch, sketch_n, &x.ref, e);
	if (!rc)
		rc = kv_writer_sync(f->writer, e);
	if (!rc)
		rc = fill_part(f, b, &part, e);
	if (!rc)
		rc = cat_begin(f->c, e);
	if (!rc) {
		doc = temp_text(f->c, f->snapshot, path, text.data, e);
		rc = doc ? 0 : ERR_IO;
	}
	s.last = extent_build_span(b);
	x.page = extent_build_pages(b);
	if (!rc)
		rc = cat_put_spans(f->c, doc, f->engine, CAT_ISOLATED, &s, 1, e);
	if (!rc)
		rc = cat_put_extent(f->c, &x, &id, NULL, e);
	if (!rc)
		rc = cat_put_part(f->c, id, &f->profile, &part, e);
	if (!rc)
		rc = cat_commit(f->c, e);
	cat_rollback(f->c);
	extent_build_free(b);
	free(sketch);
	buf_release(&text);
	return rc;
}

static int fill_keep(void *ctx, const struct session *s)
{
	((int64_t *)ctx)[0] = s->id;
	((int64_t *)ctx)[1] = s->turn;
	((int64_t *)ctx)[2] = s->n_turn;
	return 0;
}

/* Session "s" gets one more turn of 64 tokens. */
__attribute__((unused)) static int fill_turn(struct fill *f, struct err *e)
{
	static char far[4096], near[512];
	int32_t token[64] = { 1, 2, 3 };
	struct sess_turn t = {.question = "what is it?",
			      .answer = "it is this [1]",
			      .citations = "[{\"n\":1}]",
			      .info = "{}",
			      .token = token,
			      .n_token = 64};
	struct sess_page page = { .n_token = 64, .far = far, .far_n = sizeof(far), .near = near,
				  .near_n = sizeof(near) };
	int64_t s[3] = { 0 }, turn;
	int rc = sess_find(f->c, "s", fill_keep, s, e);

	if (rc == ERR_NOTFOUND) {
		rc = cat_begin(f->c, e);
		if (!rc)
			rc = sess_new(f->c, "s", f->engine, CAT_ISOLATED, &f->snapshot, 1, &s[0],
				      e);
		if (!rc)
			rc = cat_commit(f->c, e);
	}
	f->session = s[0];
	memset(far, (int)s[2] + 1, sizeof(far));
	memset(near, (int)s[2] + 2, sizeof(near));
	page.pos = (uint64_t)s[2] * 64;
	return rc ? rc : sess_add_turn(f->lib, s[0], s[1], &t, &page, 1, 64, &turn, e);
}

#endif
