/* Rot: bytes of a small library are flipped one by one, files are cut short.  What verify does not
 * find must change nothing; after repair the library is whole and what could be kept was kept.
 *
 * flip_test [STRIDE [START]]: every STRIDE-th byte of every file from START on (default: some 700 in
 * all); make check-flip flips every one.  Every file is also cut at every multiple of 4096. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/file.h"
#include "cache/care.h"
#include "check.h"
#include "libfill.h"
#include "libsay.h"

static int make(const char *dir)
{
	struct fill f;
	uint64_t left;
	int rc = fill_open(&f, dir, &e);

	for (int i = 0; i < 3 && !rc; i++) {
		char path[32];

		snprintf(path, sizeof(path), "file%d.txt", i);
		rc = fill_document(&f, i, path, 100, &e);
	}
	if (!rc)
		rc = cat_begin(f.c, &e);
	if (!rc)
		rc = cat_set(f.c, 0, "key", "value", 5, &e);
	if (!rc)
		rc = cat_snapshot_finish(f.c, f.snapshot, &f.snapshot, &e);
	if (!rc)
		rc = cat_commit(f.c, &e);
	if (!rc)
		rc = search_fill(f.c, UINT64_MAX, &left, &e);
	for (int i = 0; i < 2 && !rc; i++)
		rc = fill_turn(&f, &e);
	fill_close(&f);
	return rc;
}

/* ---- Rot ------------------------------------------------------------------------------------- */

static bool verbose;

/* The first damage is enough to know. */
static int say_damage(void *ctx, const struct care_damage *d)
{
	(void)ctx;
	if (verbose)
		printf("# %s %s: %s\n", d->kind, d->path, d->what);
	return verbose ? 0 : ERR_INTR;
}

static uint64_t n_found(const char *dir)
{
	struct care_watch w = { .damage = say_damage };
	struct care_verified v = { 0 };
	struct library *lib;
	int rc = lib_open(&lib, dir, LIB_DAMAGED, &e);

	if (rc)
		return 1;
	rc = care_verify(lib, 1, 0, &w, &v, &e);
	lib_close(lib);
	return v.n_damage + (rc != 0);
}

static bool flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t b = 0;
	bool good = fd >= 0 && pread(fd, &b, 1, at) == 1;

	b ^= (uint8_t)(1u << (at % 8));
	good = good && pwrite(fd, &b, 1, at) == 1;
	close(fd);
	return good;
}

static void copy_file(const char *from, const char *to)
{
	struct buf b = { 0 };

	if (!file_read(&b, from, 1u << 30, &e)) {
		int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);

		if (fd < 0 || write(fd, b.data ? b.data : "", b.len) != (ssize_t)b.len)
			printf("# cannot copy %s\n", from);
		close(fd);
	}
	buf_release(&b);
}

static const char *const folder[] = { "", "/segments", "/tails", "/lock" };

static void copy_library(const char *from, const char *to)
{
	char a[PATH_MAX + 300], b[PATH_MAX + 300];

	temp_clear(to);
	mkdir(to, 0777);
	for (int i = 0; i < 4; i++) {
		struct dirent *ent;
		DIR *d;

		snprintf(a, sizeof(a), "%s%s", from, folder[i]);
		snprintf(b, sizeof(b), "%s%s", to, folder[i]);
		mkdir(b, 0777);
		d = opendir(a);
		while (d && (ent = readdir(d))) {
			if (ent->d_type != DT_REG)
				continue;
			snprintf(a, sizeof(a), "%s%s/%s", from, folder[i], ent->d_name);
			snprintf(b, sizeof(b), "%s%s/%s", to, folder[i], ent->d_name);
			copy_file(a, b);
		}
		if (d)
			closedir(d);
	}
}

struct tally {
	long n, found, dead, bad, repaired, repair_bad;
};

static void one_file(const char *dir, const char *name, const struct buf *want, off_t start,
		     off_t stride, struct tally *t)
{
	char path[PATH_MAX + 300];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (stat(path, &st))
		return;
	for (off_t at = start % stride; at < st.st_size; at += stride) {
		struct buf got = { 0 };
		uint64_t found;

		if (!flip(path, at))
			break;
		t->n++;
		found = n_found(dir);
		if (found) {
			t->found++;
		} else {
			t->dead++;
			say_all(dir, &got);
			if (got.len != want->len || memcmp(got.data, want->data, got.len)) {
				printf("# %s byte %lld: not found, and the answers differ\n", name,
				       (long long)at);
				t->bad++;
			}
		}
		flip(path, at);
		buf_release(&got);
	}
}

