/* Covers engine/far.h on tiny random Llama 4 models with the reference kernels:
 *
 *   oracle    exact == a plain softmax over all stored keys; mounted chunks == one pass over their
 *             concatenation where the only far layer is the last one
 *   property  bit-identical logits for every mounting order, order on disk, number of threads, way of
 *             reading and amount of memory; select with room for all == exact
 *   select    finds what exact finds; builds the sketches it lacks
 *   damage    is found, listed, and never used */
#include "config.h"

#include "base/buf.h"
#include "base/size.h"
#include "engine/far.h"
#include "engine/far_pick.h"
#include "tests/cache_make.h"
#include "tests/check.h"

#include <fcntl.h>
#include <math.h>

#define N_DOC 67
#define N_ASK 21

static char *vector(const char *name)
{
	const char *src = getenv("srcdir");
	struct buf b = { 0 };

	buf_addf(&b, "%s/tests/vectors/model/%s.gguf", src ? src : ".", name);
	return buf_take(&b);
}

static void must(int rc, const struct err *e, const char *what)
{
	if (!rc)
		return;
	printf("Bail out! %s: %s\n", what, e->msg);
	exit(1);
}

static struct engine *open_engine(const char *name, const char *kernels, int threads)
{
	struct engine_opts o = { .n_thread = threads, .kernels = kernels, .n_batch = 512 };
	char *path = vector(name);
	struct engine *en;
	struct err e;

	must(engine_open(&en, path, &o, &e), &e, path);
	free(path);
	return en;
}

/* ---- a library of random documents ---- */

struct lib {
	char *dir;
	struct kv_store *st;
	struct kv_geom geom;
	struct view_entry entry[N_DOC];
	size_t n;
};

static uint32_t last_number;

static int next_number(void *ctx, uint32_t *number, struct err *e)
{
	(void)ctx, (void)e;
	*number = ++last_number;
	return 0;
}

static int put_layer(void *ctx, uint32_t far, const float *k, const float *v, size_t n, struct err *e)
{
	(void)n;
	return extent_build_layer(ctx, far, k, v, e);
}

/* All that a sink is given, one after the other. */
struct heard {
	const struct plan *p;
	float x[1 << 16];
	size_t n;
};

static int hear(void *ctx, uint32_t far, const float *k, const float *v, size_t n, struct err *e)
{
	struct heard *h = ctx;
	size_t m = n * h->p->n_head_kv * h->p->head_dim;

	(void)far, (void)e;
	memcpy(h->x + h->n, k, m * sizeof(*k));
	memcpy(h->x + h->n + m, v, m * sizeof(*v));
	h->n += 2 * m;
	return 0;
}

static int32_t token_of(const struct plan *p, size_t doc, size_t i)
{
	make_seed = (doc * 4099 + i + 1) * 0x9e3779b97f4a7c15u | 1;
	for (int j = 0; j < 4; j++)
		make_rnd();
	return (int32_t)(make_rnd() % p->n_vocab);
}

static void *sketch_of(const struct kv_geom *g, const void *image, size_t n, size_t *n_out)
{
	struct sketch_plan sp;
	struct extent x;
	struct err e;
	void *out;

	must(extent_parse(&x, image, n, &e), &e, "extent");
	must(sketch_plan_init(&sp, g, x.plan.n_token, &e), &e, "sketch");
	out = aligned_alloc(64, sp.bytes);
	memset(out, 0, sp.bytes);
	must(sketch_from_extent(&sp, &x, out, &e), &e, "sketch");
	*n_out = sp.bytes;
	return out;
}

