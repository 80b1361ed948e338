#include "config.h"

#include "ingest/sandbox.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/stop.h"
#include "base/utf8.h"
#include "ingest/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_HEAD   40u
#define ARG_BYTES    208

/* Ways a child ends by itself that are not the job's own. */
enum { EXIT_NOMEM = 120, EXIT_NO_JAIL = 121, EXIT_NO_EXEC = 122, EXIT_WRITE = 123 };

static const char FRAME_MAGIC[8] = "FOLIOANS";

enum { ASK_RUN, ASK_SPAWN, ASK_STOP };

/* What goes to the helper and comes back.  Both ends are one program: no byte order, no version. */
struct ask {
	int      what;
	uint32_t job;
	uint64_t n;		/* bytes of the document in the first descriptor */
	struct sandbox_limit lim;
	char     arg[ARG_BYTES];
};
struct answer {
	int  status;		/* as from wait() */
	int  failed;		/* errno when there was no child */
	bool timed_out;		/* by the wall clock */
	bool over_cpu;		/* used up its CPU seconds, however it died */
};

struct sandbox {
	struct sandbox_job *jobs;
	size_t n_job;
	pid_t  helper;		/* 0: not running */
	int    sock;
	int    talk;		/* socket to the spawned program, -1 */
};

static bool in_child;		/* set in the child only */

/*** The child ***/

static void put64(char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (char)(v >> (8 * i));
}

