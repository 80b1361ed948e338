/* cache/view.h - reading the mounted spans of one model: scans and gathers of verified strips
 *
 * A view is an immutable list of extents of one geometry, in canonical order: by identity of the
 * span, bytewise.  It is made from what the catalog keeps, without touching a data file, and shared
 * by any number of threads.  Each thread reads through a reader of its own: it starts a scan (all
 * strips of some extents in one far layer) or a gather (chosen strips), and takes tiles one by one
 * while the next reads are in flight.
 *
 * HOW BYTES COME.  A run of strips that is in the page cache (mincore) is used in place, through the
 * mapping.  Of what is not, a gather reads its strips through the ring and the page cache.  A scan
 * reads its long runs with O_DIRECT into huge pages the first time, which costs a quarter of the
 * processor time of the page cache and goes at the disk's full rate; what it finds cold a second time
 * is going to be wanted a third time, and comes through the mapping, asked for ahead (madvise through
 * the ring), so that it stays.  When the mounted extents are larger than half of the machine's memory,
 * all goes by O_DIRECT: they would only push each other out of the page cache.  Bare page faults are
 * never used for cold bytes: measured at 12-59 MiB/s against 670 and more through the ring.
 *
 * INVARIANTS
 *   (1) A tile was checked (extent_check_strip) before it is handed out: mapped strips the first
 *       time in this view (a bitmap shared by all readers), strips read into a buffer every time.
 *   (2) A strip that fails is never handed out.  view_next() returns ERR_CORRUPT, view_bad() says
 *       which one, and the next call goes on behind it.
 *   (3) Order of tiles is the order asked for, whatever the disk answers first.
 *   (4) A reduction that must not depend on mounting order visits extents canonically, or keeps one
 *       partial result per extent and merges them canonically: tile.extent is the canonical number.
 *
 * Threads: struct view is read-only apart from the bitmap, which is atomic.  A reader, one thread.
 */
#ifndef CACHE_VIEW_H
#define CACHE_VIEW_H

#include "cache/extent.h"
#include "cache/sketch.h"
#include "cache/spanidx.h"
#include "cache/store.h"

/* What the catalog gives for each mounted span. */
struct view_entry {
	struct id span;
	struct kv_ref kv;
	struct part_ref part;		/* of the span index; number 0: none, or not wanted */
	uint32_t n_token;
	uint8_t type;			/* enum kv_type, as wanted when it was encoded */
	uint64_t user;			/* the caller's own, e.g. the catalog's row */
};

struct view;

/* Copies the entries and sorts them; an identity given twice is kept once.  st is borrowed until
 * view_free.  ERR_INVALID: bad geometry, n_token or type; ERR_CORRUPT: a ref whose length is not
 * the plan's.  n may be 0. */
int view_new(struct view **out, struct kv_store *st, const struct kv_geom *g,
	     const struct view_entry *entry, size_t n, struct err *e);
void view_free(struct view *v);

size_t view_count(const struct view *v);				/* extents */
uint64_t view_tokens(const struct view *v);				/* mounted tokens */
uint64_t view_bytes(const struct view *v);				/* of all extents */
const struct kv_geom *view_geom(const struct view *v);
const struct view_entry *view_get(const struct view *v, size_t extent);	/* canonical, borrowed */
/* Tokens before extent i in canonical order: a global token number, i = view_count() gives the
 * sum. */
uint64_t view_token_base(const struct view *v, size_t extent);
/* Extent numbers in the order they lie on disk (file number, offset): the fastest order of a scan.
 * [view_count()], borrowed; NULL without memory. */
const uint32_t *view_disk_order(struct view *v);

/* Parse an extent's head and tables (checked once per view): its token ids and page identities.
 * *out borrows from the mapping until the store closes. */
int view_extent(struct view *v, size_t extent, struct extent *out, struct err *e);

/* Ask for a whole extent, all layers, to be read into the page cache; returns at once, and nothing
 * fails.  For few chosen spans that are about to be used: reading them layer by layer would wait for
 * the disk in every layer. */
void view_prefetch(struct view *v, size_t extent);

/* The sketch of an extent (checked once per view), and that one of its layers is whole (checked
 * once per view and layer).  ERR_NOTFOUND: it has none; ERR_CORRUPT: damage.  In both cases its keys
 * are read instead, which is slower and never wrong; `repair` makes the sketch again.  Borrowed
 * until the store closes. */
