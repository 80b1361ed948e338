/* The report as folio.diff/1. */
#include "config.h"

#include "cmd/cmd_diff.h"
#include "cmd/json.h"

#include "ingest/diff_side.h"

#include <stdio.h>
#include <string.h>

static void id(struct jw *j, const char *key, uint32_t hunk)
{
	char name[16];

	snprintf(name, sizeof(name), "h%u", hunk + 1);
	jw_str(j, key, hunk == UINT32_MAX ? NULL : name);
}

static void lines(struct jw *j, const char *key, uint64_t first, uint64_t last)
{
	if (!first) {
		jw_null(j, key);
		return;
	}
	jw_open(j, key, '[');
	jw_uint(j, NULL, first);
	jw_uint(j, NULL, last);
	jw_close(j);
}

static void word(struct jw *j, const struct diff_report *r, const char *key, uint32_t at)
{
	jw_str(j, key, at ? diff_word(r, at) : NULL);
}

static void path(struct jw *j, const struct diff_report *r, const char *key, uint32_t at)
{
	jw_path(j, key, diff_word(r, at), strlen(diff_word(r, at)));
}

/* Sentences of one file, or of the overview; *at moves on. */
static void sentences(struct jw *j, const struct diff_report *r, const char *key, uint32_t file, size_t *at)
{
	jw_open(j, key, '[');
	for (; *at < r->n_sentence && r->sentence[*at].file == file; ++*at) {
		const struct diff_sentence *s = &r->sentence[*at];

		jw_open(j, NULL, '{');
		jw_str(j, "text", diff_word(r, s->text));
		jw_open(j, "hunks", '[');
		for (uint32_t i = 0; i < s->n_ref; i++)
			id(j, NULL, r->ref[s->ref + i]);
		jw_close(j);
		jw_str(j, "by", s->by_model ? "model" : "facts");
		jw_close(j);
	}
	jw_close(j);
}

static void change(struct jw *j, const struct diff_report *r, const struct diff_change *c)
{
	const struct diff_file *f = &r->file[c->file];

	jw_open(j, NULL, '{');
	jw_str(j, "kind", diff_kind_name(c->kind));
	word(j, r, "symbol", c->symbol);
	word(j, r, "type", c->type);
	path(j, r, "path", c->on_new || !f->old_path ? f->path : f->old_path);
	jw_str(j, "side", c->on_new ? "new" : "old");
	lines(j, "lines", c->first, c->last);
	id(j, "hunk", c->hunk);
	word(j, r, "before", c->before);
	word(j, r, "after", c->after);
	jw_bool(j, "public", c->is_public);
	jw_close(j);
}

static void changes(struct jw *j, const struct diff_report *r, const char *key, bool added)
{
	jw_open(j, key, '[');
	for (size_t i = 0; i < r->n_change; i++)
		if ((r->change[i].kind == CHANGE_ADDED) == added)
			change(j, r, &r->change[i]);
	jw_close(j);
}

static void hunks(struct jw *j, const struct diff_view *v, const struct diff_file *f)
{
	const struct diff_report *r = v->r;

	jw_open(j, "hunks", '[');
	for (uint32_t i = 0; i < f->n_hunk; i++) {
		const struct diff_hunk *h = &r->hunk[f->hunk + i];

		jw_open(j, NULL, '{');
		id(j, "id", f->hunk + i);
		lines(j, "old_lines", h->old_n ? h->old_first : 0, h->old_first + h->old_n - 1);
		lines(j, "new_lines", h->new_n ? h->new_first : 0, h->new_first + h->new_n - 1);
		jw_uint(j, "insertions", h->insertions);
		jw_uint(j, "deletions", h->deletions);
		word(j, r, "heading", h->head);
		if (v->length == DIFF_FULL) {
			jw_strn(j, "text", r->text.data + h->text, h->n_text);
			jw_bool(j, "cut", h->cut);
		}
		jw_close(j);
	}
	jw_close(j);
}

static void place(struct jw *j, const struct diff_report *r, const char *key, uint64_t first, uint64_t last,
		  uint32_t page, uint32_t head, uint32_t hunk)
{
	if (!first) {
		jw_null(j, key);
		return;
	}
	jw_open(j, key, '{');
	lines(j, "lines", first, last);
	if (page)
		jw_uint(j, "page", page);
	else
		jw_null(j, "page");
	word(j, r, "heading", head);
	id(j, "hunk", hunk);
	jw_close(j);
}

