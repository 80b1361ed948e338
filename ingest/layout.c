/* Chosen spans into one sequence: pages encoded where they are missing, a view over just these, keys
 * laid out at consecutive positions with their names between them, the question last. */
#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

#define TRACED_LAYERS 6
#define NAME_TOKENS   32	/* of "path:A-B" before a span; only for the estimate of room */

/* ---- what is fed ---- */

static int encode_text(struct run *r, const struct buf *b, struct err *e)
{
	return b->failed ? err_nomem(e) : tok_encode(encoder_tok(r->enc), b->data, b->len, 0, &r->prompt, NULL, e);
}

int layout_prompt(struct run *r, struct err *e)
{
	const struct answer_opts *o = r->o;
	const struct chat *chat = encoder_chat(r->enc);
	bool later = o->talk && talk_count(o->talk) > 0;
	struct buf b = { 0 };
	size_t n;
	int rc = 0;

	/* The turn before ended with its answer: its message is closed, and the next one opened. */
	if (later)
		rc = chat_tail(chat, &r->prompt, e);
	if (!rc && later)
		rc = chat_head(chat, CHAT_USER, &r->prompt, e);
	if (o->context && o->n_context) {
		buf_adds(&b, "\n\n");
		buf_add(&b, o->context, o->n_context);
	}
	buf_adds(&b, later && !b.len ? "Question: " : "\n\nQuestion: ");
	buf_add(&b, o->question, o->n_question);
	buf_adds(&b, "\n");
	if (!rc)
		rc = encode_text(r, &b, e);
	n = r->prompt.n;
	if (!rc)
		rc = chat_tail(chat, &r->prompt, e);
	if (!rc)
		rc = chat_prompt(chat, CHAT_NO_THINK, &r->prompt, e);
	if (!rc && r->prompt.n == n) {
		buf_clear(&b);
		buf_adds(&b, "Answer:");
		rc = encode_text(r, &b, e);
	}
	buf_release(&b);
	return rc;
}

/* Tokens of what stands around the spans, and of n spans with their names. */
static uint64_t around(const struct run *r)
{
	uint64_t n = r->prompt.n + (uint64_t)(r->o->max_tokens ? r->o->max_tokens : ANSWER_TOKENS);

	return n + (r->o->talk ? talk_count(r->o->talk) : 0) + encoder_preamble(r->enc)->n;
}

int layout_check_room(struct run *r, struct err *e)
{
	const struct plan *plan = engine_plan(encoder_engine(r->enc));
	struct answer *a = r->out;
	uint64_t rest = around(r), spans = 0;
	size_t n = 0;

	/* Best first: when the choice is ours, what does not fit is not chosen. */
	for (; n < a->n_span; n++) {
		uint64_t more = spans + a->span[n].span.n_token + NAME_TOKENS;

		if (r->o->attend == ATTEND_AUTO && n && rest + more > plan->n_ctx_train)
			break;
		spans = more;
	}
	answer_keep_spans(a, n);
	if (rest + spans <= plan->n_ctx_train)
		return 0;
	err_set(e, ERR_BUDGET, "about %llu tokens (passages %llu, earlier turns %llu, question and context %zu, answer "
		"up to %lld); '%s' was trained for %u", (unsigned long long)(rest + spans), (unsigned long long)spans,
		(unsigned long long)(r->o->talk ? talk_count(r->o->talk) : 0), r->prompt.n,
		(long long)(r->o->max_tokens ? r->o->max_tokens : ANSWER_TOKENS), plan->name, plan->n_ctx_train);
	return err_hint(e, ERR_BUDGET, r->o->attend == ATTEND_AUTO ?
			"give less context or a smaller --max-tokens, or begin a new session" :
			"ask for less with --attend, -S, --only or --max-tokens");
}

/* ---- pages ---- */

int layout_encode(struct run *r, struct err *e)
{
	struct answer *a = r->out;
	struct cat_span *span = calloc(a->n_span + 1, sizeof(*span));
	double start = clock_now();
	size_t n = 0;
	int rc = span ? 0 : err_nomem(e);

	for (size_t i = 0; i < a->n_span && span; i++)
		if (!a->span[i].span.extent)
			span[n++] = a->span[i].span;
	if (!rc && n && r->o->no_encode)
		rc = err_set(e, ERR_MODEL, "%zu of the %zu spans this question needs are not encoded with this model",
			     n,
			     a->n_span);
	if (!rc && n)
		rc = pages_encode(r->p, span, n, r->o->on_encode, r->o->ctx, &a->encoded, e);
	for (size_t i = 0; i < a->n_span && !rc; i++)
		rc = cat_span(r->c, a->span[i].span.id, &a->span[i].span, e);
	free(span);
	a->t_encode = clock_now() - start;
	return rc;
}

/* A view over just the chosen spans; entry.user is the index in out->span. */
struct extent_ref {
	struct view_entry *entry;
};

