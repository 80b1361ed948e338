/* cache_bench DIR [MIB] - speeds of the file side of the cache, as CSV: what,variant,value,unit,note
 *
 * Writes about MIB mebibytes (default 1024) of made-up extents under DIR, which should be on the disk
 * to be measured, and removes them.  Every cold figure is taken after POSIX_FADV_DONTNEED on files that
 * were synced.  fio, where it is installed, reads the same files right before and after; its figures
 * are the yardstick ("85 % of what fio reads in the same run").  Five rounds, medians.
 *
 * Kernels are timed in processor time of their thread, the rest by the wall clock: on a busy machine
 * compare with the yardstick of the same run only.
 *
 * Inside the timed window: a scan or gather from its first call to the last tile, checksums included; an
 * append from the first kv_writer_add to the end of kv_writer_sync. */
#include "config.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/size.h"
#include "cache/ring.h"
#include "cache/sketch.h"
#include "cache/view.h"
#include "tests/cache_make.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define MADE    4u		/* different extents; copies get other tokens and identities */
#define ROUNDS  5
#define TOKENS  8000u		/* of a span */

static const struct kv_geom geom = { 4, 4, 64, KV_PAGE_TOKENS };
static struct kv_store *st;
static struct view_entry *entry;
static size_t n_entry;
static uint32_t last_number;
static const char *dir;

static void row(const char *what, const char *variant, double value, const char *unit,
		const char *note)
{
	printf("%s,%s,%.4g,%s,%s\n", what, variant, value, unit, note);
	fflush(stdout);
}

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "cache_bench: %s: %s\n", what, e->msg);
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *x, size_t n)
{
	qsort(x, n, sizeof(*x), by_value);
	return x[n / 2];
}

static int next_number(void *ctx, uint32_t *number, struct err *e)
{
	(void)ctx;
	(void)e;
	*number = ++last_number;
	return 0;
}

