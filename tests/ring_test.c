/* Reads in flight: io_uring where there is one, pread where it is refused. */
#include "config.h"

#include "cache/ring.h"
#include "tests/cache_make.h"
#include "tests/check.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FILE_BYTES (1u << 20)

static int fd;
static uint8_t want[FILE_BYTES];

/* 400 reads of odd places and lengths, 32 in flight; every byte right, every tag once. */
static int many_reads(struct ring *r)
{
	static uint8_t seen[400];
	size_t slot_off[32], slot_n[32];
	unsigned next = 0, done = 0;
	int bad = 0, tags[32];
	uint8_t *arena = ring_arena(r, NULL);

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 32; i++)
		tags[i] = -1;
	make_seed = 7;
	while (done < 400) {
		uint64_t tag;

		for (int s = 0; s < 32 && next < 400; s++) {
			if (tags[s] >= 0)
				continue;
			slot_n[s] = make_rnd() % 8192 + 1;
			slot_off[s] = make_rnd() % (FILE_BYTES - slot_n[s]);
			bad += ring_read(r, fd, slot_off[s], slot_n[s], (size_t)s * 8192,
					 (uint64_t)s, NULL) != 0;
			tags[s] = (int)next++;
		}
		if (ring_wait(r, &tag, NULL) || tag >= 32)
			return 1000;
		bad += memcmp(arena + tag * 8192, want + slot_off[tag], slot_n[tag]) != 0;
		bad += seen[tags[tag]]++;
		tags[tag] = -1;
		done++;
	}
	return bad + (ring_busy(r) != 0);
}

static void test_kind(bool want_pread, const char *what)
{
	struct ring *r;
	uint64_t tag;
	struct err e = { 0 };
	void *p;

	if (ring_new(&r, 32, 32 * 8192, want_pread, &e)) {
		ok(0, "%s: a ring: %s", what, e.msg);
		return;
	}
	ok(1, "%s: a ring (%s)", what, ring_kind_name(ring_kind(r)));
	ok(!many_reads(r), "%s: 400 reads, 32 in flight, are right", what);
	ok(ring_wait(r, &tag, &e) == ERR_NOTFOUND, "%s: then nothing is in flight", what);
	ok(!ring_read(r, fd, FILE_BYTES - 100, 200, 0, 9, &e) &&
	   ring_wait(r, &tag, &e) == ERR_CORRUPT && tag == 9,
	   "%s: a read over the end of the file is damage, not a short read", what);
	ok(!ring_read(r, fd, FILE_BYTES + 4096, 64, 0, 10, &e) &&
	   ring_wait(r, &tag, &e) == ERR_CORRUPT && tag == 10, "%s: so is one behind it", what);
	ok(ring_read(r, fd, 0, 64, 32 * 8192 - 63, 1, &e) == ERR_INVALID &&
	   ring_read(r, -1, 0, 64, 0, 1, &e) == ERR_INVALID, "%s: wrong places are refused", what);
	ok(!ring_read(r, open("/dev/null", O_WRONLY), 0, 64, 0, 11, &e) &&
	   ring_wait(r, &tag, &e) == ERR_IO && tag == 11,
	   "%s: a file that cannot be read is an error of the disk", what);
	for (int i = 0; i < 32; i++)
		ring_read(r, fd, 0, 64, (size_t)i * 64, 1, &e);
	ok(ring_read(r, fd, 0, 64, 0, 1, &e) == ERR_FULL, "%s: depth is a limit", what);
	while (!ring_wait(r, &tag, NULL))
		;
	p = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	ok(!ring_madvise(r, p, FILE_BYTES, MADV_WILLNEED, 77, &e) && !ring_wait(r, &tag, &e) &&
	   tag == 77, "%s: advice comes back", what);
	munmap(p, FILE_BYTES);
	ring_read(r, fd, 0, 8192, 0, 1, &e);
	ring_submit(r, &e);
	ring_free(r);
}

/* What a container does: io_uring_setup answers EPERM. */
static int refuse_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	};
	struct sock_fprog prog = { 4, code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &prog);
}

static void test_refused(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct ring *r;

		if (refuse_uring())
			_exit(77);
		if (ring_new(&r, 32, 32 * 8192, false, NULL) || ring_kind(r) != RING_PREAD)
			_exit(1);
		_exit(many_reads(r) ? 2 : 0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		ok(1, "io_uring refused by the kernel # SKIP no seccomp here");
	else
		ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		   "a kernel that refuses io_uring_setup gets preads, and the bytes are right");
}

int main(void)
{
	char *dir = make_dir(), path[4200];
	struct ring *r;

	snprintf(path, sizeof(path), "%s/00000001.kv", dir);
	for (size_t i = 0; i < FILE_BYTES; i++)
		want[i] = (uint8_t)make_rnd();
	fd = open(path, O_RDWR | O_CREAT, 0666);
	if (fd < 0 || pwrite(fd, want, FILE_BYTES, 0) != FILE_BYTES)
		skip_all("cannot write a file");
	unsetenv("FOLIO_NO_URING");
	test_kind(false, "ring");
	test_kind(true, "pread");
	setenv("FOLIO_NO_URING", "1", 1);
	ok(!ring_new(&r, 1, 4096, false, NULL) && ring_kind(r) == RING_PREAD,
	   "FOLIO_NO_URING=1 means pread");
	ring_free(r);
	unsetenv("FOLIO_NO_URING");
	ok(!ring_new(&r, 4, RING_ARENA_MAX + 1, false, NULL) && ring_kind(r) != RING_URING,
	   "a large arena works and is not registered");
	ring_free(r);
	test_refused();
	close(fd);
	make_rmdir(dir);
	return done();
}
