/* The report for a terminal: wrapped to its width, coloured where it can, links where it can. */
#include "config.h"

#include "cmd/cmd_diff.h"

#include "base/size.h"
#include "base/utf8.h"
#include "ingest/diff_side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_CHANGES = 10, MEDIUM_CHANGES = 40, SHOWN_ADDED = 20 };

static void style(const struct diff_view *v, struct buf *out, enum style s)
{
	buf_adds(out, term_style(v->t, s));
}

static void heading(const struct diff_view *v, struct buf *out, const char *text)
{
	buf_addf(out, "\n%s%s%s\n", term_style(v->t, STYLE_BOLD), text, term_style(v->t, STYLE_PLAIN));
}

/* Escaped text, broken at blanks; words longer than a line are broken anywhere. */
static void wrapped(const struct diff_view *v, struct buf *out, const char *text, size_t n, size_t first, size_t rest)
{
	size_t width = (size_t)v->t->width, at = first;
	struct buf safe = { 0 };

	term_text(&safe, text, n, false);
	for (size_t i = 0; i < safe.len;) {
		size_t k = strcspn(safe.data + i, " "), cols = term_columns(safe.data + i, k);
		bool begins = at == first || at == rest;

		if (!begins && at + 1 + cols > width) {
			buf_addf(out, "\n%*s", (int)rest, "");
			at = rest;
			begins = true;
		}
		if (!begins) {
			buf_addc(out, ' ');
			at++;
		}
		while (at + cols > width && k > 1 && width > rest + 4) {
			size_t part = 0, room = width - at, took = 0;

			while (part < k) {
				uint32_t c;
				size_t len = MAX(utf8_decode(safe.data + i + part, k - part, &c), (size_t)1);
				size_t w = term_columns(safe.data + i + part, len);

				if (took + w > room)
					break;
				part += len;
				took += w;
			}
			if (!part)
				break;
			buf_add(out, safe.data + i, part);
			buf_addf(out, "\n%*s", (int)rest, "");
			at = rest;
			i += part;
			k -= part;
			cols = term_columns(safe.data + i, k);
		}
		buf_add(out, safe.data + i, k);
		at += cols;
		i += k + (safe.data[i + k] == ' ');
	}
	buf_release(&safe);
}

/* path[:line], a link on a terminal that can. */
static void place(const struct diff_view *v, struct buf *out, const char *path, uint64_t line, bool on_new)
{
	struct buf shown = { 0 }, full = { 0 };

	if (line)
		buf_addf(&shown, "%s:%llu", path, (unsigned long long)line);
	else
		buf_adds(&shown, path);
	style(v, out, STYLE_PATH);
	if (v->base && on_new && !shown.failed) {
		buf_addf(&full, "%s/%s", v->base, path);
		term_link(out, v->t, full.data ? full.data : "", (long)line, shown.data);
	} else {
		term_text(out, shown.data ? shown.data : "", shown.len, false);
	}
	style(v, out, STYLE_PLAIN);
	buf_release(&shown);
	buf_release(&full);
}

/* " [h1, h2]", at most eight of them. */
static void refs_text(const struct diff_report *r, const struct diff_sentence *s, struct buf *out)
{
	enum { SHOWN = 8 };

	if (!s->n_ref)
		return;
	buf_adds(out, " [");
	for (uint32_t i = 0; i < s->n_ref && i < SHOWN; i++)
		buf_addf(out, "%sh%u", i ? "," : "", r->ref[s->ref + i] + 1);
	buf_addf(out, "%s]", s->n_ref > SHOWN ? ",…" : "");
}

static void sentence(const struct diff_view *v, struct buf *out, const struct diff_sentence *s, size_t indent)
{
	struct buf b = { 0 };

	/* The model's words are marked: they are its own, tied to hunks but not computed. */
	buf_addf(&b, "%s%s", s->by_model ? "~ " : "", diff_word(v->r, s->text));
	refs_text(v->r, s, &b);
	buf_addf(out, "%*s", (int)indent, "");
	wrapped(v, out, b.data ? b.data : "", b.len, indent, indent + (s->by_model ? 2 : 0));
	buf_addc(out, '\n');
	buf_release(&b);
}

/* ---- what is visible ---- */