/* Documents 0 .. n-1 of len(i) tokens on `prefix` (may be NULL), written in the order given by step. */
static void fill(struct lib *lib, struct engine *en, const struct kv *prefix, enum kv_type type, size_t n,
		 size_t len, size_t step, bool sketches)
{
	const struct plan *p = engine_plan(en);
	struct kv_writer *w;
	struct err e = { 0 };

	*lib = (struct lib){ .dir = make_dir(), .n = n,
			     .geom = { p->n_far, p->n_head_kv, p->head_dim, KV_PAGE_TOKENS } };
	must(kv_store_open(&lib->st, lib->dir, &e), &e, "store");
	must(kv_writer_new(&w, lib->st, 1 << 20, next_number, NULL, &e), &e, "writer");
	for (size_t k = 0; k < n; k++) {
		size_t i = k * step % n, m = len ? len : 1 + i * 37 % 200, bytes, sketch_n = 0;
		int32_t token[512];
		struct extent_desc d = { .geom = lib->geom, .type = type, .mode = IDENT_ISOLATED,
					 .token = token, .n_token = (uint32_t)m };
		struct extent_build *b;
		struct far_sink sink = { .put = put_layer };
		struct fwd_item item = { .token = token, .n = m, .sink = &sink, .keys_only = true };
		const void *image;
		void *sketch = NULL;

		for (size_t t = 0; t < m; t++)
			token[t] = token_of(p, i, t);
		must(extent_build_new(&b, &d, &e), &e, "extent");
		sink.ctx = b;
		must(engine_seq(en, prefix, &item.kv, &e), &e, "sequence");
		must(forward_run(engine_forward(en), &item, 1, &e), &e, "forward");
		must(extent_build_seal(b, &e), &e, "seal");
		image = extent_build_image(b, &bytes);
		if (sketches)
			sketch = sketch_of(&lib->geom, image, bytes, &sketch_n);
		lib->entry[i] = (struct view_entry){ .span = extent_build_span(b), .n_token = (uint32_t)m,
						     .type = (uint8_t)type, .user = i };
		must(kv_writer_add(w, image, bytes, sketch, sketch_n, &lib->entry[i].kv, &e), &e, "add");
		free(sketch);
		kv_free(item.kv);
		extent_build_free(b);
	}
	must(kv_writer_sync(w, &e), &e, "sync");
	kv_writer_free(w);
}

static void drop(struct lib *lib)
{
	kv_store_close(lib->st);
	make_rmdir(lib->dir);
}

static struct view *mount(const struct lib *lib, const struct view_entry *entry, size_t n)
{
	struct view *v;
	struct err e;

	must(view_new(&v, lib->st, &lib->geom, entry ? entry : lib->entry, entry ? n : lib->n, &e), &e, "view");
	return v;
}

/* ---- asking ---- */

static int ask(struct engine *en, const struct kv *prefix, const struct far_source *src, float *logits,
	       struct err *e)
{
	const struct plan *p = engine_plan(en);
	int32_t token[N_ASK];
	struct kv *kv;
	int rc;

	for (size_t i = 0; i < N_ASK; i++)
		token[i] = token_of(p, 1000, i);
	must(engine_seq(en, prefix, &kv, e), e, "sequence");
	rc = engine_feed(en, kv, token, N_ASK, logits, true, src, e);
	kv_free(kv);
	return rc;
}

static size_t n_logit(const struct engine *en)
{
	return (size_t)N_ASK * engine_plan(en)->n_vocab;
}

static float *ask_far(struct engine *en, const struct kv *prefix, struct view *v, const struct far_opts *o,
		      struct far_stats *st)
{
	float *out = malloc(n_logit(en) * sizeof(*out));
	struct far *f;
	struct err e;

	must(far_new(&f, en, v, o, &e), &e, "far");
	must(ask(en, prefix, far_source(f), out, &e), &e, "ask");
	if (st)
		*st = far_stats(f);
	far_free(f);
	return out;
}

static double distance(const float *a, const float *b, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs((double)a[i] - (double)b[i]));
	return most;
}

/* ---- the oracle: everything in doubles, in the order of mounting ---- */

struct plain {
	const struct lib *lib;
	const struct plan *p;
};

static int plain_attend(void *ctx, uint32_t far, const float *q, size_t n_token, const struct far_state *st,
			struct err *e)
{
	const struct plain *x = ctx;
	const struct plan *p = x->p;
	uint32_t hd = p->head_dim, group = p->n_head / p->n_head_kv;

