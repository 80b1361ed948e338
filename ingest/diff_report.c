#include "config.h"

#include "ingest/diff.h"

#include "base/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *diff_status_name(enum diff_status s)
{
	static const char *const name[] = { "modified", "added", "deleted", "renamed", "type_changed" };

	return name[s];
}

const char *diff_kind_name(enum diff_kind k)
{
	static const char *const name[] = { "removed", "file_removed", "signature_changed", "default_changed",
					    "value_changed", "moved", "mode_changed", "number_changed", "added" };

	return name[k];
}

const char *diff_fate_name(enum diff_fate f)
{
	static const char *const name[] = { "moved", "moved_and_edited", "rewritten", "added", "removed",
					    "reflowed" };

	return name[f];
}

const char *diff_word(const struct diff_report *r, uint32_t at)
{
	return at && at < r->words.len ? r->words.data + at : "";
}

bool diff_is_empty(const struct diff_report *r)
{
	return r->n_file == 0;
}

uint32_t diff_keep(struct diff_report *r, const char *s, size_t n)
{
	size_t at;

	if (!r->words.len)
		buf_addc(&r->words, 0);
	at = r->words.len;
	n = strnlen(s, n);
	if (!n || at + n > UINT32_MAX - 2)
		return 0;
	buf_add(&r->words, s, n);
	buf_addc(&r->words, 0);
	return r->words.failed ? 0 : (uint32_t)at;
}

/* Room for one more in a growing array. */
static int grow(void **v, size_t n, size_t *cap, size_t size, struct err *e)
{
	size_t more = *cap ? 2 * *cap : 64;
	void *p;

	if (n < *cap)
		return 0;
	p = reallocarray(*v, more, size);
	if (!p)
		return err_nomem(e);
	*v = p;
	*cap = more;
	return 0;
}

int diff_add_change(struct diff_report *r, const struct diff_change *c, struct err *e)
{
	int rc = grow((void **)&r->change, r->n_change, &r->cap_change, sizeof(*c), e);

	if (!rc)
		r->change[r->n_change++] = *c;
	return rc;
}

int diff_add_section(struct diff_report *r, const struct diff_section *s, struct err *e)
{
	int rc = grow((void **)&r->section, r->n_section, &r->cap_section, sizeof(*s), e);

	if (!rc)
		r->section[r->n_section++] = *s;
	return rc;
}

int diff_add_sentence(struct diff_report *r, uint32_t file, const char *text, size_t n, const uint32_t *hunk,
		      size_t n_hunk, bool by_model, struct err *e)
{
	struct diff_sentence s = { .file = file, .ref = (uint32_t)r->n_ref, .n_ref = (uint32_t)n_hunk,
				   .by_model = by_model };
	int rc = grow((void **)&r->sentence, r->n_sentence, &r->cap_sentence, sizeof(s), e);

	for (size_t i = 0; i < n_hunk && !rc; i++) {
		rc = grow((void **)&r->ref, r->n_ref, &r->cap_ref, sizeof(*r->ref), e);
		if (!rc)
			r->ref[r->n_ref++] = hunk[i];
	}
	s.text = diff_keep(r, text, n);
	if (!rc && r->words.failed)
		rc = err_nomem(e);
	if (!rc)
		r->sentence[r->n_sentence++] = s;
	return rc;
}

void diff_note(struct diff_report *r, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_adds(&r->notes, line);
	buf_addc(&r->notes, '\n');
}

void diff_release(struct diff_report *r)
{
	buf_release(&r->words);
	buf_release(&r->text);
	buf_release(&r->not_compared);
	buf_release(&r->notes);
	free(r->file);
	free(r->hunk);
	free(r->section);
	free(r->change);
	free(r->sentence);
	free(r->ref);
	*r = (struct diff_report){ 0 };
}

