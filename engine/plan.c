#include "config.h"

#include "engine/plan.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an architecture's name alone says. */
struct arch {
	const char *name;
	enum plan_rope rope;
	enum plan_qk_norm qk_norm;
	uint32_t nope_interval;		/* every n-th layer is NoPE; 0 = none */
};

static const struct arch ARCHS[] = {
	{ "llama",   PLAN_ROPE_NORM, PLAN_QK_NONE,   0 },
	{ "llama4",  PLAN_ROPE_NORM, PLAN_QK_AFTER,  4 },
	{ "qwen2",   PLAN_ROPE_NEOX, PLAN_QK_NONE,   0 },
	{ "qwen3",   PLAN_ROPE_NEOX, PLAN_QK_BEFORE, 0 },
	{ "smollm3", PLAN_ROPE_NORM, PLAN_QK_NONE,   4 },
};

static const struct arch *find_arch(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(ARCHS); i++)
		if (!strcmp(ARCHS[i].name, name))
			return &ARCHS[i];
	return NULL;
}

/* Keys are "ARCH.suffix". */
static const char *key_of(const struct plan *p, const char *suffix, char buf[128])
{
	snprintf(buf, 128, "%s.%s", p->arch, suffix);
	return buf;
}

static int need_u32(const struct plan *p, const struct gguf *g, const char *suffix, uint32_t lo,
		    uint32_t hi, uint32_t *out, struct err *e)
{
	char key[128];

	if (!gguf_get_u32(g, key_of(p, suffix, key), out))
		return err_set(e, ERR_MODEL, "'%s' has no key %s", gguf_path(g), key);
	if (*out < lo || *out > hi)
		return err_set(e, ERR_MODEL, "'%s': %s is %u, outside %u to %u", gguf_path(g), key,
			       *out, lo, hi);
	return 0;
}

/* Keys that may be missing.  One that is there with another type is not ignored: its value would be
 * replaced by a default in silence, and the model by another one. */
static int wrong_type(const struct gguf *g, const char *key, struct err *e)
{
	return err_set(e, ERR_MODEL, "'%s': the value of %s has a type that makes no sense", gguf_path(g), key);
}

static int key_u32(const struct gguf *g, const char *key, uint32_t *out, struct err *e)
{
	return gguf_get_u32(g, key, out) || !gguf_has(g, key) ? 0 : wrong_type(g, key, e);
}

static int key_f32(const struct gguf *g, const char *key, float *out, struct err *e)
{
	return gguf_get_f32(g, key, out) || !gguf_has(g, key) ? 0 : wrong_type(g, key, e);
}

static int maybe_u32(const struct plan *p, const struct gguf *g, const char *suffix, uint32_t *out,
		     struct err *e)
{
	char key[128];

	return key_u32(g, key_of(p, suffix, key), out, e);
}

static int maybe_f32(const struct plan *p, const struct gguf *g, const char *suffix, float *out,
		     struct err *e)
{
	char key[128];

	return key_f32(g, key_of(p, suffix, key), out, e);
}

/* Other ways to stretch RoPE than factors in a tensor would change every angle. */
static int refuse_scaling(const struct plan *p, const struct gguf *g, struct err *e)
{
	char key[128];
	struct gguf_str s;

	if (!gguf_get_str(g, key_of(p, "rope.scaling.type", key), &s) || (s.n == 4 && !memcmp(s.s, "none", 4)))
		return 0;
	return err_set(e, ERR_MODEL, "'%s': %s '%.*s' is not known", gguf_path(g), key, (int)MIN(s.n, (size_t)40),
		       s.s);
}

static void copy_str(char *dst, size_t cap, struct gguf_str s)
{
	size_t n = s.n < cap - 1 ? s.n : cap - 1;

	memcpy(dst, s.s, n);
	dst[n] = '\0';
}

