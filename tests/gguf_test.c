/* Model files: what is read, and every way to break one. */
#include "config.h"

#include "engine/gguf.h"

#include "base/file.h"
#include "base/size.h"
#include "tests/check.h"
#include "tests/gguf_make.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/gguf_test.XXXXXX";

/* From a copy of exactly n bytes, so that a byte too far is ASan's. */
static int open_copy(struct gguf **g, const void *data, size_t n, struct err *e, uint8_t **copy)
{
	*copy = malloc(n ? n : 1);
	if (!*copy)
		exit(99);
	memcpy(*copy, data, n);
	*e = (struct err){ 0 };
	return gguf_open_mem(g, "mem.gguf", *copy, n, e);
}

/* Takes b.  True when it is refused as a model with a message that holds all of field, "offset" and
 * why. */
static bool refused(struct buf *b, const char *field, const char *why)
{
	struct gguf *g;
	struct err e;
	uint8_t *copy;
	int rc = open_copy(&g, b->data, b->len, &e, &copy);
	bool good = rc == ERR_MODEL && e.code == ERR_MODEL && strstr(e.msg, "'mem.gguf': ") &&
		    strstr(e.msg, field) && strstr(e.msg, ", offset ") && strstr(e.msg, why);

	if (!good)
		printf("# rc %d, message: %s\n", rc, e.msg);
	gguf_close(g);
	free(copy);
	buf_release(b);
	return good;
}

/* A file with a key of every type and three tensors; nothing after the last tensor byte. */
static struct buf whole(void)
{
	struct buf b = { 0 };
	static const float f[3] = { 1.5f, -2, 1e30f };
	static const int16_t s[3] = { 7, -1, 300 };
	double d = 0.25;
	int8_t neg = -3;
	int64_t big = -5;

