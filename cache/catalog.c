#include "config.h"

#include "cache/cat_int.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cache/schema.h"
#include "cache/sumvfs.h"

#define WRITER_WAIT_MS 30000

/* ---- Errors and statements ------------------------------------------------------------------- */

static bool disk_is_full(int system_errno)
{
	/* EFBIG: the file size limit of this process, as good as a full disk to whoever set it. */
	return system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG;
}

/* With the numbers that the person needs who has to make room. */
static int full(struct catalog *c, const char *doing, struct err *e)
{
	struct statvfs vfs;
	struct stat st;
	unsigned long long left = 0, size = 0;

	if (!statvfs(c->path, &vfs))
		left = (unsigned long long)vfs.f_bavail * vfs.f_frsize;
	if (!stat(c->path, &st))
		size = (unsigned long long)st.st_size;
	err_set(e, ERR_FULL, "cannot %s in '%s': the disk is full: the catalog has %llu bytes, %llu are free",
		doing, c->path, size, left);
	return err_hint(e, ERR_FULL, "free some space, then run the same command again");
}

int cat_err(struct catalog *c, int rc, const char *doing, struct err *e)
{
	int x = c->db ? sqlite3_extended_errcode(c->db) : rc;
	int sys = c->db ? sqlite3_system_errno(c->db) : 0;
	int code = ERR_IO;
	const char *why = c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);

	if ((x & 0xff) != (rc & 0xff))
		x = rc;
	switch (x & 0xff) {
	case SQLITE_NOMEM:
		return err_nomem(e);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = ERR_CORRUPT;
		break;
	case SQLITE_FULL:
		code = ERR_FULL;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = ERR_BUSY;
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CONSTRAINT:
		code = ERR_INVALID;
		break;
	case SQLITE_IOERR:
		if (x == SQLITE_IOERR_DATA || x == SQLITE_IOERR_CORRUPTFS)
			code = ERR_CORRUPT, why = "a page does not match its checksum";
		else if (x == SQLITE_IOERR_NOMEM)
			return err_nomem(e);
		else if (disk_is_full(sys))
			code = ERR_FULL;
		if (x == SQLITE_IOERR_FSYNC || x == SQLITE_IOERR_DIR_FSYNC)
			c->broken = true;
		break;
	}
	if (code == ERR_FULL)
		return full(c, doing, e);
	if ((x & 0xff) == SQLITE_IOERR && code != ERR_CORRUPT && sys)
		return err_set(e, code, "cannot %s in '%s': %s: %s", doing, c->path, why,
			       strerror(sys));
	err_set(e, code, "cannot %s in '%s': %s", doing, c->path, why);
	if (code == ERR_CORRUPT)
		err_hint(e, code,
			 "`folio verify` lists the damage, `folio repair` mends what it can");
	return code;
}

int cat_exec(struct catalog *c, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : cat_err(c, rc, "work", e);
}

static int prepare(struct catalog *c, sqlite3_stmt **st, const char *sql, struct err *e)
{
	struct cat_stmt *free_slot = NULL;
	int rc;

	*st = NULL;
	for (struct cat_stmt *s = c->stmt; s < c->stmt + CAT_N_STMT; s++) {
		if (s->sql == sql && !s->busy) {
			s->busy = true;
			*st = s->st;
			return 0;
		}
		if (s->sql == sql) {
			free_slot = NULL;
			break;		/* in use: one more, outside the cache */
		}
		if (!s->sql) {
			free_slot = s;
			break;
		}
	}
	rc = sqlite3_prepare_v3(c->db, sql, -1, free_slot ? SQLITE_PREPARE_PERSISTENT : 0, st,
				NULL);
	if (rc != SQLITE_OK)
		return cat_err(c, rc, "prepare", e);
	if (free_slot)
		*free_slot = (struct cat_stmt){ sql, *st, true };
	return 0;
}

