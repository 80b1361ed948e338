#include "config.h"

#include "ingest/guess.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

enum { GRAM = 3, PAUSE = 4, MAX_PAUSE = 32 };

int guess_add(struct guess *g, const int32_t *token, size_t n, struct err *e)
{
	struct tok_ids *t = &g->text;

	if (t->n + n + 1 > t->cap) {
		size_t cap = 2 * t->cap + n + 1;
		int32_t *more = realloc(t->id, cap * sizeof(*more));

		if (!more)
			return err_nomem(e);
		t->id = more;
		t->cap = cap;
	}
	memcpy(t->id + t->n, token, n * sizeof(*token));
	t->n += n;
	t->id[t->n++] = -1;
	return 0;
}

/* What follows the last place in text[0..n) where gram[0..m) stands and is followed by anything. */
static size_t look(const int32_t *text, size_t n, const int32_t *gram, size_t m, size_t max, int32_t *draft)
{
	size_t k = 0;

	for (size_t i = n; i-- > m;) {
		/* i is where the draft would begin */
		if (text[i] < 0 || memcmp(text + i - m, gram, m * sizeof(*gram)))
			continue;
		while (k < max && i + k < n && text[i + k] >= 0) {
			draft[k] = text[i + k];
			k++;
		}
		return k;
	}
	return 0;
}

size_t guess_next(struct guess *g, const int32_t *said, size_t n, size_t max, int32_t draft[GUESS_MAX])
{
	size_t k;

	max = MIN(MIN(max, (size_t)GUESS_MAX), g->trust + 1);
	if (g->pause) {
		g->pause--;
		return 0;
	}
	if (n < GRAM)
		return 0;
	k = look(said, n, said + n - GRAM, GRAM, max, draft);
	return k ? k : look(g->text.id, g->text.n, said + n - GRAM, GRAM, max, draft);
}

void guess_told(struct guess *g, size_t n, size_t held)
{
	g->drafted += n;
	g->held += held;
	if (n && held == n) {
		g->trust = MIN(g->trust + 1, (size_t)GUESS_MAX - 1);
		g->misses = 0;
	} else if (n) {
		g->trust = 0;
		g->pause = MIN((size_t)PAUSE << g->misses, (size_t)MAX_PAUSE);
		g->misses += held == 0 && g->misses < 8;
	}
}

void guess_release(struct guess *g)
{
	free(g->text.id);
	*g = (struct guess){ 0 };
}
