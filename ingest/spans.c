#include "config.h"

#include "ingest/spans.h"

#include "base/stop.h"
#include "cache/library.h"
#include "ingest/cut.h"
#include "ingest/doc.h"
#include "ingest/pipeline.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_TOKENS = 64 << 10 };

/* --- one document --- */

static uint64_t weigh(void *ctx, const char *text, size_t n)
{
	uint64_t count = 0;

	/* Without memory the estimate: the cut is another one, and the next call fails loudly. */
	return tok_count(ctx, text, n, &count, NULL) ? cut_estimate(text, n) : count;
}

static struct cut_opt cut_opt_of(const struct spans_opts *o)
{
	return (struct cut_opt){ .min_tokens = o->min_tokens, .max_tokens = o->max_tokens, .weigh = weigh,
				 .ctx = (void *)o->tok };
}

/* The stored document again: text, and anchors, which are places to cut. */
static int load(struct catalog *c, int64_t document, struct document *d, struct err *e)
{
	const struct cat_anchor *a;
	struct cat_map *m = NULL;
	size_t i, n;
	int rc = cat_text(c, document, &d->text, e);

	if (!rc)
		rc = cat_map_open(&m, c, document, e);
	if (rc)
		return rc;
	a = cat_map_anchors(m, &n);
	for (i = 0; i < n; i++)
		doc_anchor(d, a[i].kind, a[i].number, a[i].start, NULL, NULL);
	cat_map_close(m);
	return d->text.failed ? err_nomem(e) : 0;
}

static int tokenise(const struct document *d, const struct spans *s, const struct spans_opts *o,
		    struct doc_tokens *out, struct err *e)
{
	size_t i, *at = malloc((s->n + 1) * sizeof(*at));
	int rc = 0;

	out->span = calloc(s->n + 1, sizeof(*out->span));
	if (!at || !out->span)
		rc = err_nomem(e);
	for (i = 0; i < s->n && !rc; i++) {
		at[i] = out->ids.n;
		rc = tok_encode(o->tok, d->text.data + s->span[i].at, s->span[i].end - s->span[i].at, 0,
				&out->ids, NULL, e);
	}
	for (i = 0; i < s->n && !rc; i++)	/* the list has stopped moving */
		out->span[i] = (struct span_tokens){ s->span[i].at, s->span[i].end, out->ids.id + at[i],
						     (i + 1 < s->n ? at[i + 1] : out->ids.n) - at[i] };
	free(at);
	return rc;
}

int ingest_doc_spans(struct catalog *c, int64_t document, const struct spans_opts *o,
		     struct doc_tokens *out, struct err *e)
{
	struct cut_opt cut = cut_opt_of(o);
	struct document d = { 0 };
	struct spans s = { 0 };
	int rc = load(c, document, &d, e);

	if (!rc)
		rc = cut_document(&d, &cut, &s, e);
	if (!rc)
		rc = tokenise(&d, &s, o, out, e);
	out->doc.document = document;
	out->doc.span = out->span;
	out->doc.n_span = s.n;
	out->doc.n_token = out->ids.n;
	out->doc.n_byte = d.text.len;
	doc_release(&d);
	free(s.span);
	return rc;
}

void doc_tokens_release(struct doc_tokens *d)
{
	free(d->span);
	free(d->ids.id);
	buf_release(&d->path);
	*d = (struct doc_tokens){ 0 };
}

int ingest_count_tokens(const struct document *d, const struct spans_opts *o, uint64_t *n,
			struct err *e)
{
	struct cut_opt cut = cut_opt_of(o);
	struct spans s = { 0 };
	size_t i;
	int rc = cut_document(d, &cut, &s, e);

	*n = 0;
	for (i = 0; i < s.n && !rc; i++) {
		uint64_t k;

		rc = tok_count(o->tok, d->text.data + s.span[i].at, s.span[i].end - s.span[i].at, &k, e);
		*n += k;
	}
	free(s.span);
	return rc;
}

/* --- all of them, a batch ahead --- */

struct batch {
	struct doc_tokens *v;
	size_t             n, cap;
	uint64_t           tokens;
	struct spans_progress at;
};

struct ahead {
	const char *dir;
	unsigned    flags;
	int64_t     snapshot, engine;
	enum cat_mode mode;
	struct spans_opts o;

	struct catalog *cat;		/* the thread's own */
	struct batch   *filling;
	struct spans_progress at;

	pthread_mutex_t lock;
	pthread_cond_t  cond;
	struct batch   *ready;		/* waits for the caller */
	bool            ended, quit;
	int             rc;
	struct err      e;
};

static void batch_free(struct batch *b)
{
	size_t i;

	for (i = 0; b && i < b->n; i++)
		doc_tokens_release(&b->v[i]);
	if (b)
		free(b->v);
	free(b);
}

