/* engine/tok_bpe.h - merging the bytes of one piece into tokens
 *
 * Internal to tok*.c.  Byte-pair encoding: start with one symbol per byte; as long as any two
 * neighbours have a merge, make the one with the lowest rank, the leftmost on ties.  Three ways to
 * the same result:
 *
 *   short pieces    search their few ranks again after each merge
 *   longer ones     keep a heap of (rank, position) and a linked list: n log n
 *   very long ones  are merged in overlapping windows that are joined where they agree: linear, and
 *                   in the memory of a window, so that megabytes without a space are no trap
 *
 * Why windows may be joined.  Call a row of tokens stable when merging the bytes of any two
 * neighbours gives these two again.  What merging gives is stable: until some merge crosses a border
 * between two tokens, the merges inside them do not know of each other, so they happen in the same
 * order whatever is around.  And a stable row of the bytes is what merging them gives: the first
 * merge across a border would have happened, by the same argument, with the two neighbours alone.
 * Now let one token, at the same place, be in the results of two windows.  The first result up to
 * it, and the second from it on, is a row in which each pair of neighbours stands in one of the
 * results; so it is stable, so it is the result for all the bytes of both windows.
 *
 * A byte for which the vocabulary has no token stays a symbol of its own, TOK_NONE, which merges
 * with nothing.
 */
#ifndef ENGINE_TOK_BPE_H
#define ENGINE_TOK_BPE_H

#include "engine/tok_vocab.h"

/* Results of short pieces, kept: text repeats its words.  An entry is one cache line. */
#define TOK_CACHE_BITS 14
#define TOK_CACHE_TEXT 24
#define TOK_CACHE_IDS 9

struct tok_cached {
	uint64_t text[TOK_CACHE_TEXT / 8];	/* padded with zeros */
	uint8_t  n_text;			/* 0: empty */
	uint8_t  n_id;
	int32_t  id[TOK_CACHE_IDS];
};

/* What one thread needs while it encodes; kept between calls for the sake of the cache. */
struct tok_work {
	struct tok_work   *next;	/* in the list of idle ones */
	struct tok_cached *cache;	/* [1 << TOK_CACHE_BITS], aligned to its size */
	size_t    window;		/* bytes; a test makes it small */
	uint32_t *sym;			/* of the window at work */
	uint32_t *done;			/* of the windows before it */
	size_t    n_done, cap_done;
	uint32_t *left, *right, *rank;	/* linked list over positions, rank of a pair at its left */
	size_t    cap;
	uint64_t *heap;			/* rank << 32 | position */
	size_t    n_heap, cap_heap;
};

/* NULL without memory. */
struct tok_work *tok_work_new(void);
void tok_work_free(struct tok_work *w);

/* Merge s[0..n), n > 0; the symbols are (*sym)[0..*n_sym), left to right, until the next call. */
int tok_bpe_merge(const struct tok_vocab *v, struct tok_work *w, const uint8_t *s, size_t n,
		  const uint32_t **sym, size_t *n_sym, struct err *e);

#endif
