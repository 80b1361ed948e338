/* Select: sketches say what to read, see far.h.
 *
 *   score   every extent's sketch against every query row; each row keeps its best `rerank`
 *   unite   per query token and KV head: the candidates of the group's heads by estimated share of their
 *           head's attention, the best `rerank` distinct tokens
 *   gather  all of them, of all query tokens, strip by strip in canonical order, into plain rows
 *   attend  per query token and KV head: exact scores, the best `budget`, softmax in canonical order
 *
 * Only the first and the third touch what is stored, each byte once for all queries of a call. */
#include "config.h"

#include "engine/far_impl.h"
#include "base/clock.h"
#include "base/size.h"
#include "cache/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HIT_LEAST 1e-3f
/* Tokens whose estimates tell how much of the softmax was left out. */
#define SAMPLE 65536u

/* One token of one KV head, wanted by somebody. */
struct want {
	uint32_t extent, t, head;
	uint32_t slot;			/* its row in k and v */
};

/* The choice of one query token and KV head: [first, first + n) of `want`. */
struct choice {
	size_t first, n;
};

struct select {
	struct far *f;
	struct sketch_query *query;	/* [n_row] */
	size_t chunk;
	struct pick *best;		/* [n_row], after the workers' are joined */
	struct choice *choice;		/* [n_head_kv][n_token] */
	struct want *want;		/* of all choices, each canonical */
	size_t n_want;
	struct want *row;		/* distinct (extent, t, head): what k and v hold */
	size_t n_row;
	struct strip_ref *strip;
	size_t *strip_row;		/* [n_strip + 1] rows of each strip */
	size_t n_strip, strips_a_task;
	float *k, *v;			/* [n_row][head_dim] */
	double *rest;			/* [n_head] of the last query token: what was left out, estimated */
};

/* ---- sketches ---- */

/* Build an extent's sketch from its pages; kept until far_free. */
static int build_sketch(struct far *f, struct far_worker *w, uint32_t extent, struct sketch *out,
			struct err *e)
{
	void *expected = NULL, *image;
	struct sketch_plan p;
	struct extent x;
	int rc = view_extent(f->view, extent, &x, e);

	if (!rc)
		rc = sketch_plan_init(&p, view_geom(f->view), view_get(f->view, extent)->n_token, e);
	if (rc)
		return rc;
	image = aligned_alloc(64, round_up(p.bytes, 64));
	if (!image)
		return err_nomem(e);
	memset(image, 0, p.bytes);
	rc = sketch_from_extent(&p, &x, image, e);
	if (!rc && !atomic_compare_exchange_strong(&f->own_sketch[extent], &expected, image)) {
		free(image);
		image = expected;
	} else if (rc) {
		free(image);
		return rc;
	} else {
		w->rebuilt++;
	}
	*out = (struct sketch){ .plan = p, .span = view_get(f->view, extent)->span, .data = image };
	return 0;
}

static int get_sketch(struct far *f, struct far_worker *w, uint32_t extent, struct sketch *out, struct err *e)
{
	void *own = atomic_load(&f->own_sketch[extent]);
	int rc;

	if (own) {
		*out = (struct sketch){ .span = view_get(f->view, extent)->span, .data = own };
		return sketch_plan_init(&out->plan, view_geom(f->view), view_get(f->view, extent)->n_token, e);
	}
	rc = view_sketch(f->view, extent, f->layer, out, NULL);
	if (rc == ERR_NOTFOUND || rc == ERR_CORRUPT || rc == ERR_IO)
		return build_sketch(f, w, extent, out, e);
	return rc ? view_sketch(f->view, extent, f->layer, out, e) : 0;
}

/* ---- score ---- */

static int make_picks(struct far *f, struct far_worker *w, struct err *e)
{
	size_t want = f->o.rerank;

	if (f->n_row > w->n_pick) {
		struct pick *more = realloc(w->pick, f->n_row * sizeof(*more));

		if (!more)
			return err_nomem(e);
		w->pick = more;
		for (; w->n_pick < f->n_row; w->n_pick++) {
			struct pick_item *item = malloc(2 * want * sizeof(*item));

			if (!item)
				return err_nomem(e);
			w->pick[w->n_pick].item = item;
		}
	}
	for (size_t r = 0; r < f->n_row; r++)
		pick_init(&w->pick[r], w->pick[r].item, want);
	return 0;
}

