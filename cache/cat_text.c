/* Documents: text, line map, anchors.  Formats of the blobs (doc/library-format.md):
 *   text     one zstd frame with its content size; sum of the text itself
 *   lines    per line its length in bytes, as a varint (7 bits a byte, low ones first)
 *   anchors  per anchor varints: start less the start before, end (0 unknown, else end - start +
 * 1), kind, number, then title and detail, each as a length and that many bytes One sum covers
 * lines and anchors, each preceded by its length as u64. */
#include "config.h"

#include "cache/cat_int.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/size.h"

#define TEXT_MAX   900000000u	/* SQLite's limit for a blob is a little above */
#define ZSTD_LEVEL 3
#define MAX_KIND   31u

struct cat_blob {
	uint8_t       sha256[32];
	char          format[32];
	const char   *text;	/* the caller's, borrowed until the blob is freed */
	size_t        n;
	uint64_t      n_line;
	struct buf    data, lines, anchors;
	struct sum128 text_sum, map_sum;
};

/* ---- Packing --------------------------------------------------------------------------------- */

static void put_varint(struct buf *b, uint64_t v)
{
	char s[10];
	size_t n = 0;

	while (v >= 0x80) {
		s[n++] = (char)(v | 0x80);
		v >>= 7;
	}
	s[n++] = (char)v;
	buf_add(b, s, n);
}

struct reader {
	const uint8_t *p, *end;
	bool bad;
};

