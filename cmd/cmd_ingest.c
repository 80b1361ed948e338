/* folio ingest: read sources into the library */
#include "config.h"

#include "cmd/cmd_ingest.h"

#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/sources.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/size.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "ingest/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define AT(field) OPT_AT(struct ingest_cmd_opts, field)

const struct opt ingest_cmd_opts[] = {
	{ "glob", 'g', OPT_LIST, AT(glob), "GLOB",
	  .help = "take only what matches, or leave out what matches '!GLOB'",
	  .group = "What is read" },
	{ "hidden", 0, OPT_FLAG, AT(hidden), NULL, .help = "take names that begin with a dot",
	  .group = "What is read", .key = "ingest.hidden" },
	{ "no-ignore", 0, OPT_FLAG, AT(no_ignore), NULL,
	  .help = "heed no .gitignore, .ignore and .folioignore", .group = "What is read" },
	{ "submodules", 0, OPT_FLAG, AT(submodules), NULL,
	  .help = "enter submodules and repositories inside the repository", .group = "What is read" },
	{ "no-archives", 0, OPT_FLAG, AT(no_archives), NULL,
	  .help = "do not look into tar, zip and 7z files", .group = "What is read" },
	{ "max-filesize", 0, OPT_SIZE, AT(max_filesize), "SIZE",
	  .help = "skip larger files", .def = "64M", .group = "What is read",
	  .key = "ingest.max-filesize" },
	{ "allow-secrets", 0, OPT_FLAG, AT(allow_secrets), NULL,
	  .help = "keep files that look like keys, tokens and passwords", .group = "What is read" },
	{ "ref", 0, OPT_STR, AT(ref), "REV",
	  .help = "read this revision of a git repository, without a checkout", .group = "What is read" },
	{ "files-from", 0, OPT_STR, AT(files_from), "FILE",
	  .help = "read the paths from a file, one a line; - is standard input", .group = "What is read" },
	{ "null", '0', OPT_FLAG, AT(null), NULL, .help = "paths of --files-from end in NUL bytes",
	  .group = "What is read" },
	{ "name", 0, OPT_STR, AT(name), "NAME",
	  .help = "name of the source; without it the last part of its path" },
	{ "rehash", 0, OPT_FLAG, AT(rehash), NULL,
	  .help = "read every file again, whatever its time stamps say" },
	{ "text-only", 0, OPT_FLAG, AT(text_only), NULL,
	  .help = "stop after text and full text; pages are then encoded on demand or by the next run" },
	{ "kv", 0, OPT_ENUM, AT(kv), "q8|q4|f16", .help = "how keys and values are stored", .def = "q8",
	  .key = "ingest.kv" },
	{ "dry-run", 'n', OPT_FLAG, AT(dry_run), NULL,
	  .help = "count files, tokens, disk and time, and touch nothing", .group = "Before it costs" },
	{ "tree", 0, OPT_FLAG, AT(tree), NULL, .help = "with --dry-run: per folder",
	  .group = "Before it costs" },
	{ "budget", 0, OPT_INT, AT(budget), "TOKENS",
	  .help = "stop with 14, before any work, when the sources have more tokens",
	  .group = "Before it costs", .key = "ingest.budget" },
	{ "explain", 0, OPT_STR, AT(explain), "FILE",
	  .help = "say whether this file would be taken, and by which rule", .group = "Before it costs" },
	OPT_END
};

/* --- sources --- */

static void fill_opts(struct ingest_run *u, struct target *t)
{
	const struct ingest_cmd_opts *o = u->c->opts;

	t->o = (struct ingest_opts){
		.walk = { .globs = o->glob.v, .n_glob = o->glob.n, .hidden = o->hidden,
			  .no_ignore = o->no_ignore, .submodules = o->submodules,
			  .no_archives = o->no_archives, .max_file = o->max_filesize, .ref = o->ref },
		.list_fd = -1,
		.name = o->name ? o->name : t->info.name, .kind = t->info.kind, .origin = t->info.origin,
		.allow_secrets = o->allow_secrets, .rehash = o->rehash,
		.n_thread = ctx_threads(u->c),
		.ctx = u, .on_progress = ingest_on_progress, .on_item = ingest_on_item,
	};
}