static uint64_t get64(const char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

/* Frame the answer in sandbox.h's form. */
static bool send_frame(int fd, int code, const char *body, size_t n)
{
	struct sum128 sum = sum128_of(body, n);
	char head[FRAME_HEAD] = { 0 };

	memcpy(head, FRAME_MAGIC, 8);
	put64(head + 8, (uint32_t)code);
	put64(head + 16, n);
	put64(head + 24, sum.lo);
	put64(head + 32, sum.hi);
	return write_all(fd, head, FRAME_HEAD) && write_all(fd, body, n);
}

_Noreturn static void run_function(const struct sandbox_job *job, const struct ask *q,
				   const int fd[3])
{
	const uint8_t *in = (const uint8_t *)"";
	struct err e = { 0 };
	struct buf out = { 0 };
	int rc;

	if (q->n) {
		in = mmap(NULL, q->n, PROT_READ, MAP_PRIVATE, fd[0], 0);
		if (in == MAP_FAILED)
			_exit(EXIT_NOMEM);
	}
	close(fd[0]);
	close(fd[2]);
	if (!jail_function(&q->lim))
		_exit(EXIT_NO_JAIL);
	rc = job->fn(in, q->n, q->arg, &out, &e);
	if (rc == ERR_NOMEM || out.failed)
		_exit(EXIT_NOMEM);
	buf_reserve(&out, 0);
	if (rc)
		_exit(send_frame(fd[1], rc, e.msg, strlen(e.msg)) ? 0 : EXIT_WRITE);
	_exit(send_frame(fd[1], 0, out.data, out.len) ? 0 : EXIT_WRITE);
}

_Noreturn static void run_program(const struct sandbox_job *job, const struct ask *q,
				  const int fd[3])
{
	static char *const env[] = { "LC_ALL=C.UTF-8", "PATH=/nonexistent", NULL };

	if (dup2(fd[0], 0) < 0 || dup2(fd[1], 1) < 0 || dup2(fd[2], 2) < 0 ||
	    close_range(3, ~0u, 0))
		_exit(EXIT_NO_JAIL);
	if (!jail_program(&q->lim))
		_exit(EXIT_NO_JAIL);
	execve(job->argv[0], (char *const *)(uintptr_t)job->argv, env);
	_exit(EXIT_NO_EXEC);
}

_Noreturn static void child(const struct sandbox *s, const struct ask *q, const int fd[3])
{
	const struct sandbox_job *job = &s->jobs[q->job];
	sigset_t none;

	in_child = true;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(3);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (job->fn)
		run_function(job, q, fd);
	run_program(job, q, fd);
}

_Noreturn void sandbox_out_of_memory(void)
{
	if (in_child)
		_exit(EXIT_NOMEM);
	abort();
}

/*** The helper: socket on descriptor 3, nothing else open but 0, 1, 2 on /dev/null ***/

static bool caller_gone(void)
{
	struct pollfd p = { .fd = 3, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* Wait for the child, at most until the wall clock says so; then kill it and wait. */
static void wait_for(pid_t pid, const struct sandbox_limit *lim, struct answer *a)
{
	double end = clock_now() + lim->wall_seconds;
	struct rusage use = { 0 };
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		pid_t got = wait4(pid, &a->status, WNOHANG, &use);
		double left = end - clock_now();
		struct timespec slice;

		if (got == pid || (got < 0 && errno != EINTR))
			break;
		if (left <= 0 || caller_gone()) {
			a->timed_out = left <= 0;
			kill(pid, SIGKILL);
			wait4(pid, &a->status, 0, &use);
			break;
		}
		left = MIN(left, 1.0);
		slice.tv_sec = (time_t)left;
		slice.tv_nsec = (long)((left - (double)slice.tv_sec) * 1e9);
		sigtimedwait(&chld, NULL, &slice);
	}
	a->over_cpu = use.ru_utime.tv_sec + use.ru_stime.tv_sec +
		      (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000000 >=
		      (time_t)lim->cpu_seconds;
}

static void close_all(const int *fd, int n)
{
	for (int i = 0; i < n; i++)
		close(fd[i]);
}

/* Receive one request and up to three descriptors.  False when the caller is gone. */
static bool receive(struct ask *q, int fd[3], int *n_fd)
{
	union { char room[CMSG_SPACE(3 * sizeof(int))]; struct cmsghdr align; } u;
	struct iovec io = { .iov_base = q, .iov_len = sizeof(*q) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = u.room,
			    .msg_controllen = sizeof(u.room) };
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(3, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*n_fd = 0;
	if (n != (ssize_t)sizeof(*q))
		return false;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		*n_fd = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fd, CMSG_DATA(c), (size_t)*n_fd * sizeof(int));
	}
	return true;
}

static void serve(const struct sandbox *s)
{
	pid_t stays = 0;
	struct ask q;
	int fd[3], n_fd;

	while (receive(&q, fd, &n_fd)) {
		struct answer a = { 0 };
		pid_t pid = 0;

		if (q.what == ASK_STOP) {
			if (stays) {
				kill(stays, SIGKILL);
				waitpid(stays, &a.status, 0);
			}
			stays = 0;
		} else if (n_fd == 3 && q.job < s->n_job) {
			pid = fork();
			if (pid == 0)
				child(s, &q, fd);
			a.failed = pid < 0 ? errno : 0;
		} else {
			a.failed = EINVAL;
		}
		close_all(fd, n_fd);
		if (pid > 0 && q.what == ASK_RUN)
			wait_for(pid, &q.lim, &a);
		else if (pid > 0)
			stays = pid;
		if (send(3, &a, sizeof(a), MSG_NOSIGNAL) != (ssize_t)sizeof(a))
			break;
	}
	if (stays)
		kill(stays, SIGKILL);
}

/* What libc reads from disk on first use and children may not: the tables of UTF-8, the list of
 * converters. */
static void load_locale(void)
{
	iconv_t cd;

	setlocale(LC_CTYPE, "C.UTF-8");
	cd = iconv_open("UTF-8", "ASCII");
	if (cd != (iconv_t)-1)
		iconv_close(cd);
}

/* The first act of the helper: leave everything that belongs to the caller behind. */
_Noreturn static void helper(const struct sandbox *s, int sock)
{
	int null = open("/dev/null", O_RDWR);
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t block;

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(1);
	/* Locks of the caller live as long as a copy of their descriptor does. */
	if (sock != 3 && dup2(sock, 3) < 0)
		_exit(1);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	if (close_range(4, ~0u, 0))
		_exit(1);
	setsid();		/* Ctrl-C is for the caller */
	prctl(PR_SET_NAME, "folio-extract");
	prctl(PR_SET_DUMPABLE, 0);
	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &dfl, NULL);
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_SETMASK, &block, NULL);
	load_locale();
	jail_prepare();		/* where it cannot, no child gets past jail_function */
	serve(s);
	_exit(0);
}

