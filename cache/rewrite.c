/* Moving live extents, with their sketches and index parts, out of segments that are mostly dead or
 * small. Every byte is checked on the way; each batch is synced before its commit, and what a
 * stopped prune has moved stays moved. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "cache/care_int.h"
#include "cache/derive.h"
#include "cache/spanidx.h"

#define REWRITE_BYTES (64ull << 20)	/* of live extents moved per commit */

/* Segments worth rewriting: less than half of the committed bytes are alive; or small, when there
 * are many of them (each command that encodes on demand leaves one). */
#define SMALL_BYTES (64ull << 20)
#define MANY_SMALL  8u

struct sparse {
	struct { uint32_t number; bool dead; } seg[4096];
	size_t n, n_small;
};

static int find_sparse(void *ctx, const struct cat_segment *s)
{
	struct sparse *v = ctx;
	bool dead = s->kv_live < (s->kv_end - SEGMENT_HEAD_BYTES) / 2;

	if (!s->n_extent || v->n == sizeof(v->seg) / sizeof(*v->seg) ||
	    (!dead && s->kv_end > SMALL_BYTES))
		return 0;
	v->seg[v->n].number = s->number;
	v->seg[v->n++].dead = dead;
	v->n_small += !dead;
	return 0;
}

struct mover {
	struct care      *k;
	struct kv_store  *store;
	struct kv_writer *writer;
	int64_t           engine;	/* of the extent being moved */
	int64_t           writes;	/* ... the one the writer's files belong to */
	struct cat_extent x;		/* being moved */
	struct id         last;
	struct moved { int64_t id; struct kv_ref ref; } *done;
	size_t            n, cap;
	struct segment_writer *si;	/* for parts of the span index, and its number */
	uint32_t          si_number;
	struct buf        parts;	/* struct moved_part, of the batch */
	uint64_t          bytes;
	struct err       *e;
};

static int mover_number(void *ctx, uint32_t *number, struct err *e)
{
	struct mover *m = ctx;

	return cat_new_segment(m->k->c, m->engine, number, e);
}

/* ---- Parts of the span index: they follow their extent --------------------------------------- */

struct moved_part {
	int64_t         extent;
	struct id       profile;
	struct part_ref at;
};

static int new_si(struct mover *m)
{
	char *path;
	int rc;

	if (m->si)
		segment_writer_close(m->si);
	m->si = NULL;
	rc = cat_new_segment(m->k->c, m->engine, &m->si_number, m->e);
	if (rc)
		return rc;
	path = kv_store_path(m->store, SEGMENT_SPANIDX, m->si_number);
	rc = path ? segment_create(&m->si, path, SEGMENT_SPANIDX, SEGMENT_CAPACITY, m->e)
		  : err_nomem(m->e);
	free(path);
	return rc;
}

static int put_part(struct mover *m, struct moved_part *p)
{
	struct spanidx x;
	uint64_t off;
	void *bytes;
	int rc = care_read_record(m->k, p->at.number, "si", p->at.off, p->at.bytes, &bytes, m->e);

	if (rc == ERR_CORRUPT)
		return 0;	/* derived: made again when it is missed */
	if (rc)
		return rc;
	rc = spanidx_parse(&x, bytes, p->at.bytes, &p->profile, m->e);
	if (!rc && !m->si)
		rc = new_si(m);
	if (!rc) {
		rc = segment_append(m->si, bytes, p->at.bytes, &off, m->e);
		if (rc == ERR_NOTFOUND) { /* the file is full, but what it has must be safe first */
			rc = segment_sync(m->si, m->e);
			if (!rc)
				rc = new_si(m);
			if (!rc)
				rc = segment_append(m->si, bytes, p->at.bytes, &off, m->e);
		}
	}
	free(bytes);
	if (rc)
		return rc == ERR_CORRUPT || rc == ERR_MISMATCH ? 0 : rc;
	p->at.number = m->si_number;
	p->at.off = off;
	buf_add(&m->parts, p, sizeof(*p));
	return m->parts.failed ? err_nomem(m->e) : 0;
}

static int move_parts(struct mover *m, int64_t extent)
{
	struct buf list = { 0 };
	sqlite3_stmt *st;
	int rc = cat_q(m->k->c, &st, m->e,
		       "SELECT profile, segment, offset, bytes FROM part WHERE extent = ?1", "i",
		       extent);

	if (rc)
		return rc;
	while ((rc = cat_step(m->k->c, st, m->e)) > 0) {
		struct moved_part p = { .extent = extent };
		bool bad = !cat_col_id(st, 0, &p.profile);

		p.at.number = cat_col_u32(st, 1, &bad);
		p.at.off = cat_col_u64(st, 2, &bad);
		p.at.bytes = cat_col_u64(st, 3, &bad);
		if (!bad)
			buf_add(&list, &p, sizeof(p));
	}
	cat_done(m->k->c, st);
	if (!rc && list.failed)
		rc = err_nomem(m->e);
	for (size_t at = 0; at < list.len && !rc; at += sizeof(struct moved_part))
		rc = put_part(m, (struct moved_part *)(void *)(list.data + at));
	buf_release(&list);
	return rc;
}

/* All parts of an extent are dropped and those that were moved are put. */
static int commit_parts(struct mover *m)
{
	struct catalog *c = m->k->c;
	int rc = 0;

	for (size_t i = 0; i < m->n && !rc; i++)
		rc = cat_run(c, m->e, "DELETE FROM part WHERE extent = ?1", "i", m->done[i].id);
	for (size_t at = 0; at < m->parts.len && !rc; at += sizeof(struct moved_part)) {
		const struct moved_part *p = (struct moved_part *)(void *)(m->parts.data + at);

		rc = cat_put_part(c, p->extent, &p->profile, &p->at, m->e);
	}
	buf_clear(&m->parts);
	return rc;
}

