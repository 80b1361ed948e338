/* Covers engine/encode.h, engine/compose.h, ingest/pages.h and ingest/answer.h with a tiny model: what
 * is stored equals what is computed, nothing is encoded twice, an edit costs what it touches, and an
 * answer's citations are the stored lines. */
#include "config.h"

#include "base/stop.h"
#include "cache/care.h"
#include "cache/derive.h"
#include "engine/compose.h"
#include "ingest/answer.h"
#include "ingest/pages.h"
#include "tests/check.h"
#include "tests/libtemp.h"
#include "tests/tiny_model.h"

#include <math.h>

static struct engine *en;
static struct tok *tok;
static struct encoder *enc;

static void bail(const char *what, const struct err *e)
{
	printf("Bail out! %s: %s\n", what, e->msg);
	exit(99);
}

static void open_model(const char *kernels, enum kv_type type)
{
	struct engine_opts o = { .kernels = kernels, .n_thread = 2 };
	struct err e;

	if (engine_open(&en, temp_path("tiny.gguf"), &o, &e) || tok_open(&tok, engine_model(en)->gguf, &e) ||
	    encoder_open(&enc, en, tok, type, &e))
		bail("open", &e);
}

static void close_model(void)
{
	encoder_close(enc);
	tok_close(tok);
	engine_close(en);
}

/* Lines of words that differ, about 24 bytes each. */
static char *text_of(int lines, int from)
{
	struct buf b = { 0 };

	for (int i = 0; i < lines; i++)
		buf_addf(&b, "line %d says word%d here\n", i + from, (i + from) * 7919 % 10007);
	return buf_take(&b);
}

static int64_t put_document(struct catalog *c, const char *text)
{
	struct cat_text t = { .text = text, .n = strlen(text), .format = "text" };
	struct cat_blob *blob;
	int64_t id = 0;
	struct err e;

	if (cat_blob_new(&blob, &t, &e) || cat_begin(c, &e) || cat_put_text(c, blob, &id, NULL, &e) || cat_commit(c, &e))
		bail("put", &e);
	cat_blob_free(blob);
	return id;
}

struct list {
	struct cat_span v[512];
	size_t n;
};

static int take(void *ctx, const struct cat_span *s)
{
	struct list *l = ctx;

	l->v[l->n++] = *s;
	return 0;
}

static struct list spans_of(struct catalog *c, struct pages *p, int64_t doc)
{
	static struct list l;
	struct err e;

	l.n = 0;
	if (pages_cut(p, &doc, 1, &e) || cat_spans(c, doc, pages_engine(p), CAT_ISOLATED, take, &l, &e))
		bail("spans", &e);
	return l;
}

static uint64_t encode_document(struct catalog *c, struct pages *p, int64_t doc)
{
	struct list l = spans_of(c, p, doc);
	uint64_t n = 0;
	struct err e;

	if (pages_encode(p, l.v, l.n, NULL, NULL, &n, &e))
		bail("encode", &e);
	return n;
}

static uint64_t tokens_of(const struct list *l)
{
	uint64_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->v[i].n_token;
	return n;
}

static int keep_ref(void *ctx, const struct cat_extent *x)
{
	struct view_entry *en1 = ctx;

	en1->kv = x->ref;
	en1->n_token = x->n_token;
	en1->type = (uint8_t)x->type;
	return 0;
}

/* A span placed right behind the preamble is what reading preamble, span, question in order gives; the
 * rounding of the stored type is all that differs. */
