/* Covers ingest/talk.h, ingest/guess.h, engine/turns.h and the marks of ingest/cite.h with a tiny model: what was
 * said is read back and not computed again, forks share it, drafts change no byte of an answer. */
#include "config.h"

#include "base/stop.h"
#include "cache/session.h"
#include "ingest/answer.h"
#include "ingest/cite.h"
#include "ingest/guess.h"
#include "ingest/talk.h"
#include "tests/check.h"
#include "tests/libtemp.h"
#include "tests/tiny_model.h"

static struct engine *en;
static struct tok *tok;
static struct encoder *enc;
static struct library *lib;
static struct pages *pages;
static int64_t snap;

static void bail(const char *what, const struct err *e)
{
	printf("Bail out! %s: %s\n", what, e->msg);
	exit(99);
}

static void open_all(const char *kernels)
{
	struct engine_opts o = { .kernels = kernels, .n_thread = 2 };
	struct err e;

	if (engine_open(&en, temp_path("tiny.gguf"), &o, &e) || tok_open(&tok, engine_model(en)->gguf, &e) ||
	    encoder_open(&enc, en, tok, KV_Q8, &e) || lib_open(&lib, temp_path("lib"), LIB_CREATE, &e) ||
	    pages_open(&pages, lib, enc, &e))
		bail("open", &e);
}

static void close_all(void)
{
	pages_close(pages);
	lib_close(lib);
	encoder_close(enc);
	tok_close(tok);
	engine_close(en);
}

static void fill(void)
{
	struct cat_text t = { .format = "text" };
	struct cat_entry entry = { .path = "notes/a.txt", .path_n = 11, .state = CAT_TEXT, .reason = "" };
	struct catalog *c = lib_catalog(lib);
	struct cat_blob *blob;
	struct buf b = { 0 };
	int64_t source;
	struct err e;

	for (int i = 0; i < 60; i++)
		buf_addf(&b, "line %d says word%d here\n", i, i * 7919 % 10007);
	t.text = b.data;
	t.n = b.len;
	if (cat_blob_new(&blob, &t, &e) || cat_begin(c, &e) || cat_put_text(c, blob, &entry.document, NULL, &e) ||
	    cat_put_source(c, "notes", "dir", "/notes", &source, &e) ||
	    cat_snapshot_begin(c, source, "", 0, &snap, &e) || cat_put_entry(c, snap, &entry, &e) ||
	    cat_snapshot_finish(c, snap, &snap, &e) || cat_commit(c, &e))
		bail("fill", &e);
	cat_blob_free(blob);
	buf_release(&b);
}

static struct answer ask(struct talk *talk, const char *question, uint64_t seed, bool no_guess)
{
	struct answer_opts o = { .question = question, .n_question = strlen(question), .snapshot = &snap,
				 .n_snapshot = 1, .n_span = 2, .max_tokens = 60, .temperature = 1.5, .seed = seed,
				 .talk = talk, .no_guess = no_guess };
	struct answer a;
	struct err e;

	if (answer_question(pages, lib_catalog(lib), enc, &o, &a, &e))
		bail("answer", &e);
	return a;
}

static struct talk *open_talk(const char *name)
{
	struct talk *t;
	struct err e;

	if (talk_open(&t, lib, pages, enc, name, &e))
		bail("talk", &e);
	return t;
}

static bool keep(struct talk *t, const char *question, const struct answer *a)
{
	struct talk_turn turn = { .question = question, .answer = a->text.data ? a->text.data : "", .citations = "[]",
				  .info = "{}", .snapshot = &snap, .n_snapshot = 1 };
	bool forked;
	struct err e;

	if (talk_keep(t, &turn, &forked, &e))
		bail("keep", &e);
	return forked;
}

static bool same_text(const struct answer *a, const struct answer *b)
{
	return a->text.len == b->text.len && (!a->text.len || !memcmp(a->text.data, b->text.data, a->text.len));
}

