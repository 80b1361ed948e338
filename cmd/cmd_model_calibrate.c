/* folio model calibrate: find the heads that point at the passage a question is about, and keep their list
 * beside the model */
#include "config.h"

#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/progress.h"
#include "cmd/sources.h"

#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"
#include "cache/library.h"
#include "ingest/calibrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) OPT_AT(struct model_calibrate_opts, field)
#define FILE_MAX (64u << 20)
#define MAX_HEAD 16

const struct opt model_calibrate_opts[] = {
	{ "questions", 'n', OPT_INT, AT(questions), "N",
	  .help = "make so many: half to find heads, half to test them", .def = "96" },
	{ "seed", 0, OPT_INT, AT(seed), "N", .help = "another choice of questions", .def = "1" },
	{ "dry-run", 0, OPT_FLAG, AT(dry_run), NULL, .help = "print what would be kept, write nothing" },
	OPT_END
};

/* ---- texts ---- */

static int add_file(struct cal_windows *w, const char *path, struct err *e)
{
	struct buf text = { 0 };
	int rc = file_read(&text, path, FILE_MAX, e);

	if (!rc && (memchr(text.data ? text.data : "", '\0', text.len) ||
		    utf8_check(text.data ? text.data : "", text.len) != text.len)) {
		err_set(e, ERR_INVALID, "'%s' is not UTF-8 text", path);
		rc = err_hint(e, ERR_INVALID, "ingest it and calibrate from the library: name no file");
	}
	if (!rc)
		rc = cal_windows_add(w, path, text.data ? text.data : "", text.len, e);
	buf_release(&text);
	return rc;
}

struct texts {
	struct cal_windows *w;
	struct err *e;
};

static int add_text(void *ctx, const struct cat_entry *en, const char *text, size_t n)
{
	struct texts *t = ctx;
	char name[4096];

	snprintf(name, sizeof(name), "%.*s", (int)MIN(en->path_n, sizeof(name) - 1), en->path);
	return cal_windows_add(t->w, name, text, n, t->e);
}

static int add_library(struct ctx *c, struct cal_windows *w, struct err *e)
{
	struct strs none = { 0 };
	struct texts t = { w, e };
	struct library *lib = NULL;
	struct picks picks = { 0 };
	int rc = library_open(c, &lib, 0, e);

	if (!rc)
		rc = sources_pick(lib_catalog(lib), &none, &picks, e);
	for (size_t i = 0; !rc && i < picks.n; i++)
		if (picks.v[i].snapshot)
			rc = cat_texts(lib_catalog(lib), picks.v[i].snapshot, add_text, &t, e);
	picks_release(&picks);
	lib_close(lib);
	return rc;
}

/* ---- what is said ---- */

static void json_recall(struct jw *j, const char *key, const struct cal_recall *r)
{
	const double *row[] = { r->text, r->heads, r->both };
	static const char *const NAME[] = { "full_text", "heads", "both" };

	jw_open(j, key, '{');
	jw_uint(j, "questions", r->n);
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		jw_open(j, NAME[i], '{');
		for (size_t k = 0; k < CAL_AT; k++) {
			char at[16];

			snprintf(at, sizeof(at), "at_%u", cal_at[k]);
			jw_real(j, at, row[i][k]);
		}
		jw_close(j);
	}
	jw_close(j);
}

static void print_json(struct ctx *c, const struct cal_result *r, const char *path, bool written)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	char hex[65];

	id_hex(&r->heads.model, hex);
	jw_open(&j, NULL, '{');
	if (c->g.jsonl)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.calibration/1");
	jw_str(&j, "model_id", hex);
	jw_path(&j, "path", path, strlen(path));
	jw_bool(&j, "written", written);
	jw_uint(&j, "passages", r->n_window);
	jw_uint(&j, "tokens", r->n_token);
	jw_real(&j, "text_weight", r->heads.text);
	jw_open(&j, "heads", '[');
	for (uint32_t i = 0; i < r->heads.n; i++) {
		jw_open(&j, NULL, '{');
		jw_uint(&j, "layer", r->heads.head[i].far_layer);
		jw_uint(&j, "head", r->heads.head[i].head);
		jw_close(&j);
	}
	jw_close(&j);
	json_recall(&j, "found_on", &r->find);
	json_recall(&j, "tested_on", &r->test);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

