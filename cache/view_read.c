#include "config.h"

#include "cache/view.h"
#include "cache/view_impl.h"

#include "base/file.h"
#include "base/size.h"
#include "cache/ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_BYTES (4u << 20)
#define SCAN_BYTES  (512u << 10)	/* of one read of a scan */
#define ADVISE_BYTES (2u << 20)	/* of one piece of advice */
#define MAX_UNIT    128u
#define ADVICE      UINT64_MAX		/* the tag of what nobody waits for */

/* A run of strips that lie side by side in one layer of one extent, and come by one read. */
struct unit {
	struct extent_plan plan;
	struct segment    *seg;
	uint32_t           extent, page, n_page;
	uint64_t           off;		/* of its first strip, in the file */
	uint64_t           bytes;
	const uint8_t     *data;	/* its first strip, once it can be touched */
	bool               mapped;	/* data lies in the mapping */
	bool               waiting;	/* the read is in flight */
	int                rc;		/* how getting it failed */
	struct err         err;
};

/* Units form a queue: unit[first], unit[first + 1], ... (mod n_slot), n_unit of them; each has the
 * part of the arena with its number.  The first one is being handed out. */
struct view_reader {
	struct view     *v;
	enum view_io     io;
	struct ring     *ring;		/* NULL until something is cold */
	bool             pread;
	uint8_t         *arena;
	size_t           arena_n, slot_n;
	struct unit     *unit;		/* [MAX_UNIT] */
	unsigned         n_slot, first, n_unit;
	uint32_t         handed;	/* strips of the first unit handed out */
	bool             begun;		/* the first unit is being handed out */
	uint32_t         layer;
	struct view_bad  bad;
	struct view_stats stats;

	/* What is still to be queued: a scan, or a gather when ref is not NULL. */
	const uint32_t         *order;
	const struct strip_ref *ref;
	size_t                  n, at;
	uint32_t                page;	/* scan: next page of order[at] */
};

/* ---- setting up ---- */

int view_reader_new(struct view_reader **out, struct view *v, const struct view_config *cfg,
		    struct err *e)
{
	size_t least = 4 * ((size_t)v->max_strip + 2 * 4096);
	struct view_reader *r = calloc(1, sizeof(*r));

	*out = NULL;
	if (!r || !(r->unit = calloc(MAX_UNIT, sizeof(*r->unit)))) {
		free(r);
		return err_nomem(e);
	}
	r->v = v;
	r->io = cfg ? cfg->io : VIEW_IO_AUTO;
	r->pread = cfg && cfg->pread;
	r->arena_n = round_up(MAX(cfg && cfg->arena ? cfg->arena : ARENA_BYTES, least), 4096);
	if (r->io == VIEW_IO_MMAP)
		r->arena_n = 4096;	/* the ring is for advice alone */
	*out = r;
	return 0;
}

/* Setting up a ring and its arena takes a millisecond or two: not for what is hot anyway. */
static int need_ring(struct view_reader *r, struct err *e)
{
	int rc;

	if (r->ring)
		return 0;
	rc = ring_new(&r->ring, MAX_UNIT, r->arena_n, r->pread, e);
	if (!rc)
		r->arena = ring_arena(r->ring, NULL);
	return rc;
}

static unsigned busy(const struct view_reader *r)
{
	return r->ring ? ring_busy(r->ring) : 0;
}

/* Reads in flight belong to units that nobody will ask for any more. */
static void end(struct view_reader *r)
{
	uint64_t tag;

	while (busy(r)) {
		unsigned was = busy(r);

		(void)ring_wait(r->ring, &tag, NULL);
		if (busy(r) == was)
			break;
	}
	r->first = r->n_unit = 0;
	r->begun = false;
	r->order = NULL;
	r->ref = NULL;
	r->n = r->at = 0;
	r->page = 0;
}

void view_reader_free(struct view_reader *r)
{
	if (!r)
		return;
	ring_free(r->ring);
	free(r->unit);
	free(r);
}

/* One read is at most slot_n bytes; as many units as the arena has room for. */
static int begin(struct view_reader *r, uint32_t layer, size_t slot, struct err *e)
{
	end(r);
	if (layer >= r->v->geom.n_far_layer)
		return err_set(e, ERR_INVALID, "far layer %u of %u", layer,
			       r->v->geom.n_far_layer);
	r->layer = layer;
	r->slot_n = round_up(MAX(slot, (size_t)r->v->max_strip + 2 * 4096), 4096);
	r->n_slot = r->io == VIEW_IO_MMAP ? 16 : (unsigned)MIN(r->arena_n / r->slot_n, MAX_UNIT);
	return 0;
}

int view_scan(struct view_reader *r, uint32_t layer, const uint32_t *order, size_t n,
	      struct err *e)
{
	/* Advice costs no room: fewer, longer pieces of it. */
	size_t slot = r->io == VIEW_IO_MMAP ? ADVISE_BYTES : MIN(SCAN_BYTES, r->arena_n / 4);
	int rc = begin(r, layer, slot, e);

