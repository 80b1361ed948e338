/* folio generate: plain completion, no library. */
#include "config.h"

#include "cmd/cmd_generate.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/progress.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/stop.h"
#include "cache/catalog.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "engine/engine.h"
#include "engine/sample.h"
#include "engine/tok.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field) OPT_AT(struct generate_opts, field)

const struct opt generate_opts[] = {
	{ "max-tokens", 'n', OPT_INT, AT(n), "N", .help = "tokens to generate at most", .def = "256" },
	{ "temperature", 0, OPT_REAL, AT(temperature), "T", .help = "0 is greedy; higher is bolder", .def = "0",
	  .group = "Sampling" },
	{ "top-p", 0, OPT_REAL, AT(top_p), "P", .help = "keep the most probable tokens up to this sum", .def = "1",
	  .group = "Sampling" },
	{ "min-p", 0, OPT_REAL, AT(min_p), "P", .help = "keep tokens of at least this share of the best one's "
	  "probability", .def = "0", .group = "Sampling" },
	{ "repeat-penalty", 0, OPT_REAL, AT(repeat_penalty), "F", .help = "divide the logits of the last 64 tokens",
	  .def = "1", .group = "Sampling" },
	{ "seed", 0, OPT_INT, AT(seed), "N", .help = "seed of the draw", .def = "42", .group = "Sampling" },
	{ "special", 0, OPT_FLAG, AT(special), NULL, .help = "special tokens written in the prompt count as such" },
	OPT_END
};

int cmd_open_model(struct ctx *c, const char *library_model, struct engine **en, struct tok **tok, struct err *e)
{
	struct engine_opts o = { .n_thread = ctx_threads(c),
				 .kernels = ctx_kernels(c) };
	char *path;
	int rc = model_find(c, library_model, &path, e);

	*en = NULL;
	if (rc)
		return rc;
	rc = engine_open(en, path, &o, e);
	free(path);
	if (!rc && tok)
		rc = tok_open(tok, engine_model(*en)->gguf, e);
	if (rc) {
		engine_close(*en);
		*en = NULL;
	}
	return rc;
}

int cmd_open_encoder(struct library *lib, struct engine *en, struct tok *tok, struct encoder **out, struct err *e)
{
	static const enum kv_type types[] = { KV_Q8, KV_Q4, KV_F16, KV_Q8 };
	struct cat_engine found;
	int rc = 0;

	*out = NULL;
	for (size_t i = 0; i < ARRAY_LEN(types) && !rc; i++) {
		encoder_close(*out);
		rc = encoder_open(out, en, tok, types[i], e);
		if (!rc && !cat_engine_find(lib_catalog(lib), encoder_fingerprint(*out), &found, NULL))
			break;
	}
	return rc;
}

int cmd_read_text(const char *arg, struct buf *out, struct err *e)
{
	size_t n;

	if (strcmp(arg, "-")) {
		buf_adds(out, arg);
		return out->failed ? err_nomem(e) : 0;
	}
	do {
		if (!buf_reserve(out, 65536))
			return err_nomem(e);
		n = fread(out->data + out->len, 1, 65536, stdin);
		out->len += n;
	} while (n);
	if (ferror(stdin))
		return err_set(e, ERR_IO, "cannot read standard input");
	return 0;
}

struct run {
	struct ctx *c;
	struct engine *en;
	struct tok *tok;
	struct kv *kv;
	struct sampler *sampler;
	float *logits;
	struct tok_ids ids;	/* prompt and answer */
	size_t n_prompt;
	struct buf text;	/* the answer so far */
	bool stopped;		/* by a stop token */
	double t_prompt, t_answer;
};

static int prompt(struct run *r, const struct generate_opts *o, const char *arg, struct err *e)
{
	struct buf text = { 0 };
	int rc = cmd_read_text(arg, &text, e);

	if (!rc)
		rc = tok_encode(r->tok, text.data ? text.data : "", text.len,
				TOK_BOS | (o->special ? TOK_SPECIAL : 0), &r->ids, NULL, e);
	buf_release(&text);
	if (!rc && r->ids.n == 0) {
		err_set(e, ERR_INVALID, "the prompt is empty");
		rc = err_hint(e, ERR_INVALID, "give at least one character, or pipe text to 'folio generate -'");
	}
	r->n_prompt = r->ids.n;
	return rc;
}

/* The context a model was trained for is the user's to exceed, but not in silence. */
static void warn_context(struct run *r, int64_t n)
{
	uint32_t limit = engine_plan(r->en)->n_ctx_train;

	if ((uint64_t)r->n_prompt + (uint64_t)n > limit)
		warn(r->c, "%zu tokens of prompt and %lld to generate exceed the context of %u this model "
		     "was trained for", r->n_prompt, (long long)n, limit);
}

static int feed_prompt(struct run *r, struct err *e)
{
	struct progress p;
	size_t batch = ENGINE_BATCH;
	double start = clock_now();
	int rc = 0;

	progress_start(&p, r->c, "reading", PROGRESS_TOKENS, r->n_prompt);
	for (size_t i = 0; i < r->n_prompt && !rc; i += batch) {
		size_t n = r->n_prompt - i < batch ? r->n_prompt - i : batch;

		rc = engine_feed(r->en, r->kv, r->ids.id + i, n, i + n == r->n_prompt ? r->logits : NULL, false,
				 NULL, e);
		progress_set(&p, i + n, NULL);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted while reading the prompt");
	}
	progress_end(&p);
	r->t_prompt = clock_now() - start;
	return rc;
}