	for (size_t t = 0; t < n_token; t++)
		for (uint32_t h = 0; h < p->n_head; h++) {
			size_t row = t * p->n_head + h;
			double m = (double)st->m[row], l = (double)st->l[row], o[64];

			for (uint32_t d = 0; d < hd; d++)
				o[d] = (double)st->o[row * hd + d];
			for (size_t i = 0; i < x->lib->n; i++) {
				const struct view_entry *en = &x->lib->entry[i];
				struct extent_plan plan;
				struct segment *seg;
				const uint8_t *data;

				must(extent_plan_init(&plan, &x->lib->geom, en->type, en->n_token, e), e, "plan");
				must(kv_store_segment(x->lib->st, SEGMENT_KV, en->kv.number,
						      en->kv.off + en->kv.bytes, &seg, e), e, "segment");
				must(segment_borrow(seg, en->kv.off, en->kv.bytes, &data, e), e, "borrow");
				for (uint32_t pg = 0; pg < plan.n_page; pg++) {
					float k[64 * 64], v[64 * 64];
					struct kv_layout lay;

					extent_strip_layout(&plan, pg, &lay);
					kv_decode_head_ref(&lay, data + extent_strip_off(&plan, far, pg) +
							   STRIP_HEAD_BYTES, h / group, k, v);
					for (uint32_t j = 0; j < lay.n_token; j++) {
						double s = 0, top, a, b;

						for (uint32_t d = 0; d < hd; d++)
							s += (double)q[row * hd + d] * (double)k[j * hd + d];
						top = fmax(m, s);
						a = exp(m - top);
						b = exp(s - top);
						m = top;
						l = l * a + b;
						for (uint32_t d = 0; d < hd; d++)
							o[d] = o[d] * a + b * (double)v[j * hd + d];
					}
				}
			}
			st->m[row] = (float)m;
			st->l[row] = (float)l;
			for (uint32_t d = 0; d < hd; d++)
				st->o[row * hd + d] = (float)o[d];
		}
	return 0;
}

static struct kv *preamble(struct engine *en)
{
	int32_t token[5] = { 7, 3, 90, 41, 12 };
	struct kv *kv;
	struct err e;

	must(engine_seq(en, NULL, &kv, &e), &e, "preamble");
	must(engine_feed(en, kv, token, 5, NULL, false, NULL, &e), &e, "preamble");
	return kv;
}

static void test_oracle(const char *name, enum kv_type type)
{
	struct engine *en = open_engine(name, "ref", 1);
	struct kv *pre = preamble(en);
	struct lib lib;
	struct plain x = { &lib, engine_plan(en) };
	struct far_source src = { .ctx = &x, .attend = plain_attend };
	float *want = malloc(n_logit(en) * sizeof(*want)), *got, *none = malloc(n_logit(en) * sizeof(*none));
	float *zero = calloc(n_logit(en), sizeof(*zero)), *exact;
	struct far_stats st;
	struct view *v;
	struct err e;
	double d, control;

	/* Short chunks: documents of 1 to 200 tokens would not be spans there, but the keys are as good. */
	fill(&lib, en, pre, type, 20, 0, 7, true);
	v = mount(&lib, NULL, 0);
	src.n_mounted = (int64_t)view_tokens(v);
	must(ask(en, pre, &src, want, &e), &e, "oracle");
	must(ask(en, pre, NULL, none, &e), &e, "without");
	got = ask_far(en, pre, v, &(struct far_opts){ .mode = FAR_EXACT }, &st);
	d = distance(want, got, n_logit(en));
	control = distance(want, none, n_logit(en));
	ok(d < 1e-4 && control > 100 * d, "%s, %s: exact is the plain softmax (%.1e; without the pages %.1e)",
	   name, kv_type_name(type), d, control);
	ok(st.distinct == view_tokens(v) && st.strips > 0 && st.calls == engine_plan(en)->n_far,
	   "it says what it read");
	exact = got;
	got = ask_far(en, pre, v, &(struct far_opts){ .mode = FAR_SELECT, .rerank = 4096 }, &st);
	d = distance(exact, got, n_logit(en)) / distance(exact, zero, n_logit(en));
	ok(d < 1e-5, "%s: select with room for all tokens is exact (%.1e of the largest logit)", name, d);
	free(exact);
	free(zero);
	ok(st.distinct == view_tokens(v) && st.rebuilt == 0 && st.sketch_bytes > 0, "and attended to all");
	free(got);
	free(want);
	free(none);
	view_free(v);
	drop(&lib);
	kv_free(pre);
	engine_close(en);
}

/* A pass for the keys alone gives the same keys as a whole one. */
static void test_keys_only(const char *name)
{
	static struct heard whole, part;
	struct engine *en = open_engine(name, "auto", 2);
	int32_t token[100];
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(token); i++)
		token[i] = token_of(engine_plan(en), 5, i);
	for (int i = 0; i < 2; i++) {
		struct heard *h = i ? &part : &whole;
		struct far_sink sink = { .ctx = h, .put = hear };
		struct fwd_item item = { .token = token, .n = ARRAY_LEN(token), .sink = &sink, .keys_only = i };

		h->p = engine_plan(en);
		h->n = 0;
		must(engine_seq(en, NULL, &item.kv, &e), &e, "sequence");
		must(forward_run(engine_forward(en), &item, 1, &e), &e, "forward");
		kv_free(item.kv);
	}
	ok(whole.n > 0 && part.n == whole.n && !memcmp(part.x, whole.x, whole.n * sizeof(*part.x)),
	   "%s: a pass for the keys alone gives the same %zu values", name, whole.n);
	engine_close(en);
}

