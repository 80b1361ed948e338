#include "config.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"

#include "engine/gguf.h"
#include "engine/plan.h"
#include "engine/quant.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tensors of one type, added up. */
struct by_type {
	int      type;
	uint64_t n_tensor, n_elem, n_byte;
};

struct facts {
	const struct gguf *g;
	struct plan plan;
	bool     has_plan;	/* false: an architecture we cannot run, with the reason in why */
	struct err why;
	char     arch[64];
	struct by_type type[64];
	size_t   n_type;
	uint64_t n_param, n_byte;
};

static void copy_str(char *out, size_t n, struct gguf_str s)
{
	snprintf(out, n, "%.*s", (int)(s.n < n ? s.n : n - 1), s.s);
}

static void gather(struct facts *f, const struct gguf *g)
{
	struct gguf_str s;

	*f = (struct facts){ .g = g };
	f->has_plan = !plan_read(&f->plan, g, &f->why);
	if (gguf_get_str(g, "general.architecture", &s))
		copy_str(f->arch, sizeof(f->arch), s);
	for (uint64_t i = 0; i < gguf_n_tensor(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);
		uint64_t elems = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
		size_t k;

		for (k = 0; k < f->n_type && f->type[k].type != t->type; k++)
			;
		if (k == f->n_type && k < sizeof(f->type) / sizeof(*f->type))
			f->type[f->n_type++].type = t->type;
		if (k < f->n_type) {
			f->type[k].n_tensor++;
			f->type[k].n_elem += elems;
			f->type[k].n_byte += t->n_byte;
		}
		f->n_param += elems;
		f->n_byte += t->n_byte;
	}
}

/* A key of the architecture, "llama.block_count". */
static bool arch_u64(const struct facts *f, const char *leaf, uint64_t *out)
{
	char key[160];

	snprintf(key, sizeof(key), "%s.%s", f->arch, leaf);
	return gguf_get_u64(f->g, key, out);
}

static bool arch_f32(const struct facts *f, const char *leaf, float *out)
{
	char key[160];

	snprintf(key, sizeof(key), "%s.%s", f->arch, leaf);
	return gguf_get_f32(f->g, key, out);
}

/* Bytes of K and V that a token leaves in the far layers, and in all of them, in f16. */
static uint64_t kv_bytes(const struct plan *p, uint32_t n_layer)
{
	return 2ull * 2 * n_layer * p->n_head_kv * p->head_dim;
}

static void plan_json(const struct facts *f, struct jw *j)
{
	const struct plan *p = &f->plan;

	if (!f->has_plan) {
		jw_null(j, "plan");
		jw_str(j, "not_supported", f->why.msg);
		return;
	}
	jw_open(j, "plan", '{');
	jw_str(j, "kind", plan_is_irope(p) ? "irope" : "all-rope");
	jw_uint(j, "n_far", p->n_far);
	jw_uint(j, "attn_chunk", p->attn_chunk);
	jw_uint(j, "kv_bytes_per_token", kv_bytes(p, p->n_far));
	jw_uint(j, "kv_bytes_per_token_all_layers", kv_bytes(p, p->n_layer));
	jw_open(j, "layers", '[');
	for (uint32_t i = 0; i < p->n_layer; i++) {
		const struct plan_layer *l = &p->layer[i];

		jw_open(j, NULL, '{');
		jw_bool(j, "far", l->is_far);
		jw_bool(j, "rope", l->uses_rope);
		jw_bool(j, "temperature", l->scales_query);
		jw_bool(j, "moe", l->is_moe);
		jw_close(j);
	}
	jw_close(j);
	jw_close(j);
}

/* The numbers people ask for, as the file says them. */
static const struct shape_key {
	const char *leaf, *json, *words;
} shape_keys[] = {
	{ "block_count", "n_layer", "layers" },
	{ "embedding_length", "n_embd", "embedding" },
	{ "attention.head_count", "n_head", "query heads" },
	{ "attention.head_count_kv", "n_head_kv", "key/value heads" },
	{ "attention.key_length", "head_dim", "head size" },
	{ "feed_forward_length", "n_ff", "feed-forward" },
	{ "context_length", "n_ctx_train", "trained context" },
	{ "expert_count", "n_expert", "experts" },
	{ "expert_used_count", "n_expert_used", "experts a token uses" },
	{ "attention.sliding_window", "window", "window" },
};

static uint64_t n_vocab(const struct facts *f)
{
	uint64_t n = f->has_plan ? f->plan.n_vocab : 0;

	gguf_arr_strs(f->g, "tokenizer.ggml.tokens", &n);
	return n;
}

