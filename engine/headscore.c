#include "config.h"

#include "engine/headscore.h"
#include "base/cpu.h"
#include "base/size.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct headscore_text headscore_neutral = { "What does the text say?", 23 };

struct headscore {
	struct encoder *enc;
	const struct heads *heads;
	size_t  n_text, n_row;		/* n_row: tokens that count, of all texts */
	size_t *first;			/* [n_text + 1] first row of each */
	float  *q;			/* [heads->n][n_row][head_dim] */
	float  *cos_sin;		/* [span_max][n_rot] of the positions of spans */
	uint32_t span_max;
	headpage_fn *page;
};

/* ---- questions ---- */

/* Which far layer's heads go where. */
struct tap {
	struct headscore *s;
	const bool *counts;		/* [n] of the question that runs */
	size_t row;
};

static void take_queries(void *ctx, uint32_t far, const float *q, size_t n_token)
{
	struct tap *t = ctx;
	struct headscore *s = t->s;
	const struct plan *p = engine_plan(encoder_engine(s->enc));
	size_t hd = p->head_dim;

	for (uint32_t h = 0; h < s->heads->n; h++) {
		size_t row = t->row;

		if (s->heads->head[h].far_layer != far)
			continue;
		for (size_t i = 0; i < n_token; i++)
			if (t->counts[i])
				memcpy(s->q + (h * s->n_row + row++) * hd,
				       q + (i * p->n_head + s->heads->head[h].head) * hd, hd * sizeof(float));
	}
}

static bool has_word(const struct tok *tok, int32_t id, struct buf *b)
{
	buf_clear(b);
	tok_piece(tok, id, false, b);
	for (size_t i = 0; i < b->len; i++)
		if (isalnum((unsigned char)b->data[i]) || (unsigned char)b->data[i] >= 0x80)
			return true;
	return false;
}

static int run_question(struct headscore *s, const struct tok_ids *ids, const bool *counts, size_t row,
			uint32_t n_layer, struct err *e)
{
	struct engine *en = encoder_engine(s->enc);
	struct tap t = { s, counts, row };
	struct query_tap tap = { &t, take_queries };
	struct fwd_item item = { .token = ids->id, .n = ids->n, .tap = &tap, .n_layer = n_layer };
	int rc = engine_seq(en, encoder_preamble(s->enc), &item.kv, e);

	if (!rc)
		rc = kv_skip(item.kv, s->span_max, e);
	if (!rc)
		rc = forward_run(engine_forward(en), &item, 1, e);
	kv_free(item.kv);
	return rc;
}

static int tokenize(struct headscore *s, const struct headscore_text *text, struct tok_ids *ids, bool *counts,
		    size_t *n_row, struct err *e)
{
	const struct tok *tok = encoder_tok(s->enc);
	size_t max = forward_batch(engine_forward(encoder_engine(s->enc)));
	struct buf b = { 0 };
	int rc;

	ids->n = 0;
	rc = tok_encode(tok, text->text, text->n, 0, ids, NULL, e);
	ids->n = MIN(ids->n, max);
	for (size_t i = 0; i < ids->n && !rc; i++) {
		counts[i] = has_word(tok, ids->id[i], &b);
		*n_row += counts[i];
	}
	if (!rc && b.failed)
		rc = err_nomem(e);
	buf_release(&b);
	return rc;
}

static int run_all(struct headscore *s, const struct headscore_text *text, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(s->enc));
	bool *counts = calloc(forward_batch(engine_forward(encoder_engine(s->enc))) + 1, sizeof(*counts));
	struct tok_ids ids = { 0 };
	uint32_t deepest = 0;
	size_t n = 0;
	int rc = counts ? 0 : err_nomem(e);

	for (size_t i = 0; i < s->n_text && !rc; i++) {
		s->first[i] = n;
		rc = tokenize(s, &text[i], &ids, counts, &n, e);
	}
	s->first[s->n_text] = s->n_row = n;
	s->q = calloc(s->heads->n * n * p->head_dim + 1, sizeof(*s->q));
	if (!rc && !s->q)
		rc = err_nomem(e);
	for (uint32_t h = 0; h < s->heads->n; h++)
		deepest = MAX(deepest, p->far_layer[s->heads->head[h].far_layer]);
	for (size_t i = 0; i < s->n_text && !rc; i++) {
		n = 0;
		rc = tokenize(s, &text[i], &ids, counts, &n, e);
		if (!rc && n)
			rc = run_question(s, &ids, counts, s->first[i], deepest + 1, e);
	}
	free(ids.id);
	free(counts);
	return rc;
}

