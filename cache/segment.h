/* cache/segment.h - append-only files of sealed records
 *
 * A segment holds records of one kind: extents (extent.h), sketches (sketch.h) or span index parts
 * (spanidx.h).  A record is appended once, synced, made visible by a commit of the catalog, and
 * never changed.  A segment does not know which of its bytes are committed: the catalog does, and
 * tells whoever opens it.  Segments are rewritten and unlinked by prune, never truncated or
 * punched, so a reader's mapping stays good as long as it holds it.
 *
 *   0        4096                                       last committed record
 *   +--------+---------+---------+-------+---------+----+ - - - - - - -
 *   | head   | record  | record  | zeros | record  | .. | a batch that never committed
 *   +--------+---------+---------+-------+---------+----+ - - - - - - -
 *            batch 1                     batch 2, at a multiple of 4096
 *
 *   head   0  8  magic "FOLIOSEG"        record  0  8  magic of its kind
 *          8  8  capacity: the file never        8  8  bytes, a multiple of 64
 *                grows beyond it                 16    as its own header says
 *         16 16  XXH3-128 of the head, these 16 bytes as zeros
 *         32  4  version, 1
 *         36  4  enum segment_kind
 *         40     zero up to 4096
 *
 * INVARIANTS
 *   (1) Records lie at multiples of 64, one after the other; each batch (append ... sync) starts at
 *       a multiple of 4096.  So no write ever touches a disk block that holds committed bytes.
 *   (2) segment_sync() returns after fdatasync; only then does the catalog commit the records, in
 *       one transaction.  Records that it does not name, at the end or in between, are dead bytes.
 *   (3) The file is preallocated (posix_fallocate) before bytes are written: a full disk is found
 *       before the first byte of a record, and there are no holes.
 *   (4) A failed sync is sticky: the kernel may have dropped the dirty pages and report success
 *       next time.  The writer refuses everything from then on; the next batch needs a new file.
 *   (5) The mapping covers `capacity` from the start, so borrowed pointers never move while the
 *       file grows.  Bytes beyond the file's end are never touched: segment_borrow() checks.
 *   (6) A disk error or a file cut short under the mapping is damage, not a crash: see guard.h.
 *
 * Threads: a struct segment may be used from any number of threads.  One thread per writer; a file
 * has one writer in its life (store.h).
 */
#ifndef CACHE_SEGMENT_H
#define CACHE_SEGMENT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_HEAD_BYTES 4096u
#define SEGMENT_ALIGN      4096u	/* of a batch */
#define SEGMENT_RECORD     64u		/* of a record */
#define SEGMENT_CAPACITY   (1ull << 30)	/* usual; a larger record gets a file of its size */
#define SEGMENT_VERSION    1u

enum segment_kind {
	SEGMENT_KV = 1,
	SEGMENT_SKETCH = 2,
	SEGMENT_SPANIDX = 3
};

/* ---- reading ---- */

struct segment;

/* Map path.  sealed: the end of what the catalog has committed.  ERR_NOTFOUND: no such file.
 * ERR_CORRUPT: bad head, other kind, or shorter than sealed.  ERR_NEWER: later version. */
int segment_open(struct segment **out, const char *path, enum segment_kind kind, uint64_t sealed,
		 struct err *e);
void segment_close(struct segment *s);

/* Borrow [off, off + n) until segment_close.  The bytes are unchecked, and may still be on disk.
 * ERR_CORRUPT: outside the file (the file's size is asked again when it has to be). */
int segment_borrow(struct segment *s, uint64_t off, uint64_t n, const uint8_t **p, struct err *e);

/* For reads past the mapping.  fd: buffered; direct: O_DIRECT, opened on first use, -1 where the
 * file system refuses it. */
int segment_fd(const struct segment *s);
int segment_fd_direct(struct segment *s);
/* Alignment that O_DIRECT needs here, of offset, length and memory: 512 to 4096. */
uint32_t segment_dio_align(struct segment *s);
const char *segment_path(const struct segment *s);
/* Where the mapping starts; for madvise and mincore. */
const uint8_t *segment_base(const struct segment *s);
/* True once a bus error was caught under the mapping: what was read from it may be zeros (6). */
bool segment_damaged(const struct segment *s);

/* ---- writing ---- */

struct segment_writer;

/* Make a new file (ERR_INVALID when it exists) whose records will fit in capacity bytes; the head
 * is written and synced, and so is the folder. */
int segment_create(struct segment_writer **out, const char *path, enum segment_kind kind,
		   uint64_t capacity, struct err *e);

/* Append one record of n bytes (n > 0, a multiple of 64); *off gets its place.  ERR_NOTFOUND:
 * it does not fit into the capacity, go to the next file; the writer is as before.  ERR_FULL: the
 * disk is full; the writer is as before.  ERR_IO: the writer is spent, as in (4). */
int segment_append(struct segment_writer *w, const void *record, size_t n, uint64_t *off,
		   struct err *e);

/* Make everything appended durable; the records may now be committed. */
int segment_sync(struct segment_writer *w, struct err *e);
/* End of what was appended so far. */
uint64_t segment_writer_end(const struct segment_writer *w);

/* Close.  What was not synced is garbage beyond the end. */
void segment_writer_close(struct segment_writer *w);

/* ---- walking without a catalog ---- */

/* Find the next record at or after *off: a magic of the right kind with a plausible length.  On
 * success *off is its place and *n its bytes.  ERR_NOTFOUND: none before `end`.  For verify and
 * salvage; the record itself is still unchecked. */
int segment_next_record(struct segment *s, uint64_t end, uint64_t *off, uint64_t *n, struct err *e);

#endif
