/* Extents, segments and the store: building, parsing, damage, faults. */
#include "config.h"

#include "base/file.h"
#include "cache/extent.h"
#include "cache/segment.h"
#include "cache/store.h"
#include "tests/cache_make.h"
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

/* ---- the shim: call number fail_at of a kind fails (counting from 1; 0: none) ---- */

static int count_write, count_sync, count_reserve, fail_write, fail_sync, fail_reserve, fail_errno;

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t off);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t off);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_posix_fallocate(int fd, off_t off, off_t n);
int __wrap_posix_fallocate(int fd, off_t off, off_t n);

/* The failing write still writes half: what a crash or a full disk leaves. */
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t off)
{
	if (++count_write == fail_write) {
		if (__real_pwrite(fd, p, n / 2, off) < 0)
			return -1;
		errno = fail_errno;
		return -1;
	}
	return __real_pwrite(fd, p, n, off);
}

int __wrap_fdatasync(int fd)
{
	if (++count_sync == fail_sync) {
		errno = fail_errno;
		return -1;
	}
	return __real_fdatasync(fd);
}

int __wrap_posix_fallocate(int fd, off_t off, off_t n)
{
	if (++count_reserve == fail_reserve)
		return fail_errno;
	return __real_posix_fallocate(fd, off, n);
}

static void no_faults(void)
{
	count_write = count_sync = count_reserve = fail_write = fail_sync = fail_reserve = 0;
}

/* ---- extents ---- */

static const struct kv_geom tiny = { 2, 2, 16, KV_PAGE_TOKENS };

static void test_plan(void)
{
	static const uint32_t len[] = { 1, 63, 64, 65, 127, 128, 129, 1000 };
	struct extent_plan p;
	int bad = 0;

	for (int type = KV_F16; type <= KV_Q4; type++)
		for (size_t i = 0; i < 8; i++) {
			uint64_t at;

			bad += extent_plan_init(&p, &tiny, (enum kv_type)type, len[i], NULL) != 0;
			at = p.data_off;
			for (uint32_t l = 0; l < 2; l++)
				for (uint32_t g = 0; g < p.n_page; g++) {
					struct kv_layout lay;

					extent_strip_layout(&p, g, &lay);
					bad += extent_strip_off(&p, l, g) != at || at % 64;
					bad += extent_strip_bytes(&p, g) != 64 + lay.body_bytes;
					at += extent_strip_bytes(&p, g);
				}
			bad += at != p.bytes || p.bytes % 64;
		}
	ok(!bad, "strips follow each other without gaps, at multiples of 64, around every page edge");
	ok(extent_plan_init(&p, &tiny, KV_Q8, 0, NULL) == ERR_INVALID &&
	   extent_plan_init(&p, &tiny, KV_Q8, KV_MAX_SPAN + 1, NULL) == ERR_INVALID,
	   "empty and too long spans are refused");
	ok(!extent_plan_init(&p, &tiny, KV_F16, KV_MAX_SPAN, NULL), "the longest span has a plan");
}