static uint64_t get_varint(struct reader *r)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 64; shift += 7) {
		if (r->p == r->end)
			break;
		v |= (uint64_t)(*r->p & 0x7f) << shift;
		if (!(*r->p++ & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

static struct sum128 map_sum(const void *lines, size_t lines_n, const void *anchors,
			     size_t anchors_n)
{
	struct sum128 part[2] = { sum128_of(lines, lines_n), sum128_of(anchors, anchors_n) };
	uint64_t all[6] = { lines_n, part[0].lo, part[0].hi, anchors_n, part[1].lo, part[1].hi };

	return sum128_of(all, sizeof(all));
}

static void pack_lines(struct cat_blob *b)
{
	const char *p = b->text, *end = b->text + b->n;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *next = nl ? nl + 1 : end;

		put_varint(&b->lines, (uint64_t)(next - p));
		b->n_line++;
		p = next;
	}
}

static int pack_anchors(struct cat_blob *b, const struct cat_anchor *a, size_t n, struct err *e)
{
	uint64_t before = 0;

	for (size_t i = 0; i < n; i++) {
		size_t title_n = a[i].title ? strlen(a[i].title) : 0;
		size_t detail_n = a[i].detail ? strlen(a[i].detail) : 0;

		if (a[i].start < before || a[i].start > b->n || a[i].end > b->n ||
		    (a[i].end && a[i].end < a[i].start) || a[i].kind > MAX_KIND)
			return err_set(e, ERR_INVALID,
				       "anchor %zu lies outside the text or out of order", i);
		put_varint(&b->anchors, a[i].start - before);
		put_varint(&b->anchors, a[i].end ? a[i].end - a[i].start + 1 : 0);
		put_varint(&b->anchors, a[i].kind);
		put_varint(&b->anchors, a[i].number);
		put_varint(&b->anchors, title_n);
		buf_add(&b->anchors, a[i].title, title_n);
		put_varint(&b->anchors, detail_n);
		buf_add(&b->anchors, a[i].detail, detail_n);
		before = a[i].start;
	}
	return 0;
}

/* ---- Blobs ----------------------------------------------------------------------------------- */

int cat_blob_new(struct cat_blob **out, const struct cat_text *t, struct err *e)
{
	struct cat_blob *b;
	struct sha256 sha;
	size_t bound, got;
	int rc = 0;

	*out = NULL;
	if (t->n > TEXT_MAX)
		return err_set(e, ERR_BUDGET, "a text of %zu bytes, at most %u are stored", t->n,
			       TEXT_MAX);
	if (strlen(t->format) >= sizeof(b->format))
		return err_set(e, ERR_INVALID, "format name '%s' is too long", t->format);
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_nomem(e);
	strcpy(b->format, t->format);
	b->text = t->text;
	b->n = t->n;
	sha256_init(&sha);
	sha256_add(&sha, t->text, t->n);
	sha256_done(&sha, b->sha256);
	b->text_sum = sum128_of(t->text, t->n);
	bound = ZSTD_compressBound(t->n);
	if (buf_reserve(&b->data, bound)) {
		got = ZSTD_compress(b->data.data, bound, t->text, t->n, ZSTD_LEVEL);
		if (ZSTD_isError(got))
			rc = err_set(e, ERR_NOMEM, "cannot compress a text: %s",
				     ZSTD_getErrorName(got));
		else
			b->data.len = got;
	}
	if (!rc)
		pack_lines(b);
	if (!rc)
		rc = pack_anchors(b, t->anchor, t->n_anchor, e);
	if (!rc && (b->data.failed || b->lines.failed || b->anchors.failed))
		rc = err_nomem(e);
	if (rc) {
		cat_blob_free(b);
		return rc;
	}
	b->map_sum = map_sum(b->lines.data, b->lines.len, b->anchors.data, b->anchors.len);
	*out = b;
	return 0;
}

void cat_blob_free(struct cat_blob *b)
{
	if (!b)
		return;
	buf_release(&b->data);
	buf_release(&b->lines);
	buf_release(&b->anchors);
	free(b);
}

const uint8_t *cat_blob_sha256(const struct cat_blob *b)
{
	return b->sha256;
}

/* ---- Documents ------------------------------------------------------------------------------- */

int cat_document_find(struct catalog *c, const uint8_t sha256[32], const char *format, int64_t *id,
		      struct err *e)
{
	return cat_int(c, id, e, "SELECT id FROM document WHERE sha256 = ?1 AND format = ?2", "bt",
		       sha256, (size_t)32, format);
}

int cat_put_text(struct catalog *c, const struct cat_blob *b, int64_t *document, bool *is_new,
		 struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (rc)
		return rc;
	rc = cat_document_find(c, b->sha256, b->format, document, e);
	if (is_new)
		*is_new = rc == ERR_NOTFOUND;
	if (rc != ERR_NOTFOUND)
		return rc;
	rc = cat_run(c, e, "INSERT INTO document(sha256, format, n_byte, n_line, trigram)"
		     " VALUES(?1, ?2, ?3, ?4, 0)", "btii", b->sha256, (size_t)32, b->format,
		     (int64_t)b->n, (int64_t)b->n_line);
	if (rc)
		return rc;
	*document = sqlite3_last_insert_rowid(c->db);
	rc = cat_run(c, e, "INSERT INTO text(document, data, sum) VALUES(?1, ?2, ?3)", "ibs",
		     *document, b->data.data, b->data.len, &b->text_sum);
	if (!rc)
		rc = cat_run(
			c, e,
			"INSERT INTO map(document, lines, anchors, sum) VALUES(?1, ?2, ?3, ?4)",
			"ibbs", *document, b->lines.data, b->lines.len, b->anchors.data,
			b->anchors.len, &b->map_sum);
	return rc ? rc : search_put(c, *document, b->text, b->n, e);
}

int cat_del_document(struct catalog *c, int64_t id, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = search_del(c, id, e);
	if (c->last.document == id)
		c->last.document = 0;
	return rc ? rc : cat_run(c, e, "DELETE FROM document WHERE id = ?1", "i", id);
}

static int bad_blob(const char *what, int64_t document, struct err *e)
{
	err_set(e, ERR_CORRUPT, "the %s of document %lld does not match its checksum", what,
		(long long)document);
	return err_hint(e, ERR_CORRUPT,
			"`folio verify` lists the damage, `folio repair` mends what it can");
}

/* ---- Anchors that come later ------------------------------------------------------------------- */

static const char anchored_key[] = "anchored";

int cat_anchored(struct catalog *c, int64_t *document, uint64_t *left, struct err *e)
{
	struct buf b = { 0 };
	struct err why = { 0 };
	int64_t bytes;
	int rc = cat_get(c, 0, anchored_key, &b, &why);

	*document = 0;
	if (!rc && b.len == sizeof(*document))
		memcpy(document, b.data, sizeof(*document));
	buf_release(&b);
	/* A damaged mark is no mark: the pass only comes by once more. */
	if (rc && rc != ERR_NOTFOUND && rc != ERR_CORRUPT) {
		if (e)
			*e = why;
		return rc;
	}
	if (!left)
		return 0;
	rc = cat_int(c, &bytes, e, "SELECT coalesce(sum(n_byte), 0) FROM document WHERE id > ?1", "i",
		     *document);
	*left = rc ? 0 : (uint64_t)bytes;
	return rc;
}

int cat_set_anchored(struct catalog *c, int64_t document, struct err *e)
{
	return cat_set(c, 0, anchored_key, &document, sizeof(document), e);
}

int cat_put_anchors(struct catalog *c, int64_t document, const struct cat_anchor *a, size_t n,
		    struct err *e)
{
	struct cat_blob b = { 0 };
	struct sum128 sum;
	sqlite3_stmt *st;
	bool bad = false;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_q(c, &st, e, "SELECT m.lines, m.anchors, m.sum, d.n_byte FROM map m JOIN document d"
			   " ON d.id = m.document WHERE m.document = ?1", "i", document);
	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		const void *lines = sqlite3_column_blob(st, 0), *old = sqlite3_column_blob(st, 1);
		size_t lines_n = (size_t)sqlite3_column_bytes(st, 0);
		size_t old_n = (size_t)sqlite3_column_bytes(st, 1);

		b.n = cat_col_u64(st, 3, &bad);
		rc = bad || !cat_col_sum(st, 2, &sum) ||
		     !sum128_eq(sum, map_sum(lines, lines_n, old, old_n)) ?
		     bad_blob("map", document, e) : pack_anchors(&b, a, n, e);
		if (!rc && b.anchors.failed)
			rc = err_nomem(e);
		if (!rc)
			b.map_sum = map_sum(lines, lines_n, b.anchors.data, b.anchors.len);
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOTFOUND, "the library has no map of document %lld",
			     (long long)document);
	}
	cat_done(c, st);
	if (!rc)
		rc = cat_run(c, e, "UPDATE map SET anchors = ?2, sum = ?3 WHERE document = ?1", "ibs",
			     document, b.anchors.len ? b.anchors.data : "", b.anchors.len, &b.map_sum);
	buf_release(&b.anchors);
	return rc;
}

