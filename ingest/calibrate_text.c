/* Questions from text that explains itself: calibrate.h. */
#include "config.h"

#include "ingest/calibrate.h"
#include "base/buf.h"
#include "base/size.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WINDOW_BYTES 1200
#define LEFT_BYTES   400	/* what a window must hold beside its comment */
#define PER_TEXT     4
#define MIN_WORDS    6
#define MAX_WORDS    30

struct line {
	const char *s;
	size_t n;
};

/* The line at *at, without its end; *at moves behind it. */
static struct line next_line(const char *s, size_t n, size_t *at)
{
	const char *nl = memchr(s + *at, '\n', n - *at);
	struct line l = { s + *at, nl ? (size_t)(nl - s) - *at : n - *at };

	*at = MIN(*at + l.n + 1, n);
	return l;
}

static struct line trim(struct line l)
{
	while (l.n && isspace((unsigned char)*l.s))
		l.s++, l.n--;
	while (l.n && isspace((unsigned char)l.s[l.n - 1]))
		l.n--;
	return l;
}

static bool begins(struct line l, const char *with)
{
	size_t n = strlen(with);

	return l.n >= n && !memcmp(l.s, with, n);
}

static bool holds(struct line l, const char *what, size_t from)
{
	return l.n > from && memmem(l.s + from, l.n - from, what, strlen(what)) != NULL;
}

/* How the comment that a line begins ends: a mark, the end of lines that begin alike, or no comment. */
static const char *opens(struct line l, const char **close)
{
	static const char *const PAIR[][2] = { { "/*", "*/" }, { "\"\"\"", "\"\"\"" }, { "'''", "'''" } };

	*close = NULL;
	for (size_t i = 0; i < ARRAY_LEN(PAIR); i++)
		if (begins(l, PAIR[i][0])) {
			*close = PAIR[i][1];
			return PAIR[i][0];
		}
	if (begins(l, "//"))
		return "//";
	return begins(l, "# ") ? "#" : NULL;
}

/* A comment that begins with the line at *at: its end to *at, its prose appended.  False: none there. */
static bool comment(const char *s, size_t n, size_t *at, struct buf *prose)
{
	size_t p = *at;
	struct line l = trim(next_line(s, n, &p));
	const char *close, *open = opens(l, &close);
	bool closed = !close;

	if (!open)
		return false;
	if (close)
		closed = holds(l, close, strlen(open));
	for (;;) {
		size_t q = p;

		while (l.n && (strchr("/*#\"'!", *l.s) || isspace((unsigned char)*l.s)))
			l.s++, l.n--;
		while (l.n && strchr("/*#\"'", l.s[l.n - 1]))
			l.n--;
		buf_add(prose, l.s, l.n);
		buf_addc(prose, '\n');
		*at = p;
		if ((close && closed) || p == n)
			return closed;
		l = trim(next_line(s, n, &q));
		if (!close && !begins(l, open))
			return true;
		if (close)
			closed = holds(l, close, 0);
		p = q;
	}
}

/* Its first sentence in one line, if it is one that a reader could ask for. */
static bool sentence(const struct buf *prose, struct buf *out)
{
	size_t words = 0, letters = 0;
	bool space = true;

	for (size_t i = 0; i < prose->len; i++) {
		unsigned char c = (unsigned char)prose->data[i];
		bool last = c == '.' && (i + 1 == prose->len || isspace((unsigned char)prose->data[i + 1]));

		if (last || (c == '\n' && i + 1 < prose->len && prose->data[i + 1] == '\n' && words))
			break;
		if (isspace(c)) {
			if (!space)
				buf_addc(out, ' ');
			space = true;
			continue;
		}
		words += space;
		letters += isalpha(c) != 0;
		space = false;
		buf_addc(out, (char)c);
	}
	while (out->len && out->data[out->len - 1] == ' ')
		out->len--;
	if (out->failed || words < MIN_WORDS || words > MAX_WORDS)
		return false;
	buf_addc(out, '\0');
	out->len--;
	return !out->failed && letters + words >= out->len - out->len / 8 && !strcasestr(out->data, "copyright") &&
	       !strcasestr(out->data, "license");
}

