/* The smaller questions around a run: what a root is, the trigram index, one file's fate, what is
 * left to encode. */
#include "config.h"

#include "ingest/pipeline.h"

#include "base/size.h"
#include "base/stop.h"
#include "cache/search.h"
#include "ingest/pathset.h"
#include "ingest/repo.h"
#include "ingest/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int source_look(struct source_info *out, const char *root, struct err *e)
{
	char *real;
	const char *slash;
	struct stat st;

	*out = (struct source_info){ .kind = "stdin" };
	if (!strcmp(root, "-")) {
		out->name = strdup("stdin");
		out->origin = strdup("-");
		return out->name && out->origin ? 0 : err_nomem(e);
	}
	real = realpath(root, NULL);
	if (!real || stat(real, &st) < 0) {
		int error = errno;

		free(real);
		return err_set(e, error == ENOENT || error == ENOTDIR ? ERR_NOTFOUND : ERR_IO,
			       "cannot read '%s': %s", root, strerror(error));
	}
	slash = strrchr(real, '/');
	out->origin = real;
	out->name = strdup(slash[1] ? slash + 1 : "root");
	out->is_dir = S_ISDIR(st.st_mode);
	out->kind = out->is_dir ? (walk_find_top(real) ? "git" : "dir") :
		    walk_is_archive(real, strlen(real)) ? "archive" : "file";
	return out->name ? 0 : err_nomem(e);
}

void source_release(struct source_info *s)
{
	free(s->name);
	free(s->origin);
	*s = (struct source_info){ 0 };
}

int ingest_fill(struct catalog *c, const struct ingest_opts *o, uint64_t *n_byte, struct err *e)
{
	enum { STEP = 4 << 20 };
	struct ingest_progress p = { .phase = INGEST_INDEX };
	uint64_t left, before;
	int rc = search_left(c, &left, e);

	*n_byte = 0;
	p.total_bytes = left;
	while (left && !rc) {
		if (stop_requested())
			return err_set(e, ERR_INTR, "interrupted");
		before = left;
		rc = search_fill(c, STEP, &left, e);
		if (rc || left == before)
			break;
		p.bytes = *n_byte = p.total_bytes - MIN(left, p.total_bytes);
		if (o->on_progress)
			o->on_progress(o->ctx, &p);
	}
	return rc;
}

/* --- one file's fate --- */

struct explain {
	const char  *path;
	struct item *best;		/* the last word so far */
	struct buf   rule_file;
	struct job  *job;
	const struct ingest_opts *o;
};

static int explain_item(void *ctx, const struct item *it, struct err *e)
{
	struct explain *x = ctx;
	struct err why = { 0 };

	free(x->best);
	x->best = item_copy(it);
	if (!x->best)
		return err_nomem(e);
	buf_clear(&x->rule_file);
	if (it->rule_file)
		buf_adds(&x->rule_file, it->rule_file);
	x->best->rule_file = it->rule_file ? x->rule_file.data : NULL;
	if (it->state != STATE_TAKE || strcmp(it->path, x->path))
		return WALK_ON;
	job_free(x->job);
	x->job = job_new(it);
	if (!x->job)
		return err_nomem(e);
	if (it->origin != FROM_FILE) {
		x->job->has_bytes = true;
		if (item_read(it, WALK_MAX_FILE, &x->job->bytes, NULL, &why)) {
			walk_verdict(x->best, STATE_SKIP, WHY_DAMAGED, "%.200s", why.msg);
			job_free(x->job);
			x->job = NULL;
		}
	}
	return WALK_ON;
}

int ingest_explain(const struct ingest_opts *o, const char *path, walk_fn *fn, void *ctx,
		   struct err *e)
{
	struct ingest_opts opts = *o;
	struct explain x = { .path = path, .o = o };
	struct work_opts wo = { .n_thread = 1, .allow_secrets = o->allow_secrets, .rehearse = true,
				.max_file = o->walk.max_file ? o->walk.max_file : WALK_MAX_FILE,
				.extract = o->extract };
	struct work *w = NULL;
	struct job *j = NULL;
	int rc;

	opts.walk.only = path;
	rc = walk_run(&opts.walk, o->roots, o->n_root, explain_item, &x, e);
	if (!rc && !x.best)
		rc = err_set(e, ERR_NOTFOUND, "no file '%s' in the source", path);
	if (!rc && x.job) {
		rc = work_new(&w, &wo, e);
		if (!rc) {
			work_put(w, x.job);
			x.job = NULL;
			while (!j && work_in_flight(w))
				j = work_take(w, 200);
			if (j && j->rc) {
				rc = j->rc;
				if (e)
					*e = j->e;
			} else if (j) {
				x.best->state = j->it->state;
				x.best->why = j->it->why;
				memcpy(x.best->reason, j->it->reason, sizeof(j->it->reason));
			}
		}
	}
	if (!rc)
		rc = fn(ctx, x.best, e);
	job_free(j);
	job_free(x.job);
	work_free(w);
	free(x.best);
	buf_release(&x.rule_file);
	return rc;
}

/* --- what is left to encode --- */

struct todo {
	struct pathset seen;		/* document ids, as keys */
	int64_t       *doc;
	size_t        *at;		/* of its path in paths */
	size_t         n, cap;
	struct buf     paths;
};

static int add_todo(void *ctx, const struct cat_entry *en)
{
	struct todo *t = ctx;
	bool added;

	if (en->state != CAT_TEXT)
		return 0;
	if (pathset_add(&t->seen, (uint64_t)en->document << 1 | 1, &added, NULL))
		return ERR_NOMEM;
	if (!added)
		return 0;
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 256;
		int64_t *doc = realloc(t->doc, cap * sizeof(*doc));
		size_t *at;

		if (!doc)
			return ERR_NOMEM;
		t->doc = doc;
		at = realloc(t->at, cap * sizeof(*at));
		if (!at)
			return ERR_NOMEM;
		t->at = at;
		t->cap = cap;
	}
	t->doc[t->n] = en->document;
	t->at[t->n++] = t->paths.len;
	buf_add(&t->paths, en->path, en->path_n);
	buf_addc(&t->paths, 0);
	return t->paths.failed ? ERR_NOMEM : 0;
}

int ingest_todo(struct catalog *c, int64_t snapshot, int64_t engine, enum cat_mode mode,
		ingest_todo_fn *fn, void *ctx, struct err *e)
{
	struct todo t = { 0 };
	size_t i;
	int rc = cat_entries(c, snapshot, add_todo, &t, e);

	if (rc == ERR_NOMEM)
		err_nomem(e);
	/* The list first, then the calls: fn may write to the catalog. */
	for (i = 0; i < t.n && !rc; i++) {
		const char *path = t.paths.data + t.at[i];
		uint64_t all, done;

		rc = cat_coverage(c, t.doc[i], engine, mode, &all, &done, e);
		if (!rc && (!all || done < all))
			rc = fn(ctx, t.doc[i], path, strlen(path), e);
	}
	pathset_release(&t.seen);
	free(t.doc);
	free(t.at);
	buf_release(&t.paths);
	return rc;
}
