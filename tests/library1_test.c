/* Libraries of format 1 are read by every later release: tests/vectors/library1.tar.gz was written by the
 * first one, tests/vectors/library1.txt is what it answered.
 *
 * library1_test make DIR: write the library into DIR and its answers to stdout (see
 * tests/vectors/make_library1.sh, which packs both; run it for a new format only, never again for 1). */
#include "config.h"

#include "base/file.h"
#include "cache/care.h"
#include "check.h"
#include "libfill.h"
#include "libsay.h"

static int make(const char *dir)
{
	static const char text[] = "first line\nsecond line of many\n\nfourth, after an empty one";
	struct cat_anchor anchor[2] = { { 0, 11, 2, 1, "first", "" }, { 11, 0, 4, 0, "f", "int f(void)" } };
	struct cat_text t = { text, sizeof(text) - 1, "c", anchor, 2 };
	struct cat_blob *b;
	struct fill f;
	uint64_t left;
	int64_t doc;
	int rc = fill_open(&f, dir, &e);

	for (int i = 0; i < 2 && !rc; i++)
		rc = fill_document(&f, i, i ? "b/two.txt" : "one.txt", i ? 130 : 64, &e);
	if (!rc)
		rc = cat_blob_new(&b, &t, &e);
	if (!rc)
		rc = cat_begin(f.c, &e);
	if (!rc)
		rc = cat_put_text(f.c, b, &doc, NULL, &e);
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
	cat_blob_free(b);
	fill_close(&f);
	return rc;
}

static void check_map(const char *dir)
{
	struct library *lib;
	struct cat_map *m = NULL;
	const struct cat_anchor *a;
	uint64_t from, to;

	ok(!lib_open(&lib, dir, LIB_TRUST, &e) && !cat_map_open(&m, lib_catalog(lib), 3, &e),
	   "its maps are read");
	a = m ? cat_map_anchor(m, 4, 12) : NULL;
	ok(m && cat_map_lines(m) == 4 && cat_map_line(m, 12) == 2 && cat_map_range(m, 4, &from, &to) &&
	   from == 32 && a && !strcmp(a->detail, "int f(void)"), "lines and anchors are where they were");
	cat_map_close(m);
	lib_close(lib);
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir") ? getenv("srcdir") : ".";
	struct care_verified v = { .n_damage = 1 };
	struct buf want = { 0 }, got = { 0 }, path = { 0 };
	struct library *lib;
	char cmd[PATH_MAX * 3];
	bool whole;

	if (argc == 3 && !strcmp(argv[1], "make")) {
		if (make(argv[2])) {
			fprintf(stderr, "%s\n", e.msg);
			return 2;
		}
		say_all(argv[2], &got);
		fwrite(got.data, 1, got.len, stdout);
		buf_release(&got);
		return 0;
	}
	temp_make();
	snprintf(cmd, sizeof(cmd), "gzip -dc '%s/tests/vectors/library1.tar.gz' | (cd '%s' && tar xof -)",
		 srcdir, temp_dir);
	if (system(cmd))
		skip_all("tar and gzip are needed");
	buf_addf(&path, "%s/tests/vectors/library1.txt", srcdir);
	ok(!file_read(&want, path.data, 1 << 20, &e), "what it answered is known");
	say_all(temp_path("library1"), &got);
	ok(got.len == want.len && !memcmp(got.data, want.data, got.len), "it answers the same today");
	if (got.len != want.len)
		printf("# %.*s\n", (int)got.len, got.data ? got.data : "");
	whole = !lib_open(&lib, temp_path("library1"), LIB_TRUST, &e) &&
		!care_verify(lib, 1, 0, NULL, &v, &e) && !v.n_damage;
	ok(whole, "it is whole: %s", e.msg);
	lib_close(lib);
	check_map(temp_path("library1"));
	buf_release(&want);
	buf_release(&got);
	buf_release(&path);
	return done();
}
