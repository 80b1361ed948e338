#include "config.h"

#include "ingest/diff_sections.h"

#include "base/hash.h"
#include "base/size.h"
#include "base/stop.h"

#include <ctype.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOVED_WORDS = 4, REWRITTEN = 40, EDITED = 75, NUMBERS_MAX = 20, WORDS_MAX = 3000,
       SEARCH_MAX = 4000000 };

/* ---- paragraphs ---- */

struct para {
	size_t   at, n;			/* bytes */
	uint64_t first, last;		/* lines */
	uint64_t key;			/* of its words */
	uint32_t n_word;
	int64_t  mate;			/* on the other side, or -1 */
	int64_t  gap;			/* number of the stretch between equal ones it lies in; -1: equal */
	uint32_t share;			/* percent, when it has a mate that is not equal */
};

struct paras {
	struct para *v;
	size_t n, cap;
};

static bool is_blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isspace((unsigned char)s[i]) && s[i] != '\f')
			return false;
	return true;
}

/* The next word of [*p, end); false: there is none. */
static bool next_word(const char **p, const char *end, const char **word, size_t *n)
{
	while (*p < end && (isspace((unsigned char)**p) || **p == '\f'))
		++*p;
	*word = *p;
	while (*p < end && !isspace((unsigned char)**p) && **p != '\f')
		++*p;
	*n = (size_t)(*p - *word);
	return *n > 0;
}

static uint64_t key_of(const char *s, size_t n, uint32_t *n_word)
{
	const char *p = s, *word;
	uint64_t key = 0;
	size_t k;

	*n_word = 0;
	while (next_word(&p, s + n, &word, &k)) {
		key = (key ^ sum128_of(word, k).lo) * 0x9e3779b97f4a7c15u;
		++*n_word;
	}
	return key;
}

static int add_para(struct paras *l, const char *text, size_t at, size_t n, uint64_t first, uint64_t last,
		    struct err *e)
{
	struct para *p;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct para *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return err_nomem(e);
		l->v = v;
		l->cap = cap;
	}
	p = &l->v[l->n++];
	*p = (struct para){ .at = at, .n = n, .first = first, .last = last, .mate = -1, .gap = -1 };
	p->key = key_of(text + at, n, &p->n_word);
	return 0;
}

static bool heading_at(const struct document *d, size_t *i, size_t at)
{
	while (*i < d->n_anchor && d->anchor[*i].at < at)
		++*i;
	for (size_t j = *i; j < d->n_anchor && d->anchor[j].at == at; j++)
		if (d->anchor[j].kind == ANCHOR_HEADING || d->anchor[j].kind == ANCHOR_CHAPTER)
			return true;
	return false;
}

/* A PDF has no certain paragraphs: lines of one page are cut behind sentences, wherever those end. */
static int add_sentences(struct paras *l, const char *text, size_t at, size_t n, uint64_t first, struct err *e)
{
	size_t start = at, end = at + n;
	uint64_t line = first, from = first;
	int rc = 0;

	for (size_t i = at; i < end && !rc; i++) {
		bool stop = strchr(".!?", text[i]) && text[i] && i + 1 < end && isspace((unsigned char)text[i + 1]);
		size_t k = i + 1;

		while (stop && k < end && isspace((unsigned char)text[k]))
			k++;
		/* "2. Opening hours" is no end of a sentence, and "e.g. this" neither. */
		stop = stop && k < end && !islower((unsigned char)text[k]) && i > start + 3 && !isdigit((unsigned char)text[i - 1]);
		if (stop) {
			rc = add_para(l, text, start, i + 1 - start, from, line, e);
			for (; i + 1 < k; i++)
				line += text[i + 1] == '\n';
			start = k;
			from = line;
		} else {
			line += text[i] == '\n';
		}
	}
	while (end > start && isspace((unsigned char)text[end - 1]))
		line -= text[--end] == '\n';
	return rc || end <= start ? rc : add_para(l, text, start, end - start, from, line, e);
}

static bool page_begins(const struct document *d, size_t *i, size_t at)
{
	while (*i < d->n_anchor && (d->anchor[*i].at < at || d->anchor[*i].kind != ANCHOR_PAGE))
		++*i;
	return *i < d->n_anchor && d->anchor[*i].at == at;
}