static void flips(const char *dir, const struct buf *want, off_t stride, off_t start)
{
	static const char *const ext[] = { ".kv", ".sk", ".si", ".far", ".near" };
	struct tally t = { 0 };
	double t0 = clock_now();

	/* All of it is under sums: a quarter as many will do, unless all are wanted. */
	one_file(dir, "catalog.sqlite", want, start, stride < 8 ? stride : stride * 4, &t);
	ok(t.n && t.found + t.dead == t.n && !t.bad,
	   "catalog: %ld flips, %ld found, %ld change nothing, %ld bad", t.n, t.found, t.dead,
	   t.bad);
	for (size_t i = 0; i < 5; i++) {
		const char *sub = i < 3 ? "segments" : "tails";
		struct dirent *ent;
		char a[PATH_MAX + 16];
		DIR *d;

		t = (struct tally){ 0 };
		snprintf(a, sizeof(a), "%s/%s", dir, sub);
		d = opendir(a);
		while (d && (ent = readdir(d))) {
			char name[300];

			if (!strstr(ent->d_name, ext[i]))
				continue;
			snprintf(name, sizeof(name), "%s/%s", sub, ent->d_name);
			one_file(dir, name, want, start, stride, &t);
		}
		if (d)
			closedir(d);
		ok(t.n && !t.bad, "%s files: %ld flips, %ld found, %ld change nothing, %ld bad",
		   ext[i], t.n, t.found, t.dead, t.bad);
	}
	t = (struct tally){ 0 };
	one_file(dir, "format", want, 0, 1, &t);
	one_file(dir, "commits", want, 0, 1, &t);
	one_file(dir, ".gitignore", want, 0, 1, &t);
	one_file(dir, "lock/readers", want, 0, 1, &t);
	ok(!t.bad, "small files: %ld flips, %ld found, %ld change nothing, %ld bad", t.n, t.found,
	   t.dead, t.bad);
	printf("# %.0f s\n", clock_now() - t0);
}

/* ---- Cuts and the journal -------------------------------------------------------------------- */

/* Does verify find it, or do the answers stay what they are? */
static void judge(const char *dir, const struct buf *want, const char *name, off_t at, struct tally *t)
{
	struct buf got = { 0 };

	t->n++;
	if (n_found(dir)) {
		t->found++;
		return;
	}
	t->dead++;
	say_all(dir, &got);
	if (got.len != want->len || memcmp(got.data, want->data, got.len)) {
		printf("# %s at %lld: not found, and the answers differ\n", name, (long long)at);
		t->bad++;
	}
	buf_release(&got);
}

/* Every file that holds data, cut at every multiple of 4096. */
static void cuts(const char *dir, const struct buf *want)
{
	char a[PATH_MAX + 16], path[PATH_MAX + 300], to[PATH_MAX];
	struct tally t = { 0 };

	snprintf(to, sizeof(to), "%s", temp_path("cut"));
	for (int i = 0; i < 3; i++) {
		struct dirent *ent;
		DIR *d;

		snprintf(a, sizeof(a), "%s%s", dir, folder[i]);
		d = opendir(a);
		while (d && (ent = readdir(d))) {
			struct stat st;

			if (ent->d_type != DT_REG || (i == 0 && strcmp(ent->d_name, "catalog.sqlite")))
				continue;
			snprintf(path, sizeof(path), "%s/%s", a, ent->d_name);
			for (off_t cut = 0; !stat(path, &st) && cut < st.st_size; cut += 4096) {
				char copy[2 * PATH_MAX];

				copy_library(dir, to);
				snprintf(copy, sizeof(copy), "%s%s/%s", to, folder[i], ent->d_name);
				if (truncate(copy, cut))
					t.bad++;
				else
					judge(to, want, ent->d_name, cut, &t);
			}
		}
		if (d)
			closedir(d);
	}
	ok(t.n > 60 && t.found == t.n && !t.bad, "cuts: %ld, %ld found, %ld change nothing, %ld bad", t.n, t.found,
	   t.dead, t.bad);
}

/* What a process leaves that was killed: commits that are in the journal alone.  Opening it moves
 * them into the file, so each flip has a copy of its own. */
