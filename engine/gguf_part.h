/* engine/gguf_part.h - one GGUF file: header, keys and tensor list, parsed and checked
 *
 * For gguf.c, which joins the parts of a split model.  Everything here points into the bytes given,
 * which stay the caller's and must outlive the part.  Checks invariants (1) to (3) of gguf.h.
 */
#ifndef ENGINE_GGUF_PART_H
#define ENGINE_GGUF_PART_H

#include "base/err.h"
#include "engine/gguf.h"

#include <stddef.h>
#include <stdint.h>

/* Limits on what a stranger's file can make us allocate, far above any real model: Llama 4 has 1,200
 * tensors and 200,000 tokens. */
enum {
	GGUF_MAX_KEY = 1 << 16,		/* keys of a file */
	GGUF_MAX_TENSOR = 1 << 20,	/* tensors of a file */
	GGUF_MAX_STR = 1 << 24		/* strings in all arrays of a file together */
};

struct gguf_kv {
	struct gguf_str  key;
	enum gguf_type   type;
	enum gguf_type   elem;		/* of an array; else the type itself */
	uint64_t         n;		/* elements; 1 unless an array */
	const uint8_t   *at;		/* first value byte, unaligned; not for strings */
	struct gguf_str *str;		/* [n] when elem is GGUF_STRING; into the mapping */
};

struct gguf_part {
	const char         *path;	/* borrowed, for messages */
	const uint8_t      *data;
	size_t              size;
	uint64_t            align;
	uint64_t            data_off;	/* where tensor bytes begin */
	struct gguf_kv     *kv;		/* [n_kv], file order */
	struct gguf_kv    **by_key;	/* the same, sorted */
	size_t              n_kv;
	struct gguf_tensor *tensor;	/* [n_tensor], file order */
	size_t              n_tensor;
};

/* Parse data[0..size).  On failure *p is released.  ERR_MODEL, ERR_NOMEM. */
int gguf_part_parse(struct gguf_part *p, const char *path, const uint8_t *data, size_t size,
		    struct err *e);
void gguf_part_release(struct gguf_part *p);

/* NULL when there is no such key. */
const struct gguf_kv *gguf_part_find(const struct gguf_part *p, const char *key);

/* Value i as an integer: true when it is one (bool counts when `bools`) and fits the range. */
bool gguf_kv_u64(const struct gguf_kv *kv, uint64_t i, bool bools, uint64_t *out);

/* Bytes of one element of a fixed-size type; 0 for strings, arrays and numbers that are no type. */
size_t gguf_type_bytes(uint32_t type);

/* s as text for a message: at most 63 bytes, whatever is not printable ASCII as '?'. */
struct gguf_show {
	char s[64];
};
struct gguf_show gguf_show(struct gguf_str s);

/* Order of strings by bytes, shorter first on a tie. */
int gguf_str_cmp(struct gguf_str a, struct gguf_str b);

#endif
