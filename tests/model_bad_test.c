/* Odd and malformed models, made on the spot: an error that names the cause, or right results.
 *
 *   odd         shapes that take other paths through the kernels, against a plain forward pass in double
 *               precision that shares no code with engine/
 *   equal       a tensor stored in another type with the same values gives the same logits
 *   malformed   keys and tensors that contradict each other are refused by name
 *   not finite  NaN weights give noise, never a crash
 */
#include "config.h"

#include "base/file.h"
#include "base/size.h"
#include "engine/engine.h"
#include "engine/kern.h"
#include "engine/sample.h"
#include "tests/check.h"
#include "tests/gguf_make.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N_TOKEN 70	/* more than a page */
#define MAX_TENSOR 64

/* What to build.  Zero: the default in brackets. */
struct spec {
	const char *arch;	/* [llama] */
	uint32_t n_layer, n_embd, n_head, n_kv, head_dim, n_rot, n_ff, n_vocab;	/* [2 32 2 1 n_embd/n_head head_dim 48 61] */
	int type;		/* of the matrices; F32 */
	int norm_type, router_type;
	bool bias;
	uint32_t n_expert, n_used;	/* llama4, all layers */
	const char *as;		/* a tensor (end of its name) whose values are those of type as_type ... */
	int as_type;		/* ... but stored as F32 */
	/* damage */
	const char *drop;	/* leave this key or tensor out */
	const char *key;	/* replace this key, or add it */
	int64_t value;
	const char *text;	/* as a string */
	const char *extra;	/* add a tensor of this name, extra_n ones */
	uint32_t extra_n;
	float extra_v;
	float poison;		/* put this into the middle of every matrix */
};

struct tensor {
	char     name[64];
	uint32_t ne[3];
	float   *value;		/* dequantised */
	int      type;
	void    *raw;
	size_t   n_byte;
};

struct made {
	struct spec s;
	struct tensor t[MAX_TENSOR];
	size_t n;
	char path[64];
};

static uint64_t seed;

static float gauss(void)
{
	float s = 0;

	for (int i = 0; i < 12; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		s += (float)(seed >> 40) / 16777216.0f;
	}
	return s - 6;
}

/* ---- making ---- */

/* Raw bytes of n values in a type, about sd in size, and what they mean. */
static void fill(struct tensor *t, size_t n, int type, float mean, float sd)
{
	static const struct { int type, off[2]; float unit; } FORM[] = {
		{ QUANT_Q8_0, { 0, 0 }, 73 }, { QUANT_Q4_0, { 0, 0 }, 4.6f }, { QUANT_Q4_K, { 0, 2 }, 900 },
		{ QUANT_Q6_K, { 208, 208 }, 1300 },
	};
	const struct quant_info *q = quant_info(type);
	uint8_t *raw;

	t->type = type;
	t->n_byte = n / q->block_elems * q->block_bytes;
	t->raw = raw = malloc(t->n_byte);
	t->value = malloc(n * sizeof(float));
	if (!raw || !t->value)
		exit(99);
	for (size_t i = 0; q->block_elems == 1 && i < n; i++) {
		float f = mean + sd * gauss();
		uint16_t h = quant_f32_to_f16(f);

		memcpy(raw + i * q->block_bytes, type == QUANT_F32 ? (void *)&f : (void *)&h, q->block_bytes);
	}
	for (size_t i = 0; q->block_elems > 1 && i < t->n_byte; i++)
		raw[i] = (uint8_t)(int)(gauss() * 4000);
	for (size_t k = 0; k < ARRAY_LEN(FORM); k++)
		for (size_t b = 0; FORM[k].type == type && b < n / q->block_elems; b++)
			for (int j = 0; j < 2; j++) {
				uint16_t h = quant_f32_to_f16(sd / FORM[k].unit);

				memcpy(raw + b * q->block_bytes + FORM[k].off[j], &h, 2);
			}
	/* A row that is no whole number of blocks has no values: such a file must not open. */
	quant_row_ref(type, raw, t->value, n / q->block_elems * q->block_elems);
}

