#include "config.h"

#include "ingest/diff_symbols.h"

#include "base/size.h"
#include "ingest/extract.h"
#include "ingest/language.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one symbol ---- */

struct sym {
	const char *title;		/* borrowed from the document */
	const char *kind;		/* n_kind bytes of its detail */
	const char *sig;		/* the rest: "(int a) -> int" */
	size_t   n_kind;
	uint64_t at, end;		/* bytes */
	uint64_t first, last;		/* lines */
	bool     is_public, done;
};

struct syms {
	struct sym *v;
	size_t n;
};

static const char *last_part(const char *title)
{
	const char *p = title;

	for (const char *s = title; *s; s++)
		if ((*s == '.' || *s == ':') && s[1])
			p = s + 1;
	return p;
}

static bool kind_is(const struct sym *s, const char *const *names)
{
	for (; *names; names++)
		if (strlen(*names) == s->n_kind && !strncmp(*names, s->kind, s->n_kind))
			return true;
	return false;
}

/* Kinds that name no part of a program's face, or that come with every use of a name. */
static const char *const not_symbols[] = {
	"local", "label", "parameter", "unknown", "namespace", "module", "package", "header", "include",
	"import", "target", "chapter", "section", "subsection", "anchor", "id", "heading1", "heading2",
	"heading3", "externvar", "i18n", "indirect", NULL
};
static const char *const with_value[] = {
	"macro", "define", "constant", "const", "variable", "enumerator", "member", "field", "property", NULL
};
static const char *const callables[] = { "function", "member", "method", "func", "subroutine", NULL };

bool diff_is_test(const char *path)
{
	static const char *const dirs[] = { "test", "tests", "testing", "t", "spec", "examples", "example", "bench",
					    "benchmarks", "testdata", "fixtures", "doc", "docs" };
	const char *tail = strrchr(path, '/'), *p = path;

	tail = tail ? tail + 1 : path;
	while (p < tail) {
		size_t n = strcspn(p, "/");

		for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
			if (strlen(dirs[i]) == n && !strncmp(p, dirs[i], n))
				return true;
		p += n + 1;
	}
	return !strncmp(tail, "test_", 5) || !strcmp(tail, "conftest.py") || strstr(tail, "_test.") ||
	       strstr(tail, ".test.") || strstr(tail, ".spec.");
}

static bool line_has(const char *text, const struct sym *s, const char *word)
{
	size_t n = strlen(word), len;
	const char *line = text + s->at, *p = line;

	for (len = 0; line[len] && line[len] != '\n'; len++)
		;
	while ((p = memmem(p, (size_t)(line + len - p), word, n))) {
		if ((p == line || (!isalnum((unsigned char)p[-1]) && p[-1] != '_')) &&
		    !isalnum((unsigned char)p[n]) && p[n] != '_')
			return true;
		p++;
	}
	return false;
}

/* "static" may stand on the line before the name, with the type. */
static bool is_static(const char *text, const struct sym *s)
{
	struct sym before = *s;

	if (line_has(text, s, "static"))
		return true;
	if (s->at < 2)
		return false;
	for (before.at = s->at - 1; before.at && text[before.at - 1] != '\n'; before.at--)
		;
	return !strncmp(text + before.at, "static", 6) && text[s->at - 2] != ';' && text[s->at - 2] != '}';
}

static bool private_python(const char *title)
{
	for (const char *p = title; p; p = strchr(p, '.'), p = p ? p + 1 : NULL)
		if (p[0] == '_' && !(p[1] == '_' && strlen(p) > 4 && !strcmp(p + strlen(p) - 2, "__")))
			return true;
	return false;
}

static bool seen_outside(const char *language, const char *path, const char *text, const struct sym *s)
{
	static const char *const linked[] = { "function", "variable", "prototype", NULL };

	if (diff_is_test(path))
		return false;
	if (!strcmp(language, "C") || !strcmp(language, "C++")) {
		if (is_static(text, s) && !strstr(s->title, "::"))
			return false;
		if (name_ends(path, "h") || name_ends(path, "hpp") || name_ends(path, "hh") || name_ends(path, "hxx"))
			return true;
		return kind_is(s, linked);
	}
	if (!strcmp(language, "Python"))
		return !private_python(s->title);
	if (!strcmp(language, "Go"))
		return isupper((unsigned char)*last_part(s->title));
	if (!strcmp(language, "Rust"))
		return line_has(text, s, "pub");
	return !line_has(text, s, "private") && *last_part(s->title) != '_';
}

/* ---- the symbols of a document ---- */

