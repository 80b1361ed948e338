#include "config.h"

#include "ingest/calibrate.h"
#include "base/size.h"
#include "engine/headscore.h"
#include "ingest/choose_heads.h"
#include "ingest/rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const unsigned cal_at[CAL_AT] = { 1, 4, 8 };

/* Tried on the half where heads are found; the first of equals wins. */
static const double TEXT_WEIGHT[] = { 0.5, 1, 0.25, 2, 4 };
static const uint32_t N_HEAD[] = { 16, 12, 8, 4 };

struct cal {
	struct encoder *enc;
	const struct cal_windows *w;
	struct heads all;		/* every head of the model */
	struct headscore *s;
	float  *score;			/* [window][question, then the neutral one][head] */
	double *text;			/* [question][window] */
	cal_fn *fn;
	void   *ctx;
	uint64_t done, total;
};

/* ---- scores ---- */

static int all_heads(struct cal *c, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(c->enc));
	uint32_t n = p->n_far * p->n_head;
	struct head *h = calloc(n, sizeof(*h));
	int rc;

	for (uint32_t i = 0; h && i < n; i++)
		h[i] = (struct head){ i / p->n_head, i % p->n_head };
	rc = h ? heads_set(&c->all, p, h, n, e) : err_nomem(e);
	free(h);
	return rc;
}

static int run_questions(struct cal *c, struct err *e)
{
	struct headscore_text *t = calloc(c->w->n + 1, sizeof(*t));
	int rc = t ? 0 : err_nomem(e);

	for (size_t i = 0; i < c->w->n && !rc; i++)
		t[i] = (struct headscore_text){ c->w->v[i].question, c->w->v[i].n_question };
	if (!rc) {
		t[c->w->n] = headscore_neutral;
		rc = headscore_new(&c->s, c->enc, &c->all, t, c->w->n + 1, e);
	}
	free(t);
	return rc;
}

/* A window was encoded: the keys of all its heads, put to all questions, and forgotten. */
static int on_window(void *ctx, const struct encode_span *span, const struct extent_build *built, struct err *e)
{
	static const struct id none;
	struct cal *c = ctx;
	const struct kv_geom *g = encoder_geom(c->enc);
	struct spanidx_plan plan;
	struct spanidx part;
	struct extent x;
	void *bytes = NULL;
	size_t n;
	const void *image = extent_build_image(built, &n);
	int rc = extent_parse(&x, image, n, e);

	if (!rc)
		rc = spanidx_plan_init(&plan, x.plan.n_token, c->all.n_pair, g->head_dim, e);
	if (!rc && !(bytes = aligned_alloc(64, plan.bytes)))
		rc = err_nomem(e);
	if (!rc) {
		memset(bytes, 0, plan.bytes);
		rc = spanidx_from_extent(&plan, &x, c->all.pair, &none, bytes, e);
	}
	if (!rc)
		rc = spanidx_parse_again(&part, bytes, &none, e);
	if (!rc)
		rc = headscore_part(c->s, &part, c->score + span->user * (c->w->n + 1) * c->all.n, e);
	free(bytes);
	c->done += span->n;
	if (c->fn && !rc)
		c->fn(c->ctx, c->done, c->total);
	return rc;
}

static int run_windows(struct cal *c, struct err *e)
{
	struct encode_span *span = calloc(c->w->n, sizeof(*span));
	struct tok_ids *ids = calloc(c->w->n, sizeof(*ids));
	int rc = span && ids ? 0 : err_nomem(e);

	for (size_t i = 0; i < c->w->n && !rc; i++) {
		rc = tok_encode(encoder_tok(c->enc), c->w->v[i].text, c->w->v[i].n_text, 0, &ids[i], NULL, e);
		span[i] = (struct encode_span){ ids[i].id, MIN((uint32_t)ids[i].n, encoder_span_max(c->enc)), i };
		c->total += span[i].n;
	}
	if (!rc)
		rc = encoder_run(c->enc, span, c->w->n, on_window, c, e);
	for (size_t i = 0; ids && i < c->w->n; i++)
		free(ids[i].id);
	free(ids);
	free(span);
	return rc;
}

