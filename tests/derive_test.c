/* Covers cache/derive.h: sketches and the span index are complete, or are made again from the pages
 * with the same bytes; nothing half made is ever seen. */
#include "config.h"

#include "cache/care.h"
#include "cache/derive.h"
#include "cache/view.h"
#include "tests/check.h"
#include "tests/libfill.h"

#include <fcntl.h>

static struct err e;
static const struct spanidx_pair pairs[] = { { 1, 0 }, { 0, 0 } };

static void bail(const char *what)
{
	printf("Bail out! %s: %s\n", what, e.msg);
	exit(99);
}

/* Ten documents, without the index parts that libfill.h adds; with sketches or without. */
static void make(struct fill *f, const char *name, bool sketches)
{
	char path[32];

	if (fill_open(f, temp_path(name), &e))
		bail("open");
	f->sketches = sketches;
	for (int i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "f%d", i);
		if (fill_document(f, i, path, 100 + 13 * (uint32_t)i, &e))
			bail("fill");
	}
	if (cat_begin(f->c, &e) || cat_snapshot_finish(f->c, f->snapshot, &f->snapshot, &e) ||
	    cat_del_parts(f->c, NULL, &e) || cat_commit(f->c, &e))
		bail("parts");
}

static void set_pairs(struct fill *f, uint32_t from, uint32_t n)
{
	if (cat_begin(f->c, &e) || derive_set_pairs(f->c, f->engine, pairs + from, n, &e) || cat_commit(f->c, &e))
		bail("pairs");
}

/* How many extents have a whole index part of the engine's profile, and a whole sketch. */
static void count(struct fill *f, int *n_part, int *n_sketch)
{
	struct view_entry entry[16];
	struct cat_mount *m;
	struct kv_store *st;
	struct derive d;
	struct spanidx si;
	struct sketch sk;
	struct view *v;
	size_t n = 0;

	*n_part = *n_sketch = 0;
	if (derive_get(f->c, f->engine, &d, &e) ||
	    cat_mounts(f->c, f->engine, CAT_ISOLATED, NULL, 0, NULL, 0, &d.profile, &m, &n, NULL, &e) || n > 16)
		bail("mounts");
	for (size_t i = 0; i < n; i++)
		entry[i] = (struct view_entry){ .span = m[i].last, .kv = m[i].ref, .part = m[i].part,
						.n_token = m[i].n_token, .type = (uint8_t)m[i].type };
	if (kv_store_open(&st, lib_segments(f->lib), &e) || view_new(&v, st, &fill_geom, entry, n, &e))
		bail("view");
	for (size_t i = 0; i < n; i++) {
		*n_part += !view_part(v, i, &d.profile, &si, &e) && si.plan.n_pair == d.n_pair;
		*n_sketch += !view_sketch(v, i, 0, &sk, &e) && !view_sketch(v, i, 1, &sk, &e);
	}
	view_free(v), kv_store_close(st), derive_release(&d), free(m);
}

static bool have(struct fill *f, int n_part, int n_sketch)
{
	int a, b;

	count(f, &a, &b);
	if (a != n_part || b != n_sketch)
		printf("# %d parts, %d sketches\n", a, b);
	return a == n_part && b == n_sketch;
}

static int stop_after(void *ctx, uint64_t done, uint64_t total)
{
	(void)done, (void)total;
	return --*(int *)ctx ? 0 : ERR_INTR;
}

static void test_settings(void)
{
	struct spanidx_pair bad = { 2, 0 };
	struct derive d;
	struct fill f;

	make(&f, "s", true);
	ok(!derive_get(f.c, f.engine, &d, &e) && !d.sketches && !d.n_pair && !d.pair,
	   "an engine of which nothing was said wants nothing");
	derive_release(&d);
	ok(derive_set_pairs(f.c, f.engine, pairs, 2, &e) == ERR_INVALID, "it is said in a batch");
	if (cat_begin(f.c, &e))
		bail("begin");
	ok(derive_set_pairs(f.c, f.engine, &bad, 1, &e) == ERR_INVALID, "a head that is not there is refused");
	cat_rollback(f.c);
	set_pairs(&f, 0, 2);
	ok(!derive_get(f.c, f.engine, &d, &e) && d.n_pair == 2 && d.pair[0].far_layer == 1 && !d.pair[1].far_layer,
	   "a list of pairs comes back as it was given");
	ok(!id_eq(&d.profile, &(struct id){ 0 }) && !id_eq(&d.profile, &(struct id[]){ derive_profile(pairs, 1) }[0]),
	   "and its identity is that of the list");
	derive_release(&d);
	fill_close(&f);
}

static void test_fill(void)
{
	uint64_t made = 0, bad = 0;
	struct fill f;
	int left;

	make(&f, "f", true);
	set_pairs(&f, 0, 2);
	ok(have(&f, 0, 10), "a new list has no parts yet");
	ok(!derive_fill(f.lib, f.store, f.engine, NULL, NULL, &made, &bad, &e) && made == 10 && !bad && have(&f, 10, 10),
	   "all of them are made from the pages");
	ok(!derive_fill(f.lib, f.store, f.engine, NULL, NULL, &made, &bad, &e) && made == 0, "and none a second time");
	set_pairs(&f, 0, 1);
	ok(have(&f, 0, 10), "another list forgets the parts of the one before, in the same commit");
	left = 4;
	ok(derive_fill(f.lib, f.store, f.engine, stop_after, &left, &made, &bad, &e) == ERR_INTR, "it can be stopped");
	ok(!derive_fill(f.lib, f.store, f.engine, NULL, NULL, &made, &bad, &e) && have(&f, 10, 10), "and goes on");
	set_pairs(&f, 0, 0);
	ok(!derive_fill(f.lib, f.store, f.engine, NULL, NULL, &made, &bad, &e) && made == 0, "an empty list has none");
	fill_close(&f);
}

