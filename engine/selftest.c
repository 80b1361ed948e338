#include "config.h"

#include "engine/selftest.h"
#include "base/size.h"
#include "engine/quant.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_ROW  71
#define MAX_TOKENS 23
#define TILED  (2 * ACT_TILE)	/* MAX_TOKENS in whole tiles */
#define MAX_COLS 512
#define MAX_HEAD 128
#define MAX_QUERIES 48
#define N_PAGE 3

/* Everything at once, so that there is one place to fail and one to free. */
struct bench {
	const struct kern *k;
	struct selftest *out;
	uint64_t seed;
	uint8_t w[N_ROW * MAX_COLS * 4];
	float x[MAX_TOKENS * MAX_COLS], xq[MAX_TOKENS * MAX_COLS];
	float want[MAX_TOKENS * N_ROW], got[MAX_TOKENS * N_ROW];
	int8_t q[MAX_TOKENS * MAX_COLS], q2[MAX_TOKENS * MAX_COLS];
	int8_t tile_q[TILED * MAX_COLS], tile_q2[TILED * MAX_COLS];
	struct act_scales tile_s[TILED / ACT_TILE * MAX_COLS / ACT_BLOCK];
	float d[MAX_TOKENS * MAX_COLS / 32], d2[MAX_TOKENS * MAX_COLS / 32], s[MAX_TOKENS * MAX_COLS / 16];
	_Alignas(64) float page[2 * N_PAGE][KV_PAGE * MAX_HEAD];
	float query[MAX_QUERIES * MAX_HEAD], o[2][MAX_QUERIES * MAX_HEAD];
	float m[2][MAX_QUERIES], l[2][MAX_QUERIES];
	void *scratch;
};

static float noise(struct bench *b)
{
	float s = 0;

	for (int i = 0; i < 6; i++) {
		b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
		s += (float)(b->seed >> 40) / (float)(1 << 24);
	}
	return s - 3;
}

__attribute__((format(printf, 4, 5)))
static void judge(struct bench *b, double error, double limit, const char *fmt, ...)
{
	struct selftest *t = b->out;
	double ratio = error / limit;
	va_list ap;

	t->n++;
	t->n_bad += !(ratio <= 1);
	if (t->n > 1 && ratio <= t->worst)
		return;
	t->worst = ratio;
	va_start(ap, fmt);
	vsnprintf(t->where, sizeof(t->where), fmt, ap);
	va_end(ap);
}

static double max_error(const float *a, const float *b, size_t n)
{
	double worst = 0;

	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);

		if (!(d <= worst))
			worst = isnan(d) ? INFINITY : d;
	}
	return worst;
}

/* ---- linear layers ---- */

/* Random bytes are random codes; but the f16 scales among them would be huge or NaN. */
static void fill_weights(struct bench *b, int type, size_t n)
{
	static const struct { int type, off[2]; } SCALES[] = {
		{ QUANT_Q4_0, { 0, 0 } }, { QUANT_Q4_1, { 0, 2 } }, { QUANT_Q5_0, { 0, 0 } },
		{ QUANT_Q5_1, { 0, 2 } }, { QUANT_Q8_0, { 0, 0 } }, { QUANT_Q2_K, { 80, 82 } },
		{ QUANT_Q3_K, { 108, 108 } }, { QUANT_Q4_K, { 0, 2 } }, { QUANT_Q5_K, { 0, 2 } },
		{ QUANT_Q6_K, { 208, 208 } }, { QUANT_IQ4_NL, { 0, 0 } }, { QUANT_IQ4_XS, { 0, 0 } },
	};
	const struct quant_info *info = quant_info(type);
	size_t n_block = n / info->block_elems;

	for (size_t i = 0; i < n && info->block_elems == 1; i++) {
		float f = noise(b);
		uint16_t h = quant_f32_to_f16(f);

		if (type == QUANT_F32)
			memcpy(b->w + 4 * i, &f, 4);
		else if (type == QUANT_F16)
			memcpy(b->w + 2 * i, &h, 2);
		else
			memcpy(b->w + 2 * i, (char *)&f + 2, 2);
	}
	if (info->block_elems == 1)
		return;
	for (size_t i = 0; i < n_block * info->block_bytes; i++)
		b->w[i] = (uint8_t)(int)(noise(b) * 4000);
	for (size_t i = 0; i < ARRAY_LEN(SCALES); i++)
		for (size_t j = 0; SCALES[i].type == type && j < n_block; j++)
			for (int k = 0; k < 2; k++) {
				uint16_t h = quant_f32_to_f16(0.01f * noise(b));

				memcpy(b->w + j * info->block_bytes + SCALES[i].off[k], &h, 2);
			}
}

