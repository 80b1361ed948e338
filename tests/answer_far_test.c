/* Covers ingest/answer_far.c with a tiny iRoPE model: an answer rests on every mounted page, in exact as a
 * plain forward pass over all of them would have it; what drew attention is cited as stored; a library is
 * asked before it is encoded; damaged pages are encoded again. */
#include "config.h"

#include "base/stop.h"
#include "engine/far.h"
#include "ingest/answer.h"
#include "ingest/pages.h"
#include "tests/check.h"
#include "tests/libtemp.h"
#include "tests/tiny_model.h"

#include "base/buf.h"

#include <fcntl.h>
#include <math.h>

#define N_DOC 12
#define N_TEXT 24		/* tokens of an answer */

static struct engine *en;
static struct tok *tok;
static struct encoder *enc;
static struct library *lib;
static struct catalog *c;
static int64_t doc[N_DOC], snapshot;
static char *text[N_DOC];

static void must(int rc, const struct err *e, const char *what)
{
	if (!rc)
		return;
	printf("Bail out! %s: %s\n", what, e->msg);
	exit(99);
}

static void open_all(void)
{
	struct engine_opts o = { .kernels = "ref", .n_thread = 2 };
	struct err e;

	must(engine_open(&en, temp_path("tiny.gguf"), &o, &e), &e, "model");
	must(tok_open(&tok, engine_model(en)->gguf, &e), &e, "tokenizer");
	must(encoder_open(&enc, en, tok, KV_Q8, &e), &e, "encoder");
	must(lib_open(&lib, temp_path("lib"), LIB_CREATE, &e), &e, "library");
	c = lib_catalog(lib);
}

static void fill(void)
{
	int64_t source;
	struct err e;

	for (int i = 0; i < N_DOC; i++) {
		struct cat_blob *blob;
		struct cat_text t = { .format = "text" };
		struct buf b = { 0 };

		for (int k = 0; k < 4 + 9 * i; k++)
			buf_addf(&b, "file %d line %d: value%d = %d\n", i, k, i * 131 + k, (i * 977 + k * 31) % 9973);
		text[i] = buf_take(&b);
		t.text = text[i];
		t.n = strlen(text[i]);
		must(cat_blob_new(&blob, &t, &e), &e, "text");
		must(cat_begin(c, &e), &e, "begin");
		must(cat_put_text(c, blob, &doc[i], NULL, &e), &e, "text");
		must(cat_commit(c, &e), &e, "commit");
		cat_blob_free(blob);
	}
	must(cat_begin(c, &e), &e, "begin");
	must(cat_put_source(c, "src", "dir", "/src", &source, &e), &e, "source");
	must(cat_snapshot_begin(c, source, "", 0, &snapshot, &e), &e, "snapshot");
	for (int i = 0; i < N_DOC; i++) {
		char path[64];
		struct cat_entry entry = { .state = CAT_TEXT, .document = doc[i], .reason = "" };

		snprintf(path, sizeof(path), "dir/file%02d.txt", i);
		entry.path = path;
		entry.path_n = strlen(path);
		must(cat_put_entry(c, snapshot, &entry, &e), &e, "entry");
	}
	must(cat_snapshot_finish(c, snapshot, &snapshot, &e), &e, "snapshot");
	must(cat_commit(c, &e), &e, "commit");
}

static struct answer_opts question(void)
{
	static const char Q[] = "value1000 = ";

	return (struct answer_opts){ .question = Q, .n_question = sizeof(Q) - 1, .anyway = true, .snapshot = &snapshot, .n_snapshot = 1,
				     .max_tokens = N_TEXT, .repeat_penalty = 1, .attend = ATTEND_ALL };
}

