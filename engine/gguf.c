#include "config.h"

#include "engine/gguf.h"

#include "base/file.h"
#include "base/mapped.h"
#include "base/size.h"
#include "engine/gguf_part.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPLIT_TAIL "-00000-of-00000.gguf"

struct part_file {
	struct file_map  map;		/* data NULL when the bytes are the caller's */
	char            *path;
	struct gguf_part part;
	bool             parsed;
};

struct gguf {
	char               *path;
	struct part_file   *file;	/* [n_part] */
	size_t              n_part;
	struct gguf_tensor *tensor;	/* [n_tensor], part after part in file order */
	struct gguf_tensor **by_name;	/* the same, sorted */
	size_t              n_tensor;
};

static int open_part(struct part_file *f, const char *path, struct err *e)
{
	struct err why = { .msg = "" };
	int rc;

	f->path = strdup(path);
	if (!f->path)
		return err_nomem(e);
	if (file_map_open(&f->map, path, &why))
		return err_set(e, ERR_MODEL, "%s", why.msg);
	mapped_add(f->map.data, f->map.size, MAPPED_MODEL, f->path);
	rc = gguf_part_parse(&f->part, f->path, f->map.data, f->map.size, e);
	f->parsed = !rc;
	return rc;
}

static void close_part(struct part_file *f)
{
	if (f->parsed)
		gguf_part_release(&f->part);
	mapped_remove(f->map.data);
	file_map_close(&f->map);
	free(f->path);
	*f = (struct part_file){ 0 };
}

/* "DIR/NAME-00002-of-00003.gguf": true when path ends like that, with the two numbers. */
static bool parse_split_name(const char *path, uint64_t *no, uint64_t *count)
{
	size_t n = strlen(path), tail = sizeof(SPLIT_TAIL) - 1;
	const char *at = path + n - tail;

	if (n < tail)
		return false;
	for (size_t i = 0; i < tail; i++)
		if (SPLIT_TAIL[i] == '0' ? at[i] < '0' || at[i] > '9' : at[i] != SPLIT_TAIL[i])
			return false;
	*no = strtoul(at + 1, NULL, 10);
	*count = strtoul(at + 10, NULL, 10);
	return true;
}

/* *no gets the part's own number, *count how many there are; a whole model is part 0 of 1. */
static int split_keys(const struct gguf_part *p, uint64_t *no, uint64_t *count, struct err *e)
{
	const struct gguf_kv *kno = gguf_part_find(p, "split.no");
	const struct gguf_kv *kcount = gguf_part_find(p, "split.count");

	*no = 0;
	*count = 1;
	if (!kcount)
		return 0;
	if (kcount->type == GGUF_ARRAY || !gguf_kv_u64(kcount, 0, false, count))
		return err_set(e, ERR_MODEL, "'%.180s': key 'split.count' is not a count", p->path);
	if (kno && (kno->type == GGUF_ARRAY || !gguf_kv_u64(kno, 0, false, no)))
		return err_set(e, ERR_MODEL, "'%.180s': key 'split.no' is not a number", p->path);
	if (*count <= 1) {
		*count = 1;
		*no = 0;
	} else if (!kno) {
		return err_set(e, ERR_MODEL, "'%.180s': key 'split.count' without 'split.no'", p->path);
	} else if (*no >= *count) {
		return err_set(e, ERR_MODEL, "'%.180s': key 'split.no' is %" PRIu64 " of %" PRIu64
			       " parts, counted from 0", p->path, *no, *count);
	}
	return 0;
}

/* The name of part no (from 0), in fresh memory. */
static char *part_path(const char *path, uint64_t no)
{
	char *s = strdup(path), digits[24];

	if (s) {
		snprintf(digits, sizeof(digits), "%05" PRIu64, no + 1);
		memcpy(s + strlen(s) - (sizeof(SPLIT_TAIL) - 1) + 1, digits, 5);
	}
	return s;
}

static int open_other(struct gguf *g, uint64_t i, struct err *e)
{
	char *path = part_path(g->path, i);
	uint64_t no, count;
	int rc;

	if (!path)
		return err_nomem(e);
	rc = open_part(&g->file[i], path, e);
	free(path);
	if (rc)
		return err_hint(e, rc, "all %zu parts of a split model must lie in one folder", g->n_part);
	rc = split_keys(&g->file[i].part, &no, &count, e);
	if (!rc && (no != i || count != g->n_part))
		rc = err_set(e, ERR_MODEL, "'%.180s': it says it is part %" PRIu64 " of %" PRIu64
			     ", not part %" PRIu64 " of %zu", g->file[i].path, no + 1, count, i + 1,
			     g->n_part);
	return rc;
}

/* The file given is open as g->file[0]; find and open its sisters.  Invariant (4).  A copy or a link
 * of one part in another's place says a wrong number, so no part can be there twice. */
