#include "config.h"

#include "ingest/walk.h"

#include "base/size.h"
#include "ingest/classify.h"
#include "ingest/pathset.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the outermost archive and everything inside it may cost. */
struct budget {
	uint64_t size;		/* bytes of the outermost archive */
	uint64_t produced;	/* bytes it expanded to so far */
	uint64_t max;
	unsigned ratio;
	uint64_t n_member;
	bool     bomb;
	char     why[256];	/* set with bomb */
};

struct members {
	struct walk    *w;
	struct archive *a;
	struct budget  *b;
	unsigned        depth;
	size_t          n_archive;	/* bytes of path that are the archive's own */
	bool            read;		/* content of the current member was taken */
	bool            seekable;	/* skipping costs nothing */
	/* Member paths: names that come twice get a number. */
	struct pathset  seen;
};

/* The budget of an archive inside another one is the outer one's; there is one at a time, because
 * walks are depth first. */
static int members_walk(struct walk *w, const char *file, const void *bytes, size_t n, unsigned depth,
			struct budget *b, struct err *e);

bool walk_is_archive(const char *name, size_t n)
{
	static const char *const ends[] = {
		".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst",
		".tzst", ".tar.lz", ".tar.lzma", ".tar.lz4", ".tar.Z", ".zip", ".7z",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(ends); i++) {
		size_t m = strlen(ends[i]);

		if (n > m && !strncasecmp(name + n - m, ends[i], m))
			return true;
	}
	return false;
}

static const char *arch_msg(struct archive *a)
{
	const char *s = archive_error_string(a);

	return s && *s ? s : "unknown error";
}

static int spend(struct budget *b, uint64_t n, struct err *e)
{
	b->produced += n;
	if (b->produced <= b->max &&
	    (b->produced <= WALK_RATIO_FLOOR || b->produced / b->ratio <= b->size))
		return 0;
	b->bomb = true;
	snprintf(b->why, sizeof(b->why),
		 "%llu bytes expand to more than %llu: the limits are %u times and %llu bytes",
		 (unsigned long long)b->size, (unsigned long long)b->produced, b->ratio,
		 (unsigned long long)b->max);
	return err_set(e, ERR_CORRUPT, "%s", b->why);
}

/* item_read of a member. */
static int read_member(void *self, const struct item *it, size_t max, struct buf *out,
		       struct err *e)
{
	struct members *m = self;
	size_t start = out->len;
	int rc;

	if (it->size != UINT64_MAX && it->size > max)
		return err_set(e, ERR_BUDGET, "'%s' holds more than %zu bytes", it->path, max);
	if (m->read)
		return err_set(e, ERR_INVALID, "'%s' was read already", it->path);
	m->read = true;
	for (;;) {
		size_t want = MIN((size_t)1 << 18, max - (out->len - start) + 1);
		la_ssize_t n;

		rc = walk_stopped(e);
		if (rc)
			return rc;
		if (!buf_reserve(out, want))
			return err_nomem(e);
		n = archive_read_data(m->a, out->data + out->len, want);
		if (n == ARCHIVE_RETRY)
			continue;
		if (n < 0)
			return err_set(e, ERR_CORRUPT, "damaged in the archive: %s", arch_msg(m->a));
		if (n == 0)
			break;
		rc = spend(m->b, (uint64_t)n, e);
		if (rc)
			return rc;
		out->len += (size_t)n;
		if (out->len - start > max) {
			m->read = false;	/* the rest is passed over, and counted */
			return err_set(e, ERR_BUDGET, "'%s' holds more than %zu bytes", it->path, max);
		}
	}
	out->data[out->len] = 0;
	return 0;
}

/* Pass over what is left of a member.  Blocks are counted as stored, so a sparse hole of exabytes
 * costs nothing. */
static int skip_member(struct members *m, struct err *e)
{
	const void *block;
	la_int64_t at;
	size_t n;
	int r, rc;

	if (m->seekable) {
		r = archive_read_data_skip(m->a);
		return r < ARCHIVE_WARN ? err_set(e, ERR_CORRUPT, "%s", arch_msg(m->a)) : 0;
	}
	while ((r = archive_read_data_block(m->a, &block, &n, &at)) == ARCHIVE_OK ||
	       r == ARCHIVE_WARN || r == ARCHIVE_RETRY) {
		rc = r == ARCHIVE_RETRY ? 0 : spend(m->b, n, e);
		if (!rc)
			rc = walk_stopped(e);
		if (rc)
			return rc;
	}
	/* A member that fails may leave the next one readable. */
	return r == ARCHIVE_FATAL ? err_set(e, ERR_CORRUPT, "%s", arch_msg(m->a)) : 0;
}

/* The place becomes that of the member: empty, "." and ".." components dropped, and a number added
 * to a name that was there before.  *unsafe: it wanted to leave the archive. */
static int enter_member(struct members *m, const char *name, struct place *back, bool *unsafe,
			struct err *e)
{
	struct walk *w = m->w;
	struct buf path = { 0 };
	bool added = false;
	unsigned i;
	int rc;

