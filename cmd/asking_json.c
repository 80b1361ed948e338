/* An answer as folio.answer/1, and its events; see folio-json(5). */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/hash.h"
#include "cache/library.h"
#include "engine/encode.h"

#include <stdio.h>
#include <string.h>

static void print(struct jw *j)
{
	jw_end_line(j);
	if (j->out->data)
		fwrite(j->out->data, 1, j->out->len, stdout);
	buf_release(j->out);
}

/* ---- events ---- */

static struct jw event(struct buf *b, const char *name)
{
	struct jw j = { .out = b };

	jw_open(&j, NULL, '{');
	jw_str(&j, "event", name);
	return j;
}

void asking_start_event(struct asking *s)
{
	struct buf b = { 0 };
	struct jw j;

	if (!s->c->g.jsonl)
		return;
	j = event(&b, "start");
	jw_strn(&j, "question", s->question.data ? s->question.data : "", s->question.len);
	jw_str(&j, "model", engine_plan(s->en)->name);
	jw_str(&j, "session", s->talk ? talk_name(s->talk) : NULL);
	jw_close(&j);
	print(&j);
	fflush(stdout);
}

void asking_on_text(void *ctx, const char *text, size_t n)
{
	struct asking *s = ctx;
	struct buf b = { 0 };

	if (s->encoding)
		progress_end(&s->progress);
	s->encoding = false;
	if (s->c->g.jsonl) {
		struct jw j = event(&b, "token");

		jw_strn(&j, "text", text, n);
		jw_close(&j);
		print(&j);
	} else if (s->streams) {
		/* What a file says must not drive the terminal, nor the model that read it. */
		term_text(&b, text, n, true);
		if (b.data)
			fwrite(b.data, 1, b.len, stdout);
		buf_release(&b);
	}
	fflush(stdout);
}

void asking_on_encode(void *ctx, const struct pages_progress *p)
{
	struct asking *s = ctx;

	if (!s->encoding)
		progress_start(&s->progress, s->c, "encoding", PROGRESS_TOKENS, p->total);
	s->encoding = true;
	progress_set(&s->progress, p->done, NULL);
}

/* ---- the document ---- */

static void cite_json(struct jw *j, const char *key, struct asking *s, const struct citation *ci)
{
	const struct answer_span *sp = &s->a.span[ci->span];

	jw_open(j, key, '{');
	jw_int(j, "n", ci->n);
	jw_str(j, "source", sp->source);
	jw_strn(j, "snapshot", sp->snapshot, HASH_SHOWN);
	jw_path(j, "path", sp->path, strlen(sp->path));
	jw_open(j, "lines", '[');
	jw_uint(j, NULL, ci->first);
	jw_uint(j, NULL, ci->last);
	jw_close(j);
	if (ci->page)
		jw_uint(j, "page", ci->page);
	else
		jw_null(j, "page");
	jw_str(j, "anchor", ci->anchor);
	jw_str(j, "sha256", ci->sha256);
	jw_str(j, "quote", ci->quote);
	jw_real(j, "weight", ci->weight);
	jw_bool(j, "verified", true);
	jw_bool(j, "changed_since", asking_changed(lib_catalog(s->lib), sp->source, sp->path, ci->sha256));
	jw_close(j);
}

void asking_on_cite(void *ctx, const struct citation *ci)
{
	struct asking *s = ctx;
	struct buf b = { 0 };
	struct jw j;

	if (!s->c->g.jsonl)
		return;
	j = event(&b, "citation");
	cite_json(&j, "citation", s, ci);
	jw_close(&j);
	print(&j);
	fflush(stdout);
}

void asking_citations(struct jw *j, const char *key, struct asking *s)
{
	jw_open(j, key, '[');
	for (size_t i = 0; i < s->a.n_cite; i++)
		cite_json(j, NULL, s, &s->a.cite[i]);
	jw_close(j);
}

/* Passages in the order they were laid out, the best last; of an answer that was not found, the nearest. */
static void spans_json(struct jw *j, const struct answer *a)
{
	jw_open(j, "spans", '[');
	for (size_t i = a->n_span; i-- > 0;) {
		const struct answer_span *sp = &a->span[i];

		jw_open(j, NULL, '{');
		jw_str(j, "source", sp->source);
		jw_path(j, "path", sp->path, strlen(sp->path));
		jw_open(j, "lines", '[');
		jw_uint(j, NULL, sp->first);
		jw_uint(j, NULL, sp->last);
		jw_close(j);
		jw_close(j);
	}
	jw_close(j);
}

static void timing_json(struct jw *j, const struct answer *a)
{
	jw_open(j, "timing_ms", '{');
	jw_real(j, "choose", 1e3 * a->t_choose);
	jw_real(j, "encode", 1e3 * a->t_encode);
	jw_real(j, "prefill", 1e3 * a->t_prefill);
	jw_real(j, "first_token", 1e3 * a->t_first);
	jw_real(j, "total", 1e3 * a->t_total);
	jw_close(j);
}

void asking_json(struct asking *s, const struct ask_opts *o)
{
	const struct answer *a = &s->a;
	const char *text = a->unsupported.data;
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	char hex[65];

	id_hex(encoder_fingerprint(s->enc), hex);
	if (s->c->g.jsonl)
		j = event(&b, "done");
	else
		jw_open(&j, NULL, '{');
	jw_str(&j, "schema", "folio.answer/1");
	jw_str(&j, "status", a->found ? "answered" : "not_found");
	jw_strn(&j, "text", a->text.data ? a->text.data : "", a->text.len);
	asking_citations(&j, "citations", s);
	spans_json(&j, a);
	jw_open(&j, "unsupported_sentences", '[');
	for (size_t i = 0; i < a->n_unsupported; i++, text += strlen(text) + 1)
		jw_str(&j, NULL, text);
	jw_close(&j);
	jw_open(&j, "absent_names", '[');
	text = a->absent.data;
	for (size_t i = 0; i < a->n_absent; i++, text += strlen(text) + 1)
		jw_str(&j, NULL, text);
	jw_close(&j);
	jw_uint(&j, "attended_tokens", a->attended);
	jw_uint(&j, "total_tokens", a->total);
	jw_bool(&j, "total_estimated", a->total_estimated);
	jw_str(&j, "selection", a->exact ? "exact" : "select");
	jw_str(&j, "chosen_by", a->by_attention ? "attention" :
			       a->by_heads ? "retrieval heads and full text" : "full text");
	jw_str(&j, "label", a->exact ? "exact" : "estimated");
	if (a->by_attention)
		jw_real(&j, "mass", a->mass);
	else
		jw_null(&j, "mass");
	jw_str(&j, "mode", "isolated");
	jw_uint(&j, "encoded_on_demand", a->encoded);
	jw_bool(&j, "truncated", a->truncated && a->found);
	jw_open(&j, "model", '{');
	jw_str(&j, "name", engine_plan(s->en)->name);
	jw_str(&j, "fingerprint", hex);
	jw_close(&j);
	jw_str(&j, "session", s->kept ? talk_name(s->talk) : NULL);
	jw_uint(&j, "turn", s->kept ? talk_turns(s->talk) : 1);
	jw_int(&j, "seed", o->seed);
	jw_uint(&j, "reused_tokens", a->reused);
	jw_uint(&j, "encoded_tokens", a->fresh);
	jw_uint(&j, "drafted_tokens", a->drafted);
	jw_uint(&j, "held_tokens", a->held);
	timing_json(&j, a);
	jw_close(&j);
	print(&j);
}