static void add(struct made *m, uint32_t n0, uint32_t n1, uint32_t n2, int type, float mean, float sd, const char *name)
{
	struct tensor *t = &m->t[m->n++];
	size_t n = (size_t)n0 * MAX(n1, 1u) * MAX(n2, 1u);
	const struct spec *s = &m->s;

	snprintf(t->name, sizeof(t->name), "%s", name);
	t->ne[0] = n0, t->ne[1] = n1, t->ne[2] = n2;
	if (s->as && strlen(name) >= strlen(s->as) && !strcmp(name + strlen(name) - strlen(s->as), s->as)) {
		fill(t, n, s->as_type, mean, sd);
		free(t->raw);
		t->type = QUANT_F32;
		t->n_byte = n * sizeof(float);
		t->raw = malloc(t->n_byte);
		memcpy(t->raw, t->value, t->n_byte);
	} else {
		fill(t, n, type, mean, sd);
	}
	if (s->poison != 0 && n1 && t->type == QUANT_F32)
		((float *)t->raw)[n / 2] = s->poison;
}

static void tensors(struct made *m)
{
	const struct spec *s = &m->s;
	uint32_t ne = s->n_embd, nq = s->n_head * s->head_dim, nkv = s->n_kv * s->head_dim;
	float sd = 1 / sqrtf((float)ne);
	char name[64];

	add(m, ne, s->n_vocab, 0, s->type, 0, 1, "token_embd.weight");
	add(m, ne, 0, 0, s->norm_type, 1, 0.1f, "output_norm.weight");
	for (uint32_t i = 0; i < s->n_layer && s->n_layer < 5; i++) {
#define T(n0, n1, n2, type, mean, sd, what) \
	(snprintf(name, sizeof(name), "blk.%u." what, i), add(m, n0, n1, n2, type, mean, sd, name))
		T(ne, 0, 0, s->norm_type, 1, 0.1f, "attn_norm.weight");
		T(ne, 0, 0, s->norm_type, 1, 0.1f, "ffn_norm.weight");
		T(ne, nq, 0, s->type, 0, sd, "attn_q.weight");
		T(ne, nkv, 0, s->type, 0, sd, "attn_k.weight");
		T(ne, nkv, 0, s->type, 0, sd, "attn_v.weight");
		T(nq, ne, 0, s->type, 0, 1 / sqrtf((float)nq), "attn_output.weight");
		if (s->bias) {
			T(nq, 0, 0, QUANT_F32, 0, 0.3f, "attn_q.bias");
			T(nkv, 0, 0, QUANT_F32, 0, 0.3f, "attn_k.bias");
			T(nkv, 0, 0, QUANT_F32, 0, 0.3f, "attn_v.bias");
		}
		if (!s->n_expert) {
			T(ne, s->n_ff, 0, s->type, 0, sd, "ffn_gate.weight");
			T(ne, s->n_ff, 0, s->type, 0, sd, "ffn_up.weight");
			T(s->n_ff, ne, 0, s->type, 0, 1 / sqrtf((float)s->n_ff), "ffn_down.weight");
			continue;
		}
		T(ne, s->n_expert, 0, s->router_type, 0, sd, "ffn_gate_inp.weight");
		T(ne, s->n_ff, s->n_expert, s->type, 0, sd, "ffn_gate_exps.weight");
		T(ne, s->n_ff, s->n_expert, s->type, 0, sd, "ffn_up_exps.weight");
		T(s->n_ff, ne, s->n_expert, s->type, 0, sd, "ffn_down_exps.weight");
		T(ne, s->n_ff, 0, s->type, 0, sd, "ffn_gate_shexp.weight");
		T(ne, s->n_ff, 0, s->type, 0, sd, "ffn_up_shexp.weight");
		T(s->n_ff, ne, 0, s->type, 0, sd, "ffn_down_shexp.weight");
#undef T
	}
	if (s->extra) {
		add(m, s->extra_n, 0, 0, QUANT_F32, 0, 0, s->extra);
		for (uint32_t i = 0; i < s->extra_n; i++)
			((float *)m->t[m->n - 1].raw)[i] = m->t[m->n - 1].value[i] = i ? 1 : s->extra_v;
	}
}