	make_head(&b, 3, 16);
	make_kv_str(&b, "general.architecture", "llama4");
	make_kv_u32(&b, "u32", 4000000000u);
	make_kv_u16(&b, "u16", 65535);
	make_key(&b, "u8", GGUF_U8);
	buf_addc(&b, (char)200);
	make_key(&b, "i8", GGUF_I8);
	buf_add(&b, &neg, 1);
	make_key(&b, "i16", GGUF_I16);
	buf_add(&b, &s[2], 2);
	make_key(&b, "i32", GGUF_I32);
	make_u32(&b, 12);
	make_key(&b, "i64", GGUF_I64);
	buf_add(&b, &big, 8);
	make_key(&b, "u64", GGUF_U64);
	make_u64(&b, 1ull << 40);
	make_kv_f32(&b, "f32", 1e-5f);
	make_key(&b, "f64", GGUF_F64);
	buf_add(&b, &d, 8);
	make_kv_bool(&b, "bool", true);
	make_kv_arr(&b, "floats", GGUF_F32, 3);
	buf_add(&b, f, sizeof(f));
	make_kv_arr(&b, "shorts", GGUF_I16, 3);
	buf_add(&b, s, sizeof(s));
	make_kv_arr(&b, "bools", GGUF_BOOL, 2);
	buf_add(&b, "\1\0", 2);
	make_kv_arr(&b, "tokens", GGUF_STRING, 3);
	make_str(&b, "a");
	make_str(&b, "");
	make_str(&b, "\xc4\xa0" "bc");
	make_tensor(&b, "b.weight", 64, 2, QUANT_Q4_0, 32);
	make_tensor(&b, "a.weight", 4, 0, QUANT_F32, 0);
	make_tensor(&b, "c.weight", 2, 1, QUANT_F16, 128);
	make_pad(&b, 32);
	buf_add(&b, "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16);
	make_zeros(&b, 16 + 72 + 24);
	buf_add(&b, "\0\x3c\0\x40", 4);
	return b;
}

static void test_reading(void)
{
	struct buf b = whole();
	struct gguf *g;
	struct err e = { 0 };
	struct gguf_str s;
	const struct gguf_tensor *t;
	const struct gguf_str *strs;
	enum gguf_type type;
	uint32_t u = 0;
	uint64_t v = 0, n = 0;
	float f = 0;
	bool yes = false;
	float one[4];

	ok(!gguf_open_mem(&g, "mem.gguf", b.data, b.len, &e), "a good file opens: %s", e.msg);
	ok(gguf_get_str(g, "general.architecture", &s) && s.n == 6 && !memcmp(s.s, "llama4", 6),
	   "strings are read");
	ok(gguf_get_u32(g, "u32", &u) && u == 4000000000u && gguf_get_u32(g, "u8", &u) && u == 200 &&
	   gguf_get_u32(g, "i16", &u) && u == 300 && gguf_get_u64(g, "u64", &v) && v == 1ull << 40,
	   "integers of any width that fit");
	ok(!gguf_get_u32(g, "i8", &u) && !gguf_get_u64(g, "i64", &v) && !gguf_get_u32(g, "u64", &u) &&
	   !gguf_get_u32(g, "f32", &u) && !gguf_get_u32(g, "bool", &u) && u == 300,
	   "negative, too large or of another type: false, and nothing is stored");
	ok(gguf_get_f32(g, "f32", &f) && f == 1e-5f && gguf_get_f32(g, "f64", &f) && f == 0.25f &&
	   !gguf_get_f32(g, "u32", &f), "floats, doubles too");
	ok(gguf_get_bool(g, "bool", &yes) && yes && !gguf_get_bool(g, "u8", &yes), "bools");
	ok(!gguf_get_u32(g, "missing", &u) && !gguf_get_u32(g, "floats", &u) && !gguf_get_u32(g, "", &u),
	   "no key, or an array");
	ok(gguf_get_arr(g, "shorts", &type, &n) && type == GGUF_I16 && n == 3 &&
	   gguf_arr_u64(g, "shorts", 2, &v) && v == 300 && !gguf_arr_u64(g, "shorts", 1, &v) &&
	   !gguf_arr_u64(g, "shorts", 3, &v) && !gguf_get_arr(g, "u32", &type, &n),
	   "integer arrays, element by element, to the last and no further");
	ok(gguf_arr_f32(g, "floats", 1, &f) && f == -2 && !gguf_arr_f32(g, "floats", 3, &f) &&
	   gguf_arr_u64(g, "bools", 0, &v) && v == 1, "float and bool arrays");
	ok(gguf_arr_data(g, "floats", &type, &n) && n == 3 && !gguf_arr_data(g, "tokens", &type, &n),
	   "fixed-size arrays in place");
	strs = gguf_arr_strs(g, "tokens", &n);
	ok(strs && n == 3 && strs[1].n == 0 && strs[2].n == 4 && gguf_arr_str(g, "tokens", 0, &s) &&
	   s.n == 1 && !gguf_arr_str(g, "tokens", 3, &s) && !gguf_arr_strs(g, "floats", &n),
	   "string arrays");
	ok(gguf_key_at(g, 15, &s, &type) && type == GGUF_ARRAY && s.n == 6 &&
	   !gguf_key_at(g, 16, &s, &type), "keys in file order");
	t = gguf_tensor(g, "a.weight");
	memcpy(one, t->data, sizeof(one));
	ok(t->type == QUANT_F32 && t->n_dim == 1 && t->ne[0] == 4 && t->ne[1] == 1 && t->n_byte == 16 &&
	   one[0] == 1 && one[3] == 4, "a tensor by name, with its bytes");
	ok(gguf_n_tensor(g) == 3 && gguf_tensor_at(g, 0)->ne[1] == 2 && gguf_tensor_at(g, 0)->n_byte == 72 &&
	   !gguf_tensor_at(g, 3) && !gguf_tensor(g, "a.weigh") && !gguf_tensor(g, "a.weight2"),
	   "tensors in file order; no tensor of a name alike");
	ok(gguf_file_bytes(g) == b.len && gguf_n_part(g) == 1 && !strcmp(gguf_path(g), "mem.gguf"),
	   "size, parts and name");
	gguf_prefetch(g, t);
	gguf_release(g, t);
	gguf_close(g);
	gguf_close(NULL);
	buf_release(&b);
}

static void test_truncation(void)
{
	struct buf b = whole();
	size_t bad = 0, hinted = 0;

	for (size_t n = 0; n < b.len; n++) {
		struct gguf *g;
		struct err e;
		uint8_t *copy;

		if (open_copy(&g, b.data, n, &e, &copy) != ERR_MODEL || g || !strstr(e.msg, ", offset "))
			bad++;
		hinted += !!strstr(e.hint, "cut off");
		free(copy);
	}
	ok(!bad, "cut off after any of its %zu bytes it is refused, with the offset", b.len);
	ok(hinted > b.len / 2, "and the hint says what to do (%zu times)", hinted);
	buf_release(&b);
}

/* Read all that a file offers: what opened must be readable to the last byte. */
static size_t touch(const struct gguf *g)
{
	struct gguf_str s;
	enum gguf_type type;
	size_t sum = 0;

	for (uint64_t i = 0; gguf_key_at(g, i, &s, &type); i++) {
		char key[256];
		uint64_t n;

		if (s.n >= sizeof(key))
			continue;
		memcpy(key, s.s, s.n);
		key[s.n] = '\0';
		if (gguf_get_str(g, key, &s) && s.n)
			sum += (uint8_t)s.s[s.n - 1];
		for (uint64_t k = 0; gguf_get_arr(g, key, &type, &n) && k < n; k++)
			if (gguf_arr_str(g, key, k, &s) && s.n)
				sum += (uint8_t)s.s[s.n - 1];
	}
	for (uint64_t i = 0; i < gguf_n_tensor(g); i++)
		for (uint64_t k = 0; k < gguf_tensor_at(g, i)->n_byte; k++)
			sum += gguf_tensor_at(g, i)->data[k];
	return sum;
}

static void test_mutation(void)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct buf b = whole();
	size_t opened = 0, wrong = 0, sum = 0;

