/* engine/far_impl.h - what far.c, far_exact.c and far_select.c share; nobody else includes it
 *
 * Rows.  A call brings n_token queries of n_head heads.  They are worked on as rows ordered by KV head,
 * then token, then head in the group:
 *
 *     row = (head_kv * n_token + token) * group + g            n_row = n_token * n_head
 */
#ifndef ENGINE_FAR_IMPL_H
#define ENGINE_FAR_IMPL_H

#include "engine/far.h"
#include "engine/far_pick.h"
#include "engine/kern.h"

#include <pthread.h>
#include <stdatomic.h>

/* Softmax states of n rows, see kern.h; o is [n][head_dim]. */
struct rows_state {
	float *m, *l, *o;
};

/* What one worker has to itself. */
struct far_worker {
	struct view_reader *reader;
	float *k, *v, *flat;		/* a K page [head_dim][64], V page [64][head_dim], K as it comes */
	float *scratch;			/* of kern->attn for FAR_ROWS rows */
	float *est;			/* estimates of one extent in one head */
	size_t n_est;
	struct pick *pick;		/* [n_pick] one a row */
	size_t n_pick;
	struct rows_state leaf;		/* of n_leaf rows */
	size_t n_leaf;
	struct view_bad *bad;
	size_t n_bad, cap_bad;
	uint64_t rebuilt;
	int rc;
	struct err err;
};

/* Rows that one call of the attention kernel takes. */
#define FAR_ROWS 48u

struct far {
	struct engine     *en;
	struct view       *view;
	const struct plan *plan;
	const struct kern *kern;
	struct pool       *pool;
	struct far_opts    o;
	struct far_source  source;
	uint32_t group;			/* query heads per KV head */
	struct far_worker *worker;	/* [n_worker] */
	int      n_worker;
	size_t   n_extent;
	uint32_t n_group;		/* of FAR_GROUP extents */
	/* The call under way. */
	uint32_t layer;
	size_t   n_token, n_row;
	float   *q;			/* [n_row][head_dim] */
	size_t   cap_q;
	uint32_t *canonical;		/* 0, 1, ... [n_extent] */
	struct rows_state part;		/* partial states of a scan */
	size_t   cap_part;
	/* Sketches built here, by extent; NULL: the library's is used. */
	_Atomic(void *) *own_sketch;
	/* Kept for reports. */
	struct far_stats stats;
	struct far_hit  *hit;
	size_t   n_hit, cap_hit;
	double   share, mass;		/* sums over ... */
	uint64_t n_share, n_mass;	/* ... so many */
	uint8_t *seen;			/* [tokens / 8 + 1] */
	struct view_bad *bad;
	size_t   n_bad, cap_bad;
};

/* dst = dst merged with src, row by row, in this order. */
void far_merge(size_t n, size_t head_dim, const struct rows_state *dst, const struct rows_state *src);
/* Merge the call's rows into the caller's state, which is [token][head]; from: row state of the call. */
void far_deliver(struct far *f, const struct rows_state *from, const struct far_state *to);
void far_clear(size_t n, size_t head_dim, const struct rows_state *s);
/* Memory for n rows in one block at s->m; ERR_NOMEM. */
int far_rows_new(struct rows_state *s, size_t n, size_t head_dim, struct err *e);

/* Note a strip that failed; ERR_NOMEM. */
int far_note_bad(struct far_worker *w, struct view_bad b, struct err *e);
/* After a run: the first worker's error, or ERR_CORRUPT when strips were bad; collects both. */
int far_outcome(struct far *f, struct err *e);

int far_add_hit(struct far *f, uint32_t extent, uint32_t t, float weight, struct err *e);
void far_see(struct far *f, uint64_t token);

/* How many extents a task of one pass takes, so that workers share evenly and readers still run long. */
size_t far_chunk(const struct far *f, size_t n_extent);

/* Merge all mounted pages into the call's state. */
int far_exact(struct far *f, const struct far_state *state, struct err *e);
int far_select(struct far *f, const struct far_state *state, struct err *e);

#endif