/* ---- Extents --------------------------------------------------------------------------------- */

static int note_move(struct mover *m, int64_t id, const struct kv_ref *ref)
{
	if (m->n == m->cap) {
		struct moved *p =
			realloc(m->done, (m->cap = m->cap ? m->cap * 2 : 64) * sizeof(*p));

		if (!p)
			return err_nomem(m->e);
		m->done = p;
	}
	m->done[m->n++] = (struct moved){ id, *ref };
	return 0;
}

/* Every byte of the pages is checked on the way.  What is damaged is not carried on: it is
 * forgotten, and encoded again when it is needed.  A sketch is a function of the pages: it is made
 * anew, whatever state the old one was in. */
static int move_extent(struct mover *m, const struct cat_extent *x)
{
	struct kv_ref ref = { .number = 0 };
	struct derive want = { .sketches = x->ref.sketch_off != 0 };
	struct derived d = { 0 };
	const uint8_t *image;
	struct segment *kv;
	int rc = care_check_extent(m->k, x, &m->last, m->e);

	if (!rc && !want.sketches)
		rc = care_wants_sketch(m->k, x->engine, &want.sketches, m->e);
	if (!rc)
		rc = kv_store_segment(m->store, SEGMENT_KV, x->ref.number,
				      x->ref.off + x->ref.bytes, &kv, m->e);
	if (!rc)
		rc = segment_borrow(kv, x->ref.off, x->ref.bytes, &image, m->e);
	if (!rc)
		rc = derive_make(&want, image, x->ref.bytes, &d, m->e);
	if (!rc && m->writes != x->engine) {	/* a file holds pages of one engine */
		kv_writer_free(m->writer);
		m->writer = NULL;
		m->writes = x->engine;
		rc = kv_writer_new(&m->writer, m->store, 0, mover_number, m, m->e);
	}
	if (!rc)
		rc = kv_writer_add(m->writer, image, x->ref.bytes, d.sketch, d.sketch_n, &ref, m->e);
	derive_drop(&d);
	if (rc && rc != ERR_CORRUPT)
		return rc;
	m->bytes += x->ref.bytes;
	rc = note_move(m, x->id, &ref);
	return rc || !ref.number ? rc : move_parts(m, x->id);
}

/* The row outlives the statement it came from: moving takes a batch of its own for a new file. */
static int copy_row(void *ctx, const struct cat_extent *x)
{
	struct mover *m = ctx;

	m->x = *x;
	m->last = x->page[x->n_page - 1];
	m->engine = x->engine;
	return 0;
}

/* ---- A batch --------------------------------------------------------------------------------- */

static int commit_moves(struct mover *m)
{
	struct catalog *c = m->k->c;
	int rc = m->writer ? kv_writer_sync(m->writer, m->e) : 0;

	if (!rc && m->si)
		rc = segment_sync(m->si, m->e);
	if (!rc)
		rc = cat_begin(c, m->e);
	if (!rc)
		rc = commit_parts(m);
	for (size_t i = 0; i < m->n && !rc; i++) {
		const struct moved *d = &m->done[i];

		if (!d->ref.number)
			rc = cat_del_extent(c, d->id, m->e);
		else
			rc = cat_run(
				c, m->e,
				"UPDATE extent SET segment = ?2, offset = ?3, sketch = ?4 WHERE"
				" id = ?1",
				"iiii", d->id, (int64_t)d->ref.number, (int64_t)d->ref.off,
				(int64_t)d->ref.sketch_off);
	}
	if (!rc)
		rc = cat_commit(c, m->e);
	cat_rollback(c);
	m->n = 0;
	return rc;
}

static int rewrite(struct mover *m, uint32_t number, uint64_t *moved)
{
	struct care *k = m->k;
	int64_t *id = NULL;
	size_t n = 0;
	int rc;

	rc = care_ids(k->c, "SELECT id FROM extent WHERE segment = ?1 ORDER BY engine, offset",
		      (int64_t)number, &id, &n, m->e);
	for (size_t i = 0; i < n && !rc; i++) {
		rc = cat_extent(k->c, id[i], copy_row, m, m->e);
		/* What goes to files of another engine is synced first. */
		if (!rc && m->n && m->writes != m->x.engine)
			rc = commit_moves(m);
		if (!rc)
			rc = move_extent(m, &m->x);
		if (!rc && (m->bytes >= REWRITE_BYTES || i + 1 == n)) {
			*moved += m->bytes;
			m->bytes = 0;
			rc = commit_moves(m);
			if (!rc)
				rc = care_progress(k, "rewrite", i + 1, n);
		}
	}
	free(id);
	return rc;
}

int care_rewrite(struct care *k, uint64_t *moved, struct err *e)
{
	struct sparse *v = calloc(1, sizeof(*v));
	struct mover m = { .k = k, .e = e };
	int rc = v ? cat_segments(k->c, find_sparse, v, e) : err_nomem(e);

	if (!rc)
		rc = kv_store_open(&m.store, lib_segments(k->lib), e);
	for (size_t i = 0; v && i < v->n && !rc; i++)
		if (v->seg[i].dead || v->n_small >= MANY_SMALL)
			rc = rewrite(&m, v->seg[i].number, moved);
	free(v);
	free(m.done);
	buf_release(&m.parts);
	if (m.si)
		segment_writer_close(m.si);
	kv_writer_free(m.writer);
	kv_store_close(m.store);
	return rc;
}
