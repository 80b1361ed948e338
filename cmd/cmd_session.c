/* folio session ls, show, fork, rename, export, rm */
#include "config.h"

#include "cmd/cmd_session.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"

#include "base/file.h"
#include "base/size.h"
#include "cache/library.h"
#include "cache/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct opt export_opts[] = {
	{ "format", 0, OPT_ENUM, OPT_AT(struct export_opts, format), "md|html|json", .help = "what to write", .def = "md" },
	{ "output", 'o', OPT_STR, OPT_AT(struct export_opts, output), "FILE", .help = "write to this file" },
	OPT_END
};

/* ---- finding one ---- */

struct found {
	int64_t  id;
	uint32_t n_turn;
};

static int keep(void *ctx, const struct session *s)
{
	*(struct found *)ctx = (struct found){ s->id, s->n_turn };
	return 0;
}

struct names {
	const char **v;
	size_t n;
};

static int add_name(void *ctx, const struct session *s)
{
	struct names *l = ctx;
	const char **v = realloc(l->v, (l->n + 1) * sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	l->v = v;
	l->v[l->n] = strdup(s->name);
	return l->v[l->n] ? l->n++, 0 : ERR_NOMEM;
}

static int find(struct catalog *c, const char *name, struct found *out, struct err *e)
{
	struct names all = { 0 };
	const char *near = NULL;
	int rc = sess_find(c, name, keep, out, e);

	if (rc != ERR_NOTFOUND)
		return rc;
	if (!sess_each(c, add_name, &all, NULL))
		near = suggest(name, all.v, all.n);
	if (near)
		err_hint(e, rc, "did you mean '%s'?", near);
	else
		err_hint(e, rc, "'folio session ls' prints the sessions");
	while (all.n)
		free((void *)all.v[--all.n]);
	free(all.v);
	return rc;
}

/* ---- ls ---- */

struct ls {
	struct catalog *c;
	const struct term *t;
	struct buf *b;
	struct jw  *j;			/* NULL: for people */
	struct err *e;
	char *first;			/* question of the session's first turn */
	uint64_t n_token;
	size_t n;
};

static int look(void *ctx, const struct sess_turn *t)
{
	struct ls *l = ctx;

	if (!l->first)
		l->first = strdup(t->question);
	l->n_token = t->pos + t->n_token;
	return 0;
}

static void when(char out[24], int64_t seconds, const char *form)
{
	time_t at = (time_t)seconds;
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&at, &tm))
		strftime(out, 24, form, &tm);
}

static int ls_json(struct ls *l, const struct session *s, const char *model)
{
	char at[24];

	jw_open(l->j, NULL, '{');
	jw_str(l->j, "name", s->name);
	jw_uint(l->j, "turns", s->n_turn);
	jw_uint(l->j, "tokens", l->n_token);
	when(at, s->made, "%Y-%m-%dT%H:%M:%SZ");
	jw_str(l->j, "made", at);
	when(at, s->used, "%Y-%m-%dT%H:%M:%SZ");
	jw_str(l->j, "used", at);
	jw_str(l->j, "model", model);
	jw_str(l->j, "first_question", l->first);
	jw_close(l->j);
	return 0;
}

/* As much of a text as fits n columns, on one line. */
static void line_of(struct buf *b, const char *s, size_t n)
{
	size_t len = strcspn(s, "\n"), full = len;

	while (len && term_columns(s, len) > n)
		while (--len && ((unsigned char)s[len] & 0xc0) == 0x80)
			;
	term_text(b, s, len, false);
	if (len < full)
		buf_adds(b, "~");
}

