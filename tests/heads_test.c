/* Covers engine/heads.h, engine/headscore.h, ingest/choose_heads.c and ingest/calibrate_text.c with a tiny
 * model: profiles are read or refused; scores are those of plain attention; the span index made while encoding and
 * the one made afterwards choose alike; questions come from comments. */
#include "config.h"

#include "base/cpu.h"
#include "cache/derive.h"
#include "cache/view.h"
#include "engine/headscore.h"
#include "ingest/calibrate.h"
#include "ingest/choose.h"
#include "ingest/choose_heads.h"
#include "ingest/pages.h"
#include "tests/check.h"
#include "tests/libtemp.h"
#include "tests/tiny_model.h"

#include "base/buf.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define N_DOC 6
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TOP "folio heads 1\nmodel " HEX "\ntext 0.5\n"

static struct engine *en;
static struct tok *tok;
static struct encoder *enc;

static void must(int rc, const struct err *e, const char *what)
{
	if (!rc)
		return;
	printf("Bail out! %s: %s\n", what, e->msg);
	exit(99);
}

/* ---- profiles ---- */

static int parse(const char *text, struct err *e)
{
	struct heads h;
	int rc = heads_parse(&h, engine_plan(en), text, strlen(text), "p", e);

	heads_release(&h);
	return rc;
}

static void test_profiles(void)
{
	static const struct { const char *text, *says; } BAD[] = {
		{ "", "ends without" }, { "folio heads x\n", "line 1" }, { "model " HEX "\n", "line 1" },
		{ TOP, "ends without" }, { TOP "head 2 0\n", "no head 0 in far layer 2" },
		{ TOP "head 0 2\n", "no head 2 in far layer 0" }, { TOP "head 0 0\nhead 0 0\n", "twice" },
		{ TOP "head 0\n", "line 4" }, { TOP "head 0 0 0\n", "line 4" }, { TOP "head -1 0\n", "line 4" },
		{ TOP "heads 0 0\n", "line 4" }, { TOP "text 1\nhead 0 0\n", "line 4" },
		{ "folio heads 1\ntext nan\n", "line 2" }, { "folio heads 1\ntext -1\n", "line 2" },
		{ "folio heads 1\nmodel 12\n", "line 2" }, { "folio heads 1\ntext 1\nhead 0 0\n", "ends without" },
	};
	struct buf b = { 0 };
	struct heads h;
	char *printed;
	struct err e;

	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
		ok(parse(BAD[i].text, &e) == ERR_INVALID && strstr(e.msg, BAD[i].says), "refused, and said why: %s",
		   BAD[i].says);
	ok(parse("folio heads 2\n", &e) == ERR_NEWER, "a later version is refused as such");
	must(heads_parse(&h, engine_plan(en), TOP "# both\n\nhead 1 1\nhead 0 1\nhead 1 0\n", strlen(TOP) + 35, "p", &e), &e,
	     "parse");
	ok(h.n == 3 && h.n_pair == 2 && h.text == 0.5, "three heads read the keys of two pairs");
	ok(h.pair_of[0] == 0 && h.pair_of[1] == 1 && h.pair_of[2] == 1 && h.head[1].head == 0,
	   "those of one pair stand together");
	heads_print(&h, &b);
	printed = buf_take(&b);
	ok(printed && !strcmp(printed, TOP "head 0 1\nhead 1 0\nhead 1 1\n"), "and are printed as they are read");
	free(printed);
	heads_release(&h);
}

/* ---- one page ---- */

