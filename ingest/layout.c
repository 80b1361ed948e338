/* Chosen spans into one sequence: pages encoded where they are missing, a view over just these, keys
 * laid out at consecutive positions with their names between them, the question last. */
#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

#define TRACED_LAYERS 6

int layout_check_room(struct run *r, struct err *e)
{
	const struct plan *plan = engine_plan(encoder_engine(r->enc));
	uint64_t need = r->o->n_question / 2 + r->o->n_context / 2 + (uint64_t)(r->o->max_tokens ? r->o->max_tokens : 256);

	for (size_t i = 0; i < r->out->n_span; i++)
		need += r->out->span[i].span.n_token + 32;
	if (need <= plan->n_ctx_train)
		return 0;
	err_set(e, ERR_BUDGET, "about %llu tokens of spans, question and answer; the model was trained for %u",
		(unsigned long long)need, plan->n_ctx_train);
	return err_hint(e, ERR_BUDGET, "ask for less with --attend or --max-tokens");
}

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

static int say(struct run *r, const char *text, size_t n, struct err *e)
{
	struct tok_ids ids = { 0 };
	int rc = tok_encode(encoder_tok(r->enc), text, n, 0, &ids, NULL, e);

	if (!rc && ids.n)
		rc = compose_tokens(r->comp, ids.id, ids.n, NULL, e);
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

/* Spans from the worst to the best, each under its name, then context and question. */
static int lay_out(struct run *r, struct err *e)
{
	struct answer *a = r->out;
	struct tok_ids tail = { 0 };
	struct buf b = { 0 };
	int rc = 0;

	for (size_t i = a->n_span; i-- > 0 && !rc;) {
		struct answer_span *s = &a->span[i];
		int64_t first;
		bool twin = false;

		/* Equal text at two places is one extent: laid out once, under its better name. */
		for (size_t j = 0; j < i; j++)
			twin |= id_eq(&a->span[j].span.last, &s->span.last);
		if (twin)
			continue;
		buf_clear(&b);
		buf_addf(&b, "%s%s:%llu-%llu\n", i + 1 < a->n_span ? "\n" : "", s->path, (unsigned long long)s->first,
			 (unsigned long long)s->last);
		rc = say(r, b.data, b.len, e);
		first = compose_kv(r->comp)->n;
		if (!rc)
			rc = compose_span(r->comp, r->view, canonical(r->view, &s->span.last), e);
		if (!rc)
			rc = cite_span(r->cite, i, first, e);
		a->reused += s->span.n_token;
	}
	buf_clear(&b);
	if (r->o->context && r->o->n_context) {
		buf_adds(&b, "\n\n");
		buf_add(&b, r->o->context, r->o->n_context);
	}
	buf_adds(&b, "\n\nQuestion: ");
	buf_add(&b, r->o->question, r->o->n_question);
	buf_adds(&b, "\n");
	if (!rc)
		rc = b.failed ? err_nomem(e) : say(r, b.data, b.len, e);
	if (!rc)
		rc = chat_tail(encoder_chat(r->enc), &tail, e);
	if (!rc)
		rc = chat_prompt(encoder_chat(r->enc), CHAT_NO_THINK, &tail, e);
	if (!rc && tail.n == 0)
		rc = tok_encode(encoder_tok(r->enc), "Answer:", 7, 0, &tail, NULL, e);
	if (!rc)
		rc = compose_tokens(r->comp, tail.id, tail.n, r->logits, e);
	a->fresh += tail.n;
	free(tail.id);
	buf_release(&b);
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
		rc = cite_new(&r->cite, r->p, r->c, r->out, e);
	if (!rc && !(r->logits = malloc(engine_plan(en)->n_vocab * sizeof(float))))
		rc = err_nomem(e);
	if (!rc)
		rc = lay_out(r, e);
	r->out->attended = (uint64_t)r->kv->n;
	return rc;
}