/* Greedy answers of random weights run in circles, so drafts hold; hot ones do not, so they fail. */
static void test_guess(const char *kernels)
{
	uint64_t drafted = 0, held = 0;
	bool same = true;

	for (int i = 0; i < 12; i++) {
		struct answer_opts o = { .question = "what says line 9 here", .n_question = 21, .snapshot = &snap,
					 .n_snapshot = 1, .n_span = 2, .max_tokens = 80,
					 .temperature = 0.3 * i, .seed = (uint64_t)i };
		struct answer a, b;
		struct err e;

		if (answer_question(pages, lib_catalog(lib), enc, &o, &a, &e))
			bail("answer", &e);
		o.no_guess = true;
		if (answer_question(pages, lib_catalog(lib), enc, &o, &b, &e))
			bail("answer", &e);
		same &= same_text(&a, &b) && a.n_cite == b.n_cite && a.n_unsupported == b.n_unsupported &&
			a.truncated == b.truncated && !b.drafted;
		for (size_t k = 0; k < a.n_cite && k < b.n_cite; k++)
			same &= a.cite[k].first == b.cite[k].first && a.cite[k].last == b.cite[k].last &&
				a.cite[k].weight == b.cite[k].weight;
		drafted += a.drafted;
		held += a.held;
		answer_release(&a);
		answer_release(&b);
	}
	ok(same, "%s: drafts change neither text nor citations nor their weights", kernels);
	ok(held > 0 && held < drafted, "%s: some drafts held and some did not (%llu of %llu)", kernels,
	   (unsigned long long)held, (unsigned long long)drafted);
}

static void test_look_up(void)
{
	static const int32_t text[] = { 5, 6, 7, 8, 9, 5, 6, 7, 1, 2, 3 }, said[] = { 4, 5, 6, 7 };
	struct guess g = { 0 };
	int32_t draft[GUESS_MAX];
	struct err e;

	if (guess_add(&g, text, 11, &e))
		bail("guess", &e);
	ok(guess_next(&g, said, 4, 9, draft) == 1 && draft[0] == 1,
	   "a draft is what followed the last tokens where they stood last, at first one token");
	guess_told(&g, 1, 1);
	ok(guess_next(&g, said, 4, 9, draft) == 2 && draft[1] == 2, "one that held is followed by a longer one");
	ok(guess_next(&g, said, 4, 1, draft) == 1, "never longer than was asked for");
	guess_told(&g, 2, 2);
	guess_told(&g, 3, 3);
	ok(guess_next(&g, said, 4, 9, draft) == GUESS_MAX, "nor than %d tokens", GUESS_MAX);
	ok(guess_next(&g, said, 2, 3, draft) == 0, "two tokens are no reason to guess");
	guess_told(&g, 3, 0);
	ok(guess_next(&g, said, 4, 3, draft) == 0, "after a miss there is a pause");
	for (int i = 0; i < 3; i++)
		guess_next(&g, said, 4, 3, draft);
	ok(guess_next(&g, said, 4, 3, draft) == 1, "of four tokens, and then a short draft again");
	guess_release(&g);
}

static void test_session(void)
{
	struct talk *t = open_talk("main"), *again, *other;
	struct answer a, b, c;
	uint64_t fresh;
	size_t n;

	a = ask(t, "what says line 9 here", 3, false);
	ok(!keep(t, "what says line 9 here", &a) && talk_turns(t) == 1 && talk_session(t), "a turn is kept");
	n = talk_count(t);
	again = open_talk("main");
	ok(talk_turns(again) == 1 && talk_count(again) == n && n > a.fresh / 2,
	   "another talk finds its tokens (%zu)", n);
	b = ask(t, "and what says line 12 here", 4, false);
	fresh = b.fresh;
	c = ask(again, "and what says line 12 here", 4, false);
	ok(same_text(&b, &c) && c.fresh == fresh && c.reused == b.reused,
	   "gone on with after a restart the answer is the same, from as few new tokens");
	ok(b.reused >= n + b.attended, "the turns before are read back, not computed");
	ok(!keep(t, "q2", &b), "the second turn is kept");
	ok(keep(again, "q2", &c) && !strcmp(talk_name(again), "main-2") && talk_turns(again) == 2,
	   "who keeps a turn second keeps it in a fork");
	n = talk_count(t);
	ok(talk_count(again) == n, "with the same tokens behind it");
	talk_close(again);
	answer_release(&a), answer_release(&b), answer_release(&c);

	again = open_talk("main-2");
	ok(talk_count(again) == n && talk_turns(again) == 2, "the fork is read back whole");
	a = ask(t, "third", 5, false);
	b = ask(again, "third", 5, false);
	ok(same_text(&a, &b), "both go on alike");
	talk_drop(again);
	ok(talk_count(again) == n, "what is not kept is forgotten");
	answer_release(&a), answer_release(&b);
	talk_close(again);
	talk_close(t);

	other = open_talk(NULL);
	a = ask(other, "what says line 9 here", 3, false);
	keep(other, "q", &a);
	ok(talk_name(other) && talk_name(other)[0] == 's', "without a name a session gets one: %s", talk_name(other));
	answer_release(&a);
	talk_close(other);
}