static int score_text(struct cal *c, struct err *e)
{
	struct rank_doc *doc = calloc(c->w->n, sizeof(*doc));
	struct rank_terms *t = calloc(1, sizeof(*t));
	int rc = doc && t ? 0 : err_nomem(e);

	for (size_t q = 0; q < c->w->n && !rc; q++) {
		rank_split(c->w->v[q].question, c->w->v[q].n_question, t);
		for (size_t i = 0; i < c->w->n; i++)
			rank_count(t, c->w->v[i].text, c->w->v[i].n_text, &doc[i]);
		rank_score(t, doc, c->w->n, c->text + q * c->w->n);
		choose_z(c->text + q * c->w->n, c->w->n);
	}
	free(doc);
	free(t);
	return rc;
}

/* ---- ranks ---- */

/* What heads think of all windows, for one question: z of the mean over heads. */
static void heads_z(const struct cal *c, size_t q, const uint32_t *head, uint32_t n, double *z)
{
	size_t nw = c->w->n, nh = c->all.n;

	for (size_t i = 0; i < nw; i++) {
		const float *s = c->score + i * (nw + 1) * nh;

		z[i] = 0;
		for (uint32_t k = 0; k < n; k++)
			z[i] += (double)s[q * nh + head[k]] - (double)s[nw * nh + head[k]];
	}
	choose_z(z, nw);
}

/* How many windows are at least as good as the right one, itself included. */
static size_t rank_of(const double *z, const double *text, double weight, size_t n, size_t gold)
{
	double mine = (z ? z[gold] : 0) + (text ? weight * text[gold] : 0);
	size_t rank = 0;

	for (size_t i = 0; i < n; i++)
		rank += (z ? z[i] : 0) + (text ? weight * text[i] : 0) >= mine;
	return rank;
}

/* Mean reciprocal rank over every other question: from 0 where heads are found, from 1 where they are tested. */
static double quality(const struct cal *c, size_t first, const uint32_t *head, uint32_t n, double weight, double *z)
{
	size_t nw = c->w->n, m = 0;
	double sum = 0;

	for (size_t q = first; q < nw; q += 2, m++) {
		if (n)
			heads_z(c, q, head, n, z);
		sum += 1.0 / (double)rank_of(n ? z : NULL, weight > 0 ? c->text + q * nw : NULL, weight, nw, q);
	}
	return sum / (double)m;
}

struct graded {
	uint32_t head;
	double   quality;
};

static int by_quality(const void *a, const void *b)
{
	const struct graded *x = a, *y = b;

	if (x->quality != y->quality)
		return x->quality < y->quality ? 1 : -1;
	return x->head < y->head ? -1 : x->head > y->head;
}

/* The best heads and how many of them go best with which weight of full text. */
static int find(const struct cal *c, uint32_t max_head, uint32_t *head, uint32_t *n, double *weight, bool *better,
		struct err *e)
{
	struct graded *g = calloc(c->all.n, sizeof(*g));
	double *z = calloc(c->w->n, sizeof(*z)), best = -1;

	if (!g || !z) {
		free(g);
		free(z);
		return err_nomem(e);
	}
	for (uint32_t h = 0; h < c->all.n; h++)
		g[h] = (struct graded){ h, quality(c, 0, &h, 1, 0, z) };
	qsort(g, c->all.n, sizeof(*g), by_quality);
	for (uint32_t i = 0; i < max_head; i++)
		head[i] = g[i].head;
	for (size_t i = 0; i < ARRAY_LEN(N_HEAD); i++)
		for (size_t k = 0; k < ARRAY_LEN(TEXT_WEIGHT); k++) {
			uint32_t m = MIN(N_HEAD[i], max_head);
			double now = quality(c, 0, head, m, TEXT_WEIGHT[k], z);

			if (now > best) {
				best = now;
				*n = m;
				*weight = TEXT_WEIGHT[k];
			}
		}
	*better = best > quality(c, 0, NULL, 0, 1, z) &&
		  quality(c, 1, head, *n, *weight, z) > quality(c, 1, NULL, 0, 1, z);
	free(g);
	free(z);
	return 0;
}

