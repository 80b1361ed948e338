/* Views: canonical order, scans and gathers by every way of reading, damage, readers side by side. */
#include "config.h"

#include "cache/view.h"
#include "tests/cache_make.h"
#include "tests/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#define N 23

static const struct kv_geom geom = { 3, 2, 32, KV_PAGE_TOKENS };
static const uint32_t len[N] = { 1, 63, 64, 65, 127, 128, 129, 640, 1000, 2, 64, 64, 700, 5, 191, 192,
				 193, 64, 3000, 77, 78, 79, 80 };
static struct extent_build *built[N];
static struct view_entry entry[N];
static uint32_t last_number;

static int next_number(void *ctx, uint32_t *number, struct err *e)
{
	(void)ctx;
	(void)e;
	*number = ++last_number;
	return 0;
}

static const struct spanidx_pair pair[] = { { 2, 1 }, { 0, 0 } };
static const struct id profile = { { 4 } };

/* The sketch and the index part of an extent, both derived from its pages; free() them. */
static void derive(const void *image, size_t n, void **sketch, size_t *sketch_n, void **part,
		   size_t *part_n, struct err *e)
{
	struct sketch_plan sp;
	struct spanidx_plan ip;
	struct extent x;

	if (extent_parse(&x, image, n, e) || sketch_plan_init(&sp, &geom, x.plan.n_token, e) ||
	    spanidx_plan_init(&ip, x.plan.n_token, 2, geom.head_dim, e))
		ok(0, "plans: %s", e->msg);
	*sketch_n = sp.bytes;
	*part_n = ip.bytes;
	*sketch = aligned_alloc(64, sp.bytes);
	*part = aligned_alloc(64, ip.bytes);
	memset(*sketch, 0, sp.bytes);
	memset(*part, 0, ip.bytes);
	if (sketch_from_extent(&sp, &x, *sketch, e) ||
	    spanidx_from_extent(&ip, &x, pair, &profile, *part, e))
		ok(0, "derived: %s", e->msg);
}

static void write_all(struct kv_store *st, struct err *e)
{
	void *sketch, *part;
	size_t sketch_n, part_n;
	struct kv_writer *w;

	/* Small files: some spans get one of their own. */
	kv_writer_new(&w, st, 256 << 10, next_number, NULL, e);
	for (int i = 0; i < N; i++) {
		size_t n;
		const void *image;

		built[i] = make_extent(&geom, i % 3 == 0 ? KV_F16 : i % 3 == 1 ? KV_Q8 : KV_Q4, len[i],
				       (uint64_t)i + 1);
		image = extent_build_image(built[i], &n);
		entry[i] = (struct view_entry){ .span = extent_build_span(built[i]),
						.n_token = len[i], .user = (uint64_t)i,
						.type = (uint8_t)extent_build_plan(built[i])->type };
		/* Some have a sketch and a part, some have not. */
		derive(image, n, &sketch, &sketch_n, &part, &part_n, e);
		if (kv_writer_add(w, image, n, i % 4 ? sketch : NULL, sketch_n, &entry[i].kv, e) ||
		    (i % 5 && kv_writer_add_part(w, part, part_n, &entry[i].part, e)))
			ok(0, "a span is written: %s", e->msg);
		free(sketch);
		free(part);
	}
	if (kv_writer_sync(w, e))
		ok(0, "spans are synced: %s", e->msg);
	kv_writer_free(w);
}

/* Is the tile what was built? */
static int wrong(const struct view *v, const struct kv_tile *t, uint32_t layer)
{
	size_t i = view_get(v, t->extent)->user, n;
	const struct extent_plan *p = extent_build_plan(built[i]);
	const uint8_t *image = extent_build_image(built[i], &n);

	return t->n_token != kv_page_len(len[i], t->page) || t->l.n_token != t->n_token ||
	       t->token != view_token_base(v, t->extent) + t->page * 64 ||
	       (uintptr_t)t->body % 64 ||
	       memcmp(t->body, image + extent_strip_off(p, layer, t->page) + STRIP_HEAD_BYTES,
		      t->l.body_bytes);
}

