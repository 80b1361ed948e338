#include "config.h"

#include "ingest/work.h"

#include "base/size.h"
#include "base/stop.h"
#include "base/utf8.h"
#include "ingest/classify.h"
#include "ingest/walk.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct work {
	struct work_opts   o;
	struct extractor **x;
	pthread_t         *thread;
	int                n_thread;
	pthread_mutex_t    lock;
	pthread_cond_t     todo_cond, done_cond;
	struct job        *todo, **todo_end;
	struct job        *done, **done_end;
	size_t             bytes, jobs;		/* put and not taken */
	bool               ending;
};

struct seat {
	struct work *w;
	int          i;
};

/* --- one job --- */

int64_t work_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* 16 hex digits from the front of s; what is missing counts as 0. */
static uint64_t hex64(const char *s, size_t n)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < n && s[i]; i++)
		v = v << 4 | (uint64_t)(s[i] <= '9' ? s[i] - '0' : (s[i] | 32) - 'a' + 10);
	return v;
}

struct cat_stat work_stat(const struct item *it, int64_t seen_ns)
{
	if (it->has_stat)
		return (struct cat_stat){ (int64_t)it->size, it->mtime_ns, it->ctime_ns, it->ino, it->mode,
					  seen_ns };
	if (it->oid[0] && it->size != UINT64_MAX)
		return (struct cat_stat){ (int64_t)it->size, 0, 0, hex64(it->oid, 16),
					  (uint32_t)hex64(it->oid + 16, 8), seen_ns };
	return (struct cat_stat){ 0 };
}

static void give_up(struct job *j, enum item_state s, enum item_why why, const char *msg)
{
	j->it->state = s;
	j->it->why = why;
	snprintf(j->it->reason, sizeof(j->it->reason), "%.255s", msg);
}

/* The content, from disk unless the walk read it.  False when the job is over. */
static bool get_bytes(struct work *w, struct job *j)
{
	struct item after = *j->it;
	struct err e = { 0 };
	int rc;

	j->st = work_stat(j->it, work_now_ns());
	if (j->has_bytes)
		return true;
	rc = item_read(j->it, (size_t)w->o.max_file, &j->bytes, &after, &e);
	if (rc == ERR_NOMEM) {
		j->rc = rc;
		j->e = e;
		return false;
	}
	if (rc) {
		give_up(j, STATE_SKIP, rc == ERR_BUDGET ? WHY_TOO_LARGE : WHY_UNREADABLE, e.msg);
		return false;
	}
	/* Changed while it was read: what we have may be a mixture, so look again next time. */
	if (j->it->has_stat && (after.mtime_ns != j->it->mtime_ns || after.size != j->it->size ||
				after.ino != j->it->ino))
		j->st.seen_ns = 0;
	return true;
}

/* The catalog's anchors are the document's, with names in place. */
static int anchors_of(const struct document *d, struct cat_anchor **out, struct err *e)
{
	struct cat_anchor *v = d->n_anchor ? calloc(d->n_anchor, sizeof(*v)) : NULL;
	size_t i;

	*out = v;
	if (d->n_anchor && !v)
		return err_nomem(e);
	for (i = 0; i < d->n_anchor; i++) {
		const struct anchor *a = &d->anchor[i];

		v[i] = (struct cat_anchor){ a->at, a->end, a->kind, a->number, doc_name(d, a->title),
					    doc_name(d, a->detail) };
	}
	return 0;
}

static void pack(struct job *j)
{
	struct cat_anchor *anchors = NULL;
	struct cat_text t = { .text = j->doc.text.data ? j->doc.text.data : "", .n = j->doc.text.len,
			      .n_anchor = j->doc.n_anchor };
	char format[32];

	j->rc = anchors_of(&j->doc, &anchors, &j->e);
	t.anchor = anchors;
	t.format = doc_format(&j->doc, format);
	if (!j->rc)
		j->rc = cat_blob_new(&j->blob, &t, &j->e);
	if (j->rc == ERR_BUDGET) {
		give_up(j, STATE_SKIP, WHY_TOO_LARGE, j->e.msg);
		j->rc = 0;
	}
	if (j->blob)
		memcpy(j->sha256, cat_blob_sha256(j->blob), sizeof(j->sha256));
	free(anchors);
}