/* Chunks encoded alone and mounted, against one sequence that holds them: the same where far keys
 * depend on nothing far, which is so when the only far layer is the last one. */
static void test_one_pass(const char *name)
{
	struct engine *en = open_engine(name, "ref", 2);
	const struct plan *p = engine_plan(en);
	size_t chunk = p->attn_chunk, n_doc = 5, n = n_doc * chunk + N_ASK;
	int32_t *token = malloc(n * sizeof(*token));
	float *all = malloc(n * p->n_vocab * sizeof(*all)), *want = all + n_doc * chunk * p->n_vocab, *got;
	struct far_opts o = { .mode = FAR_EXACT };
	struct lib lib;
	struct view *v;
	struct kv *kv;
	struct err e;
	double d, control;

	for (size_t i = 0; i < n; i++)
		token[i] = i / chunk < n_doc ? token_of(p, i / chunk, i % chunk) : token_of(p, 1000, i % chunk);
	must(engine_seq(en, NULL, &kv, &e), &e, "sequence");
	must(engine_feed(en, kv, token, n, all, true, NULL, &e), &e, "one pass");
	fill(&lib, en, NULL, KV_F16, n_doc, chunk, 3, false);
	v = mount(&lib, NULL, 0);
	got = ask_far(en, NULL, v, &o, NULL);
	d = distance(want, got, n_logit(en));
	free(got);
	view_free(v);
	v = mount(&lib, lib.entry, n_doc - 1);
	got = ask_far(en, NULL, v, &o, NULL);
	control = distance(want, got, n_logit(en));
	ok(p->n_far == 1 && p->layer[p->n_layer - 1].is_far && d < 5e-3 && control > 20 * d,
	   "%s: mounted chunks answer as one pass over them (%.1e in f16; one chunk missing: %.1e)", name, d,
	   control);
	free(got);
	view_free(v);
	drop(&lib);
	kv_free(kv);
	free(token);
	free(all);
	engine_close(en);
}

/* ---- orders ---- */

static void shuffle(struct view_entry *x, size_t n, uint64_t seed)
{
	make_seed = seed * 0x9e3779b97f4a7c15u | 1;
	for (size_t i = n; i > 1; i--) {
		size_t j = make_rnd() % i;
		struct view_entry t = x[i - 1];

		x[i - 1] = x[j];
		x[j] = t;
	}
}

static int same_as(const float *want, struct engine *en, const struct kv *pre, const struct lib *lib,
		   const struct view_entry *entry, const struct far_opts *o)
{
	struct view *v = mount(lib, entry, lib->n);
	float *got = ask_far(en, pre, v, o, NULL);
	int same = !memcmp(want, got, n_logit(en) * sizeof(*got));

	free(got);
	view_free(v);
	return same;
}