static uint64_t hash_of(uint64_t seed, const char *name, size_t at)
{
	struct hasher h;
	uint64_t place = at, v;
	struct id id;

	hasher_init(&h);
	hasher_add(&h, &seed, sizeof(seed));
	hasher_field(&h, name, strlen(name));
	hasher_add(&h, &place, sizeof(place));
	id = hasher_done(&h);
	memcpy(&v, id.b, sizeof(v));
	return v;
}

/* The comment of a window with the smallest hash becomes its question. */
static int make(const struct cal_windows *w, const char *name, const char *text, size_t from, size_t to,
		struct cal_window *out, struct err *e)
{
	size_t at = from, start = 0, end = 0;
	struct buf prose = { 0 }, said = { 0 }, best = { 0 };
	char *rest;

	*out = (struct cal_window){ .hash = UINT64_MAX };
	while (at < to) {
		size_t begin = at;

		buf_clear(&prose);
		buf_clear(&said);
		if (!comment(text, to, &at, &prose)) {
			at = begin;
			next_line(text, to, &at);
		} else if (to - from - (at - begin) >= LEFT_BYTES && sentence(&prose, &said) &&
			   hash_of(w->seed, name, begin) < out->hash) {
			out->hash = hash_of(w->seed, name, begin);
			start = begin;
			end = at;
			buf_clear(&best);
			buf_add(&best, said.data, said.len);
		}
	}
	if (prose.failed || said.failed || best.failed)
		err_nomem(e);
	buf_release(&prose);
	buf_release(&said);
	if (!best.len) {
		bool failed = best.failed;

		buf_release(&best);
		return failed ? ERR_NOMEM : 0;
	}
	rest = malloc(to - from);
	if (!rest) {
		buf_release(&best);
		return err_nomem(e);
	}
	memcpy(rest, text + from, start - from);
	memcpy(rest + (start - from), text + end, to - end);
	out->text = rest;
	out->n_text = to - from - (end - start);
	out->n_question = best.len;
	out->question = buf_take(&best);
	return out->question ? 0 : err_nomem(e);
}

static int by_hash(const void *a, const void *b)
{
	const struct cal_window *x = a, *y = b;

	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void cut_to(struct cal_windows *w, size_t from, size_t max)
{
	if (w->n > from)
		qsort(w->v + from, w->n - from, sizeof(*w->v), by_hash);
	while (w->n > from + max) {
		free(w->v[--w->n].text);
		free(w->v[w->n].question);
	}
}

int cal_windows_add(struct cal_windows *w, const char *name, const char *text, size_t n, struct err *e)
{
	size_t first = w->n, from = 0, at = 0;
	int rc = 0;

	while (from < n && !rc) {
		struct cal_window x;

		while (at < n) {
			size_t next = at;

			next_line(text, n, &next);
			if (next - from > WINDOW_BYTES && at > from)
				break;
			at = next;
		}
		/* A line without end is no text to ask about. */
		if (at - from > 2 * WINDOW_BYTES) {
			from = at;
			continue;
		}
		if (w->n == w->cap) {
			size_t cap = 2 * w->cap + 64;
			struct cal_window *v = realloc(w->v, cap * sizeof(*v));

			if (!v)
				return err_nomem(e);
			w->v = v;
			w->cap = cap;
		}
		rc = make(w, name, text, from, at, &x, e);
		if (x.text)
			w->v[w->n++] = x;
		from = at;
	}
	cut_to(w, first, PER_TEXT);
	if (w->n > 8 * w->max)
		cut_to(w, 0, w->max);
	return rc;
}

void cal_windows_done(struct cal_windows *w)
{
	cut_to(w, 0, w->max);
}

void cal_windows_release(struct cal_windows *w)
{
	cut_to(w, 0, 0);
	free(w->v);
	*w = (struct cal_windows){ 0 };
}
