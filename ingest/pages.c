#include "config.h"

#include "ingest/pages.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/stop.h"
#include "cache/derive.h"
#include "engine/heads.h"
#include "ingest/cut.h"
#include "ingest/doc.h"
#include "ingest/pipeline.h"

#include <stdlib.h>
#include <string.h>

struct pages {
	struct library  *lib;
	struct catalog  *cat;
	struct encoder  *enc;
	int64_t          engine;
	struct kv_store *store;
	struct kv_writer *writer;
	struct derive    derive;	/* what stands beside each extent */
	struct heads     heads;		/* n = 0: none known */
	int64_t          text_of;	/* document in `text`, 0: none */
	struct buf       text;
	double           rate;		/* tokens a second, as seen last */
};

/* ---- opening ---- */

static int new_number(void *ctx, uint32_t *number, struct err *e)
{
	struct pages *p = ctx;

	return cat_new_segment(p->cat, p->engine, number, e);
}

static int put_engine(struct pages *p, struct err *e)
{
	const struct kv_geom *g = encoder_geom(p->enc);
	const struct plan *plan = engine_plan(encoder_engine(p->enc));
	struct cat_engine en = {
		.fingerprint = *encoder_fingerprint(p->enc), .preamble = *encoder_preamble_id(p->enc),
		.n_far_layer = g->n_far_layer, .n_head_kv = g->n_head_kv, .head_dim = g->head_dim,
		.page_tokens = g->page_tokens, .kv_type = encoder_type(p->enc),
	};
	struct cat_engine old;
	int rc = cat_engine_find(p->cat, &en.fingerprint, &old, NULL);

	if (!rc) {
		p->engine = old.id;
		return 0;
	}
	memcpy(en.name, plan->name, MIN(sizeof(en.name) - 1, sizeof(plan->name)));
	rc = cat_begin(p->cat, e);
	if (!rc)
		rc = cat_put_engine(p->cat, &en, &p->engine, e);
	if (!rc)
		return cat_commit(p->cat, e);
	cat_rollback(p->cat);
	return rc;
}

/* The catalog's list of pairs follows the model's profile. */
static int put_heads(struct pages *p, struct err *e)
{
	const struct model *m = engine_model(encoder_engine(p->enc));
	struct derive d = { 0 };
	struct id now;
	bool same;
	int rc;

	if (!heads_possible(&m->plan))
		return 0;
	rc = heads_find(&p->heads, m, e);
	if (rc)
		return rc == ERR_NOTFOUND ? 0 : rc;
	rc = derive_get(p->cat, p->engine, &d, e);
	now = derive_profile(p->heads.pair, p->heads.n_pair);
	same = d.n_pair && id_eq(&now, &d.profile);
	derive_release(&d);
	if (rc || same)
		return rc;
	rc = cat_begin(p->cat, e);
	if (rc)
		return rc;
	rc = derive_set_pairs(p->cat, p->engine, p->heads.pair, p->heads.n_pair, e);
	if (!rc)
		return cat_commit(p->cat, e);
	cat_rollback(p->cat);
	return rc;
}

int pages_open(struct pages **out, struct library *lib, struct encoder *enc, struct err *e)
{
	struct pages *p = calloc(1, sizeof(*p));
	int rc;

	*out = NULL;
	if (!p)
		return err_nomem(e);
	p->lib = lib;
	p->cat = lib_catalog(lib);
	p->enc = enc;
	p->rate = 100;
	rc = put_engine(p, e);
	if (!rc)
		rc = put_heads(p, e);
	if (!rc)
		rc = kv_store_open(&p->store, lib_segments(lib), e);
	if (rc) {
		pages_close(p);
		return rc;
	}
	*out = p;
	return 0;
}

void pages_close(struct pages *p)
{
	if (!p)
		return;
	kv_writer_free(p->writer);
	kv_store_close(p->store);
	derive_release(&p->derive);
	heads_release(&p->heads);
	buf_release(&p->text);
	free(p);
}

int64_t pages_engine(const struct pages *p)
{
	return p->engine;
}

struct kv_store *pages_store(const struct pages *p)
{
	return p->store;
}

