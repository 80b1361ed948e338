#include "config.h"

#include "engine/linear.h"
#include "base/size.h"

/* Rows a tile: few tokens stream the weights, so tiles are large enough to hide the hand-over;
 * many tokens compute on an unpacked panel. */
#define FEW_ROWS  128
#define MANY_ROWS KERN_PANEL
#define MANY_TOKENS (43 * ACT_TILE)	/* 516: a batch of 512 is one part, and no tile is cut */

struct run {
	const struct linear *l;
	const struct linear_job *job;
	size_t n_job;
	const struct act *a;
	size_t rows, tokens;	/* a tile */
	size_t n_part;		/* token tiles */
};

static size_t tiles(const struct run *r, const struct linear_job *j)
{
	return (j->w->n_row + r->rows - 1) / r->rows * r->n_part;
}

static struct rows rows_of(const struct weight *w, uint32_t mat, size_t r0, size_t r1)
{
	return (struct rows){ .data = w->data + mat * w->mat_bytes, .type = w->type,
			      .row_bytes = w->row_bytes, .r0 = r0, .r1 = r1 };
}

static void tile(void *ctx, size_t task, int worker)
{
	const struct run *r = ctx;
	const struct linear_job *j = r->job;
	const struct kern *k = r->l->kern;
	void *scratch = r->l->scratch[worker];
	size_t r0, r1, t0, t1;
	struct rows w;

	while (task >= tiles(r, j))
		task -= tiles(r, j++);
	r0 = task / r->n_part * r->rows;
	r1 = MIN(r0 + r->rows, j->w->n_row);
	t0 = task % r->n_part * r->tokens;
	t1 = MIN(t0 + r->tokens, r->a->n_row);
	w = rows_of(j->w, j->mat, r0, r1);
	k->linear(&w, r->a, t0, t1, j->y, j->ldy, scratch);
	if (j->bias)
		for (size_t t = t0; t < t1; t++)
			k->axpy(1.0f, j->bias + r0, j->y + t * j->ldy + r0, r1 - r0);
	if (!j->up)
		return;
	w = rows_of(j->up, j->mat, r0, r1);
	k->linear(&w, r->a, t0, t1, j->up_y, j->ldy, scratch);
	for (size_t t = t0; t < t1; t++)
		k->swiglu(j->y + t * j->ldy + r0, j->up_y + t * j->ldy + r0, r1 - r0);
}

void linear_run(const struct linear *l, const struct linear_job *job, size_t n_job, const struct act *a)
{
	bool few = a->n_row <= KERN_FEW;
	struct run r = { .l = l, .job = job, .n_job = n_job, .a = a,
			 .rows = few ? FEW_ROWS : MANY_ROWS, .tokens = MANY_TOKENS };
	size_t n = 0;

	r.n_part = (a->n_row + r.tokens - 1) / r.tokens;
	for (size_t i = 0; i < n_job; i++)
		n += tiles(&r, &job[i]);
	pool_run(l->pool, n, tile, &r);
}
