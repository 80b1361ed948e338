#include "config.h"

#include "engine/turns.h"
#include "base/size.h"
#include "engine/quant.h"

#include <stdlib.h>
#include <string.h>

/* One far layer: rows of n_head_kv * head_dim. */
struct layer {
	uint16_t *k, *v;
	size_t n, cap;
};

struct turns {
	const struct plan *plan;
	struct far_sink sink;
	struct layer *layer;		/* [n_far] */
	size_t row;
};

static int room(struct turns *t, struct layer *l, size_t n, struct err *e)
{
	size_t cap = 2 * l->cap + n + 64;
	uint16_t *k, *v;

	if (l->n + n <= l->cap)
		return 0;
	k = realloc(l->k, cap * t->row * sizeof(*k));
	if (k)
		l->k = k;
	v = k ? realloc(l->v, cap * t->row * sizeof(*v)) : NULL;
	if (!v)
		return err_nomem(e);
	l->v = v;
	l->cap = cap;
	return 0;
}

static int put(void *ctx, uint32_t far, const float *k, const float *v, size_t n, struct err *e)
{
	struct turns *t = ctx;
	struct layer *l = &t->layer[far];
	int rc = room(t, l, n, e);

	if (rc)
		return rc;
	for (size_t i = 0; i < n * t->row; i++) {
		l->k[l->n * t->row + i] = quant_f32_to_f16(k[i]);
		l->v[l->n * t->row + i] = quant_f32_to_f16(v[i]);
	}
	l->n += n;
	return 0;
}

int turns_new(struct turns **out, const struct plan *p, struct err *e)
{
	struct turns *t;

	*out = NULL;
	if (p->n_far != p->n_layer)
		return err_set(e, ERR_INVALID, "'%s' has near layers: its turns do not move", p->name);
	t = calloc(1, sizeof(*t));
	if (t)
		t->layer = calloc(p->n_far, sizeof(*t->layer));
	if (!t || !t->layer) {
		free(t);
		return err_nomem(e);
	}
	t->plan = p;
	t->row = (size_t)p->n_head_kv * p->head_dim;
	t->sink = (struct far_sink){ .ctx = t, .put = put };
	*out = t;
	return 0;
}

void turns_free(struct turns *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->plan->n_far; i++) {
		free(t->layer[i].k);
		free(t->layer[i].v);
	}
	free(t->layer);
	free(t);
}

size_t turns_count(const struct turns *t)
{
	return t->layer[t->plan->n_far - 1].n;
}

void turns_truncate(struct turns *t, size_t n)
{
	for (uint32_t i = 0; i < t->plan->n_far; i++)
		t->layer[i].n = MIN(t->layer[i].n, n);
}

const struct far_sink *turns_sink(struct turns *t)
{
	return &t->sink;
}

size_t turns_bytes(const struct plan *p, size_t n)
{
	return 2 * sizeof(uint16_t) * n * p->n_far * p->n_head_kv * p->head_dim;
}

int turns_pack(const struct turns *t, size_t first, size_t n, struct buf *out, struct err *e)
{
	size_t bytes = n * t->row * sizeof(uint16_t);

	for (uint32_t i = 0; i < t->plan->n_far; i++) {
		buf_add(out, t->layer[i].k + first * t->row, bytes);
		buf_add(out, t->layer[i].v + first * t->row, bytes);
	}
	return out->failed ? err_nomem(e) : 0;
}

int turns_unpack(struct turns *t, size_t n, const void *bytes, size_t n_bytes, struct err *e)
{
	size_t part = n * t->row * sizeof(uint16_t);
	const char *at = bytes;

	if (n_bytes != turns_bytes(t->plan, n))
		return err_set(e, ERR_CORRUPT, "a page of a session has %zu bytes; %zu tokens of '%s' have %zu", n_bytes,
			       n, t->plan->name, turns_bytes(t->plan, n));
	for (uint32_t i = 0; i < t->plan->n_far; i++) {
		struct layer *l = &t->layer[i];
		int rc = room(t, l, n, e);

		if (rc)
			return rc;
		memcpy(l->k + l->n * t->row, at, part);
		memcpy(l->v + l->n * t->row, at + part, part);
		l->n += n;
		at += 2 * part;
	}
	return 0;
}

void turns_rows(const struct turns *t, uint32_t far, size_t first, size_t n, float *k, float *v)
{
	const struct layer *l = &t->layer[far];

	for (size_t i = 0; i < n * t->row; i++) {
		k[i] = quant_f16_to_f32(l->k[first * t->row + i]);
		v[i] = quant_f16_to_f32(l->v[first * t->row + i]);
	}
}
