/* ingest/choose_heads.h - full text's candidates and scores, fused with those of retrieval heads: choose.h */
#ifndef INGEST_CHOOSE_HEADS_H
#define INGEST_CHOOSE_HEADS_H

#include "ingest/choose.h"

/* v [n], fresh memory, holds the candidates of full text with its scores; pages_heads() is not NULL.  Adds every
 * span with pages and puts the fused scores, or leaves all as it is where too few spans have pages.
 * Sets *q->by_heads. */
int choose_by_heads(struct pages *p, struct catalog *c, const struct choose_query *q, struct chosen **v,
		    size_t *n, struct err *e);

/* x[i] to its distance from the mean in standard deviations; zeros where all are equal. */
void choose_z(double *x, size_t n);

#endif
