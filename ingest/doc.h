/* ingest/doc.h - a document: text as the model and the user see it, and what its parts are called
 *
 * Whatever a file was, a document is well-formed UTF-8 without NUL and without a byte-order mark.
 * A line ends in "\n", as `sed -n` counts: a lone "\r" ends no line, and the "\r" of a CRLF file
 * stays where it was, so that line numbers and bytes are those of the file after conversion to
 * UTF-8.  Text that was laid out anew (HTML, EPUB, DOCX, PDF, notebooks) has "\n" only; its lines
 * are the lines of the extracted text.
 *
 * Anchors say what begins at a byte: page 12, chapter "Rain", heading "Install", cell 3, function
 * "main".  They are sorted by offset; at one offset the outer one (chapter, page, cell, heading,
 * symbol) comes first.  An anchor reaches to the next one of its kind and of its level or above.
 *
 * Strings of anchors live in `names`, NUL-terminated, and are held by offset; 0 is "".
 *
 * PACKED FORM, as it crosses from a sandboxed child, little-endian:
 *
 *      0  8  "FOLIODOC"          32  4  kind            anchor, 32 bytes each, n_anchor of them:
 *      8  8  text bytes          36  4  zero               0  8  at     8  8  end
 *     16  8  names bytes         40 32  language          16  4  kind  20  4  number
 *     24  4  notes bytes         72 32  encoding          24  4  title 28  4  detail
 *     28  4  n_anchor           104     text, names, notes, anchors, each right after the last
 *
 * doc_unpack believes nothing: sizes add up to the whole, text is UTF-8, offsets are in range,
 * anchors are in order, strings end.
 */
#ifndef INGEST_DOC_H
#define INGEST_DOC_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum doc_kind {
	DOC_TEXT, DOC_CODE, DOC_MARKDOWN, DOC_HTML, DOC_PDF, DOC_EPUB, DOC_DOCX, DOC_NOTEBOOK
};
#define DOC_N_KIND (DOC_NOTEBOOK + 1)

enum anchor_kind {
	ANCHOR_CHAPTER,		/* number: from 1 in spine order; title */
	ANCHOR_PAGE,		/* number: as counted in the file, from 1 */
	ANCHOR_CELL,		/* number: from 1; title: "markdown", "code" or "raw" */
	ANCHOR_HEADING,		/* number: level 1 to 6; title; detail: slug, unique */
	ANCHOR_SYMBOL		/* title: name in its scope; detail: "function(int a,int b)" */
};
#define ANCHOR_N_KIND (ANCHOR_SYMBOL + 1)

struct anchor {
	uint64_t at;		/* byte offset in text; at most text.len */
	uint64_t end;		/* of a symbol: offset behind its last line; else 0 = unknown */
	uint32_t kind;		/* enum anchor_kind */
	uint32_t number;
	uint32_t title;		/* offsets into names */
	uint32_t detail;
};

/* Zero-initialise, fill, release. */
struct document {
	struct buf     text;
	struct buf     names;
	struct buf     notes;		/* a remark a line: what was converted or dropped */
	struct anchor *anchor;
	size_t         n_anchor, cap_anchor;
	enum doc_kind  kind;
	char           language[32];	/* "C", "Python"; "" where there is none */
	char           encoding[32];	/* of the bytes it came from: "UTF-8", "SHIFT_JIS" */
};

/* "text", "code", ... as in JSON; "page", "heading", ... */
const char *doc_kind_name(enum doc_kind kind);
const char *anchor_kind_name(enum anchor_kind kind);

/* What a library calls the format: the language of code in small letters ("c"), else the kind.  out or a
 * constant is returned. */
const char *doc_format(const struct document *d, char out[32]);

/* Borrowed until the document changes. */
const char *doc_name(const struct document *d, uint32_t at);

/* Add an anchor behind the others; title and detail may be NULL, at most 1,000 bytes of each are
 * kept.  Without memory text.failed is set, as an append to the text would. */
void doc_anchor(struct document *d, enum anchor_kind kind, uint32_t number, uint64_t at,
		const char *title, const char *detail);

/* Put anchors into the order above, and give every heading without one a slug: lower case,
 * letters and digits kept, blanks to "-", "-2" added to the second of its name. */
void doc_finish(struct document *d);

/* Add one remark; the same remark twice is kept once. */
void doc_note(struct document *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The anchor of this kind that byte `at` belongs to: the last one that begins at or before it
 * (and, for a symbol whose end is known, ends after it).  NULL when there is none. */
const struct anchor *doc_anchor_at(const struct document *d, enum anchor_kind kind, uint64_t at);

/* ERR_NOMEM.  out is appended to. */
int doc_pack(const struct document *d, struct buf *out, struct err *e);
/* d is zero-initialised before.  ERR_CORRUPT, ERR_NOMEM; d is then empty. */
int doc_unpack(struct document *d, const void *data, size_t n, struct err *e);

void doc_release(struct document *d);

#endif
