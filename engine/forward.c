#include "config.h"

#include "engine/forward.h"
#include "engine/forward_impl.h"
#include "base/size.h"
#include "engine/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tokens a tile in the loops over tokens (norms, rotation). */
#define TOKEN_TILE 16
/* Tokens whose int8 form one task makes: whole tiles of struct act. */
#define ACT_TOKENS (2 * ACT_TILE)

/* ---- set-up ---- */

/* Inverse frequencies as HF computes them: base^(-2m/n) in float32, then llama3 factors. */
static void fill_inv_freq(struct forward *f)
{
	const struct plan *p = f->plan;

	for (uint32_t m = 0; m < p->n_rot / 2; m++) {
		f->inv_freq[m] = 1.0f / powf(p->rope_base, (float)(2 * m) / (float)p->n_rot);
		if (f->model->rope_factor)
			f->inv_freq[m] /= f->model->rope_factor[m];
	}
}

/* n elements, 64-byte aligned; *failed is set when there is no memory. */
static void *room(size_t n, size_t elem, bool *failed)
{
	size_t bytes;
	void *p = NULL;

	if (!size_mul(n, elem, &bytes) && bytes < SIZE_MAX / 2)
		p = aligned_alloc(64, round_up(bytes + 64, 64));
	if (!p)
		*failed = true;
	return p;
}

/* The widest FFN that a layer has: a width that none uses is a number without a tensor behind it. */
static size_t max_ff(const struct plan *p)
{
	size_t n = 0;

	for (uint32_t i = 0; i < p->n_layer; i++)
		n = MAX(n, (size_t)(p->layer[i].is_moe ? p->n_ff_expert : p->n_ff));
	return n;
}

static size_t max_cols(const struct plan *p)
{
	size_t n = MAX((size_t)p->n_embd, (size_t)p->n_head * p->head_dim);

	return MAX(n, max_ff(p));
}

int forward_new(struct forward **out, const struct model *m, const struct kern *kern, struct pool *pool,
		size_t n_batch, struct err *e)
{
	const struct plan *p = &m->plan;
	size_t nq = (size_t)p->n_head * p->head_dim, nkv = (size_t)p->n_head_kv * p->head_dim;
	size_t n_ff = max_ff(p), cols = max_cols(p), b = n_batch;
	size_t group = p->n_head / p->n_head_kv, n_row = MAX((size_t)ATTEND_ROWS, group);
	size_t b_tile = (b + ACT_TILE - 1) / ACT_TILE * ACT_TILE;
	struct forward *f = calloc(1, sizeof(*f));
	bool bad = false;

	*out = NULL;
	if (!f)
		return err_nomem(e);
	*f = (struct forward){ .model = m, .plan = p, .kern = kern, .pool = pool, .n_batch = n_batch };
	f->inv_freq = room(p->n_rot / 2 + 1, sizeof(float), &bad);
	f->h = room(b * p->n_embd, sizeof(float), &bad);
	f->x = room(b * p->n_embd, sizeof(float), &bad);
	f->q = room(b * nq, sizeof(float), &bad);
	f->att = room(b * nq, sizeof(float), &bad);
	f->k = room(b * nkv, sizeof(float), &bad);
	f->v = room(b * nkv, sizeof(float), &bad);
	f->gate = room(b * n_ff, sizeof(float), &bad);
	f->up = room(b * n_ff, sizeof(float), &bad);
	f->cos_sin = room(b * p->n_rot, sizeof(float), &bad);
	f->pos = room(b, sizeof(int64_t), &bad);
	f->temperature = room(b, sizeof(float), &bad);
	f->state_m = room(b * p->n_head, sizeof(float), &bad);
	f->state_l = room(b * p->n_head, sizeof(float), &bad);
	f->act_room = (struct act){
		.q = room(b * cols, 1, &bad), .q2 = room(b * cols, 1, &bad),
		.d = room(b * (cols / ACT_BLOCK + 1), sizeof(float), &bad),
		.d2 = room(b * (cols / ACT_BLOCK + 1), sizeof(float), &bad),
		.s = room(b * (cols / 16 + 1), sizeof(float), &bad),
		.tile_q = room(b_tile * cols, 1, &bad), .tile_q2 = room(b_tile * cols, 1, &bad),
		.tile_s = room(b_tile / ACT_TILE * (cols / ACT_BLOCK + 1), sizeof(struct act_scales), &bad),
	};
	if (p->n_expert) {
		f->router = room(b * p->n_expert, sizeof(float), &bad);
		f->expert = room(b * p->n_expert_used, sizeof(int32_t), &bad);
		f->moe_x = room(b * p->n_embd, sizeof(float), &bad);
		f->moe_y = room(b * p->n_embd, sizeof(float), &bad);
	}
	f->attn_scratch = calloc((size_t)pool_threads(pool), sizeof(*f->attn_scratch));
	f->linear_scratch = calloc((size_t)pool_threads(pool), sizeof(*f->linear_scratch));
	if (!f->attn_scratch || !f->linear_scratch)
		bad = true;
	for (int i = 0; !bad && i < pool_threads(pool); i++) {
		/* The rows' queries, their values and limits, then the kernel's own. */
		f->attn_scratch[i] = room(n_row * (2 * p->head_dim + 8) +
					  kern->attn_scratch(n_row, p->head_dim) + 64, sizeof(float), &bad);
		f->linear_scratch[i] = room(kern->linear_scratch(cols), 1, &bad);
	}
	if (bad) {
		forward_free(f);
		return err_set(e, ERR_NOMEM, "out of memory for a batch of %zu tokens", n_batch);
	}
	f->linear = (struct linear){ .kern = kern, .pool = pool, .scratch = f->linear_scratch };
	fill_inv_freq(f);
	*out = f;
	return 0;
}

