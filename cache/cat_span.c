#include "config.h"

#include "cache/cat_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "cache/kvtype.h"

/* ---- Extents and pages ----------------------------------------------------------------------- */

int cat_extent_find(struct catalog *c, const struct id *last, int64_t *extent, struct err *e)
{
	return cat_int(c, extent, e, "SELECT id FROM extent WHERE last = ?1", "I", last);
}

int cat_page_find(struct catalog *c, const struct id *page, int64_t *extent, uint32_t *pgno,
		  struct err *e)
{
	sqlite3_stmt *st;
	bool bad = false;
	int rc = cat_q(c, &st, e,
		       "SELECT extent, pgno FROM page WHERE id = ?1 ORDER BY extent LIMIT 1", "I",
		       page);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		*extent = sqlite3_column_int64(st, 0);
		*pgno = cat_col_u32(st, 1, &bad);
		rc = bad ? cat_bad_row("page", *extent, e) : 0;
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOTFOUND, "no such page");
	}
	cat_done(c, st);
	return rc;
}

static int put_pages(struct catalog *c, const struct cat_extent *x, int64_t extent, struct err *e)
{
	int rc = 0;

	for (uint32_t i = 0; i < x->n_page && !rc; i++)
		rc = cat_run(c, e, "INSERT INTO page(id, extent, pgno) VALUES(?1, ?2, ?3)", "Iii",
			     &x->page[i], extent, (int64_t)i);
	return rc;
}

int cat_put_extent(struct catalog *c, const struct cat_extent *x, int64_t *id, bool *is_new,
		   struct err *e)
{
	const struct id *last;
	int rc = cat_need_batch(c, e);

	if (rc)
		return rc;
	if (!x->n_page || !x->n_token || x->n_page != kv_page_count(x->n_token))
		return err_set(e, ERR_INVALID, "an extent of %u tokens on %u pages", x->n_token,
			       x->n_page);
	last = &x->page[x->n_page - 1];
	rc = cat_extent_find(c, last, id, e);
	if (is_new)
		*is_new = rc == ERR_NOTFOUND;
	if (rc != ERR_NOTFOUND)
		return rc;
	rc = cat_run(c, e, "INSERT INTO extent(engine, last, segment, offset, bytes, sketch, type,"
		     " n_token, n_page, pages) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
		     "iIiiiiiiib", x->engine, last, (int64_t)x->ref.number, (int64_t)x->ref.off,
		     (int64_t)x->ref.bytes, (int64_t)x->ref.sketch_off, (int64_t)x->type,
		     (int64_t)x->n_token, (int64_t)x->n_page, x->page,
		     (size_t)x->n_page * sizeof(struct id));
	if (rc)
		return rc;
	*id = sqlite3_last_insert_rowid(c->db);
	rc = put_pages(c, x, *id, e);
	return rc ? rc
		  : cat_run(c, e, "UPDATE span SET extent = ?1 WHERE last = ?2", "iI", *id, last);
}

#define EXTENT_COLS "id, engine, segment, offset, bytes, sketch, type, n_token, n_page, pages"

static int extent_walk(struct catalog *c, sqlite3_stmt *st, cat_extent_fn *fn, void *ctx, int *n,
		       struct err *e)
{
	int rc;

