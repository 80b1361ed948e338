#include "config.h"

#include "engine/tok_vocab.h"

#include <stdlib.h>
#include <sys/random.h>

/* The high and low half of a product, folded: each bit of it depends on all of both factors. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash(const struct tok_vocab *v, const char *s, size_t n)
{
	uint64_t h = v->salt[0] ^ n, w;

	for (; n >= 8; n -= 8, s += 8) {
		memcpy(&w, s, 8);
		h = mix(h ^ w, v->salt[1]);
	}
	w = 0;
	memcpy(&w, s, n);
	h = mix(h ^ w, v->salt[1]);
	return mix(h, v->salt[0]);
}

/* Random, odd, and with bits in the upper half, which is where a product's go.  Without a source of
 * randomness the hashes are as good, only known. */
static void make_salt(uint64_t salt[2])
{
	if (getrandom(salt, 2 * sizeof *salt, GRND_NONBLOCK) != 2 * sizeof *salt)
		salt[0] = salt[1] = 0;
	salt[0] = (salt[0] ^ 0x9e3779b97f4a7c15ull) | 1ull << 62 | 1;
	salt[1] = (salt[1] ^ 0xff51afd7ed558ccdull) | 1ull << 62 | 1;
}

/* The smallest power of two that keeps a table of n at most three fifths full. */
static uint64_t table_size(uint64_t n)
{
	uint64_t size = 16;

	while (size * 3 < n * 5)
		size *= 2;
	return size;
}

int tok_vocab_init(struct tok_vocab *v, uint64_t n, uint64_t n_byte, struct err *e)
{
	memset(v, 0, sizeof *v);
	make_salt(v->salt);
	if (n == 0 || n > TOK_MAX_VOCAB)
		return err_set(e, ERR_MODEL, "a vocabulary of %llu tokens: 1 to %u are supported",
			       (unsigned long long)n, TOK_MAX_VOCAB);
	if (n_byte >= UINT32_MAX)
		return err_set(e, ERR_MODEL, "a vocabulary of %llu bytes: at most 4 GiB are supported",
			       (unsigned long long)n_byte);
	v->text = malloc(n_byte + 1);
	v->off = calloc(n + 1, sizeof *v->off);
	v->type = malloc(n);
	if (!v->text || !v->off || !v->type)
		return err_nomem(e);
	return 0;
}

void tok_vocab_release(struct tok_vocab *v)
{
	free(v->text);
	free(v->off);
	free(v->type);
	free(v->slot);
	free(v->pair);
	free(v->may);
	free(v->merged);
	free(v->byte_rank);
	free(v->user);
	free(v->special);
	memset(v, 0, sizeof *v);
}

void tok_vocab_add(struct tok_vocab *v, const void *text, size_t n, uint8_t type)
{
	uint32_t at = v->off[v->n];

	if (n)
		memcpy(v->text + at, text, n);
	v->type[v->n++] = type;
	v->off[v->n] = at + (uint32_t)n;
}

/* Put id under its bytes; where a token with the same bytes is there, replace it if told to. */
static void put(struct tok_vocab *v, uint32_t id, bool replace)
{
	const char *s = v->text + v->off[id];
	size_t n = tok_vocab_len(v, id);
	uint64_t h = hash(v, s, n), i = h & v->slot_mask, w;

	while ((w = v->slot[i])) {
		uint32_t other = (uint32_t)w - 1;

		if (w >> 32 == h >> 32 && tok_vocab_len(v, other) == n &&
		    memcmp(v->text + v->off[other], s, n) == 0) {
			if (replace)
				v->slot[i] = (h >> 32) << 32 | (id + 1);
			return;
		}
		i = (i + 1) & v->slot_mask;
	}
	v->slot[i] = (h >> 32) << 32 | (id + 1);
}

uint32_t tok_vocab_find(const struct tok_vocab *v, const void *text, size_t n)
{
	uint64_t h = hash(v, text, n), i = h & v->slot_mask, w;

	while ((w = v->slot[i])) {
		uint32_t id = (uint32_t)w - 1;

		if (w >> 32 == h >> 32 && tok_vocab_len(v, id) == n &&
		    memcmp(v->text + v->off[id], text, n) == 0)
			return id;
		i = (i + 1) & v->slot_mask;
	}
	return TOK_NONE;
}

