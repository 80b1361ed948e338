/* Covers engine/forward.h against other programs and against itself.
 *
 *   oracle    tiny models of every architecture: logits of HF transformers (tests/vectors/README.md)
 *   property  any cut into batches, any number of threads, resumed or fresh, with or without a prefix
 *   fast sets greedy agreement with the reference on the same models is no measure (they are random);
 *             what is held here is that they stay near: int8 activations, f16 keys and values
 */
#include "config.h"

#include "base/file.h"
#include "base/size.h"
#include "engine/engine.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

#define N_TOKEN 128

static const char *const MODELS[] = {
	"llama4-moe", "llama4-interleave", "llama4-128e", "llama4-gqa1-rope", "llama4-top2", "llama-tied",
	"llama-rope-q8", "qwen2-tied", "qwen2-untied", "qwen3", "smollm3",
};

static char *vector(const char *name, const char *suffix)
{
	const char *src = getenv("srcdir");
	struct buf b = { 0 };

	buf_addf(&b, "%s/tests/vectors/model/%s.%s", src ? src : ".", name, suffix);
	return buf_take(&b);
}

static void *load(const char *name, const char *suffix, size_t bytes)
{
	char *path = vector(name, suffix);
	struct buf b = { 0 };
	struct err e;

	if (file_read(&b, path, 1 << 26, &e) || b.len != bytes) {
		printf("Bail out! %s: not %zu bytes\n", path, bytes);
		exit(99);
	}
	free(path);
	return buf_take(&b);
}

static struct engine *open_model(const char *name, const char *kernels, int threads, size_t batch)
{
	struct engine_opts o = { .kernels = kernels, .n_thread = threads, .n_batch = batch };
	char *path = vector(name, "gguf");
	struct engine *en;
	struct err e;

	if (engine_open(&en, path, &o, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(99);
	}
	free(path);
	return en;
}

/* Logits of all tokens, fed in pieces of `piece`. */
static float *run(struct engine *en, const int32_t *token, size_t n, size_t piece)
{
	size_t n_vocab = engine_plan(en)->n_vocab;
	float *out = malloc(n * n_vocab * sizeof(float));
	struct kv *kv;
	struct err e;

	if (!out || engine_seq(en, NULL, &kv, &e))
		exit(99);
	for (size_t i = 0; i < n; i += piece)
		if (engine_feed(en, kv, token + i, MIN(piece, n - i), out + i * n_vocab, true, NULL, &e)) {
			printf("Bail out! %s\n", e.msg);
			exit(99);
		}
	kv_free(kv);
	return out;
}

static double max_diff(const float *a, const float *b, size_t n, size_t *at)
{
	double worst = 0;

	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)a[i] - (double)b[i]) <= worst)) {
			worst = fabs((double)a[i] - (double)b[i]);
			*at = i;
		}
	return worst;
}

static void test_oracle(const char *name)
{
	struct engine *en = open_model(name, "ref", 1, 0);
	size_t n_vocab = engine_plan(en)->n_vocab, at = 0;
	int32_t *token = load(name, "tokens", N_TOKEN * 4);
	float *want = load(name, "logits", N_TOKEN * n_vocab * 4);
	float *got = run(en, token, N_TOKEN, N_TOKEN);
	double d = max_diff(got, want, N_TOKEN * n_vocab, &at);

	ok(d <= 1e-3, "%s equals transformers: worst %.1e at position %zu", name, d, at / n_vocab);
	engine_close(en);
	free(token), free(want), free(got);
}

static void test_batches(const char *name)
{
	static const size_t PIECES[] = { 1, 7, 15, 16, 17, 64, 65 };
	struct engine *en = open_model(name, "ref", 1, 64);
	size_t n_vocab = engine_plan(en)->n_vocab, at = 0;
	int32_t *token = load(name, "tokens", N_TOKEN * 4);
	float *whole = run(en, token, N_TOKEN, N_TOKEN);
	double worst = 0;

	for (size_t i = 0; i < ARRAY_LEN(PIECES); i++) {
		float *cut = run(en, token, N_TOKEN, PIECES[i]);

		worst = fmax(worst, max_diff(cut, whole, N_TOKEN * n_vocab, &at));
		free(cut);
	}
	ok(worst <= 1e-4, "%s: pieces of 1 to 65 tokens agree: worst %.1e", name, worst);
	engine_close(en);
	free(token), free(whole);
}

static void test_threads(const char *name, const char *kernels)
{
	int32_t *token = load(name, "tokens", N_TOKEN * 4);
	float *one = NULL;
	bool same = true;
	size_t n_vocab = 0;

	for (int n = 1; n <= 5; n += 2) {
		struct engine *en = open_model(name, kernels, n, 0);
		float *out = run(en, token, N_TOKEN, n == 1 ? N_TOKEN : 50);
		float *again = run(en, token, N_TOKEN, N_TOKEN);

		n_vocab = engine_plan(en)->n_vocab;
		same &= !one || !memcmp(one, again, N_TOKEN * n_vocab * 4);
		if (!one)
			one = again, again = NULL;
		engine_close(en);
		free(out), free(again);
	}
	ok(same, "%s, %s kernels: 1, 3 and 5 threads agree bit for bit", name, kernels);
	free(token), free(one);
}

