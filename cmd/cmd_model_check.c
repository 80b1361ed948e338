/* folio model check: are the weights numbers, do the kernels compute right on this machine, and how well do
 * the fast ones agree with the reference on real text? */
#include "config.h"

#include "cmd/check_text.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/progress.h"

#include "base/size.h"
#include "base/stop.h"
#include "engine/agree.h"
#include "engine/engine.h"
#include "engine/kern.h"
#include "engine/selftest.h"
#include "engine/tok.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) OPT_AT(struct model_check_opts, field)
#define SLICE 64	/* positions compared at a time: two rows of logits each */
#define WINDOW 2048	/* tokens of one sequence at most */
#define MAX_SETS 8

const struct opt model_check_opts[] = {
	{ "positions", 0, OPT_INT, AT(positions), "N", .help = "compare so many positions of text; 0: none",
	  .def = "2000" },
	{ "set", 0, OPT_STR, AT(set), "SET", .help = "compare this kernel set, avx2 or avx512" },
	OPT_END
};

struct check {
	struct ctx *c;
	const char *path;
	uint64_t n_tensor, n_byte;
	const char *set[MAX_SETS];
	struct selftest test[MAX_SETS];
	size_t n_set;
	const char *fast;	/* the kernel set compared */
	const char *skipped;	/* why none was; NULL when one was */
	struct agree agree;
};

/* ---- the parts ---- */

static int scan(struct check *k, const struct model *m, struct err *e)
{
	struct progress bar;
	uint64_t total = 0;
	int rc = 0;

	k->n_tensor = gguf_n_tensor(m->gguf);
	for (uint64_t i = 0; i < k->n_tensor; i++)
		total += gguf_tensor_at(m->gguf, i)->n_byte;
	progress_start(&bar, k->c, "reading weights", PROGRESS_BYTES, total);
	for (uint64_t i = 0; i < k->n_tensor && !rc; i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->gguf, i);

		rc = model_scan_tensor(m, t, e);
		k->n_byte += t->n_byte;
		progress_set(&bar, k->n_byte, NULL);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted while reading weights");
	}
	progress_end(&bar);
	return rc;
}

static int test_kernels(struct check *k, struct err *e)
{
	const struct kern *kern;
	int rc = 0;

	for (int i = 1; (kern = kern_at(i)) && k->n_set < MAX_SETS && !rc; i++) {
		k->set[k->n_set] = kern->name;
		rc = selftest_run(kern, &k->test[k->n_set++], e);
	}
	return rc;
}

struct pair {
	struct engine *ref, *fast;
	struct kv *ref_kv, *fast_kv;
	float *ref_logits, *fast_logits;
};

static void pair_release(struct pair *p)
{
	kv_free(p->ref_kv);
	kv_free(p->fast_kv);
	engine_close(p->ref);
	engine_close(p->fast);
	free(p->ref_logits);
	free(p->fast_logits);
}

static int pair_open(struct pair *p, const struct check *k, struct err *e)
{
	struct engine_opts o = { .n_thread = ctx_threads(k->c), .kernels = "ref", .n_batch = SLICE };
	int rc = engine_open(&p->ref, k->path, &o, e);
	size_t n;

	o.kernels = k->fast;
	if (!rc)
		rc = engine_open(&p->fast, k->path, &o, e);
	if (rc)
		return rc;
	n = (size_t)SLICE * engine_plan(p->ref)->n_vocab;
	p->ref_logits = malloc(n * sizeof(float));
	p->fast_logits = malloc(n * sizeof(float));
	return p->ref_logits && p->fast_logits ? 0 : err_nomem(e);
}

