/* folio diff: what changed between two versions, computed first and worded second */
#include "config.h"

#include "cmd/cmd_diff.h"
#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/paths.h"
#include "cmd/progress.h"
#include "cmd/signals.h"
#include "cmd/sources.h"

#include "base/file.h"
#include "base/size.h"
#include "base/stop.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "ingest/diff_side.h"
#include "ingest/diff_words.h"
#include "ingest/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field) OPT_AT(struct diff_cmd_opts, field)

const struct opt diff_opts[] = {
	{ "format", 0, OPT_ENUM, AT(format), "term|md|html|json",
	  .help = "how the report is written; with -o the file's ending decides unless this is given" },
	{ "output", 'o', OPT_STR, AT(output), "FILE", .help = "write the report to FILE, all of it or nothing" },
	{ "no-llm", 0, OPT_FLAG, AT(no_llm), NULL, .help = "facts alone, no model" },
	{ "length", 0, OPT_ENUM, AT(length), "short|medium|full",
	  .help = "overview and list; with sentences; with every change and its lines", .def = "medium" },
	{ "max-files", 0, OPT_INT, AT(max_files), "N",
	  .help = "files to summarise, those with the most changed lines; without it 20 by a model, all by facts" },
	{ "link-template", 0, OPT_STR, AT(link_template), "URL",
	  .help = "links to lines, with {path}, {line} and {rev} in it" },
	{ "exit-code", 0, OPT_FLAG, AT(exit_code), NULL, .help = "exit with 1 when there are differences" },
	{ "repo", 'C', OPT_STR, AT(repo), "REPO",
	  .help = "A and B are revisions of this repository before they are paths" },
	OPT_END
};

/* Files that a model words unless --max-files says otherwise: minutes, not hours. */
enum { WORDED_FILES = 20 };

struct diff_run {
	struct ctx      *c;
	const struct diff_cmd_opts *o;
	struct library  *lib;
	struct diff_side *a, *b;
	struct diff_report r;
	struct progress progress;
	bool             started;
	char             model[128];	/* that worded it; "" */
};

/* ---- operands ---- */

/* SOURCE[@SNAP] of the library; why: what was wrong with it as a path and a revision. */
static int open_snapshot(struct diff_run *d, struct diff_side **out, const char *operand, const struct err *why,
			 struct err *e)
{
	struct strs want = { &operand, 1 };
	struct picks picks = { 0 };
	struct err mine = { 0 };
	int rc = d->lib ? 0 : library_open(d->c, &d->lib, 0, &mine);

	if (!rc)
		rc = sources_pick(lib_catalog(d->lib), &want, &picks, &mine);
	if (!rc && !picks.v[0].snapshot)
		rc = err_set(&mine, ERR_NOTFOUND, "'%s' has no snapshot yet", operand);
	if (!rc)
		rc = side_open_snapshot(out, lib_catalog(d->lib), picks.v[0].snapshot, operand, e);
	else if (rc == ERR_NOLIB || rc == ERR_NOTFOUND) {
		err_set(e, ERR_INVALID, "'%s' is no path, no revision and no source of the library", operand);
		rc = err_hint(e, ERR_INVALID, "%s", strchr(operand, '@') && mine.hint[0] ? mine.hint : why->hint);
	} else {
		*e = mine;
	}
	picks_release(&picks);
	return rc;
}

static int open_operand(struct diff_run *d, struct diff_side **out, const char *operand, struct err *e)
{
	struct err why = { 0 };
	bool twice;
	int rc = side_open(out, operand, d->o->repo, &twice, &why);

	if (!rc && twice)
		note(d->c, "'%s' is a path and a revision: the path was taken; -C . means the revision", operand);
	if (rc == ERR_NOTFOUND)
		return open_snapshot(d, out, operand, &why, e);
	if (rc)
		*e = why;
	return rc;
}

