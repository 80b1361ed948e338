/* ingest/rank.h - words of a question against the text of spans
 *
 * Full text (search.h) brings candidates; this puts them in order, with what an index of whole words
 * cannot see: identifiers are taken apart (wal_checkpoint, walCheckpoint: wal, checkpoint), endings
 * are cut (checkpoints, checkpointing), and words of the question that stand side by side count more.
 *
 *   score = sum over terms of  idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length))
 *         + NEAR * smaller idf of each two neighbouring terms found within three words
 *
 * BM25 (Robertson & Zaragoza 2009) with k1 = 1.2, b = 0.75; idf over the candidates.
 */
#ifndef INGEST_RANK_H
#define INGEST_RANK_H

#include "base/buf.h"

#include <stddef.h>

enum { RANK_TERMS = 32, RANK_STEM = 24 };

struct rank_terms {
	char   stem[RANK_TERMS][RANK_STEM];
	size_t len[RANK_TERMS];
	size_t n;
};

/* The stems of a question's words, function words left out; each once, in order. */
void rank_split(const char *text, size_t n, struct rank_terms *out);

/* FTS5 query for any of them: "stem"* OR ... */
void rank_query(const struct rank_terms *t, struct buf *out);

/* What one candidate holds. */
struct rank_doc {
	double tf[RANK_TERMS];
	double near[RANK_TERMS];	/* term i and i + 1 stood together */
	double length;			/* words */
};
void rank_count(const struct rank_terms *t, const char *text, size_t n, struct rank_doc *out);

/* Scores of n candidates, into score[n]. */
void rank_score(const struct rank_terms *t, const struct rank_doc *doc, size_t n, double *score);

#endif