static int cmp_sym(const void *x, const void *y)
{
	const struct sym *a = x, *b = y;
	size_t n = MIN(a->n_kind, b->n_kind);
	int d = strcmp(a->title, b->title);

	if (!d)
		d = strncmp(a->kind, b->kind, n);
	if (!d)
		d = a->n_kind < b->n_kind ? -1 : a->n_kind > b->n_kind;
	return d ? d : a->at < b->at ? -1 : a->at > b->at;
}

static bool same_key(const struct sym *a, const struct sym *b)
{
	return !strcmp(a->title, b->title) && a->n_kind == b->n_kind && !strncmp(a->kind, b->kind, a->n_kind);
}

/* Names inside functions cannot be seen from outside. */
static void hide_inner(struct syms *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *tail = last_part(l->v[i].title);
		size_t n = (size_t)(tail - l->v[i].title), lo = 0, hi = l->n;

		while (n && strchr(".:", l->v[i].title[n - 1]))
			n--;
		if (!n)
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;
			int d = strncmp(l->v[mid].title, l->v[i].title, n);

			if (d < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; lo < l->n && !strncmp(l->v[lo].title, l->v[i].title, n) && !l->v[lo].title[n]; lo++)
			if (kind_is(&l->v[lo], callables) && l->v[lo].sig[0] == '(')
				l->v[i].is_public = false;
	}
}

static int gather(struct syms *l, const struct document *d, const char *path, struct err *e)
{
	const char *text, *language;
	uint64_t line = 1, at = 0;

	*l = (struct syms){ 0 };
	if (!d)
		return 0;
	text = d->text.data ? d->text.data : "";
	language = extract_language(path, text, d->text.len);
	l->v = calloc(d->n_anchor + 1, sizeof(*l->v));
	if (!l->v)
		return err_nomem(e);
	for (size_t i = 0; i < d->n_anchor; i++) {
		const struct anchor *a = &d->anchor[i];
		const char *detail = doc_name(d, a->detail), *arrow = strstr(detail, " -> ");
		struct sym s = { .title = doc_name(d, a->title), .kind = detail, .at = a->at, .end = a->end };
		size_t n = strcspn(detail, "(");

		if (a->kind != ANCHOR_SYMBOL || a->at > d->text.len || a->end > d->text.len)
			continue;
		s.n_kind = arrow && (size_t)(arrow - detail) < n ? (size_t)(arrow - detail) : n;
		s.sig = detail + s.n_kind;
		if (kind_is(&s, not_symbols))
			continue;
		for (; at < a->at; at++)	/* anchors are in order */
			line += text[at] == '\n';
		s.first = s.last = line;
		for (uint64_t p = a->at; p + 1 < a->end; p++)
			s.last += text[p] == '\n';
		s.is_public = seen_outside(language, path, text, &s);
		l->v[l->n++] = s;
	}
	qsort(l->v, l->n, sizeof(*l->v), cmp_sym);
	hide_inner(l);
	return 0;
}

/* ---- signatures ---- */

/* Blanks only where two words would run together. */
static void squeeze(const char *s, size_t n, struct buf *out)
{
	bool blank = false;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		char last = out->len ? out->data[out->len - 1] : 0;

		if (isspace(c)) {
			blank = true;
			continue;
		}
		if (blank && last && (isalnum(c) || c == '_' || c >= 0x80) &&
		    (isalnum((unsigned char)last) || last == '_' || (unsigned char)last >= 0x80))
			buf_addc(out, ' ');
		blank = false;
		buf_addc(out, (char)c);
	}
	buf_add(out, "", 0);
}

/* The same without "=default" of parameters. */
static void drop_defaults(const char *s, struct buf *out)
{
	int depth = 0;
	bool skip = false;
	char quote = 0;

	for (; *s; s++) {
		if (quote) {
			quote = *s == quote && s[-1] != '\\' ? 0 : quote;
		} else if (*s == '"' || *s == '\'') {
			quote = *s;
		} else if (strchr("([{", *s)) {
			depth++;
		} else if (strchr(")]}", *s)) {
			if (--depth == 0)
				skip = false;
		} else if (*s == ',' && depth == 1) {
			skip = false;
		} else if (*s == '=' && depth == 1 && s[1] != '=' && s[1] != '>') {
			skip = true;
		}
		if (!skip)
			buf_addc(out, *s);
	}
}

