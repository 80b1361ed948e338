/* ingest/eval_task.h - questions whose answers are planted in a text: what `folio eval` asks
 *
 * A needle is a line of its own between lines of real text.  A prompt is the beginning of a line, its
 * answer is how the line goes on; samples/train/tasks.py trains a model on the same forms.
 *
 *   single      maple_orbit_317 = 482917        "maple_orbit_317 ="  ->  "482917"
 *   long        a value of 24 digits
 *   multikey    single, with three more lines whose names differ from this one in a single place
 *   multiquery  four names, asked one after the other in one sequence; all must be right
 *   multivalue  four lines of one name with different values; the name is asked four times in one
 *               sequence, and all four values must come
 *   variable    x493017 = x120345, x120345 = x882210, x882210 = 170233: followed to the number; every
 *               line must be right
 *   hop         a chain of five h...: four lines, every one right
 *   round       four lines "maple_orbit round 3 = amber fox stone": which round decides
 *   frequent    many lines of one name; the value that comes most often (twice as often as the next)
 *
 * Everything follows from the seed and the parameters: the same on every machine.  Knows no files and no
 * models.
 */
#ifndef INGEST_EVAL_TASK_H
#define INGEST_EVAL_TASK_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum eval_task {
	EVAL_SINGLE, EVAL_LONG, EVAL_MULTIKEY, EVAL_MULTIQUERY, EVAL_MULTIVALUE, EVAL_VARIABLE, EVAL_HOP,
	EVAL_ROUND, EVAL_FREQUENT
};
#define EVAL_N_TASK (EVAL_FREQUENT + 1)
#define EVAL_MOST_TURN 4

const char *eval_task_name(enum eval_task t);
/* -1: none is called so. */
int eval_task_find(const char *name, size_t n);

struct eval_turn {
	char *prompt;		/* without the newline that parts it from the turn before */
	char *gold;		/* without leading space and last newline; lines of a chain are parted by '\n' */
};

struct eval_question {
	enum eval_task task;
	size_t n_turn;
	struct eval_turn turn[EVAL_MOST_TURN];
};

struct eval_set {
	struct eval_question *question;		/* [n] */
	size_t n;
	char **line;				/* [n_line] to plant, shuffled, each with its newline */
	size_t n_line;
};

/* n questions of each task that tasks has a bit for (1 << EVAL_...); frequent: at most four, each with
 * n_frequent lines.  No name and no node comes twice but where the task says so. */
int eval_set_make(struct eval_set *out, unsigned tasks, size_t n, size_t n_frequent, uint64_t seed, struct err *e);
void eval_set_release(struct eval_set *s);

/* Was it answered?  said: what the model wrote after each prompt, as gold is kept.  multivalue: the
 * values in any order, each once. */
bool eval_right(const struct eval_question *q, char *const said[EVAL_MOST_TURN]);

/* Random numbers of the generators: splitmix64. */
struct eval_rng {
	uint64_t state;
};
uint64_t eval_random(struct eval_rng *r, uint64_t below);

/* 95 % interval of a share, after Wilson; of = 0 gives 0 to 1. */
void eval_interval(size_t right, size_t of, double *low, double *high);

#endif