static void score_task(void *ctx, size_t task, int worker)
{
	const struct select *s = ctx;
	struct far *f = s->f;
	struct far_worker *w = &f->worker[worker];
	const uint32_t *order = view_disk_order(f->view);
	size_t per_head = f->n_token * f->group, to = MIN((task + 1) * s->chunk, f->n_extent);

	for (size_t i = task * s->chunk; i < to && !w->rc; i++) {
		uint32_t extent = order ? order[i] : (uint32_t)i;
		struct sketch sk;

		w->rc = get_sketch(f, w, extent, &sk, &w->err);
		for (uint32_t h = 0; !w->rc && h < f->plan->n_head_kv; h++)
			for (size_t r = h * per_head; r < (h + 1) * per_head; r++) {
				sketch_score(&sk, f->layer, h, &s->query[r], w->est);
				pick_offer(&w->pick[r], extent, w->est, sk.plan.n_token);
			}
	}
}

static void prepare_task(void *ctx, size_t task, int worker)
{
	const struct select *s = ctx;
	size_t hd = s->f->plan->head_dim;

	(void)worker;
	sketch_query_init(&s->query[task], s->f->q + task * hd, (uint32_t)hd);
}

static void join_task(void *ctx, size_t task, int worker)
{
	const struct select *s = ctx;
	struct far *f = s->f;
	struct pick *best = &f->worker[0].pick[task];

	(void)worker;
	for (int i = 1; i < f->n_worker; i++) {
		const struct pick *p = &f->worker[i].pick[task];

		for (size_t j = 0; j < p->n; j++)
			pick_add(best, &p->item[j]);
	}
	pick_settle(best);
}

static int score(struct select *s, struct err *e)
{
	struct far *f = s->f;
	int rc = 0;

	s->query = aligned_alloc(64, round_up(f->n_row * sizeof(*s->query), 64));
	if (!s->query)
		return err_nomem(e);
	for (int i = 0; i < f->n_worker && !rc; i++)
		rc = make_picks(f, &f->worker[i], e);
	if (rc)
		return rc;
	s->chunk = far_chunk(f, f->n_extent);
	pool_run(f->pool, f->n_row, prepare_task, s);
	pool_run(f->pool, (f->n_extent + s->chunk - 1) / s->chunk, score_task, s);
	rc = far_outcome(f, e);
	if (rc)
		return rc;
	pool_run(f->pool, f->n_row, join_task, s);
	s->best = f->worker[0].pick;
	f->stats.sketch_bytes += view_tokens(f->view) * f->plan->n_head_kv *
				 (f->plan->head_dim / 8 + 2 + f->plan->head_dim / 32);
	return 0;
}

/* ---- unite ---- */

static int by_token(const void *a, const void *b)
{
	const struct pick_item *x = a, *y = b;

	if (x->extent != y->extent)
		return x->extent < y->extent ? -1 : 1;
	if (x->t != y->t)
		return x->t < y->t ? -1 : 1;
	return x->est > y->est ? -1 : x->est < y->est;	/* the better estimate first */
}

/* ln of the sum of exp of a row's candidates: turns estimates into shares of what the head sees. */
static float spread(const struct pick *p)
{
	float top = -INFINITY;
	double sum = 0;

	for (size_t i = 0; i < p->n; i++)
		top = fmaxf(top, p->item[i].est);
	for (size_t i = 0; i < p->n; i++)
		sum += exp((double)(p->item[i].est - top));
	return p->n ? top + (float)log(sum) : 0;
}

/* Candidates of one query token and KV head, distinct, the best `rerank`, canonical. */
static int unite(struct select *s, uint32_t head, size_t token, struct choice *c, struct err *e)
{
	struct far *f = s->f;
	size_t row = (head * f->n_token + token) * f->group, n = 0, m = 0;
	struct pick_item *all, *room;
	struct pick p;

	for (size_t g = 0; g < f->group; g++)
		n += s->best[row + g].n;
	all = malloc((n + 1) * sizeof(*all));
	room = malloc(2 * (size_t)f->o.rerank * sizeof(*room));
	if (!all || !room) {
		free(all);
		free(room);
		return err_nomem(e);
	}
	n = 0;
	for (size_t g = 0; g < f->group; g++) {
		const struct pick *b = &s->best[row + g];
		float lse = spread(b);

		for (size_t i = 0; i < b->n; i++) {
			all[n] = b->item[i];
			all[n++].est -= lse;
		}
	}
	qsort(all, n, sizeof(*all), by_token);
	pick_init(&p, room, f->o.rerank);
	for (size_t i = 0; i < n; i++)
		if (!i || all[i].extent != all[i - 1].extent || all[i].t != all[i - 1].t)
			pick_add(&p, &all[i]);
	pick_settle(&p);
	qsort(p.item, p.n, sizeof(*p.item), by_token);
	c->first = s->n_want;
	c->n = m = p.n;
	for (size_t i = 0; i < m; i++)
		s->want[s->n_want++] = (struct want){ p.item[i].extent, p.item[i].t, head, 0 };
	free(all);
	free(room);
	return 0;
}

