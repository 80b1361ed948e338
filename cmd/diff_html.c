/* The report as one HTML file: no script, no font, no picture from elsewhere; light and dark. */
#include "config.h"

#include "cmd/cmd_diff.h"

#include "ingest/diff_side.h"

#include <string.h>

static const char page_head[] =
	"<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

static const char page_style[] =
	"<style>\n"
	":root{--fg:#1c2024;--dim:#60666e;--bg:#fff;--soft:#f4f5f7;--line:#dcdfe4;--link:#0b57a4;\n"
	"--add:#e3f5e6;--addfg:#11632b;--del:#fdeaea;--delfg:#9b1c1c;--warn:#8a5300}\n"
	"@media(prefers-color-scheme:dark){:root{--fg:#dfe3e8;--dim:#98a0aa;--bg:#15181c;--soft:#1d2126;\n"
	"--line:#343a42;--link:#7db6f5;--add:#12301c;--addfg:#86d9a0;--del:#3a191b;--delfg:#f2a0a0;--warn:#e0b060}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;max-width:62rem;padding:1.5rem 1rem 4rem;color:var(--fg);background:var(--bg);\n"
	"font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\n"
	"h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}\n"
	"h3{font-size:1rem;margin:1.5rem 0 .25rem;font-weight:600}\n"
	"a{color:var(--link)}code,pre,.p{font-family:ui-monospace,monospace;font-size:.875em}\n"
	".dim,.h{color:var(--dim)}.h{font-size:.875em;text-decoration:none}a.h:hover{text-decoration:underline}\n"
	".plus{color:var(--addfg)}.minus{color:var(--delfg)}.kind{color:var(--warn);white-space:nowrap}\n"
	".removed{color:var(--delfg)}\n"
	"ul{padding-left:1.25rem;margin:.5rem 0}li{margin:.2rem 0}\n"
	".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}\n"
	"td,th{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line)}\n"
	"th{font-weight:600;color:var(--dim);font-size:.875em}td.n{white-space:nowrap;text-align:right}\n"
	"td .p{min-width:9rem;display:inline-block}\n"
	".by{font-style:italic}\n"
	"details{margin:.4rem 0}summary{cursor:pointer;color:var(--dim)}\n"
	"pre{margin:.25rem 0 .75rem;padding:.5rem 0;background:var(--soft);border:1px solid var(--line);\n"
	"border-radius:.25rem;overflow-x:auto;line-height:1.4}\n"
	"pre span{display:block;padding:0 .75rem;white-space:pre;min-width:max-content}\n"
	"pre .a{background:var(--add);color:var(--addfg)}pre .d{background:var(--del);color:var(--delfg)}\n"
	"pre .at{color:var(--dim)}\n"
	"</style>\n";

/* Bytes of files: control characters shown, what HTML could take for marks escaped. */
static void text(struct buf *out, const char *s, size_t n)
{
	struct buf safe = { 0 };

	term_text(&safe, s, n, false);
	for (size_t i = 0; i < safe.len; i++) {
		switch (safe.data[i]) {
		case '&':
			buf_adds(out, "&amp;");
			break;
		case '<':
			buf_adds(out, "&lt;");
			break;
		case '>':
			buf_adds(out, "&gt;");
			break;
		case '"':
			buf_adds(out, "&quot;");
			break;
		case '\'':
			buf_adds(out, "&#39;");
			break;
		default:
			buf_addc(out, safe.data[i]);
		}
	}
	buf_release(&safe);
}

static void str(struct buf *out, const char *s)
{
	text(out, s, strlen(s));
}

static void word(struct buf *out, const struct diff_report *r, uint32_t at)
{
	str(out, diff_word(r, at));
}

/* Sentences mark names with backquotes. */
static void words_with_code(struct buf *out, const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "`");
		const char *end = s[n] ? strchr(s + n + 1, '`') : NULL;

		text(out, s, end ? n : strlen(s));
		if (!end)
			return;
		buf_adds(out, "<code>");
		text(out, s + n + 1, (size_t)(end - s) - n - 1);
		buf_adds(out, "</code>");
		s = end + 1;
	}
}

static void place(const struct diff_view *v, struct buf *out, const char *path, uint64_t line, bool on_new)
{
	struct buf url = { 0 };
	bool link = diff_link(v, path, line, on_new, &url);

	buf_adds(out, "<span class=\"p\">");
	if (link) {
		buf_adds(out, "<a href=\"");
		str(out, url.data ? url.data : "");
		buf_adds(out, "\">");
	}
	str(out, path);
	if (line)
		buf_addf(out, ":%llu", (unsigned long long)line);
	buf_adds(out, link ? "</a></span>" : "</span>");
	buf_release(&url);
}

static void hunk_ref(const struct diff_view *v, struct buf *out, uint32_t h)
{
	if (h == UINT32_MAX)
		return;
	if (v->length == DIFF_SHORT)
		buf_addf(out, " <span class=\"h\">h%u</span>", h + 1);
	else
		buf_addf(out, " <a class=\"h\" href=\"#h%u\">h%u</a>", h + 1, h + 1);
}

