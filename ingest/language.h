/* ingest/language.h - what a file's name says: its last part, its ending
 *
 * The table of languages is extract_language in extract.h.
 */
#ifndef INGEST_LANGUAGE_H
#define INGEST_LANGUAGE_H

#include <stdbool.h>

/* The last part of a path; borrowed from it. */
const char *name_tail(const char *name);

/* Does the name end in "." ext, in any case? */
bool name_ends(const char *name, const char *ext);

/* The language that is called so in any case of its letters, NULL when none is. */
const char *language_named(const char *name);

/* An ending that files of this language have ("py"), "" when there is none. */
const char *language_ending(const char *language);

#endif
