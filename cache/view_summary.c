/* What is derived from the pages of a view: sketches and index parts, found, checked, read ahead. */
#include "config.h"

#include "cache/view.h"
#include "cache/view_impl.h"

#include "base/size.h"

#include <sys/mman.h>

int view_sketch(struct view *v, size_t extent, uint32_t layer, struct sketch *out, struct err *e)
{
	const struct view_entry *x = &v->entry[extent];
	uint64_t bit = extent * (v->geom.n_far_layer + 1ull);
	struct sketch_plan p;
	struct segment *seg;
	const uint8_t *data;
	int rc;

	*out = (struct sketch){ 0 };
	if (!x->kv.sketch_off)
		return err_set(e, ERR_NOTFOUND, "a span has no sketch");
	rc = sketch_plan_init(&p, &v->geom, x->n_token, e);
	if (!rc)
		rc = kv_store_segment(v->st, SEGMENT_SKETCH, x->kv.number,
				      x->kv.sketch_off + p.bytes, &seg, e);
	if (!rc)
		rc = segment_borrow(seg, x->kv.sketch_off, p.bytes, &data, e);
	if (rc)
		return rc;
	*out = (struct sketch){ .plan = p, .span = x->span, .data = data };
	if (!view_bit(v->sketch_ok, bit)) {
		rc = sketch_parse(out, data, p.bytes, e);
		if (rc)
			return rc;
		if (!id_eq(&out->span, &x->span) || out->plan.n_token != p.n_token ||
		    !kv_geom_eq(&out->plan.geom, &v->geom))
			return err_set(e, ERR_CORRUPT, "at %llu of '%s' lies another sketch than the "
				       "catalog says", (unsigned long long)x->kv.sketch_off,
				       segment_path(seg));
		view_set_bit(v->sketch_ok, bit);
	}
	if (!view_bit(v->sketch_ok, bit + 1 + layer)) {
		rc = sketch_check_layer(out, layer, e);
		if (rc)
			return rc;
		view_set_bit(v->sketch_ok, bit + 1 + layer);
	}
	return 0;
}

int view_part(struct view *v, size_t extent, const struct id *profile, struct spanidx *out,
	      struct err *e)
{
	const struct view_entry *x = &v->entry[extent];
	const struct part_ref *ref = &x->part;
	struct segment *seg;
	const uint8_t *data;
	uint64_t end;
	int rc;

	*out = (struct spanidx){ 0 };
	if (!ref->number)
		return err_set(e, ERR_NOTFOUND, "a span has no part in the span index");
	if (u64_add(ref->off, ref->bytes, &end) || ref->off % SEGMENT_RECORD)
		return err_set(e, ERR_CORRUPT, "the catalog places an index part at %llu of file %u",
			       (unsigned long long)ref->off, ref->number);
	rc = kv_store_segment(v->st, SEGMENT_SPANIDX, ref->number, end, &seg, e);
	if (!rc)
		rc = segment_borrow(seg, ref->off, ref->bytes, &data, e);
	if (!rc)
		rc = view_bit(v->part_ok, extent) ? spanidx_parse_again(out, data, profile, e)
						  : spanidx_parse(out, data, ref->bytes, profile, e);
	if (rc)
		return rc;
	if (!id_eq(&out->span, &x->span) || out->plan.n_token != x->n_token ||
	    out->plan.head_dim != v->geom.head_dim)
		return err_set(e, ERR_CORRUPT, "at %llu of '%s' lies another part than the catalog "
			       "says", (unsigned long long)ref->off, segment_path(seg));
	view_set_bit(v->part_ok, extent);
	return 0;
}

/* ---- reading ahead ---- */

/* Sketches of one file follow each other as their extents do: one piece of advice a file, from the
 * first one to the last. */
