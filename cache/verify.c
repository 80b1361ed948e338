#include "config.h"

#include "cache/care.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "cache/care_int.h"
#include "cache/derive.h"
#include "cache/extent.h"
#include "cache/sess_int.h"
#include "cache/sketch.h"
#include "cache/spanidx.h"
#include "cache/sumvfs.h"

/* ---- Reporting ------------------------------------------------------------------------------- */

int care_report(struct care *k, const char *kind, const char *path, uint64_t tokens,
		bool repairable, const char *what, ...)
{
	struct care_damage d = {
		.kind = kind, .path = path, .tokens = tokens, .repairable = repairable};
	char text[512];
	va_list ap;

	va_start(ap, what);
	vsnprintf(text, sizeof(text), what, ap);
	va_end(ap);
	d.what = text;
	k->n_damage++;
	k->n_lost += !repairable;
	return k->w && k->w->damage ? k->w->damage(k->w->ctx, &d) : 0;
}

int care_progress(struct care *k, const char *phase, uint64_t done, uint64_t total)
{
	return k->w && k->w->progress ? k->w->progress(k->w->ctx, phase, done, total) : 0;
}

static void path_by(struct care *k, const char *sql, int64_t id, const char *word, struct buf *out)
{
	sqlite3_stmt *st;

	if (!cat_q(k->c, &st, NULL, sql, "i", id)) {
		if (cat_step(k->c, st, NULL) > 0) {
			buf_adds(out, cat_col_text(st, 0));
			buf_addc(out, ':');
			buf_add(out, sqlite3_column_blob(st, 1),
				(size_t)sqlite3_column_bytes(st, 1));
		}
		cat_done(k->c, st);
	}
	if (!out->len)
		buf_addf(out, "%s %lld", word, (long long)id);
}

#define PATH_JOIN " JOIN snapshot n ON n.id = t.snapshot JOIN source s ON s.id = n.source"

void care_path_of_document(struct care *k, int64_t document, struct buf *out)
{
	path_by(k, "SELECT s.name, t.path FROM entry t" PATH_JOIN " WHERE t.document = ?1 LIMIT 1",
		document, "document", out);
}

void care_path_of_extent(struct care *k, int64_t extent, struct buf *out)
{
	path_by(k,
		"SELECT s.name, t.path FROM span p JOIN entry t ON t.document = "
		"p.document" PATH_JOIN " WHERE p.extent = ?1 LIMIT 1",
		extent, "extent", out);
}

int care_ids(struct catalog *c, const char *sql, int64_t arg, int64_t **out, size_t *n,
	     struct err *e)
{
	struct buf b = { 0 };
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, sql, "");

	*out = NULL;
	*n = 0;
	if (rc)
		return rc;
	if (sqlite3_bind_parameter_count(st))
		sqlite3_bind_int64(st, 1, arg);
	while ((rc = cat_step(c, st, e)) > 0) {
		int64_t v = sqlite3_column_int64(st, 0);

		buf_add(&b, &v, sizeof(v));
	}
	cat_done(c, st);
	if (!rc && b.failed)
		rc = err_nomem(e);
	*n = b.len / sizeof(int64_t);
	if (!rc)
		*out = (int64_t *)(void *)buf_take(&b);
	buf_release(&b);
	return rc;
}

uint64_t care_file_bytes(struct care *k, const char *file)
{
	char *path = path_join(lib_dir(k->lib), file);
	struct stat st;
	uint64_t n = path && !stat(path, &st) ? (uint64_t)st.st_size : 0;

	free(path);
	return n;
}

int care_check_file(struct care *k, const char *file, uint64_t bytes, struct err *e)
{
	char *path = path_join(lib_dir(k->lib), file);
	struct stat st;
	int rc = 0;

	if (!path)
		return err_nomem(e);
	if (stat(path, &st) < 0)
		rc = err_set(e, errno == ENOENT ? ERR_CORRUPT : ERR_IO, "%s",
			     errno == ENOENT ? "the file is missing" : strerror(errno));
	else if ((uint64_t)st.st_size < bytes)
		rc = err_set(e, ERR_CORRUPT, "the file has %llu bytes, %llu were committed",
			     (unsigned long long)st.st_size, (unsigned long long)bytes);
	free(path);
	return rc;
}