static void sentence(const struct diff_view *v, struct buf *out, const struct diff_sentence *s)
{
	enum { SHOWN = 12 };

	buf_addf(out, "<li%s>", s->by_model ? " class=\"by\"" : "");
	words_with_code(out, diff_word(v->r, s->text));
	for (uint32_t i = 0; i < s->n_ref && i < SHOWN; i++)
		hunk_ref(v, out, v->r->ref[s->ref + i]);
	buf_adds(out, s->n_ref > SHOWN ? " …</li>\n" : "</li>\n");
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
			buf_addf(out, "<h2>%s</h2>\n<div class=\"scroll\"><table>\n", added ? "New symbols" :
				 "Breaking or visible changes");
		buf_addf(out, "<tr><td class=\"kind%s\">%s</td><td>",
			 c->kind == CHANGE_REMOVED || c->kind == CHANGE_FILE_REMOVED ? " removed" : "", diff_kind_word(c->kind));
		if (c->symbol) {
			buf_adds(out, "<code>");
			word(out, r, c->symbol);
			buf_adds(out, "</code>");
		}
		if (c->kind != CHANGE_REMOVED && c->kind != CHANGE_ADDED && (c->before || c->after)) {
			buf_adds(out, "<br><code class=\"minus\">");
			str(out, c->before ? diff_word(r, c->before) : "(nothing)");
			buf_adds(out, "</code> → <code class=\"plus\">");
			str(out, c->after ? diff_word(r, c->after) : "(nothing)");
			buf_adds(out, "</code>");
		}
		buf_adds(out, "</td><td>");
		place(v, out, diff_word(r, c->on_new || !f->old_path ? f->path : f->old_path), c->first, c->on_new);
		hunk_ref(v, out, c->hunk);
		buf_addf(out, "%s</td></tr>\n", c->is_public ? "" : " <span class=\"dim\">internal</span>");
	}
	if (n)
		buf_adds(out, "</table></div>\n");
}

static void section(const struct diff_view *v, struct buf *out, const struct diff_section *s)
{
	static const char *const name[] = { "moved", "moved and edited", "rewritten", "added", "removed", "reflowed" };

	buf_addf(out, "<li><span class=\"kind\">%s</span> “", name[s->fate]);
	word(out, v->r, s->start);
	buf_adds(out, "”");
	if (s->fate == FATE_EDITED_AND_MOVED || s->fate == FATE_REWRITTEN)
		buf_addf(out, ", %u&nbsp;%% of its words stayed", s->share);
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
		hunk_ref(v, out, s->hunk[i]);
	}
	buf_adds(out, "</li>\n");
}

static void hunk(struct buf *out, const struct diff_report *r, uint32_t i)
{
	const struct diff_hunk *h = &r->hunk[i];
	const char *p = r->text.data + h->text, *end = p + h->n_text;

	buf_addf(out, "<pre id=\"h%u\"><span class=\"at\">h%u  @@ -%llu,%llu +%llu,%llu @@ ", i + 1, i + 1,
		 (unsigned long long)h->old_first, (unsigned long long)h->old_n, (unsigned long long)h->new_first,
		 (unsigned long long)h->new_n);
	word(out, r, h->head);
	buf_adds(out, "</span>");
	for (; p < end; p += strcspn(p, "\n") + 1) {
		buf_addf(out, "<span%s>", *p == '+' ? " class=\"a\"" : *p == '-' ? " class=\"d\"" : "");
		/* Tabs are no surprise in code, and white-space: pre shows them. */
		for (size_t k = 0, n = strcspn(p, "\n"); k < n;) {
			size_t m = strcspn(p + k, "\t\n");

			text(out, p + k, m < n - k ? m : n - k);
			k += m;
			if (k < n) {
				buf_addc(out, '\t');
				k++;
			}
		}
		buf_adds(out, "</span>");
	}
	if (h->cut)
		buf_adds(out, "<span class=\"at\">more lines than are kept</span>");
	buf_adds(out, "</pre>\n");
}

static void file(const struct diff_view *v, struct buf *out, uint32_t i, size_t *at, size_t *sec)
{
	const struct diff_report *r = v->r;
	const struct diff_file *f = &r->file[i];

	buf_addf(out, "<h3 id=\"f%u\">", i + 1);
	place(v, out, diff_word(r, f->path), 0, f->status != DIFF_DELETED);
	if (!f->binary)
		buf_addf(out, " <span class=\"plus\">+%llu</span> <span class=\"minus\">−%llu</span>",
			 (unsigned long long)f->insertions, (unsigned long long)f->deletions);
	buf_adds(out, "</h3>\n<ul>\n");
	for (; *at < r->n_sentence && r->sentence[*at].file == i; ++*at)
		sentence(v, out, &r->sentence[*at]);
	for (; *sec < r->n_section && r->section[*sec].file == i; ++*sec)
		section(v, out, &r->section[*sec]);
	if (f->note) {
		buf_adds(out, "<li class=\"dim\">");
		word(out, r, f->note);
		buf_adds(out, "</li>\n");
	}
	buf_adds(out, "</ul>\n");
	if (f->n_hunk)
		buf_addf(out, "<details%s><summary>%u hunk%s</summary>\n", v->length == DIFF_FULL ? " open" : "", f->n_hunk,
			 f->n_hunk == 1 ? "" : "s");
	for (uint32_t h = 0; h < f->n_hunk; h++)
		hunk(out, r, f->hunk + h);
	if (f->n_hunk)
		buf_adds(out, "</details>\n");
}

