/* cache/segment_impl.h - between the files of segment: the head as on disk, see segment.h */
#ifndef CACHE_SEGMENT_IMPL_H
#define CACHE_SEGMENT_IMPL_H

#include "base/hash.h"
#include "cache/segment.h"

#define SEGMENT_MAX_CAPACITY (1ull << 46)

struct segment_head {
	char          magic[8];
	uint64_t      capacity;
	struct sum128 sum;		/* of the head with this field zero */
	uint32_t      version;
	uint32_t      kind;
	uint8_t       zero[SEGMENT_HEAD_BYTES - 40];
};

void segment_head_fill(struct segment_head *h, enum segment_kind kind, uint64_t capacity);
/* ERR_CORRUPT or ERR_NEWER; path is for the message. */
int segment_head_check(const struct segment_head *h, enum segment_kind kind, const char *path,
		       struct err *e);

#endif
