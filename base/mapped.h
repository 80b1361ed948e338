/* base/mapped.h - which file lies mapped where
 *
 * A read from a mapping raises SIGBUS when the file was shortened or its disk fails.  Whoever maps a
 * file that others may touch notes the range here; the program's handler then names the file instead
 * of crashing (cmd/signals.h).
 *
 * A fixed table without locks, so that a signal handler can read it.  When all MAPPED_MAX places are
 * taken a range goes unnoted, which costs the file's name in that one message and nothing else.
 */
#ifndef BASE_MAPPED_H
#define BASE_MAPPED_H

#include <stddef.h>

enum mapped_kind {
	MAPPED_INPUT,		/* a file of the user's, being read */
	MAPPED_MODEL,		/* a model file */
	MAPPED_LIBRARY		/* a segment, an index: part of a library */
};

enum { MAPPED_MAX = 512 };

/* Note the range [addr, addr + n).  path is copied (its last 255 bytes). */
void mapped_add(const void *addr, size_t n, enum mapped_kind kind, const char *path);
/* Before munmap.  An address that was not noted is fine. */
void mapped_remove(const void *addr);
/* The file under addr: its path, borrowed until the range is removed, and its kind; NULL when none.
 * Async-signal-safe. */
const char *mapped_find(const void *addr, enum mapped_kind *kind);

#endif