static int open_range(struct diff_run *d, const char *range, const char *dots, struct err *e)
{
	bool base = dots[2] == '.';
	char *a = strndup(range, (size_t)(dots - range));
	const char *b = dots + 2 + base;
	int rc = a ? 0 : err_nomem(e);

	if (!rc)
		rc = base ? side_open_base(&d->a, a, b, d->o->repo, e) : side_open_rev(&d->a, a, d->o->repo, e);
	if (!rc)
		rc = !strcmp(b, "worktree") ? open_operand(d, &d->b, b, e) : side_open_rev(&d->b, b, d->o->repo, e);
	free(a);
	if (rc == ERR_NOTFOUND) {
		e->code = ERR_INVALID;
		rc = ERR_INVALID;
	}
	return rc;
}

/* How many operands name the two versions: 1 or 2. */
static int open_sides(struct diff_run *d, int argc, char **argv, int *used, struct err *e)
{
	const char *dots = strstr(argv[0], "..");
	int rc;

	/* "../old" and "a..b/c.txt" may be paths. */
	if (dots && access(argv[0], F_OK)) {
		*used = 1;
		if (strncmp(argv[0], "../", 3) || d->o->repo)
			return open_range(d, argv[0], dots, e);
	}
	*used = 2;
	if (argc < 2) {
		err_set(e, ERR_INVALID, "one version is not enough: what is '%.100s' to be compared with?", argv[0]);
		return err_hint(e, ERR_INVALID, "give two, as in 'folio diff A B' or 'folio diff A..B'; 'worktree' is "
				"what is on disk now");
	}
	rc = open_operand(d, &d->a, argv[0], e);
	return rc ? rc : open_operand(d, &d->b, argv[1], e);
}

/* ---- where links lead ---- */

static int check_template(const char *url, struct err *e)
{
	if (!url)
		return 0;
	for (const char *p = url; (p = strchr(p, '{')); p++)
		if (strncmp(p, "{path}", 6) && strncmp(p, "{line}", 6) && strncmp(p, "{rev}", 5)) {
			err_set(e, ERR_INVALID, "--link-template has '%.*s' in it", (int)(strcspn(p, "}") + 1), p);
			return err_hint(e, ERR_INVALID, "{path}, {line} and {rev} can be used");
		}
	if (!strstr(url, "{path}")) {
		err_set(e, ERR_INVALID, "--link-template has no {path} in it");
		return err_hint(e, ERR_INVALID, "for instance 'https://example.org/tree/{rev}/{path}#L{line}'");
	}
	return 0;
}

/* The way from folder `from` to folder `to`, both absolute. */
static char *way(const char *from, const char *to)
{
	size_t i = 0, common = 0;
	struct buf b = { 0 };

	for (; from[i] && from[i] == to[i]; i++)
		if (from[i] == '/')
			common = i + 1;
	if ((!from[i] || from[i] == '/') && (!to[i] || to[i] == '/'))
		common = i + (from[i] == '/' || to[i] == '/');
	buf_adds(&b, "");
	for (const char *p = from + MIN(common, strlen(from)); *p; p += strcspn(p, "/"), p += *p == '/')
		buf_addf(&b, "%s..", b.len ? "/" : "");
	if (strlen(to) > common)
		buf_addf(&b, "%s%s", b.len ? "/" : "", to + common);
	if (!b.data && buf_reserve(&b, 1))
		b.data[0] = 0;
	return buf_take(&b);
}

static void find_base(struct diff_run *d, struct diff_view *v)
{
	const char *root = side_root(d->r.b), *slash = d->o->output ? strrchr(d->o->output, '/') : NULL;
	char *folder = slash ? strndup(d->o->output, (size_t)(slash - d->o->output) + 1) : strdup(".");
	char *here = folder ? realpath(folder, NULL) : NULL;

	free(folder);
	if (root && here) {
		v->base = strdup(root);
		v->relative = way(here, root);
	}
	free(here);
}

/* ---- the run ---- */

static void on_progress(void *ctx, uint64_t done, uint64_t total, const char *path)
{
	struct diff_run *d = ctx;

	if (!d->started)
		progress_start(&d->progress, d->c, "comparing", PROGRESS_FILES, total);
	d->started = true;
	progress_set(&d->progress, done, path);
}

