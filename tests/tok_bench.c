/* Speed of a model file's tokenizer: time to open, MB/s by kind of text, one thread.
 *
 *   tok_bench MODEL [FILE ...]       CSV: what, bytes, ids, median MB/s (or ms), slowest, fastest
 *
 * Without a FILE, texts of 8 MB are made up: words of a small Zipf-like vocabulary as prose, the same
 * in the shape of code, CJK and Cyrillic from character ranges, and three hard cases.  A text is
 * encoded in one call; the timed window is tok_encode alone, its list of ids already allocated.  Time
 * is the thread's own, so that a busy machine disturbs less. */
#include "config.h"

#include "engine/tok.h"

#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_TEXT (8u << 20)
#define ROUNDS 5

static uint64_t seed = 42;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

/* Word number k, always the same: syllables, the frequent ones short. */
static void word(struct buf *b, uint32_t k)
{
	static const char *const syllable[] = {
		"th", "e", "an", "in", "re", "con", "ti", "on", "ing", "st", "er", "al", "ma", "de",
		"ver", "le", "com", "pro", "ment", "a", "o", "tion", "si", "ble", "un", "is",
	};

	do {
		buf_adds(b, syllable[k % ARRAY_LEN(syllable)]);
		k /= ARRAY_LEN(syllable);
	} while (k);
}

static uint32_t word_number(void)
{
	uint32_t top = 1u << (4 + rnd() % 14);

	return rnd() % top;
}

static void prose(struct buf *b)
{
	while (b->len < N_TEXT) {
		word(b, word_number());
		buf_adds(b, rnd() % 12 ? " " : rnd() % 4 ? ", " : rnd() % 3 ? ". " : ".\n\n");
	}
}

static void code(struct buf *b)
{
	static const char *const glue[] = {
		"(", ");\n\t", " = ", "->", "_", "_", "[", "]", " + ", "++) {\n\t\t", ".", ", ", " == ",
		"();\n", "\n}\n\n", "\tif (", "/* ", " */\n", "0x", "::", "\n    ", "\n        ", "\"",
	};

	while (b->len < N_TEXT) {
		if (rnd() % 10 == 0)
			buf_addf(b, "%u", rnd() % 5000);
		else
			word(b, word_number());
		buf_adds(b, glue[rnd() % ARRAY_LEN(glue)]);
	}
}

static void script(struct buf *b, uint32_t from, uint32_t n, unsigned per_space)
{
	char c[4];

	while (b->len < N_TEXT) {
		/* Squared: some characters are far more frequent than others. */
		uint32_t x = rnd() % n, y = rnd() % n;

		buf_add(b, c, utf8_encode(from + (uint32_t)((uint64_t)x * y / n), c));
		if (rnd() % per_space == 0)
			buf_adds(b, from > 0x3000 ? "\xe3\x80\x82" : " ");
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void die(const struct err *e)
{
	fprintf(stderr, "tok_bench: %s\n", e->msg);
	exit(1);
}

static void run(const struct tok *t, const char *what, struct buf *b)
{
	struct tok_ids ids = { 0 };
	struct err e;
	double s[ROUNDS];

	for (int i = -1; i < ROUNDS; i++) {
		double t0 = now();

		ids.n = 0;
		if (tok_encode(t, b->data, b->len, 0, &ids, NULL, &e))
			die(&e);
		if (i >= 0)
			s[i] = (double)b->len / 1e6 / (now() - t0);
	}
	qsort(s, ROUNDS, sizeof *s, by_value);
	printf("%s,%zu,%zu,%.1f,%.1f,%.1f\n", what, b->len, ids.n, s[ROUNDS / 2], s[0],
	       s[ROUNDS - 1]);
	fflush(stdout);
	free(ids.id);
	buf_release(b);
}

static struct tok *timed_open(const char *path)
{
	struct tok *t = NULL;
	struct gguf *g;
	struct err e;
	double ms[ROUNDS];
	size_t n = strlen(path);

	for (int i = -1; i < ROUNDS; i++) {
		double t0;
		int rc;

		tok_close(t);
		if (n >= 15 && strcmp(path + n - 15, "tokenizer.model") == 0) {
			t0 = now();
			rc = tok_open_tiktoken(&t, path, "llama4", &e);
		} else {
			if (gguf_open(&g, path, &e))
				die(&e);
			t0 = now();
			rc = tok_open(&t, g, &e);
		}
		if (rc)
			die(&e);
		if (i >= 0)
			ms[i] = (now() - t0) * 1e3;
		if (!(n >= 15 && strcmp(path + n - 15, "tokenizer.model") == 0))
			gguf_close(g);
	}
	qsort(ms, ROUNDS, sizeof *ms, by_value);
	printf("open (ms),,%d,%.1f,%.1f,%.1f\n", tok_n_vocab(t), ms[ROUNDS / 2], ms[0],
	       ms[ROUNDS - 1]);
	return t;
}

int main(int argc, char **argv)
{
	struct buf b = { 0 };
	struct tok *t;
	struct err e;

	if (argc < 2) {
		fprintf(stderr, "usage: tok_bench MODEL [FILE ...]\n");
		return 2;
	}
	printf("what,bytes,ids,median MB/s,min,max\n");
	t = timed_open(argv[1]);
	for (int i = 2; i < argc; i++) {
		if (file_read(&b, argv[i], SIZE_MAX, &e))
			die(&e);
		run(t, argv[i], &b);
	}
	if (argc == 2) {
		prose(&b);
		run(t, "prose", &b);
		code(&b);
		run(t, "code", &b);
		script(&b, 0x4e00, 4000, 12);
		run(t, "chinese", &b);
		script(&b, 0xac00, 3000, 4);
		run(t, "korean", &b);
		script(&b, 0x430, 32, 6);
		run(t, "cyrillic", &b);
		while (b.len < N_TEXT)
			buf_addc(&b, ' ');
		run(t, "spaces", &b);
		while (b.len < N_TEXT)
			buf_addc(&b, (char)('a' + rnd() % 26));
		run(t, "one word of 8 MB", &b);
		while (b.len < N_TEXT)
			buf_addc(&b, (char)rnd());
		run(t, "random bytes", &b);
	}
	tok_close(t);
	return 0;
}
