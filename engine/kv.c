#include "config.h"

#include "engine/kv.h"
#include "base/size.h"
#include "engine/kern.h"

#include <stdlib.h>
#include <string.h>

static size_t elem_bytes(const struct kv *kv)
{
	return kv->f16 ? 2 : 4;
}

/* K (or V) of one head in one block. */
static size_t plane_bytes(const struct kv *kv)
{
	return (size_t)kv->plan->head_dim * KV_PAGE * elem_bytes(kv);
}

static size_t block_bytes(const struct kv *kv)
{
	return 2 * kv->plan->n_head_kv * plane_bytes(kv);
}

int kv_new(struct kv **out, const struct plan *plan, bool f16, const struct kv *prefix, struct err *e)
{
	struct kv *kv;

	*out = NULL;
	if (prefix && (prefix->prefix || prefix->plan != plan || prefix->f16 != f16))
		return err_set(e, ERR_INVALID, "a prefix of another kind");
	kv = calloc(1, sizeof(*kv));
	if (kv)
		kv->layer = calloc(plan->n_layer, sizeof(*kv->layer));
	if (!kv || !kv->layer) {
		free(kv);
		return err_nomem(e);
	}
	kv->plan = plan;
	kv->prefix = prefix;
	kv->f16 = f16;
	kv->start = prefix ? kv_end(prefix) : 0;
	*out = kv;
	return 0;
}

void kv_free(struct kv *kv)
{
	if (!kv)
		return;
	for (uint32_t i = 0; i < kv->plan->n_layer; i++) {
		for (size_t b = 0; b < kv->layer[i].n_block; b++)
			free(kv->layer[i].block[b]);
		free(kv->layer[i].block);
	}
	free(kv->layer);
	free(kv);
}

int64_t kv_end(const struct kv *kv)
{
	return kv->start + kv->n;
}

static int64_t chunk_start(const struct plan *p, uint32_t layer, int64_t pos)
{
	return p->layer[layer].is_far ? 0 : pos / p->attn_chunk * p->attn_chunk;
}

size_t kv_slot(const struct kv *kv, uint32_t layer, int64_t pos)
{
	int64_t first = chunk_start(kv->plan, layer, pos);

	return (size_t)(pos - MAX(first, kv->start));
}

int kv_reserve(struct kv *kv, uint32_t layer, size_t slot, struct err *e)
{
	struct kv_layer *l = &kv->layer[layer];
	size_t need = slot / KV_PAGE + 1;

	if (need > l->n_block) {
		void **block = realloc(l->block, need * sizeof(*block));

		if (!block)
			return err_nomem(e);
		l->block = block;
		while (l->n_block < need) {
			/* Zeroed: the unused slots of a page are multiplied with, and must be finite. */
			void *p = aligned_alloc(64, round_up(block_bytes(kv), 64));

			if (!p)
				return err_nomem(e);
			memset(p, 0, block_bytes(kv));
			l->block[l->n_block++] = p;
		}
	}
	return 0;
}

void *kv_k(const struct kv *kv, uint32_t layer, size_t b, uint32_t head)
{
	return (char *)kv->layer[layer].block[b] + head * plane_bytes(kv);
}

void *kv_v(const struct kv *kv, uint32_t layer, size_t b, uint32_t head)
{
	return (char *)kv->layer[layer].block[b] + (kv->plan->n_head_kv + head) * plane_bytes(kv);
}

bool kv_sees_prefix(const struct kv *kv, uint32_t layer, int64_t pos)
{
	return kv->start > 0 && kv->prefix && chunk_start(kv->plan, layer, pos) < kv->start;
}

size_t kv_prefix_slots(const struct kv *kv, uint32_t layer)
{
	return kv->start > 0 ? kv_slot(kv->prefix, layer, kv_end(kv->prefix) - 1) + 1 : 0;
}

int kv_skip(struct kv *kv, int64_t n, struct err *e)
{
	if (n < 0 || kv->n || !kv->prefix || kv->plan->n_far < kv->plan->n_layer)
		return err_set(e, ERR_INVALID, "positions can be left out right behind a prefix, of far layers");
	kv->start += n;
	return 0;
}

int kv_truncate(struct kv *kv, int64_t n, struct err *e)
{
	if (n < 0 || n > kv->n)
		return err_set(e, ERR_INVALID, "cannot truncate %lld tokens to %lld", (long long)kv->n,
			       (long long)n);
	if (n < kv->n && kv->plan->n_far < kv->plan->n_layer) {
		int64_t chunk = kv->plan->attn_chunk;

		if ((kv_end(kv) - 1) / chunk != (kv->start + n) / chunk)
			return err_set(e, ERR_INVALID, "position %lld lies in a closed chunk",
				       (long long)(kv->start + n));
	}
	kv->n = n;
	return 0;
}

size_t kv_bytes(const struct kv *kv)
{
	size_t n = 0;

	for (uint32_t i = 0; i < kv->plan->n_layer; i++)
		n += kv->layer[i].n_block * block_bytes(kv);
	return n;
}
