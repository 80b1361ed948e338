/* Pages without a catalog.  Encoding is what takes hours, and every extent says itself what it is:
 * after the catalog was lost or lost rows, the segments are walked and whole extents are put back.
 * Spans find them by identity, at once or when their text is ingested again. */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cache/care_int.h"
#include "cache/extent.h"
#include "cache/sketch.h"

struct found_sketch {
	struct id span;
	uint64_t  off;
};

struct adopter {
	struct care *k;
	uint32_t     number;
	struct buf   sketches;	/* struct found_sketch, of this number */
	uint64_t     n;		/* extents put back */
	struct err  *e;
};

static uint64_t file_size(struct care *k, enum segment_kind kind, uint32_t number)
{
	char *path = kv_store_path(k->store, kind, number);
	struct stat st;
	uint64_t n = path && !stat(path, &st) ? (uint64_t)st.st_size : 0;

	free(path);
	return n;
}

/* Records of a file, one by one.  What is no whole record is stepped over. */
static int walk(struct adopter *a, enum segment_kind kind,
		int (*fn)(struct adopter *, const uint8_t *, uint64_t off, uint64_t n))
{
	uint64_t end = file_size(a->k, kind, a->number), off = SEGMENT_HEAD_BYTES, n;
	struct segment *s;
	const uint8_t *p;
	int rc;

	if (end <= SEGMENT_HEAD_BYTES ||
	    kv_store_segment(a->k->store, kind, a->number, 0, &s, NULL))
		return 0;	/* not there, or its head is bad */
	for (;; off += n) {
		rc = segment_next_record(s, end, &off, &n, NULL);
		if (rc)
			return rc == ERR_NOTFOUND || rc == ERR_CORRUPT ? 0 : rc;
		if (segment_borrow(s, off, n, &p, NULL))
			continue;
		rc = fn(a, p, off, n);
		if (rc)
			return rc;
	}
}

static int note_sketch(struct adopter *a, const uint8_t *p, uint64_t off, uint64_t n)
{
	struct found_sketch f = { .off = off };
	struct sketch s;
	int rc = sketch_parse(&s, p, n, NULL);

	for (uint32_t i = 0; !rc && i < s.plan.geom.n_far_layer; i++)
		rc = sketch_check_layer(&s, i, NULL);
	if (rc)
		return 0;
	f.span = s.span;
	buf_add(&a->sketches, &f, sizeof(f));
	return a->sketches.failed ? err_nomem(a->e) : 0;
}

static uint64_t sketch_of(const struct adopter *a, const struct id *span)
{
	for (size_t at = 0; at < a->sketches.len; at += sizeof(struct found_sketch)) {
		struct found_sketch f;

		memcpy(&f, a->sketches.data + at, sizeof(f));
		if (id_eq(&f.span, span))
			return f.off;
	}
	return 0;
}

/* The row of the engine that made an extent; made from the extent where there is none. */
static int engine_of(struct adopter *a, const struct extent *x, int64_t *id)
{
	struct cat_engine en = { .fingerprint = x->engine, .name = "recovered" };
	int rc = cat_engine_find(a->k->c, &x->engine, &en, a->e);

	if (!rc)
		*id = en.id;
	if (rc != ERR_NOTFOUND)
		return rc;
	if (x->mode == IDENT_CAUSAL)
		return ERR_NOTFOUND;	/* does not say what the preamble was; another one will */
	en = (struct cat_engine){ .fingerprint = x->engine, .name = "recovered" };
	en.preamble = x->mode == IDENT_PREAMBLE ? x->span : x->attends;
	en.n_far_layer = x->plan.geom.n_far_layer;
	en.n_head_kv = x->plan.geom.n_head_kv;
	en.head_dim = x->plan.geom.head_dim;
	en.page_tokens = x->plan.geom.page_tokens;
	en.kv_type = (uint32_t)x->plan.type;
	return cat_put_engine(a->k->c, &en, id, a->e);
}

static int put_back(struct adopter *a, const struct extent *x, uint64_t off, uint64_t n)
{
	struct cat_extent put = { .type = (uint32_t)x->plan.type, .n_token = x->plan.n_token,
				  .n_page = x->plan.n_page, .page = x->page };
	struct catalog *c = a->k->c;
	int64_t id;
	int rc = engine_of(a, x, &put.engine);

	if (rc == ERR_NOTFOUND)
		return 0;
	put.ref = (struct kv_ref){ a->number, off, n, sketch_of(a, &x->span) };
	if (!rc)
		rc = cat_run(c, a->e,
			     "INSERT OR IGNORE INTO segment(id, engine, made) VALUES(?1, ?2, 0)",
			     "ii", (int64_t)a->number, put.engine);
	if (!rc)
		rc = cat_put_extent(c, &put, &id, NULL, a->e);
	a->n += !rc;
	return rc;
}

static int adopt_extent(struct adopter *a, const uint8_t *p, uint64_t off, uint64_t n)
{
	uint32_t layer, page;
	struct extent x;
	int64_t id;
	int rc;

	if (extent_parse(&x, p, n, NULL) || x.mode == IDENT_PRIVATE)
		return 0;
	rc = cat_extent_find(a->k->c, &x.span, &id, a->e);
	if (rc != ERR_NOTFOUND)
		return rc;
	if (extent_verify(p, n, &layer, &page, NULL))
		return 0;
	return put_back(a, &x, off, n);
}

static int adopt_file(struct adopter *a)
{
	struct catalog *c = a->k->c;
	int rc = walk(a, SEGMENT_SKETCH, note_sketch);

	if (!rc)
		rc = cat_begin(c, a->e);
	if (!rc)
		rc = walk(a, SEGMENT_KV, adopt_extent);
	if (!rc)
		rc = cat_commit(c, a->e);
	cat_rollback(c);
	buf_clear(&a->sketches);
	return rc ? rc : care_progress(a->k, "segments", a->number, 0);
}

int care_adopt(struct care *k, uint64_t *n, struct err *e)
{
	struct adopter a = { .k = k, .e = e };
	DIR *d = opendir(lib_segments(k->lib));
	struct dirent *ent;
	int rc = 0;

	while (!rc && d && (ent = readdir(d)))
		if (strstr(ent->d_name, ".kv") && sscanf(ent->d_name, "%8u.", &a.number) == 1)
			rc = adopt_file(&a);
	if (d)
		closedir(d);
	buf_release(&a.sketches);
	*n = a.n;
	return rc;
}
