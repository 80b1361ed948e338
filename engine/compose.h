/* engine/compose.h - chosen spans laid out before a question: for models whose far layers use RoPE
 *
 * A composition is a sequence on the preamble to which pieces are appended in order: plain tokens
 * (a span's source name, the question), fed through the model, and stored spans, whose keys are
 * rotated to the positions where they now lie and placed without computing anything again (reference
 * measurements: composing two to four well-chosen spans answers about as well as reading them in order;
 * consecutive positions, the best one last, the question right after).
 *
 * Only for plans without near layers (ERR_INVALID else): a near layer's K and V are not stored.
 */
#ifndef ENGINE_COMPOSE_H
#define ENGINE_COMPOSE_H

#include "base/err.h"
#include "cache/view.h"
#include "engine/encode.h"
#include "engine/turns.h"

#include <stdint.h>

struct compose;

/* An empty composition on enc's preamble.  Both stay borrowed. */
int compose_new(struct compose **out, struct encoder *enc, struct err *e);
void compose_free(struct compose *c);
struct kv *compose_kv(struct compose *c);

/* Place the stored span `extent` (canonical number) of the view.  ERR_CORRUPT: a strip is damaged;
 * the composition is then as before the call. */
int compose_span(struct compose *c, struct view *v, uint32_t extent, struct err *e);

/* Place all of a conversation's earlier turns, rotated to where they now lie. */
int compose_turns(struct compose *c, const struct turns *t, struct err *e);

/* Feed tokens; logits of the last one, or NULL.  What they leave behind goes to sink, too, when there
 * is one (turns_sink).  ERR_INTR between batches. */
int compose_tokens(struct compose *c, const int32_t *token, size_t n, float *logits, const struct far_sink *sink,
		   struct err *e);

/* Where the placed spans lie in the composition: own token numbers (from 0), in order. */
struct compose_place {
	uint32_t extent;
	int64_t  first;
	uint32_t n;
};
size_t compose_places(const struct compose *c, const struct compose_place **out);

#endif
