/* Covers ingest/diff_words.h with a tiny model, which babbles: what it says is cut unless it holds, every
 * hunk is one sentence kept or cut, both versions are documents of the library, nothing is encoded twice,
 * and a stop keeps what was done. */
#include "config.h"

#include "base/stop.h"
#include "ingest/diff_check.h"
#include "ingest/diff_side.h"
#include "ingest/diff_words.h"
#include "tests/check.h"
#include "tests/libtemp.h"
#include "tests/tiny_model.h"

static struct engine *en;
static struct tok *tok;
static struct encoder *enc;
static struct library *lib;
static struct pages *pages;

static void bail(const char *what, const struct err *e)
{
	printf("Bail out! %s: %s\n", what, e->msg);
	exit(99);
}

static void put(const char *name, const char *text)
{
	struct err e;

	if (file_write_atomic(temp_path(name), text, strlen(text), &e))
		bail(name, &e);
}

static void put_lines(const char *name, int changed)
{
	struct buf b = { 0 };

	for (int i = 0; i < 120; i++)
		buf_addf(&b, i == changed || i == changed + 60 ? "int other_%d(int a, int b);\n" : "int name_%d(int a);\n", i);
	put(name, b.data);
	buf_release(&b);
}

static int count_extent(void *ctx, const struct cat_extent *x)
{
	(void)x;
	++*(size_t *)ctx;
	return 0;
}

static size_t n_extent(void)
{
	size_t n = 0;

	cat_extents(lib_catalog(lib), count_extent, &n, NULL);
	return n;
}

static size_t by_model(const struct diff_report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_sentence; i++)
		n += r->sentence[i].by_model;
	return n;
}

struct sides {
	struct diff_side *a, *b;
};

static void facts(struct diff_report *r, struct sides *s)
{
	struct diff_opts o = { 0 };
	bool twice;
	struct err e;

	*r = (struct diff_report){ 0 };
	if (side_open(&s->a, temp_path("one"), NULL, &twice, &e) || side_open(&s->b, temp_path("two"), NULL, &twice, &e) ||
	    diff_facts(r, s->a, s->b, &o, &e))
		bail("facts", &e);
}

static void drop(struct diff_report *r, struct sides *s)
{
	diff_release(r);
	side_close(s->a);
	side_close(s->b);
}

static uint64_t steps, stop_at;

static void on_progress(void *ctx, uint64_t done_, uint64_t total, const char *path)
{
	(void)ctx;
	(void)total;
	(void)path;
	steps = done_;
	if (stop_at && done_ == stop_at)
		stop_request();
}

static const struct diff_file *file_of(const struct diff_report *r, const char *path)
{
	for (size_t i = 0; i < r->n_file; i++)
		if (!strcmp(diff_word(r, r->file[i].path), path))
			return &r->file[i];
	return NULL;
}

static void test_words(void)
{
	struct diff_words_opts o = { .per_file = 2, .on_progress = on_progress };
	struct diff_report r;
	struct sides s;
	size_t n, holds = 0;
	struct err e;

	facts(&r, &s);
	if (diff_words(&r, pages, lib_catalog(lib), enc, &o, &e))
		bail("words", &e);
	ok(by_model(&r) + r.n_cut >= 3 && steps >= 3, "every hunk chosen is a sentence kept or cut: %zu and %u", by_model(&r),
	   r.n_cut);
	for (size_t i = 0; i < r.n_sentence; i++) {
		const struct diff_sentence *x = &r.sentence[i];
		const struct diff_hunk *h = x->n_ref ? &r.hunk[r.ref[x->ref]] : NULL;
		const char *text = diff_word(&r, x->text);

		holds += x->by_model && h && diff_check(text, strlen(text), r.text.data + h->text, h->n_text,
							diff_word(&r, r.file[h->file].path), false, NULL);
	}
	ok(holds == by_model(&r), "what stands holds against its hunk");
	ok(n_extent() > 0, "the spans around the hunks are pages of the library");
	ok(!strcmp(diff_word(&r, file_of(&r, "gone.c")->unsaid), "deleted: nothing is left to be worded"),
	   "a deleted file has a reason instead");
	ok(strstr(diff_word(&r, file_of(&r, "conf.py")->unsaid), "secret") != NULL,
	   "a file with a likely secret is kept out of the library");
	ok(by_model(&r) || strstr(diff_word(&r, file_of(&r, "a.h")->unsaid), "could not be tied"),
	   "a file whose sentences were all cut says so");
	drop(&r, &s);

	n = n_extent();
	facts(&r, &s);
	if (diff_words(&r, pages, lib_catalog(lib), enc, &o, &e))
		bail("words", &e);
	ok(n_extent() == n, "the second report encodes nothing");
	drop(&r, &s);
}

static void test_stop(void)
{
	struct diff_words_opts o = { .per_file = 2, .on_progress = on_progress };
	struct diff_report r;
	struct sides s;
	struct err e;
	int rc;

	facts(&r, &s);
	stop_at = 1;
	rc = diff_words(&r, pages, lib_catalog(lib), enc, &o, &e);
	stop_clear();
	stop_at = 0;
	ok(rc == ERR_INTR && r.interrupted, "a stop ends it");
	ok(r.n_sentence > 0 && r.n_file == 4, "the facts stay");
	ok(strstr(diff_word(&r, file_of(&r, "b.h")->unsaid), "interrupted") != NULL, "and what was not reached says so");
	drop(&r, &s);
}

int main(void)
{
	struct engine_opts o = { .kernels = "ref", .n_thread = 2 };
	struct err e;

	temp_make();
	tiny_model(temp_path("tiny.gguf"), 7);
	if (mkdir(temp_path("one"), 0777) || mkdir(temp_path("two"), 0777))
		return 99;
	put_lines("one/a.h", 1000);
	put_lines("two/a.h", 20);
	put_lines("one/b.h", 1000);
	put_lines("two/b.h", 40);
	put("one/gone.c", "int gone(void);\n");
	put("one/conf.py", "x = 1\n");
	/* In two pieces, or this file itself would look as if it held a secret. */
	put("two/conf.py", "x = \"ghp" "_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8\"\n");
	if (engine_open(&en, temp_path("tiny.gguf"), &o, &e) || tok_open(&tok, engine_model(en)->gguf, &e) ||
	    encoder_open(&enc, en, tok, KV_Q8, &e) || lib_open(&lib, temp_path("lib"), LIB_CREATE, &e) ||
	    pages_open(&pages, lib, enc, &e))
		bail("open", &e);
	test_words();
	test_stop();
	pages_close(pages);
	lib_close(lib);
	encoder_close(enc);
	tok_close(tok);
	engine_close(en);
	return done();
}
