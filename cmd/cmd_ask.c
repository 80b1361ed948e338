/* folio ask: one question, an answer with checked citations; folio find: the passages alone. */
#include "config.h"

#include "cmd/cmd_ask.h"
#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/progress.h"
#include "cmd/sources.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/size.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "ingest/answer.h"
#include "ingest/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field) OPT_AT(struct ask_opts, field)

const struct opt ask_opts[] = {
	{ "source", 'S', OPT_LIST, AT(source), "SOURCE[@SNAP]", .help = "ask only this source; may be repeated",
	  .group = "What is asked" },
	{ "no-encode", 0, OPT_FLAG, AT(no_encode), NULL,
	  .help = "fail with 12 rather than encode what the question needs", .group = "What is asked" },
	{ "spans", 0, OPT_INT, AT(spans), "N", .help = "passages of about 1,000 tokens to attend to", .def = "4",
	  .group = "What is asked" },
	{ "max-tokens", 0, OPT_INT, AT(max_tokens), "N", .help = "tokens of the answer at most", .def = "200",
	  .group = "The answer" },
	{ "quote", 0, OPT_INT, AT(quote), "N", .help = "print the first N lines of each cited passage", .def = "0",
	  .group = "The answer" },
	{ "strict", 0, OPT_FLAG, AT(strict), NULL, .help = "leave out sentences without support",
	  .group = "The answer" },
	{ "temperature", 0, OPT_REAL, AT(temperature), "T", .help = "0 is greedy; higher is bolder", .def = "0",
	  .group = "Sampling" },
	{ "top-p", 0, OPT_REAL, AT(top_p), "P", .help = "keep the most probable tokens up to this sum", .def = "1",
	  .group = "Sampling" },
	{ "min-p", 0, OPT_REAL, AT(min_p), "P", .help = "keep tokens of at least this share of the best one's "
	  "probability", .def = "0", .group = "Sampling" },
	{ "repeat-penalty", 0, OPT_REAL, AT(repeat_penalty), "F", .help = "divide the logits of the last 128 tokens",
	  .def = "1.1", .group = "Sampling" },
	{ "seed", 0, OPT_INT, AT(seed), "N", .help = "seed of the draw", .def = "42", .group = "Sampling" },
	OPT_END
};

const struct opt find_opts[] = {
	{ "source", 'S', OPT_LIST, OPT_AT(struct find_opts, source), "SOURCE[@SNAP]",
	  .help = "look only in this source; may be repeated" },
	{ "count", 'k', OPT_INT, OPT_AT(struct find_opts, k), "N", .help = "how many passages", .def = "5" },
	OPT_END
};

struct ask {
	struct ctx     *c;
	struct library *lib;
	struct engine  *en;
	struct tok     *tok;
	struct encoder *enc;
	struct pages   *pages;
	struct picks    picks;
	int64_t        *snapshot;
	struct buf      question, context;
	struct progress progress;
	bool            encoding;
	bool            streams;	/* the answer is printed as it is written */
	struct answer   a;
};

/* The encoder whose pages the library holds; for a library without pages of this model, the default. */
static int open_encoder(struct ask *s, struct err *e)
{
	static const enum kv_type types[] = { KV_Q8, KV_Q4, KV_F16, KV_Q8 };
	struct cat_engine found;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(types) && !rc; i++) {
		encoder_close(s->enc);
		rc = encoder_open(&s->enc, s->en, s->tok, types[i], e);
		if (!rc && !cat_engine_find(lib_catalog(s->lib), encoder_fingerprint(s->enc), &found, NULL))
			break;
	}
	return rc;
}

/* Everything a question stands on: library, model, the snapshots asked. */
static int open_all(struct ask *s, const struct strs *source, struct err *e)
{
	int rc = library_open(s->c, &s->lib, 0, e);

	if (!rc)
		rc = sources_pick(lib_catalog(s->lib), source, &s->picks, e);
	if (!rc && !s->picks.n) {
		err_set(e, ERR_NOTFOUND, "the library has no source");
		rc = err_hint(e, ERR_NOTFOUND, "'folio ingest PATH' adds one");
	}
	if (!rc && !(s->snapshot = calloc(s->picks.n + 1, sizeof(int64_t))))
		rc = err_nomem(e);
	for (size_t i = 0; i < s->picks.n && !rc; i++)
		s->snapshot[i] = s->picks.v[i].snapshot;
	if (!rc)
		rc = cmd_open_model(s->c, NULL, &s->en, &s->tok, e);
	if (!rc)
		rc = open_encoder(s, e);
	if (!rc)
		rc = pages_open(&s->pages, s->lib, s->enc, e);
	return rc;
}

static void close_all(struct ask *s)
{
	answer_release(&s->a);
	pages_close(s->pages);
	encoder_close(s->enc);
	tok_close(s->tok);
	engine_close(s->en);
	picks_release(&s->picks);
	free(s->snapshot);
	lib_close(s->lib);
	buf_release(&s->question);
	buf_release(&s->context);
}

