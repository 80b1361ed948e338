/* The model writes: one token after the other, each sentence cited when it ends. */
#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/stop.h"

#include <stdlib.h>

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

/* One decode step, watched. */
static int step(struct run *r, int32_t id, struct err *e)
{
	struct fwd_item item = { .kv = r->kv, .token = &id, .n = 1, .logits = r->logits,
				 .tap = trace_tap(r->trace), .source = r->source };

	int rc = forward_run(engine_forward(encoder_engine(r->enc)), &item, 1, e);

	return rc || !r->far ? rc : answer_far_look(r, e);
}

static void emit(struct run *r, size_t from)
{
	struct buf *t = &r->out->text;

	if (r->o->on_text && t->len > from)
		r->o->on_text(r->o->ctx, t->data + from, t->len - from);
}

int decode_answer(struct run *r, struct err *e)
{
	struct answer *a = r->out;
	struct tok_stream stream = { 0 };
	int64_t max = r->o->max_tokens ? r->o->max_tokens : 256;
	int rc = 0;

	a->truncated = true;
	for (int64_t i = 0; i < max && !rc; i++) {
		int32_t id = sampler_next(r->sampler, r->logits, r->said.id, r->said.n);
		size_t from = a->text.len;

		if (i == 0)
			a->t_first = clock_now() - r->start;
		if (tok_is_stop(encoder_tok(r->enc), id) || stop_requested()) {
			a->truncated = false;
			break;
		}
		rc = push_said(r, id, e);
		tok_stream_push(encoder_tok(r->enc), &stream, id, &a->text);
		if (!rc)
			rc = step(r, id, e);
		if (!rc)
			rc = cite_more(r->cite, a, r->trace, false, e);
		emit(r, from);
	}
	if (!rc) {
		size_t from = a->text.len;

		tok_stream_flush(&stream, &a->text);
		rc = cite_more(r->cite, a, r->trace, true, e);
		emit(r, from);
	}
	return rc;
}
