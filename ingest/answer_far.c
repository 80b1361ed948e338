/* Answers of models whose far layers are NoPE: every mounted page takes part, nothing is laid out.
 *
 * The question continues after the preamble in a chunk of its own; far attention (engine/far.h) merges
 * the mounted pages into each far layer.  Which spans an answer rests on is known only when it has looked:
 * after each pass the tokens that drew attention are traced to their spans, and those that drew more than
 * a little become the answer's spans, numbered behind each other as cite.c wants it. */
#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/size.h"
#include "engine/far.h"
#include "ingest/choose.h"

#include <stdlib.h>
#include <string.h>

#define EXACT_BELOW 16384	/* tokens; there the scan is as fast as choosing */
#define PLACE_SHARE 0.02	/* of a token's attention: a span that drew less is not looked at */
#define PLACE_MOST  8		/* spans that one token can bring in */

struct answer_far {
	struct cat_mount *mount;	/* [n], by extent row; view_entry.user is the index */
	size_t      n;
	struct far *far;
	struct kv  *kv;
	int64_t    *first;		/* [extents of the view] own token number of its first token, or -1 */
	int64_t     end;		/* of all placed */
	double      mass;
	uint64_t    n_pass;
};

/* ---- before ---- */

static int encode_best(struct run *r, struct err *e)
{
	struct answer *a = r->out;
	int rc = answer_find(r->p, r->c, r->o, a, e);

	if (!rc)
		rc = layout_encode(r, e);
	/* Which spans the answer rests on, its attention says. */
	answer_keep_spans(a, 0);
	return rc;
}

int answer_far_ready(struct run *r, struct err *e)
{
	const struct answer_opts *o = r->o;
	struct cat_totals t;
	int rc = cat_totals(r->c, pages_engine(r->p), CAT_ISOLATED, o->snapshot, o->n_snapshot, o->document,
			    o->n_document, &t, e);

	*r->out = (struct answer){ 0 };
	if (!rc && (t.n_uncut || t.n_encoded < t.n_token))
		rc = encode_best(r, e);
	r->out->by_attention = true;
	return rc ? rc : answer_count(r->p, r->c, o, r->out, e);
}

/* ---- mounting ---- */

static int mount(struct run *r, struct err *e)
{
	struct answer_far *f = r->far;
	struct view_entry *entry;
	uint64_t missing;
	int rc = cat_mounts(r->c, pages_engine(r->p), CAT_ISOLATED, r->o->snapshot, r->o->n_snapshot, r->o->document,
			    r->o->n_document, NULL, &f->mount, &f->n, &missing, e);

	if (rc)
		return rc;
	entry = calloc(f->n + 1, sizeof(*entry));
	if (!entry)
		return err_nomem(e);
	for (size_t i = 0; i < f->n; i++)
		entry[i] = (struct view_entry){ .span = f->mount[i].last, .kv = f->mount[i].ref,
						.n_token = f->mount[i].n_token,
						.type = (uint8_t)f->mount[i].type, .user = i };
	rc = view_new(&r->view, pages_store(r->p), encoder_geom(r->enc), entry, f->n, e);
	free(entry);
	if (rc)
		return rc;
	r->out->total = view_tokens(r->view) + missing;
	f->first = malloc((view_count(r->view) + 1) * sizeof(*f->first));
	if (!f->first)
		return err_nomem(e);
	for (size_t i = 0; i < view_count(r->view); i++)
		f->first[i] = -1;
	return 0;
}

static int open_far(struct run *r, struct err *e)
{
	const struct answer_opts *o = r->o;
	struct answer_far *f = r->far;
	uint64_t n = view_tokens(r->view);
	struct far_opts fo = { .law = o->law, .trace = true };

	r->out->exact = o->attend == ATTEND_ALL || (o->attend == ATTEND_AUTO ? n <= EXACT_BELOW : o->attend >= n);
	fo.mode = r->out->exact ? FAR_EXACT : FAR_SELECT;
	if (o->attend != ATTEND_ALL && o->attend != ATTEND_AUTO)
		fo.rerank = (uint32_t)MIN(o->attend, (uint64_t)1 << 20);
	return far_new(&f->far, encoder_engine(r->enc), r->view, &fo, e);
}

static void unmount(struct run *r)
{
	struct answer_far *f = r->far;

	far_free(f->far);
	kv_free(f->kv);
	view_free(r->view);
	free(f->mount);
	free(f->first);
	r->view = NULL;
	r->kv = NULL;
	r->source = NULL;
	*f = (struct answer_far){ 0 };
}

