/* cache/cat_int.h - what the files of the catalog share; nobody else includes it
 *
 * STATEMENTS.  cat_q prepares (or takes from a cache, by the address of the SQL literal) and binds:
 *
 *   i  int64_t             I  const struct id *      t  const char *, NUL-terminated, not NULL
 *   b  const void *, size_t   s  struct sum128 *     n  NULL, takes no argument
 *
 * The letters stand for ?1, ?2, ... in order.  A statement in use (a walk inside a walk) is
 * prepared anew.  Every statement ends in cat_done, which gives it back and turns SQLite's answer
 * into ours.
 */
#ifndef CACHE_CAT_INT_H
#define CACHE_CAT_INT_H

#include <sqlite3.h>
#include <stdarg.h>

#include "cache/catalog.h"
#include "cache/library.h"

#define CAT_N_STMT 160

struct cat_stmt {
	const char   *sql;	/* the literal's address is the key */
	sqlite3_stmt *st;
	bool          busy;
};

struct catalog {
	sqlite3        *db;
	struct library *lib;
	char           *path;
	bool            read_only;
	bool            in_batch, in_read;
	bool            broken;		/* a sync failed: no more batches */
	uint64_t        commits;	/* of the batch begun */
	struct cat_stmt stmt[CAT_N_STMT];
	struct { int64_t document; struct buf text; } last;	/* see cat_text_cached */
};

/* Open or create.  LIB_CREATE, LIB_DAMAGED as in library.h. */
int cat_open(struct catalog **out, struct library *lib, const char *path, unsigned flags,
	     struct err *e);
void cat_close(struct catalog *c);
/* The commit number inside the catalog. */
int cat_commits(struct catalog *c, uint64_t *n, struct err *e);

/* SQLite's answer as ours, with words: "cannot <doing> in 'catalog': <cause>". */
int cat_err(struct catalog *c, int sqlite_rc, const char *doing, struct err *e);
int cat_exec(struct catalog *c, const char *sql, struct err *e);

int cat_q(struct catalog *c, sqlite3_stmt **st, struct err *e, const char *sql, const char *fmt,
	  ...);
/* Step: 1 a row, 0 no more, negative an error. */
int cat_step(struct catalog *c, sqlite3_stmt *st, struct err *e);
void cat_done(struct catalog *c, sqlite3_stmt *st);
/* Prepare, bind, step to the end, give back: for statements without rows. */
int cat_run(struct catalog *c, struct err *e, const char *sql, const char *fmt, ...);
/* The first column of the first row; ERR_NOTFOUND (no message) when there is none. */
int cat_int(struct catalog *c, int64_t *out, struct err *e, const char *sql, const char *fmt, ...);

/* ERR_INVALID outside a batch. */
int cat_need_batch(struct catalog *c, struct err *e);

/* Columns with checks: what a row holds is a stranger's word even when its page sum is right. */
bool cat_col_id(sqlite3_stmt *st, int col, struct id *out);
bool cat_col_sum(sqlite3_stmt *st, int col, struct sum128 *out);
const char *cat_col_text(sqlite3_stmt *st, int col);	/* never NULL */
uint32_t cat_col_u32(sqlite3_stmt *st, int col, bool *bad);
uint64_t cat_col_u64(sqlite3_stmt *st, int col, bool *bad);
int cat_bad_row(const char *table, int64_t id, struct err *e);	/* ERR_CORRUPT */

/* The text of a document, kept until the next one is asked for: pieces of one document come in
 * runs. */
int cat_text_cached(struct catalog *c, int64_t document, const struct buf **out, struct err *e);

/* Full-text rows of a document: put with the text, taken out before it goes.  search.c */
int search_put(struct catalog *c, int64_t document, const char *text, size_t n, struct err *e);
int search_del(struct catalog *c, int64_t document, struct err *e);
int search_rebuild(struct catalog *c, struct err *e);	/* drop and make both, in a batch */
int search_open(struct catalog *c, struct err *e);	/* SQL functions of a connection */

/* Remove a document with everything that hangs on it (in a batch).  The caller knows that no entry
 * names it. */
int cat_del_document(struct catalog *c, int64_t id, struct err *e);

/* A catalog that cannot be opened because pages of its schema are bad: the same tables lie at the
 * same places in every catalog that begins with this version's migrations, so an empty one gives
 * them back. What hangs on them is then for repair. */
int care_rescue_schema(struct library *lib, const char *path, struct err *e);

/* Count the lines of a stored text again; its anchors are lost (in a batch). */
int cat_remake_map(struct catalog *c, int64_t document, struct err *e);

/* Files that no row names any more: unlinked by prune once no reader of this generation is left. */
int cat_doom(struct catalog *c, const char *file, uint64_t bytes, struct err *e);

/* Sorted ids of the documents in these snapshots; n_snapshot 0: of all.  free() *out. */
int cat_documents_in(struct catalog *c, const int64_t *snapshot, size_t n_snapshot, int64_t **out,
		     size_t *n, struct err *e);

#endif
