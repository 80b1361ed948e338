/* Any bytes as a packed document, as a broken child might send it: refused, or a document whose
 * parts are in range and which packs to the same bytes. */
#include "config.h"

#include "ingest/doc.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct document d = { 0 };
	struct buf packed = { 0 };
	volatile size_t sum = 0;

	if (!doc_unpack(&d, data, n, NULL)) {
		for (size_t i = 0; i < d.n_anchor; i++)
			sum += strlen(doc_name(&d, d.anchor[i].title)) +
			       strlen(doc_name(&d, d.anchor[i].detail)) + d.text.len - d.anchor[i].at;
		for (int k = 0; k < ANCHOR_N_KIND; k++)
			sum += doc_anchor_at(&d, (enum anchor_kind)k, d.text.len / 2) != NULL;
		doc_note(&d, "one more");
		doc_finish(&d);
		if (doc_pack(&d, &packed, NULL))
			abort();
	}
	(void)sum;
	buf_release(&packed);
	doc_release(&d);
	return 0;
}