	while ((rc = cat_step(c, st, e)) > 0) {
		struct cat_extent x = {
			.id = sqlite3_column_int64(st, 0), .engine = sqlite3_column_int64(st, 1)
		};
		bool bad = false;

		x.ref.number = cat_col_u32(st, 2, &bad);
		x.ref.off = cat_col_u64(st, 3, &bad);
		x.ref.bytes = cat_col_u64(st, 4, &bad);
		x.ref.sketch_off = cat_col_u64(st, 5, &bad);
		x.type = cat_col_u32(st, 6, &bad);
		x.n_token = cat_col_u32(st, 7, &bad);
		x.n_page = cat_col_u32(st, 8, &bad);
		x.page = sqlite3_column_blob(st, 9);
		if (bad || !x.n_page || x.n_page != kv_page_count(x.n_token) ||
		    (uint64_t)sqlite3_column_bytes(st, 9) !=
			    (uint64_t)x.n_page * sizeof(struct id)) {
			rc = cat_bad_row("extent", x.id, e);
			break;
		}
		++*n;
		rc = fn(ctx, &x);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

int cat_extent(struct catalog *c, int64_t id, cat_extent_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int n = 0, rc;

	rc = cat_q(c, &st, e, "SELECT " EXTENT_COLS " FROM extent WHERE id = ?1", "i", id);
	if (!rc)
		rc = extent_walk(c, st, fn, ctx, &n, e);
	if (!rc && !n)
		rc = err_set(e, ERR_NOTFOUND, "the library has no extent number %lld",
			     (long long)id);
	return rc;
}

int cat_extents(struct catalog *c, cat_extent_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int n = 0, rc;

	rc = cat_q(c, &st, e, "SELECT " EXTENT_COLS " FROM extent ORDER BY segment, offset", "");
	return rc ? rc : extent_walk(c, st, fn, ctx, &n, e);
}

int cat_del_extent(struct catalog *c, int64_t id, struct err *e)
{
	sqlite3_stmt *st;
	struct buf pages = { 0 };
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_q(c, &st, e, "SELECT pages FROM extent WHERE id = ?1", "i", id);
	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0)
		buf_add(&pages, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
	cat_done(c, st);
	if (pages.failed)
		rc = err_nomem(e);
	if (rc > 0)
		rc = 0;
	/* By key; the cascade would search the whole table, which is ordered by identity. */
	for (size_t at = 0; !rc && at + sizeof(struct id) <= pages.len; at += sizeof(struct id))
		rc = cat_run(c, e, "DELETE FROM page WHERE id = ?1 AND extent = ?2", "bi",
			     pages.data + at, sizeof(struct id), id);
	buf_release(&pages);
	return rc ? rc : cat_run(c, e, "DELETE FROM extent WHERE id = ?1", "i", id);
}

/* ---- Span index parts ------------------------------------------------------------------------ */

int cat_put_part(struct catalog *c, int64_t extent, const struct id *profile,
		 const struct part_ref *p, struct err *e)
{
	int rc = cat_need_batch(c, e);

	return rc ? rc
		  : cat_run(c, e,
			    "INSERT OR IGNORE INTO part(extent, profile, segment, offset, bytes)"
			    " VALUES(?1, ?2, ?3, ?4, ?5)",
			    "iIiii", extent, profile, (int64_t)p->number, (int64_t)p->off,
			    (int64_t)p->bytes);
}

int cat_del_parts(struct catalog *c, const struct id *profile, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (rc)
		return rc;
	return profile ? cat_run(c, e, "DELETE FROM part WHERE profile = ?1", "I", profile)
		       : cat_run(c, e, "DELETE FROM part", "");
}

/* ---- Spans ----------------------------------------------------------------------------------- */

int cat_put_spans(struct catalog *c, int64_t document, int64_t engine, enum cat_mode mode,
		  const struct cat_span *span, size_t n, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (!rc && mode == CAT_ISOLATED)
		rc = cat_run(c, e,
			     "DELETE FROM span WHERE document = ?1 AND engine = ?2 AND mode = ?3",
			     "iii", document, engine, (int64_t)mode);
	for (size_t i = 0; i < n && !rc; i++) {
		const struct cat_span *s = &span[i];

		if (s->start >= s->end || !s->n_token || (i && s->start < span[i - 1].start))
			return err_set(e, ERR_INVALID,
				       "span %zu of a document is empty or out of order", i);
		/* Causal spans of other histories stay; the same one is put again. */
		if (mode == CAT_CAUSAL)
			rc = cat_run(c, e,
				     "DELETE FROM span WHERE document = ?1 AND engine = ?2"
				     " AND mode = ?3 AND start = ?4 AND after = ?5",
				     "iiiiI", document, engine, (int64_t)mode, (int64_t)s->start,
				     &s->after);
		if (!rc)
			rc = cat_run(
				c, e,
				"INSERT INTO span(document, engine, mode, after, last, start, end,"
				" n_token, extent) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
				" (SELECT id FROM extent WHERE last = ?5))",
				"iiiIIiii", document, engine, (int64_t)mode, &s->after, &s->last,
				(int64_t)s->start, (int64_t)s->end, (int64_t)s->n_token);
	}
	return rc;
}

#define SPAN_COLS "id, document, engine, mode, after, last, start, end, n_token, extent"

static int span_row(sqlite3_stmt *st, struct cat_span *s, struct err *e)
{
	bool bad = false;

	*s = (struct cat_span){.id = sqlite3_column_int64(st, 0),
			       .document = sqlite3_column_int64(st, 1),
			       .engine = sqlite3_column_int64(st, 2),
			       .mode = (enum cat_mode)sqlite3_column_int(st, 3),
			       .extent = sqlite3_column_int64(st, 9)};
	bad |= !cat_col_id(st, 4, &s->after) || !cat_col_id(st, 5, &s->last);
	s->start = cat_col_u64(st, 6, &bad);
	s->end = cat_col_u64(st, 7, &bad);
	s->n_token = cat_col_u32(st, 8, &bad);
	return bad || s->start >= s->end ? cat_bad_row("span", s->id, e) : 0;
}

int cat_spans(struct catalog *c, int64_t document, int64_t engine, enum cat_mode mode,
	      cat_span_fn *fn, void *ctx, struct err *e)
{
	struct cat_span s;
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e,
		       "SELECT " SPAN_COLS " FROM span WHERE document = ?1 AND engine = ?2"
		       " AND mode = ?3 ORDER BY start, id",
		       "iii", document, engine, (int64_t)mode);

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		rc = span_row(st, &s, e);
		if (!rc)
			rc = fn(ctx, &s);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

int cat_span(struct catalog *c, int64_t id, struct cat_span *out, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT " SPAN_COLS " FROM span WHERE id = ?1", "i", id);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0)
		rc = span_row(st, out, e);
	else if (rc == 0)
		rc = err_set(e, ERR_NOTFOUND, "the library has no span number %lld", (long long)id);
	cat_done(c, st);
	return rc;
}

int cat_coverage(struct catalog *c, int64_t document, int64_t engine, enum cat_mode mode,
		 uint64_t *n_token, uint64_t *n_encoded, struct err *e)
{
	sqlite3_stmt *st;
	bool bad = false;
	int rc = cat_q(c, &st, e,
		       "SELECT coalesce(sum(n_token), 0), coalesce(sum(n_token * (extent IS NOT"
		       " NULL)), 0) FROM span WHERE document = ?1 AND engine = ?2 AND mode = ?3",
		       "iii", document, engine, (int64_t)mode);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		*n_token = cat_col_u64(st, 0, &bad);
		*n_encoded = cat_col_u64(st, 1, &bad);
		rc = bad ? cat_bad_row("span", document, e) : 0;
	}
	cat_done(c, st);
	return rc;
}

/* ---- Mounts ---------------------------------------------------------------------------------- */

struct mounts {
	struct cat_mount *m;
	size_t            n, cap;
	uint64_t          missing;
};

static int mount_row(sqlite3_stmt *st, struct mounts *ms, struct err *e)
{
	struct cat_mount m = {
		.span = sqlite3_column_int64(st, 0), .document = sqlite3_column_int64(st, 1),
		.extent = sqlite3_column_int64(st, 5)
	};
	bool bad = false;

	m.start = cat_col_u64(st, 2, &bad);
	m.end = cat_col_u64(st, 3, &bad);
	m.n_token = cat_col_u32(st, 4, &bad);
	if (bad)
		return cat_bad_row("span", m.span, e);
	if (!m.extent) {
		ms->missing += m.n_token;
		return 0;
	}
	m.ref.number = cat_col_u32(st, 6, &bad);
	m.ref.off = cat_col_u64(st, 7, &bad);
	m.ref.bytes = cat_col_u64(st, 8, &bad);
	m.ref.sketch_off = cat_col_u64(st, 9, &bad);
	m.type = cat_col_u32(st, 10, &bad);
	m.part.number = cat_col_u32(st, 11, &bad);
	m.part.off = cat_col_u64(st, 12, &bad);
	m.part.bytes = cat_col_u64(st, 13, &bad);
	if (bad || !cat_col_id(st, 14, &m.last) || cat_col_u32(st, 15, &bad) != m.n_token)
		return cat_bad_row("extent", m.extent, e);
	if (ms->n == ms->cap) {
		size_t cap = ms->cap ? ms->cap * 2 : 256;
		struct cat_mount *p = realloc(ms->m, cap * sizeof(*p));

		if (!p)
			return err_nomem(e);
		ms->m = p;
		ms->cap = cap;
	}
	ms->m[ms->n++] = m;
	return 0;
}

static int by_last(const void *a, const void *b)
{
	const struct cat_mount *x = a, *y = b;
	int d = id_cmp(&x->last, &y->last);

	return d ? d : (x->span > y->span) - (x->span < y->span);
}

static bool in_sorted(const int64_t *v, size_t n, int64_t x)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < n && v[lo] == x;
}

