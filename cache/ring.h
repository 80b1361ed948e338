/* cache/ring.h - many reads in flight: io_uring where it is allowed, pread where it is not
 *
 * A ring owns one arena of memory.  The caller carves it, submits reads into it, and takes
 * completions in any order.  Reads that come back short are continued; the end of the file is an
 * error.  The arena is registered with the kernel as long as all rings of the process have at most
 * RING_ARENA_MAX registered (RLIMIT_MEMLOCK is commonly 8 MiB for all processes of a user); a
 * refusal is no error.
 *
 * Where io_uring_setup is refused (containers, seccomp, sysctl, FOLIO_NO_URING=1 in the
 * environment) the same calls run on pread: submit only queues, ring_wait reads.  Nothing else
 * changes.
 *
 * Threads: one thread per ring.
 */
#ifndef CACHE_RING_H
#define CACHE_RING_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_ARENA_MAX (4u << 20)
#define RING_DEPTH_MAX 256u

enum ring_kind {
	RING_URING,		/* io_uring, arena registered */
	RING_URING_PLAIN,	/* io_uring, arena not registered */
	RING_PREAD
};

struct ring;

/* depth: reads in flight at most, 1..RING_DEPTH_MAX.  arena: bytes, rounded up to 4096.
 * want_pread: do not try io_uring. */
int ring_new(struct ring **out, unsigned depth, size_t arena, bool want_pread, struct err *e);
void ring_free(struct ring *r);

enum ring_kind ring_kind(const struct ring *r);
const char *ring_kind_name(enum ring_kind k);
uint8_t *ring_arena(struct ring *r, size_t *n);	/* 4096-aligned */

/* Queue a read of n bytes (at most 1 GiB) at off of fd into arena + at.  tag comes back from
 * ring_wait.  ERR_FULL: depth reads are already in flight. */
int ring_read(struct ring *r, int fd, uint64_t off, size_t n, size_t at, uint64_t tag,
	      struct err *e);

/* Queue madvise(p, n, advice) as one of the reads in flight; the tag comes back too.  A refusal by
 * the kernel is no error: it was advice. */
int ring_madvise(struct ring *r, const void *p, size_t n, int advice, uint64_t tag, struct err *e);

/* Hand queued reads to the kernel without waiting. */
int ring_submit(struct ring *r, struct err *e);

/* Take one completion, waiting for it; submits first.  ERR_NOTFOUND: nothing is in flight.  When
 * the read itself failed *tag is set and the error is ERR_IO, or ERR_CORRUPT at the end of the
 * file. */
int ring_wait(struct ring *r, uint64_t *tag, struct err *e);

/* Reads queued or in flight. */
unsigned ring_busy(const struct ring *r);

#endif
