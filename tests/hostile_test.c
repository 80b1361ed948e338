/* Files made to hurt: each costs itself, with a reason, and the next one is read as if nothing had
 * happened.  What bombs may use is lowered, so that the test is quick; the defaults only differ in
 * the figures. */
#include "config.h"

#include "base/clock.h"
#include "ingest/extract.h"
#include "tests/check.h"
#include "tests/zip.h"

#include <string.h>

static struct extractor *x;
static struct err err;
static struct document d;

static char came_out[700];	/* what take() gave and how long it took, for the test's own words */

static int take(const char *name, const void *bytes, size_t n)
{
	double t = clock_now();
	int rc;

	doc_release(&d);
	err.msg[0] = '\0';
	rc = extract(x, name, bytes, n, &d, &err);
	if (!rc && d.kind == DOC_CODE)
		rc = extract_symbols(x, name, &d, &err);
	t = clock_now() - t;
	if (rc)
		snprintf(came_out, sizeof(came_out), "%s, %.1f s", err.msg, t);
	else
		snprintf(came_out, sizeof(came_out), "%zu bytes, %zu anchors, %.1f s%s%.*s", d.text.len,
			 d.n_anchor, t, d.notes.len ? ", note: " : "", (int)d.notes.len,
			 d.notes.len ? d.notes.data : "");
	return rc;
}

static bool noted(const char *what)
{
	return d.notes.len && strstr(d.notes.data, what);
}

static bool still_alive(void)
{
	static const char page[] = "<title>t</title><p>Still here.";

	return !take("a.html", page, sizeof(page) - 1) && !strcmp(d.text.data, "t\n\nStill here.\n");
}

static void repeat(struct buf *b, const char *s, size_t n)
{
	while (n--)
		buf_adds(b, s);
}

static void test_pages(void)
{
	static const char *const nest[] = { "<div>", "<b>", "<svg><td>", "<table><td>", "<a href=x>",
					    "<ruby><rt>", "<font color=red>", "<button>" };
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof(nest) / sizeof(*nest); i++) {
		int rc;

		buf_clear(&b);
		buf_adds(&b, "<p>first</p>");
		repeat(&b, nest[i], 300000);
		buf_adds(&b, "deep");
		rc = take("deep.html", b.data, b.len);
		ok((!rc && strstr(d.text.data, "first") && noted("nested")) || rc == ERR_CORRUPT,
		   "300,000 %s: %s", nest[i], came_out);
	}
	buf_clear(&b);
	repeat(&b, "<!--", 200000);
	ok(!take("a.html", b.data, b.len) || err.msg[0], "comments that never end");
	buf_clear(&b);
	repeat(&b, "<a b=\"", 200000);
	ok(!take("a.html", b.data, b.len) || err.msg[0], "quotes that never end");
	buf_clear(&b);
	buf_adds(&b, "<p ");
	for (int i = 0; i < 20000; i++)
		buf_addf(&b, "a%d=1 ", i);
	buf_adds(&b, ">text");
	ok(!take("a.html", b.data, b.len) || err.msg[0], "20,000 attributes: %s", came_out);
	buf_clear(&b);
	repeat(&b, "<b><p>", 100);
	repeat(&b, "</b>", 5000);
	ok(!take("a.html", b.data, b.len) || err.msg[0], "tags that cross");
	ok(still_alive(), "and the next page is read");
	buf_release(&b);
}

static void test_markdown(void)
{
	static const char *const piece[] = { "> ", "* ", "[", "![a](", "**a ", "<a ", "`" };
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof(piece) / sizeof(*piece); i++) {
		buf_clear(&b);
		buf_adds(&b, "# One\n\n");
		repeat(&b, piece[i], 50000);
		buf_adds(&b, "\n\n# Two\n");
		ok(!take("a.md", b.data, b.len) && d.text.len == b.len &&
		   (d.n_anchor == 2 || noted("headings not found") || d.n_anchor == 1),
		   "50,000 %s: the text stays: %s", piece[i], came_out);
	}
	buf_release(&b);
}

static void test_notebooks(void)
{
	static const char wrong[] = "{\"cells\":[{\"cell_type\":\"code\",\"source\":[1,{}],\"outputs\":3}]}";
	struct buf b = { 0 };

	repeat(&b, "{\"cells\":[", 1);
	repeat(&b, "[", 500000);
	ok(take("a.ipynb", b.data, b.len) == ERR_CORRUPT, "deep JSON: %s", err.msg);
	ok(take("a.ipynb", "{\"cells\":7}", 11) || d.text.len == 0, "cells that are none");
	ok(take("a.ipynb", "{}", 2) == ERR_CORRUPT, "no notebook: %s", err.msg);
	ok(!take("a.ipynb", wrong, sizeof(wrong) - 1) && d.n_anchor == 1, "a cell of the wrong types");
	ok(take("a.ipynb", "{\"cells\": [", 11) == ERR_CORRUPT, "cut short: %s", err.msg);
	buf_release(&b);
}

