/* tests/fault.h - make the n-th write, sync or reservation of this process fail, or the last one
 *
 * The functions below stand in for libc's, for SQLite too: a symbol of the program comes before one
 * of a shared library.  Calls on regular files are counted from fault_arm(); number `at` then
 *
 *   FAULT_KILL   the process ends there: before the call, after half of a write, or after the call
 *   FAULT_FAIL   the call fails with fault.error and does nothing; for a write, after half of it
 *   FAULT_ALLOC  (not these calls:) the allocation fault.alloc_at gives NULL
 *   FAULT_MAP    (nor these:) the mapping fault.map_at fails
 *
 * POWER.  A process that is killed loses nothing of what it wrote: the kernel still has it.  With
 * fault.power every write also keeps what stood there before, until its file is synced; when the
 * process is killed a random part of what was not synced is undone, as a disk does that loses
 * power. Files that were created and whose folder was not synced may vanish.  -shm files are no
 * data: they are left alone, and the parent removes them.
 */
#ifndef TESTS_FAULT_H
#define TESTS_FAULT_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum fault_mode { FAULT_NONE, FAULT_KILL, FAULT_FAIL, FAULT_ALLOC, FAULT_MAP };

static struct {
	enum fault_mode mode;
	bool     armed, power;
	int      when;			/* 0 before, 1 halfway, 2 after */
	int      error;
	unsigned seed;
	long     at;
	long     n;			/* calls seen */
	bool     hit;
	long     alloc_at, alloc_n;	/* the allocation that fails, and how many there were */
	long     map_at, map_n;		/* the mapping, likewise */
} fault;

struct fault_undo {
	int      fd;			/* our own duplicate */
	ino_t    ino;
	off_t    at, old_size;
	size_t   len;			/* bytes that were written */
	size_t   n;			/* bytes in old; the rest was beyond the end */
	char    *old;
	char    *path;			/* set: a file that was created */
	struct fault_undo *before;
};

static struct fault_undo *fault_log;

static bool fault_regular(int fd, struct stat *st)
{
	return !syscall(SYS_fstat, fd, st) && S_ISREG(st->st_mode);
}

/* Undo a random part of what was not synced, newest first. */
static void fault_lose_power(void)
{
	struct stat st;

	fault.armed = false;
	for (struct fault_undo *u = fault_log; u; u = u->before) {
		if (rand_r(&fault.seed) & 1)
			continue;
		if (u->path) {
			syscall(SYS_unlink, u->path);
			continue;
		}
		syscall(SYS_pwrite64, u->fd, u->old, u->len, u->at);
		/* Nothing after it in the file: the length was lost as well.  Else zeros remain. */
		if (!syscall(SYS_fstat, u->fd, &st) && st.st_size == u->at + (off_t)u->len &&
		    u->at + (off_t)u->len > u->old_size && (rand_r(&fault.seed) & 1))
			syscall(SYS_ftruncate, u->fd, u->old_size);
	}
}

static void fault_die(void)
{
	if (fault.power)
		fault_lose_power();
	syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

/* True when this call is the one. */
static bool fault_now(void)
{
	if (!fault.armed || ++fault.n != fault.at || fault.mode == FAULT_NONE)
		return false;
	fault.hit = true;
	return true;
}

static void fault_keep(int fd, off_t at, size_t n)
{
	struct fault_undo *u;
	struct stat st;

	if (!fault.armed || !fault.power || !fault_regular(fd, &st))
		return;
	u = calloc(1, sizeof(*u));
	u->fd = dup(fd);
	u->ino = st.st_ino;
	u->at = at;
	u->old_size = st.st_size;
	u->len = n;
	u->n = at >= st.st_size ? 0 : (size_t)(st.st_size - at) < n ? (size_t)(st.st_size - at) : n;
	u->old = calloc(1, n + 1);
	if (u->n && syscall(SYS_pread64, fd, u->old, u->n, at) != (long)u->n)
		memset(u->old, 0xdb, n);	/* opened for writing only: rubbish, then */
	u->before = fault_log;
	fault_log = u;
}

static void fault_forget(bool (*gone)(const struct fault_undo *, const void *), const void *arg)
{
	struct fault_undo **p = &fault_log;

	while (*p) {
		struct fault_undo *u = *p;

		if (!gone(u, arg)) {
			p = &u->before;
			continue;
		}
		*p = u->before;
		if (u->fd >= 0)
			close(u->fd);
		free(u->old);
		free(u->path);
		free(u);
	}
}

static bool fault_of_file(const struct fault_undo *u, const void *arg)
{
	return !u->path && u->ino == *(const ino_t *)arg;
}

static bool fault_in_folder(const struct fault_undo *u, const void *arg)
{
	const char *dir = arg;
	size_t n = strlen(dir);

	return u->path && !strncmp(u->path, dir, n) && u->path[n] == '/' &&
	       !strchr(u->path + n + 1, '/');
}

static void fault_synced(int fd)
{
	struct stat st;
	char link[64], path[PATH_MAX];
	ssize_t n;

	if (!fault.armed || !fault.power || syscall(SYS_fstat, fd, &st))
		return;
	if (S_ISREG(st.st_mode)) {
		fault_forget(fault_of_file, &st.st_ino);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n > 0) {
		path[n] = '\0';
		fault_forget(fault_in_folder, path);
	}
}

/* ---- Memory: sanitizers bring an allocator of their own, then nothing fails ---------------------
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAULT_NO_ALLOC 1
#else
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t a, size_t b);
void *__libc_realloc(void *p, size_t n);

static bool fault_no_memory(void)
{
	if (!fault.armed || !fault.alloc_at ||
	    __atomic_add_fetch(&fault.alloc_n, 1, 0) != fault.alloc_at)
		return false;
	fault.hit = true;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	return fault_no_memory() ? NULL : __libc_malloc(n);
}

void *calloc(size_t a, size_t b)
{
	return fault_no_memory() ? NULL : __libc_calloc(a, b);
}

void *realloc(void *p, size_t n)
{
	return fault_no_memory() ? NULL : __libc_realloc(p, n);
}

static void *fault_mmap(void *p, size_t n, int prot, int flags, int fd, off_t off)
{
	if (fault.armed && fault.map_at &&
	    __atomic_add_fetch(&fault.map_n, 1, 0) == fault.map_at) {
		fault.hit = true;
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, off);
}

void *mmap(void *p, size_t n, int prot, int flags, int fd, off_t off)
{
	return fault_mmap(p, n, prot, flags, fd, off);
}

#ifndef mmap64
void *mmap64(void *p, size_t n, int prot, int flags, int fd, off64_t off)
{
	return fault_mmap(p, n, prot, flags, fd, off);
}
#endif
#endif

/* ---- libc, seen from here -------------------------------------------------------------------- */

static ssize_t fault_pwrite(int fd, const void *p, size_t n, off_t at)
{
	struct stat st;

	if (!fault.armed || !fault_regular(fd, &st))
		return syscall(SYS_pwrite64, fd, p, n, at);
	if (fault_now()) {
		if (fault.when == 1) {
			fault_keep(fd, at, n / 2);
			syscall(SYS_pwrite64, fd, p, n / 2, at);
		} else if (fault.when == 2 && fault.mode == FAULT_KILL) {
			fault_keep(fd, at, n);
			syscall(SYS_pwrite64, fd, p, n, at);
		}
		if (fault.mode == FAULT_KILL)
			fault_die();
		errno = fault.error;
		return -1;
	}
	fault_keep(fd, at, n);
	return syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fault_pwrite(fd, p, n, at);
}

#ifndef pwrite64	/* glibc makes them one with large files */
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return fault_pwrite(fd, p, n, at);
}
#endif

