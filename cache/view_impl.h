/* cache/view_impl.h - between the files of view */
#ifndef CACHE_VIEW_IMPL_H
#define CACHE_VIEW_IMPL_H

#include "cache/view.h"

#include <pthread.h>
#include <stdatomic.h>

struct view {
	struct kv_store   *st;
	struct kv_geom     geom;
	struct view_entry *entry;	/* [n], canonical */
	size_t             n;
	uint64_t          *token_base;	/* [n + 1] */
	uint64_t          *strip_base;	/* [n + 1]: strips (all layers) before extent i */
	uint64_t           bytes;
	uint32_t           max_strip;	/* largest strip of any extent, in bytes */
	bool               direct;	/* larger than half of the machine's memory */
	_Atomic uint8_t   *strip_ok;	/* bitmaps: what was found good */
	_Atomic uint8_t   *head_ok;
	_Atomic uint8_t   *part_ok;
	_Atomic uint8_t   *sketch_ok;	/* [n][n_far_layer + 1]: the head, then layers */
	_Atomic uint8_t   *scanned;	/* [n][n_far_layer]: read by a scan past the page cache */
	pthread_mutex_t    lock;	/* for disk_order */
	uint32_t          *disk_order;
};

static inline bool view_bit(const _Atomic uint8_t *map, uint64_t i)
{
	return atomic_load_explicit(&map[i / 8], memory_order_acquire) >> (i % 8) & 1;
}

static inline void view_set_bit(_Atomic uint8_t *map, uint64_t i)
{
	atomic_fetch_or_explicit(&map[i / 8], (uint8_t)(1u << (i % 8)), memory_order_release);
}

/* The plan of extent i; it was checked by view_new. */
static inline void view_plan(const struct view *v, size_t i, struct extent_plan *p)
{
	(void)extent_plan_init(p, &v->geom, (enum kv_type)v->entry[i].type, v->entry[i].n_token,
			       NULL);
}

/* Check a strip in the mapping, once. */
int view_check_mapped(struct view *v, uint32_t extent, const struct extent_plan *p, uint32_t layer,
		      uint32_t page, const uint8_t *strip, struct err *e);

#endif
