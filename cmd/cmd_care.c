/* folio verify, repair, forget, prune, stats: look after a library */
#include "config.h"

#include "cmd/cmd_care.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/progress.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/stop.h"
#include "cache/care.h"
#include "cache/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct opt verify_opts[] = {
	{ "read-data", 0, OPT_OPTSTR, OPT_AT(struct verify_opts, read_data), "PCT%",
	  .help = "also read texts, pages and sessions: all of them, or a random share" },
	OPT_END
};

const struct opt forget_opts[] = {
	{ "keep-last", 0, OPT_INT, OPT_AT(struct forget_opts, keep_last), "N",
	  .help = "keep the newest N snapshots of each source", .def = "1" },
	{ "dry-run", 0, OPT_FLAG, OPT_AT(struct forget_opts, dry_run), NULL,
	  .help = "only say what would be done" },
	OPT_END
};

const struct opt prune_opts[] = {
	{ "dry-run", 0, OPT_FLAG, OPT_AT(struct prune_opts, dry_run), NULL,
	  .help = "only say what would be done" },
	OPT_END
};

/* ---- What they share ----------------------------------------------------------------------------- */

struct care_run {
	struct ctx     *c;
	struct buf      b;
	struct jw       j;
	struct progress p;
	char            phase[32];
	bool            json;
};

static void start(struct care_run *r, struct ctx *c, const char *schema)
{
	*r = (struct care_run){ .c = c, .json = c->g.json || c->g.jsonl };
	r->j.out = &r->b;
	if (r->json) {
		jw_open(&r->j, NULL, '{');
		jw_str(&r->j, "schema", schema);
	}
}

static void finish(struct care_run *r)
{
	progress_end(&r->p);
	if (r->json) {
		jw_close(&r->j);
		jw_end_line(&r->j);
	}
	fwrite(r->b.data, 1, r->b.len, stdout);
	buf_release(&r->b);
}

/* On an error nothing but the error is printed; a stop is one. */
static int give_up(struct care_run *r, struct library *lib, struct err *e)
{
	progress_end(&r->p);
	buf_release(&r->b);
	lib_close(lib);
	return fail(r->c, e);
}

static int show_progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	struct care_run *r = ctx;

	if (stop_requested())
		return ERR_INTR;
	if (strcmp(phase, r->phase)) {
		if (*r->phase)
			progress_end(&r->p);
		snprintf(r->phase, sizeof(r->phase), "%s", phase);
		progress_start(&r->p, r->c, r->phase, PROGRESS_STEPS, total);
	}
	progress_set(&r->p, done, NULL);
	return 0;
}

static int show_damage(void *ctx, const struct care_damage *d)
{
	struct care_run *r = ctx;
	const struct term *t = &r->c->out;

	if (r->json) {
		jw_open(&r->j, NULL, '{');
		jw_str(&r->j, "kind", d->kind);
		jw_path(&r->j, "path", d->path, strlen(d->path));
		jw_uint(&r->j, "tokens", d->tokens);
		jw_bool(&r->j, "repairable", d->repairable);
		jw_str(&r->j, "what", d->what);
		jw_close(&r->j);
		return 0;
	}
	buf_addf(&r->b, "%s%s%s %s ", term_style(t, d->repairable ? STYLE_GOOD : STYLE_BAD),
		 d->repairable ? "repairable" : "lost      ", term_style(t, STYLE_PLAIN), d->kind);
	term_text(&r->b, d->path, strlen(d->path), false);
	buf_adds(&r->b, ": ");
	term_text(&r->b, d->what, strlen(d->what), false);
	if (d->tokens)
		buf_addf(&r->b, " (%llu tokens)", (unsigned long long)d->tokens);
	buf_addc(&r->b, '\n');
	return 0;
}

static struct care_watch watch(struct care_run *r)
{
	return (struct care_watch){ .damage = show_damage, .progress = show_progress, .ctx = r };
}

/* A stop inside cache/ has a code and no words. */
static void words_for_stop(int rc, struct err *e, const char *how)
{
	if (rc == ERR_INTR)
		err_set(e, rc, "interrupted; %s", how);
}

/* ---- verify --------------------------------------------------------------------------------------- */

static int read_share(const char *s, double *share, struct err *e)
{
	char *end;

	*share = s ? 1 : 0;
	if (!s || !*s)
		return 0;
	*share = strtod(s, &end) / 100;
	if (end == s || strcmp(end, "%") || !(*share > 0 && *share <= 1))
		return err_set(e, ERR_INVALID, "--read-data takes a share like 5%%, not '%.50s'", s);
	return 0;
}