static void test_orders(const char *name, const char *kernels, enum kv_type type, int n_order)
{
	static const struct view_config io[] = { { .io = VIEW_IO_MMAP }, { .io = VIEW_IO_DIRECT },
						 { .io = VIEW_IO_BUFFERED },
						 { .io = VIEW_IO_BUFFERED, .pread = true } };
	struct engine *en = open_engine(name, kernels, 1), *two = open_engine(name, kernels, 2);
	struct kv *pre = preamble(en), *pre2 = preamble(two);
	struct far_opts exact = { .mode = FAR_EXACT }, little = { .mode = FAR_EXACT, .memory = 1 };
	struct far_opts pick = { .mode = FAR_SELECT, .rerank = 50, .budget = 30 };
	struct lib lib, other;
	struct view *v;
	float *want, *chosen;
	int same = 0, same2 = 0, ways = 0, select = 0;

	fill(&lib, en, pre, type, N_DOC, 0, 1, true);
	fill(&other, en, pre, type, N_DOC, 0, 29, true);
	v = mount(&lib, NULL, 0);
	want = ask_far(en, pre, v, &exact, NULL);
	chosen = ask_far(en, pre, v, &pick, NULL);
	view_free(v);
	for (int i = 1; i <= n_order; i++) {
		struct view_entry entry[N_DOC];

		memcpy(entry, lib.entry, sizeof(entry));
		shuffle(entry, N_DOC, (uint64_t)i);
		same += same_as(want, en, pre, &lib, entry, &exact);
		if (i % 4)
			continue;
		same2 += same_as(want, two, pre2, &lib, entry, &exact);
		select += same_as(chosen, two, pre2, &lib, entry, &pick);
	}
	ok(same == n_order, "%s, %s: %d orders of mounting %d documents, the same bits (%d)", name, kernels,
	   n_order, N_DOC, same);
	ok(same2 == n_order / 4, "and on two threads (%d of %d)", same2, n_order / 4);
	ok(select == n_order / 4, "select as well (%d of %d)", select, n_order / 4);
	for (size_t i = 0; i < ARRAY_LEN(io); i++) {
		struct far_opts o = { .mode = FAR_EXACT, .io = &io[i], .memory = i % 2 ? 1 : 0 };

		ways += same_as(want, i % 2 ? en : two, i % 2 ? pre : pre2, &lib, lib.entry, &o);
	}
	ok(ways == 4, "whatever way the bytes come");
	/* One query token at a time sums in another order inside the kernel's tiles, not here. */
	ok(same_as(want, two, pre2, &other, other.entry, &exact), "whatever order the pages lie in on disk");
	ok(same_as(want, two, pre2, &other, other.entry, &little) &&
	   same_as(want, en, pre, &lib, lib.entry, &little), "and however little memory there is");
	free(want);
	free(chosen);
	drop(&lib);
	drop(&other);
	kv_free(pre);
	kv_free(pre2);
	engine_close(en);
	engine_close(two);
}

/* Many questions in one pass share the scan, and each gets what it gets alone. */
static void test_batch(enum far_mode mode)
{
	enum { N = 9 };
	struct engine *en = open_engine("llama4-top2", "ref", 2);
	const struct plan *p = engine_plan(en);
	struct kv *pre = preamble(en);
	struct far_opts o = { .mode = mode, .rerank = 60 };
	struct fwd_item item[N];
	float *alone = malloc(p->n_vocab * sizeof(*alone)), *all = malloc(N * p->n_vocab * sizeof(*all));
	int32_t token[N][20];
	struct far_stats one, many;
	struct lib lib;
	struct view *v;
	struct far *f;
	struct err e;
	double d = 0;

	fill(&lib, en, pre, KV_Q8, 20, 0, 1, true);
	v = mount(&lib, NULL, 0);
	must(far_new(&f, en, v, &o, &e), &e, "far");
	for (size_t i = 0; i < N; i++) {
		item[i] = (struct fwd_item){ .token = token[i], .n = 3 + 2 * i, .logits = all + i * p->n_vocab,
					     .source = far_source(f) };
		for (size_t t = 0; t < item[i].n; t++)
			token[i][t] = token_of(p, 500 + i, t);
		must(engine_seq(en, pre, &item[i].kv, &e), &e, "sequence");
	}
	must(forward_run(engine_forward(en), item, N, &e), &e, "forward");
	many = far_stats(f);
	for (size_t i = 0; i < N; i++) {
		kv_free(item[i].kv);
		must(engine_seq(en, pre, &item[i].kv, &e), &e, "sequence");
		item[i].logits = alone;
		must(forward_run(engine_forward(en), &item[i], 1, &e), &e, "forward");
		d = fmax(d, distance(alone, all + i * p->n_vocab, p->n_vocab));
		kv_free(item[i].kv);
	}
	one = far_stats(f);
	ok(many.scans == p->n_far && one.scans == (N + 1) * p->n_far && d < 1e-4,
	   "%s: %d questions in one scan of each far layer, answered as alone (%.1e)",
	   mode == FAR_EXACT ? "exact" : "select", N, d);
	far_free(f);
	view_free(v);
	free(alone);
	free(all);
	drop(&lib);
	kv_free(pre);
	engine_close(en);
}

/* In the last layer only the tokens whose logits are wanted look at the pages. */
static int count_tokens(void *ctx, uint32_t far, const float *q, size_t n_token, const struct far_state *st,
			struct err *e)
{
	(void)far, (void)q, (void)st, (void)e;
	*(size_t *)ctx += n_token;
	return 0;
}