static int bind_all(struct catalog *c, sqlite3_stmt *st, const char *fmt, va_list ap, struct err *e)
{
	int rc = SQLITE_OK;

	for (int i = 1; *fmt && rc == SQLITE_OK; fmt++, i++) {
		const void *p;

		switch (*fmt) {
		case 'i':
			rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'I':
			rc = sqlite3_bind_blob(st, i, va_arg(ap, const struct id *),
					       sizeof(struct id), SQLITE_STATIC);
			break;
		case 's':
			rc = sqlite3_bind_blob(st, i, va_arg(ap, const struct sum128 *),
					       sizeof(struct sum128), SQLITE_STATIC);
			break;
		case 't':
			rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
			break;
		case 'b':
			p = va_arg(ap, const void *);
			rc = sqlite3_bind_blob64(st, i, p ? p : "", va_arg(ap, size_t),
						 SQLITE_STATIC);
			break;
		default:
			rc = sqlite3_bind_null(st, i);
		}
	}
	return rc == SQLITE_OK ? 0 : cat_err(c, rc, "bind", e);
}

static int query(struct catalog *c, sqlite3_stmt **st, struct err *e, const char *sql,
		 const char *fmt, va_list ap)
{
	int rc = prepare(c, st, sql, e);

	if (rc)
		return rc;
	rc = bind_all(c, *st, fmt, ap, e);
	if (rc) {
		cat_done(c, *st);
		*st = NULL;
	}
	return rc;
}

int cat_q(struct catalog *c, sqlite3_stmt **st, struct err *e, const char *sql, const char *fmt,
	  ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = query(c, st, e, sql, fmt, ap);
	va_end(ap);
	return rc;
}

int cat_step(struct catalog *c, sqlite3_stmt *st, struct err *e)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0
				 : cat_err(c, rc, sqlite3_stmt_readonly(st) ? "read" : "write", e);
}

void cat_done(struct catalog *c, sqlite3_stmt *st)
{
	if (!st)
		return;
	for (struct cat_stmt *s = c->stmt; s < c->stmt + CAT_N_STMT && s->sql; s++)
		if (s->st == st) {
			sqlite3_reset(st);
			sqlite3_clear_bindings(st);
			s->busy = false;
			return;
		}
	sqlite3_finalize(st);
}

int cat_run(struct catalog *c, struct err *e, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = query(c, &st, e, sql, fmt, ap);
	va_end(ap);
	if (rc)
		return rc;
	do
		rc = cat_step(c, st, e);
	while (rc > 0);
	cat_done(c, st);
	return rc;
}

int cat_int(struct catalog *c, int64_t *out, struct err *e, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = query(c, &st, e, sql, fmt, ap);
	va_end(ap);
	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0)
		*out = sqlite3_column_int64(st, 0);
	cat_done(c, st);
	return rc > 0 ? 0 : rc < 0 ? rc : err_set(e, ERR_NOTFOUND, "not in the catalog");
}

int cat_need_batch(struct catalog *c, struct err *e)
{
	return c->in_batch ? 0 : err_set(e, ERR_INVALID, "a write to the catalog outside a batch");
}

/* ---- Columns --------------------------------------------------------------------------------- */

bool cat_col_id(sqlite3_stmt *st, int col, struct id *out)
{
	const void *p = sqlite3_column_blob(st, col);

	if (!p || sqlite3_column_bytes(st, col) != sizeof(*out))
		return false;
	memcpy(out, p, sizeof(*out));
	return true;
}

bool cat_col_sum(sqlite3_stmt *st, int col, struct sum128 *out)
{
	const void *p = sqlite3_column_blob(st, col);

	if (!p || sqlite3_column_bytes(st, col) != sizeof(*out))
		return false;
	memcpy(out, p, sizeof(*out));
	return true;
}

const char *cat_col_text(sqlite3_stmt *st, int col)
{
	const unsigned char *s = sqlite3_column_text(st, col);

	return s ? (const char *)s : "";
}

uint32_t cat_col_u32(sqlite3_stmt *st, int col, bool *bad)
{
	int64_t v = sqlite3_column_int64(st, col);

	if (v < 0 || v > UINT32_MAX)
		*bad = true;
	return (uint32_t)v;
}

uint64_t cat_col_u64(sqlite3_stmt *st, int col, bool *bad)
{
	int64_t v = sqlite3_column_int64(st, col);

	if (v < 0)
		*bad = true;
	return (uint64_t)v;
}

int cat_bad_row(const char *table, int64_t id, struct err *e)
{
	err_set(e, ERR_CORRUPT, "row %lld of table '%s' contradicts the format", (long long)id,
		table);
	return err_hint(e, ERR_CORRUPT, "`folio verify` lists the damage");
}

/* ---- Open and close -------------------------------------------------------------------------- */

