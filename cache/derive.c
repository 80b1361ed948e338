#include "config.h"

#include "cache/derive.h"

#include "cache/cat_int.h"
#include "cache/extent.h"
#include "cache/sketch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BATCH_BYTES (16ull << 20)	/* of parts made per commit */

static const char KEY_SKETCHES[] = "summary.sketches", KEY_PAIRS[] = "summary.pairs";

/* ---- what is wanted ---- */

struct id derive_profile(const struct spanidx_pair *pair, uint32_t n_pair)
{
	struct hasher h;

	hasher_init(&h);
	hasher_add(&h, "folio profile 1\n", 16);
	hasher_add(&h, pair, n_pair * sizeof(*pair));
	return hasher_done(&h);
}

/* A setting that may be missing. */
static int get(struct catalog *c, int64_t engine, const char *key, struct buf *out, struct err *e)
{
	struct err mine = { 0 };
	int rc = cat_get(c, engine, key, out, &mine);

	if (rc == ERR_NOTFOUND)
		return 0;
	if (rc && e)
		*e = mine;
	return rc;
}

int derive_get(struct catalog *c, int64_t engine, struct derive *out, struct err *e)
{
	struct buf v = { 0 };
	int rc;

	*out = (struct derive){ 0 };
	rc = get(c, engine, KEY_SKETCHES, &v, e);
	out->sketches = !rc && v.len == 1 && v.data[0] == '1';
	buf_clear(&v);
	if (!rc)
		rc = get(c, engine, KEY_PAIRS, &v, e);
	if (!rc && (v.len % sizeof(*out->pair) || v.len > SPANIDX_MAX_PAIR * sizeof(*out->pair)))
		rc = err_set(e, ERR_CORRUPT, "setting '%s' is no list of pairs", KEY_PAIRS);
	if (!rc && v.len) {
		out->pair = malloc(v.len);
		if (out->pair) {
			memcpy(out->pair, v.data, v.len);
			out->n_pair = (uint32_t)(v.len / sizeof(*out->pair));
			out->profile = derive_profile(out->pair, out->n_pair);
		} else {
			rc = err_nomem(e);
		}
	}
	buf_release(&v);
	return rc;
}

void derive_release(struct derive *d)
{
	free(d->pair);
	*d = (struct derive){ 0 };
}

int derive_set_sketches(struct catalog *c, int64_t engine, bool wanted, struct err *e)
{
	return cat_set(c, engine, KEY_SKETCHES, wanted ? "1" : "0", 1, e);
}

int derive_set_pairs(struct catalog *c, int64_t engine, const struct spanidx_pair *pair,
		     uint32_t n_pair, struct err *e)
{
	struct cat_engine en;
	struct id profile;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_engine(c, engine, &en, e);
	if (rc)
		return rc;
	if (n_pair > SPANIDX_MAX_PAIR)
		return err_set(e, ERR_INVALID, "%u pairs, at most %u are kept", n_pair,
			       SPANIDX_MAX_PAIR);
	for (uint32_t i = 0; i < n_pair; i++)
		if (pair[i].far_layer >= en.n_far_layer || pair[i].head >= en.n_head_kv)
			return err_set(e, ERR_INVALID, "there is no head %u in far layer %u",
				       pair[i].head, pair[i].far_layer);
	profile = derive_profile(pair, n_pair);
	rc = cat_run(c, e, "DELETE FROM part WHERE profile <> ?1 AND extent IN"
		     " (SELECT id FROM extent WHERE engine = ?2)", "Ii", &profile, engine);
	return rc ? rc : cat_set(c, engine, KEY_PAIRS, pair, n_pair * sizeof(*pair), e);
}

/* ---- one extent ---- */

static void *record(uint64_t n, struct err *e)
{
	void *p = aligned_alloc(64, n);

	if (p)
		memset(p, 0, n);
	else
		err_nomem(e);
	return p;
}

static int make_sketch(const struct extent *x, struct derived *out, struct err *e)
{
	struct sketch_plan p;
	int rc = sketch_plan_init(&p, &x->plan.geom, x->plan.n_token, e);

	if (rc)
		return rc;
	out->sketch = record(p.bytes, e);
	out->sketch_n = p.bytes;
	return out->sketch ? sketch_from_extent(&p, x, out->sketch, e) : ERR_NOMEM;
}

