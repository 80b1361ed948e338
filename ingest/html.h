/* ingest/html.h - HTML to lines, shared by web pages and the chapters of an EPUB
 *
 * Paragraphs, headings, lists, tables, quotes and preformatted text are set apart by one blank
 * line; other blocks begin a line.  A paragraph is one line, however long.  List items begin with
 * "- " or "3. ", two blanks further in per level; cells of a row stand on one line with "\t"
 * between them, unless the table is there for layout (tables or several blocks inside its cells).
 * Links are their text, images their alternative text in brackets; script, style and templates are
 * left out.  No-break spaces become blanks, soft hyphens disappear.
 *
 * A page nested deeper than 512 elements is flattened first (tags.h) and a note says so.
 */
#ifndef INGEST_HTML_H
#define INGEST_HTML_H

#include "base/err.h"
#include "ingest/doc.h"

#include <stdbool.h>
#include <stddef.h>

struct html_opt {
	bool xml;		/* XHTML: empty elements are closed */
	bool title;		/* the page's title is the first line */
	/* NULL, or called for every element with an id, with the offset of its first text; in the
	 * order of the text.  id is borrowed for the call. */
	void (*on_id)(void *ctx, const char *id, uint64_t at);
	void *ctx;
};

/* Append a page, well-formed UTF-8, to d.  Its text begins on a line of its own and ends in "\n".
 * ERR_NOMEM. */
int html_append(struct document *d, const char *page, size_t n, const struct html_opt *opt,
		struct err *e);

#endif
