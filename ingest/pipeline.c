#include "config.h"

#include "ingest/pipeline.h"

#include "base/clock.h"
#include "base/size.h"
#include "base/stop.h"
#include "ingest/pathset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_VERSION = 1, PROGRESS_EVERY_MS = 100 };

/* What the snapshot before said about a path. */
struct before {
	bool            found;
	enum cat_state  state;
	char            reason[256];
	struct cat_stat st;
};

struct run {
	struct catalog *c;		/* NULL: a rehearsal */
	const struct ingest_opts *o;
	struct ingest_result *r;
	struct work *w;
	int64_t newest;			/* complete snapshot before this run, 0: none */
	int64_t base;			/* what to compare with and to copy: newest, if trusted */
	int64_t snap;			/* the open one, 0 before it is begun */
	char    rev[72];
	struct buf options;		/* what decides about content beside the content */

	struct pathset seen;		/* paths of this run */
	struct pathset kept;		/* archives whose members stay as they are */
	struct pathset texts;		/* of a rehearsal, by SHA-256 */
	struct job *archives;		/* entries that wait for their members */

	struct job *batch, **batch_end;
	size_t  batch_n, batch_bytes;
	double  batch_since, shown, start;
};

/* --- entries --- */

static int copy_entry(void *ctx, const struct cat_entry *en)
{
	struct before *b = ctx;

	b->found = true;
	b->state = en->state;
	b->st = en->st;
	snprintf(b->reason, sizeof(b->reason), "%s", en->reason);
	return 0;
}

