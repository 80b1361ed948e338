/* A damaged catalog, row by row into a new one. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cache/care_int.h"
#include "cache/extent.h"
#include "cache/sumvfs.h"

/* Tables in the order of who refers to whom.  page, piece and the full-text tables are made again.
 */
static const struct table {
	const char *name, *kind;
	const char *order;	/* key of a table without row ids, NULL for others */
	bool        repairable;
} table[] = {
	{ "head", "catalog", NULL, true },
	{ "engine", "pages", NULL, true },
	{ "setting", "settings", NULL, false },
	{ "source", "entry", NULL, false },
	{ "snapshot", "entry", NULL, false },
	{ "document", "text", NULL, false },
	{ "text", "text", NULL, false },
	{ "map", "map", NULL, false },
	{ "entry", "entry", "snapshot %1$s, path %1$s", false },
	{ "segment", "pages", NULL, true },
	{ "extent", "pages", NULL, true },
	{ "part", "index", "extent %1$s, profile %1$s", true },
	{ "span", "pages", NULL, true },
	{ "doomed", "catalog", NULL, true },
	{ "tail", "tail", NULL, true },
	{ "turn", "turn", NULL, false },
	{ "session", "turn", NULL, false },
	{ "pin", "turn", "session %1$s, snapshot %1$s", false },
};

struct copy {
	struct care    *k;
	struct catalog *to;
	const struct table *t;
	sqlite3_stmt   *put;	/* INSERT into the new one */
	uint64_t        n, n_lost;
	struct err     *e;
};

