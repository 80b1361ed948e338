/* Covers ingest/eval_task.c and ingest/eval_hay.c: the same seed gives the same questions, the right answers
 * stand in the planted lines, a judge that is told the truth says so and one that is not does not; a
 * haystack holds every line once, is as long as asked, and the same twice. */
#include "config.h"

#include "ingest/eval_hay.h"
#include "ingest/eval_task.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/size.h"
#include "tests/check.h"
#include "tests/libtemp.h"
#include "tests/tiny_model.h"
#include "engine/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ALL ((1u << EVAL_N_TASK) - 1)

static struct eval_set make(unsigned tasks, size_t n, uint64_t seed)
{
	struct eval_set s;
	struct err e;

	if (eval_set_make(&s, tasks, n, 31, seed, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(99);
	}
	return s;
}

static bool same(const struct eval_set *a, const struct eval_set *b)
{
	bool eq = a->n == b->n && a->n_line == b->n_line;

	for (size_t i = 0; eq && i < a->n_line; i++)
		eq = !strcmp(a->line[i], b->line[i]);
	for (size_t i = 0; eq && i < a->n; i++)
		for (size_t t = 0; eq && t < a->question[i].n_turn; t++)
			eq = !strcmp(a->question[i].turn[t].prompt, b->question[i].turn[t].prompt) &&
			     !strcmp(a->question[i].turn[t].gold, b->question[i].turn[t].gold);
	return eq;
}

static size_t n_planted(const struct eval_set *s, const char *text)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_line; i++)
		n += !strcmp(s->line[i], text);
	return n;
}

/* "prompt gold\n" stands there: each of its lines, so many times. */
static bool stands(const struct eval_set *s, const struct eval_turn *t, size_t least, size_t most)
{
	struct buf b = { 0 };
	bool ok = true;
	char *at, *line;

	buf_addf(&b, "%s %s", t->prompt, t->gold);
	at = b.data;
	while ((line = strsep(&at, "\n"))) {
		struct buf whole = { 0 };
		size_t n;

		buf_addf(&whole, "%s\n", line);
		n = n_planted(s, whole.data);
		ok &= n >= least && n <= most;
		buf_release(&whole);
	}
	buf_release(&b);
	return ok;
}

static size_t n_of_name(const struct eval_set *s, const char *prompt)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_line; i++)
		n += !strncmp(s->line[i], prompt, strlen(prompt));
	return n;
}

static void test_sets(void)
{
	struct eval_set a = make(ALL, 20, 7), b = make(ALL, 20, 7), c = make(ALL, 20, 8);
	size_t of[EVAL_N_TASK] = { 0 };
	bool once = true, often = true, alone = true, four = true;

	for (size_t i = 0; i < a.n; i++) {
		const struct eval_question *q = &a.question[i];

		of[q->task]++;
		for (size_t t = 0; t < q->n_turn; t++) {
			size_t n = n_of_name(&a, q->turn[t].prompt);

			if (q->task == EVAL_FREQUENT)
				often &= stands(&a, &q->turn[t], 16, 16) && n == 31;
			else
				once &= stands(&a, &q->turn[t], 1, 1);
			if (q->task == EVAL_MULTIVALUE)
				four &= n == 4;
			else if (q->task != EVAL_FREQUENT)
				alone &= n == 1;
		}
	}
	ok(same(&a, &b), "the same seed gives the same lines and questions");
	ok(!same(&a, &c), "another seed gives others");
	ok(a.n == 8 * 20 + 4 && of[EVAL_HOP] == 20 && of[EVAL_FREQUENT] == 4, "so many of each task");
	ok(once, "every right answer stands in the text, line by line, once");
	ok(often, "the most frequent value stands there 16 times of 31");
	ok(four, "a name with four values has four lines");
	ok(alone, "every other name has one line");
	eval_set_release(&a);
	eval_set_release(&b);
	eval_set_release(&c);
}

static void test_judge(void)
{
	struct eval_set s = make(ALL, 5, 3);
	bool right = true, wrong = false, empty = false;

	for (size_t i = 0; i < s.n; i++) {
		struct eval_question *q = &s.question[i];
		char *said[EVAL_MOST_TURN] = { 0 };

		for (size_t t = 0; t < q->n_turn; t++)
			said[t] = q->turn[t].gold;
		right &= eval_right(q, said);
		if (q->task == EVAL_MULTIVALUE) {
			said[0] = q->turn[3].gold;
			said[3] = q->turn[0].gold;
			right &= eval_right(q, said);
			said[3] = said[0];
			wrong |= eval_right(q, said);
		}
		said[q->n_turn - 1] = s.question[(i + 1) % s.n].turn[0].gold;
		wrong |= eval_right(q, said);
		said[q->n_turn - 1] = (char *)"";
		empty |= eval_right(q, said);
	}
	ok(right, "the truth is right, the four values in any order");
	ok(!wrong, "another question's answer is wrong, a value said twice too");
	ok(!empty, "so is none");
	eval_set_release(&s);
}