/* Why the files that have no sentence have none. */
static int say_why(struct diff_run *d, struct err *e)
{
	static const char binary[] = "binary", nothing[] = "no line changed";
	struct diff_report *r = &d->r;

	for (size_t i = 0; i < r->n_file; i++) {
		struct diff_file *f = &r->file[i];

		if (f->unsaid || f->n_hunk)
			continue;
		if (f->note)
			f->unsaid = f->note;
		else if (f->binary)
			f->unsaid = diff_keep(r, binary, strlen(binary));
		else if (f->status == DIFF_MODIFIED && f->old_mode == f->new_mode)
			f->unsaid = diff_keep(r, nothing, strlen(nothing));
	}
	return r->words.failed ? err_nomem(e) : 0;
}

static int compare(struct diff_run *d, int argc, char **argv, struct err *e)
{
	struct diff_opts o = { .on_progress = on_progress, .ctx = d };
	int used, rc = check_template(d->o->link_template, e);

	if (!rc)
		rc = open_sides(d, argc, argv, &used, e);
	if (rc)
		return rc;
	o.paths = (const char *const *)argv + used;
	o.n_path = (size_t)(argc - used);
	rc = diff_facts(&d->r, d->a, d->b, &o, e);
	if (d->started)
		progress_end(&d->progress);
	d->started = false;
	return rc;
}

/* ---- words ---- */

static void on_words(void *ctx, uint64_t done, uint64_t total, const char *path)
{
	struct diff_run *d = ctx;

	if (!d->started)
		progress_start(&d->progress, d->c, "wording", PROGRESS_STEPS, total);
	d->started = true;
	progress_set(&d->progress, done, path);
}

static void on_cut(void *ctx, const char *path, const char *text, const char *why)
{
	struct diff_run *d = ctx;

	detail(d->c, "%s: cut for its %s: %s", path, why, text);
}

/* The facts stand without a model: only one that was named must be there. */
static int without_model(struct diff_run *d, const struct err *why, struct err *e)
{
	if (why->code != ERR_MODEL || d->c->g.model) {
		*e = *why;
		return why->code;
	}
	diff_note(&d->r, "facts alone, without a model: %s", why->msg);
	if (!d->c->g.json && !d->c->g.jsonl)
		warn(d->c, "facts alone, without a model: %s%s%s; --no-llm says that this is meant", why->msg,
		     why->hint[0] ? "; " : "", why->hint);
	return 0;
}

static int word_it(struct diff_run *d, struct engine *en, struct tok *tok, struct err *e)
{
	static const size_t per_file[] = { 1, 2, 6 };
	struct diff_words_opts o = { .per_file = per_file[d->o->length], .on_progress = on_words, .on_cut = on_cut,
				     .ctx = d };
	struct encoder *enc = NULL;
	struct pages *pages = NULL;
	char why[96];
	int rc = d->lib ? 0 : library_open(d->c, &d->lib, LIB_CREATE, e);

	if (!rc)
		rc = cmd_open_encoder(d->lib, en, tok, &enc, e);
	if (!rc)
		rc = pages_open(&pages, d->lib, enc, e);
	if (!rc && d->o->max_files < 0) {
		snprintf(why, sizeof(why), "not among the %d files with the most changed lines (--max-files)", WORDED_FILES);
		rc = diff_limit(&d->r, WORDED_FILES, why, false, e);
	}
	if (!rc) {
		snprintf(d->model, sizeof(d->model), "%s", engine_plan(en)->name);
		rc = diff_words(&d->r, pages, lib_catalog(d->lib), enc, &o, e);
	}
	if (d->started)
		progress_end(&d->progress);
	d->started = false;
	pages_close(pages);
	encoder_close(enc);
	return rc;
}

/* Sentences of a model, when there is one and something to word. */
static int words(struct diff_run *d, struct err *e)
{
	struct err why = { 0 };
	struct engine *en = NULL;
	struct tok *tok = NULL;
	int rc;

	if (d->o->no_llm || diff_is_empty(&d->r))
		return 0;
	rc = cmd_open_model(d->c, NULL, &en, &tok, &why);
	if (rc)
		return without_model(d, &why, e);
	rc = word_it(d, en, tok, e);
	tok_close(tok);
	engine_close(en);
	return rc;
}