#define MOUNT_SELECT                                                                               \
	"SELECT s.id, s.document, s.start, s.end, s.n_token, s.extent, x.segment, x.offset, "      \
	"x.bytes,"                                                                                 \
	" x.sketch, x.type, p.segment, p.offset, p.bytes, s.last, x.n_token"                       \
	" FROM span s LEFT JOIN extent x ON x.id = s.extent"                                       \
	" LEFT JOIN part p ON p.extent = s.extent AND p.profile = ?3"                              \
	" WHERE s.engine = ?1 AND s.mode = ?2"

/* One statement over all spans is faster than one per document as soon as a good part is wanted. */
static int mounts_of(struct catalog *c, int64_t engine, enum cat_mode mode, const int64_t *doc,
		     size_t n_doc, const struct id *profile, struct mounts *ms, struct err *e)
{
	static const struct id none;
	int64_t n_all = 0;
	sqlite3_stmt *st;
	int rc = cat_int(c, &n_all, e, "SELECT count(*) FROM document", "");
	bool all = n_doc > (size_t)n_all / 8;

	for (size_t i = 0; !rc && i < (all ? 1 : n_doc); i++) {
		if (all)
			rc = cat_q(c, &st, e, MOUNT_SELECT, "iiI", engine, (int64_t)mode,
				   profile ? profile : &none);
		else
			rc = cat_q(c, &st, e, MOUNT_SELECT " AND s.document = ?4", "iiIi", engine,
				   (int64_t)mode, profile ? profile : &none, doc[i]);
		if (rc)
			break;
		while ((rc = cat_step(c, st, e)) > 0) {
			if (all && !in_sorted(doc, n_doc, sqlite3_column_int64(st, 1)))
				continue;
			rc = mount_row(st, ms, e);
			if (rc)
				break;
		}
		cat_done(c, st);
	}
	return rc;
}

