/* Any bytes as a notebook, and as pdftotext's pages: the document packs and unpacks. */
#include "config.h"

#include "ingest/format.h"

#include <stdlib.h>

static void run(format_fn *fn, const uint8_t *data, size_t n)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	run(format_notebook, data, n);
	run(format_pdf_pages, data, n);
	return 0;
}