int cat_documents_after(struct catalog *c, int64_t id, size_t max, cat_document_fn *fn, void *ctx,
			struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT id, format, n_byte, n_line, sha256,"
		       " (SELECT path FROM entry WHERE document = d.id LIMIT 1)"
		       " FROM document d WHERE id > ?1 ORDER BY id LIMIT ?2", "ii", id, (int64_t)max);

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		struct cat_document d = { .id = sqlite3_column_int64(st, 0) };
		const void *sha = sqlite3_column_blob(st, 4);
		const char *path = sqlite3_column_blob(st, 5);
		size_t path_n = (size_t)sqlite3_column_bytes(st, 5);
		bool bad = !sha || sqlite3_column_bytes(st, 4) != 32;

		strncat(d.format, cat_col_text(st, 1), sizeof(d.format) - 1);
		d.n_byte = cat_col_u64(st, 2, &bad);
		d.n_line = cat_col_u64(st, 3, &bad);
		if (!bad)
			memcpy(d.sha256, sha, 32);
		rc = bad ? cat_bad_row("document", d.id, e) :
		     fn(ctx, &d, path ? path : "", path ? path_n : 0);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

int cat_remake_map(struct catalog *c, int64_t document, struct err *e)
{
	struct buf text = { 0 };
	struct cat_blob b = { .n_line = 0 };
	int64_t mark;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_text(c, document, &text, e);
	if (!rc) {
		b.text = text.data ? text.data : "";
		b.n = text.len;
		pack_lines(&b);
		if (b.lines.failed)
			rc = err_nomem(e);
	}
	b.map_sum = map_sum(b.lines.data, b.lines.len, NULL, 0);
	if (!rc)
		rc = cat_run(
			c, e,
			"INSERT INTO map(document, lines, anchors, sum) VALUES(?1, ?2, x'', ?3)"
			" ON CONFLICT(document) DO UPDATE SET lines = ?2, anchors = x'', sum = ?3",
			"ibs", document, b.lines.data, b.lines.len, &b.map_sum);
	if (!rc)
		rc = cat_run(c, e, "UPDATE document SET n_line = ?2 WHERE id = ?1", "ii", document,
			     (int64_t)b.n_line);
	if (!rc)
		rc = cat_anchored(c, &mark, NULL, e);
	if (!rc && mark >= document)
		rc = cat_set_anchored(c, document - 1, e);
	buf_release(&b.lines);
	buf_release(&text);
	return rc;
}

