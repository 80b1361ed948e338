/* Tokenizers.  The first byte says what the rest is: a text for one of the five pre-tokenizers (with
 * a small vocabulary), a model file whose tokenizer is opened and used, a chat template, or a tiktoken
 * file.  Checked beside memory: bytes come back, offsets agree, the stream gives the same bytes, and
 * message text makes no special token. */
#include "config.h"

#include "engine/chat.h"
#include "engine/tok.h"
#include "engine/tok_load.h"

#include "base/size.h"
#include "tests/tok_make.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char merges[] =
	"\xc4\xa0 \xc4\xa0\n\xc4\xa0\xc4\xa0 \xc4\xa0\xc4\xa0\nt h\nth e\n\xc4\xa0 the\n\xc4\xa0 t\na a\n"
	"aa aa\naaaa aaaa\na b\nab ab\n1 2\n12 3\n\xc4\x8a \xc4\x8a\nA A\nAA a\n' s\n. .\n.. .\n/ /\n"
	"\xc3\xa6 \xc4\xb9\nr e\nre t\nret urn\nu r\nur n\n< |\n| >\n";

static void need(bool what)
{
	if (!what)
		abort();
}

/* Encode, and check what holds for any tokenizer; whole: each byte has a token. */
static void use(const struct tok *t, const char *s, size_t n, unsigned flags, bool whole)
{
	struct tok_ids ids = { 0 };
	struct tok_offs off = { 0 };
	struct buf piece = { 0 }, all = { 0 }, stream = { 0 };
	struct tok_stream st = { .n = 0 };
	uint64_t last = 0, count;
	size_t n_bos;

	need(!tok_encode(t, "", 0, flags, &ids, NULL, NULL) && ids.n <= 1);
	n_bos = ids.n;
	ids.n = 0;
	need(!tok_encode(t, s, n, flags, &ids, &off, NULL) && off.n == ids.n);
	for (size_t i = 0; i < ids.n; i++) {
		need(ids.id[i] >= 0 && ids.id[i] < tok_n_vocab(t));
		need(off.at[i] >= last && off.at[i] <= n);
		last = off.at[i];
		buf_clear(&piece);
		tok_piece(t, ids.id[i], true, &piece);
		if (i >= n_bos) {
			need(piece.len <= n - off.at[i]);
			need(!piece.len || !memcmp(piece.data, s + off.at[i], piece.len));
			buf_add(&all, piece.data, piece.len);
		}
		if (!(flags & TOK_SPECIAL) && i >= n_bos)
			need(!whole || !tok_is_special(t, ids.id[i]));
		tok_stream_push(t, &st, ids.id[i], &stream);
		need(st.n <= 3);
	}
	tok_stream_flush(&st, &stream);
	if (whole) {
		need(all.len == n && (!n || !memcmp(all.data, s, n)));
		need(flags & TOK_SPECIAL || (stream.len == n && (!n || !memcmp(stream.data, s, n))));
	}
	if (!(flags & (TOK_SPECIAL | TOK_BOS))) {
		need(!tok_count(t, s, n, &count, NULL) && count == ids.n);
	}
	free(ids.id);
	free(off.at);
	buf_release(&piece);
	buf_release(&all);
	buf_release(&stream);
}

static struct tok *small(const char *pre)
{
	struct buf b = { 0 };
	struct gguf *g;
	struct tok *t;

	tok_make(&b, &(struct tok_make){ .pre = pre }, merges, sizeof merges - 1);
	need(!gguf_open_mem(&g, "fuzz", (uint8_t *)b.data, b.len, NULL));
	need(!tok_open(&t, g, NULL));
	gguf_close(g);
	buf_release(&b);
	return t;
}

static void message(const struct tok *t, const struct chat *c, const char *s, size_t n)
{
	struct tok_ids a = { 0 }, b = { 0 };
	size_t special = 0;

	need(!chat_begin(c, CHAT_DEFAULT_SYSTEM, &a, NULL));
	need(!chat_prompt(c, CHAT_NO_THINK, &a, NULL));
	a.n = 0;
	need(!chat_message(c, CHAT_USER, "", 0, &a, NULL));
	need(!chat_message(c, CHAT_USER, s, n, &b, NULL));
	for (size_t i = 0; i < a.n; i++)
		special += tok_is_special(t, a.id[i]);
	for (size_t i = 0; i < b.n; i++)
		special -= tok_is_special(t, b.id[i]);
	need(special == 0);
	free(a.id);
	free(b.id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const pre[] = { "llama4", "llama-bpe", "qwen2", "gpt-2", "smollm" };
	static const char sample[] = "The  quick\xff<|eot|> \xe6\x97\xa5\xe6\x9c\xac 123's\r\n\n  end ";
	static struct tok *toks[ARRAY_LEN(pre)];
	const char *s = (const char *)data + 1;
	unsigned what;

	if (!n)
		return 0;
	what = data[0] % 8;
	n--;
	if (what < ARRAY_LEN(pre)) {
		if (!toks[what])
			toks[what] = small(pre[what]);
		use(toks[what], s, n, data[0] >> 3 & 3, true);
	} else if (what == 5) {
		struct gguf *g;
		struct tok *t;
		struct chat *c;

		if (gguf_open_mem(&g, "fuzz", data + 1, n, NULL))
			return 0;
		if (!tok_open(&t, g, NULL)) {
			use(t, sample, sizeof sample - 1, 0, false);
			use(t, sample, sizeof sample - 1, TOK_SPECIAL | TOK_BOS, false);
			if (!chat_open(&c, g, t, NULL)) {
				message(t, c, sample, sizeof sample - 1);
				chat_close(c);
			}
			tok_close(t);
		}
		gguf_close(g);
	} else if (what == 6) {
		struct chat *c;

		if (!toks[1])
			toks[1] = small(pre[1]);
		if (!chat_open_text(&c, s, n, toks[1], NULL)) {
			message(toks[1], c, s, n);
			chat_close(c);
		}
	} else {
		struct tok_file f;

		tok_load_tiktoken_mem(&f, s, n, "fuzz", "llama4", NULL);
		tok_vocab_release(&f.vocab);
	}
	return 0;
}