	for (size_t i = 0; i < b.len; i++)
		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			char was = b.data[i];
			struct gguf *g;
			struct err e;
			uint8_t *copy;
			int rc;

			b.data[i] = (char)values[v];
			rc = open_copy(&g, b.data, b.len, &e, &copy);
			b.data[i] = was;
			if (!rc) {
				opened++;
				sum += touch(g);
			} else if (rc != ERR_MODEL || !e.msg[0]) {
				wrong++;
			}
			gguf_close(g);
			free(copy);
		}
	ok(!wrong && opened, "each byte changed in five ways: read whole or refused as a model "
	   "(%zu opened, sum %zu)", opened, sum);
	buf_release(&b);
}

static struct buf head(uint64_t n_tensor, uint64_t n_kv)
{
	struct buf b = { 0 };

	make_head(&b, n_tensor, n_kv);
	return b;
}

/* A good head, one tensor, as many bytes of data as asked for. */
static struct buf one(uint32_t n_dim, uint64_t ne0, uint64_t ne1, uint32_t type, uint64_t off,
		      size_t data)
{
	struct buf b = head(1, 0);

	make_str(&b, "t");
	make_u32(&b, n_dim);
	make_u64(&b, ne0);
	if (n_dim > 1)
		make_u64(&b, ne1);
	make_u32(&b, type);
	make_u64(&b, off);
	make_pad(&b, 32);
	make_zeros(&b, data);
	return b;
}

static void test_head(void)
{
	struct buf b = head(0, 0);

	b.data[0] = 'g';
	ok(refused(&b, "magic", "not a GGUF file"), "another magic");
	b = head(0, 0);
	b.data[4] = 1;
	ok(refused(&b, "version", "version 1"), "version 1");
	b = head(0, 0);
	b.data[4] = 0, b.data[7] = 3;
	ok(refused(&b, "version", "big-endian"), "a big-endian file");
	b = head(UINT64_MAX, 0);
	ok(refused(&b, "tensor count", "18446744073709551615"), "2^64 - 1 tensors");
	b = head(1, 0);
	ok(refused(&b, "tensor count", "1 tensors do not fit the 0 bytes"), "one tensor in no bytes");
	b = head(0, 1ull << 63);
	ok(refused(&b, "key count", "9223372036854775808"), "2^63 keys");
	b = head(0, 0);
	make_zeros(&b, 1 << 20);
	make_counts(&b, 0, 70000);
	ok(refused(&b, "key count", "limit of 65536"), "more keys than the limit");
}

