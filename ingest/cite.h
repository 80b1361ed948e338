/* ingest/cite.h - from attention to lines: the citations of an answer, see answer.h */
#ifndef INGEST_CITE_H
#define INGEST_CITE_H

#include "ingest/answer.h"

struct cite;
struct trace;

int cite_new(struct cite **out, struct pages *p, struct catalog *c, const struct answer *a, struct err *e);
void cite_free(struct cite *c);

/* Span number i of the answer was placed with its first token at own token `first`. */
int cite_span(struct cite *c, size_t i, int64_t first, struct err *e);

/* Look whether a->text has a new whole sentence (or, at the end, a rest) and cite it: appends [n] to the
 * text, adds to a->cite or a->unsupported, and resets the trace for the next sentence. */
int cite_more(struct cite *c, struct answer *a, struct trace *t, bool at_end, struct err *e);

#endif
