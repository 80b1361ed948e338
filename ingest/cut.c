#include "config.h"

#include "ingest/cut.h"

#include "base/hash.h"
#include "base/size.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Kinds of places, the better ones higher.  A rank is the kind, then 60 bits of hash. */
enum {
	IN_WORD, IN_SENTENCE, AFTER_SENTENCE,	/* inside a line */
	CLOSING_LINE,		/* a blank line, "}", "end": belongs to what stands before it */
	PLAIN_LINE,
	DEDENTED_LINE,
	OUTER_LINE,		/* at the margin behind something indented, or behind "}" */
	BLOCK,			/* behind a blank line, indented */
	PARAGRAPH,		/* behind a blank line, at the margin: paragraphs, functions */
	SUBSECTION, SECTION, CHAPTER	/* by anchors */
};

#define BLOCK_ATOMS 16		/* ranks under one leaf of the tree of maxima */
#define PIECE_BYTES 512		/* a long line is taken apart into pieces of at most this */
#define PIECE_MIN   16

/* The smallest things that are never cut: lines, and pieces of long ones. */
struct atoms {
	uint64_t *at;		/* [n + 1] offset; at[n] is the end of the text */
	uint64_t *sum;		/* [n + 1] tokens before it */
	uint64_t *rank;		/* [n] of a cut before it */
	size_t    n, cap;
	uint64_t *tree;		/* maxima over BLOCK_ATOMS ranks, then over two of those ... */
	size_t    n_leaf;	/* a power of two; leaf i is tree[n_leaf + i] */
};

struct cutter {
	const struct document *d;
	struct cut_opt opt;
	struct atoms a;
	const struct anchor *anchor, *anchor_end;	/* those not behind the current line */
	uint64_t before;	/* hash of the last atom that is not blank */
	bool     prev_blank, prev_closes;
	size_t   prev_indent;
};

/*** Weights ***/

