/* Tokenizers: ids against other implementations, and every promise of engine/tok.h. */
#include "config.h"

#include "engine/tok.h"
#include "engine/tok_bpe.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tests/check.h"
#include "tests/tok_make.h"
#include "tests/tok_text.h"

#include <pthread.h>
#include <string.h>

static struct buf merges;
static uint64_t seed = 99;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static int make(struct tok **t, const struct tok_make *m, struct err *e)
{
	struct buf b = { 0 };
	struct gguf *g;
	uint8_t *copy;
	int rc;

	tok_make(&b, m, merges.data, merges.len);
	copy = malloc(b.len);
	if (!copy || b.failed)
		exit(99);
	memcpy(copy, b.data, b.len);
	rc = gguf_open_mem(&g, "mem.gguf", copy, b.len, e);
	if (rc) {
		printf("Bail out! %s\n", e->msg);
		exit(99);
	}
	rc = tok_open(t, g, e);
	gguf_close(g);
	/* Nothing may point into the file any more. */
	memset(copy, 0xee, b.len);
	free(copy);
	buf_release(&b);
	return rc;
}

static struct tok *must(const struct tok_make *m)
{
	struct tok *t;
	struct err e;

	if (make(&t, m, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(99);
	}
	return t;
}

static struct tok *must_pre(const char *pre)
{
	return must(&(struct tok_make){ .pre = pre });
}

static struct tok_ids encode(const struct tok *t, const void *s, size_t n, unsigned flags)
{
	struct tok_ids ids = { 0 };
	struct err e;
	char *copy = malloc(n ? n : 1);		/* of its exact size, for ASan */

	memcpy(copy, s, n);
	if (tok_encode(t, copy, n, flags, &ids, NULL, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(99);
	}
	free(copy);
	return ids;
}

static struct tok_ids encode_s(const struct tok *t, const char *s, unsigned flags)
{
	return encode(t, s, strlen(s), flags);
}

static bool same(struct tok_ids a, struct tok_ids b)
{
	return a.n == b.n && (!a.n || !memcmp(a.id, b.id, a.n * sizeof *a.id));
}

/* The bytes of all ids together are s. */
static bool gives_back(const struct tok *t, struct tok_ids ids, const void *s, size_t n)
{
	struct buf b = { 0 };
	bool good;

	for (size_t i = 0; i < ids.n; i++)
		tok_piece(t, ids.id[i], true, &b);
	good = b.len == n && (!n || !memcmp(b.data, s, n));
	buf_release(&b);
	return good;
}

/* Ids are exactly these, the list ends with -2. */
static bool are(struct tok_ids ids, const int32_t *want)
{
	size_t n = 0;

	while (want[n] != -2)
		n++;
	if (ids.n != n || (n && memcmp(ids.id, want, n * sizeof *want))) {
		printf("#");
		for (size_t i = 0; i < ids.n; i++)
			printf(" %d", ids.id[i]);
		printf("\n");
		return false;
	}
	return true;
}

#define ARE(t, text, flags, ...) ({ \
	struct tok_ids got_ = encode_s(t, text, flags); \
	bool good_ = are(got_, (const int32_t[]){ __VA_ARGS__, -2 }); \
	free(got_.id); good_; })

/* tok_small.ids: what the `tokenizers` package says of the mixed text, family by family. */
static void test_vectors(void)
{
	static const char *const pre[] = { "llama4", "llama-bpe", "qwen2", "gpt-2", "smollm" };
	const char *src = getenv("srcdir");
	struct buf text = { 0 }, want = { 0 };
	char path[4096];
	size_t at = 0;

	snprintf(path, sizeof path, "%s/tests/vectors/tok_small.ids", src ? src : ".");
	if (file_read(&want, path, 1u << 20, NULL)) {
		ok(0, "the vectors can be read");
		return;
	}
	tok_text(&text, 5000, 7);
	for (size_t f = 0; f < ARRAY_LEN(pre); f++) {
		struct tok *t = must_pre(pre[f]);
		struct tok_ids ids = encode(t, text.data, text.len, 0);
		uint32_t n;
		size_t first = 0;

		memcpy(&n, want.data + at, 4);
		at += 4;
		for (first = 0; first < n && first < ids.n; first++) {
			uint16_t x;

			memcpy(&x, want.data + at + 2 * first, 2);
			if (ids.id[first] != x)
				break;
		}
		ok(n > 2000 && ids.n == n && first == n, "%s: %u ids are those of the reference", pre[f], n);
		ok(!strcmp(tok_pre(t), pre[f]) && gives_back(t, ids, text.data, text.len),
		   "%s: they give the text back", pre[f]);
		at += 2 * n;
		free(ids.id);
		tok_close(t);
	}
	buf_release(&text);
	buf_release(&want);
}

