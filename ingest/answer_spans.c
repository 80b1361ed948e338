/* Which spans a question is about, and where they come from. */
#include "config.h"

#include "ingest/answer_impl.h"
#include "base/clock.h"
#include "base/size.h"
#include "ingest/choose.h"

#include <stdlib.h>
#include <string.h>

/* ---- where a span comes from ---- */

struct place {
	struct catalog *c;
	struct answer_span *s;
};

static int take_path(void *ctx, const struct cat_entry *en)
{
	struct place *p = ctx;

	if (!p->s->path)
		p->s->path = strndup(en->path, en->path_n);
	return 0;
}

int answer_locate(struct catalog *c, const int64_t *snapshot, size_t n, struct answer_span *s, struct err *e)
{
	struct place p = { c, s };
	struct cat_map *map;
	int rc = 0;

	for (size_t i = 0; i < n && !s->path && !rc; i++) {
		struct cat_snapshot snap;
		char hex[65];

		rc = cat_entries_of(c, snapshot[i], s->span.document, take_path, &p, e);
		if (rc || !s->path)
			continue;
		rc = cat_snapshot(c, snapshot[i], &snap, e);
		if (!rc)
			rc = cat_source_name(c, snap.source, &s->source, e);
		if (!rc) {
			id_hex(&snap.hash, hex);
			s->snapshot = strdup(hex);
		}
	}
	if (!rc && (!s->path || !s->source || !s->snapshot))
		rc = err_set(e, ERR_NOTFOUND, "document %lld is in none of the snapshots asked",
			     (long long)s->span.document);
	if (!rc)
		rc = cat_map_open(&map, c, s->span.document, e);
	if (rc)
		return rc;
	s->first = cat_map_line(map, s->span.start);
	s->last = cat_map_line(map, s->span.end ? s->span.end - 1 : 0);
	cat_map_close(map);
	return 0;
}

static int count_file(void *ctx, const struct cat_entry *en)
{
	*(uint64_t *)ctx += en->state == CAT_TEXT;
	return 0;
}

int answer_find(struct pages *p, struct catalog *c, const struct answer_opts *o, struct answer *out,
		struct err *e)
{
	struct choose_query q = { .question = o->question, .n_question = o->n_question, .snapshot = o->snapshot,
				  .n_snapshot = o->n_snapshot, .document = o->document,
				  .n_document = o->n_document, .k = o->n_span ? o->n_span : 4 };
	struct chosen *v = NULL;
	double start = clock_now();
	size_t n = 0;
	int rc;

	*out = (struct answer){ 0 };
	rc = choose_spans(p, c, &q, &v, &n, e);
	out->span = calloc(n + 1, sizeof(*out->span));
	if (!rc && !out->span)
		rc = err_nomem(e);
	for (size_t i = 0; i < n && !rc; i++) {
		struct answer_span *s = &out->span[out->n_span++];

		s->span = v[i].span;
		s->score = v[i].score;
		rc = answer_locate(c, o->snapshot, o->n_snapshot, s, e);
	}
	for (size_t i = 0; i < o->n_snapshot && !rc; i++)
		rc = cat_entries(c, o->snapshot[i], count_file, &out->n_file, e);
	free(v);
	out->t_choose = clock_now() - start;
	return rc;
}