static void info_json(struct ctx *c, const struct facts *f, struct buf *b)
{
	struct jw j = { .out = b };
	struct gguf_str s;
	uint64_t v;
	float x;

	jw_open(&j, NULL, '{');
	jw_str(&j, "schema", "folio.model/1");
	jw_path(&j, "path", gguf_path(f->g), strlen(gguf_path(f->g)));
	jw_str(&j, "architecture", f->arch);
	if (gguf_get_str(f->g, "general.name", &s))
		jw_strn(&j, "name", s.s, s.n);
	if (gguf_get_str(f->g, "general.license", &s))
		jw_strn(&j, "licence", s.s, s.n);
	jw_int(&j, "parts", gguf_n_part(f->g));
	jw_uint(&j, "bytes", gguf_file_bytes(f->g));
	jw_uint(&j, "parameters", f->n_param);
	jw_real(&j, "bits_per_weight",
		f->n_param ? 8.0 * (double)f->n_byte / (double)f->n_param : 0);
	jw_open(&j, "shape", '{');
	for (size_t i = 0; i < sizeof(shape_keys) / sizeof(*shape_keys); i++)
		if (arch_u64(f, shape_keys[i].leaf, &v))
			jw_uint(&j, shape_keys[i].json, v);
	jw_uint(&j, "n_vocab", n_vocab(f));
	if (arch_f32(f, "rope.freq_base", &x))
		jw_real(&j, "rope_base", (double)x);
	jw_close(&j);
	plan_json(f, &j);
	jw_open(&j, "tokenizer", '{');
	if (gguf_get_str(f->g, "tokenizer.ggml.model", &s))
		jw_strn(&j, "model", s.s, s.n);
	if (gguf_get_str(f->g, "tokenizer.ggml.pre", &s))
		jw_strn(&j, "pre", s.s, s.n);
	jw_bool(&j, "chat_template", gguf_get_str(f->g, "tokenizer.chat_template", &s));
	jw_close(&j);
	jw_open(&j, "types", '[');
	for (size_t i = 0; i < f->n_type; i++) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "type", quant_name(f->type[i].type));
		jw_uint(&j, "tensors", f->type[i].n_tensor);
		jw_uint(&j, "elements", f->type[i].n_elem);
		jw_uint(&j, "bytes", f->type[i].n_byte);
		jw_close(&j);
	}
	jw_close(&j);
	if (c->g.verbose) {
		jw_open(&j, "tensors", '[');
		for (uint64_t i = 0; i < gguf_n_tensor(f->g); i++) {
			const struct gguf_tensor *t = gguf_tensor_at(f->g, i);

			jw_open(&j, NULL, '{');
			jw_strn(&j, "name", t->name.s, t->name.n);
			jw_str(&j, "type", quant_name(t->type));
			jw_open(&j, "shape", '[');
			for (int d = 0; d < t->n_dim; d++)
				jw_uint(&j, NULL, t->ne[d]);
			jw_close(&j);
			jw_uint(&j, "bytes", t->n_byte);
			jw_close(&j);
		}
		jw_close(&j);
	}
	jw_close(&j);
	jw_end_line(&j);
}

static void row(struct ctx *c, struct buf *b, const char *name, const char *text, size_t n)
{
	buf_addf(b, "%s%-21s%s", term_style(&c->out, STYLE_BOLD), name,
		 term_style(&c->out, STYLE_PLAIN));
	term_text(b, text, n, false);
	buf_addc(b, '\n');
}

static void row_str(struct ctx *c, const struct facts *f, struct buf *b, const char *name,
		    const char *key)
{
	struct gguf_str s;

	if (gguf_get_str(f->g, key, &s))
		row(c, b, name, s.s, s.n < 200 ? s.n : 200);
}

static void row_num(struct ctx *c, struct buf *b, const char *name, uint64_t v)
{
	char text[32];

	row(c, b, name, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, v));
}

/* "0-2 near, RoPE, dense" for every run of layers that are alike. */
static void layers_text(struct ctx *c, const struct plan *p, struct buf *b)
{
	for (uint32_t i = 0, from = 0; i < p->n_layer; i++) {
		const struct plan_layer *l = &p->layer[i], *next = l + 1;
		char text[128], name[32];
		int n;

		if (i + 1 < p->n_layer && l->uses_rope == next->uses_rope &&
		    l->is_far == next->is_far && l->scales_query == next->scales_query &&
		    l->is_moe == next->is_moe)
			continue;
		if (from == i)
			snprintf(name, sizeof(name), "layer %" PRIu32, i);
		else
			snprintf(name, sizeof(name), "layers %" PRIu32 "-%" PRIu32, from, i);
		n = snprintf(text, sizeof(text), "%s, %s%s, %s", l->is_far ? "far" : "near",
			     l->uses_rope ? "RoPE" : "NoPE",
			     l->scales_query ? ", temperature" : "", l->is_moe ? "MoE" : "dense");
		row(c, b, name, text, (size_t)n);
		from = i + 1;
	}
}