static void test_wanted(void)
{
	struct engine *en = open_engine("llama4-interleave", "ref", 2);
	const struct plan *p = engine_plan(en);
	struct kv *pre = preamble(en);
	struct far_opts o = { .mode = FAR_EXACT };
	float *all = malloc(n_logit(en) * sizeof(*all)), *last = malloc(p->n_vocab * sizeof(*last));
	int32_t token[N_ASK];
	size_t n[3] = { 0 };
	struct lib lib;
	struct view *v;
	struct far *f;
	struct kv *kv;
	struct err e;

	fill(&lib, en, pre, KV_Q8, 10, 0, 1, false);
	v = mount(&lib, NULL, 0);
	for (size_t i = 0; i < N_ASK; i++)
		token[i] = token_of(p, 1000, i);
	must(far_new(&f, en, v, &o, &e), &e, "far");
	must(ask(en, pre, far_source(f), all, &e), &e, "ask");
	must(engine_seq(en, pre, &kv, &e), &e, "sequence");
	must(engine_feed(en, kv, token, N_ASK, last, false, far_source(f), &e), &e, "feed");
	ok(!memcmp(last, all + (N_ASK - 1) * p->n_vocab, p->n_vocab * sizeof(*last)),
	   "the last token's logits are the same with and without those of the others");
	for (int i = 0; i < 3; i++) {
		struct far_source src = { .ctx = &n[i], .attend = count_tokens };

		kv_free(kv);
		must(engine_seq(en, pre, &kv, &e), &e, "sequence");
		must(engine_feed(en, kv, token, N_ASK, i ? all : NULL, i == 2, &src, &e), &e, "feed");
	}
	ok(p->n_far == 1 && n[0] == 0 && n[1] == 1 && n[2] == N_ASK,
	   "a far layer that is the last asks for the tokens whose logits are wanted: %zu, %zu, %zu", n[0], n[1], n[2]);
	far_free(f);
	view_free(v);
	kv_free(kv);
	free(all);
	free(last);
	drop(&lib);
	kv_free(pre);
	engine_close(en);
}

/* ---- select ---- */

/* Where the single query q (for every head) looks most. */
static struct far_hit look(struct engine *en, struct view *v, const float *q, struct far_opts *o, double *mass)
{
	const struct plan *p = engine_plan(en);
	size_t n = (size_t)p->n_head * p->head_dim, n_hit;
	float m[64], l[64], *rows = malloc(n * sizeof(*rows)), *value = calloc(n, sizeof(*value));
	struct far_state st = { m, l, value };
	struct far_hit best = { 0 };
	const struct far_hit *hit;
	struct far *f;
	struct err e;

	for (uint32_t h = 0; h < p->n_head; h++) {
		memcpy(rows + h * p->head_dim, q, p->head_dim * sizeof(*q));
		m[h] = -INFINITY;
		l[h] = 0;
	}
	o->trace = true;
	must(far_new(&f, en, v, o, &e), &e, "far");
	must(far_source(f)->attend(far_source(f)->ctx, 0, rows, 1, &st, &e), &e, "attend");
	hit = far_hits(f, &n_hit);
	for (size_t i = 0; i < n_hit; i++)
		if (hit[i].weight > best.weight)
			best = hit[i];
	*mass = far_mass(f);
	far_free(f);
	free(rows);
	free(value);
	return best;
}

static void test_select(void)
{
	struct engine *en = open_engine("llama4-moe", "auto", 2);
	const struct plan *p = engine_plan(en);
	struct kv *pre = preamble(en);
	struct far_opts exact = { .mode = FAR_EXACT }, pick = { .mode = FAR_SELECT, .rerank = 500 };
	struct lib lib;
	struct view *v;
	int found = 0, n = 60, full = 0;
	double apart = 0;

	fill(&lib, en, pre, KV_Q8, N_DOC, 0, 1, false);
	v = mount(&lib, NULL, 0);
	for (int i = 0; i < n; i++) {
		float q[64];
		struct far_hit a, b;
		double mass, share, one;

		make_values(q, p->head_dim, 777 + (uint64_t)i);
		for (uint32_t d = 0; d < p->head_dim; d++)
			q[d] *= 3;
		a = look(en, v, q, &exact, &one);
		b = look(en, v, q, &pick, &mass);
		full += one == 1.0;
		if (a.extent != b.extent || a.t != b.t)
			continue;
		found++;
		/* The same key has the larger share the less else was attended to: that is the mass. */
		share = (double)a.weight / (double)b.weight;
		apart = fmax(apart, fabs(share - mass));
	}
	ok(found >= n * 95 / 100, "the best of %d tokens is among 500 chosen ones in %d of %d",
	   (int)view_tokens(v), found, n);
	ok(full == n, "exact has all of the mass");
	ok(apart < 0.1, "the mass that select states is what it attended to (off by at most %.3f)", apart);
	view_free(v);
	drop(&lib);
	kv_free(pre);
	engine_close(en);
}