static void test_keys(void)
{
	struct buf b = head(0, 1);

	make_u64(&b, UINT64_MAX);
	make_zeros(&b, 32);
	ok(refused(&b, "name of key 0", "18446744073709551615 bytes"), "a key name of 2^64 - 1 bytes");
	b = head(0, 1);
	make_u64(&b, 0);
	make_zeros(&b, 32);
	ok(refused(&b, "name of key 0", "a key of 0 bytes"), "an empty key name");
	b = head(0, 1);
	make_key(&b, "k", (enum gguf_type)13);
	make_u64(&b, 0);
	ok(refused(&b, "key 'k'", "unknown value type 13"), "an unknown value type");
	b = head(0, 1);
	make_kv_arr(&b, "k", GGUF_ARRAY, 1);
	make_zeros(&b, 32);
	ok(refused(&b, "key 'k'", "array of arrays"), "an array of arrays");
	b = head(0, 1);
	make_kv_arr(&b, "k", (enum gguf_type)77, 1);
	ok(refused(&b, "key 'k'", "unknown element type 77"), "an unknown element type");
	b = head(0, 1);
	make_kv_arr(&b, "k", GGUF_F64, UINT64_MAX / 8 + 2);
	make_u64(&b, 0);
	ok(refused(&b, "key 'k'", "values of 8 bytes"), "an array whose bytes overflow 64 bits");
	b = head(0, 1);
	make_kv_arr(&b, "k", GGUF_STRING, 1ull << 61);
	make_u64(&b, 0);
	ok(refused(&b, "key 'k'", "an array of 2305843009213693952 strings"), "2^61 strings");
	b = head(0, 1);
	make_kv_arr(&b, "k", GGUF_STRING, 1);
	make_u64(&b, 9);
	buf_adds(&b, "12345678");
	ok(refused(&b, "key 'k'", "a string of 9 bytes, 8 are left"), "an element longer than the file");
	b = head(0, 1);
	make_key(&b, "k", GGUF_BOOL);
	buf_addc(&b, 2);
	ok(refused(&b, "key 'k'", "a bool of value 2"), "a bool that is none");
	b = head(0, 3);
	make_kv_u32(&b, "k", 1);
	make_kv_u32(&b, "j", 1);
	make_kv_u32(&b, "k", 2);
	ok(refused(&b, "key 'k'", "twice"), "a key that is there twice");
	b = head(0, 1);
	make_kv_u32(&b, "general.alignment", 48);
	ok(refused(&b, "general.alignment", "48 is not a power of two"), "an alignment of 48");
	b = head(0, 1);
	make_kv_u32(&b, "general.alignment", 4);
	ok(refused(&b, "general.alignment", "4 is not"), "an alignment of 4");
	b = head(0, 1);
	make_kv_u32(&b, "general.alignment", 0);
	ok(refused(&b, "general.alignment", "0 is not"), "an alignment of 0");
	b = head(0, 1);
	make_kv_str(&b, "general.alignment", "32");
	ok(refused(&b, "general.alignment", "not a u32"), "an alignment that is a string");
	b = head(0, 1);
	make_key(&b, "x\033[2J", (enum gguf_type)99);
	make_u64(&b, 0);
	ok(refused(&b, "key 'x?[2J'", "unknown value type"), "no control characters in messages");
}