static const char CONTAINER[] =
	"<container><rootfiles><rootfile full-path='book.opf'/></rootfiles></container>";

static void test_epubs(void)
{
	static const char opf[] =
		"<package><manifest><item id='a' href='a.xhtml'/><item id='b' href='../../etc/passwd'/>"
		"<item id='c' href='/a.xhtml'/><item id='d' href='file:///etc/passwd'/></manifest>"
		"<spine><itemref idref='a'/><itemref idref='b'/><itemref idref='d'/></spine></package>";
	struct zip z;
	size_t good = 0, bad = 0;

	zip_begin(&z, 4 << 20);
	zip_add(&z, "META-INF/container.xml", CONTAINER, 0);
	zip_add(&z, "book.opf", opf, 0);
	zip_add(&z, "../../etc/passwd.html", "<p>outside</p>", 0);
	zip_add(&z, "a.xhtml", "<html><body><p>inside</p></body></html>", 0);
	zip_end(&z);
	ok(!take("a.epub", z.mem, z.len) && !strcmp(d.text.data, "inside\n") &&
	   noted("2 of 3 files of the spine are missing"), "paths that lead out are not followed");
	for (size_t n = 0; n < z.len; n += 7) {
		int rc = take("a.epub", z.mem, n);

		good += !rc;
		bad += rc == ERR_CORRUPT || rc == ERR_MISMATCH;
	}
	ok(good + bad == (z.len + 6) / 7, "cut short anywhere: %zu read in part, %zu refused", good, bad);
	for (size_t n = 0; n < z.len; n += 3) {
		z.mem[n] ^= 0x55;
		take("a.epub", z.mem, z.len);
		z.mem[n] ^= 0x55;
	}
	ok(still_alive(), "a damaged byte anywhere: the next file is read");
	free(z.mem);

	zip_begin(&z, 4 << 20);
	zip_add(&z, "META-INF/container.xml", CONTAINER, 0);
	zip_add(&z, "book.opf", opf, 0);
	zip_add(&z, "a.xhtml", "<p>0123456789</p>", 300u << 20);
	zip_end(&z);
	ok(take("bomb.epub", z.mem, z.len) == ERR_CORRUPT, "%zu KiB that unpack to 300 MiB: %s",
	   z.len >> 10, err.msg);
	free(z.mem);

	zip_begin(&z, 16 << 20);
	for (int i = 0; i < 20100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%d.html", i);
		zip_add(&z, name, "x", 0);
	}
	zip_end(&z);
	ok(take("many.epub", z.mem, z.len) == ERR_CORRUPT, "20,100 members: %s", err.msg);
	free(z.mem);

	zip_begin(&z, 1 << 20);
	zip_add(&z, "META-INF/container.xml", CONTAINER, 0);
	zip_add(&z, "META-INF/encryption.xml", "<encryption><EncryptedData><CipherData><CipherReference "
		"URI='a.xhtml'/></CipherData></EncryptedData></encryption>", 0);
	zip_add(&z, "book.opf", opf, 0);
	zip_add(&z, "a.xhtml", "\x8a\x01\x77", 0);
	zip_end(&z);
	ok(take("locked.epub", z.mem, z.len) == ERR_CORRUPT && strstr(err.msg, "DRM"), "a locked book: %s",
	   err.msg);
	free(z.mem);
}

