/* engine/encode.h - documents into pages: spans through the model once, far K and V kept
 *
 * An encoder is an engine with everything that fixes what a page means: tokenizer, preamble and span
 * recipe, KV type.  Its fingerprint names all of them; pages of another fingerprint are other pages.
 *
 * The preamble (chat markers, one instruction, the user's header) is encoded once when the encoder
 * opens.  Every span is encoded alone after it, at positions that start where it ends: it attends to
 * the preamble and itself, so a page depends on nothing else and composes in any order.
 *
 * Keys are kept before rotation (forward.h, far_sink), so stored keys carry no position.
 *
 * Threads: as engine.h.
 */
#ifndef ENGINE_ENCODE_H
#define ENGINE_ENCODE_H

#include "base/err.h"
#include "base/hash.h"
#include "cache/extent.h"
#include "engine/chat.h"
#include "engine/engine.h"
#include "engine/tok.h"

#include <stdint.h>

/* Raised whenever the same tokens would give other keys: recipe of preamble, spans or storage. */
#define ENCODE_RECIPE 1

struct encoder;

/* en and tok are borrowed until encoder_close.  ERR_MODEL: a model whose far layers are none. */
int encoder_open(struct encoder **out, struct engine *en, const struct tok *tok, enum kv_type type,
		 struct err *e);
void encoder_close(struct encoder *enc);

struct engine *encoder_engine(const struct encoder *enc);
const struct tok *encoder_tok(const struct encoder *enc);
const struct chat *encoder_chat(const struct encoder *enc);
const struct id *encoder_fingerprint(const struct encoder *enc);
/* What an isolated span attends to: the identity of the preamble's last page. */
const struct id *encoder_preamble_id(const struct encoder *enc);
/* The preamble's K and V: the prefix of every question.  Borrowed. */
const struct kv *encoder_preamble(const struct encoder *enc);
const struct kv_geom *encoder_geom(const struct encoder *enc);
enum kv_type encoder_type(const struct encoder *enc);

/* Limits of a span in tokens.  All-RoPE models were not trained for more than a few long spans, so
 * theirs are about 1,024; an iRoPE span fills what the preamble leaves of a chunk, 8,192 at most. */
uint32_t encoder_span_max(const struct encoder *enc);

struct encode_span {
	const int32_t *token;	/* [n], borrowed during the call */
	uint32_t       n;	/* 1 .. encoder_span_max */
	uint64_t       user;	/* the caller's own */
};

/* Receives each span's sealed extent as soon as its batch is done, in the order given.  The image is
 * borrowed until it returns.  Not 0: stop, returned as it is. */
typedef int encode_fn(void *ctx, const struct encode_span *span, const struct extent_build *built,
		      struct err *e);

/* Encode spans in batches of up to the engine's batch size.  Looks at base/stop.h between batches:
 * ERR_INTR, with the batches before delivered. */
int encoder_run(struct encoder *enc, const struct encode_span *span, size_t n, encode_fn *fn, void *ctx,
		struct err *e);

#endif
