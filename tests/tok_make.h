/* tests/tok_make.h - a small tokenizer as a model file in memory
 *
 * The vocabulary is made of tests/vectors/tok_small.merges (byte pairs in GPT-2's alphabet, a line
 * each): 256 single bytes in order, what the merges make, then tok_make_special.
 */
#ifndef TESTS_TOK_MAKE_H
#define TESTS_TOK_MAKE_H

#include "base/buf.h"
#include "base/file.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tests/gguf_make.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *text;
	int32_t type;
} tok_make_special[] = {
	{ "<|begin_of_text|>", 3 }, { "<|end_of_text|>", 3 }, { "<|header_start|>", 3 },
	{ "<|header_end|>", 3 }, { "<|eom|>", 3 }, { "<|eot|>", 3 }, { "<|start_header_id|>", 3 },
	{ "<|end_header_id|>", 3 }, { "<|eot_id|>", 3 }, { "<|im_start|>", 3 },
	{ "<|im_end|>", 3 }, { "<|endoftext|>", 3 }, { "<|eot|>x", 3 }, { "<unk>", 2 },
	{ "<think>", 4 }, { "</think>", 4 }, { "<tool_call>", 4 }, { "[PAD0]", 5 },
};

struct tok_make {
	const char *pre;	/* NULL: leave the key out */
	const char *model;	/* "gpt2" when NULL */
	const char *template;	/* tokenizer.chat_template, NULL: none */
	const char *arch;	/* "llama" when NULL */
	bool bos, bos_off;	/* write add_bos_token, true or false */
	bool no_bos_id;
	int  lack;		/* leave out the token of this byte, where > 0 */
	const char *more;	/* one more normal token, that no merge makes */
	const char *odd_merge;	/* one more merge line */
	int32_t bad_type;	/* of token 300, where not 0 */
	uint32_t n_type_less;
	uint32_t eos;		/* 0: <|eot|> */
};

/* Where the merges are: the source folder's tests/vectors. */
__attribute__((unused)) static void tok_make_merges(struct buf *b)
{
	const char *src = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof path, "%s/tests/vectors/tok_small.merges", src ? src : ".");
	if (file_read(b, path, 1u << 20, NULL)) {
		printf("Bail out! cannot read '%s'\n", path);
		exit(99);
	}
}

static void tok_make_char(struct buf *b, int byte)
{
	char c[4];
	uint32_t ch = (uint32_t)byte;

	if (byte < 33)
		ch = 256 + ch;
	else if (byte >= 127 && byte <= 160)
		ch = 256 + 33 + ch - 127;
	else if (byte == 173)
		ch = 256 + 67;
	buf_add(b, c, utf8_encode(ch, c));
}

/* Everything up to the merges array is counted first, for GGUF wants counts before elements. */
__attribute__((unused)) static void tok_make(struct buf *b, const struct tok_make *m,
					     const char *merges, size_t n_merges)
{
	const char *end = merges + n_merges;
	uint32_t n_merge = 0, n_kv = 0, n_token, n_special = ARRAY_LEN(tok_make_special);
	uint32_t first_special;
	struct buf s = { 0 };

	for (const char *p = merges; p < end; p++)
		n_merge += *p == '\n';
	first_special = 256 + n_merge + !!m->more;
	n_token = first_special + n_special;
	make_head(b, 0, 0);
	make_kv_str(b, "general.architecture", m->arch ? m->arch : "llama");
	make_kv_str(b, "tokenizer.ggml.model", m->model ? m->model : "gpt2");
	n_kv += 2;
	if (m->pre)
		make_kv_str(b, "tokenizer.ggml.pre", m->pre), n_kv++;
	if (m->template)
		make_kv_str(b, "tokenizer.chat_template", m->template), n_kv++;
	if (m->bos || m->bos_off)
		make_kv_bool(b, "tokenizer.ggml.add_bos_token", m->bos), n_kv++;
	if (!m->no_bos_id)
		make_kv_u32(b, "tokenizer.ggml.bos_token_id", first_special), n_kv++;
	make_kv_u32(b, "tokenizer.ggml.eos_token_id", m->eos ? m->eos : first_special + 5), n_kv++;
	make_kv_arr(b, "tokenizer.ggml.tokens", GGUF_STRING, n_token), n_kv++;
	for (int i = 0; i < 256; i++) {
		buf_clear(&s);
		if (m->lack > 0 && m->lack == i)
			buf_adds(&s, "\xe2\x80\x94");
		else
			tok_make_char(&s, i);
		make_str(b, s.data);
	}
	for (const char *p = merges; p < end;) {
		const char *eol = memchr(p, '\n', (size_t)(end - p)), *gap = memchr(p, ' ', (size_t)(end - p));

		make_u64(b, (uint64_t)(eol - p) - 1);
		buf_add(b, p, (size_t)(gap - p));
		buf_add(b, gap + 1, (size_t)(eol - gap) - 1);
		p = eol + 1;
	}
	if (m->more)
		make_str(b, m->more);
	for (uint32_t i = 0; i < n_special; i++)
		make_str(b, tok_make_special[i].text);
	make_kv_arr(b, "tokenizer.ggml.token_type", GGUF_I32, n_token - m->n_type_less), n_kv++;
	for (uint32_t i = 0; i < n_token - m->n_type_less; i++) {
		int32_t type = i < first_special ? 1 : tok_make_special[i - first_special].type;

		if (i == 300 && m->bad_type)
			type = m->bad_type;
		make_u32(b, (uint32_t)type);
	}
	make_kv_arr(b, "tokenizer.ggml.merges", GGUF_STRING, n_merge + !!m->odd_merge), n_kv++;
	for (const char *p = merges; p < end;) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));

		make_u64(b, (uint64_t)(eol - p));
		buf_add(b, p, (size_t)(eol - p));
		p = eol + 1;
	}
	if (m->odd_merge)
		make_str(b, m->odd_merge);
	make_counts(b, 0, n_kv);
	make_pad(b, 32);
	buf_release(&s);
}

#endif