static void test_compose(enum kv_type type, double limit)
{
	struct library *lib;
	struct pages *p = NULL;
	char *text = text_of(30, 0);
	struct view *view;
	struct compose *comp;
	struct kv *kv;
	struct list l;
	struct view_entry entry = { .user = 0 };
	float *a = malloc(2 * TINY_VOCAB * sizeof(float)), *b = a + TINY_VOCAB;
	struct tok_ids ids = { 0 }, q = { 0 };
	double d = 0, s = 0;
	struct err e;

	open_model("ref", type);
	if (lib_open(&lib, temp_path(kv_type_name(type)), LIB_CREATE, &e) || pages_open(&p, lib, enc, &e))
		bail("library", &e);
	{
		int64_t doc = put_document(lib_catalog(lib), text);

		encode_document(lib_catalog(lib), p, doc);
		l = spans_of(lib_catalog(lib), p, doc);
	}
	entry.span = l.v[0].last;
	if (cat_extent(lib_catalog(lib), l.v[0].extent, keep_ref, &entry, &e) ||
	    view_new(&view, pages_store(p), encoder_geom(enc), &entry, 1, &e) || compose_new(&comp, enc, &e) ||
	    compose_span(comp, view, 0, &e) || tok_encode(tok, "and then?", 9, 0, &q, NULL, &e) ||
	    compose_tokens(comp, q.id, q.n, a, NULL, &e))
		bail("compose", &e);
	if (pages_tokens(p, &l.v[0], &ids, NULL, &e) || engine_seq(en, encoder_preamble(enc), &kv, &e) ||
	    engine_feed(en, kv, ids.id, ids.n, NULL, false, NULL, &e) ||
	    engine_feed(en, kv, q.id, q.n, b, false, NULL, &e))
		bail("sequence", &e);
	for (int i = 0; i < TINY_VOCAB; i++) {
		d = fmax(d, fabs((double)a[i] - (double)b[i]));
		s += (double)b[i] * (double)b[i] / TINY_VOCAB;
	}
	ok(d <= limit * sqrt(s), "%s: a composed span equals one read in order: %.1e of %.1e", kv_type_name(type), d, sqrt(s));
	kv_free(kv), compose_free(comp), view_free(view), pages_close(p), lib_close(lib);
	close_model();
	free(a), free(text), free(ids.id), free(q.id);
}

static void test_pages(struct library *lib)
{
	struct catalog *c = lib_catalog(lib);
	char *text = text_of(400, 0), *longer, *at;
	struct buf edited = { 0 };
	struct pages *p;
	struct list l;
	uint64_t n, all;
	int64_t doc;
	struct err e;

	if (pages_open(&p, lib, enc, &e))
		bail("pages", &e);
	doc = put_document(c, text);
	l = spans_of(c, p, doc);
	all = tokens_of(&l);
	ok(l.n > 3 && all == strlen(text), "a document is cut into spans that hold all its tokens");
	n = encode_document(c, p, doc);
	ok(n == all, "all of them are encoded");
	ok(encode_document(c, p, doc) == 0, "and none a second time");

	at = strstr(text, "line 200 ");
	buf_add(&edited, text, (size_t)(at - text));
	buf_adds(&edited, "one line more\n");
	buf_adds(&edited, at);
	doc = put_document(c, edited.data);
	n = encode_document(c, p, doc);
	ok(n > 0 && n <= 3 * 1024, "an inserted line encodes the spans it touches: %llu of %llu tokens",
	   (unsigned long long)n, (unsigned long long)all);

	longer = text_of(200, 5000);
	doc = put_document(c, longer);
	l = spans_of(c, p, doc);
	stop_request();
	n = 0;
	ok(pages_encode(p, l.v, l.n, NULL, NULL, &n, &e) == ERR_INTR, "a request to stop is heard");
	stop_clear();
	ok(encode_document(c, p, doc) + n == tokens_of(&l), "and the rest is encoded the next time, not more");
	pages_close(p);
	free(text), free(longer), buf_release(&edited);
}

/* The view of everything that is encoded, with its index parts of this profile. */
static struct view *view_all(struct library *lib, struct pages *p, const struct id *profile)
{
	struct view_entry *entry;
	struct cat_mount *m;
	struct view *v;
	struct err e;
	size_t n;

