/* tests/gguf_make.h - write small GGUF files, right or wrong, byte by byte
 *
 * Every make_ function appends to a struct buf.  Counts in the header are patched in the end by
 * make_counts, so a test may also write wrong ones.
 */
#ifndef TESTS_GGUF_MAKE_H
#define TESTS_GGUF_MAKE_H

#include "base/buf.h"
#include "engine/gguf.h"
#include "engine/quant.h"

#include <string.h>

#define MAKE __attribute__((unused)) static void

MAKE make_u32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, sizeof(v));
}

MAKE make_u64(struct buf *b, uint64_t v)
{
	buf_add(b, &v, sizeof(v));
}

MAKE make_str(struct buf *b, const char *s)
{
	make_u64(b, strlen(s));
	buf_adds(b, s);
}

MAKE make_counts(struct buf *b, uint64_t n_tensor, uint64_t n_kv)
{
	memcpy(b->data + 8, &n_tensor, sizeof(n_tensor));
	memcpy(b->data + 16, &n_kv, sizeof(n_kv));
}

MAKE make_head(struct buf *b, uint64_t n_tensor, uint64_t n_kv)
{
	buf_adds(b, "GGUF");
	make_u32(b, 3);
	make_u64(b, n_tensor);
	make_u64(b, n_kv);
}

MAKE make_key(struct buf *b, const char *key, enum gguf_type type)
{
	make_str(b, key);
	make_u32(b, type);
}

MAKE make_kv_u32(struct buf *b, const char *key, uint32_t v)
{
	make_key(b, key, GGUF_U32);
	make_u32(b, v);
}

MAKE make_kv_u16(struct buf *b, const char *key, uint16_t v)
{
	make_key(b, key, GGUF_U16);
	buf_add(b, &v, sizeof(v));
}

MAKE make_kv_f32(struct buf *b, const char *key, float v)
{
	make_key(b, key, GGUF_F32);
	buf_add(b, &v, sizeof(v));
}

MAKE make_kv_bool(struct buf *b, const char *key, bool v)
{
	make_key(b, key, GGUF_BOOL);
	buf_addc(b, v);
}

MAKE make_kv_str(struct buf *b, const char *key, const char *v)
{
	make_key(b, key, GGUF_STRING);
	make_str(b, v);
}

/* The elements follow. */
MAKE make_kv_arr(struct buf *b, const char *key, enum gguf_type elem, uint64_t n)
{
	make_key(b, key, GGUF_ARRAY);
	make_u32(b, elem);
	make_u64(b, n);
}

/* A matrix of ne1 rows of ne0; ne1 0 makes a vector. */
MAKE make_tensor(struct buf *b, const char *name, uint64_t ne0, uint64_t ne1, int type,
		 uint64_t off)
{
	make_str(b, name);
	make_u32(b, ne1 ? 2 : 1);
	make_u64(b, ne0);
	if (ne1)
		make_u64(b, ne1);
	make_u32(b, (uint32_t)type);
	make_u64(b, off);
}

MAKE make_pad(struct buf *b, size_t align)
{
	while (b->len % align)
		buf_addc(b, 0);
}

MAKE make_zeros(struct buf *b, size_t n)
{
	while (n--)
		buf_addc(b, 0);
}

#endif