static int letter_class(unsigned char c)
{
	if (c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_')
		return 1;
	if (c >= '0' && c <= '9')
		return 2;
	return c == ' ' ? 3 : c == '\t' ? 4 : c == '\n' || c == '\r' ? 5 : 0;
}

uint64_t cut_estimate(const char *text, size_t n)
{
	uint64_t tokens = 0;

	for (size_t i = 0; i < n; ) {
		int class = letter_class((unsigned char)text[i]);
		size_t from = i++, wide = 0;

		if (class)
			while (i < n && letter_class((unsigned char)text[i]) == class)
				i++;
		switch (class) {
		case 1:
			for (size_t k = from; k < i; k++)
				wide += (unsigned char)text[k] >= 0xc0;
			tokens += (i - from - wide + 7) / 8 + wide / 2;
			break;
		case 2:
			tokens += (i - from + 2) / 3;
			break;
		case 3:			/* one blank belongs to the word behind it */
			tokens += i - from > 1;
			break;
		default:
			tokens++;
		}
	}
	return MIN(tokens, n);
}

static uint64_t weigh(const struct cutter *c, const char *s, size_t n)
{
	uint64_t w = c->opt.weigh ? c->opt.weigh(c->opt.ctx, s, n) : cut_estimate(s, n);

	return MAX(MIN(w, n), 1u);
}

/*** Atoms ***/

static bool add_atom(struct atoms *a, size_t at, uint64_t tokens, uint64_t rank)
{
	if (a->n + 1 >= a->cap) {
		size_t cap = a->cap ? a->cap + a->cap / 2 : 256;
		uint64_t *p;

		p = reallocarray(a->at, cap, sizeof(*p));
		if (p)
			a->at = p;
		if (p && (p = reallocarray(a->sum, cap, sizeof(*p))))
			a->sum = p;
		if (p && (p = reallocarray(a->rank, cap, sizeof(*p))))
			a->rank = p;
		if (!p)
			return false;
		a->cap = cap;
	}
	if (!a->n)
		a->sum[0] = 0;
	a->at[a->n] = at;
	a->rank[a->n] = rank;
	a->sum[a->n + 1] = a->sum[a->n] + tokens;
	a->n++;
	return true;
}

/* The rank of a cut before s[0..n): what kind of place, what stands there and before it. */
static uint64_t rank_of(struct cutter *c, int kind, const char *s, size_t n, bool blank)
{
	uint64_t h = sum128_of(s, n).lo, both = (h ^ c->before) * 0x9e3779b97f4a7c15u;

	if (!blank)
		c->before = h << 1 | h >> 63;
	return (uint64_t)kind << 60 | (both ^ both >> 29) >> 4;
}

/* What ends a sentence before s[i]; full stops of CJK need no blank behind them. */
static bool sentence_ends(const char *s, size_t i, size_t n)
{
	static const char cjk[3][4] = { "\u3002", "\uff01", "\uff1f" };

	for (size_t k = 0; k < ARRAY_LEN(cjk) && i >= 3; k++)
		if (!memcmp(s + i - 3, cjk[k], 3))
			return true;
	if (i >= n || s[i] != ' ')
		return false;
	while (i && strchr("\"')]", s[i - 1]))
		i--;
	return i && strchr(".!?", s[i - 1]);
}

/* May a piece of a long line end before s[i]?  *kind says how good a place it is.  Chance, taken
 * from the eight bytes before, thins out words and letters: the same bytes, the same places. */
static bool piece_ends(const char *s, size_t i, size_t n, int *kind)
{
	uint64_t last;
	unsigned chance;

	memcpy(&last, s + i - 8, 8);
	chance = (unsigned)(last * 0x9e3779b97f4a7c15u >> 58);
	if (sentence_ends(s, i, n)) {
		*kind = AFTER_SENTENCE;
		return true;
	}
	*kind = IN_SENTENCE;
	if ((s[i] == ' ' || (s[i - 1] && strchr(",;{}()[]<>", s[i - 1]))) && chance < 8)
		return true;
	*kind = IN_WORD;
	return chance == 0;
}

/* Take a long line apart.  kind is that of its beginning. */
static bool add_pieces(struct cutter *c, size_t base, size_t n, int kind)
{
	size_t longest = MAX(MIN(c->opt.min_tokens, (uint32_t)PIECE_BYTES), 4u);
	size_t least = MIN((size_t)PIECE_MIN, longest / 2);
	const char *s = c->d->text.data + base;
	size_t from = 0, i = 0;

	while (from < n) {
		int next = IN_WORD;

		for (i = MIN(from + least, n); i < n; i++) {
			if (((unsigned char)s[i] & 0xc0) == 0x80)
				continue;
			if ((i >= 8 && piece_ends(s, i, n, &next)) || i - from + 4 > longest)
				break;
		}
		while (i < n && ((unsigned char)s[i] & 0xc0) == 0x80)
			i++;
		if (!add_atom(&c->a, base + from, weigh(c, s + from, i - from),
			      rank_of(c, kind, s + from, i - from, false)))
			return false;
		from = i;
		kind = next;
	}
	return true;
}

/*** Lines ***/

static bool closes(const char *s, size_t n)
{
	static const char *const word[] = { "end", "fi", "done", "esac", "endif", "else", "elif" };

	if (!n)
		return true;
	if (strchr("}])", s[0]))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(word); i++) {
		size_t k = strlen(word[i]);

		if (n >= k && !memcmp(s, word[i], k) && (n == k || strchr(" ;:(\r", s[k])))
			return true;
	}
	return false;
}

/* The kind of place an anchor at this offset makes of it, -1 without one. */
static int anchored_kind(struct cutter *c, uint64_t at)
{
	int kind = -1;

	for (; c->anchor < c->anchor_end && c->anchor->at <= at; c->anchor++) {
		int k = -1;

		if (c->anchor->at < at)
			continue;
		switch (c->anchor->kind) {
		case ANCHOR_CHAPTER: k = CHAPTER; break;
		case ANCHOR_CELL:    k = SECTION; break;
		case ANCHOR_HEADING: k = c->anchor->number <= 2 ? SECTION : SUBSECTION; break;
		case ANCHOR_PAGE:    k = OUTER_LINE; break;
		default: break;
		}
		kind = MAX(kind, k);
	}
	return kind;
}

