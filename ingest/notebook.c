#include "config.h"

#include "ingest/format.h"

#include "base/size.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OUTPUT (64u << 10)		/* bytes kept of one output: logs repeat themselves */

struct notebook {
	struct document *d;
	const char *language;	/* what code cells are fenced with */
	unsigned n_cell, n_image, n_other, n_long;
};

static const char *str(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

/* Text in a notebook is a string or a list of strings. */
static void join(const json_t *j, struct buf *out)
{
	size_t i;
	json_t *part;

	if (json_is_string(j))
		buf_add(out, json_string_value(j), json_string_length(j));
	json_array_foreach((json_t *)(uintptr_t)j, i, part)
		if (json_is_string(part))
			buf_add(out, json_string_value(part), json_string_length(part));
}

/* Append with one line end behind it, when it is not empty. */
static void add_lines(struct document *d, const char *s, size_t n)
{
	while (n && s[n - 1] == '\n')
		n--;
	buf_add(&d->text, s, n);
	if (n)
		buf_addc(&d->text, '\n');
}

/* What a terminal would show in the end: no escape sequences, and of a line that was overwritten
 * after "\r" its last state. */
static void add_terminal(struct document *d, const char *s, size_t n)
{
	size_t line = d->text.len;

	for (size_t i = 0; i < n && !d->text.failed; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == 0x1b && i + 1 < n && s[i + 1] == '[') {
			for (i += 2; i < n && (s[i] < 0x40 || s[i] == 0x7f);)	/* to its letter */
				i++;
		} else if (c == '\r' && i + 1 < n && s[i + 1] != '\n') {
			d->text.len = line;
		} else if (c >= ' ' || c == '\n' || c == '\t') {
			buf_addc(&d->text, (char)c);
			if (c == '\n')
				line = d->text.len;
		}
	}
	if (!d->text.failed && d->text.len && d->text.data[d->text.len - 1] != '\n')
		buf_addc(&d->text, '\n');
}

/* A fence longer than any run of backquotes inside. */
static void fence(const char *s, size_t n, char out[16])
{
	size_t run = 0, longest = 2;

	for (size_t i = 0; i < n; i++) {
		run = s[i] == '`' ? run + 1 : 0;
		longest = MAX(longest, run);
	}
	longest = MIN(longest + 1, (size_t)15);
	memset(out, '`', longest);
	out[longest] = '\0';
}

static void add_fenced(struct notebook *nb, const char *info, struct buf *text, bool terminal)
{
	char mark[16];
	size_t n = text->len;

	if (text->failed || !n) {
		nb->d->text.failed |= text->failed;
		return;
	}
	if (terminal && n > MAX_OUTPUT) {
		for (n = MAX_OUTPUT; n && text->data[n - 1] != '\n' && n > MAX_OUTPUT / 2;)
			n--;
		while (n && ((unsigned char)text->data[n] & 0xc0) == 0x80)
			n--;
		nb->n_long++;
	}
	fence(text->data, n, mark);
	buf_addf(&nb->d->text, "%s%s\n", mark, info);
	if (terminal)
		add_terminal(nb->d, text->data, n);
	else
		add_lines(nb->d, text->data, n);
	buf_addf(&nb->d->text, "%s\n", mark);
}

/* Headings of a Markdown cell, at their places in the whole. */
static void add_markdown(struct notebook *nb, const struct buf *text)
{
	struct document cell = { 0 };
	size_t base = nb->d->text.len;

	add_lines(nb->d, text->data, text->len);
	if (format_markdown((const uint8_t *)text->data, text->len, &cell, NULL)) {
		nb->d->text.failed = true;
	} else {
		for (size_t i = 0; i < cell.n_anchor; i++)
			doc_anchor(nb->d, ANCHOR_HEADING, cell.anchor[i].number,
				   base + cell.anchor[i].at,
				   doc_name(&cell, cell.anchor[i].title), NULL);
	}
	doc_release(&cell);
}

