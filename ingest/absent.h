/* ingest/absent.h - names in a question that nothing in the library bears
 *
 * A model that is given four passages says something, whether they are about the question or not.  What
 * gives a question without an answer away is a name in it that no document has: somebody asks a library
 * about DKIM, or about XAUTOCLAIM2, and there is no such thing there.
 *
 * A NAME is a word with a digit, an underscore or a capital inside (MQTT, wal_checkpoint, JSON5), or, in an
 * English question, one that begins with a capital and not the sentence (Kerberos).  It is borne where it
 * stands as a word or as whole parts of an identifier, in any case of letters: WalCheckpoint in
 * sqlite3WalCheckpoint and in wal_checkpoint.  Other words prove nothing: people paraphrase.
 *
 * Measured on the tuning half of tests/eval: 23 of 28 questions without an answer have such a name, and 1 of
 * 141 with one.
 */
#ifndef INGEST_ABSENT_H
#define INGEST_ABSENT_H

#include "base/buf.h"
#include "base/err.h"
#include "cache/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The question's names, each ended by NUL, each once; returns how many.  out->failed: no memory. */
size_t absent_names(const char *question, size_t n, struct buf *out);

/* Does the text bear the name? */
bool absent_bears(const char *text, size_t n_text, const char *name, size_t n_name);

/* Those of the question's names that neither a document of these snapshots (none: any) nor the context
 * bears, each ended by NUL, *n_out of them.  A library so large that looking would take long is given the benefit
 * of the doubt. */
int absent_find(struct catalog *c, const char *question, size_t n, const char *context, size_t n_context,
		const int64_t *snapshot, size_t n_snapshot, struct buf *out, size_t *n_out, struct err *e);

#endif
