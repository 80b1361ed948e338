/* folio ask: one question, an answer with checked citations */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"

#include "base/size.h"
#include "cache/library.h"

#include <stdio.h>
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
	{ "attend", 0, OPT_STR, AT(attend), "auto|all|TOKENS", .help = "iRoPE models: attend to the usual number, all, "
	  "or so many tokens per query", .def = "auto", .group = "What is asked" },
	{ "attn-temperature", 0, OPT_STR, AT(law), "llama4|log|off", .help = "iRoPE models: how attention sharpens "
	  "with the tokens mounted", .def = "llama4", .group = "What is asked" },
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

static int read_attend(const struct ask_opts *o, struct answer_opts *ao, struct err *e)
{
	static const char *const law[] = { "llama4", "log", "off" };
	int64_t n;
	size_t i = 0;

	if (!strcmp(o->attend, "auto"))
		ao->attend = ATTEND_AUTO;
	else if (!strcmp(o->attend, "all"))
		ao->attend = ATTEND_ALL;
	else if (opt_read_int(o->attend, &n) && n > 0)
		ao->attend = (uint64_t)n;
	else
		return err_set(e, ERR_INVALID, "--attend '%s' is none of auto, all and a number of tokens", o->attend);
	while (i < ARRAY_LEN(law) && strcmp(o->law, law[i]))
		i++;
	if (i == ARRAY_LEN(law))
		return err_set(e, ERR_INVALID, "--attn-temperature '%s' is none of llama4, log and off", o->law);
	ao->law = (enum plan_law)i;
	return 0;
}

int cmd_ask(struct ctx *c, int argc, char **argv)
{
	const struct ask_opts *o = c->opts;
	struct asking s = { .c = c };
	struct answer_opts ao = { .n_span = (size_t)MAX(o->spans, 1), .max_tokens = o->max_tokens,
				  .temperature = o->temperature, .top_p = o->top_p, .min_p = o->min_p,
				  .repeat_penalty = o->repeat_penalty, .seed = (uint64_t)o->seed,
				  .no_encode = o->no_encode, .ctx = &s,
				  .on_text = asking_on_text, .on_encode = asking_on_encode };
	struct err e;
	int rc, code;

	(void)argc;
	s.streams = !c->g.json && !c->g.jsonl && !o->strict;
	rc = read_attend(o, &ao, &e);
	if (!rc)
		rc = cmd_read_text(argv[0], &s.question, &e);
	/* A question on the command line and a pipe on standard input: the pipe is context. */
	if (!rc && strcmp(argv[0], "-") && !isatty(STDIN_FILENO))
		rc = cmd_read_text("-", &s.context, &e);
	if (!rc)
		rc = asking_open(&s, &o->source, &e);
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
		asking_json(&s, o);
	} else if (!rc && s.a.found) {
		if (!s.streams)
			fwrite(s.a.text.data, 1, s.a.text.len, stdout);
		asking_sources(&s, o);
	} else if (!rc) {
		asking_not_found(&s);
	}
	code = rc ? fail(c, &e) : s.a.found ? EXIT_DONE : EXIT_NO;
	asking_close(&s);
	return code;
}
