/* Which spans a question is about, and where they come from. */
#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/size.h"
#include "ingest/choose.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_SPANS 4	/* laid out unless told otherwise: more is worse for most models */
#define SMALL_SPAN   128	/* tokens; how many spans a budget may need */

/* ---- where a span comes from ---- */

struct place {
	struct catalog *c;
	struct answer_span *s;
};

static int take_path(void *ctx, const struct cat_entry *en)
{
	struct place *p = ctx;

	if (!p->s->path)
		p->s->path = strndup(en->path, en->path_n);
	return 0;
}

int answer_locate(struct catalog *c, const int64_t *snapshot, size_t n, struct answer_span *s, struct err *e)
{
	struct place p = { c, s };
	struct cat_map *map;
	int rc = 0;

	for (size_t i = 0; i < n && !s->path && !rc; i++) {
		struct cat_snapshot snap;
		char hex[65];

		rc = cat_entries_of(c, snapshot[i], s->span.document, take_path, &p, e);
		if (rc || !s->path)
			continue;
		rc = cat_snapshot(c, snapshot[i], &snap, e);
		if (!rc)
			rc = cat_source_name(c, snap.source, &s->source, e);
		if (!rc) {
			id_hex(&snap.hash, hex);
			s->snapshot = strdup(hex);
		}
	}
	if (!rc && (!s->path || !s->source || !s->snapshot))
		rc = err_set(e, ERR_NOTFOUND, "document %lld is in none of the snapshots asked",
			     (long long)s->span.document);
	if (!rc)
		rc = cat_map_open(&map, c, s->span.document, e);
	if (rc)
		return rc;
	s->first = cat_map_line(map, s->span.start);
	s->last = cat_map_line(map, s->span.end ? s->span.end - 1 : 0);
	cat_map_close(map);
	return 0;
}

void answer_keep_spans(struct answer *a, size_t n)
{
	while (a->n_span > n) {
		struct answer_span *s = &a->span[--a->n_span];

		free(s->source);
		free(s->snapshot);
		free(s->path);
	}
}

/* ---- what there is ---- */

/* The documents a question is put to, each once. */
struct scope {
	const struct answer_opts *o;
	struct catalog *c;
	int64_t *doc;
	size_t   n, cap;
	uint64_t n_file;
};

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int add_document(void *ctx, const struct cat_entry *en)
{
	struct scope *s = ctx;
	const struct answer_opts *o = s->o;

	if (en->state != CAT_TEXT ||
	    (o->document && !bsearch(&en->document, o->document, o->n_document, sizeof(*o->document), by_id)))
		return 0;
	s->n_file++;
	if (s->n == s->cap) {
		size_t cap = 2 * s->cap + 256;
		int64_t *doc = realloc(s->doc, cap * sizeof(*doc));

		if (!doc)
			return ERR_NOMEM;
		s->doc = doc;
		s->cap = cap;
	}
	s->doc[s->n++] = en->document;
	return 0;
}

static int scope_open(struct scope *s, struct err *e)
{
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < s->o->n_snapshot && !rc; i++)
		rc = cat_entries(s->c, s->o->snapshot[i], add_document, s, e);
	if (rc == ERR_NOMEM)
		return err_nomem(e);
	if (s->n)
		qsort(s->doc, s->n, sizeof(*s->doc), by_id);
	for (size_t i = 0; i < s->n; i++)
		if (!n || s->doc[n - 1] != s->doc[i])
			s->doc[n++] = s->doc[i];
	s->n = n;
	return rc;
}

static int count_tokens(struct scope *s, struct pages *p, struct answer *out, struct err *e)
{
	struct cat_totals t;
	int rc = cat_totals(s->c, pages_engine(p), CAT_ISOLATED, s->o->snapshot, s->o->n_snapshot, s->o->document,
			    s->o->n_document, &t, e);

	if (rc)
		return rc;
	out->total = t.n_estimated;
	out->total_estimated = t.n_uncut > 0;
	out->n_file = s->n_file;
	return 0;
}

int answer_count(struct pages *p, struct catalog *c, const struct answer_opts *o, struct answer *out, struct err *e)
{
	struct scope s = { .o = o, .c = c };
	int rc = scope_open(&s, e);

	if (!rc)
		rc = count_tokens(&s, p, out, e);
	free(s.doc);
	return rc;
}

