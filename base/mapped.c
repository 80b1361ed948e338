#include "config.h"

#include "base/mapped.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* A place is free (FREE), being filled by one thread (BUSY), or readable (SET). */
enum { FREE, BUSY, SET };

static struct place {
	atomic_int state;
	uintptr_t addr;
	size_t n;
	enum mapped_kind kind;
	char path[256];
} places[MAPPED_MAX];

void mapped_add(const void *addr, size_t n, enum mapped_kind kind, const char *path)
{
	size_t len = strlen(path);

	if (!addr || !n)
		return;
	for (size_t i = 0; i < MAPPED_MAX; i++) {
		struct place *p = &places[i];
		int want = FREE;

		if (!atomic_compare_exchange_strong(&p->state, &want, BUSY))
			continue;
		p->addr = (uintptr_t)addr;
		p->n = n;
		p->kind = kind;
		if (len >= sizeof(p->path))
			path += len - (sizeof(p->path) - 1);
		memcpy(p->path, path, strlen(path) + 1);
		atomic_store_explicit(&p->state, SET, memory_order_release);
		return;
	}
}

static struct place *place_of(const void *addr)
{
	uintptr_t a = (uintptr_t)addr;

	for (size_t i = 0; i < MAPPED_MAX; i++) {
		struct place *p = &places[i];

		if (atomic_load_explicit(&p->state, memory_order_acquire) == SET &&
		    a >= p->addr && a - p->addr < p->n)
			return p;
	}
	return NULL;
}

void mapped_remove(const void *addr)
{
	struct place *p = place_of(addr);

	if (p)
		atomic_store_explicit(&p->state, FREE, memory_order_release);
}

const char *mapped_find(const void *addr, enum mapped_kind *kind)
{
	const struct place *p = place_of(addr);

	if (!p)
		return NULL;
	*kind = p->kind;
	return p->path;
}