static void key(struct buf *b, const struct spec *s, uint64_t *n, const char *suffix, uint32_t v)
{
	char name[96];

	snprintf(name, sizeof(name), "%s.%s", s->arch, suffix);
	if ((s->drop && !strcmp(s->drop, suffix)) || (s->key && !strcmp(s->key, suffix)))
		return;
	make_kv_u32(b, name, v);
	++*n;
}

static void keys(struct buf *b, const struct spec *s, uint64_t *n)
{
	char name[96];

	make_kv_str(b, "general.architecture", s->arch);
	++*n;
	key(b, s, n, "block_count", s->n_layer);
	key(b, s, n, "context_length", 512);
	key(b, s, n, "embedding_length", s->n_embd);
	key(b, s, n, "feed_forward_length", s->n_ff);
	key(b, s, n, "attention.head_count", s->n_head);
	key(b, s, n, "attention.head_count_kv", s->n_kv);
	key(b, s, n, "attention.key_length", s->head_dim);
	key(b, s, n, "rope.dimension_count", s->n_rot);
	if (s->n_expert) {
		key(b, s, n, "expert_count", s->n_expert);
		key(b, s, n, "expert_used_count", s->n_used);
		key(b, s, n, "expert_feed_forward_length", s->n_ff);
		key(b, s, n, "interleave_moe_layer_step", 1);
	}
	snprintf(name, sizeof(name), "%s.attention.layer_norm_rms_epsilon", s->arch);
	if (!(s->drop && strstr(name, s->drop))) {
		make_kv_f32(b, name, 1e-5f);
		++*n;
	}
	if (!s->key)
		return;
	snprintf(name, sizeof(name), "%s%s%s", !strncmp(s->key, "folio.", 6) ? "" : s->arch,
		 !strncmp(s->key, "folio.", 6) ? "" : ".", s->key);
	if (s->text)
		make_kv_str(b, name, s->text);
	else
		make_kv_u32(b, name, (uint32_t)s->value);
	++*n;
}

static void make(struct made *m, const struct spec *want)
{
	struct buf b = { 0 };
	uint64_t n_key = 0, n_tensor = 0, off = 0;
	struct spec *s = &m->s;
	struct err e;

	memset(m, 0, sizeof(*m));
	*s = *want;
	s->arch = s->arch ? s->arch : "llama";
	s->n_layer = s->n_layer ? s->n_layer : 2;
	s->n_embd = s->n_embd ? s->n_embd : 32;
	s->n_head = s->n_head ? s->n_head : 2;
	s->n_kv = s->n_kv ? s->n_kv : 1;
	s->head_dim = s->head_dim ? s->head_dim : s->n_embd / s->n_head;
	s->n_rot = s->n_rot ? s->n_rot : s->head_dim;
	s->n_ff = s->n_ff ? s->n_ff : 48;
	s->n_vocab = s->n_vocab ? s->n_vocab : 61;
	seed = 7;
	tensors(m);
	make_head(&b, 0, 0);
	keys(&b, s, &n_key);
	for (size_t i = 0; i < m->n; i++) {
		const struct tensor *t = &m->t[i];

		if (s->drop && !strcmp(s->drop, t->name))
			continue;
		make_str(&b, t->name);
		make_u32(&b, t->ne[2] ? 3 : t->ne[1] ? 2 : 1);
		for (int d = 0; d < 3 && t->ne[d]; d++)
			make_u64(&b, t->ne[d]);
		make_u32(&b, (uint32_t)t->type);
		make_u64(&b, off);
		off += round_up(t->n_byte, 32);
		n_tensor++;
	}
	make_pad(&b, 32);
	for (size_t i = 0; i < m->n; i++) {
		if (s->drop && !strcmp(s->drop, m->t[i].name))
			continue;
		buf_add(&b, m->t[i].raw, m->t[i].n_byte);
		make_pad(&b, 32);
	}
	make_counts(&b, n_tensor, n_key);
	snprintf(m->path, sizeof(m->path), "model-bad-%d.gguf", (int)getpid());
	if (b.failed || file_write_atomic(m->path, b.data, b.len, &e)) {
		printf("Bail out! cannot write '%s'\n", m->path);
		exit(99);
	}
	buf_release(&b);
}

static void unmake(struct made *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->t[i].raw), free(m->t[i].value);
	unlink(m->path);
}

/* ---- the oracle: a dense model, one token after the other, in double ---- */

