/* folio eval: questions whose answers were planted, by length */
#include "config.h"

#include "cmd/cmd_eval.h"
#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/progress.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "cache/catalog.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "ingest/pages.h"
#include "ingest/pipeline.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field) OPT_AT(struct eval_opts, field)

const struct opt eval_opts[] = {
	{ "tasks", 't', OPT_STR, AT(tasks), "TASK,...", .help = "which tasks; all of them unless given" },
	{ "lengths", 'l', OPT_STR, AT(lengths), "TOKENS,...",
	  .help = "how long the text is; k and m are thousands and millions", .def = "8k,64k" },
	{ "questions", 'n', OPT_INT, AT(n), "N", .help = "questions of each task; of frequent at most 4",
	  .def = "100" },
	{ "seed", 0, OPT_INT, AT(seed), "N", .help = "text, lines and names follow from it", .def = "1" },
	{ "attend", 0, OPT_STR, AT(attend), "exact|select|TOKENS,...",
	  .help = "to every token, to the best, or to the best so many of each KV head", .def = "select",
	  .group = "Ways of asking; each combination gives a column" },
	{ "attn-temperature", 0, OPT_STR, AT(law), "llama4|log|off,...",
	  .help = "how attention sharpens with the tokens mounted", .def = "llama4",
	  .group = "Ways of asking; each combination gives a column" },
	{ "kv", 0, OPT_ENUM, AT(kv), "q8|q4|f16", .help = "how keys and values are stored", .def = "q8" },
	{ "batch", 0, OPT_INT, AT(batch), "N", .help = "questions answered side by side", .def = "64" },
	{ "keep", 0, OPT_STR, AT(keep), "DIR", .help = "leave texts and libraries in this folder" },
	OPT_END
};

struct eval {
	struct ctx *c;
	const struct eval_opts *o;
	struct engine  *en;
	struct tok     *tok;
	struct encoder *enc;
	struct eval_report r;
	struct eval_way *model_way;	/* [n_way] ways without results */
	const char *const *path;
	size_t n_path;
	char  *dir;
	struct progress progress;
	bool   shown;
};

/* ---- what was asked for ---- */

/* Call fn for every word of a list. */
static int each(struct eval *v, const char *list, int (*fn)(struct eval *, const char *, struct err *), struct err *e)
{
	char *copy = strdup(list), *at = copy, *word;
	int rc = copy ? 0 : err_nomem(e);

	while (!rc && (word = strsep(&at, ",")))
		rc = fn(v, word, e);
	free(copy);
	return rc;
}

static int add_task(struct eval *v, const char *word, struct err *e)
{
	int t = eval_task_find(word, strlen(word));

	if (t < 0) {
		struct buf b = { 0 };

		for (int i = 0; i < EVAL_N_TASK; i++)
			buf_addf(&b, "%s%s", i ? ", " : "", eval_task_name((enum eval_task)i));
		err_set(e, ERR_INVALID, "there is no task '%s'", word);
		err_hint(e, ERR_INVALID, "there are: %s", b.data ? b.data : "");
		buf_release(&b);
		return ERR_INVALID;
	}
	v->r.tasks |= 1u << t;
	return 0;
}

/* "64k" */
static bool read_length(const char *word, uint64_t *out)
{
	char *end;
	unsigned long long x;

	if (*word < '0' || *word > '9')
		return false;
	errno = 0;
	x = strtoull(word, &end, 10);
	if (errno || x > 1000000000)
		return false;
	if (*end == 'k' || *end == 'K')
		x *= 1000, end++;
	else if (*end == 'm' || *end == 'M')
		x *= 1000000, end++;
	*out = x;
	return !*end && x >= 1 && x <= 1000000000;
}

static int add_length(struct eval *v, const char *word, struct err *e)
{
	struct eval_length *more = realloc(v->r.length, (v->r.n + 1) * sizeof(*more));
	uint64_t n;

	if (!more)
		return err_nomem(e);
	v->r.length = more;
	if (!read_length(word, &n)) {
		err_set(e, ERR_INVALID, "--lengths: '%s' is no number of tokens", word);
		return err_hint(e, ERR_INVALID, "like 8k, 64k, 1m; a thousand million at most");
	}
	more[v->r.n++] = (struct eval_length){ .wanted = n };
	return 0;
}