static void add_output(struct notebook *nb, const json_t *output)
{
	const char *type = str(output, "output_type");
	const json_t *data = json_object_get(output, "data"), *plain;
	struct buf text = { 0 };
	bool image = false;
	const char *key;
	json_t *value;

	if (!data)
		data = output;		/* nbformat 3 has the types beside the rest */
	json_object_foreach((json_t *)(uintptr_t)data, key, value)
		image |= !strncmp(key, "image/", 6) || !strcmp(key, "png") ||
			 !strcmp(key, "jpeg") || !strcmp(key, "svg");
	plain = json_object_get(data, "text/plain");
	if (!plain)
		plain = json_object_get(output, "text");
	if (image) {
		nb->n_image++;
	} else if (!strcmp(type, "error") || !strcmp(type, "pyerr")) {
		join(json_object_get(output, "traceback"), &text);
		if (!text.len)
			buf_addf(&text, "%s: %s", str(output, "ename"), str(output, "evalue"));
	} else if (plain) {
		join(plain, &text);
	} else {
		nb->n_other++;
	}
	add_fenced(nb, "output", &text, true);
	buf_release(&text);
}

static void add_cell(struct notebook *nb, const json_t *cell)
{
	const char *type = str(cell, "cell_type");
	const json_t *source = json_object_get(cell, "source");
	bool code = !strcmp(type, "code");
	struct buf text = { 0 };
	json_t *output;
	size_t i;

	join(source ? source : json_object_get(cell, "input"), &text);
	if (nb->d->text.len)
		buf_addc(&nb->d->text, '\n');
	doc_anchor(nb->d, ANCHOR_CELL, ++nb->n_cell, nb->d->text.len,
		   code || !strcmp(type, "raw") ? type : "markdown", NULL);
	if (text.failed)
		nb->d->text.failed = true;
	else if (code)
		add_fenced(nb, nb->language, &text, false);
	else if (!strcmp(type, "heading"))		/* nbformat 3 */
		buf_addf(&nb->d->text, "# %s\n", text.data ? text.data : "");
	else if (text.len && !strcmp(type, "raw"))
		add_lines(nb->d, text.data, text.len);
	else if (text.len)
		add_markdown(nb, &text);
	if (code)
		json_array_foreach(json_object_get(cell, "outputs"), i, output)
			add_output(nb, output);
	buf_release(&text);
}

static void add_cells(struct notebook *nb, const json_t *cells)
{
	size_t i;
	json_t *cell;

	json_array_foreach((json_t *)(uintptr_t)cells, i, cell)
		if (!nb->d->text.failed)
			add_cell(nb, cell);
}

static void say_what_is_missing(const struct notebook *nb)
{
	if (nb->n_image)
		doc_note(nb->d, "%u image%s left out", nb->n_image, nb->n_image == 1 ? "" : "s");
	if (nb->n_other)
		doc_note(nb->d, "%u output%s without text left out", nb->n_other,
			 nb->n_other == 1 ? "" : "s");
	if (nb->n_long)
		doc_note(nb->d, "%u output%s cut at %u KiB", nb->n_long, nb->n_long == 1 ? "" : "s",
			 MAX_OUTPUT >> 10);
}

int format_notebook(const uint8_t *in, size_t n, struct document *d, struct err *e)
{
	struct notebook nb = { .d = d };
	size_t bom = n >= 3 && !memcmp(in, "\xef\xbb\xbf", 3) ? 3 : 0, i;
	const json_t *meta, *cells;
	json_error_t why;
	json_t *root, *sheet;

	d->kind = DOC_NOTEBOOK;
	snprintf(d->encoding, sizeof(d->encoding), "UTF-8");
	root = json_loadb((const char *)in + bom, n - bom, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return err_set(e, ERR_CORRUPT, "broken JSON at line %d: %s", why.line, why.text);
	meta = json_object_get(root, "metadata");
	nb.language = str(json_object_get(meta, "language_info"), "name");
	if (!*nb.language)
		nb.language = str(json_object_get(meta, "kernelspec"), "language");
	if (strlen(nb.language) >= sizeof(d->language))
		nb.language = "";
	snprintf(d->language, sizeof(d->language), "%s", nb.language);
	cells = json_object_get(root, "cells");
	add_cells(&nb, cells);
	json_array_foreach(json_object_get(root, "worksheets"), i, sheet)
		add_cells(&nb, json_object_get(sheet, "cells"));
	say_what_is_missing(&nb);
	if (!cells && !json_object_get(root, "worksheets")) {
		json_decref(root);
		return err_set(e, ERR_CORRUPT, "no cells in it: not a notebook");
	}
	json_decref(root);
	return d->text.failed ? err_nomem(e) : 0;
}
