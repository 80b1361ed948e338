#include "config.h"

#include "engine/far_impl.h"
#include "base/clock.h"
#include "base/size.h"
#include "engine/forward_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY ((size_t)128 << 20)

/* ---- states ---- */

void far_clear(size_t n, size_t hd, const struct rows_state *s)
{
	for (size_t i = 0; i < n; i++) {
		s->m[i] = -INFINITY;
		s->l[i] = 0;
	}
	memset(s->o, 0, n * hd * sizeof(float));
}

int far_rows_new(struct rows_state *s, size_t n, size_t hd, struct err *e)
{
	size_t bytes;

	*s = (struct rows_state){ 0 };
	if (size_mul(n, (hd + 2) * sizeof(float), &bytes) || !(s->m = malloc(MAX(bytes, (size_t)1))))
		return err_nomem(e);
	s->l = s->m + n;
	s->o = s->l + n;
	return 0;
}

static void merge_row(size_t hd, float *m, float *l, float *o, float sm, float sl, const float *so)
{
	float top = fmaxf(*m, sm), a, b;

	if (sm == -INFINITY)
		return;
	a = *m == top ? 1.0f : expf(*m - top);
	b = sm == top ? 1.0f : expf(sm - top);
	*m = top;
	*l = *l * a + sl * b;
	for (size_t d = 0; d < hd; d++)
		o[d] = o[d] * a + so[d] * b;
}

void far_merge(size_t n, size_t hd, const struct rows_state *dst, const struct rows_state *src)
{
	for (size_t i = 0; i < n; i++)
		merge_row(hd, &dst->m[i], &dst->l[i], dst->o + i * hd, src->m[i], src->l[i],
			  src->o + i * hd);
}

/* Row of the call's order -> [token][head]. */
static size_t outer_row(const struct far *f, size_t row)
{
	size_t g = row % f->group, token = row / f->group % f->n_token,
	       head = row / f->group / f->n_token;

	return token * f->plan->n_head + head * f->group + g;
}

void far_deliver(struct far *f, const struct rows_state *from, const struct far_state *to)
{
	size_t hd = f->plan->head_dim;
	double share = 0;

	for (size_t i = 0; i < f->n_row; i++) {
		size_t r = outer_row(f, i);

		merge_row(hd, &to->m[r], &to->l[r], to->o + r * hd, from->m[i], from->l[i],
			  from->o + i * hd);
		if (from->l[i] > 0)
			share += (double)(from->l[i] * expf(from->m[i] - to->m[r]) / to->l[r]);
	}
	f->share += share / (double)f->plan->n_head;
	f->n_share += f->n_token;
}

/* ---- reports ---- */

int far_note_bad(struct far_worker *w, struct view_bad b, struct err *e)
{
	if (w->n_bad == w->cap_bad) {
		size_t cap = 2 * w->cap_bad + 16;
		struct view_bad *more = realloc(w->bad, cap * sizeof(*more));

		if (!more)
			return err_nomem(e);
		w->bad = more;
		w->cap_bad = cap;
	}
	w->bad[w->n_bad++] = b;
	return 0;
}

static int take_bad(struct far *f, struct view_bad b)
{
	for (size_t i = 0; i < f->n_bad; i++)
		if (f->bad[i].extent == b.extent && f->bad[i].layer == b.layer && f->bad[i].page == b.page)
			return 0;
	if (f->n_bad == f->cap_bad) {
		size_t cap = 2 * f->cap_bad + 16;
		struct view_bad *more = realloc(f->bad, cap * sizeof(*more));

		if (!more)
			return ERR_NOMEM;
		f->bad = more;
		f->cap_bad = cap;
	}
	f->bad[f->n_bad++] = b;
	return 0;
}

int far_outcome(struct far *f, struct err *e)
{
	size_t n_bad = 0;
	int rc = 0;

	for (int i = 0; i < f->n_worker; i++) {
		struct far_worker *w = &f->worker[i];

		if (w->rc && !rc) {
			rc = w->rc;
			if (e)
				*e = w->err;
		}
		for (size_t j = 0; j < w->n_bad; j++)
			if (take_bad(f, w->bad[j]) && !rc)
				rc = err_nomem(e);
		n_bad += w->n_bad;
		f->stats.rebuilt += w->rebuilt;
		w->rebuilt = 0;
		w->n_bad = 0;
		w->rc = 0;
	}
	if (!rc && n_bad)
		rc = err_set(e, ERR_CORRUPT, "%zu pages of far layer %u are damaged", n_bad, f->layer);
	return rc ? rc : view_intact(f->view, e);
}