static void test_rebuilt(void)
{
	struct engine *en = open_engine("llama4-top2", "ref", 2);
	struct kv *pre = preamble(en);
	struct far_opts o = { .mode = FAR_SELECT, .rerank = 40 };
	struct lib with, without;
	struct far_stats a, b;
	struct view *v, *u;
	float *x, *y;

	fill(&with, en, pre, KV_Q4, 30, 0, 1, true);
	fill(&without, en, pre, KV_Q4, 30, 0, 1, false);
	v = mount(&with, NULL, 0);
	u = mount(&without, NULL, 0);
	x = ask_far(en, pre, v, &o, &a);
	y = ask_far(en, pre, u, &o, &b);
	ok(a.rebuilt == 0 && b.rebuilt == 30 && !memcmp(x, y, n_logit(en) * sizeof(*x)),
	   "sketches that are missing are built from the pages, with the same answer");
	ok(a.attended <= (uint64_t)40 * N_ASK * engine_plan(en)->n_head_kv * engine_plan(en)->n_far &&
	   a.distinct <= view_tokens(v), "a budget counts tokens per query token, layer and KV head");
	free(x);
	free(y);
	view_free(v);
	view_free(u);
	drop(&with);
	drop(&without);
	kv_free(pre);
	engine_close(en);
}

/* The best N do not depend on the order of what is offered. */
static void test_pick(void)
{
	enum { N = 5050, WANT = 37 };	/* 101 parts: every step from 1 visits all */
	static float est[N];
	struct pick_item room[2 * WANT], first[WANT];
	struct pick p;
	int bad = 0;

	make_seed = 99;
	for (int i = 0; i < N; i++)
		est[i] = (float)(make_rnd() % 500);	/* many ties */
	for (int round = 0; round < 40; round++) {
		pick_init(&p, room, WANT);
		for (int k = 0; k < N / 50; k++) {
			int part = (k * (2 * round + 1)) % (N / 50);

			pick_offer(&p, (uint32_t)part, est + part * 50, 50);
		}
		pick_settle(&p);
		for (size_t i = 1; i < p.n; i++)
			for (size_t j = i; j && (room[j].extent < room[j - 1].extent ||
						 (room[j].extent == room[j - 1].extent && room[j].t < room[j - 1].t)); j--) {
				struct pick_item t = room[j];

				room[j] = room[j - 1];
				room[j - 1] = t;
			}
		if (!round)
			memcpy(first, room, sizeof(first));
		bad += p.n != WANT || memcmp(first, room, sizeof(first));
	}
	for (int i = 0, above = 0; i < N; i++) {
		above += est[i] > p.floor;
		if (i == N - 1)
			bad += above >= WANT;
	}
	ok(!bad, "the best of a stream are one set, whatever its order and its ties");
}

/* ---- damage ---- */

static void flip(const struct lib *lib, size_t i, uint32_t layer, uint32_t page)
{
	struct extent_plan plan;
	char *path = kv_store_path(lib->st, SEGMENT_KV, lib->entry[i].kv.number);
	int fd = open(path, O_RDWR);
	off_t at;
	char c = 0;

	extent_plan_init(&plan, &lib->geom, lib->entry[i].type, lib->entry[i].n_token, NULL);
	at = (off_t)(lib->entry[i].kv.off + extent_strip_off(&plan, layer, page) + 100);
	if (fd < 0 || pread(fd, &c, 1, at) != 1)
		ok(0, "a strip is damaged");
	c ^= 4;
	if (pwrite(fd, &c, 1, at) != 1)
		ok(0, "a strip is damaged");
	close(fd);
	free(path);
}