static int recall(const struct cal *c, size_t first, const uint32_t *head, uint32_t n, double weight,
		  struct cal_recall *out, struct err *e)
{
	size_t nw = c->w->n;
	double *z = calloc(nw, sizeof(*z));

	if (!z)
		return err_nomem(e);
	*out = (struct cal_recall){ 0 };
	for (size_t q = first; q < nw; q += 2, out->n++) {
		const double *text = c->text + q * nw;

		heads_z(c, q, head, n, z);
		for (size_t i = 0; i < CAL_AT; i++) {
			out->text[i] += rank_of(NULL, text, 1, nw, q) <= cal_at[i];
			out->heads[i] += rank_of(z, NULL, 0, nw, q) <= cal_at[i];
			out->both[i] += rank_of(z, text, weight, nw, q) <= cal_at[i];
		}
	}
	for (size_t i = 0; i < CAL_AT; i++) {
		out->text[i] /= (double)out->n;
		out->heads[i] /= (double)out->n;
		out->both[i] /= (double)out->n;
	}
	free(z);
	return 0;
}

static int judge(struct cal *c, uint32_t max_head, struct cal_result *out, struct err *e)
{
	const struct model *m = engine_model(encoder_engine(c->enc));
	uint32_t *at = calloc(max_head, sizeof(*at)), n = 0;
	struct head *head = calloc(max_head, sizeof(*head));
	double weight = 0;
	int rc = at && head ? 0 : err_nomem(e);

	if (!rc)
		rc = find(c, max_head, at, &n, &weight, &out->better, e);
	if (!rc)
		rc = recall(c, 0, at, n, weight, &out->find, e);
	if (!rc)
		rc = recall(c, 1, at, n, weight, &out->test, e);
	for (uint32_t i = 0; i < n; i++)
		head[i] = c->all.head[at[i]];
	if (!rc)
		rc = heads_set(&out->heads, &m->plan, head, n, e);
	if (!rc) {
		model_id(m, &out->heads.model);
		out->heads.text = weight;
	}
	free(at);
	free(head);
	return rc;
}

int calibrate(struct encoder *enc, const struct cal_windows *w, uint32_t max_head, cal_fn *fn, void *ctx,
	      struct cal_result *out, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(enc));
	struct cal c = { .enc = enc, .w = w, .fn = fn, .ctx = ctx };
	int rc;

	*out = (struct cal_result){ .n_window = w->n };
	if (!heads_possible(p))
		return err_set(e, ERR_INVALID, "passages of '%s' are not chosen by retrieval heads: not all of its "
			       "layers see far by rotation alone", p->name);
	if (w->n < CAL_MIN_WINDOWS) {
		err_set(e, ERR_INVALID, "only %zu passages with a comment or docstring to ask about, %d are needed",
			w->n, CAL_MIN_WINDOWS);
		return err_hint(e, ERR_INVALID, "name more files, or ingest a source that has them");
	}
	rc = all_heads(&c, e);
	c.score = calloc(w->n * (w->n + 1) * c.all.n + 1, sizeof(*c.score));
	c.text = calloc(w->n * w->n, sizeof(*c.text));
	if (!rc && (!c.score || !c.text))
		rc = err_nomem(e);
	if (!rc)
		rc = run_questions(&c, e);
	if (!rc)
		rc = run_windows(&c, e);
	if (!rc)
		rc = score_text(&c, e);
	if (!rc)
		rc = judge(&c, MIN(max_head, c.all.n), out, e);
	out->n_token = c.total;
	headscore_free(c.s);
	heads_release(&c.all);
	free(c.score);
	free(c.text);
	return rc;
}
