/* ingest/diff_words.h - a model words the changes: one sentence a hunk, one about the whole
 *
 * Both versions of a file become documents of the library (the same text is the same document), so
 * their spans are cut, encoded once and kept as for any question.  For each chosen hunk the model
 * attends to
 *
 *     preamble | the old span around it, when lines went | the new span around it | its lines | the request
 *
 * where the spans come out of the cache.  What it writes is trimmed and checked against the hunk
 * (diff_check.h); a sentence that does not hold is cut and counted.  Models with near layers get
 * the lines alone: their spans cannot be laid out (compose.h).
 *
 * Left out, with a reason in `unsaid`: deleted files, files without lines, lists of data, files that look
 * like they hold a secret, files beyond DIFF_WORDS_FILE bytes.
 */
#ifndef INGEST_DIFF_WORDS_H
#define INGEST_DIFF_WORDS_H

#include "ingest/diff.h"
#include "ingest/pages.h"

enum { DIFF_WORDS_FILE = 1 << 20 };

struct diff_words_opts {
	size_t per_file;	/* sentences of one file at most */
	/* Hunks done, of how many; may be NULL. */
	void (*on_progress)(void *ctx, uint64_t done, uint64_t total, const char *path);
	/* A sentence was cut, and by which rule of diff_check.h; may be NULL. */
	void (*on_cut)(void *ctx, const char *path, const char *text, const char *why);
	void  *ctx;
};

/* Add sentences to a report; files with `unsaid` are passed over.  ERR_INTR: what was done stays. */
int diff_words(struct diff_report *r, struct pages *p, struct catalog *c, struct encoder *enc,
	       const struct diff_words_opts *o, struct err *e);

#endif
