#include "config.h"

#include "engine/model.h"
#include "base/size.h"
#include "engine/quant.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- binding: each helper leaves m untouched once an error is set, so that calls read as a list ---- */

struct bind {
	struct model *m;
	struct err   *e;
	int           rc;
	size_t        used;	/* floats handed out */
	const struct gguf_tensor **bound;	/* [n_bound], in the order found */
	size_t        n_bound, max_bound;
};

static const struct gguf_tensor *find(struct bind *b, char name[96], const char *fmt, va_list ap)
{
	const struct gguf_tensor *t;

	vsnprintf(name, 96, fmt, ap);
	t = gguf_tensor(b->m->gguf, name);
	if (t && b->n_bound < b->max_bound)
		b->bound[b->n_bound++] = t;
	return t;
}

/* A vector of n floats, copied; NULL when optional and missing. */
__attribute__((format(printf, 4, 5)))
static const float *vec(struct bind *b, uint32_t n, bool optional, const char *fmt, ...)
{
	const struct gguf_tensor *t;
	char name[96];
	va_list ap;
	float *out;

	va_start(ap, fmt);
	t = find(b, name, fmt, ap);
	va_end(ap);
	if (b->rc)
		return NULL;
	if (!t) {
		if (!optional)
			b->rc = err_set(b->e, ERR_MODEL, "'%s' has no tensor %s", gguf_path(b->m->gguf), name);
		return NULL;
	}
	if (t->ne[0] != n || t->ne[1] * t->ne[2] * t->ne[3] != 1) {
		b->rc = err_set(b->e, ERR_MODEL, "'%s': tensor %s has %" PRIu64 " values where %u are expected",
				gguf_path(b->m->gguf), name, t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3], n);
		return NULL;
	}
	if (b->used + n > b->m->n_float) {
		b->rc = err_set(b->e, ERR_MODEL, "'%s': more vectors than the plan has room for",
				gguf_path(b->m->gguf));
		return NULL;
	}
	out = b->m->floats + b->used;
	b->used += n;
	quant_row_ref(t->type, t->data, out, n);
	return out;
}

__attribute__((format(printf, 7, 8)))
static void mat(struct bind *b, struct weight *w, uint32_t n_row, uint32_t n_col, uint32_t n_mat,
		bool optional, const char *fmt, ...)
{
	const struct gguf_tensor *t;
	char name[96];
	va_list ap;

	va_start(ap, fmt);
	t = find(b, name, fmt, ap);
	va_end(ap);
	if (b->rc)
		return;
	if (!t) {
		if (!optional)
			b->rc = err_set(b->e, ERR_MODEL, "'%s' has no tensor %s", gguf_path(b->m->gguf), name);
		return;
	}
	if (t->ne[0] != n_col || t->ne[1] != n_row || t->ne[2] != n_mat || t->ne[3] != 1) {
		b->rc = err_set(b->e, ERR_MODEL, "'%s': tensor %s has shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64
				"] where [%u, %u, %u] is expected", gguf_path(b->m->gguf), name, t->ne[0],
				t->ne[1], t->ne[2], n_col, n_row, n_mat);
		return;
	}
	*w = (struct weight){
		.data = t->data, .type = t->type, .n_row = n_row, .n_col = n_col, .n_mat = n_mat,
		.row_bytes = quant_row_bytes(t->type, n_col), .tensor = t,
	};
	w->mat_bytes = w->row_bytes * n_row;
}

