/* cache/derive.h - what is derived from pages, kept complete: sketches and the span index
 *
 * The catalog keeps, for each engine, what its extents should have beside them: sketches (sketch.h),
 * or the keys of a list of (layer, KV head) pairs (spanidx.h), or neither.  Who writes an extent asks
 * derive_get(), makes the summaries with derive_make() and commits them together with the extent;
 * derive_fill() makes those that are missing, because the list is new, a part was damaged, or a
 * program that did not know of them wrote the pages.
 *
 * INVARIANTS
 *   (1) A summary is a function of the stored bytes of its extent: made at ingest, by repair or on
 *       another machine it has the same bytes, so what is missing or damaged is made again and never
 *       guessed.
 *   (2) It becomes visible by a commit that comes after its fdatasync, with its extent or later,
 *       never before it.
 *   (3) A list of pairs is named by its identity (derive_profile).  An engine has one at a time;
 *       setting another forgets the parts of the old one in the same commit.
 *
 * Knows lists of numbers; which heads are worth it is the caller's business.
 * Threads: derive_make() from any; the rest like the catalog.
 */
#ifndef CACHE_DERIVE_H
#define CACHE_DERIVE_H

#include "base/err.h"
#include "cache/catalog.h"
#include "cache/library.h"
#include "cache/spanidx.h"
#include "cache/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct derive {
	bool                 sketches;
	uint32_t             n_pair;	/* 0: no span index */
	struct spanidx_pair *pair;
	struct id            profile;	/* of the list; zeros without one */
};

/* What the engine's extents should have; nothing when it was never said.  derive_release() it. */
int derive_get(struct catalog *c, int64_t engine, struct derive *out, struct err *e);
void derive_release(struct derive *d);

/* Say it, in a batch.  The list of pairs replaces the one before (3); n_pair 0: no span index any
 * more.  ERR_INVALID: more than SPANIDX_MAX_PAIR, or a pair the engine does not have. */
int derive_set_sketches(struct catalog *c, int64_t engine, bool wanted, struct err *e);
int derive_set_pairs(struct catalog *c, int64_t engine, const struct spanidx_pair *pair,
		     uint32_t n_pair, struct err *e);
/* BLAKE2b-256 over "folio profile 1\n" and each pair as two u32. */
struct id derive_profile(const struct spanidx_pair *pair, uint32_t n_pair);

/* The summaries of one sealed extent image; zero-initialise, derive_drop() in the end.  Both are
 * 64-aligned records, ready to be appended; NULL where none is wanted. */
struct derived {
	void  *sketch, *part;
	size_t sketch_n, part_n;
};
/* image is 8-aligned.  ERR_CORRUPT: its pages are damaged. */
int derive_make(const struct derive *d, const void *image, size_t n, struct derived *out,
		struct err *e);
void derive_drop(struct derived *x);

/* Nonzero stops; returned as it is. */
typedef int derive_fn(void *ctx, uint64_t done, uint64_t total);

/* Make the span index parts that an engine's extents lack, batch by batch: append, sync, commit.
 * Stopped or killed it goes on where it was.  Extents whose pages are damaged are passed over, and
 * counted in *n_bad (may be NULL); *n_made (may be NULL) counts the parts made.  Sketches lie in
 * files of their extent's number, so only repair (care.h), which moves the extent, makes them anew.
 * In several files of at most SEGMENT_CAPACITY, the parts one behind the other. */
int derive_fill(struct library *lib, struct kv_store *st, int64_t engine, derive_fn *fn, void *ctx,
		uint64_t *n_made, uint64_t *n_bad, struct err *e);

#endif
