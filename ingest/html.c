#include "config.h"

#include "ingest/html.h"

#include "base/size.h"
#include "ingest/encode.h"
#include "ingest/format.h"
#include "ingest/sandbox.h"
#include "ingest/tags.h"

#include <gumbo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_DEPTH  512u			/* by tags_depth */
#define WALK_DEPTH (4u * MAX_DEPTH)	/* of the tree: elements that parsers add come on top */

struct ids {
	const char **id;
	size_t n, cap;
};

struct page {
	struct document *d;
	struct buf *out;
	const struct html_opt *opt;
	unsigned breaks;	/* line ends wanted before the next text; 2: a blank line */
	bool     space;		/* so is a blank */
	bool     started;	/* this page has given text */
	bool     cell;		/* in a table cell: breaks are blanks */
	unsigned tabs;		/* cells that ended since the last text of this row */
	unsigned pre;		/* depth of preformatted elements */
	unsigned depth;
	unsigned list;		/* depth of lists */
	char     mark[24];	/* what the next text begins with: "- ", "12. ", "" */
	size_t   mark_indent;
	struct ids waiting;	/* ids of elements that have had no text yet */
	size_t   title_at, title_end;	/* of the page's title in out; equal where there is none */
	bool     heading;	/* waiting for the first text of a heading */
	size_t   heading_at;
	bool     too_deep;
};

static void *must_alloc(void *user, size_t n)
{
	void *p = malloc(n ? n : 1);

	(void)user;
	if (!p)
		sandbox_out_of_memory();
	return p;
}

static void must_free(void *user, void *p)
{
	(void)user;
	free(p);
}

/*** Writing ***/

/* Ask for n line ends before the next text. */
static void want_break(struct page *p, unsigned n)
{
	if (p->cell)
		p->space = true;
	else
		p->breaks = MAX(p->breaks, n);
}

static void settle_ids(struct page *p)
{
	for (size_t i = 0; i < p->waiting.n; i++)
		p->opt->on_id(p->opt->ctx, p->waiting.id[i], p->out->len);
	p->waiting.n = 0;
}

