/* cmd/ctx.h - what every command gets: the parsed line, the configuration, the ways to speak
 *
 * Answers and data go to stdout, everything else to stderr, through the functions below, so that -q,
 * --json and a closed pipe are handled in one place.  stdout is buffered; main() flushes it, and a
 * failure to write it (disk full) ends the program with 2 wherever it happens.
 */
#ifndef CMD_CTX_H
#define CMD_CTX_H

#include "base/err.h"
#include "cmd/exit.h"
#include "cmd/opt.h"
#include "cmd/term.h"

struct settings;

/* In the order of the words of --kernels. */
enum kernels_choice { KERNELS_AUTO, KERNELS_REF, KERNELS_AVX2, KERNELS_AVX512 };
enum progress_choice { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

/* The global options, in every command's table. */
struct globals {
	const char *library;		/* -L */
	const char *model;		/* -m */
	int64_t     threads;		/* -j; ctx_threads() resolves it */
	int         kernels;		/* enum kernels_choice */
	bool        quiet;
	int         verbose;
	bool        json, jsonl;
	int         color;		/* enum color_choice of term.h */
	int         progress;		/* enum progress_choice */
	bool        no_pager;
	bool        yes;
	bool        trust_library;
	const char *config;
	bool        no_config;
	bool        help, version;
};

struct ctx {
	const struct cmd *cmd;		/* the command that runs */
	char              name[64];	/* in words: "model get" */
	void             *opts;		/* the command's own options, struct NAME_opts */
	struct globals    g;
	struct settings  *settings;	/* NULL with --no-config */
	struct term       out, err;	/* stdout and stderr */
};

extern const struct opt global_opts[];
/* Every command, in the order of `folio help`; ends with a NULL name. */
extern const struct cmd commands[];

/* Print an error (stderr, or folio.error/1 on stdout with --json and --jsonl) and return its exit
 * code.  Every command ends with this or with a code of its own. */
int fail(struct ctx *c, const struct err *e);
/* The same for an error made on the spot. */
int fail_with(struct ctx *c, int err_code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* "folio: warning: ..." on stderr; silent with -q.  Nothing that changes a result is only warned. */
void warn(struct ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A remark on stderr; silent with -q, --json and --jsonl. */
void note(struct ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Shown with -v. */
void detail(struct ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Threads to use: -j, else the cores this process may run on. */
int ctx_threads(const struct ctx *c);
/* The word given to --kernels. */
const char *ctx_kernels(const struct ctx *c);

/* Ask a yes/no question.  -y answers yes; without a terminal on stdin, or with -q, the answer is no
 * and the caller says which option to give. */
bool confirm(struct ctx *c, const char *question);

/* Send the rest of stdout through $FOLIO_PAGER, $PAGER or less, when stdout is a terminal and
 * --no-pager was not given.  Call once, before the first byte; main() waits for it. */
void pager_start(struct ctx *c);
void pager_wait(void);

/* help.c: what `folio help` prints, to f. */
struct buf;
void help_overview(struct buf *out, const struct term *t);
void help_command(struct buf *out, const struct term *t, const struct cmd *cmd, const char *name);
/* "folio find [-k N] [options] QUERY" */
void help_usage(struct buf *out, const struct cmd *cmd, const char *name);
/* Find a command by words ("model", "get"); *used words were its name.  name gets them joined.
 * ERR_INVALID with "did you mean" when the next word is no command. */
int cmd_lookup(const struct cmd **out, char **words, int n, int *used, char *name, size_t name_n,
	     struct err *e);

#endif