/* The oracle multiplies dequantised weights with the activations as the set rounds them, so what is
 * left between the two is the order of sums. */
static void check_linear(struct bench *b, int type, size_t n_col, size_t n_tok)
{
	size_t bytes = quant_row_bytes(type, n_col), n = n_tok * n_col;
	struct rows rows = { .data = b->w, .type = type, .row_bytes = bytes, .r0 = 0, .r1 = N_ROW };
	struct act a = { .n_row = n_tok, .n_col = n_col, .x = b->x }, ref = a;
	double scale = 0;

	fill_weights(b, type, N_ROW * n_col);
	for (size_t i = 0; i < n; i++)
		b->xq[i] = b->x[i] = noise(b) * (i % 37 ? 1.0f : 20.0f);
	if (b->k->int8 && quant_info(type)->block_elems > 1) {
		a.q = b->q, a.q2 = b->q2, a.d = b->d, a.d2 = b->d2, a.s = b->s;
		a.tile_q = b->tile_q, a.tile_q2 = b->tile_q2, a.tile_s = b->tile_s;
		for (size_t t = 0; t < n_tok; t++)
			b->k->quant_act(&a, t);
		for (size_t i = 0; i < n; i++)
			b->xq[i] = (float)b->q[i] * b->d[i / 32] + (float)b->q2[i] * b->d2[i / 32];
		judge(b, max_error(b->x, b->xq, n), 60.0 / 127, "int8 activations, %zu tokens", n_tok);
	}
	ref.x = b->xq;
	kern_ref.linear(&rows, &ref, 0, n_tok, b->want, N_ROW, b->scratch);
	memset(b->got, 0xff, sizeof(b->got));
	b->k->linear(&rows, &a, 0, n_tok, b->got, N_ROW, b->scratch);
	for (size_t i = 0; i < n_tok * N_ROW; i++)
		scale += fabs((double)b->want[i]) / (double)(n_tok * N_ROW);
	judge(b, max_error(b->want, b->got, n_tok * N_ROW), 2e-5 * scale + 1e-6, "linear %s, %zu tokens",
	      quant_name(type), n_tok);
}

/* ---- the rest ---- */

static void check_attn(struct bench *b, size_t hd, size_t n_row, bool f16)
{
	void *k[N_PAGE], *v[N_PAGE];
	int64_t lo[MAX_QUERIES], hi[MAX_QUERIES];
	struct attn_args a = { .q = b->query, .n_row = n_row, .head_dim = hd, .k = (const void *const *)k,
			       .v = (const void *const *)v, .n_page = N_PAGE, .f16 = f16, .lo = lo, .hi = hi,
			       .scratch = b->scratch };

	for (size_t p = 0; p < N_PAGE; p++) {
		k[p] = b->page[p], v[p] = b->page[N_PAGE + p];
		for (size_t t = 0; t < KV_PAGE; t++) {
			float one[MAX_HEAD];

			for (size_t d = 0; d < hd; d++)
				one[d] = noise(b);
			kern_put_k(&k[p], t, one, 1, hd, hd, f16);
			kern_put_v(&v[p], t, one, 1, hd, hd, f16);
		}
	}
	for (size_t i = 0; i < n_row * hd; i++)
		b->query[i] = 0.4f * noise(b);
	for (size_t r = 0; r < n_row; r++) {
		lo[r] = (int64_t)(r * 7 % 50);
		hi[r] = (int64_t)(N_PAGE * KV_PAGE - r * 3 % 100);
	}
	for (int i = 0; i < 2; i++) {
		a.m = b->m[i], a.l = b->l[i], a.o = b->o[i];
		for (size_t r = 0; r < n_row; r++)
			a.m[r] = -INFINITY, a.l[r] = 0;
		memset(a.o, 0, n_row * hd * sizeof(float));
		(i ? &kern_ref : b->k)->attn(&a);
		for (size_t j = 0; j < n_row * hd; j++)
			a.o[j] /= a.l[j / hd];
	}
	judge(b, max_error(b->o[0], b->o[1], n_row * hd), 2e-5, "attention, head size %zu, %zu rows, %s", hd,
	      n_row, f16 ? "f16" : "f32");
}