	*unsafe = false;
	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 2 && !strncmp(name, "..", 2))
			*unsafe = true;
		else if (n && !(n == 1 && *name == '.'))
			buf_addf(&path, "%s%.*s", path.len ? "/" : "", (int)n, name);
		name += n + (name[n] == '/');
	}
	if (!path.len)
		buf_addf(&path, "member-%llu", (unsigned long long)m->b->n_member);
	rc = path.failed ? err_nomem(e) : walk_enter(w, path.data, path.len, back, e);
	for (i = 2; !rc; i++) {
		rc = pathset_add(&m->seen, pathset_key(w->path.data, w->path.len), &added, e);
		if (rc || added)
			break;
		walk_leave(w, *back);
		rc = walk_enter(w, path.data, path.len, back, e);
		buf_addf(&w->path, "~%u", i);
		buf_addf(&w->full, "~%u", i);
		if (w->path.failed || w->full.failed)
			rc = err_nomem(e);
	}
	buf_release(&path);
	return rc;
}

/* Archives inside archives are read from memory. */
static int nested(struct members *m, struct item *it, struct err *e)
{
	struct walk *w = m->w;
	unsigned max = w->o->max_depth ? w->o->max_depth : WALK_MAX_DEPTH;
	struct buf bytes = { 0 };
	int rc;

	if (m->depth + 1 >= max) {
		walk_verdict(it, STATE_LIST, WHY_ARCHIVE, "an archive inside %u archives, not opened", max);
		return walk_emit(w, it, e);
	}
	it->kind = ITEM_ARCHIVE;
	rc = read_member(m, it, (size_t)walk_max_file(w), &bytes, e);
	if (rc == ERR_BUDGET || (rc == ERR_CORRUPT && !m->b->bomb)) {
		walk_verdict(it, STATE_SKIP, rc == ERR_BUDGET ? WHY_TOO_LARGE : WHY_DAMAGED,
			     "an archive that cannot be read from inside another one: %s",
			     rc == ERR_BUDGET ? "too large (--max-filesize)" : "damaged");
		rc = walk_emit(w, it, e);
	} else if (!rc) {
		walk_verdict(it, STATE_LIST, WHY_ARCHIVE, "an archive, read member by member");
		rc = walk_emit(w, it, e);
		if (!rc)
			rc = members_walk(w, NULL, bytes.data, bytes.len, m->depth + 1, m->b, e);
	}
	buf_release(&bytes);
	return rc;
}

static int one_member(struct members *m, struct archive_entry *en, struct err *e)
{
	struct item it = { .origin = FROM_ARCHIVE, .kind = ITEM_FILE, .read = read_member, .self = m };
	const char *name = archive_entry_pathname(en), *link = archive_entry_hardlink(en);
	unsigned type = archive_entry_filetype(en);
	struct walk *w = m->w;
	struct place back;
	bool unsafe;
	int rc;

	if (type == AE_IFDIR)
		return 0;
	rc = enter_member(m, name ? name : "", &back, &unsafe, e);
	if (rc)
		return rc;
	it.size = archive_entry_size_is_set(en) ? (uint64_t)archive_entry_size(en) : UINT64_MAX;
	it.mtime_ns = archive_entry_mtime_is_set(en) ? (int64_t)archive_entry_mtime(en) * 1000000000 : 0;
	it.mode = archive_entry_mode(en);
	it.path = w->path.data;
	it.n_path = w->path.len;
	walk_decide_member(w, &it, m->n_archive);
	if (it.state == STATE_TAKE && unsafe)
		walk_verdict(&it, STATE_SKIP, WHY_UNSAFE_PATH, "its name leaves the archive: '%.180s'",
			     name ? name : "");
	else if (it.state == STATE_TAKE && link)
		walk_verdict(&it, STATE_LIST, WHY_SYMLINK, "hard link to '%.180s' in the archive", link);
	else if (it.state == STATE_TAKE && type == AE_IFLNK)
		walk_verdict(&it, STATE_LIST, WHY_SYMLINK, "symbolic link to '%.180s', not followed",
			     archive_entry_symlink(en) ? archive_entry_symlink(en) : "");
	else if (it.state == STATE_TAKE && type && type != AE_IFREG)
		walk_verdict(&it, STATE_LIST, WHY_SPECIAL, "a device or FIFO in the archive");
	else if (it.state == STATE_TAKE && archive_entry_is_encrypted(en))
		walk_verdict(&it, STATE_SKIP, WHY_ENCRYPTED, "encrypted");
	if (link || type == AE_IFLNK)
		it.kind = ITEM_SYMLINK;
	if (!walk_wants(w))
		rc = 0;
	else if (it.state == STATE_TAKE && walk_is_archive(it.path, it.n_path))
		rc = nested(m, &it, e);
	else
		rc = walk_emit(w, &it, e);
	walk_leave(w, back);
	return rc == WALK_PASS ? 0 : rc;
}

