/* cache/search.h - finding text without a model
 *
 * Two indexes over the stored text, both contentless FTS5 tables (the text itself is stored once,
 * compressed; see doc/library-format.md):
 *
 *   words    unicode61, committed with the text.  Its rows are pieces: about 4 KiB of one document,
 *            cut at line ends, so that ranking (BM25) compares passages and not whole books.
 *   trigram  one row per document, filled behind the text by search_fill; it says only which
 *            documents may hold a string.  Documents it has not reached yet, and those above 4 MiB,
 *            are always candidates: the answer never depends on how far it is filled.
 *
 * Both are derived: repair drops and fills them again.  The caller looks at the text itself to
 * confirm a candidate.
 */
#ifndef CACHE_SEARCH_H
#define CACHE_SEARCH_H

#include "cache/catalog.h"

/* Turn a person's words into a query of alternatives, quoted, so that nothing in them is syntax.
 * Words are runs of letters, digits and '_' (and of anything above ASCII); camelCase is given whole
 * and in parts.  ERR_NOTFOUND: no word in it. */
int search_query_of(const char *text, size_t n, struct buf *out, struct err *e);

struct search_mark {
	uint64_t start, end;		/* bytes of the document */
};

struct search_hit {
	int64_t  document;
	uint64_t start, end;		/* the piece */
	double   score;			/* BM25, larger is better */
	const struct search_mark *mark;	/* where its words stand, in order of start; at most 64 */
	size_t   n_mark;
};
typedef int search_hit_fn(void *ctx, const struct search_hit *h);

/* The best k pieces of the documents in these snapshots (none: of all documents), best first; equal
 * scores in order of document and start.  query is FTS5 syntax; ERR_INVALID says what is wrong
 * with it. */
int search_words(struct catalog *c, const char *query, const int64_t *snapshot, size_t n_snapshot,
		 size_t k, search_hit_fn *fn, void *ctx, struct err *e);

/* Documents that may hold every one of these literal strings, sorted by id, fresh memory (NULL when
 * none).  fold: letter case does not matter.  A literal of fewer than 3 characters, or one that is
 * not UTF-8, narrows nothing.  Never leaves out a document that holds them all. */
struct search_literal {
	const char *s;
	size_t      n;
};
int search_candidates(struct catalog *c, const struct search_literal *lit, size_t n_lit, bool fold,
		      const int64_t *snapshot, size_t n_snapshot, int64_t **document, size_t *n,
		      struct err *e);

/* Go on filling the trigram index: whole documents until about max_byte of text are done, committed
 * in a batch of its own.  *left is the text not yet indexed, 0 when done. */
int search_fill(struct catalog *c, uint64_t max_byte, uint64_t *left, struct err *e);
/* The text not yet indexed, a byte added for each document. */
int search_left(struct catalog *c, uint64_t *left, struct err *e);

#endif
