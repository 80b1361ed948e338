/* The report in Markdown, as GitHub and cmark-gfm read it. */
#include "config.h"

#include "cmd/cmd_diff.h"

#include "base/size.h"
#include "ingest/diff_side.h"

#include <stdio.h>
#include <string.h>

/* Text that must stay text: what Markdown and HTML could take for marks is escaped, control
 * characters are shown.  Backquotes stay when code is true: our own sentences use them. */
static void text(struct buf *out, const char *s, size_t n, bool code)
{
	struct buf safe = { 0 };

	term_text(&safe, s, n, false);
	for (size_t i = 0; i < safe.len; i++) {
		char c = safe.data[i];
		bool in = false;

		if (code && c == '`') {
			const char *end = memchr(safe.data + i + 1, '`', safe.len - i - 1);

			if (end) {	/* a code span: nothing in it is a mark */
				size_t k = (size_t)(end - (safe.data + i)) + 1;

				buf_add(out, safe.data + i, k);
				i += k - 1;
				in = true;
			}
		}
		if (in)
			continue;
		if (strchr("\\`*_{}[]<>#|!~&", c))
			buf_addc(out, '\\');
		buf_addc(out, c);
	}
	buf_release(&safe);
}

static void word(struct buf *out, const struct diff_report *r, uint32_t at)
{
	text(out, diff_word(r, at), strlen(diff_word(r, at)), false);
}

/* A code span that holds any text. */
static void code(struct buf *out, const char *s)
{
	struct buf safe = { 0 };
	size_t run = 0, most = 0;

	term_text(&safe, s, strlen(s), false);
	for (size_t i = 0; i < safe.len; i++) {
		run = safe.data[i] == '`' ? run + 1 : 0;
		most = MAX(most, run);
	}
	for (size_t i = 0; i <= most; i++)
		buf_addc(out, '`');
	/* In a table a bar ends the cell, in code as well. */
	for (size_t i = 0; i < safe.len; i++)
		if (safe.data[i] == '|')
			buf_adds(out, "\\|");
		else
			buf_addc(out, safe.data[i]);
	if (!safe.len)
		buf_addc(out, ' ');
	for (size_t i = 0; i <= most; i++)
		buf_addc(out, '`');
	buf_release(&safe);
}

static void place(const struct diff_view *v, struct buf *out, const char *path, uint64_t line, bool on_new)
{
	struct buf url = { 0 }, shown = { 0 };

	if (line)
		buf_addf(&shown, "%s:%llu", path, (unsigned long long)line);
	else
		buf_adds(&shown, path);
	if (diff_link(v, path, line, on_new, &url)) {
		buf_addc(out, '[');
		text(out, shown.data ? shown.data : "", shown.len, false);
		buf_addf(out, "](<%s>)", url.data ? url.data : "");
	} else {
		text(out, shown.data ? shown.data : "", shown.len, false);
	}
	buf_release(&url);
	buf_release(&shown);
}

static void sentence(struct buf *out, const struct diff_report *r, const struct diff_sentence *s)
{
	enum { SHOWN = 8 };

	buf_adds(out, s->by_model ? "- *" : "- ");
	text(out, diff_word(r, s->text), strlen(diff_word(r, s->text)), true);
	if (s->by_model)
		buf_addc(out, '*');
	for (uint32_t i = 0; i < s->n_ref && i < SHOWN; i++)
		buf_addf(out, "%sh%u", i ? ", " : " (", r->ref[s->ref + i] + 1);
	buf_adds(out, s->n_ref > SHOWN ? ", …)\n" : s->n_ref ? ")\n" : "\n");
}

static void changes(const struct diff_view *v, struct buf *out, bool added)
{
	const struct diff_report *r = v->r;
	size_t n = 0;

	for (size_t i = 0; i < r->n_change; i++) {
		const struct diff_change *c = &r->change[i];
		const struct diff_file *f = &r->file[c->file];

		if ((c->kind == CHANGE_ADDED) != added)
			continue;
		if (!n++)
			buf_addf(out, "\n## %s\n\n| | | where | hunk | |\n|---|---|---|---|---|\n",
				 added ? "New symbols" : "Breaking or visible changes");
		buf_addf(out, "| %s | ", diff_kind_word(c->kind));
		if (c->symbol)
			code(out, diff_word(r, c->symbol));
		buf_adds(out, " | ");
		place(v, out, diff_word(r, c->on_new || !f->old_path ? f->path : f->old_path), c->first, c->on_new);
		if (c->hunk != UINT32_MAX)
			buf_addf(out, " | h%u | ", c->hunk + 1);
		else
			buf_adds(out, " | | ");
		if (c->kind != CHANGE_REMOVED && c->kind != CHANGE_ADDED && (c->before || c->after)) {
			code(out, diff_word(r, c->before));
			buf_adds(out, " → ");
			code(out, diff_word(r, c->after));
		}
		buf_addf(out, "%s |\n", c->is_public ? "" : " internal");
	}
}

static void section(struct buf *out, const struct diff_report *r, const struct diff_section *s)
{
	static const char *const name[] = { "moved", "moved and edited", "rewritten", "added", "removed", "reflowed" };

	buf_addf(out, "- %s: “", name[s->fate]);
	word(out, r, s->start);
	buf_adds(out, "”");
	if (s->fate == FATE_EDITED_AND_MOVED || s->fate == FATE_REWRITTEN)
		buf_addf(out, ", %u %% of its words stayed", s->share);
	for (int i = 0; i < 2; i++) {
		uint64_t first = i ? s->new_first : s->old_first, last = i ? s->new_last : s->old_last;
		uint32_t page = i ? s->new_page : s->old_page;

		if (!first)
			continue;
		buf_addf(out, "%s", i && s->old_first ? " →" : ",");
		if (page)
			buf_addf(out, " page %u,", page);
		buf_addf(out, first == last ? " line %llu" : " lines %llu–%llu", (unsigned long long)first,
			 (unsigned long long)last);
		if (s->hunk[i] != UINT32_MAX)
			buf_addf(out, " (h%u)", s->hunk[i] + 1);
	}
	buf_addc(out, '\n');
}

