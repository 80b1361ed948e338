/* engine/tok_vocab.h - a vocabulary and its merges, laid out for looking up
 *
 * Internal to tok*.c.  Knows tokens as bytes, pairs of tokens and their ranks; not files, not
 * pre-tokenizers.
 *
 *   text, off   the bytes of all tokens, one after the other; token id is text[off[id], off[id+1])
 *   slot        open addressing by the token's bytes: high half of the hash, id + 1; 0 is empty
 *   pair        open addressing by (left, right): left 20 bits, right 20 bits, rank 24 bits
 *   may         a bit per hash of a pair, small enough to stay in the cache: most pairs that are
 *               asked for do not merge, and go no further than this (Chinese text is half as fast
 *               again)
 *   merged      [rank] -> the token a merge makes
 *
 * Hashes are salted with random numbers at start: no file can be made whose tokens all collide.
 *
 * Hence the limits: 2^20 tokens, 2^24 - 1 merges, 4 GiB of text.  The largest vocabulary known to
 * the authors has 262,144 tokens.
 */
#ifndef ENGINE_TOK_VOCAB_H
#define ENGINE_TOK_VOCAB_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TOK_MAX_VOCAB (1u << 20)
#define TOK_MAX_MERGE ((1u << 24) - 1)
#define TOK_MAY_BITS 21
#define TOK_NONE 0xffffffffu	/* no such token, no such merge */

/* Token types as GGUF numbers them. */
enum tok_type {
	TOK_NORMAL = 1, TOK_UNKNOWN = 2, TOK_CONTROL = 3, TOK_USER = 4, TOK_UNUSED = 5,
	TOK_BYTE = 6
};

struct tok_vocab {
	uint32_t  n;			/* tokens added so far */
	char     *text;
	uint32_t *off;
	uint8_t  *type;
	uint64_t  salt[2];		/* odd */
	uint64_t *slot, slot_mask;
	uint64_t *pair;
	uint64_t *may;			/* a bit per hash: without it, no pair has that hash */
	unsigned  pair_shift;
	size_t    pair_mask;
	uint32_t *merged;
	uint32_t  n_merge;
	uint32_t  byte[256];		/* the token of a single byte, or TOK_NONE */
	uint32_t *byte_rank;		/* [256][256]: rank of merging two single bytes */
	/* Tokens that are found in the text as they are written, sorted by their bytes: those of
	 * type TOK_USER, and those together with TOK_CONTROL and TOK_UNKNOWN. */
	uint32_t *user, *special;
	size_t    n_user, n_special;
	uint8_t   user_first[256], special_first[256];	/* is there one that starts so? */
};

static inline size_t tok_vocab_len(const struct tok_vocab *v, uint32_t id)
{
	return v->off[id + 1] - v->off[id];
}

/* Room for n tokens of n_byte bytes together.  Limits are ERR_MODEL. */
int tok_vocab_init(struct tok_vocab *v, uint64_t n, uint64_t n_byte, struct err *e);
void tok_vocab_release(struct tok_vocab *v);

/* The next token; the caller keeps to the room it asked for. */
void tok_vocab_add(struct tok_vocab *v, const void *text, size_t n, uint8_t type);

/* Index what was added: slot, byte, user, special.  May be called again after types changed.  Of
 * two normal tokens with the same bytes the later one counts; control, unknown and unused tokens
 * are never found. */
int tok_vocab_index(struct tok_vocab *v, struct err *e);

/* The token with these bytes, TOK_NONE when there is none. */
uint32_t tok_vocab_find(const struct tok_vocab *v, const void *text, size_t n);

/* Room for merges with ranks below n_rank, n_pair pairs in all (several may share a rank). */
int tok_vocab_merges(struct tok_vocab *v, uint64_t n_rank, uint64_t n_pair, struct err *e);
/* Of two merges of one pair the first counts. */
void tok_vocab_merge(struct tok_vocab *v, uint32_t rank, uint32_t left, uint32_t right,
		     uint32_t result);

/* After the last merge: fill byte_rank. */
int tok_vocab_ready(struct tok_vocab *v, struct err *e);

/* The longest token of type TOK_USER (and TOK_CONTROL, TOK_UNKNOWN where specials is true) that
 * s[0..n) starts with, TOK_NONE when there is none. */
uint32_t tok_vocab_special(const struct tok_vocab *v, const char *s, size_t n, bool specials);
/* The one that s[0..n) is. */
uint32_t tok_vocab_named(const struct tok_vocab *v, const char *s, size_t n);

/* Rank of merging left and right, TOK_NONE when they do not merge. */
static inline uint32_t tok_vocab_rank(const struct tok_vocab *v, uint32_t left, uint32_t right)
{
	uint64_t key, w, h;
	size_t i;

	if (left == TOK_NONE || right == TOK_NONE)
		return TOK_NONE;
	key = (uint64_t)left << 20 | right;
	h = key * v->salt[0];
	if (!(v->may[h >> (64 - TOK_MAY_BITS) >> 6] >> (h >> (64 - TOK_MAY_BITS) & 63) & 1))
		return TOK_NONE;
	i = h >> v->pair_shift;
	while ((w = v->pair[i]) != UINT64_MAX) {
		if (w >> 24 == key)
			return w & 0xffffff;
		i = (i + 1) & v->pair_mask;
	}
	return TOK_NONE;
}

#endif
