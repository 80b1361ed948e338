/* engine/far.h - far attention over a library: a far_source (forward.h) over a cache view
 *
 * For models whose far layers are all NoPE (plan_is_irope): their stored keys carry no position, so the
 * mounted pages are a set.  A query attends to the preamble and to its own sequence through kv.h; what is
 * here merges the mounted pages into the same softmax, in one of two ways:
 *
 *   exact    every token of every mounted page.  All query tokens of a call share one scan.
 *   select   sketches (cache/sketch.h) estimate every key for every query head; of each KV head's
 *            queries the best `rerank` distinct tokens are read and scored exactly, and the best
 *            `budget` of them are attended to.
 *
 * REDUCTION (exact).  Softmax states merge over any partition of the keys, but not to the same bits.  So
 * the tree is fixed by identity: a leaf is one extent, its pages in order; FAR_GROUP leaves that
 * follow each other canonically (view.h) form a group, added in order; groups are added in order; the
 * sum is merged into the caller's state.  Extents may then be read in any order: on disk from its
 * beginning to its end, or canonically where partial states would take too much memory.  Mounting
 * order, threads, what is in the page cache and the way of reading change no bit of the result.
 *
 * SELECTION is a function of the set, too: candidates are ordered by (estimate, identity, token), and
 * the chosen ones are attended to in canonical order.  A sketch that is missing or damaged is built
 * from its pages and kept in memory.
 *
 * DAMAGE.  A strip that fails its check is left out, the scan goes on to find all of them, and the call
 * then fails with ERR_CORRUPT: no state that lacks a page is ever used.  far_damaged() lists them.
 *
 * Threads: one caller; works on the engine's pool, each worker with a reader of its own.
 */
#ifndef ENGINE_FAR_H
#define ENGINE_FAR_H

#include "base/err.h"
#include "cache/view.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAR_GROUP  64u
/* Tokens read per query token and KV head unless told otherwise.  Of ten million tokens their pages are at
 * most 0.49 % (one each, of 64 tokens); doc/ten-million.md has the curve it was chosen from. */
#define FAR_RERANK 768u

enum far_mode { FAR_EXACT, FAR_SELECT };

struct far_opts {
	enum far_mode mode;
	enum plan_law law;
	uint32_t rerank;	/* tokens read per query token and KV head; 0: FAR_RERANK */
	uint32_t budget;	/* of them attended to; 0: all that were read */
	bool     trace;		/* keep hits */
	const struct view_config *io;	/* of the readers; NULL: automatic */
	size_t   memory;	/* bytes of partial states; 0: 128 MiB */
};

struct far;

/* Both are borrowed until far_free.  ERR_INVALID: a model with a far layer that uses RoPE, or a view
 * of another geometry. */
int far_new(struct far **out, struct engine *en, struct view *v, const struct far_opts *o, struct err *e);
void far_free(struct far *f);

/* For fwd_item.source and engine_feed; n_mounted is the view's tokens. */
const struct far_source *far_source(const struct far *f);

/* ---- what it did ---- */

struct far_stats {
	uint64_t calls;			/* of attend: far layers times passes */
	uint64_t scans;			/* over all mounted pages */
	uint64_t strips, strip_bytes;	/* read or used in place */
	uint64_t sketch_bytes;		/* scored, over all calls (not times heads) */
	uint64_t reranked, attended;	/* token x KV head x query token x layer, select only */
	uint64_t distinct;		/* mounted tokens that at least one of them attended to */
	uint64_t rebuilt;		/* sketches built from pages */
	double   t_score, t_read, t_attend;	/* seconds: sketches; gathers; exact scans and softmax */
};
struct far_stats far_stats(const struct far *f);

struct far_hit {
	uint32_t extent, t;	/* canonical number in the view, token in the span */
	float    weight;	/* share of all attention of one query token in one far layer, mean over heads */
};

/* Where the tokens of the passes since far_reset_hits() looked, hits above 1/1000 only; unsorted, a
 * token once per query token and layer.  Borrowed until the next pass.  In exact the eight extents with
 * the largest share are looked into. */
const struct far_hit *far_hits(const struct far *f, size_t *n);
void far_reset_hits(struct far *f);

/* Of what the passes since far_reset_hits() attended to, the share that fell on mounted pages (mean
 * over query tokens, heads and far layers); and in select the estimated share of the whole softmax that
 * was attended to, 1 in exact.  0 when nothing ran. */
double far_share(const struct far *f);
double far_mass(const struct far *f);

/* The strips that failed so far, each once. */
const struct view_bad *far_damaged(const struct far *f, size_t *n);

#endif
