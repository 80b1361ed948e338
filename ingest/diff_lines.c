#include "config.h"

#include "ingest/diff_lines.h"

#include "base/hash.h"
#include "base/size.h"
#include "base/stop.h"

#include <git2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void init(void)
{
	git_libgit2_init();
}

struct lines {
	struct diff_report *r;
	uint64_t skip;		/* equal lines before what xdiff sees */
	struct err *e;
	int rc;
};

static struct diff_hunk *new_hunk(struct diff_report *r, struct err *e)
{
	struct diff_file *f = &r->file[r->n_file - 1];

	if (r->n_hunk == r->cap_hunk) {
		size_t cap = r->cap_hunk ? 2 * r->cap_hunk : 256;
		struct diff_hunk *v = reallocarray(r->hunk, cap, sizeof(*v));

		if (!v || r->n_hunk >= UINT32_MAX - 1) {
			err_nomem(e);
			return NULL;
		}
		r->hunk = v;
		r->cap_hunk = cap;
	}
	r->hunk[r->n_hunk] = (struct diff_hunk){ .file = (uint32_t)(r->n_file - 1), .text = r->text.len };
	f->n_hunk++;
	return &r->hunk[r->n_hunk++];
}

/* What stands behind the second "@@" of a hunk's header. */
static uint32_t keep_head(struct diff_report *r, const git_diff_hunk *h)
{
	const char *p = h->header, *end = p + h->header_len, *at = memmem(p + 2, h->header_len > 2 ? h->header_len - 2 : 0, "@@", 2);

	if (!at)
		return 0;
	for (p = at + 2; p < end && *p == ' '; p++)
		;
	while (end > p && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
		end--;
	return diff_keep(r, p, (size_t)(end - p));
}

static int on_hunk(const git_diff_delta *d, const git_diff_hunk *gh, void *ctx)
{
	struct lines *l = ctx;
	struct diff_hunk *h = new_hunk(l->r, l->e);

	(void)d;
	if (!h) {
		l->rc = ERR_NOMEM;
		return -1;
	}
	h->old_first = (uint64_t)gh->old_start + l->skip;
	h->old_n = (uint64_t)gh->old_lines;
	h->new_first = (uint64_t)gh->new_start + l->skip;
	h->new_n = (uint64_t)gh->new_lines;
	h->head = keep_head(l->r, gh);
	return stop_requested() ? -1 : 0;
}

static void keep_line(struct diff_report *r, struct diff_hunk *h, char origin, const char *s, size_t n)
{
	size_t start = r->text.len;

	if (h->cut || h->n_text + n + 2 > DIFF_KEEP_HUNK || start + n + 2 > DIFF_KEEP_ALL) {
		h->cut = true;
		return;
	}
	buf_addc(&r->text, origin);
	buf_add(&r->text, s, n);
	if (!n || s[n - 1] != '\n')
		buf_addc(&r->text, '\n');
	h->n_text += (uint32_t)(r->text.len - start);
}

static int on_line(const git_diff_delta *d, const git_diff_hunk *gh, const git_diff_line *gl, void *ctx)
{
	struct lines *l = ctx;
	struct diff_report *r = l->r;
	struct diff_file *f = &r->file[r->n_file - 1];
	struct diff_hunk *h;

	(void)d;
	(void)gh;
	if (!f->n_hunk || (gl->origin != '+' && gl->origin != '-' && gl->origin != ' '))
		return 0;
	h = &r->hunk[r->n_hunk - 1];
	h->insertions += gl->origin == '+';
	h->deletions += gl->origin == '-';
	f->insertions += gl->origin == '+';
	f->deletions += gl->origin == '-';
	keep_line(r, h, gl->origin, gl->content, gl->content_len);
	return 0;
}

static int run_xdiff(struct lines *l, const char *a, size_t n_a, const char *b, size_t n_b)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	git_diff_options o = GIT_DIFF_OPTIONS_INIT;
	int rc;

	pthread_once(&once, init);
	o.flags = GIT_DIFF_FORCE_TEXT | GIT_DIFF_INDENT_HEURISTIC;
	o.context_lines = 3;
	rc = git_diff_buffers(a, n_a, NULL, b, n_b, NULL, &o, NULL, NULL, on_hunk, on_line, l);
	if (!rc)
		return l->r->text.failed || l->r->words.failed ? err_nomem(l->e) : 0;
	if (l->rc)
		return l->rc;
	if (stop_requested())
		return err_set(l->e, ERR_INTR, "interrupted");
	return err_set(l->e, ERR_INVALID, "cannot compare: %s", git_error_last() ? git_error_last()->message : "unknown");
}

/* ---- large texts ---- */

enum { CONTEXT = 3 };

