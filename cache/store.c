#include "config.h"

#include "cache/store.h"

#include "base/buf.h"
#include "base/size.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const suffix[] = { [SEGMENT_KV] = "kv", [SEGMENT_SKETCH] = "sk",
				      [SEGMENT_SPANIDX] = "si" };

struct open_file {
	uint32_t          number;
	enum segment_kind kind;
	struct segment   *seg;
};

struct kv_store {
	char             *dir;
	pthread_mutex_t   lock;
	struct open_file *file;		/* sorted by number, then kind */
	size_t            n, cap;
};

int kv_store_open(struct kv_store **out, const char *dir, struct err *e)
{
	struct kv_store *st = calloc(1, sizeof(*st));

	*out = NULL;
	if (!st || !(st->dir = strdup(dir))) {
		free(st);
		return err_nomem(e);
	}
	pthread_mutex_init(&st->lock, NULL);
	*out = st;
	return 0;
}

void kv_store_close(struct kv_store *st)
{
	if (!st)
		return;
	for (size_t i = 0; i < st->n; i++)
		segment_close(st->file[i].seg);
	pthread_mutex_destroy(&st->lock);
	free(st->file);
	free(st->dir);
	free(st);
}

/* The place of (number, kind) in the table, or where it would be inserted. */
static size_t find(const struct kv_store *st, enum segment_kind kind, uint32_t number, bool *found)
{
	size_t lo = 0, hi = st->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct open_file *f = &st->file[mid];

		if (f->number < number || (f->number == number && f->kind < kind))
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = lo < st->n && st->file[lo].number == number && st->file[lo].kind == kind;
	return lo;
}

char *kv_store_path(const struct kv_store *st, enum segment_kind kind, uint32_t number)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s/%08u.%s", st->dir, number, suffix[kind]);
	return buf_take(&b);
}

static int open_at(struct kv_store *st, size_t i, enum segment_kind kind, uint32_t number,
		   uint64_t end, struct err *e)
{
	struct segment *seg;
	char *path;
	int rc;

	if (st->n == st->cap) {
		size_t cap = st->cap ? st->cap * 2 : 64;
		struct open_file *f = realloc(st->file, cap * sizeof(*f));

		if (!f)
			return err_nomem(e);
		st->file = f;
		st->cap = cap;
	}
	path = kv_store_path(st, kind, number);
	if (!path)
		return err_nomem(e);
	rc = segment_open(&seg, path, kind, end, e);
	free(path);
	if (rc)
		return rc;
	memmove(st->file + i + 1, st->file + i, (st->n - i) * sizeof(*st->file));
	st->file[i] = (struct open_file){ number, kind, seg };
	st->n++;
	return 0;
}

int kv_store_segment(struct kv_store *st, enum segment_kind kind, uint32_t number, uint64_t end,
		     struct segment **out, struct err *e)
{
	const uint8_t *p;
	bool found;
	size_t i;
	int rc = 0;

	*out = NULL;
	pthread_mutex_lock(&st->lock);
	i = find(st, kind, number, &found);
	if (!found)
		rc = open_at(st, i, kind, number, end, e);
	if (!rc)
		*out = st->file[i].seg;
	pthread_mutex_unlock(&st->lock);
	if (!rc && found)
		rc = segment_borrow(*out, 0, end, &p, e);
	return rc;
}

bool kv_store_damaged(struct kv_store *st, enum segment_kind kind, uint32_t number)
{
	bool found;
	size_t i;

	pthread_mutex_lock(&st->lock);
	i = find(st, kind, number, &found);
	found = found && segment_damaged(st->file[i].seg);
	pthread_mutex_unlock(&st->lock);
	return found;
}

void kv_store_drop(struct kv_store *st, uint32_t number)
{
	size_t n = 0;

	pthread_mutex_lock(&st->lock);
	for (size_t i = 0; i < st->n; i++)
		if (st->file[i].number == number)
			segment_close(st->file[i].seg);
		else
			st->file[n++] = st->file[i];
	st->n = n;
	pthread_mutex_unlock(&st->lock);
}

/* ---- writing ---- */

#define N_KIND 4		/* by enum segment_kind; 0 is not used */

struct kv_writer {
	struct kv_store       *st;
	uint64_t               capacity;
	kv_number_fn          *number_fn;
	void                  *ctx;
	uint32_t               number;		/* of the open files; 0: none yet */
	struct segment_writer *file[N_KIND];	/* made when they are first needed */
	bool                   dirty[N_KIND];	/* records since the last sync */
};

int kv_writer_new(struct kv_writer **out, struct kv_store *st, uint64_t capacity, kv_number_fn *fn,
		  void *ctx, struct err *e)
{
	struct kv_writer *w = calloc(1, sizeof(*w));

	*out = w;
	if (!w)
		return err_nomem(e);
	w->st = st;
	w->capacity = capacity ? capacity : SEGMENT_CAPACITY;
	w->number_fn = fn;
	w->ctx = ctx;
	return 0;
}

