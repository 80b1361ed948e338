/* ingest/answer.h - one question answered from chosen spans of a library, with checked citations
 *
 *   choose spans (choose.h) -> encode those without pages -> lay them out (compose.h), the best last,
 *   each led by its path and lines -> the question -> the model writes -> cite
 *
 * CITATIONS.  A sentence is cited where the attention of its tokens landed (trace.h) and what it names
 * stands: every line of the attended spans has a score, the sum of the share of attention its tokens
 * drew, against the best line, and of the share of the sentence's words it holds.  The best run of lines is
 * cited, when it holds one of the words at all; else the sentence counts as unsupported and is marked
 * [?].  A citation quotes the stored text, whose checksum was checked when its span was placed.  Marks
 * that the model writes itself are not ours and cannot be taken for them (cite_defuse).
 *
 * NOT FOUND.  A question that names what no document bears (absent.h) is not put to the model; its spans are
 * then the nearest ones.  And an answer of which no sentence is supported is none: it stays in `unsupported`.
 *
 * That is for models whose far layers use RoPE (compose.h says why).  Where they are NoPE nothing is chosen
 * beforehand: every page of the documents asked is mounted (far.h), and the answer's spans are those that
 * drew attention.
 */
#ifndef INGEST_ANSWER_H
#define INGEST_ANSWER_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/plan.h"
#include "ingest/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct talk;

struct answer_span {
	struct cat_span span;
	char    *source, *snapshot, *path;	/* snapshot: hex of its hash */
	uint64_t first, last;			/* lines */
	double   score;
};

struct citation {
	int      n;			/* number in the text, from 1 */
	size_t   span;			/* index of the answer's spans */
	uint64_t first, last;		/* lines, both included */
	uint32_t page;			/* of a PDF; 0: none */
	char    *anchor;		/* symbol or heading; NULL: none */
	char    *quote;			/* the lines as stored, read against their checksum */
	char     sha256[65];		/* of the document */
	double   weight;		/* share of attention on those lines */
};

struct answer {
	struct buf text;		/* with [n] behind cited sentences; empty unless found */
	bool       found;
	bool       truncated;		/* max_tokens ended it */
	bool       by_attention;	/* the model's attention chose what it rests on; else full text did */
	bool       by_heads;		/* retrieval heads and full text chose the spans */
	bool       exact;		/* all tokens asked were attended to */
	double     mass;		/* by_attention: share of the softmax that was attended to */
	struct answer_span *span;
	size_t     n_span;
	struct citation *cite;
	size_t     n_cite;
	struct buf unsupported;		/* sentences without support, each ended by NUL */
	size_t     n_unsupported;
	struct buf absent;		/* names of the question that no document bears, each ended by NUL */
	size_t     n_absent;
	uint64_t   attended, total, encoded;	/* tokens: of spans laid out, of all documents asked, encoded
						 * for this question */
	bool       total_estimated;	/* some document was not cut into tokens yet */
	uint64_t   n_file;		/* in the documents asked */
	uint64_t   reused, fresh;	/* tokens whose K and V were read, and computed */
	uint64_t   drafted, held;	/* tokens guessed, and how many of them were right */
	double     t_choose, t_encode, t_prefill, t_first, t_total;	/* seconds */
};

struct answer_opts {
	const char    *question;
	size_t         n_question;
	const int64_t *snapshot;
	size_t         n_snapshot;
	const int64_t *document;	/* only these of them, sorted by id; NULL: all */
	size_t         n_document;
	const char    *context;		/* piped text, given to the model before the question; or NULL */
	size_t         n_context;
	size_t         n_span;		/* spans to lay out with ATTEND_AUTO; 0: 4 */
	int64_t        max_tokens;	/* of the answer; 0: 256 */
	double         temperature, top_p, min_p, repeat_penalty;
	uint64_t       seed;
	uint64_t       attend;		/* tokens of spans to lay out; iRoPE models: tokens to attend to per KV
					 * head and query token; or: */
#define ATTEND_AUTO 0			/* the n_span best, fewer where they do not fit; the usual number, all of a
					 * small library */
#define ATTEND_ALL  UINT64_MAX		/* every span of the documents asked */
	enum plan_law  law;		/* of attention's temperature; iRoPE models */
	const char    *also;		/* more words to choose spans by (the question before), or NULL */
	size_t         n_also;
	bool           no_encode;	/* ERR_MODEL rather than encode what has no pages */
	bool           no_guess;	/* draft no tokens: the same answer, slower (guess.h) */
	bool           anyway;		/* nothing decides that it was not found, see above */
	bool           strict;		/* sentences without support are left out */
	struct talk   *talk;		/* the session, or NULL: nothing is kept */
	/* All may be NULL. */
	void  *ctx;
	void (*on_text)(void *ctx, const char *text, size_t n);	/* as it is written */
	void (*on_cite)(void *ctx, const struct citation *ci);	/* a new one, valid during the call */
	pages_fn *on_encode;
};

/* ERR_INTR: the user stopped; *out holds what was written.  Release in every case. */
int answer_question(struct pages *p, struct catalog *c, struct encoder *enc, const struct answer_opts *o,
		    struct answer *out, struct err *e);
void answer_release(struct answer *a);

/* The spans alone, best first (`folio find`); same struct, no text. */
int answer_find(struct pages *p, struct catalog *c, const struct answer_opts *o, struct answer *out,
		struct err *e);
/* The same for models whose far layers are NoPE: attention to all mounted pages, fused with full text. */
int answer_find_far(struct pages *p, struct catalog *c, struct encoder *enc, const struct answer_opts *o,
		    struct answer *out, struct err *e);

#endif
