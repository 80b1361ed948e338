/* Covers ingest/extract.h on samples/: what each format comes out as, and its anchors.  The text of
 * the EPUB and of the page is book.txt itself; the rest is in tests/vectors/extract/. */
#include "config.h"

#include "base/file.h"
#include "ingest/extract.h"
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

static struct extractor *x;
static struct err err;

static void read_source(const char *name, struct buf *out)
{
	const char *top = getenv("srcdir");
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
	if (file_read(out, path, 1 << 20, &err)) {
		printf("Bail out! %s\n", err.msg);
		exit(99);
	}
}

/* Extract a sample; false, and said, when that fails. */
static bool take(const char *name, struct document *d)
{
	char path[100];
	struct buf b = { 0 };
	int rc;

	snprintf(path, sizeof(path), "samples/%s", name);
	read_source(path, &b);
	rc = extract(x, name, b.data, b.len, d, &err);
	if (rc)
		printf("# %s: %s\n", name, err.msg);
	buf_release(&b);
	return !rc;
}

static bool same(const struct document *d, const char *expected)
{
	struct buf b = { 0 };
	bool good;

	read_source(expected, &b);
	good = b.len == d->text.len && !memcmp(b.data, d->text.data, b.len);
	buf_release(&b);
	return good;
}

/* Is there an anchor of this kind, number and title, and does this text begin there? */
static bool anchored(const struct document *d, enum anchor_kind kind, uint32_t number,
		     const char *title, const char *text)
{
	for (size_t i = 0; i < d->n_anchor; i++) {
		const struct anchor *a = &d->anchor[i];

		if (a->kind == kind && a->number == number && !strcmp(doc_name(d, a->title), title))
			return !strncmp(d->text.data + a->at, text, strlen(text));
	}
	return false;
}

static void test_books(void)
{
	struct document d = { 0 };

	ok(take("book.txt", &d) && d.kind == DOC_TEXT && same(&d, "samples/book.txt"),
	   "text is itself");
	doc_release(&d);
	ok(take("book.html", &d) && d.kind == DOC_HTML && same(&d, "samples/book.txt"),
	   "a page comes out as its text");
	ok(d.n_anchor == 4 && anchored(&d, ANCHOR_HEADING, 2, "The Bell", "The Bell\n\nThe bell hung"),
	   "with its headings");
	doc_release(&d);
	ok(take("book.epub", &d) && d.kind == DOC_EPUB && same(&d, "samples/book.txt"),
	   "so does an EPUB, in spine order");
	ok(anchored(&d, ANCHOR_CHAPTER, 1, "The Keeper", "The Lighthouse") &&
	   anchored(&d, ANCHOR_CHAPTER, 2, "The Bell", "The Bell\n") &&
	   anchored(&d, ANCHOR_CHAPTER, 3, "The Ledger", "The Ledger\n"),
	   "with the chapters of its contents, also inside a file");
	doc_release(&d);
	ok(take("book.docx", &d) && d.kind == DOC_DOCX &&
	   same(&d, "tests/vectors/extract/book.docx.txt"), "a DOCX has its footnote at the end");
	ok(d.n_anchor == 4 && anchored(&d, ANCHOR_HEADING, 1, "The Lighthouse at Orrin Bay", "The L") &&
	   anchored(&d, ANCHOR_HEADING, 2, "The Ledger", "The Ledger\n\nAfter"),
	   "and headings by the names its styles are based on");
	doc_release(&d);
	ok(take("book.md", &d) && d.kind == DOC_MARKDOWN && same(&d, "samples/book.md"),
	   "Markdown is itself");
	ok(d.n_anchor == 5 && anchored(&d, ANCHOR_HEADING, 2, "The Keeper", "## The Keeper\n") &&
	   anchored(&d, ANCHOR_HEADING, 2, "Underlined", "Underlined\n---"),
	   "with headings of both kinds, none from code");
	doc_release(&d);
}

static void test_notebook(void)
{
	struct document d = { 0 };

	ok(take("book.ipynb", &d) && d.kind == DOC_NOTEBOOK && !strcmp(d.language, "python") &&
	   same(&d, "tests/vectors/extract/book.ipynb.txt"), "a notebook is its cells and text outputs");
	ok(anchored(&d, ANCHOR_CELL, 2, "code", "```python\nrings") &&
	   anchored(&d, ANCHOR_CELL, 3, "markdown", "## The Bell") &&
	   anchored(&d, ANCHOR_HEADING, 2, "The Bell", "## The Bell"), "with cells and headings");
	ok(d.notes.len && !strcmp(d.notes.data, "1 image left out"), "images are counted");
	doc_release(&d);
}

static void test_pdf(void)
{
	struct document d = { 0 };

	if (!extract_pdftotext(x)) {
		printf("# no pdftotext: PDF not tested\n");
		return;
	}
	ok(take("book.pdf", &d) && d.kind == DOC_PDF && same(&d, "tests/vectors/extract/book.pdf.txt"),
	   "a PDF is its pages' text");
	ok(anchored(&d, ANCHOR_PAGE, 2, "", "The Bell\n") && anchored(&d, ANCHOR_PAGE, 4, "", "The Led"),
	   "with page numbers");
	ok(d.notes.len && strstr(d.notes.data, "no text layer on 1 of 4 pages (scanned?): 3"),
	   "a page without text is told");
	doc_release(&d);
}