static void test_interval(void)
{
	double low, high;

	eval_interval(0, 0, &low, &high);
	ok(low == 0 && high == 1, "of nothing nothing is known");
	/* Wilson's interval, computed by hand from its formula. */
	eval_interval(400, 400, &low, &high);
	ok(fabs(low - 0.990488) < 1e-5 && fabs(high - 1) < 1e-12, "400 of 400: above 99 %%");
	eval_interval(81, 263, &low, &high);
	ok(fabs(low - 0.255289) < 1e-4 && fabs(high - 0.366169) < 1e-4, "81 of 263 as Newcombe 1998 has it");
}

static void write_text(const char *dir, int i, size_t n)
{
	struct buf b = { 0 };
	char name[32];
	char *path;
	struct err e;

	for (size_t k = 0; k < n; k++)
		buf_addf(&b, "file %d says on line %zu that %zu\n", i, k, k * 7919 % 10007);
	snprintf(name, sizeof(name), "f%d.txt", i);
	path = path_join(dir, name);
	if (!path || file_write_atomic(path, b.data, b.len, &e))
		exit(99);
	free(path);
	buf_release(&b);
}

/* All documents of a haystack in one text. */
static void read_all(const char *dir, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		char name[32];
		char *path;
		struct err e;

		snprintf(name, sizeof(name), "%06zu.txt", i);
		path = path_join(dir, name);
		if (!path || file_read(out, path, 1 << 24, &e))
			exit(99);
		free(path);
	}
}

static void test_hay(void)
{
	char *from = strdup(temp_path("from")), *a = strdup(temp_path("a")), *b = strdup(temp_path("b"));
	const char *paths[] = { from };
	struct eval_set s = make(1u << EVAL_SINGLE | 1u << EVAL_VARIABLE, 10, 5);
	struct eval_hay h = { .path = paths, .n_path = 1, .n_token = 20000, .line = s.line, .n_line = s.n_line,
			      .seed = 9 };
	struct eval_hay_result ra, rb;
	struct buf x = { 0 }, y = { 0 };
	struct gguf *g;
	struct tok *tok;
	uint64_t n = 0;
	bool each = true;
	struct err e;

	mkdir(from, 0777);
	mkdir(a, 0777);
	mkdir(b, 0777);
	for (int i = 0; i < 8; i++)
		write_text(from, i, 200 + 20 * (size_t)i);
	tiny_model(temp_path("tiny.gguf"), 7);
	if (gguf_open(&g, temp_path("tiny.gguf"), &e) || tok_open(&tok, g, &e))
		exit(99);
	ok(!eval_hay_write(a, &h, tok, &ra, &e) && !eval_hay_write(b, &h, tok, &rb, &e), "a haystack is written");
	read_all(a, ra.n_file, &x);
	read_all(b, rb.n_file, &y);
	ok(x.len == y.len && !memcmp(x.data, y.data, x.len), "the same twice");
	ok(!tok_count(tok, x.data, x.len, &n, &e) && n <= 20000 && n > 19000, "as long as asked, to a line");
	for (size_t i = 0; i < s.n_line; i++) {
		const char *at = strstr(x.data, s.line[i]);

		each &= at && (at == x.data || at[-1] == '\n') && !strstr(at + 1, s.line[i]);
	}
	ok(each, "every line is planted once, as a line");
	h.n_token = 10000000;
	ok(eval_hay_write(b, &h, tok, &rb, &e) == ERR_NOTFOUND && strstr(e.msg, "10000000") == NULL,
	      "too little text is said");
	h.n_token = 100;
	ok(eval_hay_write(b, &h, tok, &rb, &e) == ERR_BUDGET, "so are too many lines for a short one");
	paths[0] = "/nowhere/at/all";
	ok(eval_hay_write(b, &h, tok, &rb, &e) == ERR_NOTFOUND && strstr(e.msg, "/nowhere"), "and a path that is none");
	tok_close(tok);
	gguf_close(g);
	buf_release(&x);
	buf_release(&y);
	eval_set_release(&s);
	free(from);
	free(a);
	free(b);
}

int main(void)
{
	test_sets();
	test_judge();
	test_interval();
	test_hay();
	return done();
}