int cat_mounts(struct catalog *c, int64_t engine, enum cat_mode mode,
	       const int64_t *snapshot, size_t n_snapshot, const int64_t *doc, size_t n_doc,
	       const struct id *profile, struct cat_mount **out, size_t *n, uint64_t *n_missing,
	       struct err *e)
{
	struct mounts ms = { 0 };
	int64_t *mine = NULL;
	size_t kept = 0;
	int rc = 0;

	*out = NULL;
	*n = 0;
	if (!doc) {
		rc = cat_documents_in(c, snapshot, n_snapshot, &mine, &n_doc, e);
		doc = mine;
	}
	if (!rc)
		rc = mounts_of(c, engine, mode, doc, n_doc, profile, &ms, e);
	free(mine);
	if (rc) {
		free(ms.m);
		return rc;
	}
	if (ms.n)
		qsort(ms.m, ms.n, sizeof(*ms.m), by_last);
	for (size_t i = 0; i < ms.n; i++)
		if (!kept || ms.m[kept - 1].extent != ms.m[i].extent)
			ms.m[kept++] = ms.m[i];
	*out = ms.m;
	*n = kept;
	if (n_missing)
		*n_missing = ms.missing;
	return 0;
}

/* ---- Totals ---------------------------------------------------------------------------------- */

struct tally {
	struct id last;
	uint32_t  n_token;
	bool      encoded;
};

static int by_tally(const void *a, const void *b)
{
	return id_cmp(&((const struct tally *)a)->last, &((const struct tally *)b)->last);
}

/* Spans of the documents, and which documents have any: cut[i] of doc[i]. */
static int tally_spans(struct catalog *c, int64_t engine, enum cat_mode mode, const int64_t *doc,
		       size_t n_doc, struct buf *list, bool *cut, struct err *e)
{
	sqlite3_stmt *st;
	size_t at = 0;
	int rc = cat_q(c, &st, e,
		       "SELECT document, last, n_token, extent IS NOT NULL FROM span WHERE engine = ?1"
		       " AND mode = ?2 ORDER BY document", "ii", engine, (int64_t)mode);

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		int64_t id = sqlite3_column_int64(st, 0);
		struct tally t = { .encoded = sqlite3_column_int(st, 3) != 0 };
		bool bad = false;

		while (at < n_doc && doc[at] < id)
			at++;
		if (at == n_doc)
			break;
		if (doc[at] != id)
			continue;
		t.n_token = cat_col_u32(st, 2, &bad);
		if (bad || !cat_col_id(st, 1, &t.last)) {
			rc = cat_bad_row("span", id, e);
			break;
		}
		cut[at] = true;
		buf_add(list, &t, sizeof(t));
	}
	cat_done(c, st);
	if (rc < 0)
		return rc;
	return list->failed ? err_nomem(e) : 0;
}