/* ---- damage ---- */

/* Forget what is damaged, so that its spans count as not encoded, and encode them again. */
static int mend(struct run *r, struct err *e)
{
	struct answer_far *f = r->far;
	size_t n, m = 0;
	const struct view_bad *bad = far_damaged(f->far, &n);
	struct cat_span *span = calloc(n + 1, sizeof(*span));
	int rc = span ? cat_begin(r->c, e) : err_nomem(e);

	if (rc) {
		free(span);
		return rc;
	}
	for (size_t i = 0; i < n && !rc; i++) {
		const struct cat_mount *x = &f->mount[view_get(r->view, bad[i].extent)->user];
		bool again = false;

		for (size_t j = 0; j < m; j++)
			again |= span[j].id == x->span;
		if (again)
			continue;
		rc = cat_del_extent(r->c, x->extent, e);
		if (!rc)
			rc = cat_span(r->c, x->span, &span[m++], e);
	}
	if (!rc)
		rc = cat_commit(r->c, e);
	else
		cat_rollback(r->c);
	if (!rc)
		rc = pages_encode(r->p, span, m, r->o->on_encode, r->o->ctx, &r->out->encoded, e);
	free(span);
	return rc;
}

/* ---- the question ---- */

/* What a model without chat template reads is text: the context, then the question as it was put. */
static int prompt_plain(struct run *r, struct err *e)
{
	const struct answer_opts *o = r->o;
	struct buf b = { 0 };
	int rc;

	if (o->talk && talk_count(o->talk))
		buf_adds(&b, "\n");
	if (o->context && o->n_context) {
		buf_add(&b, o->context, o->n_context);
		buf_adds(&b, "\n");
	}
	buf_add(&b, o->question, o->n_question);
	rc = b.failed ? err_nomem(e) : tok_encode(encoder_tok(r->enc), b.data, b.len, 0, &r->prompt, NULL, e);
	buf_release(&b);
	return rc;
}

static int prompt_chat(struct run *r, struct err *e)
{
	const struct answer_opts *o = r->o;
	const struct chat *chat = encoder_chat(r->enc);
	struct buf b = { 0 };
	int rc = 0;

	if (o->talk && talk_count(o->talk)) {
		rc = chat_tail(chat, &r->prompt, e);
		if (!rc)
			rc = chat_head(chat, CHAT_USER, &r->prompt, e);
	}
	if (o->context && o->n_context) {
		buf_add(&b, o->context, o->n_context);
		buf_adds(&b, "\n\n");
	}
	buf_adds(&b, "Question: ");
	buf_add(&b, o->question, o->n_question);
	if (!rc)
		rc = b.failed ? err_nomem(e) : tok_encode(encoder_tok(r->enc), b.data, b.len, 0, &r->prompt, NULL, e);
	if (!rc)
		rc = chat_tail(chat, &r->prompt, e);
	if (!rc)
		rc = chat_prompt(chat, CHAT_NO_THINK, &r->prompt, e);
	buf_release(&b);
	return rc;
}

/* Earlier turns are read again: the near layers' keys and values are not kept. */
static int read_turns(struct run *r, struct err *e)
{
	const struct tok_ids *said = r->o->talk ? talk_history(r->o->talk) : NULL;

	if (!said || !said->n)
		return 0;
	r->out->fresh += said->n;
	return engine_feed(encoder_engine(r->enc), r->kv, said->id, said->n, NULL, false, r->source, e);
}

static int ask(struct run *r, struct err *e)
{
	struct answer_far *f = r->far;
	struct engine *en = encoder_engine(r->enc);
	bool plain = chat_family(encoder_chat(r->enc)) == CHAT_PLAIN;
	int rc = engine_seq(en, encoder_preamble(r->enc), &f->kv, e);

	r->kv = f->kv;
	r->source = far_source(f->far);
	r->prompt.n = 0;
	if (!rc)
		rc = plain ? prompt_plain(r, e) : prompt_chat(r, e);
	if (!rc)
		rc = read_turns(r, e);
	if (!rc)
		rc = engine_feed(en, f->kv, r->prompt.id, r->prompt.n, r->logits, false, r->source, e);
	r->out->fresh += r->prompt.n;
	return rc;
}

