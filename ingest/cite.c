#include "config.h"

#include "ingest/cite.h"
#include "base/hash.h"
#include "base/size.h"
#include "engine/trace.h"
#include "ingest/absent.h"
#include "ingest/doc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINES 12		/* of one citation */
#define MAX_WORDS 64		/* of a sentence that are looked for */

/* One line of a placed span. */
struct line {
	uint64_t start, end;	/* bytes of the document */
	uint64_t number;
	double   weight, score;
};

struct placed {
	size_t   span;		/* of the answer */
	int64_t  first;		/* own token number of its first token */
	struct tok_offs off;	/* where each token begins */
	struct cat_map *map;
	struct buf text;	/* of the whole document */
	struct line *line;
	size_t   n_line;
};

struct cite {
	struct pages   *p;
	struct catalog *cat;
	const struct answer *a;
	const struct answer_opts *o;
	struct placed  *placed;	/* [n_span] */
	size_t          n;
	size_t          done;	/* bytes of the answer's text that are cited, marks included */
};

int cite_new(struct cite **out, struct pages *p, struct catalog *cat, const struct answer *a,
	     const struct answer_opts *o, struct err *e)
{
	struct cite *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (!c)
		return err_nomem(e);
	c->p = p;
	c->cat = cat;
	c->a = a;
	c->o = o;
	*out = c;
	return 0;
}

void cite_free(struct cite *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		free(c->placed[i].off.at);
		cat_map_close(c->placed[i].map);
		buf_release(&c->placed[i].text);
		free(c->placed[i].line);
	}
	free(c->placed);
	free(c);
}

int cite_span(struct cite *c, size_t i, int64_t first, struct err *e)
{
	struct placed *more = realloc(c->placed, (c->n + 1) * sizeof(*more)), *x;
	const struct cat_span *s = &c->a->span[i].span;
	struct tok_ids ids = { 0 };
	uint64_t n_line = c->a->span[i].last - c->a->span[i].first + 1;
	int rc;

	if (!more)
		return err_nomem(e);
	c->placed = more;
	x = &c->placed[c->n++];
	*x = (struct placed){ .span = i };
	rc = pages_tokens(c->p, s, &ids, &x->off, e);
	free(ids.id);
	x->first = first;
	if (!rc)
		rc = cat_text(c->cat, s->document, &x->text, e);
	if (!rc)
		rc = cat_map_open(&x->map, c->cat, s->document, e);
	if (rc)
		return rc;
	x->line = calloc(n_line, sizeof(*x->line));
	if (!x->line)
		return err_nomem(e);
	for (uint64_t k = 0; k < n_line; k++) {
		struct line *l = &x->line[x->n_line];

		l->number = c->a->span[i].first + k;
		if (cat_map_range(x->map, l->number, &l->start, &l->end))
			x->n_line++;
	}
	return 0;
}

/* ---- the words of a sentence ---- */

struct words {
	struct { const char *s; size_t n; } w[MAX_WORDS];
	size_t n;
};

static bool word_byte(unsigned char ch)
{
	return isalnum(ch) || ch == '_' || ch >= 0x80;
}

static bool same(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
			return false;
	return true;
}

/* Words of four letters or more, and whatever has a digit or an underscore; each once. */
static void split_words(const char *s, size_t n, struct words *out)
{
	out->n = 0;
	for (size_t i = 0; i < n && out->n < MAX_WORDS;) {
		size_t j = i, special = 0;
		bool again = false;

		while (j < n && word_byte((unsigned char)s[j])) {
			special += s[j] == '_' || isdigit((unsigned char)s[j]);
			j++;
		}
		for (size_t k = 0; k < out->n; k++)
			again |= out->w[k].n == j - i && same(out->w[k].s, s + i, j - i);
		if (!again && (j - i >= 4 || (special && j > i))) {
			out->w[out->n].s = s + i;
			out->w[out->n++].n = j - i;
		}
		i = j > i ? j : i + 1;
	}
}

