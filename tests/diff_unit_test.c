/* Covers ingest/diff_check.h, diff_rename.h and diff_lines.h: which sentences may stand beside a hunk, how
 * alike two files are, what large texts fall back to. */
#include "config.h"

#include "ingest/diff_check.h"
#include "ingest/diff_lines.h"
#include "ingest/diff_rename.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static const char hunk[] =
	" def load(path):\n"
	"-    return open(path, timeout=30)\n"
	"-    log.warning(\"slow\")\n"
	"+    return open_cached(path, timeout=45, retries=MAX_RETRIES)\n";

static void holds(const char *sentence)
{
	const char *why;
	bool good = diff_check(sentence, strlen(sentence), hunk, sizeof(hunk) - 1, "src/store.py load", false, &why);

	ok(good, "holds: %s (%s)", sentence, why);
}

static void cut(const char *sentence, const char *rule)
{
	const char *why;
	bool good = diff_check(sentence, strlen(sentence), hunk, sizeof(hunk) - 1, "src/store.py load", false, &why);

	ok(!good && !strcmp(why, rule), "cut for its %s: %s (%s)", rule, sentence, why);
}

static void test_check(void)
{
	holds("This change adds the `retries` argument with `MAX_RETRIES`.");
	holds("This change replaces `open` with `open_cached` in `load`.");
	holds("This change updates the timeout from 30 to 45.");
	holds("This change removes the `log.warning` call from `load`.");
	holds("This change increases the timeout from 30 to 45.");
	cut("This change adds the `attempts` argument to `load`.", "name");
	cut("This change calls open_stream with a path.", "name");
	cut("This change sets the timeout to 60.", "number");
	cut("This change updates the timeout from 45 to 30.", "direction");
	cut("This change decreases the timeout from 30 to 45.", "direction");
	cut("This change adds `log.warning` to `load`.", "direction");
	cut("This change removes `open_cached` from `load`.", "direction");
	cut("This change removes the `log` and `path` arguments of `load`.", "direction");
	cut("This change replaces `open_cached` with `open`.", "direction");
	cut("This change improves the timeout of `load`.", "claim");
	cut("This change ensures that `open_cached` has a timeout.", "claim");
	cut("This change updates the timeout but not `retries`.", "claim");
	cut("This change gives two timeout values to open_cached.", "claim");
	cut("This change rewrites the network layer of a server.", "words");
	cut("This change updates the code in the file.", "words");
	cut("This change is a timeout that was cached.", "words");
	cut("This change makes a cached open with a slow warning.", "words");
	ok(diff_check("The keeper kept the lantern of Orrin lit.", 41, "-The keeper slept.\n+The keeper kept the lantern lit.\n", 52,
		      "Orrin", true, NULL), "in prose three words of changed lines are enough");
	cut("This change uses a different timeout for `open_cached`.", "claim");
	cut("A timeout.", "length");
	cut("", "length");
	ok(diff_check_trim("It adds `x`. And more.", 22) == 12, "the first sentence is kept");
	ok(diff_check_trim("It adds `x`, ensuring that all is well", 38) == 11, "praise at its end is not");
	ok(diff_check_trim("plain", 5) == 5, "nothing to trim");
}

static uint32_t alike(const char *a, const char *b)
{
	uint32_t score = 0;

	if (rename_similarity(a, strlen(a), b, strlen(b), &score, NULL))
		printf("# out of memory\n");
	return score;
}

static void test_similarity(void)
{
	ok(alike("one\ntwo\nthree\n", "one\ntwo\nthree\n") == RENAME_FULL, "equal files are 100 %% alike");
	ok(alike("one\ntwo\n", "four\nfive\n") == 0, "files without a common line are not alike");
	/* 4 of 8 bytes */
	ok(alike("one\ntwo\n", "one\nsix\n") == RENAME_FULL / 2, "half of the bytes: half alike");
	ok(alike("one\ntwo\n", "two\none\n") == RENAME_FULL, "order does not count");
	ok(alike("a\r\nb\r\n", "a\nb\n") == RENAME_FULL * 4 / 6, "a line's \\r does not count in a piece, but in the size");
	/* As git 2.39 does: an unfinished last line is no piece. */
	ok(alike("one\ntwo", "one\ntwo") == RENAME_FULL * 4 / 7, "an unfinished last line does not count");
	ok(alike("", "x\n") == 0 && alike("x\n", "") == 0, "an empty file is like none");
	ok(rename_is_binary("a\0b", 3) && !rename_is_binary("ab", 2) && !rename_is_binary("", 0), "NUL makes binary");
}

struct texts {
	const char *name[4], *text[4];
};

static int read_text(void *ctx, bool deleted, const struct rename_file *f, struct buf *out, struct err *e)
{
	const char *const *t = ctx;

	(void)deleted;
	(void)e;
	buf_adds(out, t[f->user]);
	return 0;
}

static void test_find(void)
{
	static const char *const text[] = { "a\nb\nc\nd\n", "e\nf\ng\nh\n", "a\nb\nc\nx\n", "e\nf\ng\nh\n", "q\n" };
	struct rename_file del[] = { { .path = "old/one.c", .mode = 0100644, .size = 8, .content = "1", .user = 0 },
				     { .path = "old/two.c", .mode = 0100644, .size = 8, .content = "2", .user = 1 } };
	struct rename_file add[] = { { .path = "new/one.c", .mode = 0100644, .size = 8, .content = "3", .user = 2 },
				     { .path = "new/other.c", .mode = 0100644, .size = 8, .content = "2", .user = 3 },
				     { .path = "new/q.c", .mode = 0100644, .size = 2, .content = "5", .user = 4 } };
	bool limited;
	struct err e;

	ok(!rename_find(del, 2, add, 3, read_text, (void *)text, &limited, &e) && !limited, "renames are found");
	ok(add[0].source == 0 && add[0].score == RENAME_FULL * 3 / 4, "one that was edited");
	ok(add[1].source == 1 && add[1].score == RENAME_FULL, "one that was not, under another name");
	ok(add[2].source == -1, "a new file is no rename");
}

static char *lines_of(size_t n, size_t odd)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++)
		if (i == odd)
			buf_addf(&b, "another line, number %zu\n", i);
		else
			buf_addf(&b, "a line of some length, so that few are enough, number %zu\n", i);
	return buf_take(&b);
}

static void one_pair(struct diff_report *r, const char *a, const char *b, bool *counted)
{
	struct err e;

	*r = (struct diff_report){ 0 };
	r->file = calloc(1, sizeof(*r->file));
	r->n_file = r->cap_file = 1;
	if (diff_lines(r, a, strlen(a), b, strlen(b), counted, &e))
		printf("# %s\n", e.msg);
}

static void test_large(void)
{
	size_t n = DIFF_LINES_WHOLE / 58;	/* just over it */
	char *a = lines_of(n, SIZE_MAX), *b = lines_of(n, n / 2);
	struct diff_report r;
	bool counted;

	one_pair(&r, a, b, &counted);
	ok(!counted && r.n_hunk == 1 && r.file[0].insertions == 1 && r.file[0].deletions == 1,
	   "equal ends of a large text are left out, and the one change is found");
	ok(r.hunk[0].old_first == n / 2 - 2 && r.hunk[0].old_n == 7, "with its three lines of context at both sides");
	diff_release(&r);
	one_pair(&r, "", b, &counted);
	ok(!counted && r.file[0].insertions == n && r.file[0].deletions == 0, "against nothing, a large text counts exactly");
	diff_release(&r);
	free(a);
	free(b);
}

int main(void)
{
	test_check();
	test_similarity();
	test_find();
	test_large();
	return done();
}
