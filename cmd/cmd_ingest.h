/* cmd/cmd_ingest.h - `folio ingest`: the run (cmd_ingest.c) and the questions before it (cmd_plan.c) */
#ifndef CMD_CMD_INGEST_H
#define CMD_CMD_INGEST_H

#include "cmd/opt.h"
#include "cmd/progress.h"
#include "cache/kvtype.h"
#include "ingest/pages.h"
#include "ingest/pipeline.h"

#include <stdbool.h>

struct ctx;

struct ingest_cmd_opts {
	struct strs glob;
	const char *name, *ref, *files_from, *explain;
	bool        null, no_ignore, hidden, submodules, no_archives, allow_secrets, rehash;
	bool        dry_run, tree, text_only;
	int         kv;
	uint64_t    max_filesize;
	int64_t     budget;
};
extern const struct opt ingest_cmd_opts[];

/* What was not taken and is a problem, for the end of the report. */
struct problems {
	struct buf text;	/* source, path, reason: each ended by NUL */
	size_t     n;
};

/* One source to be read. */
struct target {
	struct source_info info;
	struct ingest_opts o;
	struct ingest_result r;
	struct pages_result pages;
	bool   done;
};

/* What the parts of a run cost. */
enum ingest_stage { STAGE_TEXT, STAGE_TRIGRAM, STAGE_SYMBOLS, STAGE_PAGES };
#define N_STAGE (STAGE_PAGES + 1)
struct stage {
	double   seconds, cpu;		/* by the clock; of all processors */
	uint64_t n;			/* bytes of text, tokens */
};

struct ingest_run {
	struct ctx     *c;
	struct target  *v;
	size_t          n;
	struct problems problems;
	struct progress progress;
	struct stage    stage[N_STAGE];
	double          since, cpu_since;	/* when the stage at work began */
	bool            shown;		/* the progress of this phase is open */
	const char     *source;		/* the one at work */
};

/* From operands and options to sources.  Free with targets_release. */
int targets_make(struct ingest_run *u, int argc, char **argv, struct err *e);
void targets_release(struct ingest_run *u);

/* Callbacks of the pipeline; ctx is the struct ingest_run. */
void ingest_on_progress(void *ctx, const struct ingest_progress *p);
void ingest_on_item(void *ctx, const struct item *it, uint64_t n_text, uint64_t n_token, bool is_copy);
void ingest_end_progress(struct ingest_run *u);

struct jw;
void problems_json(const struct problems *p, struct jw *j);
/* The first few on stderr, and how many more there are. */
void problems_warn(struct ctx *c, const struct problems *p);

/* --dry-run and --budget: count first.  *over (may be NULL): tokens are over the budget.  Prints the
 * plan when print is set. */
int plan_run(struct ingest_run *u, bool print, uint64_t *n_token, struct err *e);
/* What --kv says. */
enum kv_type ingest_kv_type(const struct ingest_cmd_opts *o);

/* --explain */
int plan_explain(struct ingest_run *u, struct err *e);

#endif