/*** The caller ***/

static int start_helper(struct sandbox *s, struct err *e)
{
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return err_set(e, ERR_IO, "cannot start the extractor: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		helper(s, sv[1]);
	close(sv[1]);
	if (pid < 0) {
		close(sv[0]);
		return err_set(e, ERR_IO, "cannot start the extractor: %s", strerror(errno));
	}
	s->helper = pid;
	s->sock = sv[0];
	return 0;
}

static void stop_helper(struct sandbox *s)
{
	if (s->talk >= 0)
		close(s->talk);
	s->talk = -1;
	if (!s->helper)
		return;
	close(s->sock);		/* it sees the end, and goes */
	while (waitpid(s->helper, NULL, 0) < 0 && errno == EINTR)
		;
	s->helper = 0;
}

int sandbox_new(struct sandbox **out, const struct sandbox_job *jobs, size_t n_job, struct err *e)
{
	struct sandbox *s = calloc(1, sizeof(*s));
	int rc;

	*out = NULL;
	if (!s)
		return err_nomem(e);
	s->talk = -1;
	s->jobs = reallocarray(NULL, n_job, sizeof(*jobs));
	if (!s->jobs) {
		free(s);
		return err_nomem(e);
	}
	memcpy(s->jobs, jobs, n_job * sizeof(*jobs));
	s->n_job = n_job;
	rc = start_helper(s, e);
	if (rc)
		sandbox_free(s);
	else
		*out = s;
	return rc;
}

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	stop_helper(s);
	free(s->jobs);
	free(s);
}

/* False when somebody asked to stop and the answer is not there at once: a document may take a minute,
 * the user should not. */
static bool wait_answer(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	for (;;) {
		int n = poll(&p, 1, 200);

		if (n > 0 || (n < 0 && errno != EINTR))
			return true;
		if (!n && stop_requested())
			return false;
	}
}

static bool exchange(struct sandbox *s, const struct ask *q, const int *fd, int n_fd,
		     struct answer *a)
{
	union { char room[CMSG_SPACE(3 * sizeof(int))]; struct cmsghdr align; } u = { { 0 } };
	struct iovec io = { .iov_base = (void *)(uintptr_t)q, .iov_len = sizeof(*q) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fd) {
		struct cmsghdr *c;

		m.msg_control = u.room;
		m.msg_controllen = CMSG_SPACE((size_t)n_fd * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n_fd * sizeof(int));
		memcpy(CMSG_DATA(c), fd, (size_t)n_fd * sizeof(int));
	}
	do
		n = sendmsg(s->sock, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*q))
		return false;
	if (!wait_answer(s->sock))
		return false;
	do
		n = recv(s->sock, a, sizeof(*a), 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*a);
}

/* One request, with one new helper when the old one turns out to be dead. */
static int request(struct sandbox *s, const struct ask *q, const int *fd, int n_fd,
		   struct answer *a, struct err *e)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		int rc = s->helper ? 0 : start_helper(s, e);

		if (rc)
			return rc;
		if (exchange(s, q, fd, n_fd, a)) {
			if (a->failed)
				return err_set(e, ERR_IO, "cannot start an extractor: %s",
					       strerror(a->failed));
			return 0;
		}
		stop_helper(s);
		if (stop_requested())
			return err_set(e, ERR_INTR, "interrupted");
	}
	return err_set(e, ERR_IO, "the extractors' helper process keeps dying");
}

