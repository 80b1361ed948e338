/* engine/turns.h - what was said in a conversation, as keys and values that move
 *
 * A turn's tokens (question, answer, the markers between) leave K and V of every far layer behind.
 * They are kept here in f16, keys before rotation, so that a later question, before which other
 * spans are laid out, places the same turns at other positions without computing anything again
 * (compose_turns).  Only for plans without near layers, like compose.h.
 *
 * ON DISK a session keeps them page by page as opaque bytes (cache/session.h):
 *
 *     for each far layer   K [n_token][n_head_kv][head_dim]   V [n_token][n_head_kv][head_dim]   f16
 *
 * The bytes are little-endian as the machine's; the session names the engine that made them.
 *
 * Threads: one.
 */
#ifndef ENGINE_TURNS_H
#define ENGINE_TURNS_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/forward.h"
#include "engine/plan.h"

#include <stddef.h>
#include <stdint.h>

struct turns;

/* p is borrowed until turns_free. */
int turns_new(struct turns **out, const struct plan *p, struct err *e);
void turns_free(struct turns *t);

/* Whole tokens held. */
size_t turns_count(const struct turns *t);
/* Forget tokens from n on, those of a pass that failed half-way included. */
void turns_truncate(struct turns *t, size_t n);

/* For fwd_item.sink: appends what a pass makes. */
const struct far_sink *turns_sink(struct turns *t);

/* Bytes of n tokens. */
size_t turns_bytes(const struct plan *p, size_t n);
/* Append tokens [first, first + n) in the form above to out. */
int turns_pack(const struct turns *t, size_t first, size_t n, struct buf *out, struct err *e);
/* Append n tokens that turns_pack wrote.  ERR_CORRUPT: not their length. */
int turns_unpack(struct turns *t, size_t n, const void *bytes, size_t n_bytes, struct err *e);

/* Rows [first, first + n) of a far layer in f32, keys not rotated: k, v [n][n_head_kv][head_dim]. */
void turns_rows(const struct turns *t, uint32_t far, size_t first, size_t n, float *k, float *v);

#endif