static void test_tensors(void)
{
	struct buf b = one(0, 32, 1, QUANT_F32, 0, 128);

	ok(refused(&b, "tensor 't'", "0 dimensions"), "no dimension");
	b = one(5, 32, 1, QUANT_F32, 0, 128);
	ok(refused(&b, "tensor 't'", "5 dimensions"), "five dimensions");
	b = one(2, 32, 0, QUANT_F32, 0, 128);
	ok(refused(&b, "tensor 't'", "dimension 1 is 0"), "a dimension of 0");
	b = one(2, 1ull << 40, 1ull << 40, QUANT_F32, 0, 128);
	ok(refused(&b, "tensor 't'", "too many elements"), "a product of 2^80 elements");
	b = one(1, 1ull << 62, 1, QUANT_F32, 0, 128);
	ok(refused(&b, "tensor 't'", "too many bytes"), "2^62 elements of four bytes");
	b = one(1, 32, 1, 16, 0, 128);
	ok(refused(&b, "tensor 't'", "IQ2_XXS (16)"), "a known type that is not read, by its name");
	b = one(1, 32, 1, 99, 0, 128);
	ok(refused(&b, "tensor 't'", "type 99"), "an unknown type, by its number");
	b = one(1, 32, 1, UINT32_MAX, 0, 128);
	ok(refused(&b, "tensor 't'", "4294967295"), "the last type number");
	b = one(2, 48, 2, QUANT_Q8_0, 0, 128);
	ok(refused(&b, "tensor 't'", "Q8_0 needs a multiple of 32"), "a row of one and a half blocks");
	b = one(1, 256, 1, QUANT_Q4_K, 0, 143);
	ok(refused(&b, "tensor 't'", "its data ends at"), "data one byte too short");
	b = one(1, 8, 1, QUANT_F32, 16, 128);
	ok(refused(&b, "tensor 't'", "16 is no multiple of 32"), "an offset off the alignment");
	b = one(1, 8, 1, QUANT_F32, UINT64_MAX - 31, 128);
	ok(refused(&b, "tensor 't'", "past every file"), "an offset that overflows");
	b = one(1, 8, 1, QUANT_F32, 1 << 20, 128);
	ok(refused(&b, "tensor 't'", "its data ends at"), "an offset past the end");

	b = head(1, 0);
	make_tensor(&b, "a name of sixty-five bytes, which is one more than the format has....",
		    8, 0, QUANT_F32, 0);
	make_pad(&b, 32);
	make_zeros(&b, 32);
	ok(refused(&b, "name of tensor 0", "1 to 64 are allowed"), "a name that is too long");
	b = head(2, 0);
	make_tensor(&b, "same", 8, 0, QUANT_F32, 0);
	make_tensor(&b, "same", 8, 0, QUANT_F32, 32);
	make_pad(&b, 32);
	make_zeros(&b, 64);
	ok(refused(&b, "tensor 'same'", "twice"), "two tensors of one name");
	b = head(2, 0);
	make_tensor(&b, "second", 8, 0, QUANT_F32, 32);
	make_tensor(&b, "first", 9, 0, QUANT_F32, 0);
	make_pad(&b, 32);
	make_zeros(&b, 64);
	ok(refused(&b, "tensor 'second'", "overlaps tensor 'first'"), "two that overlap by four bytes");
}

