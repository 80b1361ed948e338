/* engine/heads.h - the retrieval heads of a model, kept in a small readable file
 *
 * A few of a model's attention heads point at the passage that answers a question; which ones is found
 * by `folio model calibrate` and kept beside the model, as MODEL.gguf.heads:
 *
 *     folio heads 1
 *     model 3f6c...        64 hex digits: the weights they were found for (model_id)
 *     text 0.5             weight of full text's z-score beside theirs
 *     head 7 3             far layer and query head, a line each
 *
 * Empty lines and lines that begin with '#' are passed over.  The heads do not depend on how pages are
 * stored, so one list serves every KV type.
 *
 * Threads: pure functions.
 */
#ifndef ENGINE_HEADS_H
#define ENGINE_HEADS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "cache/spanidx.h"
#include "engine/model.h"

#include <stddef.h>
#include <stdint.h>

struct head {
	uint32_t far_layer;
	uint32_t head;			/* query head */
};

struct heads {
	struct id    model;
	double       text;		/* weight of full text */
	struct head *head;		/* [n] in order of layer and number: those of one pair together */
	uint32_t    *pair_of;		/* [n] whose keys it reads: index of pair */
	uint32_t     n;
	struct spanidx_pair *pair;	/* [n_pair] each once, in order of layer and KV head */
	uint32_t     n_pair;
};

/* Heads from a list, for plan p; fills the pairs.  ERR_INVALID: none, one twice, or one that the
 * model does not have.  Release in every case. */
int heads_set(struct heads *out, const struct plan *p, const struct head *head, uint32_t n, struct err *e);
void heads_release(struct heads *h);

/* Read the text of a file; name is for errors.  ERR_INVALID names the line.  ERR_NEWER: a later
 * version. */
int heads_parse(struct heads *out, const struct plan *p, const char *text, size_t n, const char *name,
		struct err *e);
void heads_print(const struct heads *h, struct buf *out);

/* Those of a model: from the file beside it, or else the ones this program knows its weights by.
 * ERR_NOTFOUND: none.  ERR_MISMATCH: the file was made for other weights. */
int heads_find(struct heads *out, const struct model *m, struct err *e);
/* "MODEL.gguf.heads" in fresh memory, NULL without memory. */
char *heads_path(const struct model *m);
/* Write that file.  ERR_IO. */
int heads_write(const struct heads *h, const struct model *m, struct err *e);

/* Can spans be chosen by such heads at all?  Far layers use RoPE, no layer is near, and keys are placed by
 * rotation alone. */
bool heads_possible(const struct plan *p);

/* Profiles that come with the program, each the text of a file; NULL at the end. */
extern const char *const heads_known[];

#endif