static int make_part(const struct derive *d, const struct extent *x, struct derived *out,
		     struct err *e)
{
	struct spanidx_plan p;
	int rc = spanidx_plan_init(&p, x->plan.n_token, d->n_pair, x->plan.geom.head_dim, e);

	if (rc)
		return rc;
	out->part = record(p.bytes, e);
	out->part_n = p.bytes;
	return out->part ? spanidx_from_extent(&p, x, d->pair, &d->profile, out->part, e)
			 : ERR_NOMEM;
}

int derive_make(const struct derive *d, const void *image, size_t n, struct derived *out,
		struct err *e)
{
	struct extent x;
	int rc = 0;

	*out = (struct derived){ 0 };
	if (d->sketches || d->n_pair)
		rc = extent_parse(&x, image, n, e);
	if (!rc && d->sketches)
		rc = make_sketch(&x, out, e);
	if (!rc && d->n_pair)
		rc = make_part(d, &x, out, e);
	if (rc)
		derive_drop(out);
	return rc;
}

void derive_drop(struct derived *x)
{
	free(x->sketch);
	free(x->part);
	*x = (struct derived){ 0 };
}

/* ---- what is missing ---- */

struct lacking {
	int64_t       id;
	struct kv_ref ref;
};

struct filler {
	struct catalog   *c;
	struct kv_store  *st;
	struct kv_writer *writer;
	int64_t           engine;
	struct derive     want;
	struct buf        list;		/* struct lacking */
	struct buf        done;		/* struct made, waiting for their commit */
	uint64_t          bytes, n_made, n_bad;
};

struct made {
	int64_t         extent;
	struct part_ref ref;
};

static int fill_number(void *ctx, uint32_t *number, struct err *e)
{
	struct filler *f = ctx;

	return cat_new_segment(f->c, f->engine, number, e);
}

/* In the order they lie on disk. */
static int list_lacking(struct filler *f, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(f->c, &st, e,
		       "SELECT id, segment, offset, bytes FROM extent x WHERE engine = ?1 AND NOT"
		       " EXISTS (SELECT 1 FROM part p WHERE p.extent = x.id AND p.profile = ?2)"
		       " ORDER BY segment, offset", "iI", f->engine, &f->want.profile);

	if (rc)
		return rc;
	while ((rc = cat_step(f->c, st, e)) > 0) {
		struct lacking l = { .id = sqlite3_column_int64(st, 0) };
		bool bad = false;

		l.ref.number = cat_col_u32(st, 1, &bad);
		l.ref.off = cat_col_u64(st, 2, &bad);
		l.ref.bytes = cat_col_u64(st, 3, &bad);
		if (bad) {
			rc = cat_bad_row("extent", l.id, e);
			break;
		}
		buf_add(&f->list, &l, sizeof(l));
	}
	cat_done(f->c, st);
	return !rc && f->list.failed ? err_nomem(e) : rc;
}

/* The extent in the mapping.  ERR_CORRUPT: it is not there. */
static int borrow(struct filler *f, const struct kv_ref *ref, const uint8_t **p, struct err *e)
{
	struct segment *s;
	int rc = kv_store_segment(f->st, SEGMENT_KV, ref->number, ref->off + ref->bytes, &s, e);

	if (!rc)
		rc = segment_borrow(s, ref->off, ref->bytes, p, e);
	return rc == ERR_NOTFOUND ? ERR_CORRUPT : rc;
}

/* The strips of the layers wanted, and the head: read them while the extent before is at work.  The
 * head says where the layers are; it is not checked yet, so only plausible numbers are used. */
