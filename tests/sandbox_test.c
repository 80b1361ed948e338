/* Covers ingest/sandbox.h: what a child may not do, what each limit says, and that one death costs
 * one document. */
#include "config.h"

#include "ingest/sandbox.h"

#include "base/clock.h"
#include "base/stop.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* With ASan malloc must still be able to fail. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static int echo(const uint8_t *in, size_t n, const char *arg, struct buf *out, struct err *e)
{
	(void)e;
	buf_adds(out, arg);
	buf_add(out, in, n);
	return 0;
}

static int refuse(const uint8_t *in, size_t n, const char *arg, struct buf *out, struct err *e)
{
	(void)in, (void)n, (void)out;
	return err_set(e, ERR_CORRUPT, "no good: %s", arg);
}

static int crash(const uint8_t *in, size_t n, const char *arg, struct buf *out, struct err *e)
{
	(void)in, (void)n, (void)arg, (void)out, (void)e;
	__builtin_trap();	/* raise() would be refused */
}

static int loop(const uint8_t *in, size_t n, const char *arg, struct buf *out, struct err *e)
{
	(void)in, (void)n, (void)arg, (void)out, (void)e;
	for (volatile unsigned i = 0;; i++)
		;
	return 0;
}

static int hog(const uint8_t *in, size_t n, const char *arg, struct buf *out, struct err *e)
{
	(void)in, (void)n, (void)arg, (void)e;
	while (!out->failed)
		buf_add(out, "0123456789abcdef", 16);
	return 0;
}

static int flood(const uint8_t *in, size_t n, const char *arg, struct buf *out, struct err *e)
{
	(void)in, (void)n, (void)arg, (void)e;
	while (out->len < 3 << 20)
		buf_add(out, "0123456789abcdef", 16);
	return 0;
}

/* Every one of these must fail; the answer names those that did not. */
static int escape(const uint8_t *in, size_t n, const char *arg, struct buf *out, struct err *e)
{
	(void)in, (void)n, (void)arg, (void)e;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0)
		buf_adds(out, "socket ");
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
		buf_adds(out, "unix ");
	if (open("/etc/passwd", O_RDONLY) >= 0)
		buf_adds(out, "open ");
	if (open("/tmp/folio-escaped", O_WRONLY | O_CREAT, 0600) >= 0)
		buf_adds(out, "create ");
	if (syscall(SYS_fork) >= 0)
		buf_adds(out, "fork ");
	if (kill(getppid(), 0) == 0)
		buf_adds(out, "kill ");
	if (syscall(SYS_execve, "/bin/true", NULL, NULL) == 0)
		buf_adds(out, "exec ");
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	    MAP_FAILED)
		buf_adds(out, "code ");
	for (int fd = 0; fd < 64; fd++)
		if (fd > 2 && lseek(fd, 0, SEEK_CUR) >= 0)
			buf_addc(out, '.');	/* the answer's own file: one */
	return 0;
}

enum { ECHO, REFUSE, CRASH, LOOP, HOG, FLOOD, ESCAPE, CAT, FALSE, TOUCH, MISSING, N_JOB };
static const char *const cat_argv[] = { "/bin/cat", NULL };
static const char *const false_argv[] = { "/bin/ls", "/nonexistent/x", NULL };
static const char *const touch_argv[] = { "/bin/touch", "/tmp/folio-escaped", NULL };
static const char *const missing_argv[] = { "/nonexistent/program", NULL };
static const struct sandbox_job JOBS[N_JOB] = {
	{ "echo", echo, NULL }, { "refuse", refuse, NULL }, { "crash", crash, NULL },
	{ "loop", loop, NULL }, { "hog", hog, NULL }, { "flood", flood, NULL },
	{ "escape", escape, NULL }, { "cat", NULL, cat_argv }, { "false", NULL, false_argv },
	{ "touch", NULL, touch_argv }, { "missing", NULL, missing_argv },
};
static const struct sandbox_limit LIM = { 256u << 20, 2u << 20, 1, 60 };

static struct err err;
static struct buf out;

static int run(struct sandbox *s, int job, const char *in, const struct sandbox_limit *lim)
{
	buf_clear(&out);
	buf_adds(&out, "");
	err.msg[0] = '\0';
	return sandbox_run(s, (size_t)job, "<", in, strlen(in), lim, &out, NULL, &err);
}