static int open_parts(struct gguf *g, struct err *e)
{
	uint64_t no, count, name_no, name_count;
	struct part_file *file;
	int rc = split_keys(&g->file[0].part, &no, &count, e);

	if (rc || count == 1)
		return rc;
	if (!g->file[0].map.data)
		return err_set(e, ERR_MODEL, "'%.180s': one part of a split model", g->path);
	if (!parse_split_name(g->path, &name_no, &name_count)) {
		rc = err_set(e, ERR_MODEL, "'%.180s': it is part %" PRIu64 " of %" PRIu64
			     " but its name does not say so", g->path, no + 1, count);
		return err_hint(e, rc, "name the parts NAME-00001-of-000NN.gguf and so on");
	}
	if (name_no != no + 1 || name_count != count)
		return err_set(e, ERR_MODEL, "'%.180s': it says it is part %" PRIu64 " of %" PRIu64
			       ", against its name", g->path, no + 1, count);
	file = calloc(count, sizeof(*file));
	if (!file)
		return err_nomem(e);
	file[no] = g->file[0];
	free(g->file);
	g->file = file;
	g->n_part = count;
	for (uint64_t i = 0; i < count && !rc; i++)
		if (i != no)
			rc = open_other(g, i, e);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return gguf_str_cmp((*(struct gguf_tensor *const *)a)->name,
			    (*(struct gguf_tensor *const *)b)->name);
}

/* One list of all parts' tensors, and its order by name. */
static int join_tensors(struct gguf *g, struct err *e)
{
	const struct gguf_kv *kv = gguf_part_find(&g->file[0].part, "split.tensors.count");
	uint64_t want;

	for (size_t i = 0; i < g->n_part; i++)
		g->n_tensor += g->file[i].part.n_tensor;
	g->tensor = calloc(g->n_tensor + 1, sizeof(*g->tensor));
	g->by_name = calloc(g->n_tensor + 1, sizeof(struct gguf_tensor *));
	if (!g->tensor || !g->by_name)
		return err_nomem(e);
	for (size_t i = 0, at = 0; i < g->n_part; i++)
		for (size_t k = 0; k < g->file[i].part.n_tensor; k++, at++) {
			g->tensor[at] = g->file[i].part.tensor[k];
			g->tensor[at].part = (int)i;
			g->by_name[at] = &g->tensor[at];
		}
	qsort(g->by_name, g->n_tensor, sizeof(struct gguf_tensor *), by_name);
	for (size_t i = 1; i < g->n_tensor; i++) {
		const struct gguf_tensor *t = g->by_name[i];
		const struct gguf_part *p = &g->file[t->part].part;

		if (!gguf_str_cmp(g->by_name[i - 1]->name, t->name))
			return err_set(e, ERR_MODEL, "'%.180s': tensor '%s', offset %zu: the name is there "
				       "twice", p->path, gguf_show(t->name).s,
				       (size_t)((const uint8_t *)t->name.s - p->data));
	}
	if (g->n_part > 1 && kv && (kv->type == GGUF_ARRAY || !gguf_kv_u64(kv, 0, false, &want) ||
				    want != g->n_tensor))
		return err_set(e, ERR_MODEL, "'%.180s': key 'split.tensors.count' does not equal the %zu "
			       "tensors of the parts", g->file[0].path, g->n_tensor);
	return 0;
}

static int open_common(struct gguf **out, const char *path, const void *data, size_t n,
		       struct err *e)
{
	struct gguf *g = calloc(1, sizeof(*g));
	int rc;

	*out = NULL;
	if (g)
		g->path = strdup(path);
	if (g)
		g->file = calloc(1, sizeof(*g->file));
	if (!g || !g->path || !g->file) {
		rc = err_nomem(e);
		goto fail;
	}
	g->n_part = 1;
	if (data) {
		rc = gguf_part_parse(&g->file[0].part, g->path, data, n, e);
		g->file[0].parsed = !rc;
	} else {
		rc = open_part(&g->file[0], path, e);
	}
	if (!rc)
		rc = open_parts(g, e);
	if (!rc)
		rc = join_tensors(g, e);
	if (rc)
		goto fail;
	*out = g;
	return 0;
fail:
	gguf_close(g);
	return rc;
}

int gguf_open(struct gguf **out, const char *path, struct err *e)
{
	return open_common(out, path, NULL, 0, e);
}

int gguf_open_mem(struct gguf **out, const char *name, const void *data, size_t n, struct err *e)
{
	return open_common(out, name, data, n, e);
}

void gguf_close(struct gguf *g)
{
	if (!g)
		return;
	for (size_t i = 0; g->file && i < g->n_part; i++)
		close_part(&g->file[i]);
	free(g->file);
	free(g->tensor);
	free(g->by_name);
	free(g->path);
	free(g);
}

const char *gguf_path(const struct gguf *g)
{
	return g->path;
}

uint64_t gguf_file_bytes(const struct gguf *g)
{
	uint64_t n = 0;

	for (size_t i = 0; i < g->n_part; i++)
		n += g->file[i].part.size;
	return n;
}

int gguf_n_part(const struct gguf *g)
{
	return (int)g->n_part;
}

