/* ingest/choose.h - which spans of a library a question is about, by full text and retrieval heads
 *
 * Full text (search.h) ranks passages of about 4 KiB; the spans they lie in are the candidates, and
 * rank.h puts those in order.  Documents that were not cut yet are cut here, so a library can be
 * asked as soon as its text is in.
 *
 * Where the model's retrieval heads are known (heads.h) and CHOOSE_COVERED of the tokens asked have pages,
 * every span with pages is a candidate, and
 *
 *     score = z(mean over heads of (question - neutral question))  +  heads' text weight * z(full text)
 *
 * z over all candidates: distance from the mean in standard deviations.  Spans without pages then have the heads'
 * mean.  With fewer pages full text alone decides: spans that happen to be encoded would be favoured.
 */
#ifndef INGEST_CHOOSE_H
#define INGEST_CHOOSE_H

#include "base/err.h"
#include "cache/catalog.h"
#include "ingest/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHOOSE_COVERED 0.75

struct chosen {
	struct cat_span span;
	double          score;
};

struct choose_query {
	const char    *question;
	size_t         n_question;
	const int64_t *snapshot;	/* as in search_words */
	size_t         n_snapshot;
	const int64_t *document;	/* only these, sorted; NULL: all */
	size_t         n_document;
	size_t         k;		/* spans wanted */
	bool          *by_heads;	/* set: did retrieval heads take part?  May be NULL */
};

/* The best k spans, best first, in fresh memory.  *n may be 0: no word of the question occurs, or it
 * has none. */
int choose_spans(struct pages *p, struct catalog *c, const struct choose_query *q, struct chosen **out, size_t *n,
		 struct err *e);

#endif
