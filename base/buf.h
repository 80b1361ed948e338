/* base/buf.h - a growable run of bytes
 *
 * Zero-initialise, append, release.  An append that fails for want of memory sets `failed` and
 * leaves the bytes as they were; later appends do nothing, so a caller may append many times and
 * look once.  data is NUL-terminated beyond len whenever it is not NULL, for printing.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char  *data;
	size_t len;
	size_t cap;
	bool   failed;
};

/* Make room for n more bytes.  False, and `failed`, when there is no memory. */
bool buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Forget the bytes, keep the memory. */
void buf_clear(struct buf *b);
/* Hand the bytes over (free() them) and start empty.  NULL when an append failed. */
char *buf_take(struct buf *b);
void buf_release(struct buf *b);

#endif