static void journal(off_t stride, off_t start)
{
	char dir[PATH_MAX], live[PATH_MAX], to[PATH_MAX], wal[PATH_MAX + 64];
	struct tally t = { 0 };
	struct buf want = { 0 };
	struct stat st;
	struct fill f;

	snprintf(dir, sizeof(dir), "%s", temp_path("killed"));
	snprintf(live, sizeof(live), "%s", temp_path("live"));
	snprintf(to, sizeof(to), "%s", temp_path("flipped"));
	if (make(live) || fill_open(&f, live, &e) || fill_document(&f, 9, "late.txt", 90, &e)) {
		ok(0, "a library with a journal: %s", e.msg);
		return;
	}
	copy_library(live, dir);
	fill_close(&f);
	copy_library(dir, to);
	say_all(to, &want);
	snprintf(wal, sizeof(wal), "%s/catalog.sqlite-wal", to);
	for (off_t at = start % stride;; at += stride) {
		copy_library(dir, to);
		if (stat(wal, &st) || at >= st.st_size || !flip(wal, at))
			break;
		judge(to, &want, "journal", at, &t);
	}
	ok(t.n > 20 && t.found && !t.bad, "journal: %ld flips, %ld found, %ld change nothing, %ld bad", t.n, t.found,
	   t.dead, t.bad);
	buf_release(&want);
}

/* What repair left: nothing damaged, nothing invented; texts whole or named as lost. */
static bool after_repair(const char *dir, const struct buf *want, const char *what)
{
	struct care_repaired r;
	struct library *lib;
	struct buf got = { 0 };
	bool good = true;
	int rc = lib_open(&lib, dir, LIB_MEND, &e);

	if (rc) {
		printf("# %s: cannot even open it: %s\n", what, e.msg);
		return false;
	}
	rc = care_repair(lib, NULL, &r, &e);
	lib_close(lib);
	verbose = true;
	if (rc || n_found(dir)) {
		printf("# %s: after repair (%d: %s)\n", what, rc, rc ? e.msg : "");
		verbose = false;
		return false;
	}
	verbose = false;
	say_all(dir, &got);
	/* Every line that is not about an error must have been there before. */
	for (char *line = got.data, *end; line && *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		if (strstr(line, "error") || strstr(line, "(damaged") ||
		    !strncmp(line, "mount", 5) || !strncmp(line, "hit", 3) ||
		    !strncmp(line, "part", 4))
			continue;
		if (!memmem(want->data, want->len, line, strlen(line))) {
			printf("# %s: invented '%s'\n", what, line);
			good = false;
		}
	}
	buf_release(&got);
	return good;
}

static void repairs(const char *dir, const struct buf *want, long n)
{
	char what[2 * PATH_MAX + 800], path[PATH_MAX + 400];
	struct stat st;
	unsigned seed = 5;
	long done_ = 0, bad = 0;
	const char *copy = temp_path("copy");
	char to[PATH_MAX];

	snprintf(to, sizeof(to), "%s", copy);
	while (done_ < n) {
		int i = rand_r(&seed) % 3;
		struct dirent *ent;
		char sub[PATH_MAX + 16];
		DIR *d;
		int k = 0;

		copy_library(dir, to);
		snprintf(sub, sizeof(sub), "%s%s", to, folder[i]);
		d = opendir(sub);
		*path = '\0';
		while (d && (ent = readdir(d))) {
			if (ent->d_type != DT_REG ||
			    (i == 0 && strcmp(ent->d_name, "catalog.sqlite")))
				continue;
			if (rand_r(&seed) % ++k == 0)
				snprintf(path, sizeof(path), "%s/%s", sub, ent->d_name);
		}
		if (d)
			closedir(d);
		if (!*path || stat(path, &st))
			continue;
		if (i && rand_r(&seed) % 4 == 0) {
			off_t cut = (off_t)(rand_r(&seed) % (unsigned)(st.st_size / 4096)) * 4096;

			snprintf(what, sizeof(what), "%s cut at %lld", path, (long long)cut);
			if (truncate(path, cut))
				continue;
		} else {
			off_t at = rand_r(&seed) % st.st_size;

			snprintf(what, sizeof(what), "%s flipped at %lld", path, (long long)at);
			flip(path, at);
		}
		done_++;
		bad += !after_repair(to, want, what);
	}
	ok(!bad, "%ld damaged libraries repaired: %ld bad", done_, bad);
}

int main(int argc, char **argv)
{
	off_t stride = argc > 1 ? atol(argv[1]) : 331;
	struct buf want = { 0 };
	char dir[PATH_MAX];

	temp_make();
	snprintf(dir, sizeof(dir), "%s", temp_path("lib"));
	ok(!make(dir) && n_found(dir) == 0, "a small library with everything: %s", e.msg);
	say_all(dir, &want);
	ok(want.len > 200 && !strstr(want.data, "error"), "answers");
	flips(dir, &want, stride, argc > 2 ? atol(argv[2]) : 7);
	cuts(dir, &want);
	journal(stride < 31 ? 31 : stride * 10, argc > 2 ? atol(argv[2]) : 7);
	repairs(dir, &want, argc > 1 ? 600 : 60);
	buf_release(&want);
	return done();
}