/* Everything that is stored, merged in double and in the catalog's order: the oracle. */
static int plain(void *ctx, uint32_t far, const float *q, size_t n_token, const struct far_state *st, struct err *e)
{
	struct view *v = ctx;
	const struct plan *p = engine_plan(en);
	uint32_t hd = p->head_dim, group = p->n_head / p->n_head_kv;
	struct view_reader *r;
	struct kv_tile t;
	int rc;

	must(view_reader_new(&r, v, NULL, e), e, "reader");
	must(view_scan(r, far, NULL, 0, e), e, "scan");
	while (!(rc = view_next(r, &t, e)))
		for (uint32_t h = 0; h < p->n_head_kv; h++) {
			float k[64 * 64], val[64 * 64];

			kv_decode_head_ref(&t.l, t.body, h, k, val);
			for (size_t row = 0; row < n_token * group; row++) {
				size_t at = row / group * p->n_head + h * group + row % group;

				for (uint32_t j = 0; j < t.n_token; j++) {
					double s = 0, top, a, b;

					for (uint32_t d = 0; d < hd; d++)
						s += (double)q[at * hd + d] * (double)k[j * hd + d];
					top = fmax((double)st->m[at], s);
					a = exp((double)st->m[at] - top);
					b = exp(s - top);
					st->m[at] = (float)top;
					st->l[at] = (float)((double)st->l[at] * a + b);
					for (uint32_t d = 0; d < hd; d++)
						st->o[at * hd + d] = (float)((double)st->o[at * hd + d] * a +
									     b * (double)val[j * hd + d]);
				}
			}
		}
	view_reader_free(r);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

/* The greedy answer by the oracle; logits of the question's last token into first. */
static char *by_oracle(struct pages *p, float *first)
{
	struct answer_opts o = question();
	struct far_source src = { .attend = plain };
	struct tok_ids ids = { 0 };
	struct tok_stream stream = { 0 };
	struct buf out = { 0 };
	struct view_entry *entry;
	struct cat_mount *m;
	uint64_t missing;
	struct view *v;
	struct kv *kv;
	struct err e;
	size_t n, n_vocab = engine_plan(en)->n_vocab;
	float *logits = malloc(n_vocab * sizeof(*logits));

	must(cat_mounts(c, pages_engine(p), CAT_ISOLATED, &snapshot, 1, NULL, 0, NULL, &m, &n, &missing, &e), &e, "mounts");
	entry = calloc(n, sizeof(*entry));
	for (size_t i = 0; i < n; i++)
		entry[i] = (struct view_entry){ .span = m[i].last, .kv = m[i].ref, .n_token = m[i].n_token,
						.type = (uint8_t)m[i].type };
	must(view_new(&v, pages_store(p), encoder_geom(enc), entry, n, &e), &e, "view");
	src.ctx = v;
	src.n_mounted = (int64_t)view_tokens(v);
	must(engine_seq(en, encoder_preamble(enc), &kv, &e), &e, "sequence");
	must(tok_encode(tok, o.question, o.n_question, 0, &ids, NULL, &e), &e, "tokens");
	must(engine_feed(en, kv, ids.id, ids.n, logits, false, &src, &e), &e, "feed");
	memcpy(first, logits, n_vocab * sizeof(*logits));
	for (int i = 0; i < N_TEXT; i++) {
		int32_t best = 0;

		for (size_t k = 1; k < n_vocab; k++)
			best = logits[k] > logits[best] ? (int32_t)k : best;
		if (tok_is_stop(tok, best))
			break;
		tok_stream_push(tok, &stream, best, &out);
		must(engine_feed(en, kv, &best, 1, logits, false, &src, &e), &e, "feed");
	}
	tok_stream_flush(&stream, &out);
	kv_free(kv);
	view_free(v);
	free(entry);
	free(m);
	free(logits);
	free(ids.id);
	buf_addc(&out, '\0');
	return buf_take(&out);
}

/* The text without our marks: " [1]", " [?]". */
static char *without_marks(const struct answer *a)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < a->text.len; i++) {
		size_t n = 0;

		if (a->text.data[i] == ' ' && i + 3 < a->text.len && a->text.data[i + 1] == '[') {
			for (n = i + 2; n < a->text.len && strchr("0123456789?", a->text.data[n]); n++)
				;
			n = n < a->text.len && a->text.data[n] == ']' && n > i + 2 ? n + 1 - i : 0;
		}
		if (n)
			i += n - 1;
		else
			buf_addc(&b, a->text.data[i]);
	}
	buf_addc(&b, '\0');
	return buf_take(&b);
}

