/* Attention of one layer: store the new keys, then attend, tile by tile.
 *
 * A near layer sees its own chunk only, and its blocks are used again by the next chunk.  So an item's
 * tokens are taken in pieces that do not cross a chunk edge: store a piece, attend, next piece.  All
 * items' pieces of one round run together. */
#include "config.h"

#include "engine/forward_impl.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A run of tokens of one item within one chunk. */
struct piece {
	const struct fwd_item *item;
	size_t  row;			/* first row in the batch */
	size_t  n;
	int64_t pos;			/* of its first token */
	const void **page;		/* for each KV head: prefix K, prefix V, own K, own V pages */
	size_t  n_prefix_page, n_own_page;
	size_t  n_prefix_slot;		/* filled prefix slots, 0: not seen */
	size_t  slot;			/* own slot of its first token */
	size_t  n_tile;			/* query tiles */
};

struct round {
	struct forward *f;
	uint32_t layer;
	struct piece *piece;
	size_t n_piece;
	size_t tile_tokens;
};

static const void **pages_of(const struct piece *p, uint32_t head, bool own, bool v)
{
	size_t per_head = 2 * (p->n_prefix_page + p->n_own_page);
	size_t at = head * per_head + (own ? 2 * p->n_prefix_page : 0);

	if (v)
		at += own ? p->n_own_page : p->n_prefix_page;
	return p->page + at;
}

/* Collect block addresses; kernels take plain arrays of pages. */
static int gather_pages(struct piece *p, uint32_t layer, struct err *e)
{
	const struct kv *kv = p->item->kv;
	uint32_t n_head = kv->plan->n_head_kv;

	p->n_own_page = (p->slot + p->n - 1) / KV_PAGE + 1;
	p->n_prefix_slot = kv_sees_prefix(kv, layer, p->pos) ? kv_prefix_slots(kv, layer) : 0;
	p->n_prefix_page = (p->n_prefix_slot + KV_PAGE - 1) / KV_PAGE;
	p->page = malloc(2 * n_head * (p->n_prefix_page + p->n_own_page) * sizeof(*p->page));
	if (!p->page)
		return err_nomem(e);
	for (uint32_t h = 0; h < n_head; h++) {
		for (size_t b = 0; b < p->n_prefix_page; b++) {
			pages_of(p, h, false, false)[b] = kv_k(kv->prefix, layer, b, h);
			pages_of(p, h, false, true)[b] = kv_v(kv->prefix, layer, b, h);
		}
		for (size_t b = 0; b < p->n_own_page; b++) {
			pages_of(p, h, true, false)[b] = kv_k(kv, layer, b, h);
			pages_of(p, h, true, true)[b] = kv_v(kv, layer, b, h);
		}
	}
	return 0;
}

static void store_task(void *ctx, size_t task, int worker)
{
	const struct round *r = ctx;
	const struct plan *pl = r->f->plan;
	const struct piece *p = &r->piece[task / pl->n_head_kv];
	uint32_t head = (uint32_t)(task % pl->n_head_kv);
	size_t ld = (size_t)pl->n_head_kv * pl->head_dim, off = p->row * ld + head * pl->head_dim;
	bool f16 = p->item->kv->f16;

	(void)worker;
	kern_put_k((void *const *)pages_of(p, head, true, false), p->slot, r->f->k + off, p->n, ld,
		   pl->head_dim, f16);
	kern_put_v((void *const *)pages_of(p, head, true, true), p->slot, r->f->v + off, p->n, ld,
		   pl->head_dim, f16);
}

/* One tile: the group of query heads of one KV head, for some tokens of one piece.  The state goes
 * through contiguous scratch, row = token * group + head in group. */
