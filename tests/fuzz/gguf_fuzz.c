/* Model files from memory: whatever opens is read to the last byte of every key and tensor. */
#include "config.h"

#include "base/size.h"
#include "engine/gguf.h"
#include "engine/quant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_keys(const struct gguf *g)
{
	struct gguf_str s;
	enum gguf_type type;

	for (uint64_t i = 0; gguf_key_at(g, i, &s, &type); i++) {
		char key[64];
		uint64_t n, u;
		uint32_t u32;
		float f;
		bool b;

		if (s.n >= sizeof(key))
			continue;
		memcpy(key, s.s, s.n);
		key[s.n] = '\0';
		gguf_get_u32(g, key, &u32);
		gguf_get_f32(g, key, &f);
		gguf_get_bool(g, key, &b);
		gguf_get_str(g, key, &s);
		if (!gguf_get_arr(g, key, &type, &n))
			continue;
		for (uint64_t k = 0; k <= n; k++)
			if (gguf_arr_str(g, key, k, &s) != (k < n && type == GGUF_STRING) ||
			    (gguf_arr_u64(g, key, k, &u) && gguf_arr_f32(g, key, k, &f)))
				abort();
	}
}

static void read_tensors(const struct gguf *g)
{
	float y[256];

	for (uint64_t i = 0; i < gguf_n_tensor(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		const struct quant_info *qi = quant_info(t->type);
		uint64_t n_block = t->n_byte / qi->block_bytes;

		/* Every block would be the same code again: the first, the last, some between. */
		for (uint64_t k = 0; k < n_block; k += 1 + n_block / 16)
			quant_row_ref(t->type, t->data + k * qi->block_bytes, y, qi->block_elems);
		quant_row_ref(t->type, t->data + (n_block - 1) * qi->block_bytes, y, qi->block_elems);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gguf *g;
	struct err e;

	if (gguf_open_mem(&g, "fuzz", data, n, &e))
		return 0;
	read_keys(g);
	read_tensors(g);
	gguf_close(g);
	return 0;
}
