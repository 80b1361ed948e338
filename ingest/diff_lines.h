/* ingest/diff_lines.h - the hunks of one pair of texts, by libgit2's xdiff
 *
 * LARGE TEXTS.  xdiff needs some five times the size of what it compares.  Above DIFF_LINES_WHOLE
 * bytes equal lines at both ends are left out first, which changes no count; when more than
 * DIFF_LINES_CORE bytes are left in between, lines are only counted: those of one side that the other
 * has not, however often.  Moved lines are then no change, so the counts are at most git's; there is
 * one hunk over all of it, and the caller is told.
 */
#ifndef INGEST_DIFF_LINES_H
#define INGEST_DIFF_LINES_H

#include "ingest/diff.h"

#define DIFF_LINES_WHOLE ((size_t)32 << 20)
#define DIFF_LINES_CORE  ((size_t)64 << 20)

/* Add the hunks of the last file of r, and its counts.  *counted: see above. */
int diff_lines(struct diff_report *r, const char *a, size_t n_a, const char *b, size_t n_b, bool *counted,
	       struct err *e);

#endif