static void attend_tile(const struct round *r, const struct piece *p, uint32_t head, size_t t0,
			size_t t1, float *scratch)
{
	const struct forward *f = r->f;
	size_t hd = f->plan->head_dim, group = f->plan->n_head / f->plan->n_head_kv;
	size_t n_row = (t1 - t0) * group, i = 0;
	float *q = scratch, *o = q + n_row * hd, *m = o + n_row * hd, *l = m + n_row;
	int64_t *hi = (int64_t *)(((uintptr_t)(l + n_row) + 7) & ~(uintptr_t)7);
	float *own = (float *)(((uintptr_t)(hi + n_row) + 63) & ~(uintptr_t)63);
	struct attn_args a = {
		.q = q, .n_row = n_row, .head_dim = hd, .f16 = p->item->kv->f16, .m = m, .l = l, .o = o,
		.hi = hi, .scratch = own,
	};

	for (size_t t = t0; t < t1; t++)
		for (size_t g = 0; g < group; g++, i++) {
			memcpy(q + i * hd, f->q + ((p->row + t) * f->plan->n_head + head * group + g) * hd,
			       hd * sizeof(float));
			m[i] = -INFINITY;
			l[i] = 0;
			hi[i] = (int64_t)p->n_prefix_slot;
		}
	memset(o, 0, n_row * hd * sizeof(float));
	if (p->n_prefix_slot) {
		a.k = pages_of(p, head, false, false);
		a.v = pages_of(p, head, false, true);
		a.n_page = p->n_prefix_page;
		f->kern->attn(&a);
	}
	for (i = 0; i < n_row; i++)
		hi[i] = (int64_t)(p->slot + t0 + i / group + 1);
	a.k = pages_of(p, head, true, false);
	a.v = pages_of(p, head, true, true);
	a.n_page = (p->slot + t1 - 1) / KV_PAGE + 1;
	f->kern->attn(&a);
	i = 0;
	for (size_t t = t0; t < t1; t++)
		for (size_t g = 0; g < group; g++, i++) {
			size_t row = (p->row + t) * f->plan->n_head + head * group + g;

			f->state_m[row] = m[i];
			f->state_l[row] = l[i];
			memcpy(f->att + row * hd, o + i * hd, hd * sizeof(float));
		}
}

static void attend_task(void *ctx, size_t task, int worker)
{
	const struct round *r = ctx;
	const struct piece *p = r->piece;
	uint32_t n_head = r->f->plan->n_head_kv;
	size_t t0;

	while (task >= p->n_tile * n_head)
		task -= p++->n_tile * n_head;
	/* The last tokens see most: they go first, so that no thread is left alone with them. */
	t0 = (p->n_tile - 1 - task / n_head) * r->tile_tokens;
	attend_tile(r, p, (uint32_t)(task % n_head), t0, MIN(t0 + r->tile_tokens, p->n),
		    r->f->attn_scratch[worker]);
}

static int run_round(struct round *r, struct err *e)
{
	size_t n_task = 0;
	int rc = 0;

	for (size_t i = 0; i < r->n_piece && !rc; i++) {
		struct piece *p = &r->piece[i];

		p->slot = kv_slot(p->item->kv, r->layer, p->pos);
		rc = kv_reserve(p->item->kv, r->layer, p->slot + p->n - 1, e);
		if (!rc)
			rc = gather_pages(p, r->layer, e);
		p->n_tile = (p->n + r->tile_tokens - 1) / r->tile_tokens;
		n_task += p->n_tile * r->f->plan->n_head_kv;
	}
	if (!rc) {
		pool_run(r->f->pool, r->n_piece * r->f->plan->n_head_kv, store_task, r);
		pool_run(r->f->pool, n_task, attend_task, r);
	}
	for (size_t i = 0; i < r->n_piece; i++)
		free(r->piece[i].page);
	return rc;
}

/* The next piece of an item, after `done` tokens; n = 0 at its end. */
static struct piece next_piece(const struct forward *f, uint32_t layer, const struct fwd_item *item,
			       size_t row, size_t done)
{
	struct piece p = { .item = item, .row = row + done, .n = item->n - done,
			   .pos = kv_end(item->kv) + (int64_t)done };

	if (!f->plan->layer[layer].is_far) {
		int64_t chunk = f->plan->attn_chunk;
		int64_t room = (p.pos / chunk + 1) * chunk - p.pos;

		p.n = MIN(p.n, (size_t)room);
	}
	return p;
}

/* In the last layer only rows whose logits are asked for matter: nothing is made of the others' values. */
static size_t first_wanted(const struct forward *f, uint32_t layer, const struct fwd_item *item)
{
	if (layer + 1 < f->plan->n_layer || item->all_logits || !item->n)
		return 0;
	return item->logits ? item->n - 1 : item->n;
}

/* Rows [from, from + n) of a state are copied to or from packed ones behind each other. */
static void copy_rows(const struct forward *f, const struct far_state *dst, size_t to, const struct far_state *src,
		      size_t from, size_t n)
{
	size_t n_head = f->plan->n_head, hd = f->plan->head_dim;

	memcpy(dst->m + to * n_head, src->m + from * n_head, n * n_head * sizeof(float));
	memcpy(dst->l + to * n_head, src->l + from * n_head, n * n_head * sizeof(float));
	memcpy(dst->o + to * n_head * hd, src->o + from * n_head * hd, n * n_head * hd * sizeof(float));
}