static void sections(struct jw *j, const struct diff_report *r, uint32_t file, size_t *at)
{
	jw_open(j, "sections", '[');
	for (; *at < r->n_section && r->section[*at].file == file; ++*at) {
		const struct diff_section *s = &r->section[*at];

		jw_open(j, NULL, '{');
		jw_str(j, "fate", diff_fate_name(s->fate));
		word(j, r, "starts", s->start);
		place(j, r, "old", s->old_first, s->old_last, s->old_page, s->old_head, s->hunk[0]);
		place(j, r, "new", s->new_first, s->new_last, s->new_page, s->new_head, s->hunk[1]);
		jw_close(j);
	}
	jw_close(j);
}

static void mode(struct jw *j, const char *key, uint32_t m)
{
	char octal[16];

	snprintf(octal, sizeof(octal), "%06o", m);
	jw_str(j, key, m ? octal : NULL);
}

static void file(struct jw *j, const struct diff_view *v, uint32_t i, size_t *sentence, size_t *section)
{
	const struct diff_report *r = v->r;
	const struct diff_file *f = &r->file[i];

	jw_open(j, NULL, '{');
	path(j, r, "path", f->path);
	if (f->old_path)
		path(j, r, "old_path", f->old_path);
	else
		jw_null(j, "old_path");
	jw_str(j, "status", diff_status_name(f->status));
	jw_uint(j, "insertions", f->insertions);
	jw_uint(j, "deletions", f->deletions);
	jw_bool(j, "binary", f->binary);
	jw_bool(j, "extracted", f->extracted);
	if (f->score)
		jw_uint(j, "similarity", f->score);
	else
		jw_null(j, "similarity");
	mode(j, "old_mode", f->old_mode);
	mode(j, "new_mode", f->new_mode);
	word(j, r, "language", f->language);
	word(j, r, "note", f->note);
	hunks(j, v, f);
	sections(j, r, i, section);
	sentences(j, r, "summary", i, sentence);
	jw_close(j);
}

static void notes(struct jw *j, const struct diff_report *r)
{
	const char *p = r->notes.data ? r->notes.data : "";

	jw_open(j, "notes", '[');
	for (; *p; p += strcspn(p, "\n") + 1)
		jw_strn(j, NULL, p, strcspn(p, "\n"));
	jw_close(j);
}

void diff_write_json(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;
	struct jw j = { .out = out };
	size_t sentence = 0, section = 0, at = 0;
	const char *p, *why;

	jw_open(&j, NULL, '{');
	if (v->event)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.diff/1");
	jw_str(&j, "a", side_label(r->a));
	jw_str(&j, "b", side_label(r->b));
	jw_str(&j, "a_commit", side_commit(r->a)[0] ? side_commit(r->a) : NULL);
	jw_str(&j, "b_commit", side_commit(r->b)[0] ? side_commit(r->b) : NULL);
	jw_open(&j, "stat", '{');
	jw_uint(&j, "files", r->n_file);
	jw_uint(&j, "insertions", r->insertions);
	jw_uint(&j, "deletions", r->deletions);
	jw_uint(&j, "added", r->added);
	jw_uint(&j, "deleted", r->deleted);
	jw_uint(&j, "renamed", r->renamed);
	jw_close(&j);
	sentences(&j, r, "overview", UINT32_MAX, &sentence);
	changes(&j, r, "breaking", false);
	changes(&j, r, "added_symbols", true);
	jw_open(&j, "files", '[');
	for (uint32_t i = 0; i < r->n_file; i++)
		file(&j, v, i, &sentence, &section);
	jw_close(&j);
	jw_open(&j, "not_summarised", '[');
	while (diff_next_unsaid(v, &at, &p, &why)) {
		jw_open(&j, NULL, '{');
		jw_path(&j, "path", p, strlen(p));
		jw_str(&j, "reason", why);
		jw_close(&j);
	}
	jw_close(&j);
	notes(&j, r);
	jw_str(&j, "model", v->model);
	jw_uint(&j, "cut_sentences", r->n_cut);
	jw_bool(&j, "interrupted", r->interrupted);
	jw_close(&j);
	jw_end_line(&j);
}