static void test_build(void)
{
	int32_t tok[70] = { 5, 6, 7 };
	struct extent_desc d = { .geom = tiny, .type = KV_Q4, .mode = IDENT_CAUSAL, .token = tok,
				 .n_token = 70 };
	static float k[70 * 32], v[70 * 32], kd[64 * 16], vd[64 * 16];
	struct extent_build *b;
	struct extent x;
	struct kv_layout l;
	struct err e;
	const void *image;
	double worst = 0;
	size_t n;

	make_values(k, 70 * 32, 1);
	make_values(v, 70 * 32, 2);
	ok(!extent_build_new(&b, &d, &e), "an extent is begun");
	ok(extent_build_layer(b, 2, k, v, &e) == ERR_INVALID, "a far layer out of range is refused");
	ok(!extent_build_layer(b, 1, k, v, &e), "layers come in any order");
	ok(extent_build_layer(b, 1, k, v, &e) == ERR_INVALID, "a layer given twice is refused");
	ok(extent_build_seal(b, &e) == ERR_INVALID && !extent_build_image(b, &n),
	   "no seal while a layer is missing");
	k[3] = 1e30f;
	ok(extent_build_layer(b, 0, k, v, &e) == ERR_INVALID, "values that cannot be stored are refused");
	k[3] = 0;
	ok(!extent_build_layer(b, 0, k, v, &e), "and the layer can be given again");
	ok(!extent_build_seal(b, &e), "it is sealed");
	image = extent_build_image(b, &n);
	ok(!extent_verify(image, n, NULL, NULL, &e) && !extent_parse(&x, image, n, &e),
	   "what was built is whole");
	ok(x.plan.n_token == 70 && x.token[2] == 7 && x.mode == IDENT_CAUSAL &&
	   !memcmp(&x.page[1], &x.span, 32), "and says what it was made from");
	extent_strip_layout(&x.plan, 1, &l);
	kv_decode_head(&l, x.data + extent_strip_off(&x.plan, 0, 1) + STRIP_HEAD_BYTES, 1, kd, vd);
	for (int t = 0; t < 6; t++)
		for (int c = 0; c < 16; c++) {
			double a = kd[t * 16 + c] - k[(64 + t) * 32 + 16 + c];
			double w = vd[t * 16 + c] - v[(64 + t) * 32 + 16 + c];

			worst = a * a > worst ? a * a : worst;
			worst = w * w > worst ? w * w : worst;
		}
	ok(worst < 0.02 * 0.02, "tokens 64..69 of head 1 lie in page 1");
	extent_build_free(b);
}

static void test_flips(void)
{
	struct extent_build *b = make_extent(&tiny, KV_Q8, 70, 3);
	size_t n, missed = 0, named = 0;
	const uint8_t *image = extent_build_image(b, &n);
	uint8_t *copy = aligned_alloc(64, n);

	memcpy(copy, image, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t layer, page;

		copy[i] ^= (uint8_t)(1u << (i % 8));
		missed += extent_verify(copy, n, &layer, &page, NULL) == 0;
		named += i >= extent_build_plan(b)->data_off &&
			 (layer > 1 || page > 1 ||
			  i < extent_strip_off(extent_build_plan(b), layer, page) ||
			  i >= extent_strip_off(extent_build_plan(b), layer, page) +
				extent_strip_bytes(extent_build_plan(b), page));
		copy[i] = image[i];
	}
	ok(!missed, "a flip in any of %zu bytes of an extent is found (invariant 4)", n);
	ok(!named, "and the strip that was hit is named");
	for (missed = 0, named = 0; named < n; named += 64)
		missed += extent_verify(copy, named, NULL, NULL, NULL) != ERR_CORRUPT;
	ok(!missed, "an extent cut at any multiple of 64 is damage");
	free(copy);
	extent_build_free(b);
}

static void test_misplaced(void)
{
	struct extent_build *a = make_extent(&tiny, KV_Q8, 128, 3), *b = make_extent(&tiny, KV_Q8, 128, 4);
	const struct extent_plan *p = extent_build_plan(a);
	struct id span = extent_build_span(a);
	size_t n;
	const uint8_t *ia = extent_build_image(a, &n), *ib = extent_build_image(b, &n);

	ok(!extent_check_strip(p, &span, 1, 1, ia + extent_strip_off(p, 1, 1), NULL),
	   "a strip in its place is right");
	ok(extent_check_strip(p, &span, 1, 1, ib + extent_strip_off(p, 1, 1), NULL) == ERR_CORRUPT,
	   "a whole strip of another span is not");
	ok(extent_check_strip(p, &span, 1, 1, ia + extent_strip_off(p, 0, 1), NULL) == ERR_CORRUPT &&
	   extent_check_strip(p, &span, 1, 1, ia + extent_strip_off(p, 1, 0), NULL) == ERR_CORRUPT,
	   "nor is one of another layer or page");
	extent_build_free(a);
	extent_build_free(b);
}

