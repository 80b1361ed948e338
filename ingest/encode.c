#include "config.h"

#include "ingest/encode.h"

#include "base/size.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uchardet.h>
#include <utf8proc.h>

#define PROBE_BYTES (64u << 10)		/* what is looked at to tell text from binary */
#define GUESS_BYTES (256u << 10)	/* what uchardet gets to see */
#define FEW_ACCENTS 8u

/* Names as uchardet, HTML and XML write them, and what to ask of iconv: the superset that files so
 * labelled are really in (web pages labelled GB2312 use GBK, and so on).  NULL: decoded here. */
static const struct charset {
	const char *label, *iconv;
} charsets[] = {
	{ "UTF-8", NULL }, { "ASCII", NULL }, { "US-ASCII", NULL },
	{ "UTF-16LE", NULL }, { "UTF-16BE", NULL }, { "UTF-16", NULL },
	{ "UTF-32LE", NULL }, { "UTF-32BE", NULL },
	{ "WINDOWS-1252", NULL }, { "ISO-8859-1", NULL }, { "LATIN1", NULL },
	{ "ISO-8859-2", "ISO-8859-2" }, { "ISO-8859-3", "ISO-8859-3" },
	{ "ISO-8859-4", "ISO-8859-4" }, { "ISO-8859-5", "ISO-8859-5" },
	{ "ISO-8859-6", "ISO-8859-6" }, { "ISO-8859-7", "ISO-8859-7" },
	{ "ISO-8859-8", "ISO-8859-8" }, { "ISO-8859-9", "WINDOWS-1254" },
	{ "ISO-8859-10", "ISO-8859-10" }, { "ISO-8859-11", "CP874" },
	{ "ISO-8859-13", "ISO-8859-13" }, { "ISO-8859-14", "ISO-8859-14" },
	{ "ISO-8859-15", "ISO-8859-15" }, { "ISO-8859-16", "ISO-8859-16" },
	{ "WINDOWS-1250", "WINDOWS-1250" }, { "WINDOWS-1251", "WINDOWS-1251" },
	{ "WINDOWS-1253", "WINDOWS-1253" }, { "WINDOWS-1254", "WINDOWS-1254" },
	{ "WINDOWS-1255", "WINDOWS-1255" }, { "WINDOWS-1256", "WINDOWS-1256" },
	{ "WINDOWS-1257", "WINDOWS-1257" }, { "WINDOWS-1258", "WINDOWS-1258" },
	{ "KOI8-R", "KOI8-R" }, { "KOI8-U", "KOI8-U" }, { "IBM852", "CP852" },
	{ "IBM855", "CP855" }, { "IBM866", "CP866" }, { "IBM865", "CP865" },
	{ "MAC-CYRILLIC", "MAC-CYRILLIC" }, { "MAC-CENTRALEUROPE", "MAC-CENTRALEUROPE" },
	{ "TIS-620", "CP874" }, { "VISCII", "VISCII" },
	{ "SHIFT_JIS", "CP932" }, { "SJIS", "CP932" },
	{ "WINDOWS-31J", "CP932" }, { "EUC-JP", "EUC-JP" }, { "ISO-2022-JP", "ISO-2022-JP" },
	{ "GB2312", "GB18030" }, { "GBK", "GB18030" }, { "GB18030", "GB18030" },
	{ "BIG5", "BIG5-HKSCS" }, { "EUC-TW", "EUC-TW" },
	{ "EUC-KR", "CP949" }, { "UHC", "CP949" }, { "CP949", "CP949" },
	{ "KS_C_5601-1987", "CP949" },
	{ "JOHAB", "JOHAB" },
};

