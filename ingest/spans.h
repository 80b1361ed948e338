/* ingest/spans.h - what is left to encode, cut and tokenised ahead of whoever encodes it
 *
 *   catalog ──► text ──► cut ──► tokenise ──► batch ──► fn
 *   └──────── a thread of its own, one batch ahead ─┘   the caller's thread
 *
 * Goes through the documents of a snapshot that `engine` has not encoded completely in `mode`, each
 * once, in order of their first path, and hands them over in batches of whole documents, with all
 * their spans: encoded ones too, because a document's spans are put together (cat_put_spans) and
 * pages that exist are found by identity.  The text is read through a library of its own, so fn may
 * write to the caller's.
 *
 * Memory: two batches, a batch being batch_tokens and the last document beyond it.
 */
#ifndef INGEST_SPANS_H
#define INGEST_SPANS_H

#include "base/err.h"
#include "cache/catalog.h"
#include "engine/tok.h"

#include <stddef.h>
#include <stdint.h>

struct spans_opts {
	const struct tok *tok;
	uint32_t min_tokens, max_tokens;	/* of a span as cut.h weighs it; see there for hard limits */
	uint64_t batch_tokens;			/* 0: 64 Ki */
};

struct span_tokens {
	uint64_t       start, end;	/* bytes of the document's text */
	const int32_t *token;
	size_t         n_token;
};

struct doc_spans {
	int64_t     document;
	const char *path;		/* where the snapshot has it first */
	size_t      n_path;
	const struct span_tokens *span;
	size_t      n_span;		/* 0 for an empty text */
	uint64_t    n_token, n_byte;
};

/* How far the whole is, in bytes of text, the batch included. */
struct spans_progress {
	uint64_t bytes, total_bytes;
};

/* Everything is borrowed until fn returns.  Non-zero ends the run and is returned. */
typedef int spans_fn(void *ctx, const struct doc_spans *doc, size_t n, const struct spans_progress *p,
		     struct err *e);

/* lib_dir and lib_flags: for lib_open.  ERR_INTR: somebody asked to stop. */
int ingest_spans(const char *lib_dir, unsigned lib_flags, int64_t snapshot, int64_t engine,
		 enum cat_mode mode, const struct spans_opts *o, spans_fn *fn, void *ctx, struct err *e);

/* Cut and tokenise one document of the catalog: what ingest_spans does for each, for a question that
 * encodes on demand.  Zero-initialise *out, doc_tokens_release it. */
struct doc_tokens {
	struct doc_spans    doc;
	struct span_tokens *span;
	struct tok_ids      ids;
	struct buf          path;
};
int ingest_doc_spans(struct catalog *c, int64_t document, const struct spans_opts *o,
		     struct doc_tokens *out, struct err *e);
void doc_tokens_release(struct doc_tokens *d);

/* The same for a text that is in no library: how many tokens its spans have.  A cut_opt is made of
 * o as for all others, so a rehearsal and the run agree. */
struct document;
int ingest_count_tokens(const struct document *d, const struct spans_opts *o, uint64_t *n,
			struct err *e);

#endif