int far_add_hit(struct far *f, uint32_t extent, uint32_t t, float weight, struct err *e)
{
	if (f->n_hit == f->cap_hit) {
		size_t cap = 2 * f->cap_hit + 256;
		struct far_hit *more = realloc(f->hit, cap * sizeof(*more));

		if (!more)
			return err_nomem(e);
		f->hit = more;
		f->cap_hit = cap;
	}
	f->hit[f->n_hit++] = (struct far_hit){ extent, t, weight };
	return 0;
}

void far_see(struct far *f, uint64_t token)
{
	uint8_t bit = (uint8_t)(1u << (token % 8));

	f->stats.distinct += !(f->seen[token / 8] & bit);
	f->seen[token / 8] |= bit;
}

const struct far_hit *far_hits(const struct far *f, size_t *n)
{
	*n = f->n_hit;
	return f->hit;
}

void far_reset_hits(struct far *f)
{
	f->n_hit = 0;
	f->share = f->mass = 0;
	f->n_share = f->n_mass = 0;
}

double far_share(const struct far *f)
{
	return f->n_share ? f->share / (double)f->n_share : 0;
}

double far_mass(const struct far *f)
{
	return f->n_mass ? f->mass / (double)f->n_mass : f->n_share && f->o.mode == FAR_EXACT ? 1 : 0;
}

const struct view_bad *far_damaged(const struct far *f, size_t *n)
{
	*n = f->n_bad;
	return f->bad;
}

struct far_stats far_stats(const struct far *f)
{
	struct far_stats s = f->stats;

	for (int i = 0; i < f->n_worker; i++) {
		struct view_stats v = view_stats(f->worker[i].reader);

		s.strips += v.strips;
		s.strip_bytes += v.bytes_mapped + v.bytes_read;
	}
	return s;
}

/* ---- a call ---- */

size_t far_chunk(const struct far *f, size_t n_extent)
{
	uint64_t bytes = view_bytes(f->view) / f->plan->n_far, per = bytes / MAX(n_extent, (size_t)1) + 1;
	uint64_t most = MAX(((uint64_t)64 << 20) / per, (uint64_t)1);
	uint64_t even = (n_extent + 8 * (size_t)f->n_worker - 1) / (8 * (size_t)f->n_worker);

	return (size_t)MAX(MIN(most, even), (uint64_t)1);
}

static int room_for(struct far *f, struct err *e)
{
	size_t need = f->n_row * f->plan->head_dim;

	if (need <= f->cap_q)
		return 0;
	free(f->q);
	f->q = malloc(need * sizeof(float));
	f->cap_q = f->q ? need : 0;
	return f->q ? 0 : err_nomem(e);
}

static int attend_some(struct far *f, const float *q, size_t n_token, const struct far_state *state,
		       struct err *e)
{
	size_t hd = f->plan->head_dim;
	int rc;

	f->n_token = n_token;
	f->n_row = n_token * f->plan->n_head;
	rc = room_for(f, e);
	if (rc)
		return rc;
	for (size_t r = 0; r < f->n_row; r++)
		memcpy(f->q + r * hd, q + outer_row(f, r) * hd, hd * sizeof(float));
	return f->o.mode == FAR_EXACT ? far_exact(f, state, e) : far_select(f, state, e);
}

/* As many query tokens at a time as their partial states have memory. */
static int attend(void *ctx, uint32_t layer, const float *q, size_t n_token, const struct far_state *state,
		  struct err *e)
{
	struct far *f = ctx;
	size_t n_head = f->plan->n_head, hd = f->plan->head_dim;
	size_t token = n_head * (hd + 2) * sizeof(float) * f->n_group, step;

	if (!f->n_extent || !n_token)
		return 0;
	if (f->o.mode == FAR_SELECT)
		token = n_head * 2 * f->o.rerank * sizeof(struct pick_item) * (size_t)f->n_worker +
			(size_t)f->o.rerank * f->plan->n_head_kv * 2 * hd * sizeof(float);
	step = MIN(MAX(f->o.memory / token, (size_t)1), n_token);
	f->layer = layer;
	f->stats.calls++;
	for (size_t t = 0; t < n_token; t += step) {
		size_t row = t * n_head;
		struct far_state s = { state->m + row, state->l + row, state->o + row * hd };
		int rc = attend_some(f, q + row * hd, MIN(step, n_token - t), &s, e);

		if (rc)
			return rc;
	}
	return 0;
}

/* ---- opening ---- */