static bool same_text(const struct answer *a, const char *want)
{
	char *got = without_marks(a);
	bool same = !strcmp(got, want);

	if (!same)
		printf("# '%s' is not '%s'\n", got, want);
	free(got);
	return same;
}

static void test_on_demand(struct pages *p)
{
	struct answer_opts o = question();
	struct answer a;
	struct err e;

	o.question = "file 3 line 7";
	o.n_question = 13;
	o.no_encode = true;
	ok(answer_question(p, c, enc, &o, &a, &e) == ERR_MODEL, "with no_encode nothing is encoded");
	answer_release(&a);
	o.no_encode = false;
	ok(!answer_question(p, c, enc, &o, &a, &e) && a.encoded > 0 && a.by_attention && a.total >= a.encoded,
	   "a library is asked before it is encoded: what full text ranks first is");
	answer_release(&a);
}

static void test_exact(struct pages *p, const char *want, uint64_t total)
{
	struct answer_opts o = question();
	struct answer a, b;
	struct err e;
	int rc;

	ok(!answer_question(p, c, enc, &o, &a, &e) && a.exact && a.by_attention && a.attended == total &&
	   a.total == total && a.mass == 1 && a.encoded == 0, "attend all: every token of %d files", N_DOC);
	ok(same_text(&a, want), "the answer is that of a plain pass over all stored keys");
	ok(a.n_file == N_DOC, "it says how many files were asked");
	o.attend = total;
	ok(!answer_question(p, c, enc, &o, &b, &e) && b.exact && same_text(&b, want), "so many tokens as there are is all");
	answer_release(&b);
	o.attend = total / 4;
	rc = answer_question(p, c, enc, &o, &b, &e);
	ok(!rc && !b.exact && b.attended > 0 && b.attended < total && b.mass > 0 && b.mass < 1,
	   "a budget selects: %d of %d tokens, %.3f of the attention", (int)b.attended, (int)total, b.mass);
	answer_release(&a);
	answer_release(&b);
}

/* Two short files: each draws enough of a random model's attention to count as looked at. */
static void test_spans(struct pages *p, uint64_t attend)
{
	struct answer_opts o = question();
	struct answer a;
	struct err e;
	int bad = 0, rc;

	o.document = doc;
	o.n_document = 2;
	o.attend = attend;
	rc = answer_question(p, c, enc, &o, &a, &e);
	for (size_t i = 0; i < a.n_cite; i++) {
		int nr;

		bad += sscanf(a.span[a.cite[i].span].path, "dir/file%d.txt", &nr) != 1 || nr > 1 ||
		       !strstr(text[nr], a.cite[i].quote) || a.cite[i].first > a.cite[i].last ||
		       a.cite[i].weight < 0 || a.cite[i].weight > 1;
	}
	for (size_t i = 0; i < a.n_span; i++)
		bad += a.span[i].first < 1 || a.span[i].last < a.span[i].first || strcmp(a.span[i].source, "src") ||
		       strncmp(a.span[i].path, "dir/file0", 9) || a.span[i].score <= 0;
	ok(!rc && !bad && a.n_span >= 1 && a.n_cite + a.n_unsupported >= 1 && a.total < 2000,
	   "what it looked at is known by source, path and lines (%zu spans, %zu citations, %zu sentences without)",
	   a.n_span, a.n_cite, a.n_unsupported);
	answer_release(&a);
}