/* Text is about to be written: what was asked for first. */
static void begin_text(struct page *p)
{
	if (p->breaks) {
		if (p->started)
			for (unsigned i = 0; i < p->breaks; i++)
				buf_addc(p->out, '\n');
		p->breaks = 0;
		p->space = false;
	} else if (p->space && p->started && !p->tabs) {
		buf_addc(p->out, ' ');
	}
	for (; p->tabs; p->tabs--)
		buf_addc(p->out, '\t');
	p->space = false;
	p->started = true;
	if (p->waiting.n)
		settle_ids(p);
	if (p->mark_indent || p->mark[0]) {
		for (size_t i = 0; i < p->mark_indent; i++)
			buf_addc(p->out, ' ');
		buf_adds(p->out, p->mark);
		p->mark[0] = '\0';
		p->mark_indent = 0;
	}
	if (p->heading) {
		p->heading = false;
		p->heading_at = p->out->len;
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* A no-break space or soft hyphen at s: its bytes, else 0. */
static size_t odd_blank(const char *s)
{
	return (unsigned char)s[0] == 0xc2 &&
	       ((unsigned char)s[1] == 0xa0 || (unsigned char)s[1] == 0xad) ? 2 : 0;
}

static void add_flowing(struct page *p, const char *s)
{
	while (*s) {
		const char *from = s;

		while (is_blank(*s))
			s++;
		if (s != from) {
			p->space = p->space || !p->breaks;
			continue;
		}
		if (odd_blank(s)) {
			if ((unsigned char)s[1] == 0xa0)
				p->space = p->space || !p->breaks;
			s += 2;
			continue;
		}
		while (*s && !is_blank(*s) && !odd_blank(s))
			s++;
		begin_text(p);
		buf_add(p->out, from, (size_t)(s - from));
	}
}

/* Line by line: a line end is owed until text follows, so that none is left at the end. */
static void add_preformatted(struct page *p, const char *s)
{
	while (*s) {
		size_t len = strcspn(s, "\r\n");

		if (len) {
			begin_text(p);
			buf_add(p->out, s, len);
			s += len;
		}
		if (*s == '\r' && s[1] == '\n')
			s++;
		if (*s) {
			p->breaks++;
			s++;
		}
	}
}

static void add_text(struct page *p, const char *s)
{
	if (p->pre && !p->cell)
		add_preformatted(p, s);
	else
		add_flowing(p, s);
}

/*** Elements ***/

static const char *attribute(const GumboNode *node, const char *name)
{
	const GumboAttribute *a = gumbo_get_attribute(&node->v.element.attributes, name);

	return a ? a->value : NULL;
}

static GumboTag tag_of(const GumboNode *node)
{
	return node->type == GUMBO_NODE_ELEMENT ? node->v.element.tag : GUMBO_TAG_UNKNOWN;
}

/* 0: inline; 1: begins a line; 2: set apart by blank lines. */
static unsigned block_breaks(GumboTag tag)
{
	switch (tag) {
	case GUMBO_TAG_P: case GUMBO_TAG_BLOCKQUOTE: case GUMBO_TAG_TABLE: case GUMBO_TAG_DL:
	case GUMBO_TAG_PRE: case GUMBO_TAG_LISTING: case GUMBO_TAG_XMP: case GUMBO_TAG_FIGURE:
	case GUMBO_TAG_H1: case GUMBO_TAG_H2: case GUMBO_TAG_H3: case GUMBO_TAG_H4:
	case GUMBO_TAG_H5: case GUMBO_TAG_H6: case GUMBO_TAG_HR:
		return 2;
	case GUMBO_TAG_DIV: case GUMBO_TAG_SECTION: case GUMBO_TAG_ARTICLE: case GUMBO_TAG_MAIN:
	case GUMBO_TAG_HEADER: case GUMBO_TAG_FOOTER: case GUMBO_TAG_NAV: case GUMBO_TAG_ASIDE:
	case GUMBO_TAG_ADDRESS: case GUMBO_TAG_FIGCAPTION: case GUMBO_TAG_FORM:
	case GUMBO_TAG_FIELDSET: case GUMBO_TAG_DETAILS: case GUMBO_TAG_SUMMARY:
	case GUMBO_TAG_HGROUP: case GUMBO_TAG_CENTER: case GUMBO_TAG_DT: case GUMBO_TAG_DD:
	case GUMBO_TAG_LI: case GUMBO_TAG_TR: case GUMBO_TAG_CAPTION: case GUMBO_TAG_LEGEND:
	case GUMBO_TAG_BODY: case GUMBO_TAG_DIR: case GUMBO_TAG_MENU: case GUMBO_TAG_TITLE:
		return 1;
	default:
		return 0;
	}
}

static bool is_left_out(GumboTag tag)
{
	switch (tag) {
	case GUMBO_TAG_SCRIPT: case GUMBO_TAG_STYLE: case GUMBO_TAG_TEMPLATE:
	case GUMBO_TAG_NOSCRIPT: case GUMBO_TAG_IFRAME: case GUMBO_TAG_SVG: case GUMBO_TAG_HEAD: case GUMBO_TAG_SELECT:
	case GUMBO_TAG_DATALIST: case GUMBO_TAG_NOEMBED: case GUMBO_TAG_NOFRAMES:
		return true;
	default:
		return false;
	}
}

/* How many blocks a cell holds; stops at 2, and at a table inside, which counts as 2. */
static unsigned blocks_inside(const GumboNode *node, unsigned depth)
{
	const GumboVector *kids = &node->v.element.children;
	unsigned n = 0;

	for (unsigned i = 0; i < kids->length && n < 2 && depth < WALK_DEPTH; i++) {
		const GumboNode *kid = kids->data[i];

		if (kid->type != GUMBO_NODE_ELEMENT)
			continue;
		if (kid->v.element.tag == GUMBO_TAG_TABLE)
			return 2;
		n += block_breaks(kid->v.element.tag) > 0;
		n += blocks_inside(kid, depth + 1);
	}
	return n;
}

static bool is_layout(const GumboNode *node, unsigned depth)
{
	const GumboVector *kids = &node->v.element.children;

	for (unsigned i = 0; i < kids->length && depth < 4; i++) {
		const GumboNode *kid = kids->data[i];

		if (kid->type != GUMBO_NODE_ELEMENT)
			continue;
		if (kid->v.element.tag == GUMBO_TAG_TD || kid->v.element.tag == GUMBO_TAG_TH) {
			if (blocks_inside(kid, 0) >= 2)
				return true;
		} else if (is_layout(kid, depth + 1)) {
			return true;
		}
	}
	return false;
}

static void walk(struct page *p, const GumboNode *node);

static void walk_children(struct page *p, const GumboNode *node)
{
	const GumboVector *kids = &node->v.element.children;

	if (p->depth >= WALK_DEPTH) {
		p->too_deep = true;
		return;
	}
	p->depth++;
	for (unsigned i = 0; i < kids->length; i++)
		walk(p, kids->data[i]);
	p->depth--;
}

/* Most pages begin with their title as a heading: once is enough. */
static void drop_repeated_title(struct page *p)
{
	size_t n = p->title_end - p->title_at;
	char *s = p->out->data;

	if (n && p->heading_at == p->title_end + 2 && p->out->len - p->heading_at == n &&
	    !memcmp(s + p->title_at, s + p->heading_at, n)) {
		p->out->len = p->title_end;
		s[p->out->len] = '\0';
		p->heading_at = p->title_at;
	}
	p->title_end = p->title_at;
}

static void walk_heading(struct page *p, const GumboNode *node)
{
	unsigned level = node->v.element.tag - GUMBO_TAG_H1 + 1;
	bool in_cell = p->cell;
	const char *id = attribute(node, "id");

	p->heading = true;
	p->cell = true;		/* one line, whatever is inside */
	walk_children(p, node);
	p->cell = in_cell;
	p->space = p->space && in_cell;
	if (!p->heading && !p->out->failed && p->heading_at < p->out->len) {
		drop_repeated_title(p);
		doc_anchor(p->d, ANCHOR_HEADING, level, p->heading_at, p->out->data + p->heading_at,
			   id && *id ? id : NULL);
	}
	p->heading = false;
}

static void walk_list(struct page *p, const GumboNode *node)
{
	const GumboVector *kids = &node->v.element.children;
	const char *start = attribute(node, "start");
	bool ordered = node->v.element.tag == GUMBO_TAG_OL;
	int number = start ? atoi(start) : 1;

	if (p->depth >= WALK_DEPTH) {
		p->too_deep = true;
		return;
	}
	want_break(p, p->list ? 1 : 2);
	p->list++;
	p->depth++;
	for (unsigned i = 0; i < kids->length; i++) {
		const GumboNode *kid = kids->data[i];

		if (!p->cell && tag_of(kid) == GUMBO_TAG_LI) {
			const char *value = attribute(kid, "value");

			if (value)
				number = atoi(value);
			want_break(p, 1);
			p->mark_indent = 2 * (size_t)MIN(p->list - 1, 16u);
			if (ordered)
				snprintf(p->mark, sizeof(p->mark), "%d. ", number);
			else
				strcpy(p->mark, "- ");
			number += number < 1000000000;
		}
		walk(p, kid);
		p->mark[0] = '\0';
		p->mark_indent = 0;
	}
	p->depth--;
	p->list--;
	want_break(p, p->list ? 1 : 2);
}

/* One row: cells on a line, "\t" between them.  Empty cells keep their place, except at the end. */
static void walk_row(struct page *p, const GumboNode *row)
{
	const GumboVector *kids = &row->v.element.children;
	bool in_cell = p->cell;
	unsigned n = 0;

	want_break(p, 1);
	for (unsigned i = 0; i < kids->length; i++) {
		const GumboNode *kid = kids->data[i];

		if (kid->type != GUMBO_NODE_ELEMENT)
			continue;
		if (in_cell)
			p->space = true;
		else if (n++)
			p->tabs++;
		p->cell = true;
		walk_children(p, kid);
		p->cell = in_cell;
		if (!in_cell)
			p->space = false;
	}
	p->tabs = in_cell ? p->tabs : 0;
	want_break(p, 1);
}

static void walk_table(struct page *p, const GumboNode *node, bool layout)
{
	const GumboVector *kids = &node->v.element.children;

	if (p->depth >= WALK_DEPTH) {
		p->too_deep = true;
		return;
	}
	p->depth++;
	for (unsigned i = 0; i < kids->length; i++) {
		const GumboNode *kid = kids->data[i];
		GumboTag tag = tag_of(kid);

		if (tag == GUMBO_TAG_TR && !layout)
			walk_row(p, kid);
		else if (tag == GUMBO_TAG_TBODY || tag == GUMBO_TAG_THEAD || tag == GUMBO_TAG_TFOOT)
			walk_table(p, kid, layout);
		else
			walk(p, kid);
	}
	p->depth--;
}

static void remember_id(struct page *p, const char *id)
{
	if (p->waiting.n == p->waiting.cap) {
		size_t cap = p->waiting.cap ? 2 * p->waiting.cap : 8;
		const char **grown = reallocarray(p->waiting.id, cap, sizeof(*grown));

		if (!grown) {
			p->out->failed = true;
			return;
		}
		p->waiting.id = grown;
		p->waiting.cap = cap;
	}
	p->waiting.id[p->waiting.n++] = id;
}

static void walk_element(struct page *p, const GumboNode *node)
{
	GumboTag tag = node->v.element.tag;
	unsigned breaks = block_breaks(tag);
	const char *alt;

	if (p->opt->on_id && attribute(node, "id"))
		remember_id(p, attribute(node, "id"));
	if (is_left_out(tag))
		return;
	if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH)		/* of a layout table */
		breaks = 1;
	if (breaks)
		want_break(p, breaks);
	switch (tag) {
	case GUMBO_TAG_BR:
		want_break(p, p->breaks ? 2 : 1);
		break;
	case GUMBO_TAG_IMG:
		alt = attribute(node, "alt");
		if (alt && *alt) {
			add_flowing(p, "[");
			add_flowing(p, alt);
			p->space = false;
			add_flowing(p, "]");
		}
		break;
	case GUMBO_TAG_H1: case GUMBO_TAG_H2: case GUMBO_TAG_H3:
	case GUMBO_TAG_H4: case GUMBO_TAG_H5: case GUMBO_TAG_H6:
		walk_heading(p, node);
		break;
	case GUMBO_TAG_UL: case GUMBO_TAG_OL:
		walk_list(p, node);
		break;
	case GUMBO_TAG_TABLE:
		walk_table(p, node, is_layout(node, 0));
		break;
	case GUMBO_TAG_PRE: case GUMBO_TAG_LISTING: case GUMBO_TAG_XMP: case GUMBO_TAG_TEXTAREA:
		p->pre++;
		walk_children(p, node);
		p->pre--;
		p->breaks = MIN(p->breaks, 2u);
		break;
	default:
		walk_children(p, node);
	}
	if (breaks)
		want_break(p, breaks);
}

static void walk(struct page *p, const GumboNode *node)
{
	switch (node->type) {
	case GUMBO_NODE_ELEMENT:
		walk_element(p, node);
		break;
	case GUMBO_NODE_TEXT:
	case GUMBO_NODE_CDATA:
	case GUMBO_NODE_WHITESPACE:
		add_text(p, node->v.text.text);
		break;
	default:
		break;
	}
}

/*** A page ***/

/* The element below node with this tag, not looking further than one level. */
static const GumboNode *child(const GumboNode *node, GumboTag tag)
{
	const GumboVector *kids = &node->v.element.children;

	for (unsigned i = 0; i < kids->length; i++) {
		const GumboNode *kid = kids->data[i];

		if (tag_of(kid) == tag)
			return kid;
	}
	return NULL;
}

static void add_page(struct page *p, const GumboNode *root)
{
	const GumboNode *head = child(root, GUMBO_TAG_HEAD), *title;

	title = head && p->opt->title ? child(head, GUMBO_TAG_TITLE) : NULL;
	if (title) {
		p->title_at = p->out->len;
		walk_children(p, title);
		p->title_end = p->out->len;
		want_break(p, 2);
	}
	walk_children(p, root);
	settle_ids(p);
	if (p->started)
		buf_addc(p->out, '\n');
}

static void parse_and_add(struct page *p, const char *s, size_t n)
{
	GumboOptions opt = kGumboDefaultOptions;
	GumboOutput *tree;

	opt.allocator = must_alloc;
	opt.deallocator = must_free;
	opt.max_errors = 0;
	tree = gumbo_parse_with_options(&opt, s, n);
	add_page(p, tree->root);
	gumbo_destroy_output(&opt, tree);
}

int html_append(struct document *d, const char *page, size_t n, const struct html_opt *opt,
		struct err *e)
{
	struct page p = { .d = d, .out = &d->text, .opt = opt };
	struct buf written_out = { 0 }, flat = { 0 };

	if (opt->xml) {
		tags_write_out_empty(page, n, &written_out);
		if (written_out.failed)
			return err_nomem(e);
		page = written_out.data ? written_out.data : "";
		n = written_out.len;
	}
	if (tags_depth(page, n, false) > MAX_DEPTH) {
		tags_flatten(page, n, false, &flat);
		doc_note(d, "nested more than %u elements deep: tables and lists were flattened",
			 MAX_DEPTH);
		page = flat.data ? flat.data : "";
		n = flat.len;
	}
	if (!flat.failed)
		parse_and_add(&p, page, n);
	if (p.too_deep)
		doc_note(d, "what is nested more than %u elements deep was left out", WALK_DEPTH);
	free(p.waiting.id);
	buf_release(&written_out);
	if (flat.failed)
		d->text.failed = true;
	buf_release(&flat);
	return d->text.failed ? err_nomem(e) : 0;
}

/* Behind the first occurrence of word in s[0..n), any case; NULL. */
static const char *behind_word(const char *s, size_t n, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= n; i++)
		if (!strncasecmp(s + i, word, len))
			return s + i + len;
	return NULL;
}