static enum diff_format format_of(const struct diff_run *d)
{
	const char *dot = d->o->output ? strrchr(d->o->output, '.') : NULL;

	if (d->c->g.json || d->c->g.jsonl)
		return DIFF_JSON;
	if (d->o->format || !dot)
		return (enum diff_format)d->o->format;
	return !strcmp(dot, ".md") || !strcmp(dot, ".markdown") ? DIFF_MD :
	       !strcmp(dot, ".html") || !strcmp(dot, ".htm") ? DIFF_HTML : !strcmp(dot, ".json") ? DIFF_JSON : DIFF_TERM;
}

static int write_report(struct diff_run *d, struct diff_view *v, struct err *e)
{
	static void (*const writer[])(const struct diff_view *, struct buf *) = {
		diff_write_term, diff_write_md, diff_write_html, diff_write_json
	};
	bool to_file = d->o->output && strcmp(d->o->output, "-");
	struct term plain = d->c->out;
	struct buf b = { 0 };
	int rc = 0;

	if (to_file) {		/* a file is no terminal, unless colours were asked for */
		plain.tty = plain.links = false;
		plain.color = d->c->g.color == COLOR_ALWAYS;
		plain.width = 80;
	}
	v->t = &plain;
	find_base(d, v);
	writer[format_of(d)](v, &b);
	if (b.failed)
		rc = err_nomem(e);
	else if (to_file)
		rc = file_write_atomic(d->o->output, b.data, b.len, e);
	else {
		if (format_of(d) == DIFF_TERM)
			pager_start(d->c);
		fwrite(b.data ? b.data : "", 1, b.len, stdout);
	}
	buf_release(&b);
	free(v->base);
	free(v->relative);
	return rc;
}

static int finish(struct diff_run *d, bool stopped)
{
	const struct diff_report *r = &d->r;
	const char *p = r->notes.data ? r->notes.data : "";

	for (; *p && format_of(d) != DIFF_TERM; p += strcspn(p, "\n") + 1)
		note(d->c, "%.*s", (int)strcspn(p, "\n"), p);
	if (stopped) {
		note(d->c, "interrupted: the report says what was done until then; the same command begins anew");
		return signals_got_term() ? EXIT_TERM : EXIT_INTR;
	}
	if (d->o->exit_code && !diff_is_empty(r))
		return EXIT_NO;
	return r->n_unreadable ? EXIT_SOME : EXIT_DONE;
}

int cmd_diff(struct ctx *c, int argc, char **argv)
{
	struct diff_run d = { .c = c, .o = c->opts };
	struct diff_view v = { .r = &d.r, .length = (enum diff_length)d.o->length,
			       .link_template = d.o->link_template, .event = c->g.jsonl };
	struct err e = { 0 };
	char why[64];
	bool stopped;
	int rc = compare(&d, argc, argv, &e), code;

	stopped = rc == ERR_INTR && d.r.interrupted;
	if (stopped)
		rc = 0;
	/* Facts cost nothing: only a limit that was asked for is one for them, too. */
	if (!rc && d.o->max_files >= 0) {
		snprintf(why, sizeof(why), "beyond --max-files %lld", (long long)d.o->max_files);
		rc = diff_limit(&d.r, (size_t)d.o->max_files, why, true, &e);
	}
	if (!rc && !stopped) {
		rc = words(&d, &e);
		stopped = rc == ERR_INTR && d.r.interrupted;
		rc = stopped ? 0 : rc;
	}
	v.model = d.model[0] ? d.model : NULL;
	if (!rc)
		rc = say_why(&d, &e);
	if (!rc)
		rc = write_report(&d, &v, &e);
	code = rc ? fail(c, &e) : finish(&d, stopped);
	diff_release(&d.r);
	side_close(d.a);
	side_close(d.b);
	lib_close(d.lib);
	return code;
}