void forward_free(struct forward *f)
{
	if (!f)
		return;
	for (int i = 0; i < pool_threads(f->pool); i++) {
		if (f->attn_scratch)
			free(f->attn_scratch[i]);
		if (f->linear_scratch)
			free(f->linear_scratch[i]);
	}
	free(f->attn_scratch), free(f->linear_scratch);
	free(f->inv_freq), free(f->h), free(f->x), free(f->q), free(f->att), free(f->k), free(f->v);
	free(f->gate), free(f->up), free(f->cos_sin), free(f->pos), free(f->temperature);
	free(f->state_m), free(f->state_l), free(f->act_room.q), free(f->act_room.q2);
	free(f->act_room.d), free(f->act_room.d2), free(f->act_room.s), free(f->act_room.tile_q);
	free(f->act_room.tile_q2), free(f->act_room.tile_s);
	free(f->router), free(f->expert), free(f->moe_x), free(f->moe_y);
	free(f);
}

size_t forward_batch(const struct forward *f)
{
	return f->n_batch;
}

/* ---- activations ---- */

static void act_tile(void *ctx, size_t task, int worker)
{
	struct forward *f = ctx;
	struct act *a = &f->act;
	size_t t1 = MIN((task + 1) * ACT_TOKENS, a->n_row);

	(void)worker;
	for (size_t t = task * ACT_TOKENS; t < t1; t++)
		f->kern->quant_act(a, t);
}

void forward_act(struct forward *f, const float *x, size_t n, size_t n_col)
{
	/* Only quantised weights read the int8 form, and they have whole blocks. */
	bool int8 = f->kern->int8 && n_col % ACT_BLOCK == 0;

	f->act = int8 ? f->act_room : (struct act){ 0 };
	f->act.n_row = n;
	f->act.n_col = n_col;
	f->act.x = x;
	if (int8)
		pool_run(f->pool, (n + ACT_TOKENS - 1) / ACT_TOKENS, act_tile, f);
}

struct norm_run {
	struct forward *f;
	const float *w;
	size_t n;
};

static void norm_tile(void *ctx, size_t task, int worker)
{
	struct norm_run *r = ctx;
	struct forward *f = r->f;
	size_t ne = f->plan->n_embd, t1 = MIN((task + 1) * TOKEN_TILE, r->n);

	(void)worker;
	for (size_t t = task * TOKEN_TILE; t < t1; t++)
		f->kern->rms_norm(f->h + t * ne, r->w, f->x + t * ne, ne, f->plan->rms_eps);
}