/* "iso8859_1", "ISO-8859-1" and "Latin-1", "latin1" are the same names. */
static bool same_name(const char *a, const char *b)
{
	for (;;) {
		a += strspn(a, "-_");
		b += strspn(b, "-_");
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}

static const struct charset *find_charset(const char *label)
{
	char windows[32];

	if (!strncasecmp(label, "cp125", 5)) {
		snprintf(windows, sizeof(windows), "WINDOWS-%.20s", label + 2);
		label = windows;
	}
	for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
		if (same_name(charsets[i].label, label))
			return &charsets[i];
	return NULL;
}

bool encode_declared(const void *bytes, size_t n, char name[32])
{
	const char *p = bytes, *end = p + MIN(n, (size_t)512), *c = p;
	int lines = 0;
	size_t k = 0;

	for (c = p; c < end && lines < 2; c++)
		lines += *c == '\n';
	end = c;
	c = end > p ? memmem(p, (size_t)(end - p), "coding", 6) : NULL;
	if (!c || (c += 6) >= end || (*c != ':' && *c != '='))
		return false;
	for (c++; c < end && *c == ' '; c++)
		;
	while (c < end && k < 31 && (isalnum((unsigned char)*c) || strchr("-_.", *c)) && *c)
		name[k++] = *c++;
	name[k] = '\0';
	return k > 0;
}

static void add_char(struct buf *out, uint32_t c)
{
	char u[4];

	buf_add(out, u, utf8_encode(c, u));
}

static bool is_control(uint32_t c)
{
	return (c < 0x20 && !(c >= 8 && c <= 13) && c != 0x1b) || c == 0x7f;
}

static size_t count_controls(const uint8_t *p, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += is_control(p[i]);
	return k;
}

/* One unit of UTF-16 (w 2) or UTF-32 (w 4); big: high byte first. */
static uint32_t unit(const uint8_t *p, unsigned w, bool big)
{
	uint32_t c = 0;

	for (unsigned i = 0; i < w; i++)
		c = c << 8 | p[big ? i : w - 1 - i];
	return c;
}

/* Decode one character at p (n bytes); returns its bytes, *out UINT32_MAX when it is none. */
static size_t wide_decode(const uint8_t *p, size_t n, unsigned w, bool big, uint32_t *out)
{
	uint32_t c, d;

	*out = UINT32_MAX;
	if (n < w)
		return n;
	c = unit(p, w, big);
	if (c >= 0xd800 && c < 0xdc00 && w == 2 && n >= 4) {
		d = unit(p + 2, 2, big);
		if (d >= 0xdc00 && d < 0xe000) {
			*out = 0x10000 + ((c - 0xd800) << 10) + (d - 0xdc00);
			return 4;
		}
	}
	if ((c < 0xd800 || c >= 0xe000) && c <= 0x10ffff)
		*out = c;
	return w;
}

static uint64_t wide_convert(struct buf *out, const uint8_t *p, size_t n, unsigned w, bool big)
{
	uint64_t bad = 0;
	uint32_t c;

	buf_reserve(out, n / w + n / 8);
	for (size_t i = 0; i < n; ) {
		i += wide_decode(p + i, n - i, w, big, &c);
		if (c == UINT32_MAX || c == 0) {
			bad++;
			c = 0xfffd;
		}
		add_char(out, c);
	}
	return bad;
}

/* How many characters of the first 64 KiB mark this as text in that form; 0: it is not. */
static size_t wide_score(const uint8_t *p, size_t n, unsigned w, bool big)
{
	size_t score = 0, total = 0, odd = 0, end = MIN(n, (size_t)PROBE_BYTES);
	uint32_t c;

	if (n % w || !n)
		return 0;
	for (size_t i = 0; i < end; total++) {
		utf8proc_category_t cat;

		i += wide_decode(p + i, n - i, w, big, &c);
		if (c == UINT32_MAX || c == 0 || is_control(c))
			return 0;
		cat = utf8proc_category((utf8proc_int32_t)c);
		odd += cat == UTF8PROC_CATEGORY_CN || cat == UTF8PROC_CATEGORY_CO;
		score += c == ' ' || c == '\n' || c == '\r' || c == '\t' || (c | 32) - 'a' < 26 ||
			 (c >= 0x3000 && c < 0x3100);
	}
	if (odd * 100 > total)
		return 0;
	/* Few blanks and no ASCII are believed only of a text too long to be chance. */
	if (score * 40 < total || (score * 2 < total && total < 48))
		return 0;
	return score;
}

static const struct wide {
	const char *name;
	unsigned w;
	bool big;
	uint8_t bom[4];
} wides[] = {		/* UTF-32LE before UTF-16LE: its mark begins with the other's */
	{ "UTF-32LE", 4, false, { 0xff, 0xfe, 0, 0 } },
	{ "UTF-32BE", 4, true, { 0, 0, 0xfe, 0xff } },
	{ "UTF-16LE", 2, false, { 0xff, 0xfe } },
	{ "UTF-16BE", 2, true, { 0xfe, 0xff } },
};

static void set_name(struct encoding *enc, const char *name)
{
	snprintf(enc->name, sizeof(enc->name), "%s", name);
}

static bool by_bom(struct buf *out, struct encoding *enc, const uint8_t *p, size_t n)
{
	size_t start = out->len;
	uint64_t bad;

	for (size_t i = 0; i < ARRAY_LEN(wides); i++) {
		const struct wide *k = &wides[i];

		if (n < k->w || memcmp(p, k->bom, k->w) || (k->w == 4 && n % 4))
			continue;
		bad = wide_convert(out, p + k->w, n - k->w, k->w, k->big);
		if (bad * 16 > n + 64) {	/* two bytes of chance before something else */
			out->len = start;
			continue;
		}
		set_name(enc, k->name);
		enc->had_bom = true;
		enc->n_replaced = bad;
		return true;
	}
	return false;
}

static bool by_zeros(struct buf *out, struct encoding *enc, const uint8_t *p, size_t n)
{
	const struct wide *best = NULL;
	size_t best_score = 0;

	for (size_t i = 0; i < ARRAY_LEN(wides); i++) {
		size_t score = wide_score(p, n, wides[i].w, wides[i].big);

		if (score > best_score) {
			best = &wides[i];
			best_score = score;
		}
	}
	if (!best)
		return false;
	set_name(enc, best->name);
	enc->guessed = true;
	enc->n_replaced = wide_convert(out, p, n, best->w, best->big);
	return true;
}

/* Windows-1252 for 0x80 to 0x9f; the five holes stay what they are in Latin-1. */
static const uint16_t cp1252[32] = {
	0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039,
	0x152, 0x8d, 0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
	0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178
};

static void from_cp1252(struct buf *out, struct encoding *enc, const uint8_t *p, size_t n)
{
	set_name(enc, "WINDOWS-1252");
	buf_reserve(out, n + n / 8);
	for (size_t i = 0; i < n; i++) {
		if (p[i] == 0) {
			add_char(out, 0xfffd);
			enc->n_replaced++;
		} else {
			add_char(out, p[i] >= 0x80 && p[i] < 0xa0 ? cp1252[p[i] - 0x80] : p[i]);
		}
	}
}

/* Copy with every byte that is part of no character replaced. */
static void from_damaged_utf8(struct buf *out, struct encoding *enc, const char *p, size_t n)
{
	set_name(enc, "UTF-8");
	while (n) {
		size_t good = utf8_check(p, n);
		const char *nul = memchr(p, 0, good);

		if (nul)
			good = (size_t)(nul - p);
		buf_add(out, p, good);
		if (good == n)
			return;
		add_char(out, 0xfffd);
		enc->n_replaced++;
		p += good + 1;
		n -= good + 1;
	}
}

/* Rule 4: characters of more than one byte against bytes that belong to none. */
static bool is_damaged_utf8(const char *p, size_t n)
{
	size_t good = 0, bad = 0;
	uint32_t c;

	for (size_t i = 0; i < n; ) {
		size_t len = utf8_decode(p + i, n - i, &c);

		good += len > 1;
		bad += !len;
		i += len ? len : 1;
	}
	return bad * 10 < good;
}

/* Convert with iconv; false (out as it was) when it cannot or finds too much that does not fit. */
static bool by_iconv(struct buf *out, struct encoding *enc, const char *name, const uint8_t *p,
		     size_t n)
{
	iconv_t cd = iconv_open("UTF-8", name);
	char *in = (char *)(uintptr_t)p;	/* iconv's signature; it does not write there */
	size_t left = n, start = out->len;
	uint64_t bad = 0;

	if (cd == (iconv_t)-1)
		return false;
	while (left) {
		char *o;
		size_t room;

		if (!buf_reserve(out, left + left / 2 + 64))
			break;
		o = out->data + out->len;
		room = out->cap - out->len - 1;
		if (iconv(cd, &in, &left, &o, &room) == (size_t)-1 && errno != E2BIG) {
			out->len = (size_t)(o - out->data);
			add_char(out, 0xfffd);
			if (!left || ++bad > 1 + n / 512)
				break;
			in++;
			left--;
			iconv(cd, NULL, NULL, NULL, NULL);
			continue;
		}
		out->len = (size_t)(o - out->data);
	}
	iconv_close(cd);
	if (out->failed)
		return true;		/* the caller looks */
	out->data[out->len] = '\0';
	if (left || utf8_check(out->data + start, out->len - start) != out->len - start ||
	    memchr(out->data + start, 0, out->len - start)) {
		out->len = start;
		out->data[start] = '\0';
		return false;
	}
	enc->n_replaced = bad;
	return true;
}

static bool convert(struct buf *out, struct encoding *enc, const struct charset *cs,
		    const uint8_t *p, size_t n)
{
	if (cs->iconv) {
		if (!by_iconv(out, enc, cs->iconv, p, n))
			return false;
		set_name(enc, cs->label);
		return true;
	}
	if (strcasestr(cs->label, "1252") || strcasestr(cs->label, "8859") ||
	    strcasestr(cs->label, "latin")) {
		from_cp1252(out, enc, p, n);
		return true;
	}
	return false;		/* UTF-8 was tried before, UTF-16 and 32 by mark and zeros */
}

/* Alphabets that share their letters with Windows-1252 and put others where it has accents. */
static bool is_other_latin(const char *label)
{
	static const char *const list[] = {
		"ISO-8859-2", "ISO-8859-3", "ISO-8859-4", "ISO-8859-9", "ISO-8859-10",
		"ISO-8859-13", "ISO-8859-14", "ISO-8859-15", "ISO-8859-16", "WINDOWS-1250", "WINDOWS-1254",
		"WINDOWS-1257", "WINDOWS-1258", "IBM852", "IBM865", "MAC-CENTRALEUROPE", "VISCII"
	};

	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (!strcmp(list[i], label))
			return true;
	return false;
}

/* What uchardet makes of bytes that are not UTF-8, from the first one above 0x7f on.  A handful of
 * accents do not tell one Latin alphabet from another: then it is the common one. */
static const struct charset *guess(const uint8_t *p, size_t n)
{
	const struct charset *cs = NULL;
	uchardet_t u = uchardet_new();
	size_t first = 0, high = 0;

	if (!u)
		return NULL;
	while (first < n && p[first] < 0x80)
		first++;
	first = first > 4096 ? first - 4096 : 0;
	n = MIN(n - first, (size_t)GUESS_BYTES);
	if (!uchardet_handle_data(u, (const char *)p + first, n)) {
		uchardet_data_end(u);
		cs = find_charset(uchardet_get_charset(u));
	}
	uchardet_delete(u);
	for (size_t i = first; i < first + n && high < FEW_ACCENTS; i++)
		high += p[i] >= 0x80;
	if (cs && high < FEW_ACCENTS && is_other_latin(cs->label))
		cs = NULL;
	return cs;
}

static bool has_japanese_escapes(const uint8_t *p, size_t n)
{
	return n && (memmem(p, n, "\x1b$B", 3) || memmem(p, n, "\x1b$@", 3));
}

static int binary(struct err *e, const uint8_t *nul, const uint8_t *p)
{
	if (nul)
		return err_set(e, ERR_MISMATCH, "binary: NUL byte at offset %zu",
			       (size_t)(nul - p));
	return err_set(e, ERR_MISMATCH, "binary: too many control characters for text");
}

/* Rules 1 to 3.  1: done or failed with *rc, 0: go on. */
static int by_certainty(struct buf *out, struct encoding *enc, const uint8_t *p, size_t n,
			struct err *e, int *rc)
{
	bool utf8_bom = n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3);
	size_t probe = MIN(n, (size_t)PROBE_BYTES);
	const uint8_t *nul;

	*rc = 0;
	if (by_bom(out, enc, p, n))
		return 1;
	nul = n ? memchr(p, 0, n) : NULL;
	if (nul) {
		if (!by_zeros(out, enc, p, n))
			*rc = binary(e, nul, p);
		return 1;
	}
	if (utf8_check((const char *)p, n) == n) {
		if (count_controls(p, probe) * 10 > probe * 3) {
			*rc = binary(e, NULL, p);
			return 1;
		}
		if (has_japanese_escapes(p, probe) && by_iconv(out, enc, "ISO-2022-JP", p, n)) {
			set_name(enc, "ISO-2022-JP");
			return 1;
		}
		enc->had_bom = utf8_bom;
		set_name(enc, "UTF-8");
		buf_add(out, p + (utf8_bom ? 3 : 0), n - (utf8_bom ? 3 : 0));
		return 1;
	}
	if (count_controls(p, probe) * 20 > probe) {
		*rc = binary(e, NULL, p);
		return 1;
	}
	if (utf8_bom || is_damaged_utf8((const char *)p, n)) {
		enc->had_bom = utf8_bom;
		from_damaged_utf8(out, enc, (const char *)p + (utf8_bom ? 3 : 0),
				  n - (utf8_bom ? 3 : 0));
		return 1;
	}
	return 0;
}

int encode_from(struct buf *out, struct encoding *enc, const char *name, const void *bytes,
		size_t n, struct err *e)
{
	const struct charset *cs = name ? find_charset(name) : NULL;
	const uint8_t *p = bytes;
	int rc;

	*enc = (struct encoding){ 0 };
	if (by_certainty(out, enc, p, n, e, &rc))
		return !rc && out->failed ? err_nomem(e) : rc;
	if (cs && convert(out, enc, cs, p, n))
		return out->failed ? err_nomem(e) : 0;
	enc->guessed = true;
	cs = guess(p, n);
	if (!cs || !convert(out, enc, cs, p, n))
		from_cp1252(out, enc, p, n);
	return out->failed ? err_nomem(e) : 0;
}

int encode_to_utf8(struct buf *out, struct encoding *enc, const void *bytes, size_t n,
		   struct err *e)
{
	return encode_from(out, enc, NULL, bytes, n, e);
}
