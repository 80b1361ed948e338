#include "config.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"

#include "engine/gguf.h"
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

static uint64_t n_vocab(const struct gguf *g)
{
	uint64_t n = 0;

	gguf_arr_strs(g, "tokenizer.ggml.tokens", &n);
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
	jw_uint(&j, "n_vocab", n_vocab(f->g));
	if (arch_f32(f, "rope.freq_base", &x))
		jw_real(&j, "rope_base", (double)x);
	jw_close(&j);
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
	row_num(c, b, "vocabulary", n_vocab(f->g));
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
	gguf_close(g);
	return rc ? fail(c, &e) : EXIT_DONE;
}
