/* ingest/diff_rename.h - which added file was which deleted one: git's answer
 *
 * Follows gitdiffcore(7) and the behaviour of git 2.39, so that `folio diff` and `git diff -M` name
 * the same renames (tests/diff_git.sh compares them over random repositories):
 *
 *   1. equal bytes: the first deleted file of that content that is not taken yet, one of the same
 *      base name before others
 *   2. a base name that is deleted once and added once: similarity of at least 3/4
 *   3. all others: the four best sources of each added file; pairs are taken from the most similar
 *      one down to RENAME_MIN, equal base names before others.  Not done when added x deleted is more
 *      than RENAME_LIMIT squared (diff.renameLimit's default), and that is told.
 *
 * Similarity is the share of the larger file's bytes that lie in pieces both have.  A piece is a
 * line, or 64 bytes of a longer one, and is known by a number below 107,927; a "\r" before "\n" does
 * not count in text, and an unfinished last piece does not count at all.  The unit is 1/60,000.
 * Only the arithmetic is git's; the tables are ours: counts in one array indexed by the number.
 */
#ifndef INGEST_DIFF_RENAME_H
#define INGEST_DIFF_RENAME_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RENAME_FULL = 60000, RENAME_MIN = 30000, RENAME_LIMIT = 1000 };

/* A deleted or an added file. */
struct rename_file {
	const char *path;
	uint32_t    mode;
	uint64_t    size;
	char        content[65];	/* equal for equal bytes: an object name or a hash */
	size_t      user;		/* the caller's own */
	/* Out: of an added file the index of its source, or -1; of a source, whether it was taken. */
	int64_t     source;
	uint32_t    score;		/* of 60,000 */
	bool        taken;
};

/* Append the bytes of a file. */
typedef int rename_read_fn(void *ctx, bool deleted, const struct rename_file *f, struct buf *out,
			   struct err *e);

/* Fill source and score of the added files; both lists are in order of path.  *limited: step 3 was
 * left out.  ERR_INTR, ERR_NOMEM, and what read returns. */
int rename_find(struct rename_file *del, size_t n_del, struct rename_file *add, size_t n_add,
		rename_read_fn *read, void *ctx, bool *limited, struct err *e);

/* For the tests: the similarity of two files in 1/60,000. */
int rename_similarity(const void *a, size_t n_a, const void *b, size_t n_b, uint32_t *score, struct err *e);

/* Binary as git sees it: a NUL byte among the first 8,000. */
bool rename_is_binary(const void *bytes, size_t n);

#endif
