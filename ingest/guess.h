/* ingest/guess.h - drafts of an answer's next tokens, looked up in what it was made from
 *
 * Answers over sources repeat them: names, signatures, whole lines.  So the last tokens written are
 * looked for in the attended spans, the question and the answer itself, and what followed them there is
 * the draft (prompt lookup: Saxena 2023; Yang et al. 2023, arXiv:2304.04487).  The model verifies the
 * draft in one pass with the token before it.  A draft changes the time that an answer takes and
 * nothing else: a pass of up to KERN_FEW tokens sums in the same order as one of a single token.
 *
 * A draft that does not hold costs time: a row more in every product.  So the first one is a single token,
 * one that held whole is followed by a longer one, and after a miss there is a pause that doubles.
 */
#ifndef INGEST_GUESS_H
#define INGEST_GUESS_H

#include "base/err.h"
#include "engine/kern.h"
#include "engine/tok.h"

#include <stddef.h>
#include <stdint.h>

enum { GUESS_ROWS = KERN_FEW, GUESS_MAX = GUESS_ROWS - 1 };

/* Zero-initialise, release. */
struct guess {
	struct tok_ids text;		/* spans and question one after the other, -1 between them */
	size_t   misses;		/* drafts in a row of which nothing held */
	size_t   trust;			/* drafts in a row that held: how much longer the next one may be */
	size_t   pause;			/* tokens until the next draft */
	uint64_t drafted, held;		/* tokens, in all */
};

/* Add a text that the answer may repeat, behind the others: the last one is looked through first. */
int guess_add(struct guess *g, const int32_t *token, size_t n, struct err *e);
/* Up to max (at most GUESS_MAX) tokens that may follow said[0..n); returns how many. */
size_t guess_next(struct guess *g, const int32_t *said, size_t n, size_t max, int32_t draft[GUESS_MAX]);
/* Of the last draft of n tokens, `held` did. */
void guess_told(struct guess *g, size_t n, size_t held);
void guess_release(struct guess *g);

#endif