static void test_pages(void)
{
	enum { HD = 64, N = 64, ROWS = 5 };
	static int8_t code[N * HD];
	static uint16_t step[N];
	static float cs[N * HD], q[ROWS * HD];
	float a[ROWS], b[ROWS], worst = 0;
	bool holds = true;

	if (headpage_best() == headpage_ref) {
		printf("ok %d - the fast page # SKIP this processor has no AVX2\n", ++check_n);
		return;
	}
	tiny_seed = 5;
	for (int i = 0; i < N * HD; i++) {
		code[i] = (int8_t)(127 * tanhf(tiny_weight()));
		cs[i] = sinf((float)(i * 7 % 97));
	}
	for (int i = 0; i < ROWS * HD; i++)
		q[i] = tiny_weight() * (i < HD ? 30 : 0.3f);
	for (int i = 0; i < N; i++)
		step[i] = kv_f32_to_f16_up(0.01f * (float)(i + 1));
	for (uint32_t n = 1; n <= N; n += 9)
		for (int kind = 0; kind < 4; kind++) {
			struct headpage p = { code, step, n, kind == 3 ? 32 : HD, kind == 2 ? 32 : kind == 3 ? 32 : HD,
					      kind & 1, kind ? cs : NULL, q, ROWS };

			headpage_ref(&p, a);
#ifdef HAVE_X86_KERNELS
			headpage_avx2(&p, b);
#endif
			for (int r = 0; r < ROWS; r++) {
				worst = fmaxf(worst, fabsf(a[r] - b[r]) / (1 + fabsf(a[r])));
				holds &= isfinite(a[r]) && isfinite(b[r]);
			}
		}
	ok(holds && worst < 1e-5f, "the fast page agrees with plain C (worst %g)", (double)worst);
}

/* ---- scores ---- */

struct taken {
	float k[TINY_LAYERS][400][TINY_EMBD / TINY_HEADS];
	float q[TINY_LAYERS][400][TINY_EMBD];
};
static struct taken taken;

static int take_keys(void *ctx, uint32_t far, const float *k, const float *v, size_t n, struct err *e)
{
	(void)ctx, (void)v, (void)e;
	memcpy(taken.k[far], k, n * sizeof(taken.k[0][0]));
	return 0;
}

static void take_queries(void *ctx, uint32_t far, const float *q, size_t n)
{
	(void)ctx;
	memcpy(taken.q[far], q, n * sizeof(taken.q[0][0]));
}

struct kept {
	void *image;
	size_t n;
};

static int keep(void *ctx, const struct encode_span *span, const struct extent_build *built, struct err *e)
{
	struct kept *k = ctx;
	const void *image = extent_build_image(built, &k->n);

	(void)span, (void)e;
	k->image = aligned_alloc(64, (k->n + 63) / 64 * 64);
	memcpy(k->image, image, k->n);
	return 0;
}

/* The definition, in double, from keys and queries as the forward pass has them. */
static double by_definition(uint32_t layer, uint32_t head, size_t n_span, const char *question)
{
	enum { HD = TINY_EMBD / TINY_HEADS };
	double sum = 0;
	size_t rows = 0;

	for (size_t i = 0; question[i]; i++) {
		double best = -INFINITY;

		if (question[i] == ' ' || question[i] == '?')
			continue;	/* a token is a byte */
		for (size_t p = 0; p < n_span; p += 64) {
			double s = 0;

			for (size_t t = p; t < n_span && t < p + 64; t++) {
				double dot = 0;

				for (int d = 0; d < HD; d++)
					dot += (double)taken.q[layer][i][head * HD + d] * (double)taken.k[layer][t][d];
				s += exp(dot);
			}
			best = fmax(best, log(s));
		}
		sum += best;
		rows++;
	}
	return sum / (double)rows;
}