static int line_kind(struct cutter *c, const char *s, size_t n, size_t indent)
{
	bool closing = closes(s + indent, n - indent);

	if (indent == n || closing)
		return CLOSING_LINE;
	if (c->prev_blank)
		return indent ? BLOCK : PARAGRAPH;
	if (!indent && (c->prev_indent || c->prev_closes))
		return OUTER_LINE;
	return indent < c->prev_indent ? DEDENTED_LINE : PLAIN_LINE;
}

static bool add_line(struct cutter *c, size_t base, size_t n)
{
	const char *s = c->d->text.data + base;
	size_t len = n, indent = 0;
	int kind, by_anchor = anchored_kind(c, base);
	uint64_t tokens = c->opt.min_tokens + 1u;
	bool blank;

	while (len && (s[len - 1] == '\n' || s[len - 1] == '\r'))
		len--;
	while (indent < len && (s[indent] == ' ' || s[indent] == '\t'))
		indent++;
	blank = indent == len;
	kind = MAX(line_kind(c, s, len, indent), by_anchor);
	if (!blank)
		c->prev_closes = closes(s + indent, len - indent);
	c->prev_blank = blank;
	c->prev_indent = indent;
	/* A line far too long need not be weighed to know it. */
	if (n < 64u * (size_t)c->opt.min_tokens)
		tokens = weigh(c, s, n);
	if (tokens > c->opt.min_tokens)
		return add_pieces(c, base, n, kind);
	return add_atom(&c->a, base, tokens, rank_of(c, kind, s, n, blank));
}

/*** The highest rank of a range ***/

static bool build_tree(struct atoms *a)
{
	size_t blocks = (a->n + BLOCK_ATOMS - 1) / BLOCK_ATOMS;

	for (a->n_leaf = 1; a->n_leaf < blocks;)
		a->n_leaf *= 2;
	a->tree = calloc(2 * a->n_leaf, sizeof(*a->tree));
	if (!a->tree)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		uint64_t *leaf = &a->tree[a->n_leaf + i / BLOCK_ATOMS];

		*leaf = MAX(*leaf, a->rank[i]);
	}
	for (size_t i = a->n_leaf - 1; i; i--)
		a->tree[i] = MAX(a->tree[2 * i], a->tree[2 * i + 1]);
	return true;
}

static uint64_t highest_of_leaves(const struct atoms *a, size_t lo, size_t hi)
{
	uint64_t best = 0;

	for (lo += a->n_leaf, hi += a->n_leaf; lo < hi; lo /= 2, hi /= 2) {
		if (lo & 1) {
			best = MAX(best, a->tree[lo]);
			lo++;
		}
		if (hi & 1) {
			hi--;
			best = MAX(best, a->tree[hi]);
		}
	}
	return best;
}

static uint64_t highest(const struct atoms *a, size_t lo, size_t hi)
{
	uint64_t best = 0;

	for (; lo < hi && lo % BLOCK_ATOMS; lo++)
		best = MAX(best, a->rank[lo]);
	for (; hi > lo && hi % BLOCK_ATOMS; hi--)
		best = MAX(best, a->rank[hi - 1]);
	if (lo < hi)
		best = MAX(best, highest_of_leaves(a, lo / BLOCK_ATOMS, hi / BLOCK_ATOMS));
	return best;
}

/* The first atom in [lo, hi) of this rank, hi when there is none. */
static size_t find_rank(const struct atoms *a, size_t lo, size_t hi, uint64_t rank)
{
	while (hi - lo > 2 * BLOCK_ATOMS) {
		size_t mid = lo + (hi - lo) / 2;

		if (highest(a, lo, mid) >= rank)
			hi = mid;
		else
			lo = mid;
	}
	while (lo < hi && a->rank[lo] != rank)
		lo++;
	return lo;
}

/*** Cutting ***/