/* ---- The catalog, page by page --------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* A page that another process is checkpointing right now looks torn, and one that a crash tore is
 * mended by the journal: so look again, with a checkpoint in between. */
static bool page_settles(struct care *k, int fd, uint8_t *page, uint32_t pgno)
{
	struct timespec pause = { 0, 5000000 };
	int others = 0, tries;

	/* Alone, there is nothing to wait for. */
	if (lib_readers_left(k->lib, lib_generation(k->lib) + 1, &others, NULL))
		others = 1;
	tries = others ? 20 : 2;
	for (int i = 0; i < tries; i++) {
		sqlite3_wal_checkpoint_v2(k->c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
		if (pread(fd, page, SUMVFS_PAGE, (off_t)(pgno - 1) * SUMVFS_PAGE) ==
			    (ssize_t)SUMVFS_PAGE &&
		    (sumvfs_check(page, pgno) || is_zero(page, SUMVFS_PAGE)))
			return true;
		if (others)
			nanosleep(&pause, NULL);
	}
	return false;
}

static int verify_pages(struct care *k, struct err *e)
{
	uint8_t page[SUMVFS_PAGE];
	uint64_t n_bad = 0, n;
	struct stat st;
	int fd, rc = 0;

	/* What the journal still holds goes to the file first, where it is read. */
	sqlite3_wal_checkpoint_v2(k->c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	fd = open(k->c->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = err_set(e, ERR_IO, "cannot read '%s': %s", k->c->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	n = (uint64_t)st.st_size / SUMVFS_PAGE;
	for (uint64_t i = 0; i < n && !rc; i++) {
		if (pread(fd, page, sizeof(page), (off_t)(i * SUMVFS_PAGE)) !=
		    (ssize_t)sizeof(page))
			break;		/* shrunk meanwhile */
		k->checked += sizeof(page);
		if (sumvfs_check(page, (uint32_t)i + 1) || is_zero(page, sizeof(page)) ||
		    page_settles(k, fd, page, (uint32_t)i + 1))
			;
		else if (n_bad++ < 20)
			rc = care_report(k, "catalog", "catalog.sqlite", 0, true,
					 "page %llu does not match its checksum",
					 (unsigned long long)i + 1);
		if (!rc && !(i & 1023))
			rc = care_progress(k, "catalog", i, n);
	}
	close(fd);
	if (!rc && n_bad > 20)
		rc = care_report(k, "catalog", "catalog.sqlite", 0, true,
				 "%llu more pages do not match", (unsigned long long)n_bad - 20);
	return rc;
}

/* What a damaged table costs. */
static const struct table_cost {
	const char *name, *kind;
	bool        repairable;
} cost[] = {
	{ "words", "words", true }, { "trigram", "trigram", true }, { "piece", "words", true },
	{ "text", "text", false }, { "map", "map", false }, { "page", "pages", true },
	{ "part", "pages", true }, { "span", "pages", true }, { "extent", "pages", true },
	{ "segment", "pages", true }, { "turn", "turn", false }, { "session", "turn", false },
	{ "tail", "tail", true }, { "entry", "entry", false }, { "setting", "settings", false },
	{ "doomed", "catalog", true }, { "document", "text", false }, { NULL, "catalog", false }
};

static const struct table_cost *cost_of(const char *table)
{
	const struct table_cost *t = cost;

	/* words_data, trigram_idx, ...: what FTS5 keeps its index in. */
	while (t->name && strcmp(t->name, table) &&
	       !((!strcmp(t->name, "words") || !strcmp(t->name, "trigram")) &&
		 !strncmp(table, t->name, strlen(t->name)) && table[strlen(t->name)] == '_'))
		t++;
	return t;
}

/* Walk each b-tree by itself, so that one bad page names one table or index. */
static int verify_trees(struct care *k, struct err *e)
{
	sqlite3_stmt *st, *tree;
	int rc = cat_q(k->c, &st, e,
		       "SELECT name, tbl_name, type FROM sqlite_schema WHERE rootpage > 0", "");

	if (rc)
		return rc;
	while ((rc = cat_step(k->c, st, e)) > 0) {
		const char *name = cat_col_text(st, 0), *table = cat_col_text(st, 1);
		bool index = !strcmp(cat_col_text(st, 2), "index");
		const struct table_cost *t = cost_of(table);
		struct err why;

		rc = cat_q(k->c, &tree, &why, "SELECT count(*) FROM dbstat WHERE name = ?1", "t",
			   name);
		if (!rc) {
			rc = cat_step(k->c, tree, &why);
			cat_done(k->c, tree);
		}
		if (rc == ERR_CORRUPT)
			rc = care_report(k, t->kind, name, 0, index || t->repairable,
					 "%s '%s' of the catalog cannot be read whole",
					 index ? "index" : "table", name);
		else if (rc < 0)
			rc = err_set(e, rc, "%s", why.msg);
		else
			rc = 0;
		if (rc)
			break;
	}
	cat_done(k->c, st);
	return rc;
}

/* SQLite's own checks: they stop at a page that cannot be read, which is reported by now. */
static int verify_logic(struct care *k, struct err *e)
{
	static const char *const check[] = {"PRAGMA integrity_check(20)",
					    "PRAGMA foreign_key_check"};
	int rc = 0;

	for (int i = 0; i < 2 && !rc; i++) {
		sqlite3_stmt *st;

		rc = cat_q(k->c, &st, e, check[i], "");
		if (rc)
			return rc;
		while ((rc = cat_step(k->c, st, NULL)) > 0) {
			const char *s = cat_col_text(st, 0);

			rc = 0;
			if (i == 0 && strcmp(s, "ok"))
				rc = care_report(k, "catalog", "catalog.sqlite", 0, true, "%s", s);
			else if (i == 1)
				rc = care_report(k, "catalog", s, 0, true,
						 "row %lld of '%s' refers to nothing",
						 (long long)sqlite3_column_int64(st, 1), s);
			if (rc)
				break;
		}
		cat_done(k->c, st);
		if (rc == ERR_CORRUPT)
			rc = 0;
		if (!rc)
			rc = care_progress(k, "structure", (uint64_t)i + 1, 2);
	}
	return rc;
}

/* ---- Rows with sums of their own ------------------------------------------------------------- */

static int verify_settings(struct care *k, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(k->c, &st, e, "SELECT key, value, sum FROM setting", "");

	if (rc)
		return rc;
	while ((rc = cat_step(k->c, st, e)) > 0) {
		size_t n = (size_t)sqlite3_column_bytes(st, 1);
		struct sum128 sum;

		k->checked += n;
		rc = 0;
		if (!cat_col_sum(st, 2, &sum) ||
		    !sum128_eq(sum, sum128_of(sqlite3_column_blob(st, 1), n)))
			rc = care_report(k, "settings", cat_col_text(st, 0), 0, false,
					 "setting '%s' does not match its checksum",
					 cat_col_text(st, 0));
		if (rc)
			break;
	}
	cat_done(k->c, st);
	return rc;
}

static int verify_turns(struct care *k, struct err *e)
{
	struct sess_turn t;
	sqlite3_stmt *st;
	int rc = cat_q(k->c, &st, e,
		       "SELECT id, n, at, question, answer, citations, info, token, pos, sum"
		       " FROM turn",
		       "");

	if (rc)
		return rc;
	while ((rc = cat_step(k->c, st, e)) > 0) {
		rc = sess_turn_row(st, &t, NULL);
		if (rc)
			rc = care_report(k, "turn", "turn", 0, false,
					 "turn %u (row %lld) does not match its checksum", t.n,
					 (long long)t.id);
		if (rc)
			break;
	}
	cat_done(k->c, st);
	return rc;
}

/* ---- Texts and maps -------------------------------------------------------------------------- */

int care_check_text(struct care *k, int64_t document, struct err *e)
{
	struct cat_document d;
	struct buf text = { 0 };
	struct sha256 sha;
	uint8_t got[32];
	int rc = cat_document(k->c, document, &d, e);

	if (!rc)
		rc = cat_text(k->c, document, &text, e);
	if (rc == ERR_NOTFOUND)
		rc = err_set(e, ERR_CORRUPT, "the text is missing");
	if (!rc) {
		k->checked += text.len;
		sha256_init(&sha);
		sha256_add(&sha, text.data, text.len);
		sha256_done(&sha, got);
		if (text.len != d.n_byte || memcmp(got, d.sha256, 32))
			rc = err_set(e, ERR_CORRUPT, "the text is another one than its hash says");
	}
	buf_release(&text);
	return rc;
}

int care_check_map(struct care *k, int64_t document, struct err *e)
{
	struct cat_map *m;
	int rc = cat_map_open(&m, k->c, document, e);

	cat_map_close(m);
	return rc == ERR_NOTFOUND ? err_set(e, ERR_CORRUPT, "the map is missing") : rc;
}

/* One of seed's share?  Even for small numbers of items: a hash, not a count. */
static bool chosen(double share, uint64_t seed, const char *kind, int64_t id)
{
	uint64_t v[3] = { seed, (uint64_t)id, (uint64_t)kind[0] << 8 | (uint64_t)kind[1] };

	return share >= 1 ||
	       (double)(sum128_of(v, sizeof(v)).lo >> 11) < share * 9007199254740992.0;
}

static int verify_texts(struct care *k, double share, uint64_t seed, struct err *e)
{
	struct buf path = { 0 };
	int64_t *doc;
	size_t n;
	int rc = care_ids(k->c, "SELECT id FROM document ORDER BY id", 0, &doc, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		struct err why = { .code = 0 };
		bool text;

		if (!chosen(share, seed, "text", doc[i]))
			continue;
		rc = care_check_text(k, doc[i], &why);
		text = rc != 0;
		if (!rc)
			rc = care_check_map(k, doc[i], &why);
		if (rc == ERR_CORRUPT) {
			buf_clear(&path);
			care_path_of_document(k, doc[i], &path);
			rc = care_report(k, text ? "text" : "map", path.data ? path.data : "?", 0,
					 false, "%s", why.msg);
		} else if (rc) {
			rc = err_set(e, rc, "%s", why.msg);
		}
		if (!rc && !(i & 63))
			rc = care_progress(k, "texts", i, n);
	}
	free(doc);
	buf_release(&path);
	return rc;
}

/* ---- Segments -------------------------------------------------------------------------------- */

/* A record with a sum of its own: read all of it and give it to a check. */
int care_read_record(struct care *k, uint32_t number, const char *ext, uint64_t off, uint64_t n,
		     void **out, struct err *e)
{
	char name[64];
	char *path;
	int fd, rc;

	snprintf(name, sizeof(name), "segments/%08u.%s", number, ext);
	rc = care_check_file(k, name, off + n, e);
	if (rc)
		return rc;
	path = path_join(lib_dir(k->lib), name);
	*out = aligned_alloc(64, (n + 63) & ~63ull);
	if (!path || !*out) {
		free(path);
		free(*out);
		return err_nomem(e);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? err_set(e, ERR_IO, "%s", strerror(errno))
		    : file_pread(fd, *out, n, off, name, e);
	if (fd >= 0)
		close(fd);
	free(path);
	k->checked += n;
	if (rc)
		free(*out);
	return rc;
}

int care_wants_sketch(struct care *k, int64_t engine, bool *wanted, struct err *e)
{
	struct derive d;
	int rc = derive_get(k->c, engine, &d, e);

	*wanted = !rc && d.sketches;
	derive_release(&d);
	return rc;
}

int care_check_sketch(struct care *k, const struct cat_extent *x, const struct id *last,
		      bool wanted, struct err *e)
{
	struct sketch s;
	uint64_t size;
	void *p;
	int rc;

	if (!x->ref.sketch_off)
		return wanted ? err_set(e, ERR_CORRUPT, "its sketch is missing") : 0;
	rc = care_read_record(k, x->ref.number, "sk", x->ref.sketch_off, 16, &p, e);
	if (rc)
		return rc;
	memcpy(&size, (char *)p + 8, 8);
	free(p);
	if (size < 64 || size > (1ull << 40))
		return err_set(e, ERR_CORRUPT, "the sketch has no length");
	rc = care_read_record(k, x->ref.number, "sk", x->ref.sketch_off, size, &p, e);
	if (rc)
		return rc;
	rc = sketch_parse(&s, p, size, e);
	if (!rc && !id_eq(&s.span, last))
		rc = err_set(e, ERR_CORRUPT, "the sketch is of another span");
	for (uint32_t i = 0; !rc && i < s.plan.geom.n_far_layer; i++)
		rc = sketch_check_layer(&s, i, e);
	free(p);
	return rc;
}

int care_check_extent(struct care *k, const struct cat_extent *x, const struct id *last,
		      struct err *e)
{
	struct extent head;
	uint32_t layer, page;
	void *p;
	int rc;

	if (x->ref.bytes > (1ull << 40))
		return err_set(e, ERR_CORRUPT, "extent %lld of the catalog has no length",
			       (long long)x->id);
	rc = care_read_record(k, x->ref.number, "kv", x->ref.off, x->ref.bytes, &p, e);
	if (rc)
		return rc;
	rc = extent_parse(&head, p, x->ref.bytes, e);
	if (!rc && (!id_eq(&head.span, last) || head.plan.n_token != x->n_token))
		rc = err_set(e, ERR_CORRUPT, "another extent lies at its place");
	if (!rc)
		rc = extent_verify(p, x->ref.bytes, &layer, &page, e);
	free(p);
	return rc;
}

int care_read_extent(struct care *k, const struct kv_ref *ref, void **out, struct err *e)
{
	return care_read_record(k, ref->number, "kv", ref->off, ref->bytes, out, e);
}

struct extent_walk {
	struct care *k;
	double   share;
	uint64_t seed, n, total;
	struct err *e;
	struct buf  path;
};

static int verify_extent(void *ctx, const struct cat_extent *x)
{
	struct extent_walk *w = ctx;
	struct err why = { .code = 0 };
	bool pages_good = false, wanted;
	int rc = 0;

	if (chosen(w->share, w->seed, "extent", x->id)) {
		rc = care_check_extent(w->k, x, &x->page[x->n_page - 1], &why);
		pages_good = !rc;
		if (!rc)
			rc = care_wants_sketch(w->k, x->engine, &wanted, &why);
		if (!rc)
			rc = care_check_sketch(w->k, x, &x->page[x->n_page - 1], wanted, &why);
	}
	if (rc == ERR_CORRUPT) {
		buf_clear(&w->path);
		care_path_of_extent(w->k, x->id, &w->path);
		rc = care_report(w->k, pages_good ? "summary" : "pages",
				 w->path.data ? w->path.data : "?", x->n_token, true, "%s",
				 why.msg);
	} else if (rc) {
		rc = err_set(w->e, rc, "%s", why.msg);
	}
	if (!rc && !(w->n++ & 15))
		rc = care_progress(w->k, "pages", w->n, w->total);
	return rc;
}

static int verify_extents(struct care *k, double share, uint64_t seed, struct err *e)
{
	struct extent_walk w = { .k = k, .share = share, .seed = seed, .e = e };
	int64_t total = 0;
	int rc = cat_int(k->c, &total, e, "SELECT count(*) FROM extent", "");

	w.total = (uint64_t)total;
	if (!rc)
		rc = cat_extents(k->c, verify_extent, &w, e);
	buf_release(&w.path);
	return rc;
}

static int verify_segment(void *ctx, const struct cat_segment *s)
{
	struct care *k = ctx;
	const struct { const char *ext; enum segment_kind kind; uint64_t end; } file[] = {
		{ "kv", SEGMENT_KV, s->kv_end }, { "sk", SEGMENT_SKETCH, s->sketch_end },
		{ "si", SEGMENT_SPANIDX, s->part_end }
	};
	int rc = 0;

	for (int i = 0; i < 3 && !rc; i++) {
		struct segment *seg;
		char name[64];
		struct err why;

		if (!file[i].end)
			continue;
		snprintf(name, sizeof(name), "segments/%08u.%s", s->number, file[i].ext);
		rc = care_check_file(k, name, file[i].end, &why);
		if (!rc)
			rc = kv_store_segment(k->store, file[i].kind, s->number, file[i].end, &seg,
					      &why);
		if (rc == ERR_CORRUPT || rc == ERR_NEWER)
			rc = care_report(k, "segment", name, 0, true, "%s", why.msg);
	}
	return rc;
}

int care_check_heads(struct care *k, const struct kv_ref *ref, struct err *e)
{
	struct segment *s;
	int rc = kv_store_segment(k->store, SEGMENT_KV, ref->number, ref->off + ref->bytes, &s, e);

	if (!rc && ref->sketch_off)
		rc = kv_store_segment(k->store, SEGMENT_SKETCH, ref->number, ref->sketch_off, &s,
				      e);
	return rc == ERR_NOTFOUND || rc == ERR_NEWER
		       ? err_set(e, ERR_CORRUPT, "a segment does not open")
		       : rc;
}

static int verify_parts(struct care *k, double share, uint64_t seed, struct buf *bad, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(k->c, &st, e,
		       "SELECT extent, segment, offset, bytes FROM part ORDER BY segment, offset",
		       "");

	if (rc)
		return rc;
	while ((rc = cat_step(k->c, st, e)) > 0) {
		int64_t id = sqlite3_column_int64(st, 0);
		uint64_t n = (uint64_t)sqlite3_column_int64(st, 3);
		struct err why = { .code = 0 };
		struct spanidx part;
		struct segment *seg;
		void *p;

		rc = 0;
		if (!chosen(share, seed, "part", id))
			continue;
		if (n < 64 || n > (1ull << 40))
			rc = err_set(&why, ERR_CORRUPT, "an index part has no length");
		if (!rc)
			rc = kv_store_segment(k->store, SEGMENT_SPANIDX,
					      (uint32_t)sqlite3_column_int64(st, 1), 0, &seg, &why);
		if (rc == ERR_NOTFOUND || rc == ERR_NEWER)
			rc = err_set(&why, ERR_CORRUPT, "an index file is missing or newer");
		if (!rc)
			rc = care_read_record(k, (uint32_t)sqlite3_column_int64(st, 1), "si",
					 (uint64_t)sqlite3_column_int64(st, 2), n, &p, &why);
		if (!rc) {
			rc = spanidx_parse(&part, p, n, NULL, &why);
			free(p);
		}
		if (rc == ERR_CORRUPT) {
			rc = care_report(k, "index", "span index", 0, true, "%s", why.msg);
			if (bad)
				buf_add(bad, &id, sizeof(id));
		} else if (rc) {
			rc = err_set(e, rc, "%s", why.msg);
		}
		if (rc)
			break;
	}
	cat_done(k->c, st);
	return rc;
}

int care_bad_parts(struct care *k, struct buf *extent, struct err *e)
{
	return verify_parts(k, 1, 0, extent, e);
}

/* ---- Tails ----------------------------------------------------------------------------------- */

static int verify_tails(struct care *k, double share, uint64_t seed, struct buf *far_bad,
			struct buf *near_bad, struct err *e)
{
	struct buf b = { 0 };
	sqlite3_stmt *st;
	int rc = cat_q(k->c, &st, e,
		       "SELECT id, n_token, file, far_at, far_n, far_sum, near_at, near_n,"
		       " near_sum FROM tail ORDER BY file, far_at",
		       "");

	if (rc)
		return rc;
	while ((rc = cat_step(k->c, st, e)) > 0) {
		struct sess_tail t = { .id = sqlite3_column_int64(st, 0) };
		struct err why = { .code = 0 };
		char name[64];
		bool bad = false, in_near = false;

		t.n_token = cat_col_u32(st, 1, &bad);
		t.file = cat_col_u32(st, 2, &bad);
		t.far_at = cat_col_u64(st, 3, &bad);
		t.far_n = cat_col_u64(st, 4, &bad);
		bad |= !cat_col_sum(st, 5, &t.far_sum);
		t.near_at = cat_col_u64(st, 6, &bad);
		t.near_n = cat_col_u64(st, 7, &bad);
		bad |= !cat_col_sum(st, 8, &t.near_sum);
		snprintf(name, sizeof(name), "tails/%08x.far", t.file);
		rc = bad ? cat_bad_row("tail", t.id, &why)
			 : care_check_file(k, name, t.far_at + t.far_n, &why);
		for (int near = 0; near < 2 && !rc; near++) {
			uint64_t n = near ? t.near_n : t.far_n;

			if (!n || !chosen(share, seed, "tail", t.id))
				continue;
			buf_clear(&b);
			in_near = near;
			rc = sess_tail_read(k->lib, &t, near, &b, &why);
			k->checked += n;
		}
		if (rc == ERR_CORRUPT) {
			rc = care_report(k, "tail", name, t.n_token, true, "%s", why.msg);
			if (far_bad)
				buf_add(in_near ? near_bad : far_bad, &t.id, sizeof(t.id));
		} else if (rc) {
			rc = err_set(e, rc, "%s", why.msg);
		}
		if (rc)
			break;
	}
	cat_done(k->c, st);
	buf_release(&b);
	return rc;
}

int care_bad_tails(struct care *k, struct buf *far, struct buf *near, struct err *e)
{
	return verify_tails(k, 1, 0, far, near, e);
}

/* ---- All of it ------------------------------------------------------------------------------- */

/* A step that ran into damage has been reported by the page and tree walks; the next one goes on.
 */
static int go_on(struct care *k, int rc, struct err *e)
{
	if (rc != ERR_CORRUPT)
		return rc;
	return k->n_damage ? 0 : care_report(k, "catalog", "catalog.sqlite", 0, true, "%s", e->msg);
}

int care_check_commits(struct care *k)
{
	uint64_t lost = lib_commits_lost(k->lib);

	return lost ? care_report(k, "commits", "commits", 0, false,
				  "the newest %llu commits are lost: the"
				  " journal was damaged or removed",
				  (unsigned long long)lost)
		    : 0;
}

int care_check_catalog(struct care *k, struct err *e)
{
	int rc = 0;

	if (lib_rescued(k->lib))
		rc = care_report(k, "catalog", "catalog.sqlite", 0, true,
				 "its schema could not be read");
	if (!rc)
		rc = verify_pages(k, e);

	if (!rc)
		rc = go_on(k, verify_trees(k, e), e);
	return rc ? rc : go_on(k, verify_logic(k, e), e);
}

int care_verify(struct library *lib, double share, uint64_t seed, const struct care_watch *w,
		struct care_verified *out, struct err *e)
{
	struct care k = { .lib = lib, .c = lib_catalog(lib), .w = w };
	struct err mine;
	int rc;

	if (!e)
		e = &mine;
	rc = kv_store_open(&k.store, lib_segments(lib), e);
	if (!rc)
		rc = care_check_commits(&k);
	if (!rc)
		rc = care_check_catalog(&k, e);
	if (!rc)
		rc = go_on(&k, verify_settings(&k, e), e);
	if (!rc)
		rc = go_on(&k, verify_turns(&k, e), e);
	if (!rc)
		rc = go_on(&k, cat_segments(k.c, verify_segment, &k, e), e);
	if (!rc)
		rc = go_on(&k, verify_tails(&k, share, seed, NULL, NULL, e), e);
	if (!rc && share > 0)
		rc = go_on(&k, verify_texts(&k, share, seed, e), e);
	if (!rc && share > 0)
		rc = go_on(&k, verify_extents(&k, share, seed, e), e);
	if (!rc && share > 0)
		rc = go_on(&k, verify_parts(&k, share, seed, NULL, e), e);
	kv_store_close(k.store);
	out->checked_bytes = k.checked;
	out->n_damage = k.n_damage;
	out->n_lost = k.n_lost;
	return rc;
}