static void test_docx(void)
{
	static const char body[] = "<w:document xmlns:w='w'><w:body>%s</w:body></w:document>";
	struct buf b = { 0 }, xml = { 0 };
	struct zip z;

	buf_adds(&b, "<!DOCTYPE x [<!ENTITY a 'ha'>");
	for (char c = 'b'; c <= 'l'; c++)
		buf_addf(&b, "<!ENTITY %c '&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;&%c;'>", c, c - 1, c - 1,
			 c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
	buf_adds(&b, "]><w:document xmlns:w='w'><w:body><w:p><w:r><w:t>&l;</w:t></w:r></w:p>"
		 "</w:body></w:document>");
	zip_begin(&z, 1 << 20);
	zip_add(&z, "word/document.xml", b.data, 0);
	zip_end(&z);
	ok(take("a.docx", z.mem, z.len) == ERR_CORRUPT, "entities that multiply: %s", err.msg);
	free(z.mem);

	buf_clear(&b);
	buf_adds(&b, "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><w:document xmlns:w='w'>"
		 "<w:body><w:p><w:r><w:t>&a;</w:t></w:r></w:p></w:body></w:document>");
	zip_begin(&z, 1 << 20);
	zip_add(&z, "word/document.xml", b.data, 0);
	zip_end(&z);
	ok(take("a.docx", z.mem, z.len) == ERR_CORRUPT && !d.text.data, "an entity from a file: %s",
	   err.msg);
	free(z.mem);

	buf_clear(&b);
	repeat(&b, "<w:p>", 100000);
	buf_addf(&xml, body, b.data);
	zip_begin(&z, 4 << 20);
	zip_add(&z, "word/document.xml", xml.data, 0);
	zip_end(&z);
	take("a.docx", z.mem, z.len);
	ok(still_alive(), "100,000 paragraphs in each other: the next file is read");
	free(z.mem);
	buf_release(&b);
	buf_release(&xml);
}

/* A PDF of one stream of content, and objects of our own behind it. */
static void make_pdf(struct buf *b, const char *pages, const char *more, const char *trailer)
{
	buf_clear(b);
	buf_addf(b, "%%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n%s\n%s\n"
		 "trailer << /Root 1 0 R /Size 9 %s >>\n%%%%EOF\n", pages, more, trailer);
}

static void test_pdfs(void)
{
	static const char font[] =
		"<< /Font << /F 5 0 R >> /XObject << /X 6 0 R >> >>";
	struct buf b = { 0 }, kids = { 0 }, more = { 0 };
	int rc;

	if (!extract_pdftotext(x))
		return;
	make_pdf(&b, "2 0 obj << /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >> endobj", "", "");
	rc = take("a.pdf", b.data, b.len);
	ok(rc == ERR_CORRUPT, "a page tree that contains itself: %s", err.msg);
	make_pdf(&b, "2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj",
		 "3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >> endobj\n"
		 "4 0 obj << /Length 0 >> stream\n\nendstream endobj",
		 "/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O (aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) "
		 "/U (bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb) >> /ID [(c) (c)]");
	rc = take("a.pdf", b.data, b.len);
	ok(rc == ERR_CORRUPT && strstr(err.msg, "password"), "an encrypted one: %s", err.msg);
	ok(take("a.pdf", b.data, 40) == ERR_CORRUPT, "one cut short: %s", err.msg);
	ok(take("a.pdf", "%PDF-1.7\n", 9) == ERR_CORRUPT, "a head and nothing: %s", err.msg);

	buf_addf(&more, "3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R "
		 "/Resources %s >> endobj\n4 0 obj << /Length 5 >> stream\n/X Do\nendstream endobj\n"
		 "6 0 obj << /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources %s /Length 11 >> "
		 "stream\n/X Do /X Do\nendstream endobj\n"
		 "5 0 obj << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> endobj\n", font, font);
	make_pdf(&b, "2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj", more.data, "");
	rc = take("a.pdf", b.data, b.len);
	ok(rc == ERR_CORRUPT, "a form that draws itself: %s", came_out);

	/* One page whose content is the same stream twenty thousand times: gigabytes of text. */
	buf_clear(&more);
	buf_clear(&kids);
	repeat(&kids, "4 0 R ", 20000);
	buf_addf(&more, "3 0 obj << /Type /Page /Parent 2 0 R /MediaBox [0 0 900 900] /Contents [%s] "
		 "/Resources %s >> endobj\n4 0 obj << /Length 150033 >> stream\nBT /F 9 Tf 20 800 Td\n",
		 kids.data, font);
	repeat(&more, "(a b) Tj 3 -1 Td", 9375);
	buf_adds(&more, " ET\nendstream endobj\n5 0 obj << /Type /Font /Subtype /Type1 /BaseFont "
		 "/Helvetica >> endobj\n");
	make_pdf(&b, "2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj", more.data, "");
	rc = take("a.pdf", b.data, b.len);
	ok(rc == ERR_CORRUPT && strstr(err.msg, "pdf extractor"), "%zu KiB without end: %s", b.len >> 10,
	   came_out);
	ok(still_alive(), "and the next file is read");
	buf_release(&b);
	buf_release(&kids);
	buf_release(&more);
}

static void test_symbols(void)
{
	struct buf b = { 0 };

	repeat(&b, "#if X\nint f(int a) { {", 60000);
	ok(!take("a.c", b.data, b.len), "60,000 open braces: %s", came_out);
	buf_clear(&b);
	repeat(&b, "x", 5000000);
	ok(!take("a.py", b.data, b.len), "5 MB on one line: %s", came_out);
	ok(!take("b.c", "int g(void) { }\n", 16) && (!extract_ctags(x) || d.n_anchor == 1),
	   "and the next file has its symbols");
	buf_release(&b);
}

static void test_text(void)
{
	struct buf b = { 0 };

	repeat(&b, "A line of text as there are many in a file of a hundred megabytes.\n", 1500000);
	ok(!take("big.txt", b.data, b.len) && d.text.len == b.len, "100 MB of text: %s", came_out);
	buf_release(&b);
}

int main(void)
{
	struct extract_opt opt = { .cpu_seconds = 2, .wall_seconds = 120 };

	if (extractor_new(&x, &opt, &err))
		skip_all(err.msg);
	if (take("a.html", "<p>x", 4) == ERR_NOTFOUND)
		skip_all(err.msg);
	test_pages();
	test_markdown();
	test_notebooks();
	test_epubs();
	test_docx();
	test_pdfs();
	test_symbols();
	test_text();
	doc_release(&d);
	extractor_free(x);
	return done();
}