static const float *value(const struct made *m, const char *fmt, uint32_t layer)
{
	char name[64];

	snprintf(name, sizeof(name), fmt, layer);
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->t[i].name, name))
			return m->t[i].value;
	return NULL;
}

static void product(const float *w, const double *x, size_t n_row, size_t n_col, const float *bias, double *y)
{
	for (size_t r = 0; r < n_row; r++) {
		y[r] = bias ? (double)bias[r] : 0;
		for (size_t c = 0; c < n_col; c++)
			y[r] += (double)w[r * n_col + c] * x[c];
	}
}

static void normed(const double *x, const float *w, size_t n, double *y)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i] * x[i];
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] / sqrt(sum / (double)n + 1e-5) * (double)w[i];
}

static void turn(double *x, const struct spec *s, size_t pos)
{
	bool neox = !strcmp(s->arch, "qwen2");
	uint32_t half = s->n_rot / 2;

	for (uint32_t m = 0; m < half; m++) {
		double a = (double)pos * pow(10000, -2.0 * m / s->n_rot), *p = x + (neox ? m : 2 * m);
		double *q = x + (neox ? m + half : 2 * m + 1), u = *p, v = *q;

		*p = u * cos(a) - v * sin(a);
		*q = u * sin(a) + v * cos(a);
	}
}

static void oracle(const struct made *m, const int32_t *token, float *logits)
{
	const struct spec *s = &m->s;
	size_t ne = s->n_embd, hd = s->head_dim, nq = s->n_head * hd, nkv = s->n_kv * hd, nf = s->n_ff;
	double *h = calloc(ne, 8), *x = calloc(MAX(ne, nf), 8), *q = calloc(nq, 8), *o = calloc(nq, 8);
	double *k = calloc(s->n_layer * N_TOKEN * nkv, 8), *v = calloc(s->n_layer * N_TOKEN * nkv, 8);
	double *g = calloc(nf, 8), *u = calloc(nf, 8), *y = calloc(MAX(ne, (size_t)s->n_vocab), 8);

	for (size_t t = 0; t < N_TOKEN; t++) {
		for (size_t i = 0; i < ne; i++)
			h[i] = (double)value(m, "token_embd.weight", 0)[(size_t)token[t] * ne + i];
		for (uint32_t l = 0; l < s->n_layer; l++) {
			double *kl = k + l * N_TOKEN * nkv, *vl = v + l * N_TOKEN * nkv;

			normed(h, value(m, "blk.%u.attn_norm.weight", l), ne, x);
			product(value(m, "blk.%u.attn_q.weight", l), x, nq, ne, value(m, "blk.%u.attn_q.bias", l), q);
			product(value(m, "blk.%u.attn_k.weight", l), x, nkv, ne, value(m, "blk.%u.attn_k.bias", l),
				kl + t * nkv);
			product(value(m, "blk.%u.attn_v.weight", l), x, nkv, ne, value(m, "blk.%u.attn_v.bias", l),
				vl + t * nkv);
			for (uint32_t i = 0; i < s->n_head; i++)
				turn(q + i * hd, s, t);
			for (uint32_t i = 0; i < s->n_kv; i++)
				turn(kl + t * nkv + i * hd, s, t);
			memset(o, 0, nq * 8);
			for (uint32_t i = 0; i < s->n_head; i++) {
				size_t kv = i / (s->n_head / s->n_kv);
				double score[N_TOKEN], sum = 0, top = -INFINITY;

				for (size_t j = 0; j <= t; j++) {
					score[j] = 0;
					for (size_t d = 0; d < hd; d++)
						score[j] += q[i * hd + d] * kl[j * nkv + kv * hd + d];
					score[j] /= sqrt((double)hd);
					top = fmax(top, score[j]);
				}
				for (size_t j = 0; j <= t; j++)
					sum += score[j] = exp(score[j] - top);
				for (size_t j = 0; j <= t; j++)
					for (size_t d = 0; d < hd; d++)
						o[i * hd + d] += score[j] / sum * vl[j * nkv + kv * hd + d];
			}
			product(value(m, "blk.%u.attn_output.weight", l), o, ne, nq, NULL, y);
			for (size_t i = 0; i < ne; i++)
				h[i] += y[i];
			normed(h, value(m, "blk.%u.ffn_norm.weight", l), ne, x);
			product(value(m, "blk.%u.ffn_gate.weight", l), x, nf, ne, NULL, g);
			product(value(m, "blk.%u.ffn_up.weight", l), x, nf, ne, NULL, u);
			for (size_t i = 0; i < nf; i++)
				x[i] = g[i] / (1 + exp(-g[i])) * u[i];
			product(value(m, "blk.%u.ffn_down.weight", l), x, ne, nf, NULL, y);
			for (size_t i = 0; i < ne; i++)
				h[i] += y[i];
		}
		normed(h, value(m, "output_norm.weight", 0), ne, x);
		product(value(m, "token_embd.weight", 0), x, s->n_vocab, ne, NULL, y);
		for (uint32_t i = 0; i < s->n_vocab; i++)
			logits[t * s->n_vocab + i] = (float)y[i];
	}
	free(h), free(x), free(q), free(o), free(k), free(v), free(g), free(u), free(y);
}

