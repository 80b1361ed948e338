/* ingest/sandbox.h - run a parser where it can do no harm
 *
 *   caller ──socket──► helper ──fork──► child: limits, filter, one job, exit
 *      └── memfd in ────────────────────► │
 *      ◄── memfd out ──────────────────── ┘
 *
 * The helper is forked once, closes every descriptor but its socket, leaves the terminal and stays
 * single-threaded, so that forking a child per document is safe in a threaded program and costs
 * a fraction of a millisecond.  A child sees one document and dies: what a hostile file does to it
 * cannot reach the next file.
 *
 * A job is a function, or a program to exec.  Around both stand
 *   - no_new_privs and a seccomp allow-list: no socket, no process, no file opened for writing,
 *     no signal; a function may open no file at all; refused calls give an error
 *   - RLIMIT_CPU, RLIMIT_AS, RLIMIT_FSIZE (the output), RLIMIT_NOFILE, RLIMIT_CORE 0
 *   - a wall clock, kept by the helper
 *
 * A function's answer is framed, and nothing in the frame is believed:
 *
 *      0  8  "FOLIOANS"     16  8  body bytes          little-endian; the body follows and ends
 *      8  4  code           24 16  XXH3-128 of body    the file: the answer when code is 0, else
 *     12  4  zero                                      the message
 *
 * Where the kernel refuses seccomp nothing runs: jobs fail with ERR_NOTFOUND.
 *
 * Threads: one call at a time per sandbox.
 */
#ifndef INGEST_SANDBOX_H
#define INGEST_SANDBOX_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* in is [n] bytes, arg what the caller of sandbox_run gave.  Append the answer to out, return 0 or
 * an ERR_* with a message, which the caller of sandbox_run gets. */
typedef int sandbox_fn(const uint8_t *in, size_t n, const char *arg, struct buf *out,
		       struct err *e);

struct sandbox_job {
	const char        *name;	/* for messages: "html" */
	sandbox_fn        *fn;		/* or NULL and */
	const char *const *argv;	/* a program by absolute path: the document is stdin,
					   seekable, the answer stdout */
};

struct sandbox_limit {
	uint64_t memory;	/* bytes of address space on top of what the helper has */
	uint64_t output;	/* bytes */
	unsigned cpu_seconds;
	unsigned wall_seconds;
};

struct sandbox;

/* jobs[n_job] is copied, its strings and argv are borrowed until sandbox_free. */
int sandbox_new(struct sandbox **out, const struct sandbox_job *jobs, size_t n_job, struct err *e);

/* Run jobs[job] on in and append its answer to out.  arg is at most 200 bytes.
 *   ERR_CORRUPT  killed by a limit or a fault; msg says which: "html extractor stopped after 30 s
 *                of CPU", "... wanted more than 1024 MiB of memory", "... crashed (signal 11)"
 *   ERR_INTR     somebody asked to stop (base/stop.h): the child is killed
 *   a job's own error, with its message.  A program that exits with a status other than 0 is
 *   ERR_MISMATCH with its first line on stderr as message and *status (may be NULL) set. */
int sandbox_run(struct sandbox *s, size_t job, const char *arg, const void *in, size_t n,
		const struct sandbox_limit *lim, struct buf *out, int *status, struct err *e);

/* Start a program job that stays: *fd is a socket to its stdin and stdout, borrowed until
 * sandbox_stop.  One at a time per sandbox.  wall_seconds plays no part: whoever talks to it keeps
 * the clock.  ERR_INVALID when one runs already, ERR_IO. */
int sandbox_spawn(struct sandbox *s, size_t job, const struct sandbox_limit *lim, int *fd,
		  struct err *e);
/* End it, if there is one, by SIGKILL. */
void sandbox_stop(struct sandbox *s);

/* For allocators that cannot fail: ends a child so that the caller of sandbox_run reads that it
 * wanted too much memory.  Outside a child it aborts. */
_Noreturn void sandbox_out_of_memory(void);

/* NULL is fine. */
void sandbox_free(struct sandbox *s);

#endif
