#include "config.h"

#include "cache/segment.h"
#include "cache/segment_impl.h"

#include "base/file.h"
#include "base/size.h"
#include "cache/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = "FOLIOSEG";

_Static_assert(sizeof(struct segment_head) == SEGMENT_HEAD_BYTES, "the head is one block");

struct segment {
	int               fd;
	char             *path;
	enum segment_kind kind;
	uint64_t          capacity;
	_Atomic uint64_t  bytes;	/* of the file when last asked; it only grows */
	const uint8_t    *map;
	struct guard     *guard;
	pthread_mutex_t   lock;		/* for what is opened on first use */
	int               direct;	/* -2: not tried yet */
	uint32_t          dio_align;
};

/* ---- head ---- */

/* The magic and the capacity are under the sum too, by standing in front of what it covers: the sum
 * runs over the whole block with its own field as zeros. */
static struct sum128 head_sum(const struct segment_head *h)
{
	struct segment_head copy = *h;

	copy.sum = (struct sum128){ 0, 0 };
	return sum128_of(&copy, sizeof(copy));
}

void segment_head_fill(struct segment_head *h, enum segment_kind kind, uint64_t capacity)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, MAGIC, sizeof(MAGIC));
	h->capacity = capacity;
	h->version = SEGMENT_VERSION;
	h->kind = kind;
	h->sum = head_sum(h);
}

int segment_head_check(const struct segment_head *h, enum segment_kind kind, const char *path,
		       struct err *e)
{
	if (memcmp(h->magic, MAGIC, sizeof(MAGIC)))
		return err_set(e, ERR_CORRUPT, "'%s' is not a segment: bad magic", path);
	if (!sum128_eq(h->sum, head_sum(h)))
		return err_set(e, ERR_CORRUPT, "the head of '%s' is damaged: bad checksum", path);
	if (h->version > SEGMENT_VERSION)
		return err_set(e, ERR_NEWER, "'%s' has format version %u, this program knows %u",
			       path, h->version, SEGMENT_VERSION);
	if (h->version != SEGMENT_VERSION || h->kind != (uint32_t)kind)
		return err_set(e, ERR_CORRUPT, "'%s' is a segment of kind %u, version %u, not %d",
			       path, h->kind, h->version, (int)kind);
	if (h->capacity < SEGMENT_HEAD_BYTES || h->capacity > SEGMENT_MAX_CAPACITY ||
	    h->capacity % SEGMENT_ALIGN)
		return err_set(e, ERR_CORRUPT, "'%s' claims a capacity of %llu bytes", path,
			       (unsigned long long)h->capacity);
	return 0;
}

/* ---- open and close ---- */

/* Open, and once more with the soft limit of open files raised to the hard one when that is what
 * stands in the way: a large library has more files than the usual 1024 allow. */
static int open_raising(const char *path, int flags)
{
	struct rlimit lim;
	int fd = open(path, flags);

	if (fd >= 0 || errno != EMFILE || getrlimit(RLIMIT_NOFILE, &lim) < 0 ||
	    lim.rlim_cur == lim.rlim_max)
		return fd;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0) {
		errno = EMFILE;
		return -1;
	}
	return open(path, flags);
}