static void test_scores(void)
{
	static const char Q[] = "where is value 17?";
	static const struct head ALL[] = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } };
	static const struct id none;
	struct headscore_text text[2] = { { Q, sizeof(Q) - 1 }, { "??", 2 } };
	struct fwd_item item = { 0 };
	struct far_sink sink = { NULL, take_keys };
	struct query_tap tap = { NULL, take_queries };
	struct tok_ids span = { 0 }, ask = { 0 };
	struct spanidx_plan plan;
	struct spanidx part;
	struct extent x;
	struct kept kept;
	struct headscore *s;
	struct heads h;
	struct buf b = { 0 };
	float score[8];
	double worst = 0;
	void *bytes;
	struct err e;

	for (int i = 0; i < 12; i++)
		buf_addf(&b, "line %d: value %d\n", i, 17 * i);
	must(tok_encode(tok, b.data, b.len, 0, &span, NULL, &e), &e, "tokens");
	must(tok_encode(tok, Q, sizeof(Q) - 1, 0, &ask, NULL, &e), &e, "tokens");
	/* The span behind the preamble, the question behind the place of the longest span. */
	must(engine_seq(en, encoder_preamble(enc), &item.kv, &e), &e, "sequence");
	item.token = span.id, item.n = span.n, item.sink = &sink;
	must(forward_run(engine_forward(en), &item, 1, &e), &e, "span");
	kv_free(item.kv);
	for (uint32_t l = 0; l < TINY_LAYERS; l++)
		forward_place_keys(engine_forward(en), l, taken.k[l][0], span.n, kv_end(encoder_preamble(enc)));
	item = (struct fwd_item){ .token = ask.id, .n = ask.n, .tap = &tap };
	must(engine_seq(en, encoder_preamble(enc), &item.kv, &e), &e, "sequence");
	must(kv_skip(item.kv, encoder_span_max(enc), &e), &e, "skip");
	must(forward_run(engine_forward(en), &item, 1, &e), &e, "question");
	ok(kv_skip(item.kv, 1, &e) == ERR_INVALID, "no position is left out behind own tokens");
	kv_free(item.kv);

	must(heads_set(&h, engine_plan(en), ALL, 4, &e), &e, "heads");
	must(encoder_run(enc, &(struct encode_span){ span.id, (uint32_t)span.n, 0 }, 1, keep, &kept, &e), &e, "encode");
	must(extent_parse(&x, kept.image, kept.n, &e), &e, "extent");
	must(spanidx_plan_init(&plan, (uint32_t)span.n, h.n_pair, TINY_EMBD / TINY_HEADS, &e), &e, "plan");
	bytes = calloc(1, plan.bytes);
	must(spanidx_from_extent(&plan, &x, h.pair, &none, bytes, &e), &e, "part");
	must(spanidx_parse(&part, bytes, plan.bytes, &none, &e), &e, "part");
	must(headscore_new(&s, enc, &h, text, 2, &e), &e, "question");
	must(headscore_part(s, &part, score, &e), &e, "score");
	for (int i = 0; i < 4; i++)
		worst = fmax(worst, fabs((double)score[i] -
					 by_definition(ALL[i].far_layer, ALL[i].head, span.n, Q)));
	ok(worst < 0.02, "scores from int8 keys are those of attention (worst %g)", worst);
	ok(fabsf(score[0] - score[1]) > 1e-4f, "heads of one pair differ");
	ok(score[4] == 0 && score[7] == 0, "a question without letters scores nothing");
	headscore_free(s);
	h.n_pair = 1;
	must(headscore_new(&s, enc, &h, text, 1, &e), &e, "question");
	ok(headscore_part(s, &part, score, &e) == ERR_MISMATCH, "a part of another profile is refused");
	headscore_free(s);
	heads_release(&h);
	free(bytes);
	free(kept.image);
	free(span.id), free(ask.id);
	buf_release(&b);
}

/* ---- choosing ---- */

static void fill(struct catalog *c, int64_t *snapshot)
{
	int64_t source, doc[N_DOC];
	struct err e;

	must(cat_begin(c, &e), &e, "begin");
	for (int i = 0; i < N_DOC; i++) {
		struct cat_blob *blob;
		struct cat_text t = { .format = "text" };
		struct buf b = { 0 };

		for (int k = 0; k < 5 + i; k++)
			buf_addf(&b, "file %d line %d value%d is %d\n", i, k, i * 131 + k, (i * 977 + k * 31) % 9973);
		t.text = b.data;
		t.n = b.len;
		must(cat_blob_new(&blob, &t, &e), &e, "text");
		must(cat_put_text(c, blob, &doc[i], NULL, &e), &e, "text");
		cat_blob_free(blob);
		buf_release(&b);
	}
	must(cat_put_source(c, "src", "dir", "/src", &source, &e), &e, "source");
	must(cat_snapshot_begin(c, source, "", 0, snapshot, &e), &e, "snapshot");
	for (int i = 0; i < N_DOC; i++) {
		char path[32];
		struct cat_entry entry = { .state = CAT_TEXT, .document = doc[i], .reason = "" };

		snprintf(path, sizeof(path), "file%02d.txt", i);
		entry.path = path;
		entry.path_n = strlen(path);
		must(cat_put_entry(c, *snapshot, &entry, &e), &e, "entry");
	}
	must(cat_snapshot_finish(c, *snapshot, snapshot, &e), &e, "snapshot");
	must(cat_commit(c, &e), &e, "commit");
}

