#include "config.h"

#include "ingest/choose.h"
#include "base/size.h"
#include "cache/search.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HITS 48		/* passages looked at; spans behind them would not be among the best */
#define MAX_MARKS 64

struct hit {
	int64_t  document;
	uint64_t start, end;
	double   score;
	uint64_t mark[MAX_MARKS];
	size_t   n_mark;
};

struct work {
	struct hit *hit;
	size_t n_hit;
	struct chosen *v;
	size_t n, cap;
	const struct hit *now;
};

static int add_hit(void *ctx, const struct search_hit *h)
{
	struct work *w = ctx;
	struct hit *x = &w->hit[w->n_hit];

	if (w->n_hit == MAX_HITS)
		return 0;
	*x = (struct hit){ .document = h->document, .start = h->start, .end = h->end, .score = h->score };
	for (; x->n_mark < h->n_mark && x->n_mark < MAX_MARKS; x->n_mark++)
		x->mark[x->n_mark] = h->mark[x->n_mark].start;
	w->n_hit++;
	return 0;
}

/* The part of a hit that falls into a span: of its words where they are known, else of its bytes. */
static double share(const struct hit *h, const struct cat_span *s)
{
	uint64_t lo = MAX(h->start, s->start), hi = MIN(h->end, s->end);
	size_t in = 0;

	if (lo >= hi)
		return 0;
	if (!h->n_mark)
		return (double)(hi - lo) / (double)(h->end - h->start);
	for (size_t i = 0; i < h->n_mark; i++)
		in += h->mark[i] >= s->start && h->mark[i] < s->end;
	return (double)in / (double)h->n_mark;
}

static int score_span(void *ctx, const struct cat_span *s)
{
	struct work *w = ctx;
	double part = share(w->now, s);

	if (part <= 0)
		return 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].span.id == s->id) {
			w->v[i].score += part * w->now->score;
			return 0;
		}
	if (w->n == w->cap) {
		size_t cap = 2 * w->cap + 64;
		struct chosen *v = realloc(w->v, cap * sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->n++] = (struct chosen){ *s, part * w->now->score };
	return 0;
}

static int by_score(const void *a, const void *b)
{
	const struct chosen *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return x->span.id < y->span.id ? -1 : x->span.id > y->span.id;
}

int choose_spans(struct pages *p, struct catalog *c, const char *question, size_t n_question,
		 const int64_t *snapshot, size_t n_snapshot, size_t k, struct chosen **out, size_t *n,
		 struct err *e)
{
	struct work w = { .hit = calloc(MAX_HITS, sizeof(*w.hit)) };
	struct buf query = { 0 };
	int rc = w.hit ? search_query_of(question, n_question, &query, e) : err_nomem(e);

	*out = NULL;
	*n = 0;
	if (rc == ERR_NOTFOUND) {
		rc = 0;
		goto end;
	}
	if (!rc)
		rc = search_words(c, query.data, snapshot, n_snapshot, MAX_HITS, add_hit, &w, e);
	for (size_t i = 0; i < w.n_hit && !rc; i++) {
		rc = pages_cut(p, &w.hit[i].document, 1, e);
		w.now = &w.hit[i];
		if (!rc)
			rc = cat_spans(c, w.hit[i].document, pages_engine(p), CAT_ISOLATED, score_span, &w, e);
	}
	if (rc)
		goto end;
	if (w.n)
		qsort(w.v, w.n, sizeof(*w.v), by_score);
	*n = MIN(k, w.n);
	*out = w.v;
	w.v = NULL;
end:
	buf_release(&query);
	free(w.hit);
	free(w.v);
	return rc;
}
