/* ingest/cite.h - from attention to lines: the citations of an answer, see answer.h */
#ifndef INGEST_CITE_H
#define INGEST_CITE_H

#include "ingest/answer.h"

struct cite;
struct trace;

/* a and o are borrowed until cite_free. */
int cite_new(struct cite **out, struct pages *p, struct catalog *c, const struct answer *a,
	     const struct answer_opts *o, struct err *e);
void cite_free(struct cite *c);

/* Span number i of the answer was placed with its first token at own token `first`. */
int cite_span(struct cite *c, size_t i, int64_t first, struct err *e);

/* What the model writes must not look like our marks: in s[0..n), which follows the byte `before` (0: none), a
 * "[1]" or "[?]" that stands alone becomes "(1)".  Returns how many bytes are settled: a "[1" at the end
 * may become a mark yet. */
size_t cite_defuse(char *s, size_t n, char before);

/* Look whether a->text has a new whole sentence (or, at the end, a rest) and cite it: appends [n], or [?]
 * where nothing supports it, adds to a->cite or a->unsupported, and resets the trace for the next sentence.
 * With strict an unsupported one is taken out again. */
int cite_more(struct cite *c, struct answer *a, struct trace *t, bool at_end, struct err *e);
/* Bytes of the text whose sentences are cited. */
size_t cite_done(const struct cite *c);

#endif