/* A sequence on a prefix computes what one sequence would. */
static void test_prefix(const char *name)
{
	static const size_t LENGTHS[] = { 5, 16, 30, 64, 70 };
	struct engine *en = open_model(name, "ref", 1, 0);
	size_t n_vocab = engine_plan(en)->n_vocab, at = 0;
	int32_t *token = load(name, "tokens", N_TOKEN * 4);
	float *whole = run(en, token, N_TOKEN, N_TOKEN), *out = malloc(N_TOKEN * n_vocab * 4);
	double worst = 0;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(LENGTHS); i++) {
		size_t n = LENGTHS[i];
		struct kv *prefix, *kv;

		if (engine_seq(en, NULL, &prefix, &e) ||
		    engine_feed(en, prefix, token, n, out, true, NULL, &e) ||
		    engine_seq(en, prefix, &kv, &e) ||
		    engine_feed(en, kv, token + n, N_TOKEN - n, out + n * n_vocab, true, NULL, &e))
			exit(99);
		worst = fmax(worst, max_diff(out, whole, N_TOKEN * n_vocab, &at));
		kv_free(kv);
		kv_free(prefix);
	}
	ok(worst <= 1e-4, "%s: on a prefix of 5 to 70 tokens: worst %.1e", name, worst);
	engine_close(en);
	free(token), free(whole), free(out);
}

/* Several sequences in one pass, and forgetting the last tokens. */
static void test_items(const char *name)
{
	struct engine *en = open_model(name, "ref", 2, 0);
	size_t n_vocab = engine_plan(en)->n_vocab, at = 0;
	int32_t *token = load(name, "tokens", N_TOKEN * 4);
	float *whole = run(en, token, N_TOKEN, N_TOKEN), *a = malloc(N_TOKEN * n_vocab * 4);
	float *b = malloc(N_TOKEN * n_vocab * 4);
	struct fwd_item item[2] = { { .token = token, .n = 100, .logits = a, .all_logits = true },
				    { .token = token, .n = 37, .logits = b, .all_logits = true } };
	struct err e;
	double d;

	if (engine_seq(en, NULL, &item[0].kv, &e) || engine_seq(en, NULL, &item[1].kv, &e) ||
	    forward_run(engine_forward(en), item, 2, &e))
		exit(99);
	d = fmax(max_diff(a, whole, 100 * n_vocab, &at), max_diff(b, whole, 37 * n_vocab, &at));
	ok(d <= 1e-4, "%s: two sequences in one pass: worst %.1e", name, d);
	ok(!kv_truncate(item[1].kv, 34, &e) &&
	   !engine_feed(en, item[1].kv, token + 34, 20, b, true, NULL, &e) &&
	   max_diff(b, whole + 34 * n_vocab, 20 * n_vocab, &at) <= 1e-4,
	   "%s: tokens taken back and fed again", name);
	if (engine_plan(en)->attn_chunk)
		ok(kv_truncate(item[0].kv, 1, &e) == ERR_INVALID, "%s: a closed chunk cannot be reopened", name);
	item[0].n = 2000;
	ok(forward_run(engine_forward(en), item, 1, &e) == ERR_INVALID, "%s: more than a batch is refused", name);
	item[0].n = 1;
	item[0].token = &(int32_t){ 1 << 30 };
	ok(forward_run(engine_forward(en), item, 1, &e) == ERR_INVALID && kv_end(item[0].kv) == 100,
	   "%s: an id outside the vocabulary is refused, the sequence stays", name);
	kv_free(item[0].kv), kv_free(item[1].kv);
	engine_close(en);
	free(token), free(whole), free(a), free(b);
}

static double std_of(const float *x, size_t n)
{
	double s = 0, q = 0;

	for (size_t i = 0; i < n; i++)
		s += (double)x[i], q += (double)x[i] * (double)x[i];
	return sqrt(q / (double)n - s / (double)n * s / (double)n);
}

/* f16 K and V and int8 activations move these peaky random logits; a wrong kernel moves them by about
 * 1.4 (unrelated logits).  How well real models agree is measured by `folio model check`. */
static void test_fast(const char *name, const char *kernels)
{
	struct engine *en = open_model(name, kernels, 1, 0);
	size_t n_vocab = engine_plan(en)->n_vocab, n = N_TOKEN * n_vocab;
	int32_t *token = load(name, "tokens", N_TOKEN * 4);
	float *want = load(name, "logits", n * 4), *got = run(en, token, N_TOKEN, N_TOKEN);
	float *few = run(en, token, N_TOKEN, 3), *diff = malloc(2 * n * 4);
	double rel;

	for (size_t i = 0; i < n; i++)
		diff[i] = got[i] - want[i], diff[n + i] = few[i] - want[i];
	rel = std_of(diff, 2 * n) / std_of(want, n);
	ok(rel < 0.1, "%s, %s kernels, in one piece and by threes: relative error %.2e", name, kernels, rel);
	engine_close(en);
	free(token), free(want), free(got), free(few), free(diff);
}

int main(void)
{
	const struct kern *k;

	for (size_t i = 0; i < ARRAY_LEN(MODELS); i++)
		test_oracle(MODELS[i]);
	for (size_t i = 0; i < ARRAY_LEN(MODELS); i++)
		test_batches(MODELS[i]);
	test_prefix("llama4-moe");
	test_prefix("llama4-interleave");
	test_prefix("qwen3");
	test_items("llama4-moe");
	test_items("llama-tied");
	for (int i = 0; (k = kern_at(i)); i++) {
		test_threads("llama4-moe", k->name);
		test_threads("llama-rope-q8", k->name);
		for (size_t m = 0; i > 0 && m < ARRAY_LEN(MODELS); m++)
			test_fast(MODELS[m], k->name);
	}
	return done();
}
