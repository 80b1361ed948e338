#include "config.h"

#include "cache/ident.h"

#include "cache/geom.h"

#include <stddef.h>

/* Fields are of fixed size except the last one, whose length comes before it: no two different
 * inputs give the same bytes.  Host order is file order (configure checks). */
struct id ident_page(const struct id *engine, enum ident_mode mode, const struct id *attends,
		     const struct id *previous, const int32_t *token, uint32_t n_token)
{
	static const struct id none;
	uint8_t m = (uint8_t)mode;
	struct hasher h;

	hasher_init(&h);
	hasher_add(&h, "folio page 1\n", 13);
	hasher_add(&h, engine->b, sizeof(engine->b));
	hasher_add(&h, &m, sizeof(m));
	hasher_add(&h, attends ? attends->b : none.b, sizeof(none.b));
	hasher_add(&h, previous ? previous->b : none.b, sizeof(none.b));
	hasher_add(&h, &n_token, sizeof(n_token));
	hasher_add(&h, token, (size_t)n_token * sizeof(*token));
	return hasher_done(&h);
}

struct id ident_span(const struct id *engine, enum ident_mode mode, const struct id *attends,
		     const int32_t *token, uint32_t n_token, struct id *page)
{
	uint32_t n_page = kv_page_count(n_token);
	struct id id = { 0 };

	for (uint32_t i = 0; i < n_page; i++) {
		struct id prev = id;

		id = ident_page(engine, mode, attends, i ? &prev : NULL,
				token + i * KV_PAGE_TOKENS, kv_page_len(n_token, i));
		if (page)
			page[i] = id;
	}
	return id;
}
