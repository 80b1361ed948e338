/* folio search: exact, PCRE2 and full-text search over stored text, without a model
 *
 * The trigram index narrows the documents where the pattern has literal parts (search.h); every
 * match is then found in the text itself, so the index decides about time only. */
#include "config.h"

#include "cmd/cmd_search.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/sources.h"

#include "base/buf.h"
#include "base/size.h"
#include "base/stop.h"
#include "base/utf8.h"
#include "cache/library.h"
#include "cache/search.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) OPT_AT(struct search_opts, field)

/* Enough for honest patterns; a hostile one ends in a warning instead of a night. */
enum { MATCH_LIMIT = 2000000, DEPTH_LIMIT = 50000 };

const struct opt search_opts[] = {
	{ "fixed-strings", 'F', OPT_FLAG, AT(fixed), NULL, .help = "PATTERN is plain text" },
	{ "perl-regexp", 'P', OPT_FLAG, AT(perl), NULL, .help = "PATTERN is a PCRE2 expression; the default" },
	{ "fts", 0, OPT_FLAG, AT(fts), NULL, .help = "passages with any of the words, best first" },
	{ "ignore-case", 'i', OPT_FLAG, AT(ignore_case), NULL, .help = "letter case does not matter" },
	{ "files-with-matches", 'l', OPT_FLAG, AT(list), NULL, .help = "print paths only" },
	{ "context", 'C', OPT_INT, AT(context), "N", .help = "lines around each match", .def = "0" },
	{ "limit", 'k', OPT_INT, AT(limit), "N", .help = "passages of --fts", .def = "50" },
	{ "source", 'S', OPT_LIST, AT(source), "SOURCE[@SNAP]",
	  .help = "search only this source" },
	OPT_END
};

struct finder {
	struct ctx     *c;
	struct catalog *cat;
	const struct search_opts *o;
	struct picks    picks;
	bool            many;		/* sources: paths need their names */
	const struct picked *at;	/* the one being searched */
	pcre2_code     *code;
	pcre2_match_data *md;
	pcre2_match_context *mc;
	int64_t        *doc;		/* candidates, sorted */
	size_t          n_doc;
	bool            narrowed;
	struct buf      out;
	struct jw       j;
	bool            json, first;
	uint64_t        n_match;
	uint64_t        n_gave_up;
	struct err      e;
};

static void flush(struct finder *f)
{
	if (f->out.len < 1 << 16)
		return;
	fwrite(f->out.data, 1, f->out.len, stdout);
	buf_clear(&f->out);
}

/* --- the pattern's literal parts --- */

static void end_run(struct buf *run, struct buf *best)
{
	if (run->len > best->len) {
		buf_clear(best);
		buf_add(best, run->data, run->len);
	}
	buf_clear(run);
}

/* The longest run of characters that every match must hold; empty when we are not sure.  Only
 * patterns without groups and alternatives are looked at. */
static void literal_of(const char *p, struct buf *best)
{
	struct buf run = { 0 };

	if (strpbrk(p, "(|"))
		return;
	while (*p) {
		size_t n = 1;
		char c = *p;

		if (c == '\\') {
			if (!p[1] || (isalnum((unsigned char)p[1]) && !strchr("bBdDwWsSAZz", p[1]))) {
				buf_clear(&run);
				buf_clear(best);
				break;
			}
			end_run(&run, best);
			p += 2;
			/* what it stands for may be repeated, which is fine: it counts for nothing */
		} else if (c == '[') {
			end_run(&run, best);
			p += 1 + (p[1] == '^');
			p += *p == ']';
			while (*p && *p != ']')
				p += *p == '\\' && p[1] ? 2 : *p == '[' && p[1] == ':' && strstr(p, ":]") ?
				     (size_t)(strstr(p, ":]") + 2 - p) : 1;
			p += *p == ']';
		} else if (strchr("?*{", c)) {
			/* What stands before may be absent: take its last character back. */
			while (run.len && (run.data[run.len - 1] & 0xc0) == 0x80)
				run.len--;
			if (run.len)
				run.len--;
			end_run(&run, best);
			if (c == '{')
				p += strcspn(p, "}");
			p += *p != 0;
		} else if (strchr(".+^$})]", c)) {
			end_run(&run, best);
			p++;
		} else {
			while ((p[n] & 0xc0) == 0x80)
				n++;
			buf_add(&run, p, n);
			p += n;
		}
	}
	end_run(&run, best);
	buf_release(&run);
}