/* The first atom in [lo, hi] before which at least `tokens` tokens lie. */
static size_t first_behind(const struct atoms *a, size_t lo, size_t hi, uint64_t tokens)
{
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (a->sum[mid] >= tokens)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* Where to split atoms [i, j).  Of equal ranks, which only repeated text has, the first one in the
 * middle of what a span may hold: the very first would give spans of min tokens. */
static size_t split_at(const struct cutter *c, size_t i, size_t j)
{
	const struct atoms *a = &c->a;
	uint64_t min = c->opt.min_tokens, mean = (min + c->opt.max_tokens) / 2;
	size_t lo = first_behind(a, i, j, a->sum[i] + min);
	size_t hi = first_behind(a, lo, j, a->sum[j] - min + 1);	/* first not allowed */
	size_t mid = MIN(first_behind(a, lo, hi, a->sum[i] + mean), hi);
	uint64_t best;
	size_t at;

	if (lo >= hi)		/* cannot be: atoms have at most min tokens, max is 3 min or more */
		return i + (j - i) / 2;
	best = highest(a, lo, hi);
	at = find_rank(a, mid, hi, best);
	return at < hi ? at : find_rank(a, lo, hi, best);
}

static bool add_span(struct spans *out, const struct atoms *a, size_t i, size_t j)
{
	if (out->n == out->cap) {
		size_t cap = out->cap ? 2 * out->cap : 16;
		struct span *p = reallocarray(out->span, cap, sizeof(*p));

		if (!p)
			return false;
		out->span = p;
		out->cap = cap;
	}
	out->span[out->n++] = (struct span){ a->at[i], a->at[j], a->sum[j] - a->sum[i] };
	return true;
}

/* Depth first, left half first; the stack is our own, since a chain of splits can be long. */
static bool cut_all(const struct cutter *c, struct spans *out)
{
	size_t n = 1, cap = 64, *end = reallocarray(NULL, cap, sizeof(*end)), i = 0;
	bool good = end != NULL;

	if (good)
		end[0] = c->a.n;
	while (good && n) {
		size_t j = end[n - 1];

		if (c->a.sum[j] - c->a.sum[i] <= c->opt.max_tokens || j - i == 1) {
			good = add_span(out, &c->a, i, j);
			i = j;
			n--;
			continue;
		}
		if (n == cap) {
			size_t *p = reallocarray(end, 2 * cap, sizeof(*p));

			good = p != NULL;
			if (!good)
				break;
			end = p;
			cap *= 2;
		}
		end[n++] = split_at(c, i, j);
	}
	free(end);
	return good;
}

int cut_document(const struct document *d, const struct cut_opt *opt, struct spans *out,
		 struct err *e)
{
	struct cutter c = { .d = d, .opt = *opt, .anchor = d->anchor, .prev_blank = true };
	size_t n = d->text.len, had = out->n;
	const char *s = d->text.data;
	bool good = true;

	c.anchor_end = d->anchor ? d->anchor + d->n_anchor : NULL;
	if (!c.opt.min_tokens)
		c.opt.min_tokens = c.opt.max_tokens / 4;
	if (c.opt.max_tokens < 16 || c.opt.min_tokens < 4 ||
	    c.opt.max_tokens / 3 < c.opt.min_tokens)
		return err_set(e, ERR_INVALID, "spans of %u to %u tokens cannot be cut: "
			       "the most must be 16 and three times the least", c.opt.min_tokens,
			       c.opt.max_tokens);
	if (!n)
		return 0;
	for (size_t i = 0; i < n && good; ) {
		const char *nl = memchr(s + i, '\n', n - i);
		size_t len = nl ? (size_t)(nl - (s + i)) + 1 : n - i;

		good = add_line(&c, i, len);
		i += len;
	}
	if (good)
		c.a.at[c.a.n] = n;
	good = good && build_tree(&c.a) && cut_all(&c, out);
	free(c.a.at);
	free(c.a.sum);
	free(c.a.rank);
	free(c.a.tree);
	if (!good) {
		out->n = had;
		return err_nomem(e);
	}
	return 0;
}
