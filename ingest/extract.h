/* ingest/extract.h - a file's bytes to a document
 *
 * What a file is follows from its first bytes and its name (extract_detect).  Plain text and code
 * are read here; Markdown, HTML, EPUB, DOCX, PDF and notebooks go through a sandboxed child
 * (sandbox.h), so that a crash, a loop or a bomb costs one file and gets a reason.  For Markdown
 * that reason is a note, since its text is the file's own and only the headings are lost.
 *
 *   kind       text                                        anchors
 *   text       the file, in UTF-8                          none
 *   code       the file, in UTF-8                          symbols (extract_symbols)
 *   markdown   the file, in UTF-8                          headings
 *   html       blocks as lines, table rows as lines        headings
 *   epub       the spine's files, in order                 chapters, headings
 *   docx       paragraphs, table rows, footnotes           headings
 *   pdf        what pdftotext gives, page after page       pages
 *   notebook   cells, text outputs                         cells, headings of Markdown cells
 *
 * Threads: one call at a time per extractor; any number of extractors.  extractor_new forks a small
 * helper: best called before threads are started and before large memory is mapped.
 */
#ifndef INGEST_EXTRACT_H
#define INGEST_EXTRACT_H

#include "base/err.h"
#include "ingest/doc.h"

#include <stddef.h>
#include <stdint.h>

struct extract_opt {		/* 0 is the default in brackets */
	uint64_t max_text;	/* bytes of text from one file that is laid out anew [256 MiB] */
	uint64_t memory;	/* bytes a child may map [1 GiB] */
	unsigned cpu_seconds;	/* of one child [30] */
	unsigned wall_seconds;	/* of one child [60] */
};

struct extractor;

/* opt may be NULL.  ERR_IO, ERR_NOMEM. */
int extractor_new(struct extractor **out, const struct extract_opt *opt, struct err *e);
/* NULL is fine. */
void extractor_free(struct extractor *x);

/* What these bytes are; name is a path or a member of an archive, only its last part counts.  The
 * first 64 KiB of the file are enough.  Binary files come out as DOC_TEXT: extract finds out. */
enum doc_kind extract_detect(const char *name, const void *bytes, size_t n);

/* The language of a source file by its name, else by its #! line; "" for prose and unknown. */
const char *extract_language(const char *name, const void *bytes, size_t n);

/* Fill out, which is zero-initialised before; doc_release it whatever happened.
 *   ERR_MISMATCH  no document: binary, an image, a container nobody reads; list it
 *   ERR_CORRUPT   damaged, encrypted, or it ran into a limit of the sandbox; skip it, with e->msg
 *   ERR_NOTFOUND  the program for this format is not installed, or the kernel has no seccomp to run
 *                 its parser in; skip it, with e->msg
 *   ERR_INTR      somebody asked to stop (base/stop.h); headings may be missing without it
 *   ERR_NOMEM, ERR_IO  our own trouble
 * e->msg is a reason without the file's name: "encrypted: a password is needed". */
int extract(struct extractor *x, const char *name, const void *bytes, size_t n,
	    struct document *out, struct err *e);

/* Add the symbols of a source file (kind DOC_CODE) as anchors, from universal-ctags.  name decides
 * the language, as in extract.  Where ctags is missing or does not know the language nothing is
 * added; when it crashes or takes longer than wall_seconds a note says so and the next call starts
 * it again.  Fails for ERR_NOMEM only.  A call costs about as much as reading the file five times:
 * it is apart from extract so that text can be committed first. */
int extract_symbols(struct extractor *x, const char *name, struct document *d, struct err *e);

/* Is the program there?  For `folio doctor`; the path is borrowed, NULL when missing. */
const char *extract_pdftotext(const struct extractor *x);
const char *extract_ctags(const struct extractor *x);

#endif
