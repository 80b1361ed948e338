/* ingest/format.h - the parsers behind extract.h, one per format
 *
 * Each takes the bytes of a file and appends to a document that is zero-initialised: text, anchors,
 * notes; kind, encoding and doc_finish are the caller's.  All believe nothing, recurse nowhere
 * without a limit, open no file, and may be called without a sandbox (fuzzers do), where a bomb
 * costs memory and time up to the limits below.
 *
 * Errors: ERR_CORRUPT with a reason ("no word/document.xml in it"), ERR_NOMEM.
 */
#ifndef INGEST_FORMAT_H
#define INGEST_FORMAT_H

#include "base/buf.h"
#include "base/err.h"
#include "ingest/doc.h"

#include <stddef.h>
#include <stdint.h>

/* What one container may unpack to, members read or not, and how many it may have. */
#define FORMAT_MAX_UNPACKED (256u << 20)
#define FORMAT_MAX_MEMBERS  20000u

typedef int format_fn(const uint8_t *in, size_t n, struct document *d, struct err *e);

/* Well-formed UTF-8 in; the text is the input, the headings are anchors. */
int format_markdown(const uint8_t *in, size_t n, struct document *d, struct err *e);

/* UTF-8 or anything encode.h knows; blocks become lines with one blank line between, table rows
 * lines with "\t" between cells, list items lines that begin with "- " or "1. ". */
int format_html(const uint8_t *in, size_t n, struct document *d, struct err *e);

/* The charset an HTML or XML file names for itself in its first 4 KiB, or false. */
int format_html_charset(const uint8_t *in, size_t n, char name[32]);
/* Its text as UTF-8, by that charset where it names one.  Errors of encode_from. */
struct encoding;
int format_decode(struct buf *out, struct encoding *enc, const void *in, size_t n, struct err *e);

int format_epub(const uint8_t *in, size_t n, struct document *d, struct err *e);
int format_docx(const uint8_t *in, size_t n, struct document *d, struct err *e);
int format_notebook(const uint8_t *in, size_t n, struct document *d, struct err *e);

/* pdftotext's output, pages ended by form feeds, to text and page anchors. */
int format_pdf_pages(const uint8_t *in, size_t n, struct document *d, struct err *e);

#endif