/* Scan one layer; returns the number of things that are not as they should be. */
static int scan(struct view *v, struct view_reader *r, uint32_t layer, const uint32_t *order)
{
	uint32_t at = 0, page = 0;
	struct kv_tile t;
	struct err e;
	int bad = 0, rc;

	bad += view_scan(r, layer, order, N, &e) != 0;
	while (!(rc = view_next(r, &t, &e))) {
		bad += t.extent != (order ? order[at] : at) || t.page != page || wrong(v, &t, layer);
		page++;
		if (page == kv_page_count(view_get(v, order ? order[at] : at)->n_token)) {
			page = 0;
			at++;
		}
	}
	return bad + (rc != ERR_NOTFOUND) + (at != N);
}

static int gather(struct view *v, struct view_reader *r, uint32_t layer, unsigned n)
{
	struct strip_ref *ref = calloc(n + 1, sizeof(*ref));
	struct kv_tile t;
	unsigned i = 0;
	int bad = 0, rc;

	for (unsigned j = 0; j < n; j++) {
		ref[j].extent = (uint32_t)(make_rnd() % N);
		ref[j].page = (uint32_t)(make_rnd() %
					 kv_page_count(view_get(v, ref[j].extent)->n_token));
		/* Now and then a neighbour, now and then the same again. */
		if (j && make_rnd() % 3 == 0) {
			ref[j] = ref[j - 1];
			if (ref[j].page + 1 < kv_page_count(view_get(v, ref[j].extent)->n_token))
				ref[j].page += (uint32_t)(make_rnd() % 2);
		}
	}
	bad += view_gather(r, layer, ref, n, NULL) != 0;
	while (!(rc = view_next(r, &t, NULL))) {
		bad += i >= n || t.extent != ref[i].extent || t.page != ref[i].page ||
		       wrong(v, &t, layer);
		i++;
	}
	free(ref);
	return bad + (rc != ERR_NOTFOUND) + (i != n);
}

static void drop_cache(struct kv_store *st)
{
	for (uint32_t i = 1; i <= last_number; i++) {
		char *path = kv_store_path(st, SEGMENT_KV, i);
		int fd = open(path, O_RDONLY);

		if (fd >= 0) {
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			close(fd);
		}
		free(path);
	}
}

static void test_ways(struct kv_store *st, struct view *v)
{
	static const struct view_config way[] = {
		{ VIEW_IO_AUTO, false, 0 }, { VIEW_IO_MMAP, false, 0 }, { VIEW_IO_DIRECT, false, 0 },
		{ VIEW_IO_BUFFERED, false, 0 }, { VIEW_IO_AUTO, true, 0 }, { VIEW_IO_MMAP, true, 0 },
		{ VIEW_IO_DIRECT, true, 0 }, { VIEW_IO_BUFFERED, true, 4096 },
		{ VIEW_IO_BUFFERED, false, 4 << 20 } };
	static const char *const name[] = { "auto", "mmap", "direct", "buffered", "auto by pread",
		"mmap by pread", "direct by pread", "buffered by pread, small arena",
		"buffered, large arena" };

	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
		struct view_reader *r;
		int bad = 0;

		if (view_reader_new(&r, v, &way[i], NULL)) {
			ok(0, "%s: a reader", name[i]);
			continue;
		}
		for (int cold = 0; cold < 2; cold++) {
			for (uint32_t l = 0; l < 3; l++) {
				drop_cache(st);
				bad += scan(v, r, l, l == 1 ? view_disk_order(v) : NULL);
			}
			bad += gather(v, r, 2, 0) + gather(v, r, 2, 1) + gather(v, r, 0, 500);
		}
		ok(!bad, "%s: scans and gathers give every page, in the order asked for", name[i]);
		/* Leave one unfinished. */
		view_scan(r, 0, NULL, 0, NULL);
		view_next(r, &(struct kv_tile){ 0 }, NULL);
		view_reader_free(r);
	}
}

struct job {
	struct view *v;
	int          bad;
};