static int take_extent(void *ctx, const struct cat_extent *x)
{
	struct view_entry *en = ((struct extent_ref *)ctx)->entry;

	en->kv = x->ref;
	en->n_token = x->n_token;
	en->type = (uint8_t)x->type;
	return 0;
}

static int open_view(struct run *r, struct err *e)
{
	struct answer *a = r->out;
	struct view_entry *entry = calloc(a->n_span + 1, sizeof(*entry));
	int rc = entry ? 0 : err_nomem(e);

	for (size_t i = 0; i < a->n_span && !rc; i++) {
		struct extent_ref ref = { &entry[i] };

		entry[i].span = a->span[i].span.last;
		entry[i].user = i;
		rc = cat_extent(r->c, a->span[i].span.extent, take_extent, &ref, e);
	}
	if (!rc)
		rc = view_new(&r->view, pages_store(r->p), encoder_geom(r->enc), entry, a->n_span, e);
	free(entry);
	/* The disk works while the first names go through the model. */
	for (size_t i = 0; !rc && i < view_count(r->view); i++)
		view_prefetch(r->view, i);
	return rc;
}

/* ---- laying out ---- */

static int say(struct run *r, const char *text, size_t n, struct err *e)
{
	struct tok_ids ids = { 0 };
	int rc = tok_encode(encoder_tok(r->enc), text, n, 0, &ids, NULL, e);

	if (!rc && ids.n)
		rc = compose_tokens(r->comp, ids.id, ids.n, NULL, NULL, e);
	r->out->fresh += ids.n;
	free(ids.id);
	return rc;
}

/* The view keeps one of equal spans: found by identity. */
static uint32_t canonical(const struct view *v, const struct id *span)
{
	uint32_t i = 0;

	while (!id_eq(&view_get(v, i)->span, span))
		i++;
	return i;
}

static int place_span(struct run *r, size_t i, struct err *e)
{
	struct answer *a = r->out;
	struct answer_span *s = &a->span[i];
	uint32_t extent = canonical(r->view, &s->span.last);
	struct extent x;
	struct buf b = { 0 };
	int64_t first;
	int rc;

	buf_addf(&b, "%s%s:%llu-%llu\n", r->kv->n ? "\n" : "", s->path, (unsigned long long)s->first,
		 (unsigned long long)s->last);
	rc = b.failed ? err_nomem(e) : say(r, b.data, b.len, e);
	buf_release(&b);
	first = r->kv->n;
	if (!rc)
		rc = compose_span(r->comp, r->view, extent, e);
	if (!rc)
		rc = cite_span(r->cite, i, first, e);
	if (!rc)
		rc = view_extent(r->view, extent, &x, e);
	if (!rc)
		rc = guess_add(&r->guess, x.token, x.plan.n_token, e);
	a->reused += s->span.n_token;
	a->attended += s->span.n_token;
	return rc;
}

/* Spans from the worst to the best, each under its name, then earlier turns, then what is asked. */
static int lay_out(struct run *r, struct err *e)
{
	struct answer *a = r->out;
	struct talk *talk = r->o->talk;
	int rc = 0;

	for (size_t i = a->n_span; i-- > 0 && !rc;) {
		bool twin = false;

		/* Equal text at two places is one extent: laid out once, under its better name. */
		for (size_t j = 0; j < i; j++)
			twin |= id_eq(&a->span[j].span.last, &a->span[i].span.last);
		if (!twin)
			rc = place_span(r, i, e);
	}
	if (!rc && talk) {
		rc = compose_turns(r->comp, talk_kv(talk), e);
		a->reused += talk_count(talk);
	}
	if (!rc && talk)
		rc = talk_said(talk, r->prompt.id, r->prompt.n, e);
	if (!rc)
		rc = guess_add(&r->guess, r->prompt.id, r->prompt.n, e);
	if (!rc)
		rc = compose_tokens(r->comp, r->prompt.id, r->prompt.n, r->logits,
				    talk ? talk_sink(talk) : NULL, e);
	a->fresh += r->prompt.n;
	return rc;
}

int layout_open(struct run *r, struct err *e)
{
	struct engine *en = encoder_engine(r->enc);
	int rc = open_view(r, e);

	if (!rc)
		rc = compose_new(&r->comp, r->enc, e);
	if (rc)
		return rc;
	r->kv = compose_kv(r->comp);
	rc = trace_new(&r->trace, en, r->kv, TRACED_LAYERS, e);
	if (!rc)
		rc = cite_new(&r->cite, r->p, r->c, r->out, r->o, e);
	/* A row for each token of a pass of decode.c. */
	if (!rc && !(r->logits = malloc(GUESS_ROWS * engine_plan(en)->n_vocab * sizeof(float))))
		rc = err_nomem(e);
	if (!rc)
		rc = lay_out(r, e);
	return rc;
}
