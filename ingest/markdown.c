#include "config.h"

#include "ingest/format.h"

#include "base/size.h"

#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>
#include <stdlib.h>
#include <string.h>

/* The plain words of a heading: text and code of everything inside, without links and emphasis. */
static void heading_text(cmark_node *heading, struct buf *out)
{
	cmark_iter *it = cmark_iter_new(heading);
	cmark_event_type ev;

	while ((ev = cmark_iter_next(it)) != CMARK_EVENT_DONE) {
		cmark_node *node = cmark_iter_get_node(it);
		const char *s = NULL;

		if (ev != CMARK_EVENT_ENTER)
			continue;
		switch (cmark_node_get_type(node)) {
		case CMARK_NODE_TEXT:
		case CMARK_NODE_CODE:
			s = cmark_node_get_literal(node);
			break;
		case CMARK_NODE_SOFTBREAK:
		case CMARK_NODE_LINEBREAK:
			s = " ";
			break;
		default:
			break;
		}
		if (s && out->len < 4096)
			buf_adds(out, s);
	}
	cmark_iter_free(it);
}

/* "---" fences at the very top hold settings, not text: cmark would read the closing fence as the
 * underline of a heading.  Returns how many bytes they take. */
static size_t front_matter(const char *p, size_t n)
{
	size_t i = 4;

	if (n < 8 || memcmp(p, "---\n", 4))
		return 0;
	for (int line = 0; i < n && line < 200; line++) {
		const char *nl = memchr(p + i, '\n', n - i);
		size_t len = nl ? (size_t)(nl - p) - i : n - i;

		if (len == 3 && (!memcmp(p + i, "---", 3) || !memcmp(p + i, "...", 3)))
			return i + len + (nl != NULL);
		i += len + 1;
	}
	return 0;
}

/* cmark ends lines at "\r", too; this text ends them at "\n" alone.  Hand "\r" over as a blank, so
 * that its line numbers are ours. */
static void feed(cmark_parser *parser, const char *p, size_t n)
{
	while (n) {
		const char *cr = memchr(p, '\r', n);
		size_t k = cr ? (size_t)(cr - p) : n;

		if (k)
			cmark_parser_feed(parser, p, k);
		p += k;
		n -= k;
		if (n) {
			cmark_parser_feed(parser, " ", 1);
			p++;
			n--;
		}
	}
}

static void add_headings(cmark_node *root, struct document *d, size_t base)
{
	const char *text = d->text.data;
	size_t at = base, n = d->text.len;
	cmark_iter *it = cmark_iter_new(root);
	cmark_event_type ev;
	int line = 1;

	while ((ev = cmark_iter_next(it)) != CMARK_EVENT_DONE) {
		cmark_node *node = cmark_iter_get_node(it);
		struct buf title = { 0 };
		uint32_t level;

		if (ev != CMARK_EVENT_ENTER || cmark_node_get_type(node) != CMARK_NODE_HEADING)
			continue;
		while (line < cmark_node_get_start_line(node) && at < n) {
			const char *nl = memchr(text + at, '\n', n - at);

			at = nl ? (size_t)(nl - text) + 1 : n;
			line++;
		}
		level = (uint32_t)cmark_node_get_heading_level(node);
		heading_text(node, &title);
		if (title.failed)
			d->text.failed = true;
		else if (title.len)
			doc_anchor(d, ANCHOR_HEADING, level, at, title.data, NULL);
		buf_release(&title);
	}
	cmark_iter_free(it);
}

int format_markdown(const uint8_t *in, size_t n, struct document *d, struct err *e)
{
	static const char *const extensions[] = { "table", "strikethrough" };
	cmark_parser *parser;
	cmark_node *root;
	size_t skip;

	d->kind = DOC_MARKDOWN;
	buf_add(&d->text, in, n);
	if (d->text.failed)
		return err_nomem(e);
	if (!n)
		return 0;
	cmark_gfm_core_extensions_ensure_registered();
	parser = cmark_parser_new(CMARK_OPT_DEFAULT);
	if (!parser)
		return err_nomem(e);
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
		cmark_parser_attach_syntax_extension(parser,
						     cmark_find_syntax_extension(extensions[i]));
	skip = front_matter(d->text.data, n);
	feed(parser, d->text.data + skip, n - skip);
	root = cmark_parser_finish(parser);
	if (root)
		add_headings(root, d, skip);
	cmark_node_free(root);
	cmark_parser_free(parser);
	return d->text.failed ? err_nomem(e) : 0;
}