/* Several paths under one name: their origins, joined. */
static int join_origins(struct target *t, int argc, char **argv, struct err *e)
{
	struct buf b = { 0 };
	int i, rc = 0;

	for (i = 0; i < argc && !rc; i++) {
		struct source_info one;

		rc = source_look(&one, argv[i], e);
		if (!rc)
			buf_addf(&b, "%s%s", i ? ":" : "", one.origin);
		source_release(&one);
	}
	if (!rc && b.failed)
		rc = err_nomem(e);
	if (!rc) {
		free(t->info.origin);
		t->info.origin = buf_take(&b);
		t->info.kind = "list";
	}
	buf_release(&b);
	return rc;
}

static int list_target(struct ingest_run *u, const char *file, struct err *e)
{
	struct target *t = u->v;
	const struct ingest_cmd_opts *o = u->c->opts;
	int fd = STDIN_FILENO, rc;

	u->n = 1;
	rc = source_look(&t->info, file, e);
	if (rc)
		return rc;
	if (strcmp(file, "-")) {
		fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_set(e, ERR_IO, "cannot open '%s': %s", file, strerror(errno));
	} else {
		free(t->info.name);
		t->info.name = strdup("files");
		if (!t->info.name)
			return err_nomem(e);
	}
	t->info.kind = "list";
	fill_opts(u, t);
	t->o.list_fd = fd;
	t->o.list_nul = o->null;
	return 0;
}

int targets_make(struct ingest_run *u, int argc, char **argv, struct err *e)
{
	const struct ingest_cmd_opts *o = u->c->opts;
	bool one = o->name && argc > 1;
	int i, rc = 0;

	if (o->files_from && (argc || o->ref))
		return err_set(e, ERR_INVALID, "--files-from goes with neither PATH nor --ref");
	if (!o->files_from && !argc) {
		err_set(e, ERR_INVALID, "'folio ingest' wants a PATH, '-' or --files-from");
		return err_hint(e, ERR_INVALID, "'folio ingest .' reads this folder");
	}
	u->v = calloc((size_t)argc + 1, sizeof(*u->v));
	if (!u->v)
		return err_nomem(e);
	if (o->files_from)
		return list_target(u, o->files_from, e);
	for (i = 0; i < (one ? 1 : argc) && !rc; i++) {
		struct target *t = &u->v[u->n++];

		rc = source_look(&t->info, argv[i], e);
		if (!rc && one)
			rc = join_origins(t, argc, argv, e);
		if (!rc && o->ref && !t->info.is_dir)
			rc = err_set(e, ERR_INVALID, "--ref wants a git repository, not '%s'", argv[i]);
		fill_opts(u, t);
		t->o.roots = (const char *const *)argv + i;
		t->o.n_root = one ? (size_t)argc : 1;
	}
	return rc;
}

void targets_release(struct ingest_run *u)
{
	size_t i;

	for (i = 0; i < u->n; i++) {
		if (u->v[i].o.list_fd > STDERR_FILENO)
			close(u->v[i].o.list_fd);
		source_release(&u->v[i].info);
	}
	free(u->v);
	buf_release(&u->problems.text);
}

/* --- telling --- */

void ingest_on_progress(void *ctx, const struct ingest_progress *p)
{
	struct ingest_run *u = ctx;

	static const char *const phase[] = { "reading", "indexing", "symbols" };

	if (!u->shown) {
		progress_start(&u->progress, u->c, phase[p->phase], PROGRESS_BYTES, p->total_bytes);
		u->shown = true;
	}
	progress_set(&u->progress, p->bytes, p->path);
}

void ingest_end_progress(struct ingest_run *u)
{
	if (u->shown)
		progress_end(&u->progress);
	u->shown = false;
}

void ingest_on_item(void *ctx, const struct item *it, uint64_t n_text, uint64_t n_token, bool is_copy)
{
	struct ingest_run *u = ctx;
	struct problems *p = &u->problems;

	(void)n_text;
	(void)n_token;
	(void)is_copy;
	if (it->state != STATE_SKIP || !why_is_problem(it->why))
		return;
	buf_add(&p->text, u->source, strlen(u->source) + 1);
	buf_add(&p->text, it->path, it->n_path + 1);
	buf_add(&p->text, it->reason, strlen(it->reason) + 1);
	p->n += !p->text.failed;
}

