/* Covers ingest/encode.h: each rule, in order, and what binary is. */
#include "config.h"

#include "base/utf8.h"
#include "ingest/encode.h"
#include "tests/check.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>

static const char GERMAN[] =
	"Der Bäcker über der Straße öffnet früh. Die Größe der Brötchen gefällt den Schülern.\n";
static const char JAPANESE[] =
	"図書館は川のそばにある。本を読む人は、毎日ここに来る。\n"
	"カードを見せると、三冊まで借りられます。返す日を忘れないでください。\n";
static const char RUSSIAN[] =
	"Библиотека стоит у реки. Каждый день сюда приходят читатели и берут по три книги.\n"
	"Не забудьте вернуть их вовремя, иначе придётся заплатить.\n";
static const char CHINESE[] =
	"图书馆在河边。每天都有读者来这里借书，一次最多三本。\n请记得按时归还，不要忘记日期。\n";
static const char KOREAN[] =
	"도서관은 강가에 있습니다. 매일 많은 사람들이 책을 빌리러 옵니다.\n반납일을 잊지 마세요.\n";

/* s in another encoding, n_out bytes; the caller frees. */
static char *to(const char *charset, const char *s, size_t *n_out)
{
	iconv_t cd = iconv_open(charset, "UTF-8");
	size_t n = strlen(s), room = 4 * n + 16, cap = room;
	char *out = malloc(room), *o = out, *in = (char *)(uintptr_t)s;

	if (cd == (iconv_t)-1 || iconv(cd, &in, &n, &o, &room) == (size_t)-1)
		abort();
	iconv(cd, NULL, NULL, &o, &room);
	iconv_close(cd);
	*n_out = cap - room;
	return out;
}

/* Does s, written in charset, come back, and under that name? */
static void back(const char *charset, const char *s, const char *name)
{
	size_t n;
	char *bytes = to(charset, s, &n);
	struct encoding enc;
	struct buf out = { 0 };
	int rc = encode_to_utf8(&out, &enc, bytes, n, NULL);

	ok(!rc && !strcmp(out.data, s), "%s comes back (as %s)", charset, enc.name);
	if (name)
		ok(!strcmp(enc.name, name), "%s is called %s", charset, name);
	buf_release(&out);
	free(bytes);
}

static int encode(struct buf *out, struct encoding *enc, const char *bytes, size_t n)
{
	buf_clear(out);
	buf_adds(out, "");
	return encode_to_utf8(out, enc, bytes, n, NULL);
}

static void test_certain(void)
{
	struct buf out = { 0 };
	struct encoding enc;

	ok(!encode(&out, &enc, "", 0) && out.len == 0, "nothing is text");
	ok(!encode(&out, &enc, "\xef\xbb\xbfone\r\n", 8) && !strcmp(out.data, "one\r\n") && enc.had_bom,
	   "a mark is dropped, CRLF stays");
	ok(!encode(&out, &enc, GERMAN, strlen(GERMAN)) && !strcmp(enc.name, "UTF-8") && !enc.guessed,
	   "UTF-8 is never guessed at");
	ok(!encode(&out, &enc, "\xff\xfe" "a\0\xff\xd8" "b\0", 8) && enc.n_replaced == 1 &&
	   !strcmp(out.data, "a\xef\xbf\xbd" "b"), "half a pair becomes U+FFFD");
	ok(!encode(&out, &enc, "h\0i\0 \0t\0", 8) && !strcmp(out.data, "hi t"), "UTF-16 without mark");
	ok(!encode(&out, &enc, "\0h\0i\0 \0t", 8) && !strcmp(enc.name, "UTF-16BE"), "the other order");
	ok(!encode(&out, &enc, "h\0\0\0i\0\0\0", 8) && !strcmp(out.data, "hi"), "UTF-32 without mark");
	back("UTF-16LE", JAPANESE, "UTF-16LE");
	back("UTF-16BE", RUSSIAN, "UTF-16BE");
	back("UTF-16", CHINESE, "UTF-16LE");
	back("UTF-32", KOREAN, NULL);
	back("ISO-2022-JP", JAPANESE, "ISO-2022-JP");
	buf_release(&out);
}