static void ask_ahead(struct filler *f, const struct lacking *l)
{
	const uint8_t *p;
	struct extent_plan plan;
	uint32_t head[18];
	struct kv_geom g;

	if (l->ref.bytes < EXTENT_HEAD_BYTES || borrow(f, &l->ref, &p, NULL))
		return;
	memcpy(head, p, sizeof(head));
	memcpy(&g, head + 10, sizeof(g));
	if (extent_plan_init(&plan, &g, (enum kv_type)(head[16] & 0xff), head[14], NULL) ||
	    plan.bytes != l->ref.bytes)
		return;
	for (uint32_t i = 0; i < f->want.n_pair; i++) {
		uint32_t layer = f->want.pair[i].far_layer;
		const uint8_t *from;
		uintptr_t at;

		if (layer >= g.n_far_layer || (i && layer == f->want.pair[i - 1].far_layer))
			continue;
		from = p + extent_strip_off(&plan, layer, 0);
		at = (uintptr_t)from & ~4095ul;
		(void)madvise((void *)at, plan.layer_bytes + ((uintptr_t)from - at), MADV_WILLNEED);
	}
}

static int commit(struct filler *f, struct err *e)
{
	int rc;

	if (!f->done.len)
		return 0;
	rc = kv_writer_sync(f->writer, e);
	if (!rc)
		rc = cat_begin(f->c, e);
	for (size_t at = 0; at < f->done.len && !rc; at += sizeof(struct made)) {
		struct made m;
		int64_t there;

		memcpy(&m, f->done.data + at, sizeof(m));
		/* Pruned meanwhile: then the part is dead bytes. */
		rc = cat_int(f->c, &there, e, "SELECT count(*) FROM extent WHERE id = ?1", "i",
			     m.extent);
		if (!rc && there)
			rc = cat_put_part(f->c, m.extent, &f->want.profile, &m.ref, e);
	}
	if (!rc)
		rc = cat_commit(f->c, e);
	cat_rollback(f->c);
	if (!rc)
		f->n_made += f->done.len / sizeof(struct made);
	buf_clear(&f->done);
	f->bytes = 0;
	return rc;
}

static int fill_one(struct filler *f, const struct lacking *l, struct err *e)
{
	struct derive parts = f->want;
	struct made m = { .extent = l->id };
	struct derived x = { 0 };
	struct err why = { 0 };
	const uint8_t *p;
	int rc = borrow(f, &l->ref, &p, &why);

	parts.sketches = false;
	if (!rc)
		rc = derive_make(&parts, p, l->ref.bytes, &x, &why);
	if (!rc && kv_store_damaged(f->st, SEGMENT_KV, l->ref.number))
		rc = ERR_CORRUPT;
	if (rc == ERR_CORRUPT || rc == ERR_INVALID) {
		f->n_bad++;
		derive_drop(&x);
		return 0;
	}
	if (rc && e)
		*e = why;
	if (!rc && !f->writer)
		rc = kv_writer_new(&f->writer, f->st, 0, fill_number, f, e);
	if (!rc)
		rc = kv_writer_add_part(f->writer, x.part, x.part_n, &m.ref, e);
	if (!rc) {
		buf_add(&f->done, &m, sizeof(m));
		rc = f->done.failed ? err_nomem(e) : 0;
	}
	f->bytes += x.part_n;
	derive_drop(&x);
	return rc;
}

int derive_fill(struct library *lib, struct kv_store *st, int64_t engine, derive_fn *fn, void *ctx,
		uint64_t *n_made, uint64_t *n_bad, struct err *e)
{
	struct filler f = { .c = lib_catalog(lib), .st = st, .engine = engine };
	const struct lacking *l;
	size_t n;
	int rc = derive_get(f.c, engine, &f.want, e);

	if (!rc && f.want.n_pair)
		rc = list_lacking(&f, e);
	l = (const struct lacking *)(const void *)f.list.data;
	n = f.list.len / sizeof(*l);
	for (size_t i = 0; i < n && !rc; i++) {
		if (!i)
			ask_ahead(&f, &l[0]);
		if (i + 1 < n)
			ask_ahead(&f, &l[i + 1]);
		rc = fill_one(&f, &l[i], e);
		if (!rc && (f.bytes >= BATCH_BYTES || i + 1 == n))
			rc = commit(&f, e);
		if (!rc && fn)
			rc = fn(ctx, i + 1, n);
	}
	if (n_made)
		*n_made = f.n_made;
	if (n_bad)
		*n_bad = f.n_bad;
	kv_writer_free(f.writer);
	buf_release(&f.list);
	buf_release(&f.done);
	derive_release(&f.want);
	return rc;
}