static int pragma_int(struct catalog *c, const char *sql, int64_t *out, struct err *e)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);

	if (rc != SQLITE_OK)
		return cat_err(c, rc, "open", e);
	rc = cat_step(c, st, e);
	if (rc > 0)
		*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc < 0 ? rc : 0;
}

/* Bring user_version to ours, one step and one commit at a time. */
static int migrate(struct catalog *c, struct err *e)
{
	int64_t version = 0;
	char sql[64];
	int rc = 0;

	while (!rc && version < CATALOG_VERSION) {
		rc = cat_exec(c, "BEGIN IMMEDIATE", e);
		if (rc)
			break;
		/* Read again behind the lock: another process may have been faster. */
		rc = pragma_int(c, "PRAGMA user_version", &version, e);
		if (!rc && version < CATALOG_VERSION)
			rc = cat_exec(c, migration[version], e);
		version++;
		snprintf(sql, sizeof(sql), "PRAGMA user_version = %d",
			 (int)version);
		if (!rc && version <= CATALOG_VERSION)
			rc = cat_exec(c, sql, e);
		if (!rc)
			rc = cat_exec(c, "COMMIT", e);
		if (rc)
			sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
	}
	return rc;
}

/* A file that SQLite may have begun and not finished: nothing in it, or no table yet. */
static int create(struct catalog *c, struct err *e)
{
	int reserve = SUMVFS_RESERVE;
	char sql[192];
	int rc;

	sqlite3_file_control(c->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
	snprintf(sql, sizeof(sql),
		 "PRAGMA page_size = %u; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = "
		 "%d;",
		 SUMVFS_PAGE, CATALOG_APPLICATION_ID);
	rc = cat_exec(c, sql, e);
	return rc;
}

static int configure(struct catalog *c, struct err *e)
{
	int rc;

	sqlite3_busy_timeout(c->db, WRITER_WAIT_MS);
	/* Nothing in a stranger's schema may run code of its own. */
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_extended_result_codes(c->db, 1);
	rc = cat_exec(c, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
			 "PRAGMA secure_delete = FAST; PRAGMA temp_store = MEMORY;"
			 "PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 67108864;"
			 "PRAGMA cell_size_check = ON;", e);
	return rc;
}

static int open_db(struct catalog *c, unsigned flags, struct err *e)
{
	int mode = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
	struct buf uri = { 0 };
	int64_t version = 0, app = 0, page = 0;
	int rc;

	if (flags & LIB_CREATE)
		mode |= SQLITE_OPEN_CREATE;
	buf_adds(&uri, "file:");
	for (const char *p = c->path; *p; p++) {
		if (strchr("%?#", *p))
			buf_addf(&uri, "%%%02x", (unsigned char)*p);
		else
			buf_addc(&uri, *p);
	}
	if (c->read_only) {
		mode = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
		/* No journal and no way to make one: nobody can be writing here. */
		buf_adds(&uri, "?immutable=1");
	}
	if (uri.failed)
		return err_nomem(e);
	rc = sqlite3_open_v2(uri.data, &c->db, mode, SUMVFS_NAME);
	buf_release(&uri);
	if (rc != SQLITE_OK)
		return cat_err(c, rc, "open the catalog", e);
	rc = configure(c, e);
	if (!rc)
		rc = pragma_int(c, "PRAGMA user_version", &version, e);
	if (!rc && version > CATALOG_VERSION)
		return err_set(e, ERR_NEWER, "'%s' has format %lld, this program knows up to %d",
			       c->path, (long long)version, CATALOG_VERSION);
	if (!rc && version == 0 && !(flags & (LIB_CREATE | LIB_MEND))) {
		err_set(e, ERR_CORRUPT, "'%s' is empty", c->path);
		return err_hint(e, ERR_CORRUPT,
				"`folio repair` begins a new catalog; then ingest again");
	}
	if (!rc && version == 0)
		rc = create(c, e);
	if (!rc && !c->read_only)
		rc = cat_exec(c, "PRAGMA journal_mode = WAL", e);
	if (!rc && version < CATALOG_VERSION && !c->read_only) {
		rc = migrate(c, e);
		/* The tables do not depend on a journal that somebody might take for rubbish. */
		if (!rc)
			sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
						  NULL);
	}
	if (!rc)
		rc = pragma_int(c, "PRAGMA application_id", &app, e);
	if (!rc)
		rc = pragma_int(c, "PRAGMA page_size", &page, e);
	if (!rc && (app != CATALOG_APPLICATION_ID || page != SUMVFS_PAGE))
		rc = err_set(e, ERR_CORRUPT, "'%s' is not a catalog of this program", c->path);
	return rc;
}

