#include "config.h"

#include "ingest/answer.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/stop.h"
#include "engine/compose.h"
#include "engine/sample.h"
#include "engine/trace.h"
#include "ingest/choose.h"
#include "ingest/cite.h"
#include "ingest/doc.h"

#include <stdlib.h>
#include <string.h>

#define TRACED_LAYERS 6

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

/* Path, source and lines of a span: the first snapshot asked that holds its document. */
static int locate(struct catalog *c, const int64_t *snapshot, size_t n, struct answer_span *s, struct err *e)
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

static int count_file(void *ctx, const struct cat_entry *en)
{
	*(uint64_t *)ctx += en->state == CAT_TEXT;
	return 0;
}

int answer_find(struct pages *p, struct catalog *c, const struct answer_opts *o, struct answer *out,
		struct err *e)
{
	struct chosen *v = NULL;
	double start = clock_now();
	size_t n = 0;
	int rc;

	*out = (struct answer){ 0 };
	rc = choose_spans(p, c, o->question, o->n_question, o->snapshot, o->n_snapshot, o->n_span ? o->n_span : 4,
			  &v, &n, e);
	out->span = calloc(n + 1, sizeof(*out->span));
	if (!rc && !out->span)
		rc = err_nomem(e);
	for (size_t i = 0; i < n && !rc; i++) {
		struct answer_span *s = &out->span[out->n_span++];

		s->span = v[i].span;
		s->score = v[i].score;
		rc = locate(c, o->snapshot, o->n_snapshot, s, e);
	}
	for (size_t i = 0; i < o->n_snapshot && !rc; i++)
		rc = cat_entries(c, o->snapshot[i], count_file, &out->n_file, e);
	free(v);
	out->t_choose = clock_now() - start;
	return rc;
}

/* ---- the run ---- */

struct run {
	struct pages   *p;
	struct catalog *c;
	struct encoder *enc;
	const struct answer_opts *o;
	struct answer  *out;
	struct view    *view;
	struct compose *comp;
	struct trace   *trace;
	struct cite    *cite;
	struct sampler *sampler;
	float          *logits;
	struct tok_ids  said;
};

static int encode_missing(struct run *r, struct err *e)
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
	struct fwd_item item = { .kv = compose_kv(r->comp), .token = &id, .n = 1, .logits = r->logits,
				 .tap = trace_tap(r->trace) };

	return forward_run(engine_forward(encoder_engine(r->enc)), &item, 1, e);
}

static void emit(struct run *r, size_t from)
{
	struct buf *t = &r->out->text;

	if (r->o->on_text && t->len > from)
		r->o->on_text(r->o->ctx, t->data + from, t->len - from);
}

static int write_answer(struct run *r, double start, struct err *e)
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
			a->t_first = clock_now() - start;
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

static int check_room(struct run *r, struct err *e)
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

int answer_question(struct pages *p, struct catalog *c, struct encoder *enc, const struct answer_opts *o,
		    struct answer *out, struct err *e)
{
	struct run r = { .p = p, .c = c, .enc = enc, .o = o, .out = out };
	struct sample_opts s = { .temperature = o->temperature, .top_p = o->top_p, .min_p = o->min_p,
				 .repeat_penalty = o->repeat_penalty, .repeat_last = 128, .seed = o->seed };
	uint32_t n_vocab = engine_plan(encoder_engine(enc))->n_vocab;
	double start = clock_now(), mark;
	int rc = answer_find(p, c, o, out, e);

	if (rc || !out->n_span)
		return rc;
	rc = check_room(&r, e);
	if (!rc)
		rc = encode_missing(&r, e);
	mark = clock_now();
	if (!rc)
		rc = open_view(&r, e);
	if (!rc)
		rc = compose_new(&r.comp, enc, e);
	if (!rc)
		rc = trace_new(&r.trace, encoder_engine(enc), compose_kv(r.comp), TRACED_LAYERS, e);
	if (!rc)
		rc = cite_new(&r.cite, p, c, out, e);
	if (!rc)
		rc = sampler_new(&r.sampler, &s, n_vocab, e);
	if (!rc && !(r.logits = malloc(n_vocab * sizeof(float))))
		rc = err_nomem(e);
	if (!rc)
		rc = lay_out(&r, e);
	out->t_prefill = clock_now() - mark;
	out->attended = (uint64_t)(r.comp ? compose_kv(r.comp)->n : 0);
	if (!rc)
		rc = write_answer(&r, start, e);
	out->found = out->text.len > 0;
	out->t_total = clock_now() - start;
	if (!rc && stop_requested())
		rc = err_set(e, ERR_INTR, "interrupted");
	sampler_free(r.sampler);
	cite_free(r.cite);
	trace_free(r.trace);
	compose_free(r.comp);
	view_free(r.view);
	free(r.logits);
	free(r.said.id);
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
	*a = (struct answer){ 0 };
}
