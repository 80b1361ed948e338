/* folio chat: a session line by line */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/cmd_session.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/line.h"
#include "cmd/signals.h"

#include "base/file.h"
#include "base/size.h"
#include "base/stop.h"
#include "cache/library.h"
#include "cache/session.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chat {
	struct asking s;
	const struct ask_opts *o;
	struct line *line;
	bool quit;
	int  code;			/* of the first question that went wrong */
};

typedef void chat_fn(struct chat *t, const char *arg);

struct word {
	const char *name, *arg, *help;
	chat_fn *run;
};

static chat_fn say_help, say_sources, say_cite, do_fork, do_save, do_quit;

static const struct word words[] = {
	{ "/help", NULL, "this list", say_help },
	{ "/sources", NULL, "what the last answer rests on", say_sources },
	{ "/cite", "N", "the passage behind [N], with the lines around it", say_cite },
	{ "/fork", "NAME", "go on in a new session; the one so far stays as it is", do_fork },
	{ "/save", "FILE", "write the session as .md, .html or .json", do_save },
	{ "/quit", NULL, "end; the session is kept (Ctrl-D does the same)", do_quit },
};

static void print(struct buf *b)
{
	if (b->data)
		fwrite(b->data, 1, b->len, stdout);
	fflush(stdout);
	buf_release(b);
}

static void oops(struct chat *t, const struct err *e)
{
	int code = fail(t->s.c, e);

	if (t->code == EXIT_DONE && e->code != ERR_INTR)
		t->code = code;
}

static void say_help(struct chat *t, const char *arg)
{
	(void)t, (void)arg;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		printf("  %-9s %-5s %s\n", words[i].name, words[i].arg ? words[i].arg : "", words[i].help);
	puts("Everything else is a question. Ctrl-C stops an answer; what was written of it is kept.");
}

static void say_sources(struct chat *t, const char *arg)
{
	const struct answer *a = &t->s.a;
	struct buf b = { 0 };

	(void)arg;
	for (size_t i = 0; i < a->n_span; i++) {
		buf_addf(&b, "  %zu. ", i + 1);
		term_text(&b, a->span[i].path, strlen(a->span[i].path), false);
		buf_addf(&b, ":%llu-%llu  %u tokens of %s\n", (unsigned long long)a->span[i].first,
			 (unsigned long long)a->span[i].last, a->span[i].span.n_token, a->span[i].source);
	}
	if (!a->n_span)
		buf_adds(&b, "  nothing was asked yet\n");
	print(&b);
}

/* The cited lines, marked, and two on either side. */
static void say_cite(struct chat *t, const char *arg)
{
	const struct answer *a = &t->s.a;
	const struct term *term = &t->s.c->out;
	const struct citation *ci;
	struct buf text = { 0 }, b = { 0 };
	struct cat_map *map = NULL;
	uint64_t start, end;
	struct err e;
	int64_t n;

	if (!opt_read_int(arg, &n) || n < 1 || (uint64_t)n > a->n_cite) {
		printf("  the last answer has %zu citation%s\n", a->n_cite, a->n_cite == 1 ? "" : "s");
		return;
	}
	ci = &a->cite[n - 1];
	if (cat_text(lib_catalog(t->s.lib), a->span[ci->span].span.document, &text, &e) ||
	    cat_map_open(&map, lib_catalog(t->s.lib), a->span[ci->span].span.document, &e)) {
		oops(t, &e);
		buf_release(&text);
		return;
	}
	term_text(&b, a->span[ci->span].path, strlen(a->span[ci->span].path), false);
	buf_addf(&b, ":%llu-%llu\n", (unsigned long long)ci->first, (unsigned long long)ci->last);
	for (uint64_t l = ci->first > 2 ? ci->first - 2 : 1; l <= ci->last + 2; l++) {
		bool in = l >= ci->first && l <= ci->last;

		if (!cat_map_range(map, l, &start, &end) || end > text.len)
			break;
		buf_addf(&b, "%s%6llu %c ", in ? "" : term_style(term, STYLE_DIM), (unsigned long long)l, in ? '>' : ' ');
		term_text(&b, text.data + start, end - start - (end > start && text.data[end - 1] == '\n'), false);
		buf_addf(&b, "%s\n", in ? "" : term_style(term, STYLE_PLAIN));
	}
	cat_map_close(map);
	buf_release(&text);
	print(&b);
}

static void do_fork(struct chat *t, const char *arg)
{
	struct catalog *c = lib_catalog(t->s.lib);
	int64_t id, from = t->s.talk ? talk_session(t->s.talk) : 0;
	struct err e;
	int rc;

	if (!from) {
		puts("  nothing was said yet");
		return;
	}
	rc = cat_begin(c, &e);
	if (!rc)
		rc = sess_fork(c, from, talk_turns(t->s.talk), arg, &id, &e);
	if (!rc)
		rc = cat_commit(c, &e);
	else
		cat_rollback(c);
	if (!rc) {
		talk_close(t->s.talk);
		t->s.talk = NULL;
		rc = asking_session(&t->s, arg, &e);
	}
	if (rc)
		oops(t, &e);
	else
		note(t->s.c, "session %s from here on", arg);
	t->quit |= !t->s.talk;
}

