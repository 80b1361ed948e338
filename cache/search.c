#include "config.h"

#include "cache/search.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "cache/cat_int.h"

#define PIECE_MIN 3072u /* bytes; the first line end at or after this ends a piece */
#define PIECE_MAX     6144u		/* ... or here, where there is none */
#define TRIGRAM_MAX   (4u << 20)	/* bytes of a document that the trigram index takes */
#define MARKS_MAX     64

/* document.trigram */
enum { TRIGRAM_NO = 0, TRIGRAM_YES = 1, TRIGRAM_TOO_BIG = 2 };

/* ---- Pieces: rows of the words index --------------------------------------------------------- */

/* End of the piece that starts at `at`: depends on the text alone, so that taking the rows out of a
 * contentless index finds the very bytes that were put in. */
static size_t piece_end(const char *text, size_t n, size_t at)
{
	size_t end;
	const char *nl;

	if (n - at <= PIECE_MAX)
		return n;
	nl = memchr(text + at + PIECE_MIN, '\n', PIECE_MAX - PIECE_MIN);
	if (nl)
		return (size_t)(nl - text) + 1;
	end = at + PIECE_MAX;
	while (end > at + PIECE_MIN && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	return end;
}

int search_put(struct catalog *c, int64_t document, const char *text, size_t n, struct err *e)
{
	int rc = 0;

	for (size_t at = 0, end; at < n && !rc; at = end) {
		sqlite3_stmt *st;

		end = piece_end(text, n, at);
		rc = cat_run(c, e, "INSERT INTO piece(document, start, end) VALUES(?1, ?2, ?3)",
			     "iii", document, (int64_t)at, (int64_t)end);
		if (!rc)
			rc = cat_q(c, &st, e, "INSERT INTO words(rowid, body) VALUES(?1, ?2)", "i",
				   (int64_t)sqlite3_last_insert_rowid(c->db));
		if (rc)
			break;
		sqlite3_bind_text(st, 2, text + at, (int)(end - at), SQLITE_STATIC);
		rc = cat_step(c, st, e);
		cat_done(c, st);
	}
	return rc;
}

static int put_trigram(struct catalog *c, int64_t document, const struct buf *text, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "INSERT INTO trigram(rowid, body) VALUES(?1, ?2)", "i", document);

	if (rc)
		return rc;
	sqlite3_bind_text(st, 2, text->data ? text->data : "", (int)text->len, SQLITE_STATIC);
	rc = cat_step(c, st, e);
	cat_done(c, st);
	return rc;
}

static int del_words(struct catalog *c, int64_t document, const struct buf *text, struct err *e)
{
	sqlite3_stmt *pieces, *st;
	int rc = cat_q(c, &pieces, e, "SELECT id, start, end FROM piece WHERE document = ?1", "i",
		       document);

	if (rc)
		return rc;
	while ((rc = cat_step(c, pieces, e)) > 0) {
		int64_t id = sqlite3_column_int64(pieces, 0);
		bool bad = false;
		uint64_t start = cat_col_u64(pieces, 1, &bad), end = cat_col_u64(pieces, 2, &bad);

		if (bad || start >= end || end > text->len) {
			rc = cat_bad_row("piece", id, e);
			break;
		}
		rc = cat_q(c, &st, e,
			   "INSERT INTO words(words, rowid, body) VALUES('delete', ?1, ?2)", "i",
			   id);
		if (rc)
			break;
		sqlite3_bind_text(st, 2, text->data + start, (int)(end - start), SQLITE_STATIC);
		rc = cat_step(c, st, e);
		cat_done(c, st);
		if (rc)
			break;
	}
	cat_done(c, pieces);
	return rc;
}

int search_del(struct catalog *c, int64_t document, struct err *e)
{
	const struct buf *text;
	sqlite3_stmt *st;
	int64_t trigram;
	int rc = cat_text_cached(c, document, &text, e);

	if (!rc)
		rc = cat_int(c, &trigram, e, "SELECT trigram FROM document WHERE id = ?1", "i",
			     document);
	if (!rc)
		rc = del_words(c, document, text, e);
	if (rc || trigram != TRIGRAM_YES)
		return rc;
	rc = cat_q(c, &st, e, "INSERT INTO trigram(trigram, rowid, body) VALUES('delete', ?1, ?2)",
		   "i", document);
	if (rc)
		return rc;
	sqlite3_bind_text(st, 2, text->data ? text->data : "", (int)text->len, SQLITE_STATIC);
	rc = cat_step(c, st, e);
	cat_done(c, st);
	return rc;
}

