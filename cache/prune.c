/* forget, prune, stats.  Each step of prune is a batch; what it decided is in the catalog, so that
 * the next one goes on where this one stopped. */
#include "config.h"

#include "cache/care.h"

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

#define BATCH_DOCUMENTS 64 /* documents dropped per commit: their text is read to un-index it */
#define BATCH_EXTENTS   256

/* ---- forget ---------------------------------------------------------------------------------- */

/* Complete snapshots beyond the newest `keep` of each source, the open ones of an ingest and pinned
 * ones apart. */
#define FORGET_SELECT                                                                              \
	"SELECT id FROM (SELECT id, complete, row_number() OVER (PARTITION BY source ORDER BY id " \
	"DESC) AS nr"                                                                              \
	" FROM snapshot WHERE complete AND (?1 = 0 OR source = ?1)) n WHERE nr > ?2"               \
	" AND NOT EXISTS (SELECT 1 FROM pin WHERE snapshot = n.id)"

int care_forget(struct library *lib, int64_t source, unsigned keep, bool dry, uint64_t *n_forgotten,
		struct err *e)
{
	struct catalog *c = lib_catalog(lib);
	int64_t n;
	int rc;

	if (!keep)
		return err_set(e, ERR_INVALID,
			       "at least one snapshot is kept; remove the source instead");
	rc = cat_int(c, &n, e, "SELECT count(*) FROM (" FORGET_SELECT ")", "ii", source,
		     (int64_t)keep);
	*n_forgotten = rc ? 0 : (uint64_t)n;
	if (rc || dry || !n)
		return rc;
	rc = cat_begin(c, e);
	if (!rc)
		rc = cat_run(c, e, "DELETE FROM snapshot WHERE id IN (" FORGET_SELECT ")", "ii",
			     source, (int64_t)keep);
	if (!rc)
		rc = cat_commit(c, e);
	cat_rollback(c);
	return rc;
}

/* ---- What nothing refers to ------------------------------------------------------------------ */

static int commit_or_not(struct catalog *c, int rc, struct err *e)
{
	if (!rc)
		rc = cat_commit(c, e);
	cat_rollback(c);
	return rc;
}

/* A few ids at a time, until none are left. */
static int drop_all(struct care *k, const char *phase, const char *select, int64_t limit,
		    int (*drop)(struct catalog *, int64_t, struct err *), uint64_t *n,
		    struct err *e)
{
	for (;;) {
		int64_t id[BATCH_EXTENTS];
		int n_id = 0, rc = cat_begin(k->c, e);
		sqlite3_stmt *st;

		if (!rc)
			rc = cat_q(k->c, &st, e, select, "i", limit);
		if (rc)
			return commit_or_not(k->c, rc, e);
		while ((rc = cat_step(k->c, st, e)) > 0 && n_id < BATCH_EXTENTS)
			id[n_id++] = sqlite3_column_int64(st, 0);
		cat_done(k->c, st);
		if (rc > 0)
			rc = 0;
		for (int i = 0; i < n_id && !rc; i++)
			rc = drop(k->c, id[i], e);
		rc = commit_or_not(k->c, rc, e);
		if (rc || !n_id)
			return rc;
		*n += (uint64_t)n_id;
		rc = care_progress(k, phase, *n, 0);
		if (rc)
			return rc;
	}
}

#define DEAD_DOCUMENTS                                                                             \
	"FROM document d WHERE NOT EXISTS (SELECT 1 FROM entry n WHERE n.document = d.id)"
/* An extent without a span is a preamble, or nothing. */
#define DEAD_EXTENTS \
	"FROM extent x WHERE NOT EXISTS (SELECT 1 FROM span s WHERE s.extent = x.id)" \
	" AND x.last NOT IN (SELECT preamble FROM engine)"

/* ---- Files ----------------------------------------------------------------------------------- */

int cat_doom(struct catalog *c, const char *file, uint64_t bytes, struct err *e)
{
	return cat_run(c, e,
		       "INSERT OR IGNORE INTO doomed(file, bytes, generation) VALUES(?1, ?2, ?3)",
		       "tii", file, (int64_t)bytes, (int64_t)lib_generation(c->lib));
}