/* The definition, as slowly as can be: merge the pair of lowest rank, leftmost first. */
static size_t merge_slowly(const struct tok_vocab *v, const uint8_t *s, size_t n, uint32_t *sym)
{
	for (size_t i = 0; i < n; i++)
		sym[i] = v->byte[s[i]];
	for (;;) {
		uint32_t best = TOK_NONE;
		size_t at = 0;

		for (size_t i = 0; i + 1 < n; i++) {
			uint32_t r = tok_vocab_rank(v, sym[i], sym[i + 1]);

			if (r < best) {
				best = r;
				at = i;
			}
		}
		if (best == TOK_NONE)
			return n;
		sym[at] = v->merged[best];
		memmove(sym + at + 1, sym + at + 2, (n - at - 2) * sizeof *sym);
		n--;
	}
}

/* Words over three letters, with merges at random, ranks shared by several pairs included: the
 * densest mesh of merges there is. */
static void test_merging(void)
{
	struct tok_vocab v;
	struct tok_work *w = tok_work_new();
	size_t bad = 0, n_long = 0, window = w->window;
	struct err e;

	for (int round = 0; round < 90; round++) {
		uint32_t n_rank = 40 + rnd(60), n_letter = 2 + rnd(2);
		int n_pair = 2000;

		if (tok_vocab_init(&v, 200, 100000, &e))
			exit(99);
		for (uint32_t i = 0; i < n_letter; i++)
			tok_vocab_add(&v, &"abc"[i], 1, TOK_NORMAL);
		if (tok_vocab_merges(&v, n_rank, n_rank + 2000, &e))
			exit(99);
		for (uint32_t r = 0; r < n_rank; r++) {
			char both[512];
			uint32_t a = rnd(v.n), b = rnd(v.n);
			size_t na = tok_vocab_len(&v, a), nb = tok_vocab_len(&v, b);

			v.merged[r] = TOK_NONE;
			if (na + nb > 200)
				continue;
			memcpy(both, v.text + v.off[a], na);
			memcpy(both + na, v.text + v.off[b], nb);
			tok_vocab_add(&v, both, na + nb, TOK_NORMAL);
			tok_vocab_merge(&v, r, a, b, v.n - 1);
		}
		if (tok_vocab_index(&v, &e))
			exit(99);
		/* In some rounds every other way to make a token has its rank too. */
		for (uint32_t r = 0; round % 3 == 0 && r < n_rank; r++) {
			uint32_t id = v.merged[r];
			size_t len = id == TOK_NONE ? 0 : tok_vocab_len(&v, id);

			for (size_t cut = 1; cut < len; cut++) {
				const char *p = v.text + v.off[id];
				uint32_t a = tok_vocab_find(&v, p, cut);
				uint32_t b = tok_vocab_find(&v, p + cut, len - cut);

				if (a != TOK_NONE && b != TOK_NONE && n_pair-- > 0)
					tok_vocab_merge(&v, r, a, b, id);
			}
		}
		if (tok_vocab_ready(&v, &e))
			exit(99);
		for (int i = 0; i < 60; i++) {
			uint8_t s[400];
			uint32_t want[400];
			const uint32_t *got;
			size_t n = 1 + rnd(i % 2 ? 400 : 120), n_want, n_got;

			/* Windows so small that they often fail to agree. */
			w->window = rnd(2) ? window : 1 + rnd(40);
			/* 'd' has no token. */
			for (size_t k = 0; k < n; k++)
				s[k] = (uint8_t)(rnd(50) ? 'a' + rnd(n_letter) : 'd');
			n_want = merge_slowly(&v, s, n, want);
			if (tok_bpe_merge(&v, w, s, n, &got, &n_got, &e))
				exit(99);
			n_long += n > 96;
			bad += n_got != n_want || memcmp(got, want, n_got * sizeof *want);
		}
		tok_vocab_release(&v);
	}
	w->window = window;
	ok(!bad && n_long > 1000, "all ways of merging equal the definition (%zu long words)", n_long);
	tok_work_free(w);
}

