/* cache/ident.h - the identity of pages: which computation these bytes are the result of
 *
 * A page's identity is BLAKE2b-256 over everything its keys and values follow from:
 *
 *   "folio page 1\n"   13 bytes, the version of this rule
 *   engine             32: weights, tokenizer, layer plan, preamble, span recipe, KV type, format
 *   mode                1: enum ident_mode
 *   attends            32: identity of what the span attends to before itself
 *   previous           32: the page before it in its span; zeros for the first
 *   n_token             4: u32 little-endian, 1..64
 *   tokens          4 * n: i32 little-endian ids
 *
 * attends: isolated: the preamble; causal: the last page before the span; preamble: zeros.
 * Pages form a chain, so the identity of the last page of a span names the whole span: that is the
 * span's identity, and the order of identities (bytewise) is the canonical order of a reduction.
 *
 * Identity names the computation, not its rounding: encoding again on another processor gives the
 * same identity and, within tolerance, the same bytes.  The first sealed bytes stay.
 */
#ifndef CACHE_IDENT_H
#define CACHE_IDENT_H

#include "base/hash.h"

#include <stdint.h>

enum ident_mode {
	IDENT_PREAMBLE = 1,	/* attends to nothing before itself */
	IDENT_ISOLATED = 2,	/* attends to the preamble and itself */
	IDENT_CAUSAL = 3,	/* attends to everything before it */
	IDENT_PRIVATE = 4	/* a session's tail: never shared, whatever its identity */
};

/* previous may be NULL (first page of its span), attends may be NULL (nothing). */
struct id ident_page(const struct id *engine, enum ident_mode mode, const struct id *attends,
		     const struct id *previous, const int32_t *token, uint32_t n_token);

/* Identities of all pages of a span of n_token > 0 tokens; page may be NULL, else it has room for
 * kv_page_count(n_token).  Returns the span's identity, that of its last page. */
struct id ident_span(const struct id *engine, enum ident_mode mode, const struct id *attends,
		     const int32_t *token, uint32_t n_token, struct id *page);

#endif