static void table(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;

	buf_adds(out, "<h2>Files</h2>\n<div class=\"scroll\"><table>\n");
	for (uint32_t i = 0; i < r->n_file; i++) {
		const struct diff_file *f = &r->file[i];

		buf_addf(out, "<tr><td class=\"dim\">%s</td><td>", diff_status_name(f->status));
		if (v->length != DIFF_SHORT)
			buf_addf(out, "<a href=\"#f%u\">", i + 1);
		buf_adds(out, "<span class=\"p\">");
		word(out, r, f->path);
		buf_adds(out, v->length != DIFF_SHORT ? "</span></a>" : "</span>");
		if (f->old_path) {
			buf_adds(out, " <span class=\"dim\">was ");
			word(out, r, f->old_path);
			if (f->score)
				buf_addf(out, ", %u&nbsp;%% alike", f->score);
			buf_adds(out, "</span>");
		}
		if (f->binary)
			buf_adds(out, "</td><td class=\"n dim\" colspan=\"2\">binary</td></tr>\n");
		else
			buf_addf(out, "</td><td class=\"n plus\">+%llu</td><td class=\"n minus\">−%llu</td></tr>\n",
				 (unsigned long long)f->insertions, (unsigned long long)f->deletions);
	}
	buf_adds(out, "</table></div>\n");
}

static void tail(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;
	const char *path, *why, *p = r->notes.data ? r->notes.data : "";
	size_t at = 0, n = 0;

	while (diff_next_unsaid(v, &at, &path, &why)) {
		buf_adds(out, n++ ? "<li>" : "<h2>Not summarised</h2>\n<ul>\n<li>");
		buf_adds(out, "<span class=\"p\">");
		str(out, path);
		buf_adds(out, "</span>: ");
		str(out, why);
		buf_adds(out, "</li>\n");
	}
	buf_adds(out, n ? "</ul>\n" : "");
	if (v->model) {
		buf_adds(out, "<p class=\"dim\">Sentences in italics were worded by ");
		str(out, v->model);
		buf_addf(out, "; %u that could not be tied to a hunk %s cut.</p>\n", r->n_cut, r->n_cut == 1 ? "was" : "were");
	}
	for (; *p; p += strcspn(p, "\n") + 1) {
		buf_adds(out, "<p class=\"dim\">Note: ");
		text(out, p, strcspn(p, "\n"));
		buf_adds(out, "</p>\n");
	}
	if (r->interrupted)
		buf_adds(out, "<p>Interrupted: the report says what was done until then.</p>\n");
}

void diff_write_html(const struct diff_view *v, struct buf *out)
{
	const struct diff_report *r = v->r;
	size_t at = 0, sec = 0;

	buf_adds(out, page_head);
	buf_adds(out, "<title>");
	str(out, side_label(r->a));
	buf_adds(out, " → ");
	str(out, side_label(r->b));
	buf_addf(out, "</title>\n%s</head>\n<body>\n<h1>", page_style);
	str(out, side_label(r->a));
	buf_adds(out, " → ");
	str(out, side_label(r->b));
	buf_adds(out, "</h1>\n<p class=\"dim\">");
	if (diff_is_empty(r)) {
		buf_adds(out, r->n_not_compared ? "No differences in what could be compared." : "No differences.");
	} else {
		diff_stat_line(r, out);
		buf_addf(out, "; %llu added, %llu deleted, %llu renamed", (unsigned long long)r->added,
			 (unsigned long long)r->deleted, (unsigned long long)r->renamed);
	}
	buf_adds(out, "</p>\n");
	for (; at < r->n_sentence && r->sentence[at].file == UINT32_MAX; at++) {
		buf_adds(out, at ? "" : "<h2>Overview</h2>\n<ul>\n");
		sentence(v, out, &r->sentence[at]);
	}
	buf_adds(out, at ? "</ul>\n" : "");
	changes(v, out, false);
	if (v->length != DIFF_SHORT)
		changes(v, out, true);
	if (r->n_file)
		table(v, out);
	for (uint32_t i = 0; i < r->n_file && v->length != DIFF_SHORT; i++)
		file(v, out, i, &at, &sec);
	tail(v, out);
	buf_adds(out, "</body>\n</html>\n");
}