/* ---- segments ---- */

static uint32_t last_number;

static int next_number(void *ctx, uint32_t *number, struct err *e)
{
	(void)ctx;
	(void)e;
	*number = ++last_number;
	return 0;
}

static void test_segment(const char *dir)
{
	struct extent_build *b = make_extent(&tiny, KV_Q8, 70, 5);
	struct segment_writer *w;
	struct segment *s;
	size_t n;
	const void *image = extent_build_image(b, &n);
	uint64_t off[3], at, bytes;
	const uint8_t *p;
	char path[4200];
	struct err e;

	snprintf(path, sizeof(path), "%s/00000001.kv", dir);
	ok(segment_open(&s, path, SEGMENT_KV, 0, &e) == ERR_NOTFOUND, "a missing file is not found");
	ok(!segment_create(&w, path, SEGMENT_KV, 8 * n, &e), "a segment is made");
	ok(!segment_append(w, image, n, &off[0], &e) && !segment_append(w, image, n, &off[1], &e) &&
	   !segment_sync(w, &e) && !segment_append(w, image, n, &off[2], &e),
	   "three records in two batches");
	ok(off[0] == 4096 && off[1] == 4096 + n && off[2] % 4096 == 0 && off[2] >= off[1] + n,
	   "records are packed in a batch, a batch starts at a multiple of 4096 (1)");
	ok(segment_append(w, image, n + 1, &at, &e) == ERR_INVALID, "odd lengths are refused");
	for (at = 1; !segment_append(w, image, n, &at, &e);)
		;
	ok(at == 0 && e.code == ERR_NOTFOUND, "a used-up capacity is told apart");
	ok(!segment_sync(w, &e), "the rest is synced");
	segment_writer_close(w);
	ok(segment_create(&w, path, SEGMENT_KV, 8 * n, &e) == ERR_INVALID, "a file is not made twice");

	ok(!segment_open(&s, path, SEGMENT_KV, off[2] + n, &e), "it opens");
	ok(!segment_borrow(s, off[2], n, &p, &e) && !memcmp(p, image, n), "a record is read back");
	ok(segment_borrow(s, 1ull << 40, n, &p, &e) == ERR_CORRUPT &&
	   segment_borrow(s, off[2], UINT64_MAX, &p, &e) == ERR_CORRUPT,
	   "reads beyond the capacity are refused");
	at = 0;
	ok(!segment_next_record(s, off[2] + n, &at, &bytes, &e) && at == off[0] && bytes == n,
	   "a walk finds the first record");
	at += bytes;
	ok(!segment_next_record(s, off[2] + n, &at, &bytes, &e) && at == off[1], "the second");
	at += bytes;
	ok(!segment_next_record(s, off[2] + n, &at, &bytes, &e) && at == off[2],
	   "the third, over the gap");
	at += bytes;
	ok(segment_next_record(s, off[2] + n, &at, &bytes, &e) == ERR_NOTFOUND, "and the end");
	segment_close(s);
	ok(segment_open(&s, path, SEGMENT_SKETCH, 0, &e) == ERR_CORRUPT, "another kind is refused");
	ok(segment_open(&s, path, SEGMENT_KV, 1u << 30, &e) == ERR_CORRUPT,
	   "a file shorter than the catalog says is damage");
	extent_build_free(b);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t c = 0;

	if (fd < 0 || pread(fd, &c, 1, at) != 1)
		return;
	c ^= 0x10;
	if (__real_pwrite(fd, &c, 1, at) != 1)
		printf("# cannot flip\n");
	close(fd);
}