static int add_way(struct eval *v, struct eval_way w, struct err *e)
{
	struct eval_way *more = realloc(v->model_way, (v->r.n_way + 1) * sizeof(*more));

	if (!more)
		return err_nomem(e);
	v->model_way = more;
	more[v->r.n_way++] = w;
	return 0;
}

static int add_law(struct eval *v, const char *law, struct err *e)
{
	static const char *const words[] = { "llama4", "log", "off" };
	char *copy = strdup(v->o->attend), *at = copy, *word;
	struct eval_way w = { 0 };
	size_t i = 0;
	int rc = copy ? 0 : err_nomem(e);

	while (i < ARRAY_LEN(words) && strcmp(words[i], law))
		i++;
	w.law = (enum plan_law)i;
	if (!rc && i == ARRAY_LEN(words)) {
		err_set(e, ERR_INVALID, "--attn-temperature: '%s' is no law", law);
		rc = err_hint(e, ERR_INVALID, "there are llama4, log and off");
	}
	while (!rc && (word = strsep(&at, ","))) {
		int64_t n = 0;

		w.mode = strcmp(word, "exact") ? FAR_SELECT : FAR_EXACT;
		if (w.mode == FAR_SELECT && strcmp(word, "select") &&
		    (!opt_read_int(word, &n) || n < 1 || n > 1 << 20)) {
			err_set(e, ERR_INVALID, "--attend: '%s' is none of exact, select and a number", word);
			rc = err_hint(e, ERR_INVALID, "the number counts tokens, up to %d", 1 << 20);
		}
		w.rerank = (uint32_t)n;
		if (!rc)
			rc = add_way(v, w, e);
	}
	free(copy);
	return rc;
}

static int read_opts(struct eval *v, struct err *e)
{
	const struct eval_opts *o = v->o;
	int rc = 0;

	if (o->tasks)
		rc = each(v, o->tasks, add_task, e);
	else
		v->r.tasks = (1u << EVAL_N_TASK) - 1;
	if (!rc)
		rc = each(v, o->lengths, add_length, e);
	if (!rc)
		rc = each(v, o->law, add_law, e);
	if (!rc && (o->n < 1 || o->n > 100000)) {
		err_set(e, ERR_INVALID, "%lld questions of a task", (long long)o->n);
		rc = err_hint(e, ERR_INVALID, "-n takes 1 to 100000");
	}
	if (!rc && (o->batch < 1 || o->batch > 1024)) {
		err_set(e, ERR_INVALID, "%lld questions side by side", (long long)o->batch);
		rc = err_hint(e, ERR_INVALID, "--batch takes 1 to 1024");
	}
	for (size_t i = 0; i < v->r.n && !rc; i++) {
		v->r.length[i].way = calloc(v->r.n_way, sizeof(struct eval_way));
		if (!v->r.length[i].way)
			return err_nomem(e);
		memcpy(v->r.length[i].way, v->model_way, v->r.n_way * sizeof(struct eval_way));
	}
	return rc;
}

