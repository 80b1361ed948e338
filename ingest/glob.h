/* ingest/glob.h - one wildcard pattern against one path, as git matches them
 *
 * `*` and `?` match within a component, a `**` that stands between slashes (or at an end) spans
 * components, `[...]` takes ranges, `!` or `^`, and [:class:]; a backslash makes the next byte
 * literal.  Bytes, not characters: git compares bytes too.
 *
 * The quirks are git's (2.39, wildmatch): a set that does not close matches nothing, a set never
 * matches a slash, and a `**` at the very start of what is passed counts as standing after a slash,
 * even where the caller has cut a literal prefix off.  Unlike git's this one does not recurse: only
 * the last `*` and the last `**` can need another try, so a hostile pattern costs at most
 * pattern x path^2 steps and no stack.
 */
#ifndef INGEST_GLOB_H
#define INGEST_GLOB_H

#include <stdbool.h>
#include <stddef.h>

enum glob_flags {
	GLOB_PATHNAME = 1,	/* `*`, `?` and sets stop at a slash */
	GLOB_ICASE    = 2	/* ASCII case does not count (core.ignoreCase) */
};

bool glob_match(const char *pattern, size_t n_pattern, const char *text, size_t n_text,
		unsigned flags);

/* How many leading bytes of the pattern are plain (no * ? [ or backslash). */
size_t glob_literal(const char *pattern, size_t n);

#endif
