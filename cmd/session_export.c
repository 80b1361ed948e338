/* A session as Markdown, as one HTML page, as JSON.  What is quoted was kept with the turn: the export says
 * what was cited then, also when the file changed since. */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_session.h"
#include "cmd/json.h"

#include "cache/library.h"
#include "cache/session.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct export {
	struct catalog *c;
	struct buf *b;
	enum session_format format;
	struct jw   j;
};

struct session_row {
	int64_t id, engine;
};

static int keep(void *ctx, const struct session *s)
{
	*(struct session_row *)ctx = (struct session_row){ s->id, s->engine };
	return 0;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t line(const json_t *c, size_t i)
{
	return json_integer_value(json_array_get(json_object_get(c, "lines"), i));
}

static bool changed(struct export *x, const json_t *c)
{
	return asking_changed(x->c, text(c, "source"), text(c, "path"), text(c, "sha256"));
}

static void when(char out[32], int64_t seconds)
{
	time_t at = (time_t)seconds;
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&at, &tm))
		strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm);
}

/* ---- Markdown ---- */

/* A fence longer than any run of backquotes inside. */
static void fence(struct buf *b, const char *s)
{
	size_t longest = 2, run = 0;

	for (; *s; s++) {
		run = *s == '`' ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	for (size_t i = 0; i <= longest; i++)
		buf_addc(b, '`');
	buf_addc(b, '\n');
}

/* The question is the user's text; a line of it that looks like a heading must not become one. */
static void quoted_lines(struct buf *b, const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "\n");

		buf_adds(b, "> ");
		buf_add(b, s, n);
		buf_addc(b, '\n');
		s += n + (s[n] == '\n');
	}
}

static void turn_md(struct export *x, const struct sess_turn *t, const json_t *cites)
{
	struct buf *b = x->b;
	const json_t *c;
	size_t i;
	char at[32];

	when(at, t->at);
	buf_addf(b, "## %u\n\n", t->n);
	quoted_lines(b, t->question);
	buf_addf(b, "\n%s\n\n", t->answer);
	json_array_foreach(cites, i, c) {
		const char *quote = text(c, "quote"), *anchor = text(c, "anchor");

		buf_addf(b, "[%lld] %s:%lld-%lld%s%s (%s@%s)%s\n\n", (long long)json_integer_value(json_object_get(c, "n")),
			 text(c, "path"), (long long)line(c, 0), (long long)line(c, 1), *anchor ? " " : "", anchor,
			 text(c, "source"), text(c, "snapshot"), changed(x, c) ? ", changed since" : "");
		fence(b, quote);
		buf_adds(b, quote);
		if (*quote && quote[strlen(quote) - 1] != '\n')
			buf_addc(b, '\n');
		fence(b, quote);
		buf_addc(b, '\n');
	}
	buf_addf(b, "*%s*\n\n", at);
}

/* ---- HTML ---- */

static const char HEAD[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

/* A passage is shown when a citation's link leads to it (:target), on paper always; no script. */
static const char STYLE[] =
	"<style>\n"
	":root { color-scheme: light dark; --line: #8884; --mark: #0a6cbd; --soft: #8881; }\n"
	"body { font: 16px/1.55 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }\n"
	"h1 { font-size: 1.4em; } .about, .at { opacity: .65; font-size: .85em; }\n"
	"section { border-top: 1px solid var(--line); padding: 1em 0; }\n"
	".question { font-weight: 600; white-space: pre-wrap; margin: 0 0 .8em; }\n"
	".answer { white-space: pre-wrap; overflow-wrap: anywhere; }\n"
	"a { color: var(--mark); text-decoration: none; } a:hover { text-decoration: underline; }\n"
	"a.mark { font-size: .85em; vertical-align: .2em; }\n"
	"ol { list-style: none; padding: 0; margin: 1em 0 0; font-size: .9em; } li { margin: .2em 0; }\n"
	".place { font-family: ui-monospace, monospace; overflow-wrap: anywhere; }\n"
	".passage { display: none; margin: .4em 0 1em; border-left: 3px solid var(--mark); background: var(--soft); }\n"
	".passage:target { display: block; }\n"
	".passage pre { margin: 0; padding: .6em .9em; overflow-x: auto; font-size: .85em; line-height: 1.4; }\n"
	".passage .close { float: right; padding: .2em .6em; }\n"
	".changed { color: #b35900; } .unsupported { opacity: .6; }\n"
	"@media print { .passage { display: block; } .close { display: none; } }\n"
	"</style>\n";

static void escape(struct buf *b, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)s[i];

		if (ch == '&')
			buf_adds(b, "&amp;");
		else if (ch == '<')
			buf_adds(b, "&lt;");
		else if (ch == '>')
			buf_adds(b, "&gt;");
		else if (ch == '"')
			buf_adds(b, "&quot;");
		else if ((ch < 0x20 && ch != '\n' && ch != '\t') || ch == 0x7f)
			buf_addf(b, "\\x%02x", ch);
		else
			buf_addc(b, (char)ch);
	}
}

/* The answer, its marks being links to the passages of this turn. */
static void answer_html(struct buf *b, const struct sess_turn *t, size_t n_cite)
{
	const char *s = t->answer;

	while (*s) {
		char *end = NULL;
		unsigned long n = *s == '[' ? strtoul(s + 1, &end, 10) : 0;

		if (!strncmp(s, "[?]", 3)) {
			buf_adds(b, "<span class=\"unsupported\" title=\"without support in the passages\">[?]</span>");
			s += 3;
		} else if (n >= 1 && n <= n_cite && end && *end == ']') {
			buf_addf(b, "<a class=\"mark\" href=\"#t%uc%lu\">[%lu]</a>", t->n, n, n);
			s = end + 1;
		} else {
			escape(b, s++, 1);
		}
	}
}