/* What is chosen, and whether heads took part. */
static bool choose(struct pages *p, struct catalog *c, int64_t *snapshot, struct chosen **out, size_t *n)
{
	bool by_heads = false;
	struct choose_query q = { "which line says value133?", 25, snapshot, 1, .k = 8, .by_heads = &by_heads };
	struct err e;

	must(choose_spans(p, c, &q, out, n, &e), &e, "choose");
	return by_heads;
}

static void write_profile(const char *head)
{
	struct buf b = { 0 };
	struct heads h;
	struct err e;

	buf_addf(&b, "folio heads 1\nmodel " HEX "\ntext 0.5\n%s", head);
	must(heads_parse(&h, engine_plan(en), b.data, b.len, "p", &e), &e, "parse");
	model_id(engine_model(en), &h.model);
	must(heads_write(&h, engine_model(en), &e), &e, "write");
	heads_release(&h);
	buf_release(&b);
}

static bool same(const struct chosen *a, const struct chosen *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].span.document != b[i].span.document || a[i].score != b[i].score)
			return false;
	return true;
}

static void test_choosing(void)
{
	struct library *lib;
	struct catalog *c;
	struct pages *p;
	struct pages_result r;
	struct chosen *text, *none, *after, *with;
	size_t n_text, n_none, n_after, n_with;
	int64_t snapshot;
	char *path = heads_path(engine_model(en));
	struct err e;
	bool by;

	must(lib_open(&lib, temp_path("lib"), LIB_CREATE, &e), &e, "library");
	c = lib_catalog(lib);
	fill(c, &snapshot);
	must(pages_open(&p, lib, enc, &e), &e, "pages");
	ok(!pages_heads(p), "without a profile there are no heads");
	must(pages_snapshot(p, snapshot, NULL, NULL, &r, &e), &e, "encode");
	by = choose(p, c, &snapshot, &text, &n_text);
	ok(!by && n_text >= 1, "and full text chooses");
	pages_close(p);

	/* Pages first, then the profile: parts are made on demand. */
	write_profile("head 0 1\nhead 1 0\n");
	must(pages_open(&p, lib, enc, &e), &e, "pages");
	by = choose(p, c, &snapshot, &after, &n_after);
	ok(by && n_after == N_DOC, "with one, every span that has pages is ranked");
	pages_close(p);
	lib_close(lib);

	/* The profile first: parts come with the pages. */
	must(lib_open(&lib, temp_path("lib2"), LIB_CREATE, &e), &e, "library");
	c = lib_catalog(lib);
	fill(c, &snapshot);
	must(pages_open(&p, lib, enc, &e), &e, "pages");
	by = choose(p, c, &snapshot, &none, &n_none);
	ok(!by && n_none == n_text, "without pages full text chooses");
	must(pages_snapshot(p, snapshot, NULL, NULL, &r, &e), &e, "encode");
	by = choose(p, c, &snapshot, &with, &n_with);
	ok(by && n_with == n_after && same(with, after, n_with), "an index made while encoding chooses like one made later");
	free(with);
	pages_close(p);

	/* Another profile: the parts of the old one are not used. */
	write_profile("head 1 1\n");
	must(pages_open(&p, lib, enc, &e), &e, "pages");
	by = choose(p, c, &snapshot, &with, &n_with);
	ok(by && n_with == n_after && !same(with, after, n_with), "another profile chooses by other keys");
	pages_close(p);

	must(file_write_atomic(path, "folio heads 1\n", 14, &e), &e, "write");
	ok(pages_open(&p, lib, enc, &e) == ERR_INVALID && strstr(e.msg, ".heads"), "a broken profile is named");
	must(file_write_atomic(path, TOP "head 0 0\n", strlen(TOP "head 0 0\n"), &e), &e, "write");
	ok(pages_open(&p, lib, enc, &e) == ERR_MISMATCH, "and one of other weights refused");
	unlink(path);
	free(path);
	free(text), free(none), free(after), free(with);
	lib_close(lib);
}