int search_rebuild(struct catalog *c, struct err *e)
{
	int64_t *doc = NULL;
	size_t n = 0;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_exec(c, "INSERT INTO words(words) VALUES('delete-all');"
				 "INSERT INTO trigram(trigram) VALUES('delete-all');"
				 "DELETE FROM piece; UPDATE document SET trigram = 0", e);
	if (!rc)
		rc = cat_documents_in(c, NULL, 0, &doc, &n, e);
	for (size_t i = 0; i < n && !rc; i++) {
		const struct buf *text;

		rc = cat_text_cached(c, doc[i], &text, e);
		if (!rc)
			rc = search_put(c, doc[i], text->data, text->len, e);
	}
	free(doc);
	return rc;
}

int search_left(struct catalog *c, uint64_t *left, struct err *e)
{
	int64_t rest = 0;
	int rc = cat_int(c, &rest, e, "SELECT coalesce(sum(n_byte + 1), 0) FROM document"
			 " WHERE trigram = 0", "");

	*left = (uint64_t)rest;
	return rc;
}

/* Trigrams of one document are a flood of short postings: a small hash that fits in a processor's cache
 * and fewer merges take a quarter of the time away.  (Measured over /usr/include, 40 MB: 1 MiB and merges
 * of 4, FTS5's own, 4.0 to 4.9 s of processor time; 256 KiB and 8, 3.3 s; 16 MiB, 8.7 s.) */
static int tune_trigram(struct catalog *c, struct err *e)
{
	int64_t size;
	int rc = cat_int(c, &size, e, "SELECT v FROM trigram_config WHERE k = 'hashsize'", "");

	if (rc != ERR_NOTFOUND)
		return rc;
	return cat_exec(c, "INSERT INTO trigram(trigram, rank) VALUES('hashsize', 262144);"
			   "INSERT INTO trigram(trigram, rank) VALUES('automerge', 8)", e);
}

/* The rows first, then one statement that says so: an update between two rows would make FTS5 write
 * out what it holds, a segment a document. */
int search_fill(struct catalog *c, uint64_t max_byte, uint64_t *left, struct err *e)
{
	uint64_t done = 0;
	int64_t id = 0;
	int rc = cat_begin(c, e);

	if (!rc)
		rc = tune_trigram(c, e);
	while (!rc && done < max_byte) {
		const struct buf *text;
		int64_t size, next;

		rc = cat_int(c, &next, e, "SELECT id FROM document WHERE trigram = 0 AND id > ?1"
			     " ORDER BY id LIMIT 1", "i", id);
		if (rc == ERR_NOTFOUND) {
			rc = 0;
			break;
		}
		if (!rc)
			rc = cat_int(c, &size, e, "SELECT n_byte FROM document WHERE id = ?1", "i",
				     next);
		if (rc)
			break;
		id = next;
		if (size > TRIGRAM_MAX)
			continue;
		rc = cat_text_cached(c, id, &text, e);
		if (!rc)
			rc = put_trigram(c, id, text, e);
		done += (uint64_t)size + 1;
	}
	if (!rc)
		rc = cat_run(c, e, "UPDATE document SET trigram = CASE WHEN n_byte > ?2 THEN 2 ELSE 1 END"
			     " WHERE trigram = 0 AND id <= ?1", "ii", id, (int64_t)TRIGRAM_MAX);
	if (!rc)
		rc = cat_commit(c, e);
	if (!rc)
		rc = search_left(c, left, e);
	if (rc)
		cat_rollback(c);
	return rc;
}

/* ---- Queries from words ---------------------------------------------------------------------- */

