/* Looking after a library: verify finds what is broken, forget and prune remove what nobody needs
 * and nothing else, never under a reader. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>

#include "base/file.h"
#include "cache/care.h"
#include "check.h"
#include "libfill.h"

static struct err e;

static int see_damage(void *ctx, const struct care_damage *d)
{
	buf_addf(ctx, "%s %s %llu %d;", d->kind, d->path, (unsigned long long)d->tokens,
		 d->repairable);
	return 0;
}

/* The damage a full verify lists, as text. */
static const char *damage(const char *dir)
{
	static char text[2][8192];
	static int turn;
	struct buf b = { 0 };
	struct care_watch w = { .damage = see_damage, .ctx = &b };
	struct care_verified v;
	struct library *lib;

	turn = !turn;
	if (lib_open(&lib, dir, LIB_DAMAGED, &e)) {
		buf_addf(&b, "cannot open: %s", e.msg);
	} else {
		if (care_verify(lib, 1, 0, &w, &v, &e))
			buf_addf(&b, "cannot verify: %s", e.msg);
		lib_close(lib);
	}
	snprintf(text[turn], sizeof(text[0]), "%s", b.data ? b.data : "");
	buf_release(&b);
	return text[turn];
}

static int n_files(const char *folder)
{
	DIR *d = opendir(temp_path(folder));
	struct dirent *ent;
	int n = 0;

	while (d && (ent = readdir(d)))
		n += *ent->d_name != '.';
	if (d)
		closedir(d);
	return n;
}

static int make(struct fill *f, const char *name)
{
	char path[32];
	uint64_t left;
	int rc = fill_open(f, temp_path(name), &e);

	for (int i = 0; i < 4 && !rc; i++) {
		snprintf(path, sizeof(path), "dir/file%d.txt", i);
		rc = fill_document(f, i, path, 200, &e);
	}
	if (!rc)
		rc = cat_begin(f->c, &e);
	if (!rc)
		rc = cat_snapshot_finish(f->c, f->snapshot, &f->snapshot, &e);
	if (!rc)
		rc = cat_commit(f->c, &e);
	if (!rc)
		rc = search_fill(f->c, UINT64_MAX, &left, &e);
	for (int i = 0; i < 3 && !rc; i++)
		rc = fill_turn(f, &e);
	if (rc)
		printf("# cannot fill: %s\n", e.msg);
	return rc;
}

static void flip(const char *file, off_t at)
{
	int fd = open(temp_path(file), O_RDWR);
	char c;

	if (fd >= 0 && pread(fd, &c, 1, at) == 1) {
		c ^= 0x10;
		if (pwrite(fd, &c, 1, at) != 1)
			printf("# cannot write\n");
	}
	close(fd);
}

static void verify_test(void)
{
	struct fill f;
	char tail[300] = "";
	DIR *d;
	struct dirent *ent;

	ok(!make(&f, "v"), "a library with everything");
	fill_close(&f);
	ok(!*damage(temp_path("v")), "is whole: %s", damage(temp_path("v")));
	flip("v/segments/00000001.kv", 8000);
	ok(!strncmp(damage(temp_path("v")), "pages src:dir/file", 18) &&
		   strstr(damage(temp_path("v")), " 200 1;"),
	   "a flip in a page names the file and its tokens: %s", damage(temp_path("v")));
	flip("v/segments/00000001.kv", 8000);
	flip("v/segments/00000001.sk", 4200);
	ok(!strncmp(damage(temp_path("v")), "summary src:dir/file", 20), "in a sketch too: %s",
	   damage(temp_path("v")));
	flip("v/segments/00000001.sk", 4200);
	flip("v/segments/00000002.si", 4200);
	ok(!strncmp(damage(temp_path("v")), "index ", 6), "and in the span index: %s",
	   damage(temp_path("v")));
	flip("v/segments/00000002.si", 4200);
	d = opendir(temp_path("v/tails"));
	while (d && (ent = readdir(d)))
		if (strstr(ent->d_name, ".far"))
			snprintf(tail, sizeof(tail), "v/tails/%s", ent->d_name);
	closedir(d);
	flip(tail, 5000);
	ok(!strncmp(damage(temp_path("v")), "tail tails/", 11), "in a session's tail: %s",
	   damage(temp_path("v")));
	flip(tail, 5000);
	ok(!truncate(temp_path("v/segments/00000001.kv"), 8192) &&
		   strstr(damage(temp_path("v")), "segment segments/"),
	   "a file cut short: %s", damage(temp_path("v")));
	ok(!unlink(temp_path("v/segments/00000001.kv")) &&
		   strstr(damage(temp_path("v")), "segment segments/"),
	   "or missing");
}