static bool holds(const char *text, size_t n, const char *w, size_t n_w)
{
	for (size_t i = 0; i + n_w <= n; i++)
		if ((i == 0 || !word_byte((unsigned char)text[i - 1])) && same(text + i, w, n_w) &&
		    (i + n_w == n || !word_byte((unsigned char)text[i + n_w])))
			return true;
	return false;
}

/* ---- scores of lines ---- */

/* Sum the weights of tokens over the lines they begin in; returns the largest line's. */
static double weigh_lines(struct cite *c, const double *w, size_t n_w)
{
	double top = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct placed *x = &c->placed[i];
		size_t l = 0;

		for (size_t k = 0; k < x->n_line; k++)
			x->line[k].weight = x->line[k].score = 0;
		for (size_t t = 0; t < x->off.n && x->n_line; t++) {
			size_t at = (size_t)x->first + t;

			while (l + 1 < x->n_line && x->off.at[t] >= x->line[l].end)
				l++;
			/* The first tokens of a span are its sink: they draw attention whatever is said. */
			if (at < n_w && t >= 4)
				x->line[l].weight += w[at];
		}
		for (size_t k = 0; k < x->n_line; k++)
			top = MAX(top, x->line[k].weight);
	}
	return top;
}

static size_t match_lines(struct cite *c, const struct words *words, double top, bool in_passages[MAX_WORDS])
{
	size_t found = 0;
	double rarity[MAX_WORDS], sum = 0;
	bool (*has)[MAX_WORDS];
	size_t n_line = 0, at = 0;

	for (size_t i = 0; i < c->n; i++)
		n_line += c->placed[i].n_line;
	has = calloc(n_line + 1, sizeof(*has));
	if (!has)
		return 0;
	for (size_t k = 0; k < words->n; k++) {
		size_t in = 0;

		at = 0;
		for (size_t i = 0; i < c->n; i++)
			for (size_t l = 0; l < c->placed[i].n_line; l++, at++) {
				const struct line *ln = &c->placed[i].line[l];

				has[at][k] = holds(c->placed[i].text.data + ln->start, ln->end - ln->start,
						   words->w[k].s, words->w[k].n);
				in += has[at][k];
			}
		found += in > 0;
		in_passages[k] = in > 0;
		rarity[k] = in ? 1.0 / (1.0 + (double)in) : 0;
		sum += rarity[k];
	}
	at = 0;
	for (size_t i = 0; i < c->n; i++)
		for (size_t l = 0; l < c->placed[i].n_line; l++, at++) {
			struct line *ln = &c->placed[i].line[l];

			for (size_t k = 0; k < words->n; k++)
				ln->score += has[at][k] && sum > 0 ? rarity[k] / sum : 0;
			ln->score += top > 0 ? ln->weight / top : 0;
		}
	free(has);
	return found;
}

/* ---- one sentence ---- */

struct run_of_lines {
	struct placed *x;
	size_t first, last;
	double score, weight;
};

static double near(const struct placed *x, size_t l)
{
	double s = x->line[l].score;

	s += l > 0 ? 0.5 * x->line[l - 1].score : 0;
	return s + (l + 1 < x->n_line ? 0.5 * x->line[l + 1].score : 0);
}

static struct run_of_lines best_lines(struct cite *c)
{
	struct run_of_lines b = { 0 };

	for (size_t i = 0; i < c->n; i++)
		for (size_t l = 0; l < c->placed[i].n_line; l++) {
			struct placed *x = &c->placed[i];

			if (!b.x || near(x, l) > b.score)
				b = (struct run_of_lines){ x, l, l, near(x, l), 0 };
		}
	if (!b.x)
		return b;
	while (b.first > 0 && b.last - b.first + 1 < MAX_LINES && b.x->line[b.first - 1].score > 0.3 * b.score)
		b.first--;
	while (b.last + 1 < b.x->n_line && b.last - b.first + 1 < MAX_LINES &&
	       b.x->line[b.last + 1].score > 0.3 * b.score)
		b.last++;
	for (size_t l = b.first; l <= b.last; l++)
		b.weight += b.x->line[l].weight;
	return b;
}