static bool is_word_byte(unsigned char b)
{
	return b >= 0x80 || (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') ||
	       (b >= 'a' && b <= 'z') || b == '_';
}

static bool is_upper(char b) { return b >= 'A' && b <= 'Z'; }
static bool is_lower(char b) { return (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9'); }

static void add_term(struct buf *out, const char *s, size_t n)
{
	if (out->len)
		buf_adds(out, " OR ");
	buf_addc(out, '"');
	buf_add(out, s, n);
	buf_addc(out, '"');
}

/* Parts of camelCase of two letters or more: "sqlite3WalCheckpoint" gives sqlite3, Wal, Checkpoint;
 * "HTTPServer" gives HTTP, Server. */
static void add_parts(struct buf *out, const char *s, size_t n)
{
	size_t start = 0;

	for (size_t i = 1; i <= n; i++) {
		bool cut =
			i == n || s[i] == '_' || s[i - 1] == '_' ||
			(is_lower(s[i - 1]) && is_upper(s[i])) ||
			(i + 1 < n && is_upper(s[i - 1]) && is_upper(s[i]) && is_lower(s[i + 1]));

		if (!cut)
			continue;
		if (i - start >= 2 && i - start < n)
			add_term(out, s + start, i - start);
		start = i;
	}
}

int search_query_of(const char *text, size_t n, struct buf *out, struct err *e)
{
	struct buf q = { 0 };
	size_t at = 0;
	int rc = 0;

	while (at < n) {
		size_t start;

		while (at < n && !is_word_byte((unsigned char)text[at]))
			at++;
		start = at;
		while (at < n && is_word_byte((unsigned char)text[at]))
			at++;
		if (at == start || utf8_check(text + start, at - start) != at - start)
			continue;
		/* '_' alone is no word to FTS5; a phrase of nothing matches nothing. */
		if (strspn(text + start, "_") >= at - start)
			continue;
		add_term(&q, text + start, at - start);
		add_parts(&q, text + start, at - start);
	}
	if (q.failed)
		rc = err_nomem(e);
	else if (!q.len)
		rc = err_set(e, ERR_NOTFOUND, "there is no word to search for");
	else
		buf_add(out, q.data, q.len);
	if (!rc && out->failed)
		rc = err_nomem(e);
	buf_release(&q);
	return rc;
}

/* ---- Marks: where the words of a query stand in a piece -------------------------------------- */

/* An FTS5 auxiliary function: marks(words, piece text) gives a blob of struct search_mark, relative
 * to the piece.  The index knows token numbers; the tokenizer, run again over the text, turns
 * them into bytes. */
struct marks {
	int  token[MARKS_MAX][2];	/* first and last token of each instance */
	struct search_mark at[MARKS_MAX];
	int  n;
	int  i;				/* token the tokenizer is at */
};

static int mark_token(void *ctx, int flags, const char *token, int token_n, int start, int end)
{
	struct marks *m = ctx;

	(void)token;
	(void)token_n;
	if (flags & FTS5_TOKEN_COLOCATED)
		return SQLITE_OK;
	for (int k = 0; k < m->n; k++) {
		if (m->token[k][0] == m->i)
			m->at[k].start = (uint64_t)start;
		if (m->token[k][1] == m->i)
			m->at[k].end = (uint64_t)end;
	}
	m->i++;
	return SQLITE_OK;
}

static void marks_fn(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *ctx, int n_val,
		     sqlite3_value **val)
{
	struct marks m = { .n = 0 };
	int n = 0, rc;

	if (n_val != 1) {
		sqlite3_result_error(ctx, "marks takes the text", -1);
		return;
	}
	rc = api->xInstCount(fts, &n);
	for (int i = 0; rc == SQLITE_OK && i < n && i < MARKS_MAX; i++) {
		int phrase, col, off;

		rc = api->xInst(fts, i, &phrase, &col, &off);
		m.token[i][0] = off;
		m.token[i][1] = off + api->xPhraseSize(fts, phrase) - 1;
		m.n = i + 1;
	}
	if (rc == SQLITE_OK)
		rc = api->xTokenize(fts, (const char *)sqlite3_value_text(val[0]),
				    sqlite3_value_bytes(val[0]), &m, mark_token);
	if (rc != SQLITE_OK)
		sqlite3_result_error_code(ctx, rc);
	else
		sqlite3_result_blob(ctx, m.at, m.n * (int)sizeof(m.at[0]), SQLITE_TRANSIENT);
}

int search_open(struct catalog *c, struct err *e)
{
	fts5_api *api = NULL;
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(c->db, "SELECT fts5(?1)", -1, &st, NULL);

	if (rc == SQLITE_OK) {
		sqlite3_bind_pointer(st, 1, &api, "fts5_api_ptr", NULL);
		sqlite3_step(st);
		rc = sqlite3_finalize(st);
	}
	if (rc == SQLITE_OK && api)
		rc = api->xCreateFunction(api, "marks", NULL, marks_fn, NULL);
	if (rc != SQLITE_OK || !api)
		return err_set(e, ERR_INVALID, "this SQLite was built without FTS5");
	return 0;
}

/* ---- Words ----------------------------------------------------------------------------------- */

struct found {
	int64_t  piece, document;
	uint64_t start, end;
	double   score;
};

static int by_score(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	if (x->document != y->document)
		return x->document < y->document ? -1 : 1;
	return (x->start > y->start) - (x->start < y->start);
}

static bool has(const int64_t *v, size_t n, int64_t x)
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

/* Rows come best first; take k of allowed documents, and what ties with the last one. */
static int take_best(struct catalog *c, sqlite3_stmt *st, const int64_t *allowed, size_t n_allowed,
		     size_t k, struct found **out, size_t *n, struct err *e)
{
	size_t cap = 0;
	int rc;

	while ((rc = cat_step(c, st, e)) > 0) {
		struct found f = {.piece = sqlite3_column_int64(st, 0),
				  .score = -sqlite3_column_double(st, 1),
				  .document = sqlite3_column_int64(st, 2)};
		bool bad = false;

		f.start = cat_col_u64(st, 3, &bad);
		f.end = cat_col_u64(st, 4, &bad);
		if (bad || f.start >= f.end)
			return cat_bad_row("piece", f.piece, e);
		if (*n >= k && f.score < (*out)[k - 1].score)
			return 0;
		if (!has(allowed, n_allowed, f.document))
			continue;
		/* A flood of equal scores: more than this is nobody's ranking. */
		if (*n >= k + 4096)
			return 0;
		if (*n == cap) {
			struct found *p = realloc(*out, (cap = cap ? cap * 2 : 64) * sizeof(*p));

			if (!p)
				return err_nomem(e);
			*out = p;
		}
		(*out)[(*n)++] = f;
	}
	return rc;
}

static int give_hit(struct catalog *c, const char *query, const struct found *f, search_hit_fn *fn,
		    void *ctx, struct err *e)
{
	struct search_mark mark[MARKS_MAX];
	struct search_hit h = { .document = f->document, .start = f->start, .end = f->end,
				.score = f->score, .mark = mark };
	const struct buf *text;
	sqlite3_stmt *st;
	int rc = cat_text_cached(c, f->document, &text, e);

	if (rc)
		return rc;
	if (f->end > text->len)
		return cat_bad_row("piece", f->piece, e);
	rc = cat_q(c, &st, e,
		   "SELECT marks(words, ?3) FROM words WHERE words MATCH ?1 AND rowid = ?2", "ti",
		   query, f->piece);
	if (rc)
		return rc;
	sqlite3_bind_text(st, 3, text->data + f->start, (int)(f->end - f->start), SQLITE_STATIC);
	rc = cat_step(c, st, e);
	if (rc > 0) {
		const struct search_mark *m = sqlite3_column_blob(st, 0);
		size_t n = (size_t)sqlite3_column_bytes(st, 0) / sizeof(*m);

		for (size_t i = 0; i < n && i < MARKS_MAX; i++) {
			struct search_mark x = { m[i].start + f->start, m[i].end + f->start };

			if (x.start < x.end && x.end <= f->end &&
			    (!h.n_mark || x.start >= mark[h.n_mark - 1].end))
				mark[h.n_mark++] = x;
		}
		rc = 0;
	}
	cat_done(c, st);
	return rc ? rc : fn(ctx, &h);
}

/* A bad query is the user's word, not damage: FTS5 reports it as a plain SQLITE_ERROR. */
static int query_err(struct catalog *c, const char *query, int rc, struct err *e)
{
	if ((sqlite3_errcode(c->db) & 0xff) != SQLITE_ERROR)
		return rc;
	return err_set(e, ERR_INVALID, "cannot search for '%.200s': %s", query,
		       sqlite3_errmsg(c->db));
}

int search_words(struct catalog *c, const char *query, const int64_t *snapshot, size_t n_snapshot,
		 size_t k, search_hit_fn *fn, void *ctx, struct err *e)
{
	struct found *found = NULL;
	int64_t *allowed = NULL;
	size_t n_allowed, n = 0;
	sqlite3_stmt *st;
	int rc;

	if (!k)
		return 0;
	rc = cat_documents_in(c, snapshot, n_snapshot, &allowed, &n_allowed, e);
	if (rc)
		return rc;
	rc = cat_q(c, &st, e,
		   "SELECT w.rowid, w.rank, p.document, p.start, p.end FROM words w"
		   " JOIN piece p ON p.id = w.rowid WHERE w.words MATCH ?1 ORDER BY w.rank",
		   "t", query);
	if (!rc) {
		rc = take_best(c, st, allowed, n_allowed, k, &found, &n, e);
		if (rc == ERR_IO)
			rc = query_err(c, query, rc, e);
		cat_done(c, st);
	}
	if (!rc && n)
		qsort(found, n, sizeof(*found), by_score);
	for (size_t i = 0; i < n && i < k && !rc; i++)
		rc = give_hit(c, query, &found[i], fn, ctx, e);
	free(found);
	free(allowed);
	return rc;
}

/* ---- Literals -------------------------------------------------------------------------------- */

/* Case folding as PCRE2 and as FTS5 do it differs for a few letters (long s, Kelvin sign, most of
 * what is not ASCII).  With fold only trigrams that no such letter can stand for are asked for. */
static bool fold_is_plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] >= 0x80 || strchr("kKsS", s[i]))
			return false;
	return true;
}