static int open_files(int fd[3], const void *in, size_t n, struct err *e)
{
	fd[0] = memfd_create("document", MFD_CLOEXEC);
	fd[1] = memfd_create("answer", MFD_CLOEXEC);
	fd[2] = memfd_create("errors", MFD_CLOEXEC);
	if (fd[0] < 0 || fd[1] < 0 || fd[2] < 0 || !write_all(fd[0], in, n) ||
	    lseek(fd[0], 0, SEEK_SET)) {
		int why = errno;

		for (int i = 0; i < 3; i++)
			if (fd[i] >= 0)
				close(fd[i]);
		return err_set(e, ERR_IO, "cannot hand a document to its extractor: %s",
			       strerror(why));
	}
	return 0;
}

static int read_from(int fd, struct buf *out, uint64_t off, uint64_t n, struct err *e)
{
	if (!buf_reserve(out, n))
		return err_nomem(e);
	while (n) {
		ssize_t r = pread(fd, out->data + out->len, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set(e, ERR_CORRUPT, "the extractor's answer is cut short");
		out->len += (size_t)r;
		off += (uint64_t)r;
		n -= (uint64_t)r;
	}
	out->data[out->len] = '\0';
	return 0;
}

/* A child that did not end by _exit(0): what happened, in words. */
static int post_mortem(const char *name, const struct answer *a, const struct sandbox_limit *lim,
		       struct err *e)
{
	int sig = WIFSIGNALED(a->status) ? WTERMSIG(a->status) : 0;
	int code = WIFEXITED(a->status) ? WEXITSTATUS(a->status) : 0;

	if (a->timed_out)
		return err_set(e, ERR_CORRUPT, "%s extractor stopped after %u s", name,
			       lim->wall_seconds);
	if (sig == SIGXCPU || (sig == SIGKILL && a->over_cpu))
		return err_set(e, ERR_CORRUPT, "%s extractor stopped after %u s of CPU", name,
			       lim->cpu_seconds);
	if (sig == SIGXFSZ || code == EXIT_WRITE)
		return err_set(e, ERR_CORRUPT, "%s extractor gave more than %llu MiB of text", name,
			       (unsigned long long)(lim->output >> 20));
	if (code == EXIT_NOMEM)
		return err_set(e, ERR_CORRUPT, "%s extractor wanted more than %llu MiB of memory",
			       name, (unsigned long long)(lim->memory >> 20));
	if (code == EXIT_NO_JAIL)
		return err_set(e, ERR_NOTFOUND, "no sandbox for the %s extractor: this kernel "
			       "refuses seccomp", name);
	if (code == EXIT_NO_EXEC)
		return err_set(e, ERR_NOTFOUND, "cannot run the %s extractor", name);
	if (sig)
		return err_set(e, ERR_CORRUPT, "%s extractor crashed (signal %d)", name, sig);
	return err_set(e, ERR_CORRUPT, "%s extractor failed (status %d)", name, code);
}

static int broken_answer(const char *name, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "%s extractor gave a broken answer", name);
}

/* Take a function's frame apart; its body goes to out, or into the message. */
static int read_frame(const char *name, int fd, uint64_t size, struct buf *out, struct err *e)
{
	size_t start = out->len, n;
	char head[FRAME_HEAD];
	struct sum128 sum;
	int rc, code;

	if (size < FRAME_HEAD || pread(fd, head, FRAME_HEAD, 0) != FRAME_HEAD ||
	    memcmp(head, FRAME_MAGIC, 8) || get64(head + 16) != size - FRAME_HEAD)
		return broken_answer(name, e);
	rc = read_from(fd, out, FRAME_HEAD, size - FRAME_HEAD, e);
	if (rc)
		return rc;
	n = out->len - start;
	sum = sum128_of(out->data + start, n);
	code = (int)(uint32_t)get64(head + 8);
	if (get64(head + 24) != sum.lo || get64(head + 32) != sum.hi)
		rc = broken_answer(name, e);
	else if (code && utf8_check(out->data + start, n) == n)
		rc = err_set(e, code < 0 && code >= ERR_NOLIB ? code : ERR_CORRUPT, "%s",
			     out->data + start);
	else if (code)
		rc = broken_answer(name, e);
	if (rc) {
		out->len = start;
		out->data[start] = '\0';
	}
	return rc;
}