int answer_far_open(struct run *r, struct err *e)
{
	struct engine *en = encoder_engine(r->enc);
	int rc = 0;

	r->far = calloc(1, sizeof(*r->far));
	if (!r->far || !(r->logits = malloc(engine_plan(en)->n_vocab * sizeof(float))))
		return err_nomem(e);
	/* Damage is mended once; a disk that damages pages faster than they are encoded is an error. */
	for (int try = 0; try < 2; try++) {
		rc = mount(r, e);
		if (!rc && view_count(r->view) == 0)
			return 0;
		if (!rc)
			rc = open_far(r, e);
		if (!rc)
			rc = ask(r, e);
		if (rc != ERR_CORRUPT || !r->far->far || try)
			break;
		rc = mend(r, e);
		unmount(r);
		if (rc)
			return rc;
	}
	/* Once it went in without damage. */
	if (!rc && r->o->talk)
		rc = talk_said(r->o->talk, r->prompt.id, r->prompt.n, e);
	if (!rc)
		rc = trace_new(&r->trace, en, r->kv, 0, e);
	if (!rc)
		rc = cite_new(&r->cite, r->p, r->c, r->out, r->o, e);
	return rc ? rc : answer_far_look(r, e);
}

void answer_far_free(struct run *r)
{
	if (!r->far)
		return;
	unmount(r);
	free(r->far);
	r->far = NULL;
}

/* ---- where it looked ---- */

struct peak {
	uint32_t extent;
	double share;
};

/* Extents by the share of the pass's attention they drew, the largest first; at most n of them. */
static size_t find_peaks(const struct far_hit *hit, size_t n_hit, struct peak *peak, size_t n)
{
	struct peak all[256];
	size_t m = 0, k = 0;

	for (size_t i = 0; i < n_hit; i++) {
		size_t j = 0;

		while (j < m && all[j].extent != hit[i].extent)
			j++;
		if (j == m && m == ARRAY_LEN(all))
			continue;
		if (j == m)
			all[m++] = (struct peak){ hit[i].extent, 0 };
		all[j].share += (double)hit[i].weight;
	}
	for (; k < n; k++) {
		size_t best = k;

		for (size_t j = k; j < m; j++)
			if (all[j].share > all[best].share)
				best = j;
		if (best >= m || all[best].share < PLACE_SHARE)
			break;
		peak[k] = all[best];
		all[best] = all[k];
		all[k] = peak[k];
	}
	return k;
}

/* The span becomes one of the answer's. */
static int place(struct run *r, uint32_t extent, double share, struct err *e)
{
	struct answer_far *f = r->far;
	struct answer *a = r->out;
	const struct cat_mount *m = &f->mount[view_get(r->view, extent)->user];
	struct answer_span *more = realloc(a->span, (a->n_span + 1) * sizeof(*more)), *s;
	int rc;

	if (!more)
		return err_nomem(e);
	a->span = more;
	s = &a->span[a->n_span];
	*s = (struct answer_span){ .score = share };
	rc = cat_span(r->c, m->span, &s->span, e);
	if (!rc)
		rc = answer_locate(r->c, r->o->snapshot, r->o->n_snapshot, s, e);
	a->n_span++;
	if (!rc)
		rc = cite_span(r->cite, a->n_span - 1, f->end, e);
	f->first[extent] = f->end;
	f->end += m->n_token;
	return rc;
}

int answer_far_look(struct run *r, struct err *e)
{
	struct answer_far *f = r->far;
	struct peak peak[PLACE_MOST];
	size_t n_hit, n;
	const struct far_hit *hit = far_hits(f->far, &n_hit);
	int rc = 0;

	n = find_peaks(hit, n_hit, peak, PLACE_MOST);
	for (size_t i = 0; i < n && !rc; i++)
		if (f->first[peak[i].extent] < 0)
			rc = place(r, peak[i].extent, peak[i].share, e);
	for (size_t i = 0; i < n_hit && !rc; i++)
		if (f->first[hit[i].extent] >= 0)
			rc = trace_add(r->trace, (size_t)f->first[hit[i].extent] + hit[i].t, (double)hit[i].weight, e);
	f->mass += far_mass(f->far);
	f->n_pass++;
	r->out->mass = f->mass / (double)f->n_pass;
	r->out->attended = far_stats(f->far).distinct;
	r->out->reused = view_tokens(r->view);
	far_reset_hits(f->far);
	return rc;
}

/* ---- passages alone ---- */