static void on_text(void *ctx, const char *text, size_t n)
{
	struct ask *s = ctx;

	if (s->encoding)
		progress_end(&s->progress);
	s->encoding = false;
	if (s->c->g.jsonl) {
		struct buf b = { 0 };
		struct jw j = { .out = &b };

		jw_open(&j, NULL, '{');
		jw_str(&j, "event", "token");
		jw_strn(&j, "text", text, n);
		jw_close(&j);
		jw_end_line(&j);
		fwrite(b.data, 1, b.len, stdout);
		buf_release(&b);
	} else if (s->streams) {
		fwrite(text, 1, n, stdout);
	}
	fflush(stdout);
}

static void on_encode(void *ctx, const struct pages_progress *p)
{
	struct ask *s = ctx;

	if (!s->encoding)
		progress_start(&s->progress, s->c, "encoding", PROGRESS_TOKENS, p->total);
	s->encoding = true;
	progress_set(&s->progress, p->done, NULL);
}

/* --strict: sentences without support are taken out of the text. */
static void drop_unsupported(struct answer *a)
{
	const char *s = a->unsupported.data;

	for (size_t i = 0; i < a->n_unsupported; i++, s += strlen(s) + 1) {
		char *at = strstr(a->text.data, s);
		size_t n = strlen(s);

		if (!at)
			continue;
		memmove(at, at + n, a->text.len - (size_t)(at - a->text.data) - n + 1);
		a->text.len -= n;
	}
}

static uint64_t n_tokens(struct ask *s)
{
	struct cat_mount *m;
	uint64_t total = 0, missing = 0;
	size_t n;

	if (cat_mounts(lib_catalog(s->lib), pages_engine(s->pages), CAT_ISOLATED, s->snapshot, s->picks.n, NULL, 0,
		       NULL, &m, &n, &missing, NULL))
		return 0;
	for (size_t i = 0; i < n; i++)
		total += m[i].n_token;
	free(m);
	return total + missing;
}

/* ---- JSON ---- */

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

