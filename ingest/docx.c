#include "config.h"

#include "ingest/format.h"

#include "base/size.h"
#include "base/utf8.h"
#include "ingest/container.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_BASED_ON 16		/* steps from a style to the one it is based on */

struct docx {
	struct document *d;
	const xmlNode *styles;	/* root element of word/styles.xml, NULL */
	bool     in_cell;
	unsigned n_note;	/* references to footnotes and endnotes so far */
	struct buf notes;	/* their text, set under the document */
	const xmlNode *footnotes, *endnotes;
};

/*** Styles ***/

static const xmlNode *find_by_id(const xmlNode *root, const char *element, const char *attr,
				 const char *id)
{
	for (const xmlNode *k = root ? root->children : NULL; k; k = k->next)
		if (xml_is(k, element) && !strcmp(xml_attr(k, attr), id))
			return k;
	return NULL;
}

/* "0" is first: the level of an outline number "0" to "5", or of a style's number "1" to "6". */
static unsigned level_of_number(const char *s, char first)
{
	return *s >= first && *s < first + 6 && !s[1] ? (unsigned)(*s - first) + 1 : 0;
}

/* Heading level of a style, 0 for body text: by its name or its outline level, or inherited. */
static unsigned style_level(const struct docx *x, const char *id)
{
	for (int step = 0; *id && step < MAX_BASED_ON; step++) {
		const xmlNode *style = find_by_id(x->styles, "style", "styleId", id);
		const char *name = style ? xml_attr(xml_child(style, "name"), "val") : id;
		unsigned level = 0;

		if (!strncasecmp(name, "heading", 7)) {
			name += 7 + strspn(name + 7, " ");
			level = level_of_number(name, '1');
		} else if (!strcasecmp(name, "title")) {
			level = 1;
		}
		if (!level && style)
			level = level_of_number(xml_attr(xml_child(xml_child(style, "pPr"),
								   "outlineLvl"), "val"), '0');
		if (level || !style)
			return level;
		id = xml_attr(xml_child(style, "basedOn"), "val");
	}
	return 0;
}

/*** Runs ***/

static void add_note_reference(struct docx *x, const xmlNode *ref, const xmlNode *list,
			       const char *element, struct buf *out);

/* The text of everything below node, in order: runs, links, fields' results, text boxes. */
static void inline_text(struct docx *x, const xmlNode *root, struct buf *out)
{
	xmlNode *k = xml_first(root);

	while (k) {
		bool skip = false;

		if (xml_is(k, "t")) {
			for (const xmlNode *t = k->children; t; t = t->next)
				if (t->type == XML_TEXT_NODE || t->type == XML_CDATA_SECTION_NODE)
					buf_adds(out, (const char *)t->content);
			skip = true;
		} else if (xml_is(k, "tab")) {
			buf_addc(out, x->in_cell ? ' ' : '\t');
		} else if (xml_is(k, "br") || xml_is(k, "cr")) {
			buf_addc(out, x->in_cell ? ' ' : '\n');
		} else if (xml_is(k, "noBreakHyphen")) {
			buf_addc(out, '-');
		} else if (xml_is(k, "docPr") && *xml_attr(k, "descr")) {
			buf_addf(out, "[%s]", xml_attr(k, "descr"));
		} else if (xml_is(k, "footnoteReference")) {
			add_note_reference(x, k, x->footnotes, "footnote", out);
		} else if (xml_is(k, "endnoteReference")) {
			add_note_reference(x, k, x->endnotes, "endnote", out);
		} else if (xml_is(k, "p") && out->len && xml_is(k->parent, "txbxContent")) {
			buf_addc(out, ' ');
		} else {
			/* Deleted and moved text, field codes, the second form of a drawing. */
			skip = xml_is(k, "pPr") || xml_is(k, "rPr") || xml_is(k, "del") ||
			       xml_is(k, "moveFrom") || xml_is(k, "instrText") ||
			       xml_is(k, "delText") || xml_is(k, "Fallback");
		}
		k = xml_next(root, k, skip);
	}
}

static void add_note_reference(struct docx *x, const xmlNode *ref, const xmlNode *list,
			       const char *element, struct buf *out)
{
	const xmlNode *note = find_by_id(list, element, "id", xml_attr(ref, "id"));
	const xmlNode *from_foot = x->footnotes, *from_end = x->endnotes;
	struct buf text = { 0 };

	if (!note)
		return;
	buf_addf(out, "[^%u]", ++x->n_note);
	x->footnotes = x->endnotes = NULL;	/* a note in a note would be a loop */
	inline_text(x, note, &text);
	x->footnotes = from_foot;
	x->endnotes = from_end;
	buf_addf(&x->notes, "[^%u]: ", x->n_note);
	for (size_t i = 0, begun = 0; i < text.len; i++) {
		if (text.data[i] != ' ' || begun)
			buf_addc(&x->notes, text.data[i] == '\n' ? ' ' : text.data[i]);
		begun |= text.data[i] != ' ';
	}
	buf_addc(&x->notes, '\n');
	if (text.failed)
		x->notes.failed = true;
	buf_release(&text);
}

/*** Blocks ***/