/* The i-th string behind s. */
static const char *next(const char *s)
{
	return s + strlen(s) + 1;
}

void problems_json(const struct problems *p, struct jw *j)
{
	const char *s = p->text.data;
	size_t i;

	jw_open(j, "skipped", '[');
	for (i = 0; i < p->n; i++) {
		const char *path = next(s), *reason = next(path);

		jw_open(j, NULL, '{');
		jw_str(j, "source", s);
		jw_path(j, "path", path, strlen(path));
		jw_str(j, "reason", reason);
		jw_close(j);
		s = next(reason);
	}
	jw_close(j);
}

void problems_warn(struct ctx *c, const struct problems *p)
{
	enum { SHOWN = 20 };
	const char *s = p->text.data;
	size_t i;

	for (i = 0; i < p->n && (i < SHOWN || c->g.verbose); i++) {
		const char *path = next(s), *reason = next(path);
		struct buf b = { 0 };

		term_text(&b, path, strlen(path), false);
		buf_adds(&b, ": ");
		term_text(&b, reason, strlen(reason), false);
		warn(c, "skipped %s", b.data ? b.data : "");
		buf_release(&b);
		s = next(reason);
	}
	if (i < p->n)
		warn(c, "and %zu more; 'folio ls --status' prints all", p->n - i);
}

static void report(struct ingest_run *u, const struct target *t)
{
	const struct ingest_result *r = &t->r;
	char size[16], time[16];
	struct buf b = { 0 };

	buf_adds(&b, term_style(&u->c->out, STYLE_BOLD));
	term_text(&b, t->o.name, strlen(t->o.name), false);
	buf_addf(&b, "%s@%.*s  %llu files: %llu read, %llu unchanged", term_style(&u->c->out, STYLE_PLAIN),
		 HASH_SHOWN, r->hash,
		 (unsigned long long)(r->n_text + r->n_reused + r->n_listed + r->n_skipped),
		 (unsigned long long)r->n_text, (unsigned long long)r->n_reused);
	if (r->n_gone)
		buf_addf(&b, ", %llu gone", (unsigned long long)r->n_gone);
	if (r->n_listed)
		buf_addf(&b, ", %llu listed", (unsigned long long)r->n_listed);
	if (r->n_skipped)
		buf_addf(&b, ", %llu skipped", (unsigned long long)r->n_skipped);
	buf_addf(&b, "  (%s in %s)\n", term_bytes(size, (double)r->bytes_read),
		 term_duration(time, r->seconds));
	if (b.data)
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	if (!r->changed)
		detail(u->c, "nothing changed since the last snapshot");
}

static void add_result(struct ingest_result *sum, const struct ingest_result *r)
{
	sum->n_text += r->n_text;
	sum->n_new_text += r->n_new_text;
	sum->n_reused += r->n_reused;
	sum->n_listed += r->n_listed;
	sum->n_skipped += r->n_skipped;
	sum->bytes_read += r->bytes_read;
	sum->seconds += r->seconds;
}

static void files_json(struct jw *j, const struct ingest_result *r, const struct pages_result *pages)
{
	jw_open(j, "files", '{');
	jw_uint(j, "total", r->n_text + r->n_reused + r->n_listed + r->n_skipped);
	jw_uint(j, "encoded", pages->n_document);
	jw_uint(j, "read", r->n_text);
	jw_uint(j, "new", r->n_new_text);
	jw_uint(j, "reused", r->n_reused);
	jw_uint(j, "listed", r->n_listed);
	jw_uint(j, "skipped", r->n_skipped);
	jw_close(j);
}

static void stages_json(const struct ingest_run *u, struct jw *j)
{
	static const char *const name[N_STAGE] = { "text", "trigram", "symbols", "pages" };

	jw_open(j, "stages", '[');
	for (int i = 0; i < N_STAGE; i++) {
		jw_open(j, NULL, '{');
		jw_str(j, "stage", name[i]);
		jw_uint(j, i == STAGE_PAGES ? "tokens" : "bytes", u->stage[i].n);
		jw_real(j, "seconds", u->stage[i].seconds);
		jw_real(j, "cpu_seconds", u->stage[i].cpu);
		jw_close(j);
	}
	jw_close(j);
}

