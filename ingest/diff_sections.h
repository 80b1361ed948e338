/* ingest/diff_sections.h - prose: what moved, what was written anew, which numbers changed
 *
 * Both texts are cut into paragraphs, known by their words alone: line breaks and blanks do not count,
 * so a paragraph that a page break or a new width has broken otherwise is the same one.
 *
 *   paragraphs of both, in order      equal ones stay            the rest is gone or new
 *   gone = new elsewhere              moved; neighbours together are one section
 *   gone ~ new at the same place      rewritten                  at least 2/5 of the words stayed
 *   gone ~ new elsewhere              moved and edited           at least 3/4 of the words stayed
 *   stayed, but lines changed         reflowed
 *
 * Of rewritten and edited ones, words that hold a digit and stand in each other's place are told as
 * changed numbers.
 */
#ifndef INGEST_DIFF_SECTIONS_H
#define INGEST_DIFF_SECTIONS_H

#include "ingest/diff.h"
#include "ingest/doc.h"

/* Texts with more paragraphs than this are left out, with a note. */
enum { DIFF_PARAGRAPHS_MAX = 200000 };

/* Add sections and changed numbers of a file whose hunks are there. */
int diff_sections(struct diff_report *r, uint32_t file, const struct document *a, const struct document *b,
		  struct err *e);

#endif