	if (rc)
		return rc;
	for (size_t i = 0; order && i < n; i++)
		if (order[i] >= r->v->n)
			return err_set(e, ERR_INVALID, "extent %u of %zu", order[i], r->v->n);
	r->order = order;
	r->n = order ? n : r->v->n;
	return 0;
}

int view_gather(struct view_reader *r, uint32_t layer, const struct strip_ref *ref, size_t n,
		struct err *e)
{
	int rc = begin(r, layer, 0, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (ref[i].extent >= r->v->n ||
		    ref[i].page >= kv_page_count(r->v->entry[ref[i].extent].n_token))
			return err_set(e, ERR_INVALID, "page %u of extent %u is not there",
				       ref[i].page, ref[i].extent);
	r->ref = ref;
	r->n = n;
	return 0;
}

/* ---- queueing ---- */

/* Cut the next run off the list.  False at its end. */
static bool next_run(struct view_reader *r, struct unit *u)
{
	struct extent_plan *p = &u->plan;
	size_t room = r->slot_n - 2 * 4096;

	if (r->at == r->n)
		return false;
	u->extent = r->ref ? r->ref[r->at].extent : r->order ? r->order[r->at] : (uint32_t)r->at;
	u->page = r->ref ? r->ref[r->at].page : r->page;
	u->n_page = 0;
	u->bytes = 0;
	view_plan(r->v, u->extent, p);
	u->off = r->v->entry[u->extent].kv.off + extent_strip_off(p, r->layer, u->page);
	while (u->page + u->n_page < p->n_page) {
		uint32_t b = extent_strip_bytes(p, u->page + u->n_page);

		if (u->bytes && u->bytes + b > room)
			break;
		if (r->ref && (r->at == r->n || r->ref[r->at].extent != u->extent ||
			       r->ref[r->at].page != u->page + u->n_page))
			break;
		u->bytes += b;
		u->n_page++;
		if (r->ref)
			r->at++;
	}
	if (!r->ref) {
		r->page = u->page + u->n_page;
		if (r->page == p->n_page) {
			r->page = 0;
			r->at++;
		}
	}
	return true;
}

/* For files that this user could not write, the kernel says that all is resident; then cold bytes
 * come by page faults, slowly and right. */
static bool resident(const uint8_t *from, size_t n)
{
	unsigned char vec[4096];

	if (n > sizeof(vec) * 4096 || mincore((void *)from, n, vec))
		return false;
	for (size_t i = 0; i < (n + 4095) / 4096; i++)
		if (!(vec[i] & 1))
			return false;
	return true;
}

/* How a unit comes. */
enum way {
	WAY_MAPPED,		/* it is in the page cache */
	WAY_ADVISED,		/* used in the mapping, asked for ahead */
	WAY_DIRECT,		/* read past the page cache */
	WAY_BUFFERED		/* read through it */
};

/* The first time a scan comes by, and from then on; see view.h.  The bit is set by the last run of a
 * layer, so that all of them go one way. */
static enum way scan_way(struct view_reader *r, const struct unit *u)
{
	uint64_t bit = (uint64_t)u->extent * r->v->geom.n_far_layer + r->layer;