static int ls_one(void *ctx, const struct session *s)
{
	struct ls *l = ctx;
	struct cat_engine en;
	char at[24];
	size_t room = l->t->width > 60 ? (size_t)l->t->width - 44 : 16;
	int rc = cat_engine(l->c, s->engine, &en, l->e);

	free(l->first);
	l->first = NULL;
	l->n_token = 0;
	l->n++;
	if (!rc)
		rc = sess_turns(l->c, s->id, look, l, l->e);
	if (rc)
		return rc;
	if (l->j)
		return ls_json(l, s, en.name);
	when(at, s->used, "%Y-%m-%d %H:%M");
	term_text(l->b, s->name, strlen(s->name), false);
	for (size_t i = term_columns(s->name, strlen(s->name)); i < 16; i++)
		buf_addc(l->b, ' ');
	buf_addf(l->b, " %3u turn%s  %s%s%s  ", s->n_turn, s->n_turn == 1 ? " " : "s", term_style(l->t, STYLE_DIM), at,
		 term_style(l->t, STYLE_PLAIN));
	line_of(l->b, l->first ? l->first : "", room);
	buf_addc(l->b, '\n');
	return 0;
}

static int print(struct ctx *c, struct buf *b, int rc, const struct err *e)
{
	int code = EXIT_DONE;

	if (rc)
		code = fail(c, e);
	else if (b->data)
		fwrite(b->data, 1, b->len, stdout);
	buf_release(b);
	return code;
}

static int session_ls(struct ctx *c, int argc, char **argv)
{
	struct library *lib;
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	struct err e = { 0 };
	struct ls l = { .b = &b, .t = &c->out, .j = c->g.json || c->g.jsonl ? &j : NULL, .e = &e };
	int rc = library_open(c, &lib, 0, &e);

	(void)argc, (void)argv;
	if (rc)
		return fail(c, &e);
	l.c = lib_catalog(lib);
	if (l.j) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "schema", "folio.sessions/1");
		jw_open(&j, "sessions", '[');
	}
	rc = sess_each(l.c, ls_one, &l, &e);
	if (!rc && l.j) {
		jw_close(&j);
		jw_close(&j);
		jw_end_line(&j);
	}
	if (!rc && !l.j && !l.n)
		note(c, "no session yet; 'folio ask' keeps one");
	free(l.first);
	rc = print(c, &b, rc, &e);
	lib_close(lib);
	return rc;
}

/* ---- show, export ---- */

/* For people: Markdown as it is, but nothing in it drives the terminal. */
static int session_show(struct ctx *c, int argc, char **argv)
{
	bool json = c->g.json || c->g.jsonl;
	struct buf b = { 0 }, shown = { 0 };
	struct library *lib;
	struct err e = { 0 };
	int rc = library_open(c, &lib, 0, &e);

	(void)argc;
	if (rc)
		return fail(c, &e);
	rc = session_export(lib, argv[0], json ? SESSION_JSON : SESSION_MD, &b, &e);
	lib_close(lib);
	if (!rc && !json) {
		term_text(&shown, b.data ? b.data : "", b.len, true);
		buf_release(&b);
		pager_start(c);
		return print(c, &shown, 0, NULL);
	}
	return print(c, &b, rc, &e);
}

static int session_export_cmd(struct ctx *c, int argc, char **argv)
{
	const struct export_opts *o = c->opts;
	struct buf b = { 0 };
	struct library *lib;
	struct err e = { 0 };
	int rc = library_open(c, &lib, 0, &e);

	(void)argc;
	if (rc)
		return fail(c, &e);
	rc = session_export(lib, argv[0], c->g.json || c->g.jsonl ? SESSION_JSON : (enum session_format)o->format, &b, &e);
	lib_close(lib);
	if (!rc && o->output) {
		rc = file_write_atomic(o->output, b.data, b.len, &e);
		buf_clear(&b);
	}
	return print(c, &b, rc, &e);
}

/* ---- fork, rename, rm ---- */

struct change {
	const char *from, *to;
	uint32_t turn;
};

typedef int change_fn(struct catalog *c, const struct found *f, const struct change *ch, struct err *e);