/* Items that follow each other and have one source are one call: what the source reads, it reads once.
 * Their wanted rows go packed when some are left out. */
static int merge_far(struct forward *f, uint32_t layer, uint32_t far, const struct fwd_item *item, size_t n_item,
		     size_t row, struct err *e)
{
	const struct far_source *src = item->source;
	size_t width = (size_t)f->plan->n_head * f->plan->head_dim, n = 0, all = 0, at = row;
	struct far_state whole = { f->state_m, f->state_l, f->att }, part;
	float *q;
	int rc;

	for (size_t i = 0; i < n_item; i++) {
		n += item[i].n - first_wanted(f, layer, &item[i]);
		all += item[i].n;
	}
	if (n == all) {
		part = (struct far_state){ f->state_m + row * f->plan->n_head, f->state_l + row * f->plan->n_head,
					   f->att + row * width };
		return n ? src->attend(src->ctx, far, f->q + row * width, n, &part, e) : 0;
	}
	if (!n)
		return 0;
	q = malloc(n * (2 * width + 2 * f->plan->n_head) * sizeof(*q));
	if (!q)
		return err_nomem(e);
	part.o = q + n * width;
	part.m = part.o + n * width;
	part.l = part.m + n * f->plan->n_head;
	n = 0;
	for (size_t i = 0; i < n_item; at += item[i++].n) {
		size_t first = first_wanted(f, layer, &item[i]), m = item[i].n - first;

		memcpy(q + n * width, f->q + (at + first) * width, m * width * sizeof(*q));
		copy_rows(f, &part, n, &whole, at + first, m);
		n += m;
	}
	rc = src->attend(src->ctx, far, q, n, &part, e);
	at = row;
	n = 0;
	for (size_t i = 0; i < n_item && !rc; at += item[i++].n) {
		size_t first = first_wanted(f, layer, &item[i]), m = item[i].n - first;

		copy_rows(f, &whole, at + first, &part, n, m);
		n += m;
	}
	free(q);
	return rc;
}

/* Let every item's far source merge its keys, then divide by the sum. */
static int finish(struct forward *f, uint32_t layer, const struct fwd_item *item, size_t n_item,
		  struct err *e)
{
	const struct plan *p = f->plan;
	size_t row = 0, hd = p->head_dim, n_row;
	uint32_t far = 0;

	while (far < p->n_far && p->far_layer[far] < layer)
		far++;
	for (size_t i = 0; i < n_item;) {
		const struct far_source *src = item[i].source;
		size_t first = i, n = 0;
		int rc;

		for (; i < n_item && item[i].source == src; i++)
			n += item[i].n;
		rc = src && src->attend && p->layer[layer].is_far ?
			     merge_far(f, layer, far, item + first, i - first, row, e) : 0;
		if (rc)
			return rc;
		row += n;
	}
	n_row = row * p->n_head;
	for (size_t r = 0; r < n_row; r++) {
		float inv = 1.0f / f->state_l[r];

		for (size_t d = 0; d < hd; d++)
			f->att[r * hd + d] *= inv;
	}
	return 0;
}

int attend_layer(struct forward *f, uint32_t layer, const struct fwd_item *item, size_t n_item,
		 struct err *e)
{
	const struct plan *p = f->plan;
	size_t group = p->n_head / p->n_head_kv;
	size_t *done = calloc(n_item, sizeof(*done));
	struct round r = { .f = f, .layer = layer, .tile_tokens = MAX(ATTEND_ROWS / group, (size_t)1) };
	int rc = 0;

	r.piece = calloc(n_item, sizeof(*r.piece));
	if (!r.piece || !done)
		rc = err_nomem(e);
	while (!rc) {
		size_t row = 0;

		r.n_piece = 0;
		for (size_t i = 0; i < n_item; row += item[i++].n) {
			struct piece next = next_piece(f, layer, &item[i], row, done[i]);

			if (next.n)
				r.piece[r.n_piece++] = next;
			done[i] += next.n;
		}
		if (!r.n_piece)
			break;
		rc = run_round(&r, e);
	}
	free(done);
	free(r.piece);
	return rc ? rc : finish(f, layer, item, n_item, e);
}
