/* folio find: the passages alone, no generation */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/size.h"
#include "cache/library.h"

#include <stdio.h>
#include <string.h>

const struct opt find_opts[] = {
	{ "source", 'S', OPT_LIST, OPT_AT(struct find_opts, source), "SOURCE[@SNAP]",
	  .help = "look only in this source; may be repeated" },
	{ "count", 'k', OPT_INT, OPT_AT(struct find_opts, k), "N", .help = "how many passages", .def = "5" },
	OPT_END
};

static void find_json(struct asking *s)
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
	struct asking s = { .c = c };
	struct answer_opts ao = { .n_span = (size_t)MAX(o->k, 1) };
	struct err e;
	int rc, code;

	(void)argc;
	rc = cmd_read_text(argv[0], &s.question, &e);
	if (!rc)
		rc = asking_open(&s, &o->source, NULL, &e);
	ao.question = s.question.data ? s.question.data : "";
	ao.n_question = s.question.len;
	ao.snapshot = s.snapshot;
	ao.n_snapshot = s.n_snapshot;
	if (!rc)
		rc = plan_is_irope(engine_plan(s.en)) ?
			     answer_find_far(s.pages, lib_catalog(s.lib), s.enc, &ao, &s.a, &e) :
			     answer_find(s.pages, lib_catalog(s.lib), &ao, &s.a, &e);
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
	asking_close(&s);
	return code;
}