int cat_document(struct catalog *c, int64_t id, struct cat_document *out, struct err *e)
{
	sqlite3_stmt *st;
	bool bad = false;
	const void *sha;
	int rc =
		cat_q(c, &st, e,
		      "SELECT sha256, format, n_byte, n_line FROM document WHERE id = ?1", "i", id);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		*out = (struct cat_document){ .id = id };
		sha = sqlite3_column_blob(st, 0);
		if (sha && sqlite3_column_bytes(st, 0) == 32)
			memcpy(out->sha256, sha, 32);
		else
			bad = true;
		strncat(out->format, cat_col_text(st, 1), sizeof(out->format) - 1);
		out->n_byte = cat_col_u64(st, 2, &bad);
		out->n_line = cat_col_u64(st, 3, &bad);
		rc = bad ? cat_bad_row("document", id, e) : 0;
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOTFOUND, "the library has no document number %lld",
			     (long long)id);
	}
	cat_done(c, st);
	return rc;
}

static int unpack_text(sqlite3_stmt *st, int64_t document, struct buf *out, struct err *e)
{
	const void *data = sqlite3_column_blob(st, 0);
	size_t n = (size_t)sqlite3_column_bytes(st, 0), got;
	unsigned long long size = data ? ZSTD_getFrameContentSize(data, n) : ZSTD_CONTENTSIZE_ERROR;
	struct sum128 sum;

	if (size > TEXT_MAX || !cat_col_sum(st, 1, &sum))
		return bad_blob("text", document, e);
	if (!buf_reserve(out, (size_t)size))
		return err_nomem(e);
	got = ZSTD_decompress(out->data + out->len, (size_t)size, data, n);
	if (ZSTD_isError(got) || got != size ||
	    !sum128_eq(sum, sum128_of(out->data + out->len, got))) {
		out->data[out->len] = '\0';
		return bad_blob("text", document, e);
	}
	out->len += got;
	out->data[out->len] = '\0';
	return 0;
}

int cat_text(struct catalog *c, int64_t document, struct buf *out, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT data, sum FROM text WHERE document = ?1", "i", document);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0)
		rc = unpack_text(st, document, out, e);
	else if (rc == 0)
		rc = err_set(e, ERR_NOTFOUND, "the library has no text of document %lld",
			     (long long)document);
	cat_done(c, st);
	return rc;
}

int cat_text_cached(struct catalog *c, int64_t document, const struct buf **out, struct err *e)
{
	int rc = 0;

	if (c->last.document != document) {
		c->last.document = 0;
		/* What a giant left behind is not kept. */
		if (c->last.text.cap > (16u << 20))
			buf_release(&c->last.text);
		buf_clear(&c->last.text);
		rc = cat_text(c, document, &c->last.text, e);
		if (!rc)
			c->last.document = document;
	}
	*out = &c->last.text;
	return rc;
}

struct texts_walk {
	struct catalog *c;
	cat_text_fn *fn;
	void *ctx;
	struct err *e;
};

