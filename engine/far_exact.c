/* Exact: all mounted pages, see the reduction in far.h.
 *
 * The extents are read in the order of the disk when one partial state per extent fits in memory (one
 * decoded token over ten million: some tens of megabytes), else canonically with one per group.  A leaf
 * is computed from an empty state and then added to its group's sum either way, so that both give the
 * same bits. */
#include "config.h"

#include "engine/far_impl.h"
#include "base/clock.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_INTO 8		/* extents that hits are searched in */
#define HIT_LEAST 1e-3f

struct exact {
	struct far *f;
	bool by_disk;
	const uint32_t *order;		/* of the scan */
	size_t chunk;			/* extents a task */
	struct rows_state part;		/* [extent or group][n_row] */
	float *em, *el;			/* by group, traced: m and l of each extent [n_extent][n_row] */
};

static struct rows_state part_at(const struct exact *x, size_t i)
{
	size_t row = i * x->f->n_row;

	return (struct rows_state){ x->part.m + row, x->part.l + row,
				    x->part.o + row * x->f->plan->head_dim };
}

/* One head of a strip to f32: K with channels outside, V as it is. */
static void unpack(const struct far *f, struct far_worker *w, const struct kv_tile *t, uint32_t head)
{
	size_t hd = f->plan->head_dim, n = t->n_token;

	kv_decode_head(&t->l, t->body, head, w->flat, w->v);
	if (n < KV_PAGE)
		memset(w->k, 0, hd * KV_PAGE * sizeof(float));
	/* Blocks of 8 by 8 stay in the cache lines they touch. */
	for (size_t i0 = 0; i0 < n; i0 += 8)
		for (size_t d0 = 0; d0 < hd; d0 += 8) {
			size_t i1 = MIN(i0 + 8, n);

			for (size_t d = d0; d < d0 + 8; d++)
				for (size_t i = i0; i < i1; i++)
					w->k[d * KV_PAGE + i] = w->flat[i * hd + d];
		}
}

static void add_tile(const struct far *f, struct far_worker *w, const struct kv_tile *t,
		     const struct rows_state *leaf)
{
	size_t hd = f->plan->head_dim, per_head = f->n_token * f->group;
	const void *k = w->k, *v = w->v;
	int64_t hi[FAR_ROWS];

	for (size_t i = 0; i < FAR_ROWS; i++)
		hi[i] = t->n_token;
	for (uint32_t h = 0; h < f->plan->n_head_kv; h++) {
		unpack(f, w, t, h);
		for (size_t r = 0; r < per_head; r += FAR_ROWS) {
			size_t row = h * per_head + r;
			struct attn_args a = {
				.q = f->q + row * hd, .n_row = MIN(per_head - r, (size_t)FAR_ROWS),
				.head_dim = hd, .k = &k, .v = &v, .n_page = 1, .hi = hi,
				.m = leaf->m + row, .l = leaf->l + row, .o = leaf->o + row * hd,
				.scratch = w->scratch,
			};

			f->kern->attn(&a);
		}
	}
}

/* A leaf is whole: by group it is added to its sum, by disk it is where it belongs. */
static void end_leaf(const struct exact *x, struct far_worker *w, uint32_t extent)
{
	const struct far *f = x->f;
	struct rows_state sum;

	if (x->by_disk)
		return;
	if (x->em) {
		memcpy(x->em + extent * f->n_row, w->leaf.m, f->n_row * sizeof(float));
		memcpy(x->el + extent * f->n_row, w->leaf.l, f->n_row * sizeof(float));
	}
	sum = part_at(x, extent / FAR_GROUP);
	far_merge(f->n_row, f->plan->head_dim, &sum, &w->leaf);
}