static void *reader_main(void *arg)
{
	struct job *j = arg;
	struct view_reader *r;
	struct view_config cfg = { VIEW_IO_AUTO, false, 256 << 10 };

	if (view_reader_new(&r, j->v, &cfg, NULL)) {
		j->bad = 1;
		return NULL;
	}
	for (uint32_t l = 0; l < 3; l++)
		j->bad += scan(j->v, r, l, NULL);
	view_reader_free(r);
	for (size_t i = 0; i < N; i++) {
		struct extent x;

		j->bad += view_extent(j->v, i, &x, NULL) || x.plan.n_token != view_get(j->v, i)->n_token;
	}
	return NULL;
}

static void test_threads(struct kv_store *st)
{
	pthread_t t[8];
	struct job job[8];
	struct view *v;
	int bad = 0;

	view_new(&v, st, &geom, entry, N, NULL);
	for (int i = 0; i < 8; i++) {
		job[i] = (struct job){ v, 0 };
		pthread_create(&t[i], NULL, reader_main, &job[i]);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		bad += job[i].bad;
	}
	ok(!bad, "eight readers of one view see the same right pages");
	view_free(v);
}

struct append_job {
	struct kv_store *st;
	atomic_int       stop;
	int              n, bad;
};

/* Batch after batch, read back through the store that the readers use. */
static void *writer_main(void *arg)
{
	struct append_job *j = arg;
	struct kv_writer *w;
	struct kv_ref ref;
	const uint8_t *p;
	size_t n;

	if (kv_writer_new(&w, j->st, 64 << 10, next_number, NULL, NULL))
		return NULL;
	while (!atomic_load(&j->stop) || j->n < 20) {
		const void *image = extent_build_image(built[j->n % N], &n);
		struct segment *s;

		j->bad += kv_writer_add(w, image, n, NULL, 0, &ref, NULL) != 0;
		if (j->n++ % 4 == 3)
			j->bad += kv_writer_sync(w, NULL) != 0;
		j->bad += kv_store_segment(j->st, SEGMENT_KV, ref.number, ref.off + n, &s, NULL) ||
			  segment_borrow(s, ref.off, n, &p, NULL) || memcmp(p, image, n);
	}
	kv_writer_free(w);
	return NULL;
}

static void test_beside_writer(struct kv_store *st)
{
	struct append_job aj = { .st = st };
	pthread_t t[8], writer;
	struct job job[8];
	struct view *v;
	int bad = 0;

	view_new(&v, st, &geom, entry, N, NULL);
	pthread_create(&writer, NULL, writer_main, &aj);
	for (int i = 0; i < 8; i++) {
		job[i] = (struct job){ v, 0 };
		pthread_create(&t[i], NULL, reader_main, &job[i]);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		bad += job[i].bad;
	}
	atomic_store(&aj.stop, 1);
	pthread_join(writer, NULL);
	ok(!bad && !aj.bad, "eight readers beside one writer (%d spans) disturb nobody", aj.n);
	view_free(v);
}

static void flip(struct kv_store *st, const struct kv_ref *ref, uint64_t off)
{
	char *path = kv_store_path(st, SEGMENT_KV, ref->number);
	int fd = open(path, O_RDWR);
	uint8_t c;

	if (pread(fd, &c, 1, (off_t)(ref->off + off)) == 1) {
		c ^= 4;
		if (pwrite(fd, &c, 1, (off_t)(ref->off + off)) != 1)
			printf("# cannot write\n");
	}
	fsync(fd);
	close(fd);
	free(path);
}

