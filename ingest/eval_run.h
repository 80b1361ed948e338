/* ingest/eval_run.h - the questions of a set, put to the mounted pages of an iRoPE model, greedily
 *
 * As `folio ask` puts a question to a model without chat template: the prompt continues after the
 * preamble in a sequence of its own, and every far layer attends to the mounted pages (engine/far.h).
 * Questions are answered side by side: one pass takes a token of each, and in exact one scan serves all.
 */
#ifndef INGEST_EVAL_RUN_H
#define INGEST_EVAL_RUN_H

#include "base/err.h"
#include "cache/view.h"
#include "engine/encode.h"
#include "engine/far.h"
#include "ingest/eval_task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct eval_run {
	struct encoder    *enc;
	struct view       *view;
	struct far_opts    far;
	size_t n_batch;			/* questions side by side; 0: 64 */
	/* May be NULL. */
	void  *ctx;
	void (*on_step)(void *ctx, size_t done, size_t n);
};

struct eval_answer {
	char  *said[EVAL_MOST_TURN];
	bool   right;
};

struct eval_stats {
	double seconds, cpu;
	uint64_t n_pass, n_token;	/* forward passes; tokens written */
	struct far_stats far;
};

/* answer [set->n]; free with eval_answers_release in every case.  ERR_INTR: the user stopped. */
int eval_run(const struct eval_run *r, const struct eval_set *set, struct eval_answer *answer, struct eval_stats *st,
	     struct err *e);
void eval_answers_release(struct eval_answer *answer, size_t n);

#endif