	if (view_bit(r->v->scanned, bit))
		return WAY_ADVISED;
	if (u->page + u->n_page == u->plan.n_page)
		view_set_bit(r->v->scanned, bit);
	return WAY_DIRECT;
}

static enum way choose_way(struct view_reader *r, const struct unit *u, const uint8_t *from, size_t n)
{
	switch (r->io) {
	case VIEW_IO_MMAP:
		return WAY_ADVISED;
	case VIEW_IO_DIRECT:
		return WAY_DIRECT;
	case VIEW_IO_BUFFERED:
		return WAY_BUFFERED;
	case VIEW_IO_AUTO:
		break;
	}
	if (resident(from, n))
		return WAY_MAPPED;
	if (r->v->direct)
		return WAY_DIRECT;
	return r->ref ? WAY_BUFFERED : scan_way(r, u);
}

static int start_read(struct view_reader *r, unsigned slot, int fd, uint32_t align, struct err *e)
{
	struct unit *u = &r->unit[slot];
	uint64_t from = u->off & ~(uint64_t)(align - 1), to = round_up(u->off + u->bytes, align);
	int rc = need_ring(r, e);

	if (rc)
		return rc;
	u->data = r->arena + slot * r->slot_n + (u->off - from);
	rc = ring_read(r->ring, fd, from, to - from, slot * r->slot_n, slot, e);
	if (rc)
		return rc;
	u->waiting = true;
	r->stats.bytes_read += to - from;
	r->stats.reads++;
	return 0;
}

/* Decide how the unit comes, and set it going. */
static int start(struct view_reader *r, unsigned slot, struct err *e)
{
	struct unit *u = &r->unit[slot];
	uint64_t from = u->off & ~4095ull, to = round_up(u->off + u->bytes, 4096);
	const struct view_entry *x = &r->v->entry[u->extent];
	const uint8_t *map;
	enum way way;
	int fd, rc;

	rc = kv_store_segment(r->v->st, SEGMENT_KV, x->kv.number, x->kv.off + x->kv.bytes, &u->seg, e);
	if (!rc)
		rc = segment_borrow(u->seg, u->off, u->bytes, &map, e);
	if (rc)
		return rc;
	way = choose_way(r, u, map - (u->off - from), to - from);
	if (way == WAY_DIRECT) {
		fd = segment_fd_direct(u->seg);
		if (fd >= 0)
			return start_read(r, slot, fd, segment_dio_align(u->seg), e);
		/* The file system has no O_DIRECT. */
		way = r->io == VIEW_IO_AUTO && !r->ref ? WAY_ADVISED : WAY_BUFFERED;
	}
	if (way == WAY_BUFFERED)	/* the kernel copies: no more than we want */
		return start_read(r, slot, segment_fd(u->seg), 64, e);
	u->mapped = true;
	u->data = map;
	if (way == WAY_ADVISED && !need_ring(r, NULL) && busy(r) < MAX_UNIT)
		(void)ring_madvise(r->ring, map - (u->off - from), to - from, MADV_WILLNEED, ADVICE,
				   NULL);
	r->stats.bytes_mapped += u->bytes;
	return 0;
}

static void fill(struct view_reader *r)
{
	bool any = false;

	while (r->n_unit < r->n_slot) {
		unsigned slot = (r->first + r->n_unit) % r->n_slot;
		struct unit *u = &r->unit[slot];

		u->waiting = u->mapped = false;
		u->data = NULL;
		if (!next_run(r, u))
			break;
		u->rc = start(r, slot, &u->err);
		r->n_unit++;
		any = true;
	}
	/* An error here comes back from ring_wait. */
	if (any && r->ring)
		(void)ring_submit(r->ring, NULL);
}

/* ---- handing out ---- */

/* The ring could not: once more, plainly and buffered, before it is called an error. */
static int read_again(struct view_reader *r, struct unit *u, struct err *e)
{
	uint8_t *to = r->arena + (size_t)(u - r->unit) * r->slot_n;

	u->data = to;
	return file_pread(segment_fd(u->seg), to, u->bytes, u->off, segment_path(u->seg), e);
}

static void await(struct view_reader *r, struct unit *u)
{
	while (u->waiting) {
		unsigned was = ring_busy(r->ring);
		struct err err = { 0 };
		uint64_t tag;
		int rc = ring_wait(r->ring, &tag, &err);

		if (ring_busy(r->ring) == was) {	/* the ring itself fails */
			u->waiting = false;
			u->rc = rc;
			u->err = err;
			return;
		}
		if (tag == ADVICE)
			continue;
		r->unit[tag].waiting = false;
		if (rc)
			r->unit[tag].rc = read_again(r, &r->unit[tag], &r->unit[tag].err);
	}
}

static void drop_first(struct view_reader *r)
{
	r->first = (r->first + 1) % r->n_slot;
	r->n_unit--;
	r->begun = false;
}

int view_next(struct view_reader *r, struct kv_tile *tile, struct err *e)
{
	const uint8_t *strip;
	struct unit *u;
	uint32_t page;
	int rc;

	if (r->begun && r->handed == r->unit[r->first].n_page)
		drop_first(r);
	if (!r->begun) {
		fill(r);
		if (!r->n_unit)
			return err_set(e, ERR_NOTFOUND, "no more pages");
		await(r, &r->unit[r->first]);
		r->begun = true;
		r->handed = 0;
	}
	u = &r->unit[r->first];
	page = u->page + r->handed++;
	r->bad = (struct view_bad){ u->extent, r->layer, page };
	if (u->rc) {
		if (e)
			*e = u->err;
		return u->rc;
	}
	strip = u->data + (extent_strip_off(&u->plan, r->layer, page) -
			   extent_strip_off(&u->plan, r->layer, u->page));
	rc = u->mapped ? view_check_mapped(r->v, u->extent, &u->plan, r->layer, page, strip, e)
		       : extent_check_strip(&u->plan, &r->v->entry[u->extent].span, r->layer, page,
					    strip, e);
	if (rc)
		return rc;
	*tile = (struct kv_tile){ .extent = u->extent, .page = page,
				  .n_token = kv_page_len(u->plan.n_token, page),
				  .token = r->v->token_base[u->extent] + page * KV_PAGE_TOKENS,
				  .body = strip + STRIP_HEAD_BYTES };
	extent_strip_layout(&u->plan, page, &tile->l);
	r->stats.strips++;
	return 0;
}

struct view_bad view_bad(const struct view_reader *r)
{
	return r->bad;
}

struct view_stats view_stats(const struct view_reader *r)
{
	return r->stats;
}