struct encoder *pages_encoder(const struct pages *p)
{
	return p->enc;
}

const struct heads *pages_heads(const struct pages *p)
{
	return p->heads.n ? &p->heads : NULL;
}

int pages_index(struct pages *p, struct err *e)
{
	return derive_fill(p->lib, p->store, p->engine, NULL, NULL, NULL, NULL, e);
}

/* ---- text and tokens ---- */

static int load_text(struct pages *p, int64_t doc, struct err *e)
{
	int rc;

	if (p->text_of == doc)
		return 0;
	p->text_of = 0;
	buf_clear(&p->text);
	rc = cat_text(p->cat, doc, &p->text, e);
	if (!rc)
		p->text_of = doc;
	return rc;
}

int pages_tokens(struct pages *p, const struct cat_span *span, struct tok_ids *ids, struct tok_offs *off,
		 struct err *e)
{
	size_t first = off ? off->n : 0;
	int rc = load_text(p, span->document, e);

	if (rc)
		return rc;
	if (span->end > p->text.len || span->start > span->end)
		return err_set(e, ERR_CORRUPT, "span %lld ends behind its document", (long long)span->id);
	rc = tok_encode(encoder_tok(p->enc), p->text.data + span->start, span->end - span->start, 0, ids, off, e);
	for (size_t i = first; off && !rc && i < off->n; i++)
		off->at[i] += span->start;
	return rc;
}

/* ---- cutting ---- */

static uint64_t weigh(void *ctx, const char *text, size_t n)
{
	const struct pages *p = ctx;
	uint64_t count = n;

	/* Only memory can fail; a line then weighs its bytes, which is never too little. */
	if (tok_count(encoder_tok(p->enc), text, n, &count, NULL))
		return n;
	return count;
}

/* The document as the cutter wants it: text and the anchors that are places to cut. */
static int fill_document(struct pages *p, int64_t doc, struct document *d, struct err *e)
{
	struct cat_map *map;
	const struct cat_anchor *a;
	size_t n;
	int rc = load_text(p, doc, e);

	if (!rc)
		rc = cat_map_open(&map, p->cat, doc, e);
	if (rc)
		return rc;
	buf_add(&d->text, p->text.data ? p->text.data : "", p->text.len);
	a = cat_map_anchors(map, &n);
	for (size_t i = 0; i < n; i++)
		if (a[i].kind < ANCHOR_SYMBOL)
			doc_anchor(d, a[i].kind, a[i].number, a[i].start, NULL, NULL);
	cat_map_close(map);
	return d->text.failed ? err_nomem(e) : 0;
}

/* Tokenise the spans and name them.  ERR_BUDGET: one came out longer than can be encoded. */
static int name_spans(struct pages *p, int64_t doc, const struct spans *s, struct cat_span *out, struct err *e)
{
	struct tok_ids ids = { 0 };
	int rc = 0;

	for (size_t i = 0; i < s->n && !rc; i++) {
		out[i] = (struct cat_span){ .document = doc, .start = s->span[i].at, .end = s->span[i].end,
					    .after = *encoder_preamble_id(p->enc) };
		ids.n = 0;
		rc = pages_tokens(p, &out[i], &ids, NULL, e);
		if (!rc && ids.n > encoder_span_max(p->enc))
			rc = ERR_BUDGET;
		if (rc || !ids.n)
			continue;
		out[i].n_token = (uint32_t)ids.n;
		out[i].last = ident_span(encoder_fingerprint(p->enc), IDENT_ISOLATED,
					 encoder_preamble_id(p->enc), ids.id, (uint32_t)ids.n, NULL);
	}
	free(ids.id);
	return rc;
}

/* Spans of one document, named.  The cutter adds up lines tokenised apart; where tokens join over a
 * line end there are fewer, in rare cases more: 1 in 64 is left for that, and a document that needs
 * more is cut again, finer. */