static int worker_init(struct far *f, struct far_worker *w, struct err *e)
{
	size_t page = (size_t)f->plan->head_dim * KV_PAGE, n_most = 0;
	size_t scratch = f->kern->attn_scratch(FAR_ROWS, f->plan->head_dim);

	for (size_t i = 0; i < f->n_extent; i++)
		n_most = MAX(n_most, (size_t)view_get(f->view, i)->n_token);
	w->n_est = (n_most + 63) / 64 * 64;
	w->k = aligned_alloc(64, page * sizeof(float));
	w->v = aligned_alloc(64, page * sizeof(float));
	w->flat = aligned_alloc(64, page * sizeof(float));
	w->scratch = aligned_alloc(64, round_up(scratch * sizeof(float) + 64, 64));
	w->est = aligned_alloc(64, (w->n_est + 64) * sizeof(float));
	if (!w->k || !w->v || !w->flat || !w->scratch || !w->est)
		return err_nomem(e);
	/* What lies past a short page takes part in the products before it is masked. */
	memset(w->k, 0, page * sizeof(float));
	memset(w->v, 0, page * sizeof(float));
	return view_reader_new(&w->reader, f->view, f->o.io, e);
}

static int check(const struct plan *p, const struct view *v, struct err *e)
{
	const struct kv_geom *g = view_geom(v);

	if (!plan_is_irope(p))
		return err_set(e, ERR_INVALID, "far layers of '%s' use RoPE: their pages need places", p->name);
	if (g->n_far_layer != p->n_far || g->n_head_kv != p->n_head_kv || g->head_dim != p->head_dim)
		return err_set(e, ERR_INVALID, "pages of %u far layers with %u heads of %u, the model has %u, %u, %u",
			       g->n_far_layer, g->n_head_kv, g->head_dim, p->n_far, p->n_head_kv, p->head_dim);
	return 0;
}

int far_new(struct far **out, struct engine *en, struct view *v, const struct far_opts *o, struct err *e)
{
	const struct forward *fwd = engine_forward(en);
	struct far *f;
	int rc = check(engine_plan(en), v, e);

	*out = NULL;
	if (rc)
		return rc;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_nomem(e);
	*f = (struct far){ .en = en, .view = v, .plan = engine_plan(en), .kern = fwd->kern, .pool = fwd->pool,
			   .o = *o, .n_extent = view_count(v), .n_worker = pool_threads(fwd->pool) };
	f->group = f->plan->n_head / f->plan->n_head_kv;
	f->n_group = (uint32_t)((f->n_extent + FAR_GROUP - 1) / FAR_GROUP);
	f->o.rerank = o->rerank ? o->rerank : FAR_RERANK;
	f->o.budget = o->budget ? MIN(o->budget, f->o.rerank) : f->o.rerank;
	f->o.memory = o->memory ? o->memory : MEMORY;
	f->source = (struct far_source){ .ctx = f, .attend = attend, .law = o->law,
					 .n_mounted = (int64_t)view_tokens(v) };
	f->worker = calloc((size_t)f->n_worker, sizeof(*f->worker));
	f->seen = calloc(view_tokens(v) / 8 + 1, 1);
	f->own_sketch = calloc(f->n_extent + 1, sizeof(*f->own_sketch));
	f->canonical = malloc((f->n_extent + 1) * sizeof(*f->canonical));
	if (!f->worker || !f->seen || !f->own_sketch || !f->canonical)
		rc = err_nomem(e);
	for (uint32_t i = 0; !rc && i < f->n_extent; i++)
		f->canonical[i] = i;
	for (int i = 0; i < f->n_worker && !rc; i++)
		rc = worker_init(f, &f->worker[i], e);
	if (rc) {
		far_free(f);
		return rc;
	}
	if (o->mode == FAR_SELECT)
		view_prefetch_sketches(v);
	*out = f;
	return 0;
}

static void worker_free(struct far_worker *w)
{
	view_reader_free(w->reader);
	free(w->k);
	free(w->v);
	free(w->flat);
	free(w->scratch);
	free(w->est);
	for (size_t i = 0; i < w->n_pick; i++)
		free(w->pick[i].item);
	free(w->pick);
	free(w->leaf.m);
	free(w->bad);
}

void far_free(struct far *f)
{
	if (!f)
		return;
	for (int i = 0; f->worker && i < f->n_worker; i++)
		worker_free(&f->worker[i]);
	for (size_t i = 0; f->own_sketch && i < f->n_extent; i++)
		free(atomic_load(&f->own_sketch[i]));
	free((void *)f->own_sketch);
	free(f->worker);
	free(f->seen);
	free(f->canonical);
	free(f->part.m);
	free(f->q);
	free(f->hit);
	free(f->bad);
	free(f);
}

const struct far_source *far_source(const struct far *f)
{
	return &f->source;
}