static void bind_layer(struct bind *b, uint32_t i)
{
	const struct plan *p = &b->m->plan;
	struct model_layer *l = &b->m->layer[i];
	uint32_t nq = p->n_head * p->head_dim, nkv = p->n_head_kv * p->head_dim, ne = p->n_embd;
	bool qkn = p->qk_norm == PLAN_QK_BEFORE;

	l->attn_norm = vec(b, ne, false, "blk.%u.attn_norm.weight", i);
	l->ffn_norm = vec(b, ne, false, "blk.%u.ffn_norm.weight", i);
	if (qkn) {
		l->q_norm = vec(b, p->head_dim, false, "blk.%u.attn_q_norm.weight", i);
		l->k_norm = vec(b, p->head_dim, false, "blk.%u.attn_k_norm.weight", i);
	}
	mat(b, &l->q, nq, ne, 1, false, "blk.%u.attn_q.weight", i);
	mat(b, &l->k, nkv, ne, 1, false, "blk.%u.attn_k.weight", i);
	mat(b, &l->v, nkv, ne, 1, false, "blk.%u.attn_v.weight", i);
	mat(b, &l->o, ne, nq, 1, false, "blk.%u.attn_output.weight", i);
	l->q_bias = vec(b, nq, true, "blk.%u.attn_q.bias", i);
	l->k_bias = vec(b, nkv, true, "blk.%u.attn_k.bias", i);
	l->v_bias = vec(b, nkv, true, "blk.%u.attn_v.bias", i);
	l->o_bias = vec(b, ne, true, "blk.%u.attn_output.bias", i);
	if (!p->layer[i].is_moe) {
		mat(b, &l->gate, p->n_ff, ne, 1, false, "blk.%u.ffn_gate.weight", i);
		mat(b, &l->up, p->n_ff, ne, 1, false, "blk.%u.ffn_up.weight", i);
		mat(b, &l->down, ne, p->n_ff, 1, false, "blk.%u.ffn_down.weight", i);
		return;
	}
	mat(b, &l->router, p->n_expert, ne, 1, false, "blk.%u.ffn_gate_inp.weight", i);
	mat(b, &l->gate_exps, p->n_ff_expert, ne, p->n_expert, false, "blk.%u.ffn_gate_exps.weight", i);
	mat(b, &l->up_exps, p->n_ff_expert, ne, p->n_expert, false, "blk.%u.ffn_up_exps.weight", i);
	mat(b, &l->down_exps, ne, p->n_ff_expert, p->n_expert, false, "blk.%u.ffn_down_exps.weight", i);
	mat(b, &l->gate_shexp, p->n_ff_expert, ne, 1, false, "blk.%u.ffn_gate_shexp.weight", i);
	mat(b, &l->up_shexp, p->n_ff_expert, ne, 1, false, "blk.%u.ffn_up_shexp.weight", i);
	mat(b, &l->down_shexp, ne, p->n_ff_expert, 1, false, "blk.%u.ffn_down_shexp.weight", i);
}

static int by_address(const void *a, const void *b)
{
	const struct gguf_tensor *const *x = a, *const *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool starts_with(const struct gguf_str *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s->n >= n && !memcmp(s->s, prefix, n);
}

/* A tensor that the plan has no use for means that the model computes something else than we would: a
 * bias or a norm of a variant.  Vision towers are another matter, and old converters left a table of
 * rotary constants in each layer. */
static void refuse_unbound(struct bind *b)
{
	const struct gguf *g = b->m->gguf;

	qsort(b->bound, b->n_bound, sizeof(*b->bound), by_address);
	for (uint64_t i = 0; i < gguf_n_tensor(g) && !b->rc; i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);

		if (bsearch(&t, b->bound, b->n_bound, sizeof(*b->bound), by_address) ||
		    starts_with(&t->name, "v.") || starts_with(&t->name, "mm.") ||
		    memmem(t->name.s, t->name.n, ".attn_rot_embd.", 15))
			continue;
		b->rc = err_set(b->e, ERR_MODEL, "'%s': the architecture '%s' has no use for tensor %.*s",
				gguf_path(g), b->m->plan.arch, (int)t->name.n, t->name.s);
	}
}

static void check_rope_factors(struct bind *b)
{
	const struct model *m = b->m;

	for (uint32_t i = 0; m->rope_factor && i < m->plan.n_rot / 2 && !b->rc; i++)
		if (!(m->rope_factor[i] > 0) || isinf(m->rope_factor[i]))
			b->rc = err_set(b->e, ERR_MODEL, "'%s': tensor rope_freqs.weight holds %g at %u",
					gguf_path(m->gguf), (double)m->rope_factor[i], i);
}

/* Values of all vectors of the file: what can be copied, whatever sizes its keys pretend. */
static size_t count_floats(const struct gguf *g)
{
	size_t n = 0;

	for (uint64_t i = 0; i < gguf_n_tensor(g); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(g, i);

		if (t->ne[1] * t->ne[2] * t->ne[3] == 1)
			n += t->ne[0];
	}
	return n;
}