static void test_head_damage(const char *dir)
{
	char path[4200];
	struct segment *s;
	int missed = 0;

	snprintf(path, sizeof(path), "%s/00000001.kv", dir);
	for (off_t i = 0; i < 4096; i++) {
		flip(path, i);
		if (!segment_open(&s, path, SEGMENT_KV, 0, NULL)) {
			segment_close(s);
			missed++;
		}
		flip(path, i);
	}
	ok(!missed, "a flip in any byte of the segment's head is found");
}

static void test_guard(const char *dir)
{
	char path[4200];
	struct segment *s;
	const uint8_t *p;
	volatile uint8_t sum = 0;

	snprintf(path, sizeof(path), "%s/00000001.kv", dir);
	if (segment_open(&s, path, SEGMENT_KV, 0, NULL) || segment_borrow(s, 4096, 8192, &p, NULL)) {
		ok(0, "the segment opens");
		return;
	}
	ok(!segment_damaged(s), "nothing is damaged yet");
	if (truncate(path, 4096))
		printf("# cannot truncate\n");
	for (int i = 0; i < 8192; i += 512)
		sum |= p[i];
	ok(sum == 0 && segment_damaged(s),
	   "a file cut short under the mapping reads as zeros and is damage, not a crash (6)");
	segment_close(s);
	unlink(path);
}

static void test_store(const char *dir)
{
	struct kv_ref ref[6];
	struct extent_build *b = make_extent(&tiny, KV_Q8, 70, 6);
	struct kv_store *st;
	struct kv_writer *w;
	struct segment *s;
	size_t n;
	const void *image = extent_build_image(b, &n);
	static uint8_t sketch[128];
	const uint8_t *p;
	int bad = 0;
	struct err e;

	ok(!kv_store_open(&st, dir, &e), "a store opens");
	/* Room for two records a file, and one stray file in the way. */
	ok(!kv_writer_new(&w, st, 4096 + 2 * n + 64, next_number, NULL, &e), "a writer");
	last_number = 10;
	{
		char *stray = kv_store_path(st, SEGMENT_KV, 11);

		close(open(stray, O_CREAT | O_WRONLY, 0666));
		for (int i = 0; i < 6; i++)
			bad += kv_writer_add(w, image, n, i % 2 ? sketch : NULL, sizeof(sketch), &ref[i], &e);
		unlink(stray);
		free(stray);
	}
	bad += kv_writer_sync(w, &e);
	ok(!bad && ref[0].number == 12 && ref[1].number == 12 && ref[2].number == 13 &&
	   ref[5].number == 14, "files roll over, and a stray file is stepped over");
	ok(ref[0].sketch_off == 0 && ref[1].sketch_off == 4096, "sketches lie beside");
	for (int i = 0; i < 6; i++)
		bad += kv_store_segment(st, SEGMENT_KV, ref[i].number, ref[i].off + n, &s, &e) ||
		       segment_borrow(s, ref[i].off, n, &p, &e) || memcmp(p, image, n);
	ok(!bad, "every record is read back through the store");
	kv_store_drop(st, 12);
	ok(!kv_store_segment(st, SEGMENT_KV, 12, 4096, &s, &e), "a dropped file is opened anew");
	kv_writer_free(w);
	kv_store_close(st);
	extent_build_free(b);
}

static void test_limit(const char *dir)
{
	struct rlimit was, low;
	struct segment_writer *w;
	struct segment *s[80];
	char path[4200];
	int n = 0, opened = 0;

	snprintf(path, sizeof(path), "%s/00000003.kv", dir);
	if (getrlimit(RLIMIT_NOFILE, &was) || segment_create(&w, path, SEGMENT_KV, 8192, NULL))
		return;
	segment_writer_close(w);
	low = was;
	low.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < 80 && !segment_open(&s[n], path, SEGMENT_KV, 4096, NULL))
		n++;
	opened = n;
	while (n)
		segment_close(s[--n]);
	setrlimit(RLIMIT_NOFILE, &was);
	ok(opened == 80 || was.rlim_max < 100, "more files than the soft limit are opened (%d)", opened);
	unlink(path);
}

