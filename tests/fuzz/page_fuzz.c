/* Any bytes as HTML, XHTML and Markdown: the document that comes out packs and unpacks. */
#include "config.h"

#include "ingest/encode.h"
#include "ingest/format.h"

#include <stdlib.h>

/* doc_unpack checks everything a document must be. */
static void check(struct document *d)
{
	struct document back = { 0 };
	struct buf packed = { 0 };

	doc_finish(d);
	if (!d->text.failed && (doc_pack(d, &packed, NULL) ||
				doc_unpack(&back, packed.data, packed.len, NULL)))
		abort();
	buf_release(&packed);
	doc_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct document page = { 0 }, markdown = { 0 };
	struct buf text = { 0 };
	struct encoding enc;

	if (!format_html(data, n, &page, NULL))
		check(&page);
	if (!encode_to_utf8(&text, &enc, data, n, NULL) &&
	    !format_markdown((const uint8_t *)(text.data ? text.data : ""), text.len, &markdown, NULL))
		check(&markdown);
	doc_release(&page);
	doc_release(&markdown);
	buf_release(&text);
	return 0;
}