static void do_save(struct chat *t, const char *arg)
{
	const char *dot = strrchr(arg, '.');
	enum session_format f = !dot ? SESSION_MD : !strcmp(dot, ".html") || !strcmp(dot, ".htm") ? SESSION_HTML :
				!strcmp(dot, ".json") ? SESSION_JSON : SESSION_MD;
	struct buf b = { 0 };
	struct err e;
	int rc;

	if (!talk_session(t->s.talk)) {
		puts("  nothing was said yet");
		return;
	}
	rc = session_export(t->s.lib, talk_name(t->s.talk), f, &b, &e);
	if (!rc)
		rc = file_write_atomic(arg, b.data, b.len, &e);
	if (rc)
		oops(t, &e);
	else
		note(t->s.c, "%s: %u turn%s", arg, talk_turns(t->s.talk), talk_turns(t->s.talk) == 1 ? "" : "s");
	buf_release(&b);
}

static void do_quit(struct chat *t, const char *arg)
{
	(void)arg;
	t->quit = true;
}

static void command(struct chat *t, char *line)
{
	const char *names[ARRAY_LEN(words)], *near;
	char *arg = line + strcspn(line, " \t");

	if (*arg)
		*arg++ = '\0';
	while (isspace((unsigned char)*arg))
		arg++;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		names[i] = words[i].name;
		if (strcmp(words[i].name, line))
			continue;
		if (words[i].arg && !*arg)
			printf("  %s wants %s: %s\n", line, words[i].arg, words[i].help);
		else
			words[i].run(t, arg);
		return;
	}
	near = suggest(line, names, ARRAY_LEN(words));
	if (near)
		printf("  there is no %s; did you mean %s?\n", line, near);
	else
		printf("  there is no %s; /help lists what there is\n", line);
}

static void question(struct chat *t, const char *line, size_t n)
{
	struct ctx *c = t->s.c;
	struct err e;
	int rc;

	buf_clear(&t->s.question);
	buf_add(&t->s.question, line, n);
	asking_start_event(&t->s);
	rc = asking_answer(&t->s, t->o, &e);
	if (!rc && (c->g.json || c->g.jsonl))
		asking_json(&t->s, t->o);
	else if (!rc && t->s.a.found)
		asking_sources(&t->s, t->o);
	else if (!rc)
		asking_not_found(&t->s);
	else if (rc == ERR_INTR && !signals_got_term())
		puts(t->s.kept ? "\n  stopped; what is written is kept" : "\n  stopped");
	else
		oops(t, &e);
	/* Ctrl-C was for the answer. */
	if (!signals_got_term())
		stop_clear();
	fflush(stdout);
}

static void one_line(struct chat *t, char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	if (*s == '/')
		command(t, s);
	else if (n)
		question(t, s, n);
	fflush(stdout);
}

static void loop(struct chat *t)
{
	struct buf b = { 0 };

	while (!t->quit) {
		enum line_got got = line_read(t->line, &b);

		if (got == LINE_END || signals_got_term() || (got == LINE_STOPPED && !line_is_tty(t->line)))
			break;
		if (got == LINE_STOPPED)
			stop_clear();
		else if (b.data)
			one_line(t, b.data);
	}
	buf_release(&b);
}

static void greet(struct chat *t)
{
	const struct talk *talk = t->s.talk;

	if (!line_is_tty(t->line))
		return;
	if (talk_session(talk))
		note(t->s.c, "session %s, %u turn%s; the last question was: %s", talk_name(talk), talk_turns(talk),
		     talk_turns(talk) == 1 ? "" : "s", talk_last_question(talk));
	note(t->s.c, "/help lists the commands, Ctrl-D ends");
}

int cmd_chat(struct ctx *c, int argc, char **argv)
{
	struct chat t = { .s = { .c = c, .streams = !c->g.json && !c->g.jsonl, .in_chat = true }, .o = c->opts };
	uint64_t attend;
	struct err e = { 0 };
	int rc = asking_attend(t.o->attend, &attend, &e);

	(void)argc, (void)argv;
	if (!rc)
		rc = asking_open(&t.s, &t.o->source, t.o->session, &e);
	if (!rc)
		rc = asking_only(&t.s, &t.o->only, &e);
	if (!rc)
		rc = asking_session(&t.s, t.o->session, &e);
	if (!rc)
		rc = line_open(&t.line, "> ", &e);
	if (!rc) {
		greet(&t);
		loop(&t);
		if (t.s.talk && talk_session(t.s.talk))
			note(c, "session %s, %u turn%s; 'folio chat -s %s' goes on", talk_name(t.s.talk),
			     talk_turns(t.s.talk), talk_turns(t.s.talk) == 1 ? "" : "s", talk_name(t.s.talk));
		if (stop_requested())
			t.code = signals_got_term() ? EXIT_TERM : EXIT_INTR;
	}
	line_close(t.line);
	asking_close(&t.s);
	return rc ? fail(c, &e) : t.code;
}