static void change(const struct diff_view *v, struct buf *out, const struct diff_change *c)
{
	const struct diff_report *r = v->r;
	const struct diff_file *f = &r->file[c->file];
	const char *path = diff_word(r, c->on_new || !f->old_path ? f->path : f->old_path);
	bool narrow = v->t->width < 60;
	struct buf b = { 0 };

	style(v, out, c->kind == CHANGE_REMOVED || c->kind == CHANGE_FILE_REMOVED ? STYLE_BAD : STYLE_WARN);
	buf_addf(out, narrow ? "  %s " : "  %-12s ", diff_kind_word(c->kind));
	style(v, out, STYLE_PLAIN);
	if (c->symbol) {
		style(v, out, STYLE_BOLD);
		term_text(out, diff_word(r, c->symbol), strlen(diff_word(r, c->symbol)), false);
		style(v, out, STYLE_PLAIN);
		buf_adds(out, narrow ? "\n    " : "  ");
	}
	place(v, out, path, c->first, c->on_new);
	if (narrow && 4 + term_columns(path, strlen(path)) + 24 > (size_t)v->t->width)
		buf_adds(out, "\n   ");
	if (c->hunk != UINT32_MAX)
		buf_addf(out, "  %sh%u%s", term_style(v->t, STYLE_DIM), c->hunk + 1, term_style(v->t, STYLE_PLAIN));
	if (!c->is_public)
		buf_addf(out, "  %sinternal%s", term_style(v->t, STYLE_DIM), term_style(v->t, STYLE_PLAIN));
	buf_addc(out, '\n');
	if (c->kind == CHANGE_REMOVED || (!c->before && !c->after)) {
		buf_release(&b);
		return;
	}
	buf_addf(&b, "%s → %s", c->before ? diff_word(r, c->before) : "(nothing)",
		 c->after ? diff_word(r, c->after) : "(nothing)");
	buf_addf(out, "%*s", narrow ? 4 : 15, "");
	wrapped(v, out, b.data ? b.data : "", b.len, narrow ? 4 : 15, narrow ? 4 : 15);
	buf_addc(out, '\n');
	buf_release(&b);
}

static size_t count_changes(const struct diff_report *r, bool added)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_change; i++)
		n += (r->change[i].kind == CHANGE_ADDED) == added;
	return n;
}

static void more(const struct diff_view *v, struct buf *out, size_t n)
{
	if (n)
		buf_addf(out, "  %sand %zu more: --length full%s\n", term_style(v->t, STYLE_DIM), n,
			 term_style(v->t, STYLE_PLAIN));
}

static void changes(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;
	size_t n = count_changes(r, false), added = count_changes(r, true);
	size_t max = v->length == DIFF_SHORT ? SHORT_CHANGES : v->length == DIFF_MEDIUM ? MEDIUM_CHANGES : SIZE_MAX;

	if (n)
		heading(v, out, "Breaking or visible changes");
	/* Added symbols are sorted to the end. */
	for (size_t i = 0; i < n && i < max; i++)
		change(v, out, &r->change[i]);
	more(v, out, n > max ? n - max : 0);
	if (!added || v->length == DIFF_SHORT)
		return;
	max = v->length == DIFF_FULL ? SIZE_MAX : SHOWN_ADDED;
	heading(v, out, "New symbols");
	for (size_t i = n, k = 0; i < r->n_change && k < max; i++, k++) {
		const struct diff_change *c = &r->change[i];

		buf_adds(out, "  ");
		term_text(out, diff_word(r, c->symbol), strlen(diff_word(r, c->symbol)), false);
		buf_adds(out, v->t->width < 60 ? "\n    " : "  ");
		place(v, out, diff_word(r, r->file[c->file].path), c->first, true);
		buf_addf(out, "  %sh%u%s\n", term_style(v->t, STYLE_DIM), c->hunk + 1, term_style(v->t, STYLE_PLAIN));
	}
	more(v, out, added > max ? added - max : 0);
}

/* ---- files ---- */

