/* engine/tok_bpe.h - merging the bytes of one piece into tokens
 *
 * Internal to tok*.c.  Byte-pair encoding: start with one symbol per byte; as long as any two
 * neighbours have a merge, make the one with the lowest rank, the leftmost on ties.  Two ways to the
 * same result: short pieces search their few ranks again after each merge; long ones keep a heap of
 * (rank, position) and a linked list, which is n log n, so a megabyte without a space is no trap.
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
	uint32_t *sym;			/* the last result of tok_bpe_merge */
	uint32_t *left, *right, *rank;	/* linked list over positions, rank of a pair at its left */
	size_t    cap;
	uint64_t *heap;			/* rank << 32 | position */
	size_t    n_heap, cap_heap;
};

/* NULL without memory. */
struct tok_work *tok_work_new(void);
void tok_work_free(struct tok_work *w);

/* Merge s[0..n), n > 0; the symbols are w->sym[0..*n_sym), left to right. */
int tok_bpe_merge(const struct tok_vocab *v, struct tok_work *w, const uint8_t *s, size_t n,
		  size_t *n_sym, struct err *e);

#endif
