/* One writer, eight readers and prune on one library at once, each with a handle of its own.  No
 * reader may see anything but whole states: every mount it is told of is there and whole, every
 * text too, whatever prune removes meanwhile.  Built with --enable-tsan it also proves that
 * handles share nothing.
 *
 * stress_test [SECONDS] (default 3) */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "cache/care.h"
#include "check.h"
#include "libfill.h"

#define N_READER 8

static char       dir[PATH_MAX];
static atomic_int stop, n_bad, n_written, n_read, n_pruned, n_mount;

static void bad(const char *who, const struct err *e)
{
	if (atomic_fetch_add(&n_bad, 1) < 10)
		printf("# %s: %s\n", who, e->msg);
}

/* New documents come, old ones leave the snapshot; now and then a new handle. */
static void *write_loop(void *arg)
{
	struct fill f = { 0 };
	struct err e = { 0 };
	char path[32];
	int nr = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		if (!f.lib && fill_open(&f, dir, &e)) {
			bad("writer", &e);
			break;
		}
		snprintf(path, sizeof(path), "file%d", nr);
		if (fill_document(&f, nr, path, 80 + (uint32_t)nr % 100, &e)) {
			bad("writer", &e);
			break;
		}
		nr++;
		if (nr > 10) {
			snprintf(path, sizeof(path), "file%d", nr - 10);
			if (cat_begin(f.c, &e) ||
			    cat_del_entry(f.c, f.snapshot, path, strlen(path), &e) ||
			    cat_commit(f.c, &e))
				bad("writer", &e);
		}
		atomic_fetch_add(&n_written, 1);
		if (nr % 5 == 0)
			fill_close(&f);
	}
	if (f.lib)
		fill_close(&f);
	return NULL;
}

static int see_text(void *ctx, const struct cat_entry *en, const char *text, size_t n)
{
	char want[32];
	int len = snprintf(want, sizeof(want), "document %s line 0\n", en->path + 4);

	(void)ctx;
	return n < (size_t)len || memcmp(text, want, (size_t)len) ? ERR_CORRUPT : 0;
}

static int read_once(struct err *e)
{
	struct library *lib;
	struct kv_store *st = NULL;
	struct cat_mount *m = NULL;
	int64_t snap;
	size_t n = 0;
	int rc = lib_open(&lib, dir, 0, e);

	if (rc)
		return rc;
	rc = cat_read_begin(lib_catalog(lib), e);
	if (!rc)
		rc = cat_snapshot_find(lib_catalog(lib), "src", NULL, &snap, e);
	if (!rc)
		rc = cat_texts(lib_catalog(lib), snap, see_text, NULL, e);
	if (!rc)
		rc = cat_mounts(lib_catalog(lib), 1, CAT_ISOLATED, &snap, 1, NULL, 0, NULL, &m, &n,
				NULL, e);
	cat_read_end(lib_catalog(lib));
	if (!rc)
		rc = kv_store_open(&st, lib_segments(lib), e);
	for (size_t i = 0; i < n && !rc; i++) {
		struct segment *s;
		const uint8_t *p;
		uint32_t layer, page;

		rc = kv_store_segment(st, SEGMENT_KV, m[i].ref.number,
				      m[i].ref.off + m[i].ref.bytes, &s, e);
		if (!rc)
			rc = segment_borrow(s, m[i].ref.off, m[i].ref.bytes, &p, e);
		if (!rc)
			rc = extent_verify(p, m[i].ref.bytes, &layer, &page, e);
		if (!rc)
			atomic_fetch_add(&n_mount, 1);
	}
	free(m);
	kv_store_close(st);
	lib_close(lib);
	return rc;
}

static void *read_loop(void *arg)
{
	struct err e = { 0 };

	(void)arg;
	while (!atomic_load(&stop)) {
		if (read_once(&e))
			bad("reader", &e);
		atomic_fetch_add(&n_read, 1);
	}
	return NULL;
}

static void *prune_loop(void *arg)
{
	struct err e = { 0 };

	(void)arg;
	while (!atomic_load(&stop)) {
		struct library *lib;
		struct care_pruned p;

		if (lib_open(&lib, dir, 0, &e)) {
			bad("prune", &e);
			continue;
		}
		if (care_prune(lib, false, NULL, &p, &e))
			bad("prune", &e);
		else
			atomic_fetch_add(&n_pruned, (int)p.n_document);
		lib_close(lib);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 3;
	pthread_t writer, pruner, reader[N_READER];
	struct care_verified v = { .n_damage = 99 };
	struct care_pruned p;
	struct library *lib;
	struct err e = { 0 };
	struct fill f;

	temp_make();
	snprintf(dir, sizeof(dir), "%s", temp_path("lib"));
	ok(!fill_open(&f, dir, &e) && !fill_document(&f, 1000, "file1000", 64, &e), "a library: %s",
	   e.msg);
	fill_close(&f);
	pthread_create(&writer, NULL, write_loop, NULL);
	pthread_create(&pruner, NULL, prune_loop, NULL);
	for (int i = 0; i < N_READER; i++)
		pthread_create(&reader[i], NULL, read_loop, NULL);
	for (double t0 = clock_now(); clock_now() - t0 < seconds;)
		usleep(20000);
	atomic_store(&stop, 1);
	pthread_join(writer, NULL);
	pthread_join(pruner, NULL);
	for (int i = 0; i < N_READER; i++)
		pthread_join(reader[i], NULL);
	ok(n_bad == 0 && n_written > 0 && n_read > 0, "%d documents written, %d pruned, %d reads of %d "
	   "spans: %d bad", n_written, n_pruned, n_read, n_mount, n_bad);
	ok(!lib_open(&lib, dir, 0, &e) && !care_prune(lib, false, NULL, &p, &e) &&
	   !care_verify(lib, 1, 0, NULL, &v, &e) && v.n_damage == 0, "what is left is whole");
	lib_close(lib);
	return done();
}
