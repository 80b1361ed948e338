#include "config.h"

#include "engine/gguf_part.h"

#include "base/size.h"
#include "engine/quant.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shortest possible entries: they bound counts by the bytes that are there. */
#define MIN_KV_BYTES     (8 + 1 + 4 + 1)
#define MIN_TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8)

#define MAX_NAME_BYTES 64u	/* of a tensor, as the format says */
#define MAX_KEY_BYTES  65535u

/* Where we are in the file, and what we are reading, for messages. */
struct reader {
	const struct gguf_part *p;
	size_t      pos;
	char        what[112];
	uint64_t    n_str;		/* strings in arrays so far */
	struct err *e;
};

__attribute__((format(printf, 3, 4)))
static int bad(struct reader *r, uint64_t at, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(r->e, ERR_MODEL, "'%.180s': %s, offset %" PRIu64 ": %s", r->p->path, r->what,
		       at, why);
}

__attribute__((format(printf, 2, 3)))
static void reading(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->what, sizeof(r->what), fmt, ap);
	va_end(ap);
}

static size_t left(const struct reader *r)
{
	return r->p->size - r->pos;
}

/* What to do about an error that a download cut short gives: rc is passed on. */
static int cut_off(struct reader *r, int rc)
{
	return err_hint(r->e, rc, "the file is cut off or damaged: fetch it again");
}

static int get(struct reader *r, void *out, size_t n)
{
	if (left(r) < n)
		return cut_off(r, bad(r, r->pos, "%zu bytes are needed, %zu are left", n, left(r)));
	memcpy(out, r->p->data + r->pos, n);
	r->pos += n;
	return 0;
}

static int get_u32(struct reader *r, uint32_t *out)
{
	return get(r, out, sizeof(*out));
}

static int get_u64(struct reader *r, uint64_t *out)
{
	return get(r, out, sizeof(*out));
}

static int get_str(struct reader *r, struct gguf_str *out)
{
	size_t at = r->pos;
	uint64_t n = 0;
	int rc = get_u64(r, &n);

	if (rc)
		return rc;
	if (n > left(r))
		return cut_off(r, bad(r, at, "a string of %" PRIu64 " bytes, %zu are left", n, left(r)));
	out->s = (const char *)r->p->data + r->pos;
	out->n = (size_t)n;
	r->pos += (size_t)n;
	return 0;
}

/* Magic, version, counts. */
static int read_head(struct reader *r, uint64_t *n_tensor, uint64_t *n_kv)
{
	char magic[4];
	uint32_t version;
	int rc;

	reading(r, "magic");
	rc = get(r, magic, sizeof(magic));
	if (rc)
		return rc;
	if (memcmp(magic, "GGUF", 4))
		return bad(r, 0, "not a GGUF file");
	reading(r, "version");
	rc = get_u32(r, &version);
	if (rc)
		return rc;
	if (version && !(version & 0xffff))
		return bad(r, 4, "a big-endian file; this program reads little-endian ones");
	if (version != 2 && version != 3)
		return bad(r, 4, "version %" PRIu32 ", this program reads 2 and 3", version);
	reading(r, "tensor count");
	rc = get_u64(r, n_tensor);
	if (rc)
		return rc;
	reading(r, "key count");
	rc = get_u64(r, n_kv);
	if (rc)
		return rc;
	reading(r, "tensor count");
	if (*n_tensor > GGUF_MAX_TENSOR || *n_tensor > left(r) / MIN_TENSOR_BYTES)
		return bad(r, 8, "%" PRIu64 " tensors do not fit the %zu bytes left or the limit of %d",
			   *n_tensor, left(r), GGUF_MAX_TENSOR);
	reading(r, "key count");
	if (*n_kv > GGUF_MAX_KEY || *n_kv > left(r) / MIN_KV_BYTES)
		return bad(r, 16, "%" PRIu64 " keys do not fit the %zu bytes left or the limit of %d",
			   *n_kv, left(r), GGUF_MAX_KEY);
	return 0;
}