static int split(const struct document *d, struct paras *l, struct err *e)
{
	const char *text = d->text.data ? d->text.data : "";
	size_t n = d->text.len, start = 0, h = 0, page = 0;
	bool pdf = d->kind == DOC_PDF;
	uint64_t line = 1, first = 1;
	bool open = false, head = false;
	int rc = 0;

	for (size_t i = 0; i < n && !rc; line++) {
		const char *nl = memchr(text + i, '\n', n - i);
		size_t len = nl ? (size_t)(nl - (text + i)) : n - i;
		bool blank = is_blank(text + i, len), heads = heading_at(d, &h, i);

		if (open && (blank || heads || head || (pdf && page_begins(d, &page, i)))) {
			rc = pdf ? add_sentences(l, text, start, i - start, first, e) :
				   add_para(l, text, start, i - start, first, line - 1, e);
			open = false;
		}
		if (!blank && !open) {
			start = i;
			first = line;
			open = true;
		}
		head = heads;
		i += len + 1;
	}
	if (!rc && open)
		rc = pdf ? add_sentences(l, text, start, n - start, first, e) :
			   add_para(l, text, start, n - start, first, line - 1, e);
	return rc;
}

/* ---- which ones stayed ---- */

struct stay {
	struct paras *a, *b;
	size_t  i, j;		/* next of each */
	int64_t gap;
};

static void equal_run(struct stay *s, size_t to_i)
{
	while (s->i < to_i) {
		s->a->v[s->i].mate = (int64_t)s->j;
		s->b->v[s->j].mate = (int64_t)s->i;
		s->i++;
		s->j++;
	}
}

static int on_hunk(const git_diff_delta *d, const git_diff_hunk *h, void *ctx)
{
	struct stay *s = ctx;
	size_t i = (size_t)h->old_start - (h->old_lines > 0), n = (size_t)h->old_lines, m = (size_t)h->new_lines;

	(void)d;
	equal_run(s, i);
	for (size_t k = 0; k < n; k++)
		s->a->v[s->i++].gap = s->gap;
	for (size_t k = 0; k < m; k++)
		s->b->v[s->j++].gap = s->gap;
	s->gap++;
	return 0;
}

static void keys_as_lines(const struct paras *l, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++)
		buf_addf(out, "%016llx\n", (unsigned long long)l->v[i].key);
}

static int find_stayed(struct paras *a, struct paras *b, struct err *e)
{
	git_diff_options o = GIT_DIFF_OPTIONS_INIT;
	struct stay s = { .a = a, .b = b };
	struct buf x = { 0 }, y = { 0 };
	int rc;

	keys_as_lines(a, &x);
	keys_as_lines(b, &y);
	o.flags = GIT_DIFF_FORCE_TEXT;
	o.context_lines = 0;
	rc = x.failed || y.failed ? err_nomem(e) :
	     git_diff_buffers(x.data, x.len, NULL, y.data, y.len, NULL, &o, NULL, NULL, on_hunk, NULL, &s) ?
		err_set(e, ERR_INVALID, "cannot compare paragraphs") : 0;
	if (!rc)
		equal_run(&s, a->n);
	buf_release(&x);
	buf_release(&y);
	return rc;
}

/* ---- which ones moved ---- */

struct ref {
	uint64_t key;
	size_t   i;
};

static int cmp_ref(const void *x, const void *y)
{
	const struct ref *a = x, *b = y;

	return a->key != b->key ? (a->key < b->key ? -1 : 1) : a->i < b->i ? -1 : a->i > b->i;
}

