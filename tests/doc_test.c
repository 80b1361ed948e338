/* Covers ingest/doc.h: order and slugs of anchors, notes, the packed form and what it refuses. */
#include "config.h"

#include "ingest/doc.h"
#include "tests/check.h"

#include <string.h>

static void sample(struct document *d)
{
	buf_adds(&d->text, "# One\ntext\n# One\nÄ\n");
	doc_anchor(d, ANCHOR_HEADING, 1, 11, "One", NULL);
	doc_anchor(d, ANCHOR_HEADING, 1, 0, "One", NULL);
	doc_anchor(d, ANCHOR_PAGE, 1, 0, NULL, NULL);
	doc_anchor(d, ANCHOR_SYMBOL, 0, 6, "f", "function()");
	d->anchor[3].end = 11;
	d->kind = DOC_PDF;
	strcpy(d->language, "C");
	doc_note(d, "%d pages", 1);
	doc_note(d, "second");
	doc_note(d, "%d pages", 1);
	doc_finish(d);
}

static void test_order(void)
{
	struct document d = { 0 };

	sample(&d);
	ok(d.anchor[0].kind == ANCHOR_PAGE && d.anchor[1].kind == ANCHOR_HEADING &&
	   d.anchor[1].at == 0 && d.anchor[3].at == 11, "anchors are sorted, the outer one first");
	ok(!strcmp(doc_name(&d, d.anchor[1].detail), "one") &&
	   !strcmp(doc_name(&d, d.anchor[3].detail), "one-2"), "the second of a name gets a number");
	ok(!strcmp(d.notes.data, "1 pages\nsecond"), "a remark made twice is kept once");
	ok(doc_anchor_at(&d, ANCHOR_HEADING, 10) == &d.anchor[1] &&
	   doc_anchor_at(&d, ANCHOR_HEADING, 11) == &d.anchor[3], "a heading reaches to the next");
	ok(doc_anchor_at(&d, ANCHOR_SYMBOL, 10) && !doc_anchor_at(&d, ANCHOR_SYMBOL, 11),
	   "a symbol ends where it ends");
	ok(!doc_anchor_at(&d, ANCHOR_CELL, 5), "there is no cell");
	doc_release(&d);
}

static void test_slugs(void)
{
	static const char *const pair[][2] = {
		{ "Über den Wolken!", "über-den-wolken" }, { "a", "a" }, { "a", "a-2" },
		{ "a-2", "a-2-2" }, { "a", "a-3" }, { "???", "section" }, { "第一章", "第一章" },
		{ "snake_case v1.2", "snake_case-v12" }
	};
	struct document d = { 0 };
	char big[3000];
	int good = 0;

	for (size_t i = 0; i < sizeof(pair) / sizeof(*pair); i++)
		doc_anchor(&d, ANCHOR_HEADING, 2, i, pair[i][0], NULL);
	for (size_t i = 0; i + 2 < sizeof(big); i += 2)
		memcpy(big + i, "\xc3\xa9", 3);
	doc_anchor(&d, ANCHOR_HEADING, 2, 100, big, "x");
	doc_finish(&d);
	for (size_t i = 0; i < sizeof(pair) / sizeof(*pair); i++) {
		good += !strcmp(doc_name(&d, d.anchor[i].detail), pair[i][1]);
		if (strcmp(doc_name(&d, d.anchor[i].detail), pair[i][1]))
			printf("# %s\n", doc_name(&d, d.anchor[i].detail));
	}
	ok(good == 8, "slugs are lower case, any script, unique");
	ok(strlen(doc_name(&d, d.anchor[8].title)) == 1000, "a long title is cut between characters");
	doc_release(&d);
}

static void test_pack(void)
{
	struct document d = { 0 }, r = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	int refused = 0;

	sample(&d);
	ok(!doc_pack(&d, &b, &e) && !doc_unpack(&r, b.data, b.len, &e), "a document packs and unpacks");
	ok(r.text.len == d.text.len && !memcmp(r.text.data, d.text.data, d.text.len) &&
	   r.n_anchor == 4 && r.anchor[2].end == 11 && r.kind == DOC_PDF &&
	   !strcmp(r.language, "C") && !strcmp(r.notes.data, d.notes.data) &&
	   !strcmp(doc_name(&r, r.anchor[2].detail), "function()"), "and is the same");
	doc_release(&r);
	for (size_t n = 0; n < b.len; n++)
		refused += doc_unpack(&r, b.data, n, &e) == ERR_CORRUPT;
	ok(refused == (int)b.len, "every shorter form is refused");
	for (size_t i = 0; i < b.len; i++) {	/* must not crash; ASan watches */
		b.data[i] ^= 0x80;
		if (!doc_unpack(&r, b.data, b.len, &e))
			doc_release(&r);
		b.data[i] ^= 0x80;
	}
	b.data[104] = 0;
	ok(doc_unpack(&r, b.data, b.len, &e) == ERR_CORRUPT && !r.text.data, "NUL in text is refused");
	b.data[104] = (char)0xff;
	ok(doc_unpack(&r, b.data, b.len, &e) == ERR_CORRUPT, "broken UTF-8 is refused");
	buf_release(&b);
	doc_release(&d);
}

int main(void)
{
	test_order();
	test_slugs();
	test_pack();
	return done();
}