static int one_text(void *ctx, const struct cat_entry *en)
{
	struct texts_walk *w = ctx;
	const struct buf *text;
	int rc;

	if (en->state != CAT_TEXT)
		return 0;
	rc = cat_text_cached(w->c, en->document, &text, w->e);
	return rc ? rc : w->fn(w->ctx, en, text->data ? text->data : "", text->len);
}

int cat_texts(struct catalog *c, int64_t snapshot, cat_text_fn *fn, void *ctx, struct err *e)
{
	struct texts_walk w = { c, fn, ctx, e };

	return cat_entries(c, snapshot, one_text, &w, e);
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int cat_documents_in(struct catalog *c, const int64_t *snapshot, size_t n_snapshot, int64_t **out,
		     size_t *n, struct err *e)
{
	size_t cap = 0, kept = 0;
	int64_t *v = NULL;
	int rc = 0;

	*n = 0;
	for (size_t i = 0; !rc && i < (n_snapshot ? n_snapshot : 1); i++) {
		sqlite3_stmt *st;

		if (n_snapshot)
			rc = cat_q(c, &st, e, "SELECT document FROM entry WHERE snapshot = ?1"
				   " AND document IS NOT NULL", "i", snapshot[i]);
		else
			rc = cat_q(c, &st, e, "SELECT id FROM document", "");
		if (rc)
			break;
		while ((rc = cat_step(c, st, e)) > 0) {
			if (*n == cap) {
				size_t more = cap ? cap * 2 : 256;
				int64_t *p = realloc(v, more * sizeof(*p));

				if (!p) {
					rc = err_nomem(e);
					break;
				}
				v = p;
				cap = more;
			}
			v[(*n)++] = sqlite3_column_int64(st, 0);
		}
		cat_done(c, st);
	}
	if (rc) {
		free(v);
		return rc;
	}
	if (*n)
		qsort(v, *n, sizeof(*v), by_id);
	for (size_t i = 0; i < *n; i++)
		if (!kept || v[kept - 1] != v[i])
			v[kept++] = v[i];
	*out = v;
	*n = kept;
	return 0;
}

/* ---- Maps ------------------------------------------------------------------------------------ */

struct cat_map {
	uint64_t          *start;	/* [n_line + 1], the last one is the end of the text */
	uint64_t           n_line;
	struct cat_anchor *anchor;
	size_t             n_anchor;
	char              *names;
};

static bool unpack_lines(struct cat_map *m, struct reader r, uint64_t n_line, uint64_t n_byte)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < n_line; i++) {
		m->start[i] = at;
		at += get_varint(&r);
		if (r.bad || at <= m->start[i] || at > n_byte)
			return false;
	}
	m->start[n_line] = at;
	m->n_line = n_line;
	return r.p == r.end && at == n_byte;
}

static const char *get_name(struct reader *r, char **to)
{
	uint64_t n = get_varint(r);
	char *at = *to;

	if (r->bad || n > (uint64_t)(r->end - r->p)) {
		r->bad = true;
		return "";
	}
	memcpy(at, r->p, n);
	at[n] = '\0';
	r->p += n;
	*to += n + 1;
	return at;
}

/* Names take at most as many bytes as their packed form, which has a length where they have a NUL.
 */
static bool unpack_anchors(struct cat_map *m, struct reader r, uint64_t n_byte)
{
	char *to = m->names;
	uint64_t at = 0;

	while (r.p < r.end) {
		struct cat_anchor *a = &m->anchor[m->n_anchor];
		uint64_t end, kind, number;

		at += get_varint(&r);
		end = get_varint(&r);
		kind = get_varint(&r);
		number = get_varint(&r);
		a->title = get_name(&r, &to);
		a->detail = get_name(&r, &to);
		if (r.bad || at > n_byte || end > n_byte + 1 || (end && at + end - 1 > n_byte) ||
		    kind > MAX_KIND || number > UINT32_MAX)
			return false;
		a->start = at;
		a->end = end ? at + end - 1 : 0;
		a->kind = (uint32_t)kind;
		a->number = (uint32_t)number;
		m->n_anchor++;
	}
	return true;
}

