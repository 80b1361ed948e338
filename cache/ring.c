#include "config.h"

#include "cache/ring.h"

#include "base/file.h"
#include "base/size.h"

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NO_FD (-1)
#define HUGE_PAGE (2ull << 20)

/* Bytes that all rings of this process have registered; see RING_ARENA_MAX. */
static _Atomic size_t registered;

/* One read or advice under way.  A free one is linked through next; in pread mode the queued ones
 * are, oldest first. */
struct op {
	int         fd;			/* NO_FD: advice */
	uint64_t    off;
	size_t      n, done, at;
	const void *p;			/* advice: where, n bytes */
	int         advice;
	uint64_t    tag;
	int         next;
};

struct ring {
	enum ring_kind  kind;
	unsigned        depth, busy;
	uint8_t        *arena;
	size_t          arena_n, mapped_n;	/* mapped_n: from arena on, huge pages' tail included */
	struct op      *op;		/* [depth] */
	int             free;
	int             first, last;	/* pread mode: the queue */
	bool            open;		/* u is set up */
	struct io_uring u;
};

/* ---- setting up ---- */

static bool refused_by_user(void)
{
	const char *v = getenv("FOLIO_NO_URING");

	return v && *v && strcmp(v, "0");
}

/* True when the kernel gave a ring; registering the arena is a bonus. */
static bool set_up(struct ring *r)
{
	struct iovec iov = { .iov_base = r->arena, .iov_len = r->arena_n };
	int rc = io_uring_queue_init(r->depth, &r->u, IORING_SETUP_COOP_TASKRUN);

	if (rc == -EINVAL)		/* before Linux 5.19 */
		rc = io_uring_queue_init(r->depth, &r->u, 0);
	if (rc < 0)
		return false;
	r->open = true;
	r->kind = RING_URING_PLAIN;
	if (atomic_fetch_add(&registered, r->arena_n) + r->arena_n <= RING_ARENA_MAX &&
	    !io_uring_register_buffers(&r->u, &iov, 1))
		r->kind = RING_URING;
	else
		atomic_fetch_sub(&registered, r->arena_n);
	return true;
}

/* Memory for the arena, in huge pages where it is large enough and the kernel gives them: an O_DIRECT
 * read of 512 KiB is then one piece to the disk, not 128, which doubled the rate of scans. */
static int map_arena(struct ring *r, struct err *e)
{
	uint64_t align = r->arena_n >= HUGE_PAGE ? HUGE_PAGE : 4096;
	size_t n = round_up(r->arena_n, align);
	uint8_t *p = mmap(NULL, n + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *from;

	if (p == MAP_FAILED)
		return err_nomem(e);
	from = (uint8_t *)round_up((uintptr_t)p, align);
	if (from > p)
		munmap(p, (size_t)(from - p));
	if (p + align > from)
		munmap(from + n, (size_t)(p + align - from));
	if (align == HUGE_PAGE)
		(void)madvise(from, n, MADV_HUGEPAGE);
	r->arena = from;
	r->mapped_n = n;
	return 0;
}

int ring_new(struct ring **out, unsigned depth, size_t arena, bool want_pread, struct err *e)
{
	struct ring *r;

	*out = NULL;
	if (depth < 1 || depth > RING_DEPTH_MAX || arena < 1 || arena > SIZE_MAX / 2)
		return err_set(e, ERR_INVALID, "a ring of depth %u with %zu bytes", depth, arena);
	r = calloc(1, sizeof(*r));
	if (!r || !(r->op = calloc(depth, sizeof(*r->op)))) {
		free(r);
		return err_nomem(e);
	}
	r->depth = depth;
	r->arena_n = round_up(arena, 4096);
	if (map_arena(r, e)) {
		free(r->op);
		free(r);
		return ERR_NOMEM;
	}
	for (unsigned i = 0; i < depth; i++)
		r->op[i].next = i + 1 < depth ? (int)i + 1 : -1;
	r->first = r->last = -1;
	if (want_pread || refused_by_user() || !set_up(r))
		r->kind = RING_PREAD;
	*out = r;
	return 0;
}

/* Reads in flight write into the arena: they are waited for before it goes away. */
void ring_free(struct ring *r)
{
	uint64_t tag;

	if (!r)
		return;
	while (r->open && r->busy) {
		unsigned was = r->busy;

		(void)ring_wait(r, &tag, NULL);
		if (r->busy == was)
			break;		/* the ring itself fails; leaving it cancels what is left */
	}
	if (r->open)
		io_uring_queue_exit(&r->u);
	if (r->kind == RING_URING)
		atomic_fetch_sub(&registered, r->arena_n);
	munmap(r->arena, r->mapped_n);
	free(r->op);
	free(r);
}

enum ring_kind ring_kind(const struct ring *r)
{
	return r->kind;
}

const char *ring_kind_name(enum ring_kind k)
{
	return k == RING_URING ? "io_uring, registered buffers" :
	       k == RING_URING_PLAIN ? "io_uring" : "pread";
}

uint8_t *ring_arena(struct ring *r, size_t *n)
{
	if (n)
		*n = r->arena_n;
	return r->arena;
}

unsigned ring_busy(const struct ring *r)
{
	return r->busy;
}

/* ---- queueing ---- */

/* An operation's entry for the kernel, for what is still to be read of it. */
static int prepare(struct ring *r, int i, struct err *e)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->u);
	struct op *o = &r->op[i];
	uint8_t *to = r->arena + o->at + o->done;

	if (!sqe) {
		int rc = io_uring_submit(&r->u);

		if (rc < 0 || !(sqe = io_uring_get_sqe(&r->u)))
			return err_set(e, ERR_IO, "cannot queue a read: %s",
				       rc < 0 ? strerror(-rc) : "no free entry");
	}
	if (o->fd == NO_FD)
		io_uring_prep_madvise(sqe, (void *)o->p, (off_t)o->n, o->advice);
	else if (r->kind == RING_URING)
		io_uring_prep_read_fixed(sqe, o->fd, to, (unsigned)(o->n - o->done),
					 o->off + o->done, 0);
	else
		io_uring_prep_read(sqe, o->fd, to, (unsigned)(o->n - o->done), o->off + o->done);
	io_uring_sqe_set_data64(sqe, (uint64_t)i);
	return 0;
}