static void prune_test(void)
{
	struct care_pruned p;
	struct care_stats before, after;
	struct library *other;
	struct fill f;
	int64_t snap2, id;
	struct cat_mount *m;
	uint64_t n_forgotten;
	size_t n;
	int files;

	ok(!make(&f, "p"), "a library with everything");
	ok(!care_stats(f.lib, &before, &e) && before.n_document == 4 && before.n_extent == 4 &&
		   before.n_token == 800 && before.n_encoded == 800 && before.n_turn == 3 &&
		   before.trigram_left == 0 && before.n_page == 16,
	   "stats count it");
	ok(!care_prune(f.lib, false, NULL, &p, &e) && !p.n_document && !p.n_extent && !p.n_file,
	   "nothing to prune: %s", e.msg);

	/* A second snapshot without three of the files. */
	ok(!cat_begin(f.c, &e) && !cat_snapshot_begin(f.c, f.source, "", f.snapshot, &snap2, &e) &&
		   !cat_del_entry(f.c, snap2, "dir/file0.txt", 13, &e) &&
		   !cat_del_entry(f.c, snap2, "dir/file1.txt", 13, &e) &&
		   !cat_del_entry(f.c, snap2, "dir/file2.txt", 13, &e) &&
		   !cat_snapshot_finish(f.c, snap2, &id, &e) && !cat_commit(f.c, &e),
	   "three files were deleted");
	ok(!care_forget(f.lib, 0, 1, false, &n_forgotten, &e) && n_forgotten == 0,
	   "a pinned snapshot is kept");
	ok(!cat_begin(f.c, &e) && !sess_pin(f.c, f.session, &snap2, 1, &e) && !cat_commit(f.c, &e),
	   "unpinned");
	ok(!care_forget(f.lib, 0, 1, true, &n_forgotten, &e) && n_forgotten == 1 &&
		   !care_forget(f.lib, 0, 1, false, &n_forgotten, &e) && n_forgotten == 1 &&
		   !care_forget(f.lib, 0, 1, false, &n_forgotten, &e) && n_forgotten == 0,
	   "then it is forgotten, once");
	ok(!care_prune(f.lib, true, NULL, &p, &e) && p.n_document == 3 && p.n_extent == 3,
	   "a dry run counts");

	other = NULL;
	ok(!lib_open(&other, temp_path("p"), 0, &e), "a reader is there");
	kv_writer_free(f.writer);
	f.writer = NULL;
	files = n_files("p/segments");
	ok(!care_prune(f.lib, false, NULL, &p, &e) && p.n_document == 3 && p.n_extent == 3,
	   "prune drops rows");
	ok(p.bytes_rewritten > 0, "rewrites what is mostly dead");
	ok(p.bytes_waiting > 0 && p.n_file == 0 && n_files("p/segments") >= files,
	   "and leaves files that the reader may use (8)");
	lib_close(other);
	ok(!care_prune(f.lib, false, NULL, &p, &e) && p.n_file > 0 && p.bytes_waiting == 0,
	   "they go when it has gone: %d files", (int)p.n_file);
	ok(!care_stats(f.lib, &after, &e) && after.n_document == 1 && after.n_extent == 1 &&
	   after.segment_bytes < before.segment_bytes, "stats agree: %llu of %llu bytes",
	   (unsigned long long)after.segment_bytes, (unsigned long long)before.segment_bytes);
	ok(!cat_mounts(f.c, f.engine, CAT_ISOLATED, &snap2, 1, NULL, 0, NULL, &m, &n, NULL, &e) &&
		   n == 1,
	   "what is left can be mounted");
	free(m);
	ok(!cat_begin(f.c, &e) && !sess_rm(f.c, f.session, &e) && !cat_commit(f.c, &e) &&
		   n_files("p/tails") == 6 && !care_prune(f.lib, false, NULL, &p, &e) &&
		   n_files("p/tails") == 0,
	   "a removed session's files go");
	fill_close(&f);
	ok(!*damage(temp_path("p")), "the library is whole: %s", damage(temp_path("p")));
}

static void orphan_test(void)
{
	struct care_pruned p;
	struct fill f, g;
	char path[64];
	FILE *out;

	ok(!make(&f, "o") && !fill_open(&g, temp_path("o"), &e), "a library, and a second writer");
	out = fopen(temp_path("o/tails/deadbeef.far"), "w");
	fputs("left by a crash", out);
	fclose(out);
	out = fopen(temp_path("o/segments/notes.txt"), "w");
	fputs("somebody's", out);
	fclose(out);
	/* The second writer has written pages and not committed them. */
	ok(!cat_begin(g.c, &e), "a batch is open");
	cat_rollback(g.c);
	ok(!care_prune(f.lib, false, NULL, &p, &e) && p.n_file == 0,
	   "nothing is taken while another has it open");
	snprintf(path, sizeof(path), "late.txt");
	ok(!fill_document(&g, 77, path, 100, &e), "whose pages are committed then: %s", e.msg);
	fill_close(&g);
	ok(!care_prune(f.lib, false, NULL, &p, &e) && p.n_file == 1 &&
		   access(temp_path("o/tails/deadbeef.far"), F_OK),
	   "later the orphan goes");
	ok(!access(temp_path("o/segments/notes.txt"), F_OK), "a file that is not ours stays");
	fill_close(&f);
	ok(!*damage(temp_path("o")), "the library is whole: %s", damage(temp_path("o")));
}