/* What is cited is what is stored: the text came from the library, against its checksum, when the span was
 * placed. */
static int add_citation(struct cite *c, struct answer *a, const struct run_of_lines *b, double total, int *number,
			struct err *e)
{
	const struct cat_span *s = &a->span[b->x->span].span;
	const struct line *first = &b->x->line[b->first], *last = &b->x->line[b->last];
	const struct cat_anchor *page, *name;
	struct cat_document doc;
	struct citation *cite;
	int rc;

	for (size_t i = 0; i < a->n_cite; i++)
		if (a->cite[i].span == b->x->span && a->cite[i].first <= last->number &&
		    a->cite[i].last >= first->number) {
			*number = a->cite[i].n;
			return 0;
		}
	rc = cat_document(c->cat, s->document, &doc, e);
	if (!rc && (last->end > b->x->text.len || first->start > last->end))
		rc = err_set(e, ERR_CORRUPT, "the lines of '%s' end behind its text", a->span[b->x->span].path);
	if (rc)
		return rc;
	cite = realloc(a->cite, (a->n_cite + 1) * sizeof(*cite));
	if (!cite)
		return err_nomem(e);
	a->cite = cite;
	cite += a->n_cite;
	*cite = (struct citation){ .n = (int)++a->n_cite, .span = b->x->span, .first = first->number,
				   .last = last->number, .weight = total > 0 ? b->weight / total : 0 };
	cite->quote = strndup(b->x->text.data + first->start, last->end - first->start);
	id_hex((const struct id *)doc.sha256, cite->sha256);
	page = cat_map_anchor(b->x->map, ANCHOR_PAGE, first->start);
	cite->page = page ? page->number : 0;
	name = cat_map_anchor(b->x->map, ANCHOR_SYMBOL, first->start);
	if (!name)
		name = cat_map_anchor(b->x->map, ANCHOR_HEADING, first->start);
	cite->anchor = name && name->title ? strdup(name->title) : NULL;
	*number = cite->n;
	if (!cite->quote)
		return err_nomem(e);
	if (c->o->on_cite)
		c->o->on_cite(c->o->ctx, cite);
	return 0;
}

/* The user's own text, given beside the question: it needs no citation. */
static bool in_context(const struct cite *c, const struct words *w)
{
	bool found = false;

	for (size_t i = 0; i < w->n && c->o->context; i++)
		found |= holds(c->o->context, c->o->n_context, w->w[i].s, w->w[i].n);
	return found;
}

/* A word that only a name is: with an underscore, a digit beside letters, or a capital inside. */
static bool is_identifier(const char *w, size_t n)
{
	bool digit = false, letter = false, mark = false;

	for (size_t i = 0; i < n; i++) {
		digit |= isdigit((unsigned char)w[i]) != 0;
		letter |= isalpha((unsigned char)w[i]) != 0;
		mark |= w[i] == '_' || (i && isupper((unsigned char)w[i]) && islower((unsigned char)w[i - 1]));
	}
	return letter && (digit || mark);
}

/* Does the sentence name what stands neither in the passages nor in what was asked? */
static bool invents(const struct cite *c, const struct words *words, const bool in_passages[MAX_WORDS])
{
	for (size_t i = 0; i < words->n; i++)
		if (!in_passages[i] && is_identifier(words->w[i].s, words->w[i].n) &&
		    !absent_bears(c->o->question, c->o->n_question, words->w[i].s, words->w[i].n) &&
		    !(c->o->context && absent_bears(c->o->context, c->o->n_context, words->w[i].s, words->w[i].n)))
			return true;
	return false;
}

/* As a word it may be missing and still be a part of one. */
static void look_again(const struct cite *c, const struct words *words, bool in_passages[MAX_WORDS])
{
	for (size_t k = 0; k < words->n; k++)
		for (size_t i = 0; i < c->n && !in_passages[k]; i++) {
			const struct placed *x = &c->placed[i];

			in_passages[k] = x->n_line && absent_bears(x->text.data + x->line[0].start,
				x->line[x->n_line - 1].end - x->line[0].start, words->w[k].s, words->w[k].n);
		}
}

