/* cache/library.h - a library on disk: one directory, its marks and its locks
 *
 *   DIR/                        usually PROJECT/.folio
 *     CACHEDIR.TAG              backup programs skip the directory
 *     .gitignore                "*": the library ignores itself
 *     format                    "folio library N\n": N is the directory format, now 1
 *     catalog.sqlite{,-wal,-shm}  what exists; see catalog.h
 *     commits                   8 bytes: number of the newest durable commit (see below)
 *     segments/NNNNNNNN.kv      extents of pages, with .sk and .si beside them; see store.h
 *     tails/NNNNNNNN.{far,near} private K and V of sessions; see session.h
 *     lock/long                 flock: one ingest, repair or prune at a time
 *     lock/writer               flock: held from cat_begin to cat_commit, never longer
 *     lock/readers              byte-range locks: who may still look at what was dropped
 *
 * Does not know what a model, a page or a document is.
 *
 * WHO MAY OPEN.  A library is data from whoever wrote it.  One owned by another user, or tracked by
 * the git repository it lies in (so it came with a clone), is refused unless LIB_TRUST is given.
 *
 * LOCKS are kernel locks of open files: they vanish with the process, so none is ever stale.  The
 * text in a lock file ("ingest 4711 host 2026-11-23T09:30:00Z") only names the holder in messages.
 * They are per open file description: two lib_open in one process exclude each other like two
 * processes do; a forked child must open its own.
 *
 * READERS NEVER WAIT.  lock/readers holds a generation g (u64).  A reader takes a shared lock on
 * byte 16 + g for as long as it is open.  prune removes rows first, commits, raises the generation,
 * and unlinks the files it dropped only when bytes 16 .. 16 + g are free: whoever opened before the
 * commit is still there to be waited for, and whoever opens after it never saw the rows.
 *
 * COMMITS.  SQLite drops a damaged tail of its WAL without a word: right for a torn write, wrong
 * for rot.  So each commit carries a number, in the catalog and, once the commit is durable, in the
 * file `commits` (not synced).  A catalog older than that file has lost commits, and says so (13).
 *
 * Threads: a struct library, and the catalog in it, belong to one thread at a time; threads that
 * want to read side by side open one each (it is cheap: no page is touched).
 */
#ifndef CACHE_LIBRARY_H
#define CACHE_LIBRARY_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct catalog;
struct library;

enum {
	LIB_CREATE  = 1,	/* make what is missing; without it ERR_NOLIB */
	LIB_TRUST   = 2,	/* accept another owner, and one that git tracks */
	LIB_DAMAGED = 4,	/* for verify: damage that would refuse is left to it */
	LIB_MEND    = 8		/* for repair: the same, and a lost schema is given back */
};

/* Open the library dir.  Errors the caller may tell apart: ERR_NOLIB (no such library), ERR_NEWER,
 * ERR_INVALID (not ours: see WHO MAY OPEN), ERR_CORRUPT (sizes or the commit number contradict the
 * catalog).  On failure *out is NULL.  One half made by a crash is completed by LIB_CREATE. */
int lib_open(struct library **out, const char *dir, unsigned flags, struct err *e);
void lib_close(struct library *lib);

/* True when dir looks like a library (its format file is there), whatever state it is in. */
bool lib_exists(const char *dir);

const char *lib_dir(const struct library *lib);		/* borrowed, as given to lib_open */
struct catalog *lib_catalog(struct library *lib);	/* borrowed until lib_close */

/* Where kv_store_open (store.h) finds the segments; borrowed. */
const char *lib_segments(const struct library *lib);
/* Append the path of a tail file, kind "far" or "near", to out. */
void lib_tail_path(const struct library *lib, uint32_t tail, const char *kind, struct buf *out);

/* The lock of long operations.  what is one word: "ingest", "repair", "prune".  ERR_BUSY names the
 * holder, its process and host, and since when. */
int lib_lock_long(struct library *lib, const char *what, struct err *e);
void lib_unlock_long(struct library *lib);

/* The writer's lock; cat_begin and cat_commit do this.  Waits up to wait_ms for its turn, then
 * ERR_BUSY, naming the holder. */
int lib_lock_writer(struct library *lib, int wait_ms, struct err *e);
void lib_unlock_writer(struct library *lib);

/* Readers (see above).  lib_generation is the one this library was opened in; lib_next_generation
 * starts a new one and moves this library's own marker to it; lib_readers_left counts, at least,
 * the other readers in generations up to and including g: 0 means that none is left. */
uint64_t lib_generation(const struct library *lib);
int lib_next_generation(struct library *lib, uint64_t *g, struct err *e);
int lib_readers_left(struct library *lib, uint64_t g, int *n, struct err *e);

/* For repair: close the catalog, put the finished file at path in its place, open that one.  Nobody
 * else may have the library open.  What lib_catalog gave before is gone. */
int lib_swap_catalog(struct library *lib, const char *path, struct err *e);

/* The number of the newest durable commit (see COMMITS).  lib_set_commits is for the catalog. */
uint64_t lib_commits(const struct library *lib);
/* True when LIB_MEND had to give the catalog its schema back: repair rewrites it in any case. */
bool lib_rescued(const struct library *lib);
/* How many the catalog had lost when it was opened; lib_set_commits accepts that. */
uint64_t lib_commits_lost(const struct library *lib);
void lib_set_commits(struct library *lib, uint64_t n);

#endif