/* Equal words at another place. */
static int find_moved(struct paras *a, struct paras *b, struct err *e)
{
	struct ref *v = malloc((b->n + 1) * sizeof(*v));
	size_t n = 0;

	if (!v)
		return err_nomem(e);
	for (size_t j = 0; j < b->n; j++)
		if (b->v[j].mate < 0)
			v[n++] = (struct ref){ b->v[j].key, j };
	qsort(v, n, sizeof(*v), cmp_ref);
	for (size_t i = 0; i < a->n; i++) {
		struct para *p = &a->v[i];
		size_t lo = 0, hi = n;

		if (p->mate >= 0)
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (v[mid].key < p->key)
				lo = mid + 1;
			else
				hi = mid;
		}
		while (lo < n && v[lo].key == p->key && b->v[v[lo].i].mate >= 0)
			lo++;
		/* "Yes." moves about without meaning, unless what stands before it moved along. */
		if (lo < n && v[lo].key == p->key &&
		    (p->n_word >= MOVED_WORDS || (i && a->v[i - 1].mate + 1 == (int64_t)v[lo].i) ||
		     (i + 1 < a->n && v[lo].i + 1 < b->n && a->v[i + 1].key == b->v[v[lo].i + 1].key))) {
			p->mate = (int64_t)v[lo].i;
			b->v[v[lo].i].mate = (int64_t)i;
			p->share = b->v[v[lo].i].share = 100;
		}
	}
	free(v);
	return 0;
}

/* ---- which ones were written anew ---- */

struct word {
	uint64_t key;
	const char *s;
	size_t n;
};

static size_t words_of(const char *s, size_t n, struct word *out, size_t max)
{
	const char *p = s;
	size_t k = 0;

	while (k < max && next_word(&p, s + n, &out[k].s, &out[k].n)) {
		out[k].key = sum128_of(out[k].s, out[k].n).lo;
		k++;
	}
	return k;
}

static int cmp_word(const void *x, const void *y)
{
	const struct word *a = x, *b = y;

	return a->key < b->key ? -1 : a->key > b->key;
}

/* Percent of the longer one's words that the other has too. */
static uint32_t shared(const struct word *a, size_t n_a, const struct word *b, size_t n_b)
{
	size_t same = 0;

	for (size_t i = 0, j = 0; i < n_a && j < n_b;) {
		if (a[i].key == b[j].key)
			same++, i++, j++;
		else if (a[i].key < b[j].key)
			i++;
		else
			j++;
	}
	return MAX(n_a, n_b) ? (uint32_t)(100 * same / MAX(n_a, n_b)) : 0;
}

struct bags {
	struct word *w;		/* sorted words of all paragraphs without a mate */
	size_t *at, *n;		/* per paragraph */
};

static int sort_words(const char *text, const struct paras *l, struct bags *g, struct err *e)
{
	size_t total = 0, k = 0;

	for (size_t i = 0; i < l->n; i++)
		total += l->v[i].mate < 0 ? MIN(l->v[i].n_word, (uint32_t)WORDS_MAX) : 0;
	g->w = calloc(total + 1, sizeof(*g->w));
	g->at = calloc(l->n + 1, sizeof(*g->at));
	g->n = calloc(l->n + 1, sizeof(*g->n));
	if (!g->w || !g->at || !g->n)
		return err_nomem(e);
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].mate >= 0)
			continue;
		g->at[i] = k;
		g->n[i] = words_of(text + l->v[i].at, l->v[i].n, g->w + k, WORDS_MAX);
		qsort(g->w + k, g->n[i], sizeof(*g->w), cmp_word);
		k += g->n[i];
	}
	return 0;
}

static void drop_bags(struct bags *g)
{
	free(g->w);
	free(g->at);
	free(g->n);
}

/* Mates among paragraphs without one: near: in one gap, else anywhere. */
static int find_rewritten(struct paras *a, const struct bags *ga, struct paras *b, const struct bags *gb, bool near,
			  uint32_t min, uint64_t *steps, struct err *e)
{
	size_t j0 = 0;

	for (size_t i = 0; i < a->n; i++) {
		size_t best = SIZE_MAX;
		uint32_t top = min - 1;

		if (a->v[i].mate >= 0)
			continue;
		for (size_t j = near ? j0 : 0; j < b->n && *steps < SEARCH_MAX; j++) {
			uint32_t s;

			if (near && b->v[j].gap >= 0 && b->v[j].gap > a->v[i].gap)
				break;
			if (b->v[j].mate >= 0 || (near && b->v[j].gap != a->v[i].gap)) {
				j0 = near && b->v[j].gap >= 0 && b->v[j].gap < a->v[i].gap ? j : j0;
				continue;
			}
			s = shared(ga->w + ga->at[i], ga->n[i], gb->w + gb->at[j], gb->n[j]);
			*steps += ga->n[i] + gb->n[j];
			if (s > top) {
				top = s;
				best = j;
			}
		}
		if (best != SIZE_MAX) {
			a->v[i].mate = (int64_t)best;
			b->v[best].mate = (int64_t)i;
			/* The same words in another order are not the same. */
			top = a->v[i].key == b->v[best].key ? 100 : MIN(top, 99u);
			a->v[i].share = b->v[best].share = top;
		}
		if (stop_requested())
			return err_set(e, ERR_INTR, "interrupted");
	}
	return 0;
}

