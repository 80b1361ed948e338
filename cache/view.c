#include "config.h"

#include "cache/view.h"
#include "cache/view_impl.h"

#include "base/size.h"
#include "cache/guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- making ---- */

static int by_span(const void *a, const void *b)
{
	return id_cmp(&((const struct view_entry *)a)->span, &((const struct view_entry *)b)->span);
}

/* The catalog gives entries in canonical order already; sorting 150,000 again would take longer
 * than opening the library. */
static void put_in_order(struct view *v)
{
	bool sorted = true;
	size_t n = 0;

	for (size_t i = 1; sorted && i < v->n; i++)
		sorted = by_span(&v->entry[i - 1], &v->entry[i]) < 0;
	if (sorted)
		return;
	qsort(v->entry, v->n, sizeof(*v->entry), by_span);
	for (size_t i = 0; i < v->n; i++)
		if (!n || by_span(&v->entry[n - 1], &v->entry[i]))
			v->entry[n++] = v->entry[i];
	v->n = n;
}

static int check_entry(struct view *v, size_t i, struct err *e)
{
	const struct view_entry *x = &v->entry[i];
	struct extent_plan p;
	int rc;

	rc = extent_plan_init(&p, &v->geom, (enum kv_type)x->type, x->n_token, e);
	if (rc)
		return rc;
	if (x->kv.bytes != p.bytes || x->kv.number == 0 || x->kv.off < SEGMENT_HEAD_BYTES ||
	    x->kv.off % SEGMENT_RECORD)
		return err_set(e, ERR_CORRUPT,
			       "the catalog places an extent of %llu bytes at %llu of file %u",
			       (unsigned long long)x->kv.bytes, (unsigned long long)x->kv.off,
			       x->kv.number);
	v->token_base[i + 1] = v->token_base[i] + p.n_token;
	v->strip_base[i + 1] = v->strip_base[i] + (uint64_t)p.n_page * v->geom.n_far_layer;
	v->bytes += p.bytes;
	v->max_strip = MAX(v->max_strip, MAX(p.first_bytes, MAX(p.last_bytes,
						p.n_page > 2 ? p.full_bytes : 0)));
	return 0;
}

static bool exceeds_memory(uint64_t bytes)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 && bytes > (uint64_t)pages * (uint64_t)size / 2;
}

int view_new(struct view **out, struct kv_store *st, const struct kv_geom *g,
	     const struct view_entry *entry, size_t n, struct err *e)
{
	struct view *v;
	int rc = kv_geom_check(g, e);

	*out = NULL;
	if (rc)
		return rc;
	if (n > UINT32_MAX / 2)
		return err_set(e, ERR_INVALID, "%zu spans are too many for one view", n);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_nomem(e);
	pthread_mutex_init(&v->lock, NULL);
	v->st = st;
	v->geom = *g;
	v->n = n;
	v->entry = malloc((n + 1) * sizeof(*entry));
	v->token_base = calloc(n + 1, sizeof(*v->token_base));
	v->strip_base = calloc(n + 1, sizeof(*v->strip_base));
	if (!v->entry || !v->token_base || !v->strip_base) {
		rc = err_nomem(e);
		goto fail;
	}
	if (n)
		memcpy(v->entry, entry, n * sizeof(*entry));
	put_in_order(v);
	for (size_t i = 0; i < v->n; i++) {
		rc = check_entry(v, i, e);
		if (rc)
			goto fail;
	}
	v->direct = exceeds_memory(v->bytes);
	v->strip_ok = calloc(v->strip_base[v->n] / 8 + 1, 1);
	v->head_ok = calloc(v->n / 8 + 1, 1);
	v->part_ok = calloc(v->n / 8 + 1, 1);
	v->sketch_ok = calloc(v->n * (g->n_far_layer + 1ull) / 8 + 1, 1);
	v->scanned = calloc(v->n * (uint64_t)g->n_far_layer / 8 + 1, 1);
	if (!v->strip_ok || !v->head_ok || !v->part_ok || !v->sketch_ok || !v->scanned) {
		rc = err_nomem(e);
		goto fail;
	}
	*out = v;
	return 0;
fail:
	view_free(v);
	return rc;
}

void view_free(struct view *v)
{
	if (!v)
		return;
	pthread_mutex_destroy(&v->lock);
	free(v->entry);
	free(v->token_base);
	free(v->strip_base);
	free((void *)v->strip_ok);
	free((void *)v->head_ok);
	free((void *)v->part_ok);
	free((void *)v->sketch_ok);
	free((void *)v->scanned);
	free(v->disk_order);
	free(v);
}