static int no_support(struct cite *c, struct answer *a, size_t from, size_t to, struct err *e)
{
	buf_add(&a->unsupported, a->text.data + from, to - from);
	buf_addc(&a->unsupported, '\0');
	a->n_unsupported++;
	if (c->o->strict)
		a->text.len = c->done;	/* with the blanks before it */
	else
		buf_adds(&a->text, " [?]");
	return a->unsupported.failed || a->text.failed ? err_nomem(e) : 0;
}

static int cite_sentence(struct cite *c, struct answer *a, struct trace *t, size_t from, size_t to, struct err *e)
{
	struct words words;
	size_t n_w, found;
	const double *w = trace_weights(t, &n_w);
	double top, total = 0;
	struct run_of_lines b;
	bool known[MAX_WORDS] = { false };
	int number = 0, rc;

	split_words(a->text.data + from, to - from, &words);
	top = weigh_lines(c, w, n_w);
	found = match_lines(c, &words, top, known);
	look_again(c, &words, known);
	for (size_t i = 0; i < n_w; i++)
		total += w[i];
	b = best_lines(c);
	trace_reset(t);
	if (!words.n)
		return 0;
	if (!found && in_context(c, &words))
		return 0;
	if (!found || !b.x || invents(c, &words, known))
		return no_support(c, a, from, to, e);
	rc = add_citation(c, a, &b, total, &number, e);
	if (!rc)
		buf_addf(&a->text, " [%d]", number);
	return rc;
}

/* A line of its own: what follows the newline at s[i] is blank, a list item or indented code. */
static bool line_ends(const char *s, size_t i, size_t n)
{
	size_t j = i + 1;

	return j < n && (strchr("\n \t-*#`|>+", s[j]) || (isdigit((unsigned char)s[j]) && j + 1 < n && s[j + 1] == '.'));
}

/* Where the first whole sentence behind `from` ends: before the blank that follows its full stop, or
 * before a newline that ends a paragraph or list item; n when none does yet. */
static size_t sentence_end(const char *s, size_t from, size_t n)
{
	for (size_t i = from + 1; i < n; i++) {
		if (!isspace((unsigned char)s[i]))
			continue;
		if (strchr(".!?", s[i - 1]) && i - from > 12)
			return i;
		if (s[i] == '\n' && (strchr(".!?:;`", s[i - 1]) || line_ends(s, i, n)))
			return i;
	}
	return n;
}

size_t cite_done(const struct cite *c)
{
	return c->done;
}

size_t cite_defuse(char *s, size_t n, char before)
{
	for (size_t i = 0; i < n; i++) {
		size_t j = i + 1;

		/* a[1] is code */
		if (s[i] != '[' || word_byte((unsigned char)(i ? s[i - 1] : before)))
			continue;
		while (j < n && j - i < 8 && (isdigit((unsigned char)s[j]) || (j == i + 1 && s[j] == '?')))
			j++;
		if (j == n)
			return i;
		if (s[j] == ']' && j > i + 1) {
			s[i] = '(';
			s[j] = ')';
		}
	}
	return n;
}

int cite_more(struct cite *c, struct answer *a, struct trace *t, bool at_end, struct err *e)
{
	size_t from = c->done, end;
	struct buf rest = { 0 };
	int rc;

	while (from < a->text.len && isspace((unsigned char)a->text.data[from]))
		from++;
	if (from >= a->text.len)
		return 0;
	end = sentence_end(a->text.data, from, a->text.len);
	if (end == a->text.len && !at_end)
		return 0;
	/* The mark goes in behind the sentence; what is behind it comes after the mark. */
	buf_add(&rest, a->text.data + end, a->text.len - end);
	a->text.len = end;
	rc = cite_sentence(c, a, t, from, end, e);
	c->done = a->text.len;
	buf_add(&a->text, rest.data ? rest.data : "", rest.len);
	if (!rc && (rest.failed || a->text.failed))
		rc = err_nomem(e);
	buf_release(&rest);
	return rc;
}
