/* cmd/progress.h - how far, how fast, how long still
 *
 *   struct progress p;
 *   progress_start(&p, c, "encoding", PROGRESS_TOKENS, total);
 *   progress_set(&p, done, "src/wal.c");         as often as you like
 *   progress_end(&p);
 *
 * Nothing is shown for work under a second.  On a terminal: a bar, redrawn ten times a second at
 * most.  In a pipe: one plain line every ten seconds.  --progress=json: one object a second on
 * stderr; with --jsonl the same as events on stdout.  The rate is over the last few seconds, so the
 * estimate follows when the work changes pace.
 *
 * Threads: one at a time per struct; a worker that counts leaves the telling to one thread.
 */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ctx;

enum progress_unit { PROGRESS_BYTES, PROGRESS_TOKENS, PROGRESS_FILES, PROGRESS_STEPS };

struct progress {
	struct ctx *c;
	const char *phase;
	enum progress_unit unit;
	uint64_t total;			/* 0: not known */
	uint64_t done;
	double start, shown;		/* clock_now */
	double mark_at[2];		/* two moments a few seconds apart, for the rate */
	uint64_t mark_done[2];
	bool drawn;
};

void progress_start(struct progress *p, struct ctx *c, const char *phase, enum progress_unit unit,
		    uint64_t total);
/* The total became known, or changed. */
void progress_total(struct progress *p, uint64_t total);
/* done counts from 0 to total; item says what is being worked on and may be NULL. */
void progress_set(struct progress *p, uint64_t done, const char *item);
/* Take the bar away.  Safe to call twice. */
void progress_end(struct progress *p);

#endif
