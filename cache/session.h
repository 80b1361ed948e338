/* cache/session.h - conversations that last: turns, their private pages, forks by reference
 *
 * A session is a name and a pointer into a tree that only grows:
 *
 *   session "main"  ------------------------v
 *             turn 1 <- turn 2 <- turn 3 <- turn 4        each turn points at the one before it,
 *                         ^         |                     and at the last tail page it needs
 *   session "what-if" ----+         v
 *                       page <- page <- page (open)       each page points at the one before it
 *
 * So a fork is one row, whatever its length, from the newest turn or any earlier one, and shares
 * everything.  Pages are never rewritten: a turn that goes on from a page with room left (the open
 * page) writes it anew, longer, and points past the old one; the old one stays for whoever forked
 * there.  Copying the open page is thus put off until somebody writes, and then costs that page.
 *
 * TAIL PAGES are private, never shared by identity: K and V of the question's and answer's tokens,
 * in f16, at most page_tokens each, as opaque bytes from the engine.  `far` is what later turns
 * attend to; `near` is the K and V of the near layers, needed until the chunk the page lies in is
 * closed (resuming then reads no token again), and dropped by sess_drop_near.  A turn's pages are
 * written to new files (tails/N.far and .near), synced, and then named by the commit:
 *
 *   0   8  magic "FOLIOTL1"         then blobs, each at a multiple of 4096, in the order of pages;
 *   8   4  tail number N            offset, length and XXH3-128 of each are in its catalog row
 *   12  4  1 far, 2 near
 *   16  4080  zero
 *
 * A file is never changed after its commit; prune unlinks the ones that no page names.
 *
 * PINS.  A session keeps its snapshots: they cannot be forgotten while it lives.
 *
 * Batches, callbacks and errors are as in catalog.h.
 */
#ifndef CACHE_SESSION_H
#define CACHE_SESSION_H

#include "cache/catalog.h"
#include "cache/library.h"

struct session {
	int64_t       id;
	const char   *name;		/* unique */
	int64_t       engine;
	enum cat_mode mode;
	int64_t       made, used;
	int64_t       turn;		/* the newest, 0: none yet */
	uint32_t      n_turn;
};

/* Begin one, pinned to these snapshots (in a batch).  name NULL: the next free "sN".  ERR_INVALID:
 * the name is taken, empty, longer than 200 bytes or holds '/', '@' or control characters. */
int sess_new(struct catalog *c, const char *name, int64_t engine, enum cat_mode mode,
	     const int64_t *snapshot, size_t n, int64_t *id, struct err *e);
typedef int sess_fn(void *ctx, const struct session *s);
/* Most recently used first. */
int sess_each(struct catalog *c, sess_fn *fn, void *ctx, struct err *e);
int sess_find(struct catalog *c, const char *name, sess_fn *fn, void *ctx, struct err *e);
int sess_get(struct catalog *c, int64_t id, sess_fn *fn, void *ctx, struct err *e);
/* Pinned snapshots, fresh memory. */
int sess_pins(struct catalog *c, int64_t id, int64_t **snapshot, size_t *n, struct err *e);
/* Pin others instead (in a batch). */
int sess_pin(struct catalog *c, int64_t id, const int64_t *snapshot, size_t n, struct err *e);

/* A new session that goes on after turn `turn` (0: before the first; UINT32_MAX: after the newest)
 * with the same pins (in a batch).  ERR_NOTFOUND: no such turn. */
int sess_fork(struct catalog *c, int64_t id, uint32_t turn, const char *name, int64_t *forked,
	      struct err *e);
int sess_rename(struct catalog *c, int64_t id, const char *name, struct err *e);
/* Remove it, and the turns and pages that nobody else shares (files go with the next prune). */
int sess_rm(struct catalog *c, int64_t id, struct err *e);

/* ---- Turns ----------------------------------------------------------------------------------- */

struct sess_turn {
	int64_t        id;
	uint32_t       n;		/* from 1 */
	int64_t        at;		/* seconds, when it was kept */
	const char    *question, *answer;
	const char    *citations;	/* JSON array as in `folio ask --json` */
	const char *info; /* JSON object: label, selection, seed, timings: the asker's */
	const int32_t *token;		/* ids whose K and V the pages of this turn hold */
	size_t         n_token;
	uint64_t       pos;		/* index of token[0] in the session */
};

typedef int sess_turn_fn(void *ctx, const struct sess_turn *t);
/* Oldest first.  A turn whose sum does not match stops the walk with ERR_CORRUPT. */
int sess_turns(struct catalog *c, int64_t id, sess_turn_fn *fn, void *ctx, struct err *e);

/* ---- Tail pages ------------------------------------------------------------------------------ */

struct sess_page {
	uint64_t    pos;		/* session index of its first token */
	uint32_t    n_token;
	const void *far, *near;		/* near may be NULL */
	size_t      far_n, near_n;
};

/* Keep a turn: writes and syncs the pages, then commits, in a batch of its own.  t->id, n, at and
 * pos are not read.  page[] goes on where the session's tail ends: page[0].pos is the number of
 * tokens it has, or, when its last page is open (page_full says how many tokens fill one), the
 * start of that page, which page[0] then holds anew.  expect is the turn the caller started from
 * (session.turn); ERR_MISMATCH: another process kept a turn meanwhile; fork from expect, or start
 * over. */
int sess_add_turn(struct library *lib, int64_t id, int64_t expect, const struct sess_turn *t,
		  const struct sess_page *page, size_t n_page, uint32_t page_full, int64_t *turn,
		  struct err *e);

/* The tail of a session, first page first, fresh memory. */
struct sess_tail {
	int64_t  id;
	uint64_t pos;
	uint32_t n_token;
	uint32_t file;
	uint64_t far_at, far_n, near_at, near_n;	/* near_n 0: dropped, or there was none */
	struct sum128 far_sum, near_sum;
};
int sess_tail(struct catalog *c, int64_t id, struct sess_tail **out, size_t *n, struct err *e);
/* Append the checked bytes of one to out. */
int sess_tail_read(struct library *lib, const struct sess_tail *t, bool near, struct buf *out,
		   struct err *e);
/* The chunk that ends at or before session index pos is closed: pages that lie before pos need no
 * near K and V any more (in a batch).  A fork at an earlier turn of that chunk reads its tokens
 * again. */
int sess_drop_near(struct catalog *c, int64_t id, uint64_t pos, struct err *e);

#endif
