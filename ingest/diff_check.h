/* ingest/diff_check.h - may a sentence of a model stand beside a hunk?
 *
 * A wrong sentence is worse than none, so nothing is believed that the hunk does not show:
 *
 *   (1) every name (an identifier, what stands in backquotes, an acronym) and every number occurs in
 *       the hunk, letter for letter, or in what stands around it: its path, its heading, its symbols
 *   (2) of its other words that mean something, at least three in five occur in the hunk or around it,
 *       by their first letters; a changed line holds one of its names or numbers; in prose, which has
 *       few of them, three of its words do as well
 *   (3) each name it says was added stands in more lines that came than in lines that went, what it says
 *       was removed the other way round, and of "from A to B" A went and B came
 *   (4) it claims no merit and no absence: "improves", "fixes", "a different way", "not" only
 *       where the hunk says so itself
 *   (5) it has 4 to 30 words
 *
 * These are necessary, not sufficient: a sentence that passes may still be beside the point.
 */
#ifndef INGEST_DIFF_CHECK_H
#define INGEST_DIFF_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* hunk: lines led by ' ', '+' or '-'.  around: any text.  prose: it is no source code.  *why (may be NULL) gets a word for the rule
 * that was broken: "name", "number", "words", "direction", "claim", "length". */
bool diff_check(const char *sentence, size_t n, const char *hunk, size_t n_hunk, const char *around,
		bool prose, const char **why);

/* Bytes of the sentence that remain when clauses of purpose and praise are cut from its end (", making
 * it faster"), and behind its first full stop.  May be n. */
size_t diff_check_trim(const char *sentence, size_t n);

#endif