static const struct gguf_kv *find(const struct gguf *g, const char *key, bool array)
{
	const struct gguf_kv *kv = gguf_part_find(&g->file[0].part, key);

	return kv && (kv->type == GGUF_ARRAY) == array ? kv : NULL;
}

bool gguf_has(const struct gguf *g, const char *key)
{
	return gguf_part_find(&g->file[0].part, key) != NULL;
}

static bool kv_f32(const struct gguf_kv *kv, uint64_t i, float *out)
{
	double d;

	if (kv->elem == GGUF_F32) {
		memcpy(out, kv->at + i * sizeof(*out), sizeof(*out));
		return true;
	}
	if (kv->elem != GGUF_F64)
		return false;
	memcpy(&d, kv->at + i * sizeof(d), sizeof(d));
	if (isfinite(d) && fabs(d) > FLT_MAX)
		return false;
	*out = (float)d;
	return true;
}

bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out)
{
	const struct gguf_kv *kv = find(g, key, false);

	return kv && gguf_kv_u64(kv, 0, false, out);
}

bool gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out)
{
	uint64_t u;

	if (!gguf_get_u64(g, key, &u) || u > UINT32_MAX)
		return false;
	*out = (uint32_t)u;
	return true;
}

bool gguf_get_f32(const struct gguf *g, const char *key, float *out)
{
	const struct gguf_kv *kv = find(g, key, false);

	return kv && kv_f32(kv, 0, out);
}

bool gguf_get_bool(const struct gguf *g, const char *key, bool *out)
{
	const struct gguf_kv *kv = find(g, key, false);

	if (!kv || kv->type != GGUF_BOOL)
		return false;
	*out = kv->at[0];
	return true;
}

bool gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out)
{
	const struct gguf_kv *kv = find(g, key, false);

	if (!kv || kv->type != GGUF_STRING)
		return false;
	*out = kv->str[0];
	return true;
}

bool gguf_get_arr(const struct gguf *g, const char *key, enum gguf_type *type, uint64_t *n)
{
	const struct gguf_kv *kv = find(g, key, true);

	if (!kv)
		return false;
	*type = kv->elem;
	*n = kv->n;
	return true;
}

bool gguf_arr_str(const struct gguf *g, const char *key, uint64_t i, struct gguf_str *out)
{
	const struct gguf_kv *kv = find(g, key, true);

	if (!kv || kv->elem != GGUF_STRING || i >= kv->n)
		return false;
	*out = kv->str[i];
	return true;
}

bool gguf_arr_u64(const struct gguf *g, const char *key, uint64_t i, uint64_t *out)
{
	const struct gguf_kv *kv = find(g, key, true);

	return kv && i < kv->n && gguf_kv_u64(kv, i, true, out);
}

bool gguf_arr_f32(const struct gguf *g, const char *key, uint64_t i, float *out)
{
	const struct gguf_kv *kv = find(g, key, true);

	return kv && i < kv->n && kv_f32(kv, i, out);
}

const void *gguf_arr_data(const struct gguf *g, const char *key, enum gguf_type *type, uint64_t *n)
{
	const struct gguf_kv *kv = find(g, key, true);

	if (!kv || kv->elem == GGUF_STRING)
		return NULL;
	*type = kv->elem;
	*n = kv->n;
	return kv->at;
}

const struct gguf_str *gguf_arr_strs(const struct gguf *g, const char *key, uint64_t *n)
{
	const struct gguf_kv *kv = find(g, key, true);

	if (!kv || kv->elem != GGUF_STRING)
		return NULL;
	*n = kv->n;
	return kv->str;
}

bool gguf_key_at(const struct gguf *g, uint64_t i, struct gguf_str *key, enum gguf_type *type)
{
	const struct gguf_part *p = &g->file[0].part;

	if (i >= p->n_kv)
		return false;
	*key = p->kv[i].key;
	*type = p->kv[i].type;
	return true;
}

uint64_t gguf_n_tensor(const struct gguf *g)
{
	return g->n_tensor;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, uint64_t i)
{
	return i < g->n_tensor ? &g->tensor[i] : NULL;
}

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
	struct gguf_str want = { name, strlen(name) };
	size_t lo = 0, hi = g->n_tensor;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = gguf_str_cmp(g->by_name[mid]->name, want);

		if (!c)
			return g->by_name[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void gguf_prefetch(const struct gguf *g, const struct gguf_tensor *t)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)t->data & ~(page - 1);

	/* Advice: nothing depends on whether the kernel takes it. */
	if (g->file[t->part].map.data)
		madvise((void *)from, (uintptr_t)t->data + t->n_byte - from, MADV_WILLNEED);
}

void gguf_release(const struct gguf *g, const struct gguf_tensor *t)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = round_up((uintptr_t)t->data, page);
	uintptr_t to = ((uintptr_t)t->data + t->n_byte) & ~(page - 1);

	/* Whole pages only: the neighbours' stay. */
	if (g->file[t->part].map.data && from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}
