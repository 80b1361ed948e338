/* Sentences from the facts alone (diff.h, diff_say_facts): what the report says without a model. */
#include "config.h"

#include "ingest/diff.h"

#include "base/size.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_FILE = 6, NAMES_ALL = 8, REFS_MAX = 24, PLACES_MAX = 4 };

/* Changes and sections by file, so that many files with many changes stay quick. */
struct index {
	const struct diff_change **change;	/* grouped by file, in order of importance in each */
	size_t *first;				/* [n_file + 1] */
	size_t *section;			/* [n_file + 1]: sections are in order of files */
	const struct diff_change **found;	/* room for pick */
};

static int make_index(const struct diff_report *r, struct index *x, struct err *e)
{
	x->change = calloc(r->n_change + 1, sizeof(*x->change));
	x->found = calloc(r->n_change + 1, sizeof(*x->found));
	x->first = calloc(r->n_file + 2, sizeof(*x->first));
	x->section = calloc(r->n_file + 2, sizeof(*x->section));
	if (!x->change || !x->found || !x->first || !x->section)
		return err_nomem(e);
	for (size_t i = 0; i < r->n_change; i++)
		x->first[r->change[i].file + 2]++;
	for (size_t i = 0; i < r->n_section; i++)
		x->section[r->section[i].file + 1]++;
	for (size_t i = 0; i < r->n_file; i++) {
		x->first[i + 2] += x->first[i + 1];
		x->section[i + 1] += x->section[i];
	}
	for (size_t i = 0; i < r->n_change; i++)
		x->change[x->first[r->change[i].file + 1]++] = &r->change[i];
	return 0;
}

static void drop_index(struct index *x)
{
	free(x->change);
	free(x->found);
	free(x->first);
	free(x->section);
}

/* A sentence that grows: its words and its hunks, each once. */
struct saying {
	struct buf text;
	uint32_t ref[REFS_MAX];
	size_t n_ref;
};

static void add_ref(struct saying *s, uint32_t hunk)
{
	if (hunk == UINT32_MAX || s->n_ref == REFS_MAX)
		return;
	for (size_t i = 0; i < s->n_ref; i++)
		if (s->ref[i] == hunk)
			return;
	s->ref[s->n_ref++] = hunk;
}