static int narrow(struct finder *f, const char *pattern, struct err *e)
{
	struct search_literal lit;
	struct buf best = { 0 };
	int64_t *snaps = calloc(f->picks.n + 1, sizeof(*snaps));
	size_t i, n = 0;
	int rc = 0;

	if (!snaps)
		return err_nomem(e);
	if (f->o->fixed)
		buf_adds(&best, pattern);
	else
		literal_of(pattern, &best);
	for (i = 0; i < f->picks.n; i++)
		if (f->picks.v[i].snapshot)
			snaps[n++] = f->picks.v[i].snapshot;
	if (best.len >= 3 && n) {
		lit = (struct search_literal){ best.data, best.len };
		rc = search_candidates(f->cat, &lit, 1, f->o->ignore_case, snaps, n, &f->doc, &f->n_doc, e);
		f->narrowed = !rc;
	}
	buf_release(&best);
	free(snaps);
	return rc;
}

static bool is_candidate(const struct finder *f, int64_t document)
{
	size_t lo = 0, hi = f->n_doc;

	if (!f->narrowed)
		return true;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (f->doc[mid] < document)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->n_doc && f->doc[lo] == document;
}

static int compile(struct finder *f, const char *pattern, struct err *e)
{
	uint32_t flags = PCRE2_UTF |
			 (f->o->fixed ? PCRE2_LITERAL : PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C) |
			 (f->o->ignore_case ? PCRE2_CASELESS : 0);
	PCRE2_UCHAR msg[256];
	PCRE2_SIZE at;
	int code;

	if (utf8_check(pattern, strlen(pattern)) != strlen(pattern))
		return err_set(e, ERR_INVALID, "the pattern is not UTF-8");
	f->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, flags, &code, &at, NULL);
	if (!f->code) {
		pcre2_get_error_message(code, msg, sizeof(msg));
		err_set(e, ERR_INVALID, "the pattern is wrong at character %zu: %s", (size_t)at + 1,
			(const char *)msg);
		return err_hint(e, ERR_INVALID, "-F searches for the text as it stands");
	}
	pcre2_jit_compile(f->code, PCRE2_JIT_COMPLETE);	/* without it the interpreter does */
	f->md = pcre2_match_data_create_from_pattern(f->code, NULL);
	f->mc = pcre2_match_context_create(NULL);
	if (!f->md || !f->mc)
		return err_nomem(e);
	pcre2_set_match_limit(f->mc, MATCH_LIMIT);
	pcre2_set_depth_limit(f->mc, DEPTH_LIMIT);
	return 0;
}

/* --- output --- */

static void put_path(struct finder *f, const struct cat_entry *en)
{
	const struct term *t = &f->c->out;

	buf_adds(&f->out, term_style(t, STYLE_PATH));
	if (f->many) {
		term_text(&f->out, f->at->name, strlen(f->at->name), false);
		buf_addc(&f->out, '/');
	}
	term_text(&f->out, en->path, en->path_n, false);
	buf_adds(&f->out, term_style(t, STYLE_PLAIN));
}

static void put_text(struct finder *f, const char *s, size_t n)
{
	if (f->c->out.tty)
		term_text(&f->out, s, n, true);
	else
		buf_add(&f->out, s, n);
}

/* A line, its match (if any) coloured.  mark: ':' for matches, '-' for context. */
static void put_line(struct finder *f, const struct cat_entry *en, uint64_t line, char mark,
		     const char *s, size_t n, size_t from, size_t to)
{
	const struct term *t = &f->c->out;

	put_path(f, en);
	buf_addf(&f->out, "%c%s%llu%s%c", mark, term_style(t, STYLE_LINE), (unsigned long long)line,
		 term_style(t, STYLE_PLAIN), mark);
	put_text(f, s, from);
	if (to > from) {
		buf_adds(&f->out, term_style(t, STYLE_MATCH));
		put_text(f, s + from, to - from);
		buf_adds(&f->out, term_style(t, STYLE_PLAIN));
	}
	put_text(f, s + to, n - to);
	buf_addc(&f->out, '\n');
}

/* Line by line through a text, forwards only. */
struct cursor {
	const char *text;
	size_t      n;
	size_t      at, end;	/* the current line, without its newline */
	uint64_t    line;
};

static void set_end(struct cursor *k)
{
	const char *nl = memchr(k->text + k->at, '\n', k->n - k->at);

	k->end = nl ? (size_t)(nl - k->text) : k->n;
}

static void seek_line(struct cursor *k, size_t byte)
{
	while (k->end < byte && k->end < k->n) {
		k->at = k->end + 1;
		k->line++;
		set_end(k);
	}
}

static void put_context(struct finder *f, const struct cat_entry *en, struct cursor k, uint64_t from,
			uint64_t to)
{
	/* k is anywhere at or before the lines wanted. */
	for (; k.line <= to && k.at <= k.n; k.line++) {
		if (k.line >= from && (k.at < k.n || k.line == 1))
			put_line(f, en, k.line, '-', k.text + k.at, k.end - k.at, 0, 0);
		if (k.end >= k.n)
			break;
		k.at = k.end + 1;
		set_end(&k);
	}
}