ssize_t write(int fd, const void *p, size_t n)
{
	struct stat st;

	if (fault.armed && fault_regular(fd, &st))
		fault_keep(fd, (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR), n);
	if (fault.armed && fault_regular(fd, &st) && fault_now()) {
		if (fault.mode == FAULT_KILL)
			fault_die();
		errno = fault.error;
		return -1;
	}
	return syscall(SYS_write, fd, p, n);
}

static int fault_sync(int fd, long call)
{
	int rc;

	if (fault_now()) {
		if (fault.mode == FAULT_FAIL) {
			errno = fault.error == ENOSPC ? EIO : fault.error;
			return -1;
		}
		if (fault.when == 2) {
			rc = (int)syscall(call, fd);
			fault_synced(fd);
		}
		fault_die();
	}
	/* The process dies, the machine does not: while armed, no sync is needed. */
	rc = fault.armed ? 0 : (int)syscall(call, fd);
	fault_synced(fd);
	return rc;
}

int fsync(int fd)
{
	return fault_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return fault_sync(fd, SYS_fdatasync);
}

static int fault_truncate(int fd, off_t n)
{
	struct stat st;

	if (fault.armed && fault_now()) {
		if (fault.mode == FAULT_KILL)
			fault_die();
		errno = fault.error;
		return -1;
	}
	/* What is cut off is kept, to come back. */
	if (fault.armed && fault_regular(fd, &st) && n < st.st_size)
		fault_keep(fd, n, (size_t)(st.st_size - n));
	return (int)syscall(SYS_ftruncate, fd, n);
}

int ftruncate(int fd, off_t n)
{
	return fault_truncate(fd, n);
}

#ifndef ftruncate64
int ftruncate64(int fd, off64_t n)
{
	return fault_truncate(fd, n);
}
#endif

static int fault_allocate(int fd, off_t at, off_t n)
{
	struct stat st;

	if (fault_now()) {
		if (fault.mode == FAULT_KILL)
			fault_die();
		return fault.error;
	}
	if (fault.armed && fault_regular(fd, &st) && at + n > st.st_size)
		fault_keep(fd, st.st_size, 0);
	return syscall(SYS_fallocate, fd, 0, at, n) ? errno : 0;
}

int posix_fallocate(int fd, off_t at, off_t n)
{
	return fault_allocate(fd, at, n);
}

#ifndef posix_fallocate64
int posix_fallocate64(int fd, off64_t at, off64_t n)
{
	return fault_allocate(fd, at, n);
}
#endif

static int fault_open(const char *path, int flags, mode_t mode)
{
	bool made = fault.armed && fault.power && (flags & O_CREAT) &&
		    syscall(SYS_access, path, F_OK) && !strstr(path, "-shm");
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);

	if (made && fd >= 0) {
		struct fault_undo *u = calloc(1, sizeof(*u));

		u->fd = -1;
		u->path = realpath(path, NULL);
		u->before = fault_log;
		fault_log = u;
	}
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fault_open(path, flags, mode);
}

#ifndef open64
int open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return fault_open(path, flags, mode);
}
#endif

int unlink(const char *path)
{
	if (fault_now()) {
		if (fault.mode == FAULT_KILL)
			fault_die();
		errno = fault.error;
		return -1;
	}
	return (int)syscall(SYS_unlink, path);
}

__attribute__((unused)) static void fault_arm(enum fault_mode mode, long at, int when, int error,
					      bool power, unsigned seed)
{
	fault.mode = mode;
	fault.at = at;
	fault.when = when;
	fault.error = error;
	fault.power = power;
	fault.seed = seed;
	fault.n = 0;
	fault.alloc_at = fault.alloc_n = 0;
	fault.map_at = fault.map_n = 0;
	fault.hit = false;
	fault.armed = true;
}

#endif