static int read_sizes(struct plan *p, const struct gguf *g, struct err *e)
{
	const struct gguf_tensor *embd = gguf_tensor(g, "token_embd.weight");
	uint32_t window = 0;
	uint64_t n_token;
	int rc;

	rc = need_u32(p, g, "block_count", 1, 4096, &p->n_layer, e);
	if (!rc)
		rc = need_u32(p, g, "embedding_length", 1, 1 << 20, &p->n_embd, e);
	if (!rc)
		rc = need_u32(p, g, "attention.head_count", 1, 4096, &p->n_head, e);
	if (rc)
		return rc;
	p->n_head_kv = p->n_head;
	rc = maybe_u32(p, g, "attention.head_count_kv", &p->n_head_kv, e);
	if (rc)
		return rc;
	if (p->n_head_kv == 0 || p->n_head % p->n_head_kv)
		return err_set(e, ERR_MODEL, "'%s': %u query heads cannot share %u key heads",
			       gguf_path(g), p->n_head, p->n_head_kv);
	p->head_dim = p->n_embd / p->n_head;
	rc = maybe_u32(p, g, "attention.key_length", &p->head_dim, e);
	if (rc)
		return rc;
	if (p->head_dim == 0 || p->head_dim > 1024 || p->head_dim % 2)
		return err_set(e, ERR_MODEL, "'%s': head_dim is %u, not an even number up to 1024",
			       gguf_path(g), p->head_dim);
	p->n_rot = p->head_dim;
	rc = maybe_u32(p, g, "rope.dimension_count", &p->n_rot, e);
	if (!rc)
		rc = refuse_scaling(p, g, e);
	if (rc)
		return rc;
	if (p->n_rot > p->head_dim || p->n_rot % 2)
		return err_set(e, ERR_MODEL, "'%s': rope.dimension_count is %u with head_dim %u",
			       gguf_path(g), p->n_rot, p->head_dim);
	p->n_ctx_train = 2048;
	rc = maybe_u32(p, g, "context_length", &p->n_ctx_train, e);
	if (!rc)
		rc = maybe_u32(p, g, "attention.sliding_window", &window, e);
	if (rc)
		return rc;
	/* A sliding window is not there; up to its width it makes no difference. */
	if (window && strcmp(p->arch, "llama4"))
		p->n_ctx_train = MIN(p->n_ctx_train, window);
	/* The vocabulary is as long as the embedding has rows; a key that disagrees is damage. */
	if (!embd || embd->n_dim < 2 || embd->ne[1] == 0 || embd->ne[1] > INT32_MAX)
		return err_set(e, ERR_MODEL, "'%s' has no usable tensor token_embd.weight",
			       gguf_path(g));
	p->n_vocab = (uint32_t)embd->ne[1];
	if (gguf_get_arr(g, "tokenizer.ggml.tokens", &(enum gguf_type){ 0 }, &n_token) &&
	    n_token > p->n_vocab)
		return err_set(e, ERR_MODEL, "'%s': %llu tokens but %u rows in token_embd.weight",
			       gguf_path(g), (unsigned long long)n_token, p->n_vocab);
	p->rms_eps = -1;
	rc = maybe_f32(p, g, "attention.layer_norm_rms_epsilon", &p->rms_eps, e);
	p->rope_base = 10000.0f;
	if (!rc)
		rc = maybe_f32(p, g, "rope.freq_base", &p->rope_base, e);
	if (rc)
		return rc;
	if (p->rms_eps == -1)
		return err_set(e, ERR_MODEL, "'%s' has no key %s.attention.layer_norm_rms_epsilon",
			       gguf_path(g), p->arch);
	if (!(p->rms_eps >= 0 && p->rms_eps < 1) || !(p->rope_base > 1 && isfinite(p->rope_base)))
		return err_set(e, ERR_MODEL, "'%s': rms epsilon %g or rope base %g makes no sense",
			       gguf_path(g), (double)p->rms_eps, (double)p->rope_base);
	return 0;
}

static int read_ffn(struct plan *p, const struct gguf *g, uint32_t *moe_step, struct err *e)
{
	int rc;

	*moe_step = 1;
	rc = maybe_u32(p, g, "expert_count", &p->n_expert, e);
	if (!rc)
		rc = maybe_u32(p, g, "expert_used_count", &p->n_expert_used, e);
	if (!rc)
		rc = maybe_u32(p, g, "interleave_moe_layer_step", moe_step, e);
	if (!rc)
		rc = need_u32(p, g, "feed_forward_length", 1, 1 << 24, &p->n_ff, e);
	if (rc)
		return rc;
	if (p->n_expert && strcmp(p->arch, "llama4"))
		return err_set(e, ERR_MODEL, "'%s': experts are known for llama4 only, not for '%s'",
			       gguf_path(g), p->arch);
	if (!p->n_expert)
		return 0;
	if (p->n_expert > 65536 || p->n_expert_used == 0 || p->n_expert_used > p->n_expert ||
	    p->n_expert_used > 64)
		return err_set(e, ERR_MODEL, "'%s': %u experts of which %u are used", gguf_path(g),
			       p->n_expert, p->n_expert_used);
	return need_u32(p, g, "expert_feed_forward_length", 1, 1 << 24, &p->n_ff_expert, e);
}

