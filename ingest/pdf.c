#include "config.h"

#include "ingest/format.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

#define MAX_NAMED 10u		/* pages without text that a remark names */

static bool is_plain(char c)
{
	return (c >= ' ' && c < 0x7f) || c == '\n';
}

/* One page: well-formed text, no control characters, no blank lines at its end. */
static void add_page(struct document *d, const char *p, size_t n)
{
	size_t start = d->text.len, plain;

	buf_reserve(&d->text, n + 1);
	while (n) {
		uint32_t c;
		size_t len;

		for (plain = 0; plain < n && is_plain(p[plain]);)
			plain++;
		buf_add(&d->text, p, plain);
		p += plain;
		n -= plain;
		if (!n)
			break;
		len = utf8_decode(p, n, &c);
		if (!len)
			buf_adds(&d->text, "\xef\xbf\xbd");
		else if (c == '\t' || c >= 0xa0)
			buf_add(&d->text, p, len);
		p += len ? len : 1;
		n -= len ? len : 1;
	}
	if (d->text.failed)
		return;
	while (d->text.len > start && strchr("\n ", d->text.data[d->text.len - 1]))
		d->text.len--;
	if (d->text.len > start)
		buf_addc(&d->text, '\n');
}

int format_pdf_pages(const uint8_t *in, size_t n, struct document *d, struct err *e)
{
	const char *p = (const char *)in;
	struct buf which = { 0 };
	uint32_t page = 0, empty = 0;

	d->kind = DOC_PDF;
	while (n) {
		const char *ff = memchr(p, '\f', n);
		size_t len = ff ? (size_t)(ff - p) : n, at = d->text.len;

		doc_anchor(d, ANCHOR_PAGE, ++page, at, NULL, NULL);
		add_page(d, p, len);
		if (d->text.failed || which.failed) {
			buf_release(&which);
			return err_nomem(e);
		}
		if (d->text.len == at && ++empty <= MAX_NAMED)
			buf_addf(&which, "%s%u", empty > 1 ? ", " : "", page);
		p += len + (ff != NULL);
		n -= len + (ff != NULL);
	}
	if (empty && empty < page)
		doc_note(d, "no text layer on %u of %u pages (scanned?): %s%s", empty, page, which.data,
			 empty > MAX_NAMED ? ", ..." : "");
	buf_release(&which);
	if (!page)
		return err_set(e, ERR_CORRUPT, "no pages in it");
	if (empty == page)
		return err_set(e, ERR_CORRUPT, "no text layer on any of %u pages (scanned?)", page);
	return 0;
}
