#include "config.h"

#include "ingest/glob.h"

#include <stdint.h>
#include <string.h>

/* What the set or byte at p says about one byte of text. */
enum one { ONE_NO, ONE_YES, ONE_BROKEN };

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool is_alpha(uint8_t c)
{
	c = lower(c);
	return c >= 'a' && c <= 'z';
}

/* 1 when c belongs to the class, 0 when not, -1 when there is no such class.  ASCII only, whatever
 * the locale. */
static int in_class(const uint8_t *name, size_t n, uint8_t c, bool icase)
{
	bool digit = c >= '0' && c <= '9', up = c >= 'A' && c <= 'Z', low = c >= 'a' && c <= 'z';
	bool graph = c > 0x20 && c < 0x7f;

#define IS(word) (n == sizeof(word) - 1 && !memcmp(name, word, n))
	if (IS("alnum"))
		return is_alpha(c) || digit;
	if (IS("alpha"))
		return is_alpha(c);
	if (IS("blank"))
		return c == ' ' || c == '\t';
	if (IS("cntrl"))
		return c < 0x20 || c == 0x7f;
	if (IS("digit"))
		return digit;
	if (IS("graph"))
		return graph;
	if (IS("lower"))
		return low;
	if (IS("print"))
		return graph || c == ' ';
	if (IS("punct"))
		return graph && !is_alpha(c) && !digit;
	if (IS("space"))
		return c == ' ' || (c >= '\t' && c <= '\r');
	if (IS("upper"))
		return up || (icase && low);
	if (IS("xdigit"))
		return digit || (lower(c) >= 'a' && lower(c) <= 'f');
#undef IS
	return -1;
}

/* The set that begins at *at (just after '['); *at moves behind its ']'. */
static enum one match_set(const uint8_t **at, const uint8_t *end, uint8_t c, bool icase)
{
	const uint8_t *p = *at;
	bool negated = false, matched = false, first = true;
	int prev = -1;			/* left end of a possible range, -1 for none */

	if (p < end && (*p == '!' || *p == '^')) {
		negated = true;
		p++;
	}
	for (;; first = false) {
		uint8_t ch;

		if (p == end)
			return ONE_BROKEN;
		ch = *p;
		if (ch == ']' && !first)
			break;
		if (ch == '-' && prev > 0 && p + 1 < end && p[1] != ']') {
			ch = *++p;
			if (ch == '\\' && (++p == end))
				return ONE_BROKEN;
			ch = *p;
			if (c >= prev && c <= ch)
				matched = true;
			else if (icase && c >= 'a' && c <= 'z' && c - 32 >= prev && c - 32 <= ch)
				matched = true;
			prev = -1;
			p++;
			continue;
		}
		if (ch == '[' && p + 1 < end && p[1] == ':') {
			const uint8_t *name = p + 2, *close = name;
			int in;

			while (close < end && *close != ']')
				close++;
			if (close == end)
				return ONE_BROKEN;
			if (close > name && close[-1] == ':') {
				in = in_class(name, (size_t)(close - 1 - name), c, icase);
				if (in < 0)
					return ONE_BROKEN;
				matched |= in == 1;
				prev = -1;
				p = close + 1;
				continue;
			}
		}
		if (ch == '\\') {
			if (++p == end)
				return ONE_BROKEN;
			ch = *p;
		}
		matched |= c == ch;
		prev = ch;
		p++;
	}
	*at = p + 1;
	return matched != negated ? ONE_YES : ONE_NO;
}

/* One element of the pattern, which is no star, against one byte. */
static enum one match_one(const uint8_t **at, const uint8_t *end, uint8_t c, unsigned flags)
{
	bool icase = flags & GLOB_ICASE, at_slash = (flags & GLOB_PATHNAME) && c == '/';
	const uint8_t *p = *at;
	uint8_t ch = *p++;
	enum one r;

	if (icase)
		c = lower(c);
	switch (ch) {
	case '?':
		r = at_slash ? ONE_NO : ONE_YES;
		break;
	case '[':
		r = match_set(&p, end, c, icase);
		if (r == ONE_YES && at_slash)
			r = ONE_NO;
		break;
	case '\\':
		if (p == end)
			return ONE_BROKEN;
		r = *p++ == c ? ONE_YES : ONE_NO;
		break;
	default:
		r = (icase ? lower(ch) : ch) == c ? ONE_YES : ONE_NO;
	}
	*at = p;
	return r;
}

bool glob_match(const char *pattern, size_t n_pattern, const char *text, size_t n_text,
		unsigned flags)
{
	const uint8_t *start = (const uint8_t *)pattern, *p = start, *pend = p + n_pattern;
	const uint8_t *t = (const uint8_t *)text, *tend = t + n_text;
	const uint8_t *star_p = NULL, *star_t = NULL;	/* the last `*`: what follows, where tried */
	const uint8_t *deep_p = NULL, *deep_t = NULL;	/* the last `**` */
	bool deep_dirs = false;				/* it is `**` and a slash */
	bool pathname = flags & GLOB_PATHNAME;

	for (;;) {
		if (p < pend && *p == '*') {
			const uint8_t *q = p;
			bool deep;

			while (q < pend && *q == '*')
				q++;
			deep = !pathname || (q - p > 1 && (p == start || p[-1] == '/') &&
				(q == pend || *q == '/' || (*q == '\\' && q + 1 < pend && q[1] == '/')));
			if (deep && q == pend)
				return true;
			if (deep) {
				deep_dirs = pathname && *q == '/';
				deep_p = p = deep_dirs ? q + 1 : q;
				deep_t = t;
				star_p = NULL;
			} else {
				star_p = p = q;
				star_t = t;
			}
			continue;
		}
		if (p == pend && t == tend)
			return true;
		if (p < pend && t < tend) {
			enum one r = match_one(&p, pend, *t, flags);

			if (r == ONE_BROKEN)
				return false;
			if (r == ONE_YES) {
				t++;
				continue;
			}
		}
		if (star_p && star_t < tend && !(pathname && *star_t == '/')) {
			t = ++star_t;
			p = star_p;
			continue;
		}
		star_p = NULL;
		if (!deep_p)
			return false;
		if (deep_dirs)
			deep_t = memchr(deep_t, '/', (size_t)(tend - deep_t));
		if (!deep_t || deep_t == tend)
			return false;
		t = ++deep_t;
		p = deep_p;
	}
}

size_t glob_literal(const char *pattern, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (pattern[i] == '*' || pattern[i] == '?' || pattern[i] == '[' || pattern[i] == '\\')
			break;
	return i;
}
