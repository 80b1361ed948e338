/* ingest/cut.h - a document's text to spans
 *
 * A span is what is encoded in one go, so cuts decide what an edit costs: they must depend on the
 * text near them and on nothing else.  Every possible cut has a rank: first the kind of place
 * (chapter, heading, paragraph after a blank line, dedent, line, sentence, word), then a hash of
 * the lines around it, which is as good as chance and the same for ever.
 *
 *   cut(a, b):  tokens in [a, b) <= max  ->  one span
 *               else split at the highest rank in [a + min, b - min] and cut both halves
 *
 * This is the recursion of a treap: where an edit does not touch the highest rank of a stretch, the
 * halves are the same halves, and only the stretch around the edit is cut anew; and chapters are
 * cut at before paragraphs are.  Cutting from the front, at the highest rank in [a + min, a + max],
 * finds its way back after an edit nearly as soon (README.md has the figures), but takes the best
 * place near the front of a stretch rather than the best one of the document.
 *
 * INVARIANTS
 *   (1) Spans follow each other without gap and overlap, from 0 to n.
 *   (2) Each has at most max tokens as weighed, and at least min, unless the document has less.
 *   (3) A span begins and ends at line ends; inside a line only when the line alone has more than
 *       min tokens.  Never inside a UTF-8 character.
 *   (4) The same text gives the same spans.  Symbols play no part: ctags may be missing.
 *   (5) Time n log n, memory 24 bytes a line, for any input.
 */
#ifndef INGEST_CUT_H
#define INGEST_CUT_H

#include "base/err.h"
#include "ingest/doc.h"

#include <stddef.h>
#include <stdint.h>

/* Tokens in text[0..n), a line or part of one with its line end.  Must be at most n (byte-level
 * BPE gives at most one token a byte) and depend on the bytes alone. */
typedef uint64_t cut_weigh_fn(void *ctx, const char *text, size_t n);

/* Weights are added up.  A span tokenised in one go has fewer tokens than the sum over its lines,
 * since tokens reach over line ends: by 1 % with Qwen 2.5's vocabulary, 8 % with SmolLM2's.  More
 * tokens than the sum are possible in theory and did not happen in 4,700 spans of real source.
 * Whoever has a hard limit leaves 1 in 64 below it and looks. */
struct cut_opt {
	uint32_t      min_tokens;	/* 0: max / 4 */
	uint32_t      max_tokens;	/* at least 3 * min and 16 */
	cut_weigh_fn *weigh;		/* NULL: an estimate by bytes, see cut_estimate */
	void         *ctx;
};

/* What an all-RoPE model's spans are cut to: 950 tokens on average over real source. */
#define CUT_MIN_TOKENS 512
#define CUT_MAX_TOKENS 1536

struct span {
	uint64_t at, end;	/* bytes [at, end) of the text */
	uint64_t tokens;	/* as weighed, a sum over lines */
};

/* A growable list.  Zero-initialise; free(s.span) in the end. */
struct spans {
	struct span *span;
	size_t       n, cap;
};

/* Append the spans of d->text; none for an empty text.  Chapter, page, heading and cell anchors of
 * d count as places to cut.  ERR_INVALID (limits), ERR_NOMEM; out is then as it was. */
int cut_document(const struct document *d, const struct cut_opt *opt, struct spans *out,
		 struct err *e);

/* Tokens in text[0..n) by a rule of thumb that needs no vocabulary: words of up to eight letters,
 * groups of up to three digits, single marks, runs of blanks. */
uint64_t cut_estimate(const char *text, size_t n);

#endif