static void test_offsets(void)
{
	struct tok *t = must_pre("llama4");
	struct buf s = { 0 };
	struct tok_ids ids = { 0 };
	struct tok_offs off = { 0 };
	struct err e;
	uint64_t count = 0;
	bool good = true;

	tok_text(&s, 3000, 5);
	buf_adds(&s, "<|eot|>\xff\xfe<think>\xe6\x97");
	buf_addc(&s, '\xa5');
	if (tok_encode(t, s.data, s.len, TOK_SPECIAL, &ids, &off, &e))
		exit(99);
	for (size_t i = 0; i < ids.n; i++) {
		struct buf b = { 0 };

		tok_piece(t, ids.id[i], true, &b);
		good &= off.at[i] + b.len == (i + 1 < ids.n ? off.at[i + 1] : s.len);
		good &= !memcmp(s.data + off.at[i], b.data, b.len);
		buf_release(&b);
	}
	ok(good && off.n == ids.n && off.at[0] == 0, "an offset is where the bytes of its id start");
	if (tok_encode(t, s.data, s.len, TOK_SPECIAL, &ids, &off, &e))
		exit(99);
	ok(off.n == ids.n && off.at[ids.n / 2] == 0 &&
	   !memcmp(ids.id, ids.id + ids.n / 2, ids.n / 2 * sizeof *ids.id),
	   "lists are appended to, and what the cache gives is the same");
	ids.n = 0;
	if (tok_encode(t, s.data, s.len, 0, &ids, NULL, &e) ||
	    tok_count(t, s.data, s.len, &count, &e))
		exit(99);
	ok(count == ids.n && count > 1000, "tok_count says how many ids tok_encode would give");
	free(ids.id);
	free(off.at);
	buf_release(&s);
	tok_close(t);
}

static void test_invalid(void)
{
	struct tok *t = must_pre("llama-bpe");
	struct tok_ids a, b, c;
	uint8_t s[300];
	bool back = true, bytes = true;

	for (int i = 0; i < 2000; i++) {
		size_t n = rnd(sizeof s);

		for (size_t k = 0; k < n; k++)
			s[k] = (uint8_t)(rnd(3) ? rnd(256) : (uint8_t)"the \n"[rnd(5)]);
		a = encode(t, s, n, 0);
		back &= gives_back(t, a, s, n);
		free(a.id);
	}
	ok(back, "bytes that are no UTF-8 come back unchanged");
	for (int i = 0x80; i < 0x100; i++) {
		char one[8] = { 'o', 'n', 'e', (char)i, (char)i, ' ', 'o', 'n' };

		a = encode(t, one, 8, 0);
		b = encode(t, one, 3, 0);
		c = encode(t, one + 5, 3, 0);
		bytes &= a.n == b.n + 2 + c.n && a.id[b.n] == i && a.id[b.n + 1] == i &&
			 !memcmp(a.id, b.id, b.n * sizeof *a.id) &&
			 !memcmp(a.id + b.n + 2, c.id, c.n * sizeof *a.id);
		free(a.id);
		free(b.id);
		free(c.id);
	}
	ok(bytes, "each is one id, and cuts the text like an end");
	a = encode(t, "", 0, 0);
	ok(a.n == 0, "no text, no ids");
	free(a.id);
	tok_close(t);
}