int view_sketch(struct view *v, size_t extent, uint32_t layer, struct sketch *out, struct err *e);

/* An extent's part of the span index (all of it checked, once per view).  ERR_NOTFOUND: it has
 * none; ERR_MISMATCH: it was made for another profile.  Borrowed until the store closes. */
int view_part(struct view *v, size_t extent, const struct id *profile, struct spanidx *out,
	      struct err *e);

/* Ask for the sketches of all extents; returns at once, and nothing fails. */
void view_prefetch_sketches(struct view *v);

/* A pass over the sketches of one layer, or over the index parts, of many extents: gives their numbers
 * one by one while what follows is read into the page cache, so that view_sketch() or view_part() of
 * each finds its bytes there.  Bare page faults would read a cold library at 12-59 MiB/s.  Opens the
 * files it comes to; touches no byte itself; nothing fails.
 *
 *	view_ahead_sketches(&a, v, layer, view_disk_order(v), view_count(v));
 *	while (view_ahead_next(&a, &i))
 *		rc = view_sketch(v, i, layer, &sk, e); ...
 *
 * order and n as view_scan(), borrowed while the pass lasts; disk order is the fastest.  Each thread
 * has a pass of its own, over its own part of the order. */
struct view_ahead {
	struct view       *v;
	enum segment_kind  kind;
	uint32_t           layer;
	const uint32_t    *order;
	size_t             n, at, asked;
	uint64_t           ahead;	/* bytes asked for and not yet handed out */
};
void view_ahead_sketches(struct view_ahead *a, struct view *v, uint32_t layer,
			 const uint32_t *order, size_t n);
void view_ahead_parts(struct view_ahead *a, struct view *v, const uint32_t *order, size_t n);
bool view_ahead_next(struct view_ahead *a, uint32_t *extent);

enum view_io {
	VIEW_IO_AUTO,		/* as described above */
	VIEW_IO_MMAP,		/* the mapping always, with madvise ahead */
	VIEW_IO_DIRECT,		/* the ring with O_DIRECT always */
	VIEW_IO_BUFFERED	/* the ring through the page cache always */
};

struct view_config {
	enum view_io io;
	bool pread;		/* no io_uring (also FOLIO_NO_URING=1) */
	size_t arena;		/* bytes of buffer, 0: 4 MiB; more where four strips need more */
};

struct view_reader;

/* cfg may be NULL: automatic. */
int view_reader_new(struct view_reader **out, struct view *v, const struct view_config *cfg,
		    struct err *e);
void view_reader_free(struct view_reader *r);

/* One page in one far layer.  body is in the form l describes (kvtype.h), borrowed until the next
 * call on this reader. */
struct kv_tile {
	uint32_t extent;		/* canonical number */
	uint32_t page;
	uint32_t n_token;		/* of this page */
	uint64_t token;			/* global number of its first token, view_token_base() + 64 * page */
	const void *body;
	struct kv_layout l;
};

/* Start a scan of one far layer: all pages of extents order[0..n), in that order; order NULL: all,
 * in canonical order (n is ignored).  order is borrowed until the scan ends.  Ends what was under
 * way. */
int view_scan(struct view_reader *r, uint32_t layer, const uint32_t *order, size_t n,
	      struct err *e);

struct strip_ref {
	uint32_t extent;
	uint32_t page;
};

/* Start a gather: strips ref[0..n) of one far layer, delivered in that order; neighbours on disk
 * are read together.  ref is borrowed until the gather ends.  ERR_INVALID: a ref that is not
 * there. */
int view_gather(struct view_reader *r, uint32_t layer, const struct strip_ref *ref, size_t n,
		struct err *e);

/* The next tile.  ERR_NOTFOUND: the end.  ERR_CORRUPT: see (2).  ERR_IO: the disk; goes on behind
 * it like (2). */
int view_next(struct view_reader *r, struct kv_tile *tile, struct err *e);

/* Where the last view_next() failed. */
struct view_bad {
	uint32_t extent, layer, page;
};
struct view_bad view_bad(const struct view_reader *r);

/* What this reader did so far; for reports and benches. */
struct view_stats {
	uint64_t strips, bytes_mapped, bytes_read, reads;
};
struct view_stats view_stats(const struct view_reader *r);

/* After a scan, before its result is used: ERR_CORRUPT when a bus error was caught under a mapping
 * of this view (guard.h), because some tile may have turned to zeros while it was being used. */
int view_intact(const struct view *v, struct err *e);

#endif