static void test_damage(enum far_mode mode)
{
	struct engine *en = open_engine("llama4-top2", "auto", 2);
	struct kv *pre = preamble(en);
	struct far_opts o = { .mode = mode, .rerank = 8192 };
	float *logits = malloc(n_logit(en) * sizeof(*logits));
	const struct view_bad *bad;
	struct lib lib;
	struct view *v;
	struct far *f;
	struct err e;
	size_t n;
	int rc;

	fill(&lib, en, pre, KV_Q8, 30, 0, 1, true);
	flip(&lib, 5, 0, 2);
	flip(&lib, 9, 0, 0);
	v = mount(&lib, NULL, 0);
	must(far_new(&f, en, v, &o, &e), &e, "far");
	rc = ask(en, pre, far_source(f), logits, &e);
	bad = far_damaged(f, &n);
	ok(rc == ERR_CORRUPT && n == 2, "damaged pages are no answer (%s)", rc ? e.msg : "");
	for (size_t i = 0; i < n; i++) {
		uint64_t doc = view_get(v, bad[i].extent)->user;

		ok(bad[i].layer == 0 && bad[i].page == (doc == 5 ? 2u : 0u) && (doc == 5 || doc == 9),
		   "page %u of document %d is named", bad[i].page, (int)doc);
	}
	far_free(f);
	view_free(v);
	free(logits);
	drop(&lib);
	kv_free(pre);
	engine_close(en);
}

/* ---- temperature ---- */

static void test_law(void)
{
	struct engine *en = open_engine("llama4-moe", "ref", 1);
	const struct plan *p = engine_plan(en);
	struct kv *pre = preamble(en);
	struct lib lib;
	struct view *v;
	float *x[3];

	fill(&lib, en, pre, KV_F16, 20, 0, 1, false);
	v = mount(&lib, NULL, 0);
	for (int i = 0; i < 3; i++)
		x[i] = ask_far(en, pre, v, &(struct far_opts){ .law = (enum plan_law)i }, NULL);
	ok(distance(x[0], x[1], n_logit(en)) > 1e-3 && distance(x[0], x[2], n_logit(en)) > 1e-3 &&
	   distance(x[1], x[2], n_logit(en)) > 1e-3, "three laws of temperature give three answers");
	ok(fabsf(plan_temperature_by(p, PLAN_LAW_LOG, 255) - 2) < 1e-6f &&
	   plan_temperature_by(p, PLAN_LAW_LOG, 3) == 1 && plan_temperature_by(p, PLAN_LAW_OFF, 1 << 20) == 1 &&
	   plan_temperature_by(p, PLAN_LAW_MODEL, 77) == plan_temperature(p, 77),
	   "ln n / ln chunk (256 tokens over 16: 2), none, and the model's own");
	for (int i = 0; i < 3; i++)
		free(x[i]);
	view_free(v);
	drop(&lib);
	kv_free(pre);
	engine_close(en);
}

static void test_refused(void)
{
	struct engine *en = open_engine("qwen2-tied", "ref", 1);
	const struct plan *p = engine_plan(en);
	struct kv_geom g = { p->n_far, p->n_head_kv, p->head_dim, KV_PAGE_TOKENS };
	struct kv_store *st;
	struct view *v;
	struct far *f;
	struct err e;

	must(kv_store_open(&st, ".", &e), &e, "store");
	must(view_new(&v, st, &g, NULL, 0, &e), &e, "view");
	ok(far_new(&f, en, v, &(struct far_opts){ 0 }, &e) == ERR_INVALID && !f,
	   "a model whose far layers use RoPE is refused (%s)", e.msg);
	view_free(v);
	kv_store_close(st);
	engine_close(en);
}

int main(void)
{
	test_pick();
	test_keys_only("llama4-moe");
	test_keys_only("llama4-interleave");
	test_keys_only("llama4-top2");
	test_keys_only("llama-tied");
	test_oracle("llama4-moe", KV_F16);
	test_oracle("llama4-interleave", KV_Q8);
	test_oracle("llama4-gqa1-rope", KV_Q4);
	test_oracle("llama4-top2", KV_Q8);
	test_one_pass("llama4-interleave");
	test_one_pass("llama4-gqa1-rope");
	test_orders("llama4-moe", "ref", KV_Q8, 100);
	test_orders("llama4-top2", "auto", KV_Q4, 20);
	test_wanted();
	test_batch(FAR_EXACT);
	test_batch(FAR_SELECT);
	test_select();
	test_rebuilt();
	test_damage(FAR_EXACT);
	test_damage(FAR_SELECT);
	test_law();
	test_refused();
	return done();
}
