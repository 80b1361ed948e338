/* base/file.h - files: whole reads, mappings, folders, and writes that are all or nothing */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* A read-only mapping of a whole file.  An empty file gives data NULL and size 0. */
struct file_map {
	const uint8_t *data;
	size_t         size;
};

/* Errors: ERR_NOTFOUND when there is no such file, else ERR_IO. */
int file_map_open(struct file_map *out, const char *path, struct err *e);
void file_map_close(struct file_map *m);

/* Append the whole file to out.  ERR_BUDGET when it holds more than max bytes. */
int file_read(struct buf *out, const char *path, size_t max, struct err *e);

/* Write bytes to path by temp file, fdatasync, rename and a sync of the folder: after a crash the
 * path holds the old bytes or the new ones. */
int file_write_atomic(const char *path, const void *data, size_t n, struct err *e);

/* Make the name of path durable: fsync of the folder it lies in. */
int file_sync_folder(const char *path, struct err *e);

/* Make a folder and its missing parents (mode 0777 less the umask); one that exists is fine. */
int file_mkdirs(const char *path, struct err *e);

/* pread and pwrite until all bytes moved; EINTR is retried, an early end is ERR_CORRUPT. */
int file_pread(int fd, void *buf, size_t n, uint64_t off, const char *name, struct err *e);
int file_pwrite(int fd, const void *buf, size_t n, uint64_t off, const char *name, struct err *e);

/* dir + "/" + name in fresh memory (free() it), NULL without memory. */
char *path_join(const char *dir, const char *name);

#endif