int headscore_new(struct headscore **out, struct encoder *enc, const struct heads *h,
		  const struct headscore_text *text, size_t n_text, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(enc));
	struct headscore *s;
	int rc;

	*out = NULL;
	if (!heads_possible(p))
		return err_set(e, ERR_INVALID, "spans of '%s' cannot be chosen by retrieval heads", p->name);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	*s = (struct headscore){ .enc = enc, .heads = h, .n_text = n_text, .span_max = encoder_span_max(enc),
				 .page = headpage_best() };
	s->first = calloc(n_text + 1, sizeof(*s->first));
	s->cos_sin = calloc((size_t)s->span_max * p->n_rot + 1, sizeof(*s->cos_sin));
	rc = s->first && s->cos_sin ? run_all(s, text, e) : err_nomem(e);
	for (uint32_t i = 0; i < s->span_max && !rc; i++)
		forward_angles(engine_forward(encoder_engine(enc)), kv_end(encoder_preamble(enc)) + i,
			       s->cos_sin + (size_t)i * p->n_rot);
	if (rc) {
		headscore_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void headscore_free(struct headscore *s)
{
	if (!s)
		return;
	free(s->first);
	free(s->q);
	free(s->cos_sin);
	free(s);
}

/* ---- spans ---- */

int headscore_part(const struct headscore *s, const struct spanidx *part, float *score, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(s->enc));
	const struct heads *h = s->heads;
	uint32_t n = part->plan.n_token, hd = part->plan.head_dim;
	float *best, *lse;

	if (part->plan.n_pair != h->n_pair || hd != p->head_dim || n > s->span_max)
		return err_set(e, ERR_MISMATCH, "a part of the span index of another shape than the profile");
	best = malloc((2 * h->n * s->n_row + 1) * sizeof(*best));
	if (!best)
		return err_nomem(e);
	lse = best + h->n * s->n_row;
	for (uint32_t k = 0, m; k < h->n; k += m) {
		const int8_t *code;
		const uint16_t *step;
		bool rope = p->layer[p->far_layer[h->head[k].far_layer]].uses_rope;

		/* Heads of one pair read the same keys: one run. */
		for (m = 1; k + m < h->n && h->pair_of[k + m] == h->pair_of[k]; m++)
			;
		spanidx_get(part, h->pair_of[k], &code, &step);
		for (uint32_t t = 0; t < n; t += KV_PAGE) {
			struct headpage pg = { .code = code + (size_t)t * hd, .step = step + t,
					       .n = MIN(n - t, (uint32_t)KV_PAGE), .head_dim = hd, .n_rot = p->n_rot,
					       .neox = p->rope == PLAN_ROPE_NEOX,
					       .cos_sin = rope ? s->cos_sin + (size_t)t * p->n_rot : NULL,
					       .q = s->q + (size_t)k * s->n_row * hd, .n_row = m * s->n_row };

			s->page(&pg, lse);
			for (size_t r = 0; r < pg.n_row; r++)
				best[k * s->n_row + r] = t ? MAX(best[k * s->n_row + r], lse[r]) : lse[r];
		}
	}
	for (size_t i = 0; i < s->n_text; i++)
		for (uint32_t k = 0; k < h->n; k++) {
			const float *b = best + k * s->n_row;
			double sum = 0;

			size_t rows = s->first[i + 1] - s->first[i];

			for (size_t r = s->first[i]; r < s->first[i + 1]; r++)
				sum += b[r];
			score[i * h->n + k] = rows ? (float)(sum / (double)rows) : 0;
		}
	free(best);
	return 0;
}

/* ---- one page ---- */

void headpage_ref(const struct headpage *p, float *lse)
{
	float k[KV_PAGE][1024], dot[KV_PAGE];
	uint32_t half = p->n_rot / 2;

	for (uint32_t t = 0; t < p->n; t++) {
		const float *c = p->cos_sin + (size_t)t * p->n_rot;
		float step = kv_f16_to_f32(p->step[t]);

		for (uint32_t i = 0; i < p->head_dim; i++)
			k[t][i] = step * (float)p->code[(size_t)t * p->head_dim + i];
		for (uint32_t m = 0; p->cos_sin && m < half; m++) {
			uint32_t i = p->neox ? m : 2 * m, j = p->neox ? m + half : 2 * m + 1;
			float a = k[t][i], b = k[t][j];

			k[t][i] = a * c[m] - b * c[half + m];
			k[t][j] = a * c[half + m] + b * c[m];
		}
	}
	for (size_t r = 0; r < p->n_row; r++) {
		float max = -INFINITY;
		double sum = 0;

		for (uint32_t t = 0; t < p->n; t++) {
			dot[t] = 0;
			for (uint32_t i = 0; i < p->head_dim; i++)
				dot[t] += p->q[r * p->head_dim + i] * k[t][i];
			max = MAX(max, dot[t]);
		}
		for (uint32_t t = 0; t < p->n; t++)
			sum += exp((double)dot[t] - (double)max);
		lse[r] = max + (float)log(sum);
	}
}

headpage_fn *headpage_best(void)
{
#ifdef HAVE_X86_KERNELS
	if (cpu_get()->avx2_fma)
		return headpage_avx2;
#endif
	return headpage_ref;
}