/* A batch of three records in fresh files; 0 when add, add, add, sync all said yes. */
static int write_batch(struct kv_store *st, struct kv_writer *w, const void *image, size_t n,
		       struct kv_ref *ref, struct err *e)
{
	int rc = 0;

	(void)st;
	for (int i = 0; !rc && i < 3; i++)
		rc = kv_writer_add(w, image, n, NULL, 0, &ref[i], e);
	return rc ? rc : kv_writer_sync(w, e);
}

/* Fail call number n of one kind, for n = 1, 2, ... until nothing fails any more.  After each failure
 * the same writer must succeed with the batch again, and what it says is there must be there. */
static int fault_round(const char *dir, int *fail, int code, int want)
{
	struct extent_build *b = make_extent(&tiny, KV_Q8, 70, 7);
	size_t n;
	const void *image = extent_build_image(b, &n);
	int bad = 0, rc = -1;

	for (int i = 1; rc && i < 50; i++) {
		struct kv_store *st;
		struct kv_writer *w;
		struct kv_ref ref[3];
		struct segment *s;
		const uint8_t *p;
		struct err e = { 0 };

		kv_store_open(&st, dir, NULL);
		kv_writer_new(&w, st, 4096 + 2 * n, next_number, NULL, NULL);
		no_faults();
		*fail = i;
		fail_errno = code;
		rc = write_batch(st, w, image, n, ref, &e);
		bad += rc && rc != want;
		bad += rc && !e.msg[0];
		no_faults();
		if (rc)
			bad += write_batch(st, w, image, n, ref, &e) != 0;
		for (int j = 0; j < 3; j++)
			bad += kv_store_segment(st, SEGMENT_KV, ref[j].number, ref[j].off + n, &s, &e) ||
			       segment_borrow(s, ref[j].off, n, &p, &e) || memcmp(p, image, n);
		kv_writer_free(w);
		kv_store_close(st);
	}
	extent_build_free(b);
	return bad || rc;
}

static void test_faults(const char *dir)
{
	struct extent_build *b = make_extent(&tiny, KV_Q8, 70, 8);
	struct segment_writer *w;
	uint64_t off;
	size_t n;
	const void *image = extent_build_image(b, &n);
	char path[4200];
	struct err e;

	last_number = 20;
	ok(!fault_round(dir, &fail_write, EIO, ERR_IO), "each write fails once: the batch is refused, "
	   "the next one is whole");
	ok(!fault_round(dir, &fail_write, ENOSPC, ERR_FULL), "each write finds the disk full");
	ok(!fault_round(dir, &fail_sync, EIO, ERR_IO), "each sync fails once");
	ok(!fault_round(dir, &fail_reserve, ENOSPC, ERR_FULL), "each reservation finds the disk full");
	ok(!fault_round(dir, &fail_reserve, EIO, ERR_IO), "each reservation fails");

	snprintf(path, sizeof(path), "%s/00000002.kv", dir);
	no_faults();
	if (segment_create(&w, path, SEGMENT_KV, 1 << 20, &e))
		printf("# %s\n", e.msg);
	segment_append(w, image, n, &off, &e);
	no_faults();
	fail_sync = 1;
	fail_errno = EIO;
	ok(segment_sync(w, &e) == ERR_IO, "a failed sync is an error");
	no_faults();
	ok(segment_sync(w, &e) == ERR_IO && segment_append(w, image, n, &off, &e) == ERR_IO,
	   "and it is sticky (4)");
	segment_writer_close(w);
	unlink(path);
	extent_build_free(b);
}

int main(void)
{
	char *dir = make_dir();

	test_plan();
	test_build();
	test_flips();
	test_misplaced();
	test_segment(dir);
	test_head_damage(dir);
	test_guard(dir);
	test_store(dir);
	test_limit(dir);
	test_faults(dir);
	make_rmdir(dir);
	return done();
}