/* ---- which of it ---- */

struct list {
	struct chosen *v;
	size_t n, cap;
};

static int add_span(void *ctx, const struct cat_span *s)
{
	struct list *l = ctx;

	if (l->n == l->cap) {
		size_t cap = 2 * l->cap + 64;
		struct chosen *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (struct chosen){ *s, 0 };
	return 0;
}

/* The last one is laid out first: falling order gives rising identities. */
static int by_identity(const void *a, const void *b)
{
	const struct chosen *x = a, *y = b;

	return -memcmp(&x->span.last, &y->span.last, sizeof(x->span.last));
}

/* Every span, in canonical order.  A library that is too large by far is refused before it is cut. */
static int all_spans(struct pages *p, const struct scope *s, const struct answer *out, struct list *l, struct err *e)
{
	const struct plan *plan = engine_plan(encoder_engine(pages_encoder(p)));
	int rc = 0;

	if (out->total_estimated && out->total / 2 > plan->n_ctx_train) {
		err_set(e, ERR_BUDGET, "about %llu tokens; '%s' was trained for %u", (unsigned long long)out->total,
			plan->name, plan->n_ctx_train);
		return err_hint(e, ERR_BUDGET, "ask for less with --attend, -S or --only");
	}
	rc = pages_cut(p, s->doc, s->n, e);
	for (size_t i = 0; i < s->n && !rc; i++)
		rc = cat_spans(s->c, s->doc[i], pages_engine(p), CAT_ISOLATED, add_span, l, e);
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_identity);
	return rc == ERR_NOMEM ? err_nomem(e) : rc;
}

static int best_spans(struct pages *p, struct catalog *c, const struct answer_opts *o, struct list *l, bool *by_heads,
		      struct err *e)
{
	struct buf words = { 0 };
	struct choose_query q = { .snapshot = o->snapshot, .n_snapshot = o->n_snapshot, .document = o->document,
				  .n_document = o->n_document, .k = o->n_span ? o->n_span : ANSWER_SPANS,
				  .by_heads = by_heads };
	uint64_t sum = 0;
	size_t n = 0;
	int rc;

	if (o->attend)
		q.k = o->attend / SMALL_SPAN + 1;
	buf_add(&words, o->question, o->n_question);
	if (o->also) {
		buf_addc(&words, '\n');
		buf_add(&words, o->also, o->n_also);
	}
	if (words.failed)
		return err_nomem(e);
	q.question = words.data;
	q.n_question = words.len;
	rc = choose_spans(p, c, &q, &l->v, &l->n, e);
	/* As many of the best as the budget holds, one at least. */
	while (o->attend && !rc && n < l->n && (n == 0 || sum + l->v[n].span.n_token <= o->attend))
		sum += l->v[n++].span.n_token;
	l->n = o->attend ? n : l->n;
	buf_release(&words);
	return rc;
}

int answer_find(struct pages *p, struct catalog *c, const struct answer_opts *o, struct answer *out,
		struct err *e)
{
	struct scope s = { .o = o, .c = c };
	struct list l = { 0 };
	double start = clock_now();
	int rc;

	*out = (struct answer){ 0 };
	rc = scope_open(&s, e);
	if (!rc && o->attend != ATTEND_ALL)
		rc = best_spans(p, c, o, &l, &out->by_heads, e);
	if (!rc)
		rc = count_tokens(&s, p, out, e);
	if (!rc && o->attend == ATTEND_ALL)
		rc = all_spans(p, &s, out, &l, e);
	out->exact = o->attend == ATTEND_ALL;
	out->span = calloc(l.n + 1, sizeof(*out->span));
	if (!rc && !out->span)
		rc = err_nomem(e);
	for (size_t i = 0; i < l.n && !rc; i++) {
		struct answer_span *sp = &out->span[out->n_span++];

		sp->span = l.v[i].span;
		sp->score = l.v[i].score;
		rc = answer_locate(c, o->snapshot, o->n_snapshot, sp, e);
	}
	free(l.v);
	free(s.doc);
	out->t_choose = clock_now() - start;
	return rc;
}
