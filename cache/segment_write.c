#include "config.h"

#include "cache/segment.h"
#include "cache/segment_impl.h"

#include "base/file.h"
#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct segment_writer {
	int      fd;
	char    *path;
	uint64_t capacity;
	uint64_t end;		/* of what was appended */
	uint64_t reserved;	/* of what is preallocated: the size of the file */
	bool     fresh;		/* nothing appended since the last sync */
	bool     broken;	/* sticky, invariant (4) */
};

static int full(const struct segment_writer *w, uint64_t need, struct err *e)
{
	struct statvfs vfs;
	unsigned long long left = 0;

	if (!fstatvfs(w->fd, &vfs))
		left = (unsigned long long)vfs.f_bavail * vfs.f_frsize;
	err_set(e, ERR_FULL, "the disk is full: '%s' needs %llu more bytes, %llu are free", w->path,
		(unsigned long long)need, left);
	return err_hint(e, ERR_FULL, "free some space, then run the same command again");
}

/* Preallocate up to `end`, a multiple of SEGMENT_ALIGN. */
static int reserve(struct segment_writer *w, uint64_t end, struct err *e)
{
	int code;

	if (end <= w->reserved)
		return 0;
	do
		code = posix_fallocate(w->fd, (off_t)w->reserved, (off_t)(end - w->reserved));
	while (code == EINTR);
	if (code == ENOSPC || code == EDQUOT || code == EFBIG)
		return full(w, end - w->reserved, e);
	if (code) {
		w->broken = true;
		return err_set(e, ERR_IO, "cannot reserve room in '%s': %s", w->path,
			       strerror(code));
	}
	w->reserved = end;
	return 0;
}

static int put(struct segment_writer *w, const void *p, size_t n, uint64_t off, struct err *e)
{
	int rc = file_pwrite(w->fd, p, n, off, w->path, e);

	/* Preallocated room can still be missing where a file system copies on write. */
	if (rc == ERR_FULL)
		return full(w, n, e);
	if (rc)
		w->broken = true;
	return rc;
}

static int sync_data(struct segment_writer *w, struct err *e)
{
	if (fdatasync(w->fd) < 0) {
		w->broken = true;
		return err_set(e, ERR_IO, "cannot sync '%s': %s", w->path, strerror(errno));
	}
	w->fresh = true;
	return 0;
}

static int refuse_broken(const struct segment_writer *w, struct err *e)
{
	return err_set(e, ERR_IO, "an earlier write to '%s' failed; nothing more is written there",
		       w->path);
}

int segment_create(struct segment_writer **out, const char *path, enum segment_kind kind,
		   uint64_t capacity, struct err *e)
{
	struct segment_writer *w;
	struct segment_head h;
	int rc;

	*out = NULL;
	if (capacity > SEGMENT_MAX_CAPACITY - SEGMENT_ALIGN)
		return err_set(e, ERR_INVALID, "a segment of %llu bytes is too large",
			       (unsigned long long)capacity);
	w = calloc(1, sizeof(*w));
	if (!w || !(w->path = strdup(path))) {
		free(w);
		return err_nomem(e);
	}
	w->capacity = round_up(MAX(capacity, 2 * SEGMENT_HEAD_BYTES), SEGMENT_ALIGN);
	w->end = SEGMENT_HEAD_BYTES;
	w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (w->fd < 0) {
		rc = err_set(e, errno == EEXIST ? ERR_INVALID : ERR_IO, "cannot create '%s': %s",
			     path, strerror(errno));
		segment_writer_close(w);
		return rc;
	}
	segment_head_fill(&h, kind, w->capacity);
	rc = reserve(w, SEGMENT_HEAD_BYTES, e);
	if (!rc)
		rc = put(w, &h, sizeof(h), 0, e);
	if (!rc)
		rc = sync_data(w, e);
	if (!rc)
		rc = file_sync_folder(path, e);
	if (rc) {
		unlink(path);
		segment_writer_close(w);
		return rc;
	}
	*out = w;
	return 0;
}

int segment_append(struct segment_writer *w, const void *record, size_t n, uint64_t *off,
		   struct err *e)
{
	uint64_t at = round_up(w->end, w->fresh ? SEGMENT_ALIGN : SEGMENT_RECORD), end;
	int rc;

	*off = 0;
	if (w->broken)
		return refuse_broken(w, e);
	if (n == 0 || n % SEGMENT_RECORD)
		return err_set(e, ERR_INVALID, "a record of %zu bytes is no multiple of %u", n,
			       SEGMENT_RECORD);
	if (u64_add(at, n, &end) || end > w->capacity)
		return err_set(e, ERR_NOTFOUND, "'%s' has no room for %zu bytes", w->path, n);
	rc = reserve(w, round_up(end, SEGMENT_ALIGN), e);
	if (!rc)
		rc = put(w, record, n, at, e);
	if (rc)
		return rc;
	w->end = end;
	w->fresh = false;
	*off = at;
	return 0;
}

int segment_sync(struct segment_writer *w, struct err *e)
{
	if (w->broken)
		return refuse_broken(w, e);
	return sync_data(w, e);
}

uint64_t segment_writer_end(const struct segment_writer *w)
{
	return w->end;
}

void segment_writer_close(struct segment_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	free(w->path);
	free(w);
}
