/* ingest/symbols.h - symbols of a source file from universal-ctags
 *
 * One ctags runs for many files, in the sandbox, in its interactive mode: a line of JSON and the
 * bytes of a file go in, a line of JSON for each symbol and one that says "completed" come out.
 * It is started with the first file and anew after 64 MiB of source, after a crash, and after a
 * file that took longer than the wall clock allows.
 *
 * An anchor's title is the name behind its scope ("Library.open", "ns::f"); its detail is the kind,
 * the signature and the type where ctags knows them: "function(int a,int b) -> int".  Symbols whose
 * last line ctags does not tell end with the line they are on.
 */
#ifndef INGEST_SYMBOLS_H
#define INGEST_SYMBOLS_H

#include "base/err.h"
#include "ingest/doc.h"
#include "ingest/sandbox.h"

#include <stddef.h>

struct symbols;

/* What follows the program's name in argv, NULL at the end. */
extern const char *const symbols_args[5];

/* box is borrowed; job is ctags in it.  ERR_NOMEM. */
int symbols_new(struct symbols **out, struct sandbox *box, size_t job, unsigned wall_seconds,
		struct err *e);
/* NULL is fine. */
void symbols_free(struct symbols *s);

/* As extract_symbols in extract.h. */
int symbols_add(struct symbols *s, const char *name, struct document *d, struct err *e);

#endif