static char *kv_path(uint32_t number)
{
	return kv_store_path(st, SEGMENT_KV, number);
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Mapped pages are not dropped, so the store is opened anew. */
static void drop_caches(void)
{
	struct err e = { 0 };

	kv_store_close(st);
	if (kv_store_open(&st, dir, &e))
		die("store", &e);
	for (uint32_t i = 1; i <= last_number; i++) {
		char *path = kv_path(i);
		int fd = open(path, O_RDONLY);

		if (fd >= 0) {
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			close(fd);
		}
		free(path);
	}
}

/* ---- making ---- */

/* Another span with the same values: new tokens, so new identities and sums. */
static void restamp(uint8_t *image, const struct extent_plan *p, int32_t which)
{
	struct id engine = { { 7 } }, attends = { { 9 } }, span;
	int32_t *tok = (int32_t *)(image + EXTENT_HEAD_BYTES + 32ull * p->n_page);
	struct sum128 s;

	tok[0] = which;
	span = ident_span(&engine, IDENT_ISOLATED, &attends, tok, p->n_token,
			  (struct id *)(image + EXTENT_HEAD_BYTES));
	memcpy(image + 144, &span, 32);
	s = sum128_of(image + 32, p->data_off - 32);
	memcpy(image + 16, &s, 16);
	for (uint32_t l = 0; l < p->geom.n_far_layer; l++)
		for (uint32_t i = 0; i < p->n_page; i++) {
			uint8_t *strip = image + extent_strip_off(p, l, i);

			memcpy(strip + 32, &span, 32);
			s = sum128_of(strip + 16, extent_strip_bytes(p, i) - 16);
			memcpy(strip, &s, 16);
		}
}

static void append_all(uint64_t want)
{
	struct extent_build *b[MADE];
	struct err e = { 0 };
	struct kv_writer *w;
	uint64_t total = 0;
	double spent = 0, t0, t1;
	size_t n;

	t0 = clock_now();
	for (unsigned i = 0; i < MADE; i++)
		b[i] = make_extent(&geom, KV_Q4, TOKENS, i);
	extent_build_image(b[0], &n);
	n_entry = want / n + 1;
	entry = calloc(n_entry, sizeof(*entry));
	if (!entry || kv_writer_new(&w, st, 0, next_number, NULL, &e))
		die("writer", &e);
	for (size_t i = 0; i < n_entry; i++) {
		uint8_t *image = (uint8_t *)extent_build_image(b[i % MADE], &n);

		restamp(image, extent_build_plan(b[i % MADE]), (int32_t)i);
		memcpy(&entry[i].span, image + 144, 32);
		entry[i].n_token = TOKENS;
		entry[i].type = KV_Q4;
		t0 = clock_now();
		if (kv_writer_add(w, image, n, NULL, 0, &entry[i].kv, &e) ||
		    ((i % 64 == 63 || i + 1 == n_entry) && kv_writer_sync(w, &e)))
			die("append", &e);
		t1 = clock_now();
		spent += t1 - t0;
		total += n;
	}
	kv_writer_free(w);
	row("append", "pwrite + fdatasync every 64 spans", (double)total / spent / 1e6, "MB/s", "");
	row("library", "bytes", (double)total / 1048576, "MiB", "");
	row("library", "tokens", (double)n_entry * TOKENS, "tokens", "");
	row("library", "bytes per token", (double)total / ((double)n_entry * TOKENS), "B", "q4");
	for (unsigned i = 0; i < MADE; i++)
		extent_build_free(b[i]);
}

/* The same bytes without us: pwrite of 1 MiB and one fdatasync every 64 spans' worth. */
static void append_raw(uint64_t bytes)
{
	char path[4200];
	uint8_t *buf = aligned_alloc(4096, 1 << 20);
	double t0, spent;
	int fd;

	snprintf(path, sizeof(path), "%s/00000099.si", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
	for (size_t i = 0; i < 1 << 20; i++)
		buf[i] = (uint8_t)make_rnd();
	t0 = clock_now();
	for (uint64_t off = 0; off < bytes; off += 1 << 20)
		if (pwrite(fd, buf, 1 << 20, (off_t)off) != 1 << 20 ||
		    (off / (1 << 20) % 280 == 279 && fdatasync(fd)))
			return;
	fdatasync(fd);
	spent = clock_now() - t0;
	row("append", "plain pwrite of 1 MiB + fdatasync", (double)bytes / spent / 1e6, "MB/s",
	    "the disk's own");
	close(fd);
	unlink(path);
	free(buf);
}

/* ---- fio ---- */

static double fio(const char *rw, size_t bs, unsigned seconds)
{
	char cmd[8192], line[256];
	double kib = -1;
	char *path = kv_path(1);
	FILE *f;

	snprintf(cmd, sizeof(cmd),
		 "fio --name=x --filename='%s' --readonly --rw=%s --bs=%zu --direct=1 "
		 "--ioengine=io_uring --iodepth=32 --runtime=%u --time_based "
		 "--output-format=terse --terse-version=3 2>/dev/null | cut -d';' -f7",
		 path, rw, bs, seconds);
	free(path);
	f = popen(cmd, "r");
	if (f && fgets(line, sizeof(line), f))
		kib = atof(line);
	if (f && pclose(f))
		kib = -1;
	return kib > 0 ? kib * 1024 / 1e6 : -1;
}

/* ---- reading ---- */

/* All layers, once each. */
static double scan_all(struct view *v, const struct view_config *cfg, uint64_t *bytes)
{
	const uint32_t *order = view_disk_order(v);
	struct view_reader *r;
	struct kv_tile t;
	struct err e = { 0 };
	double t0 = clock_now();
	int rc = 0;

	*bytes = 0;
	if (view_reader_new(&r, v, cfg, &e))
		die("reader", &e);
	for (uint32_t l = 0; l < geom.n_far_layer; l++) {
		if (view_scan(r, l, order, view_count(v), &e))
			die("scan", &e);
		while (!(rc = view_next(r, &t, &e)))
			*bytes += t.l.body_bytes + STRIP_HEAD_BYTES;
		if (rc != ERR_NOTFOUND)
			die("scan", &e);
	}
	view_reader_free(r);
	return (double)*bytes / (clock_now() - t0) / 1e6;
}

static double gather(struct view *v, const struct view_config *cfg, size_t n, double *per_second)
{
	struct strip_ref *ref = calloc(n, sizeof(*ref));
	uint64_t bytes = 0;
	struct view_reader *r;
	struct kv_tile t;
	struct err e = { 0 };
	double t0;
	int rc;

	for (size_t i = 0; i < n; i++)
		ref[i] = (struct strip_ref){ (uint32_t)(make_rnd() % view_count(v)),
					     1 + (uint32_t)(make_rnd() % (TOKENS / 64 - 1)) };
	if (view_reader_new(&r, v, cfg, &e))
		die("reader", &e);
	t0 = clock_now();
	if (view_gather(r, 1, ref, n, &e))
		die("gather", &e);
	while (!(rc = view_next(r, &t, &e)))
		bytes += t.l.body_bytes + STRIP_HEAD_BYTES;
	if (rc != ERR_NOTFOUND)
		die("gather", &e);
	t0 = clock_now() - t0;
	view_reader_free(r);
	free(ref);
	*per_second = (double)n / t0;
	return (double)bytes / t0 / 1e6;
}

static struct view *fresh_view(void)
{
	struct err e = { 0 };
	struct view *v;

	if (view_new(&v, st, &geom, entry, n_entry, &e))
		die("view", &e);
	return v;
}

enum { AUTO = 3 };	/* in the lists of ways */

static void bench_scans(void)
{
	static const struct { const char *name; struct view_config cfg; } way[] = {
		{ "ring direct 1 MiB", { VIEW_IO_DIRECT, false, 1 << 20 } },
		{ "ring direct 4 MiB", { VIEW_IO_DIRECT, false, 4 << 20 } },
		{ "ring buffered 4 MiB", { VIEW_IO_BUFFERED, false, 4 << 20 } },
		{ "auto", { VIEW_IO_AUTO, false, 0 } },
		{ "pread direct", { VIEW_IO_DIRECT, true, 1 << 20 } },
		{ "mmap with advice", { VIEW_IO_MMAP, false, 0 } },
	};
	size_t n_way = ARRAY_LEN(way);
	double got[8][ROUNDS], raw[ROUNDS], again[ROUNDS], ratio[ROUNDS];
	uint64_t bytes;

	for (int k = 0; k < ROUNDS; k++) {
		raw[k] = fio("read", 1 << 20, 3);
		again[k] = -1;
		for (size_t i = 0; i < n_way; i++) {
			struct view *v;

			drop_caches();
			v = fresh_view();
			got[i][k] = scan_all(v, &way[i].cfg, &bytes);
			if (way[i].cfg.io == VIEW_IO_AUTO)
				again[k] = scan_all(v, &way[i].cfg, &bytes);
			view_free(v);
		}
		ratio[k] = got[AUTO][k] / raw[k];
	}
	row("scan cold", "fio read 1 MiB direct", median(raw, ROUNDS), "MB/s", "yardstick; -1: no fio");
	row("scan cold", "auto against fio of its round", median(ratio, ROUNDS), "x", "");
	row("scan cold", "auto a second time", median(again, ROUNDS), "MB/s", "still cold; fills the page cache");
	for (size_t i = 0; i < n_way; i++)
		row("scan cold", way[i].name, median(got[i], ROUNDS), "MB/s", "verified");
}

static void bench_gathers(void)
{
	static const struct { const char *name; struct view_config cfg; size_t n; } way[] = {
		{ "ring direct 1 MiB", { VIEW_IO_DIRECT, false, 1 << 20 }, 16384 },
		{ "ring direct 4 MiB", { VIEW_IO_DIRECT, false, 4 << 20 }, 16384 },
		{ "ring buffered 4 MiB", { VIEW_IO_BUFFERED, false, 4 << 20 }, 16384 },
		{ "auto", { VIEW_IO_AUTO, false, 0 }, 16384 },
		{ "pread direct", { VIEW_IO_DIRECT, true, 1 << 20 }, 4096 },
		{ "mmap with advice", { VIEW_IO_MMAP, false, 0 }, 4096 },
	};
	struct extent_plan p;
	size_t n_way = ARRAY_LEN(way), strip;
	double got[8][ROUNDS], rate[8][ROUNDS], raw[ROUNDS], exact[ROUNDS], ratio[ROUNDS];

	extent_plan_init(&p, &geom, KV_Q4, TOKENS, NULL);
	strip = extent_strip_bytes(&p, 1);
	for (int k = 0; k < ROUNDS; k++) {
		raw[k] = fio("randread", round_up(strip, 4096), 3);
		exact[k] = fio("randread", round_up(strip, 512), 3);
		for (size_t i = 0; i < n_way; i++) {
			struct view *v;

			drop_caches();
			v = fresh_view();
			got[i][k] = gather(v, &way[i].cfg, way[i].n, &rate[i][k]);
			view_free(v);
		}
		ratio[k] = got[AUTO][k] / raw[k];
	}
	row("gather cold", "auto against fio of its round", median(ratio, ROUNDS), "x", "4096-aligned blocks");
	row("gather cold", "strip", (double)strip, "B", "");
	row("gather cold", "fio randread direct, 4096-aligned blocks", median(raw, ROUNDS), "MB/s",
	    "yardstick; -1: no fio");
	row("gather cold", "fio randread direct, 512-aligned blocks", median(exact, ROUNDS), "MB/s",
	    "yardstick; -1: no fio");
	for (size_t i = 0; i < n_way; i++) {
		row("gather cold", way[i].name, median(got[i], ROUNDS), "MB/s", "verified");
		row("gather cold", way[i].name, median(rate[i], ROUNDS), "strips/s", "");
	}
}

static void bench_hot(void)
{
	struct view_config cfg = { VIEW_IO_AUTO, false, 0 };
	struct view *v = fresh_view();
	uint64_t bytes;
	double rate;

	(void)scan_all(v, &cfg, &bytes);
	view_free(v);
	v = fresh_view();
	row("scan hot", "first touch, verified", scan_all(v, &cfg, &bytes), "MB/s", "in the page cache "
	    "if memory allows");
	row("scan hot", "again", scan_all(v, &cfg, &bytes), "MB/s", "bookkeeping only: tiles handed out");
	(void)gather(v, &cfg, 100000, &rate);
	row("gather hot", "auto", rate, "strips/s", "");
	view_free(v);
}

/* ---- kernels ---- */

static void bench_kernels(void)
{
	static const char *const name[] = { "", "f16", "q8", "q4" };
	struct extent_build *b;
	size_t n_val = (size_t)1024 * kv_row(&geom);
	float *k = malloc(n_val * 4), *v = malloc(n_val * 4);
	struct extent_desc d = { .geom = geom, .mode = IDENT_ISOLATED, .n_token = 1024 };
	static float kd[64 * 64], vd[64 * 64];
	int32_t *tok = calloc(1024, 4);
	double t0, t;

	make_values(k, n_val, 1);
	make_values(v, n_val, 2);
	d.token = tok;
	for (int type = KV_F16; type <= KV_Q4; type++) {
		const struct extent_plan *p;
		struct kv_layout l;
		const uint8_t *image;
		size_t n;
		long reps = 0;

		d.type = (enum kv_type)type;
		t0 = cpu_now();
		for (int i = 0; i < 8; i++) {
			if (extent_build_new(&b, &d, NULL))
				return;
			for (uint32_t layer = 0; layer < geom.n_far_layer; layer++)
				extent_build_layer(b, layer, k, v, NULL);
			extent_build_seal(b, NULL);
			if (i < 7)
				extent_build_free(b);
		}
		t = cpu_now() - t0;
		row("encode", name[type], 8 * 1024.0 * geom.n_far_layer / t, "tokens x layers/s",
		    "K and V of 4 heads of 64; one thread");
		p = extent_build_plan(b);
		image = extent_build_image(b, &n);
		extent_strip_layout(p, 5, &l);
		for (int ref = 0; ref < 2; ref++) {
			reps = ref ? 200 : 4000;
			t0 = cpu_now();
			for (long i = 0; i < reps; i++)
				(ref ? kv_decode_head_ref : kv_decode_head)(
					&l, image + extent_strip_off(p, 1, 5) + STRIP_HEAD_BYTES,
					(uint32_t)i % 4, kd, vd);
			t = cpu_now() - t0;
			row(ref ? "decode ref" : "decode", name[type],
			    (double)reps * 2 * 64 * 64 * 4 / t / 1e9, "GB/s of f32",
			    "one strip's heads, in L1/L2");
		}
		extent_build_free(b);
	}
	free(k), free(v), free(tok);
}

static void bench_sketch(void)
{
	struct kv_geom g = { 1, 1, 128, KV_PAGE_TOKENS };
	uint32_t n = 1 << 20;
	struct sketch_plan p;
	struct sketch s = { .span = { { 0 } } };
	static struct sketch_query sq;
	float *q = malloc(128 * 4), *est, *k;
	uint8_t *rec;
	double t0, t;

	make_values(q, 128, 3);
	sketch_plan_init(&p, &g, n, NULL);
	rec = aligned_alloc(64, p.bytes);
	est = malloc(p.n_block * 32ull * 4);
	for (size_t i = 0; i < p.bytes; i++)
		rec[i] = (uint8_t)make_rnd();
	for (uint32_t t2 = 0; t2 < p.n_page * 128 + n; t2++) {	/* sane halves */
		uint16_t h = kv_f32_to_f16((float)(t2 % 97) * 0.01f);

		memcpy(rec + p.head_bytes + 2ull * t2, &h, 2);
	}
	s.plan = p;
	s.data = rec;
	t0 = cpu_now();
	for (int i = 0; i < 1000; i++)
		sketch_query_init(&sq, q, 128);
	row("sketch", "prepare a query", (cpu_now() - t0) * 1e3, "us", "head_dim 128");
	sketch_score(&s, 0, 0, &sq, est);
	t0 = cpu_now();
	for (int i = 0; i < 10; i++)
		sketch_score(&s, 0, 0, &sq, est);
	t = (cpu_now() - t0) / 10;
	row("sketch", "score", n / t / 1e6, "Mtoken/s", "one KV head of 128, one query; one thread");
	row("sketch", "score", (double)p.layer_bytes / t / 1e9, "GB/s", "");
	row("sketch", "bytes per token and head", (double)p.layer_bytes / n, "B", "head_dim 128");
	t0 = cpu_now();
	sketch_score_ref(&s, 0, 0, &sq, est);
	row("sketch", "score ref", n / (cpu_now() - t0) / 1e6, "Mtoken/s", "");
	sketch_plan_init(&p, &g, 16384, NULL);
	k = malloc(16384ull * 128 * 4);
	make_values(k, 16384ull * 128, 5);
	memset(rec, 0, p.bytes);
	t0 = cpu_now();
	if (!sketch_build_layer(&p, rec, 0, k, NULL))
		row("sketch", "build", 16384 / (cpu_now() - t0) / 1e6, "Mtoken/s",
		    "one head of 128; one thread");
	free(q), free(est), free(rec), free(k);
}

/* ---- opening ten million tokens ---- */

static long private_kib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kib, sum = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
		    sscanf(line, "Private_Dirty: %ld", &kib) == 1)
			sum += kib;
	if (f)
		fclose(f);
	return sum;
}