static int cut_one(struct pages *p, int64_t doc, struct cat_span **out, size_t *n, struct err *e)
{
	uint32_t max = encoder_span_max(p->enc) - encoder_span_max(p->enc) / 64;
	struct document d = { 0 };
	struct spans s = { 0 };
	int rc = fill_document(p, doc, &d, e);

	*out = NULL;
	*n = 0;
	for (int try = 0; !rc && try < 4; try++, max -= max / 4) {
		struct cut_opt opt = { .max_tokens = max, .weigh = weigh, .ctx = p };

		s.n = 0;
		rc = cut_document(&d, &opt, &s, e);
		free(*out);
		*out = calloc(s.n + 1, sizeof(**out));
		if (!rc && !*out)
			rc = err_nomem(e);
		if (!rc)
			rc = name_spans(p, doc, &s, *out, e);
		if (rc != ERR_BUDGET)
			break;
		rc = try < 3 ? 0 : err_set(e, ERR_INVALID, "document %lld cannot be cut into spans of %u tokens",
					   (long long)doc, encoder_span_max(p->enc));
	}
	if (!rc)
		*n = s.n;
	free(s.span);
	doc_release(&d);
	return rc;
}

static int is_cut(struct pages *p, int64_t doc, bool *yes, struct err *e)
{
	uint64_t n, done;
	int rc = cat_coverage(p->cat, doc, p->engine, CAT_ISOLATED, &n, &done, e);

	*yes = !rc && n > 0;
	return rc;
}

