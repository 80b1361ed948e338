#include "config.h"

#include "engine/tok_split.h"
#include "engine/tok_class.h"

#include <stdbool.h>

#define LNS (CLASS_L | CLASS_N | CLASS_S)

/* Class of the character at s[i], and its length in bytes.  The text was checked before. */
static inline uint8_t look(const uint8_t *cls, const uint8_t *s, size_t i, size_t *len)
{
	const uint8_t *p = s + i;

	if (p[0] < 0x80) {
		*len = 1;
		return cls[p[0]];
	}
	if (p[0] < 0xe0) {
		*len = 2;
		return cls[(p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)];
	}
	if (p[0] < 0xf0) {
		*len = 3;
		return cls[(p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)];
	}
	*len = 4;
	return cls[(p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu)];
}

/* End of the run of characters that have one of these flags. */
static inline size_t run(const uint8_t *cls, const uint8_t *s, size_t i, size_t n, uint8_t flags)
{
	size_t len;

	while (i < n && look(cls, s, i, &len) & flags)
		i += len;
	return i;
}

/* End of the run of characters that are neither space, letter nor digit. */
static inline size_t run_other(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	size_t len;

	while (i < n && !(look(cls, s, i, &len) & LNS))
		i += len;
	return i;
}

/* Bytes of 's 't 're 've 'm 'll 'd at s[i], which is an apostrophe or n; 0 when there is none. */
static inline size_t contraction(const uint8_t *s, size_t i, size_t n, bool any_case)
{
	uint8_t fold = any_case ? 0x20 : 0;
	uint8_t a, b;

	if (n - i < 2 || s[i] != '\'')
		return 0;
	a = s[i + 1] | fold;
	/* OR-ing 0x20 folds letters; no other byte becomes one of these by it. */
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 2;
	if (n - i < 3)
		return 0;
	if (any_case && s[i + 1] == 0xc5 && s[i + 2] == 0xbf)
		return 3;	/* U+017F */
	b = s[i + 2] | fold;
	if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
		return 3;
	return 0;
}

/* \p{N}{1,max}, given that s[i] is a digit of len bytes. */
static inline size_t digits(const uint8_t *cls, const uint8_t *s, size_t i, size_t n, size_t len,
			    int max)
{
	do {
		i += len;
	} while (--max > 0 && i < n && look(cls, s, i, &len) & CLASS_N);
	return i;
}

/* A run of white space from s[i] on, cut by \s*[\r\n]+ (when newlines is true), \s+(?!\S), \s+:
 * through its last line end; else all of it at the end of the text; else all but its last
 * character, which goes with what follows; a single one is taken as it is. */
static inline size_t spaces(const uint8_t *cls, const uint8_t *s, size_t i, size_t n, bool newlines,
			    uint8_t ends_text)
{
	size_t start = i, last = i, after_newline = 0, len;
	uint8_t c = 0;

	while (i < n && (c = look(cls, s, i, &len)) & CLASS_S) {
		last = i;
		i += len;
		if (c & CLASS_NL)
			after_newline = i;
	}
	if (newlines && after_newline)
		return after_newline;
	if (i == n || c & ends_text || last == start)
		return i;
	return last;
}

/* \x20?[^\s\p{L}\p{N}]+: the end of the run, or i when there is none. */
static inline size_t others(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	size_t from = i + (s[i] == ' ');
	size_t to = run_other(cls, s, from, n);

	return to > from ? to : i;
}

static inline size_t split_llama3(const uint8_t *cls, const uint8_t *s, size_t i, size_t n,
				  int max_digit)
{
	size_t len, next, end = contraction(s, i, n, true);
	uint8_t c;

	if (end)
		return i + end;
	c = look(cls, s, i, &len);
	if (c & CLASS_L)
		return run(cls, s, i + len, n, CLASS_L);
	if (c & CLASS_N)
		return digits(cls, s, i, n, len, max_digit);
	next = i + len;
	if (!(c & CLASS_NL) && next < n && look(cls, s, next, &len) & CLASS_L)
		return run(cls, s, next + len, n, CLASS_L);
	end = others(cls, s, i, n);
	if (end > i)
		return run(cls, s, end, n, CLASS_NL);
	return spaces(cls, s, i, n, true, 0);
}