static int look_before(struct run *u, const struct item *it, struct before *b, struct err *e)
{
	int64_t from = u->snap ? u->snap : u->base;
	int rc;

	*b = (struct before){ 0 };
	if (!u->c || !from)
		return 0;
	rc = cat_entry(u->c, from, it->path, it->n_path, copy_entry, b, e);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

static enum cat_state cat_state_of(const struct item *it)
{
	return it->state == STATE_TAKE ? CAT_TEXT : it->state == STATE_LIST ? CAT_LISTED : CAT_SKIPPED;
}

static int put_text(struct run *u, struct job *j, struct err *e)
{
	bool is_new = false;
	int rc = j->blob ? cat_put_text(u->c, j->blob, &j->document, &is_new, e) : 0;

	u->r->n_new_text += is_new;
	return rc;
}

static int put_entry(struct run *u, const struct job *j, struct err *e)
{
	struct cat_entry en = { .path = j->it->path, .path_n = j->it->n_path, .document = j->document,
				.state = cat_state_of(j->it), .reason = j->it->reason, .st = j->st };

	return cat_put_entry(u->c, u->snap, &en, e);
}

static void options_key(const struct run *u, char key[64])
{
	snprintf(key, 64, "ingest.%lld", (long long)u->r->source);
}

/* The options are written with the first entries made by them, so that an open snapshot never holds
 * entries of others. */
static int need_snapshot(struct run *u, struct err *e)
{
	char key[64];
	int rc;

	if (u->snap)
		return 0;
	options_key(u, key);
	rc = cat_snapshot_begin(u->c, u->r->source, u->rev, u->base, &u->snap, e);
	return rc ? rc : cat_set(u->c, 0, key, u->options.data, u->options.len, e);
}

static void free_jobs(struct job **list)
{
	struct job *j;

	while ((j = *list)) {
		*list = j->next;
		job_free(j);
	}
}

static int flush(struct run *u, struct err *e)
{
	int64_t snap = u->snap;
	struct job *j;
	int rc;

	if (!u->batch)
		return 0;
	rc = cat_begin(u->c, e);
	if (rc)
		return rc;
	rc = need_snapshot(u, e);
	/* All texts, then all entries: replacing a row is a savepoint to SQLite, at which FTS5 writes out
	 * what it has of the words index, and a segment a file costs twice as much to merge. */
	for (j = u->batch; j && !rc; j = j->next)
		rc = put_text(u, j, e);
	for (j = u->batch; j && !rc; j = j->next)
		rc = put_entry(u, j, e);
	if (!rc)
		rc = cat_commit(u->c, e);
	if (rc) {
		cat_rollback(u->c);
		u->snap = snap;
		return rc;
	}
	free_jobs(&u->batch);
	u->batch_end = &u->batch;
	u->batch_n = 0;
	u->batch_bytes = 0;
	return 0;
}

static int add_to_batch(struct run *u, struct job *j, struct err *e)
{
	if (!u->batch)
		u->batch_since = clock_now();
	j->next = NULL;
	*u->batch_end = j;
	u->batch_end = &j->next;
	u->batch_n++;
	u->batch_bytes += j->doc.text.len;
	if (u->batch_bytes < PIPELINE_BATCH_BYTES && u->batch_n < PIPELINE_BATCH_ENTRIES &&
	    clock_now() - u->batch_since < PIPELINE_BATCH_SECONDS)
		return 0;
	return flush(u, e);
}

/* --- telling --- */

static void progress(struct run *u, const char *path)
{
	struct ingest_progress p = { .phase = INGEST_TEXT, .path = path };
	double now = clock_now();

	if (!u->o->on_progress || now - u->shown < PROGRESS_EVERY_MS / 1000.0)
		return;
	u->shown = now;
	p.files = u->r->n_text + u->r->n_reused + u->r->n_listed + u->r->n_skipped;
	p.bytes = u->r->bytes_read;
	u->o->on_progress(u->o->ctx, &p);
}

static void tell(struct run *u, const struct item *it, uint64_t n_text, uint64_t n_token, bool is_copy)
{
	if (u->o->on_item)
		u->o->on_item(u->o->ctx, it, n_text, n_token, is_copy);
}

static void count_left_out(struct run *u, const struct item *it)
{
	struct ingest_result *r = u->r;

	r->n_out += it->state == STATE_OUT;
	r->n_listed += it->state == STATE_LIST;
	r->n_skipped += it->state == STATE_SKIP;
	r->n_problem += it->state == STATE_SKIP && why_is_problem(it->why);
	tell(u, it, 0, 0, false);
}

/* --- jobs --- */

/* Takes j over. */
static int finish_job(struct run *u, struct job *j, struct err *e)
{
	bool copy = false, added;
	uint64_t key;
	int rc = j->rc;

	if (rc) {
		if (e)
			*e = j->e;
		job_free(j);
		return rc;
	}
	u->r->bytes_read += j->n_read;
	if (j->it->state != STATE_TAKE) {
		count_left_out(u, j->it);
	} else {
		u->r->n_text++;
		u->r->bytes_text += j->n_text;
		if (!u->c) {
			memcpy(&key, j->sha256, sizeof(key));
			rc = pathset_add(&u->texts, key | 1, &added, e);
			copy = !added;
			u->r->n_token += copy ? 0 : j->n_token;
		}
		tell(u, j->it, j->n_text, j->n_token, copy);
	}
	progress(u, j->it->path);
	if (rc || !u->c) {
		job_free(j);
		return rc;
	}
	return add_to_batch(u, j, e);
}

static int drain(struct run *u, bool all, struct err *e)
{
	struct job *j;
	int rc = 0;

	while (!rc && ((j = work_take(u->w, all ? 200 : 0)) || (all && work_in_flight(u->w)))) {
		if (j)
			rc = finish_job(u, j, e);
		else
			progress(u, NULL);
		/* A batch does not grow old behind one slow file. */
		if (!rc && u->batch && clock_now() - u->batch_since > PIPELINE_BATCH_SECONDS)
			rc = flush(u, e);
	}
	return rc;
}

/* Takes j over. */
static int submit(struct run *u, struct job *j, struct err *e)
{
	int rc = drain(u, false, e);

	while (!rc && !work_room(u->w, j)) {
		struct job *k = work_take(u->w, 200);

		if (k)
			rc = finish_job(u, k, e);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted");
	}
	if (rc)
		job_free(j);
	else
		work_put(u->w, j);
	return rc;
}

/* An entry without content. */
static int plain(struct run *u, const struct item *it, struct err *e)
{
	struct job *j = job_new(it);

	if (!j)
		return err_nomem(e);
	j->st = work_stat(it, work_now_ns());
	return finish_job(u, j, e);
}

/* Content that can be had only now goes along in memory. */
static int take(struct run *u, const struct item *it, struct err *e)
{
	struct job *j = job_new(it);
	struct err why = { 0 };
	int rc = 0;

	if (!j)
		return err_nomem(e);
	if (it->origin == FROM_FILE)
		return submit(u, j, e);
	rc = item_read(it, u->o->walk.max_file ? (size_t)u->o->walk.max_file : WALK_MAX_FILE, &j->bytes,
		       NULL, &why);
	j->has_bytes = true;
	if (rc == ERR_NOMEM || rc == ERR_INTR) {
		if (e)
			*e = why;
		job_free(j);
		return rc;
	}
	if (rc) {
		j->it->state = STATE_SKIP;
		j->it->why = rc == ERR_BUDGET ? WHY_TOO_LARGE : WHY_DAMAGED;
		snprintf(j->it->reason, sizeof(j->it->reason), "%.250s", why.msg);
		return finish_job(u, j, e);
	}
	if (it->size == UINT64_MAX)
		j->it->size = j->bytes.len;
	j->cost = MIN(j->bytes.len, (size_t)WORK_BYTES);
	return submit(u, j, e);
}

/* --- what the walk says --- */

/* Trouble with an archive that was told before: its entry is still waiting. */
static struct job *waiting_archive(struct run *u, const struct item *it)
{
	struct job *j;

	if (it->origin != FROM_ARCHIVE)
		return NULL;
	for (j = u->archives; j; j = j->next)
		if (!strcmp(j->it->path, it->path))
			return j;
	return NULL;
}

static int hold_archive(struct run *u, const struct item *it, struct err *e)
{
	struct job *j = job_new(it);

	if (!j)
		return err_nomem(e);
	j->st = work_stat(it, work_now_ns());
	j->next = u->archives;
	u->archives = j;
	return 0;
}

/* True when the content is what it was, and so is what we made of it. */
static bool is_unchanged(const struct run *u, const struct item *it, const struct before *b)
{
	struct cat_stat now = work_stat(it, 0);

	if (!b->found || u->o->rehash || !now.inode || !cat_stat_trusted(&b->st, &now))
		return false;
	if (it->kind == ITEM_ARCHIVE)
		return b->state == CAT_LISTED && !strcmp(b->reason, it->reason);
	/* What failed is tried again; what was refused for its content stays refused. */
	return b->state != CAT_SKIPPED || !strncmp(b->reason, "a likely secret", 15);
}

static int reuse(struct run *u, const struct item *it, const struct before *b)
{
	struct item old = *it;

	if (b->state == CAT_TEXT) {
		u->r->n_reused++;
		tell(u, it, 0, 0, false);
		return WALK_ON;
	}
	old.state = b->state == CAT_LISTED ? STATE_LIST : STATE_SKIP;
	old.why = b->state == CAT_LISTED ? WHY_BINARY : WHY_SECRET;
	memcpy(old.reason, b->reason, sizeof(old.reason));
	count_left_out(u, &old);
	return WALK_ON;
}

static int on_walk(void *ctx, const struct item *it, struct err *e)
{
	struct run *u = ctx;
	struct job *held = waiting_archive(u, it);
	struct before b;
	bool added;
	int rc;

	progress(u, it->path);
	if (held) {
		held->it->state = it->state;
		held->it->why = it->why;
		memcpy(held->it->reason, it->reason, sizeof(it->reason));
		return WALK_ON;
	}
	if (it->state == STATE_OUT) {
		count_left_out(u, it);
		return WALK_ON;
	}
	rc = pathset_add(&u->seen, pathset_key(it->path, it->n_path), &added, e);
	if (rc || !added)
		return rc ? rc : WALK_PASS;	/* given twice, by overlapping roots */
	rc = look_before(u, it, &b, e);
	if (rc)
		return rc;
	if (it->kind == ITEM_ARCHIVE) {
		if (!is_unchanged(u, it, &b))
			return hold_archive(u, it, e);
		rc = pathset_add(&u->kept, pathset_key(it->path, it->n_path), &added, e);
		count_left_out(u, it);
		return rc ? rc : WALK_PASS;
	}
	if (it->state == STATE_TAKE)
		return is_unchanged(u, it, &b) ? reuse(u, it, &b) : take(u, it, e);
	if (b.found && b.state == cat_state_of(it) && !strcmp(b.reason, it->reason)) {
		count_left_out(u, it);
		return WALK_ON;
	}
	return plain(u, it, e);
}

/* --- the end: what is gone, what waited --- */

struct sweep {
	struct run *u;
	struct buf  gone;	/* paths, each ended by NUL */
	size_t      n_gone, n_kept;
};

static bool is_kept(const struct run *u, const char *path, size_t n)
{
	size_t i;

	for (i = 1; u->kept.n && i < n; i++)
		if (path[i] == '/' && pathset_has(&u->kept, pathset_key(path, i)))
			return true;
	return false;
}

static int sweep_entry(void *ctx, const struct cat_entry *en)
{
	struct sweep *s = ctx;
	struct ingest_result *r = s->u->r;

	if (pathset_has(&s->u->seen, pathset_key(en->path, en->path_n)))
		return 0;
	if (is_kept(s->u, en->path, en->path_n)) {
		r->n_reused += en->state == CAT_TEXT;
		r->n_listed += en->state == CAT_LISTED;
		r->n_skipped += en->state == CAT_SKIPPED;
		return 0;
	}
	buf_add(&s->gone, en->path, en->path_n);
	buf_addc(&s->gone, 0);
	s->n_gone++;
	return s->gone.failed ? ERR_NOMEM : 0;
}

static int finish(struct run *u, struct err *e)
{
	struct sweep s = { .u = u };
	int64_t from = u->snap ? u->snap : u->base;
	const char *p;
	struct job *j;
	size_t i;
	int rc = from ? cat_entries(u->c, from, sweep_entry, &s, e) : 0;

	u->r->n_gone = s.n_gone;
	for (j = u->archives; j; j = j->next)
		count_left_out(u, j->it);
	u->r->changed = u->snap || s.n_gone || u->archives || !u->base;
	if (rc || !u->r->changed)
		goto out;
	rc = cat_begin(u->c, e);
	if (!rc)
		rc = need_snapshot(u, e);
	for (i = 0, p = s.gone.data; i < s.n_gone && !rc; i++, p += strlen(p) + 1)
		rc = cat_del_entry(u->c, u->snap, p, strlen(p), e);
	for (j = u->archives; j && !rc; j = j->next)
		rc = put_entry(u, j, e);
	if (!rc)
		rc = cat_snapshot_finish(u->c, u->snap, &u->snap, e);
	if (!rc)
		rc = cat_commit(u->c, e);
	if (rc)
		cat_rollback(u->c);
out:
	buf_release(&s.gone);
	return rc;
}

/* --- the run --- */

static int options_text(struct run *u, struct err *e)
{
	const struct ingest_opts *o = u->o;
	size_t i;

	buf_addf(&u->options, "%d secrets=%d max=%llu archives=%d", OPTIONS_VERSION, o->allow_secrets,
		 (unsigned long long)o->walk.max_file, !o->walk.no_archives);
	for (i = 0; i < o->walk.n_glob; i++)
		buf_addf(&u->options, "\n%s", o->walk.globs[i]);
	return u->options.failed ? err_nomem(e) : 0;
}

static bool same_options(struct run *u)
{
	struct buf was = { 0 };
	char key[64];
	bool same;

	options_key(u, key);
	same = !cat_get(u->c, 0, key, &was, NULL) && was.len == u->options.len &&
	       !memcmp(was.data, u->options.data, was.len);
	buf_release(&was);
	return same;
}

struct find_source {
	const struct ingest_opts *o;
	bool other;
	char origin[256];
	int64_t newest;
};

static int check_source(void *ctx, const struct cat_source *s)
{
	struct find_source *f = ctx;

	if (strcmp(s->name, f->o->name))
		return 0;
	f->newest = s->newest;
	f->other = strcmp(s->origin, f->o->origin);
	snprintf(f->origin, sizeof(f->origin), "%s", s->origin);
	return 1;
}

static int find_base(struct run *u, struct err *e)
{
	struct find_source f = { .o = u->o };
	struct cat_snapshot s;
	int64_t open;
	bool same;
	int rc = cat_sources(u->c, check_source, &f, e);

	if (rc < 0)
		return rc;
	if (rc == 1 && f.other) {
		err_set(e, ERR_INVALID, "there is a source '%s' already, read from '%s'", u->o->name,
			f.origin);
		return err_hint(e, ERR_INVALID, "give this one another name with --name");
	}
	rc = rc == 1 ? cat_source_find(u->c, u->o->name, &u->r->source, e) : ERR_NOTFOUND;
	if (rc == ERR_NOTFOUND) {
		rc = cat_begin(u->c, e);
		if (!rc)
			rc = cat_put_source(u->c, u->o->name, u->o->kind, u->o->origin, &u->r->source, e);
		if (!rc)
			rc = cat_commit(u->c, e);
		if (rc)
			cat_rollback(u->c);
	}
	if (rc)
		return rc;
	same = same_options(u);
	u->newest = f.newest;
	u->base = same ? f.newest : 0;
	rc = cat_snapshot_open(u->c, u->r->source, &open, e);
	if (rc)
		return rc == ERR_NOTFOUND ? 0 : rc;
	rc = cat_snapshot(u->c, open, &s, e);
	if (!rc && same && !strcmp(s.rev, u->rev)) {
		u->snap = open;		/* go on where the last run ended */
		return 0;
	}
	if (!rc)
		rc = cat_begin(u->c, e);
	if (!rc)
		rc = cat_del_snapshot(u->c, open, e);
	if (!rc)
		rc = cat_commit(u->c, e);
	if (rc)
		cat_rollback(u->c);
	return rc;
}

static int open_work(struct run *u, work_count_fn *count, void *count_ctx, struct err *e)
{
	struct work_opts w = {
		.n_thread = MAX(u->o->n_thread, 1),
		.max_file = u->o->walk.max_file ? u->o->walk.max_file : WALK_MAX_FILE,
		.allow_secrets = u->o->allow_secrets, .rehearse = !u->c,
		.count = count, .count_ctx = count_ctx, .extract = u->o->extract,
	};

	return work_new(&u->w, &w, e);
}

static int walk_all(struct run *u, struct err *e)
{
	const struct ingest_opts *o = u->o;

	return o->list_fd >= 0 ? walk_list(&o->walk, o->list_fd, o->list_nul, on_walk, u, e)
			       : walk_run(&o->walk, o->roots, o->n_root, on_walk, u, e);
}

static void run_release(struct run *u)
{
	work_free(u->w);
	free_jobs(&u->batch);
	free_jobs(&u->archives);
	buf_release(&u->options);
	pathset_release(&u->seen);
	pathset_release(&u->kept);
	pathset_release(&u->texts);
	u->r->seconds = clock_now() - u->start;
}

static int read_hash(struct run *u, struct err *e)
{
	struct cat_snapshot s;
	int rc;

	u->r->snapshot = u->snap ? u->snap : u->newest;
	rc = cat_snapshot(u->c, u->r->snapshot, &s, e);
	if (!rc)
		id_hex(&s.hash, u->r->hash);
	u->r->changed = u->r->changed && u->r->snapshot != u->newest;
	return rc;
}

int ingest_text(struct catalog *c, const struct ingest_opts *o, struct ingest_result *out,
		struct err *e)
{
	struct run u = { .c = c, .o = o, .r = out, .start = clock_now() };
	struct err late = { 0 };
	int64_t when;
	int rc, rc2;

	*out = (struct ingest_result){ 0 };
	u.batch_end = &u.batch;
	rc = options_text(&u, e);
	if (!rc && o->walk.ref)
		rc = walk_resolve(o->roots[0], o->walk.ref, u.rev, &when, e);
	if (!rc)
		rc = open_work(&u, NULL, NULL, e);
	if (!rc)
		rc = find_base(&u, e);
	if (!rc) {
		rc = walk_all(&u, e);
		if (!rc)
			rc = drain(&u, true, e);
		/* What is done is kept, whatever ended the walk. */
		if (!rc || rc == ERR_INTR || rc == ERR_NOTFOUND) {
			rc2 = flush(&u, &late);
			if (rc2 && !rc && e)
				*e = late;
			rc = rc ? rc : rc2;
		}
	}
	if (!rc)
		rc = finish(&u, e);
	if (!rc)
		rc = read_hash(&u, e);
	run_release(&u);
	return rc;
}

int ingest_rehearse(const struct ingest_opts *o, work_count_fn *count, void *count_ctx,
		    struct ingest_result *out, struct err *e)
{
	struct run u = { .o = o, .r = out, .start = clock_now() };
	struct job *j;
	int rc;

	*out = (struct ingest_result){ 0 };
	u.batch_end = &u.batch;
	rc = open_work(&u, count, count_ctx, e);
	if (!rc)
		rc = walk_all(&u, e);
	if (!rc)
		rc = drain(&u, true, e);
	for (j = u.archives; j && !rc; j = j->next)
		count_left_out(&u, j->it);
	run_release(&u);
	return rc;
}