/* Append `AND "abc"` for each trigram of a literal. */
static void add_trigrams(struct buf *q, const struct search_literal *lit, bool fold)
{
	size_t at[4] = { 0 };	/* starts of the last characters */
	size_t n_char = 0, i = 0;

	while (i < lit->n) {
		uint32_t ch;
		size_t len = utf8_decode(lit->s + i, lit->n - i, &ch);

		if (!len || !ch)
			return;
		at[0] = at[1];
		at[1] = at[2];
		at[2] = i;
		i += len;
		if (++n_char < 3 || (fold && !fold_is_plain(lit->s + at[0], i - at[0])))
			continue;
		if (q->len)
			buf_adds(q, " AND ");
		buf_addc(q, '"');
		for (size_t j = at[0]; j < i; j++) {
			if (lit->s[j] == '"')
				buf_addc(q, '"');
			buf_addc(q, lit->s[j]);
		}
		buf_addc(q, '"');
	}
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Ids in the index that match, and those it does not hold. */
static int narrow(struct catalog *c, const char *query, int64_t **out, size_t *n, struct err *e)
{
	size_t cap = 0;
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT rowid FROM trigram WHERE trigram MATCH ?1"
		       " UNION ALL SELECT id FROM document WHERE trigram <> 1", "t", query);

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		if (*n == cap) {
			int64_t *p = realloc(*out, (cap = cap ? cap * 2 : 256) * sizeof(*p));

			if (!p) {
				rc = err_nomem(e);
				break;
			}
			*out = p;
		}
		(*out)[(*n)++] = sqlite3_column_int64(st, 0);
	}
	cat_done(c, st);
	if (!rc && *n)
		qsort(*out, *n, sizeof(**out), by_id);
	return rc;
}

int search_candidates(struct catalog *c, const struct search_literal *lit, size_t n_lit, bool fold,
		      const int64_t *snapshot, size_t n_snapshot, int64_t **document, size_t *n,
		      struct err *e)
{
	int64_t *hit = NULL;
	size_t n_hit = 0, kept = 0;
	struct buf q = { 0 };
	int rc = 0;

	*document = NULL;
	*n = 0;
	for (size_t i = 0; i < n_lit; i++)
		add_trigrams(&q, &lit[i], fold);
	if (q.failed)
		rc = err_nomem(e);
	if (!rc)
		rc = cat_documents_in(c, snapshot, n_snapshot, document, n, e);
	if (!rc && q.len) {
		rc = narrow(c, q.data, &hit, &n_hit, e);
		for (size_t i = 0; !rc && i < *n; i++)
			if (has(hit, n_hit, (*document)[i]))
				(*document)[kept++] = (*document)[i];
		*n = kept;
	}
	if (rc) {
		free(*document);
		*document = NULL;
		*n = 0;
	}
	free(hit);
	buf_release(&q);
	return rc;
}