static size_t split_llama_bpe(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	return split_llama3(cls, s, i, n, 3);
}

static size_t split_qwen2(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	return split_llama3(cls, s, i, n, 1);
}

/* [UP]*[LOW]+ at s[i]: its end, or 0.  *upper gets the end of [UP]+ (i: empty).  The greedy [UP]*
 * takes all it can.  Where a character of LOW alone follows, [LOW]+ starts there; else [UP]* gives
 * back down to the last character it shares with LOW, and [LOW]+ is that character alone, for those
 * behind it are of UP only. */
static inline size_t cased(const uint8_t *cls, const uint8_t *s, size_t i, size_t n, size_t *upper)
{
	size_t shared = 0, len;
	uint8_t c = 0;

	while (i < n && (c = look(cls, s, i, &len)) & CLASS_UP) {
		i += len;
		if (c & CLASS_LOW)
			shared = i;
	}
	*upper = i;
	if (i < n && c & CLASS_LOW)
		return run(cls, s, i, n, CLASS_LOW);
	return shared;
}

/* The two word alternatives of O200K: with the prefix and without, first [UP]*[LOW]+, then, where
 * neither gave one, [UP]+[LOW]*, whose second half is then empty.  0: no word here. */
static inline size_t word(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	size_t len, end, upper_after = 0, upper_here, next;
	uint8_t c = look(cls, s, i, &len);

	next = i + len;
	if (!(c & (CLASS_L | CLASS_N | CLASS_NL)) && next < n) {
		end = cased(cls, s, next, n, &upper_after);
		if (end)
			return end;
		if (upper_after == next)
			upper_after = 0;
	}
	end = cased(cls, s, i, n, &upper_here);
	if (end)
		return end;
	if (upper_after)
		return upper_after;
	return upper_here > i ? upper_here : 0;
}

static size_t split_llama4(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	size_t len, end = word(cls, s, i, n);

	if (end)
		return end + contraction(s, end, n, true);
	if (look(cls, s, i, &len) & CLASS_N)
		return digits(cls, s, i, n, len, 3);
	end = others(cls, s, i, n);
	if (end > i) {
		while (end < n && (s[end] == '\r' || s[end] == '\n' || s[end] == '/'))
			end++;
		return end;
	}
	return spaces(cls, s, i, n, true, 0);
}

/* gpt-2 and smollm.  A digit ends the stretch that smollm gives to gpt-2's expression, so spaces
 * before one are spaces at the end of a text. */
static inline size_t split_plain(const uint8_t *cls, const uint8_t *s, size_t i, size_t n,
				 bool single_digits)
{
	size_t len, from, end = contraction(s, i, n, false);
	uint8_t c;

	if (end)
		return i + end;
	c = look(cls, s, i, &len);
	if (single_digits && c & CLASS_N)
		return i + len;
	from = i;
	if (s[i] == ' ' && i + 1 < n) {
		from = i + 1;
		c = look(cls, s, from, &len);
	}
	if (c & CLASS_L)
		return run(cls, s, from + len, n, CLASS_L);
	if (c & CLASS_N && !single_digits)
		return run(cls, s, from + len, n, CLASS_N);
	if (!(c & LNS))
		return run_other(cls, s, from + len, n);
	return spaces(cls, s, i, n, false, single_digits ? CLASS_N : 0);
}

static size_t split_gpt2(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	return split_plain(cls, s, i, n, false);
}

static size_t split_smollm(const uint8_t *cls, const uint8_t *s, size_t i, size_t n)
{
	return split_plain(cls, s, i, n, true);
}

tok_split_fn *tok_split_get(enum tok_pre pre)
{
	switch (pre) {
	case TOK_PRE_LLAMA4:
		return split_llama4;
	case TOK_PRE_LLAMA3:
		return split_llama_bpe;
	case TOK_PRE_QWEN2:
		return split_qwen2;
	case TOK_PRE_GPT2:
		return split_gpt2;
	case TOK_PRE_SMOLLM:
		return split_smollm;
	}
	return NULL;
}