static void test_functions(struct sandbox *s)
{
	struct sandbox_limit wall = LIM, small = LIM;
	int good = 0;

	ok(!run(s, ECHO, "text", &LIM) && !strcmp(out.data, "<text"), "an answer comes back");
	ok(!run(s, ECHO, "", &LIM) && !strcmp(out.data, "<"), "of an empty document, too");
	ok(run(s, REFUSE, "", &LIM) == ERR_CORRUPT && !strcmp(err.msg, "no good: <"),
	   "so does an error with its message");
	ok(run(s, CRASH, "", &LIM) == ERR_CORRUPT && strstr(err.msg, "crash extractor"),
	   "a crash is an error: %s", err.msg);
	ok(run(s, LOOP, "", &LIM) == ERR_CORRUPT && strstr(err.msg, "1 s of CPU"),
	   "a loop is stopped: %s", err.msg);
	wall.wall_seconds = 1;
	wall.cpu_seconds = 10;
	ok(run(s, LOOP, "", &wall) == ERR_CORRUPT && strstr(err.msg, "after 1 s"),
	   "by the clock as well: %s", err.msg);
	small.memory = 64u << 20;
	small.output = 1u << 30;
	ok(run(s, HOG, "", &small) == ERR_CORRUPT && strstr(err.msg, "64 MiB of memory"),
	   "memory is bounded: %s", err.msg);
	ok(run(s, FLOOD, "", &LIM) == ERR_CORRUPT && strstr(err.msg, "2 MiB of text"),
	   "output is bounded: %s", err.msg);
	ok(!run(s, ESCAPE, "", &LIM) && !strcmp(out.data, "."),
	   "no socket, file, process, signal or code (got through: '%s')", out.data);
	for (int i = 0; i < 100; i++)
		good += !run(s, ECHO, "x", &LIM) && !strcmp(out.data, "<x");
	ok(good == 100, "and the next hundred documents are fine");
}

static void *stop_soon(void *arg)
{
	(void)arg;
	usleep(300000);
	stop_request();
	return NULL;
}

static void test_stop(struct sandbox *s)
{
	struct sandbox_limit patient = LIM;
	double start = clock_now();
	pthread_t t;
	int rc;

	patient.cpu_seconds = 30;
	pthread_create(&t, NULL, stop_soon, NULL);
	rc = run(s, LOOP, "", &patient);
	pthread_join(t, NULL);
	ok(rc == ERR_INTR && clock_now() - start < 10, "a request to stop ends a loop (%.1f s)",
	   clock_now() - start);
	stop_clear();
	ok(!run(s, ECHO, "again", &LIM) && !strcmp(out.data, "<again"), "and the next document is fine");
}

static void test_programs(struct sandbox *s)
{
	int status = 0;

	ok(!run(s, CAT, "through cat", &LIM) && !strcmp(out.data, "through cat"),
	   "a program reads the document and answers");
	ok(sandbox_run(s, FALSE, NULL, "", 0, &LIM, &out, &status, &err) == ERR_MISMATCH &&
	   status == 2 && strstr(err.msg, "cannot access"), "its status and words come back: %s",
	   err.msg);
	ok(run(s, TOUCH, "", &LIM) && access("/tmp/folio-escaped", F_OK),
	   "it cannot write a file: %s", err.msg);
	ok(run(s, MISSING, "", &LIM) == ERR_NOTFOUND, "a missing program is told apart: %s", err.msg);
}

static void test_spawn(struct sandbox *s)
{
	char back[8] = "";
	int fd = -1;

	ok(!sandbox_spawn(s, CAT, &LIM, &fd, &err) && send(fd, "one", 3, MSG_NOSIGNAL) == 3 &&
	   recv(fd, back, 3, MSG_WAITALL) == 3 && !strcmp(back, "one"), "a program can stay");
	ok(!run(s, ECHO, "beside", &LIM), "others run beside it");
	ok(sandbox_spawn(s, CAT, &LIM, &fd, &err) == ERR_INVALID, "one at a time");
	sandbox_stop(s);
	ok(!sandbox_spawn(s, CAT, &LIM, &fd, &err), "it can be stopped and started again");
	sandbox_stop(s);
	sandbox_stop(s);
}

int main(void)
{
	struct sandbox *s;

	if (sandbox_new(&s, JOBS, N_JOB, &err))
		skip_all(err.msg);
	if (run(s, ECHO, "", &LIM) == ERR_NOTFOUND)
		skip_all(err.msg);
	test_functions(s);
	test_stop(s);
	test_programs(s);
	test_spawn(s);
	sandbox_free(s);
	buf_release(&out);
	return done();
}