static void cite_html(struct export *x, const struct sess_turn *t, const json_t *c)
{
	struct buf *b = x->b;
	long long n = json_integer_value(json_object_get(c, "n"));
	const char *path = text(c, "path"), *anchor = text(c, "anchor"), *quote = text(c, "quote");

	buf_addf(b, "<li><a class=\"place\" href=\"#t%uc%lld\">[%lld] ", t->n, n, n);
	escape(b, path, strlen(path));
	buf_addf(b, ":%lld-%lld</a> ", (long long)line(c, 0), (long long)line(c, 1));
	if (json_is_integer(json_object_get(c, "page")))
		buf_addf(b, "p.%lld ", (long long)json_integer_value(json_object_get(c, "page")));
	escape(b, anchor, strlen(anchor));
	buf_adds(b, " <span class=\"about\">");
	escape(b, text(c, "source"), strlen(text(c, "source")));
	buf_addc(b, '@');
	escape(b, text(c, "snapshot"), strlen(text(c, "snapshot")));
	buf_adds(b, "</span>");
	if (changed(x, c))
		buf_adds(b, " <span class=\"changed\">changed since</span>");
	buf_addf(b, "\n<div class=\"passage\" id=\"t%uc%lld\"><a class=\"close\" href=\"#t%u\">close</a><pre>\n", t->n, n, t->n);
	escape(b, quote, strlen(quote));
	buf_adds(b, "</pre></div></li>\n");
}

static void turn_html(struct export *x, const struct sess_turn *t, const json_t *cites)
{
	struct buf *b = x->b;
	const json_t *c;
	size_t i;
	char at[32];

	when(at, t->at);
	buf_addf(b, "<section id=\"t%u\">\n<p class=\"question\">", t->n);
	escape(b, t->question, strlen(t->question));
	buf_adds(b, "</p>\n<div class=\"answer\">");
	answer_html(b, t, json_array_size(cites));
	buf_adds(b, "</div>\n<ol>\n");
	json_array_foreach(cites, i, c)
		cite_html(x, t, c);
	buf_addf(b, "</ol>\n<p class=\"at\">turn %u, %s</p>\n</section>\n", t->n, at);
}

/* ---- JSON ---- */

static void raw(struct jw *j, const char *key, const char *json)
{
	json_t *v = json_loads(json, JSON_DECODE_ANY, NULL);
	char *s = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	jw_raw(j, key, s ? s : "null");
	free(s);
	json_decref(v);
}

static void turn_json(struct export *x, const struct sess_turn *t)
{
	struct jw *j = &x->j;

	jw_open(j, NULL, '{');
	jw_uint(j, "turn", t->n);
	jw_int(j, "at", t->at);
	jw_str(j, "question", t->question);
	jw_str(j, "answer", t->answer);
	raw(j, "citations", t->citations);
	raw(j, "info", t->info);
	jw_uint(j, "first_token", t->pos);
	jw_uint(j, "tokens", t->n_token);
	jw_close(j);
}

/* ---- all of it ---- */

static int one_turn(void *ctx, const struct sess_turn *t)
{
	struct export *x = ctx;
	json_t *cites;

	if (x->format == SESSION_JSON) {
		turn_json(x, t);
		return 0;
	}
	cites = json_loads(t->citations, 0, NULL);
	if (x->format == SESSION_MD)
		turn_md(x, t, cites);
	else
		turn_html(x, t, cites);
	json_decref(cites);
	return 0;
}

static void begin(struct export *x, const char *name, const char *model)
{
	struct buf *b = x->b;

	switch (x->format) {
	case SESSION_MD:
		buf_addf(b, "# %s\n\nA session of folio with %s.\n\n", name, model);
		break;
	case SESSION_HTML:
		buf_adds(b, HEAD);
		buf_adds(b, "<title>");
		escape(b, name, strlen(name));
		buf_adds(b, "</title>\n");
		buf_adds(b, STYLE);
		buf_adds(b, "</head>\n<body>\n<h1>");
		escape(b, name, strlen(name));
		buf_adds(b, "</h1>\n<p class=\"about\">A session of folio with ");
		escape(b, model, strlen(model));
		buf_adds(b, ". A number in brackets opens the passage that the sentence rests on.</p>\n");
		break;
	case SESSION_JSON:
		jw_open(&x->j, NULL, '{');
		jw_str(&x->j, "schema", "folio.session/1");
		jw_str(&x->j, "name", name);
		jw_str(&x->j, "model", model);
		jw_open(&x->j, "turns", '[');
		break;
	}
}

static void end(struct export *x)
{
	if (x->format == SESSION_HTML)
		buf_adds(x->b, "</body>\n</html>\n");
	if (x->format != SESSION_JSON)
		return;
	jw_close(&x->j);
	jw_close(&x->j);
	jw_end_line(&x->j);
}

int session_export(struct library *lib, const char *name, enum session_format format, struct buf *out,
		   struct err *e)
{
	struct export x = { .c = lib_catalog(lib), .b = out, .format = format, .j = { .out = out } };
	struct session_row s;
	struct cat_engine en;
	int rc = sess_find(x.c, name, keep, &s, e);

	if (rc == ERR_NOTFOUND)
		return err_hint(e, rc, "'folio session ls' prints the sessions");
	if (!rc)
		rc = cat_engine(x.c, s.engine, &en, e);
	if (rc)
		return rc;
	begin(&x, name, en.name);
	rc = sess_turns(x.c, s.id, one_turn, &x, e);
	end(&x);
	return !rc && out->failed ? err_nomem(e) : rc;
}
