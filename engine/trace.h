/* engine/trace.h - where attention lands while text is written
 *
 * Watches a sequence's queries in some far layers and adds up, per own token of the sequence, the
 * softmax weight it received from all heads of those layers.  The prefix takes part in the softmax
 * and is left out of the sum, so the weights tell which share of attention fell on what.  A token's
 * own key takes no part.
 *
 * A pass only leaves its queries here; trace_take weighs them afterwards.  So drafts that did not hold
 * leave no mark, and a token weighs the same whether it came alone or behind others in one pass.
 */
#ifndef ENGINE_TRACE_H
#define ENGINE_TRACE_H

#include "base/err.h"
#include "engine/engine.h"

#include <stddef.h>

struct trace;

/* Watch n_layer far layers spread over the middle of the model.  kv is borrowed until trace_free. */
int trace_new(struct trace **out, struct engine *en, const struct kv *kv, size_t n_layer, struct err *e);
void trace_free(struct trace *t);

/* For fwd_item.tap. */
const struct query_tap *trace_tap(const struct trace *t);

/* Weigh token k, from 0, of the pass just made, whose keys kv still holds up to that token. */
void trace_take(struct trace *t, size_t k);

/* Weights gathered since the last reset, per own token [*n], summed over query tokens and averaged
 * over heads and layers.  Borrowed until the next forward pass. */
const double *trace_weights(const struct trace *t, size_t *n);
void trace_reset(struct trace *t);
/* Weight from elsewhere: attention that a far source (far.h) saw, for tokens numbered by the caller.  Such a
 * trace watches 0 layers. */
int trace_add(struct trace *t, size_t token, double weight, struct err *e);
/* A pass could not be traced for want of memory. */
bool trace_failed(const struct trace *t);

#endif