int cat_open(struct catalog **out, struct library *lib, const char *path, unsigned flags,
	     struct err *e)
{
	struct catalog *c;
	int rc;

	*out = NULL;
	rc = sumvfs_register();
	if (rc != SQLITE_OK)
		return err_set(e, ERR_IO, "cannot set SQLite up: %s", sqlite3_errstr(rc));
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(e);
	c->lib = lib;
	c->path = strdup(path);
	if (!c->path) {
		free(c);
		return err_nomem(e);
	}
	c->read_only = !(flags & LIB_CREATE) && access(path, W_OK) < 0 && errno != ENOENT;
	rc = open_db(c, flags, e);
	if (!rc)
		rc = search_open(c, e);
	if (rc) {
		cat_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

void cat_close(struct catalog *c)
{
	if (!c)
		return;
	cat_rollback(c);
	cat_read_end(c);
	for (struct cat_stmt *s = c->stmt; s < c->stmt + CAT_N_STMT && s->sql; s++)
		sqlite3_finalize(s->st);
	sqlite3_close_v2(c->db);
	buf_release(&c->last.text);
	free(c->path);
	free(c);
}

int cat_commits(struct catalog *c, uint64_t *n, struct err *e)
{
	int64_t v;
	int rc = cat_int(c, &v, e, "SELECT commits FROM head WHERE id = 1", "");

	if (rc == ERR_NOTFOUND)
		return err_set(e, ERR_CORRUPT, "'%s' has lost its head row", c->path);
	if (!rc)
		*n = (uint64_t)v;
	return rc;
}

/* ---- Batches --------------------------------------------------------------------------------- */

int cat_begin(struct catalog *c, struct err *e)
{
	int rc;

	if (c->in_batch || c->in_read)
		return err_set(e, ERR_INVALID, "a batch inside a batch");
	if (c->read_only)
		return err_set(e, ERR_INVALID, "library '%s' cannot be written to",
			       lib_dir(c->lib));
	if (c->broken)
		return err_set(e, ERR_IO,
			       "an earlier sync of '%s' failed, what is on disk is not known",
			       c->path);
	rc = lib_lock_writer(c->lib, WRITER_WAIT_MS, e);
	if (rc)
		return rc;
	rc = cat_exec(c, "BEGIN IMMEDIATE", e);
	if (rc) {
		lib_unlock_writer(c->lib);
		return rc;
	}
	c->in_batch = true;
	return 0;
}

void cat_rollback(struct catalog *c)
{
	if (!c->in_batch)
		return;
	if (!sqlite3_get_autocommit(c->db))
		sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
	c->in_batch = false;
	c->last.document = 0;
	lib_unlock_writer(c->lib);
}

int cat_commit(struct catalog *c, struct err *e)
{
	uint64_t n = 0;
	int rc = cat_need_batch(c, e);

	if (rc)
		return rc;
	rc = cat_run(c, e, "UPDATE head SET commits = commits + 1 WHERE id = 1", "");
	if (!rc)
		rc = cat_commits(c, &n, e);
	if (!rc)
		rc = cat_exec(c, "COMMIT", e);
	if (rc) {
		cat_rollback(c);
		return rc;
	}
	c->in_batch = false;
	lib_set_commits(c->lib, n);
	lib_unlock_writer(c->lib);
	return 0;
}

int cat_read_begin(struct catalog *c, struct err *e)
{
	int64_t v;
	int rc;

	if (c->in_batch || c->in_read)
		return err_set(e, ERR_INVALID, "a read inside a read or a batch");
	rc = cat_exec(c, "BEGIN", e);
	/* BEGIN alone holds nothing: the first read does. */
	if (!rc) {
		c->in_read = true;
		rc = cat_int(c, &v, e, "SELECT commits FROM head WHERE id = 1", "");
		if (rc)
			cat_read_end(c);
	}
	return rc;
}

void cat_read_end(struct catalog *c)
{
	if (c->in_read)
		sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL);
	c->in_read = false;
}