static void test_damage(struct kv_store *st)
{
	static const enum view_io way[] = { VIEW_IO_AUTO, VIEW_IO_MMAP, VIEW_IO_DIRECT };
	const struct extent_plan *p = extent_build_plan(built[8]);	/* 1000 tokens */
	uint64_t at = extent_strip_off(p, 1, 5) + 1000;
	struct extent x;
	struct err e;

	flip(st, &entry[8].kv, at);
	for (int i = 0; i < 3; i++) {
		struct view_config cfg = { way[i], false, 0 };
		struct view_reader *r;
		struct view_bad bad = { 0 };
		struct kv_tile t;
		struct view *v;
		int n = 0, hit = 0, rc;

		view_new(&v, st, &geom, entry, N, NULL);
		view_reader_new(&r, v, &cfg, NULL);
		view_scan(r, 1, NULL, 0, NULL);
		while ((rc = view_next(r, &t, &e)) != ERR_NOTFOUND) {
			if (rc == ERR_CORRUPT) {
				bad = view_bad(r);
				hit++;
			}
			n++;
		}
		ok(hit == 1 && bad.layer == 1 && bad.page == 5 &&
		   view_get(v, bad.extent)->user == 8 && n > 100,
		   "one flipped bit costs one strip, which is named; the scan goes on (%d)", i);
		view_reader_free(r);
		view_free(v);
	}
	flip(st, &entry[8].kv, at);
	flip(st, &entry[8].kv, 130);
	{
		struct view *v;

		view_new(&v, st, &geom, entry, N, NULL);
		for (int i = 0; i < N; i++)
			if (view_get(v, (size_t)i)->user == 8)
				ok(view_extent(v, (size_t)i, &x, &e) == ERR_CORRUPT,
				   "a damaged head is found when it is asked for");
		view_free(v);
	}
	flip(st, &entry[8].kv, 130);
}

static void test_derived(struct kv_store *st)
{
	struct id other = { { 1 } };
	struct sketch sk;
	struct spanidx si;
	struct view *v;
	struct err e;
	int bad = 0, mixed;

	view_new(&v, st, &geom, entry, N, NULL);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < N; i++) {
			size_t which = view_get(v, i)->user;

			for (uint32_t l = 0; l < 3; l++) {
				int rc = view_sketch(v, i, l, &sk, &e);

				bad += rc != (which % 4 ? 0 : ERR_NOTFOUND);
				bad += !rc && (sk.plan.n_token != len[which] ||
					       !id_eq(&sk.span, &entry[which].span));
			}
			if (view_part(v, i, &profile, &si, &e) != (which % 5 ? 0 : ERR_NOTFOUND))
				bad++;
			else if (which % 5)
				bad += si.plan.n_token != len[which] || si.plan.n_pair != 2 ||
				       view_part(v, i, &other, &si, &e) != ERR_MISMATCH;
		}
	ok(!bad, "sketches and index parts come with the spans that have them");
	view_free(v);
	/* Two spans of one shape: only what the bytes say about themselves tells them apart. */
	{
		struct view_entry x = entry[11];

		x.kv.sketch_off = entry[17].kv.sketch_off;
		x.kv.number = entry[17].kv.number;
		x.part = entry[17].part;
		x.kv.bytes = entry[11].kv.bytes;
		view_new(&v, st, &geom, &x, 1, &e);
		mixed = view_sketch(v, 0, 0, &sk, &e) == ERR_CORRUPT &&
			view_part(v, 0, &profile, &si, &e) == ERR_CORRUPT;
		view_free(v);
	}
	ok(mixed, "those of another span are damage");
}

static void test_wrong_place(struct kv_store *st)
{
	struct view_entry other = entry[10];	/* 64 tokens, as 11: the same plan */
	struct view_reader *r;
	struct kv_tile t;
	struct view *v;
	struct extent x;
	struct err e;

	other.kv = entry[11].kv;
	other.type = entry[11].type;
	if (view_new(&v, st, &geom, &other, 1, &e)) {
		ok(0, "a view: %s", e.msg);
		return;
	}
	view_reader_new(&r, v, NULL, NULL);
	view_scan(r, 0, NULL, 0, NULL);
	ok(view_next(r, &t, &e) == ERR_CORRUPT && view_extent(v, 0, &x, &e) == ERR_CORRUPT,
	   "whole bytes of another span are damage, not data");
	view_reader_free(r);
	view_free(v);
}