/* The question's tokens one after the other (with logits: without, the last layer need not look), and what each extent drew of them. */
static int gather_shares(struct run *r, double *share, struct err *e)
{
	struct answer_far *f = r->far;
	int rc = engine_seq(encoder_engine(r->enc), encoder_preamble(r->enc), &f->kv, e);

	if (!rc)
		rc = prompt_plain(r, e);
	for (size_t i = 0; i < r->prompt.n && !rc; i++) {
		const struct far_hit *hit;
		size_t n;

		rc = engine_feed(encoder_engine(r->enc), f->kv, &r->prompt.id[i], 1, r->logits, false, far_source(f->far), e);
		hit = far_hits(f->far, &n);
		for (size_t k = 0; k < n; k++)
			share[hit[k].extent] += (double)hit[k].weight;
		far_reset_hits(f->far);
	}
	return rc;
}

struct ranked {
	uint32_t extent;
	double   score;
};

static int by_score(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->extent < y->extent ? -1 : x->extent > y->extent;
}

/* Both signals against their best: an extent that is first in both scores 2. */
static size_t fuse(struct run *r, const double *share, const struct chosen *text, size_t n_text,
		   struct ranked *all)
{
	size_t n = 0;
	double top_share = 0, top_text = 0;

	for (size_t i = 0; i < view_count(r->view); i++)
		top_share = MAX(top_share, share[i]);
	for (size_t i = 0; i < n_text; i++)
		top_text = MAX(top_text, text[i].score);
	for (uint32_t i = 0; i < view_count(r->view); i++) {
		double score = top_share > 0 ? share[i] / top_share : 0;

		for (size_t k = 0; k < n_text; k++)
			if (id_eq(&text[k].span.last, &view_get(r->view, i)->span)) {
				score += top_text > 0 ? text[k].score / top_text : 0;
				break;
			}
		if (score > 0)
			all[n++] = (struct ranked){ i, score };
	}
	if (n)
		qsort(all, n, sizeof(*all), by_score);
	return n;
}

static int take_best(struct run *r, const struct ranked *all, size_t n, struct err *e)
{
	struct answer *a = r->out;
	int rc = 0;

	a->span = calloc(n + 1, sizeof(*a->span));
	if (!a->span)
		return err_nomem(e);
	for (size_t i = 0; i < n && !rc; i++) {
		const struct cat_mount *m = &r->far->mount[view_get(r->view, all[i].extent)->user];
		struct answer_span *s = &a->span[a->n_span++];

		rc = cat_span(r->c, m->span, &s->span, e);
		s->score = all[i].score;
		if (!rc)
			rc = answer_locate(r->c, r->o->snapshot, r->o->n_snapshot, s, e);
	}
	return rc;
}

int answer_find_far(struct pages *p, struct catalog *c, struct encoder *enc, const struct answer_opts *o,
		    struct answer *out, struct err *e)
{
	struct run r = { .p = p, .c = c, .enc = enc, .o = o, .out = out };
	struct choose_query q = { .question = o->question, .n_question = o->n_question, .snapshot = o->snapshot,
				  .n_snapshot = o->n_snapshot, .document = o->document,
				  .n_document = o->n_document, .k = 4 * (o->n_span ? o->n_span : 4) };
	struct ranked *all = NULL;
	struct chosen *text = NULL;
	double *share = NULL, start = clock_now();
	size_t n_text = 0, n = 0;
	int rc = answer_far_ready(&r, e);

	r.far = calloc(1, sizeof(*r.far));
	r.logits = malloc(engine_plan(encoder_engine(enc))->n_vocab * sizeof(float));
	if (!rc && (!r.far || !r.logits))
		rc = err_nomem(e);
	if (!rc)
		rc = mount(&r, e);
	if (!rc && view_count(r.view)) {
		share = calloc(view_count(r.view), sizeof(*share));
		all = calloc(view_count(r.view), sizeof(*all));
		rc = share && all ? open_far(&r, e) : err_nomem(e);
		if (!rc)
			rc = choose_spans(p, c, &q, &text, &n_text, e);
		if (!rc)
			rc = gather_shares(&r, share, e);
		if (!rc)
			n = fuse(&r, share, text, n_text, all);
		if (!rc)
			rc = take_best(&r, all, MIN(n, o->n_span ? o->n_span : 4), e);
	}
	answer_far_free(&r);
	free(r.prompt.id);
	free(r.logits);
	free(share);
	free(all);
	free(text);
	out->t_choose = clock_now() - start;
	return rc;
}