static void test_specials(void)
{
	struct tok *t = must_pre("qwen2");
	int32_t eot = tok_find(t, "<|eot|>"), eotx = tok_find(t, "<|eot|>x");
	int32_t think = tok_find(t, "<think>"), end = tok_find(t, "<|im_end|>");
	int32_t unk = tok_find(t, "<unk>");
	struct tok_ids a, b;
	struct buf out = { 0 };

	ok(eot > 0 && eotx > 0 && think > 0 && end > 0 && unk > 0 && tok_find(t, "<|eo") == -1 &&
	   tok_find(t, "the") == -1 && tok_find(t, "") == -1, "specials are found by their text");
	ok(ARE(t, "<|eot|><|im_end|>", TOK_SPECIAL, eot, end), "with TOK_SPECIAL they are ids");
	ok(ARE(t, "<|eot|>x<unk>", TOK_SPECIAL, eotx, unk), "the longest one counts");
	a = encode_s(t, "<|eo", TOK_SPECIAL);
	b = encode_s(t, "<|eo", 0);
	ok(ARE(t, "<<|eot|>", TOK_SPECIAL, '<', eot) && same(a, b), "what only begins like one is text");
	free(a.id);
	free(b.id);
	a = encode_s(t, "<|eot|><unk>[PAD0]", 0);
	ok(a.n > 10 && gives_back(t, a, "<|eot|><unk>[PAD0]", 18), "without it they are text");
	for (size_t i = 0; i < a.n; i++)
		if (tok_is_special(t, a.id[i]))
			a.n = 0;
	ok(a.n > 0, "and none of the ids is special");
	b = encode_s(t, "<|eot|><unk>[PAD0]", TOK_SPECIAL);
	ok(b.n > 2 && !tok_is_special(t, b.id[b.n - 1]), "an unused token is never matched");
	free(a.id);
	free(b.id);
	ok(ARE(t, "<think><think>", 0, think, think) && !tok_is_special(t, think),
	   "user-defined tokens are matched in any text, and are text");
	tok_piece(t, eot, false, &out);
	tok_piece(t, -1, true, &out);
	tok_piece(t, tok_n_vocab(t), true, &out);
	ok(out.len == 0, "a special gives nothing unless asked to, an id out of range never");
	tok_piece(t, eot, true, &out);
	tok_piece(t, think, false, &out);
	ok(!strcmp(out.data, "<|eot|><think>"), "asked to, it gives its text");
	ok(tok_is_stop(t, eot) && tok_is_stop(t, end) && tok_is_stop(t, tok_find(t, "<|eom|>")) &&
	   tok_is_stop(t, tok_find(t, "<|end_of_text|>")) && tok_is_stop(t, tok_find(t, "<|eot_id|>")) &&
	   tok_is_stop(t, tok_find(t, "<|endoftext|>")) && !tok_is_stop(t, tok_find(t, "<|im_start|>")) &&
	   !tok_is_stop(t, think) && !tok_is_stop(t, 'a') && !tok_is_stop(t, -1) &&
	   !tok_is_stop(t, tok_n_vocab(t)), "stop tokens are known by name");
	ok(tok_eos(t) == eot && tok_bos(t) == tok_find(t, "<|begin_of_text|>"), "eos and bos are the file's");
	buf_release(&out);
	tok_close(t);
	t = must(&(struct tok_make){ .pre = "qwen2", .eos = 'z' });
	ok(tok_is_stop(t, 'z') && tok_eos(t) == 'z', "the file's eos stops, whatever it is");
	tok_close(t);
}

static void test_bos(void)
{
	static const struct {
		struct tok_make m;
		bool want;
		const char *what;
	} c[] = {
		{ { .pre = "qwen2" }, false, "qwen2 has no BOS where the file does not say" },
		{ { .pre = "qwen2", .bos = true }, true, "add_bos_token puts BOS first" },
		{ { .pre = "llama-bpe" }, true, "llama-bpe has BOS where the file does not say" },
		{ { .pre = "llama3", .bos_off = true }, false, "add_bos_token false is obeyed" },
	};

	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		struct tok *t = must(&c[i].m);
		struct tok_ids a = encode_s(t, "x", TOK_BOS), b = encode_s(t, "x", 0);

		ok(a.n == 1u + c[i].want && b.n == 1 && (!c[i].want || a.id[0] == tok_bos(t)), "%s",
		   c[i].what);
		free(a.id);
		free(b.id);
		tok_close(t);
	}
}

/* A token that no merge leads to. */
static void test_whole_first(void)
{
	struct tok *a = must(&(struct tok_make){ .pre = "llama-bpe", .more = "qqqqzzzz" });
	struct tok *b = must(&(struct tok_make){ .pre = "qwen2", .more = "qqqqzzzz" });
	struct tok_ids x = encode_s(a, "qqqqzzzz", 0), y = encode_s(b, "qqqqzzzz", 0);
	struct tok_ids z = encode_s(a, "qqqqzzzzq", 0);

	ok(x.n == 1 && y.n > 1 && z.n > 1, "only llama-bpe takes a piece that is a token whole");
	free(x.id);
	free(y.id);
	free(z.id);
	tok_close(a);
	tok_close(b);
}

/* SmolLM2 has no token for 21 of the 256 bytes. */
static void test_lacking(void)
{
	struct tok *t = must(&(struct tok_make){ .pre = "gpt-2", .lack = 'Q' });
	struct tok_ids ids = { 0 };
	struct tok_offs off = { 0 };
	struct err e;

	for (int i = 0; i < 2; i++) {
		ids.n = off.n = 0;
		if (tok_encode(t, "9Q7 Q", 5, 0, &ids, &off, &e))
			exit(99);
		ok(are(ids, (const int32_t[]){ '9', '7', ' ', -2 }) && off.at[0] == 0 && off.at[1] == 2 &&
		   off.at[2] == 3, "a byte without a token gives no id, and offsets know it");
	}
	free(ids.id);
	free(off.at);
	tok_close(t);
}