/* kv->n strings, each indexed so that a token is found in O(1). */
static int read_strs(struct reader *r, struct gguf_kv *kv)
{
	size_t at = r->pos;

	if (kv->n > left(r) / 8)
		return cut_off(r, bad(r, at, "an array of %" PRIu64 " strings, %zu bytes are left", kv->n,
				      left(r)));
	r->n_str += kv->n;
	if (r->n_str > GGUF_MAX_STR)
		return bad(r, at, "%" PRIu64 " strings in arrays, the limit is %d", r->n_str,
			   GGUF_MAX_STR);
	kv->str = calloc(kv->n ? kv->n : 1, sizeof(*kv->str));
	if (!kv->str)
		return err_nomem(r->e);
	for (uint64_t i = 0; i < kv->n; i++) {
		int rc = get_str(r, &kv->str[i]);

		if (rc)
			return rc;
	}
	return 0;
}

static int read_fixed(struct reader *r, struct gguf_kv *kv)
{
	size_t at = r->pos, each = gguf_type_bytes(kv->elem);

	if (kv->n > left(r) / each)
		return cut_off(r, bad(r, at, "%" PRIu64 " values of %zu bytes, %zu are left", kv->n, each,
				      left(r)));
	kv->at = r->p->data + at;
	r->pos += (size_t)kv->n * each;
	if (kv->elem != GGUF_BOOL)
		return 0;
	for (uint64_t i = 0; i < kv->n; i++)
		if (kv->at[i] > 1)
			return bad(r, at + i, "a bool of value %u", kv->at[i]);
	return 0;
}

static int read_value(struct reader *r, struct gguf_kv *kv)
{
	size_t at = r->pos;
	uint32_t type = 0;
	int rc = get_u32(r, &type);

	if (rc)
		return rc;
	if (type > GGUF_F64)
		return bad(r, at, "unknown value type %" PRIu32, type);
	kv->type = kv->elem = (enum gguf_type)type;
	kv->n = 1;
	if (type == GGUF_ARRAY) {
		at = r->pos;
		rc = get_u32(r, &type);
		if (rc)
			return rc;
		if (type > GGUF_F64)
			return bad(r, at, "unknown element type %" PRIu32, type);
		if (type == GGUF_ARRAY)
			return bad(r, at, "an array of arrays, which this program does not read");
		kv->elem = (enum gguf_type)type;
		rc = get_u64(r, &kv->n);
		if (rc)
			return rc;
	}
	return kv->elem == GGUF_STRING ? read_strs(r, kv) : read_fixed(r, kv);
}

static int kv_cmp(const void *a, const void *b)
{
	return gguf_str_cmp((*(struct gguf_kv *const *)a)->key, (*(struct gguf_kv *const *)b)->key);
}

static int read_kvs(struct reader *r, struct gguf_part *p, uint64_t n)
{
	p->kv = calloc(n ? n : 1, sizeof(*p->kv));
	p->by_key = calloc(n ? n : 1, sizeof(struct gguf_kv *));
	if (!p->kv || !p->by_key)
		return err_nomem(r->e);
	for (uint64_t i = 0; i < n; i++) {
		struct gguf_kv *kv = &p->kv[i];
		size_t at = r->pos;
		int rc;

		reading(r, "name of key %" PRIu64, i);
		rc = get_str(r, &kv->key);
		if (rc)
			return rc;
		if (!kv->key.n || kv->key.n > MAX_KEY_BYTES)
			return bad(r, at, "a key of %zu bytes, 1 to %u are allowed", kv->key.n,
				   MAX_KEY_BYTES);
		p->by_key[i] = kv;
		p->n_kv++;	/* from here on release sees its strings */
		reading(r, "key '%s'", gguf_show(kv->key).s);
		rc = read_value(r, kv);
		if (rc)
			return rc;
	}
	qsort(p->by_key, p->n_kv, sizeof(struct gguf_kv *), kv_cmp);
	for (size_t i = 1; i < p->n_kv; i++) {
		struct gguf_str key = p->by_key[i]->key;

		if (gguf_str_cmp(p->by_key[i - 1]->key, key))
			continue;
		reading(r, "key '%s'", gguf_show(key).s);
		return bad(r, (uint64_t)((const uint8_t *)key.s - p->data), "it is there twice");
	}
	return 0;
}

static int read_align(struct reader *r, struct gguf_part *p)
{
	const struct gguf_kv *kv = gguf_part_find(p, "general.alignment");
	uint64_t at;

	p->align = 32;
	if (!kv)
		return 0;
	reading(r, "key 'general.alignment'");
	at = (uint64_t)((const uint8_t *)kv->key.s - p->data) + kv->key.n;
	if (kv->type != GGUF_U32)
		return bad(r, at, "it is not a u32");
	gguf_kv_u64(kv, 0, false, &p->align);
	/* At least 8, as the format demands: element access in the mapping relies on it. */
	if (p->align < 8 || (p->align & (p->align - 1)))
		return bad(r, at, "%" PRIu64 " is not a power of two of at least 8", p->align);
	return 0;
}