static void section(const struct diff_view *v, struct buf *out, const struct diff_section *s)
{
	static const char *const word[] = { "moved", "moved and edited", "rewritten", "added", "removed", "reflowed" };
	const struct diff_report *r = v->r;
	struct buf b = { 0 };

	buf_addf(&b, "%s: “%s”", word[s->fate], diff_word(r, s->start));
	if (s->fate == FATE_EDITED_AND_MOVED || s->fate == FATE_REWRITTEN)
		buf_addf(&b, ", %u %% of its words stayed", s->share);
	for (int i = 0; i < 2; i++) {
		uint64_t first = i ? s->new_first : s->old_first, last = i ? s->new_last : s->old_last;
		uint32_t page = i ? s->new_page : s->old_page, head = i ? s->new_head : s->old_head;

		if (!first)
			continue;
		buf_addf(&b, "%s", i && s->old_first ? " →" : ",");
		if (page)
			buf_addf(&b, " page %u,", page);
		buf_addf(&b, first == last ? " line %llu" : " lines %llu–%llu", (unsigned long long)first,
			 (unsigned long long)last);
		if (head && strcmp(diff_word(r, head), diff_word(r, s->start)))
			buf_addf(&b, " under “%s”", diff_word(r, head));
		if (s->hunk[i] != UINT32_MAX)
			buf_addf(&b, " [h%u]", s->hunk[i] + 1);
	}
	buf_adds(out, "      ");
	wrapped(v, out, b.data ? b.data : "", b.len, 6, 8);
	buf_addc(out, '\n');
	buf_release(&b);
}

static void hunk(const struct diff_view *v, struct buf *out, uint32_t i)
{
	const struct diff_report *r = v->r;
	const struct diff_hunk *h = &r->hunk[i];
	const char *p = r->text.data + h->text, *end = p + h->n_text;

	buf_addf(out, "    %sh%u  @@ -%llu,%llu +%llu,%llu @@ ", term_style(v->t, STYLE_LINE), i + 1,
		 (unsigned long long)h->old_first, (unsigned long long)h->old_n, (unsigned long long)h->new_first,
		 (unsigned long long)h->new_n);
	term_text(out, diff_word(r, h->head), strlen(diff_word(r, h->head)), false);
	buf_addf(out, "%s\n", term_style(v->t, STYLE_PLAIN));
	for (; p < end; p += strcspn(p, "\n") + 1) {
		size_t n = strcspn(p, "\n");

		buf_adds(out, "    ");
		if (*p != ' ')
			style(v, out, *p == '+' ? STYLE_GOOD : STYLE_BAD);
		term_text(out, p, n && p[n - 1] == '\r' ? n - 1 : n, false);
		if (*p != ' ')
			style(v, out, STYLE_PLAIN);
		buf_addc(out, '\n');
	}
	if (h->cut)
		buf_addf(out, "    %s(more lines than are kept)%s\n", term_style(v->t, STYLE_DIM), term_style(v->t, STYLE_PLAIN));
}

static void bar(const struct diff_view *v, struct buf *out, const struct diff_file *f, uint64_t largest)
{
	enum { WIDTH = 20 };
	uint64_t n = f->insertions + f->deletions, cells = n;
	uint64_t plus;

	if (v->t->width < 60 || !n)
		return;
	if (largest > WIDTH)
		cells = MAX(n * WIDTH / largest, (uint64_t)1);
	plus = (f->insertions * cells + n / 2) / n;
	buf_addf(out, "  %s", term_style(v->t, STYLE_GOOD));
	for (uint64_t i = 0; i < plus; i++)
		buf_addc(out, '+');
	style(v, out, STYLE_PLAIN);
	style(v, out, STYLE_BAD);
	for (uint64_t i = plus; i < cells; i++)
		buf_addc(out, '-');
	style(v, out, STYLE_PLAIN);
}

