#include "config.h"

#include "engine/far_pick.h"

#include <math.h>
#include <stdbool.h>

static bool before(const struct pick_item *a, const struct pick_item *b)
{
	if (a->est != b->est)
		return a->est > b->est;
	if (a->extent != b->extent)
		return a->extent < b->extent;
	return a->t < b->t;
}

static void swap(struct pick_item *a, struct pick_item *b)
{
	struct pick_item x = *a;

	*a = *b;
	*b = x;
}

/* Hoare's selection: the best `want` come first.  The middle of three as pivot; a bad run of pivots
 * costs time only, over at most 2 * want items. */
static void select_best(struct pick_item *x, size_t n, size_t want)
{
	size_t lo = 0, hi = n;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2, i = lo, j = hi - 1;
		struct pick_item pivot;

		if (before(&x[mid], &x[lo]))
			swap(&x[mid], &x[lo]);
		if (before(&x[hi - 1], &x[lo]))
			swap(&x[hi - 1], &x[lo]);
		if (before(&x[hi - 1], &x[mid]))
			swap(&x[hi - 1], &x[mid]);
		pivot = x[mid];
		for (;;) {
			while (before(&x[i], &pivot))
				i++;
			while (before(&pivot, &x[j]))
				j--;
			if (i >= j)
				break;
			swap(&x[i++], &x[j--]);
		}
		if (want <= j + 1 && want > lo && j + 1 < hi)
			hi = j + 1;
		else
			lo = j + 1;
		if (want <= lo)
			break;
	}
}

void pick_init(struct pick *p, struct pick_item *item, size_t want)
{
	*p = (struct pick){ .item = item, .want = want, .floor = -INFINITY };
}

void pick_settle(struct pick *p)
{
	if (p->n <= p->want)
		return;
	select_best(p->item, p->n, p->want);
	p->n = p->want;
	p->floor = p->item[0].est;
	for (size_t i = 1; i < p->n; i++)
		p->floor = p->item[i].est < p->floor ? p->item[i].est : p->floor;
}

void pick_add(struct pick *p, const struct pick_item *x)
{
	if (x->est < p->floor)
		return;
	p->item[p->n++] = *x;
	if (p->n == 2 * p->want)
		pick_settle(p);
}

/* Four lanes: every x86-64 and ARM has them, wider ones are taken apart where the target lacks them. */
typedef float lanes __attribute__((vector_size(16), aligned(4)));
typedef int32_t mask __attribute__((vector_size(16)));

enum { RUN = 32 };

static bool any_at_least(const float *x, float floor)
{
	const lanes *v = (const lanes *)x;
	lanes f = { floor, floor, floor, floor };
	mask m = (v[0] >= f) | (v[1] >= f) | (v[2] >= f) | (v[3] >= f) |
		 (v[4] >= f) | (v[5] >= f) | (v[6] >= f) | (v[7] >= f);

	return m[0] | m[1] | m[2] | m[3];
}

void pick_offer(struct pick *p, uint32_t extent, const float *est, uint32_t n)
{
	/* Few pass once the floor stands: runs without one are passed over eight vectors at a time. */
	for (uint32_t t = 0; t < n; t += RUN) {
		uint32_t m = n - t < RUN ? n - t : RUN;

		if (m == RUN && !any_at_least(est + t, p->floor))
			continue;
		for (uint32_t i = 0; i < m; i++)
			if (est[t + i] >= p->floor)
				pick_add(p, &(struct pick_item){ est[t + i], extent, t + i });
	}
}