/* A sequence ends where the model's context does; the next one begins with what comes then. */
static int compare(struct check *k, struct pair *p, const struct tok_ids *ids, size_t n, struct err *e)
{
	const struct plan *plan = engine_plan(p->ref);
	size_t window = MIN((size_t)WINDOW, MAX((size_t)plan->n_ctx_train, (size_t)1)), used = window, m;
	struct progress bar;
	int rc = 0;

	progress_start(&bar, k->c, "comparing", PROGRESS_TOKENS, n);
	for (size_t at = 0; at < n && !rc; at += m) {
		if (used == window) {
			kv_free(p->ref_kv), kv_free(p->fast_kv);
			p->ref_kv = p->fast_kv = NULL;
			used = 0;
			rc = engine_seq(p->ref, NULL, &p->ref_kv, e);
			if (!rc)
				rc = engine_seq(p->fast, NULL, &p->fast_kv, e);
		}
		m = MIN((size_t)SLICE, MIN(n - at, window - used));
		if (!rc)
			rc = engine_feed(p->ref, p->ref_kv, ids->id + at, m, p->ref_logits, true, NULL, e);
		if (!rc)
			rc = engine_feed(p->fast, p->fast_kv, ids->id + at, m, p->fast_logits, true, NULL, e);
		for (size_t t = 0; t < m && !rc; t++)
			agree_add(&k->agree, p->ref_logits + t * plan->n_vocab, p->fast_logits + t * plan->n_vocab,
				  plan->n_vocab, ids->id[at + t + 1]);
		used += m;
		progress_set(&bar, at + m, NULL);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted after %zu of %zu positions", at + m, n);
	}
	progress_end(&bar);
	return rc;
}

static int agreement(struct check *k, const struct model *model, size_t want, struct err *e)
{
	struct tok_ids ids = { 0 };
	struct pair p = { 0 };
	struct tok *tok = NULL;
	size_t n;
	int rc;

	if (tok_open(&tok, model->gguf, e)) {
		k->skipped = "the file has no tokenizer that this program knows";
		return 0;
	}
	rc = tok_encode(tok, check_text, check_text_bytes, TOK_BOS, &ids, NULL, e);
	tok_close(tok);
	n = ids.n ? MIN(want, ids.n - 1) : 0;
	if (!rc && n < want)
		note(k->c, "the text has %zu positions, not %zu", n, want);
	if (!rc)
		rc = pair_open(&p, k, e);
	if (!rc)
		rc = compare(k, &p, &ids, n, e);
	pair_release(&p);
	free(ids.id);
	return rc;
}

/* ---- what is said ---- */

static bool good(const struct check *k)
{
	bool all = k->skipped || agree_good(&k->agree);

	for (size_t i = 0; i < k->n_set; i++)
		all &= k->test[i].n_bad == 0;
	return all;
}

static void print_json(const struct check *k)
{
	const struct agree *a = &k->agree;
	struct buf b = { 0 };
	struct jw j = { .out = &b };

	jw_open(&j, NULL, '{');
	if (k->c->g.jsonl)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.check/1");
	jw_path(&j, "path", k->path, strlen(k->path));
	jw_bool(&j, "pass", good(k));
	jw_open(&j, "weights", '{');
	jw_uint(&j, "tensors", k->n_tensor);
	jw_uint(&j, "bytes", k->n_byte);
	jw_bool(&j, "finite", true);
	jw_close(&j);
	jw_open(&j, "kernels", '[');
	for (size_t i = 0; i < k->n_set; i++) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "set", k->set[i]);
		jw_uint(&j, "comparisons", k->test[i].n);
		jw_uint(&j, "failed", k->test[i].n_bad);
		jw_real(&j, "worst", k->test[i].worst);
		jw_str(&j, "worst_at", k->test[i].where);
		jw_close(&j);
	}
	jw_close(&j);
	if (k->skipped) {
		jw_null(&j, "agreement");
		jw_str(&j, "agreement_skipped", k->skipped);
	} else {
		jw_open(&j, "agreement", '{');
		jw_str(&j, "set", k->fast);
		jw_uint(&j, "positions", a->n);
		jw_real(&j, "top1", agree_top1(a));
		jw_real(&j, "kl", agree_kl(a));
		jw_real(&j, "worst_kl", a->worst_kl);
		jw_uint(&j, "worst_position", a->worst_at);
		jw_real(&j, "perplexity_ref", agree_ppl_ref(a));
		jw_real(&j, "perplexity", agree_ppl_fast(a));
		jw_real(&j, "ratio", agree_ratio(a));
		jw_bool(&j, "pass", agree_good(a));
		jw_close(&j);
	}
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