static void test_guessed(void)
{
	back("SHIFT_JIS", JAPANESE, "SHIFT_JIS");
	back("EUC-JP", JAPANESE, "EUC-JP");
	back("GB18030", CHINESE, NULL);
	back("EUC-KR", KOREAN, NULL);
	back("WINDOWS-1251", RUSSIAN, "WINDOWS-1251");
	back("KOI8-R", RUSSIAN, "KOI8-R");
	back("ISO-8859-1", GERMAN, NULL);
	back("WINDOWS-1252", "“Curly” — it’s €5. Größe: 3 mm, über 10 Stück.\n", NULL);
	back("ISO-8859-1", "int x; /* naïve café */\n", NULL);
	back("ISO-8859-1", "El niño comió una manzana mañana.\n", "WINDOWS-1252");
	back("WINDOWS-1252", "It’s a test", NULL);
	back("ISO-8859-1", "# Copyright © 2004\nprint('hello')\n", NULL);
}

static void test_damage(void)
{
	struct buf out = { 0 };
	struct encoding enc;
	char bytes[256];
	size_t n = strlen(GERMAN), shift;
	char *sj;

	memcpy(bytes, GERMAN, n);
	bytes[n] = (char)0xe9;
	ok(!encode(&out, &enc, bytes, n + 1) && !strcmp(enc.name, "WINDOWS-1252"),
	   "one bad byte against eight characters is another encoding");
	memcpy(bytes, RUSSIAN, 100);
	bytes[99] = (char)0xff;
	ok(!encode(&out, &enc, bytes, 100) && !strcmp(enc.name, "UTF-8") && enc.n_replaced >= 1 &&
	   utf8_check(out.data, out.len) == out.len, "one bad byte among many characters is damage");
	sj = to("SHIFT_JIS", JAPANESE, &shift);
	sj[shift - 1] = (char)0x81;
	ok(!encode(&out, &enc, sj, shift) && !strcmp(enc.name, "SHIFT_JIS") && enc.n_replaced,
	   "a broken end costs a character, not the encoding (%s)", enc.name);
	free(sj);
	buf_release(&out);
}

static void test_binary(void)
{
	struct buf out = { 0 };
	struct encoding enc;
	char bytes[4096];
	uint32_t x = 1;
	int n_text = 0;

	ok(encode(&out, &enc, "\x7f" "ELF\2\1\1\0\0\0\0\0", 12) == ERR_MISMATCH, "ELF is binary");
	ok(encode(&out, &enc, "\0", 1) == ERR_MISMATCH && !out.len, "one NUL is binary");
	ok(encode(&out, &enc, "text\0text", 9) == ERR_MISMATCH, "a NUL in text is binary");
	ok(encode(&out, &enc, "\1\2\3\4\1\2\3\4", 8) == ERR_MISMATCH, "control characters are binary");
	for (int k = 0; k < 200; k++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			x = x * 1664525 + 1013904223;
			bytes[i] = (char)(x >> 24);
		}
		n_text += !encode(&out, &enc, bytes, 64 + (x >> 8) % 4000);
	}
	ok(n_text == 0, "chance is binary (%d of 200 taken for text)", n_text);
	buf_release(&out);
}

static void test_named(void)
{
	struct buf out = { 0 };
	struct encoding enc;
	char name[32];

	ok(!encode_from(&out, &enc, "koi8-r", "\xe1\xe2\xe3", 3, NULL) && !strcmp(out.data, "АБЦ"),
	   "a named encoding is believed");
	buf_clear(&out);
	ok(!encode_from(&out, &enc, "koi8-r", "\xc3\xa4", 2, NULL) && !strcmp(out.data, "ä"),
	   "but not against well-formed UTF-8");
	buf_clear(&out);
	ok(!encode_from(&out, &enc, "../../x", "\xe4\xf6", 2, NULL) && out.len, "nor when unknown");
	ok(encode_declared("#!/usr/bin/python\n# -*- coding: euc_jp -*-\n", 43, name) &&
	   !strcmp(name, "euc_jp") && encode_declared("// vim: fileencoding=cp1251", 27, name) &&
	   !strcmp(name, "cp1251"), "a text may name its encoding");
	ok(!encode_declared("1\n2\ncoding: x", 13, name) && !encode_declared("coding", 6, name) &&
	   !encode_declared("", 0, name), "in its first two lines");
	buf_clear(&out);
	ok(!encode_from(&out, &enc, "cp1251", "\xc0\xc1\xc2", 3, NULL) && !strcmp(out.data, "АБВ"),
	   "by any of its names");
	buf_release(&out);
}

int main(void)
{
	test_certain();
	test_guessed();
	test_damage();
	test_binary();
	test_named();
	return done();
}
