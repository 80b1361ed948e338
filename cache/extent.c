#include "config.h"

#include "cache/extent.h"

#include "base/size.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define EXTENT_VERSION 1u

static const char EXTENT_MAGIC[8] = "FOLIOEXT";
static const char STRIP_MAGIC[4] = "STRP";

/* As on disk, see extent.h.  Host order is file order. */
struct extent_head {
	char           magic[8];
	uint64_t       bytes;
	struct sum128  sum;
	uint32_t       version;
	uint32_t       data_off;
	struct kv_geom geom;
	uint32_t       n_token;
	uint32_t       n_page;
	uint8_t        type;
	uint8_t        mode;
	uint8_t        zero[6];
	uint64_t       layer_bytes;
	struct id      engine;
	struct id      attends;
	struct id      span;
	uint8_t        rest[80];
};
_Static_assert(sizeof(struct extent_head) == EXTENT_HEAD_BYTES, "head layout is the format");
_Static_assert(offsetof(struct extent_head, engine) == 80, "head layout is the format");

struct strip_head {
	struct sum128 sum;
	char          magic[4];
	uint32_t      layer;
	uint32_t      page;
	uint16_t      n_token;
	uint8_t       type;
	uint8_t       zero;
	struct id     span;
};
_Static_assert(sizeof(struct strip_head) == STRIP_HEAD_BYTES, "strip layout is the format");

/* Where the sum of the head starts: behind magic, bytes and the sum itself.  Those two fields in
 * front are compared with what they must be. */
#define SUM_FROM 32u

/* ---- plan ---- */

static uint32_t strip_bytes_of(const struct kv_geom *g, enum kv_type want, uint32_t page,
			       uint32_t n_token)
{
	struct kv_layout l;

	if (kv_layout_init(&l, g, kv_page_type(want, page, n_token), n_token, NULL))
		return 0;
	return STRIP_HEAD_BYTES + l.body_bytes;
}

int extent_plan_init(struct extent_plan *p, const struct kv_geom *g, enum kv_type type,
		     uint32_t n_token, struct err *e)
{
	uint32_t n_page = kv_page_count(n_token);
	int rc;

	rc = kv_geom_check(g, e);
	if (rc)
		return rc;
	if (n_token < 1 || n_token > KV_MAX_SPAN)
		return err_set(e, ERR_INVALID, "a span of %u tokens, not 1..%u", n_token,
			       KV_MAX_SPAN);
	if (type < KV_F16 || type > KV_Q4)
		return err_set(e, ERR_INVALID, "unknown KV type %d", (int)type);
	*p = (struct extent_plan){ .geom = *g, .type = type, .n_token = n_token,
				   .n_page = n_page };
	/* The limits of geom.h keep all of this far from overflow: tables below 2^27, a strip below
	 * 2^24, an extent below 2^53. */
	p->data_off = (uint32_t)round_up(EXTENT_HEAD_BYTES + 32ull * n_page + 4ull * n_token, 64);
	p->first_bytes = strip_bytes_of(g, type, 0, kv_page_len(n_token, 0));
	p->full_bytes = strip_bytes_of(g, type, 1, KV_PAGE_TOKENS);
	p->last_bytes = strip_bytes_of(g, type, n_page - 1, kv_page_len(n_token, n_page - 1));
	p->layer_bytes = p->first_bytes;
	if (n_page > 1)
		p->layer_bytes += (uint64_t)(n_page - 2) * p->full_bytes + p->last_bytes;
	p->bytes = p->data_off + p->layer_bytes * g->n_far_layer;
	return 0;
}

uint64_t extent_strip_off(const struct extent_plan *p, uint32_t layer, uint32_t page)
{
	uint64_t in_layer = page ? p->first_bytes + (uint64_t)(page - 1) * p->full_bytes : 0;

	return p->data_off + layer * p->layer_bytes + in_layer;
}

uint32_t extent_strip_bytes(const struct extent_plan *p, uint32_t page)
{
	if (page == 0)
		return p->first_bytes;
	return page + 1 < p->n_page ? p->full_bytes : p->last_bytes;
}

void extent_strip_layout(const struct extent_plan *p, uint32_t page, struct kv_layout *l)
{
	uint32_t n = kv_page_len(p->n_token, page);

	kv_layout_init(l, &p->geom, kv_page_type(p->type, page, n), n, NULL);
}

/* ---- building ---- */

struct extent_build {
	struct extent_plan plan;
	struct id          span;
	uint8_t           *image;
	bool               sealed;
	_Atomic uint8_t    done[];	/* [n_far_layer] */
};

static struct extent_head *head_of(struct extent_build *b)
{
	return (struct extent_head *)b->image;
}

