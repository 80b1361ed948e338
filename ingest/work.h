/* ingest/work.h - threads that turn items into documents, with a bounded amount in flight
 *
 * One thread, the owner, walks, hands jobs in and takes them out when they are done, in any order;
 * the others read, extract and pack.  The owner never waits while there is something to take: when
 * there is no room for another job it takes a finished one first.  What is in flight is bounded by
 * bytes and by count, so memory does not depend on the size of the source.
 *
 * A job reads and extracts one file, or, behind the text stage, adds the symbols of a text that is
 * stored already.
 *
 * A job that fails costs itself: its state, why and reason say what became of it.  Only trouble of
 * our own (no memory) ends the run, as rc and e of the job.
 */
#ifndef INGEST_WORK_H
#define INGEST_WORK_H

#include "base/err.h"
#include "cache/catalog.h"
#include "ingest/doc.h"
#include "ingest/extract.h"
#include "ingest/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORK_BYTES = 64 << 20, WORK_JOBS = 256 };

/* Counts the tokens of a document; for a rehearsal. */
typedef int work_count_fn(void *ctx, const struct document *d, uint64_t *n, struct err *e);

struct work_opts {
	int         n_thread;		/* >= 1, beside the owner's */
	uint64_t    max_file;
	bool        allow_secrets;
	bool        rehearse;		/* keep no blob: count and forget */
	work_count_fn *count;		/* with rehearse; may be NULL.  Called in any thread */
	void       *count_ctx;
	struct extract_opt extract;
};

struct job {
	struct item    *it;		/* owned */
	struct buf      bytes;		/* content, when the walk had to read it itself */
	bool            has_bytes;
	bool            has_text;	/* doc is there already: only look for its symbols */

	/* Filled by the work. */
	struct document  doc;
	struct cat_anchor *anchor;	/* with has_text: doc.n_anchor of them, names in doc */
	struct cat_blob *blob;		/* NULL unless it->state is STATE_TAKE afterwards */
	uint8_t          sha256[32];	/* of the text */
	uint64_t         n_read, n_text, n_token;
	int64_t          document;	/* the owner's: where the text was put */
	struct cat_stat  st;		/* to be stored */
	int              rc;
	struct err       e;

	size_t      cost;
	struct job *next;
};

struct work;

/* Makes the extractors first: they fork. */
int work_new(struct work **out, const struct work_opts *o, struct err *e);
/* Jobs not taken are freed with it; running ones are waited for. */
void work_free(struct work *w);

/* it is copied.  NULL without memory. */
struct job *job_new(const struct item *it);
void job_free(struct job *j);

/* Can symbols be found at all: is there a ctags? */
bool work_has_symbols(const struct work *w);

bool work_room(struct work *w, const struct job *j);
void work_put(struct work *w, struct job *j);
size_t work_in_flight(struct work *w);
/* A finished job; NULL when there is none, after waiting wait_ms for one. */
struct job *work_take(struct work *w, int wait_ms);

/* What stat said, in the catalog's form.  Of a blob of a revision: its object name. */
struct cat_stat work_stat(const struct item *it, int64_t seen_ns);
int64_t work_now_ns(void);

#endif
