/* Which documents a question is put to, and what it is given beside them. */
#include "config.h"

#include "cmd/asking.h"

#include "base/file.h"
#include "base/hash.h"
#include "cache/library.h"
#include "ingest/extract.h"
#include "ingest/ignore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- --only ---- */

struct only {
	struct asking *s;
	struct rules  *rules;
	bool   others;			/* what no rule speaks of is asked, too: all of them exclude */
	size_t cap;
};

/* The globs of `ingest -g`: git's rules, the deepest folder that one speaks of decides, "!" excludes. */
static bool fits(const struct only *o, const char *path, size_t n)
{
	bool yes = o->others;

	for (size_t end = 1; end <= n; end++) {
		const struct rule *r;

		if (end < n && path[end] != '/')
			continue;
		r = rules_match(o->rules, path, end, end < n, false);
		if (r)
			yes = !r->negated;
	}
	return yes;
}

static int add(void *ctx, const struct cat_entry *en)
{
	struct only *o = ctx;
	struct asking *s = o->s;

	if (en->state != CAT_TEXT || !fits(o, en->path, en->path_n))
		return 0;
	if (s->n_document == o->cap) {
		size_t cap = 2 * o->cap + 64;
		int64_t *v = realloc(s->document, cap * sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		s->document = v;
		o->cap = cap;
	}
	s->document[s->n_document++] = en->document;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

int asking_only(struct asking *s, const struct strs *glob, struct err *e)
{
	struct only o = { .s = s, .others = true };
	int rc = 0;

	if (!glob->n)
		return 0;
	rc = rules_new(&o.rules, "--only", "", 0, e);
	for (size_t i = 0; i < glob->n && !rc; i++) {
		rc = rules_add(o.rules, glob->v[i], e);
		o.others &= glob->v[i][0] == '!';
	}
	for (size_t i = 0; i < s->n_snapshot && !rc; i++)
		rc = cat_entries(lib_catalog(s->lib), s->snapshot[i], add, &o, e);
	rules_free(o.rules);
	if (rc == ERR_NOMEM)
		return err_nomem(e);
	if (!rc && !s->n_document) {
		err_set(e, ERR_NOTFOUND, "no file matches --only '%s'%s", glob->v[0], glob->n > 1 ? " or the others" : "");
		return err_hint(e, ERR_NOTFOUND, "'folio ls SOURCE' prints the paths");
	}
	if (!rc)
		qsort(s->document, s->n_document, sizeof(*s->document), by_id);
	return rc;
}

/* ---- -f ---- */

#define MAX_FILE (64u << 20)	/* far more than any context; what is too long for one is told by tokens */

static int add_file(struct asking *s, struct extractor *x, const char *path, struct err *e)
{
	struct document d = { 0 };
	struct buf bytes = { 0 };
	struct err why;
	int rc = file_read(&bytes, path, MAX_FILE, e);

	if (!rc)
		rc = extract(x, path, bytes.data ? bytes.data : "", bytes.len, &d, &why);
	if (rc && bytes.len && rc != ERR_IO && rc != ERR_NOMEM && rc != ERR_INTR)
		rc = err_set(e, ERR_INVALID, "cannot read '%s' as text: %.400s", path, why.msg);
	if (!rc) {
		buf_addf(&s->context, "%s%s:\n", s->context.len ? "\n\n" : "", path);
		buf_add(&s->context, d.text.data ? d.text.data : "", d.text.len);
		rc = s->context.failed ? err_nomem(e) : 0;
	}
	doc_release(&d);
	buf_release(&bytes);
	return rc;
}

int asking_files(struct asking *s, const struct strs *file, struct err *e)
{
	struct extractor *x = NULL;
	int rc = file->n ? extractor_new(&x, NULL, e) : 0;

	for (size_t i = 0; i < file->n && !rc; i++)
		rc = add_file(s, x, file->v[i], e);
	extractor_free(x);
	return rc;
}

/* ---- changed since ---- */

static int keep_document(void *ctx, const struct cat_entry *en)
{
	*(int64_t *)ctx = en->document;
	return 0;
}

bool asking_changed(struct catalog *c, const char *source, const char *path, const char *sha256)
{
	struct cat_document d;
	int64_t snapshot, document = 0;
	char hex[65];

	if (cat_snapshot_find(c, source, NULL, &snapshot, NULL) ||
	    cat_entry(c, snapshot, path, strlen(path), keep_document, &document, NULL) || !document ||
	    cat_document(c, document, &d, NULL))
		return true;
	id_hex((const struct id *)d.sha256, hex);
	return strcmp(hex, sha256) != 0;
}
