#include "config.h"

#include "cache/library.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cache/cat_int.h"
#include "cache/gitindex.h"

#define FORMAT 1
#define READERS_AT 16	/* byte of generation 0 in lock/readers */

static const char CACHEDIR_TAG[] =
	"Signature: 8a477f597d28d172789f06886806bc55\n"
	"# This directory is a folio library.  What it holds can be made again from its sources,\n"
	"# conversations excepted.  About this tag: https://bford.info/cachedir/\n";

struct library {
	char           *dir, *segments;
	struct catalog *catalog;
	int             long_fd, writer_fd, readers_fd, commits_fd;
	bool            has_long, has_writer;
	uint64_t        generation;
	uint64_t        commits, commits_lost;
	bool            rescued;
};

static int join(const struct library *lib, const char *name, char **out, struct err *e)
{
	*out = path_join(lib->dir, name);
	return *out ? 0 : err_nomem(e);
}

/* ---- Whose library, and of which format ------------------------------------------------------ */

static int check_owner(const char *dir, struct err *e)
{
	struct stat st;
	bool tracked = false;
	int rc;

	if (stat(dir, &st) < 0)
		return err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_NOLIB : ERR_IO,
			       "cannot open library '%s': %s", dir, strerror(errno));
	if (st.st_uid != geteuid()) {
		err_set(e, ERR_INVALID, "library '%s' belongs to another user (uid %lu)", dir,
			(unsigned long)st.st_uid);
		return err_hint(e, ERR_INVALID,
				"pass --trust-library if you know where it comes from");
	}
	rc = gitindex_tracks(dir, &tracked, e);
	if (rc)
		return rc;
	if (tracked) {
		err_set(e, ERR_INVALID,
			"library '%s' is tracked by git, so somebody else may have written it",
			dir);
		return err_hint(e, ERR_INVALID,
				"pass --trust-library if you know where it comes from");
	}
	return 0;
}

static int check_format(const struct library *lib, struct err *e)
{
	struct buf text = { 0 };
	char *path;
	int version, rc, end = 0;

	rc = join(lib, "format", &path, e);
	if (rc)
		return rc;
	rc = file_read(&text, path, 64, NULL);
	if (rc == ERR_NOTFOUND)
		rc = err_set(e, ERR_NOLIB, "no library in '%s'", lib->dir);
	else if (rc == ERR_BUDGET || (!rc && (sscanf(text.data ? text.data : "",
						     "folio library %d%n", &version, &end) != 1 ||
					      !end || strcmp(text.data + end, "\n"))))
		rc = err_set(e, ERR_CORRUPT, "'%s' does not name a format", path);
	else if (rc)
		rc = err_set(e, rc, "cannot read '%s'", path);
	else if (version > FORMAT)
		rc = err_set(e, ERR_NEWER,
			     "library '%s' has format %d, this program knows up to %d", lib->dir,
			     version, FORMAT);
	else if (version < 1)
		rc = err_set(e, ERR_CORRUPT, "'%s' names format %d, which never was", path,
			     version);
	buf_release(&text);
	free(path);
	return rc;
}

bool lib_exists(const char *dir)
{
	char *path = path_join(dir, "format");
	bool there = path && access(path, F_OK) == 0;

	free(path);
	return there;
}

/* ---- Making one ------------------------------------------------------------------------------ */

/* A directory is ours to fill when it is empty, or was begun by us: the tag is the first file. */
static int check_empty(const struct library *lib, struct err *e)
{
	DIR *d = opendir(lib->dir);
	struct dirent *ent;
	bool tag = false, other = false;

	if (!d)
		return err_set(e, ERR_IO, "cannot read folder '%s': %s", lib->dir, strerror(errno));
	while ((ent = readdir(d))) {
		if (!strncmp(ent->d_name, "CACHEDIR.TAG", 12))
			tag = true;
		else if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, ".."))
			other = true;
	}
	closedir(d);
	if (other && !tag) {
		err_set(e, ERR_INVALID, "'%s' holds other files and is no library", lib->dir);
		return err_hint(e, ERR_INVALID, "name an empty or a new folder");
	}
	return 0;
}