/* Find a session and change it, in one batch. */
static int change(struct ctx *c, const struct change *ch, change_fn *fn)
{
	struct library *lib;
	struct catalog *cat;
	struct found f;
	struct err e = { 0 };
	int rc = library_open(c, &lib, 0, &e);

	if (rc)
		return fail(c, &e);
	cat = lib_catalog(lib);
	rc = cat_begin(cat, &e);
	if (!rc)
		rc = find(cat, ch->from, &f, &e);
	if (!rc)
		rc = fn(cat, &f, ch, &e);
	if (!rc)
		rc = cat_commit(cat, &e);
	else
		cat_rollback(cat);
	lib_close(lib);
	return rc ? fail(c, &e) : EXIT_DONE;
}

static int do_fork(struct catalog *c, const struct found *f, const struct change *ch, struct err *e)
{
	int64_t id;

	return sess_fork(c, f->id, ch->turn, ch->to, &id, e);
}

static int session_fork(struct ctx *c, int argc, char **argv)
{
	char *at = strrchr(argv[0], '@');
	struct change ch = { .from = argv[0], .to = argc > 1 ? argv[1] : NULL, .turn = UINT32_MAX };
	int64_t turn;
	int code;

	if (at && (!opt_read_int(at + 1, &turn) || turn >= UINT32_MAX))
		return fail_with(c, ERR_INVALID, "a session's turns are numbered from 1: folio session fork main@3 idea",
				 "'%s' is no turn", at + 1);
	if (at) {
		*at = '\0';
		ch.turn = (uint32_t)turn;
	}
	code = change(c, &ch, do_fork);
	if (code == EXIT_DONE)
		note(c, "session '%s' goes on from '%s'%s%s", ch.to, ch.from, at ? ", turn " : "", at ? at + 1 : "");
	return code;
}

static int do_rename(struct catalog *c, const struct found *f, const struct change *ch, struct err *e)
{
	return sess_rename(c, f->id, ch->to, e);
}

static int session_rename(struct ctx *c, int argc, char **argv)
{
	struct change ch = { .from = argv[0], .to = argv[1] };

	(void)argc;
	return change(c, &ch, do_rename);
}

static int do_rm(struct catalog *c, const struct found *f, const struct change *ch, struct err *e)
{
	(void)ch;
	return sess_rm(c, f->id, e);
}

static int session_rm(struct ctx *c, int argc, char **argv)
{
	int code = EXIT_DONE;

	for (int i = 0; i < argc && code == EXIT_DONE; i++) {
		struct change ch = { .from = argv[i] };

		code = change(c, &ch, do_rm);
	}
	return code;
}

const struct cmd session_commands[] = {
	{ .name = "ls", .args = "", .summary = "sessions, the last used one first", .run = session_ls },
	{ .name = "show", .args = "NAME", .summary = "the turns of a session", .min_args = 1, .max_args = 1,
	  .run = session_show },
	{ .name = "fork", .args = "NAME[@TURN] NEW", .summary = "a new session that goes on from a turn",
	  .more = "Costs one row, whatever the length: both share what was said. Turn 0 is before the first.",
	  .min_args = 2, .max_args = 2, .run = session_fork },
	{ .name = "rename", .args = "NAME NEW", .summary = "give a session another name", .min_args = 2, .max_args = 2,
	  .run = session_rename },
	{ .name = "export", .args = "NAME", .summary = "a session as Markdown, HTML or JSON",
	  .more = "The HTML page needs nothing beside it: citations open the quoted passage, without a script.",
	  .opts = export_opts, .opts_bytes = sizeof(struct export_opts), .min_args = 1, .max_args = 1,
	  .run = session_export_cmd },
	{ .name = "rm", .args = "NAME...", .summary = "remove sessions",
	  .more = "What forks share stays with them; 'folio prune' gives the room back.", .min_args = 1, .max_args = -1,
	  .run = session_rm },
	{ 0 }
};
