/* Covers base/: what each header promises, at the boundaries. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/pool.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tests/check.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_err(void)
{
	struct err e = { 0 };

	ok(err_set(&e, ERR_IO, "cannot %s", "x") == ERR_IO && e.code == ERR_IO, "err_set returns its code");
	ok(!strcmp(e.msg, "cannot x"), "and keeps the message");
	ok(err_set(NULL, ERR_IO, "x") == ERR_IO, "NULL means nobody wants the message");
	err_hint(&e, ERR_IO, "do %d", 1);
	ok(!strcmp(e.hint, "do 1"), "a hint is kept");
	err_set(&e, ERR_IO, "y");
	ok(e.hint[0] == '\0', "a new message has no old hint");
}

static void test_size(void)
{
	size_t n;

	ok(size_mul(SIZE_MAX / 2, 3, &n), "a product that does not fit is found");
	ok(!size_mul(1 << 20, 1 << 20, &n) && n == (size_t)1 << 40, "one past 32 bits fits");
	ok(size_add(SIZE_MAX, 1, &n), "a sum that does not fit is found");
	ok(round_up(0, 64) == 0 && round_up(1, 64) == 64 && round_up(64, 64) == 64, "round_up");
}

static void test_buf(void)
{
	struct buf b = { 0 };
	char *s;

	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i % 10);
	ok(b.len == 2000 && !b.failed && b.data[2000] == '\0', "a buffer grows and ends in NUL");
	ok(!buf_reserve(&b, SIZE_MAX) && b.failed && b.len == 2000, "what does not fit fails, bytes stay");
	buf_clear(&b);
	buf_adds(&b, "abc");
	s = buf_take(&b);
	ok(s && !strcmp(s, "abc") && b.data == NULL, "take hands the bytes over");
	free(s);
}

static void test_hash(void)
{
	struct hasher h;
	struct sha256 sh;
	struct id a, b;
	uint8_t d[32];
	char hex[65];

	hasher_init(&h), hasher_field(&h, "ab", 2), hasher_field(&h, "c", 1), a = hasher_done(&h);
	hasher_init(&h), hasher_field(&h, "a", 1), hasher_field(&h, "bc", 2), b = hasher_done(&h);
	ok(!id_eq(&a, &b), "fields are length-prefixed");
	a = id_of("abc", 3);
	id_hex(&a, hex);
	ok(!strcmp(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
	   "BLAKE2b-256 of abc, as b2sum -l 256 prints it");
	ok(id_parse(hex, &b) && id_eq(&a, &b) && !id_parse("xx", &b), "hex round trip");
	sha256_init(&sh), sha256_add(&sh, "abc", 3), sha256_done(&sh, d);
	ok(d[0] == 0xba && d[31] == 0xad, "SHA-256 of abc");
	ok(!sum128_eq(sum128_of("abc", 3), sum128_of("abd", 3)), "XXH3-128 sees one bit");
}

static void test_utf8(void)
{
	static const char *bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
				     "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82" };
	uint32_t c;
	char s[4];
	int n_bad = 0, n_trip = 0;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		n_bad += utf8_check(bad[i], strlen(bad[i])) == 0;
	ok(n_bad == (int)ARRAY_LEN(bad), "overlong, surrogate, too high, cut short: all refused");
	for (uint32_t x = 0; x < 0x110000; x++) {
		size_t n = utf8_encode(x, s);
		bool surrogate = x >= 0xd800 && x < 0xe000;

		n_trip += surrogate ? !utf8_decode(s, n, &c) : utf8_decode(s, n, &c) == n && c == x;
	}
	ok(n_trip == 0x110000, "every scalar value survives encode and decode, no surrogate does");
	ok(utf8_check("0123456789\xff" "abc", 14) == 10, "the first bad byte is found past the fast path");
	ok(utf8_tail("a\xe2\x82", 3) == 2 && utf8_tail("a\xe2\x82\xac", 4) == 0, "tail of a 3-byte character");
	ok(utf8_tail("\xf0\x9f\x98", 3) == 3 && utf8_tail("\x80\x80", 2) == 0, "tail of a 4-byte one; none of junk");
}

static void test_file(void)
{
	char dir[] = "base_test.XXXXXX";
	struct file_map m;
	struct buf b = { 0 };
	struct err e;
	char *deep, *path;

	if (!mkdtemp(dir))
		exit(99);
	deep = path_join(dir, "a/b");
	path = path_join(deep, "f");
	ok(!file_mkdirs(deep, &e) && !file_mkdirs(deep, &e), "folders are made once, wanted twice");
	ok(file_map_open(&m, path, &e) == ERR_NOTFOUND && strstr(e.msg, path), "a missing file is named");
	ok(!file_write_atomic(path, "hello", 5, &e), "atomic write");
	ok(!file_map_open(&m, path, &e) && m.size == 5 && !memcmp(m.data, "hello", 5), "map");
	file_map_close(&m);
	ok(!file_read(&b, path, 5, &e) && b.len == 5, "read up to the limit");
	buf_clear(&b);
	ok(file_read(&b, path, 4, &e) == ERR_BUDGET, "one byte more than the limit is refused");
	ok(!file_write_atomic(path, "", 0, &e) && !file_map_open(&m, path, &e) && m.size == 0, "an empty file maps");
	ok(file_map_open(&m, dir, &e) == ERR_IO, "a folder is no file");
	buf_release(&b);
	unlink(path), rmdir(deep);
	deep[strlen(dir) + 2] = '\0';
	rmdir(deep), rmdir(dir);
	free(deep), free(path);
}

static _Atomic int hits[10000];

static void hit(void *ctx, size_t task, int worker)
{
	if (worker >= 0 && worker < *(int *)ctx)
		atomic_fetch_add(&hits[task], 1);
}

static void test_pool(void)
{
	for (int n_thread = 1; n_thread <= 5; n_thread += 2) {
		struct pool *p;
		int good = 0;

		memset(hits, 0, sizeof(hits));
		if (pool_new(&p, n_thread, NULL))
			exit(99);
		for (int round = 0; round < 200; round++) {
			pool_run(p, ARRAY_LEN(hits) / (round % 7 + 1), hit, &n_thread);
			if (round % 50 == 0)
				usleep(2000);	/* let the helpers fall asleep */
		}
		for (size_t i = 0; i < ARRAY_LEN(hits) / 7; i++)
			good += hits[i] == 200;
		ok(good == (int)(ARRAY_LEN(hits) / 7), "%d threads: every task runs once a loop", n_thread);
		pool_run(p, 0, hit, &n_thread);
		pool_free(p);
	}
}

int main(void)
{
	test_err();
	test_size();
	test_buf();
	test_hash();
	test_utf8();
	test_file();
	test_pool();
	ok(cpu_get()->n_core >= 1 && cpu_get() == cpu_get(), "the processor has at least one core");
	ok(clock_now() <= clock_now() && clock_unix() > 1700000000, "clocks run forward");
	return done();
}
