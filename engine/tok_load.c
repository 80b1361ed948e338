#include "config.h"

#include "engine/tok_load.h"

#include "base/size.h"

#include <stdlib.h>

static const struct {
	char name[16];
	enum tok_pre pre;
	bool whole_first, add_bos;	/* the latter where the file does not say */
} pre_names[] = {
	{ "llama4", TOK_PRE_LLAMA4, false, false },
	{ "gpt-4o", TOK_PRE_LLAMA4, false, false },
	{ "llama-bpe", TOK_PRE_LLAMA3, true, true },
	{ "llama3", TOK_PRE_LLAMA3, true, true },
	{ "llama-v3", TOK_PRE_LLAMA3, true, true },
	{ "smaug-bpe", TOK_PRE_LLAMA3, false, false },
	{ "dbrx", TOK_PRE_LLAMA3, false, false },
	{ "qwen2", TOK_PRE_QWEN2, false, false },
	{ "deepseek-r1-qwen", TOK_PRE_QWEN2, false, false },
	{ "smollm", TOK_PRE_SMOLLM, false, false },
	{ "command-r", TOK_PRE_SMOLLM, false, false },
	{ "starcoder", TOK_PRE_SMOLLM, false, false },
	{ "gpt-2", TOK_PRE_GPT2, false, false },
	{ "exaone4", TOK_PRE_GPT2, false, false },
};

static bool is(struct gguf_str s, const char *name)
{
	return s.n == strlen(name) && memcmp(s.s, name, s.n) == 0;
}

static int read_pre(struct tok_file *out, const struct gguf *g, struct err *e)
{
	struct gguf_str model, pre;

	if (!gguf_get_str(g, "tokenizer.ggml.model", &model))
		return err_set(e, ERR_MODEL, "'%s' has no tokenizer: no key tokenizer.ggml.model",
			       gguf_path(g));
	if (!is(model, "gpt2"))
		return err_set(e, ERR_MODEL, "'%s' has a tokenizer of kind '%.*s'; byte-level BPE "
			       "('gpt2') is supported", gguf_path(g), (int)MIN(model.n, 40), model.s);
	if (!gguf_get_str(g, "tokenizer.ggml.pre", &pre))
		return err_set(e, ERR_MODEL, "'%s' does not name its pre-tokenizer: no key "
			       "tokenizer.ggml.pre", gguf_path(g));
	for (size_t i = 0; i < ARRAY_LEN(pre_names); i++) {
		if (is(pre, pre_names[i].name)) {
			out->pre = pre_names[i].pre;
			out->whole_first = pre_names[i].whole_first;
			out->add_bos = pre_names[i].add_bos;
			return 0;
		}
	}
	return err_set(e, ERR_MODEL, "'%s' wants the pre-tokenizer '%.*s', which is not supported",
		       gguf_path(g), (int)MIN(pre.n, 40), pre.s);
}

/* GPT-2's alphabet backwards: [character] -> byte, -1 for one that is not in it. */
static void alphabet(int16_t byte_of[0x144])
{
	int next = 0x100;

	memset(byte_of, 0xff, 0x144 * sizeof *byte_of);
	for (int b = 0; b < 256; b++) {
		bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;

		byte_of[itself ? b : next++] = (int16_t)b;
	}
}

/* Decode s to out (at least s.n bytes of room); its length, or -1 where a character is not in the
 * alphabet. */
static ptrdiff_t decode(const int16_t byte_of[0x144], const char *s, size_t n, char *out)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned c = p[i];

		if (c >= 0xc2 && c <= 0xc5 && i + 1 < n && (p[i + 1] & 0xc0) == 0x80)
			c = (c & 0x1f) << 6 | (p[++i] & 0x3f);
		else if (c >= 0x80)
			return -1;
		if (c >= 0x144 || byte_of[c] < 0)
			return -1;
		out[k++] = (char)byte_of[c];
	}
	return (ptrdiff_t)k;
}

/* The types array, as bytes; NULL in *types where the file has none. */
static int read_types(const struct gguf *g, uint64_t n_token, uint8_t **types, struct err *e)
{
	enum gguf_type t;
	uint64_t n;

	*types = NULL;
	if (!gguf_get_arr(g, "tokenizer.ggml.token_type", &t, &n))
		return 0;
	if (n != n_token)
		return err_set(e, ERR_MODEL, "'%s': %llu token types for %llu tokens", gguf_path(g),
			       (unsigned long long)n, (unsigned long long)n_token);
	*types = malloc(n);
	if (!*types)
		return err_nomem(e);
	if (t == GGUF_I32 || t == GGUF_U32) {
		const char *p = gguf_arr_data(g, "tokenizer.ggml.token_type", &t, &n);

		for (uint64_t i = 0; i < n; i++) {
			uint32_t x;

			memcpy(&x, p + 4 * i, 4);
			if (x < TOK_NORMAL || x > TOK_BYTE)
				return err_set(e, ERR_MODEL, "'%s': token %llu has the type %d",
					       gguf_path(g), (unsigned long long)i, (int)x);
			(*types)[i] = (uint8_t)x;
		}
		return 0;
	}
	return err_set(e, ERR_MODEL, "'%s': tokenizer.ggml.token_type is not an array of i32",
		       gguf_path(g));
}

static int read_tokens(struct tok_file *out, const struct gguf *g, const int16_t byte_of[0x144],
		       struct err *e)
{
	struct tok_vocab *v = &out->vocab;
	const struct gguf_str *s;
	char *room = NULL;
	uint8_t *types = NULL;
	uint64_t n, n_byte = 0, longest = 0;
	int rc;

