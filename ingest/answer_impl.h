/* ingest/answer_impl.h - one answer under way, shared by the files that make it; nobody else includes it
 *
 *   answer.c        the order of things, and what is released
 *   answer_spans.c  which spans, and where they come from
 *   layout.c        pages into a sequence, names and question between them
 *   decode.c        the model writes; sentences are cited as they end
 *   answer_far.c    instead of layout.c where far layers are NoPE: everything is mounted
 *
 * A sequence (kv) with all that stands before the answer, logits of its last token, and a trace over
 * it are what decode.c needs; how they came about is layout.c's.
 */
#ifndef INGEST_ANSWER_IMPL_H
#define INGEST_ANSWER_IMPL_H

#include "engine/compose.h"
#include "engine/sample.h"
#include "engine/trace.h"
#include "ingest/answer.h"
#include "ingest/cite.h"
#include "ingest/guess.h"
#include "ingest/talk.h"

#define ANSWER_TOKENS 256	/* unless max_tokens says otherwise */

struct answer_far;

struct run {
	struct pages   *p;
	struct catalog *c;
	struct encoder *enc;
	const struct answer_opts *o;
	struct answer  *out;
	double          start;		/* clock_now() when it was asked */
	struct view    *view;
	struct compose *comp;
	struct kv      *kv;		/* of comp; borrowed */
	const struct far_source *source;	/* more keys for the far layers; NULL: all are in kv */
	struct trace   *trace;
	struct cite    *cite;
	struct sampler *sampler;
	float          *logits;		/* [GUESS_ROWS][n_vocab]; row 0: of the last token in kv */
	struct tok_ids  prompt;		/* what is asked: context, question, markers */
	struct tok_ids  said;		/* the answer's tokens */
	struct guess    guess;
	struct answer_far *far;		/* answer_far.c; NULL: laid out */
};

/* answer_spans.c.  Keep the first n spans. */
void answer_keep_spans(struct answer *a, size_t n);
/* Path, source and lines of a span: the first snapshot asked that holds its document. */
int answer_locate(struct catalog *c, const int64_t *snapshot, size_t n, struct answer_span *s, struct err *e);
/* Files and tokens that are asked: n_file, total, total_estimated. */
int answer_count(struct pages *p, struct catalog *c, const struct answer_opts *o, struct answer *out, struct err *e);

/* layout.c.  Tokens of what is asked, into prompt. */
int layout_prompt(struct run *r, struct err *e);
/* Leave out the last spans where the choice is ours; ERR_BUDGET: more than the model was trained to
 * read. */
int layout_check_room(struct run *r, struct err *e);
/* Encode those of the answer's spans that have no pages yet. */
int layout_encode(struct run *r, struct err *e);
/* Open comp, kv, trace, cite, and lay everything out: row 0 of logits is then that of the answer's first
 * token. */
int layout_open(struct run *r, struct err *e);

/* answer_far.c.  While a library is not encoded whole, encode what full text ranks first, so that it can be
 * asked at once; afterwards full text is not asked. */
int answer_far_ready(struct run *r, struct err *e);
/* Mount all pages of the documents asked and put the question: kv, source, trace, cite and
 * logits are then as after layout_open.  kv stays NULL when nothing is encoded. */
int answer_far_open(struct run *r, struct err *e);
void answer_far_free(struct run *r);
/* After each pass: the spans it looked at become the answer's, and what they drew is traced. */
int answer_far_look(struct run *r, struct err *e);

/* decode.c.  Write the answer from logits on.  Ends early, without an error, when the user asks. */
int decode_answer(struct run *r, struct err *e);

#endif