static void check_elem(struct bench *b)
{
	enum { N = 103 };
	float *x = b->x, *w = b->xq, *p = b->want, *q = b->got;

	for (int i = 0; i < N; i++)
		x[i] = 3 * noise(b), w[i] = noise(b);
	x[0] = 200, x[1] = -200, x[2] = 0;
	b->k->rms_norm(x, w, p, N, 1e-5f), kern_ref.rms_norm(x, w, q, N, 1e-5f);
	judge(b, max_error(p, q, N), 1e-4, "rms norm");
	memcpy(p, x, N * sizeof(float)), memcpy(q, x, N * sizeof(float));
	b->k->swiglu(p, w, N), kern_ref.swiglu(q, w, N);
	judge(b, max_error(p, q, N), 1e-3, "swiglu");
	memcpy(p, w, N * sizeof(float)), memcpy(q, w, N * sizeof(float));
	b->k->axpy(0.37f, x, p, N), kern_ref.axpy(0.37f, x, q, N);
	judge(b, max_error(p, q, N), 1e-4, "axpy");
}

int selftest_run(const struct kern *k, struct selftest *out, struct err *e)
{
	static const int TYPES[] = { QUANT_F32, QUANT_F16, QUANT_BF16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1,
				     QUANT_Q8_0, QUANT_Q2_K, QUANT_Q3_K, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K,
				     QUANT_IQ4_NL, QUANT_IQ4_XS };
	static const size_t HEADS[] = { 40, 64, 128 }, QUERIES[] = { 1, 7, MAX_QUERIES };
	static const size_t TOKENS[] = { 1, KERN_FEW, MAX_TOKENS };
	size_t room = MAX(k->linear_scratch(MAX_COLS), kern_ref.linear_scratch(MAX_COLS));
	struct bench *b = aligned_alloc(64, round_up(sizeof(*b), 64));

	room = MAX(room, sizeof(float) * k->attn_scratch(MAX_QUERIES, MAX_HEAD));
	room = MAX(room, sizeof(float) * kern_ref.attn_scratch(MAX_QUERIES, MAX_HEAD));
	*out = (struct selftest){ 0 };
	if (b) {
		memset(b, 0, sizeof(*b));
		b->scratch = aligned_alloc(64, round_up(room, 64));
	}
	if (!b || !b->scratch) {
		free(b);
		return err_nomem(e);
	}
	b->k = k;
	b->out = out;
	b->seed = 1;
	check_elem(b);
	for (size_t t = 0; t < ARRAY_LEN(TYPES); t++) {
		uint32_t be = quant_info(TYPES[t])->block_elems;

		for (size_t n = 0; n < ARRAY_LEN(TOKENS); n++)
			check_linear(b, TYPES[t], be == 256 ? 512 : be == 32 ? 352 : 67, TOKENS[n]);
	}
	for (size_t h = 0; h < ARRAY_LEN(HEADS); h++)
		for (size_t q = 0; q < ARRAY_LEN(QUERIES); q++)
			for (int f16 = 0; f16 < 2; f16++)
				check_attn(b, HEADS[h], QUERIES[q], f16);
	free(b->scratch);
	free(b);
	return 0;
}
