#include "config.h"

#include "cache/gitindex.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool matches(const char *path, size_t n, const char *prefix, size_t prefix_n)
{
	return n >= prefix_n && !memcmp(path, prefix, prefix_n) &&
	       (n == prefix_n || path[prefix_n] == '/');
}

/* Entry, all versions: 40 bytes of stat, object name (20, or 32 in a SHA-256 repository), 2 bytes
 * of flags (0x4000: two more follow), the path.  2, 3: path, then 1 to 8 NULs to a multiple of 8.
 * 4: how many bytes of the path before are dropped (varint), the rest, NUL. */
static bool walk(const uint8_t *d, size_t n, size_t name_n, const char *prefix, size_t prefix_n)
{
	uint32_t version = be32(d + 4), count = be32(d + 8);
	struct buf path = { 0 };
	size_t at = 12;
	bool found = false;

	while (count-- && !found) {
		size_t start = at, len;
		const uint8_t *end;

		if (n - at < 40 + name_n + 2 + 3)
			break;
		at += 40 + name_n;
		at += d[at] & 0x40 ? 4 : 2;
		if (version == 4) {
			uint64_t drop = d[at] & 0x7f;

			while (d[at++] & 0x80) {
				if (at >= n || drop > UINT32_MAX)
					goto out;
				drop = (drop + 1) << 7 | (d[at] & 0x7f);
			}
			if (drop > path.len)
				break;
			path.len -= drop;
		} else {
			buf_clear(&path);
		}
		if (at >= n || !(end = memchr(d + at, 0, n - at)))
			break;
		len = (size_t)(end - (d + at));
		buf_add(&path, d + at, len);
		if (path.failed)
			break;
		found = matches(path.data ? path.data : "", path.len, prefix, prefix_n);
		at += len + 1;
		if (version < 4)
			at = start + ((at - 1 - start + 8) & ~(size_t)7);
		if (at > n)
			break;
	}
out:
	buf_release(&path);
	return found;
}

bool gitindex_has(const uint8_t *d, size_t n, const char *prefix, size_t prefix_n)
{
	if (n < 12 + 20 || memcmp(d, "DIRC", 4) || be32(d + 4) < 2 || be32(d + 4) > 4)
		return false;
	/* Which hash a repository uses is said in its configuration, which is not read: try both.
	 */
	return walk(d, n, 20, prefix, prefix_n) || walk(d, n, 32, prefix, prefix_n);
}

/* Append the git directory of work tree dir to out; false where dir is none. */
static bool git_dir_of(const char *dir, struct buf *out)
{
	struct buf dot = { 0 }, text = { 0 };
	struct stat st;
	bool found = false;

	buf_addf(&dot, "%s/.git", dir);
	if (dot.failed || stat(dot.data, &st) < 0)
		goto done;
	if (S_ISDIR(st.st_mode)) {
		buf_adds(out, dot.data);
		found = true;
	} else if (S_ISREG(st.st_mode) && !file_read(&text, dot.data, PATH_MAX + 16, NULL) &&
		   text.len > 8 && !memcmp(text.data, "gitdir: ", 8)) {
		while (text.len && strchr("\r\n", text.data[text.len - 1]))
			text.data[--text.len] = '\0';
		if (text.data[8] != '/')
			buf_addf(out, "%s/", dir);
		buf_adds(out, text.data + 8);
		found = true;
	}
done:
	buf_release(&dot);
	buf_release(&text);
	return found;
}

/* The index of a git directory, and the shared one beside it that a split index builds on. */
static int index_has(const char *git_dir, const char *prefix, bool *tracked, struct err *e)
{
	struct buf path = { 0 };
	struct file_map m;
	const uint8_t *link = NULL;
	char hex[41];
	int rc;

	buf_addf(&path, "%s/index", git_dir);
	if (path.failed)
		return err_nomem(e);
	rc = file_map_open(&m, path.data, NULL);
	if (rc) {
		buf_release(&path);
		return 0;
	}
	*tracked = gitindex_has(m.data, m.size, prefix, strlen(prefix));
	if (!*tracked && m.size > 64)
		link = memmem(m.data + 12, m.size - 12, "link", 4);
	if (link && (size_t)(m.data + m.size - link) >= 28) {
		struct file_map s;

		for (int i = 0; i < 20; i++)
			for (int h = 0; h < 2; h++)
				hex[2 * i + h] =
					"0123456789abcdef"[link[8 + i] >> (4 - 4 * h) & 15];
		hex[40] = '\0';
		buf_clear(&path);
		buf_addf(&path, "%s/sharedindex.%s", git_dir, hex);
		if (!path.failed && !file_map_open(&s, path.data, NULL)) {
			*tracked = gitindex_has(s.data, s.size, prefix, strlen(prefix));
			file_map_close(&s);
		}
	}
	file_map_close(&m);
	buf_release(&path);
	return 0;
}

int gitindex_tracks(const char *dir, bool *tracked, struct err *e)
{
	char *real = realpath(dir, NULL), *top;
	struct buf git_dir = { 0 };
	int rc = 0;

	*tracked = false;
	if (!real)
		return err_set(e, ERR_IO, "cannot resolve '%s'", dir);
	top = strdup(real);
	if (!top) {
		free(real);
		return err_nomem(e);
	}
	/* Every enclosing repository is asked: a submodule's outer one may track it just as well.
	 */
	for (char *slash; !rc && !*tracked && (slash = strrchr(top, '/'));) {
		*slash = '\0';
		buf_clear(&git_dir);
		if (git_dir_of(*top ? top : "/", &git_dir) && !git_dir.failed)
			rc = index_has(git_dir.data, real + (slash - top) + 1, tracked, e);
	}
	if (!rc && git_dir.failed)
		rc = err_nomem(e);
	buf_release(&git_dir);
	free(top);
	free(real);
	return rc;
}