	if (cat_mounts(lib_catalog(lib), pages_engine(p), CAT_ISOLATED, NULL, 0, NULL, 0, profile, &m, &n, NULL, &e))
		bail("mounts", &e);
	entry = calloc(n + 1, sizeof(*entry));
	for (size_t i = 0; i < n; i++)
		entry[i] = (struct view_entry){ .span = m[i].last, .kv = m[i].ref, .part = m[i].part,
						.n_token = m[i].n_token, .type = (uint8_t)m[i].type };
	if (view_new(&v, pages_store(p), encoder_geom(enc), entry, n, &e))
		bail("view", &e);
	free(entry), free(m);
	return v;
}

/* Do all extents have what is derived from their pages, and is it that? */
static bool all_derived(struct view *v, const struct derive *want)
{
	struct view_ahead a;
	struct sketch sk;
	struct spanidx si;
	bool good = view_count(v) > 0;
	uint32_t i, n = 0;
	struct err e;

	view_ahead_sketches(&a, v, 0, view_disk_order(v), view_count(v));
	for (; view_ahead_next(&a, &i); n++) {
		struct derived d;
		struct extent x;

		if (view_extent(v, i, &x, &e) || derive_make(want, x.data, x.plan.bytes, &d, &e))
			bail("extent", &e);
		if (want->sketches)
			good &= !view_sketch(v, i, 0, &sk, &e) && !memcmp(sk.data, d.sketch, d.sketch_n);
		else
			good &= view_sketch(v, i, 0, &sk, &e) == ERR_NOTFOUND;
		if (want->n_pair)
			good &= !view_part(v, i, &want->profile, &si, &e) && !memcmp(si.data, d.part, d.part_n);
		derive_drop(&d);
	}
	return good && n == view_count(v);
}

static void test_sketches(const char *name, bool irope)
{
	static const struct spanidx_pair pair[] = { { 0, 0 } };
	struct derive want = { .sketches = irope };
	char *text = text_of(200, 0), *more = text_of(100, 7000);
	struct care_verified ver;
	struct library *lib;
	struct catalog *c;
	struct pages *p = NULL;
	struct view *v;
	uint64_t n = 0;
	struct err e;

	if (lib_open(&lib, temp_path(name), LIB_CREATE, &e) || pages_open(&p, lib, enc, &e))
		bail("library", &e);
	c = lib_catalog(lib);
	encode_document(c, p, put_document(c, text));
	v = view_all(lib, p, NULL);
	ok(all_derived(v, &want), "%s: sketches are committed with the pages of iRoPE models, and only theirs", name);
	view_free(v);
	if (cat_begin(c, &e) || derive_set_pairs(c, pages_engine(p), pair, 1, &e) || cat_commit(c, &e) ||
	    derive_fill(lib, pages_store(p), pages_engine(p), NULL, NULL, &n, NULL, &e))
		bail("pairs", &e);
	encode_document(c, p, put_document(c, more));
	derive_get(c, pages_engine(p), &want, &e);
	v = view_all(lib, p, &want.profile);
	ok(n > 0 && n < view_count(v) && all_derived(v, &want),
	   "%s: a list of pairs indexes what was encoded before it and after it", name);
	view_free(v), derive_release(&want), pages_close(p);
	ok(!care_verify(lib, 1, 0, NULL, &ver, &e) && !ver.n_damage, "%s: verify finds nothing", name);
	lib_close(lib);
	free(text), free(more);
}

static int64_t snapshot_of(struct catalog *c, int64_t doc)
{
	struct cat_entry entry = { .path = "notes/a.txt", .path_n = 11, .state = CAT_TEXT, .document = doc, .reason = "" };
	int64_t source = 0, snap = 0;
	struct err e;

	if (cat_begin(c, &e) || cat_put_source(c, "notes", "dir", "/notes", &source, &e) ||
	    cat_snapshot_begin(c, source, "", 0, &snap, &e) || cat_put_entry(c, snap, &entry, &e) ||
	    cat_snapshot_finish(c, snap, &snap, &e) || cat_commit(c, &e))
		bail("snapshot", &e);
	return snap;
}

