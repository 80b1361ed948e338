#include "config.h"

#include "ingest/choose_heads.h"
#include "base/stop.h"
#include "cache/derive.h"
#include "cache/view.h"
#include "engine/headscore.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void choose_z(double *x, size_t n)
{
	double mean = 0, var = 0;

	for (size_t i = 0; i < n; i++)
		mean += x[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		var += (x[i] - mean) * (x[i] - mean) / (double)n;
	for (size_t i = 0; i < n; i++)
		x[i] = var > 0 ? (x[i] - mean) / sqrt(var) : 0;
}

/* What is asked and has pages. */
struct mounted {
	struct cat_mount *m;		/* in order of `last` */
	size_t   n;
	uint64_t with_part, total;	/* tokens */
};

static int mount(struct pages *p, struct catalog *c, const struct choose_query *q, struct mounted *x, struct err *e)
{
	const struct heads *h = pages_heads(p);
	struct id profile = derive_profile(h->pair, h->n_pair);
	struct cat_totals t;
	int rc = cat_totals(c, pages_engine(p), CAT_ISOLATED, q->snapshot, q->n_snapshot, q->document,
			    q->n_document, &t, e);

	x->m = NULL;
	x->n = 0;
	x->with_part = 0;
	/* Whether enough has pages is known without looking at any. */
	if (!rc && (double)t.n_encoded >= CHOOSE_COVERED * (double)t.n_estimated)
		rc = cat_mounts(c, pages_engine(p), CAT_ISOLATED, q->snapshot, q->n_snapshot, q->document,
				q->n_document, &profile, &x->m, &x->n, NULL, e);
	for (size_t i = 0; i < x->n && !rc; i++)
		x->with_part += x->m[i].part.number ? x->m[i].n_token : 0;
	x->total = t.n_estimated;
	return rc;
}

static bool covered(const struct mounted *x)
{
	return x->n && (double)x->with_part >= CHOOSE_COVERED * (double)x->total;
}

static int open_view(struct pages *p, const struct mounted *x, struct view **out, struct err *e)
{
	struct view_entry *entry = calloc(x->n + 1, sizeof(*entry));
	size_t n = 0;
	int rc = entry ? 0 : err_nomem(e);

	for (size_t i = 0; i < x->n && !rc; i++) {
		const struct cat_mount *m = &x->m[i];

		if (m->part.number)
			entry[n++] = (struct view_entry){ .span = m->last, .kv = m->ref, .part = m->part,
							  .n_token = m->n_token, .type = (uint8_t)m->type, .user = i };
	}
	if (!rc)
		rc = view_new(out, pages_store(p), encoder_geom(pages_encoder(p)), entry, n, e);
	free(entry);
	return rc;
}

/* Heads' scores of all parts, into score [x->n].  A damaged part is passed over: has[] stays false. */
static int score_parts(struct pages *p, const struct choose_query *q, const struct mounted *x, double *score,
		       bool *has, struct err *e)
{
	const struct heads *h = pages_heads(p);
	struct headscore_text text[2] = { { q->question, q->n_question }, headscore_neutral };
	struct id profile = derive_profile(h->pair, h->n_pair);
	struct headscore *s = NULL;
	struct view *v = NULL;
	struct view_ahead ahead;
	float *each = calloc(2 * h->n, sizeof(*each));
	uint32_t i;
	int rc = each ? headscore_new(&s, pages_encoder(p), h, text, 2, e) : err_nomem(e);

	if (!rc)
		rc = open_view(p, x, &v, e);
	if (!rc)
		view_ahead_parts(&ahead, v, NULL, 0);
	while (!rc && view_ahead_next(&ahead, &i)) {
		struct spanidx part;
		size_t at = (size_t)view_get(v, i)->user;

		rc = view_part(v, i, &profile, &part, e);
		if (rc == ERR_CORRUPT || rc == ERR_MISMATCH || rc == ERR_NOTFOUND) {
			rc = 0;
			continue;
		}
		if (!rc)
			rc = headscore_part(s, &part, each, e);
		for (uint32_t k = 0; k < h->n && !rc; k++)
			score[at] += ((double)each[k] - (double)each[h->n + k]) / h->n;
		has[at] = !rc;
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted while choosing passages");
	}
	view_free(v);
	headscore_free(s);
	free(each);
	return rc;
}

static int by_last(const void *a, const void *b)
{
	return id_cmp(&((const struct cat_mount *)a)->last, &((const struct cat_mount *)b)->last);
}

/* One row for each mounted span and each of full text's candidates that has no pages. */
static int fuse(const struct heads *h, struct catalog *c, const struct mounted *x, const double *score,
		const bool *has, struct chosen **v, size_t *n, struct err *e)
{
	size_t max = x->n + *n, m = 0, n_has = 0;
	struct chosen *out = calloc(max + 1, sizeof(*out));
	double *head = calloc(max + 1, sizeof(*head)), *text = calloc(max + 1, sizeof(*text));
	double *z = calloc(x->n + 1, sizeof(*z));
	int rc = out && head && text && z ? 0 : err_nomem(e);

	/* The heads' z is over the spans that have one; the others stand at its mean, 0. */
	for (size_t i = 0; i < x->n && !rc; i++)
		if (has[i])
			z[n_has++] = score[i];
	if (!rc)
		choose_z(z, n_has);
	n_has = 0;
	for (size_t i = 0; i < x->n && !rc; i++, m++) {
		rc = cat_span(c, x->m[i].span, &out[m].span, e);
		head[m] = has[i] ? z[n_has++] : 0;
	}
	for (size_t i = 0; i < *n && !rc; i++) {
		struct cat_mount key = { .last = (*v)[i].span.last };
		const struct cat_mount *found = x->n ? bsearch(&key, x->m, x->n, sizeof(key), by_last) : NULL;

		if (found) {
			size_t at = (size_t)(found - x->m);

			text[at] = (*v)[i].score > text[at] ? (*v)[i].score : text[at];
			continue;
		}
		out[m].span = (*v)[i].span;
		text[m++] = (*v)[i].score;
	}
	if (!rc) {
		choose_z(text, m);
		for (size_t i = 0; i < m; i++)
			out[i].score = head[i] + h->text * text[i];
		free(*v);
		*v = out;
		*n = m;
		out = NULL;
	}
	free(out);
	free(head);
	free(text);
	free(z);
	return rc;
}

int choose_by_heads(struct pages *p, struct catalog *c, const struct choose_query *q, struct chosen **v,
		    size_t *n, struct err *e)
{
	struct mounted x = { 0 };
	double *score = NULL;
	bool *has = NULL;
	int rc = mount(p, c, q, &x, e);

	/* Pages that were encoded before the heads were known get their parts now. */
	if (!rc && x.n && x.with_part < x.total) {
		size_t lacking = 0;

		for (size_t i = 0; i < x.n; i++)
			lacking += !x.m[i].part.number;
		if (lacking)
			rc = pages_index(p, e);
		if (lacking && !rc) {
			free(x.m);
			rc = mount(p, c, q, &x, e);
		}
	}
	if (!rc && covered(&x)) {
		score = calloc(x.n, sizeof(*score));
		has = calloc(x.n, sizeof(*has));
		rc = score && has ? score_parts(p, q, &x, score, has, e) : err_nomem(e);
		if (!rc)
			rc = fuse(pages_heads(p), c, &x, score, has, v, n, e);
		if (!rc && q->by_heads)
			*q->by_heads = true;
	}
	free(x.m);
	free(score);
	free(has);
	return rc;
}
