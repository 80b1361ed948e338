/* engine/gguf.h - model files: GGUF v3, one file or split, read in place
 *
 * Opens, maps and checks a model file.  Knows the container (keys, tensors, bytes), not what a model
 * is: names and shapes are given meaning in model.h.  Layout: reference GGUF specification v3, as
 * restated in doc/gguf.md.
 *
 * INVARIANTS, each checked by gguf_open before anything is handed out
 *   (1) Every string, array and tensor lies inside its file; products of sizes did not overflow.
 *   (2) Tensor names are unique, also over parts; so are keys.  Offsets are multiples of the alignment
 *       (8 or more: elements of F32 and F16 tensors may be read in place); tensors do not overlap.
 *   (3) Every tensor type is one of quant.h; its first dimension is a multiple of the block, none is 0.
 *   (4) A split model has all its parts, each once, and they agree on the count.
 * A file that breaks one is refused with ERR_MODEL and a message with field, offset and reason.
 * A file shortened after opening raises SIGBUS like any mapping; cmd/ turns that into exit 12 or 13.
 *
 * Threads: read-only after open, any number of readers.
 */
#ifndef ENGINE_GGUF_H
#define ENGINE_GGUF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gguf_type {
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
	GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64
};

/* A string inside the mapping: no NUL, any bytes. */
struct gguf_str {
	const char *s;
	size_t      n;
};

struct gguf_tensor {
	struct gguf_str name;
	int             type;		/* enum quant_type of quant.h: GGUF's own numbers */
	int             n_dim;		/* 1 to 4 */
	uint64_t        ne[4];		/* ne[0] is contiguous; missing dimensions are 1 */
	const uint8_t  *data;		/* in the mapping */
	uint64_t        n_byte;
	int             part;		/* which file of a split model, from 0 */
};

struct gguf;

/* path is a single file or any part of a split one (NAME-00001-of-00003.gguf).  The caller closes. */
int gguf_open(struct gguf **out, const char *path, struct err *e);
/* The same checks on bytes in memory, borrowed until close; name is for messages.  A split model is
 * refused: its other parts are files. */
int gguf_open_mem(struct gguf **out, const char *name, const void *data, size_t n, struct err *e);
void gguf_close(struct gguf *g);

/* The path given to open; borrowed until close. */
const char *gguf_path(const struct gguf *g);
uint64_t gguf_file_bytes(const struct gguf *g);		/* all parts together */
int gguf_n_part(const struct gguf *g);

/* Keys; a split model's are those of its first part.  Each getter returns false, leaving *out alone,
 * when the key is missing or has another type; integers of any width and sign are accepted when the
 * value fits, and f64 where f32 is asked for.  Elements of a bool array are integers 0 and 1. */
bool gguf_has(const struct gguf *g, const char *key);	/* of whatever type */
bool gguf_get_u32(const struct gguf *g, const char *key, uint32_t *out);
bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out);
bool gguf_get_f32(const struct gguf *g, const char *key, float *out);
bool gguf_get_bool(const struct gguf *g, const char *key, bool *out);
bool gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out);
/* An array: number and type of elements, or false.  Elements are fetched one by one; strings are
 * indexed at open, so each fetch is O(1). */
bool gguf_get_arr(const struct gguf *g, const char *key, enum gguf_type *type, uint64_t *n);
bool gguf_arr_str(const struct gguf *g, const char *key, uint64_t i, struct gguf_str *out);
bool gguf_arr_u64(const struct gguf *g, const char *key, uint64_t i, uint64_t *out);
bool gguf_arr_f32(const struct gguf *g, const char *key, uint64_t i, float *out);
/* The whole of a fixed-size array in place (may be unaligned), NULL when it is not one. */
const void *gguf_arr_data(const struct gguf *g, const char *key, enum gguf_type *type, uint64_t *n);
/* All string elements of an array at once, borrowed until close: O(1) per element in a loop. */
const struct gguf_str *gguf_arr_strs(const struct gguf *g, const char *key, uint64_t *n);

/* Walk keys and tensors in file order, for `model info`.  false past the end. */
bool gguf_key_at(const struct gguf *g, uint64_t i, struct gguf_str *key, enum gguf_type *type);
uint64_t gguf_n_tensor(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, uint64_t i);
/* NULL when there is none. */
const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name);

/* Tell the kernel that these bytes are wanted soon (madvise WILLNEED), or no more (DONTNEED of the
 * mapping only; the page cache keeps them). */
void gguf_prefetch(const struct gguf *g, const struct gguf_tensor *t);
void gguf_release(const struct gguf *g, const struct gguf_tensor *t);

#endif