int extent_build_new(struct extent_build **out, const struct extent_desc *d, struct err *e)
{
	struct extent_plan p;
	struct extent_build *b;
	struct extent_head *h;
	int rc;

	*out = NULL;
	rc = extent_plan_init(&p, &d->geom, d->type, d->n_token, e);
	if (rc)
		return rc;
	b = calloc(1, sizeof(*b) + p.geom.n_far_layer);
	if (!b || !(b->image = aligned_alloc(64, p.bytes))) {
		free(b);
		return err_nomem(e);
	}
	b->plan = p;
	memset(b->image, 0, p.data_off);
	b->span = ident_span(&d->engine, d->mode, &d->attends, d->token, d->n_token,
			     (struct id *)(b->image + EXTENT_HEAD_BYTES));
	memcpy(b->image + EXTENT_HEAD_BYTES + 32ull * p.n_page, d->token, 4ull * d->n_token);
	h = head_of(b);
	memcpy(h->magic, EXTENT_MAGIC, sizeof(h->magic));
	h->bytes = p.bytes;
	h->version = EXTENT_VERSION;
	h->data_off = p.data_off;
	h->geom = p.geom;
	h->n_token = p.n_token;
	h->n_page = p.n_page;
	h->type = (uint8_t)p.type;
	h->mode = (uint8_t)d->mode;
	h->layer_bytes = p.layer_bytes;
	h->engine = d->engine;
	h->attends = d->attends;
	h->span = b->span;
	*out = b;
	return 0;
}

static int build_strip(struct extent_build *b, uint32_t layer, uint32_t page, const float *k,
		       const float *v, struct err *e)
{
	const struct extent_plan *p = &b->plan;
	uint8_t *strip = b->image + extent_strip_off(p, layer, page);
	size_t row = (size_t)page * KV_PAGE_TOKENS * kv_row(&p->geom);
	struct strip_head *h = (struct strip_head *)strip;
	struct kv_layout l;
	int rc;

	extent_strip_layout(p, page, &l);
	rc = kv_encode(&l, k + row, v + row, strip + STRIP_HEAD_BYTES, e);
	if (rc)
		return rc;
	*h = (struct strip_head){ .layer = layer, .page = page, .n_token = (uint16_t)l.n_token,
				  .type = (uint8_t)l.type, .span = b->span };
	memcpy(h->magic, STRIP_MAGIC, sizeof(h->magic));
	h->sum = sum128_of(strip + sizeof(h->sum), extent_strip_bytes(p, page) - sizeof(h->sum));
	return 0;
}

int extent_build_layer(struct extent_build *b, uint32_t layer, const float *k, const float *v,
		       struct err *e)
{
	int rc;

	if (layer >= b->plan.geom.n_far_layer)
		return err_set(e, ERR_INVALID, "far layer %u of %u", layer,
			       b->plan.geom.n_far_layer);
	if (atomic_exchange(&b->done[layer], 1))
		return err_set(e, ERR_INVALID, "far layer %u was given twice", layer);
	for (uint32_t page = 0; page < b->plan.n_page; page++) {
		rc = build_strip(b, layer, page, k, v, e);
		if (rc) {
			atomic_store(&b->done[layer], 0);
			return rc;
		}
	}
	return 0;
}

int extent_build_seal(struct extent_build *b, struct err *e)
{
	struct extent_head *h = head_of(b);

	for (uint32_t layer = 0; layer < b->plan.geom.n_far_layer; layer++)
		if (!atomic_load(&b->done[layer]))
			return err_set(e, ERR_INVALID, "far layer %u of an extent is missing",
				       layer);
	h->sum = sum128_of(b->image + SUM_FROM, b->plan.data_off - SUM_FROM);
	b->sealed = true;
	return 0;
}

const void *extent_build_image(const struct extent_build *b, size_t *n)
{
	*n = b->sealed ? b->plan.bytes : 0;
	return b->sealed ? b->image : NULL;
}

const struct extent_plan *extent_build_plan(const struct extent_build *b)
{
	return &b->plan;
}

struct id extent_build_span(const struct extent_build *b)
{
	return b->span;
}

const struct id *extent_build_pages(const struct extent_build *b)
{
	return (const struct id *)(b->image + EXTENT_HEAD_BYTES);
}

void extent_build_free(struct extent_build *b)
{
	if (!b)
		return;
	free(b->image);
	free(b);
}

/* ---- reading ---- */

static int corrupt(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "an extent is damaged: %s", what);
}

