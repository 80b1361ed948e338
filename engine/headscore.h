/* engine/headscore.h - how well spans answer questions, by the retrieval heads of a model
 *
 * The questions' tokens run through the layers up to the deepest head, against the preamble alone, at
 * one fixed position behind the longest span; a span's keys are rotated to the positions it was encoded
 * at.  For each head and each token of a question that holds a letter or a digit:
 *
 *     best page of the span = max over pages of  log sum over the page's tokens of exp(q . k)
 *
 * and a head's score is the mean over those tokens.  (Measured with the log-softmax over spans of the same; that
 * takes from all spans' scores the same number, so no order and no z-score can tell.)
 *
 * Keys come from the span index, in int8 (cache/spanidx.h).
 *
 * Threads: headscore_new like its engine; headscore_part from any, each with a scratch of its own.
 */
#ifndef ENGINE_HEADSCORE_H
#define ENGINE_HEADSCORE_H

#include "base/err.h"
#include "cache/spanidx.h"
#include "engine/encode.h"
#include "engine/heads.h"

#include <stddef.h>

struct headscore;

struct headscore_text {
	const char *text;
	size_t      n;
};

/* A question about nothing, whose score is taken from others': what draws attention whatever is asked. */
extern const struct headscore_text headscore_neutral;

/* Run the questions.  enc and h are borrowed until headscore_free.  What is longer than a batch is cut
 * short.  ERR_INVALID: a model for which heads_possible() does not hold. */
int headscore_new(struct headscore **out, struct encoder *enc, const struct heads *h,
		  const struct headscore_text *text, size_t n_text, struct err *e);
void headscore_free(struct headscore *s);

/* Score one part, made for h->pair, into score [n_text][h->n].  A question without a letter has 0. */
int headscore_part(const struct headscore *s, const struct spanidx *part, float *score, struct err *e);

/* One page for many queries: keys code [n][head_dim] times step [n], rotated by cos_sin [n][n_rot] (NULL: not),
 * against q [n_row][head_dim]; lse [n_row].  n at most 64, head_dim at most 1024 and a multiple of 8. */
struct headpage {
	const int8_t   *code;
	const uint16_t *step;		/* f16 */
	uint32_t        n, head_dim, n_rot;
	bool            neox;
	const float    *cos_sin;
	const float    *q;
	size_t          n_row;
};
typedef void headpage_fn(const struct headpage *p, float *lse);
headpage_fn headpage_ref, headpage_avx2;
/* The fastest one here. */
headpage_fn *headpage_best(void);

#endif