/* ---- running ---- */

static void tokens(const struct spec *s, int32_t *token)
{
	for (int i = 0; i < N_TOKEN; i++)
		token[i] = (int32_t)((i * 37 + 5) % (int)s->n_vocab);
}

/* In two pieces and then one by one; NULL when the model does not open. */
static float *run(const struct made *m, const char *kernels, struct err *e)
{
	struct engine_opts o = { .n_thread = 2, .kernels = kernels, .n_batch = 64 };
	float *out = malloc((size_t)N_TOKEN * m->s.n_vocab * sizeof(float));
	int32_t token[N_TOKEN];
	struct engine *en;
	struct kv *kv;
	int rc;

	tokens(&m->s, token);
	if (!out || engine_open(&en, m->path, &o, e)) {
		free(out);
		return NULL;
	}
	rc = engine_seq(en, NULL, &kv, e);
	if (!rc)
		rc = engine_feed(en, kv, token, 66, out, true, NULL, e);
	for (size_t t = 66; t < N_TOKEN && !rc; t++)
		rc = engine_feed(en, kv, token + t, 1, out + t * m->s.n_vocab, true, NULL, e);
	if (rc) {
		printf("Bail out! %s\n", e->msg);
		exit(99);
	}
	kv_free(kv);
	engine_close(en);
	return out;
}

/* Root of the mean square of the difference over that of what is wanted. */
static double relative(const float *got, const float *want, size_t n)
{
	double d = 0, w = 0;

	for (size_t i = 0; i < n; i++) {
		d += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
		w += (double)want[i] * (double)want[i];
	}
	return sqrt(d / w);
}

static void test_odd(const char *what, const struct spec *s)
{
	struct made m;
	const struct kern *k;
	int32_t token[N_TOKEN];
	float *want;
	struct err e = { 0 };

	make(&m, s);
	want = malloc((size_t)N_TOKEN * m.s.n_vocab * sizeof(float));
	tokens(&m.s, token);
	oracle(&m, token, want);
	for (int i = 0; (k = kern_at(i)); i++) {
		float *got = run(&m, k->name, &e);
		double d = got ? relative(got, want, (size_t)N_TOKEN * m.s.n_vocab) : INFINITY;
		/* f16 keys and values; with quantised weights int8 activations too */
		double limit = i == 0 ? 2e-5 : s->type ? 3e-2 : 3e-3;

		ok(d <= limit, "%s, %s kernels: relative error %.1e%s%s", what, k->name, d, got ? "" : ": ", e.msg);
		free(got);
	}
	free(want);
	unmake(&m);
}

/* The tensors that end in `as`, of this type and as F32 with the same values. */
static void test_equal(const char *what, struct spec s, const char *as, int type, bool norm)
{
	const struct kern *k;

	for (int i = 0; (k = kern_at(i)); i++) {
		struct made a, b;
		struct err e = { 0 };
		float *x, *y;
		double d = INFINITY;

		s.as = NULL;
		*(norm ? &s.norm_type : &s.router_type) = type;
		make(&a, &s);
		x = run(&a, k->name, &e);
		unmake(&a);
		s.as = as;
		s.as_type = type;
		make(&b, &s);
		y = run(&b, k->name, &e);
		unmake(&b);
		if (x && y)
			d = relative(x, y, (size_t)N_TOKEN * a.s.n_vocab);
		/* A router multiplied in int8 differs a little; a choice of experts that tips differs more. */
		ok(d <= (i == 0 || norm || type == QUANT_F16 ? 1e-5 : 0.1), "%s, %s kernels: relative difference %.1e%s%s",
		   what, k->name, d, x && y ? "" : ": ", e.msg);
		free(x), free(y);
	}
}