struct text_state {
	struct cursor k;	/* at the line of the last match */
	struct cursor back;	/* at the first line of the context before it */
	uint64_t shown;		/* last line printed */
	bool     any;
};

static void advance(struct cursor *k)
{
	k->at = k->end + 1;
	k->line++;
	set_end(k);
}

static void put_match(struct finder *f, const struct cat_entry *en, struct text_state *s, size_t from,
		      size_t to)
{
	uint64_t c = f->o->context > 0 ? (uint64_t)f->o->context : 0, lo;

	to = MIN(to, s->k.end);
	if (f->json) {
		jw_open(&f->j, NULL, '{');
		if (f->c->g.jsonl)
			jw_str(&f->j, "event", "match");
		jw_str(&f->j, "source", f->at->name);
		jw_path(&f->j, "path", en->path, en->path_n);
		jw_uint(&f->j, "line", s->k.line);
		jw_uint(&f->j, "column", from - s->k.at + 1);
		jw_strn(&f->j, "text", s->k.text + s->k.at, s->k.end - s->k.at);
		jw_close(&f->j);
		if (f->c->g.jsonl)
			buf_addc(&f->out, '\n');
		return;
	}
	lo = s->k.line > c ? s->k.line - c : 1;
	if (s->any && c) {	/* what follows the match before */
		uint64_t hi = MIN(s->shown + c, s->k.line - 1);

		put_context(f, en, s->back, s->shown + 1, hi);
		s->shown = MAX(s->shown, hi);
	}
	if (c && f->n_match > 1 && (!s->any || lo > s->shown + 1))
		buf_adds(&f->out, "--\n");
	while (s->back.line < lo)
		advance(&s->back);
	if (c)
		put_context(f, en, s->back, MAX(lo, s->shown + 1), s->k.line - 1);
	put_line(f, en, s->k.line, ':', s->k.text + s->k.at, s->k.end - s->k.at, from - s->k.at,
		 to - s->k.at);
	s->shown = s->k.line;
	s->any = true;
}

/* --- searching --- */

static int search_text(void *ctx, const struct cat_entry *en, const char *text, size_t n)
{
	struct finder *f = ctx;
	struct text_state s = { .k = { text, n, 0, 0, 1 } };
	size_t at = 0;

	set_end(&s.k);
	s.back = s.k;
	while (at <= n) {
		PCRE2_SIZE *ov;
		size_t from, to;
		int rc = pcre2_match(f->code, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, f->md, f->mc);

		if (rc == PCRE2_ERROR_NOMATCH)
			break;
		if (rc < 0) {
			struct buf b = { 0 };

			term_text(&b, en->path, en->path_n, false);
			warn(f->c, "gave up in %s: the pattern takes too long there", b.data ? b.data : "");
			buf_release(&b);
			f->n_gave_up++;
			break;
		}
		ov = pcre2_get_ovector_pointer(f->md);
		from = ov[0];
		to = MAX(ov[1], from);
		if (from == n && n && text[n - 1] == '\n')
			break;	/* behind the last line there is none */
		seek_line(&s.k, from);
		f->n_match++;
		if (f->o->list) {
			if (f->json) {
				jw_open(&f->j, NULL, '{');
				jw_str(&f->j, "source", f->at->name);
				jw_path(&f->j, "path", en->path, en->path_n);
				jw_close(&f->j);
				if (f->c->g.jsonl)
					buf_addc(&f->out, '\n');
			} else {
				put_path(f, en);
				buf_addc(&f->out, '\n');
			}
			break;
		}
		put_match(f, en, &s, from, to);
		at = s.k.end + 1;	/* one match a line, as grep prints */
		flush(f);
	}
	if (s.any && f->o->context > 0)
		put_context(f, en, s.k, s.shown + 1, s.shown + (uint64_t)f->o->context);
	return stop_requested() ? ERR_INTR : 0;
}

static int search_entry(void *ctx, const struct cat_entry *en)
{
	struct finder *f = ctx;
	struct buf text = { 0 };
	int rc;

	if (en->state != CAT_TEXT || !is_candidate(f, en->document))
		return 0;
	rc = cat_text(f->cat, en->document, &text, &f->e);
	if (!rc)
		rc = search_text(f, en, text.data ? text.data : "", text.len);
	if (rc == ERR_INTR)
		err_set(&f->e, rc, "interrupted");
	buf_release(&text);
	return rc;
}

/* --- full text --- */

struct hit_path {
	struct finder *f;
	const struct search_hit *h;
	struct buf *text;
};