static int prepare(struct catalog *c, sqlite3_stmt **st, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int prepare(struct catalog *c, sqlite3_stmt **st, struct err *e, const char *fmt, ...)
{
	char sql[512];
	va_list ap;
	int rc;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	rc = sqlite3_prepare_v2(c->db, sql, -1, st, NULL);
	return rc == SQLITE_OK ? 0 : cat_err(c, rc, "read", e);
}

/* The row st stands on, into the new table. */
static int put_row(struct copy *p, sqlite3_stmt *st)
{
	int rc = SQLITE_OK;

	for (int i = 0; i < sqlite3_column_count(st) && rc == SQLITE_OK; i++)
		rc = sqlite3_bind_value(p->put, i + 1, sqlite3_column_value(st, i));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(p->put);
	sqlite3_reset(p->put);
	sqlite3_clear_bindings(p->put);
	/* A row that does not fit the table is lost like one that cannot be read. */
	if ((rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_MISMATCH) {
		p->n_lost++;
		return 0;
	}
	p->n++;
	return rc == SQLITE_DONE ? 0 : cat_err(p->to, rc, "write", p->e);
}

/* ---- Tables with row ids --------------------------------------------------------------------- */

/* The first row id at or after `from`, by the key alone.  0 found, 1 none, ERR_CORRUPT: the way to
 * it leads over a bad page. */
static int probe(struct copy *p, sqlite3_stmt *key, int64_t from, int64_t *id)
{
	int rc;

	sqlite3_bind_int64(key, 1, from);
	rc = cat_step(p->k->c, key, p->e);
	if (rc > 0)
		*id = sqlite3_column_int64(key, 0);
	sqlite3_reset(key);
	return rc > 0 ? 0 : rc == 0 ? 1 : rc;
}

/* Behind a bad page: double the step until there is ground again, then halve back to its edge. */
static int skip_bad(struct copy *p, sqlite3_stmt *key, int64_t from, int64_t *id)
{
	int64_t bad = from, step = 1, mid_id;
	int rc = ERR_CORRUPT;

	while (rc == ERR_CORRUPT && step < INT64_MAX / 4) {
		rc = probe(p, key, from + step, id);
		if (rc == ERR_CORRUPT) {
			bad = from + step;
			step *= 2;
		}
	}
	if (rc == ERR_CORRUPT)
		return 1;
	for (int64_t good = from + step; good - bad > 1;) {
		int64_t mid = bad + (good - bad) / 2;
		int r = probe(p, key, mid, &mid_id);

		if (r == ERR_CORRUPT) {
			bad = mid;
		} else if (r < 0) {
			return r;
		} else {
			good = mid;
			if (r == 0)
				*id = mid_id;
			rc = r;
		}
	}
	return rc;
}

static int copy_rows(struct copy *p)
{
	sqlite3_stmt *key = NULL, *row = NULL;
	int64_t id = 0, from = INT64_MIN / 4;
	int rc = prepare(p->k->c, &key, p->e, "SELECT rowid FROM %s NOT INDEXED WHERE rowid >= ?1"
			 " ORDER BY rowid LIMIT 1", p->t->name);

	if (!rc)
		rc = prepare(p->k->c, &row, p->e, "SELECT * FROM %s NOT INDEXED WHERE rowid = ?1",
			     p->t->name);
	while (!rc) {
		rc = probe(p, key, from, &id);
		if (rc == ERR_CORRUPT) {
			p->n_lost++;
			rc = skip_bad(p, key, from < 0 ? 0 : from, &id);
		}
		if (rc)
			break;
		sqlite3_bind_int64(row, 1, id);
		rc = cat_step(p->k->c, row, p->e);
		if (rc > 0)
			rc = put_row(p, row);
		else if (rc == ERR_CORRUPT)
			p->n_lost++,
				rc = 0; /* the key could be read, the rest lies on a bad page */
		sqlite3_reset(row);
		from = id + 1;
	}
	sqlite3_finalize(key);
	sqlite3_finalize(row);
	return rc == 1 || rc == ERR_CORRUPT ? 0 : rc;
}

/* ---- Tables without: from both ends ---------------------------------------------------------- */

static int copy_ends(struct copy *p)
{
	int rc = 0;

	for (int desc = 0; desc < 2; desc++) {
		sqlite3_stmt *st = NULL;
		char order[128];
		uint64_t n = 0;

		snprintf(order, sizeof(order), p->t->order, desc ? "DESC" : "ASC");
		rc = prepare(p->k->c, &st, p->e, "SELECT * FROM %s ORDER BY %s", p->t->name, order);
		while (!rc && (rc = cat_step(p->k->c, st, p->e)) > 0) {
			rc = put_row(p, st);
			n++;
		}
		sqlite3_finalize(st);
		if (rc != ERR_CORRUPT)
			break;
		p->n_lost++;
		rc = 0;
	}
	return rc;
}

static int copy_table(struct care *k, struct catalog *to, const struct table *t, struct err *e)
{
	struct copy p = { .k = k, .to = to, .t = t, .e = e };
	struct buf sql = { 0 };
	sqlite3_stmt *st = NULL;
	int n_col = 0, rc;

	rc = prepare(to, &st, e, "SELECT * FROM %s", t->name);
	if (!rc)
		n_col = sqlite3_column_count(st);
	sqlite3_finalize(st);
	buf_addf(&sql, "INSERT OR IGNORE INTO %s VALUES(", t->name);
	for (int i = 0; i < n_col; i++)
		buf_adds(&sql, i ? ", ?" : "?");
	buf_addc(&sql, ')');
	if (!rc && sql.failed)
		rc = err_nomem(e);
	if (!rc && sqlite3_prepare_v2(to->db, sql.data, -1, &p.put, NULL) != SQLITE_OK)
		rc = cat_err(to, sqlite3_errcode(to->db), "write", e);
	buf_release(&sql);
	if (!rc && !strcmp(t->name, "head"))
		rc = cat_exec(to, "DELETE FROM head", e);
	if (!rc)
		rc = t->order ? copy_ends(&p) : copy_rows(&p);
	sqlite3_finalize(p.put);
	if (!rc && p.n_lost)
		rc = care_report(k, t->kind, t->name, 0, t->repairable,
				 "table '%s': %llu rows were kept, at least %llu are lost", t->name,
				 (unsigned long long)p.n, (unsigned long long)p.n_lost);
	return rc ? rc
		  : care_progress(k, "salvage", (uint64_t)(t - table) + 1,
				  sizeof(table) / sizeof(*table));
}

/* ---- What refers to nothing ------------------------------------------------------------------ */

/* In this order: each line may leave work for the ones after it. */
static const char *const mend[] = {
	"INSERT OR IGNORE INTO head VALUES(1, 0)",
	"INSERT INTO source(id, name, kind, origin, made) SELECT DISTINCT source, 'recovered-' || "
	"source, 'dir',"
	" '', 0 FROM snapshot WHERE source NOT IN (SELECT id FROM source)",
	"DELETE FROM entry WHERE snapshot NOT IN (SELECT id FROM snapshot)",
	"DELETE FROM text WHERE document NOT IN (SELECT id FROM document)",
	"DELETE FROM map WHERE document NOT IN (SELECT id FROM document)",
	"DELETE FROM document WHERE id NOT IN (SELECT document FROM text)",
	"DELETE FROM map WHERE document NOT IN (SELECT id FROM document)",
	"DELETE FROM extent WHERE engine NOT IN (SELECT id FROM engine)",
	"DELETE FROM segment WHERE engine NOT IN (SELECT id FROM engine)",
	"DELETE FROM span WHERE engine NOT IN (SELECT id FROM engine)"
	" OR document NOT IN (SELECT id FROM document)",
	"DELETE FROM part WHERE extent NOT IN (SELECT id FROM extent)",
	"INSERT OR IGNORE INTO segment(id, engine, made) SELECT segment, min(engine), 0 FROM "
	"extent GROUP BY 1",
	"DELETE FROM part WHERE segment NOT IN (SELECT id FROM segment)",
	"UPDATE span SET extent = (SELECT id FROM extent WHERE last = span.last)",
	"UPDATE turn SET parent = NULL WHERE parent NOT IN (SELECT id FROM turn)",
	"WITH RECURSIVE good(id) AS (SELECT id FROM tail WHERE parent IS NULL UNION"
	" SELECT t.id FROM tail t JOIN good g ON t.parent = g.id)"
	" DELETE FROM tail WHERE id NOT IN (SELECT id FROM good)",
	"UPDATE turn SET tail = NULL WHERE tail NOT IN (SELECT id FROM tail)",
	"UPDATE session SET turn = NULL WHERE turn NOT IN (SELECT id FROM turn)",
	"DELETE FROM session WHERE engine NOT IN (SELECT id FROM engine)",
	"DELETE FROM pin WHERE session NOT IN (SELECT id FROM session)"
	" OR snapshot NOT IN (SELECT id FROM snapshot)",
};

static int one_extent(void *ctx, const struct cat_extent *x)
{
	*(struct cat_extent *)ctx = *x;
	return 0;
}

/* An engine's row says nothing that the head of any of its extents does not say, but for its name,
 * which comes back when it is used next. */
static int recover_engine(struct care *k, struct catalog *to, int64_t engine, int64_t extent,
			  struct err *e)
{
	struct cat_extent x;
	struct extent head;
	void *image;
	int rc = cat_extent(to, extent, one_extent, &x, e);

	if (!rc)
		rc = care_read_extent(k, &x.ref, &image, e);
	if (rc)
		return rc;
	rc = extent_parse(&head, image, x.ref.bytes, e);
	if (!rc)
		rc = cat_run(
			to, e,
			"INSERT INTO engine VALUES(?1, ?2, ?3, 'recovered', ?4, ?5, ?6, ?7, ?8, 0)",
			"iIIiiiii", engine, &head.engine, &head.attends,
			(int64_t)head.plan.geom.n_far_layer, (int64_t)head.plan.geom.n_head_kv,
			(int64_t)head.plan.geom.head_dim, (int64_t)head.plan.geom.page_tokens,
			(int64_t)x.type);
	free(image);
	return rc;
}

static int recover_engines(struct care *k, struct catalog *to, struct err *e)
{
	int64_t *extent = NULL;
	size_t n = 0;
	int rc = care_ids(
		to,
		"SELECT x.id FROM extent x JOIN span s ON s.last = x.last AND s.mode = 2 WHERE"
		" x.engine NOT IN (SELECT id FROM engine) GROUP BY x.id",
		0, &extent, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		int64_t engine;

		rc = cat_int(to, &engine, e,
			     "SELECT engine FROM extent WHERE id = ?1 AND engine NOT IN"
			     " (SELECT id FROM engine)",
			     "i", extent[i]);
		if (!rc)
			rc = recover_engine(k, to, engine, extent[i], e);
		if (rc == ERR_NOTFOUND || rc == ERR_CORRUPT || rc == ERR_INVALID)
			rc = 0; /* recovered from another one, or the next may be readable */
	}
	free(extent);
	return rc;
}

/* Numbers of segments are never used twice, whatever rows were lost: the files tell. */
static int keep_numbers(struct care *k, struct catalog *to, struct err *e)
{
	DIR *d = opendir(lib_segments(k->lib));
	struct dirent *ent;
	unsigned max = 0, n;

	while (d && (ent = readdir(d)))
		if (sscanf(ent->d_name, "%8u.", &n) == 1 && n > max)
			max = n;
	if (d)
		closedir(d);
	if (!max)
		return 0;
	/* AUTOINCREMENT remembers the largest id there ever was. */
	return cat_run(to, e, "INSERT OR IGNORE INTO segment(id, engine, made) VALUES(?1, 0, 0)",
		       "i", (int64_t)max);
}

#define LOST_ENTRIES "n.document IS NOT NULL AND n.document NOT IN (SELECT id FROM document)"

/* Name the files whose text is gone, then let the next ingest read them again. */
static int mend_entries(struct care *k, struct catalog *to, struct err *e)
{
	struct buf path = { 0 };
	sqlite3_stmt *st;
	int rc =
		cat_q(to, &st, e,
		      "SELECT s.name, n.path FROM entry n JOIN snapshot a ON a.id = n.snapshot JOIN"
		      " source s ON s.id = a.source WHERE " LOST_ENTRIES,
		      "");

	if (rc)
		return rc;
	while ((rc = cat_step(to, st, e)) > 0) {
		buf_clear(&path);
		buf_addf(&path, "%s:", cat_col_text(st, 0));
		buf_add(&path, sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
		rc = care_report(k, "text", path.data ? path.data : "?", 0, false,
				 "the text is lost");
		if (rc)
			break;
	}
	cat_done(to, st);
	buf_release(&path);
	return rc ? rc
		  : cat_run(to, e,
			    "UPDATE entry AS n SET state = 2, document = NULL, reason = ?1, seen = "
			    "0"
			    " WHERE " LOST_ENTRIES,
			    "t", CARE_TEXT_LOST);
}

struct pages_copy {
	struct catalog *to;
	struct err *e;
};

static int put_pages(void *ctx, const struct cat_extent *x)
{
	struct pages_copy *p = ctx;
	int rc = 0;

	for (uint32_t i = 0; i < x->n_page && !rc; i++)
		rc = cat_run(p->to, p->e,
			     "INSERT OR IGNORE INTO page(id, extent, pgno) VALUES(?1, ?2, ?3)",
			     "Iii", &x->page[i], x->id, (int64_t)i);
	return rc;
}

/* Maps that are gone: lines can be counted again, anchors come back with the next ingest. */
static int mend_maps(struct care *k, struct catalog *to, struct err *e)
{
	int64_t *doc = NULL;
	size_t n = 0;
	int rc = care_ids(to, "SELECT id FROM document WHERE id NOT IN (SELECT document FROM map)",
			  0, &doc, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = care_report(k, "map", "map", 0, false,
				 "anchors of document %lld are lost, its lines were"
				 " counted again",
				 (long long)doc[i]);
		if (!rc)
			rc = cat_remake_map(to, doc[i], e);
		if (rc == ERR_CORRUPT)
			rc = 0;		/* its text is bad as well: the next phase says so */
	}
	free(doc);
	return rc;
}

static int mend_all(struct care *k, struct catalog *to, struct err *e)
{
	struct pages_copy p = { to, e };
	int rc = recover_engines(k, to, e);

	if (!rc)
		rc = keep_numbers(k, to, e);
	for (size_t i = 0; i < sizeof(mend) / sizeof(*mend) && !rc; i++)
		rc = cat_exec(to, mend[i], e);
	if (!rc)
		rc = mend_entries(k, to, e);
	if (!rc)
		rc = mend_maps(k, to, e);
	if (!rc)
		rc = cat_extents(to, put_pages, &p, e);
	return rc ? rc : search_rebuild(to, e);
}

int care_salvage(struct care *k, const char *path, struct err *e)
{
	struct catalog *to;
	struct buf tmp = { 0 };
	int fd, rc = 0;

	buf_addf(&tmp, "%s.tmp", path);
	if (tmp.failed)
		return err_nomem(e);
	unlink(tmp.data);	/* of a repair that was stopped */
	rc = cat_open(&to, k->lib, tmp.data, LIB_CREATE, e);
	if (rc) {
		buf_release(&tmp);
		return rc;
	}
	rc = cat_exec(to, "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE", e);
	to->in_batch = true;	/* repair holds the writer's lock already */
	for (size_t i = 0; i < sizeof(table) / sizeof(*table) && !rc; i++)
		rc = copy_table(k, to, &table[i], e);
	if (!rc)
		rc = mend_all(k, to, e);
	if (!rc)
		rc = cat_exec(to, "COMMIT", e);
	if (rc)
		sqlite3_exec(to->db, "ROLLBACK", NULL, NULL, NULL);
	to->in_batch = false;
	/* Leave no journal behind: one file is what gets the name. */
	if (!rc && sqlite3_wal_checkpoint_v2(to->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
					     NULL) != SQLITE_OK)
		rc = cat_err(to, sqlite3_errcode(to->db), "checkpoint", e);
	cat_close(to);
	fd = rc ? -1 : open(tmp.data, O_RDWR | O_CLOEXEC);
	if (!rc && (fd < 0 || fsync(fd) < 0 || rename(tmp.data, path) < 0))
		rc = err_set(e, ERR_IO, "cannot finish '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	buf_release(&tmp);
	return rc;
}

/* ---- Without its first pages ----------------------------------------------------------------- */

/* Put the template's page in the place of a bad one.  Page 1 also says how long the file is. */
static int put_page(int from, int to, int64_t pgno, uint32_t n_page, struct err *e)
{
	uint8_t page[SUMVFS_PAGE];
	int rc = file_pread(to, page, sizeof(page), (uint64_t)(pgno - 1) * SUMVFS_PAGE,
			    "catalog.sqlite", e);

	if (rc || sumvfs_check(page, (uint32_t)pgno))
		return rc;
	rc = file_pread(from, page, sizeof(page), (uint64_t)(pgno - 1) * SUMVFS_PAGE, "a template",
			e);
	if (rc)
		return rc;
	if (pgno == 1) {
		for (int i = 0; i < 4; i++)
			page[28 + i] = (uint8_t)(n_page >> (24 - 8 * i));
		memcpy(page + 92, page + 24, 4);	/* the length above is valid */
		sumvfs_seal(page, 1);
	}
	return file_pwrite(to, page, sizeof(page), (uint64_t)(pgno - 1) * SUMVFS_PAGE,
			   "catalog.sqlite", e);
}

int care_rescue_schema(struct library *lib, const char *path, struct err *e)
{
	char *tmp = path_join(lib_dir(lib), "catalog.template.sqlite");
	struct catalog *c = NULL;
	int64_t *page = NULL;
	size_t n = 0;
	struct stat st;
	int from = -1, to = -1, rc;

	if (!tmp)
		return err_nomem(e);
	unlink(tmp);
	rc = cat_open(&c, lib, tmp, LIB_CREATE, e);
	if (!rc)
		rc = care_ids(c, "SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'", 0, &page,
			      &n, e);
	cat_close(c);
	if (!rc) {
		from = open(tmp, O_RDONLY | O_CLOEXEC);
		to = open(path, O_RDWR | O_CLOEXEC);
		if (from < 0 || to < 0 || fstat(to, &st) < 0)
			rc = err_set(e, ERR_IO, "cannot open '%s': %s", path, strerror(errno));
	}
	for (size_t i = 0; i < n && !rc; i++)
		rc = put_page(from, to, page[i], (uint32_t)(st.st_size / SUMVFS_PAGE), e);
	if (!rc && fsync(to) < 0)
		rc = err_set(e, ERR_IO, "cannot sync '%s': %s", path, strerror(errno));
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	unlink(tmp);
	free(tmp);
	free(page);
	return rc;
}
