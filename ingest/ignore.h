/* ingest/ignore.h - one file of ignore rules, in the syntax of gitignore(5)
 *
 * .gitignore, info/exclude, core.excludesFile, .ignore, .folioignore and the -g globs of the command
 * line all come through here.  A list knows its rules and the lines they stand on; which lists
 * apply to a path, in which order, and what a match means is the walk's business (walk.c).
 *
 * Within a list the last rule that matches decides.  A path is given relative to the folder the list
 * belongs to; a rule without a slash (other than at its end) matches the last component at any
 * depth.  A UTF-8 byte order mark, CRLF, trailing unescaped spaces and comments are handled as git
 * does (dir.c of 2.39); so is a line with a NUL byte, which ends there.
 */
#ifndef INGEST_IGNORE_H
#define INGEST_IGNORE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct rule {
	const char *text;	/* as it stands in the file, NUL-terminated */
	int         line;	/* from 1 */
	bool        negated;	/* began with ! */
};

struct rules;

/* label: the file's name, for people; copied, as is the text.  Only ERR_NOMEM can happen: every text
 * is a valid list. */
int rules_new(struct rules **out, const char *label, const char *text, size_t n, struct err *e);
/* Add one rule, as if it stood on the next line. */
int rules_add(struct rules *r, const char *line, struct err *e);
const char *rules_label(const struct rules *r);
size_t rules_count(const struct rules *r);
void rules_free(struct rules *r);

/* The rule that decides on path (n bytes, no leading or trailing slash), or NULL when none matches.
 * Borrowed from r. */
const struct rule *rules_match(const struct rules *r, const char *path, size_t n, bool is_dir,
			       bool icase);

#endif