static void hunk(struct buf *out, const struct diff_report *r, uint32_t i)
{
	const struct diff_hunk *h = &r->hunk[i];
	const char *p = r->text.data + h->text, *end = p + h->n_text;
	size_t run = 0, most = 2;

	for (size_t k = 0; k < h->n_text; k++) {
		run = p[k] == '`' ? run + 1 : 0;
		most = MAX(most, run);
	}
	buf_addf(out, "\nh%u:\n\n", i + 1);
	for (size_t k = 0; k <= most; k++)
		buf_addc(out, '`');
	buf_addf(out, "diff\n@@ -%llu,%llu +%llu,%llu @@\n", (unsigned long long)h->old_first, (unsigned long long)h->old_n,
		 (unsigned long long)h->new_first, (unsigned long long)h->new_n);
	for (; p < end; p += strcspn(p, "\n") + 1) {
		term_text(out, p, strcspn(p, "\n"), false);
		buf_addc(out, '\n');
	}
	for (size_t k = 0; k <= most; k++)
		buf_addc(out, '`');
	buf_adds(out, h->cut ? "\n(more lines than are kept)\n" : "\n");
}

static void files(const struct diff_view *v, struct buf *out, size_t at)
{
	const struct diff_report *r = v->r;
	size_t sec = 0;

	buf_adds(out, "\n## Files\n\n| | file | lines | |\n|---|---|---|---|\n");
	for (size_t i = 0; i < r->n_file; i++) {
		const struct diff_file *f = &r->file[i];

		buf_addf(out, "| %s | ", diff_status_name(f->status));
		place(v, out, diff_word(r, f->path), 0, f->status != DIFF_DELETED);
		if (f->binary)
			buf_adds(out, " | binary | ");
		else
			buf_addf(out, " | +%llu −%llu | ", (unsigned long long)f->insertions, (unsigned long long)f->deletions);
		if (f->old_path) {
			buf_adds(out, "was ");
			word(out, r, f->old_path);
			if (f->score)
				buf_addf(out, ", %u %% alike", f->score);
		}
		buf_adds(out, " |\n");
	}
	for (uint32_t i = 0; i < r->n_file && v->length != DIFF_SHORT; i++) {
		const struct diff_file *f = &r->file[i];
		bool any = (at < r->n_sentence && r->sentence[at].file == i) || (sec < r->n_section && r->section[sec].file == i);

		if (!any && !(v->length == DIFF_FULL && f->n_hunk))
			continue;
		buf_adds(out, "\n### ");
		place(v, out, diff_word(r, f->path), 0, f->status != DIFF_DELETED);
		buf_adds(out, "\n\n");
		for (; at < r->n_sentence && r->sentence[at].file == i; at++)
			sentence(out, r, &r->sentence[at]);
		for (; sec < r->n_section && r->section[sec].file == i; sec++)
			section(out, r, &r->section[sec]);
		for (uint32_t h = 0; h < f->n_hunk && v->length == DIFF_FULL; h++)
			hunk(out, r, f->hunk + h);
	}
}

void diff_write_md(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;
	const char *path, *why, *p = r->notes.data ? r->notes.data : "";
	size_t at = 0, unsaid = 0, n = 0;

	buf_adds(out, "# What changed: ");
	text(out, side_label(r->a), strlen(side_label(r->a)), false);
	buf_adds(out, " → ");
	text(out, side_label(r->b), strlen(side_label(r->b)), false);
	buf_adds(out, "\n\n");
	if (diff_is_empty(r)) {
		buf_adds(out, r->n_not_compared ? "No differences in what could be compared.\n" : "No differences.\n");
	} else {
		diff_stat_line(r, out);
		buf_addf(out, "; %llu added, %llu deleted, %llu renamed.\n", (unsigned long long)r->added,
			 (unsigned long long)r->deleted, (unsigned long long)r->renamed);
	}
	for (; at < r->n_sentence && r->sentence[at].file == UINT32_MAX; at++) {
		if (!at)
			buf_adds(out, "\n## Overview\n\n");
		sentence(out, r, &r->sentence[at]);
	}
	changes(v, out, false);
	if (v->length != DIFF_SHORT)
		changes(v, out, true);
	if (r->n_file)
		files(v, out, at);
	while (diff_next_unsaid(v, &unsaid, &path, &why)) {
		buf_adds(out, n++ ? "- " : "\n## Not summarised\n\n- ");
		text(out, path, strlen(path), false);
		buf_adds(out, ": ");
		text(out, why, strlen(why), false);
		buf_addc(out, '\n');
	}
	if (v->model) {
		buf_adds(out, "\nSentences in italics were worded by ");
		text(out, v->model, strlen(v->model), false);
		buf_addf(out, "; %u that could not be tied to a hunk %s cut.\n", r->n_cut, r->n_cut == 1 ? "was" : "were");
	}
	for (; *p; p += strcspn(p, "\n") + 1) {
		buf_adds(out, "\nNote: ");
		text(out, p, strcspn(p, "\n"), false);
		buf_addc(out, '\n');
	}
	if (r->interrupted)
		buf_adds(out, "\nInterrupted: the report says what was done until then.\n");
}