static void bench_open(uint32_t n_token, const char *note)
{
	size_t n = 10000000 / n_token;
	struct view_entry *x = calloc(n, sizeof(*x));
	struct kv_geom g = { 12, 8, 128, KV_PAGE_TOKENS };
	struct extent_plan p;
	struct err e = { 0 };
	struct view *v;
	double t0;
	long before;

	extent_plan_init(&p, &g, KV_Q4, n_token, NULL);
	for (size_t i = 0; i < n; i++) {
		x[i] = (struct view_entry){ .n_token = n_token, .type = KV_Q4,
					    .kv = { 1 + (uint32_t)(i / 8), 4096 + i % 8 * p.bytes, p.bytes, 0 } };
		/* As the catalog gives them: in order. */
		for (int b = 0; b < 8; b++)
			x[i].span.b[b] = (uint8_t)((uint64_t)i >> (8 * (7 - b)));
	}
	before = private_kib();
	t0 = clock_now();
	if (view_new(&v, st, &g, x, n, &e))
		die("view", &e);
	row("open", "view of 10M tokens", (clock_now() - t0) * 1e3, "ms", note);
	row("open", "view of 10M tokens", (double)(private_kib() - before) / 1024, "MiB private", note);
	row("open", "whole process", (double)private_kib() / 1024, "MiB private", note);
	view_free(v);
	free(x);
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 10) : 1024;
	struct err e = { 0 };

	if (argc < 2 || !mib) {
		fprintf(stderr, "usage: cache_bench DIR [MIB]\n");
		return 2;
	}
	setenv("TMPDIR", argv[1], 1);
	dir = make_dir();
	if (kv_store_open(&st, dir, &e))
		die("store", &e);
	printf("what,variant,value,unit,note\n");
	row("machine", cpu_get()->name, cpu_get()->n_core, "cores", "");
	bench_kernels();
	bench_sketch();
	bench_open(8000, "spans of 8000");
	bench_open(1024, "spans of 1024");
	append_raw(mib << 20);
	append_all(mib << 20);
	append_raw(mib << 20);
	bench_scans();
	bench_gathers();
	bench_hot();
	kv_store_close(st);
	make_rmdir((char *)dir);
	return 0;
}