static void norm(struct forward *f, const float *w, size_t n)
{
	struct norm_run r = { f, w, n };

	pool_run(f->pool, (n + TOKEN_TILE - 1) / TOKEN_TILE, norm_tile, &r);
}

static void add_to_h(struct forward *f, const float *y, size_t n)
{
	f->kern->axpy(1.0f, y, f->h, n * f->plan->n_embd);
}

/* ---- positions ---- */

static void rotate(const struct plan *p, const float *cos_sin, float *x)
{
	uint32_t half = p->n_rot / 2;
	const float *c = cos_sin, *s = cos_sin + half;

	for (uint32_t m = 0; m < half; m++) {
		uint32_t i = p->rope == PLAN_ROPE_NORM ? 2 * m : m;
		uint32_t j = p->rope == PLAN_ROPE_NORM ? 2 * m + 1 : m + half;
		float a = x[i], b = x[j];

		x[i] = a * c[m] - b * s[m];
		x[j] = a * s[m] + b * c[m];
	}
}

void forward_angles(const struct forward *f, int64_t pos, float *cos_sin)
{
	uint32_t half = f->plan->n_rot / 2;

	for (uint32_t m = 0; m < half; m++) {
		float a = (float)pos * f->inv_freq[m];

		cos_sin[m] = cosf(a);
		cos_sin[half + m] = sinf(a);
	}
}

/* What a layer does to one head of q or k after the projection. */
static void place_head(const struct forward *f, uint32_t layer, const float *norm_w,
		       const float *cos_sin, float *x)
{
	const struct plan *p = f->plan;

	if (p->qk_norm == PLAN_QK_BEFORE)
		f->kern->rms_norm(x, norm_w, x, p->head_dim, p->rms_eps);
	if (!p->layer[layer].uses_rope)
		return;
	rotate(p, cos_sin, x);
	if (p->qk_norm == PLAN_QK_AFTER)
		f->kern->rms_norm(x, NULL, x, p->head_dim, p->rms_eps);
}

struct place_run {
	struct forward *f;
	uint32_t layer;
	size_t n;
};

static void place_tile(void *ctx, size_t task, int worker)
{
	struct place_run *r = ctx;
	struct forward *f = r->f;
	const struct plan *p = f->plan;
	const struct model_layer *l = &f->model->layer[r->layer];
	size_t t1 = MIN((task + 1) * TOKEN_TILE, r->n), hd = p->head_dim;
	float plain = 1.0f / sqrtf((float)hd);

	(void)worker;
	for (size_t t = task * TOKEN_TILE; t < t1; t++) {
		const float *cs = f->cos_sin + t * p->n_rot;
		float *q = f->q + t * p->n_head * hd, *k = f->k + t * p->n_head_kv * hd;
		float scale = p->layer[r->layer].scales_query ? f->temperature[t] : plain;

		for (uint32_t i = 0; i < p->n_head; i++)
			place_head(f, r->layer, l->q_norm, cs, q + i * hd);
		for (uint32_t i = 0; i < p->n_head_kv; i++)
			place_head(f, r->layer, l->k_norm, cs, k + i * hd);
		for (size_t i = 0; i < p->n_head * hd; i++)
			q[i] *= scale;
	}
}

void forward_place_keys(const struct forward *f, uint32_t layer, float *k, size_t n, int64_t pos)
{
	const struct plan *p = f->plan;
	float cs[1024];

	for (size_t t = 0; t < n; t++) {
		forward_angles(f, pos + (int64_t)t, cs);
		for (uint32_t i = 0; i < p->n_head_kv; i++)
			place_head(f, layer, f->model->layer[layer].k_norm, cs,
				   k + (t * p->n_head_kv + i) * p->head_dim);
	}
}

/* ---- one layer ---- */