/* Everything in the head but identities, against the plan that follows from three of its fields. */
static int check_head(const struct extent_head *h, size_t n, struct extent_plan *p, struct err *e)
{
	if (n < EXTENT_HEAD_BYTES)
		return corrupt(e, "it is shorter than its head");
	if (memcmp(h->magic, EXTENT_MAGIC, sizeof(h->magic)))
		return corrupt(e, "bad magic");
	if (h->data_off < EXTENT_HEAD_BYTES || h->data_off > n)
		return corrupt(e, "its tables reach beyond its end");
	if (!sum128_eq(h->sum, sum128_of((const uint8_t *)h + SUM_FROM, h->data_off - SUM_FROM)))
		return corrupt(e, "bad checksum of its head");
	if (h->version > EXTENT_VERSION)
		return err_set(e, ERR_NEWER, "an extent has format version %u, this program knows %u",
			       h->version, EXTENT_VERSION);
	if (h->version != EXTENT_VERSION)
		return corrupt(e, "no such version");
	if (extent_plan_init(p, &h->geom, (enum kv_type)h->type, h->n_token, NULL))
		return corrupt(e, "impossible geometry, type or length");
	if (p->bytes != h->bytes || p->data_off != h->data_off || p->n_page != h->n_page ||
	    p->layer_bytes != h->layer_bytes || p->bytes > n)
		return corrupt(e, "its sizes contradict its shape");
	if (h->mode < IDENT_PREAMBLE || h->mode > IDENT_PRIVATE)
		return corrupt(e, "unknown mode");
	for (size_t i = 0; i < sizeof(h->zero); i++)
		if (h->zero[i])
			return corrupt(e, "reserved bytes are in use");
	return 0;
}

static int check_ids(const struct extent *x, struct err *e)
{
	struct id id = { 0 };

	for (uint32_t i = 0; i < x->plan.n_page; i++) {
		id = ident_page(&x->engine, x->mode, &x->attends, i ? &x->page[i - 1] : NULL,
				x->token + i * KV_PAGE_TOKENS, kv_page_len(x->plan.n_token, i));
		if (!id_eq(&id, &x->page[i]))
			return corrupt(e, "a page is not the one its tokens name");
	}
	return id_eq(&id, &x->span) ? 0 : corrupt(e, "it is not the span it says");
}

void extent_parse_again(struct extent *out, const struct extent_plan *p, const void *data)
{
	const struct extent_head *h = data;

	*out = (struct extent){ .plan = *p, .mode = (enum ident_mode)h->mode, .engine = h->engine,
				.attends = h->attends, .span = h->span, .data = data };
	out->page = (const struct id *)(out->data + EXTENT_HEAD_BYTES);
	out->token = (const int32_t *)(out->data + EXTENT_HEAD_BYTES + 32ull * p->n_page);
}

int extent_parse(struct extent *out, const void *data, size_t n, struct err *e)
{
	struct extent_plan p;
	int rc;

	*out = (struct extent){ 0 };
	rc = check_head(data, n, &p, e);
	if (rc)
		return rc;
	extent_parse_again(out, &p, data);
	return check_ids(out, e);
}

int extent_check_strip(const struct extent_plan *p, const struct id *span, uint32_t layer,
		       uint32_t page, const void *strip, struct err *e)
{
	const struct strip_head *h = strip;
	const uint8_t *b = strip;
	uint32_t n = kv_page_len(p->n_token, page);

	if (!sum128_eq(h->sum, sum128_of(b + sizeof(h->sum),
					 extent_strip_bytes(p, page) - sizeof(h->sum))))
		return err_set(e, ERR_CORRUPT, "page %u of a span is damaged in far layer %u: "
			       "bad checksum", page, layer);
	if (memcmp(h->magic, STRIP_MAGIC, sizeof(h->magic)) || h->layer != layer ||
	    h->page != page || h->n_token != n || h->type != kv_page_type(p->type, page, n) ||
	    h->zero || !id_eq(&h->span, span))
		return err_set(e, ERR_CORRUPT, "page %u of a span in far layer %u is another one",
			       page, layer);
	return 0;
}

int extent_verify(const void *data, size_t n, uint32_t *layer, uint32_t *page, struct err *e)
{
	struct extent x;
	int rc;

	if (layer)
		*layer = UINT32_MAX;
	if (page)
		*page = UINT32_MAX;
	rc = extent_parse(&x, data, n, e);
	for (uint32_t l = 0; !rc && l < x.plan.geom.n_far_layer; l++)
		for (uint32_t i = 0; !rc && i < x.plan.n_page; i++) {
			rc = extent_check_strip(&x.plan, &x.span, l, i,
						x.data + extent_strip_off(&x.plan, l, i), e);
			if (rc && layer)
				*layer = l;
			if (rc && page)
				*page = i;
		}
	return rc;
}
