#include "config.h"

#include "ingest/pathset.h"

#include <stdlib.h>

static size_t slot(const uint64_t *v, size_t cap, uint64_t key)
{
	size_t i = (size_t)(key >> 1) & (cap - 1);

	while (v[i] && v[i] != key)
		i = (i + 1) & (cap - 1);
	return i;
}

static int grow(struct pathset *s, struct err *e)
{
	size_t cap = s->cap ? s->cap * 2 : 256, i;
	uint64_t *v = calloc(cap, sizeof(*v));

	if (!v)
		return err_nomem(e);
	for (i = 0; i < s->cap; i++)
		if (s->v[i])
			v[slot(v, cap, s->v[i])] = s->v[i];
	free(s->v);
	s->v = v;
	s->cap = cap;
	return 0;
}

int pathset_add(struct pathset *s, uint64_t key, bool *added, struct err *e)
{
	size_t i;

	if (s->n * 2 >= s->cap) {
		int rc = grow(s, e);

		if (rc)
			return rc;
	}
	i = slot(s->v, s->cap, key);
	*added = !s->v[i];
	s->n += *added;
	s->v[i] = key;
	return 0;
}

bool pathset_has(const struct pathset *s, uint64_t key)
{
	return s->cap && s->v[slot(s->v, s->cap, key)];
}

void pathset_release(struct pathset *s)
{
	free(s->v);
	*s = (struct pathset){ 0 };
}