/* Close the files; the next record begins new ones. */
static void let_go(struct kv_writer *w)
{
	for (int k = 0; k < N_KIND; k++) {
		segment_writer_close(w->file[k]);
		w->file[k] = NULL;
		w->dirty[k] = false;
	}
	w->number = 0;
}

static int roll_over(struct kv_writer *w, struct err *e)
{
	int rc = kv_writer_sync(w, e);

	if (!rc)
		let_go(w);
	return rc;
}

static int create(struct kv_writer *w, enum segment_kind kind, size_t need, struct err *e)
{
	char *path = kv_store_path(w->st, kind, w->number);
	int rc;

	if (!path)
		return err_nomem(e);
	rc = segment_create(&w->file[kind], path, kind,
			    MAX(w->capacity, SEGMENT_HEAD_BYTES + (uint64_t)need), e);
	free(path);
	return rc;
}

/* Have a file of this kind open.  One of the number may be there already, left by a crash between
 * its making and the commit that would have remembered the number: then the next number is
 * taken. */
static int open_kind(struct kv_writer *w, enum segment_kind kind, size_t need, struct err *e)
{
	for (int i = 0; i < 1000; i++) {
		struct err exists = { 0 };
		int rc = 0;

		if (w->file[kind])
			return 0;
		if (!w->number)
			rc = w->number_fn(w->ctx, &w->number, e);
		if (rc)
			return rc;
		rc = create(w, kind, need, &exists);
		if (rc && rc != ERR_INVALID) {
			if (e)
				*e = exists;
			return rc;
		}
		if (rc && (rc = roll_over(w, e)))
			return rc;
	}
	return err_set(e, ERR_IO, "a thousand numbers for a new segment are all taken");
}

struct record {
	enum segment_kind kind;
	const void       *p;
	size_t            n;
	uint64_t          off;		/* out */
};

/* Append records to files of one number.  ERR_NOTFOUND: one has no room, go to the next number. */
static int append_here(struct kv_writer *w, struct record *rec, int n, struct err *e)
{
	uint32_t number;
	int rc = 0;

	do {
		number = w->number;
		for (int i = 0; !rc && i < n; i++)
			rc = open_kind(w, rec[i].kind, rec[i].n, e);
	} while (!rc && number != w->number);
	for (int i = 0; !rc && i < n; i++) {
		rc = segment_append(w->file[rec[i].kind], rec[i].p, rec[i].n, &rec[i].off, e);
		w->dirty[rec[i].kind] |= !rc;
	}
	return rc;
}

static int append(struct kv_writer *w, struct record *rec, int n, struct err *e)
{
	struct err first = { 0 };
	int rc = append_here(w, rec, n, &first);

	if (rc == ERR_NOTFOUND) {
		rc = roll_over(w, e);
		if (!rc)
			rc = append_here(w, rec, n, e);
	} else if (rc && e) {
		*e = first;
	}
	if (rc && rc != ERR_FULL)
		let_go(w);
	return rc == ERR_NOTFOUND ? ERR_INVALID : rc;
}

int kv_writer_add(struct kv_writer *w, const void *image, size_t n, const void *sketch,
		  size_t sketch_n, struct kv_ref *ref, struct err *e)
{
	/* The sketch first: when there is no room for it, no extent lies there for nothing. */
	struct record rec[2] = { { .kind = SEGMENT_SKETCH, .p = sketch, .n = sketch_n },
				 { .kind = SEGMENT_KV, .p = image, .n = n } };
	int rc = append(w, sketch ? rec : rec + 1, sketch ? 2 : 1, e);

	*ref = (struct kv_ref){ 0 };
	if (!rc)
		*ref = (struct kv_ref){ .number = w->number, .off = rec[1].off, .bytes = n,
					.sketch_off = sketch ? rec[0].off : 0 };
	return rc;
}

int kv_writer_add_part(struct kv_writer *w, const void *part, size_t n, struct part_ref *ref,
		       struct err *e)
{
	struct record rec = { .kind = SEGMENT_SPANIDX, .p = part, .n = n };
	int rc = append(w, &rec, 1, e);

	*ref = (struct part_ref){ 0 };
	if (!rc)
		*ref = (struct part_ref){ .number = w->number, .off = rec.off, .bytes = n };
	return rc;
}

int kv_writer_sync(struct kv_writer *w, struct err *e)
{
	int rc = 0;

	for (int k = 0; !rc && k < N_KIND; k++) {
		if (w->dirty[k])
			rc = segment_sync(w->file[k], e);
		w->dirty[k] = false;
	}
	if (rc)
		let_go(w);
	return rc;
}

void kv_writer_free(struct kv_writer *w)
{
	if (!w)
		return;
	let_go(w);
	free(w);
}
