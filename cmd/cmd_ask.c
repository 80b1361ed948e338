/* folio ask: one question, an answer with checked citations */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT(field) OPT_AT(struct ask_opts, field)

/* What is said once here and stands in both tables. */
#define OPT_SOURCE { "source", 'S', OPT_LIST, AT(source), "SOURCE[@SNAP]", .help = "ask only this source", \
	.group = "What is asked" }
#define OPT_ONLY { "only", 0, OPT_LIST, AT(only), "GLOB", \
	.help = "ask only files that match, in the syntax of .gitignore; !GLOB leaves files out", .group = "What is asked" }
#define OPT_ATTEND { "attend", 0, OPT_STR, AT(attend), "auto|all|TOKENS", \
	.help = "how much to attend to: the best four passages, all, or the best of so many tokens", .def = "auto", \
	.group = "What is asked" }
#define OPT_LAW { "attn-temperature", 0, OPT_ENUM, AT(law), "llama4|log|off", \
	.help = "iRoPE models: how attention sharpens with the tokens mounted", .def = "llama4", .group = "What is asked" }
#define OPT_NO_ENCODE { "no-encode", 0, OPT_FLAG, AT(no_encode), NULL, \
	.help = "fail with 12 rather than encode what the question needs", .group = "What is asked" }
#define OPT_MAX { "max-tokens", 0, OPT_INT, AT(max_tokens), "N", .help = "tokens of an answer at most", .def = "200", \
	.group = "The answer" }
#define OPT_QUOTE { "quote", 0, OPT_INT, AT(quote), "N", .help = "print the first N lines of each cited passage", \
	.def = "0", .group = "The answer" }
#define OPT_STRICT { "strict", 0, OPT_FLAG, AT(strict), NULL, .help = "leave out sentences without support", \
	.group = "The answer" }
#define OPT_ANYWAY { "anyway", 0, OPT_FLAG, AT(anyway), NULL, \
	.help = "answer also where the question names nothing known, or no sentence has support", .group = "The answer" }
#define OPT_NO_DRAFT { "no-draft", 0, OPT_FLAG, AT(no_guess), NULL, \
	.help = "guess no tokens ahead: the same answer, slower where it repeats its sources", .group = "The answer" }
#define OPTS_SAMPLING \
	{ "temperature", 0, OPT_REAL, AT(temperature), "T", .help = "0 is greedy; higher is bolder", .def = "0", \
	  .group = "Sampling" }, \
	{ "top-p", 0, OPT_REAL, AT(top_p), "P", .help = "keep the most probable tokens up to this sum", .def = "1", \
	  .group = "Sampling" }, \
	{ "min-p", 0, OPT_REAL, AT(min_p), "P", \
	  .help = "keep tokens of at least this share of the best one's probability", .def = "0", .group = "Sampling" }, \
	{ "repeat-penalty", 0, OPT_REAL, AT(repeat_penalty), "F", .help = "divide the logits of the last 128 tokens", \
	  .def = "1.1", .group = "Sampling" }, \
	{ "seed", 0, OPT_INT, AT(seed), "N", .help = "seed of the draw", .def = "42", .group = "Sampling" }

const struct opt ask_opts[] = {
	{ "session", 's', OPT_STR, AT(session), "NAME", .help = "go on with this session, or begin it",
	  .group = "The session" },
	{ "no-keep", 0, OPT_FLAG, AT(no_keep), NULL, .help = "keep no session", .group = "The session" },
	OPT_SOURCE, OPT_ONLY,
	{ "file", 'f', OPT_LIST, AT(file), "FILE", .help = "give the text of this file with the question",
	  .group = "What is asked" },
	OPT_ATTEND, OPT_LAW, OPT_NO_ENCODE, OPT_MAX, OPT_QUOTE, OPT_STRICT, OPT_ANYWAY, OPT_NO_DRAFT, OPTS_SAMPLING,
	OPT_END
};

const struct opt chat_opts[] = {
	{ "session", 's', OPT_STR, AT(session), "NAME", .help = "go on with this session, or begin it",
	  .group = "The session" },
	OPT_SOURCE, OPT_ONLY, OPT_ATTEND, OPT_LAW, OPT_NO_ENCODE, OPT_MAX, OPT_QUOTE, OPT_STRICT, OPT_ANYWAY, OPT_NO_DRAFT, OPTS_SAMPLING,
	OPT_END
};

/* A question on the command line, and standard input that was given on purpose: a pipe or a file. */
static bool has_context(const char *question)
{
	struct stat st;

	return strcmp(question, "-") && !fstat(STDIN_FILENO, &st) && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode));
}

static int read_context(struct asking *s, const char *question, struct err *e)
{
	if (!has_context(question))
		return 0;
	if (s->context.len)
		buf_adds(&s->context, "\n\n");
	return cmd_read_text("-", &s->context, e);
}

static void show(struct asking *s, const struct ask_opts *o)
{
	if (s->c->g.json || s->c->g.jsonl)
		asking_json(s, o);
	else if (s->a.found)
		asking_sources(s, o);
	else
		asking_not_found(s);
}

/* An answer that was stopped: what there is of it stands already; say where it is kept. */
static void show_stopped(struct asking *s)
{
	if (s->streams && s->a.text.len)
		putchar('\n');
	fflush(stdout);
	if (s->kept)
		note(s->c, "the answer so far is kept: session %s, turn %u", talk_name(s->talk), talk_turns(s->talk));
}

int cmd_ask(struct ctx *c, int argc, char **argv)
{
	const struct ask_opts *o = c->opts;
	struct asking s = { .c = c, .streams = !c->g.json && !c->g.jsonl };
	uint64_t attend;
	struct err e = { 0 };
	int rc = asking_attend(o->attend, &attend, &e), code;

	(void)argc;
	if (!rc && o->no_keep && o->session) {
		err_set(&e, ERR_INVALID, "--session keeps the turn, --no-keep does not");
		rc = err_hint(&e, ERR_INVALID, "give one of them");
	}
	if (!rc)
		rc = cmd_read_text(argv[0], &s.question, &e);
	if (!rc)
		rc = asking_files(&s, &o->file, &e);
	if (!rc)
		rc = read_context(&s, argv[0], &e);
	if (!rc)
		rc = asking_open(&s, &o->source, o->session, &e);
	if (!rc)
		rc = asking_only(&s, &o->only, &e);
	if (!rc && !o->no_keep)
		rc = asking_session(&s, o->session, &e);
	if (!rc) {
		asking_start_event(&s);
		rc = asking_answer(&s, o, &e);
	}
	if (!rc)
		show(&s, o);
	else if (rc == ERR_INTR)
		show_stopped(&s);
	code = rc ? fail(c, &e) : s.a.found ? EXIT_DONE : EXIT_NO;
	asking_close(&s);
	return code;
}