static void test_answer(struct library *lib)
{
	struct catalog *c = lib_catalog(lib);
	char *text = text_of(120, 9000);
	int64_t snap = snapshot_of(c, put_document(c, text));
	struct answer_opts o = { .question = "what says line 9003 here", .n_question = 24, .snapshot = &snap,
				 .n_snapshot = 1, .n_span = 2, .max_tokens = 40, .temperature = 2, .seed = 3 };
	struct answer a, b;
	struct pages *p;
	bool same = true;
	struct err e;

	if (pages_open(&p, lib, enc, &e))
		bail("pages", &e);
	o.no_encode = true;
	ok(answer_question(p, c, enc, &o, &a, &e) == ERR_MODEL, "with no_encode nothing is encoded");
	answer_release(&a);
	o.no_encode = false;
	ok(!answer_question(p, c, enc, &o, &a, &e) && a.n_span >= 1 && a.encoded > 0,
	   "a question encodes what it needs and is answered");
	/* Weights drawn by lot may end the answer before it begins: another seed says something. */
	for (; !a.text.len && o.seed < 50; o.seed++) {
		answer_release(&a);
		if (answer_question(p, c, enc, &o, &a, &e))
			bail("answer", &e);
		if (a.text.len)
			break;
	}
	ok(a.text.len > 0, "the answer has text");
	pages_close(p);
	if (pages_open(&p, lib, enc, &e))
		bail("pages", &e);
	ok(!answer_question(p, c, enc, &o, &b, &e) && b.encoded == 0 && a.text.len == b.text.len &&
	   !memcmp(a.text.data, b.text.data, a.text.len), "asked again nothing is encoded and the answer is the same");
	for (size_t i = 0; i < b.n_cite; i++) {
		const char *at = strstr(text, b.cite[i].quote);

		same &= at && !strcmp(b.span[b.cite[i].span].path, "notes/a.txt") && b.cite[i].first <= b.cite[i].last;
	}
	ok(same, "what is cited is what is stored (%zu citations)", b.n_cite);
	ok(b.span[0].first >= 1 && b.span[0].last <= 120 && !strcmp(b.span[0].source, "notes"),
	   "spans are known by source, path and lines");
	answer_release(&a), answer_release(&b);
	o.question = "zzzzqqq", o.n_question = 7;
	ok(!answer_question(p, c, enc, &o, &a, &e) && !a.found && a.n_span == 0 && a.n_file == 1,
	   "a question of which no word is there is not answered");
	answer_release(&a);
	pages_close(p);
	free(text);
}

int main(void)
{
	struct library *lib;
	struct id first;
	struct err e;

	temp_make();
	tiny_model(temp_path("tiny.gguf"), 7);
	test_compose(KV_F16, 0.01);
	test_compose(KV_Q8, 0.1);
	open_model("auto", KV_Q8);
	first = *encoder_fingerprint(enc);
	if (lib_open(&lib, temp_path("lib"), LIB_CREATE, &e))
		bail("library", &e);
	test_pages(lib);
	test_answer(lib);
	lib_close(lib);
	test_sketches("rope", false);
	close_model();
	tiny_model_of(temp_path("tiny.gguf"), 7, "llama4");
	open_model("auto", KV_Q8);
	test_sketches("irope", true);
	close_model();
	tiny_model(temp_path("tiny.gguf"), 7);
	open_model("ref", KV_Q8);
	ok(id_eq(&first, encoder_fingerprint(enc)), "other kernels are the same engine");
	close_model();
	open_model("auto", KV_Q4);
	ok(!id_eq(&first, encoder_fingerprint(enc)), "another KV type is another engine");
	close_model();
	tiny_model(temp_path("tiny.gguf"), 8);
	open_model("auto", KV_Q8);
	ok(!id_eq(&first, encoder_fingerprint(enc)), "other weights are another engine");
	close_model();
	return done();
}
