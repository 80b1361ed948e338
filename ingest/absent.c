#include "config.h"

#include "ingest/absent.h"
#include "base/size.h"
#include "cache/search.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_LOOK (64u << 20)	/* bytes of text looked through for one name */

/* ---- names ---- */

static bool word_byte(char ch)
{
	return isalnum((unsigned char)ch) || ch == '_' || (unsigned char)ch >= 0x80;
}

/* Capitals mean nothing in a language that writes every noun with one, or where all is in capitals. */
static bool is_english(const char *s, size_t n)
{
	static const char *const WORDS[] = { "the", "does", "is", "are", "how", "what", "where", "which", "who", "why",
					     "when", "of", "do", "did" };
	bool lower = false, found = false;

	for (size_t i = 0; i < n;) {
		size_t j = i;

		while (j < n && word_byte(s[j]))
			lower |= islower((unsigned char)s[j++]) != 0;
		for (size_t k = 0; k < ARRAY_LEN(WORDS) && j > i; k++)
			found |= strlen(WORDS[k]) == j - i && !strncasecmp(WORDS[k], s + i, j - i);
		i = MAX(j, i + 1);
	}
	return lower && found;
}

static bool is_name(const char *w, size_t n, bool starts_sentence, bool english)
{
	bool digit = false, letter = false, inner = false;

	for (size_t i = 0; i < n; i++) {
		digit |= isdigit((unsigned char)w[i]) != 0;
		letter |= isalpha((unsigned char)w[i]) != 0;
		inner |= w[i] == '_' || (i && isupper((unsigned char)w[i]));
	}
	if (n < 2 || !letter)
		return false;
	return digit || (inner && english) || memchr(w, '_', n) ||
	       (english && !starts_sentence && isupper((unsigned char)w[0]));
}

static bool has(const struct buf *names, const char *w, size_t n)
{
	for (const char *s = names->data; s && s < names->data + names->len; s += strlen(s) + 1)
		if (strlen(s) == n && !strncasecmp(s, w, n))
			return true;
	return false;
}

size_t absent_names(const char *q, size_t n, struct buf *out)
{
	bool english = is_english(q, n), starts = true;
	size_t found = 0;

	for (size_t i = 0; i < n;) {
		size_t j = i;

		while (j < n && word_byte(q[j]))
			j++;
		if (j == i) {
			starts |= strchr(".?!:", q[i++]) != NULL;
			continue;
		}
		if (is_name(q + i, j - i, starts, english) && !has(out, q + i, j - i)) {
			buf_add(out, q + i, j - i);
			buf_addc(out, '\0');
			found++;
		}
		starts = false;
		i = j;
	}
	return found;
}

/* ---- who bears them ---- */

/* Does something begin between bytes a and b of a text: a word, or a part of an identifier? */
static bool border(char a, char b, char after)
{
	unsigned char x = (unsigned char)a, y = (unsigned char)b;

	if ((!isalnum(x) && x < 0x80) || (!isalnum(y) && y < 0x80))
		return true;
	return (isdigit(x) != 0) != (isdigit(y) != 0) || (islower(x) && isupper(y)) ||
	       (isupper(x) && isupper(y) && islower((unsigned char)after));
}

/* The name without its underscores against the text without its own: where it ends, or NULL. */
static const char *match(const char *s, const char *end, const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (name[i] == '_')
			continue;
		while (s < end && *s == '_' && i)
			s++;
		if (s == end || tolower((unsigned char)*s) != tolower((unsigned char)name[i]))
			return NULL;
		s++;
	}
	return s;
}

bool absent_bears(const char *text, size_t n_text, const char *name, size_t n)
{
	const char *end = text + n_text;

	for (const char *s = text; s < end; s++) {
		const char *to;

		if (tolower((unsigned char)*s) != tolower((unsigned char)name[0]) ||
		    (s > text && !border(s[-1], s[0], s + 1 < end ? s[1] : 0)))
			continue;
		to = match(s, end, name, n);
		if (!to)
			continue;
		/* its plural, too */
		if (to < end && tolower((unsigned char)*to) == 's' && (to + 1 == end || !isalnum((unsigned char)to[1])))
			return true;
		if (to == end || border(to[-1], to[0], to + 1 < end ? to[1] : 0))
			return true;
	}
	return false;
}

static int found_one(void *ctx, const struct search_hit *h)
{
	(void)h;
	*(bool *)ctx = true;
	return 0;
}

/* Documents that may hold the longest part of the name, read until one bears it. */
static int look(struct catalog *c, const char *name, const int64_t *snapshot, size_t n_snapshot, bool *yes,
		struct err *e)
{
	struct search_literal lit = { name, 0 };
	struct buf text = { 0 };
	int64_t *doc = NULL;
	size_t n_doc, seen = 0;
	int rc;

	for (const char *s = name; *s; s += *s == '_') {
		size_t n = strcspn(s, "_");

		if (n > lit.n)
			lit = (struct search_literal){ s, n };
		s += n;
	}
	rc = search_candidates(c, &lit, 1, true, snapshot, n_snapshot, &doc, &n_doc, e);
	for (size_t i = 0; i < n_doc && !rc && !*yes; i++) {
		buf_clear(&text);
		rc = cat_text(c, doc[i], &text, e);
		seen += text.len;
		*yes = !rc && (seen > MAX_LOOK || absent_bears(text.data, text.len, name, strlen(name)));
	}
	free(doc);
	buf_release(&text);
	return rc;
}

static int is_borne(struct catalog *c, const char *name, const int64_t *snapshot, size_t n_snapshot, bool *yes,
		    struct err *e)
{
	struct buf query = { 0 };
	int rc;

	*yes = false;
	buf_addf(&query, "\"%s\"", name);
	rc = query.failed ? err_nomem(e) : search_words(c, query.data, snapshot, n_snapshot, 1, found_one, yes, e);
	buf_release(&query);
	return rc || *yes ? rc : look(c, name, snapshot, n_snapshot, yes, e);
}

int absent_find(struct catalog *c, const char *question, size_t n, const char *context, size_t n_context,
		const int64_t *snapshot, size_t n_snapshot, struct buf *out, size_t *n_out, struct err *e)
{
	struct buf names = { 0 };
	size_t n_name = absent_names(question, n, &names);
	int rc = names.failed ? err_nomem(e) : 0;

	*n_out = 0;
	for (const char *s = names.data; n_name && !rc; n_name--, s += strlen(s) + 1) {
		bool yes = context && absent_bears(context, n_context, s, strlen(s));

		if (!yes)
			rc = is_borne(c, s, snapshot, n_snapshot, &yes, e);
		if (!rc && !yes) {
			buf_add(out, s, strlen(s) + 1);
			++*n_out;
		}
	}
	buf_release(&names);
	return !rc && out->failed ? err_nomem(e) : rc;
}