/* ---- folders ---- */

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void remove_all(const char *path)
{
	nftw(path, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_dir(struct eval *v, struct err *e)
{
	const char *tmp = getenv("TMPDIR");

	if (v->o->keep) {
		v->dir = strdup(v->o->keep);
		return v->dir ? file_mkdirs(v->dir, e) : err_nomem(e);
	}
	v->dir = path_join(tmp && *tmp ? tmp : "/tmp", "folio-eval-XXXXXX");
	if (!v->dir)
		return err_nomem(e);
	if (!mkdtemp(v->dir)) {
		int rc = err_set(e, ERR_IO, "cannot make '%s': %s", v->dir, strerror(errno));

		free(v->dir);
		v->dir = NULL;
		return rc;
	}
	return 0;
}

/* ---- one length ---- */

static void show(struct eval *v, const char *phase, enum progress_unit unit, uint64_t done, uint64_t total)
{
	if (!v->shown)
		progress_start(&v->progress, v->c, phase, unit, total);
	v->shown = true;
	progress_set(&v->progress, done, NULL);
}

static void hide(struct eval *v)
{
	if (v->shown)
		progress_end(&v->progress);
	v->shown = false;
}

static void on_pages(void *ctx, const struct pages_progress *p)
{
	show(ctx, "encoding", PROGRESS_TOKENS, p->done, p->total);
}

static void on_step(void *ctx, size_t done, size_t n)
{
	show(ctx, "asking", PROGRESS_STEPS, done, n);
}

/* The text, written and read into the library by the ordinary pipeline. */
static int fill(struct eval *v, struct eval_length *l, const struct eval_set *set, const char *text, struct library *lib,
		int64_t *snapshot, struct err *e)
{
	struct eval_hay h = { .path = v->path, .n_path = v->n_path, .n_token = l->wanted, .line = set->line,
			      .n_line = set->n_line, .seed = v->r.seed };
	const char *roots[] = { text };
	struct ingest_opts o = { .roots = roots, .n_root = 1, .list_fd = -1, .name = "text", .kind = "dir",
				 .origin = text, .n_thread = ctx_threads(v->c), .allow_secrets = true,
				 .walk = { .no_ignore = true, .max_file = 64 << 20 } };
	struct ingest_result res;
	int rc;

	remove_all(text);
	rc = file_mkdirs(text, e);
	if (!rc)
		rc = eval_hay_write(text, &h, v->tok, &l->hay, e);
	if (!rc)
		rc = ingest_text(lib_catalog(lib), &o, &res, e);
	*snapshot = rc ? 0 : res.snapshot;
	return rc;
}

static int encode(struct eval *v, struct eval_length *l, struct pages *p, int64_t snapshot, struct err *e)
{
	struct pages_result res = { 0 };
	int rc = pages_snapshot(p, snapshot, on_pages, v, &res, e);

	hide(v);
	l->encoded = res.encoded;
	l->encode_seconds = res.seconds;
	return rc;
}

static int mount(struct eval *v, struct eval_length *l, struct pages *p, struct library *lib, int64_t snapshot,
		 struct view **view, struct err *e)
{
	struct view_entry *entry;
	struct cat_mount *m;
	size_t n;
	int rc = cat_mounts(lib_catalog(lib), pages_engine(p), CAT_ISOLATED, &snapshot, 1, NULL, 0, NULL, &m, &n, NULL,
			    e);

	if (rc)
		return rc;
	entry = calloc(n + 1, sizeof(*entry));
	for (size_t i = 0; entry && i < n; i++)
		entry[i] = (struct view_entry){ .span = m[i].last, .kv = m[i].ref, .n_token = m[i].n_token,
						.type = (uint8_t)m[i].type, .user = i };
	rc = entry ? view_new(view, pages_store(p), encoder_geom(v->enc), entry, n, e) : err_nomem(e);
	free(entry);
	free(m);
	if (!rc)
		l->n_token = view_tokens(*view);
	return rc;
}

/* Turns in one string, for the examples of what went wrong. */
static char *joined(const struct eval_question *q, const struct eval_answer *a, int part)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < q->n_turn; i++)
		buf_addf(&b, "%s%s", i ? " | " : "",
			 part == 0 ? q->turn[i].prompt : part == 1 ? q->turn[i].gold : a->said[i]);
	return buf_take(&b);
}

static void count(struct eval_way *w, const struct eval_set *set, const struct eval_answer *answer)
{
	for (size_t i = 0; i < set->n; i++) {
		struct eval_cell *x = &w->cell[set->question[i].task];

		x->of++;
		x->right += answer[i].right;
		if (answer[i].right || x->n_wrong == EVAL_MOST_WRONG)
			continue;
		for (int k = 0; k < 3; k++)
			x->wrong[x->n_wrong][k] = joined(&set->question[i], &answer[i], k);
		x->n_wrong++;
	}
}

static int ask(struct eval *v, struct eval_length *l, struct view *view, const struct eval_set *set, struct err *e)
{
	int rc = 0;

	for (size_t w = 0; w < v->r.n_way && !rc; w++) {
		struct eval_way *way = &l->way[w];
		struct eval_run run = { .enc = v->enc, .view = view, .n_batch = (size_t)v->o->batch, .ctx = v,
					.on_step = on_step,
					.far = { .mode = way->mode, .law = way->law, .rerank = way->rerank } };
		struct eval_answer *answer = calloc(set->n + 1, sizeof(*answer));

		rc = answer ? eval_run(&run, set, answer, &way->stats, e) : err_nomem(e);
		hide(v);
		if (!rc)
			count(way, set, answer);
		eval_answers_release(answer, set->n);
	}
	return rc;
}