static void test_code(void)
{
	static const char C[] =
		"#include <stdio.h>\n\nstruct lamp {\n\tint oil;\n};\n\n"
		"static int burn(struct lamp *l, int hours)\n{\n\treturn l->oil -= hours;\n}\n";
	static const char PY[] = "#!/usr/bin/env python3\ndef f(a):\n    pass\n";
	struct document d = { 0 };
	const struct anchor *a;

	ok(!extract(x, "src/lamp.c", C, strlen(C), &d, &err) && d.kind == DOC_CODE &&
	   !strcmp(d.language, "C") && d.text.len == strlen(C), "code is itself");
	if (extract_ctags(x)) {
		ok(!extract_symbols(x, "src/lamp.c", &d, &err) &&
		   anchored(&d, ANCHOR_SYMBOL, 0, "burn", "static int burn"), "with its symbols");
		a = doc_anchor_at(&d, ANCHOR_SYMBOL, (uint64_t)(strstr(C, "return") - C));
		ok(a && !strcmp(doc_name(&d, a->title), "burn") &&
		   !strcmp(doc_name(&d, a->detail), "function(struct lamp * l,int hours) -> int"),
		   "a line belongs to its function: %s", a ? doc_name(&d, a->detail) : "none");
		ok(anchored(&d, ANCHOR_SYMBOL, 0, "lamp.oil", "\tint oil"), "members have their scope");
	}
	doc_release(&d);
	for (int i = 0; i < 50; i++) {
		if (extract(x, "tool", PY, sizeof(PY) - 1, &d, &err) ||
		    strcmp(d.language, "Python") || extract_symbols(x, "tool", &d, &err) ||
		    (extract_ctags(x) && !anchored(&d, ANCHOR_SYMBOL, 0, "f", "def f"))) {
			ok(0, "fifty files in a row have symbols (%d)", i);
			break;
		}
		doc_release(&d);
	}
	doc_release(&d);
}

static void test_detect(void)
{
	static const struct { const char *name, *bytes; enum doc_kind kind; } pair[] = {
		{ "a.txt", "hello", DOC_TEXT }, { "README", "hello", DOC_TEXT },
		{ "a.c", "int x;", DOC_CODE }, { "Makefile", "all:", DOC_CODE },
		{ "run", "#!/bin/sh\n", DOC_CODE }, { "a.md", "# x", DOC_MARKDOWN },
		{ "a.html", "<p>", DOC_HTML }, { "page", "<!DOCTYPE html><p>", DOC_HTML },
		{ "a.php", "<html><?php", DOC_CODE }, { "x", "%PDF-1.4", DOC_PDF },
		{ "a.pdf", "junk %PDF-1.4", DOC_PDF }, { "a.ipynb", " {}", DOC_NOTEBOOK },
		{ "a.ipynb", "text", DOC_TEXT }, { "dir.c/a", "x", DOC_TEXT }, { "a.xml", "<a/>", DOC_CODE },
	};

	for (size_t i = 0; i < sizeof(pair) / sizeof(*pair); i++)
		ok(extract_detect(pair[i].name, pair[i].bytes, strlen(pair[i].bytes)) == pair[i].kind,
		   "%s is %s", pair[i].name, doc_kind_name(pair[i].kind));
	ok(!strcmp(extract_language("x.C", "", 0), "C++") &&
	   !strcmp(extract_language("x.c", "", 0), "C") &&
	   !strcmp(extract_language("config.h.in", "", 0), "C") &&
	   !strcmp(extract_language("x.in", "", 0), "") &&
	   !strcmp(extract_language("x", "#!/usr/bin/env -S python3.11 -u\n", 32), "Python") &&
	   !strcmp(extract_language("x.PY", "", 0), "Python") &&
	   !strcmp(extract_language("notes", "", 0), ""), "languages by ending and by #! line");
}

static void test_text(void)
{
	struct document d = { 0 };

	ok(!extract(x, "a.txt", "\xff\xfeh\0i\0\r\0\n\0", 10, &d, &err) &&
	   !strcmp(d.text.data, "hi\r\n") && !strcmp(d.encoding, "UTF-16LE") && d.notes.len,
	   "UTF-16 is converted and said so");
	doc_release(&d);
	ok(!extract(x, "a.html", "<meta charset=koi8-r><p>\xe1\xe2\xe3", 27, &d, &err) &&
	   !strcmp(d.text.data, "АБЦ\n") && !strcmp(d.encoding, "KOI8-R"), "a page names its encoding");
	doc_release(&d);
	ok(extract(x, "a.bin", "a\0b", 3, &d, &err) == ERR_MISMATCH && !d.text.data, "binary: %s",
	   err.msg);
	ok(!extract(x, "empty", "", 0, &d, &err) && d.text.len == 0, "an empty file is a document");
	doc_release(&d);
	ok(!extract(x, "empty.html", "", 0, &d, &err) && d.text.len == 0, "an empty page, too");
	doc_release(&d);
}

int main(void)
{
	struct document d = { 0 };

	if (extractor_new(&x, NULL, &err))
		skip_all(err.msg);
	if (extract(x, "a.html", "<p>x", 4, &d, &err) == ERR_NOTFOUND)
		skip_all(err.msg);
	doc_release(&d);
	test_books();
	test_notebook();
	test_pdf();
	test_code();
	test_detect();
	test_text();
	extractor_free(x);
	return done();
}
