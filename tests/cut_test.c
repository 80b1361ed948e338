/* Covers ingest/cut.h, invariants (1) to (5), on text made by a small generator. */
#include "config.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/utf8.h"
#include "ingest/cut.h"
#include "tests/check.h"

#include <string.h>

static uint64_t seed = 1;

static uint32_t chance(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static void add_word(struct buf *b)
{
	for (uint32_t i = 1 + chance(9); i; i--)
		buf_addc(b, (char)('a' + chance(26)));
}

/* Something like source: functions of some lines, blank lines between, braces. */
static void add_code(struct buf *b, size_t n)
{
	while (b->len < n) {
		add_word(b);
		buf_adds(b, "(void)\n{\n");
		for (uint32_t i = 1 + chance(40); i; i--) {
			buf_adds(b, chance(4) ? "\t" : "\t\t");
			for (uint32_t w = 1 + chance(8); w; w--) {
				add_word(b);
				buf_addc(b, ' ');
			}
			buf_adds(b, chance(9) ? ";\n" : ";\n\n");
		}
		buf_adds(b, "}\n\n");
	}
}

/* Sentences without a line end anywhere. */
static void add_prose(struct buf *b, size_t n)
{
	while (b->len < n) {
		for (uint32_t w = 3 + chance(20); w; w--) {
			add_word(b);
			buf_adds(b, w > 1 ? " " : ". ");
		}
	}
}

struct kept {
	struct document d;
	struct spans s;
};

static int cut(struct kept *k, uint32_t min, uint32_t max)
{
	struct cut_opt opt = { .min_tokens = min, .max_tokens = max };

	k->s.n = 0;
	return cut_document(&k->d, &opt, &k->s, NULL);
}

static void release(struct kept *k)
{
	doc_release(&k->d);
	free(k->s.span);
	*k = (struct kept){ 0 };
}

/* Invariants (1) to (3) for what is there. */
static bool holds(const struct kept *k, uint32_t min, uint32_t max)
{
	const char *s = k->d.text.data;
	uint64_t at = 0;

	for (size_t i = 0; i < k->s.n; i++) {
		const struct span *p = &k->s.span[i];

		if (p->at != at || p->end <= p->at || p->tokens > max ||
		    (k->s.n > 1 && p->tokens < min)) {
			printf("# span %zu of %zu: %zu to %zu, %zu tokens\n", i, k->s.n, (size_t)p->at,
			       (size_t)p->end, (size_t)p->tokens);
			return false;
		}
		if (utf8_check(s + p->at, p->end - p->at) != p->end - p->at)
			return false;
		at = p->end;
	}
	return at == k->d.text.len;
}

static bool at_line_ends(const struct kept *k)
{
	for (size_t i = 0; i + 1 < k->s.n; i++)
		if (k->d.text.data[k->s.span[i].end - 1] != '\n')
			return false;
	return true;
}

/* How many spans of a are not, byte for byte, among those of b. */
static size_t n_new(const struct kept *a, const struct kept *b)
{
	size_t n = 0, cap = 4 * b->s.n + 4;
	struct sum128 *set = calloc(cap, sizeof(*set));

	for (size_t i = 0; i < b->s.n; i++) {
		struct sum128 h = sum128_of(b->d.text.data + b->s.span[i].at,
					    b->s.span[i].end - b->s.span[i].at);
		size_t slot = h.lo % cap;

		while (set[slot].lo)
			slot = (slot + 1) % cap;
		set[slot] = h;
	}
	for (size_t i = 0; i < a->s.n; i++) {
		struct sum128 h = sum128_of(a->d.text.data + a->s.span[i].at,
					    a->s.span[i].end - a->s.span[i].at);
		size_t slot = h.lo % cap;

		while (set[slot].lo && !sum128_eq(set[slot], h))
			slot = (slot + 1) % cap;
		n += !set[slot].lo;
	}
	free(set);
	return n;
}

static void test_bounds(void)
{
	static const uint32_t limit[][2] = { { 4, 16 }, { 5, 17 }, { 16, 64 }, { 64, 200 }, { 256, 1024 },
					     { 384, 1408 }, { 0, 8000 } };
	struct kept k = { 0 };
	bool good;

	for (size_t i = 0; i < ARRAY_LEN(limit); i++) {
		uint32_t min = limit[i][0] ? limit[i][0] : limit[i][1] / 4, max = limit[i][1];

		add_code(&k.d.text, 200000);
		good = !cut(&k, limit[i][0], max) && holds(&k, min, max);
		ok(good, "code in %u to %u tokens: %zu spans", min, max, k.s.n);
		if (min >= 64)
			ok(at_line_ends(&k), "cut at line ends");
		release(&k);
		add_prose(&k.d.text, 200000);
		good = !cut(&k, limit[i][0], max) && holds(&k, min, max);
		ok(good, "one line in %u to %u: %zu spans", min, max, k.s.n);
		release(&k);
	}
	ok(!cut(&k, 4, 16) && k.s.n == 0, "no text, no span");
	buf_adds(&k.d.text, "x");
	ok(!cut(&k, 4, 16) && k.s.n == 1 && holds(&k, 1, 16), "one letter, one span");
	ok(cut(&k, 8, 20) == ERR_INVALID && cut(&k, 0, 8) == ERR_INVALID, "limits that cannot hold");
	release(&k);
}

static void test_places(void)
{
	struct kept k = { 0 };
	size_t n_good = 0;

	add_code(&k.d.text, 300000);
	cut(&k, 256, 1024);
	for (size_t i = 1; i < k.s.n; i++)
		n_good += k.d.text.data[k.s.span[i].at] != '\t' && k.d.text.data[k.s.span[i].at] != '\n';
	ok(n_good == k.s.n - 1, "code is cut between functions (%zu of %zu)", n_good, k.s.n - 1);
	release(&k);
	for (int i = 0; i < 200; i++) {
		if (i % 4 == 0)
			doc_anchor(&k.d, ANCHOR_HEADING, 1, k.d.text.len, "h", NULL);
		for (int w = 0; w < 60; w++) {
			add_word(&k.d.text);
			buf_addc(&k.d.text, ' ');
		}
		buf_adds(&k.d.text, "\n\n");
	}
	doc_finish(&k.d);
	cut(&k, 64, 600);
	n_good = 0;
	for (size_t i = 1; i < k.s.n; i++)
		for (size_t a = 0; a < k.d.n_anchor; a++)
			n_good += k.d.anchor[a].at == k.s.span[i].at;
	ok(n_good == k.s.n - 1, "and at headings before paragraphs (%zu of %zu)", n_good, k.s.n - 1);
	release(&k);
}

/* Invariant that makes updates cheap: an edit changes the spans it touches and their neighbours. */
static void test_edits(bool one_line)
{
	size_t total = 0, most = 0, n_edit = 400;
	struct kept a = { 0 }, b = { 0 };

	if (one_line)
		add_prose(&a.d.text, 300000);
	else
		add_code(&a.d.text, 300000);
	cut(&a, 256, 1024);
	for (size_t i = 0; i < n_edit; i++) {
		size_t at = chance((uint32_t)a.d.text.len), k;

		if (!one_line)
			while (at && a.d.text.data[at - 1] != '\n')
				at--;
		buf_add(&b.d.text, a.d.text.data, at);
		if (one_line)
			buf_adds(&b.d.text, " inserted words ");
		else
			buf_addf(&b.d.text, "\tinserted = line_%zu;\n", i);
		buf_add(&b.d.text, a.d.text.data + at, a.d.text.len - at);
		cut(&b, 256, 1024);
		k = n_new(&b, &a);
		total += k;
		most = MAX(most, k);
		release(&b);
	}
	ok(most <= 4 && total <= n_edit + n_edit / 4,
	   "%s: %zu insertions changed %zu spans, %zu at most, of %zu", one_line ? "one line" : "code",
	   n_edit, total, most, a.s.n);
	release(&a);
}

static void test_same(void)
{
	struct kept a = { 0 }, b = { 0 };
	bool good;

	add_code(&a.d.text, 100000);
	buf_add(&b.d.text, a.d.text.data, a.d.text.len);
	doc_anchor(&b.d, ANCHOR_SYMBOL, 0, 500, "f", "function");
	cut(&a, 256, 1024);
	cut(&b, 256, 1024);
	good = a.s.n == b.s.n && !memcmp(a.s.span, b.s.span, a.s.n * sizeof(*a.s.span));
	ok(good, "the same text gives the same spans, with symbols or without");
	cut(&a, 256, 1024);
	ok(a.s.n == b.s.n && !memcmp(a.s.span, b.s.span, a.s.n * sizeof(*a.s.span)), "every time");
	release(&a);
	release(&b);
}

static void test_hard(void)
{
	static const struct { const char *piece, *what; } hard[] = {
		{ "a", "one letter, five million times" }, { "\n", "empty lines" },
		{ "}\n", "the same line" }, { "\xe5\xad\x97", "a three-byte character" },
		{ "\xf0\x9f\x90\x9a", "a four-byte one" }, { " ", "blanks" }, { ". ", "full stops" },
		{ "x,y;{}", "minified code" }
	};
	struct kept k = { 0 };
	bool good;

	for (size_t i = 0; i < ARRAY_LEN(hard); i++) {
		double t = clock_now();

		while (k.d.text.len < 5000000)
			buf_adds(&k.d.text, hard[i].piece);
		good = !cut(&k, 256, 1024) && holds(&k, 256, 1024);
		t = clock_now() - t;
		ok(good && t < 20, "%s: %zu spans in %.2f s", hard[i].what, k.s.n, t);
		release(&k);
	}
}

int main(void)
{
	test_bounds();
	test_places();
	test_edits(false);
	test_edits(true);
	test_same();
	test_hard();
	return done();
}