static int open_file(struct segment *s, uint64_t sealed, struct err *e)
{
	struct segment_head h;
	struct stat st;
	int rc;

	s->fd = open_raising(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (s->fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open '%s': %s",
			       s->path, strerror(errno));
	if (fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_CORRUPT, "'%s' is not a regular file", s->path);
	if ((uint64_t)st.st_size < SEGMENT_HEAD_BYTES || (uint64_t)st.st_size < sealed)
		return err_set(e, ERR_CORRUPT, "'%s' is cut short: %llu bytes of %llu", s->path,
			       (unsigned long long)st.st_size,
			       (unsigned long long)MAX(sealed, SEGMENT_HEAD_BYTES));
	rc = file_pread(s->fd, &h, sizeof(h), 0, s->path, e);
	if (!rc)
		rc = segment_head_check(&h, s->kind, s->path, e);
	if (rc)
		return rc;
	if ((uint64_t)st.st_size > h.capacity)
		return err_set(e, ERR_CORRUPT, "'%s' holds %llu bytes, more than its capacity %llu",
			       s->path, (unsigned long long)st.st_size,
			       (unsigned long long)h.capacity);
	/* Reads come in the sizes they should have; readahead would fetch what nobody asked for. */
	(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_RANDOM);
	s->capacity = h.capacity;
	atomic_store(&s->bytes, (uint64_t)st.st_size);
	return 0;
}

int segment_open(struct segment **out, const char *path, enum segment_kind kind, uint64_t sealed,
		 struct err *e)
{
	struct segment *s = calloc(1, sizeof(*s));
	void *p;
	int rc;

	*out = NULL;
	if (!s || !(s->path = strdup(path))) {
		free(s);
		return err_nomem(e);
	}
	s->fd = -1;
	s->direct = -2;
	s->kind = kind;
	pthread_mutex_init(&s->lock, NULL);
	rc = open_file(s, sealed, e);
	if (rc)
		goto fail;
	/* Beyond the end of the file nothing is touched, so the mapping need not grow with it. */
	p = mmap(NULL, s->capacity, PROT_READ, MAP_SHARED, s->fd, 0);
	if (p == MAP_FAILED) {
		rc = err_set(e, ERR_IO, "cannot map '%s': %s", path, strerror(errno));
		goto fail;
	}
	s->map = p;
	rc = guard_add(&s->guard, p, s->capacity, e);
	if (rc)
		goto fail;
	*out = s;
	return 0;
fail:
	segment_close(s);
	return rc;
}

void segment_close(struct segment *s)
{
	if (!s)
		return;
	guard_remove(s->guard);
	if (s->map)
		munmap((void *)s->map, s->capacity);
	if (s->fd >= 0)
		close(s->fd);
	if (s->direct >= 0)
		close(s->direct);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

/* ---- reading ---- */

int segment_borrow(struct segment *s, uint64_t off, uint64_t n, const uint8_t **p, struct err *e)
{
	uint64_t end, bytes = atomic_load(&s->bytes);
	struct stat st;

	*p = NULL;
	if (u64_add(off, n, &end) || end > s->capacity)
		return err_set(e, ERR_CORRUPT, "'%s' cannot hold %llu bytes at %llu", s->path,
			       (unsigned long long)n, (unsigned long long)off);
	if (end > bytes && !fstat(s->fd, &st)) {
		bytes = (uint64_t)st.st_size;
		atomic_store(&s->bytes, bytes);
	}
	if (end > bytes)
		return err_set(e, ERR_CORRUPT, "'%s' is cut short: %llu bytes of %llu", s->path,
			       (unsigned long long)bytes, (unsigned long long)end);
	*p = s->map + off;
	return 0;
}

int segment_fd(const struct segment *s)
{
	return s->fd;
}

static uint32_t ask_dio_align(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) && (sx.stx_mask & STATX_DIOALIGN) &&
	    sx.stx_dio_offset_align && sx.stx_dio_offset_align <= 4096 &&
	    sx.stx_dio_mem_align <= 4096)
		return MAX(MAX(sx.stx_dio_offset_align, sx.stx_dio_mem_align), 512u);
#else
	(void)fd;
#endif
	return 4096;
}

/* The same file again, by its path; another file there by now (which prune never does) is not
 * used. */
static void open_direct(struct segment *s)
{
	struct stat a, b;

	s->dio_align = 4096;
	s->direct = open_raising(s->path,
				 O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_DIRECT);
	if (s->direct < 0) {
		s->direct = -1;
		return;
	}
	if (fstat(s->fd, &a) < 0 || fstat(s->direct, &b) < 0 || a.st_ino != b.st_ino ||
	    a.st_dev != b.st_dev) {
		close(s->direct);
		s->direct = -1;
		return;
	}
	s->dio_align = ask_dio_align(s->direct);
}

int segment_fd_direct(struct segment *s)
{
	int fd;

	pthread_mutex_lock(&s->lock);
	if (s->direct == -2)
		open_direct(s);
	fd = s->direct;
	pthread_mutex_unlock(&s->lock);
	return fd;
}

uint32_t segment_dio_align(struct segment *s)
{
	segment_fd_direct(s);
	return s->dio_align;
}

const char *segment_path(const struct segment *s)
{
	return s->path;
}

const uint8_t *segment_base(const struct segment *s)
{
	return s->map;
}

bool segment_damaged(const struct segment *s)
{
	return guard_faults(s->guard) != 0;
}

/* ---- walking ---- */

int segment_next_record(struct segment *s, uint64_t end, uint64_t *off, uint64_t *n, struct err *e)
{
	static const char *const magic[] = { [SEGMENT_KV] = "FOLIOEXT",
					     [SEGMENT_SKETCH] = "FOLIOSKT",
					     [SEGMENT_SPANIDX] = "FOLIOSIX" };
	uint64_t at = round_up(MAX(*off, SEGMENT_HEAD_BYTES), SEGMENT_RECORD), bytes;
	const uint8_t *p;
	int rc;

	for (; at < end && end - at >= SEGMENT_RECORD; at += SEGMENT_RECORD) {
		rc = segment_borrow(s, at, 16, &p, e);
		if (rc)
			return rc;
		if (memcmp(p, magic[s->kind], 8))
			continue;
		memcpy(&bytes, p + 8, sizeof(bytes));
		if (bytes < SEGMENT_RECORD || bytes % SEGMENT_RECORD || bytes > end - at)
			continue;
		*off = at;
		*n = bytes;
		return 0;
	}
	return err_set(e, ERR_NOTFOUND, "no more records in '%s'", s->path);
}