static void print_json(struct ask *s)
{
	const struct ask_opts *o = s->c->opts;
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
	jw_uint(&j, "total_tokens", n_tokens(s));
	jw_str(&j, "selection", "select");
	jw_str(&j, "chosen_by", "full text");
	jw_str(&j, "label", "estimated");
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

/* ---- for people ---- */

static void print_quote(struct buf *b, const struct term *t, const char *quote, int64_t lines)
{
	while (lines-- > 0 && *quote) {
		size_t n = strcspn(quote, "\n");

		buf_addf(b, "      %s", term_style(t, STYLE_DIM));
		term_text(b, quote, n, false);
		buf_addf(b, "%s\n", term_style(t, STYLE_PLAIN));
		quote += n + (quote[n] == '\n');
	}
}

static void print_sources(struct ask *s)
{
	const struct ask_opts *o = s->c->opts;
	const struct answer *a = &s->a;
	const struct term *t = &s->c->out;
	struct buf b = { 0 };

	buf_adds(&b, "\n\n");
	for (size_t i = 0; i < a->n_cite; i++) {
		const struct citation *ci = &a->cite[i];
		const struct answer_span *sp = &a->span[ci->span];
		struct buf label = { 0 };

		buf_addf(&label, "%s:%llu-%llu", sp->path, (unsigned long long)ci->first, (unsigned long long)ci->last);
		buf_addf(&b, "  [%d] %s", ci->n, term_style(t, STYLE_BOLD));
		if (label.data)
			term_text(&b, label.data, label.len, false);
		buf_adds(&b, term_style(t, STYLE_PLAIN));
		if (ci->page)
			buf_addf(&b, "  p.%u", ci->page);
		if (ci->anchor) {
			buf_adds(&b, "  ");
			term_text(&b, ci->anchor, strlen(ci->anchor), false);
		}
		buf_addc(&b, '\n');
		print_quote(&b, t, ci->quote, o->quote);
		buf_release(&label);
	}
	if (a->n_unsupported)
		buf_addf(&b, "  %zu sentence%s without support in the passages%s\n", a->n_unsupported,
			 a->n_unsupported == 1 ? "" : "s", o->strict ? ", left out" : "");
	if (b.data)
		fwrite(b.data, 1, b.len, stdout);
	fflush(stdout);
	buf_release(&b);
	note(s->c, "attended %llu of %llu tokens in %zu passages chosen by full text, isolated%s",
	     (unsigned long long)a->attended, (unsigned long long)n_tokens(s), a->n_span,
	     a->encoded ? "; passages were encoded for this question and are kept" : "");
	if (a->truncated)
		warn(s->c, "the answer was cut at --max-tokens %lld", (long long)o->max_tokens);
	detail(s->c, "choose %.0f ms, encode %.0f ms (%llu tokens), prefill %.0f ms (%llu tokens read back, %llu computed), "
	       "first token after %.0f ms", 1e3 * a->t_choose, 1e3 * a->t_encode, (unsigned long long)a->encoded,
	       1e3 * a->t_prefill, (unsigned long long)a->reused, (unsigned long long)a->fresh, 1e3 * a->t_first);
}

static void print_not_found(struct ask *s)
{
	fflush(stdout);
	fprintf(stdout, "Not found in %llu files, %llu tokens.\n", (unsigned long long)s->a.n_file,
		(unsigned long long)n_tokens(s));
}

int cmd_ask(struct ctx *c, int argc, char **argv)
{
	const struct ask_opts *o = c->opts;
	struct ask s = { .c = c };
	struct answer_opts ao = { .n_span = (size_t)MAX(o->spans, 1), .max_tokens = o->max_tokens,
				  .temperature = o->temperature, .top_p = o->top_p, .min_p = o->min_p,
				  .repeat_penalty = o->repeat_penalty, .seed = (uint64_t)o->seed,
				  .no_encode = o->no_encode, .ctx = &s,
				  .on_text = on_text, .on_encode = on_encode };
	struct err e;
	int rc, code;

	(void)argc;
	s.streams = !c->g.json && !c->g.jsonl && !o->strict;
	rc = cmd_read_text(argv[0], &s.question, &e);
	/* A question on the command line and a pipe on standard input: the pipe is context. */
	if (!rc && strcmp(argv[0], "-") && !isatty(STDIN_FILENO))
		rc = cmd_read_text("-", &s.context, &e);
	if (!rc)
		rc = open_all(&s, &o->source, &e);
	ao.question = s.question.data ? s.question.data : "";
	ao.n_question = s.question.len;
	ao.context = s.context.data;
	ao.n_context = s.context.len;
	ao.snapshot = s.snapshot;
	ao.n_snapshot = s.picks.n;
	if (!rc)
		rc = answer_question(s.pages, lib_catalog(s.lib), s.enc, &ao, &s.a, &e);
	if (s.encoding)
		progress_end(&s.progress);
	if (!rc && o->strict)
		drop_unsupported(&s.a);
	if (!rc && (c->g.json || c->g.jsonl)) {
		print_json(&s);
	} else if (!rc && s.a.found) {
		if (!s.streams)
			fwrite(s.a.text.data, 1, s.a.text.len, stdout);
		print_sources(&s);
	} else if (!rc) {
		print_not_found(&s);
	}
	code = rc ? fail(c, &e) : s.a.found ? EXIT_DONE : EXIT_NO;
	close_all(&s);
	return code;
}

/* ---- find ---- */

static void find_json(struct ask *s)
{
	struct buf b = { 0 }, text = { 0 };
	struct jw j = { .out = &b };

	jw_open(&j, NULL, '{');
	jw_str(&j, "schema", "folio.passages/1");
	jw_strn(&j, "query", s->question.data, s->question.len);
	jw_open(&j, "passages", '[');
	for (size_t i = 0; i < s->a.n_span; i++) {
		const struct answer_span *sp = &s->a.span[i];

		buf_clear(&text);
		if (cat_text(lib_catalog(s->lib), sp->span.document, &text, NULL) || sp->span.end > text.len)
			continue;
		jw_open(&j, NULL, '{');
		jw_str(&j, "source", sp->source);
		jw_strn(&j, "snapshot", sp->snapshot, HASH_SHOWN);
		jw_path(&j, "path", sp->path, strlen(sp->path));
		jw_open(&j, "lines", '[');
		jw_uint(&j, NULL, sp->first);
		jw_uint(&j, NULL, sp->last);
		jw_close(&j);
		jw_null(&j, "page");
		jw_null(&j, "anchor");
		jw_real(&j, "score", sp->score);
		jw_strn(&j, "text", text.data + sp->span.start, sp->span.end - sp->span.start);
		jw_close(&j);
	}
	jw_close(&j);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	buf_release(&text);
}

int cmd_find(struct ctx *c, int argc, char **argv)
{
	const struct find_opts *o = c->opts;
	struct ask s = { .c = c };
	struct answer_opts ao = { .n_span = (size_t)MAX(o->k, 1) };
	struct err e;
	int rc, code;

	(void)argc;
	rc = cmd_read_text(argv[0], &s.question, &e);
	if (!rc)
		rc = open_all(&s, &o->source, &e);
	ao.question = s.question.data ? s.question.data : "";
	ao.n_question = s.question.len;
	ao.snapshot = s.snapshot;
	ao.n_snapshot = s.picks.n;
	if (!rc)
		rc = answer_find(s.pages, lib_catalog(s.lib), &ao, &s.a, &e);
	if (!rc && (c->g.json || c->g.jsonl))
		find_json(&s);
	for (size_t i = 0; !rc && !c->g.json && !c->g.jsonl && i < s.a.n_span; i++) {
		const struct answer_span *sp = &s.a.span[i];
		struct buf b = { 0 };

		term_text(&b, sp->path, strlen(sp->path), false);
		buf_addf(&b, ":%llu-%llu  (%.1f)\n", (unsigned long long)sp->first, (unsigned long long)sp->last, sp->score);
		fwrite(b.data, 1, b.len, stdout);
		buf_release(&b);
	}
	code = rc ? fail(c, &e) : s.a.n_span ? EXIT_DONE : EXIT_NO;
	close_all(&s);
	return code;
}
