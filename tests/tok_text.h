/* tests/tok_text.h - mixed text, the same bytes for the same seed on every machine
 *
 * What tokenizers get wrong: several scripts, combining marks, emoji sequences, long white space,
 * CRLF, contractions in any case, digits of any kind, code.  Well-formed UTF-8; every code point it
 * uses was assigned before Unicode 13, so that all implementations agree on its class.
 */
#ifndef TESTS_TOK_TEXT_H
#define TESTS_TOK_TEXT_H

#include "base/buf.h"
#include "base/size.h"
#include "base/utf8.h"

static uint64_t tok_text_state;

static uint32_t tok_text_rnd(uint32_t n)
{
	tok_text_state = tok_text_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(tok_text_state >> 33) % n;
}

static void tok_text_word(struct buf *b)
{
	static const char *const w[] = {
		"the", "of", "and", "to", "a", "in", "is", "it", "that", "was", "for", "on", "with",
		"keeps", "page", "attention", "layer", "stored", "question", "answer", "library",
		"Every", "Because", "WHERE", "JSON", "iPhone", "McDonald", "HTTPServer", "getValueOf",
		"snake_case_name", "don't", "I'LL", "we've", "They'RE", "it's", "SHE'D", "o'clock",
		"'tis", "rock'n'roll", "na\xc3\xafve", "\xc3\x89" "cole", "Stra\xc3\x9f" "e", "\xc4\xb0stanbul",
		"\xc5\x81" "\xc3\xb3" "d\xc5\xba", "caf\x65\xcc\x81", "Z\xcc\x87" "e\xcc\xa3\xcc\x82", "\xc7\x85" "amija",
		"\xce\xb5\xce\xbb\xce\xbb\xce\xb7\xce\xbd\xce\xb9\xce\xba\xce\xac",
		"\xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0", "\xd0\x9a\xd0\xbe\xd1\x82",
		"internationalisation", "antidisestablishmentarianism", "x", "Q", "zzz",
	};

	buf_adds(b, w[tok_text_rnd(ARRAY_LEN(w))]);
}

static void tok_text_range(struct buf *b, uint32_t from, uint32_t to, uint32_t n)
{
	char c[4];

	while (n--)
		buf_add(b, c, utf8_encode(from + tok_text_rnd(to - from + 1), c));
}

static void tok_text_script(struct buf *b)
{
	static const struct {
		uint32_t from, to;
	} r[] = {
		{ 0x4e00, 0x9fa5 }, { 0x4e00, 0x4fff }, { 0x3041, 0x3096 }, { 0x30a1, 0x30fa },
		{ 0xac00, 0xd7a3 }, { 0x5d0, 0x5ea }, { 0x591, 0x5bd }, { 0x620, 0x64a },
		{ 0x620, 0x669 }, { 0x905, 0x94d }, { 0x966, 0x96f }, { 0xe01, 0xe3a },
		{ 0x430, 0x44f }, { 0x410, 0x44f }, { 0x3b1, 0x3c9 }, { 0x531, 0x556 },
		{ 0x10d0, 0x10f0 }, { 0xc0, 0x17f }, { 0x1e00, 0x1eff }, { 0x300, 0x36f },
		{ 0x2190, 0x22ff }, { 0x2500, 0x257f }, { 0x2150, 0x2188 }, { 0x2460, 0x249b },
		{ 0xff10, 0xff19 }, { 0xff21, 0xff5a }, { 0x1d400, 0x1d454 }, { 0x20000, 0x2a000 },
		{ 0x12000, 0x12300 }, { 0x2010, 0x2027 }, { 0x20a0, 0x20bf }, { 0x3001, 0x3011 },
		{ 0xe000, 0xe010 }, { 0x13a0, 0x13ef }, { 0x1c90, 0x1cb0 },
	};
	uint32_t i = tok_text_rnd(ARRAY_LEN(r));

	tok_text_range(b, r[i].from, r[i].to, 1 + tok_text_rnd(12));
}

static void tok_text_emoji(struct buf *b)
{
	static const char *const s[] = {
		"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7",
		"\xf0\x9f\x8f\xb3\xef\xb8\x8f\xe2\x80\x8d\xf0\x9f\x8c\x88", "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa",
		"\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd", "1\xef\xb8\x8f\xe2\x83\xa3", "\xe2\x9d\xa4\xef\xb8\x8f",
		"\xe2\x84\xa2", "\xc2\xa9", "\xe2\x80\x94", "\xe2\x80\x99s", "\xe2\x80\xa6",
	};

	if (tok_text_rnd(2))
		buf_adds(b, s[tok_text_rnd(ARRAY_LEN(s))]);
	else
		tok_text_range(b, 0x1f300, 0x1f5ff, 1 + tok_text_rnd(3));
}

static void tok_text_space(struct buf *b)
{
	static const char *const s[] = {
		"\n", "\n\n", "\r\n", "\r\n\r\n", "\t", "\t\t", "  ", "   ", " \n", "\n ", "\n\t\t",
		"\xc2\xa0", "\xe3\x80\x80", "\xe2\x80\x83", "\xc2\x85", "\xe2\x80\xa8", "\v", "\f", "\r", " \t ",
	};
	const char *x = s[tok_text_rnd(ARRAY_LEN(s))];
	uint32_t n = tok_text_rnd(40) ? 1 : 1 + tok_text_rnd(200);

	while (n--)
		buf_adds(b, x);
}

static void tok_text_code(struct buf *b)
{
	static const char *const s[] = {
		"{\n", "}\n", "(", ")", ");\n", "->", "::", "==", "!=", "<=", "//", "/*", "*/", "#include <",
		"#!/bin/sh\n", "\"", "'", "\\n", "0x", "[i]", " += ", "@", "$", "%d", "&&", "||", "...",
		"<|", "|>", "</p>", "<div>", "~", "`", "```\n", "---\n", "https://", "/usr/", ".c:12:",
	};

	buf_adds(b, s[tok_text_rnd(ARRAY_LEN(s))]);
}

/* Append at least n bytes. */
__attribute__((unused)) static void tok_text(struct buf *b, size_t n, uint64_t seed)
{
	size_t end = b->len + n;

	tok_text_state = seed;
	while (b->len < end && !b->failed) {
		uint32_t k = tok_text_rnd(20);

		if (k < 8)
			tok_text_word(b);
		else if (k < 11)
			tok_text_code(b);
		else if (k < 13)
			tok_text_script(b);
		else if (k < 14)
			tok_text_emoji(b);
		else if (k < 15)
			buf_addf(b, "%u", tok_text_rnd(1u << tok_text_rnd(31)));
		else if (k < 16)
			tok_text_space(b);
		if (tok_text_rnd(3))
			buf_addc(b, ' ');
	}
}

#endif
