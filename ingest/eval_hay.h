/* ingest/eval_hay.h - real text with planted lines: the haystack of `folio eval`
 *
 * Regular files below the given paths that hold text (UTF-8, 1 KiB to 256 KiB, no NUL), in an order that
 * the seed shuffles, are taken until they hold the tokens asked for; the last one is cut at a line end.
 * Planted lines go between their lines, anywhere with equal chance.  The result is written as documents
 * of a folder, for the ordinary pipeline to read.
 *
 * The same paths with the same files give the same documents, whatever the order of directory entries.
 */
#ifndef INGEST_EVAL_HAY_H
#define INGEST_EVAL_HAY_H

#include "base/err.h"
#include "engine/tok.h"

#include <stddef.h>
#include <stdint.h>

struct eval_hay {
	const char *const *path;	/* [n_path] folders and files */
	size_t   n_path;
	uint64_t n_token;		/* wanted, planted lines included */
	char *const *line;		/* [n_line] to plant */
	size_t   n_line;
	uint64_t seed;
};

struct eval_hay_result {
	uint64_t n_file, n_byte, n_token;	/* of what was written; tokens as counted file by file */
};

/* dir must exist and be empty.  ERR_NOTFOUND: a path that is not there, or less text than asked for; ERR_INTR. */
int eval_hay_write(const char *dir, const struct eval_hay *h, const struct tok *tok, struct eval_hay_result *out,
		   struct err *e);

#endif