int cmd_verify(struct ctx *c, int argc, char **argv)
{
	const struct verify_opts *o = c->opts;
	struct care_verified v = { 0 };
	struct library *lib = NULL;
	struct care_run r;
	struct care_watch w;
	struct err e = { 0 };
	char bytes[16];
	double share;
	int rc = read_share(o->read_data, &share, &e);

	(void)argc;
	(void)argv;
	start(&r, c, "folio.verify/1");
	w = watch(&r);
	if (r.json)
		jw_open(&r.j, "damaged", '[');
	if (!rc)
		rc = library_open(c, &lib, LIB_DAMAGED, &e);
	if (!rc)
		rc = care_verify(lib, share, (uint64_t)clock_unix(), &w, &v, &e);
	if (rc) {
		words_for_stop(rc, &e, "nothing was changed");
		return give_up(&r, lib, &e);
	}
	if (r.json) {
		jw_close(&r.j);
		jw_uint(&r.j, "checked_bytes", v.checked_bytes);
	} else if (v.n_damage) {
		buf_addf(&r.b, "%llu damaged, %llu of them cannot be had again from the library: run `folio repair`\n",
			 (unsigned long long)v.n_damage, (unsigned long long)v.n_lost);
	} else {
		buf_addf(&r.b, "%s checked, no damage found%s\n", term_bytes(bytes, (double)v.checked_bytes),
			 share > 0 ? "" : " (--read-data reads texts and pages too)");
	}
	finish(&r);
	lib_close(lib);
	return v.n_damage ? EXIT_DAMAGE : EXIT_DONE;
}

/* ---- repair --------------------------------------------------------------------------------------- */

int cmd_repair(struct ctx *c, int argc, char **argv)
{
	struct care_repaired v = { 0 };
	struct library *lib = NULL;
	struct care_run r;
	struct care_watch w;
	struct err e = { 0 };
	int rc;

	(void)argc;
	(void)argv;
	start(&r, c, "folio.repair/1");
	w = watch(&r);
	if (r.json)
		jw_open(&r.j, "damaged", '[');
	rc = library_open(c, &lib, LIB_MEND, &e);
	if (!rc)
		rc = care_repair(lib, &w, &v, &e);
	if (rc) {
		words_for_stop(rc, &e, "run `folio repair` again to go on");
		return give_up(&r, lib, &e);
	}
	if (r.json) {
		jw_close(&r.j);
		jw_uint(&r.j, "lost", v.n_lost);
		jw_uint(&r.j, "tokens_to_encode", v.tokens_to_encode);
		jw_uint(&r.j, "documents_lost", v.documents_lost);
		jw_uint(&r.j, "extents_found", v.extents_found);
	} else {
		buf_addf(&r.b, "%llu damaged, %llu lost\n", (unsigned long long)v.n_damage,
			 (unsigned long long)v.n_lost);
		if (v.tokens_to_encode)
			buf_addf(&r.b, "%llu tokens must be encoded again: the next `folio ingest` does it, or a"
				 " question that needs them\n", (unsigned long long)v.tokens_to_encode);
		if (v.extents_found)
			buf_addf(&r.b, "pages of %llu spans, which the catalog had lost, were put back\n",
				 (unsigned long long)v.extents_found);
		if (v.documents_lost)
			buf_addf(&r.b, "%llu texts are lost: ingest their sources again\n",
				 (unsigned long long)v.documents_lost);
	}
	finish(&r);
	lib_close(lib);
	return v.n_lost ? EXIT_DAMAGE : EXIT_DONE;
}

/* ---- forget --------------------------------------------------------------------------------------- */

int cmd_forget(struct ctx *c, int argc, char **argv)
{
	const struct forget_opts *o = c->opts;
	struct library *lib = NULL;
	struct care_run r;
	struct err e = { 0 };
	uint64_t n = 0, sum = 0;
	int rc;

	start(&r, c, "folio.forget/1");
	rc = library_open(c, &lib, 0, &e);
	for (int i = 0; !rc && i < (argc ? argc : 1); i++) {
		int64_t source = 0;

		if (argc)
			rc = cat_source_find(lib_catalog(lib), argv[i], &source, &e);
		if (!rc)
			rc = care_forget(lib, source, (unsigned)o->keep_last, o->dry_run, &n, &e);
		sum += n;
	}
	if (rc)
		return give_up(&r, lib, &e);
	if (r.json) {
		jw_uint(&r.j, "forgotten", sum);
		jw_bool(&r.j, "dry_run", o->dry_run);
	} else {
		buf_addf(&r.b, "%llu snapshots %s%s\n", (unsigned long long)sum,
			 o->dry_run ? "would be forgotten" : "forgotten",
			 sum && !o->dry_run ? "; `folio prune` gives the room back" : "");
	}
	finish(&r);
	lib_close(lib);
	return EXIT_DONE;
}

/* ---- prune ---------------------------------------------------------------------------------------- */