	s = gguf_arr_strs(g, "tokenizer.ggml.tokens", &n);
	if (!s)
		return err_set(e, ERR_MODEL, "'%s' has no vocabulary: no array "
			       "tokenizer.ggml.tokens", gguf_path(g));
	for (uint64_t i = 0; i < n; i++) {
		n_byte += s[i].n;
		longest = MAX(longest, s[i].n);
	}
	rc = tok_vocab_init(v, n, n_byte, e);
	if (!rc)
		rc = read_types(g, n, &types, e);
	if (rc)
		goto out;
	room = malloc(longest + 1);
	if (!room) {
		rc = err_nomem(e);
		goto out;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint8_t type = types ? types[i] : TOK_NORMAL;
		ptrdiff_t len = -1;

		if (type == TOK_NORMAL || type == TOK_BYTE) {
			len = decode(byte_of, s[i].s, s[i].n, room);
			if (len < 0)
				type = TOK_UNUSED;	/* nothing can spell it */
		}
		if (len >= 0)
			tok_vocab_add(v, room, (size_t)len, type);
		else
			tok_vocab_add(v, s[i].s, s[i].n, type);
	}
	rc = tok_vocab_index(v, e);
out:
	free(room);
	free(types);
	return rc;
}

static int read_merges(struct tok_file *out, const struct gguf *g, const int16_t byte_of[0x144],
		       struct err *e)
{
	struct tok_vocab *v = &out->vocab;
	const struct gguf_str *s;
	uint64_t n, longest = 0;
	uint32_t *named;
	char *room;
	int rc;

	s = gguf_arr_strs(g, "tokenizer.ggml.merges", &n);
	if (!s)
		return err_set(e, ERR_MODEL, "'%s' has no merges: no array tokenizer.ggml.merges",
			       gguf_path(g));
	rc = tok_vocab_merges(v, n, n, e);
	if (rc)
		return rc;
	for (uint64_t i = 0; i < n; i++)
		longest = MAX(longest, s[i].n);
	room = malloc(longest + 1);
	named = calloc(n + 1, 2 * sizeof *named);	/* what the identity is computed from */
	if (!room || !named) {
		rc = err_nomem(e);
		goto out;
	}
	for (uint64_t i = 0; i < n; i++) {
		/* The first character may itself be a space in a file that does not escape it. */
		const char *gap = s[i].n > 1 ? memchr(s[i].s + 1, ' ', s[i].n - 1) : NULL;
		size_t n_left;
		ptrdiff_t a, b;
		uint32_t left, right, both;

		v->merged[i] = TOK_NONE;
		named[2 * i] = named[2 * i + 1] = TOK_NONE;
		if (!gap) {
			rc = err_set(e, ERR_MODEL, "'%s': merge %llu is not two tokens with a space "
				     "between", gguf_path(g), (unsigned long long)i);
			goto out;
		}
		n_left = (size_t)(gap - s[i].s);
		a = decode(byte_of, s[i].s, n_left, room);
		if (a < 0)
			continue;
		b = decode(byte_of, gap + 1, s[i].n - n_left - 1, room + a);
		if (b < 0)
			continue;
		left = tok_vocab_find(v, room, (size_t)a);
		right = tok_vocab_find(v, room + a, (size_t)b);
		both = tok_vocab_find(v, room, (size_t)(a + b));
		if (left == TOK_NONE || right == TOK_NONE || both == TOK_NONE)
			continue;
		named[2 * i] = left;
		named[2 * i + 1] = right;
		tok_vocab_merge(v, (uint32_t)i, left, right, both);
	}
	out->merges = id_of(named, n * 2 * sizeof *named);
out:
	free(room);
	free(named);
	return rc;
}

static int read_id(const struct gguf *g, const char *key, uint32_t n, int32_t *id, struct err *e)
{
	uint32_t x;

	*id = -1;
	if (!gguf_get_u32(g, key, &x))
		return 0;
	if (x >= n)
		return err_set(e, ERR_MODEL, "'%s': %s is %u, beyond the vocabulary of %u",
			       gguf_path(g), key, x, n);
	*id = (int32_t)x;
	return 0;
}

int tok_load_gguf(struct tok_file *out, const struct gguf *g, struct err *e)
{
	int16_t byte_of[0x144];
	uint32_t n;
	int rc;

	memset(out, 0, sizeof *out);
	alphabet(byte_of);
	rc = read_pre(out, g, e);
	if (!rc)
		rc = read_tokens(out, g, byte_of, e);
	if (!rc)
		rc = read_merges(out, g, byte_of, e);
	if (!rc)
		rc = tok_vocab_ready(&out->vocab, e);
	if (rc)
		return rc;
	n = out->vocab.n;
	rc = read_id(g, "tokenizer.ggml.bos_token_id", n, &out->bos, e);
	if (!rc)
		rc = read_id(g, "tokenizer.ggml.eos_token_id", n, &out->eos, e);
	if (!rc)
		rc = read_id(g, "tokenizer.ggml.eot_token_id", n, &out->eot, e);
	if (!rc)
		rc = read_id(g, "tokenizer.ggml.eom_token_id", n, &out->eom, e);
	if (rc)
		return rc;
	gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &out->add_bos);
	if (out->add_bos && out->bos < 0)
		return err_set(e, ERR_MODEL, "'%s' wants its BOS token first and does not say which "
			       "it is: no key tokenizer.ggml.bos_token_id", gguf_path(g));
	return 0;
}
