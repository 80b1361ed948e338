#include "config.h"

#include "cache/geom.h"

#include <stddef.h>

static int check_field(uint32_t got, uint32_t max, const char *what, struct err *e)
{
	if (got >= 1 && got <= max)
		return 0;
	return err_set(e, ERR_INVALID, "bad KV geometry: %s is %u, not in 1..%u", what, got, max);
}

int kv_geom_check(const struct kv_geom *g, struct err *e)
{
	int rc;

	rc = check_field(g->n_far_layer, KV_MAX_LAYER, "the number of stored layers", e);
	if (!rc)
		rc = check_field(g->n_head_kv, KV_MAX_HEAD, "the number of KV heads", e);
	if (!rc)
		rc = check_field(g->head_dim, KV_MAX_HEAD_DIM, "the head dimension", e);
	if (!rc)
		rc = check_field(g->n_head_kv * g->head_dim, KV_MAX_ROW,
				 "KV heads times head dimension", e);
	if (rc)
		return rc;
	if (g->head_dim % 8)
		return err_set(e, ERR_INVALID,
			       "bad KV geometry: head dimension %u is not a multiple of 8",
			       g->head_dim);
	if (g->page_tokens != KV_PAGE_TOKENS)
		return err_set(e, ERR_INVALID, "bad KV geometry: %u tokens a page, not %u",
			       g->page_tokens, KV_PAGE_TOKENS);
	return 0;
}

bool kv_geom_eq(const struct kv_geom *a, const struct kv_geom *b)
{
	return a->n_far_layer == b->n_far_layer && a->n_head_kv == b->n_head_kv &&
	       a->head_dim == b->head_dim && a->page_tokens == b->page_tokens;
}