static int put(struct diff_report *r, uint32_t file, struct saying *s, struct err *e)
{
	int rc = 0;

	if (s->text.len && s->text.data[s->text.len - 1] != '.')
		buf_addc(&s->text, '.');
	if (s->text.failed)
		rc = err_nomem(e);
	else if (s->text.len)
		s->text.data[0] = (char)toupper((unsigned char)s->text.data[0]);
	if (!rc && s->text.len)
		rc = diff_add_sentence(r, file, s->text.data, s->text.len, s->ref, s->n_ref, false, e);
	buf_release(&s->text);
	*s = (struct saying){ 0 };
	return rc;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* "`a`, `b` and 3 more": changes of one kind among those given. */
static void add_names(struct diff_report *r, struct saying *s, const struct diff_change *const *v, size_t n,
		      size_t most)
{
	size_t shown = MIN(n, most);

	for (size_t i = 0; i < n; i++) {
		add_ref(s, v[i]->hunk);
		if (i >= shown)
			continue;
		buf_addf(&s->text, "%s`%s`", !i ? "" : i + 1 == n ? " and " : ", ", diff_word(r, v[i]->symbol));
	}
	if (n > shown)
		buf_addf(&s->text, " and %zu more", n - shown);
}

struct wording {
	enum diff_kind kind;
	const char *file, *all;		/* how a sentence begins: of one file, of all */
};

static const struct wording wordings[] = {
	{ CHANGE_REMOVED, "removes ", "Removed: " },
	{ CHANGE_SIGNATURE, "changes the signature of ", "Signatures changed: " },
	{ CHANGE_DEFAULT, "changes defaults of ", "Defaults changed: " },
	{ CHANGE_VALUE, "changes the value of ", "Values changed: " },
	{ CHANGE_MOVED, "takes over ", "Moved to another file: " },
	{ CHANGE_ADDED, "adds ", "New: " },
};

/* Changes of symbols of one kind, of one file or (UINT32_MAX) of all, then only public ones. */
static size_t pick(const struct diff_report *r, const struct index *x, uint32_t file, enum diff_kind kind)
{
	size_t n = 0, i = file == UINT32_MAX ? 0 : x->first[file], end = file == UINT32_MAX ? r->n_change : x->first[file + 1];

	for (; i < end; i++) {
		const struct diff_change *c = file == UINT32_MAX ? &r->change[i] : x->change[i];

		if (c->kind == kind && c->symbol && (file != UINT32_MAX || c->is_public))
			x->found[n++] = c;
	}
	return n;
}

/* ---- one file ---- */

static void how_it_came(struct diff_report *r, const struct diff_file *f, struct saying *s)
{
	switch (f->status) {
	case DIFF_ADDED:
		buf_addf(&s->text, f->binary ? "new binary file" : "new file, %llu line%s",
			 (unsigned long long)f->insertions, plural(f->insertions));
		break;
	case DIFF_DELETED:
		buf_addf(&s->text, f->binary ? "deleted, a binary file" : "deleted, %llu line%s",
			 (unsigned long long)f->deletions, plural(f->deletions));
		break;
	case DIFF_RENAMED:
		buf_addf(&s->text, "was `%s`, %u %% alike", diff_word(r, f->old_path), f->score);
		break;
	case DIFF_TYPE:
		buf_adds(&s->text, "became another kind of file");
		break;
	case DIFF_MODIFIED:
		if (f->binary)
			buf_adds(&s->text, "binary content changed");
		break;
	}
	if (s->text.len)
		for (uint32_t i = 0; i < f->n_hunk && i < 1; i++)
			add_ref(s, f->hunk + i);
}

static void join(struct saying *s)
{
	if (s->text.len)
		buf_adds(&s->text, "; ");
}

static void what_moved(struct diff_report *r, const struct index *x, uint32_t file, struct saying *s)
{
	static const char *const one[] = { "moves a section", "moves a section and edits it", "rewrites a paragraph",
					   "adds text", "removes text", "breaks lines otherwise, words unchanged" };
	static const char *const many[] = { "moves %zu sections", "moves %zu sections and edits them",
					    "rewrites %zu paragraphs", "adds text in %zu places",
					    "removes text in %zu places", "breaks lines of %zu stretches otherwise" };

	for (int fate = 0; fate <= FATE_REFLOWED; fate++) {
		size_t n = 0;

		for (size_t i = x->section[file]; i < x->section[file + 1]; i++)
			if ((int)r->section[i].fate == fate) {
				if (!n++)
					join(s);
				add_ref(s, r->section[i].hunk[0]);
				add_ref(s, r->section[i].hunk[1]);
			}
		if (n == 1)
			buf_adds(&s->text, one[fate]);
		else if (n)
			buf_addf(&s->text, many[fate], n);
	}
}

static void which_numbers(struct diff_report *r, const struct index *x, uint32_t file, struct saying *s)
{
	size_t n = 0;

	for (size_t i = x->first[file]; i < x->first[file + 1]; i++) {
		const struct diff_change *c = x->change[i];

		if (c->kind != CHANGE_NUMBER)
			continue;
		if (!n)
			join(s);
		if (n < NAMES_FILE)
			buf_addf(&s->text, "%s%s becomes %s", n ? ", " : "", diff_word(r, c->before), diff_word(r, c->after));
		add_ref(s, c->hunk);
		n++;
	}
	if (n > NAMES_FILE)
		buf_addf(&s->text, " and %zu more numbers", n - NAMES_FILE);
}

/* What stands around the hunks, where nothing better is known. */
static void which_places(struct diff_report *r, const struct diff_file *f, struct saying *s)
{
	size_t n = 0;

	join(s);
	buf_addf(&s->text, "%u place%s changed", f->n_hunk, plural(f->n_hunk));
	for (uint32_t i = 0; i < f->n_hunk; i++) {
		const struct diff_hunk *h = &r->hunk[f->hunk + i];
		const char *head = diff_word(r, h->head);
		bool seen = !*head;

		add_ref(s, f->hunk + i);
		for (uint32_t j = 0; j < i && !seen; j++)
			seen = !strcmp(diff_word(r, r->hunk[f->hunk + j].head), head);
		if (seen || n == PLACES_MAX)
			continue;
		buf_addf(&s->text, "%s`%s`", n ? ", " : ", in ", head);
		n++;
	}
}

static int say_file(struct diff_report *r, const struct index *x, uint32_t file, struct err *e)
{
	const struct diff_file *f = &r->file[file];
	struct saying s = { 0 };

	how_it_came(r, f, &s);
	for (size_t i = 0; i < ARRAY_LEN(wordings) && f->status != DIFF_DELETED; i++) {
		size_t n = pick(r, x, file, wordings[i].kind);

		if (!n)
			continue;
		join(&s);
		buf_adds(&s.text, wordings[i].file);
		add_names(r, &s, x->found, n, NAMES_FILE);
	}
	what_moved(r, x, file, &s);
	which_numbers(r, x, file, &s);
	for (size_t i = x->first[file]; i < x->first[file + 1]; i++)
		if (x->change[i]->kind == CHANGE_MODE) {
			join(&s);
			buf_addf(&s.text, "%s becomes %s", diff_word(r, x->change[i]->before),
				 diff_word(r, x->change[i]->after));
		}
	if (f->n_hunk && (!s.text.len || (f->status == DIFF_RENAMED && !s.n_ref)))
		which_places(r, f, &s);
	return put(r, file, &s, e);
}

/* ---- the overview ---- */

static int cmp_lines(const void *x, const void *y, void *arg)
{
	const struct diff_report *r = arg;
	const struct diff_file *a = &r->file[*(const size_t *)x], *b = &r->file[*(const size_t *)y];
	uint64_t n = a->insertions + a->deletions, m = b->insertions + b->deletions;

	return n != m ? (n > m ? -1 : 1) : *(const size_t *)x < *(const size_t *)y ? -1 : 1;
}

/* Where most of it is. */
static int say_largest(struct diff_report *r, struct err *e)
{
	enum { SHOWN = 3 };
	size_t *v = malloc((r->n_file + 1) * sizeof(*v)), n = MIN(r->n_file, (size_t)SHOWN);
	struct saying s = { 0 };

	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < r->n_file; i++)
		v[i] = i;
	qsort_r(v, r->n_file, sizeof(*v), cmp_lines, r);
	if (r->n_file > SHOWN) {
		buf_adds(&s.text, "Most lines changed in ");
		for (size_t i = 0; i < n; i++) {
			const struct diff_file *f = &r->file[v[i]];

			buf_addf(&s.text, "%s`%s` (+%llu −%llu)", !i ? "" : i + 1 == n ? " and " : ", ", diff_word(r, f->path),
				 (unsigned long long)f->insertions, (unsigned long long)f->deletions);
			for (uint32_t h = 0; h < f->n_hunk && h < 4; h++)
				add_ref(&s, f->hunk + h);
		}
		buf_adds(&s.text, ".");
	}
	free(v);
	return put(r, UINT32_MAX, &s, e);
}

