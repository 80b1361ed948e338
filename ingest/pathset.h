/* ingest/pathset.h - a set of paths, by 64 bits of XXH3-128: 16 bytes a path, no matter how long
 *
 * Some two paths of a set share their bits with probability n^2 / 2^64: for ten million paths once in
 * 180,000 runs.
 */
#ifndef INGEST_PATHSET_H
#define INGEST_PATHSET_H

#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pathset {
	uint64_t *v;		/* 0: empty */
	size_t    n, cap;	/* cap is 0 or a power of two */
};

static inline uint64_t pathset_key(const void *path, size_t n)
{
	return sum128_of(path, n).lo | 1;
}

/* *added: it was not there.  ERR_NOMEM. */
int pathset_add(struct pathset *s, uint64_t key, bool *added, struct err *e);
bool pathset_has(const struct pathset *s, uint64_t key);
void pathset_release(struct pathset *s);

#endif