/* What extraction dropped or guessed stays with the file, as its reason. */
static void keep_notes(struct job *j)
{
	const char *p = j->doc.notes.data;
	size_t at = 0, size = sizeof(j->it->reason);

	for (; p && *p && at + 3 < size; p++) {
		j->it->reason[at++] = *p == '\n' ? ';' : *p;
		if (*p == '\n')
			j->it->reason[at++] = ' ';
	}
	while (at && utf8_check(j->it->reason, at) != at)
		at--;			/* cut in the middle of a character */
	j->it->reason[at] = '\0';
}

static void rehearse(struct work *w, struct job *j)
{
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, j->doc.text.data, j->doc.text.len);
	sha256_done(&s, j->sha256);
	if (w->o.count)
		j->rc = w->o.count(w->o.count_ctx, &j->doc, &j->n_token, &j->e);
	doc_release(&j->doc);
	j->doc = (struct document){ 0 };
}

static void one_job(struct work *w, struct extractor *x, struct job *j)
{
	struct err e = { 0 };
	int rc;

	if (!get_bytes(w, j))
		return;
	j->n_read = j->bytes.len;
	rc = extract(x, j->it->path, j->bytes.data ? j->bytes.data : "", j->bytes.len, &j->doc, &e);
	buf_release(&j->bytes);
	if (rc == ERR_MISMATCH) {
		give_up(j, STATE_LIST, WHY_BINARY, e.msg);
	} else if (rc == ERR_CORRUPT || rc == ERR_NOTFOUND) {
		give_up(j, STATE_SKIP, WHY_DAMAGED, e.msg);
	} else if (rc) {
		j->rc = rc;
		j->e = e;
	}
	if (rc || j->it->state != STATE_TAKE)
		return;
	j->n_text = j->doc.text.len;
	classify_text(j->it, j->doc.text.data ? j->doc.text.data : "", j->doc.text.len,
		      w->o.allow_secrets);
	if (j->it->state != STATE_TAKE) {
		doc_release(&j->doc);
		j->doc = (struct document){ 0 };
		return;
	}
	if (w->o.rehearse) {
		rehearse(w, j);
		return;
	}
	keep_notes(j);
	pack(j);
}

static void symbols_job(struct extractor *x, struct job *j)
{
	j->rc = extract_symbols(x, j->it->path, &j->doc, &j->e);
	if (!j->rc)
		j->rc = anchors_of(&j->doc, &j->anchor, &j->e);
	/* Only the names are wanted from here on. */
	buf_release(&j->doc.text);
}

/* What was made while somebody asked to stop may lack what a stopped parser would have added, so it
 * is not used. */
static void run_job(struct work *w, struct extractor *x, struct job *j)
{
	if (!stop_requested() && j->has_text)
		symbols_job(x, j);
	else if (!stop_requested())
		one_job(w, x, j);
	if (stop_requested())
		j->rc = err_set(&j->e, ERR_INTR, "interrupted");
}

struct job *job_new(const struct item *it)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j || !(j->it = item_copy(it))) {
		free(j);
		return NULL;
	}
	j->cost = it->size == UINT64_MAX ? 0 : (size_t)MIN(it->size, (uint64_t)WORK_BYTES);
	return j;
}

void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->it);
	buf_release(&j->bytes);
	doc_release(&j->doc);
	cat_blob_free(j->blob);
	free(j->anchor);
	free(j);
}

/* --- threads --- */