/* Chunk, NoPE interval, temperature and QK-norm of llama4; see the head of plan.h. */
static int read_irope(struct plan *p, const struct gguf *g, uint32_t *nope_interval, struct err *e)
{
	uint32_t window = 1;
	bool qk;
	int rc;

	p->attn_chunk = 8192;
	p->temp_floor = 8192;
	p->temp_scale = 0.1f;
	if (p->n_expert == 128)
		p->qk_norm = PLAN_QK_NONE;
	/* llama.cpp's one switch: no chunks, and (as HF runs such models) RoPE everywhere. */
	rc = maybe_u32(p, g, "attention.sliding_window", &window, e);
	if (rc)
		return rc;
	if (window == 0) {
		p->attn_chunk = 0;
		p->temp_scale = 0;
		*nope_interval = 0;
	}
	rc = key_u32(g, "folio.attention.chunk_size", &p->attn_chunk, e);
	if (!rc)
		rc = key_u32(g, "folio.attention.nope_interval", nope_interval, e);
	if (!rc)
		rc = key_f32(g, "folio.attention.temperature.floor", &p->temp_floor, e);
	if (!rc)
		rc = key_f32(g, "folio.attention.temperature.scale", &p->temp_scale, e);
	if (rc)
		return rc;
	if (gguf_get_bool(g, "folio.attention.qk_norm", &qk))
		p->qk_norm = qk ? PLAN_QK_AFTER : PLAN_QK_NONE;
	else if (gguf_has(g, "folio.attention.qk_norm"))
		return wrong_type(g, "folio.attention.qk_norm", e);
	if (p->attn_chunk > 1 << 24)
		return err_set(e, ERR_MODEL, "'%s': attention chunk of %u tokens", gguf_path(g),
			       p->attn_chunk);
	if (p->temp_scale != 0 && !(p->temp_floor >= 1 && isfinite(p->temp_floor) &&
				    isfinite(p->temp_scale)))
		return err_set(e, ERR_MODEL, "'%s': attention temperature floor %g, scale %g",
			       gguf_path(g), (double)p->temp_floor, (double)p->temp_scale);
	return 0;
}

static int lay_out(struct plan *p, uint32_t nope_interval, uint32_t moe_step, struct err *e)
{
	p->layer = calloc(p->n_layer, sizeof(*p->layer));
	p->far_layer = calloc(p->n_layer, sizeof(*p->far_layer));
	if (!p->layer || !p->far_layer)
		return err_nomem(e);
	for (uint32_t i = 0; i < p->n_layer; i++) {
		struct plan_layer *l = &p->layer[i];

		l->uses_rope = !nope_interval || (i + 1) % nope_interval;
		l->is_far = !(p->attn_chunk && l->uses_rope);
		l->scales_query = !l->uses_rope && p->temp_scale != 0;
		l->is_moe = p->n_expert && moe_step && (i + 1) % moe_step == 0;
		if (l->is_far)
			p->far_layer[p->n_far++] = i;
	}
	if (p->n_far == p->n_layer)
		p->attn_chunk = 0;
	return 0;
}

int plan_read(struct plan *out, const struct gguf *g, struct err *e)
{
	struct plan p = { 0 };
	const struct arch *arch;
	struct gguf_str s;
	uint32_t nope_interval, moe_step;
	int rc;

	*out = p;
	if (!gguf_get_str(g, "general.architecture", &s))
		return err_set(e, ERR_MODEL, "'%s' has no key general.architecture", gguf_path(g));
	copy_str(p.arch, sizeof(p.arch), s);
	arch = find_arch(p.arch);
	if (!arch) {
		err_set(e, ERR_MODEL, "'%s': architecture '%s' is not known", gguf_path(g), p.arch);
		return err_hint(e, ERR_MODEL, "known: llama, llama4, qwen2, qwen3, smollm3");
	}
	copy_str(p.name, sizeof(p.name), gguf_get_str(g, "general.name", &s) ? s :
		 (struct gguf_str){ p.arch, strlen(p.arch) });
	p.rope = arch->rope;
	p.qk_norm = arch->qk_norm;
	nope_interval = arch->nope_interval;
	rc = read_sizes(&p, g, e);
	if (!rc)
		rc = read_ffn(&p, g, &moe_step, e);
	if (!rc && !strcmp(p.arch, "llama4"))
		rc = read_irope(&p, g, &nope_interval, e);
	if (!rc)
		rc = lay_out(&p, nope_interval, moe_step, e);
	if (rc) {
		plan_release(&p);
		return rc;
	}
	*out = p;
	return 0;
}

void plan_release(struct plan *p)
{
	free(p->layer);
	free(p->far_layer);
	p->layer = NULL;
	p->far_layer = NULL;
}

bool plan_is_irope(const struct plan *p)
{
	for (uint32_t i = 0; i < p->n_far; i++)
		if (p->layer[p->far_layer[i]].uses_rope)
			return false;
	return p->n_far > 0;
}

float plan_temperature(const struct plan *p, int64_t pos)
{
	float steps = floorf((float)(pos + 1) / p->temp_floor);

	return log1pf(steps) * p->temp_scale + 1.0f;
}

float plan_temperature_by(const struct plan *p, enum plan_law law, int64_t pos)
{
	if (law == PLAN_LAW_MODEL)
		return plan_temperature(p, pos);
	if (law == PLAN_LAW_OFF || p->attn_chunk < 2 || pos < (int64_t)p->attn_chunk)
		return 1.0f;
	return logf((float)(pos + 1)) / logf((float)p->attn_chunk);
}
