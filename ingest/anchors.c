/* Symbols, behind the text stage.
 *
 * A group of documents at a time: their texts are read from the catalog, the threads of work.h ask
 * ctags, and one commit stores the anchors of the group together with the mark behind it.  So a pass
 * that dies does one group again, and the order in which threads finish does not matter. */
#include "config.h"

#include "ingest/pipeline.h"

#include "base/size.h"
#include "base/stop.h"
#include "ingest/language.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_DOCS = 1024, GROUP_BYTES = 8 << 20 };

struct one {
	int64_t     id;
	uint64_t    n_byte;
	const char *language;	/* of the table; NULL: no source file */
	char       *path;
	struct job *job;	/* when it is done */
};

struct pass {
	struct catalog *c;
	const struct ingest_opts *o;
	struct ingest_symbols_result *r;
	struct work *w;
	struct one   one[GROUP_DOCS];
	size_t       n;
	uint64_t     bytes;	/* of source in the group */
	struct ingest_progress p;
};

static int add(void *ctx, const struct cat_document *d, const char *path, size_t path_n)
{
	struct pass *s = ctx;
	struct one *a = &s->one[s->n];

	*a = (struct one){ .id = d->id, .n_byte = d->n_byte, .language = language_named(d->format) };
	if (a->language) {
		if (s->bytes && s->bytes + d->n_byte > GROUP_BYTES)
			return 1;
		a->path = strndup(path, path_n);
		if (!a->path)
			return ERR_NOMEM;
		s->bytes += d->n_byte;
	}
	s->n++;
	return 0;
}

static void drop(struct pass *s)
{
	while (s->n) {
		struct one *a = &s->one[--s->n];

		free(a->path);
		job_free(a->job);
	}
	s->bytes = 0;
}

/* A job's number is in its item's ino: the walk is over, nobody else reads it. */
static int take(struct pass *s, int wait_ms, struct err *e)
{
	struct job *j = work_take(s->w, wait_ms);
	int rc;

	if (!j)
		return 0;
	rc = j->rc;
	if (rc) {
		if (e)
			*e = j->e;
		job_free(j);
		return rc;
	}
	s->one[j->it->ino].job = j;
	s->p.path = s->one[j->it->ino].path;
	s->p.files++;
	if (s->o->on_progress)
		s->o->on_progress(s->o->ctx, &s->p);
	return 0;
}

/* A text that is damaged has no symbols; verify and repair speak of it. */
static int give(struct pass *s, size_t i, struct err *e)
{
	struct one *a = &s->one[i];
	struct item it = { .path = a->path, .n_path = strlen(a->path), .size = a->n_byte, .ino = i };
	struct job *j = job_new(&it);
	int rc;

	if (!j)
		return err_nomem(e);
	j->has_text = true;
	j->doc.kind = DOC_CODE;
	snprintf(j->doc.language, sizeof(j->doc.language), "%s", a->language);
	rc = cat_text(s->c, a->id, &j->doc.text, e);
	while (!rc && !work_room(s->w, j)) {
		rc = take(s, 200, e);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted");
	}
	if (rc) {
		job_free(j);
		return rc == ERR_CORRUPT ? 0 : rc;
	}
	work_put(s->w, j);
	return take(s, 0, e);
}

static int store(struct pass *s, struct err *e)
{
	int rc = cat_begin(s->c, e);

	for (size_t i = 0; i < s->n && !rc; i++) {
		struct job *j = s->one[i].job;

		if (!j)
			continue;
		rc = cat_put_anchors(s->c, s->one[i].id, j->anchor, j->doc.n_anchor, e);
		if (rc == ERR_CORRUPT || rc == ERR_NOTFOUND)
			rc = 0;
	}
	if (!rc)
		rc = cat_set_anchored(s->c, s->one[s->n - 1].id, e);
	if (!rc)
		return cat_commit(s->c, e);
	cat_rollback(s->c);
	return rc;
}

static void count(struct pass *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct job *j = s->one[i].job;

		s->p.bytes += s->one[i].n_byte;
		if (!j)
			continue;
		s->r->n_document++;
		s->r->n_byte += s->one[i].n_byte;
		s->r->n_symbol += j->doc.n_anchor;
		if (j->doc.notes.len && !s->r->n_lacking++)
			snprintf(s->r->why, sizeof(s->r->why), "%.199s", j->doc.notes.data);
	}
}

static int group(struct pass *s, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < s->n && !rc; i++)
		if (s->one[i].language && s->one[i].n_byte)
			rc = give(s, i, e);
	while (!rc && work_in_flight(s->w))
		rc = take(s, 200, e);
	if (!rc && stop_requested())
		rc = err_set(e, ERR_INTR, "interrupted");
	if (!rc)
		rc = store(s, e);
	if (!rc)
		count(s);
	return rc;
}

int ingest_symbols(struct catalog *c, const struct ingest_opts *o, struct ingest_symbols_result *out,
		   struct err *e)
{
	struct work_opts wo = { .n_thread = MAX(o->n_thread, 1), .extract = o->extract };
	struct pass *s = calloc(1, sizeof(*s));
	int64_t at;
	int rc;

	*out = (struct ingest_symbols_result){ 0 };
	if (!s)
		return err_nomem(e);
	s->c = c;
	s->o = o;
	s->r = out;
	s->p = (struct ingest_progress){ .phase = INGEST_SYMBOLS };
	rc = cat_anchored(c, &at, &s->p.total_bytes, e);
	if (!rc && s->p.total_bytes)
		rc = work_new(&s->w, &wo, e);
	while (!rc && s->w && work_has_symbols(s->w)) {
		rc = cat_documents_after(c, at, GROUP_DOCS, add, s, e);
		if (rc == ERR_NOMEM)
			err_nomem(e);
		rc = MIN(rc, 0);
		if (rc || !s->n)
			break;
		at = s->one[s->n - 1].id;
		rc = group(s, e);
		drop(s);
	}
	drop(s);
	work_free(s->w);
	free(s);
	return rc;
}