/* Shape, type and size of one tensor; *off is where it says its bytes are. */
static int read_tensor(struct reader *r, struct gguf_tensor *t, uint64_t index, uint64_t *off)
{
	size_t at = r->pos;
	const struct quant_info *qi;
	uint64_t n_elem = 1;
	uint32_t u;
	int rc;

	reading(r, "name of tensor %" PRIu64, index);
	rc = get_str(r, &t->name);
	if (rc)
		return rc;
	if (!t->name.n || t->name.n > MAX_NAME_BYTES)
		return bad(r, at, "a name of %zu bytes, 1 to %u are allowed", t->name.n, MAX_NAME_BYTES);
	reading(r, "tensor '%s'", gguf_show(t->name).s);
	at = r->pos;
	rc = get_u32(r, &u);
	if (rc)
		return rc;
	if (u < 1 || u > 4)
		return bad(r, at, "%" PRIu32 " dimensions, 1 to 4 are allowed", u);
	t->n_dim = (int)u;
	for (int d = 0; d < 4; d++) {
		at = r->pos;
		t->ne[d] = 1;
		rc = d < t->n_dim ? get_u64(r, &t->ne[d]) : 0;
		if (rc)
			return rc;
		if (!t->ne[d])
			return bad(r, at, "dimension %d is 0", d);
		if (u64_mul(n_elem, t->ne[d], &n_elem) || n_elem > INT64_MAX)
			return bad(r, at, "dimension %d is %" PRIu64 ": too many elements", d, t->ne[d]);
	}
	at = r->pos;
	rc = get_u32(r, &u);
	if (rc)
		return rc;
	t->type = u > INT32_MAX ? -1 : (int)u;
	qi = quant_info(t->type);
	if (!qi)
		return bad(r, at, "tensor type %s (%" PRIu32 "), which this program does not read",
			   quant_name(t->type), u);
	if (t->ne[0] % qi->block_elems)
		return bad(r, at, "rows of %" PRIu64 " elements, %s needs a multiple of %" PRIu32,
			   t->ne[0], qi->name, qi->block_elems);
	if (u64_mul(n_elem / qi->block_elems, qi->block_bytes, &t->n_byte))
		return bad(r, at, "%" PRIu64 " elements of %s: too many bytes", n_elem, qi->name);
	at = r->pos;
	rc = get_u64(r, off);
	if (rc)
		return rc;
	if (*off % r->p->align)
		return bad(r, at, "its data offset %" PRIu64 " is no multiple of %" PRIu64, *off,
			   r->p->align);
	return 0;
}

/* Once the list has ended, we know where data begins: give every tensor its bytes. */
static int place_tensors(struct reader *r, struct gguf_part *p, const uint64_t *off)
{
	for (size_t i = 0; i < p->n_tensor; i++) {
		struct gguf_tensor *t = &p->tensor[i];
		uint64_t begin, end;

		reading(r, "tensor '%s'", gguf_show(t->name).s);
		if (u64_add(p->data_off, off[i], &begin) || u64_add(begin, t->n_byte, &end))
			return bad(r, off[i], "its %" PRIu64 " bytes end past every file", t->n_byte);
		if (end > p->size)
			return cut_off(r, bad(r, begin, "its data ends at %" PRIu64 ", the file at %zu", end,
					      p->size));
		t->data = p->data + begin;
	}
	return 0;
}

static int by_data(const void *a, const void *b)
{
	const struct gguf_tensor *s = *(struct gguf_tensor *const *)a;
	const struct gguf_tensor *t = *(struct gguf_tensor *const *)b;

	return s->data < t->data ? -1 : s->data > t->data;
}

