/* tests/tiny_model.h - a whole model file, tokenizer included, made on the spot
 *
 * Two layers of a llama with random weights and a vocabulary of the 256 bytes, the ids that a text
 * gives being its bytes.  Says nothing sensible; computes like any other model.
 */
#ifndef TESTS_TINY_MODEL_H
#define TESTS_TINY_MODEL_H

#include "base/file.h"
#include "base/utf8.h"
#include "tests/gguf_make.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TINY_LAYERS = 2, TINY_EMBD = 32, TINY_HEADS = 2, TINY_KV = 1, TINY_FF = 48, TINY_VOCAB = 258 };

static uint64_t tiny_seed;

static float tiny_weight(void)
{
	float s = 0;

	for (int i = 0; i < 12; i++) {
		tiny_seed = tiny_seed * 6364136223846793005ull + 1442695040888963407ull;
		s += (float)(tiny_seed >> 40) / 16777216.0f;
	}
	return s - 6;
}

/* GPT-2's printable stand-in for a byte. */
static void tiny_byte(struct buf *b, int byte)
{
	uint32_t ch = (uint32_t)byte;
	char s[4], text[5] = { 0 };
	size_t n;

	if (byte < 33)
		ch = 256 + ch;
	else if (byte >= 127 && byte <= 160)
		ch = 256 + 33 + ch - 127;
	else if (byte == 173)
		ch = 256 + 67;
	n = utf8_encode(ch, s);
	memcpy(text, s, n);
	make_str(b, text);
}

static void tiny_tensor(struct buf *head, uint64_t *off, uint32_t *n, const char *name, uint64_t ne0, uint64_t ne1)
{
	make_tensor(head, name, ne0, ne1, QUANT_F32, *off);
	*off += (ne0 * (ne1 ? ne1 : 1) * 4 + 31) / 32 * 32;
	++*n;
}

static void tiny_vocabulary(struct buf *b)
{
	make_kv_str(b, "tokenizer.ggml.model", "gpt2");
	make_kv_str(b, "tokenizer.ggml.pre", "gpt-2");
	make_kv_arr(b, "tokenizer.ggml.tokens", GGUF_STRING, TINY_VOCAB);
	for (int i = 0; i < 256; i++)
		tiny_byte(b, i);
	make_str(b, "<|endoftext|>");
	make_str(b, "<|pad|>");
	make_kv_arr(b, "tokenizer.ggml.token_type", GGUF_I32, TINY_VOCAB);
	for (int i = 0; i < TINY_VOCAB; i++)
		make_u32(b, i < 256 ? 1 : 3);
	make_kv_arr(b, "tokenizer.ggml.merges", GGUF_STRING, 0);
	make_kv_u32(b, "tokenizer.ggml.eos_token_id", 256);
}

static void tiny_key(struct buf *b, const char *arch, const char *key, uint32_t v)
{
	char name[96];

	snprintf(name, sizeof(name), "%s.%s", arch, key);
	make_kv_u32(b, name, v);
}

/* Write the file; another seed is another model.  arch "llama", or "llama4": then layer 0 is near, with
 * chunks of 1024, and layer 1 far and without positions. */
__attribute__((unused)) static void tiny_model_of(const char *path, uint64_t seed, const char *arch)
{
	static const char *const key[] = { "block_count", "context_length", "embedding_length",
					   "feed_forward_length", "attention.head_count",
					   "attention.head_count_kv" };
	static const uint32_t value[] = { TINY_LAYERS, 65536, TINY_EMBD, TINY_FF, TINY_HEADS, TINY_KV };
	bool irope = !strcmp(arch, "llama4");
	struct buf b = { 0 };
	uint64_t off = 0;
	uint32_t n = 0;
	char name[64];
	struct err e;

	tiny_seed = seed;
	make_head(&b, 0, 0);
	make_kv_str(&b, "general.architecture", arch);
	make_kv_str(&b, "general.name", "tiny");
	for (int i = 0; i < 6; i++)
		tiny_key(&b, arch, key[i], value[i]);
	snprintf(name, sizeof(name), "%s.attention.layer_norm_rms_epsilon", arch);
	make_kv_f32(&b, name, 1e-5f);
	if (irope) {
		make_kv_u32(&b, "folio.attention.chunk_size", 1024);
		make_kv_u32(&b, "folio.attention.nope_interval", 2);
	}
	tiny_vocabulary(&b);
	tiny_tensor(&b, &off, &n, "token_embd.weight", TINY_EMBD, TINY_VOCAB);
	tiny_tensor(&b, &off, &n, "output_norm.weight", TINY_EMBD, 0);
	for (int i = 0; i < TINY_LAYERS; i++) {
		static const struct { const char *name; int ne0, ne1; } T[] = {
			{ "attn_norm", TINY_EMBD, 0 }, { "ffn_norm", TINY_EMBD, 0 },
			{ "attn_q", TINY_EMBD, TINY_EMBD }, { "attn_k", TINY_EMBD, TINY_EMBD / TINY_HEADS },
			{ "attn_v", TINY_EMBD, TINY_EMBD / TINY_HEADS }, { "attn_output", TINY_EMBD, TINY_EMBD },
			{ "ffn_gate", TINY_EMBD, TINY_FF }, { "ffn_up", TINY_EMBD, TINY_FF },
			{ "ffn_down", TINY_FF, TINY_EMBD },
		};

		for (size_t t = 0; t < sizeof(T) / sizeof(T[0]); t++) {
			snprintf(name, sizeof(name), "blk.%d.%s.weight", i, T[t].name);
			tiny_tensor(&b, &off, &n, name, (uint64_t)T[t].ne0, (uint64_t)T[t].ne1);
		}
	}
	make_counts(&b, n, 9 + 6 + (irope ? 2 : 0));
	make_pad(&b, 32);
	for (uint64_t i = 0; i < off / 4; i++) {
		float w = 0.35f * tiny_weight();

		buf_add(&b, &w, 4);
	}
	if (b.failed || file_write_atomic(path, b.data, b.len, &e)) {
		printf("Bail out! cannot write '%s'\n", path);
		exit(99);
	}
	buf_release(&b);
}

__attribute__((unused)) static void tiny_model(const char *path, uint64_t seed)
{
	tiny_model_of(path, seed, "llama");
}

#endif
