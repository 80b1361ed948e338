/* base/err.h - the one error convention of this tree
 *
 * A function that can fail returns int: 0, or a negative ERR_* code.  The code is for the program
 * (what to do next); the message in struct err is for the person (what, where, why).  Such a
 * function takes `struct err *e` last; NULL means the caller does not want the message.  On success
 * *e is left alone, so calls chain with ||.
 *
 * Library code never prints and never exits.  cmd/ prints e->msg once, and maps e->code to the
 * exit codes of the manual (cmd/exit.h).  A hint, where there is one, says what to do about it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err_code {
	ERR_IO       = -1,	/* a system call failed; msg ends in strerror */
	ERR_NOMEM    = -2,
	ERR_INVALID  = -3,	/* the caller, or the user, asked for what cannot be */
	ERR_NOTFOUND = -4,	/* an expected outcome: callers test for it */
	ERR_CORRUPT  = -5,	/* bytes on disk contradict the format: damage */
	ERR_MISMATCH = -6,	/* well formed, but of another model or shape */
	ERR_FULL     = -7,	/* a capacity fixed at open is used up, or the disk is */
	ERR_MODEL    = -8,	/* a model file is missing, unreadable or not supported */
	ERR_BUSY     = -9,	/* another writer is at work */
	ERR_BUDGET   = -10,	/* over a limit the user can raise; nothing was started */
	ERR_NEWER    = -11,	/* format newer than this program */
	ERR_INTR     = -12,	/* the user interrupted; state is saved */
	ERR_NOLIB    = -13	/* no library where one was expected */
};

struct err {
	int  code;
	char msg[512];
	char hint[256];		/* what to do, or "" */
};

/* Fill *e (when not NULL), clear the hint, and return code, so that the failing line reads
 * return err_set(e, ERR_CORRUPT, "bad magic in '%s'", path); */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Add "what to do" to an error that is set.  Returns e's code, or code where e is NULL. */
int err_hint(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ERR_NOMEM with its usual message. */
int err_nomem(struct err *e);

#endif