/* ---- telling ---- */

struct tell {
	struct diff_report *r;
	uint32_t file;
	const struct document *a, *b;
	struct paras *pa, *pb;
};

static uint32_t page_of(const struct document *d, size_t at)
{
	const struct anchor *x = doc_anchor_at(d, ANCHOR_PAGE, at);

	return x ? x->number : 0;
}

static uint32_t head_of(struct diff_report *r, const struct document *d, size_t at)
{
	const struct anchor *x = doc_anchor_at(d, ANCHOR_HEADING, at);
	const char *title;

	if (!x)
		x = doc_anchor_at(d, ANCHOR_CHAPTER, at);
	if (!x)
		return 0;
	title = doc_name(d, x->title);
	return diff_keep(r, title, strlen(title));
}

static uint32_t start_of(struct diff_report *r, const char *s, size_t n)
{
	enum { SHOWN = 60 };
	struct buf b = { 0 };
	const char *p = s, *word;
	uint32_t at;
	size_t k;

	while (next_word(&p, s + n, &word, &k) && b.len + k < SHOWN) {
		if (b.len)
			buf_addc(&b, ' ');
		buf_add(&b, word, k);
	}
	if (b.len && p < s + n && !is_blank(p, (size_t)(s + n - p)))
		buf_adds(&b, "…");
	at = diff_keep(r, b.data ? b.data : "", b.len);
	buf_release(&b);
	return at;
}

/* Percent of the words of a run of paragraphs that their mates have too. */
static uint32_t share_of(const struct para *p, size_t n)
{
	uint64_t words = 0, same = 0;

	for (size_t i = 0; i < n; i++) {
		words += p[i].n_word;
		same += (uint64_t)p[i].n_word * p[i].share;
	}
	return words ? (uint32_t)(same / words) : 0;
}

static int tell_section(struct tell *t, enum diff_fate fate, size_t i, size_t n_i, size_t j, size_t n_j,
			struct err *e)
{
	struct diff_section s = { .file = t->file, .fate = fate, .hunk = { UINT32_MAX, UINT32_MAX } };

	if (n_i) {
		const struct para *p = &t->pa->v[i];

		s.old_first = p->first;
		s.old_last = t->pa->v[i + n_i - 1].last;
		s.old_page = page_of(t->a, p->at);
		s.old_head = head_of(t->r, t->a, p->at);
		s.start = start_of(t->r, t->a->text.data + p->at, p->n);
		s.share = share_of(p, n_i);
		s.hunk[0] = diff_hunk_at(t->r, t->file, false, s.old_first, s.old_last);
	}
	if (n_j) {
		const struct para *p = &t->pb->v[j];

		s.new_first = p->first;
		s.new_last = t->pb->v[j + n_j - 1].last;
		s.new_page = page_of(t->b, p->at);
		s.new_head = head_of(t->r, t->b, p->at);
		s.start = start_of(t->r, t->b->text.data + p->at, p->n);
		s.hunk[1] = diff_hunk_at(t->r, t->file, true, s.new_first, s.new_last);
	}
	return diff_add_section(t->r, &s, e);
}

static bool has_digit(const struct word *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (isdigit((unsigned char)w->s[i]))
			return true;
	return false;
}

/* A word without what punctuation stands around it: "(45)," is 45. */
static struct word bare(struct word w)
{
	while (w.n && strchr("([{\"'`", *w.s))
		w.s++, w.n--;
	while (w.n > 1 && strchr(".,;:!?)]}\"'`", w.s[w.n - 1]))
		w.n--;
	return w;
}

