/* cache/geom.h - the shape of stored keys and values: numbers, not a model
 *
 * A library holds KV of several models.  What the cache knows of each is this struct: how many far
 * layers are kept, how many key/value heads they have and how wide a head is.  n_far_layer counts
 * stored layers: far layer 0 is the first stored one, whatever its number in the model.  The near
 * layers of a preamble or of an open chunk are stored the same way, under a geometry of their own.
 *
 * Everything in cache/ that depends on a shape takes one that passed kv_geom_check(), so that
 * products of these numbers fit where this header says.
 */
#ifndef CACHE_GEOM_H
#define CACHE_GEOM_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Tokens in a full page (design: unit of identity and checksum). */
#define KV_PAGE_TOKENS 64u

#define KV_MAX_LAYER    1024u
#define KV_MAX_HEAD     1024u
#define KV_MAX_HEAD_DIM 1024u
/* n_head_kv * head_dim; an f16 strip is then at most 8 MiB, every strip size fits 32 bits. */
#define KV_MAX_ROW      32768u
/* Tokens in one span (2^24); spans are thousands. */
#define KV_MAX_SPAN     16777216u

struct kv_geom {
	uint32_t n_far_layer;	/* 1 .. KV_MAX_LAYER */
	uint32_t n_head_kv;	/* key/value heads; at most the query heads (GQA) */
	uint32_t head_dim;	/* elements per head, a multiple of 8 */
	uint32_t page_tokens;	/* KV_PAGE_TOKENS; stored so that another value is refused, not misread */
};

/* ERR_INVALID: a field is outside its limits.  Bytes from disk come through here too. */
int kv_geom_check(const struct kv_geom *g, struct err *e);

bool kv_geom_eq(const struct kv_geom *a, const struct kv_geom *b);

/* Pages of a span of n_token tokens, the last one possibly short; 0 for 0. */
static inline uint32_t kv_page_count(uint32_t n_token)
{
	return n_token / KV_PAGE_TOKENS + (n_token % KV_PAGE_TOKENS != 0);
}

/* Tokens of page pgno of such a span; pgno < kv_page_count(n_token). */
static inline uint32_t kv_page_len(uint32_t n_token, uint32_t pgno)
{
	uint32_t left = n_token - pgno * KV_PAGE_TOKENS;

	return left < KV_PAGE_TOKENS ? left : KV_PAGE_TOKENS;
}

/* Floats in K (or V) of one token in one far layer. */
static inline uint32_t kv_row(const struct kv_geom *g)
{
	return g->n_head_kv * g->head_dim;
}

#endif
