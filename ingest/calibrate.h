/* ingest/calibrate.h - which heads of a model point at the passage that answers
 *
 * Questions are made from text that explains itself: a window of some 1,200 bytes that holds a comment or a
 * docstring gives the comment's first sentence as question, and itself, without that comment, as the
 * passage to be found among all windows.  Every head scores every window (headscore.h); those whose ranking
 * is best over half of the questions are kept, with the weight of full text that goes best with them; the
 * other half tells what that is worth.  The same texts and seed give the same heads.
 *
 * Threads: one.
 */
#ifndef INGEST_CALIBRATE_H
#define INGEST_CALIBRATE_H

#include "base/err.h"
#include "engine/encode.h"
#include "engine/heads.h"

#include <stddef.h>
#include <stdint.h>

/* ---- windows (calibrate_text.c) ---- */

struct cal_window {
	char    *text, *question;
	size_t   n_text, n_question;
	uint64_t hash;			/* of seed, name and place */
};

struct cal_windows {
	uint64_t seed;
	size_t   max;			/* kept: those with the smallest hashes */
	struct cal_window *v;
	size_t   n, cap;
};

/* Add what a text has, at most four windows.  Zero-initialise but for seed and max. */
int cal_windows_add(struct cal_windows *w, const char *name, const char *text, size_t n, struct err *e);
/* In order of hash, max of them at most. */
void cal_windows_done(struct cal_windows *w);
void cal_windows_release(struct cal_windows *w);

/* ---- heads ---- */

enum { CAL_AT = 3 };
extern const unsigned cal_at[CAL_AT];	/* 1, 4, 8 */

struct cal_recall {
	size_t n;			/* questions */
	double text[CAL_AT], heads[CAL_AT], both[CAL_AT];
};

struct cal_result {
	struct heads heads;		/* heads_release() it */
	struct cal_recall find, test;
	size_t n_window;
	uint64_t n_token;		/* of the windows */
	bool   better;			/* in both halves heads and text rank better than text alone (mean 1 / rank) */
};

typedef void cal_fn(void *ctx, uint64_t done, uint64_t total);	/* tokens */

#define CAL_MIN_WINDOWS 16

/* max_head: keep so many at most.  ERR_INVALID: fewer than CAL_MIN_WINDOWS windows, or a model for which
 * heads_possible() does not hold.  ERR_INTR. */
int calibrate(struct encoder *enc, const struct cal_windows *w, uint32_t max_head, cal_fn *fn, void *ctx,
	      struct cal_result *out, struct err *e);

#endif