static void test_bad(const char *what, const char *says, struct spec s)
{
	struct made m;
	struct err e = { 0 };
	struct model *model = NULL;
	int rc;

	make(&m, &s);
	rc = model_open(&model, m.path, &e);
	ok(rc == ERR_MODEL && strstr(e.msg, says), "%s: %s", what, rc ? e.msg : "opens");
	model_close(model);
	unmake(&m);
}

static void test_window(void)
{
	struct spec s = { .key = "attention.sliding_window", .value = 100 };
	struct model *model;
	struct made m;
	struct err e = { 0 };

	make(&m, &s);
	ok(!model_open(&model, m.path, &e) && model->plan.n_ctx_train == 100,
	   "a sliding window ends the context: up to there it makes no difference");
	model_close(model);
	unmake(&m);
}

static void test_poison(float poison)
{
	struct spec s = { .poison = poison };
	struct sample_opts o[2] = { { .temperature = 0 }, { .temperature = 1, .top_p = 0.9 } };
	const struct kern *k;
	struct made m;
	struct model *model;
	struct err e = { 0 };
	int rc;

	make(&m, &s);
	rc = model_open(&model, m.path, &e) ? 0 : model_scan(model, &e);
	ok(rc == ERR_MODEL && strstr(e.msg, "token_embd.weight") && strstr(e.msg, "row 30, column 16"),
	   "the scan finds it: %s", e.msg);
	model_close(model);
	for (int i = 0; (k = kern_at(i)); i++) {
		float *out = run(&m, k->name, &e);
		bool inside = out != NULL;

		for (size_t t = 0; out && t < N_TOKEN; t++)
			for (int j = 0; j < 2; j++) {
				struct sampler *sampler;
				int32_t id;

				if (sampler_new(&sampler, &o[j], m.s.n_vocab, &e))
					exit(99);
				id = sampler_next(sampler, out + t * m.s.n_vocab, NULL, 0);
				inside &= id >= 0 && (uint32_t)id < m.s.n_vocab;
				sampler_free(sampler);
			}
		ok(inside, "weights of %g, %s kernels: noise, and still a token each time", (double)poison, k->name);
		free(out);
	}
	unmake(&m);
}

/* A pass that fails after a chunk's edge has written over keys that the tokens before it still need. */
static int refuse(void *ctx, uint32_t far, const float *q, size_t n, const struct far_state *st, struct err *e)
{
	(void)far, (void)q, (void)n, (void)st;
	return *(bool *)ctx ? err_set(e, ERR_IO, "no more") : 0;
}