static void *work_main(void *arg)
{
	struct seat *s = arg;
	struct work *w = s->w;
	struct extractor *x = w->x[s->i];

	free(s);
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct job *j;

		while (!w->todo && !w->ending)
			pthread_cond_wait(&w->todo_cond, &w->lock);
		if (w->ending)
			break;
		j = w->todo;
		w->todo = j->next;
		if (!w->todo)
			w->todo_end = &w->todo;
		pthread_mutex_unlock(&w->lock);
		run_job(w, x, j);
		j->next = NULL;
		pthread_mutex_lock(&w->lock);
		*w->done_end = j;
		w->done_end = &j->next;
		pthread_cond_signal(&w->done_cond);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int work_new(struct work **out, const struct work_opts *o, struct err *e)
{
	struct work *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;
	int i, rc = 0;

	*out = NULL;
	if (!w)
		return err_nomem(e);
	w->o = *o;
	w->todo_end = &w->todo;
	w->done_end = &w->done;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->todo_cond, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->done_cond, &attr);
	pthread_condattr_destroy(&attr);
	w->x = calloc((size_t)o->n_thread, sizeof(*w->x));
	w->thread = calloc((size_t)o->n_thread, sizeof(*w->thread));
	if (!w->x || !w->thread)
		rc = err_nomem(e);
	for (i = 0; i < o->n_thread && !rc; i++)
		rc = extractor_new(&w->x[i], &o->extract, e);
	for (i = 0; i < o->n_thread && !rc; i++) {
		struct seat *s = malloc(sizeof(*s));

		if (!s) {
			rc = err_nomem(e);
			break;
		}
		*s = (struct seat){ w, i };
		if (pthread_create(&w->thread[i], NULL, work_main, s)) {
			free(s);
			rc = err_set(e, ERR_IO, "cannot start a thread");
			break;
		}
		w->n_thread++;
	}
	if (rc)
		work_free(w);
	else
		*out = w;
	return rc;
}

static void free_list(struct job *j)
{
	while (j) {
		struct job *next = j->next;

		job_free(j);
		j = next;
	}
}

void work_free(struct work *w)
{
	int i;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->todo_cond);
	pthread_mutex_unlock(&w->lock);
	for (i = 0; i < w->n_thread; i++)
		pthread_join(w->thread[i], NULL);
	for (i = 0; w->x && i < w->o.n_thread; i++)
		extractor_free(w->x[i]);
	free_list(w->todo);
	free_list(w->done);
	free(w->x);
	free(w->thread);
	pthread_cond_destroy(&w->todo_cond);
	pthread_cond_destroy(&w->done_cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

bool work_has_symbols(const struct work *w)
{
	return extract_ctags(w->x[0]) != NULL;
}

bool work_room(struct work *w, const struct job *j)
{
	bool room;

	pthread_mutex_lock(&w->lock);
	room = !w->jobs || (w->jobs < WORK_JOBS && w->bytes + j->cost <= WORK_BYTES);
	pthread_mutex_unlock(&w->lock);
	return room;
}

void work_put(struct work *w, struct job *j)
{
	j->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->todo_end = j;
	w->todo_end = &j->next;
	w->jobs++;
	w->bytes += j->cost;
	pthread_cond_signal(&w->todo_cond);
	pthread_mutex_unlock(&w->lock);
}

size_t work_in_flight(struct work *w)
{
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = w->jobs;
	pthread_mutex_unlock(&w->lock);
	return n;
}

struct job *work_take(struct work *w, int wait_ms)
{
	struct timespec until;
	struct job *j;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += wait_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&w->lock);
	while (!w->done && wait_ms && w->jobs)
		if (pthread_cond_timedwait(&w->done_cond, &w->lock, &until))
			break;
	j = w->done;
	if (j) {
		w->done = j->next;
		if (!w->done)
			w->done_end = &w->done;
		j->next = NULL;
		w->jobs--;
		w->bytes -= j->cost;
	}
	pthread_mutex_unlock(&w->lock);
	return j;
}