/* ---- questions ---- */

static void test_questions(void)
{
	static const char *const KIND[][3] = {
		{ "/* Gives back the memory of every page that nobody uses. More of it. */\n",
		  "Gives back the memory of every page that nobody uses", "C" },
		{ "/*\n * Gives back the memory of\n * every page nobody uses.\n */\n",
		  "Gives back the memory of every page nobody uses", "C over lines" },
		{ "\t# Gives back the memory of\n\t# every page nobody uses\n",
		  "Gives back the memory of every page nobody uses", "shell" },
		{ "    \"\"\"Gives back the memory of every page nobody uses.\n\n    Slow.\n    \"\"\"\n",
		  "Gives back the memory of every page nobody uses", "Python" },
		{ "// Gives back memory\n", NULL, "too short" },
		{ "# if (a+b)*(c-d) == [e|f] && !{g} / h < 4 ^ 5 ~ 6\n", NULL, "code" },
		{ "/* Copyright of all the people who wrote it, see there. */\n", NULL, "a licence" },
		{ "/* Gives back the memory of every page nobody uses.\n", NULL, "a comment without end" },
	};
	struct cal_windows w, again;
	struct err e;

	for (size_t i = 0; i < sizeof(KIND) / sizeof(KIND[0]); i++) {
		struct buf b = { 0 };

		w = (struct cal_windows){ .seed = 1, .max = 8 };
		for (int k = 0; k < 60; k++)
			buf_addf(&b, "x%d = y(%d);\n%s", k, k, k == 12 ? KIND[i][0] : "");
		must(cal_windows_add(&w, "a", b.data, b.len, &e), &e, "windows");
		cal_windows_done(&w);
		if (!KIND[i][1])
			ok(w.n == 0, "no question: %s", KIND[i][2]);
		else
			ok(w.n == 1 && !strcmp(w.v[0].question, KIND[i][1]) && w.v[0].n_text == b.len - strlen(KIND[i][0]) &&
			   !memmem(w.v[0].text, w.v[0].n_text, "Gives", 5), "a question, and its words are gone: %s",
			   KIND[i][2]);
		cal_windows_release(&w);
		buf_release(&b);
	}
	w = (struct cal_windows){ .seed = 1, .max = 3 };
	again = (struct cal_windows){ .seed = 1, .max = 3 };
	for (int i = 0; i < 40; i++) {
		struct buf b = { 0 };
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		for (int k = 0; k < 40; k++)
			buf_addf(&b, "x%d = y(%d);\n%s", k, k, k == 12 ? KIND[0][0] : "");
		must(cal_windows_add(&w, name, b.data, b.len, &e), &e, "windows");
		snprintf(name, sizeof(name), "f%d", 39 - i);
		must(cal_windows_add(&again, name, b.data, b.len, &e), &e, "windows");
		buf_release(&b);
	}
	cal_windows_done(&w);
	cal_windows_done(&again);
	ok(w.n == 3 && again.n == 3 && w.v[0].hash == again.v[0].hash && w.v[2].hash == again.v[2].hash,
	   "the same texts give the same questions, in whatever order");
	cal_windows_release(&w);
	cal_windows_release(&again);
}

int main(void)
{
	struct engine_opts o = { .kernels = "ref", .n_thread = 2 };
	struct err e;

	temp_make();
	tiny_model(temp_path("tiny.gguf"), 3);
	must(engine_open(&en, temp_path("tiny.gguf"), &o, &e), &e, "model");
	must(tok_open(&tok, engine_model(en)->gguf, &e), &e, "tokenizer");
	must(encoder_open(&enc, en, tok, KV_Q8, &e), &e, "encoder");
	test_profiles();
	test_pages();
	test_scores();
	test_choosing();
	test_questions();
	encoder_close(enc);
	tok_close(tok);
	engine_close(en);
	return done();
}