static int tally_bytes(struct catalog *c, const int64_t *doc, size_t n_doc, const bool *cut,
		       struct cat_totals *out, struct err *e)
{
	sqlite3_stmt *st;
	size_t at = 0;
	int rc = cat_q(c, &st, e, "SELECT id, n_byte FROM document ORDER BY id", "");

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		int64_t id = sqlite3_column_int64(st, 0);
		bool bad = false;
		uint64_t n = cat_col_u64(st, 1, &bad);

		while (at < n_doc && doc[at] < id)
			at++;
		if (at == n_doc || bad) {
			rc = bad ? cat_bad_row("document", id, e) : 0;
			break;
		}
		if (doc[at] != id)
			continue;
		out->n_document++;
		*(cut[at] ? &out->bytes_cut : &out->bytes_uncut) += n;
		out->n_uncut += !cut[at] && n;	/* an empty text has no spans and needs none */
	}
	cat_done(c, st);
	return rc < 0 ? rc : 0;
}

int cat_totals(struct catalog *c, int64_t engine, enum cat_mode mode, const int64_t *snapshot,
	       size_t n_snapshot, const int64_t *doc, size_t n_doc, struct cat_totals *out,
	       struct err *e)
{
	struct buf list = { 0 };
	int64_t *mine = NULL;
	bool *cut = NULL;
	struct tally *t;
	double per_token;
	int rc = 0;

	*out = (struct cat_totals){ 0 };
	if (!doc) {
		rc = cat_documents_in(c, snapshot, n_snapshot, &mine, &n_doc, e);
		doc = mine;
	}
	if (!rc && !(cut = calloc(n_doc + 1, sizeof(*cut))))
		rc = err_nomem(e);
	if (!rc)
		rc = tally_spans(c, engine, mode, doc, n_doc, &list, cut, e);
	if (!rc)
		rc = tally_bytes(c, doc, n_doc, cut, out, e);
	t = (struct tally *)(void *)list.data;
	if (!rc && t)
		qsort(t, list.len / sizeof(*t), sizeof(*t), by_tally);
	for (size_t i = 0; !rc && i < list.len / sizeof(*t); i++) {
		if (i && id_eq(&t[i].last, &t[i - 1].last))
			continue;
		out->n_token += t[i].n_token;
		out->n_encoded += t[i].encoded ? t[i].n_token : 0;
	}
	per_token = out->n_token ? (double)out->bytes_cut / (double)out->n_token : 4;
	out->n_estimated = out->n_token + (uint64_t)((double)out->bytes_uncut / per_token + 0.5);
	buf_release(&list);
	free(mine);
	free(cut);
	return rc;
}

/* ---- Segments -------------------------------------------------------------------------------- */

int cat_new_segment(struct catalog *c, int64_t engine, uint32_t *number, struct err *e)
{
	int64_t id;
	int rc = cat_begin(c, e);

	if (rc)
		return rc;
	rc = cat_run(c, e, "INSERT INTO segment(engine, made) VALUES(?1, ?2)", "ii", engine,
		     clock_unix());
	id = sqlite3_last_insert_rowid(c->db);
	if (!rc && id > UINT32_MAX)
		rc = err_set(e, ERR_FULL, "the library has used all segment numbers");
	if (!rc)
		rc = cat_commit(c, e);
	if (rc)
		cat_rollback(c);
	else
		*number = (uint32_t)id;
	return rc;
}

int cat_segments(struct catalog *c, cat_segment_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(
		c, &st, e,
		"SELECT g.id, g.engine, coalesce(max(x.offset + x.bytes), 0),"
		" coalesce(sum(x.bytes), 0), coalesce(max(x.sketch), 0),"
		" coalesce((SELECT max(p.offset + p.bytes) FROM part p WHERE p.segment = g.id), 0),"
		" count(x.id) FROM segment g LEFT JOIN extent x ON x.segment = g.id"
		" GROUP BY g.id ORDER BY g.id",
		"");

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		struct cat_segment s = { .engine = sqlite3_column_int64(st, 1) };
		bool bad = false;

		s.number = cat_col_u32(st, 0, &bad);
		s.kv_end = cat_col_u64(st, 2, &bad);
		s.kv_live = cat_col_u64(st, 3, &bad);
		s.sketch_end = cat_col_u64(st, 4, &bad);
		s.part_end = cat_col_u64(st, 5, &bad);
		s.n_extent = cat_col_u64(st, 6, &bad);
		rc = bad ? cat_bad_row("segment", s.number, e) : fn(ctx, &s);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}