static void test_limits(struct kv_store *st, struct view *v)
{
	struct view_entry bad = entry[0];
	struct view_reader *r;
	struct strip_ref ref = { 0, 99 };
	struct kv_tile t;
	struct view *none;
	struct err e;
	uint64_t tokens = 0;

	for (int i = 0; i < N; i++)
		tokens += len[i];
	ok(view_count(v) == N && view_tokens(v) == tokens && view_token_base(v, N) == tokens,
	   "spans and tokens are counted");
	bad.kv.bytes += 64;
	ok(view_new(&none, st, &geom, &bad, 1, &e) == ERR_CORRUPT, "a length that is not the plan's is "
	   "damage of the catalog");
	bad = entry[0];
	bad.type = 9;
	ok(view_new(&none, st, &geom, &bad, 1, &e) == ERR_INVALID, "an unknown type is refused");
	bad = entry[0];
	bad.kv.number = 99;
	ok(!view_new(&none, st, &geom, &bad, 1, &e), "a view touches no file");
	view_reader_new(&r, none, NULL, NULL);
	view_scan(r, 0, NULL, 0, NULL);
	ok(view_next(r, &t, &e) == ERR_NOTFOUND || e.code == ERR_NOTFOUND,
	   "a missing file is not found when it is read");
	view_reader_free(r);
	view_free(none);
	ok(!view_new(&none, st, &geom, NULL, 0, &e), "a view of nothing");
	view_reader_new(&r, none, NULL, NULL);
	ok(!view_scan(r, 0, NULL, 0, &e) && view_next(r, &t, &e) == ERR_NOTFOUND, "has no pages");
	view_reader_free(r);
	view_free(none);
	view_reader_new(&r, v, NULL, NULL);
	ok(view_scan(r, 3, NULL, 0, &e) == ERR_INVALID, "a layer out of range is refused");
	ok(view_gather(r, 0, &ref, 1, &e) == ERR_INVALID, "a page out of range is refused");
	ok(!view_intact(v, &e), "no mapping failed so far");
	view_reader_free(r);
}

/* Reads that one strip takes when it is gathered now: 0 when it is in the page cache. */
static uint64_t reads_for(struct view *v, uint32_t page)
{
	struct strip_ref ref = { 0, page };
	struct view_reader *r;
	struct view_stats s;
	struct kv_tile t;

	view_reader_new(&r, v, NULL, NULL);
	view_gather(r, 2, &ref, 1, NULL);
	while (!view_next(r, &t, NULL))
		;
	s = view_stats(r);
	view_reader_free(r);
	return s.strips == 1 ? s.reads : UINT64_MAX;
}

/* A store of its own, with one extent that is on disk and, where the file system lets it go, not in the
 * page cache: pages that another mapping has touched could not be dropped. */
struct cold {
	char             *dir;
	struct view_entry x;
	struct kv_store  *st;
	struct view      *v;
};

static void cold_make(struct cold *c)
{
	struct kv_writer *w;
	char path[4200];
	size_t n;
	const void *image = extent_build_image(built[18], &n);
	int fd;

	c->dir = make_dir();
	c->x = entry[18];
	kv_store_open(&c->st, c->dir, NULL);
	kv_writer_new(&w, c->st, 0, next_number, NULL, NULL);
	if (kv_writer_add(w, image, n, NULL, 0, &c->x.kv, NULL) || kv_writer_sync(w, NULL))
		printf("# cannot write\n");
	kv_writer_free(w);
	snprintf(path, sizeof(path), "%s/%08u.kv", c->dir, c->x.kv.number);
	fd = open(path, O_RDONLY);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	c->x.part.number = 0;
	view_new(&c->v, c->st, &geom, &c->x, 1, NULL);
}

static void cold_drop(struct cold *c)
{
	view_free(c->v);
	kv_store_close(c->st);
	make_rmdir(c->dir);
}

static void test_prefetch(void)
{
	uint64_t cold, reads = 1;
	struct cold c;

	cold_make(&c);
	cold = reads_for(c.v, 5);
	view_prefetch(c.v, 0);
	for (int i = 0; i < 60 && reads == 1; i++) {
		usleep((unsigned)i * 1000);
		/* Another strip each time: one that was read is in the cache by that. */
		if (i + 6 < 46)
			reads = reads_for(c.v, (uint32_t)i + 6);
	}
	if (cold == 1)
		ok(reads == 0, "a prefetched extent is used from the page cache");
	else
		ok(1, "prefetching # SKIP this file system keeps its pages");
	cold_drop(&c);
}