static void blank_line(struct document *d)
{
	if (d->text.len)
		buf_addc(&d->text, '\n');
}

static bool is_empty(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (!strchr(" \t\n", b->data[i]))
			return false;
	return true;
}

static void add_paragraph(struct docx *x, const xmlNode *p, bool *after_item)
{
	const xmlNode *props = xml_child(p, "pPr"), *list = xml_child(props, "numPr");
	unsigned level = style_level(x, xml_attr(xml_child(props, "pStyle"), "val"));
	const char *depth = xml_attr(xml_child(list, "ilvl"), "val");
	struct buf text = { 0 };

	if (!level)
		level = level_of_number(xml_attr(xml_child(props, "outlineLvl"), "val"), '0');
	inline_text(x, p, &text);
	if (text.failed)
		x->d->text.failed = true;
	if (!is_empty(&text) && !text.failed) {
		if (!(list && *after_item))
			blank_line(x->d);
		if (list && !level)
			for (int i = atoi(depth); i > 0 && i < 10; i--)
				buf_adds(&x->d->text, "  ");
		if (list && !level)
			buf_adds(&x->d->text, "- ");
		if (level)
			doc_anchor(x->d, ANCHOR_HEADING, level, x->d->text.len, text.data, NULL);
		buf_add(&x->d->text, text.data, text.len);
		buf_addc(&x->d->text, '\n');
		*after_item = list && !level;
	}
	buf_release(&text);
}

static void add_table(struct docx *x, const xmlNode *table)
{
	blank_line(x->d);
	for (const xmlNode *row = table->children; row; row = row->next) {
		size_t n = 0;

		if (!xml_is(row, "tr"))
			continue;
		for (const xmlNode *cell = row->children; cell; cell = cell->next) {
			struct buf text = { 0 };

			if (!xml_is(cell, "tc"))
				continue;
			if (n++)
				buf_addc(&x->d->text, '\t');
			x->in_cell = true;
			for (xmlNode *k = cell->children; k; k = k->next) {
				if (text.len && text.data[text.len - 1] != ' ')
					buf_addc(&text, ' ');
				inline_text(x, k, &text);
			}
			x->in_cell = false;
			while (text.len && text.data[text.len - 1] == ' ')
				text.len--;
			buf_add(&x->d->text, text.data, text.len);
			x->d->text.failed |= text.failed;
			buf_release(&text);
		}
		buf_addc(&x->d->text, '\n');
	}
}

/* Paragraphs and tables in order, also inside content controls and accepted changes. */
static void add_body(struct docx *x, const xmlNode *body)
{
	bool after_item = false;
	xmlNode *k = xml_first(body);

	while (k && !x->d->text.failed) {
		bool done = true;

		if (xml_is(k, "p")) {
			add_paragraph(x, k, &after_item);
		} else if (xml_is(k, "tbl")) {
			add_table(x, k);
			after_item = false;
		} else {
			done = xml_is(k, "del") || xml_is(k, "moveFrom") || xml_is(k, "sectPr") ||
			       xml_is(k, "sdtPr") || xml_is(k, "Fallback");
		}
		k = xml_next(body, k, done);
	}
	if (x->notes.len) {
		blank_line(x->d);
		buf_add(&x->d->text, x->notes.data, x->notes.len);
	}
	x->d->text.failed |= x->notes.failed;
}

static xmlDoc *read_part(const struct container *c, const char *name)
{
	const struct buf *b = container_find(c, name);

	return b ? xml_read(b) : NULL;
}

int format_docx(const uint8_t *in, size_t n, struct document *d, struct err *e)
{
	static const char *const endings[] = { ".xml", NULL };
	struct container c;
	struct docx x = { .d = d };
	xmlDoc *body, *styles, *foot, *end;
	const xmlNode *root;
	int rc = container_open(&c, in, n, endings, e);

	if (rc)
		return rc;
	d->kind = DOC_DOCX;
	snprintf(d->encoding, sizeof(d->encoding), "UTF-8");
	body = read_part(&c, "word/document.xml");
	styles = read_part(&c, "word/styles.xml");
	foot = read_part(&c, "word/footnotes.xml");
	end = read_part(&c, "word/endnotes.xml");
	x.styles = styles ? xmlDocGetRootElement(styles) : NULL;
	x.footnotes = foot ? xmlDocGetRootElement(foot) : NULL;
	x.endnotes = end ? xmlDocGetRootElement(end) : NULL;
	root = body ? xml_child(xmlDocGetRootElement(body), "body") : NULL;
	if (!root)
		rc = err_set(e, ERR_CORRUPT, "%s", container_find(&c, "word/document.xml") ?
			     "word/document.xml in it cannot be read" :
			     "no word/document.xml in it");
	else
		add_body(&x, root);
	if (c.damage[0])
		doc_note(d, "damaged, read as far as it goes: %s", c.damage);
	xmlFreeDoc(body);
	xmlFreeDoc(styles);
	xmlFreeDoc(foot);
	xmlFreeDoc(end);
	container_release(&c);
	buf_release(&x.notes);
	return rc ? rc : d->text.failed ? err_nomem(e) : 0;
}