static void file(const struct diff_view *v, struct buf *out, uint32_t i, uint64_t largest, size_t *at, size_t *sec)
{
	const struct diff_report *r = v->r;
	const struct diff_file *f = &r->file[i];

	buf_addf(out, "  %s%c%s ", term_style(v->t, STYLE_BOLD), diff_status_letter(f->status), term_style(v->t, STYLE_PLAIN));
	place(v, out, diff_word(r, f->path), 0, f->status != DIFF_DELETED);
	if (f->old_path) {
		buf_adds(out, " ← ");
		term_text(out, diff_word(r, f->old_path), f->n_old_path, false);
		if (f->score)
			buf_addf(out, " (%u %%)", f->score);
	}
	if (v->t->width < 60 && 4 + term_columns(diff_word(r, f->path), f->n_path) + 16 > (size_t)v->t->width)
		buf_adds(out, "\n   ");
	if (f->binary)
		buf_adds(out, "  binary");
	else
		buf_addf(out, "  +%llu −%llu", (unsigned long long)f->insertions, (unsigned long long)f->deletions);
	bar(v, out, f, largest);
	buf_addc(out, '\n');
	for (; *at < r->n_sentence && r->sentence[*at].file == i; ++*at)
		if (v->length != DIFF_SHORT || r->sentence[*at].by_model)
			sentence(v, out, &r->sentence[*at], 4);
	for (; *sec < r->n_section && r->section[*sec].file == i; ++*sec)
		if (v->length != DIFF_SHORT)
			section(v, out, &r->section[*sec]);
	if (f->note && v->length != DIFF_SHORT && f->note != f->unsaid) {
		buf_adds(out, "    ");
		wrapped(v, out, diff_word(r, f->note), strlen(diff_word(r, f->note)), 4, 4);
		buf_addc(out, '\n');
	}
	for (uint32_t h = 0; h < f->n_hunk && v->length == DIFF_FULL; h++)
		hunk(v, out, f->hunk + h);
}

static void unsaid(const struct diff_view *v, struct buf *out)
{
	enum { SHOWN = 20 };
	size_t n = diff_count_unsaid(v), at = 0, k = 0;
	const char *path, *why;

	if (!n)
		return;
	heading(v, out, "Not summarised");
	while (diff_next_unsaid(v, &at, &path, &why) && (k < SHOWN || v->length == DIFF_FULL)) {
		struct buf b = { 0 };

		buf_addf(&b, "%s: %s", path, why);
		buf_adds(out, "  ");
		wrapped(v, out, b.data ? b.data : "", b.len, 2, 4);
		buf_addc(out, '\n');
		buf_release(&b);
		k++;
	}
	more(v, out, n - k);
}

static void head(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;
	struct buf b = { 0 };

	style(v, out, STYLE_BOLD);
	term_text(out, side_label(r->a), strlen(side_label(r->a)), false);
	buf_adds(out, " → ");
	term_text(out, side_label(r->b), strlen(side_label(r->b)), false);
	style(v, out, STYLE_PLAIN);
	buf_addc(out, '\n');
	diff_stat_line(r, &b);
	if (r->added || r->deleted || r->renamed)
		buf_addf(&b, "; %llu added, %llu deleted, %llu renamed", (unsigned long long)r->added,
			 (unsigned long long)r->deleted, (unsigned long long)r->renamed);
	wrapped(v, out, b.data ? b.data : "", b.len, 0, 0);
	buf_addc(out, '\n');
	buf_release(&b);
}

void diff_write_term(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;
	const char *p = r->notes.data ? r->notes.data : "";
	uint64_t largest = 0;
	size_t at = 0, sec = 0;

	if (diff_is_empty(r)) {
		buf_adds(out, r->n_not_compared ? "no differences in what could be compared\n" :
			 r->interrupted ? "interrupted before a difference was found\n" : "no differences\n");
		unsaid(v, out);
		return;
	}
	head(v, out);
	if (r->sentence && r->n_sentence && r->sentence[0].file == UINT32_MAX)
		heading(v, out, "Overview");
	for (; at < r->n_sentence && r->sentence[at].file == UINT32_MAX; at++)
		sentence(v, out, &r->sentence[at], 2);
	changes(v, out);
	heading(v, out, "Files");
	for (size_t i = 0; i < r->n_file; i++)
		largest = MAX(largest, r->file[i].insertions + r->file[i].deletions);
	for (uint32_t i = 0; i < r->n_file; i++)
		file(v, out, i, largest, &at, &sec);
	unsaid(v, out);
	if (v->model) {
		buf_adds(out, "\n");
		style(v, out, STYLE_DIM);
		buf_addf(out, "~ worded by ");
		term_text(out, v->model, strlen(v->model), false);
		buf_addf(out, "; %u sentence%s cut that could not be tied to %s hunk", r->n_cut, r->n_cut == 1 ? "" : "s",
			 r->n_cut == 1 ? "a" : "any");
		style(v, out, STYLE_PLAIN);
		buf_addc(out, '\n');
	}
	for (; *p; p += strcspn(p, "\n") + 1) {
		buf_adds(out, "note: ");
		wrapped(v, out, p, strcspn(p, "\n"), 6, 6);
		buf_addc(out, '\n');
	}
}