void view_prefetch_sketches(struct view *v)
{
	const uint32_t *order = view_disk_order(v);
	size_t i = 0;

	while (order && i < v->n) {
		uint32_t number = v->entry[order[i]].kv.number;
		uint64_t from = UINT64_MAX, to = 0;
		struct sketch_plan p;
		struct segment *seg;
		const uint8_t *data;

		for (; i < v->n && v->entry[order[i]].kv.number == number; i++) {
			const struct view_entry *x = &v->entry[order[i]];

			if (!x->kv.sketch_off || sketch_plan_init(&p, &v->geom, x->n_token, NULL))
				continue;
			from = MIN(from, x->kv.sketch_off & ~4095ull);
			to = MAX(to, x->kv.sketch_off + p.bytes);
		}
		if (to && !kv_store_segment(v->st, SEGMENT_SKETCH, number, to, &seg, NULL) &&
		    !segment_borrow(seg, from, to - from, &data, NULL))
			(void)madvise((void *)data, to - from, MADV_WILLNEED);
	}
}

#define AHEAD_BYTES (16u << 20)	/* asked for and not yet handed out */
#define MERGE_BYTES (2u << 20)	/* of one question to the kernel */
#define GAP_BYTES   (64u << 10)	/* read with its neighbours rather than skipped */

void view_ahead_sketches(struct view_ahead *a, struct view *v, uint32_t layer,
			 const uint32_t *order, size_t n)
{
	*a = (struct view_ahead){ .v = v, .kind = SEGMENT_SKETCH, .layer = layer, .order = order,
				  .n = order ? n : v->n };
}

void view_ahead_parts(struct view_ahead *a, struct view *v, const uint32_t *order, size_t n)
{
	*a = (struct view_ahead){ .v = v, .kind = SEGMENT_SPANIDX, .order = order,
				  .n = order ? n : v->n };
}

static uint32_t extent_at(const struct view_ahead *a, size_t i)
{
	return a->order ? a->order[i] : (uint32_t)i;
}

struct range {
	uint32_t number;	/* of the file; 0: there is nothing to read */
	uint64_t from, to;
};

/* Where the bytes of one extent lie.  Plans of view_new's entries cannot fail. */
static struct range range_of(const struct view_ahead *a, uint32_t extent)
{
	const struct view_entry *x = &a->v->entry[extent];
	struct sketch_plan p;
	struct range r = { 0, 0, 0 };

	if (a->kind == SEGMENT_SPANIDX) {
		r = (struct range){ x->part.number, x->part.off, x->part.off + x->part.bytes };
	} else if (x->kv.sketch_off && !sketch_plan_init(&p, &a->v->geom, x->n_token, NULL)) {
		uint64_t at = x->kv.sketch_off;

		r = (struct range){ x->kv.number, at + p.head_bytes + a->layer * p.layer_bytes, 0 };
		r.to = r.from + p.layer_bytes;
		if (!a->layer)
			r.from = at;	/* the head lies right before */
	}
	if (r.to < r.from)
		r.number = 0;
	return r;
}

/* The kernel reads what it does not have; asked for what it has, it only looks. */
static void ask(struct view_ahead *a, const struct range *r)
{
	uint64_t from = r->from & ~4095ull;
	struct segment *seg;
	const uint8_t *p;

	if (r->number && !kv_store_segment(a->v->st, a->kind, r->number, r->to, &seg, NULL) &&
	    !segment_borrow(seg, from, r->to - from, &p, NULL))
		(void)madvise((void *)(uintptr_t)p, r->to - from, MADV_WILLNEED);
}

/* Neighbours in the file are asked for together. */
static void ask_more(struct view_ahead *a)
{
	struct range r = { 0, 0, 0 };

	while (a->asked < a->n && a->ahead < AHEAD_BYTES) {
		struct range x = range_of(a, extent_at(a, a->asked));

		if (r.number && (x.number != r.number || x.from < r.from ||
				 x.from > r.to + GAP_BYTES || x.to - r.from > MERGE_BYTES)) {
			ask(a, &r);
			r.number = 0;
		}
		if (!r.number)
			r = x;
		else
			r.to = MAX(r.to, x.to);
		a->ahead += x.number ? x.to - x.from : 0;
		a->asked++;
	}
	ask(a, &r);
}

bool view_ahead_next(struct view_ahead *a, uint32_t *extent)
{
	struct range r;

	if (a->at == a->n)
		return false;
	if (a->asked < a->n && a->ahead <= AHEAD_BYTES / 2)
		ask_more(a);
	*extent = extent_at(a, a->at++);
	r = range_of(a, *extent);
	a->ahead -= r.number ? r.to - r.from : 0;
	return true;
}
