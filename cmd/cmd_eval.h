/* cmd/cmd_eval.h - `folio eval`: the run (cmd_eval.c) and its tables (eval_show.c) */
#ifndef CMD_CMD_EVAL_H
#define CMD_CMD_EVAL_H

#include "cmd/opt.h"
#include "ingest/eval_hay.h"
#include "ingest/eval_run.h"

struct ctx;

struct eval_opts {
	const char *tasks, *lengths, *attend, *law, *keep;
	int64_t n, seed, batch;
	int     kv;
};
extern const struct opt eval_opts[];

enum { EVAL_MOST_WRONG = 3 };	/* examples kept of a cell */

/* What one task came to under one way of asking. */
struct eval_cell {
	size_t right, of, n_wrong;
	char  *wrong[EVAL_MOST_WRONG][3];	/* prompt, right answer, what was said, turns parted by " | " */
};

struct eval_way {
	enum far_mode mode;
	uint32_t      rerank;		/* select; 0: the usual number */
	enum plan_law law;
	struct eval_cell cell[EVAL_N_TASK];
	struct eval_stats stats;
};

/* One length. */
struct eval_length {
	uint64_t wanted, n_token;	/* n_token: mounted */
	struct eval_hay_result hay;
	double   encode_seconds;
	uint64_t encoded;
	struct eval_way *way;		/* [n_way] of the report */
};

struct eval_report {
	char    model[96];
	const char *kernels, *kv;
	unsigned tasks;
	uint64_t seed;
	struct eval_length *length;	/* [n] */
	size_t n, n_way;
};

const char *eval_way_name(const struct eval_way *w, char out[64]);
void eval_markdown(struct ctx *c, const struct eval_report *r);
void eval_json(const struct eval_report *r);

#endif