static void report_json(struct ingest_run *u)
{
	struct ingest_result sum = { 0 };
	struct pages_result pages = { 0 };
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	size_t i;

	for (i = 0; i < u->n; i++) {
		add_result(&sum, &u->v[i].r);
		pages.n_document += u->v[i].pages.n_document;
		pages.total += u->v[i].pages.total;
		pages.encoded += u->v[i].pages.encoded;
		sum.seconds += u->v[i].pages.seconds;
	}
	jw_open(&j, NULL, '{');
	if (u->c->g.jsonl)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.ingest/1");
	jw_strn(&j, "snapshot", u->v[0].r.hash, MIN(strlen(u->v[0].r.hash), (size_t)HASH_SHOWN));
	files_json(&j, &sum, &pages);
	jw_open(&j, "tokens", '{');
	jw_uint(&j, "total", pages.total);
	jw_uint(&j, "encoded", pages.encoded);
	jw_uint(&j, "reused", pages.total - pages.encoded);
	jw_close(&j);
	jw_uint(&j, "bytes", sum.bytes_read);
	jw_real(&j, "seconds", sum.seconds);
	stages_json(u, &j);
	problems_json(&u->problems, &j);
	jw_open(&j, "sources", '[');
	for (i = 0; i < u->n; i++) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "name", u->v[i].o.name);
		jw_strn(&j, "snapshot", u->v[i].r.hash, MIN(strlen(u->v[i].r.hash), (size_t)HASH_SHOWN));
		jw_bool(&j, "changed", u->v[i].r.changed);
		files_json(&j, &u->v[i].r, &u->v[i].pages);
		jw_close(&j);
	}
	jw_close(&j);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

/* --- the run --- */

static void stage_begin(struct ingest_run *u)
{
	u->since = clock_now();
	u->cpu_since = clock_cpu();
}

static void stage_end(struct ingest_run *u, enum ingest_stage s, uint64_t n)
{
	ingest_end_progress(u);
	u->stage[s].seconds += clock_now() - u->since;
	u->stage[s].cpu += clock_cpu() - u->cpu_since;
	u->stage[s].n += n;
}

/* What may be asked already, and only gets better: where a string stands, what the symbols are. */
static int run_behind(struct ingest_run *u, struct library *lib, struct err *e)
{
	struct ingest_symbols_result s = { 0 };
	uint64_t n = 0;
	int rc;

	stage_begin(u);
	rc = ingest_fill(lib_catalog(lib), &u->v[0].o, &n, e);
	stage_end(u, STAGE_TRIGRAM, n);
	if (rc)
		return rc;
	stage_begin(u);
	rc = ingest_symbols(lib_catalog(lib), &u->v[0].o, &s, e);
	stage_end(u, STAGE_SYMBOLS, s.n_byte);
	if (s.n_lacking)
		warn(u->c, "%llu source files have not all of their symbols; the first: %s",
		     (unsigned long long)s.n_lacking, s.why);
	return rc;
}

static int run_text(struct ingest_run *u, struct library *lib, struct err *e)
{
	bool json = u->c->g.json || u->c->g.jsonl;
	size_t i;
	int rc = 0;

	for (i = 0; i < u->n && !rc; i++) {
		struct target *t = &u->v[i];

		u->source = t->o.name;
		stage_begin(u);
		rc = ingest_text(lib_catalog(lib), &t->o, &t->r, e);
		stage_end(u, STAGE_TEXT, t->r.bytes_text);
		if (!rc && !json)
			report(u, t);
	}
	if (!rc)
		rc = run_behind(u, lib, e);
	if (rc == ERR_INTR)
		err_hint(e, rc, "what was read is kept; the same command goes on");
	return rc;
}

static void on_pages(void *ctx, const struct pages_progress *p)
{
	struct ingest_run *u = ctx;

	if (!u->shown) {
		progress_start(&u->progress, u->c, "encoding", PROGRESS_TOKENS, p->total);
		u->shown = true;
	}
	progress_set(&u->progress, p->done, NULL);
}