/* keys_only: what comes after the sink is left out. */
static int attention(struct forward *f, uint32_t layer, const struct fwd_item *item, size_t n_item,
		     size_t n, bool keys_only, struct err *e)
{
	const struct plan *p = f->plan;
	const struct model_layer *l = &f->model->layer[layer];
	size_t nq = (size_t)p->n_head * p->head_dim, nkv = (size_t)p->n_head_kv * p->head_dim;
	struct linear_job qkv[3] = {
		{ .w = &l->q, .bias = l->q_bias, .y = f->q, .ldy = nq },
		{ .w = &l->k, .bias = l->k_bias, .y = f->k, .ldy = nkv },
		{ .w = &l->v, .bias = l->v_bias, .y = f->v, .ldy = nkv },
	};
	struct linear_job o = { .w = &l->o, .bias = l->o_bias, .y = f->x, .ldy = p->n_embd };
	struct place_run place = { f, layer, n };
	uint32_t far = 0;
	size_t t = 0;
	int rc;

	norm(f, l->attn_norm, n);
	forward_act(f, f->x, n, p->n_embd);
	linear_run(&f->linear, keys_only ? qkv + 1 : qkv, keys_only ? 2 : 3, &f->act);
	while (far < p->n_far && p->far_layer[far] < layer)
		far++;
	for (size_t i = 0; p->layer[layer].is_far && i < n_item; t += item[i++].n) {
		rc = item[i].sink ? item[i].sink->put(item[i].sink->ctx, far, f->k + t * nkv,
						      f->v + t * nkv, item[i].n, e) : 0;
		if (rc)
			return rc;
	}
	if (keys_only)
		return 0;
	pool_run(f->pool, (n + TOKEN_TILE - 1) / TOKEN_TILE, place_tile, &place);
	t = 0;
	for (size_t i = 0; p->layer[layer].is_far && i < n_item; t += item[i++].n)
		if (item[i].tap)
			item[i].tap->put(item[i].tap->ctx, far, f->q + t * nq, item[i].n);
	rc = attend_layer(f, layer, item, n_item, e);
	if (rc)
		return rc;
	forward_act(f, f->att, n, nq);
	linear_run(&f->linear, &o, 1, &f->act);
	add_to_h(f, f->x, n);
	return 0;
}

static void feed_forward(struct forward *f, uint32_t layer, size_t n)
{
	const struct plan *p = f->plan;
	const struct model_layer *l = &f->model->layer[layer];
	struct linear_job gate = { .w = &l->gate, .y = f->gate, .ldy = p->n_ff, .up = &l->up, .up_y = f->up };
	struct linear_job down = { .w = &l->down, .y = f->x, .ldy = p->n_embd };

	norm(f, l->ffn_norm, n);
	if (p->layer[layer].is_moe) {
		moe_layer(f, layer, n);
		return;
	}
	forward_act(f, f->x, n, p->n_embd);
	linear_run(&f->linear, &gate, 1, &f->act);
	forward_act(f, f->gate, n, p->n_ff);
	linear_run(&f->linear, &down, 1, &f->act);
	add_to_h(f, f->x, n);
}

/* ---- the whole pass ---- */

static int begin(struct forward *f, const struct fwd_item *item, size_t n_item, size_t *n_token,
		 struct err *e)
{
	const struct plan *p = f->plan;
	const struct weight *w = &f->model->embd;
	size_t t = 0;

	for (size_t i = 0; i < n_item; i++) {
		if (item[i].kv->torn)
			return err_set(e, ERR_INVALID, "a pass over this sequence failed, its keys are lost");
		for (size_t j = 0; j < item[i].n; j++, t++) {
			int32_t id = item[i].token[j];
			int64_t pos = kv_end(item[i].kv) + (int64_t)j;
			const struct far_source *far = item[i].source;
			int64_t counted = pos + (far ? far->n_mounted : 0);
			enum plan_law law = far ? far->law : PLAN_LAW_MODEL;

			if (t >= f->n_batch)
				return err_set(e, ERR_INVALID, "more than %zu tokens in a batch", f->n_batch);
			if (id < 0 || (uint32_t)id >= p->n_vocab)
				return err_set(e, ERR_INVALID, "token %d is outside the vocabulary of %u", id,
					       p->n_vocab);
			quant_row_ref(w->type, w->data + (size_t)id * w->row_bytes, f->h + t * p->n_embd,
				      p->n_embd);
			f->pos[t] = pos;
			f->temperature[t] = plan_temperature_by(p, law, counted) / sqrtf((float)p->head_dim);
			forward_angles(f, pos, f->cos_sin + t * p->n_rot);
		}
	}
	*n_token = t;
	return 0;
}

