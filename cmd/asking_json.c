/* An answer as folio.answer/1, see folio-json(5). */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/hash.h"
#include "engine/encode.h"

#include <stdio.h>
#include <string.h>

static void cite_json(struct jw *j, const struct answer *a, const struct citation *ci)
{
	const struct answer_span *sp = &a->span[ci->span];

	jw_open(j, NULL, '{');
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
	jw_bool(j, "changed_since", false);
	jw_close(j);
}

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

void asking_json(struct asking *s, const struct ask_opts *o)
{
	const struct answer *a = &s->a;
	const char *text = a->unsupported.data;
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	char hex[65];

	id_hex(encoder_fingerprint(s->enc), hex);
	jw_open(&j, NULL, '{');
	if (s->c->g.jsonl)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.answer/1");
	jw_str(&j, "status", a->found ? "answered" : "not_found");
	jw_strn(&j, "text", a->text.data ? a->text.data : "", a->text.len);
	jw_open(&j, "citations", '[');
	for (size_t i = 0; i < a->n_cite; i++)
		cite_json(&j, a, &a->cite[i]);
	jw_close(&j);
	spans_json(&j, a);
	jw_open(&j, "unsupported_sentences", '[');
	for (size_t i = 0; i < a->n_unsupported; i++, text += strlen(text) + 1)
		jw_str(&j, NULL, text);
	jw_close(&j);
	jw_uint(&j, "attended_tokens", a->attended);
	jw_uint(&j, "total_tokens", asking_tokens(s));
	jw_str(&j, "selection", a->exact ? "exact" : "select");
	jw_str(&j, "chosen_by", a->by_attention ? "attention" : "full text");
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
	jw_null(&j, "session");
	jw_uint(&j, "turn", 1);
	jw_int(&j, "seed", o->seed);
	jw_uint(&j, "reused_tokens", a->reused);
	jw_uint(&j, "encoded_tokens", a->fresh);
	jw_open(&j, "timing_ms", '{');
	jw_real(&j, "choose", 1e3 * a->t_choose);
	jw_real(&j, "encode", 1e3 * a->t_encode);
	jw_real(&j, "prefill", 1e3 * a->t_prefill);
	jw_real(&j, "first_token", 1e3 * a->t_first);
	jw_real(&j, "total", 1e3 * a->t_total);
	jw_close(&j);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}