int cmd_prune(struct ctx *c, int argc, char **argv)
{
	const struct prune_opts *o = c->opts;
	struct care_pruned v = { 0 };
	struct library *lib = NULL;
	struct care_run r;
	struct care_watch w;
	struct err e = { 0 };
	char bytes[2][16];
	int rc;

	(void)argc;
	(void)argv;
	start(&r, c, "folio.prune/1");
	w = watch(&r);
	rc = library_open(c, &lib, 0, &e);
	if (!rc)
		rc = care_prune(lib, o->dry_run, &w, &v, &e);
	if (rc) {
		words_for_stop(rc, &e, "run `folio prune` again to go on");
		return give_up(&r, lib, &e);
	}
	if (r.json) {
		jw_bool(&r.j, "dry_run", o->dry_run);
		jw_uint(&r.j, "documents", v.n_document);
		jw_uint(&r.j, "extents", v.n_extent);
		jw_uint(&r.j, "files", v.n_file);
		jw_uint(&r.j, "bytes_freed", v.bytes_freed);
		jw_uint(&r.j, "bytes_waiting", v.bytes_waiting);
		jw_uint(&r.j, "bytes_rewritten", v.bytes_rewritten);
	} else {
		buf_addf(&r.b, "%llu texts and %llu spans' pages %s, %s %s\n",
			 (unsigned long long)v.n_document, (unsigned long long)v.n_extent,
			 o->dry_run ? "would go" : "removed", term_bytes(bytes[0], (double)v.bytes_freed),
			 o->dry_run ? "of pages" : "freed");
		if (v.bytes_waiting)
			buf_addf(&r.b, "%s wait for commands that still have the library open\n",
				 term_bytes(bytes[1], (double)v.bytes_waiting));
	}
	finish(&r);
	lib_close(lib);
	return EXIT_DONE;
}

/* ---- stats ---------------------------------------------------------------------------------------- */

int cmd_stats(struct ctx *c, int argc, char **argv)
{
	struct care_stats v = { 0 };
	struct library *lib = NULL;
	struct care_run r;
	struct err e = { 0 };
	char n[3][16];
	int rc;

	(void)argc;
	(void)argv;
	start(&r, c, "folio.stats/1");
	rc = library_open(c, &lib, 0, &e);
	if (!rc)
		rc = care_stats(lib, &v, &e);
	if (rc)
		return give_up(&r, lib, &e);
	if (r.json) {
		const struct { const char *key; uint64_t value; } field[] = {
			{ "sources", v.n_source }, { "snapshots", v.n_snapshot }, { "entries", v.n_entry },
			{ "documents", v.n_document }, { "spans", v.n_span }, { "extents", v.n_extent },
			{ "pages", v.n_page }, { "sessions", v.n_session }, { "turns", v.n_turn },
			{ "tokens", v.n_token }, { "encoded_tokens", v.n_encoded },
			{ "text_bytes", v.text_bytes }, { "text_stored_bytes", v.text_stored },
			{ "catalog_bytes", v.catalog_bytes }, { "segment_bytes", v.segment_bytes },
			{ "segment_live_bytes", v.segment_live }, { "tail_bytes", v.tail_bytes },
			{ "trigram_left_bytes", v.trigram_left }
		};

		jw_str(&r.j, "library", lib_dir(lib));
		for (size_t i = 0; i < sizeof(field) / sizeof(*field); i++)
			jw_uint(&r.j, field[i].key, field[i].value);
	} else {
		buf_addf(&r.b, "library    %s\n", lib_dir(lib));
		buf_addf(&r.b, "sources    %llu, %llu snapshots, %llu paths\n", (unsigned long long)v.n_source,
			 (unsigned long long)v.n_snapshot, (unsigned long long)v.n_entry);
		buf_addf(&r.b, "texts      %llu, %s, %s stored\n", (unsigned long long)v.n_document,
			 term_bytes(n[0], (double)v.text_bytes), term_bytes(n[1], (double)v.text_stored));
		buf_addf(&r.b, "tokens     %s in %llu spans, %s encoded\n", term_count(n[0], (double)v.n_token),
			 (unsigned long long)v.n_span, term_count(n[1], (double)v.n_encoded));
		buf_addf(&r.b, "sessions   %llu, %llu turns, %s\n", (unsigned long long)v.n_session,
			 (unsigned long long)v.n_turn, term_bytes(n[0], (double)v.tail_bytes));
		buf_addf(&r.b, "on disk    catalog %s, pages %s of which %s alive\n",
			 term_bytes(n[0], (double)v.catalog_bytes), term_bytes(n[1], (double)v.segment_bytes),
			 term_bytes(n[2], (double)v.segment_live));
		if (v.trigram_left)
			buf_addf(&r.b, "search     %s of text are not in the trigram index yet\n",
				 term_bytes(n[0], (double)v.trigram_left));
	}
	finish(&r);
	lib_close(lib);
	return EXIT_DONE;
}