int pages_cut(struct pages *p, const int64_t *doc, size_t n, struct err *e)
{
	enum { GROUP = 64 };
	struct cat_span *span[GROUP];
	size_t n_span[GROUP], i = 0;
	int64_t which[GROUP];
	int rc = 0;

	while (i < n && !rc) {
		size_t m = 0;

		for (; i < n && m < GROUP && !rc; i++) {
			bool yes;

			rc = is_cut(p, doc[i], &yes, e);
			if (rc || yes)
				continue;
			rc = cut_one(p, doc[i], &span[m], &n_span[m], e);
			which[m++] = doc[i];
		}
		if (!rc && m) {
			rc = cat_begin(p->cat, e);
			for (size_t j = 0; j < m && !rc; j++)
				rc = cat_put_spans(p->cat, which[j], p->engine, CAT_ISOLATED, span[j], n_span[j], e);
			if (!rc)
				rc = cat_commit(p->cat, e);
			else
				cat_rollback(p->cat);
		}
		while (m)
			free(span[--m]);
		if (!rc && i < n && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted while cutting documents");
	}
	return rc;
}

/* ---- encoding ---- */

/* What is written beside each extent, as the catalog says now: a calibration may have changed it since
 * the last call.  Keys of NoPE far layers are chosen from by their sketches. */
static int read_derive(struct pages *p, struct err *e)
{
	int rc;

	derive_release(&p->derive);
	rc = derive_get(p->cat, p->engine, &p->derive, e);
	if (rc || p->derive.sketches || !plan_is_irope(engine_plan(encoder_engine(p->enc))))
		return rc;
	rc = cat_begin(p->cat, e);
	if (!rc)
		rc = derive_set_sketches(p->cat, p->engine, true, e);
	if (!rc)
		rc = cat_commit(p->cat, e);
	else
		cat_rollback(p->cat);
	p->derive.sketches = !rc;
	return rc;
}

/* Extents written and waiting for their commit. */
struct waiting {
	struct cat_extent *x;
	struct part_ref  *part;		/* of the span index, where there is one */
	struct id       **page;
	size_t n, cap;
	uint64_t tokens;
};

struct encode_job {
	struct pages *p;
	struct waiting w;
	uint64_t *n_token;
};

static int keep(struct waiting *w, const struct cat_extent *x, const struct part_ref *part, struct err *e)
{
	struct id *page = malloc(x->n_page * sizeof(*page));

	if (w->n == w->cap) {
		size_t cap = 2 * w->cap + 16;
		struct cat_extent *nx = realloc(w->x, cap * sizeof(*nx));
		struct part_ref *nr = nx ? realloc(w->part, cap * sizeof(*nr)) : NULL;
		struct id **np = nr ? realloc(w->page, cap * sizeof(*np)) : NULL;

		w->x = nx ? nx : w->x;
		w->part = nr ? nr : w->part;
		w->page = np ? np : w->page;
		w->cap = np ? cap : w->cap;
	}
	if (!page || w->n == w->cap) {
		free(page);
		return err_nomem(e);
	}
	memcpy(page, x->page, x->n_page * sizeof(*page));
	w->page[w->n] = page;
	w->part[w->n] = *part;
	w->x[w->n] = *x;
	w->x[w->n++].page = page;
	w->tokens += x->n_token;
	return 0;
}

static int write_extent(void *ctx, const struct encode_span *span, const struct extent_build *built, struct err *e)
{
	struct encode_job *j = ctx;
	const struct extent_plan *plan = extent_build_plan(built);
	struct cat_extent x = { .engine = j->p->engine, .type = plan->type, .n_token = plan->n_token,
				.n_page = plan->n_page, .page = extent_build_pages(built) };
	struct part_ref part = { 0 };
	struct derived d;
	size_t n;
	const void *image = extent_build_image(built, &n);
	int rc = derive_make(&j->p->derive, image, n, &d, e);

	(void)span;
	if (!rc && !j->p->writer)
		rc = kv_writer_new(&j->p->writer, j->p->store, 0, new_number, j->p, e);
	if (!rc)
		rc = kv_writer_add(j->p->writer, image, n, d.sketch, d.sketch_n, &x.ref, e);
	if (!rc && d.part)
		rc = kv_writer_add_part(j->p->writer, d.part, d.part_n, &part, e);
	derive_drop(&d);
	return rc ? rc : keep(&j->w, &x, &part, e);
}

static int commit(struct encode_job *j, struct err *e)
{
	struct catalog *c = j->p->cat;
	int64_t id;
	int rc;

	if (!j->w.n)
		return 0;
	rc = kv_writer_sync(j->p->writer, e);
	if (!rc)
		rc = cat_begin(c, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < j->w.n && !rc; i++) {
		rc = cat_put_extent(c, &j->w.x[i], &id, NULL, e);
		if (!rc && j->w.part[i].number)
			rc = cat_put_part(c, id, &j->p->derive.profile, &j->w.part[i], e);
	}
	if (!rc)
		rc = cat_commit(c, e);
	else
		cat_rollback(c);
	if (rc)
		return rc;
	if (j->n_token)
		*j->n_token += j->w.tokens;
	while (j->w.n)
		free(j->w.page[--j->w.n]);
	j->w.tokens = 0;
	return 0;
}

/* Tokenise spans [*i, n) that have no pages until about `want` tokens are together. */
struct group {
	struct encode_span *span;
	struct tok_ids *ids;
	size_t n;
	uint64_t tokens;
};

static int gather(struct pages *p, const struct cat_span *span, size_t n, size_t *i, uint64_t want,
		  struct group *g, struct err *e)
{
	int rc = 0;

	g->n = 0;
	g->tokens = 0;
	for (; *i < n && g->tokens < want && !rc; ++*i) {
		int64_t extent;
		struct tok_ids *ids = &g->ids[g->n];

		if (span[*i].extent || !span[*i].n_token ||
		    !cat_extent_find(p->cat, &span[*i].last, &extent, NULL))
			continue;
		*ids = (struct tok_ids){ 0 };
		rc = pages_tokens(p, &span[*i], ids, NULL, e);
		g->span[g->n] = (struct encode_span){ ids->id, (uint32_t)ids->n, *i };
		g->tokens += ids->n;
		g->n++;
	}
	return rc;
}

static void drop(struct group *g)
{
	while (g->n)
		free(g->ids[--g->n].id);
}

int pages_encode(struct pages *p, const struct cat_span *span, size_t n, pages_fn *fn, void *ctx,
		 uint64_t *n_token, struct err *e)
{
	uint64_t batch = forward_batch(engine_forward(encoder_engine(p->enc)));
	struct group g = { calloc(n + 1, sizeof(*g.span)), calloc(n + 1, sizeof(*g.ids)), 0, 0 };
	struct encode_job j = { .p = p, .n_token = n_token };
	struct pages_progress pr = { 0 };
	double since = clock_now();
	size_t i = 0;
	int rc = g.span && g.ids ? read_derive(p, e) : err_nomem(e);

	for (size_t k = 0; k < n; k++)
		pr.total += span[k].extent ? 0 : span[k].n_token;
	while (i < n && !rc) {
		double start = clock_now();

		if (fn)
			fn(ctx, &pr);
		/* Half of a batch's seconds at the last rate, but never less than fills a pass. */
		rc = gather(p, span, n, &i, MAX(batch, (uint64_t)(p->rate * PAGES_BATCH_SECONDS / 2)), &g, e);
		if (!rc)
			rc = encoder_run(p->enc, g.span, g.n, write_extent, &j, e);
		if (!rc && g.tokens)
			p->rate = (double)g.tokens / (clock_now() - start);
		pr.done += g.tokens;
		drop(&g);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted; what was encoded is kept");
		if (i == n || rc == ERR_INTR || clock_now() - since > PAGES_BATCH_SECONDS / 2.0) {
			struct err first = rc && e ? *e : (struct err){ 0 };
			int rc2 = rc && rc != ERR_INTR ? rc : commit(&j, e);

			if (rc && e)
				*e = first;
			rc = rc ? rc : rc2;
			since = clock_now();
		}
	}
	if (fn && !rc)
		fn(ctx, &pr);
	while (j.w.n)
		free(j.w.page[--j.w.n]);
	free(j.w.x);
	free(j.w.part);
	free(j.w.page);
	free(g.span);
	free(g.ids);
	return rc;
}

/* ---- a whole snapshot ---- */

struct todo {
	int64_t *doc;
	size_t n, cap;
	struct cat_span *span;
	size_t n_span, cap_span;
};

static int add_doc(void *ctx, int64_t document, const char *path, size_t n_path, struct err *e)
{
	struct todo *t = ctx;

	(void)path, (void)n_path;
	if (t->n == t->cap) {
		size_t cap = 2 * t->cap + 64;
		int64_t *doc = realloc(t->doc, cap * sizeof(*doc));

		if (!doc)
			return err_nomem(e);
		t->doc = doc;
		t->cap = cap;
	}
	t->doc[t->n++] = document;
	return 0;
}

static int add_span(void *ctx, const struct cat_span *s)
{
	struct todo *t = ctx;

	if (t->n_span == t->cap_span) {
		size_t cap = 2 * t->cap_span + 64;
		struct cat_span *span = realloc(t->span, cap * sizeof(*span));

		if (!span)
			return ERR_NOMEM;
		t->span = span;
		t->cap_span = cap;
	}
	t->span[t->n_span++] = *s;
	return 0;
}

static int count_tokens(struct pages *p, int64_t snapshot, uint64_t *total, struct err *e)
{
	struct cat_mount *m;
	size_t n;
	int rc = cat_mounts(p->cat, p->engine, CAT_ISOLATED, &snapshot, 1, NULL, 0, NULL, &m, &n, total, e);

	for (size_t i = 0; !rc && i < n; i++)
		*total += m[i].n_token;
	if (!rc)
		free(m);
	return rc;
}

int pages_snapshot(struct pages *p, int64_t snapshot, pages_fn *fn, void *ctx, struct pages_result *out,
		   struct err *e)
{
	struct todo t = { 0 };
	double start = clock_now();
	int rc = ingest_todo(p->cat, snapshot, p->engine, CAT_ISOLATED, add_doc, &t, e);

	*out = (struct pages_result){ .n_document = t.n };
	if (!rc)
		rc = pages_cut(p, t.doc, t.n, e);
	for (size_t i = 0; i < t.n && !rc; i++)
		rc = cat_spans(p->cat, t.doc[i], p->engine, CAT_ISOLATED, add_span, &t, e);
	if (!rc)
		rc = pages_encode(p, t.span, t.n_span, fn, ctx, &out->encoded, e);
	if (!rc)
		rc = count_tokens(p, snapshot, &out->total, e);
	out->seconds = clock_now() - start;
	free(t.doc);
	free(t.span);
	return rc;
}