static int check_overlap(struct reader *r, const struct gguf_part *p)
{
	const struct gguf_tensor **order = calloc(p->n_tensor + 1, sizeof(struct gguf_tensor *));
	int rc = 0;

	if (!order)
		return err_nomem(r->e);
	for (size_t i = 0; i < p->n_tensor; i++)
		order[i] = &p->tensor[i];
	qsort(order, p->n_tensor, sizeof(struct gguf_tensor *), by_data);
	for (size_t i = 1; i < p->n_tensor && !rc; i++) {
		const struct gguf_tensor *s = order[i - 1], *t = order[i];

		if (s->data + s->n_byte <= t->data)
			continue;
		reading(r, "tensor '%s'", gguf_show(t->name).s);
		rc = bad(r, (uint64_t)(t->data - p->data), "it overlaps tensor '%s'",
			 gguf_show(s->name).s);
	}
	free(order);
	return rc;
}

static int read_tensors(struct reader *r, struct gguf_part *p, uint64_t n)
{
	uint64_t *off = calloc(n + 1, sizeof(*off));
	int rc = 0;

	p->tensor = calloc(n + 1, sizeof(*p->tensor));
	if (!off || !p->tensor)
		rc = err_nomem(r->e);
	for (; !rc && p->n_tensor < n; p->n_tensor++)
		rc = read_tensor(r, &p->tensor[p->n_tensor], p->n_tensor, &off[p->n_tensor]);
	if (!rc) {
		/* A file without tensors (a first part that holds keys alone) may end unpadded. */
		p->data_off = r->pos + (p->align - r->pos % p->align) % p->align;
		rc = place_tensors(r, p, off);
	}
	if (!rc)
		rc = check_overlap(r, p);
	free(off);
	return rc;
}

int gguf_part_parse(struct gguf_part *p, const char *path, const uint8_t *data, size_t size,
		    struct err *e)
{
	struct reader r = { .p = p, .e = e };
	uint64_t n_tensor, n_kv;
	int rc;

	*p = (struct gguf_part){ .path = path, .data = data, .size = size };
	rc = read_head(&r, &n_tensor, &n_kv);
	if (!rc)
		rc = read_kvs(&r, p, n_kv);
	if (!rc)
		rc = read_align(&r, p);
	if (!rc)
		rc = read_tensors(&r, p, n_tensor);
	if (rc)
		gguf_part_release(p);
	return rc;
}

void gguf_part_release(struct gguf_part *p)
{
	for (size_t i = 0; i < p->n_kv; i++)
		free(p->kv[i].str);
	free(p->kv);
	free(p->by_key);
	free(p->tensor);
	*p = (struct gguf_part){ 0 };
}

const struct gguf_kv *gguf_part_find(const struct gguf_part *p, const char *key)
{
	struct gguf_str want = { key, strlen(key) };
	size_t lo = 0, hi = p->n_kv;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = gguf_str_cmp(p->by_key[mid]->key, want);

		if (!c)
			return p->by_key[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool gguf_kv_u64(const struct gguf_kv *kv, uint64_t i, bool bools, uint64_t *out)
{
	size_t each = gguf_type_bytes(kv->elem);
	uint64_t u = 0;
	int64_t s = 0;

	switch (kv->elem) {
	case GGUF_BOOL:
		if (!bools)
			return false;
		/* fall through */
	case GGUF_U8: case GGUF_U16: case GGUF_U32: case GGUF_U64:
		memcpy(&u, kv->at + i * each, each);	/* little-endian: the low bytes */
		break;
	case GGUF_I8: case GGUF_I16: case GGUF_I32: case GGUF_I64:
		memcpy(&s, kv->at + i * each, each);
		if (s >> (8 * each - 1))		/* the sign bit of its own width */
			return false;
		u = (uint64_t)s;
		break;
	default:
		return false;
	}
	*out = u;
	return true;
}

size_t gguf_type_bytes(uint32_t type)
{
	static const uint8_t bytes[] = {
		[GGUF_U8] = 1, [GGUF_I8] = 1, [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4,
		[GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8,
		[GGUF_F64] = 8,
	};

	return type < ARRAY_LEN(bytes) ? bytes[type] : 0;
}

struct gguf_show gguf_show(struct gguf_str s)
{
	struct gguf_show out;
	size_t n = MIN(s.n, sizeof(out.s) - 1);

	for (size_t i = 0; i < n; i++)
		out.s[i] = s.s[i] >= ' ' && s.s[i] <= '~' ? s.s[i] : '?';
	out.s[n] = '\0';
	return out;
}

int gguf_str_cmp(struct gguf_str a, struct gguf_str b)
{
	size_t n = MIN(a.n, b.n);
	int c = n ? memcmp(a.s, b.s, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}
