/* cmd/opt.h - one table per command: parsing, help, completions, configuration and the manual check
 *
 * A command declares a struct with one field per option and a table of `struct opt` that names the
 * fields.  From the table come: the parser below, `folio help CMD`, the completions, the keys of
 * folio-config(5), and tests/man_test.c, which fails when a manual page misses an option.
 *
 *   struct find_opts { int64_t k; struct strs only; };
 *   static const struct opt find_opts[] = {
 *       { "count", 'k', OPT_INT, OPT_AT(struct find_opts, k), "N", .help = "how many passages", .def = "5" },
 *       { "only", 0, OPT_LIST, OPT_AT(struct find_opts, only), "GLOB", .help = "only these paths" },
 *       OPT_END
 *   };
 *
 * A value comes from the command line, else from the environment (`env`), else from the
 * configuration (`key`), else from `def`.  What has none of them is: false, NULL, -1 (OPT_INT),
 * 0 (OPT_SIZE, OPT_ENUM), NaN (OPT_REAL), an empty list.
 *
 * Accepted: --name value, --name=value, -xvalue, -x value, clusters of flags (-qv), options after
 * operands, and `--`, after which everything is an operand.  Long names are not abbreviated: a
 * script that does would break when an option is added.  A mistyped one gets "did you mean".
 */
#ifndef CMD_OPT_H
#define CMD_OPT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_kind {
	OPT_NONE,	/* ends the table */
	OPT_FLAG,	/* bool */
	OPT_COUNT,	/* int, one more each time */
	OPT_STR,	/* const char * */
	OPT_OPTSTR,	/* const char *; --name alone gives "", a value needs '=' */
	OPT_LIST,	/* struct strs; each use adds one */
	OPT_INT,	/* int64_t >= 0 */
	OPT_SIZE,	/* uint64_t bytes; K, M, G, T are powers of 1024 */
	OPT_REAL,	/* double */
	OPT_ENUM	/* int: place of the word in arg, "auto|always|never" */
};

struct strs {
	const char **v;
	size_t       n;
};

struct opt {
	const char   *name;	/* without the dashes */
	char          letter;	/* 0: none */
	enum opt_kind kind;
	size_t        at;	/* of the field, OPT_AT */
	const char   *arg;	/* what the value is, "FILE"; words of OPT_ENUM; NULL for flags */
	const char   *help;	/* one sentence, lower case, no full stop */
	const char   *def;	/* built-in value, as one would type it */
	const char   *env;	/* environment variable */
	const char   *key;	/* configuration key */
	const char   *group;	/* heading in help; NULL: "Options" */
	bool          hidden;	/* not in help and completions */
};

#define OPT_AT(type, field) offsetof(type, field)
#define OPT_END { NULL, 0, OPT_NONE, 0, NULL, NULL, NULL, NULL, NULL, NULL, false }

struct ctx;

/* A command, or a group of them (sub). */
struct cmd {
	const char *name;	/* "ask"; in a group "get" */
	const char *args;	/* operands as in SYNOPSIS: "[DIR]" */
	const char *summary;	/* one line for the list of commands */
	const char *more;	/* paragraphs for `folio help CMD`; may be NULL */
	const char *group;	/* heading in `folio help` */
	const struct opt *opts;	/* NULL: none of its own */
	size_t opts_bytes;	/* of the struct they fill */
	int min_args, max_args;	/* operands; max_args -1: any number */
	/* Returns an exit code (cmd/exit.h).  argv: the operands, argc of them. */
	int (*run)(struct ctx *c, int argc, char **argv);
	const struct cmd *sub;	/* ends with a NULL name */
};

/* A place a value can come from when the command line is silent; NULL: nowhere. */
typedef const char *opt_lookup_fn(void *arg, const char *key);

/* Fill fields from env, configuration and defaults.  get may be NULL.  Words returned by get must
 * live as long as the struct.  ERR_INVALID names the variable or key with the bad value. */
int opt_defaults(const struct opt *t, void *out, opt_lookup_fn *get, void *get_arg, struct err *e);

/* Which option is it?  Long by name[0..n), short by letter; NULL when the table has none. */
const struct opt *opt_find(const struct opt *t, const char *name, size_t n);
const struct opt *opt_find_letter(const struct opt *t, char letter);

/* Parse argv[0..argc): options of either table (own first; each may be NULL) go into their structs,
 * operands are moved to the front of argv, *n_args of them.  With stop_at_first the first operand
 * ends parsing and *n_args counts it and everything after it.  ERR_INVALID with a hint. */
int opt_parse(const struct opt *own, void *own_out, const struct opt *global, void *global_out,
	      int argc, char **argv, bool stop_at_first, int *n_args, struct err *e);

/* Free what parsing and defaults allocated (lists). */
void opt_release(const struct opt *t, void *out);

/* The value an option has now, as one would type it, into out[n]; "" when it has none. */
void opt_show(const struct opt *o, const void *base, char *out, size_t n);

/* Whole-string number readers with the same rules as options; false on anything else. */
bool opt_read_int(const char *s, int64_t *out);
bool opt_read_size(const char *s, uint64_t *out);
bool opt_read_real(const char *s, double *out);

/* The word closest to a mistyped one, NULL when nothing is near enough. */
const char *suggest(const char *word, const char *const *words, size_t n);

#endif