static bool equal(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

/* 0: equal, else CHANGE_SIGNATURE or CHANGE_DEFAULT, +1 to tell from 0. */
static int compare_sig(const struct sym *a, const struct sym *b)
{
	struct buf x = { 0 }, y = { 0 }, p = { 0 }, q = { 0 };
	int what = 0;

	squeeze(a->sig, strlen(a->sig), &x);
	squeeze(b->sig, strlen(b->sig), &y);
	if (!equal(&x, &y)) {
		drop_defaults(x.data ? x.data : "", &p);
		drop_defaults(y.data ? y.data : "", &q);
		what = 1 + (equal(&p, &q) ? CHANGE_DEFAULT : CHANGE_SIGNATURE);
	}
	buf_release(&x);
	buf_release(&y);
	buf_release(&p);
	buf_release(&q);
	return what;
}

/* ---- values ---- */

/* What stands behind a constant's name: "#define N 5" and "N = 5" give "5". */
static void value_of(const struct document *d, const struct sym *s, struct buf *out)
{
	const char *text = d->text.data, *end = text + MAX(s->end, s->at), *name = last_part(s->title);
	size_t n = strlen(name);
	const char *p = text + s->at;
	bool macro = s->n_kind >= 5 && (!strncmp(s->kind, "macro", 5) || !strncmp(s->kind, "defin", 5));
	bool list = s->n_kind == 10 && !strncmp(s->kind, "enumerator", 10);
	int depth = 0;

	do {
		p = memmem(p, (size_t)(end - p), name, n);
		if (!p)
			return;
		p += n;
	} while (p < end && (isalnum((unsigned char)*p) || *p == '_'));
	if (macro) {
		if (p < end && *p == '(')
			while (p < end && *p != ')' && *p != '\n')
				p++;
		p += p < end && *p == ')';
		while (end < text + d->text.len && end > text + 1 && end[-1] == '\n' && end[-2] == '\\')
			end += strcspn(end, "\n") + (end[strcspn(end, "\n")] == '\n');
	} else {
		while (p < end && *p != '=' && *p != ';' && *p != '\n' && !(list && (*p == ',' || *p == '}')))
			p++;
		if (p >= end || *p != '=' || p[1] == '=')
			return;
		p++;
	}
	for (const char *q = p; q < end; q++) {
		depth += strchr("([{", *q) ? 1 : strchr(")]}", *q) ? -1 : 0;
		if (depth < 0 || (list && depth == 0 && *q == ',') || (!macro && depth == 0 && *q == ';') ||
		    (depth <= 0 && ((*q == '/' && q + 1 < end && (q[1] == '/' || q[1] == '*')) ||
				    (*q == '#' && q > p && q[-1] == ' '))))
			end = q;
	}
	squeeze(p, (size_t)(end - p), out);
	if (out->len && out->data[out->len - 1] == ',')
		out->data[--out->len] = 0;
}

/* ---- against each other ---- */

struct compare {
	struct diff_report *r;
	uint32_t file;
	const struct document *a, *b;
};

static uint32_t keep_short(struct diff_report *r, const char *s, size_t n)
{
	enum { MAX_SHOWN = 300 };
	char cut[MAX_SHOWN + 4];

	if (n <= MAX_SHOWN)
		return diff_keep(r, s, n);
	for (n = MAX_SHOWN; n && (s[n] & 0xc0) == 0x80; n--)
		;
	memcpy(cut, s, n);
	memcpy(cut + n, "…", 4);
	return diff_keep(r, cut, n + 3);
}

/* Where two long texts begin to be worth showing: a little before they differ. */
static size_t skip_equal(const char *a, const char *b)
{
	enum { LEAD = 60 };
	size_t n = 0;

	while (a[n] && a[n] == b[n])
		n++;
	n = n > LEAD ? n - LEAD : 0;
	while (n && (a[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static uint32_t keep_from(struct diff_report *r, const char *s, size_t at)
{
	struct buf b = { 0 };
	uint32_t word;

	if (!at)
		return keep_short(r, s, strlen(s));
	buf_addf(&b, "…%s", s + at);
	word = b.failed ? 0 : keep_short(r, b.data, b.len);
	buf_release(&b);
	return word;
}

static int tell(struct compare *k, enum diff_kind kind, const struct sym *s, bool on_new, const char *before,
		const char *after, struct err *e)
{
	struct diff_report *r = k->r;
	struct diff_change c = { .kind = kind, .file = k->file, .is_public = s->is_public, .on_new = on_new,
				 .first = s->first, .last = s->last };
	size_t at;

	/* The line that names it first: a large body has many hunks. */
	c.hunk = diff_hunk_at(r, k->file, on_new, s->first, s->first);
	if (c.hunk == UINT32_MAX)
		c.hunk = diff_hunk_at(r, k->file, on_new, s->first, MAX(s->last, s->first));
	if (c.hunk == UINT32_MAX)
		return 0;	/* ctags saw it otherwise, but no line of it changed */
	c.symbol = diff_keep(r, s->title, strlen(s->title));
	c.type = diff_keep(r, s->kind, s->n_kind);
	at = before && after ? skip_equal(before, after) : 0;
	c.before = before ? keep_from(r, before, at) : 0;
	c.after = after ? keep_from(r, after, at) : 0;
	return diff_add_change(r, &c, e);
}

static int compare_pair(struct compare *k, struct sym *a, struct sym *b, struct err *e)
{
	struct buf x = { 0 }, y = { 0 };
	struct sym s = *b;
	int what = compare_sig(a, b), rc = 0;

	a->done = b->done = true;
	s.is_public |= a->is_public;
	/* The signature of a function that ctags tells on one side only says nothing. */
	if (what && (a->sig[0] || b->sig[0]))
		rc = tell(k, (enum diff_kind)(what - 1), &s, true, a->sig, b->sig, e);
	else if (!what && kind_is(a, with_value) && a->sig[0] != '(') {
		value_of(k->a, a, &x);
		value_of(k->b, b, &y);
		if (!equal(&x, &y) && (x.len || y.len))
			rc = tell(k, CHANGE_VALUE, &s, true, x.data ? x.data : "", y.data ? y.data : "", e);
	}
	buf_release(&x);
	buf_release(&y);
	return rc;
}

/* Symbols of one name and kind on both sides: equal signatures first, the rest in order. */
static int compare_group(struct compare *k, struct sym *a, size_t n_a, struct sym *b, size_t n_b, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < n_a && !rc; i++)
		for (size_t j = 0; j < n_b && !rc && !a[i].done && n_a * n_b < 4096; j++)
			if (!b[j].done && !compare_sig(&a[i], &b[j]))
				rc = compare_pair(k, &a[i], &b[j], e);
	for (size_t i = 0, j = 0; i < n_a && !rc; i++) {
		while (j < n_b && b[j].done)
			j++;
		if (!a[i].done && j < n_b)
			rc = compare_pair(k, &a[i], &b[j], e);
		else if (!a[i].done)
			rc = tell(k, CHANGE_REMOVED, &a[i], false, a[i].sig, NULL, e);
	}
	for (size_t j = 0; j < n_b && !rc; j++)
		if (!b[j].done)
			rc = tell(k, CHANGE_ADDED, &b[j], true, NULL, b[j].sig, e);
	return rc;
}

static size_t group(const struct syms *l, size_t i)
{
	size_t n = 1;

	while (i + n < l->n && same_key(&l->v[i], &l->v[i + n]))
		n++;
	return n;
}

struct named {
	const char *symbol;
	enum diff_kind kind;
};

static int cmp_named(const void *x, const void *y)
{
	const struct named *a = x, *b = y;
	int d = strcmp(a->symbol, b->symbol);

	return d ? d : a->kind < b->kind ? -1 : a->kind > b->kind;
}

/* A struct that is gone or new says it for its members: those from `start` on are dropped. */
static int fold_members(struct diff_report *r, size_t start, struct err *e)
{
	size_t n = 0, k = start;
	struct named *v = calloc(r->n_change - start + 1, sizeof(*v));

	if (!v)
		return err_nomem(e);
	for (size_t i = start; i < r->n_change; i++)
		if (r->change[i].kind == CHANGE_REMOVED || r->change[i].kind == CHANGE_ADDED)
			v[n++] = (struct named){ diff_word(r, r->change[i].symbol), r->change[i].kind };
	qsort(v, n, sizeof(*v), cmp_named);
	for (size_t i = start; i < r->n_change; i++) {
		struct diff_change *c = &r->change[i];
		const char *symbol = diff_word(r, c->symbol), *tail = last_part(symbol);
		size_t len = (size_t)(tail - symbol);
		struct named want = { NULL, c->kind };
		char *scope;
		bool told = false;

		while (len && strchr(".:", symbol[len - 1]))
			len--;
		if (len && (c->kind == CHANGE_REMOVED || c->kind == CHANGE_ADDED)) {
			want.symbol = scope = strndup(symbol, len);
			told = scope && bsearch(&want, v, n, sizeof(*v), cmp_named);
			free(scope);
		}
		if (!told)
			r->change[k++] = *c;
	}
	r->n_change = k;
	free(v);
	return 0;
}

int diff_symbols(struct diff_report *r, uint32_t file, const struct document *a, const struct document *b,
		 struct err *e)
{
	const struct diff_file *f = &r->file[file];
	struct compare k = { r, file, a, b };
	struct syms l[2];
	char *new_path = strdup(diff_word(r, f->path)), *old_path = strdup(diff_word(r, f->old_path ? f->old_path : f->path));
	size_t i = 0, j = 0, start = r->n_change;
	int rc = new_path && old_path ? gather(&l[0], a, old_path, e) : err_nomem(e);

	if (rc) {
		free(new_path);
		free(old_path);
		return rc;
	}
	rc = gather(&l[1], b, new_path, e);
	while (!rc && (i < l[0].n || j < l[1].n)) {
		size_t n = i < l[0].n ? group(&l[0], i) : 0, m = j < l[1].n ? group(&l[1], j) : 0;
		struct sym x, y;
		int d;

		if (n && m) {
			x = l[0].v[i];
			y = l[1].v[j];
			x.at = y.at = 0;	/* names and kinds alone */
			d = cmp_sym(&x, &y);
		} else {
			d = n ? -1 : 1;
		}
		rc = compare_group(&k, &l[0].v[i], d <= 0 ? n : 0, &l[1].v[j], d >= 0 ? m : 0, e);
		i += d <= 0 ? n : 0;
		j += d >= 0 ? m : 0;
	}
	if (!rc)
		rc = fold_members(r, start, e);
	free(l[0].v);
	free(l[1].v);
	free(new_path);
	free(old_path);
	return rc;
}

/* ---- from file to file ---- */

static int cmp_name(const void *x, const void *y, void *arg)
{
	const struct diff_report *r = arg;
	const struct diff_change *a = &r->change[*(const size_t *)x], *b = &r->change[*(const size_t *)y];
	int d = strcmp(diff_word(r, a->symbol), diff_word(r, b->symbol));

	if (!d)
		d = strcmp(diff_word(r, a->type), diff_word(r, b->type));
	return d ? d : a->kind != b->kind ? (a->kind == CHANGE_ADDED ? 1 : -1) : 0;
}

static bool same_name(const struct diff_report *r, const struct diff_change *a, const struct diff_change *b)
{
	return !strcmp(diff_word(r, a->symbol), diff_word(r, b->symbol)) &&
	       !strcmp(diff_word(r, a->type), diff_word(r, b->type));
}

/* A declaration tells nothing beside the definition that changed in the same way. */
static void drop_prototypes(struct diff_report *r)
{
	size_t k = 0;

	for (size_t i = 0; i < r->n_change; i++) {
		struct diff_change *c = &r->change[i];
		bool drop = false;

		for (size_t j = i; !strcmp(diff_word(r, c->type), "prototype") && j-- > 0 && i - j < 2000 && !drop;)
			if (r->change[j].kind == c->kind && !strcmp(diff_word(r, r->change[j].type), "function") &&
			    !strcmp(diff_word(r, r->change[j].symbol), diff_word(r, c->symbol))) {
				r->change[j].is_public |= c->is_public;
				drop = true;
			}
		if (!drop)
			r->change[k++] = *c;
	}
	r->n_change = k;
}

void diff_symbols_moved(struct diff_report *r)
{
	size_t *v = malloc((r->n_change + 1) * sizeof(*v)), n = 0, k = 0;

	if (!v)
		return;		/* they stay removed and added: true as well */
	for (size_t i = 0; i < r->n_change; i++)
		if (r->change[i].symbol && (r->change[i].kind == CHANGE_REMOVED || r->change[i].kind == CHANGE_ADDED))
			v[n++] = i;
	qsort_r(v, n, sizeof(*v), cmp_name, r);
	for (size_t i = 0; i < n;) {
		size_t m = 1;
		struct diff_change *a, *b;

		while (i + m < n && same_name(r, &r->change[v[i]], &r->change[v[i + m]]))
			m++;
		a = &r->change[v[i]];
		b = &r->change[v[i + 1 < n ? i + 1 : i]];
		/* One gone, one new: only then is it certain which became which. */
		if (m == 2 && a->kind == CHANGE_REMOVED && b->kind == CHANGE_ADDED && a->file != b->file &&
		    !strcmp(diff_word(r, a->before), diff_word(r, b->after))) {
			const struct diff_file *from = &r->file[a->file];

			a->kind = CHANGE_MOVED;
			a->before = from->old_path ? from->old_path : from->path;
			a->after = r->file[b->file].path;
			a->file = b->file;
			a->on_new = true;
			a->first = b->first;
			a->last = b->last;
			a->hunk = b->hunk;
			b->symbol = 0;		/* told with the other one */
		}
		i += m;
	}
	for (size_t i = 0; i < r->n_change; i++)
		if (r->change[i].symbol || r->change[i].kind != CHANGE_ADDED)
			r->change[k++] = r->change[i];
	r->n_change = k;
	free(v);
	drop_prototypes(r);
}
