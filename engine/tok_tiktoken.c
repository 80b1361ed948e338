#include "config.h"

#include "engine/tok_load.h"

#include "base/file.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>

/* Llama 4's has 3.6 MB and no token beyond 113 bytes.  Every cut of every token is looked up, which
 * is square in its length. */
#define MAX_FILE (64u << 20)
#define MAX_TOKEN 512

/* Special tokens of Llama 4, which its tokenizer.model does not list: 2048 ids after the ranks
 * (Meta's tokenizer.py).  Named here is what the model was shown; a run of ids with one name and a
 * number is an entry with n > 1, and whatever is left is <|reserved_special_token_N|>. */
struct special {
	uint16_t    at;
	uint16_t    n;		/* ids from at on ... */
	uint16_t    first;	/* ... numbered from here */
	const char *name;	/* "%u" takes the number */
};

static const struct special llama4[] = {
	{ 0, 1, 0, "<|begin_of_text|>" },
	{ 1, 1, 0, "<|end_of_text|>" },
	{ 2, 1, 0, "<|fim_prefix|>" },
	{ 3, 1, 0, "<|fim_middle|>" },
	{ 4, 1, 0, "<|fim_suffix|>" },
	{ 5, 1, 0, "<|header_start|>" },
	{ 6, 1, 0, "<|header_end|>" },
	{ 7, 1, 0, "<|eom|>" },
	{ 8, 1, 0, "<|eot|>" },
	{ 9, 1, 0, "<|step|>" },
	{ 10, 6, 0, "<|text_post_train_reserved_special_token_%u|>" },
	{ 16, 1, 0, "<|python_start|>" },
	{ 17, 1, 0, "<|python_end|>" },
	{ 18, 1, 0, "<|finetune_right_pad|>" },
	{ 19, 61, 8, "<|text_post_train_reserved_special_token_%u|>" },
	{ 80, 1, 0, "<|image_start|>" },
	{ 81, 1, 0, "<|image_end|>" },
	{ 82, 2, 0, "<|vision_reserved_special_token_%u|>" },
	{ 84, 1, 0, "<|tile_x_separator|>" },
	{ 85, 1, 0, "<|tile_y_separator|>" },
	{ 86, 4, 2, "<|vision_reserved_special_token_%u|>" },
	{ 90, 1, 0, "<|image|>" },
	{ 91, 1, 6, "<|vision_reserved_special_token_%u|>" },
	{ 92, 1, 0, "<|patch|>" },
	{ 93, 1041, 7, "<|vision_reserved_special_token_%u|>" },
	{ 1134, 8, 0, "<|reasoning_reserved_special_token_%u|>" },
	{ 1142, 1, 0, "<|reasoning_thinking_start|>" },
	{ 1143, 1, 0, "<|reasoning_thinking_end|>" },
	{ 1144, 904, 0, "<|reserved_special_token_%u|>" },
};

#define N_LLAMA4 2048

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Decode n characters to out; the number of bytes, -1 when they are no base64. */
static ptrdiff_t base64(const uint8_t *s, size_t n, char *out)
{
	uint32_t acc = 0;
	unsigned bits = 0;
	size_t k = 0;

	while (n && s[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++) {
		int x = base64_value(s[i]);

		if (x < 0)
			return -1;
		acc = acc << 6 | (uint32_t)x;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[k++] = (char)(acc >> bits);
		}
	}
	return (ptrdiff_t)k;
}

/* One line into out (room for as many bytes as the line has); its length, or -1. */
static ptrdiff_t read_line(const uint8_t *s, size_t n, uint64_t want_rank, char *out)
{
	const uint8_t *gap = memchr(s, ' ', n);
	uint64_t rank = 0;

	if (!gap || gap + 1 == s + n)
		return -1;
	for (const uint8_t *p = gap + 1; p < s + n; p++) {
		if (*p < '0' || *p > '9' || rank > UINT32_MAX)
			return -1;
		rank = rank * 10 + (*p - '0');
	}
	return rank == want_rank ? base64(s, (size_t)(gap - s), out) : -1;
}

static int read_ranks(struct tok_vocab *v, const uint8_t *p, size_t n_byte, const char *name,
		      struct err *e)
{
	const uint8_t *end = p + n_byte;
	uint64_t n_line = 0;
	char *room;
	int rc;