/* The first line a program wrote to stderr, as UTF-8 without control characters. */
static void first_line(int fd, char *line, size_t n)
{
	ssize_t r = pread(fd, line, n - 1, 0);

	line[r > 0 ? r : 0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
}

static int program_failed(const struct sandbox_job *job, const struct answer *a, int errors,
			  const struct sandbox_limit *lim, int *status, struct err *e)
{
	char line[300];

	first_line(errors, line, sizeof(line));
	if (strcasestr(line, "out of memory") || strcasestr(line, "bad_alloc")) {
		struct answer b = { .status = EXIT_NOMEM << 8 };

		return post_mortem(job->name, &b, lim, e);
	}
	if (!WIFEXITED(a->status) || WEXITSTATUS(a->status) >= EXIT_NOMEM)
		return post_mortem(job->name, a, lim, e);
	if (status)
		*status = WEXITSTATUS(a->status);
	return err_set(e, ERR_MISMATCH, "%s", line[0] ? line : "no reason given");
}

int sandbox_run(struct sandbox *s, size_t job, const char *arg, const void *in, size_t n,
		const struct sandbox_limit *lim, struct buf *out, int *status, struct err *e)
{
	struct ask q = { .what = ASK_RUN, .job = (uint32_t)job, .n = n, .lim = *lim };
	const struct sandbox_job *j = &s->jobs[job];
	struct answer a = { 0 };
	struct stat st;
	int fd[3], rc;

	if (arg && strlen(arg) >= sizeof(q.arg))
		return err_set(e, ERR_INVALID, "argument of an extractor is too long");
	snprintf(q.arg, sizeof(q.arg), "%s", arg ? arg : "");
	rc = open_files(fd, in, n, e);
	if (rc)
		return rc;
	rc = request(s, &q, fd, 3, &a, e);
	if (rc)
		goto out;
	if (a.timed_out || !WIFEXITED(a.status) || WEXITSTATUS(a.status))
		rc = j->fn ? post_mortem(j->name, &a, lim, e)
			   : program_failed(j, &a, fd[2], lim, status, e);
	else if (fstat(fd[1], &st) || (uint64_t)st.st_size > lim->output)
		rc = broken_answer(j->name, e);
	else if (j->fn)
		rc = read_frame(j->name, fd[1], (uint64_t)st.st_size, out, e);
	else
		rc = read_from(fd[1], out, 0, (uint64_t)st.st_size, e);
out:
	close_all(fd, 3);
	return rc;
}

int sandbox_spawn(struct sandbox *s, size_t job, const struct sandbox_limit *lim, int *fd,
		  struct err *e)
{
	struct ask q = { .what = ASK_SPAWN, .job = (uint32_t)job, .lim = *lim };
	struct answer a = { 0 };
	int sv[2], give[3], rc;

	if (s->talk >= 0)
		return err_set(e, ERR_INVALID, "a program runs in this sandbox already");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return err_set(e, ERR_IO, "cannot start an extractor: %s", strerror(errno));
	give[0] = give[1] = sv[1];
	give[2] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	rc = give[2] < 0 ? err_set(e, ERR_IO, "cannot open '/dev/null': %s", strerror(errno))
			 : request(s, &q, give, 3, &a, e);
	if (give[2] >= 0)
		close(give[2]);
	close(sv[1]);
	if (rc) {
		close(sv[0]);
		return rc;
	}
	*fd = s->talk = sv[0];
	return 0;
}

void sandbox_stop(struct sandbox *s)
{
	struct ask q = { .what = ASK_STOP };
	struct answer a;

	if (s->talk < 0)
		return;
	close(s->talk);
	s->talk = -1;
	if (s->helper && !exchange(s, &q, NULL, 0, &a))
		stop_helper(s);
}