static struct view_stats scan_stats(struct view *v)
{
	struct view_reader *r;
	struct view_stats s;
	struct kv_tile t;

	view_reader_new(&r, v, NULL, NULL);
	view_scan(r, 2, NULL, 0, NULL);
	while (!view_next(r, &t, NULL))
		;
	s = view_stats(r);
	view_reader_free(r);
	return s;
}

/* Needs O_DIRECT and a page cache that lets go. */
static void test_second_scan(void)
{
	struct view_stats first, second;
	struct segment *seg;
	struct cold c;
	bool able;

	cold_make(&c);
	able = !kv_store_segment(c.st, SEGMENT_KV, c.x.kv.number, 0, &seg, NULL) && segment_fd_direct(seg) >= 0;
	first = scan_stats(c.v);
	second = scan_stats(c.v);
	ok(first.strips == second.strips && first.strips == kv_page_count(c.x.n_token),
	   "a cold scan and the next one give all pages");
	if (able && first.reads)
		ok(!first.bytes_mapped && !second.reads,
		   "the first passes the page cache by, the second fills it");
	else
		ok(1, "ways of a cold scan # SKIP no O_DIRECT, or a file system that keeps its pages");
	cold_drop(&c);
}

/* The same set mounted in another order, and twice, gives the same view. */
static void test_order(struct kv_store *st, struct view *v)
{
	struct view_entry shuffled[2 * N];
	struct view *w;
	int bad = 0;

	for (int i = 0; i < 2 * N; i++)
		shuffled[i] = entry[(i * 7 + 3) % N];
	if (view_new(&w, st, &geom, shuffled, 2 * N, NULL)) {
		ok(0, "a shuffled view");
		return;
	}
	bad += view_count(w) != N;
	for (size_t i = 0; i < N; i++)
		bad += !id_eq(&view_get(v, i)->span, &view_get(w, i)->span) ||
		       (i && id_cmp(&view_get(w, i - 1)->span, &view_get(w, i)->span) >= 0);
	ok(!bad, "order of mounting does not matter, an identity counts once (invariant 7)");
	view_free(w);
}

/* A file cut short under a live view: scans through the mapping end in an error, not in a crash. */
static void test_cut(struct kv_store *st)
{
	struct view_config cfg = { VIEW_IO_MMAP, false, 0 };
	struct view_reader *r;
	struct kv_tile t;
	struct view *v;
	struct err e;
	char *path;
	int corrupt = 0, rc;

	view_new(&v, st, &geom, entry, N, NULL);
	view_reader_new(&r, v, &cfg, NULL);
	view_scan(r, 0, NULL, 0, NULL);
	view_next(r, &t, NULL);
	path = kv_store_path(st, SEGMENT_KV, entry[18].kv.number);
	if (truncate(path, 8192))
		printf("# cannot truncate\n");
	while ((rc = view_next(r, &t, &e)) != ERR_NOTFOUND)
		corrupt += rc == ERR_CORRUPT;
	ok(corrupt > 0 && view_intact(v, &e) == ERR_CORRUPT,
	   "a file cut short under the mapping gives damage (%d strips), not a crash", corrupt);
	view_reader_free(r);
	view_free(v);
	free(path);
}

int main(void)
{
	char *dir = make_dir();
	struct kv_store *st;
	struct view *v;
	struct err e = { 0 };

	if (kv_store_open(&st, dir, &e))
		return 1;
	write_all(st, &e);
	if (view_new(&v, st, &geom, entry, N, &e)) {
		printf("Bail out! %s\n", e.msg);
		return 1;
	}
	test_limits(st, v);
	test_order(st, v);
	test_ways(st, v);
	test_prefetch();
	test_second_scan();
	test_threads(st);
	test_beside_writer(st);
	test_damage(st);
	test_derived(st);
	test_wrong_place(st);
	view_free(v);
	test_cut(st);
	kv_store_close(st);
	for (int i = 0; i < N; i++)
		extent_build_free(built[i]);
	make_rmdir(dir);
	return done();
}