static const char *in_dir(const char *name)
{
	static char path[2][512];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

/* A part with a tensor of its own name and value; -1 leaves a key out. */
static void write_part(const char *name, int no, int count, int total, const char *tensor)
{
	struct buf b = head(1, 0);
	struct err e = { 0 };
	float f = (float)no;

	make_counts(&b, 1, (uint64_t)((no >= 0) + (count >= 0) + (total >= 0)));
	if (no >= 0)
		make_kv_u16(&b, "split.no", (uint16_t)no);
	if (count >= 0)
		make_kv_u16(&b, "split.count", (uint16_t)count);
	if (total >= 0)
		make_kv_u32(&b, "split.tensors.count", (uint32_t)total);
	make_tensor(&b, tensor, 1, 0, QUANT_F32, 0);
	make_pad(&b, 32);
	buf_add(&b, &f, sizeof(f));
	if (file_write_atomic(in_dir(name), b.data, b.len, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(99);
	}
	buf_release(&b);
}

static bool split_refused(const char *name, const char *why)
{
	struct gguf *g;
	struct err e = { 0 };
	int rc = gguf_open(&g, in_dir(name), &e);
	bool good = rc == ERR_MODEL && !g && strstr(e.msg, why);

	if (!good)
		printf("# rc %d, message: %s\n", rc, e.msg);
	gguf_close(g);
	return good;
}

static void good_parts(void)
{
	write_part("m-00001-of-00003.gguf", 0, 3, 3, "a");
	write_part("m-00002-of-00003.gguf", 1, 3, 3, "b");
	write_part("m-00003-of-00003.gguf", 2, 3, 3, "c");
}

static void test_split(void)
{
	static const char *const part[3] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
					     "m-00003-of-00003.gguf" };
	struct gguf *g;
	struct err e = { 0 };
	struct buf b = { 0 };

	good_parts();
	for (int i = 0; i < 3; i++) {
		const struct gguf_tensor *t;
		uint32_t no = 9;
		float f = -1;

		if (!ok(!gguf_open(&g, in_dir(part[i]), &e), "a split model opens by part %d %s", i + 1,
			e.msg))
			continue;
		t = gguf_tensor(g, "c");
		if (t)
			memcpy(&f, t->data, sizeof(f));
		ok(gguf_n_part(g) == 3 && gguf_n_tensor(g) == 3 && t && t->part == 2 && f == 2 &&
		   gguf_get_u32(g, "split.no", &no) && no == 0,
		   "tensors of all its parts, keys of the first");
		gguf_prefetch(g, t);
		gguf_release(g, t);
		gguf_close(g);
	}
	file_read(&b, in_dir(part[1]), 1 << 20, &e);
	ok(gguf_open_mem(&g, "mem.gguf", b.data, b.len, &e) == ERR_MODEL, "one part in memory is refused");
	buf_release(&b);

	unlink(in_dir(part[1]));
	ok(split_refused(part[0], "m-00002-of-00003.gguf'"), "a missing part is named");
	ok(split_refused(part[1], "No such file"), "also when it is the one asked for");
	ok(!symlink("m-00001-of-00003.gguf", in_dir(part[1])) &&
	   split_refused(part[2], "it says it is part 1 of 3, not part 2"), "a part in another's place");
	unlink(in_dir(part[1]));
	ok(!symlink("m-00002-of-00003.gguf", in_dir(part[1])) &&
	   split_refused(part[0], "symbolic links"), "a link to itself");
	unlink(in_dir(part[1]));
	write_part(part[1], 1, 4, 3, "b");
	ok(split_refused(part[0], "part 2 of 4, not part 2 of 3"), "parts that disagree on the count");
	ok(split_refused(part[1], "against its name"), "a name that disagrees with the keys");
	write_part(part[1], 1, 3, 3, "a");
	ok(split_refused(part[0], "tensor 'a'"), "a tensor that is in two parts");
	write_part(part[1], 1, 3, 3, "b");
	write_part(part[0], 0, 3, 7, "a");
	ok(split_refused(part[2], "split.tensors.count"), "fewer tensors than the first part says");
	write_part(part[0], 5, 3, 3, "a");
	ok(split_refused(part[0], "split.no"), "a number past the count");
	write_part(part[0], -1, 3, 3, "a");
	ok(split_refused(part[0], "without 'split.no'"), "a part that does not know its number");
	write_part("plain.gguf", 0, 3, 3, "a");
	ok(split_refused("plain.gguf", "its name does not say so"), "a part under another name");
	write_part("x-00001-of-65535.gguf", 0, 65535, 3, "a");
	ok(split_refused("x-00001-of-65535.gguf", "x-00002-of-65535.gguf'"), "65535 parts, one there");
	write_part("plain.gguf", 0, 1, 1, "a");
	ok(!gguf_open(&g, in_dir("plain.gguf"), &e) && gguf_n_part(g) == 1, "one part of one is whole");
	gguf_close(g);
	ok(split_refused("none.gguf", "cannot open"), "no such file is a model's error");
	ok(split_refused(".", "not a regular file"), "so is a folder");
}

static void clean_up(void)
{
	static const char *const name[] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
		"m-00003-of-00003.gguf", "plain.gguf", "x-00001-of-65535.gguf" };

	for (size_t i = 0; i < ARRAY_LEN(name); i++)
		unlink(in_dir(name[i]));
	rmdir(dir);
}

int main(void)
{
	if (!mkdtemp(dir))
		skip_all("no folder for files of our own");
	test_reading();
	test_truncation();
	test_mutation();
	test_head();
	test_keys();
	test_tensors();
	test_split();
	clean_up();
	return done();
}
