#include "config.h"

#include "ingest/gitproc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct gitproc {
	pid_t pid;
	int   to;
	FILE *from;
};

extern char **environ;

/* -c settings are honoured before the repository's own. */
static const char *const safe_args[] = {
	"git", "--no-pager", "--no-optional-locks", "-c", "safe.directory=*",
	"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never",
	"-c", "core.quotePath=false", "-C", NULL
};

/* A copy of the environment without GIT_*: a GIT_DIR around us is not the user's word about the
 * tree being read. */
static char **clean_env(void)
{
	size_t n = 0, k = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 4, sizeof(*env));
	if (!env)
		return NULL;
	for (n = 0; environ[n]; n++)
		if (strncmp(environ[n], "GIT_", 4) && strncmp(environ[n], "LC_ALL=", 7))
			env[k++] = environ[n];
	env[k++] = "LC_ALL=C";
	env[k++] = "GIT_TERMINAL_PROMPT=0";
	env[k] = "GIT_NO_LAZY_FETCH=1";
	return env;
}

/* in: a descriptor for its stdin, or -1 for the null device.  Takes neither in nor out over. */
static int spawn_git(pid_t *pid, const char *dir, const char *const *args, int in, int out,
		     struct err *e)
{
	enum { MAX_ARGS = 48 };
	char *argv[MAX_ARGS], **env = clean_env();
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	size_t n = 0, i;
	int rc;

	if (!env)
		return err_nomem(e);
	for (i = 0; safe_args[i]; i++)
		argv[n++] = (char *)safe_args[i];
	argv[n++] = (char *)dir;
	for (i = 0; args[i] && n < MAX_ARGS - 1; i++)
		argv[n++] = (char *)args[i];
	argv[n] = NULL;
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attr, &none);
	/* A group of its own: Ctrl-C is ours to handle. */
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	if (in < 0)
		posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	else
		posix_spawn_file_actions_adddup2(&fa, in, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	rc = posix_spawnp(pid, "git", &fa, &attr, argv, env);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	free(env);
	if (rc)
		return err_set(e, ERR_IO, "cannot run git: %s", strerror(rc));
	return 0;
}

static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int gitproc_read(const char *dir, const char *const *args, size_t max, struct buf *out,
		 struct err *e)
{
	size_t start = out->len;
	pid_t pid;
	int fd[2], rc, status;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_set(e, ERR_IO, "cannot make a pipe: %s", strerror(errno));
	rc = spawn_git(&pid, dir, args, -1, fd[1], e);
	close(fd[1]);
	if (rc) {
		close(fd[0]);
		return rc;
	}
	for (;;) {
		ssize_t n;

		if (!buf_reserve(out, 65536)) {
			rc = err_nomem(e);
			break;
		}
		n = read(fd[0], out->data + out->len, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_set(e, ERR_IO, "cannot read from git: %s", strerror(errno));
		if (n <= 0)
			break;
		out->len += (size_t)n;
		if (out->len - start > max) {
			rc = err_set(e, ERR_BUDGET, "git %s in '%s' says more than %zu bytes",
				     args[0], dir, max);
			break;
		}
	}
	close(fd[0]);
	if (rc)
		kill(pid, SIGKILL);
	status = reap(pid);
	if (!rc && status)
		rc = err_set(e, ERR_NOTFOUND, "git %s failed in '%s' with status %d", args[0], dir,
			     status);
	if (rc)
		out->len = start;
	return rc;
}

int gitproc_start(struct gitproc **out, const char *dir, struct err *e)
{
	static const char *const args[] = { "cat-file", "--batch-command", NULL };
	struct gitproc *g = calloc(1, sizeof(*g));
	int in[2] = { -1, -1 }, from[2] = { -1, -1 }, rc = 0;

	*out = NULL;
	if (!g)
		return err_nomem(e);
	/* A socket, because send() can fail without SIGPIPE when git is gone. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 || pipe2(from, O_CLOEXEC) < 0)
		rc = err_set(e, ERR_IO, "cannot make a pipe: %s", strerror(errno));
	if (!rc)
		rc = spawn_git(&g->pid, dir, args, in[0], from[1], e);
	if (!rc) {
		g->to = in[1];
		g->from = fdopen(from[0], "r");
		if (!g->from)
			rc = err_nomem(e);
		else
			*out = g;
	}
	if (in[0] >= 0)
		close(in[0]);
	if (from[1] >= 0)
		close(from[1]);
	if (rc) {
		if (in[1] >= 0)
			close(in[1]);
		if (from[0] >= 0)
			close(from[0]);
		if (g->pid)
			reap(g->pid);
		free(g);
	}
	return rc;
}

void gitproc_stop(struct gitproc *g)
{
	if (!g)
		return;
	close(g->to);
	fclose(g->from);
	reap(g->pid);
	free(g);
}

/* Send one request and read the line that answers it: "OID TYPE SIZE" or "OID missing". */
static int ask(struct gitproc *g, const char *verb, const char *oid, uint64_t *size, char type[16],
	       struct err *e)
{
	char line[256], name[128];
	unsigned long long n;
	int len = snprintf(line, sizeof(line), "%s %s\n", verb, oid);
	ssize_t put;

	do
		put = send(g->to, line, (size_t)len, MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	if (put != len || !fgets(line, sizeof(line), g->from))
		return err_set(e, ERR_IO, "git cat-file stopped answering");
	if (sscanf(line, "%127s %15s %llu", name, type, &n) != 3)
		return err_set(e, ERR_NOTFOUND, "git has no object %s here", oid);
	*size = n;
	return 0;
}

int gitproc_object(struct gitproc *g, const char *oid, size_t max, struct buf *out, uint64_t *size,
		   char type[16], struct err *e)
{
	int rc = ask(g, "info", oid, size, type, e);

	if (rc || !out)
		return rc;
	if (*size > max)
		return err_set(e, ERR_BUDGET, "object %s holds more than %zu bytes", oid, max);
	rc = ask(g, "contents", oid, size, type, e);
	if (rc)
		return rc;
	if (!buf_reserve(out, (size_t)*size + 1))
		return err_nomem(e);
	if (fread(out->data + out->len, 1, (size_t)*size, g->from) != *size || getc(g->from) != '\n')
		return err_set(e, ERR_IO, "git cat-file stopped in object %s", oid);
	out->len += (size_t)*size;
	out->data[out->len] = 0;
	return 0;
}