static int write_file(const struct library *lib, const char *name, const char *text, struct err *e)
{
	char *path;
	int rc = join(lib, name, &path, e);

	if (rc)
		return rc;
	if (access(path, F_OK) < 0)
		rc = file_write_atomic(path, text, strlen(text), e);
	free(path);
	return rc;
}

static int make_dir(const struct library *lib, const char *name, struct err *e)
{
	char *path;
	int rc = join(lib, name, &path, e);

	if (!rc)
		rc = file_mkdirs(path, e);
	free(path);
	return rc;
}

/* Everything but the catalog and the format file, which comes last and makes it a library. */
static int make_around(struct library *lib, struct err *e)
{
	int rc = file_mkdirs(lib->dir, e);

	if (!rc)
		rc = check_empty(lib, e);
	if (!rc)
		rc = write_file(lib, "CACHEDIR.TAG", CACHEDIR_TAG, e);
	if (!rc)
		rc = write_file(lib, ".gitignore", "*\n", e);
	if (!rc)
		rc = make_dir(lib, "segments", e);
	if (!rc)
		rc = make_dir(lib, "tails", e);
	if (!rc)
		rc = make_dir(lib, "lock", e);
	return rc;
}

/* ---- Lock files ------------------------------------------------------------------------------ */

/* A library on a medium that cannot be written is still read: then the lock file is opened for
 * reading, and where it cannot be made, *fd is -1 and there is nobody to exclude. */
static int open_lock(const struct library *lib, const char *name, int *fd, struct err *e)
{
	char *path;
	int rc;

	if (*fd >= 0)
		return 0;
	rc = join(lib, name, &path, e);
	if (rc)
		return rc;
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (*fd < 0 && (errno == EACCES || errno == EROFS))
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0 && errno != EACCES && errno != EROFS && errno != ENOENT)
		rc = err_set(e, ERR_IO, "cannot open '%s': %s", path, strerror(errno));
	free(path);
	return rc;
}

static void name_holder(int fd, const char *what)
{
	char text[256], host[65] = "?", when[32];
	time_t now = (time_t)clock_unix();
	struct tm tm;
	int n;

	gethostname(host, sizeof(host) - 1);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	n = snprintf(text, sizeof(text), "%s %ld %s %s\n", what, (long)getpid(), host, when);
	/* For messages only: a full disk must not keep anybody from the lock. */
	if (pwrite(fd, text, (size_t)n, 0) == n && ftruncate(fd, n) < 0)
		return;
}

static int busy(int fd, const char *lock, struct err *e)
{
	char text[256] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	char what[32], host[65], when[33];
	long pid;

	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%31s %ld %64s %32s", what, &pid, host, when) != 4)
		return err_set(e, ERR_BUSY, "another process holds the %s lock of this library",
			       lock);
	err_set(e, ERR_BUSY, "'folio %s' is at work on this library (process %ld on %s, since %s)",
		what, pid, host, when);
	return err_hint(e, ERR_BUSY, "wait for it; asking and searching work meanwhile");
}