/* A piece of the answer as it comes. */
static void put_piece(struct ctx *c, const char *text, size_t n)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };

	if (c->g.jsonl) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "event", "token");
		jw_strn(&j, "text", text, n);
		jw_close(&j);
		jw_end_line(&j);
		fwrite(b.data ? b.data : "", 1, b.len, stdout);
		buf_release(&b);
	} else {
		fwrite(text, 1, n, stdout);
	}
	fflush(stdout);
}

static int answer(struct run *r, int64_t n_max, struct err *e)
{
	struct tok_stream stream = { 0 };
	size_t shown = 0;
	double start = clock_now();
	bool live = !r->c->g.json;	/* with --jsonl each piece is an event */
	int rc = 0;

	for (int64_t i = 0; i < n_max && !rc && !stop_requested(); i++) {
		int32_t id = sampler_next(r->sampler, r->logits, r->ids.id, r->ids.n);

		if (tok_is_stop(r->tok, id)) {
			r->stopped = true;
			break;
		}
		if (r->ids.n == r->ids.cap) {
			size_t cap = 2 * r->ids.cap + 64;
			int32_t *more = realloc(r->ids.id, cap * sizeof(*more));

			if (!more)
				return err_nomem(e);
			r->ids.id = more;
			r->ids.cap = cap;
		}
		r->ids.id[r->ids.n++] = id;
		tok_stream_push(r->tok, &stream, id, &r->text);
		if (live && r->text.len > shown) {
			put_piece(r->c, r->text.data + shown, r->text.len - shown);
			shown = r->text.len;
		}
		if (i + 1 < n_max)
			rc = engine_feed(r->en, r->kv, &id, 1, r->logits, false, NULL, e);
	}
	tok_stream_flush(&stream, &r->text);
	r->t_answer = clock_now() - start;
	if (live && r->text.len > shown)
		put_piece(r->c, r->text.data + shown, r->text.len - shown);
	if (live && !r->c->g.jsonl)
		fputc('\n', stdout);
	return rc;
}

static void print_json(const struct run *r, const struct sample_opts *s)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	size_t n = r->ids.n - r->n_prompt;

	jw_open(&j, NULL, '{');
	if (r->c->g.jsonl)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.completion/1");
	jw_strn(&j, "text", r->text.data ? r->text.data : "", r->text.len);
	jw_open(&j, "tokens", '[');
	for (size_t i = r->n_prompt; i < r->ids.n; i++)
		jw_int(&j, NULL, r->ids.id[i]);
	jw_close(&j);
	jw_str(&j, "finish", r->stopped ? "stop" : stop_requested() ? "interrupted" : "length");
	jw_uint(&j, "prompt_tokens", r->n_prompt);
	jw_uint(&j, "seed", s->seed);
	jw_str(&j, "kernels", engine_kernels(r->en));
	jw_open(&j, "timing_ms", '{');
	jw_real(&j, "prefill", 1e3 * r->t_prompt);
	jw_real(&j, "decode", 1e3 * r->t_answer);
	jw_real(&j, "tokens_per_s", r->t_answer > 0 ? (double)n / r->t_answer : 0);
	jw_close(&j);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

int cmd_generate(struct ctx *c, int argc, char **argv)
{
	const struct generate_opts *o = c->opts;
	struct sample_opts s = { .temperature = o->temperature, .top_p = o->top_p, .min_p = o->min_p,
				 .repeat_penalty = o->repeat_penalty, .seed = (uint64_t)o->seed };
	struct run r = { .c = c };
	struct err e;
	int rc;

	(void)argc;
	rc = cmd_open_model(c, NULL, &r.en, &r.tok, &e);
	if (!rc)
		rc = sampler_new(&r.sampler, &s, engine_plan(r.en)->n_vocab, &e);
	if (!rc)
		rc = prompt(&r, o, argv[0], &e);
	if (!rc)
		rc = engine_seq(r.en, NULL, &r.kv, &e);
	if (!rc && !(r.logits = malloc(engine_plan(r.en)->n_vocab * sizeof(float))))
		rc = err_nomem(&e);
	if (!rc) {
		warn_context(&r, o->n);
		rc = feed_prompt(&r, &e);
	}
	if (!rc)
		rc = answer(&r, o->n, &e);
	if (!rc && (c->g.json || c->g.jsonl))
		print_json(&r, &s);
	if (!rc) {
		detail(c, "%s kernels, %d threads; prompt %zu tokens, %.1f tokens/s; answer %zu tokens, %.1f tokens/s",
		       engine_kernels(r.en), engine_threads(r.en), r.n_prompt, (double)r.n_prompt / r.t_prompt,
		       r.ids.n - r.n_prompt, (double)(r.ids.n - r.n_prompt) / r.t_answer);
		if (stop_requested())
			rc = err_set(&e, ERR_INTR, "interrupted");
	}
	kv_free(r.kv);
	sampler_free(r.sampler);
	free(r.logits);
	free(r.ids.id);
	buf_release(&r.text);
	tok_close(r.tok);
	engine_close(r.en);
	return rc ? fail(c, &e) : EXIT_DONE;
}