int format_html_charset(const uint8_t *in, size_t n, char name[32])
{
	const char *s = (const char *)in, *end = s + MIN(n, (size_t)4096), *p;
	size_t k = 0;

	p = behind_word(s, (size_t)(end - s), "charset=");
	if (!p && n > 5 && !memcmp(s, "<?xml", 5))
		p = behind_word(s, MIN((size_t)(end - s), (size_t)200), "encoding=");
	while (p && p < end && (*p == '"' || *p == '\'' || *p == ' '))
		p++;
	while (p && p < end && k < 31 && *p && !strchr("\"' ;/>\r\n\t?", *p))
		name[k++] = *p++;
	name[k] = '\0';
	return k > 0;
}

int format_decode(struct buf *out, struct encoding *enc, const void *in, size_t n, struct err *e)
{
	char charset[32];
	bool named = format_html_charset(in, n, charset);

	return encode_from(out, enc, named ? charset : NULL, in, n, e);
}

int format_html(const uint8_t *in, size_t n, struct document *d, struct err *e)
{
	bool xml = n >= 5 && !memcmp(in, "<?xml", 5);
	struct html_opt opt = { .title = true };
	struct encoding enc;
	struct buf page = { 0 };
	int rc;

	d->kind = DOC_HTML;
	opt.xml = xml || (n && memmem(in, MIN(n, (size_t)1024), "//www.w3.org/1999/xhtml", 23));
	rc = format_decode(&page, &enc, in, n, e);
	if (!rc)
		rc = html_append(d, page.data ? page.data : "", page.len, &opt, e);
	buf_release(&page);
	return rc;
}
