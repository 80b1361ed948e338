/* cache/store.h - the folder of segment files: open on demand, append with rollover
 *
 *   DIR/00000001.kv   extents (extent.h)
 *   DIR/00000001.sk   their sketches (sketch.h), where the model uses them: derived
 *   DIR/00000001.si   their parts of the span index (spanidx.h): derived
 *
 * A store opens what it is asked for, keeps it mapped, and appends batches.  It knows nothing of
 * what is committed; that is the catalog, which keeps for every extent
 *
 *     span identity, n_token, type wanted (enum kv_type), struct kv_ref (where it lies)
 *
 * and gives them back to make a view (view.h).  The rest follows from these and the geometry.
 *
 * WRITING.  A writer has its own files: their numbers come from the catalog, which gives none
 * twice, so two writers never share a file, and appending and syncing need no lock; only the commit
 * does.
 *
 *     kv_writer_add(w, image, n, sketch, m, &ref, e)  as often as there are spans
 *     kv_writer_add_part(w, part, n, &part_ref, e)    where the model has retrieval heads
 *     kv_writer_sync(w, e)                            fdatasync of every file it touched
 *     cat_begin ... cat_commit                        now it is visible
 *
 * Records of a batch that was not committed are dead bytes; the next batch goes on behind them.
 * After a failed write or sync the writer starts a new file (segment.h, invariant 4), and the
 * records of the batch that failed must be added again.
 *
 * Threads: reading from any thread; a writer belongs to one.
 */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include "cache/segment.h"

/* Where an extent lies, and its sketch: what the catalog stores. */
struct kv_ref {
	uint32_t number;	/* of the files, from 1 */
	uint64_t off, bytes;	/* in the .kv file */
	uint64_t sketch_off;	/* in the .sk file; 0: there is none */
};

/* Where a part of the span index lies. */
struct part_ref {
	uint32_t number;	/* of the .si file; 0: there is none */
	uint64_t off, bytes;
};

struct kv_store;

/* dir must exist.  Nothing is opened yet. */
int kv_store_open(struct kv_store **out, const char *dir, struct err *e);
void kv_store_close(struct kv_store *st);

/* Borrow a segment until the store closes or kv_store_drop(); opened and mapped on first use.  The
 * file must reach at least to `end`.  Errors as segment_open. */
int kv_store_segment(struct kv_store *st, enum segment_kind kind, uint32_t number, uint64_t end,
		     struct segment **out, struct err *e);
/* True when a bus error was caught under the mapping of this file (false when it is not open). */
bool kv_store_damaged(struct kv_store *st, enum segment_kind kind, uint32_t number);
/* Unmap the files of a number (before they are unlinked, or to look at them anew).  Nobody may
 * still use them. */
void kv_store_drop(struct kv_store *st, uint32_t number);
/* "DIR/00000042.kv" in fresh memory, NULL without memory. */
char *kv_store_path(const struct kv_store *st, enum segment_kind kind, uint32_t number);

/* ---- writing ---- */

struct kv_writer;

/* Gives a number that no file has had: cat_new_segment. */
typedef int kv_number_fn(void *ctx, uint32_t *number, struct err *e);

/* capacity: bytes of a file before the next one is begun; 0: SEGMENT_CAPACITY.  No file is made
 * before the first record. */
int kv_writer_new(struct kv_writer **out, struct kv_store *st, uint64_t capacity, kv_number_fn *fn,
		  void *ctx, struct err *e);

/* Append one sealed extent image (extent_build_image) of n bytes, and its sketch (NULL: none).
 * *ref may be committed after the next kv_writer_sync().  ERR_FULL: the disk is full, with
 * numbers. */
int kv_writer_add(struct kv_writer *w, const void *image, size_t n, const void *sketch,
		  size_t sketch_n, struct kv_ref *ref, struct err *e);
/* Append one part of the span index (spanidx.h), with its extent or, when a model is calibrated
 * anew, alone.  Errors and commit as above. */
int kv_writer_add_part(struct kv_writer *w, const void *part, size_t n, struct part_ref *ref,
		       struct err *e);
int kv_writer_sync(struct kv_writer *w, struct err *e);
void kv_writer_free(struct kv_writer *w);

#endif
