/* ingest/pages.h - documents of a library into pages of one model: the encode stage
 *
 *   cut     text -> spans (cut.h) -> tokens -> identities -> rows of the catalog     cheap
 *   encode  spans without pages -> encoder -> segment -> sync -> commit              the model's time
 *
 * The same two steps serve `ingest`, which encodes all documents of a snapshot, and `ask`, which
 * encodes the spans that rank best.  A span whose identity has pages already, from whatever document,
 * is never encoded again.
 *
 * COMMITS.  Pages become visible batch by batch, after their fdatasync; a batch is bounded by
 * PAGES_BATCH_SECONDS of work.  The writer's lock is held for the commit alone.
 *
 * Threads: one.  The encoder works on its own pool.
 */
#ifndef INGEST_PAGES_H
#define INGEST_PAGES_H

#include "base/err.h"
#include "cache/catalog.h"
#include "cache/library.h"
#include "engine/encode.h"

#include <stddef.h>
#include <stdint.h>

enum { PAGES_BATCH_SECONDS = 20 };

struct heads;
struct pages;

/* Borrow both until pages_close.  Puts the engine into the catalog when it is new, and the model's retrieval
 * heads (heads.h) when they are: pages encoded from now on come with their part of the span index.  A broken
 * profile is an error. */
int pages_open(struct pages **out, struct library *lib, struct encoder *enc, struct err *e);
void pages_close(struct pages *p);

/* The encoder's row in the catalog. */
int64_t pages_engine(const struct pages *p);
struct kv_store *pages_store(const struct pages *p);
struct encoder *pages_encoder(const struct pages *p);	/* borrowed */
/* NULL: none are known of this model.  Borrowed. */
const struct heads *pages_heads(const struct pages *p);
/* Make the parts of the span index that stored pages lack; nothing where all is there. */
int pages_index(struct pages *p, struct err *e);

/* Make sure that these documents have span rows; documents cut before cost one look-up. */
int pages_cut(struct pages *p, const int64_t *doc, size_t n, struct err *e);

struct pages_progress {
	uint64_t done, total;		/* tokens */
};
typedef void pages_fn(void *ctx, const struct pages_progress *pr);

/* Encode these spans (as cat_spans gave them); those with pages are passed over.  fn may be NULL.
 * *n_token (may be NULL) counts tokens encoded.  ERR_INTR: what was done is committed. */
int pages_encode(struct pages *p, const struct cat_span *span, size_t n, pages_fn *fn, void *ctx,
		 uint64_t *n_token, struct err *e);

/* Both for all documents of a snapshot that need it. */
struct pages_result {
	uint64_t n_document;		/* that were cut or encoded */
	uint64_t total;			/* tokens of the snapshot, each span once */
	uint64_t encoded;		/* of them, encoded by this call */
	double   seconds;
};
int pages_snapshot(struct pages *p, int64_t snapshot, pages_fn *fn, void *ctx, struct pages_result *out,
		   struct err *e);

/* Tokens of a span, freshly tokenised from the stored text: ids and, with off, the byte of the
 * document where each begins. */
int pages_tokens(struct pages *p, const struct cat_span *span, struct tok_ids *ids, struct tok_offs *off,
		 struct err *e);

#endif
