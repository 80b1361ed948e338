/* base/utf8.h - strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decode one character at s (n bytes available, n > 0).  Returns its length in bytes and stores it,
 * or returns 0 when the bytes there begin no well-formed character; a character cut short by the end
 * also gives 0. */
size_t utf8_decode(const char *s, size_t n, uint32_t *out);

/* Write c (a scalar value) to out, 1 to 4 bytes; returns how many. */
size_t utf8_encode(uint32_t c, char out[4]);

/* Offset of the first byte that is not well-formed, n when all are. */
size_t utf8_check(const char *s, size_t n);

/* How many of the last bytes of s are the beginning of a character that needs more bytes (0 to 3):
 * what a stream must hold back. */
size_t utf8_tail(const char *s, size_t n);

#endif