static int tell_number(struct tell *t, const struct para *q, const struct word *x, const struct word *y,
		       const struct word *around, size_t n_around, size_t at, struct err *e)
{
	struct diff_report *r = t->r;
	size_t from = at > 4 ? at - 4 : 0, to = MIN(at + 4, n_around);
	struct diff_change c = { .kind = CHANGE_NUMBER, .file = t->file, .is_public = true, .on_new = true,
				 .first = q->first };
	struct word was = bare(*x), is = bare(*y);
	struct buf b = { 0 };

	if (was.n == is.n && !memcmp(was.s, is.s, is.n))
		return 0;	/* only what stands around it changed */
	for (const char *s = t->b->text.data + q->at; s < y->s; s++)
		c.first += *s == '\n';
	c.last = c.first;
	c.hunk = diff_hunk_at(r, t->file, true, c.first, c.last);
	for (size_t i = from; i < to; i++) {
		buf_addf(&b, "%s%.*s", b.len ? " " : "", (int)around[i].n, around[i].s);
	}
	c.symbol = diff_keep(r, b.data ? b.data : "", b.len);
	c.before = diff_keep(r, was.s, was.n);
	c.after = diff_keep(r, is.s, is.n);
	buf_release(&b);
	return c.hunk == UINT32_MAX ? 0 : diff_add_change(r, &c, e);
}

/* Longest common run of words, then single words in each other's place. */
static int tell_numbers(struct tell *t, const struct para *p, const struct para *q, struct err *e)
{
	enum { MAX = 600 };
	struct word *x = calloc(2 * MAX, sizeof(*x)), *y = x + MAX;
	uint16_t *len = calloc((MAX + 1) * (MAX + 1), sizeof(*len));
	size_t n = 0, m = 0, i = 0, j = 0, told = 0;
	int rc = x && len ? 0 : err_nomem(e);

	if (!rc) {
		n = words_of(t->a->text.data + p->at, p->n, x, MAX);
		m = words_of(t->b->text.data + q->at, q->n, y, MAX);
	}
#define LEN(a, b) len[(a) * (MAX + 1) + (b)]
	for (size_t a = n; a-- > 0;)
		for (size_t b = m; b-- > 0;)
			LEN(a, b) = x[a].key == y[b].key ? (uint16_t)(LEN(a + 1, b + 1) + 1) :
				    LEN(a + 1, b) > LEN(a, b + 1) ? LEN(a + 1, b) : LEN(a, b + 1);
	while (!rc && (i < n || j < m)) {
		size_t i0 = i, j0 = j;

		while ((i < n || j < m) && !(i < n && j < m && x[i].key == y[j].key)) {
			if (j >= m || (i < n && LEN(i + 1, j) >= LEN(i, j + 1)))
				i++;
			else
				j++;
		}
		if (i - i0 == j - j0)
			for (size_t k = 0; k < i - i0 && !rc && told < NUMBERS_MAX; k++)
				if (has_digit(&x[i0 + k]) && has_digit(&y[j0 + k])) {
					rc = tell_number(t, q, &x[i0 + k], &y[j0 + k], y, m, j0 + k, e);
					told++;
				}
		i++;
		j++;
	}
#undef LEN
	free(x);
	free(len);
	return rc;
}

static enum diff_fate fate_of(const struct tell *t, size_t i)
{
	const struct para *p = &t->pa->v[i];

	if (p->mate < 0)
		return FATE_REMOVED;
	if (p->share == 100)
		return FATE_MOVED;
	return p->gap >= 0 && p->gap == t->pb->v[p->mate].gap ? FATE_REWRITTEN : FATE_EDITED_AND_MOVED;
}

/* Stayed in place, word for word, but its lines are in hunks on both sides. */
static bool reflowed(const struct tell *t, size_t i)
{
	const struct para *p = &t->pa->v[i], *q = &t->pb->v[p->mate];

	/* The end of a line's change may lie in a neighbour. */
	if (p->n == q->n && !memcmp(t->a->text.data + p->at, t->b->text.data + q->at, p->n))
		return false;
	return diff_hunk_at(t->r, t->file, false, p->first, p->last) != UINT32_MAX &&
	       diff_hunk_at(t->r, t->file, true, q->first, q->last) != UINT32_MAX;
}

