/* engine/engine.h - a model ready to run: weights, kernels, threads
 *
 * Puts model, kernel set, pool and forward pass together, cuts work into batches, and names the whole
 * (fingerprint).  The tokenizer is separate (tok.h): logits need none.
 *
 * Threads: one caller at a time per engine.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "base/err.h"
#include "base/hash.h"
#include "engine/forward.h"
#include "engine/kv.h"
#include "engine/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;

struct engine_opts {
	int         n_thread;	/* 0: the processors this process may use */
	const char *kernels;	/* "auto" (or NULL), "ref", "avx2", "avx512" */
	size_t      n_batch;	/* tokens a pass; 0: ENGINE_BATCH */
};

#define ENGINE_BATCH 1024

/* ERR_MODEL for the file; ERR_INVALID for a kernel set that is unknown or not possible here.  The
 * reference kernels keep K and V in f32, the fast ones in f16. */
int engine_open(struct engine **out, const char *path, const struct engine_opts *o, struct err *e);
void engine_close(struct engine *en);

const struct plan *engine_plan(const struct engine *en);
const struct model *engine_model(const struct engine *en);
struct forward *engine_forward(struct engine *en);
const char *engine_kernels(const struct engine *en);
int engine_threads(const struct engine *en);

/* A new sequence, empty or standing on a prefix (see kv.h). */
int engine_seq(struct engine *en, const struct kv *prefix, struct kv **out, struct err *e);

/* Feed tokens to a sequence, in batches.  logits: of the last token [n_vocab], or, with all, of every
 * token [n][n_vocab]; NULL: none.  source may be NULL.  Stops between batches when the user
 * asked to (base/stop.h): ERR_INTR, the sequence then holds the whole batches before. */
int engine_feed(struct engine *en, struct kv *kv, const int32_t *token, size_t n, float *logits, bool all,
		const struct far_source *source, struct err *e);

#endif
