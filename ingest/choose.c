#include "config.h"

#include "ingest/choose.h"
#include "base/size.h"
#include "cache/search.h"
#include "ingest/choose_heads.h"
#include "ingest/rank.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HITS 200		/* passages looked at; spans behind them would not be among the best */
#define NARROW_HITS 100000	/* passages ranked where only some documents count */

struct hit {
	int64_t  document;
	uint64_t start, end;
};

struct work {
	const struct choose_query *q;
	struct hit *hit;
	size_t n_hit;
	struct chosen *v;
	size_t n, cap;
	const struct hit *now;
};

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int add_hit(void *ctx, const struct search_hit *h)
{
	struct work *w = ctx;
	const struct choose_query *q = w->q;

	if (q->document && !bsearch(&h->document, q->document, q->n_document, sizeof(*q->document), by_id))
		return 0;
	if (w->n_hit < MAX_HITS)
		w->hit[w->n_hit++] = (struct hit){ h->document, h->start, h->end };
	return 0;
}

/* A span that overlaps the passage is a candidate, once. */
static int add_span(void *ctx, const struct cat_span *s)
{
	struct work *w = ctx;

	if (MAX(w->now->start, s->start) >= MIN(w->now->end, s->end))
		return 0;
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].span.id == s->id)
			return 0;
	if (w->n == w->cap) {
		size_t cap = 2 * w->cap + 64;
		struct chosen *v = realloc(w->v, cap * sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->n++] = (struct chosen){ *s, 0 };
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct chosen *x = a, *y = b;

	if (x->span.document != y->span.document)
		return x->span.document < y->span.document ? -1 : 1;
	return x->span.start < y->span.start ? -1 : x->span.start > y->span.start;
}

static int by_score(const void *a, const void *b)
{
	const struct chosen *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return by_place(a, b);
}

/* Read every candidate's text, a document once, and give it its score. */
static int score_all(struct work *w, struct catalog *c, const struct rank_terms *t, struct err *e)
{
	struct rank_doc *doc = calloc(w->n + 1, sizeof(*doc));
	double *score = calloc(w->n + 1, sizeof(*score));
	struct buf text = { 0 };
	int64_t now = 0;
	int rc = doc && score ? 0 : err_nomem(e);

	if (w->n)
		qsort(w->v, w->n, sizeof(*w->v), by_place);
	for (size_t i = 0; i < w->n && !rc; i++) {
		const struct cat_span *s = &w->v[i].span;

		if (s->document != now) {
			buf_clear(&text);
			rc = cat_text(c, s->document, &text, e);
			now = s->document;
		}
		if (!rc && (s->start > s->end || s->end > text.len))
			rc = err_set(e, ERR_CORRUPT, "span %lld ends behind its document", (long long)s->id);
		if (!rc)
			rank_count(t, text.data + s->start, s->end - s->start, &doc[i]);
	}
	if (!rc) {
		rank_score(t, doc, w->n, score);
		for (size_t i = 0; i < w->n; i++)
			w->v[i].score = score[i];
	}
	buf_release(&text);
	free(doc);
	free(score);
	return rc;
}

int choose_spans(struct pages *p, struct catalog *c, const struct choose_query *q, struct chosen **out, size_t *n,
		 struct err *e)
{
	struct work w = { .hit = calloc(MAX_HITS, sizeof(*w.hit)), .q = q };
	/* Where few documents count, their passages may rank far behind others'. */
	size_t n_hit = q->document ? NARROW_HITS : MAX_HITS;
	struct rank_terms terms;
	struct buf query = { 0 };
	int rc = w.hit ? 0 : err_nomem(e);

	*out = NULL;
	*n = 0;
	rank_split(q->question, q->n_question, &terms);
	rank_query(&terms, &query);
	if (!rc && query.failed)
		rc = err_nomem(e);
	if (!rc && terms.n)
		rc = search_words(c, query.data, q->snapshot, q->n_snapshot, n_hit, add_hit, &w, e);
	for (size_t i = 0; i < w.n_hit && !rc; i++) {
		rc = pages_cut(p, &w.hit[i].document, 1, e);
		w.now = &w.hit[i];
		if (!rc)
			rc = cat_spans(c, w.hit[i].document, pages_engine(p), CAT_ISOLATED, add_span, &w, e);
	}
	if (!rc)
		rc = score_all(&w, c, &terms, e);
	if (q->by_heads)
		*q->by_heads = false;
	if (!rc && pages_heads(p))
		rc = choose_by_heads(p, c, q, &w.v, &w.n, e);
	if (!rc) {
		if (w.n)
			qsort(w.v, w.n, sizeof(*w.v), by_score);
		*n = MIN(q->k, w.n);
		*out = w.v;
		w.v = NULL;
	}
	buf_release(&query);
	free(w.hit);
	free(w.v);
	return rc;
}