static void test_stream(void)
{
	struct tok *t = must_pre("llama4");
	struct buf s = { 0 }, out = { 0 }, all = { 0 };
	struct tok_stream st = { .n = 0 };
	struct tok_ids ids;
	bool whole = true;

	tok_text(&s, 4000, 21);
	ids = encode(t, s.data, s.len, 0);
	for (size_t i = 0; i < ids.n; i++) {
		buf_clear(&out);
		tok_stream_push(t, &st, ids.id[i], &out);
		whole &= utf8_check(out.data, out.len) == out.len;
		buf_add(&all, out.data, out.len);
	}
	ok(whole && st.n == 0 && all.len == s.len && !memcmp(all.data, s.data, s.len),
	   "a stream gives whole characters, and all of them");
	free(ids.id);
	buf_clear(&all);
	buf_clear(&s);
	whole = true;
	for (int i = 0; i < 5000; i++) {
		int32_t id = (int32_t)rnd(256);

		tok_piece(t, id, false, &s);
		tok_stream_push(t, &st, id, &all);
		whole &= st.n <= 3 && all.len + st.n == s.len;
	}
	tok_stream_push(t, &st, 0xf0, &all);
	tok_stream_push(t, &st, 0x9f, &all);
	tok_piece(t, 0xf0, false, &s);
	tok_piece(t, 0x9f, false, &s);
	ok(whole && st.n == 2, "it holds three bytes at most");
	tok_stream_flush(&st, &all);
	ok(st.n == 0 && all.len == s.len && !memcmp(all.data, s.data, s.len),
	   "bytes that become no character are given as they are");
	buf_release(&s);
	buf_release(&out);
	buf_release(&all);
	tok_close(t);
}

static void refused(const struct tok_make *m, const char *say)
{
	struct tok *t;
	struct err e = { 0 };
	int rc = make(&t, m, &e);

	ok(rc == ERR_MODEL && !t && strstr(e.msg, say) && strstr(e.msg, "'mem.gguf'"), "refused: %s",
	   e.msg);
}

static void test_refusals(void)
{
	refused(&(struct tok_make){ .pre = NULL }, "tokenizer.ggml.pre");
	refused(&(struct tok_make){ .pre = "deepseek-llm" }, "'deepseek-llm'");
	refused(&(struct tok_make){ .pre = "gpt-2", .model = "llama" }, "'llama'");
	refused(&(struct tok_make){ .pre = "gpt-2", .n_type_less = 3 }, "token types for");
	refused(&(struct tok_make){ .pre = "gpt-2", .bad_type = 9 }, "token 300 has the type 9");
	refused(&(struct tok_make){ .pre = "gpt-2", .bad_type = -1 }, "token 300 has the type -1");
	refused(&(struct tok_make){ .pre = "gpt-2", .eos = 100000 }, "eos_token_id is 100000");
	refused(&(struct tok_make){ .pre = "gpt-2", .bos = true, .no_bos_id = true }, "bos_token_id");
	refused(&(struct tok_make){ .pre = "gpt-2", .odd_merge = "abc" }, "not two tokens");
	refused(&(struct tok_make){ .pre = "gpt-2", .odd_merge = "" }, "not two tokens");
	tok_close(must(&(struct tok_make){ .pre = "gpt-2", .odd_merge = "qqqq zzzz" }));
	ok(1, "a merge of what is no token is passed over");
}

static void test_identity(void)
{
	struct tok *t[5] = {
		must_pre("gpt-2"), must_pre("gpt-2"), must_pre("smollm"),
		must(&(struct tok_make){ .pre = "gpt-2", .more = "zq" }),
		must(&(struct tok_make){ .pre = "gpt-2", .odd_merge = "q z" }),
	};
	struct id id[5];

	for (int i = 0; i < 5; i++)
		tok_id(t[i], &id[i]);
	ok(id_eq(&id[0], &id[1]), "the same file has the same identity");
	ok(!id_eq(&id[0], &id[2]) && !id_eq(&id[0], &id[3]),
	   "another pre-tokenizer or token has another");
	ok(!id_eq(&id[0], &id[4]), "so have other merges");
	for (int i = 0; i < 5; i++)
		tok_close(t[i]);
}

struct shared {
	const struct tok *t;
	struct buf text;
	struct tok_ids want;
	bool good;
};

