#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/stop.h"
#include "ingest/absent.h"

#include <stdlib.h>

static void release(struct run *r)
{
	sampler_free(r->sampler);
	cite_free(r->cite);
	trace_free(r->trace);
	compose_free(r->comp);
	if (r->far)
		answer_far_free(r);
	else
		view_free(r->view);
	free(r->logits);
	free(r->prompt.id);
	free(r->said.id);
	guess_release(&r->guess);
}

static int open_chosen(struct run *r, struct err *e)
{
	int rc = layout_prompt(r, e);

	if (!rc)
		rc = layout_check_room(r, e);
	if (!rc)
		rc = layout_encode(r, e);
	return rc ? rc : layout_open(r, e);
}

/* Does the question name what nothing in the library bears?  Then the nearest spans are all there is. */
static int unknown_names(struct run *r, bool *known, struct err *e)
{
	const struct answer_opts *o = r->o;
	struct buf absent = { 0 };
	size_t n = 0;
	int rc = o->anyway ? 0 : absent_find(r->c, o->question, o->n_question, o->context, o->n_context, o->snapshot, o->n_snapshot,
			     &absent, &n, e);

	*r->out = (struct answer){ 0 };
	*known = n == 0;
	if (!rc && n)
		rc = answer_find(r->p, r->c, o, r->out, e);
	r->out->absent = absent;
	r->out->n_absent = n;
	r->out->t_total = clock_now() - r->start;
	return rc;
}

/* Nothing that was said is supported: that is no answer. */
static void judge(struct answer *a)
{
	a->found = a->text.len > 0 && !(a->n_unsupported && !a->n_cite);
	if (!a->found)
		buf_clear(&a->text);
}

int answer_question(struct pages *p, struct catalog *c, struct encoder *enc, const struct answer_opts *o,
		    struct answer *out, struct err *e)
{
	struct run r = { .p = p, .c = c, .enc = enc, .o = o, .out = out, .start = clock_now() };
	struct sample_opts s = { .temperature = o->temperature, .top_p = o->top_p, .min_p = o->min_p,
				 .repeat_penalty = o->repeat_penalty, .repeat_last = 128, .seed = o->seed };
	bool far = plan_is_irope(engine_plan(encoder_engine(enc))), known;
	double mark;
	int rc = unknown_names(&r, &known, e);

	if (rc || !known)
		return rc;
	rc = far ? answer_far_ready(&r, e) : answer_find(p, c, o, out, e);

	if (rc || (!far && !out->n_span))
		return rc;
	mark = clock_now();
	rc = far ? answer_far_open(&r, e) : open_chosen(&r, e);
	if (!rc && !r.kv) {
		release(&r);
		return 0;
	}
	if (!rc)
		rc = sampler_new(&r.sampler, &s, engine_plan(encoder_engine(enc))->n_vocab, e);
	out->t_prefill = clock_now() - mark - (far ? 0 : out->t_encode);
	if (!rc)
		rc = decode_answer(&r, e);
	if (rc && o->talk)
		talk_drop(o->talk);
	if (stop_requested() || o->anyway)
		out->found = out->text.len > 0;
	else
		judge(out);
	out->t_total = clock_now() - r.start;
	if (!rc && stop_requested())
		rc = err_set(e, ERR_INTR, "interrupted");
	release(&r);
	return rc;
}

void answer_release(struct answer *a)
{
	for (size_t i = 0; i < a->n_span; i++) {
		free(a->span[i].source);
		free(a->span[i].snapshot);
		free(a->span[i].path);
	}
	for (size_t i = 0; i < a->n_cite; i++) {
		free(a->cite[i].anchor);
		free(a->cite[i].quote);
	}
	free(a->span);
	free(a->cite);
	buf_release(&a->text);
	buf_release(&a->unsupported);
	buf_release(&a->absent);
	*a = (struct answer){ 0 };
}
