/* Any bytes as a ZIP container, read as EPUB and as DOCX.  A first byte that is not "P" makes the
 * rest the XML or XHTML inside a good container, which chance would never build: bit 0 says of
 * which kind. */
#include "config.h"

#include "ingest/format.h"
#include "tests/zip.h"

#include <stdint.h>
#include <stdlib.h>

static void run(format_fn *fn, const void *data, size_t n)
{
	struct document d = { 0 }, back = { 0 };
	struct buf packed = { 0 };

	if (!fn(data, n, &d, NULL)) {
		doc_finish(&d);
		if (doc_pack(&d, &packed, NULL) || doc_unpack(&back, packed.data, packed.len, NULL))
			abort();
	}
	buf_release(&packed);
	doc_release(&back);
	doc_release(&d);
}

static void wrap(bool docx, const uint8_t *data, size_t n)
{
	static const char opf[] = "<package><manifest><item id='a' href='a.html'/><item id='n' "
		"href='a.html' properties='nav'/></manifest><spine><itemref idref='a'/></spine></package>";
	char *text = strndup((const char *)data, n);
	struct zip z;

	if (text && zip_begin(&z, n + 8192)) {
		if (docx) {
			zip_add(&z, "word/document.xml", text, 0);
			zip_add(&z, "word/styles.xml", text, 0);
			zip_add(&z, "word/footnotes.xml", text, 0);
		} else {
			zip_add(&z, "META-INF/container.xml",
				"<container><rootfiles><rootfile full-path='b.opf'/></rootfiles></container>", 0);
			zip_add(&z, "b.opf", n % 2 ? opf : text, 0);
			zip_add(&z, "a.html", text, 0);
		}
		zip_end(&z);
		run(docx ? format_docx : format_epub, z.mem, z.len);
		free(z.mem);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n && data[0] != 'P') {
		wrap(data[0] & 1, data + 1, n - 1);
	} else {
		run(format_epub, data, n);
		run(format_docx, data, n);
	}
	return 0;
}