static int say_sections(struct diff_report *r, struct err *e)
{
	static const char *const word[] = { "moved", "moved and edited", "rewritten", "added", "removed", "reflowed" };
	struct saying s = { 0 };

	for (int fate = 0; fate <= FATE_REFLOWED; fate++) {
		size_t n = 0;

		for (size_t i = 0; i < r->n_section; i++)
			if ((int)r->section[i].fate == fate) {
				n++;
				add_ref(&s, r->section[i].hunk[0]);
				add_ref(&s, r->section[i].hunk[1]);
			}
		if (n)
			buf_addf(&s.text, "%s%zu %s", s.text.len ? ", " : "Sections of prose: ", n, word[fate]);
	}
	if (s.text.len)
		buf_adds(&s.text, ".");
	return put(r, UINT32_MAX, &s, e);
}

int diff_say_facts(struct diff_report *r, struct err *e)
{
	struct index x = { 0 };
	int rc = make_index(r, &x, e);

	if (!rc)
		rc = say_largest(r, e);

	for (size_t i = 0; i < ARRAY_LEN(wordings) && !rc; i++) {
		struct saying s = { 0 };
		size_t n = pick(r, &x, UINT32_MAX, wordings[i].kind);

		if (!n)
			continue;
		buf_adds(&s.text, wordings[i].all);
		add_names(r, &s, x.found, n, NAMES_ALL);
		buf_adds(&s.text, ".");
		rc = put(r, UINT32_MAX, &s, e);
	}
	if (!rc)
		rc = say_sections(r, e);
	for (size_t i = 0; i < r->n_file && !rc; i++)
		rc = say_file(r, &x, (uint32_t)i, e);
	drop_index(&x);
	if (!rc)
		diff_order_sentences(r);
	return rc;
}
