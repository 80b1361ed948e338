/* The model writes: tokens drafted by guess.c and verified, each sentence cited when it ends. */
#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/stop.h"

#include <stdlib.h>
#include <string.h>

/* Where the answer stands. */
struct writing {
	struct tok_stream stream;
	size_t  shown;			/* bytes of the text that were handed out */
	struct buf held;		/* written by the model, may become "[1]" yet */
	int64_t left;			/* tokens that may still be written */
};

static int push_said(struct run *r, int32_t id, struct err *e)
{
	if (r->said.n == r->said.cap) {
		size_t cap = 2 * r->said.cap + 64;
		int32_t *more = realloc(r->said.id, cap * sizeof(*more));

		if (!more)
			return err_nomem(e);
		r->said.id = more;
		r->said.cap = cap;
	}
	r->said.id[r->said.n++] = id;
	return 0;
}

/* Hand out what is new.  With strict a sentence may yet be taken back, so only whole ones are. */
static void emit(struct run *r, struct writing *w, bool at_end)
{
	struct buf *t = &r->out->text;
	size_t end = at_end ? t->len : r->o->strict ? cite_done(r->cite) : t->len;

	if (r->o->on_text && end > w->shown)
		r->o->on_text(r->o->ctx, t->data + w->shown, end - w->shown);
	w->shown = MAX(w->shown, end);
}

/* What the model wrote goes into the text once it cannot be mistaken for a mark of ours. */
static int settle(struct run *r, struct writing *w, bool at_end, struct err *e)
{
	struct buf *t = &r->out->text, *h = &w->held;
	size_t n = h->len ? cite_defuse(h->data, h->len, t->len ? t->data[t->len - 1] : 0) : 0;

	n = at_end ? h->len : n;
	buf_add(t, h->data ? h->data : "", n);
	if (t->failed || h->failed)
		return err_nomem(e);
	if (n)
		memmove(h->data, h->data + n, h->len - n);
	h->len -= n;
	return 0;
}

/* Token k of the pass just made belongs to the answer: its text, where it looked, and whether a
 * sentence ended with it. */
static int take(struct run *r, struct writing *w, int32_t id, size_t k, struct err *e)
{
	int rc;

	tok_stream_push(encoder_tok(r->enc), &w->stream, id, &w->held);
	rc = settle(r, w, false, e);
	trace_take(r->trace, k);
	if (!rc)
		rc = cite_more(r->cite, r->out, r->trace, false, e);
	if (!rc)
		emit(r, w, false);
	w->left--;
	return rc;
}

/* Run the token that was chosen and a draft behind it; logits get a row for each. */
static int pass(struct run *r, const int32_t *token, size_t n, struct err *e)
{
	struct talk *talk = r->o->talk;
	struct fwd_item item = { .kv = r->kv, .token = token, .n = n, .logits = r->logits, .all_logits = true,
				 .tap = trace_tap(r->trace), .source = r->source,
				 .sink = talk ? talk_sink(talk) : NULL };
	int rc = talk ? talk_said(talk, token, n, e) : 0;

	return rc ? rc : forward_run(engine_forward(encoder_engine(r->enc)), &item, 1, e);
}

/* Forget the last n tokens of the pass: drafts that did not hold. */
static int drop(struct run *r, size_t n, struct err *e)
{
	struct talk *talk = r->o->talk;

	if (talk)
		talk_truncate(talk, talk_count(talk) - n);
	return kv_truncate(r->kv, r->kv->n - (int64_t)n, e);
}

/* One pass: token[0] is the answer's next one.  Leaves the one after the last that held in *next. */
static int advance(struct run *r, struct writing *w, int32_t *next, struct err *e)
{
	const struct tok *tok = encoder_tok(r->enc);
	size_t n_vocab = engine_plan(encoder_engine(r->enc))->n_vocab, n = 0, held = 0;
	int32_t token[GUESS_ROWS] = { *next };
	int rc = push_said(r, *next, e);

	/* What a far source picked for drafts that fail would count as looked at. */
	if (!rc && !r->o->no_guess && !r->far)
		n = guess_next(&r->guess, r->said.id, r->said.n, (size_t)MIN(w->left - 1, GUESS_MAX), token + 1);
	if (!rc)
		rc = pass(r, token, n + 1, e);
	if (!rc && r->far)
		rc = answer_far_look(r, e);
	if (!rc)
		rc = take(r, w, token[0], 0, e);
	while (!rc) {
		*next = sampler_next(r->sampler, r->logits + held * n_vocab, r->said.id, r->said.n);
		if (held == n || *next != token[held + 1] || tok_is_stop(tok, *next))
			break;
		held++;
		rc = push_said(r, *next, e);
		if (!rc)
			rc = take(r, w, *next, held, e);
	}
	guess_told(&r->guess, n, held);
	if (!rc && held < n)
		rc = drop(r, n - held, e);
	return rc;
}

int decode_answer(struct run *r, struct err *e)
{
	struct answer *a = r->out;
	struct writing w = { .left = r->o->max_tokens ? r->o->max_tokens : ANSWER_TOKENS };
	int32_t next = sampler_next(r->sampler, r->logits, NULL, 0);
	bool ended = false;
	int rc = 0;

	while (!rc && !ended && w.left > 0 && !stop_requested()) {
		ended = tok_is_stop(encoder_tok(r->enc), next);
		if (!ended)
			rc = advance(r, &w, &next, e);
		if (!a->t_first)
			a->t_first = clock_now() - r->start;
	}
	a->truncated = !rc && !ended && !stop_requested() && !tok_is_stop(encoder_tok(r->enc), next);
	if (!rc) {
		tok_stream_flush(&w.stream, &w.held);
		rc = settle(r, &w, true, e);
	}
	if (!rc)
		rc = cite_more(r->cite, a, r->trace, true, e);
	if (!rc)
		emit(r, &w, true);
	buf_release(&w.held);
	a->drafted = r->guess.drafted;
	a->held = r->guess.held;
	return rc;
}