static void plan_text(struct ctx *c, const struct facts *f, struct buf *b)
{
	const struct plan *p = &f->plan;
	char far[16], all[16], text[160];
	int n;

	if (!f->has_plan) {
		row(c, b, "not supported", f->why.msg, strlen(f->why.msg));
		return;
	}
	n = snprintf(text, sizeof(text), "%s, %" PRIu32 " of %" PRIu32 " layers are far",
		     plan_is_irope(p) ? "iRoPE" : "all-RoPE", p->n_far, p->n_layer);
	row(c, b, "plan", text, (size_t)n);
	if (p->attn_chunk) {
		n = snprintf(text, sizeof(text), "%" PRIu32 " tokens", p->attn_chunk);
		row(c, b, "chunk of near layers", text, (size_t)n);
	}
	n = snprintf(text, sizeof(text), "%s a token in f16, %s with all layers",
		     term_bytes(far, (double)kv_bytes(p, p->n_far)),
		     term_bytes(all, (double)kv_bytes(p, p->n_layer)));
	row(c, b, "memory kept", text, (size_t)n);
	if (c->g.verbose)
		layers_text(c, p, b);
}

static void tensors_text(const struct facts *f, struct buf *b)
{
	for (uint64_t i = 0; i < gguf_n_tensor(f->g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(f->g, i);
		struct buf shape = { 0 };

		for (int d = 0; d < t->n_dim; d++)
			buf_addf(&shape, "%s%" PRIu64, d ? " x " : "", t->ne[d]);
		buf_addf(b, "  %-6s %-24s ", quant_name(t->type), shape.data ? shape.data : "");
		term_text(b, t->name.s, t->name.n, false);
		buf_addc(b, '\n');
		buf_release(&shape);
	}
}

static void info_text(struct ctx *c, const struct facts *f, struct buf *b)
{
	char text[64], size[16], count[16];
	struct gguf_str s;
	uint64_t v;
	float x;
	int n;

	row(c, b, "file", gguf_path(f->g), strlen(gguf_path(f->g)));
	row(c, b, "architecture", f->arch, strlen(f->arch));
	row_str(c, f, b, "name", "general.name");
	row_str(c, f, b, "licence", "general.license");
	n = snprintf(text, sizeof(text), "%s%s", term_bytes(size, (double)gguf_file_bytes(f->g)),
		     gguf_n_part(f->g) > 1 ? ", split" : "");
	row(c, b, "size", text, (size_t)n);
	n = snprintf(text, sizeof(text), "%s, %.2f bits each", term_count(count, (double)f->n_param),
		     f->n_param ? 8.0 * (double)f->n_byte / (double)f->n_param : 0);
	row(c, b, "parameters", text, (size_t)n);
	for (size_t i = 0; i < sizeof(shape_keys) / sizeof(*shape_keys); i++)
		if (arch_u64(f, shape_keys[i].leaf, &v))
			row_num(c, b, shape_keys[i].words, v);
	if (arch_f32(f, "rope.freq_base", &x)) {
		n = snprintf(text, sizeof(text), "%g", (double)x);
		row(c, b, "RoPE base", text, (size_t)n);
	}
	plan_text(c, f, b);
	row_num(c, b, "vocabulary", n_vocab(f));
	row_str(c, f, b, "pre-tokenizer", "tokenizer.ggml.pre");
	row(c, b, "chat template", gguf_get_str(f->g, "tokenizer.chat_template", &s) ? "yes" : "no",
	    gguf_get_str(f->g, "tokenizer.chat_template", &s) ? 3 : 2);
	for (size_t i = 0; i < f->n_type; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s tensors", quant_name(f->type[i].type));
		n = snprintf(text, sizeof(text), "%" PRIu64 ", %s", f->type[i].n_tensor,
			     term_bytes(size, (double)f->type[i].n_byte));
		row(c, b, name, text, (size_t)n);
	}
	if (c->g.verbose)
		tensors_text(f, b);
}

int model_info(struct ctx *c, int argc, char **argv)
{
	struct facts f;
	struct gguf *g;
	struct buf b = { 0 };
	struct err e;
	char *path;
	int rc;

	(void)argc;
	rc = model_resolve(argv[0], &path, &e);
	if (!rc)
		rc = gguf_open(&g, path, &e);
	free(path);
	if (rc)
		return fail(c, &e);
	gather(&f, g);
	if (c->g.json || c->g.jsonl)
		info_json(c, &f, &b);
	else
		info_text(c, &f, &b);
	if (b.failed)
		rc = err_nomem(&e);
	else
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	if (f.has_plan)
		plan_release(&f.plan);
	gguf_close(g);
	return rc ? fail(c, &e) : EXIT_DONE;
}