static int scan_chunk(const struct exact *x, struct far_worker *w, size_t from, size_t n, struct err *e)
{
	const struct far *f = x->f;
	uint32_t leaf_of = UINT32_MAX;
	struct rows_state leaf = w->leaf;
	struct kv_tile t;
	int rc = view_scan(w->reader, f->layer, x->order + from, n, e);

	while (!rc && (rc = view_next(w->reader, &t, e)) != ERR_NOTFOUND) {
		if (rc == ERR_CORRUPT || rc == ERR_IO) {
			rc = far_note_bad(w, view_bad(w->reader), e);
			continue;
		}
		if (rc)
			break;
		if (t.extent != leaf_of) {
			if (leaf_of != UINT32_MAX)
				end_leaf(x, w, leaf_of);
			leaf_of = t.extent;
			if (x->by_disk)
				leaf = part_at(x, leaf_of);
			far_clear(f->n_row, f->plan->head_dim, &leaf);
		}
		add_tile(f, w, &t, &leaf);
	}
	if (leaf_of != UINT32_MAX)
		end_leaf(x, w, leaf_of);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

static void scan_task(void *ctx, size_t task, int worker)
{
	const struct exact *x = ctx;
	struct far_worker *w = &x->f->worker[worker];
	size_t from = task * x->chunk, to = MIN(from + x->chunk, x->f->n_extent);

	if (w->rc)
		return;
	/* By group a task is whole groups. */
	for (size_t i = from; !x->by_disk && i < to; i += FAR_GROUP) {
		struct rows_state sum = part_at(x, i / FAR_GROUP);

		far_clear(x->f->n_row, x->f->plan->head_dim, &sum);
	}
	w->rc = scan_chunk(x, w, from, to - from, &w->err);
}

/* By disk: add the leaves of a group up into its first one. */
static void sum_task(void *ctx, size_t task, int worker)
{
	const struct exact *x = ctx;
	size_t first = task * FAR_GROUP, n_row = x->f->n_row, hd = x->f->plan->head_dim;
	size_t last = MIN(first + FAR_GROUP, x->f->n_extent);
	struct far_worker *w = &x->f->worker[worker];
	struct rows_state at = part_at(x, first);

	/* From an empty state, as by group. */
	far_clear(n_row, hd, &w->leaf);
	for (size_t i = first; i < last; i++) {
		struct rows_state leaf = part_at(x, i);

		far_merge(n_row, hd, &w->leaf, &leaf);
	}
	/* The first leaf's m and l stay for the hunt of hits; its value is not needed any more. */
	if (x->em)
		for (size_t i = first; i < last; i++) {
			struct rows_state leaf = part_at(x, i);

			memcpy(x->em + i * n_row, leaf.m, n_row * sizeof(float));
			memcpy(x->el + i * n_row, leaf.l, n_row * sizeof(float));
		}
	memcpy(at.m, w->leaf.m, n_row * sizeof(float));
	memcpy(at.l, w->leaf.l, n_row * sizeof(float));
	memcpy(at.o, w->leaf.o, n_row * hd * sizeof(float));
}

/* ---- where it landed ---- */

struct peak {
	float share;
	uint32_t extent;
};

/* The extents with the largest share of the last token's attention, largest first; how many. */
static size_t find_peaks(const struct exact *x, const float *top, const float *inv, struct peak *peak)
{
	const struct far *f = x->f;
	size_t per_head = f->n_token * f->group, n = 0;

	for (uint32_t i = 0; i < f->n_extent; i++) {
		float share = 0;
		size_t at;

		for (uint32_t h = 0; h < f->plan->n_head_kv; h++)
			for (uint32_t g = 0; g < f->group; g++) {
				size_t row = h * per_head + (f->n_token - 1) * f->group + g;
				size_t k = i * f->n_row + row, r = h * f->group + g;

				if (x->el[k] > 0)
					share += x->el[k] * expf(x->em[k] - top[r]) * inv[r];
			}
		share /= (float)f->plan->n_head;
		if (share < HIT_LEAST || (n == LOOK_INTO && share <= peak[n - 1].share))
			continue;
		at = n < LOOK_INTO ? n++ : n - 1;
		while (at && peak[at - 1].share < share) {
			peak[at] = peak[at - 1];
			at--;
		}
		peak[at] = (struct peak){ share, i };
	}
	return n;
}

/* Weights of the tokens of one page for the last query token. */
static int look_into(struct far *f, struct far_worker *w, const struct kv_tile *t, const float *top,
		     const float *inv, struct err *e)
{
	size_t hd = f->plan->head_dim, per_head = f->n_token * f->group;
	float weight[KV_PAGE] = { 0 };
	int rc = 0;

	for (uint32_t h = 0; h < f->plan->n_head_kv; h++) {
		unpack(f, w, t, h);
		for (uint32_t g = 0; g < f->group; g++) {
			const float *q = f->q + (h * per_head + (f->n_token - 1) * f->group + g) * hd;
			size_t r = h * f->group + g;
			float s[KV_PAGE] = { 0 };

			for (size_t d = 0; d < hd; d++)
				for (size_t i = 0; i < KV_PAGE; i++)
					s[i] += q[d] * w->k[d * KV_PAGE + i];
			for (size_t i = 0; i < t->n_token; i++)
				weight[i] += expf(s[i] - top[r]) * inv[r] / (float)f->plan->n_head;
		}
	}
	for (uint32_t i = 0; i < t->n_token && !rc; i++)
		if (weight[i] >= HIT_LEAST)
			rc = far_add_hit(f, t->extent, t->page * KV_PAGE + i, weight[i], e);
	return rc;
}

/* state: of all keys, the call's rows merged in. */
static int trace(const struct exact *x, const struct far_state *state, struct err *e)
{
	struct far *f = x->f;
	size_t n_head = f->plan->n_head, last = (f->n_token - 1) * n_head;
	float *top = malloc(2 * n_head * sizeof(*top)), *inv = top + n_head;
	struct peak peak[LOOK_INTO];
	uint32_t order[LOOK_INTO];
	struct kv_tile t;
	size_t n;
	int rc;

	if (!top)
		return err_nomem(e);
	for (size_t r = 0; r < n_head; r++) {
		top[r] = state->m[last + r];
		inv[r] = 1.0f / state->l[last + r];
	}
	n = find_peaks(x, top, inv, peak);
	for (size_t i = 0; i < n; i++)
		order[i] = peak[i].extent;
	rc = n ? view_scan(f->worker[0].reader, f->layer, order, n, e) : ERR_NOTFOUND;
	while (!rc && !(rc = view_next(f->worker[0].reader, &t, e)))
		rc = look_into(f, &f->worker[0], &t, top, inv, e);
	free(top);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

/* ---- all of it ---- */

static int make_leaves(struct far *f, struct err *e)
{
	int rc = 0;

	for (int i = 0; i < f->n_worker && !rc; i++) {
		struct far_worker *w = &f->worker[i];

		if (w->n_leaf == f->n_row)
			continue;
		free(w->leaf.m);
		w->n_leaf = 0;
		rc = far_rows_new(&w->leaf, f->n_row, f->plan->head_dim, e);
		w->n_leaf = rc ? 0 : f->n_row;
	}
	return rc;
}

static int make_room(struct exact *x, struct err *e)
{
	struct far *f = x->f;
	size_t row = (f->plan->head_dim + 2) * sizeof(float), n, n_part;
	int rc = make_leaves(f, e);

	x->order = view_disk_order(f->view);
	x->by_disk = x->order && f->n_extent * f->n_row * row <= f->o.memory;
	if (!x->by_disk)
		x->order = f->canonical;
	n_part = x->by_disk ? f->n_extent : f->n_group;
	x->chunk = far_chunk(f, f->n_extent);
	if (!x->by_disk)
		x->chunk = round_up(x->chunk, FAR_GROUP);
	if (!rc && n_part * f->n_row > f->cap_part) {
		free(f->part.m);
		f->cap_part = 0;
		rc = far_rows_new(&f->part, n_part * f->n_row, f->plan->head_dim, e);
		f->cap_part = rc ? 0 : n_part * f->n_row;
	}
	x->part = f->part;
	if (rc || !f->o.trace)
		return rc;
	if (size_mul(f->n_extent * f->n_row, 2 * sizeof(float), &n) || !(x->em = malloc(n)))
		return err_nomem(e);
	for (size_t i = 0; i < f->n_extent * f->n_row; i++)
		x->em[i] = -INFINITY;
	x->el = x->em + f->n_extent * f->n_row;
	memset(x->el, 0, f->n_extent * f->n_row * sizeof(float));
	return 0;
}

int far_exact(struct far *f, const struct far_state *state, struct err *e)
{
	struct exact x = { .f = f };
	double start = clock_now();
	struct rows_state all;
	int rc = make_room(&x, e);

	if (rc)
		goto out;
	for (size_t i = 0; x.by_disk && i < f->n_extent * f->n_row; i++) {
		x.part.m[i] = -INFINITY;
		x.part.l[i] = 0;
	}
	pool_run(f->pool, (f->n_extent + x.chunk - 1) / x.chunk, scan_task, &x);
	rc = far_outcome(f, e);
	if (rc)
		goto out;
	if (x.by_disk)
		pool_run(f->pool, f->n_group, sum_task, &x);
	all = part_at(&x, 0);
	for (size_t g = 1; g < f->n_group; g++) {
		struct rows_state part = part_at(&x, x.by_disk ? g * FAR_GROUP : g);

		far_merge(f->n_row, f->plan->head_dim, &all, &part);
	}
	far_deliver(f, &all, state);
	f->stats.scans++;
	f->stats.distinct = view_tokens(f->view);
	if (f->o.trace)
		rc = trace(&x, state, e);
out:
	f->stats.t_attend += clock_now() - start;
	free(x.em);
	return rc;
}
