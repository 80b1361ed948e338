#include "config.h"

#include "ingest/walk.h"

#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void walk_fill_stat(struct item *it, const struct stat *st)
{
	it->has_stat = true;
	it->size = (uint64_t)st->st_size;
	it->mtime_ns = ns_of(st->st_mtim);
	it->ctime_ns = ns_of(st->st_ctim);
	it->ino = st->st_ino;
	it->dev = st->st_dev;
	it->mode = st->st_mode;
}

static int read_fd(int fd, bool waits, const char *name, size_t max, struct buf *out, struct err *e)
{
	size_t start = out->len;

	for (;;) {
		size_t want = MIN((size_t)1 << 18, max - (out->len - start) + 1);
		int rc = waits ? walk_wait(fd, e) : 0;
		ssize_t n;

		if (rc)
			return rc;
		if (!buf_reserve(out, want))
			return err_nomem(e);
		n = read(fd, out->data + out->len, want);
		if (n < 0 && (errno == EINTR || (waits && errno == EAGAIN)))
			continue;
		if (n < 0)
			return err_set(e, ERR_IO, "cannot read '%s': %s", name, strerror(errno));
		if (n == 0)
			break;
		out->len += (size_t)n;
		if (out->len - start > max)
			return err_set(e, ERR_BUDGET, "'%s' holds more than %zu bytes", name, max);
	}
	walk_cut(out, out->len);
	return 0;
}

/* O_NOFOLLOW and a second look: what lstat saw may have been swapped for a link or a FIFO since. */
static int read_file(const struct item *it, size_t max, struct buf *out, struct item *after,
		     struct err *e)
{
	int fd = open(it->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int rc;

	if (fd < 0)
		return err_set(e, ERR_IO, "cannot open: %s", strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = err_set(e, ERR_IO, "not a regular file any more");
	else if (!buf_reserve(out, MIN((size_t)st.st_size, max) + 1))
		rc = err_nomem(e);
	else
		rc = read_fd(fd, false, it->path, max, out, e);
	if (!rc && after && !fstat(fd, &st))
		walk_fill_stat(after, &st);
	close(fd);
	return rc;
}

int item_read(const struct item *it, size_t max, struct buf *out, struct item *after,
	      struct err *e)
{
	size_t start = out->len;
	int rc;

	if (it->origin == FROM_FILE)
		rc = read_file(it, max, out, after, e);
	else if (it->origin == FROM_STDIN)
		rc = read_fd(STDIN_FILENO, true, "stdin", max, out, e);
	else if (it->read)
		rc = it->read(it->self, it, max, out, e);
	else
		rc = err_set(e, ERR_INVALID, "'%s' cannot be read here", it->path);
	if (rc)
		walk_cut(out, start);
	return rc;
}

struct item *item_copy(const struct item *it)
{
	size_t n_file = it->file ? strlen(it->file) + 1 : 0;
	struct item *c = malloc(sizeof(*c) + it->n_path + 1 + n_file);
	char *p = (char *)(c + 1);

	if (!c)
		return NULL;
	*c = *it;
	memcpy(p, it->path, it->n_path);
	p[it->n_path] = 0;
	c->path = p;
	p += it->n_path + 1;
	if (it->file)
		memcpy(p, it->file, n_file);
	c->file = it->file ? p : NULL;
	c->rule_file = NULL;
	c->read = NULL;
	c->self = NULL;
	return c;
}

const char *state_name(enum item_state s)
{
	static const char *const name[] = { "taken", "listed", "skipped", "out" };

	return name[s];
}