static int doom_segment(struct care *k, uint32_t number, struct err *e)
{
	static const char *const ext[] = { "kv", "sk", "si" };
	int rc = 0;

	for (int i = 0; i < 3 && !rc; i++) {
		char name[64];

		snprintf(name, sizeof(name), "segments/%08u.%s", number, ext[i]);
		if (care_check_file(k, name, 0, NULL) == 0)
			rc = cat_doom(k->c, name, care_file_bytes(k, name), e);
	}
	return rc;
}

/* Is any row still, or again, in need of this file? */
static int file_needed(struct catalog *c, const char *file, bool *needed, struct err *e)
{
	unsigned number;
	int64_t n = 0;
	int rc = 0;

	if (sscanf(file, "segments/%8u.", &number) == 1)
		rc = cat_int(c, &n, e,
			     "SELECT EXISTS(SELECT 1 FROM extent WHERE segment = ?1) OR"
			     " EXISTS(SELECT 1 FROM part WHERE segment = ?1)",
			     "i", (int64_t)number);
	else if (sscanf(file, "tails/%8x.", &number) == 1 && strstr(file, ".near"))
		rc = cat_int(c, &n, e,
			     "SELECT EXISTS(SELECT 1 FROM tail WHERE file = ?1 AND near_n > 0)",
			     "i", (int64_t)number);
	else if (sscanf(file, "tails/%8x.", &number) == 1)
		rc = cat_int(c, &n, e, "SELECT EXISTS(SELECT 1 FROM tail WHERE file = ?1)", "i",
			     (int64_t)number);
	else
		n = 1;		/* nothing this program wrote: let it be */
	*needed = n != 0;
	return rc;
}

/* Files in a folder that no row names: of crashes, or of a writer that has not committed yet.  They
 * are doomed like others, and looked at again before they go. */
static int doom_orphans(struct care *k, const char *folder, struct err *e)
{
	char *path = path_join(lib_dir(k->lib), folder);
	struct dirent *ent;
	DIR *d;
	int rc = 0;

	if (!path)
		return err_nomem(e);
	d = opendir(path);
	if (!d)
		rc = err_set(e, ERR_IO, "cannot read folder '%s': %s", path, strerror(errno));
	while (!rc && d && (ent = readdir(d))) {
		char name[300];
		bool needed;

		snprintf(name, sizeof(name), "%s/%s", folder, ent->d_name);
		rc = file_needed(k->c, name, &needed, e);
		if (!rc && !needed)
			rc = cat_doom(k->c, name, care_file_bytes(k, name), e);
	}
	if (d)
		closedir(d);
	free(path);
	return rc;
}

/* Name, in one batch, every file that may go; segments first lose their row. */
static int doom_files(struct care *k, struct err *e)
{
	int64_t *seg = NULL;
	size_t n = 0;
	int rc = cat_begin(k->c, e);

	if (!rc)
		rc = care_ids(k->c,
			      "SELECT g.id FROM segment g WHERE NOT EXISTS (SELECT 1 FROM extent x"
			      " WHERE x.segment = g.id) AND NOT EXISTS (SELECT 1 FROM part p WHERE"
			      " p.segment = g.id)",
			      0, &seg, &n, e);
	for (size_t i = 0; i < n && !rc; i++)
		rc = doom_segment(k, (uint32_t)seg[i], e);
	free(seg);
	if (!rc)
		rc = doom_orphans(k, "segments", e);
	if (!rc)
		rc = doom_orphans(k, "tails", e);
	return commit_or_not(k->c, rc, e);
}

struct doomed {
	int64_t  id;
	uint64_t bytes, generation;
	char     file[300];
};