static int by_bytes(const void *a, const void *b, void *ctx)
{
	const struct tok_vocab *v = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	size_t nx = tok_vocab_len(v, x), ny = tok_vocab_len(v, y);
	int d = memcmp(v->text + v->off[x], v->text + v->off[y], nx < ny ? nx : ny);

	if (d)
		return d;
	if (nx != ny)
		return nx < ny ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* The tokens of the wanted types, sorted; the empty token cannot be found in a text. */
static int list(struct tok_vocab *v, uint32_t **out, size_t *n, uint8_t first[256], bool specials)
{
	free(*out);
	*out = NULL;
	*n = 0;
	memset(first, 0, 256);
	for (int fill = 0; fill < 2; fill++) {
		*n = 0;
		for (uint32_t id = 0; id < v->n; id++) {
			uint8_t t = v->type[id];

			if (!(t == TOK_USER || (specials && (t == TOK_CONTROL || t == TOK_UNKNOWN))) ||
			    tok_vocab_len(v, id) == 0)
				continue;
			if (fill) {
				(*out)[*n] = id;
				first[(uint8_t)v->text[v->off[id]]] = 1;
			}
			++*n;
		}
		if (!fill) {
			*out = malloc((*n + 1) * sizeof **out);
			if (!*out)
				return ERR_NOMEM;
		}
	}
	qsort_r(*out, *n, sizeof **out, by_bytes, v);
	return 0;
}

int tok_vocab_index(struct tok_vocab *v, struct err *e)
{
	uint64_t size = table_size(v->n);

	free(v->slot);
	v->slot_mask = size - 1;
	v->slot = calloc(size, sizeof *v->slot);
	if (!v->slot || list(v, &v->user, &v->n_user, v->user_first, false) ||
	    list(v, &v->special, &v->n_special, v->special_first, true))
		return err_nomem(e);
	for (uint32_t id = 0; id < v->n; id++)
		if (v->type[id] == TOK_NORMAL || v->type[id] == TOK_BYTE)
			put(v, id, true);
	for (uint32_t id = 0; id < v->n; id++)
		if (v->type[id] == TOK_USER)
			put(v, id, false);
	for (int b = 0; b < 256; b++) {
		char c = (char)b;

		v->byte[b] = tok_vocab_find(v, &c, 1);
	}
	return 0;
}

int tok_vocab_merges(struct tok_vocab *v, uint64_t n_rank, uint64_t n_pair, struct err *e)
{
	uint64_t size = table_size(n_pair);

	if (n_rank > TOK_MAX_MERGE || n_pair > UINT32_MAX)
		return err_set(e, ERR_MODEL, "%llu merges: at most %u are supported",
			       (unsigned long long)n_rank, TOK_MAX_MERGE);
	v->n_merge = (uint32_t)n_rank;
	v->pair_mask = size - 1;
	v->pair_shift = 64 - (unsigned)__builtin_ctzll(size);
	v->pair = malloc(size * sizeof *v->pair);
	v->merged = malloc((n_rank + 1) * sizeof *v->merged);
	v->may = calloc((1u << TOK_MAY_BITS) / 64, sizeof *v->may);
	if (!v->pair || !v->merged || !v->may)
		return err_nomem(e);
	memset(v->pair, 0xff, size * sizeof *v->pair);
	return 0;
}

void tok_vocab_merge(struct tok_vocab *v, uint32_t rank, uint32_t left, uint32_t right,
		     uint32_t result)
{
	uint64_t key = (uint64_t)left << 20 | right;
	uint64_t h = key * v->salt[0];
	size_t i = h >> v->pair_shift;

	v->merged[rank] = result;
	while (v->pair[i] != UINT64_MAX) {
		if (v->pair[i] >> 24 == key)
			return;
		i = (i + 1) & v->pair_mask;
	}
	v->pair[i] = key << 24 | rank;
	h >>= 64 - TOK_MAY_BITS;
	v->may[h >> 6] |= 1ull << (h & 63);
}

int tok_vocab_ready(struct tok_vocab *v, struct err *e)
{
	v->byte_rank = malloc(65536 * sizeof *v->byte_rank);
	if (!v->byte_rank)
		return err_nomem(e);
	for (int i = 0; i < 65536; i++)
		v->byte_rank[i] = tok_vocab_rank(v, v->byte[i >> 8], v->byte[i & 255]);
	return 0;
}

/* Narrow the sorted list byte by byte; [lo, hi) are those that agree with s so far, and the shortest
 * of them comes first.  A step is a binary search, so thousands of tokens that all begin with "<|"
 * cost no more than a few. */
static uint32_t match(const struct tok_vocab *v, const uint32_t *id, size_t n_id, const char *s,
		      size_t n, bool whole)
{
	size_t lo = 0, hi = n_id;
	uint32_t best = TOK_NONE;

	for (size_t depth = 0; depth < n; depth++) {
		uint8_t c = (uint8_t)s[depth];
		size_t a = lo, b = hi;

		while (a < b) {		/* the first whose byte at depth is >= c */
			size_t mid = a + (b - a) / 2;

			if ((uint8_t)v->text[v->off[id[mid]] + depth] < c)
				a = mid + 1;
			else
				b = mid;
		}
		lo = a;
		b = hi;
		while (a < b) {		/* the first whose byte is > c */
			size_t mid = a + (b - a) / 2;

			if ((uint8_t)v->text[v->off[id[mid]] + depth] <= c)
				a = mid + 1;
			else
				b = mid;
		}
		hi = a;
		if (lo == hi)
			break;
		if (tok_vocab_len(v, id[lo]) == depth + 1) {
			if (!whole || depth + 1 == n)
				best = id[lo];
			/* Twins of it have ended too; what is left is longer. */
			while (lo < hi && tok_vocab_len(v, id[lo]) == depth + 1)
				lo++;
			if (lo == hi)
				break;
		}
	}
	return best;
}

uint32_t tok_vocab_special(const struct tok_vocab *v, const char *s, size_t n, bool specials)
{
	return specials ? match(v, v->special, v->n_special, s, n, false)
			: match(v, v->user, v->n_user, s, n, false);
}

uint32_t tok_vocab_named(const struct tok_vocab *v, const char *s, size_t n)
{
	return match(v, v->special, v->n_special, s, n, true);
}