static void print_text(const struct cal_result *r)
{
	const struct cal_recall *half[] = { &r->find, &r->test };

	printf("%zu passages, %llu tokens; %u heads in %u (layer, KV head) pairs, full text at weight %g\n\n",
	       r->n_window, (unsigned long long)r->n_token, r->heads.n, r->heads.n_pair, r->heads.text);
	printf("%-34s %8s %8s %8s\n", "the right passage among the first", "1", "4", "8");
	for (size_t i = 0; i < ARRAY_LEN(half); i++) {
		const struct cal_recall *h = half[i];

		printf("%s (%zu questions)\n", i ? "tested on" : "found on", h->n);
		printf("  %-32s %8.3f %8.3f %8.3f\n", "before: full text", h->text[0], h->text[1], h->text[2]);
		printf("  %-32s %8.3f %8.3f %8.3f\n", "heads alone", h->heads[0], h->heads[1], h->heads[2]);
		printf("  %-32s %8.3f %8.3f %8.3f\n", "after: both", h->both[0], h->both[1], h->both[2]);
	}
}

/* ---- the command ---- */

static void on_tokens(void *ctx, uint64_t done, uint64_t total)
{
	struct progress *p = ctx;

	progress_total(p, total);
	progress_set(p, done, NULL);
}

static int run(struct ctx *c, const struct cal_windows *w, struct engine *en, struct tok *tok,
	       struct cal_result *r, struct err *e)
{
	struct encoder *enc = NULL;
	struct progress bar;
	int rc = encoder_open(&enc, en, tok, KV_Q8, e);

	if (!rc) {
		progress_start(&bar, c, "calibrating", PROGRESS_TOKENS, 0);
		rc = calibrate(enc, w, MAX_HEAD, on_tokens, &bar, r, e);
		progress_end(&bar);
	}
	encoder_close(enc);
	return rc;
}

int model_calibrate(struct ctx *c, int argc, char **argv)
{
	const struct model_calibrate_opts *o = c->opts;
	struct cal_windows w = { .seed = (uint64_t)o->seed, .max = (size_t)MIN(MAX(o->questions, 0), 4096) };
	struct cal_result r = { 0 };
	struct engine *en = NULL;
	struct tok *tok = NULL;
	char *path = NULL;
	struct err e;
	bool keep = false;
	int rc = 0, code;

	if (o->questions < CAL_MIN_WINDOWS || o->questions > 4096)
		return fail_with(c, ERR_INVALID, NULL, "-n wants a number from %d to 4096", CAL_MIN_WINDOWS);
	for (int i = 0; i < argc && !rc; i++)
		rc = add_file(&w, argv[i], &e);
	if (!rc && !argc)
		rc = add_library(c, &w, &e);
	cal_windows_done(&w);
	if (!rc)
		rc = cmd_open_model(c, NULL, &en, &tok, &e);
	if (!rc)
		rc = run(c, &w, en, tok, &r, &e);
	if (!rc) {
		keep = r.better && !o->dry_run;
		path = heads_path(engine_model(en));
		if (!path)
			rc = err_nomem(&e);
	}
	if (!rc && keep)
		rc = heads_write(&r.heads, engine_model(en), &e);
	if (!rc) {
		if (c->g.json || c->g.jsonl)
			print_json(c, &r, path, keep);
		else
			print_text(&r);
		if (keep)
			note(c, "kept as '%s'; passages are chosen with it from now on", path);
		else if (!r.better)
			note(c, "no heads of this model help beside full text: nothing is kept");
	}
	code = rc ? fail(c, &e) : r.better ? EXIT_DONE : EXIT_NO;
	heads_release(&r.heads);
	cal_windows_release(&w);
	tok_close(tok);
	engine_close(en);
	free(path);
	return code;
}