/* ---- gather ---- */

static int by_place(const void *a, const void *b)
{
	const struct want *x = a, *y = b;

	if (x->extent != y->extent)
		return x->extent < y->extent ? -1 : 1;
	if (x->t != y->t)
		return x->t < y->t ? -1 : 1;
	return x->head < y->head ? -1 : x->head > y->head;
}

/* The distinct rows and strips of all choices; every want gets its slot. */
static int plan_gather(struct select *s, struct err *e)
{
	size_t hd = s->f->plan->head_dim, bytes;
	struct strip_ref last = { UINT32_MAX, UINT32_MAX };

	s->row = malloc((s->n_want + 1) * sizeof(*s->row));
	s->strip = malloc((s->n_want + 1) * sizeof(*s->strip));
	s->strip_row = malloc((s->n_want + 1) * sizeof(*s->strip_row));
	if (!s->row || !s->strip || !s->strip_row)
		return err_nomem(e);
	memcpy(s->row, s->want, s->n_want * sizeof(*s->row));
	qsort(s->row, s->n_want, sizeof(*s->row), by_place);
	for (size_t i = 0; i < s->n_want; i++) {
		const struct want *x = &s->row[i];
		struct strip_ref at = { x->extent, x->t / KV_PAGE };

		if (s->n_row && !by_place(&s->row[s->n_row - 1], x))
			continue;
		if (at.extent != last.extent || at.page != last.page) {
			s->strip_row[s->n_strip] = s->n_row;
			s->strip[s->n_strip++] = last = at;
		}
		s->row[s->n_row++] = *x;
	}
	s->strip_row[s->n_strip] = s->n_row;
	if (size_mul(s->n_row, 2 * hd * sizeof(float), &bytes) || !(s->k = malloc(bytes + 1)))
		return err_nomem(e);
	s->v = s->k + s->n_row * hd;
	for (size_t i = 0; i < s->n_want; i++) {
		const struct want *at = bsearch(&s->want[i], s->row, s->n_row, sizeof(*at), by_place);

		s->want[i].slot = (uint32_t)(at - s->row);
	}
	return 0;
}

static void gather_task(void *ctx, size_t task, int worker)
{
	const struct select *s = ctx;
	struct far *f = s->f;
	struct far_worker *w = &f->worker[worker];
	size_t hd = f->plan->head_dim, at = task * s->strips_a_task;
	size_t n = MIN(s->strips_a_task, s->n_strip - at);
	int rc;

	if (w->rc)
		return;
	rc = view_gather(w->reader, f->layer, s->strip + at, n, &w->err);
	for (size_t i = at; i < at + n && !rc; i++) {
		struct kv_tile t;

		rc = view_next(w->reader, &t, &w->err);
		if (rc == ERR_CORRUPT || rc == ERR_IO) {
			rc = far_note_bad(w, view_bad(w->reader), &w->err);
			continue;
		}
		for (size_t j = s->strip_row[i]; !rc && j < s->strip_row[i + 1]; j++)
			kv_decode_token(&t.l, t.body, s->row[j].head, s->row[j].t % KV_PAGE,
					s->k + j * hd, s->v + j * hd);
	}
	w->rc = rc;
}

static int gather(struct select *s, struct err *e)
{
	struct far *f = s->f;
	int rc = plan_gather(s, e);

	if (rc)
		return rc;
	/* A gather keeps its ring full from within: one task a worker. */
	s->strips_a_task = MAX((s->n_strip + (size_t)f->n_worker - 1) / (size_t)f->n_worker, (size_t)1);
	pool_run(f->pool, (s->n_strip + s->strips_a_task - 1) / s->strips_a_task, gather_task, s);
	return far_outcome(f, e);
}

/* ---- attend ---- */

