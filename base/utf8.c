#include "config.h"

#include "base/utf8.h"

#include <string.h>

/* Length by first byte (0: not a first byte), and the range the second byte must lie in, which is
 * what rules out overlong forms, surrogates and values past U+10FFFF (Unicode 15, table 3-7). */
static size_t shape(unsigned char c, unsigned char *lo, unsigned char *hi)
{
	*lo = 0x80;
	*hi = 0xbf;
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	if (c < 0xe0)
		return 2;
	if (c < 0xf0) {
		if (c == 0xe0)
			*lo = 0xa0;
		if (c == 0xed)
			*hi = 0x9f;
		return 3;
	}
	if (c == 0xf0)
		*lo = 0x90;
	if (c == 0xf4)
		*hi = 0x8f;
	return 4;
}

size_t utf8_decode(const char *s, size_t n, uint32_t *out)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char lo, hi;
	size_t len = shape(p[0], &lo, &hi);
	uint32_t c;

	if (len == 0 || len > n)
		return 0;
	if (len == 1) {
		*out = p[0];
		return 1;
	}
	if (p[1] < lo || p[1] > hi)
		return 0;
	c = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	*out = c;
	return len;
}

size_t utf8_encode(uint32_t c, char out[4])
{
	unsigned char *p = (unsigned char *)out;

	if (c < 0x80) {
		p[0] = (unsigned char)c;
		return 1;
	}
	if (c < 0x800) {
		p[0] = (unsigned char)(0xc0 | c >> 6);
		p[1] = (unsigned char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		p[0] = (unsigned char)(0xe0 | c >> 12);
		p[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		p[2] = (unsigned char)(0x80 | (c & 0x3f));
		return 3;
	}
	p[0] = (unsigned char)(0xf0 | c >> 18);
	p[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
	p[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
	p[3] = (unsigned char)(0x80 | (c & 0x3f));
	return 4;
}

size_t utf8_check(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint64_t w;
		uint32_t c;
		size_t len;

		/* Eight ASCII bytes at a time: most text is. */
		while (i + 8 <= n) {
			memcpy(&w, s + i, 8);
			if (w & 0x8080808080808080ull)
				break;
			i += 8;
		}
		if (i >= n)
			break;
		len = utf8_decode(s + i, n - i, &c);
		if (!len)
			return i;
		i += len;
	}
	return n;
}

size_t utf8_tail(const char *s, size_t n)
{
	unsigned char lo, hi;

	for (size_t back = 1; back <= 3 && back <= n; back++) {
		unsigned char c = (unsigned char)s[n - back];

		if ((c & 0xc0) == 0x80)
			continue;
		if (shape(c, &lo, &hi) <= back)
			return 0;
		if (back > 1 && ((unsigned char)s[n - back + 1] < lo ||
				 (unsigned char)s[n - back + 1] > hi))
			return 0;	/* already broken: more bytes will not mend it */
		return back;
	}
	return 0;
}