static int put_hit(void *ctx, const struct cat_entry *en)
{
	struct hit_path *p = ctx;
	struct finder *f = p->f;
	struct text_state s = { .k = { p->text->data, p->text->len, 0, 0, 1 } };
	size_t i;

	set_end(&s.k);
	s.back = s.k;
	if (f->o->list) {
		f->n_match++;
		put_path(f, en);
		buf_addc(&f->out, '\n');
		return 1;
	}
	for (i = 0; i < p->h->n_mark; i++) {
		size_t from = (size_t)p->h->mark[i].start;

		if (s.any && from <= s.k.end)
			continue;	/* one match a line */
		seek_line(&s.k, from);
		f->n_match++;
		put_match(f, en, &s, from, (size_t)p->h->mark[i].end);
		s.any = true;
	}
	if (s.any && f->o->context > 0 && !f->json)
		put_context(f, en, s.k, s.shown + 1, s.shown + (uint64_t)f->o->context);
	return 1;		/* one path is enough for a passage */
}

static int on_hit(void *ctx, const struct search_hit *h)
{
	struct finder *f = ctx;
	struct buf text = { 0 };
	struct hit_path p = { f, h, &text };
	size_t i;
	int rc = cat_text(f->cat, h->document, &text, &f->e);

	for (i = 0; i < f->picks.n && !rc; i++) {
		f->at = &f->picks.v[i];
		if (f->at->snapshot)
			rc = cat_entries_of(f->cat, f->at->snapshot, h->document, put_hit, &p, &f->e);
	}
	buf_release(&text);
	return rc < 0 && rc != ERR_NOTFOUND ? rc : 0;
}

static int full_text(struct finder *f, const char *pattern)
{
	int64_t *snaps = calloc(f->picks.n + 1, sizeof(*snaps));
	struct buf query = { 0 };
	size_t i, n = 0;
	int rc = snaps ? 0 : err_nomem(&f->e);

	for (i = 0; !rc && i < f->picks.n; i++)
		if (f->picks.v[i].snapshot)
			snaps[n++] = f->picks.v[i].snapshot;
	if (!rc)
		rc = search_query_of(pattern, strlen(pattern), &query, &f->e);
	if (!rc && n)
		rc = search_words(f->cat, query.data, snaps, n, (size_t)f->o->limit, on_hit, f, &f->e);
	if (rc == ERR_NOTFOUND)
		rc = err_set(&f->e, ERR_INVALID, "there is no word in '%s'", pattern);
	buf_release(&query);
	free(snaps);
	return rc;
}

static int search_all(struct finder *f, const char *pattern)
{
	size_t i;
	int rc;

	if (f->o->fts)
		return full_text(f, pattern);
	rc = compile(f, pattern, &f->e);
	if (!rc)
		rc = narrow(f, pattern, &f->e);
	for (i = 0; i < f->picks.n && !rc; i++) {
		f->at = &f->picks.v[i];
		if (f->at->snapshot)
			rc = cat_entries(f->cat, f->at->snapshot, search_entry, f, &f->e);
	}
	return rc;
}

int cmd_search(struct ctx *c, int argc, char **argv)
{
	struct finder f = { .c = c, .o = c->opts, .json = c->g.json || c->g.jsonl };
	struct library *lib = NULL;
	int rc;

	(void)argc;
	f.j.out = &f.out;
	if (f.o->fixed + f.o->perl + f.o->fts > 1)
		return fail_with(c, ERR_INVALID, NULL, "-F, -P and --fts exclude each other");
	rc = library_open(c, &lib, 0, &f.e);
	if (!rc) {
		f.cat = lib_catalog(lib);
		rc = cat_read_begin(f.cat, &f.e);
	}
	if (!rc) {
		rc = sources_pick(f.cat, &f.o->source, &f.picks, &f.e);
		f.many = f.picks.n > 1;
		if (c->g.json) {
			jw_open(&f.j, NULL, '{');
			jw_str(&f.j, "schema", "folio.search/1");
			jw_open(&f.j, "matches", '[');
		} else if (!f.json) {
			pager_start(c);
		}
		if (!rc)
			rc = search_all(&f, argv[0]);
		cat_read_end(f.cat);
	}
	if (!rc && c->g.json) {
		jw_close(&f.j);
		jw_close(&f.j);
		jw_end_line(&f.j);
	} else if (!rc && c->g.jsonl) {
		buf_addf(&f.out, "{\"event\":\"done\",\"schema\":\"folio.search/1\",\"count\":%llu}\n",
			 (unsigned long long)f.n_match);
	}
	if (!rc && f.out.data)
		fwrite(f.out.data, 1, f.out.len, stdout);
	pcre2_code_free(f.code);
	pcre2_match_data_free(f.md);
	pcre2_match_context_free(f.mc);
	free(f.doc);
	buf_release(&f.out);
	picks_release(&f.picks);
	lib_close(lib);
	if (rc)
		return fail(c, &f.e);
	return f.n_gave_up ? EXIT_SOME : f.n_match ? EXIT_DONE : EXIT_NO;
}