/* Normed hidden states of the wanted rows, then the output matrix: few rows at a time, so that logits
 * go straight to their place. */
static void logits(struct forward *f, const struct fwd_item *item, size_t n_item)
{
	const struct plan *p = f->plan;
	size_t t = 0, ne = p->n_embd;

	for (size_t i = 0; i < n_item; t += item[i++].n) {
		size_t first = item[i].all_logits ? 0 : item[i].n - 1;
		size_t n = item[i].n - first;
		struct linear_job out = { .w = &f->model->output, .y = item[i].logits, .ldy = p->n_vocab };

		if (!item[i].logits || !item[i].n)
			continue;
		for (size_t r = 0; r < n; r++)
			f->kern->rms_norm(f->h + (t + first + r) * ne, f->model->output_norm, f->x + r * ne,
					  ne, p->rms_eps);
		forward_act(f, f->x, n, ne);
		linear_run(&f->linear, &out, 1, &f->act);
	}
}

static void prefetch_layer(const struct forward *f, uint32_t layer)
{
	const struct model_layer *l = &f->model->layer[layer];
	const struct weight *w[] = { &l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down,
				     &l->gate_exps, &l->up_exps, &l->down_exps, &l->gate_shexp,
				     &l->up_shexp, &l->down_shexp };

	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		if (w[i]->tensor)
			gguf_prefetch(f->model->gguf, w[i]->tensor);
}

/* Near layers use the slots of a chunk again for the next one, and do so layer by layer. */
static void tear(const struct plan *p, const struct fwd_item *item, size_t n_item)
{
	for (size_t i = 0; p->attn_chunk && i < n_item; i++) {
		int64_t chunk = p->attn_chunk, first = kv_end(item[i].kv), last = first + (int64_t)item[i].n - 1;

		if (item[i].n && first % chunk && first / chunk != last / chunk)
			item[i].kv->torn = true;
	}
}

static int layers(struct forward *f, const struct fwd_item *item, size_t n_item, uint32_t n_layer, size_t n,
		  bool keys_only, struct err *e)
{
	for (uint32_t i = 0; i < n_layer; i++) {
		bool last = keys_only && i + 1 == n_layer;
		int rc;

		/* A batch is worth reading ahead for; one token touches too little time to hide it in. */
		if (n > KERN_FEW && i + 1 < n_layer)
			prefetch_layer(f, i + 1);
		rc = attention(f, i, item, n_item, n, last, e);
		if (rc || last)
			return rc;
		feed_forward(f, i, n);
	}
	return 0;
}

int forward_run(struct forward *f, const struct fwd_item *item, size_t n_item, struct err *e)
{
	const struct plan *p = f->plan;
	uint32_t n_layer = 0;
	bool want_logits = false, keys_only = true;
	size_t n = 0;
	int rc;

	rc = begin(f, item, n_item, &n, e);
	if (rc || n == 0)
		return rc;
	for (size_t i = 0; i < n_item; i++) {
		uint32_t depth = item[i].n_layer ? MIN(item[i].n_layer, p->n_layer) : p->n_layer;

		n_layer = MAX(n_layer, depth);
		want_logits |= item[i].logits && depth == p->n_layer;
		keys_only &= item[i].keys_only && !item[i].logits;
	}
	if (keys_only && p->n_far)
		n_layer = MIN(n_layer, p->far_layer[p->n_far - 1] + 1);
	rc = layers(f, item, n_item, n_layer, n, keys_only && p->n_far, e);
	if (rc) {
		tear(p, item, n_item);
		return rc;
	}
	if (want_logits)
		logits(f, item, n_item);
	for (size_t i = 0; i < n_item; i++)
		item[i].kv->n += (int64_t)item[i].n;
	return 0;
}