/* Full text says which of all files has the words, attention has its say. */
static void test_find(struct pages *p)
{
	struct answer_opts o = question();
	struct answer a, b;
	struct err e;
	int rc;

	o.question = "file 9 line 8";
	o.n_question = 13;
	o.n_span = 5;
	rc = answer_find_far(p, c, enc, &o, &a, &e);
	ok(!rc && a.n_span == 5 && a.span[0].score >= a.span[4].score && a.span[4].score > 0 && a.text.len == 0 &&
	   !strcmp(a.span[0].source, "src") && a.span[0].last >= a.span[0].first, "passages are ranked, without an answer");
	rc = answer_find_far(p, c, enc, &o, &b, &e);
	for (size_t i = 0; i < a.n_span; i++)
		rc |= a.span[i].span.id != b.span[i].span.id;
	ok(!rc, "the same every time");
	answer_release(&a);
	answer_release(&b);
	/* Words that stand nowhere: what is left is attention. */
	o.question = "zzzz qqqq";
	o.n_question = 9;
	o.document = doc;
	o.n_document = 2;
	rc = answer_find_far(p, c, enc, &o, &a, &e);
	ok(!rc && a.n_span >= 1 && a.span[0].score == 1, "without a shared word attention ranks alone");
	answer_release(&a);
}

static void test_damage(const char *want)
{
	struct answer_opts o = question();
	struct cat_mount *m;
	struct pages *p;
	struct answer a;
	uint64_t missing;
	struct err e;
	size_t n;
	int rc;

	must(pages_open(&p, lib, enc, &e), &e, "pages");
	must(cat_mounts(c, pages_engine(p), CAT_ISOLATED, &snapshot, 1, NULL, 0, NULL, &m, &n, &missing, &e), &e, "mounts");
	for (size_t i = 0; i < n; i += 5) {
		char *path = kv_store_path(pages_store(p), SEGMENT_KV, m[i].ref.number);
		int fd = open(path, O_RDWR);
		off_t at = (off_t)(m[i].ref.off + m[i].ref.bytes - 200);
		char byte = 0;

		if (fd < 0 || pread(fd, &byte, 1, at) != 1)
			ok(0, "a page is damaged");
		byte ^= 1;
		if (pwrite(fd, &byte, 1, at) != 1)
			ok(0, "a page is damaged");
		close(fd);
		free(path);
	}
	rc = answer_question(p, c, enc, &o, &a, &e);
	ok(!rc && a.encoded > 0 && same_text(&a, want),
	   "damaged pages are encoded again and the answer is the same (%d tokens)", (int)a.encoded);
	answer_release(&a);
	ok(!answer_question(p, c, enc, &o, &a, &e) && a.encoded == 0 && same_text(&a, want), "once");
	answer_release(&a);
	pages_close(p);
	free(m);
}

static void test_laws(struct pages *p)
{
	struct answer_opts o = question();
	struct answer a;
	struct err e;

	for (int i = 0; i < 3; i++) {
		o.law = (enum plan_law)i;
		ok(!answer_question(p, c, enc, &o, &a, &e) && a.exact, "temperature by law %d", i);
		answer_release(&a);
	}
}

int main(void)
{
	struct pages_result result;
	struct pages *p;
	struct err e;
	float *first;
	char *want;

	temp_make();
	tiny_model_of(temp_path("tiny.gguf"), 11, "llama4");
	open_all();
	fill();
	must(pages_open(&p, lib, enc, &e), &e, "pages");
	test_on_demand(p);
	must(pages_snapshot(p, snapshot, NULL, NULL, &result, &e), &e, "encode");
	first = malloc(engine_plan(en)->n_vocab * sizeof(*first));
	want = by_oracle(p, first);
	ok(strlen(want) > 0, "the oracle says something");
	test_exact(p, want, result.total);
	test_spans(p, ATTEND_ALL);
	test_spans(p, 100);
	test_find(p);
	test_laws(p);
	pages_close(p);
	test_damage(want);
	free(first);
	free(want);
	for (int i = 0; i < N_DOC; i++)
		free(text[i]);
	lib_close(lib);
	encoder_close(enc);
	tok_close(tok);
	engine_close(en);
	return done();
}
