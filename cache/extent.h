/* cache/extent.h - one span's pages as bytes: how an extent is built, parsed and checked
 *
 * An extent is the unit of writing: the pages of one span in all far layers, layer by layer, made
 * in memory, sealed, appended to a segment (segment.h) and never changed.  All numbers
 * little-endian.
 *
 *   0            64*h           data_off                                        bytes
 *   +------------+--------------+-----------------+-----------------+-- ... ----+
 *   | head, 256  | page ids,    | layer 0:        | layer 1:        |           |
 *   |            | token ids    | strip 0, 1, ... | strip 0, 1, ... |           |
 *   +------------+--------------+-----------------+-----------------+-- ... ----+
 *
 *   head   0  8  magic "FOLIOEXT"          tables  at 256:
 *          8  8  bytes of the extent               page ids   32 * n_page
 *         16 16  sum: XXH3-128 of bytes            token ids   4 * n_token
 *                32 .. data_off                    zeros up to data_off, a multiple of 64
 *         32  4  version, 1
 *         36  4  data_off                  strip   0 16  sum: XXH3-128 of bytes 16 .. strip end
 *         40 16  geometry, 4 x u32                16  4  magic "STRP"
 *         56  4  n_token                          20  4  far layer
 *         60  4  n_page                           24  4  page
 *         64  1  type wanted, enum kv_type        28  2  tokens in the page
 *         65  1  mode, enum ident_mode            30  1  type of this page, enum kv_type
 *         66  6  zero                             31  1  zero
 *         72  8  layer_bytes, stride              32 32  identity of the span
 *         80 32  engine fingerprint               64     body, see kvtype.h
 *        112 32  attends to, see ident.h
 *        144 32  identity of the span
 *        176     zero up to 256
 *
 * INVARIANTS
 *   (1) Everything follows from (geometry, type, n_token): extent_plan_init() computes it all, and
 *       a file that says otherwise is damage.  So a reader that has those three from the catalog
 *       reads a strip without reading the head first.
 *   (2) A strip carries what it is (span, layer, page) under its own checksum: one read proves both
 *       that the bytes are whole and that they are the right ones.  A stale or misdirected block
 *       with a good checksum is found too.
 *   (3) Strips start at multiples of 64 from the extent's start, extents at multiples of 64 in
 *       their file.  O_DIRECT reads the aligned window around a strip (view.h); padding strips to
 *       4096 would have cost a fifth of a small model's cache.
 *   (4) Every byte of an extent is under one of its sums or is one: there are no dead bytes.
 *
 * Threads: extent_build_layer() may run in several threads for different layers or builders;
 * everything else on a builder from one thread.  Parsed extents are read-only.
 */
#ifndef CACHE_EXTENT_H
#define CACHE_EXTENT_H

#include "base/err.h"
#include "base/hash.h"
#include "cache/geom.h"
#include "cache/ident.h"
#include "cache/kvtype.h"

#include <stddef.h>
#include <stdint.h>

#define EXTENT_HEAD_BYTES 256u
#define STRIP_HEAD_BYTES  64u

/* Where everything lies in an extent: a function of geometry, type and n_token. */
struct extent_plan {
	struct kv_geom geom;
	enum kv_type type;		/* wanted; single pages may be q8 instead of q4 */
	uint32_t n_token;
	uint32_t n_page;
	uint32_t data_off;		/* of layer 0 */
	uint32_t first_bytes;		/* strip of page 0, head included */
	uint32_t full_bytes;		/* strips of full pages after the first */
	uint32_t last_bytes;		/* strip of the last page */
	uint64_t layer_bytes;		/* all strips of one layer */
	uint64_t bytes;			/* the whole extent */
};

/* ERR_INVALID: geometry, type or n_token (1..KV_MAX_SPAN) outside their limits. */
int extent_plan_init(struct extent_plan *p, const struct kv_geom *g, enum kv_type type,
		     uint32_t n_token, struct err *e);

/* Offset of a strip from the start of its extent, and its bytes (a multiple of 64, head included).
 * layer < n_far_layer, page < n_page. */
uint64_t extent_strip_off(const struct extent_plan *p, uint32_t layer, uint32_t page);
uint32_t extent_strip_bytes(const struct extent_plan *p, uint32_t page);
/* Layout of the strip's body (strip + STRIP_HEAD_BYTES). */
void extent_strip_layout(const struct extent_plan *p, uint32_t page, struct kv_layout *l);

/* ---- building: strips arrive by layer, in any order of layers ---- */

struct extent_desc {
	struct kv_geom geom;
	enum kv_type type;
	enum ident_mode mode;
	struct id engine;
	struct id attends;		/* zeros: nothing */
	const int32_t *token;		/* [n_token], copied */
	uint32_t n_token;
};

struct extent_build;

/* Computes identities and takes the memory of the whole extent (extent_plan.bytes). */
int extent_build_new(struct extent_build **out, const struct extent_desc *d, struct err *e);

/* Encode all pages of one far layer; k and v are f32 [n_token][n_head_kv][head_dim].  Once per
 * layer.  ERR_INVALID: values that cannot be stored (kv_encode), or a layer out of range or given
 * twice. */
int extent_build_layer(struct extent_build *b, uint32_t layer, const float *k, const float *v,
		       struct err *e);

/* Check that every layer came, fill in the head.  Then the image is ready to be appended.
 * ERR_INVALID: a layer is missing. */
int extent_build_seal(struct extent_build *b, struct err *e);

/* The image (valid after seal, borrowed until free), and what the catalog keeps about it. */
const void *extent_build_image(const struct extent_build *b, size_t *n);
const struct extent_plan *extent_build_plan(const struct extent_build *b);
struct id extent_build_span(const struct extent_build *b);
const struct id *extent_build_pages(const struct extent_build *b);	/* [n_page], borrowed */
void extent_build_free(struct extent_build *b);

/* ---- reading ---- */

/* A parsed extent; pointers go into the bytes given to extent_parse(). */
struct extent {
	struct extent_plan plan;
	enum ident_mode mode;
	struct id engine, attends, span;
	const struct id *page;		/* [n_page] */
	const int32_t *token;		/* [n_token] */
	const uint8_t *data;		/* the extent itself */
};

/* Check the head and tables of the extent at data: sum, limits, offsets (1), and that the page ids
 * are those of the tokens.  Strips are not touched.  n: bytes readable at data, which is 8-aligned.
 * ERR_CORRUPT: damage; ERR_NEWER: a later version. */
int extent_parse(struct extent *out, const void *data, size_t n, struct err *e);

/* The same for bytes that extent_parse() found good before: no check at all. */
void extent_parse_again(struct extent *out, const struct extent_plan *p, const void *data);

/* Check one strip: sum, and that it is this layer and page of this span (2).  strip has
 * extent_strip_bytes() bytes.  ERR_CORRUPT otherwise. */
int extent_check_strip(const struct extent_plan *p, const struct id *span, uint32_t layer,
		       uint32_t page, const void *strip, struct err *e);

/* Check every byte of a whole extent.  On ERR_CORRUPT *layer and *page (may be NULL) name the first
 * bad strip, or are UINT32_MAX where the head is bad. */
int extent_verify(const void *data, size_t n, uint32_t *layer, uint32_t *page, struct err *e);

#endif