/* Bytes of whole equal lines at the front, but for those that a hunk may show. */
static size_t equal_front(const char *a, size_t n_a, const char *b, size_t n_b, uint64_t *n_line)
{
	size_t n = MIN(n_a, n_b), i = 0, last[CONTEXT + 1] = { 0 };

	*n_line = 0;
	for (; i < n && a[i] == b[i]; i++)
		if (a[i] == '\n')
			last[++*n_line % (CONTEXT + 1)] = i + 1;
	if (*n_line < CONTEXT) {
		*n_line = 0;
		return 0;
	}
	*n_line -= CONTEXT;
	return *n_line ? last[*n_line % (CONTEXT + 1)] : 0;
}

/* The same at the back. */
static size_t equal_back(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t n = MIN(n_a, n_b), i = 0, n_line = 0, last[CONTEXT + 1] = { 0 };

	for (; i < n && a[n_a - 1 - i] == b[n_b - 1 - i]; i++)
		if (a[n_a - 1 - i] == '\n')
			last[++n_line % (CONTEXT + 1)] = i;	/* bytes behind that line end */
	return n_line > CONTEXT ? last[(n_line - CONTEXT) % (CONTEXT + 1)] : 0;
}

struct bag {
	uint64_t *key;		/* 0: free */
	int32_t  *count;	/* of a, less those of b */
	size_t    mask, n;
};

static int bag_grow(struct bag *g, struct err *e)
{
	struct bag h = { .mask = g->mask ? 2 * g->mask + 1 : 0xffff };

	h.key = calloc(h.mask + 1, sizeof(*h.key));
	h.count = calloc(h.mask + 1, sizeof(*h.count));
	if (!h.key || !h.count) {
		free(h.key);
		free(h.count);
		return err_nomem(e);
	}
	for (size_t i = 0; g->key && i <= g->mask; i++) {
		size_t at = g->key[i] & h.mask;

		if (!g->key[i])
			continue;
		while (h.key[at])
			at = (at + 1) & h.mask;
		h.key[at] = g->key[i];
		h.count[at] = g->count[i];
		h.n++;
	}
	free(g->key);
	free(g->count);
	*g = h;
	return 0;
}

static int bag_lines(struct bag *g, const char *s, size_t n, int step, uint64_t *n_line, struct err *e)
{
	*n_line = 0;
	for (size_t i = 0; i < n; ++*n_line) {
		const char *nl = memchr(s + i, '\n', n - i);
		size_t len = nl ? (size_t)(nl + 1 - (s + i)) : n - i, at;
		uint64_t key = sum128_of(s + i, len).lo | 1;

		if (2 * g->n >= g->mask && bag_grow(g, e))
			return ERR_NOMEM;
		for (at = key & g->mask; g->key[at] && g->key[at] != key; at = (at + 1) & g->mask)
			;
		g->n += !g->key[at];
		g->key[at] = key;
		g->count[at] += step;
		i += len;
		if (!(*n_line & 0xffff) && stop_requested())
			return err_set(e, ERR_INTR, "interrupted");
	}
	return 0;
}

static int count_lines(struct lines *l, const char *a, size_t n_a, const char *b, size_t n_b, struct err *e)
{
	struct diff_file *f = &l->r->file[l->r->n_file - 1];
	struct diff_hunk *h = new_hunk(l->r, e);
	struct bag g = { 0 };
	uint64_t na, nb;
	int rc = h ? bag_lines(&g, a, n_a, 1, &na, e) : ERR_NOMEM;

	if (!rc)
		rc = bag_lines(&g, b, n_b, -1, &nb, e);
	for (size_t i = 0; !rc && g.key && i <= g.mask; i++) {
		h->deletions += g.count[i] > 0 ? (uint64_t)g.count[i] : 0;
		h->insertions += g.count[i] < 0 ? (uint64_t)-g.count[i] : 0;
	}
	if (!rc) {
		h->old_first = h->new_first = l->skip + 1;
		h->old_n = na;
		h->new_n = nb;
		h->cut = true;
		f->insertions += h->insertions;
		f->deletions += h->deletions;
	}
	free(g.key);
	free(g.count);
	return rc;
}

int diff_lines(struct diff_report *r, const char *a, size_t n_a, const char *b, size_t n_b, bool *counted,
	       struct err *e)
{
	struct lines l = { .r = r, .e = e };
	size_t front = 0, back = 0;
	uint64_t n_line;
	bool counts = false;

	*counted = false;
	r->file[r->n_file - 1].hunk = (uint32_t)r->n_hunk;
	if (n_a > DIFF_LINES_WHOLE || n_b > DIFF_LINES_WHOLE) {
		front = equal_front(a, n_a, b, n_b, &n_line);
		back = equal_back(a + front, n_a - front, b + front, n_b - front);
		l.skip = n_line;
		counts = n_a + n_b - 2 * (front + back) > DIFF_LINES_CORE;
	}
	/* Against nothing the count is exact. */
	*counted = counts && n_a > front + back && n_b > front + back;
	if (counts)
		return count_lines(&l, a + front, n_a - front - back, b + front, n_b - front - back, e);
	return run_xdiff(&l, a + front, n_a - front - back, b + front, n_b - front - back);
}