static int bind_all(struct model *m, struct err *e)
{
	const struct plan *p = &m->plan;
	struct bind b = { .m = m, .e = e, .max_bound = gguf_n_tensor(m->gguf) };

	m->n_float = count_floats(m->gguf);
	m->floats = malloc((m->n_float + 1) * sizeof(float));
	m->layer = calloc(p->n_layer, sizeof(*m->layer));
	b.bound = calloc(b.max_bound + 1, sizeof(*b.bound));
	if (!m->floats || !m->layer || !b.bound) {
		free(b.bound);
		return err_nomem(e);
	}
	mat(&b, &m->embd, p->n_vocab, p->n_embd, 1, false, "token_embd.weight");
	mat(&b, &m->output, p->n_vocab, p->n_embd, 1, true, "output.weight");
	if (!m->output.tensor)
		m->output = m->embd;
	m->output_norm = vec(&b, p->n_embd, false, "output_norm.weight");
	m->rope_factor = vec(&b, p->n_rot / 2, true, "rope_freqs.weight");
	for (uint32_t i = 0; i < p->n_layer && !b.rc; i++)
		bind_layer(&b, i);
	if (!b.rc)
		check_rope_factors(&b);
	if (!b.rc)
		refuse_unbound(&b);
	free(b.bound);
	return b.rc;
}

int model_open(struct model **out, const char *path, struct err *e)
{
	struct model *m = calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m)
		return err_nomem(e);
	rc = gguf_open(&m->gguf, path, e);
	if (!rc)
		rc = plan_read(&m->plan, m->gguf, e);
	if (!rc)
		rc = bind_all(m, e);
	if (rc) {
		model_close(m);
		return rc;
	}
	*out = m;
	return 0;
}

void model_close(struct model *m)
{
	if (!m)
		return;
	gguf_close(m->gguf);
	plan_release(&m->plan);
	free(m->floats);
	free(m->layer);
	free(m);
}

/* ---- identity and scan ---- */

void model_id(const struct model *m, struct id *out)
{
	const struct plan *p = &m->plan;
	uint32_t sizes[] = { p->n_layer, p->n_embd, p->n_head, p->n_head_kv, p->head_dim, p->n_rot,
			     p->n_vocab, p->n_ff, p->n_ff_expert, p->n_expert, p->n_expert_used,
			     p->attn_chunk, p->rope, p->qk_norm };
	float consts[] = { p->rms_eps, p->rope_base, p->temp_floor, p->temp_scale };
	struct hasher h;

	hasher_init(&h);
	hasher_field(&h, p->arch, strlen(p->arch));
	hasher_field(&h, sizes, sizeof(sizes));
	hasher_field(&h, consts, sizeof(consts));
	for (uint32_t i = 0; i < p->n_layer; i++) {
		uint8_t flags = (uint8_t)(p->layer[i].uses_rope | p->layer[i].is_far << 1 |
					  p->layer[i].scales_query << 2 | p->layer[i].is_moe << 3);
		hasher_add(&h, &flags, 1);
	}
	for (uint64_t i = 0; i < gguf_n_tensor(m->gguf); i++) {
		const struct gguf_tensor *t = gguf_tensor_at(m->gguf, i);
		const size_t step = 1 << 20, piece = 4096;

		hasher_field(&h, t->name.s, t->name.n);
		hasher_field(&h, &t->type, sizeof(t->type));
		hasher_field(&h, t->ne, sizeof(t->ne));
		if (t->n_byte <= step) {
			hasher_add(&h, t->data, t->n_byte);
			continue;
		}
		for (uint64_t off = 0; off < t->n_byte; off += step)
			hasher_add(&h, t->data + off, MIN(piece, t->n_byte - off));
	}
	*out = hasher_done(&h);
}

int model_scan_tensor(const struct model *m, const struct gguf_tensor *t, struct err *e)
{
	size_t row = quant_row_bytes(t->type, t->ne[0]);
	uint64_t n_row = t->ne[1] * t->ne[2] * t->ne[3];
	float *y = malloc(t->ne[0] * sizeof(float));
	int rc = y ? 0 : err_nomem(e);

	for (uint64_t r = 0; r < n_row && !rc; r++) {
		quant_row_ref(t->type, t->data + r * row, y, t->ne[0]);
		for (uint64_t c = 0; c < t->ne[0] && !rc; c++)
			if (!isfinite((double)y[c]))
				rc = err_set(e, ERR_MODEL, "'%s': tensor %.*s holds %g at row %" PRIu64
					     ", column %" PRIu64, gguf_path(m->gguf), (int)t->name.n,
					     t->name.s, (double)y[c], r, c);
	}
	free(y);
	gguf_release(m->gguf, t);
	return rc;
}

int model_scan(const struct model *m, struct err *e)
{
	int rc = 0;

	for (uint64_t i = 0; i < gguf_n_tensor(m->gguf) && !rc; i++)
		rc = model_scan_tensor(m, gguf_tensor_at(m->gguf, i), e);
	return rc;
}