static int one_length(struct eval *v, struct eval_length *l, struct err *e)
{
	/* A tenth of the text at most, over four questions, a dozen tokens a line. */
	size_t n_frequent = (size_t)MAX(MIN(l->wanted / (10 * 4 * 12), (uint64_t)4096), (uint64_t)7);
	char name[32], *dir, *text = NULL, *where = NULL;
	struct eval_set set = { 0 };
	struct library *lib = NULL;
	struct pages *p = NULL;
	struct view *view = NULL;
	int64_t snapshot = 0;
	int rc = 0;

	snprintf(name, sizeof(name), "%llu", (unsigned long long)l->wanted);
	dir = path_join(v->dir, name);
	if (dir) {
		text = path_join(dir, "text");
		where = path_join(dir, "library");
	}
	if (!text || !where)
		rc = err_nomem(e);
	if (!rc)
		rc = file_mkdirs(dir, e);
	if (!rc)
		rc = eval_set_make(&set, v->r.tasks, (size_t)v->o->n, n_frequent, v->r.seed, e);
	if (!rc)
		rc = lib_open(&lib, where, LIB_CREATE, e);
	if (!rc)
		rc = lib_lock_long(lib, "ingest", e);
	if (!rc)
		rc = fill(v, l, &set, text, lib, &snapshot, e);
	if (!rc)
		rc = pages_open(&p, lib, v->enc, e);
	if (!rc)
		rc = encode(v, l, p, snapshot, e);
	if (!rc)
		rc = mount(v, l, p, lib, snapshot, &view, e);
	if (!rc)
		rc = ask(v, l, view, &set, e);
	view_free(view);
	pages_close(p);
	lib_close(lib);
	eval_set_release(&set);
	if (!v->o->keep && dir)
		remove_all(dir);
	free(where);
	free(text);
	free(dir);
	return rc;
}

/* ---- the command ---- */

static int open_model(struct eval *v, struct err *e)
{
	static const enum kv_type types[] = { KV_Q8, KV_Q4, KV_F16 };
	static const char *const names[] = { "q8", "q4", "f16" };
	int rc = cmd_open_model(v->c, NULL, &v->en, &v->tok, e);

	if (rc)
		return rc;
	if (!plan_is_irope(engine_plan(v->en))) {
		err_set(e, ERR_MODEL, "'%s' has far layers that use RoPE: it cannot attend to a whole library",
			engine_plan(v->en)->name);
		return err_hint(e, ERR_MODEL, "eval wants an iRoPE model, like samples/model/folio-needle.gguf");
	}
	snprintf(v->r.model, sizeof(v->r.model), "%s", engine_plan(v->en)->name);
	v->r.kernels = engine_kernels(v->en);
	v->r.kv = names[v->o->kv];
	return encoder_open(&v->enc, v->en, v->tok, types[v->o->kv], e);
}

static void release(struct eval *v)
{
	hide(v);
	if (v->dir && !v->o->keep)
		remove_all(v->dir);
	free(v->dir);
	encoder_close(v->enc);
	tok_close(v->tok);
	engine_close(v->en);
	for (size_t i = 0; i < v->r.n; i++) {
		for (size_t w = 0; v->r.length[i].way && w < v->r.n_way; w++)
			for (int t = 0; t < EVAL_N_TASK; t++)
				for (size_t k = 0; k < v->r.length[i].way[w].cell[t].n_wrong; k++)
					for (int part = 0; part < 3; part++)
						free(v->r.length[i].way[w].cell[t].wrong[k][part]);
		free(v->r.length[i].way);
	}
	free(v->r.length);
	free(v->model_way);
}

int cmd_eval(struct ctx *c, int argc, char **argv)
{
	static const char *const usual[] = { "/usr/include", "/usr/share/doc", "/usr/lib/python3" };
	const struct eval_opts *o = c->opts;
	struct eval v = { .c = c, .o = o, .path = argc ? (const char *const *)argv : usual,
			  .n_path = argc ? (size_t)argc : ARRAY_LEN(usual) };
	struct err e = { 0 };
	int rc, code;

	v.r.seed = (uint64_t)o->seed;
	rc = read_opts(&v, &e);
	if (!rc)
		rc = open_model(&v, &e);
	if (!rc)
		rc = make_dir(&v, &e);
	for (size_t i = 0; i < v.r.n && !rc; i++)
		rc = one_length(&v, &v.r.length[i], &e);
	hide(&v);
	if (rc)
		code = fail(c, &e);
	else
		code = EXIT_DONE;
	if (!rc && (c->g.json || c->g.jsonl))
		eval_json(&v.r);
	else if (!rc)
		eval_markdown(c, &v.r);
	release(&v);
	return code;
}