static struct archive *open_archive(int fd, const void *bytes, size_t n, struct err *e)
{
	struct archive *a = archive_read_new();
	int r;

	if (!a) {
		err_nomem(e);
		return NULL;
	}
	/* Only what libarchive does itself: "all" would run programs for rare compressions. */
	archive_read_support_format_tar(a);
	archive_read_support_format_zip(a);
	archive_read_support_format_7zip(a);
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_lzma(a);
	archive_read_support_filter_lzip(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_compress(a);
	r = bytes ? archive_read_open_memory(a, bytes, n) : archive_read_open_fd(a, fd, 1 << 16);
	if (r >= ARCHIVE_WARN)
		return a;
	err_set(e, ERR_CORRUPT, "%s", arch_msg(a));
	archive_read_free(a);
	return NULL;
}

/* The archive itself, a second time: its first item said that members follow. */
static int trouble(struct members *m, enum item_why why, const char *msg, struct err *e)
{
	struct item it = { .origin = FROM_ARCHIVE, .kind = ITEM_FILE, .size = m->b->size };

	if (why == WHY_BOMB)
		walk_verdict(&it, STATE_SKIP, why, "stopped after %llu members: %s",
			     (unsigned long long)m->b->n_member, msg);
	else if (why == WHY_ENCRYPTED)
		walk_verdict(&it, STATE_SKIP, why, "encrypted: even the list of names");
	else
		walk_verdict(&it, STATE_SKIP, why, "a damaged archive, after %llu members: %s",
			     (unsigned long long)m->b->n_member, msg);
	return walk_emit(m->w, &it, e);
}

static bool skips_freely(struct archive *a)
{
	int format = archive_format(a) & ARCHIVE_FORMAT_BASE_MASK;

	return format == ARCHIVE_FORMAT_ZIP ||
	       (format == ARCHIVE_FORMAT_TAR && archive_filter_code(a, 0) == ARCHIVE_FILTER_NONE);
}

static int each_member(struct members *m, struct err *e)
{
	struct archive_entry *en;
	struct err why = { 0 };
	int r, rc;

	for (;;) {
		rc = walk_stopped(e);
		if (rc)
			return rc;
		r = archive_read_next_header(m->a, &en);
		if (r == ARCHIVE_EOF)
			return 0;
		if (r == ARCHIVE_RETRY)
			continue;
		if (r < ARCHIVE_WARN)
			return trouble(m, archive_read_has_encrypted_entries(m->a) == 1 ? WHY_ENCRYPTED :
				       WHY_DAMAGED, arch_msg(m->a), e);
		m->seekable = skips_freely(m->a);
		m->read = false;
		if (++m->b->n_member > WALK_MAX_MEMBERS) {
			m->b->bomb = true;
			snprintf(m->b->why, sizeof(m->b->why), "the limit is %u members", WALK_MAX_MEMBERS);
		} else {
			rc = one_member(m, en, e);
			if (rc && !m->b->bomb)
				return rc;
			if (!rc && !m->read)
				rc = skip_member(m, &why);
			if (rc == ERR_INTR)
				return err_set(e, rc, "interrupted");
		}
		if (m->b->bomb)
			return m->depth ? err_set(e, ERR_CORRUPT, "%s", m->b->why) :
					  trouble(m, WHY_BOMB, m->b->why, e);
		if (rc)
			return trouble(m, WHY_DAMAGED, why.msg, e);
	}
}

static int members_walk(struct walk *w, const char *file, const void *bytes, size_t n, unsigned depth,
			struct budget *b, struct err *e)
{
	struct members m = { .w = w, .b = b, .depth = depth, .n_archive = w->path.len };
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), old = (locale_t)0;
	struct err why = { 0 };
	struct stat st;
	int fd = -1, rc;

	if (file) {
		fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
			rc = trouble(&m, WHY_UNREADABLE, fd < 0 ? strerror(errno) : "not a file any more", e);
			goto out;
		}
		b->size = (uint64_t)st.st_size;
	}
	/* Names are converted to the locale's character set: with UTF-8 their bytes stay. */
	if (utf8)
		old = uselocale(utf8);
	m.a = open_archive(fd, bytes, n, &why);
	if (m.a)
		rc = each_member(&m, e);
	else
		rc = why.code == ERR_NOMEM ? err_nomem(e) : trouble(&m, WHY_DAMAGED, why.msg, e);
	archive_read_free(m.a);
	if (utf8)
		uselocale(old);
out:
	if (utf8)
		freelocale(utf8);
	if (fd >= 0)
		close(fd);
	pathset_release(&m.seen);
	return rc;
}

int walk_archive(struct walk *w, const char *file, const void *bytes, size_t n, unsigned depth,
		 struct err *e)
{
	struct budget b = {
		.size = n,
		.max = w->o->max_archive ? w->o->max_archive : WALK_MAX_ARCHIVE,
		.ratio = w->o->max_ratio ? w->o->max_ratio : WALK_MAX_RATIO,
	};

	return members_walk(w, file, bytes, n, depth, &b, e);
}
