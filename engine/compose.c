#include "config.h"

#include "engine/compose.h"
#include "base/size.h"
#include "base/stop.h"
#include "engine/kern.h"

#include <stdlib.h>
#include <string.h>

struct compose {
	struct encoder *enc;
	struct kv *kv;
	struct compose_place *place;
	size_t n_place, cap;
};

int compose_new(struct compose **out, struct encoder *enc, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(enc));
	struct compose *c;
	int rc;

	*out = NULL;
	if (p->n_far != p->n_layer)
		return err_set(e, ERR_INVALID, "'%s' has near layers: its spans are not laid out", p->name);
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_nomem(e);
	c->enc = enc;
	rc = engine_seq(encoder_engine(enc), encoder_preamble(enc), &c->kv, e);
	if (rc) {
		free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void compose_free(struct compose *c)
{
	if (!c)
		return;
	kv_free(c->kv);
	free(c->place);
	free(c);
}

struct kv *compose_kv(struct compose *c)
{
	return c->kv;
}

/* Rotate keys [n][n_head_kv][head_dim] of at most KV_PAGE tokens in place to where slot lies, and store
 * both. */
static int place_rows(struct compose *c, uint32_t layer, size_t slot, size_t n, float *k, const float *v,
		      struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(c->enc));
	size_t hd = p->head_dim, row = p->n_head_kv * hd;
	int rc = kv_reserve(c->kv, layer, slot + n - 1, e);

	if (rc)
		return rc;
	forward_place_keys(engine_forward(encoder_engine(c->enc)), layer, k, n, c->kv->start + (int64_t)slot);
	for (uint32_t h = 0; h < p->n_head_kv; h++) {
		/* A run may lie across two blocks. */
		void *pk[2], *pv[2];
		size_t b = slot / KV_PAGE, last = (slot + n - 1) / KV_PAGE;

		for (size_t i = b; i <= last; i++) {
			pk[i - b] = kv_k(c->kv, layer, i, h);
			pv[i - b] = kv_v(c->kv, layer, i, h);
		}
		kern_put_k(pk, slot % KV_PAGE, k + h * hd, n, row, hd, c->kv->f16);
		kern_put_v(pv, slot % KV_PAGE, v + h * hd, n, row, hd, c->kv->f16);
	}
	return 0;
}

/* One strip, token-major f32; head_k and head_v hold one head of a page. */
static void decode_tile(const struct plan *p, const struct kv_tile *t, float *k, float *v, float *head_k,
			float *head_v)
{
	size_t hd = p->head_dim, row = p->n_head_kv * hd;

	for (uint32_t h = 0; h < p->n_head_kv; h++) {
		kv_decode_head(&t->l, t->body, h, head_k, head_v);
		for (uint32_t i = 0; i < t->n_token; i++) {
			memcpy(k + i * row + h * hd, head_k + i * hd, hd * sizeof(float));
			memcpy(v + i * row + h * hd, head_v + i * hd, hd * sizeof(float));
		}
	}
}

static int place_layers(struct compose *c, struct view_reader *r, uint32_t extent, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(c->enc));
	size_t hd = p->head_dim, row = p->n_head_kv * hd;
	float *buf = malloc((2 * row + 2 * hd) * KV_PAGE * sizeof(float));
	struct err scan;
	int rc = buf ? 0 : err_nomem(e);

	for (uint32_t layer = 0; layer < p->n_layer && !rc; layer++) {
		struct kv_tile t;

		rc = view_scan(r, layer, &extent, 1, e);
		while (!rc && !(rc = view_next(r, &t, &scan))) {
			decode_tile(p, &t, buf, buf + row * KV_PAGE, buf + 2 * row * KV_PAGE,
				    buf + (2 * row + hd) * KV_PAGE);
			rc = place_rows(c, layer, (size_t)c->kv->n + t.page * KV_PAGE, t.n_token, buf,
					buf + row * KV_PAGE, e);
		}
		if (rc == ERR_NOTFOUND)
			rc = 0;		/* the end of the scan */
		else if (rc && e)
			*e = scan;
	}
	free(buf);
	return rc;
}

int compose_span(struct compose *c, struct view *v, uint32_t extent, struct err *e)
{
	struct view_reader *r;
	int rc;

	if (c->n_place == c->cap) {
		size_t cap = 2 * c->cap + 8;
		struct compose_place *place = realloc(c->place, cap * sizeof(*place));

		if (!place)
			return err_nomem(e);
		c->place = place;
		c->cap = cap;
	}
	rc = view_reader_new(&r, v, NULL, e);
	if (rc)
		return rc;
	rc = place_layers(c, r, extent, e);
	view_reader_free(r);
	if (!rc)
		rc = view_intact(v, e);
	if (rc)
		return rc;
	c->place[c->n_place++] = (struct compose_place){ extent, c->kv->n, view_get(v, extent)->n_token };
	c->kv->n += view_get(v, extent)->n_token;
	return 0;
}

int compose_turns(struct compose *c, const struct turns *t, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(c->enc));
	size_t row = (size_t)p->n_head_kv * p->head_dim, n = turns_count(t);
	float *k = malloc(2 * row * KV_PAGE * sizeof(*k));
	int rc = k ? 0 : err_nomem(e);

	for (uint32_t layer = 0; layer < p->n_layer && !rc; layer++)
		for (size_t i = 0; i < n && !rc; i += KV_PAGE) {
			size_t m = MIN(n - i, (size_t)KV_PAGE);

			turns_rows(t, layer, i, m, k, k + row * KV_PAGE);
			rc = place_rows(c, layer, (size_t)c->kv->n + i, m, k, k + row * KV_PAGE, e);
		}
	free(k);
	if (!rc)
		c->kv->n += (int64_t)n;
	return rc;
}

int compose_tokens(struct compose *c, const int32_t *token, size_t n, float *logits, const struct far_sink *sink,
		   struct err *e)
{
	struct forward *f = engine_forward(encoder_engine(c->enc));
	size_t batch = forward_batch(f);

	for (size_t i = 0; i < n; i += batch) {
		size_t m = MIN(batch, n - i);
		struct fwd_item item = { .kv = c->kv, .token = token + i, .n = m, .sink = sink,
					 .logits = i + m == n ? logits : NULL };
		int rc = forward_run(f, &item, 1, e);

		if (rc)
			return rc;
		if (i + m < n && stop_requested())
			return err_set(e, ERR_INTR, "interrupted after %zu of %zu tokens", i + m, n);
	}
	return 0;
}

size_t compose_places(const struct compose *c, const struct compose_place **out)
{
	*out = c->place;
	return c->n_place;
}