static void test_torn(void)
{
	struct spec s = { .arch = "llama4", .n_layer = 4, .key = "folio.attention.chunk_size", .value = 16 };
	struct engine_opts o = { .n_thread = 1, .kernels = "ref", .n_batch = 64 };
	bool fails = true;
	const struct far_source source = { .ctx = &fails, .attend = refuse };
	int32_t token[N_TOKEN];
	float *want, *got, out[61];
	struct engine *en;
	struct kv *kv;
	struct made m;
	struct err e = { 0 };
	int rc;

	make(&m, &s);
	tokens(&m.s, token);
	if (engine_open(&en, m.path, &o, &e) || engine_seq(en, NULL, &kv, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(99);
	}
	want = malloc((size_t)N_TOKEN * m.s.n_vocab * sizeof(float));
	got = malloc((size_t)N_TOKEN * m.s.n_vocab * sizeof(float));
	rc = engine_feed(en, kv, token, 12, NULL, false, NULL, &e);
	ok(!rc && engine_feed(en, kv, token + 12, 3, got, true, &source, &e) == ERR_IO && kv_end(kv) == 12 &&
	   !engine_feed(en, kv, token + 12, 3, got, true, NULL, &e),
	   "a pass that failed inside a chunk can be tried again");
	rc = engine_feed(en, kv, token + 15, 10, out, false, &source, &e);
	ok(rc == ERR_IO && kv_end(kv) == 15, "one that failed behind its edge leaves the length as it was");
	rc = engine_feed(en, kv, token + 15, 1, out, false, NULL, &e);
	ok(rc == ERR_INVALID && strstr(e.msg, "failed"), "but the sequence is lost, and says so: %s", e.msg);
	kv_free(kv);
	if (engine_seq(en, NULL, &kv, &e))
		exit(99);
	rc = engine_feed(en, kv, token, 15, want, true, NULL, &e);
	ok(!rc && !memcmp(want + 12 * m.s.n_vocab, got, 3 * m.s.n_vocab * sizeof(float)),
	   "what was tried again equals what never failed");
	kv_free(kv);
	engine_close(en);
	free(want), free(got);
	unmake(&m);
}

int main(void)
{
	const struct spec moe = { .arch = "llama4", .n_expert = 4, .n_used = 1, .n_ff = 32 };

	test_odd("the plain model", &(struct spec){ 0 });
	test_odd("head_dim 40", &(struct spec){ .head_dim = 40, .n_head = 3 });
	test_odd("head_dim 80, neox", &(struct spec){ .arch = "qwen2", .head_dim = 80, .n_head = 4, .n_kv = 2 });
	test_odd("head_dim 96, biases", &(struct spec){ .arch = "qwen2", .head_dim = 96, .bias = true });
	test_odd("head_dim 64", &(struct spec){ .head_dim = 64, .n_head = 5 });
	test_odd("head_dim 128", &(struct spec){ .head_dim = 128, .n_kv = 2 });
	test_odd("head_dim 6", &(struct spec){ .head_dim = 6, .n_head = 7 });
	test_odd("head_dim 256", &(struct spec){ .head_dim = 256 });
	test_odd("8 of 16 channels rotated", &(struct spec){ .n_rot = 8 });
	test_odd("20 of 80 channels rotated, neox", &(struct spec){ .arch = "qwen2", .head_dim = 80, .n_rot = 20 });
	test_odd("heads that do not divide the embedding", &(struct spec){ .n_embd = 35, .n_head = 4 });
	test_odd("odd widths everywhere", &(struct spec){ .n_embd = 37, .n_head = 3, .head_dim = 10, .n_ff = 13, .n_vocab = 7 });
	test_odd("more heads than a tile holds", &(struct spec){ .n_head = 64, .head_dim = 8 });
	test_odd("a wide FFN", &(struct spec){ .n_ff = 5000 });
	test_odd("F16", &(struct spec){ .type = QUANT_F16, .head_dim = 40 });
	test_odd("Q8_0", &(struct spec){ .type = QUANT_Q8_0, .n_embd = 96, .head_dim = 32, .n_ff = 160 });
	test_odd("Q4_0, one block a row", &(struct spec){ .type = QUANT_Q4_0, .n_embd = 32, .head_dim = 16, .n_ff = 32 });
	test_odd("Q4_K, one block a row", &(struct spec){ .type = QUANT_Q4_K, .n_embd = 256, .head_dim = 128, .n_ff = 256 });
	test_odd("Q6_K", &(struct spec){ .type = QUANT_Q6_K, .n_embd = 256, .head_dim = 128, .n_ff = 512 });

	test_equal("norms in F16", (struct spec){ 0 }, "norm.weight", QUANT_F16, true);
	test_equal("norms in Q8_0", (struct spec){ 0 }, "norm.weight", QUANT_Q8_0, true);
	test_equal("a router in F16", moe, "gate_inp.weight", QUANT_F16, false);
	test_equal("a router in Q8_0", moe, "gate_inp.weight", QUANT_Q8_0, false);

	test_bad("no layer", "block_count", (struct spec){ .key = "block_count", .value = 0 });
	test_bad("more layers than tensors", "blk.2.", (struct spec){ .key = "block_count", .value = 4096 });
	test_bad("fewer layers than tensors", "no use for tensor blk.1.", (struct spec){ .key = "block_count", .value = 1 });
	test_bad("no embedding width", "embedding_length", (struct spec){ .drop = "embedding_length" });
	test_bad("no head", "head_count", (struct spec){ .key = "attention.head_count", .value = 0 });
	test_bad("heads that cannot share keys", "cannot share", (struct spec){ .key = "attention.head_count", .value = 3, .n_kv = 2 });
	test_bad("no key head", "cannot share", (struct spec){ .key = "attention.head_count_kv", .value = 0 });
	test_bad("key heads as text", "head_count_kv", (struct spec){ .key = "attention.head_count_kv", .text = "1" });
	test_bad("an odd head size", "head_dim is 7", (struct spec){ .key = "attention.key_length", .value = 7 });
	test_bad("a huge head size", "head_dim is 4096", (struct spec){ .key = "attention.key_length", .value = 4096 });
	test_bad("more channels rotated than there are", "dimension_count", (struct spec){ .key = "rope.dimension_count", .value = 18 });
	test_bad("an odd number of channels rotated", "dimension_count", (struct spec){ .key = "rope.dimension_count", .value = 3 });
	test_bad("a rotary base as text", "rope.freq_base", (struct spec){ .key = "rope.freq_base", .text = "10000" });
	test_bad("a stretched rotation", "yarn", (struct spec){ .key = "rope.scaling.type", .text = "yarn" });
	test_bad("a huge FFN", "feed_forward_length", (struct spec){ .key = "feed_forward_length", .value = 1 << 30 });
	test_bad("an FFN wider than its tensors", "ffn_gate", (struct spec){ .key = "feed_forward_length", .value = 1 << 24 });
	test_bad("another embedding width", "token_embd.weight", (struct spec){ .key = "embedding_length", .value = 1 << 20 });
	test_bad("no epsilon", "epsilon", (struct spec){ .drop = "epsilon" });
	test_bad("no norm", "blk.1.ffn_norm.weight", (struct spec){ .drop = "blk.1.ffn_norm.weight" });
	test_bad("no embedding", "token_embd.weight", (struct spec){ .drop = "token_embd.weight" });
	test_bad("a tensor nobody uses", "blk.0.ffn_down.bias", (struct spec){ .extra = "blk.0.ffn_down.bias", .extra_n = 32 });
	test_bad("an unknown architecture", "'mamba'", (struct spec){ .arch = "mamba" });
	test_bad("rotary factors of another length", "rope_freqs.weight", (struct spec){ .extra = "rope_freqs.weight", .extra_n = 3 });
	test_bad("a rotary factor of zero", "rope_freqs.weight holds 0",
		 (struct spec){ .extra = "rope_freqs.weight", .extra_n = 8, .extra_v = 0 });
	test_bad("a rotary factor that is no number", "rope_freqs.weight holds nan",
		 (struct spec){ .extra = "rope_freqs.weight", .extra_n = 8, .extra_v = NAN });
	test_bad("rows that are no whole K-quant blocks", "token_embd.weight", (struct spec){ .type = QUANT_Q4_K, .n_embd = 300 });
	test_bad("experts in a llama", "experts", (struct spec){ .n_expert = 2, .n_used = 1 });
	test_bad("no expert used", "experts", (struct spec){ .arch = "llama4", .n_expert = 2, .key = "expert_used_count" });
	test_bad("more experts used than there are", "experts", (struct spec){ .arch = "llama4", .n_expert = 2, .n_used = 3 });
	test_bad("a router for another number of experts", "ffn_gate_inp",
		 (struct spec){ .arch = "llama4", .n_expert = 4, .n_used = 1, .key = "expert_count", .value = 5 });
	test_bad("experts that no layer has", "blk.0.ffn_gate.weight",
		 (struct spec){ .arch = "llama4", .n_expert = 2, .n_used = 1, .n_ff = 48, .key = "interleave_moe_layer_step", .value = 9 });
	test_bad("a chunk size as text", "chunk_size", (struct spec){ .arch = "llama4", .key = "folio.attention.chunk_size", .text = "8" });
	test_bad("a huge chunk", "chunk", (struct spec){ .arch = "llama4", .key = "folio.attention.chunk_size", .value = 1 << 30 });

	test_window();
	test_poison(NAN);
	test_poison(INFINITY);
	test_torn();
	return done();
}