/* The group's scores of candidate i, and its claim: the largest share among the heads. */
struct claim {
	float share;
	uint32_t i;
};

static int by_claim(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->share != y->share)
		return x->share > y->share ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

static float dot(const float *a, const float *b, size_t n)
{
	float s[8] = { 0 };

	for (size_t i = 0; i < n; i += 8)
		for (size_t j = 0; j < 8; j++)
			s[j] += a[i + j] * b[i + j];
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Mark the candidates to attend to. */
static void cut_down(const struct far *f, const float *score, size_t n, struct claim *claim, bool *use)
{
	for (size_t i = 0; i < n; i++) {
		claim[i] = (struct claim){ -INFINITY, (uint32_t)i };
		use[i] = n <= f->o.budget;
	}
	if (n <= f->o.budget)
		return;
	for (size_t g = 0; g < f->group; g++) {
		float top = -INFINITY, sum = 0;

		for (size_t i = 0; i < n; i++)
			top = fmaxf(top, score[g * n + i]);
		for (size_t i = 0; i < n; i++)
			sum += expf(score[g * n + i] - top);
		for (size_t i = 0; i < n; i++)
			claim[i].share = fmaxf(claim[i].share, score[g * n + i] - top - logf(sum));
	}
	qsort(claim, n, sizeof(*claim), by_claim);
	for (size_t i = 0; i < f->o.budget; i++)
		use[claim[i].i] = true;
}

static void attend_task(void *ctx, size_t task, int worker)
{
	const struct select *s = ctx;
	struct far *f = s->f;
	struct far_worker *w = &f->worker[worker];
	struct choice *c = &s->choice[task];
	size_t hd = f->plan->head_dim, n = c->n, row = task * f->group;
	float *score = malloc((n * f->group + 1) * sizeof(*score));
	struct claim *claim = malloc((n + 1) * sizeof(*claim));
	bool *use = malloc(n + 1);

	if (!score || !claim || !use) {
		w->rc = err_nomem(&w->err);
		goto out;
	}
	for (size_t g = 0; g < f->group; g++)
		for (size_t i = 0; i < n; i++)
			score[g * n + i] = dot(f->q + (row + g) * hd, s->k + s->want[c->first + i].slot * hd, hd);
	cut_down(f, score, n, claim, use);
	for (size_t g = 0; g < f->group; g++) {
		struct rows_state *st = &f->part;
		float *o = st->o + (row + g) * hd, top = -INFINITY, sum = 0;

		for (size_t i = 0; i < n; i++)
			if (use[i])
				top = fmaxf(top, score[g * n + i]);
		memset(o, 0, hd * sizeof(*o));
		for (size_t i = 0; i < n; i++) {
			const float *v = s->v + s->want[c->first + i].slot * hd;
			float p = use[i] ? expf(score[g * n + i] - top) : 0;

			sum += p;
			for (size_t d = 0; use[i] && d < hd; d++)
				o[d] += p * v[d];
		}
		st->m[row + g] = top;
		st->l[row + g] = sum;
	}
	/* What was not used goes to the end, for the reports. */
	for (size_t i = 0, m = 0; i < n; i++)
		if (use[i]) {
			struct want x = s->want[c->first + i];

			s->want[c->first + i] = s->want[c->first + m];
			s->want[c->first + m++] = x;
			c->n = m;
		}
out:
	free(score);
	free(claim);
	free(use);
}

/* ---- reports ---- */

/* Over a sample of the extents: exp(estimate - m) of all that no head of the row picked. */
static void rest_task(void *ctx, size_t task, int worker)
{
	const struct select *s = ctx;
	struct far *f = s->f;
	struct far_worker *w = &f->worker[worker];
	size_t per_head = f->n_token * f->group, head = task / f->group, g = task % f->group;
	size_t row = head * per_head + (f->n_token - 1) * f->group + g, step = view_tokens(f->view) / SAMPLE + 1;
	double sum = 0, tokens = 0;

	for (size_t i = 0; i < f->n_extent && !w->rc; i += step) {
		struct sketch sk;

		w->rc = get_sketch(f, w, (uint32_t)i, &sk, &w->err);
		if (w->rc)
			break;
		sketch_score(&sk, f->layer, (uint32_t)head, &s->query[row], w->est);
		for (uint32_t t = 0; t < sk.plan.n_token; t++)
			if (w->est[t] < s->best[row].floor)
				sum += (double)expf(w->est[t] - f->part.m[row]);
		tokens += sk.plan.n_token;
	}
	s->rest[task] = tokens > 0 ? sum * (double)view_tokens(f->view) / tokens : 0;
}

/* Of the last query token: which share of the softmax was attended to, and where it lay. */
static int report(struct select *s, const struct far_state *state, struct err *e)
{
	struct far *f = s->f;
	size_t hd = f->plan->head_dim, n_head = f->plan->n_head, last = (f->n_token - 1) * n_head;
	int rc;

	s->rest = calloc(n_head, sizeof(*s->rest));
	if (!s->rest)
		return err_nomem(e);
	pool_run(f->pool, n_head, rest_task, s);
	rc = far_outcome(f, e);
	for (uint32_t h = 0; h < f->plan->n_head_kv && !rc; h++) {
		const struct choice *c = &s->choice[h * f->n_token + f->n_token - 1];
		size_t row = (h * f->n_token + f->n_token - 1) * f->group;

		for (size_t g = 0; g < f->group; g++) {
			size_t r = last + h * f->group + g;
			double rest = s->rest[h * f->group + g] * exp((double)(f->part.m[row + g] - state->m[r]));

			f->mass += (double)state->l[r] / ((double)state->l[r] + rest);
			f->n_mass++;
		}
		for (size_t i = 0; i < c->n && !rc; i++) {
			const struct want *x = &s->want[c->first + i];
			float weight = 0;

			for (size_t g = 0; g < f->group; g++) {
				size_t r = last + h * f->group + g;

				weight += expf(dot(f->q + (row + g) * hd, s->k + x->slot * hd, hd) - state->m[r]) /
					  state->l[r];
			}
			if (weight / (float)n_head >= HIT_LEAST)
				rc = far_add_hit(f, x->extent, x->t, weight / (float)n_head, e);
		}
	}
	return rc;
}

/* ---- all of it ---- */

static int choose(struct select *s, struct err *e)
{
	struct far *f = s->f;
	size_t n_choice = (size_t)f->plan->n_head_kv * f->n_token;
	int rc = 0;

	s->choice = calloc(n_choice, sizeof(*s->choice));
	s->want = malloc((n_choice * f->o.rerank + 1) * sizeof(*s->want));
	if (!s->choice || !s->want)
		return err_nomem(e);
	for (uint32_t h = 0; h < f->plan->n_head_kv; h++)
		for (size_t t = 0; t < f->n_token && !rc; t++)
			rc = unite(s, h, t, &s->choice[h * f->n_token + t], e);
	return rc;
}

static int make_room(struct far *f, struct err *e)
{
	int rc;

	if (f->n_row <= f->cap_part)
		return 0;
	free(f->part.m);
	f->cap_part = 0;
	rc = far_rows_new(&f->part, f->n_row, f->plan->head_dim, e);
	f->cap_part = rc ? 0 : f->n_row;
	return rc;
}

int far_select(struct far *f, const struct far_state *state, struct err *e)
{
	struct select s = { .f = f };
	size_t n_choice = (size_t)f->plan->n_head_kv * f->n_token;
	double t0 = clock_now(), t1, t2;
	int rc = make_room(f, e);

	if (!rc)
		rc = score(&s, e);
	if (!rc)
		rc = choose(&s, e);
	t1 = clock_now();
	if (!rc)
		rc = gather(&s, e);
	t2 = clock_now();
	if (!rc) {
		f->stats.reranked += s.n_want;
		pool_run(f->pool, n_choice, attend_task, &s);
		rc = far_outcome(f, e);
	}
	if (!rc)
		far_deliver(f, &f->part, state);
	for (size_t i = 0; i < n_choice && !rc; i++)
		for (size_t j = 0; j < s.choice[i].n; j++) {
			const struct want *x = &s.want[s.choice[i].first + j];

			far_see(f, view_token_base(f->view, x->extent) + x->t);
			f->stats.attended++;
		}
	if (!rc && f->o.trace)
		rc = report(&s, state, e);
	f->stats.scans++;
	f->stats.t_score += t1 - t0;
	f->stats.t_read += t2 - t1;
	f->stats.t_attend += clock_now() - t2;
	free(s.query);
	free(s.choice);
	free(s.want);
	free(s.row);
	free(s.strip);
	free(s.strip_row);
	free(s.k);
	free(s.rest);
	return rc;
}
