/* ingest/diff_symbols.h - symbols of both versions of a file against each other
 *
 * Symbols are those of ctags (symbols.h), by name in their scope and by kind.  What changed is read
 * off the signature and, for constants, off the source itself:
 *
 *   removed      no symbol of that name and kind is left
 *   signature    parameters or result differ
 *   default      only the defaults of parameters differ
 *   value        of a macro, constant, variable or enumerator: what stands behind its name
 *   moved        gone here, and the same name, kind and signature are new in another file
 *
 * "Public" follows the language: static and files that are no headers in C, a leading underscore in
 * Python, a small letter in Go, `pub` in Rust, `private` elsewhere.  Nothing in tests, examples
 * and documentation is public.
 */
#ifndef INGEST_DIFF_SYMBOLS_H
#define INGEST_DIFF_SYMBOLS_H

#include "ingest/diff.h"
#include "ingest/doc.h"

/* Files larger than this are left out, with a note. */
enum { DIFF_SYMBOLS_MAX = 4 << 20 };

/* Add what changed between two documents with their symbols; either may be NULL (file added or
 * deleted). */
int diff_symbols(struct diff_report *r, uint32_t file, const struct document *a, const struct document *b,
		 struct err *e);

/* When all files are done: removed and added ones that are the same become moved. */
void diff_symbols_moved(struct diff_report *r);

/* Is this the path of a test, an example, a benchmark or of documentation? */
bool diff_is_test(const char *path);

#endif