/* Does a hunk change a line of [first, last] there?  Context does not count where it is known. */
static bool touches(const struct diff_report *r, const struct diff_hunk *h, bool on_new, uint64_t first,
		    uint64_t last)
{
	uint64_t from = on_new ? h->new_first : h->old_first, n = on_new ? h->new_n : h->old_n, line = from;
	const char *p = r->text.data + h->text, *end = p + h->n_text;
	char want = on_new ? '+' : '-', other = on_new ? '-' : '+';

	if (!n || last < from || first >= from + n)
		return false;
	if (h->cut || !h->n_text)
		return true;
	for (; p < end; p += strcspn(p, "\n") + 1) {
		if (*p == other) {
			/* Lines gone from between two of the range have changed it as well. */
			if (line > first && line <= last)
				return true;
			continue;
		}
		if (*p == want && line >= first && line <= last)
			return true;
		line++;
	}
	return false;
}

uint32_t diff_hunk_at(const struct diff_report *r, uint32_t file, bool on_new, uint64_t first, uint64_t last)
{
	const struct diff_file *f = &r->file[file];
	size_t lo = f->hunk, hi = (size_t)f->hunk + f->n_hunk;

	/* Hunks are in order on both sides: skip those that end before. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct diff_hunk *h = &r->hunk[mid];

		if ((on_new ? h->new_first + h->new_n : h->old_first + h->old_n) <= first)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < (size_t)f->hunk + f->n_hunk; lo++) {
		const struct diff_hunk *h = &r->hunk[lo];

		if (touches(r, h, on_new, first, last))
			return (uint32_t)lo;
		if ((on_new ? h->new_first : h->old_first) > last)
			break;
	}
	return UINT32_MAX;
}

/* ---- order ---- */

static int cmp_change(const void *x, const void *y, void *arg)
{
	const struct diff_change *a = x, *b = y;

	(void)arg;
	if ((a->kind == CHANGE_ADDED) != (b->kind == CHANGE_ADDED))
		return a->kind == CHANGE_ADDED ? 1 : -1;
	if (a->is_public != b->is_public)
		return a->is_public ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return a->symbol < b->symbol ? -1 : a->symbol > b->symbol;
}

void diff_order_changes(struct diff_report *r)
{
	if (r->n_change)
		qsort_r(r->change, r->n_change, sizeof(*r->change), cmp_change, r);
}

static int cmp_sentence(const void *x, const void *y)
{
	const struct diff_sentence *a = x, *b = y;
	/* UINT32_MAX + 1 is 0: the overview comes first. */
	uint32_t fa = a->file + 1, fb = b->file + 1;

	if (fa != fb)
		return fa < fb ? -1 : 1;
	if (a->by_model != b->by_model)
		return a->by_model ? -1 : 1;
	return a->ref < b->ref ? -1 : a->ref > b->ref ? 1 : a->text < b->text ? -1 : a->text > b->text;
}

void diff_order_sentences(struct diff_report *r)
{
	if (r->n_sentence)
		qsort(r->sentence, r->n_sentence, sizeof(*r->sentence), cmp_sentence);
}

static int cmp_size(const void *x, const void *y, void *arg)
{
	const struct diff_report *r = arg;
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
	uint64_t n = r->file[i].insertions + r->file[i].deletions, m = r->file[j].insertions + r->file[j].deletions;

	return n != m ? (n > m ? -1 : 1) : i < j ? -1 : i > j;
}

int diff_limit(struct diff_report *r, size_t n, const char *why, bool drop, struct err *e)
{
	uint32_t *v, word;
	size_t k = 0;

	if (n >= r->n_file)
		return 0;
	v = malloc(r->n_file * sizeof(*v));
	word = diff_keep(r, why, strlen(why));
	if (!v || !word) {
		free(v);
		return err_nomem(e);
	}
	for (uint32_t i = 0; i < r->n_file; i++)
		v[i] = i;
	qsort_r(v, r->n_file, sizeof(*v), cmp_size, r);
	for (size_t i = n; i < r->n_file; i++)
		r->file[v[i]].unsaid = word;
	free(v);
	for (size_t i = 0; i < r->n_sentence; i++)
		if (!drop || r->sentence[i].file == UINT32_MAX || r->file[r->sentence[i].file].unsaid != word)
			r->sentence[k++] = r->sentence[i];
	r->n_sentence = k;
	return 0;
}
