/* cmd/exit.h - exit codes, part of the contract with scripts
 *
 * Numbers never change their meaning.  A command returns one of these; most return fail(c, &e),
 * which prints the error and maps its code by exit_of().
 */
#ifndef CMD_EXIT_H
#define CMD_EXIT_H

enum exit_code {
	EXIT_DONE    = 0,
	EXIT_NO      = 1,	/* the answer is no: not found, no match, differences */
	EXIT_ERROR   = 2,	/* usage, any other error, disk full while writing */
	EXIT_SOME    = 3,	/* done, but some inputs were skipped */
	EXIT_NOLIB   = 10,
	EXIT_BUSY    = 11,	/* another writer is at work */
	EXIT_MODEL   = 12,	/* model missing, unreadable, or not the library's */
	EXIT_DAMAGE  = 13,
	EXIT_BUDGET  = 14,	/* over a limit, before work started */
	EXIT_NEWER   = 15,	/* format newer than this program */
	EXIT_INTR    = 130,	/* Ctrl-C, state saved */
	EXIT_TERM    = 143	/* SIGTERM, state saved */
};

/* The exit code of an ERR_* code of base/err.h. */
int exit_of(int err_code);

#endif