/* The catalog is gone altogether: the pages are what took hours. */
static void adopt_test(void)
{
	struct care_repaired r;
	struct library *lib;
	struct cat_mount *m;
	struct fill f;
	struct cat_span s = { .end = 10, .n_token = 200 };
	struct extent_build *b = NULL;
	int64_t engine, doc, src, snap;
	size_t n;

	ok(!make(&f, "a"), "a library with everything");
	fill_close(&f);
	ok(!truncate(temp_path("a/catalog.sqlite"), 0), "its catalog is emptied");
	ok(!lib_open(&lib, temp_path("a"), LIB_MEND, &e) && !care_repair(lib, NULL, &r, &e) &&
	   r.extents_found == 4, "repair puts its four spans' pages back");
	lib_close(lib);
	ok(!*damage(temp_path("a")), "the library is whole, and empty: %s", damage(temp_path("a")));
	ok(!fill_open(&f, temp_path("a"), &e) && !fill_pages(&f, 2, 200, &b, &e),
	   "it is used again");
	engine = f.engine;
	s.last = extent_build_span(b);
	s.after = f.preamble;
	ok(!cat_begin(f.c, &e) && !cat_put_source(f.c, "x", "dir", "", &src, &e) &&
	   !cat_snapshot_begin(f.c, src, "", 0, &snap, &e) &&
	   (doc = temp_text(f.c, snap, "x", "some text of it", &e)) &&
	   !cat_put_spans(f.c, doc, engine, CAT_ISOLATED, &s, 1, &e) && !cat_commit(f.c, &e),
	   "a text is ingested again: %s", e.msg);
	ok(!cat_mounts(f.c, engine, CAT_ISOLATED, &snap, 1, NULL, 0, NULL, &m, &n, NULL, &e) &&
		   n == 1 && m[0].ref.sketch_off,
	   "and finds its pages, with their sketch");
	free(m);
	extent_build_free(b);
	fill_close(&f);
}

/* Each command that encodes on demand leaves a small file; prune makes one of them. */
static void merge_test(void)
{
	struct care_pruned p;
	struct cat_mount *m;
	struct fill f;
	char path[32];
	int good = 1, before;
	size_t n;

	for (int i = 0; i < 10; i++) {
		good &= !fill_open(&f, temp_path("m"), &e);
		snprintf(path, sizeof(path), "f%d", i);
		good &= !fill_document(&f, i, path, 100, &e);
		fill_close(&f);
	}
	good &= !fill_open(&f, temp_path("m"), &e);
	before = n_files("m/segments");
	ok(good && before == 30, "ten writers leave %d files", before);
	good = !care_prune(f.lib, false, NULL, &p, &e);
	before = n_files("m/segments");
	ok(good && before == 3, "prune makes one of each kind: %d", before);
	ok(!cat_mounts(f.c, f.engine, CAT_ISOLATED, NULL, 0, NULL, 0, &f.profile, &m, &n, NULL,
		       &e) &&
		   n == 10 && m[0].part.number && m[9].part.bytes,
	   "all spans are still encoded, and indexed");
	free(m);
	ok(!care_prune(f.lib, false, NULL, &p, &e) && !p.bytes_rewritten,
	   "and the next one finds nothing to do");
	fill_close(&f);
	ok(!*damage(temp_path("m")), "the library is whole: %s", damage(temp_path("m")));
}

static int stop_at(void *ctx, const char *phase, uint64_t n, uint64_t total)
{
	(void)phase;
	(void)n;
	(void)total;
	return --*(int *)ctx == 0 ? ERR_INTR : 0;
}

/* Stopped at every step in turn, prune ends where it would have. */
static void resume_test(void)
{
	int stopped = 0, bad = 0;

	for (int at = 1; at < 100; at++) {
		int left = at, rc;
		struct care_watch w = { .progress = stop_at, .ctx = &left };
		struct care_pruned p;
		struct fill f;
		uint64_t n;

		if (make(&f, "r"))
			break;
		kv_writer_free(f.writer);
		f.writer = NULL;
		cat_begin(f.c, &e);
		sess_rm(f.c, f.session, &e);
		cat_del_snapshot(f.c, f.snapshot, &e);
		cat_commit(f.c, &e);
		rc = care_prune(f.lib, false, &w, &p, &e);
		stopped += rc == ERR_INTR;
		bad += care_prune(f.lib, false, NULL, &p, &e) != 0;
		n = 0;
		bad += n_files("r/tails") || n_files("r/segments") || n;
		fill_close(&f);
		bad += *damage(temp_path("r")) != '\0';
		temp_clear(temp_path("r"));
		if (!rc)
			break;
	}
	ok(stopped >= 3 && !bad, "prune stopped at %d places and run again: %d bad", stopped, bad);
}

int main(void)
{
	temp_make();
	verify_test();
	prune_test();
	orphan_test();
	adopt_test();
	merge_test();
	resume_test();
	return done();
}