static void flip(const char *name, const char *file, off_t at)
{
	char path[96];
	uint8_t c = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/segments/%s", name, file);
	fd = open(temp_path(path), O_RDWR);
	if (fd < 0 || pread(fd, &c, 1, at) != 1)
		bail("flip");
	c ^= 4;
	if (pwrite(fd, &c, 1, at) != 1)
		bail("flip");
	close(fd);
}

static int take_kind(void *ctx, const struct care_damage *d)
{
	buf_addf(ctx, "%s ", d->kind);
	return 0;
}

/* What repair says it mended, by kind. */
static const char *repair(struct fill *f, const char *name, struct care_repaired *r)
{
	static char said[512];
	struct buf b = { 0 };
	struct care_watch w = { .damage = take_kind, .ctx = &b };

	fill_close(f);
	if (lib_open(&f->lib, temp_path(name), LIB_MEND, &e) || care_repair(f->lib, &w, r, &e))
		bail("repair");
	lib_close(f->lib);
	if (fill_open(f, temp_path(name), &e))
		bail("open");
	snprintf(said, sizeof(said), "%s", b.data ? b.data : "");
	buf_release(&b);
	return said;
}

static void test_repair(void)
{
	struct care_verified v;
	struct care_repaired r;
	struct derive d;
	char si[32] = "";
	struct cat_mount *m = NULL;
	const char *said;
	struct fill f;
	size_t n;

	make(&f, "r", true);
	set_pairs(&f, 0, 2);
	if (cat_begin(f.c, &e) || derive_set_sketches(f.c, f.engine, true, &e) || cat_commit(f.c, &e) ||
	    derive_fill(f.lib, f.store, f.engine, NULL, NULL, NULL, NULL, &e) || derive_get(f.c, f.engine, &d, &e) ||
	    cat_mounts(f.c, f.engine, CAT_ISOLATED, NULL, 0, NULL, 0, &d.profile, &m, &n, NULL, &e))
		bail("prepare");
	snprintf(si, sizeof(si), "%08u.si", m[0].part.number);
	free(m), derive_release(&d);

	flip("r", si, 4096 + 300);
	ok(!care_verify(f.lib, 1, 0, NULL, &v, &e) && v.n_damage == 1 && !v.n_lost, "a flip in a part is found");
	ok(have(&f, 9, 10), "the part is refused when it is touched");
	said = repair(&f, "r", &r);
	ok(!strcmp(said, "index ") && !r.tokens_to_encode && have(&f, 10, 10), "repair makes it again: %s", said);

	flip("r", "00000001.sk", 4096 + 200);
	ok(!care_verify(f.lib, 1, 0, NULL, &v, &e) && v.n_damage == 1 && !v.n_lost, "a flip in a sketch is found");
	ok(have(&f, 10, 9), "the sketch is refused when it is touched");
	said = repair(&f, "r", &r);
	ok(!strcmp(said, "summary ") && !r.tokens_to_encode && have(&f, 10, 10),
	   "repair makes it again, and encodes nothing: %s", said);

	if (unlink(temp_path("r/segments/00000001.sk")))
		bail("unlink");
	repair(&f, "r", &r);
	ok(!r.tokens_to_encode && have(&f, 10, 10), "so it is when all sketches of a file are gone");
	ok(!care_verify(f.lib, 1, 0, NULL, &v, &e) && !v.n_damage, "then the library is whole");
	fill_close(&f);

	make(&f, "o", false);
	if (cat_begin(f.c, &e) || derive_set_sketches(f.c, f.engine, true, &e) || cat_commit(f.c, &e))
		bail("prepare");
	ok(!care_verify(f.lib, 1, 0, NULL, &v, &e) && v.n_damage == 10 && have(&f, 0, 0),
	   "sketches that were never made are missed");
	said = repair(&f, "o", &r);
	ok(!r.tokens_to_encode && have(&f, 0, 10), "and made by repair");
	fill_close(&f);
}

/* Prune moves extents into new files: a damaged sketch must not follow, and must not cost the pages. */
static void test_prune(void)
{
	struct care_pruned p;
	struct care_stats s;
	struct fill f;
	char path[32];

	for (int i = 0; i < 10; i++) {
		if (fill_open(&f, temp_path("p"), &e))
			bail("open");
		snprintf(path, sizeof(path), "f%d", i);
		if (fill_document(&f, i, path, 100, &e))
			bail("fill");
		fill_close(&f);
	}
	flip("p", "00000001.sk", 4096 + 200);
	if (fill_open(&f, temp_path("p"), &e) || care_prune(f.lib, false, NULL, &p, &e) || care_stats(f.lib, &s, &e))
		bail("prune");
	ok(p.bytes_rewritten > 0 && s.n_extent == 10 && have(&f, 0, 10),
	   "prune makes a damaged sketch anew on the way, and keeps its pages");
	fill_close(&f);
}

int main(void)
{
	temp_make();
	test_settings();
	test_fill();
	test_repair();
	test_prune();
	return done();
}
