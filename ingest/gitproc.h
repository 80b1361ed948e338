/* ingest/gitproc.h - the `git` program, asked through pipes
 *
 * For repositories that libgit2 refuses.  The environment is cleaned of GIT_*, nothing may lock,
 * prompt, page, fetch or run a hook; stdin is the null device, stderr is kept for the message.
 */
#ifndef INGEST_GITPROC_H
#define INGEST_GITPROC_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

/* Run `git ARGS...` in dir and append its output; args ends with NULL.  ERR_NOTFOUND when it exits
 * with another status than 0, ERR_IO when it cannot be run, ERR_BUDGET beyond max bytes. */
int gitproc_read(const char *dir, const char *const *args, size_t max, struct buf *out,
		 struct err *e);

/* `git cat-file --batch-command` kept open: one request, one answer. */
struct gitproc;
int gitproc_start(struct gitproc **out, const char *dir, struct err *e);
void gitproc_stop(struct gitproc *g);

/* Append an object's bytes when its size is at most max and out is not NULL.  *size gets its size,
 * type its type.  ERR_NOTFOUND: no such object here.  ERR_BUDGET: larger than max. */
int gitproc_object(struct gitproc *g, const char *oid, size_t max, struct buf *out, uint64_t *size,
		   char type[16], struct err *e);

#endif