static int add(struct ring *r, struct op o, struct err *e)
{
	int i = r->free, rc;

	if (r->busy == r->depth)
		return err_set(e, ERR_FULL, "%u reads are in flight already", r->depth);
	r->free = r->op[i].next;
	r->op[i] = o;
	r->op[i].next = -1;
	if (r->kind != RING_PREAD) {
		rc = prepare(r, i, e);
		if (rc) {
			r->op[i].next = r->free;
			r->free = i;
			return rc;
		}
	} else if (r->first < 0) {
		r->first = r->last = i;
	} else {
		r->op[r->last].next = i;
		r->last = i;
	}
	r->busy++;
	return 0;
}

int ring_read(struct ring *r, int fd, uint64_t off, size_t n, size_t at, uint64_t tag,
	      struct err *e)
{
	if (fd < 0 || n < 1 || n > 1u << 30 || at > r->arena_n || n > r->arena_n - at)
		return err_set(e, ERR_INVALID, "a read of %zu bytes to %zu in an arena of %zu", n,
			       at, r->arena_n);
	return add(r, (struct op){ .fd = fd, .off = off, .n = n, .at = at, .tag = tag }, e);
}

int ring_madvise(struct ring *r, const void *p, size_t n, int advice, uint64_t tag, struct err *e)
{
	return add(r, (struct op){ .fd = NO_FD, .p = p, .n = n, .advice = advice, .tag = tag }, e);
}

int ring_submit(struct ring *r, struct err *e)
{
	int rc;

	if (r->kind == RING_PREAD)
		return 0;
	do
		rc = io_uring_submit(&r->u);
	while (rc == -EINTR);
	/* Out of room for completions or memory just now: ring_wait submits again. */
	if (rc < 0 && rc != -EAGAIN && rc != -EBUSY)
		return err_set(e, ERR_IO, "cannot submit reads: %s", strerror(-rc));
	return 0;
}

/* ---- completing ---- */

static uint64_t retire(struct ring *r, int i)
{
	r->op[i].next = r->free;
	r->free = i;
	r->busy--;
	return r->op[i].tag;
}

static int pread_one(struct ring *r, uint64_t *tag, struct err *e)
{
	int i = r->first, rc = 0;
	struct op *o = &r->op[i];

	r->first = o->next;
	if (r->first < 0)
		r->last = -1;
	if (o->fd == NO_FD)
		(void)madvise((void *)o->p, o->n, o->advice);
	else
		rc = file_pread(o->fd, r->arena + o->at, o->n, o->off, "a segment", e);
	*tag = retire(r, i);
	return rc;
}

/* One completion; *i gets its operation. */
static int reap(struct ring *r, int *i, int *res, struct err *e)
{
	struct io_uring_cqe *cqe;
	int rc;

	while (io_uring_peek_cqe(&r->u, &cqe)) {
		rc = io_uring_submit_and_wait(&r->u, 1);
		if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
			return err_set(e, ERR_IO, "cannot wait for reads: %s", strerror(-rc));
	}
	*i = (int)io_uring_cqe_get_data64(cqe);
	*res = cqe->res;
	io_uring_cqe_seen(&r->u, cqe);
	return 0;
}

int ring_wait(struct ring *r, uint64_t *tag, struct err *e)
{
	int i = 0, res = 0, rc;

	*tag = 0;
	if (!r->busy)
		return err_set(e, ERR_NOTFOUND, "no read is in flight");
	if (r->kind == RING_PREAD)
		return pread_one(r, tag, e);
	for (;;) {
		struct op *o;

		rc = reap(r, &i, &res, e);
		if (rc)
			return rc;
		o = &r->op[i];
		if (o->fd != NO_FD && res > 0 && o->done + (size_t)res < o->n)
			o->done += (size_t)res;		/* short: ask for the rest */
		else if (o->fd == NO_FD || (res != -EINTR && res != -EAGAIN))
			break;
		rc = prepare(r, i, e);
		if (rc)
			break;
	}
	*tag = retire(r, i);
	if (rc || r->op[i].fd == NO_FD || res > 0)
		return rc;
	if (res == 0)
		return err_set(e, ERR_CORRUPT, "a segment ends at %llu, %zu bytes early",
			       (unsigned long long)(r->op[i].off + r->op[i].done),
			       r->op[i].n - r->op[i].done);
	return err_set(e, ERR_IO, "cannot read a segment at %llu: %s",
		       (unsigned long long)(r->op[i].off + r->op[i].done), strerror(-res));
}