static void test_turns(void)
{
	const struct plan *p = engine_plan(en);
	size_t row = (size_t)p->n_head_kv * p->head_dim;
	float *k = malloc(5 * row * sizeof(*k)), *out = malloc(2 * 5 * row * sizeof(*out));
	struct turns *t, *u;
	struct buf b = { 0 };
	bool same = true;
	struct err e;

	if (turns_new(&t, p, &e) || turns_new(&u, p, &e))
		bail("turns", &e);
	for (size_t i = 0; i < 5 * row; i++)
		k[i] = (float)i / 8;
	for (uint32_t far = 0; far < p->n_far; far++)
		if (turns_sink(t)->put(turns_sink(t)->ctx, far, k, k, 5, &e))
			bail("put", &e);
	ok(turns_count(t) == 5, "five tokens went in");
	if (turns_pack(t, 1, 3, &b, &e))
		bail("pack", &e);
	ok(b.len == turns_bytes(p, 3), "three of them are %zu bytes", b.len);
	ok(turns_unpack(u, 4, b.data, b.len, &e) == ERR_CORRUPT, "taken for four they are damage");
	ok(!turns_unpack(u, 3, b.data, b.len, &e) && turns_count(u) == 3, "they come back");
	for (uint32_t far = 0; far < p->n_far; far++) {
		turns_rows(u, far, 0, 3, out, out + 5 * row);
		same &= !memcmp(out, k + row, 3 * row * sizeof(*k)) &&
			!memcmp(out + 5 * row, k + row, 3 * row * sizeof(*k));
	}
	ok(same, "with the values they had");
	turns_truncate(u, 1);
	ok(turns_count(u) == 1, "and may be cut");
	turns_free(t), turns_free(u), buf_release(&b), free(k), free(out);
}

static void test_marks(void)
{
	static const struct { const char *in, *out; char before; size_t settled; } T[] = {
		{ "see [1] foo.c:1-2", "see (1) foo.c:1-2", 0, 17 },
		{ "[12]", "(12)", '\n', 4 },
		{ "a[1] = b[i];", "a[1] = b[i];", 0, 12 },
		{ "[1]", "[1]", 'a', 3 },
		{ "so [?] and [x]", "so (?) and [x]", 0, 14 },
		{ "end [3", "end [3", 0, 4 },
		{ "[", "[", ' ', 0 },
		{ "[]", "[]", ' ', 2 },
	};

	for (size_t i = 0; i < sizeof(T) / sizeof(T[0]); i++) {
		char s[64];
		size_t n;

		snprintf(s, sizeof(s), "%s", T[i].in);
		n = cite_defuse(s, strlen(s), T[i].before);
		ok(n == T[i].settled && !strcmp(s, T[i].out), "'%s' is written as '%s', %zu bytes settled", T[i].in, s, n);
	}
}

static void test_interrupted(void)
{
	struct talk *t = open_talk("stopped");
	struct answer_opts o = { .question = "what says line 9 here", .n_question = 21, .snapshot = &snap,
				 .n_snapshot = 1, .n_span = 2, .talk = t };
	struct answer a;
	struct err e;

	stop_request();
	ok(answer_question(pages, lib_catalog(lib), enc, &o, &a, &e) == ERR_INTR, "a request to stop is heard");
	stop_clear();
	ok(!keep(t, "q", &a) && talk_turns(t) == 1, "what there was is kept");
	answer_release(&a);
	talk_close(t);
}

int main(void)
{
	struct talk *t;
	struct err e;

	temp_make();
	tiny_model(temp_path("tiny.gguf"), 7);
	open_all("auto");
	fill();
	test_turns();
	test_marks();
	test_look_up();
	test_guess("auto");
	test_session();
	test_interrupted();
	close_all();
	open_all("ref");
	test_guess("ref");
	close_all();
	tiny_model(temp_path("tiny.gguf"), 8);
	open_all("auto");
	ok(talk_open(&t, lib, pages, enc, "main", &e) == ERR_MISMATCH, "another model does not go on with a session");
	close_all();
	return done();
}