/* Give the batch away; waits until the one before was taken.  ERR_INTR: the caller has left. */
static int hand_over(struct ahead *a)
{
	bool quit;

	if (!a->filling || !a->filling->n)
		return 0;
	a->filling->at = a->at;
	pthread_mutex_lock(&a->lock);
	while (a->ready && !a->quit)
		pthread_cond_wait(&a->cond, &a->lock);
	quit = a->quit;
	if (!quit) {
		a->ready = a->filling;
		a->filling = NULL;
		pthread_cond_broadcast(&a->cond);
	}
	pthread_mutex_unlock(&a->lock);
	return quit ? ERR_INTR : 0;
}

static int add_document(void *ctx, int64_t document, const char *path, size_t n_path, struct err *e)
{
	struct ahead *a = ctx;
	struct doc_tokens *d;
	struct batch *b;
	int rc;

	if (stop_requested())
		return err_set(e, ERR_INTR, "interrupted");
	if (!a->filling && !(a->filling = calloc(1, sizeof(*a->filling))))
		return err_nomem(e);
	b = a->filling;
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		struct doc_tokens *v = realloc(b->v, cap * sizeof(*v));

		if (!v)
			return err_nomem(e);
		b->v = v;
		b->cap = cap;
	}
	d = &b->v[b->n++];
	*d = (struct doc_tokens){ 0 };
	buf_add(&d->path, path, n_path);
	buf_addc(&d->path, 0);
	rc = d->path.failed ? err_nomem(e) : ingest_doc_spans(a->cat, document, &a->o, d, e);
	if (rc)
		return rc;
	d->doc.path = d->path.data;
	d->doc.n_path = n_path;
	b->tokens += d->doc.n_token;
	a->at.bytes += d->doc.n_byte;
	return b->tokens >= a->o.batch_tokens ? hand_over(a) : 0;
}

static int sum_bytes(void *ctx, int64_t document, const char *path, size_t n_path, struct err *e)
{
	struct ahead *a = ctx;
	struct cat_document d;
	int rc = cat_document(a->cat, document, &d, e);

	(void)path;
	(void)n_path;
	if (!rc)
		a->at.total_bytes += d.n_byte;
	return rc;
}

static void *run_ahead(void *arg)
{
	struct ahead *a = arg;
	struct library *lib = NULL;
	int rc = lib_open(&lib, a->dir, a->flags, &a->e);

	if (!rc) {
		a->cat = lib_catalog(lib);
		rc = ingest_todo(a->cat, a->snapshot, a->engine, a->mode, sum_bytes, a, &a->e);
	}
	if (!rc)
		rc = ingest_todo(a->cat, a->snapshot, a->engine, a->mode, add_document, a, &a->e);
	if (!rc)
		rc = hand_over(a);
	lib_close(lib);
	pthread_mutex_lock(&a->lock);
	a->rc = rc;
	a->ended = true;
	pthread_cond_broadcast(&a->cond);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static int call(struct batch *b, spans_fn *fn, void *ctx, struct err *e)
{
	struct doc_spans *v = malloc((b->n + 1) * sizeof(*v));
	size_t i;
	int rc;

	if (!v)
		return err_nomem(e);
	for (i = 0; i < b->n; i++)
		v[i] = b->v[i].doc;
	rc = fn(ctx, v, b->n, &b->at, e);
	free(v);
	return rc;
}

int ingest_spans(const char *lib_dir, unsigned lib_flags, int64_t snapshot, int64_t engine,
		 enum cat_mode mode, const struct spans_opts *o, spans_fn *fn, void *ctx, struct err *e)
{
	struct ahead a = { .dir = lib_dir, .flags = lib_flags, .snapshot = snapshot, .engine = engine,
			   .mode = mode, .o = *o };
	pthread_t thread;
	int rc = 0;

	if (!a.o.batch_tokens)
		a.o.batch_tokens = BATCH_TOKENS;
	pthread_mutex_init(&a.lock, NULL);
	pthread_cond_init(&a.cond, NULL);
	if (pthread_create(&thread, NULL, run_ahead, &a)) {
		rc = err_set(e, ERR_IO, "cannot start a thread");
		goto out;
	}
	pthread_mutex_lock(&a.lock);
	while (!rc) {
		struct batch *b;

		while (!a.ready && !a.ended)
			pthread_cond_wait(&a.cond, &a.lock);
		b = a.ready;
		if (!b)
			break;
		a.ready = NULL;
		pthread_cond_broadcast(&a.cond);
		pthread_mutex_unlock(&a.lock);
		rc = call(b, fn, ctx, e);
		batch_free(b);
		pthread_mutex_lock(&a.lock);
	}
	a.quit = true;
	pthread_cond_broadcast(&a.cond);
	pthread_mutex_unlock(&a.lock);
	pthread_join(thread, NULL);
	if (!rc && a.rc) {
		rc = a.rc;
		if (e)
			*e = a.e;
	}
	batch_free(a.ready);
	batch_free(a.filling);
out:
	pthread_mutex_destroy(&a.lock);
	pthread_cond_destroy(&a.cond);
	return rc;
}