static int encode_sources(struct ingest_run *u, struct pages *p, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < u->n && !rc; i++) {
		struct target *t = &u->v[i];
		char time[16];

		stage_begin(u);
		rc = pages_snapshot(p, t->r.snapshot, on_pages, u, &t->pages, e);
		stage_end(u, STAGE_PAGES, t->pages.encoded);
		if (rc || u->c->g.json || u->c->g.jsonl || !t->pages.encoded)
			continue;
		printf("%*s  %llu tokens encoded in %s, %.0f tokens/s\n", (int)strlen(t->o.name), "",
		       (unsigned long long)t->pages.encoded, term_duration(time, t->pages.seconds),
		       (double)t->pages.encoded / t->pages.seconds);
	}
	if (rc == ERR_INTR)
		err_hint(e, rc, "what was encoded is kept; the same command goes on");
	return rc;
}

enum kv_type ingest_kv_type(const struct ingest_cmd_opts *o)
{
	static const enum kv_type types[] = { KV_Q8, KV_Q4, KV_F16 };

	return types[o->kv];
}

/* The encode stage.  Without any model the text stage is all there is, and says so. */
static int run_pages(struct ingest_run *u, struct library *lib, struct err *e)
{
	struct engine *en = NULL;
	struct tok *tok = NULL;
	struct encoder *enc = NULL;
	struct pages *p = NULL;
	char *path = NULL;
	int rc;

	if (!u->c->g.model && model_find(u->c, NULL, &path, NULL)) {
		note(u->c, "no model to encode with: text and full text only; 'folio model get smollm2-135m' "
		     "fetches one");
		return 0;
	}
	free(path);
	rc = cmd_open_model(u->c, NULL, &en, &tok, e);
	if (!rc)
		rc = encoder_open(&enc, en, tok, ingest_kv_type(u->c->opts), e);
	if (!rc)
		rc = pages_open(&p, lib, enc, e);
	if (!rc)
		rc = encode_sources(u, p, e);
	pages_close(p);
	encoder_close(enc);
	tok_close(tok);
	engine_close(en);
	return rc;
}

/* Numbers for a full disk. */
static void say_room(const struct library *lib, struct err *e)
{
	char room[16], all[16];
	struct statvfs v;

	if (statvfs(lib_dir(lib), &v))
		return;
	err_hint(e, ERR_FULL, "%s of %s are free on the disk of '%s'; what was committed is kept, and with more "
		 "room the same command goes on",
		 term_bytes(room, (double)v.f_bavail * (double)v.f_frsize),
		 term_bytes(all, (double)v.f_blocks * (double)v.f_frsize), lib_dir(lib));
}

static int run(struct ingest_run *u, struct err *e)
{
	const struct ingest_cmd_opts *o = u->c->opts;
	struct library *lib = NULL;
	uint64_t n_token = 0;
	int rc = 0;

	if (o->budget >= 0) {
		rc = plan_run(u, false, &n_token, e);
		if (!rc && n_token > (uint64_t)o->budget) {
			err_set(e, ERR_BUDGET, "%llu tokens, the budget is %lld", (unsigned long long)n_token,
				(long long)o->budget);
			rc = err_hint(e, ERR_BUDGET, "--dry-run --tree shows where they are");
		}
	}
	if (!rc)
		rc = library_open(u->c, &lib, LIB_CREATE, e);
	if (!rc)
		rc = lib_lock_long(lib, "ingest", e);
	if (!rc)
		rc = run_text(u, lib, e);
	if (!rc && !o->text_only)
		rc = run_pages(u, lib, e);
	if (rc == ERR_FULL && lib)
		say_room(lib, e);
	lib_close(lib);
	return rc;
}

int cmd_ingest(struct ctx *c, int argc, char **argv)
{
	const struct ingest_cmd_opts *o = c->opts;
	struct ingest_run u = { .c = c };
	struct err e = { 0 };
	uint64_t n_token;
	int rc = targets_make(&u, argc, argv, &e), code;

	if (!rc && o->explain)
		rc = plan_explain(&u, &e);
	else if (!rc && o->dry_run)
		rc = plan_run(&u, true, &n_token, &e);
	else if (!rc)
		rc = run(&u, &e);
	ingest_end_progress(&u);
	if (rc) {
		code = fail(c, &e);
	} else {
		if (!o->explain && !o->dry_run && (c->g.json || c->g.jsonl))
			report_json(&u);
		problems_warn(c, &u.problems);
		code = u.problems.n ? EXIT_SOME : EXIT_DONE;
	}
	targets_release(&u);
	return code;
}