int lib_lock_long(struct library *lib, const char *what, struct err *e)
{
	if (lib->has_long)
		return err_set(e, ERR_INVALID, "the long lock is held already");
	if (lib->long_fd < 0)
		return err_set(e, ERR_INVALID, "library '%s' cannot be written to", lib->dir);
	if (flock(lib->long_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? busy(lib->long_fd, "long", e)
					    : err_set(e, ERR_IO, "cannot lock library '%s': %s",
						      lib->dir, strerror(errno));
	lib->has_long = true;
	name_holder(lib->long_fd, what);
	return 0;
}

void lib_unlock_long(struct library *lib)
{
	if (lib->has_long)
		flock(lib->long_fd, LOCK_UN);
	lib->has_long = false;
}

int lib_lock_writer(struct library *lib, int wait_ms, struct err *e)
{
	double until = clock_now() + wait_ms / 1000.0;
	long pause = 100000;	/* ns; commits take milliseconds */

	if (lib->writer_fd < 0)
		return err_set(e, ERR_INVALID, "library '%s' cannot be written to", lib->dir);
	if (lib->has_writer)
		return err_set(e, ERR_INVALID, "the writer's lock is held already");
	while (flock(lib->writer_fd, LOCK_EX | LOCK_NB) < 0) {
		struct timespec ts = { 0, pause };

		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(e, ERR_IO, "cannot lock library '%s': %s", lib->dir,
				       strerror(errno));
		if (clock_now() >= until)
			return busy(lib->writer_fd, "writer's", e);
		nanosleep(&ts, NULL);
		pause = pause < 10000000 ? pause * 2 : pause;
	}
	lib->has_writer = true;
	return 0;
}

void lib_unlock_writer(struct library *lib)
{
	if (lib->has_writer)
		flock(lib->writer_fd, LOCK_UN);
	lib->has_writer = false;
}

/* ---- Readers --------------------------------------------------------------------------------- */

static int range_lock(int fd, int cmd, short type, uint64_t from, uint64_t n, struct flock *out)
{
	*out = (struct flock){ .l_type = type, .l_whence = SEEK_SET,
			       .l_start = (off_t)(READERS_AT + from), .l_len = (off_t)n };
	while (fcntl(fd, cmd, out) < 0)
		if (errno != EINTR)
			return -1;
	return 0;
}

static int read_generation(struct library *lib, uint64_t *g, struct err *e)
{
	uint8_t b[8] = { 0 };
	ssize_t n = pread(lib->readers_fd, b, 8, 0);

	if (n < 0)
		return err_set(e, ERR_IO, "cannot read the readers' lock of '%s': %s", lib->dir,
			       strerror(errno));
	memcpy(g, b, 8);	/* a short file is a new one: generation 0 */
	if (*g > INT64_MAX / 2)
		*g = INT64_MAX / 2;	/* damaged: any number that all agree on will do */
	return 0;
}

/* Mark this library as a reader of the present generation.  Between reading the number and having
 * the lock, prune may have moved on: then take the new one. */
static int mark(struct library *lib, struct err *e)
{
	uint64_t g, again;
	struct flock fl;
	int rc;

	if (lib->readers_fd < 0)
		return 0;
	for (;;) {
		rc = read_generation(lib, &g, e);
		if (rc)
			return rc;
		if (range_lock(lib->readers_fd, F_OFD_SETLK, F_RDLCK, g, 1, &fl) < 0)
			return err_set(e, ERR_IO, "cannot mark a reader of '%s': %s", lib->dir,
				       strerror(errno));
		rc = read_generation(lib, &again, e);
		if (rc || again == g)
			break;
		range_lock(lib->readers_fd, F_OFD_SETLK, F_UNLCK, g, 1, &fl);
	}
	lib->generation = g;
	return rc;
}

uint64_t lib_generation(const struct library *lib)
{
	return lib->generation;
}

int lib_next_generation(struct library *lib, uint64_t *g, struct err *e)
{
	uint64_t next;
	struct flock fl;
	int rc;

	if (lib->readers_fd < 0)
		return err_set(e, ERR_INVALID, "library '%s' cannot be written to", lib->dir);
	rc = read_generation(lib, &next, e);
	if (rc)
		return rc;
	next++;
	rc = file_pwrite(lib->readers_fd, &next, 8, 0, "lock/readers", e);
	if (rc)
		return rc;
	if (range_lock(lib->readers_fd, F_OFD_SETLK, F_RDLCK, next, 1, &fl) < 0)
		return err_set(e, ERR_IO, "cannot mark a reader of '%s': %s", lib->dir,
			       strerror(errno));
	range_lock(lib->readers_fd, F_OFD_SETLK, F_UNLCK, 0, next, &fl);
	lib->generation = *g = next;
	return 0;
}

int lib_readers_left(struct library *lib, uint64_t g, int *n, struct err *e)
{
	uint64_t from = 0;

	*n = 0;
	while (from <= g) {
		struct flock fl;

		/* Our own lock never stands in our way: it is of the same open file. */
		if (range_lock(lib->readers_fd, F_OFD_GETLK, F_WRLCK, from, g + 1 - from, &fl) < 0)
			return err_set(e, ERR_IO, "cannot look for readers of '%s': %s", lib->dir,
				       strerror(errno));
		if (fl.l_type == F_UNLCK)
			break;
		++*n;
		from = (uint64_t)fl.l_start - READERS_AT + 1;
	}
	return 0;
}

/* ---- Commits --------------------------------------------------------------------------------- */

uint64_t lib_commits(const struct library *lib)
{
	return lib->commits;
}

bool lib_rescued(const struct library *lib)
{
	return lib->rescued;
}

uint64_t lib_commits_lost(const struct library *lib)
{
	return lib->commits_lost;
}

void lib_set_commits(struct library *lib, uint64_t n)
{
	lib->commits = n;
	lib->commits_lost = 0;
	/* A failure costs a check, not a commit. */
	if (lib->commits_fd >= 0 && pwrite(lib->commits_fd, &n, 8, 0) != 8)
		return;
}

/* The file first, the catalog second: another process may commit in between. */
static int check_commits(struct library *lib, uint64_t in_file, unsigned flags, struct err *e)
{
	int rc = cat_commits(lib->catalog, &lib->commits, e);

	/* Without its head row the catalog is what repair looks at. */
	if (rc && (flags & LIB_DAMAGED)) {
		lib->commits = in_file;
		return 0;
	}
	if (!rc && lib->commits < in_file)
		lib->commits_lost = in_file - lib->commits;
	if (rc || (flags & LIB_DAMAGED) || !lib->commits_lost)
		return rc;
	err_set(e, ERR_CORRUPT,
		"library '%s' has lost %llu commits: its journal was damaged or is missing",
		lib->dir, (unsigned long long)lib->commits_lost);
	return err_hint(e, ERR_CORRUPT,
			"`folio repair` accepts what is left; ingest the newest sources again");
}

/* ---- Open and close -------------------------------------------------------------------------- */

static int open_parts(struct library *lib, unsigned flags, struct err *e)
{
	uint64_t in_file = 0;
	char *path;
	int rc;

	rc = open_lock(lib, "lock/long", &lib->long_fd, e);
	if (!rc)
		rc = open_lock(lib, "lock/writer", &lib->writer_fd, e);
	if (!rc)
		rc = open_lock(lib, "lock/readers", &lib->readers_fd, e);
	if (!rc)
		rc = open_lock(lib, "commits", &lib->commits_fd, e);
	/* The marker comes before the first look at the catalog (library.h, READERS NEVER WAIT). */
	if (!rc)
		rc = mark(lib, e);
	if (!rc && lib->commits_fd >= 0 && pread(lib->commits_fd, &in_file, 8, 0) != 8)
		in_file = 0;
	if (!rc)
		rc = join(lib, "catalog.sqlite", &path, e);
	if (rc)
		return rc;
	rc = cat_open(&lib->catalog, lib, path, flags, e);
	if (rc == ERR_CORRUPT && (flags & LIB_MEND)) {
		rc = care_rescue_schema(lib, path, e);
		lib->rescued = !rc;
		if (!rc)
			rc = cat_open(&lib->catalog, lib, path, flags, e);
	}
	free(path);
	return rc ? rc : check_commits(lib, in_file, flags, e);
}

int lib_open(struct library **out, const char *dir, unsigned flags, struct err *e)
{
	struct library *lib;
	bool making = false;
	char format[32];
	int rc = 0;

	*out = NULL;
	if (flags & LIB_MEND)
		flags |= LIB_DAMAGED;
	if (!(flags & LIB_TRUST) && (lib_exists(dir) || !(flags & LIB_CREATE))) {
		rc = check_owner(dir, e);
		if (rc)
			return rc;
	}
	lib = calloc(1, sizeof(*lib));
	if (!lib)
		return err_nomem(e);
	lib->long_fd = lib->writer_fd = lib->readers_fd = lib->commits_fd = -1;
	lib->dir = strdup(dir);
	lib->segments = path_join(dir, "segments");
	if (!lib->dir || !lib->segments) {
		rc = err_nomem(e);
		goto fail;
	}
	if ((flags & LIB_CREATE) && !lib_exists(dir)) {
		making = true;
		rc = make_around(lib, e);
		/* Two that make it at once take turns. */
		if (!rc)
			rc = open_lock(lib, "lock/writer", &lib->writer_fd, e);
		if (!rc)
			rc = lib_lock_writer(lib, 10000, e);
	} else {
		rc = check_format(lib, e);
		flags &= ~(unsigned)LIB_CREATE;
	}
	if (!rc)
		rc = open_parts(lib, flags, e);
	if (!rc && making) {
		snprintf(format, sizeof(format), "folio library %d\n", FORMAT);
		rc = write_file(lib, "format", format, e);
		lib_unlock_writer(lib);
	}
	if (!rc) {
		*out = lib;
		return 0;
	}
fail:
	lib_close(lib);
	return rc;
}

void lib_close(struct library *lib)
{
	if (!lib)
		return;
	cat_close(lib->catalog);
	/* Closing gives the locks back; the reader's mark last, after the catalog. */
	for (int i = 0; i < 4; i++) {
		int fd = (int[]){lib->long_fd, lib->writer_fd, lib->commits_fd, lib->readers_fd}[i];

		if (fd >= 0)
			close(fd);
	}
	free(lib->dir);
	free(lib->segments);
	free(lib);
}

static int sync_dir(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0 || fsync(fd) < 0)
		rc = err_set(e, ERR_IO, "cannot sync folder '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

int lib_swap_catalog(struct library *lib, const char *path, struct err *e)
{
	char *to, *wal = NULL, *shm = NULL;
	int rc = join(lib, "catalog.sqlite", &to, e);

	if (!rc)
		rc = join(lib, "catalog.sqlite-wal", &wal, e);
	if (!rc)
		rc = join(lib, "catalog.sqlite-shm", &shm, e);
	if (!rc) {
		cat_close(lib->catalog);
		lib->catalog = NULL;
		/* The old journal must be gone before the new file has the old name, or SQLite
		 * would play it into the wrong one.  After a crash in between, repair finds path
		 * and goes on. */
		if ((unlink(wal) < 0 && errno != ENOENT) || (unlink(shm) < 0 && errno != ENOENT))
			rc = err_set(e, ERR_IO, "cannot remove '%s': %s", wal, strerror(errno));
	}
	if (!rc)
		rc = sync_dir(lib->dir, e);
	if (!rc && rename(path, to) < 0)
		rc = err_set(e, ERR_IO, "cannot rename '%s': %s", path, strerror(errno));
	if (!rc)
		rc = sync_dir(lib->dir, e);
	if (!rc)
		rc = cat_open(&lib->catalog, lib, to, LIB_DAMAGED, e);
	if (!rc)
		rc = cat_commits(lib->catalog, &lib->commits, e);
	free(to);
	free(wal);
	free(shm);
	return rc;
}

const char *lib_dir(const struct library *lib)
{
	return lib->dir;
}

struct catalog *lib_catalog(struct library *lib)
{
	return lib->catalog;
}

const char *lib_segments(const struct library *lib)
{
	return lib->segments;
}

void lib_tail_path(const struct library *lib, uint32_t tail, const char *kind, struct buf *out)
{
	buf_addf(out, "%s/tails/%08x.%s", lib->dir, tail, kind);
}