static int unpack_map(struct cat_map *m, sqlite3_stmt *st, int64_t document, struct err *e)
{
	struct reader lines = { .p = sqlite3_column_blob(st, 0) };
	struct reader anchors = { .p = sqlite3_column_blob(st, 1) };
	size_t lines_n = (size_t)sqlite3_column_bytes(st, 0);
	size_t anchors_n = (size_t)sqlite3_column_bytes(st, 1);
	uint64_t n_byte, n_line;
	struct sum128 sum;
	bool bad = false;

	lines.end = lines.p + lines_n;
	anchors.end = anchors.p + anchors_n;
	n_byte = cat_col_u64(st, 3, &bad);
	n_line = cat_col_u64(st, 4, &bad);
	if (bad || !cat_col_sum(st, 2, &sum) ||
	    !sum128_eq(sum, map_sum(lines.p, lines_n, anchors.p, anchors_n)) || n_line > lines_n)
		return bad_blob("map", document, e);
	/* An anchor takes six bytes or more. */
	m->start = malloc((n_line + 1) * sizeof(*m->start));
	m->anchor = calloc(anchors_n / 6 + 1, sizeof(*m->anchor));
	m->names = malloc(anchors_n + 1);
	if (!m->start || !m->anchor || !m->names)
		return err_nomem(e);
	if (!unpack_lines(m, lines, n_line, n_byte) || !unpack_anchors(m, anchors, n_byte))
		return bad_blob("map", document, e);
	return 0;
}

int cat_map_open(struct cat_map **out, struct catalog *c, int64_t document, struct err *e)
{
	struct cat_map *m;
	sqlite3_stmt *st;
	int rc;

	*out = NULL;
	rc = cat_q(c, &st, e, "SELECT m.lines, m.anchors, m.sum, d.n_byte, d.n_line FROM map m"
		   " JOIN document d ON d.id = m.document WHERE m.document = ?1", "i", document);
	if (rc)
		return rc;
	m = calloc(1, sizeof(*m));
	rc = m ? cat_step(c, st, e) : err_nomem(e);
	if (rc > 0)
		rc = unpack_map(m, st, document, e);
	else if (rc == 0)
		rc = err_set(e, ERR_NOTFOUND, "the library has no map of document %lld",
			     (long long)document);
	cat_done(c, st);
	if (rc)
		cat_map_close(m);
	else
		*out = m;
	return rc;
}

void cat_map_close(struct cat_map *m)
{
	if (!m)
		return;
	free(m->start);
	free(m->anchor);
	free(m->names);
	free(m);
}

uint64_t cat_map_lines(const struct cat_map *m)
{
	return m->n_line;
}

uint64_t cat_map_line(const struct cat_map *m, uint64_t byte)
{
	uint64_t lo = 0, hi = m->n_line;

	/* The last line that starts at or before byte. */
	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (m->start[mid] <= byte)
			lo = mid;
		else
			hi = mid;
	}
	return lo + 1;
}

bool cat_map_range(const struct cat_map *m, uint64_t line, uint64_t *start, uint64_t *end)
{
	if (line < 1 || line > m->n_line)
		return false;
	*start = m->start[line - 1];
	*end = m->start[line];
	return true;
}

const struct cat_anchor *cat_map_anchor(const struct cat_map *m, uint32_t kind, uint64_t byte)
{
	size_t lo = 0, hi = m->n_anchor;

	while (lo < hi) {	/* lo: how many begin at or before byte */
		size_t mid = lo + (hi - lo) / 2;

		if (m->anchor[mid].start <= byte)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo--)
		if (m->anchor[lo].kind == kind && (!m->anchor[lo].end || byte < m->anchor[lo].end))
			return &m->anchor[lo];
	return NULL;
}

const struct cat_anchor *cat_map_anchors(const struct cat_map *m, size_t *n)
{
	*n = m->n_anchor;
	return m->anchor;
}