static int next_doomed(struct catalog *c, int64_t after, struct doomed *d, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT id, bytes, generation, file FROM doomed WHERE id > ?1"
		       " ORDER BY id LIMIT 1", "i", after);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	d->id = 0;
	if (rc > 0) {
		bool bad = false;

		d->id = sqlite3_column_int64(st, 0);
		d->bytes = cat_col_u64(st, 1, &bad);
		d->generation = cat_col_u64(st, 2, &bad);
		snprintf(d->file, sizeof(d->file), "%s", cat_col_text(st, 3));
		rc = bad ? cat_bad_row("doomed", d->id, e) : 0;
	}
	cat_done(c, st);
	return rc;
}

/* In a batch: a writer that commits an extent does so before or after, never in between. */
static int unlink_one(struct care *k, const struct doomed *d, struct care_pruned *out,
		      struct err *e)
{
	char *path = path_join(lib_dir(k->lib), d->file);
	unsigned number;
	bool needed;
	int rc;

	if (!path)
		return err_nomem(e);
	rc = file_needed(k->c, d->file, &needed, e);
	if (!rc && !needed) {
		if (unlink(path) < 0 && errno != ENOENT)
			rc = err_set(e, ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
		out->n_file++;
		out->bytes_freed += d->bytes;
		/* The row of a segment lives as long as the last of its files. */
		if (!rc && sscanf(d->file, "segments/%8u.", &number) == 1) {
			char like[32];

			snprintf(like, sizeof(like), "segments/%08u.%%", number);
			rc = cat_run(
				k->c, e,
				"DELETE FROM segment WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM"
				" doomed WHERE id <> ?2 AND file LIKE ?3)",
				"iit", (int64_t)number, d->id, like);
		}
	}
	free(path);
	return rc ? rc : cat_run(k->c, e, "DELETE FROM doomed WHERE id = ?1", "i", d->id);
}

static int unlink_files(struct care *k, struct care_pruned *out, struct err *e)
{
	struct doomed d = { .id = 0 };
	uint64_t g;
	int rc;

	/* Whoever opens from now on cannot know the files; only those who are here already can. */
	rc = lib_next_generation(k->lib, &g, e);
	while (!rc) {
		int readers;

		rc = next_doomed(k->c, d.id, &d, e);
		if (rc || !d.id)
			break;
		rc = lib_readers_left(k->lib, d.generation, &readers, e);
		if (!rc && readers) {
			out->bytes_waiting += d.bytes;
			continue;
		}
		if (!rc)
			rc = cat_begin(k->c, e);
		if (!rc)
			rc = unlink_one(k, &d, out, e);
		rc = commit_or_not(k->c, rc, e);
		if (!rc)
			rc = care_progress(k, "files", out->n_file, 0);
	}
	return rc;
}

/* ---- prune ----------------------------------------------------------------------------------- */

/* Give free pages of the catalog back to the file system, some at a time. */
static int shrink(struct care *k, struct err *e)
{
	int rc = 0;

	for (int64_t before = -1, left = 0; !rc && left != before;) {
		before = left;
		rc = cat_begin(k->c, e);
		if (!rc)
			rc = cat_exec(k->c, "PRAGMA incremental_vacuum(2048)", e);
		rc = commit_or_not(k->c, rc, e);
		if (!rc)
			rc = cat_int(k->c, &left, e,
				     "SELECT freelist_count FROM pragma_freelist_count", "");
	}
	sqlite3_wal_checkpoint_v2(k->c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return rc;
}

static int count(struct catalog *c, const char *sql, uint64_t *out, struct err *e)
{
	int64_t n = 0;
	int rc = cat_int(c, &n, e, sql, "");

	*out = (uint64_t)n;
	return rc;
}

/* What the next real prune would find; extents that only dead documents use are among them. */
static int prune_dry(struct care *k, struct care_pruned *out, struct err *e)
{
	int rc = count(k->c, "SELECT count(*) " DEAD_DOCUMENTS, &out->n_document, e);

	if (!rc)
		rc = count(k->c,
			   "SELECT count(*) FROM extent x WHERE NOT EXISTS (SELECT 1 FROM span s "
			   "JOIN entry n"
			   " ON n.document = s.document WHERE s.extent = x.id) AND x.last NOT IN"
			   " (SELECT preamble FROM engine)",
			   &out->n_extent, e);
	if (!rc)
		rc = count(k->c,
			   "SELECT coalesce(sum(bytes), 0) FROM extent x WHERE NOT EXISTS (SELECT "
			   "1 FROM"
			   " span s JOIN entry n ON n.document = s.document WHERE s.extent = x.id)"
			   " AND x.last NOT IN (SELECT preamble FROM engine)",
			   &out->bytes_freed, e);
	return rc;
}

int care_prune(struct library *lib, bool dry, const struct care_watch *w, struct care_pruned *out,
	       struct err *e)
{
	struct care k = { .lib = lib, .c = lib_catalog(lib), .w = w };
	int rc;

	*out = (struct care_pruned){ 0 };
	if (dry)
		return prune_dry(&k, out, e);
	rc = lib_lock_long(lib, "prune", e);
	if (rc)
		return rc;
	rc = drop_all(&k, "documents", "SELECT d.id " DEAD_DOCUMENTS " LIMIT ?1", BATCH_DOCUMENTS,
		      cat_del_document, &out->n_document, e);
	if (!rc)
		rc = drop_all(&k, "extents", "SELECT x.id " DEAD_EXTENTS " LIMIT ?1", BATCH_EXTENTS,
			      cat_del_extent, &out->n_extent, e);
	if (!rc)
		rc = care_rewrite(&k, &out->bytes_rewritten, e);
	if (!rc)
		rc = doom_files(&k, e);
	if (!rc)
		rc = unlink_files(&k, out, e);
	if (!rc)
		rc = shrink(&k, e);
	lib_unlock_long(lib);
	return rc;
}

/* ---- stats ----------------------------------------------------------------------------------- */

static uint64_t folder_bytes(const struct library *lib, const char *folder)
{
	char *path = path_join(lib_dir(lib), folder);
	DIR *d = path ? opendir(path) : NULL;
	struct dirent *ent;
	uint64_t sum = 0;

	while (d && (ent = readdir(d))) {
		struct stat st;

		if (!fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
		    S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
	}
	if (d)
		closedir(d);
	free(path);
	return sum;
}

int care_stats(struct library *lib, struct care_stats *out, struct err *e)
{
	struct care k = { .lib = lib, .c = lib_catalog(lib) };
	const struct { const char *sql; uint64_t *to;
	} q[] = {
		{"SELECT count(*) FROM source", &out->n_source},
		{"SELECT count(*) FROM snapshot", &out->n_snapshot},
		{"SELECT count(*) FROM entry", &out->n_entry},
		{"SELECT count(*) FROM document", &out->n_document},
		{"SELECT count(*) FROM span", &out->n_span},
		{"SELECT count(*) FROM extent", &out->n_extent},
		{"SELECT coalesce(sum(n_page), 0) FROM extent", &out->n_page},
		{"SELECT count(*) FROM session", &out->n_session},
		{"SELECT count(*) FROM turn", &out->n_turn},
		{"SELECT coalesce(sum(n_byte), 0) FROM document", &out->text_bytes},
		{"SELECT coalesce(sum(length(data)), 0) FROM text", &out->text_stored},
		{"SELECT coalesce(sum(n_token), 0) FROM (SELECT DISTINCT last, n_token FROM span)",
		 &out->n_token},
		{"SELECT coalesce(sum(n_token), 0) FROM extent", &out->n_encoded},
		{"SELECT coalesce(sum(bytes), 0) FROM extent", &out->segment_live},
		{"SELECT coalesce(sum(n_byte), 0) FROM document WHERE trigram = 0",
		 &out->trigram_left},
	};
	int rc = cat_read_begin(k.c, e);

	for (size_t i = 0; i < sizeof(q) / sizeof(q[0]) && !rc; i++)
		rc = count(k.c, q[i].sql, q[i].to, e);
	cat_read_end(k.c);
	out->catalog_bytes =
		care_file_bytes(&k, "catalog.sqlite") + care_file_bytes(&k, "catalog.sqlite-wal");
	out->segment_bytes = folder_bytes(lib, "segments");
	out->tail_bytes = folder_bytes(lib, "tails");
	return rc;
}