/* ---- looking ---- */

size_t view_count(const struct view *v)
{
	return v->n;
}

uint64_t view_tokens(const struct view *v)
{
	return v->token_base[v->n];
}

uint64_t view_bytes(const struct view *v)
{
	return v->bytes;
}

const struct kv_geom *view_geom(const struct view *v)
{
	return &v->geom;
}

const struct view_entry *view_get(const struct view *v, size_t extent)
{
	return &v->entry[extent];
}

uint64_t view_token_base(const struct view *v, size_t extent)
{
	return v->token_base[extent];
}

static int by_place(const void *a, const void *b, void *view)
{
	const struct view *v = view;
	const struct kv_ref *x = &v->entry[*(const uint32_t *)a].kv;
	const struct kv_ref *y = &v->entry[*(const uint32_t *)b].kv;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

const uint32_t *view_disk_order(struct view *v)
{
	pthread_mutex_lock(&v->lock);
	if (!v->disk_order) {
		uint32_t *order = malloc((v->n + 1) * sizeof(*order));

		for (size_t i = 0; order && i < v->n; i++)
			order[i] = (uint32_t)i;
		if (order)
			qsort_r(order, v->n, sizeof(*order), by_place, v);
		v->disk_order = order;
	}
	pthread_mutex_unlock(&v->lock);
	return v->disk_order;
}

/* ---- checking what is mapped ---- */

int view_extent(struct view *v, size_t extent, struct extent *out, struct err *e)
{
	const struct view_entry *x = &v->entry[extent];
	struct extent_plan p;
	struct segment *seg;
	const uint8_t *data;
	int rc;

	*out = (struct extent){ 0 };
	rc = kv_store_segment(v->st, SEGMENT_KV, x->kv.number, x->kv.off + x->kv.bytes, &seg, e);
	if (!rc)
		rc = segment_borrow(seg, x->kv.off, x->kv.bytes, &data, e);
	if (rc)
		return rc;
	view_plan(v, extent, &p);
	if (view_bit(v->head_ok, extent)) {
		extent_parse_again(out, &p, data);
		return 0;
	}
	rc = extent_parse(out, data, x->kv.bytes, e);
	if (rc)
		return rc;
	if (!id_eq(&out->span, &x->span) || out->plan.type != p.type ||
	    out->plan.n_token != p.n_token || !kv_geom_eq(&out->plan.geom, &v->geom))
		return err_set(e, ERR_CORRUPT, "at %llu of '%s' lies another span than the catalog "
			       "says", (unsigned long long)x->kv.off, segment_path(seg));
	view_set_bit(v->head_ok, extent);
	return 0;
}

void view_prefetch(struct view *v, size_t extent)
{
	const struct kv_ref *ref = &v->entry[extent].kv;
	uint64_t from = ref->off & ~4095ull;
	struct segment *seg;
	const uint8_t *data;

	if (!kv_store_segment(v->st, SEGMENT_KV, ref->number, ref->off + ref->bytes, &seg, NULL) &&
	    !segment_borrow(seg, from, ref->off + ref->bytes - from, &data, NULL))
		(void)madvise((void *)data, ref->off + ref->bytes - from, MADV_WILLNEED);
}

int view_check_mapped(struct view *v, uint32_t extent, const struct extent_plan *p, uint32_t layer,
		      uint32_t page, const uint8_t *strip, struct err *e)
{
	uint64_t bit = v->strip_base[extent] + (uint64_t)layer * p->n_page + page;
	int rc;

	if (view_bit(v->strip_ok, bit))
		return 0;
	rc = extent_check_strip(p, &v->entry[extent].span, layer, page, strip, e);
	if (!rc)
		view_set_bit(v->strip_ok, bit);
	return rc;
}

int view_intact(const struct view *v, struct err *e)
{
	if (!guard_total())
		return 0;
	for (size_t i = 0; i < v->n; i++) {
		uint32_t number = v->entry[i].kv.number;

		if (kv_store_damaged(v->st, SEGMENT_KV, number) ||
		    kv_store_damaged(v->st, SEGMENT_SKETCH, number) ||
		    kv_store_damaged(v->st, SEGMENT_SPANIDX, v->entry[i].part.number))
			return err_set(e, ERR_CORRUPT,
				       "the disk could not deliver a part of segment %u", number);
	}
	return 0;
}
