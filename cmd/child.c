#include "config.h"

#include "cmd/child.h"

#include "base/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUT_MAX = 65536 };

static void become(char *const argv[], int fd, bool merge)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(fd >= 0 ? fd : STDERR_FILENO, STDOUT_FILENO);
	if (merge && fd >= 0)
		dup2(fd, STDERR_FILENO);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Until the child closes its end, or the user has had enough. */
static int drain(int fd, pid_t pid, struct buf *out)
{
	char piece[4096];

	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR) {
			if (!stop_requested())
				continue;
			kill(pid, SIGTERM);
			return ERR_INTR;
		}
		if (n <= 0)
			return 0;
		if (out->len < OUT_MAX)
			buf_add(out, piece, (size_t)n);
	}
}

int child_run(char *const argv[], struct buf *out, bool merge, int *status, struct err *e)
{
	int fd[2] = { -1, -1 }, raw, rc = 0;
	pid_t pid;

	if (out && pipe2(fd, O_CLOEXEC) < 0)
		return err_set(e, ERR_IO, "cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		become(argv, fd[1], merge);
	if (out)
		close(fd[1]);
	if (pid < 0) {
		rc = err_set(e, ERR_IO, "cannot start '%s': %s", argv[0], strerror(errno));
	} else {
		if (out)
			rc = drain(fd[0], pid, out);
		while (waitpid(pid, &raw, 0) < 0 && errno == EINTR)
			if (stop_requested() && !rc) {
				kill(pid, SIGTERM);
				rc = ERR_INTR;
			}
	}
	if (out)
		close(fd[0]);
	if (rc == ERR_INTR)
		return err_set(e, ERR_INTR, "interrupted while '%s' was running", argv[0]);
	if (rc)
		return rc;
	*status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
	/* Ctrl-C reaches the whole foreground group: the child may have gone first. */
	if (*status && stop_requested())
		return err_set(e, ERR_INTR, "interrupted while '%s' was running", argv[0]);
	if (*status == 127)
		return err_set(e, ERR_NOTFOUND, "there is no program '%s'", argv[0]);
	return 0;
}