static void verdict(const struct check *k, bool pass)
{
	const struct term *t = &k->c->out;

	printf("  %s%s%s\n", term_style(t, pass ? STYLE_GOOD : STYLE_BAD), pass ? "pass" : "FAIL",
	       term_style(t, STYLE_PLAIN));
}

static void print_text(const struct check *k)
{
	const struct agree *a = &k->agree;
	char size[16];

	printf("weights     %llu tensors, %s, all finite                          ", (unsigned long long)k->n_tensor,
	       term_bytes(size, (double)k->n_byte));
	verdict(k, true);
	for (size_t i = 0; i < k->n_set; i++) {
		const struct selftest *s = &k->test[i];

		printf("kernels     %-7s %u of %u comparisons; worst at %.0f %% of its limit: %s", k->set[i],
		       s->n - s->n_bad, s->n, 100 * s->worst, s->where);
		verdict(k, s->n_bad == 0);
	}
	if (!k->n_set)
		puts("kernels     this processor runs the reference alone");
	if (k->skipped) {
		printf("agreement   not measured: %s\n", k->skipped);
		return;
	}
	printf("agreement   %s beside the reference, %llu positions of text\n", k->fast, (unsigned long long)a->n);
	printf("            same largest logit %8.2f %%   (at least %.0f %%)", 100 * agree_top1(a), 100 * AGREE_TOP1);
	verdict(k, agree_top1(a) >= AGREE_TOP1);
	printf("            mean KL divergence %10.2e (at most %.0e)", agree_kl(a), AGREE_KL);
	verdict(k, agree_kl(a) <= AGREE_KL);
	printf("            perplexity %.4f, reference %.4f: %+.3f %% (within %.1f %%)", agree_ppl_fast(a),
	       agree_ppl_ref(a), 100 * (agree_ratio(a) - 1), 100 * AGREE_PPL);
	verdict(k, fabs(agree_ratio(a) - 1) <= AGREE_PPL);
}

/* ---- the command ---- */

static int run(struct check *k, const struct model_check_opts *o, struct err *e)
{
	const char *set = o->set ? o->set : ctx_kernels(k->c);
	const struct kern *fast = kern_choose(set);
	struct model *model;
	int rc;

	if (!fast) {
		err_set(e, ERR_INVALID, "kernel set '%s' is not possible on this processor", set);
		return err_hint(e, ERR_INVALID, "'folio doctor' lists those that are");
	}
	k->fast = fast->name;
	if (fast == &kern_ref)
		k->skipped = "the kernels in use are the reference";
	else if (o->positions == 0)
		k->skipped = "no positions asked for";
	rc = model_open(&model, k->path, e);
	if (rc)
		return rc;
	rc = scan(k, model, e);
	if (!rc)
		rc = test_kernels(k, e);
	if (!rc && !k->skipped)
		rc = agreement(k, model, (size_t)o->positions, e);
	model_close(model);
	return rc;
}

int model_check(struct ctx *c, int argc, char **argv)
{
	struct check k = { .c = c };
	char *path = NULL;
	struct err e;
	int rc = argc ? model_resolve(argv[0], &path, &e) : model_find(c, NULL, &path, &e);

	k.path = path;
	if (!rc)
		rc = run(&k, c->opts, &e);
	if (!rc && (c->g.json || c->g.jsonl))
		print_json(&k);
	else if (!rc)
		print_text(&k);
	free(path);
	return rc ? fail(c, &e) : good(&k) ? EXIT_DONE : EXIT_NO;
}