/* Does paragraph i go on what a run of this fate began?  Edited paragraphs are part of what moved. */
static bool belongs(const struct tell *t, size_t i, enum diff_fate fate, int64_t mate)
{
	enum diff_fate own;

	if (t->pa->v[i].gap < 0)
		return false;
	own = fate_of(t, i);
	if (fate == FATE_REMOVED)
		return own == FATE_REMOVED;
	return (own == FATE_MOVED || own == FATE_EDITED_AND_MOVED) && t->pa->v[i].mate == mate;
}

static int tell_old(struct tell *t, struct err *e)
{
	struct paras *a = t->pa, *b = t->pb;
	int rc = 0;

	for (size_t i = 0; i < a->n && !rc;) {
		struct para *p = &a->v[i];
		enum diff_fate fate;
		size_t n = 1;

		if (p->gap < 0) {	/* it stayed */
			while (i + n < a->n && a->v[i + n].gap < 0)
				n++;
			for (size_t k = 0; k < n && !rc; k++) {
				size_t m = 0;

				while (k + m < n && reflowed(t, i + k + m))
					m++;
				if (m)
					rc = tell_section(t, FATE_REFLOWED, i + k, m, (size_t)a->v[i + k].mate, m, e);
				k += m;
			}
			i += n;
			continue;
		}
		fate = fate_of(t, i);
		while (i + n < a->n && fate != FATE_REWRITTEN && belongs(t, i + n, fate, p->mate + (int64_t)n)) {
			if (fate == FATE_MOVED)
				fate = fate_of(t, i + n);
			n++;
		}
		rc = tell_section(t, fate, i, n, p->mate < 0 ? 0 : (size_t)p->mate, fate == FATE_REMOVED ? 0 : n, e);
		for (size_t k = 0; k < n && !rc && fate != FATE_REMOVED && fate != FATE_MOVED; k++)
			rc = tell_numbers(t, &a->v[i + k], &b->v[a->v[i + k].mate], e);
		i += n;
	}
	return rc;
}

static int tell_new(struct tell *t, struct err *e)
{
	struct paras *b = t->pb;
	int rc = 0;

	for (size_t j = 0; j < b->n && !rc;) {
		size_t n = 1;

		if (b->v[j].mate >= 0) {
			j++;
			continue;
		}
		while (j + n < b->n && b->v[j + n].mate < 0)
			n++;
		rc = tell_section(t, FATE_ADDED, 0, 0, j, n, e);
		j += n;
	}
	return rc;
}

int diff_sections(struct diff_report *r, uint32_t file, const struct document *a, const struct document *b,
		  struct err *e)
{
	struct paras pa = { 0 }, pb = { 0 };
	struct bags ga = { 0 }, gb = { 0 };
	struct tell t = { r, file, a, b, &pa, &pb };
	uint64_t steps = 0;
	int rc = split(a, &pa, e);

	if (!rc)
		rc = split(b, &pb, e);
	if (!rc && (pa.n > DIFF_PARAGRAPHS_MAX || pb.n > DIFF_PARAGRAPHS_MAX)) {
		diff_note(r, "%s: more than %d paragraphs, moved sections were not looked for",
			  diff_word(r, r->file[file].path), DIFF_PARAGRAPHS_MAX);
		goto out;
	}
	if (!rc)
		rc = find_stayed(&pa, &pb, e);
	if (!rc)
		rc = find_moved(&pa, &pb, e);
	if (!rc)
		rc = sort_words(a->text.data ? a->text.data : "", &pa, &ga, e);
	if (!rc)
		rc = sort_words(b->text.data ? b->text.data : "", &pb, &gb, e);
	if (!rc)
		rc = find_rewritten(&pa, &ga, &pb, &gb, true, REWRITTEN, &steps, e);
	if (!rc)
		rc = find_rewritten(&pa, &ga, &pb, &gb, false, EDITED, &steps, e);
	if (!rc && steps >= SEARCH_MAX)
		diff_note(r, "%s: too much was written anew to look for all edited sections",
			  diff_word(r, r->file[file].path));
	if (!rc)
		rc = tell_old(&t, e);
	if (!rc)
		rc = tell_new(&t, e);
out:
	drop_bags(&ga);
	drop_bags(&gb);
	free(pa.v);
	free(pb.v);
	return rc;
}
