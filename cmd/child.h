/* cmd/child.h - run a helper program and keep the beginning of what it says */
#ifndef CMD_CHILD_H
#define CMD_CHILD_H

#include "base/buf.h"
#include "base/err.h"

/* Run argv[0] (found in PATH) with stdin from /dev/null; stdout goes to out (at most 64 KiB; NULL:
 * to our stderr), stderr to out as well when merge, else to our stderr.  Returns 0 and the exit
 * status in *status (128 + signal when killed).  ERR_NOTFOUND: no such program.  ERR_INTR: the user
 * asked to stop; the child got SIGTERM and is gone. */
int child_run(char *const argv[], struct buf *out, bool merge, int *status, struct err *e);

#endif