static void *in_thread(void *arg)
{
	struct shared *s = arg;
	bool good = true;

	for (int i = 0; i < 20; i++) {
		struct tok_ids ids = encode(s->t, s->text.data, s->text.len, 0);

		good &= same(ids, s->want);
		free(ids.id);
	}
	if (!good)
		__atomic_store_n(&s->good, false, __ATOMIC_RELAXED);
	return NULL;
}

static void test_threads(void)
{
	struct tok *t = must_pre("llama4");
	struct shared s = { .t = t, .good = true };
	pthread_t th[4];

	tok_text(&s.text, 20000, 31);
	s.want = encode(t, s.text.data, s.text.len, 0);
	for (int i = 0; i < 4; i++)
		if (pthread_create(&th[i], NULL, in_thread, &s))
			exit(99);
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	ok(s.good, "four threads get the same ids at the same time");
	free(s.want.id);
	buf_release(&s.text);
	tok_close(t);
}

/* A megabyte in one piece: twice the text must not take four times the time. */
static void test_long_words(void)
{
	static const char *const unit[] = { "a", " ", "the", "\xe6\x97\xa5\xe6\x9c\xac", "\n", "9", "\xff" };
	struct tok *t = must_pre("llama4");
	double slowest = 0;
	bool back = true;

	for (size_t u = 0; u < ARRAY_LEN(unit); u++) {
		struct buf s = { 0 };
		struct tok_ids ids;
		double t0;

		while (s.len < 1u << 20)
			buf_adds(&s, unit[u]);
		t0 = clock_now();
		ids = encode(t, s.data, s.len, 0);
		slowest = MAX(slowest, clock_now() - t0);
		back &= gives_back(t, ids, s.data, s.len);
		free(ids.id);
		buf_release(&s);
	}
	ok(back && slowest < 20, "a word of a megabyte is no trap (slowest: %.2f s)", slowest);
	tok_close(t);
}

/* Real models, where FOLIO_TEST_MODELS says that they are: the ids of 1.2 MB of mixed text have the
 * hash that llama.cpp's have (tests/vectors/tok_models.txt). */
static void test_real(void)
{
	const char *src = getenv("srcdir"), *dir = getenv("FOLIO_TEST_MODELS");
	char path[4096], name[256], sha[65], hash[65];
	unsigned long n;
	FILE *f;

	snprintf(path, sizeof path, "%s/tests/vectors/tok_models.txt", src ? src : ".");
	f = fopen(path, "r");
	while (f && fscanf(f, "%255s %64s %lu %64s", name, sha, &n, hash) == 4) {
		uint8_t digest[32];
		struct sha256 s;
		struct file_map m;
		struct gguf *g;
		struct tok *t;
		struct tok_ids ids;
		struct buf text = { 0 };
		struct id id;
		struct err e;
		char hex[65];

		snprintf(path, sizeof path, "%s/%s", dir ? dir : "", name);
		if (!dir || file_map_open(&m, path, &e)) {
			ok(1, "%s # SKIP not in FOLIO_TEST_MODELS", name);
			continue;
		}
		sha256_init(&s);
		sha256_add(&s, m.data, m.size);
		sha256_done(&s, digest);
		file_map_close(&m);
		for (int i = 0; i < 32; i++)
			snprintf(hex + 2 * i, 3, "%02x", digest[i]);
		if (strcmp(hex, sha)) {
			ok(1, "%s # SKIP another file of that name", name);
			continue;
		}
		if (gguf_open(&g, path, &e) || tok_open(&t, g, &e)) {
			ok(0, "%s opens: %s", name, e.msg);
			continue;
		}
		tok_text(&text, 1200000, 11);
		ids = encode(t, text.data, text.len, 0);
		id = id_of(ids.id, ids.n * sizeof *ids.id);
		id_hex(&id, hex);
		ok(ids.n == n && !strcmp(hex, hash), "%s: %lu ids as llama.cpp's", name, n);
		free(ids.id);
		buf_release(&text);
		tok_close(t);
		gguf_close(g);
	}
	if (f)
		fclose(f);
}

int main(void)
{
	tok_make_merges(&merges);
	test_vectors();
	test_merging();
	test_offsets();
	test_invalid();
	test_specials();
	test_bos();
	test_whole_first();
	test_lacking();
	test_stream();
	test_refusals();
	test_identity();
	test_threads();
	test_long_words();
	test_real();
	buf_release(&merges);
	return done();
}