	for (const uint8_t *q = p; q < end && (q = memchr(q, '\n', (size_t)(end - q))); q++)
		n_line++;
	if (n_byte && end[-1] != '\n')
		n_line++;
	/* Specials add some 40 bytes each. */
	rc = tok_vocab_init(v, n_line + N_LLAMA4, n_byte + N_LLAMA4 * 64, e);
	if (rc)
		return rc;
	room = malloc(n_byte + 1);
	if (!room)
		return err_nomem(e);
	for (uint64_t i = 0; i < n_line; i++) {
		const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));
		ptrdiff_t n;

		if (!eol)
			eol = end;
		n = read_line(p, (size_t)(eol - p - (eol > p && eol[-1] == '\r')), i, room);
		if (n <= 0 || n > MAX_TOKEN) {
			rc = err_set(e, ERR_MODEL, "'%s', line %llu: not a token of 1 to %d bytes in "
				     "base64 and the rank %llu", name, (unsigned long long)i + 1,
				     MAX_TOKEN, (unsigned long long)i);
			break;
		}
		tok_vocab_add(v, room, (size_t)n, TOK_NORMAL);
		p = eol + 1;
	}
	free(room);
	return rc;
}

static void add_specials(struct tok_vocab *v)
{
	for (size_t i = 0; i < ARRAY_LEN(llama4); i++) {
		for (unsigned j = 0; j < llama4[i].n; j++) {
			const char *name = llama4[i].name, *mark = strstr(name, "%u");
			char s[64];
			int n;

			if (mark)
				n = snprintf(s, sizeof s, "%.*s%u%s", (int)(mark - name), name,
					     llama4[i].first + j, mark + 2);
			else
				n = snprintf(s, sizeof s, "%s", name);
			tok_vocab_add(v, s, (size_t)n, TOK_CONTROL);
		}
	}
}

/* Every way to cut a token in two tokens is a merge with the token's own rank. */
static int derive_merges(struct tok_vocab *v, uint32_t n, struct err *e)
{
	size_t n_pair = 0, cap = 4 * (size_t)n + 16;
	uint32_t *pair = malloc(cap * 3 * sizeof *pair);
	int rc;

	if (!pair)
		return err_nomem(e);
	for (uint32_t id = 0; id < n; id++) {
		const char *s = v->text + v->off[id];
		size_t len = tok_vocab_len(v, id);

		for (size_t cut = 1; cut < len; cut++) {
			uint32_t left = tok_vocab_find(v, s, cut), right;

			if (left == TOK_NONE)
				continue;
			right = tok_vocab_find(v, s + cut, len - cut);
			if (right == TOK_NONE)
				continue;
			if (n_pair == cap) {
				uint32_t *more = realloc(pair, cap * 2 * 3 * sizeof *pair);

				if (!more) {
					free(pair);
					return err_nomem(e);
				}
				pair = more;
				cap *= 2;
			}
			pair[3 * n_pair] = left;
			pair[3 * n_pair + 1] = right;
			pair[3 * n_pair++ + 2] = id;
		}
	}
	rc = tok_vocab_merges(v, n, n_pair, e);
	for (size_t i = 0; !rc && i < n_pair; i++)
		tok_vocab_merge(v, pair[3 * i + 2], pair[3 * i], pair[3 * i + 1], pair[3 * i + 2]);
	free(pair);
	return rc;
}

int tok_load_tiktoken_mem(struct tok_file *out, const void *data, size_t n, const char *name,
			  const char *family, struct err *e)
{
	struct tok_vocab *v = &out->vocab;
	uint32_t n_rank;
	int rc;

	memset(out, 0, sizeof *out);
	if (strcmp(family, "llama4") != 0)
		return err_set(e, ERR_INVALID, "no special tokens are known for the family '%s' of a "
			       "tiktoken file; 'llama4' is supported", family);
	if (n > MAX_FILE)
		return err_set(e, ERR_MODEL, "'%s' has %zu bytes: no tiktoken file is that long", name,
			       n);
	rc = read_ranks(v, data, n, name, e);
	if (rc)
		return rc;
	n_rank = v->n;
	add_specials(v);
	rc = tok_vocab_index(v, e);
	if (!rc)
		rc = derive_merges(v, n_rank, e);
	if (!rc)
		rc = tok_vocab_ready(v, e);
	if (rc)
		return rc;
	out->pre = TOK_PRE_LLAMA4;
	out->whole_first = true;
	out->add_bos = true;
	out->bos = (int32_t)n_rank;
	out->eos = (int32_t)n_rank + 1;
	out->eom = (int32_t)n_rank + 7;
	out->eot = (int32_t)n_rank + 8;
	out->merges = id_of("ranks", 5);
	return 0;
}

int tok_load_tiktoken(struct tok_file *out, const char *path, const char *family, struct err *e)
{
	struct file_map m;
	int rc;

	memset(out, 0, sizeof *out);
	rc = file_map_open(&m, path, e);
	if (rc)
		return rc;
	rc = tok_load_tiktoken_mem(out, m.data, m.size, path, family, e);
	file_map_close(&m);
	return rc;
}
