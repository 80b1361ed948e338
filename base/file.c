#include "config.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_regular(const char *path, int *fd, struct stat *st, struct err *e)
{
	/* O_NONBLOCK: a FIFO must not hang the open; regular files ignore it. */
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : ERR_IO,
			       "cannot open '%s': %s", path, strerror(errno));
	if (fstat(*fd, st) < 0 || !S_ISREG(st->st_mode)) {
		close(*fd);
		return err_set(e, ERR_IO, "'%s' is not a regular file", path);
	}
	return 0;
}

int file_map_open(struct file_map *out, const char *path, struct err *e)
{
	struct stat st;
	void *p;
	int fd, rc;

	*out = (struct file_map){ 0 };
	rc = open_regular(path, &fd, &st, e);
	if (rc)
		return rc;
	if (st.st_size == 0) {
		close(fd);
		return 0;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		rc = err_set(e, ERR_IO, "cannot map '%s': %s", path, strerror(errno));
	close(fd);
	if (rc)
		return rc;
	out->data = p;
	out->size = (size_t)st.st_size;
	return 0;
}

void file_map_close(struct file_map *m)
{
	if (m->data)
		munmap((void *)m->data, m->size);
	*m = (struct file_map){ 0 };
}

int file_read(struct buf *out, const char *path, size_t max, struct err *e)
{
	struct stat st;
	size_t start = out->len;
	int fd, rc;

	rc = open_regular(path, &fd, &st, e);
	if (rc)
		return rc;
	if (!buf_reserve(out, (size_t)st.st_size < max ? (size_t)st.st_size : 0)) {
		close(fd);
		return err_nomem(e);
	}
	for (;;) {
		ssize_t n;

		if (out->len - start > max) {
			rc = err_set(e, ERR_BUDGET, "'%s' holds more than %zu bytes", path, max);
			break;
		}
		if (!buf_reserve(out, 65536)) {
			rc = err_nomem(e);
			break;
		}
		n = read(fd, out->data + out->len, out->cap - out->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
		if (n <= 0)
			break;
		out->len += (size_t)n;
		out->data[out->len] = '\0';
	}
	close(fd);
	return rc;
}

int file_sync_folder(const char *path, struct err *e)
{
	char *dir = strdup(path), *slash;
	int fd, rc = 0;

	if (!dir)
		return err_nomem(e);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		rc = err_set(e, ERR_IO, "cannot sync the folder of '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(dir);
	return rc;
}

int file_write_atomic(const char *path, const void *data, size_t n, struct err *e)
{
	struct buf tmp = { 0 };
	int fd, rc;

	buf_addf(&tmp, "%s.tmp.%ld", path, (long)getpid());
	if (tmp.failed)
		return err_nomem(e);
	fd = open(tmp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		rc = err_set(e, ERR_IO, "cannot create '%s': %s", tmp.data, strerror(errno));
		buf_release(&tmp);
		return rc;
	}
	rc = file_pwrite(fd, data, n, 0, tmp.data, e);
	if (!rc && fdatasync(fd) < 0)
		rc = err_set(e, ERR_IO, "cannot sync '%s': %s", tmp.data, strerror(errno));
	close(fd);
	if (!rc && rename(tmp.data, path) < 0)
		rc = err_set(e, ERR_IO, "cannot rename '%s': %s", tmp.data, strerror(errno));
	if (rc)
		unlink(tmp.data);
	else
		rc = file_sync_folder(path, e);
	buf_release(&tmp);
	return rc;
}

int file_mkdirs(const char *path, struct err *e)
{
	char *p = strdup(path);
	struct stat st;
	int rc = 0;

	if (!p)
		return err_nomem(e);
	for (char *s = p + 1; !rc; s++) {
		char c = *s;

		if (c != '/' && c != '\0')
			continue;
		*s = '\0';
		if (mkdir(p, 0777) < 0 &&
		    !(errno == EEXIST && !stat(p, &st) && S_ISDIR(st.st_mode)))
			rc = err_set(e, ERR_IO, "cannot make folder '%s': %s", p, strerror(errno));
		*s = c;
		if (c == '\0')
			break;
	}
	free(p);
	return rc;
}

int file_pread(int fd, void *buf, size_t n, uint64_t off, const char *name, struct err *e)
{
	char *b = buf;

	while (n) {
		ssize_t r = pread(fd, b, n, (off_t)off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_set(e, ERR_IO, "cannot read '%s' at %llu: %s", name,
				       (unsigned long long)off, strerror(errno));
		if (r == 0)
			return err_set(e, ERR_CORRUPT, "'%s' ends at %llu, %zu bytes early", name,
				       (unsigned long long)off, n);
		b += r;
		n -= (size_t)r;
		off += (uint64_t)r;
	}
	return 0;
}

int file_pwrite(int fd, const void *buf, size_t n, uint64_t off, const char *name, struct err *e)
{
	const char *b = buf;

	while (n) {
		ssize_t w = pwrite(fd, b, n, (off_t)off);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_set(e, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO,
				       "cannot write '%s' at %llu: %s", name,
				       (unsigned long long)off, strerror(errno));
		b += w;
		n -= (size_t)w;
		off += (uint64_t)w;
	}
	return 0;
}

char *path_join(const char *dir, const char *name)
{
	struct buf b = { 0 };

	buf_adds(&b, dir);
	if (b.len && b.data[b.len - 1] != '/')
		buf_addc(&b, '/');
	buf_adds(&b, name);
	return buf_take(&b);
}
