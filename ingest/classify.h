/* ingest/classify.h - files that are known by name only, and files that must not be kept
 *
 * A token spent on a lock file is a token not spent on the code: lock files, minified and generated
 * files and big data are listed, not read, unless the user asked for that very file (item.wanted).
 * Likely secrets are left out unless allowed, whoever asked.  The reason names the rule and the
 * line, never what stands there.
 *
 * Both look at an item in STATE_TAKE and change its state, why and reason, or leave it alone.
 * Binary content is the extractor's to find (NUL rule, extract.h); here only names that are never
 * text, so that their content need not be read.
 */
#ifndef INGEST_CLASSIFY_H
#define INGEST_CLASSIFY_H

#include "ingest/source.h"

/* By path and size. */
void classify_name(struct item *it);

/* By the text that was extracted.  Costs one pass at about memory speed. */
void classify_text(struct item *it, const char *text, size_t n, bool allow_secrets);

/* What secret is in the text: its kind ("a private key"), or NULL; *at gets its offset.  name is
 * the file's path: .env and the like are read as lists of settings. */
const char *secret_find(const char *name, const char *text, size_t n, size_t *at);

#endif
