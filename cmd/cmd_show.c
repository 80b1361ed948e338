/* folio show: the stored text of a file or of some of its lines */
#include "config.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/sources.h"

#include "base/buf.h"
#include "base/size.h"
#include "cache/library.h"

#include <stdio.h>
#include <string.h>

static int read_lines(struct catalog *cat, const struct found *f, struct buf *text, uint64_t *first,
		      uint64_t *last, size_t *at, size_t *n, struct err *e)
{
	struct cat_map *m;
	uint64_t start, end, other;
	int rc = cat_text(cat, f->entry.document, text, e);

	if (!rc)
		rc = cat_map_open(&m, cat, f->entry.document, e);
	if (rc)
		return rc;
	*first = f->first ? f->first : 1;
	*last = f->first ? MIN(f->last, cat_map_lines(m)) : cat_map_lines(m);
	*at = 0;
	*n = text->len;
	if (f->first && (!cat_map_range(m, *first, &start, &end) || !cat_map_range(m, *last, &other, &end)))
		rc = err_set(e, ERR_NOTFOUND, "'%s' has %llu lines", f->path,
			     (unsigned long long)cat_map_lines(m));
	else if (f->first) {
		*at = (size_t)start;
		*n = (size_t)(end - start);
	}
	cat_map_close(m);
	return rc;
}

static void show_json(const struct found *f, const struct cat_document *d, const char *text, size_t n,
		      uint64_t first, uint64_t last)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	char sha[65];
	struct id id;

	memcpy(id.b, d->sha256, sizeof(id.b));
	id_hex(&id, sha);
	jw_open(&j, NULL, '{');
	jw_str(&j, "schema", "folio.show/1");
	jw_str(&j, "source", f->source);
	jw_strn(&j, "snapshot", f->hash, MIN(strlen(f->hash), (size_t)HASH_SHOWN));
	jw_path(&j, "path", f->path, strlen(f->path));
	jw_open(&j, "lines", '[');
	jw_uint(&j, NULL, first);
	jw_uint(&j, NULL, last);
	jw_close(&j);
	jw_str(&j, "format", d->format);
	jw_str(&j, "sha256", sha);
	jw_strn(&j, "text", text, n);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

int cmd_show(struct ctx *c, int argc, char **argv)
{
	struct library *lib = NULL;
	struct catalog *cat;
	struct cat_document d;
	struct found f = { 0 };
	struct buf text = { 0 }, shown = { 0 };
	struct err e = { 0 };
	uint64_t first, last;
	size_t at, n;
	int rc = library_open(c, &lib, 0, &e);

	(void)argc;
	if (rc)
		return fail(c, &e);
	cat = lib_catalog(lib);
	rc = sources_file(cat, argv[0], &f, &e);
	if (!rc && f.entry.state != CAT_TEXT)
		rc = err_set(&e, ERR_NOTFOUND, "the text of '%s' is not stored: %s", f.path,
			     f.entry.state == CAT_LISTED ? "it is only listed" : "it was skipped");
	if (!rc)
		rc = cat_document(cat, f.entry.document, &d, &e);
	if (!rc)
		rc = read_lines(cat, &f, &text, &first, &last, &at, &n, &e);
	if (!rc && (c->g.json || c->g.jsonl)) {
		show_json(&f, &d, text.data + at, n, first, last);
	} else if (!rc && c->out.tty) {
		pager_start(c);
		term_text(&shown, text.data + at, n, true);
		fwrite(shown.data, 1, shown.len, stdout);
	} else if (!rc) {
		fwrite(text.data + at, 1, n, stdout);
	}
	buf_release(&text);
	buf_release(&shown);
	found_release(&f);
	lib_close(lib);
	return rc ? fail(c, &e) : EXIT_DONE;
}
