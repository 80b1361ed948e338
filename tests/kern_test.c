/* Covers engine/kern.h: every kernel set this processor can run against the reference, on every tensor
 * type, with odd sizes and tails; the largest error and where it is are printed. */
#include "config.h"

#include "base/size.h"
#include "engine/kern.h"
#include "engine/quant.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static uint64_t seed = 1;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

static float gauss(void)
{
	float s = 0;

	for (int i = 0; i < 12; i++)
		s += (float)(rnd() & 0xffff) / 65536.0f;
	return s - 6;
}

static void *room(size_t n)
{
	void *p = aligned_alloc(64, round_up(n + 64, 64));

	if (!p)
		exit(99);
	memset(p, 0, round_up(n + 64, 64));
	return p;
}

/* Where a type keeps its f16 scales; random bits there would be NaN or huge. */
static void tame_scales(int type, uint8_t *w, size_t n_block)
{
	static const struct { int type; int off[2]; } AT[] = {
		{ QUANT_Q4_0, { 0, -1 } }, { QUANT_Q4_1, { 0, 2 } }, { QUANT_Q5_0, { 0, -1 } },
		{ QUANT_Q5_1, { 0, 2 } }, { QUANT_Q8_0, { 0, -1 } }, { QUANT_Q2_K, { 80, 82 } },
		{ QUANT_Q3_K, { 108, -1 } }, { QUANT_Q4_K, { 0, 2 } }, { QUANT_Q5_K, { 0, 2 } },
		{ QUANT_Q6_K, { 208, -1 } }, { QUANT_IQ4_NL, { 0, -1 } }, { QUANT_IQ4_XS, { 0, -1 } },
	};
	size_t bytes = quant_info(type)->block_bytes;

	for (size_t i = 0; i < ARRAY_LEN(AT); i++)
		for (size_t b = 0; AT[i].type == type && b < n_block; b++)
			for (int k = 0; k < 2; k++) {
				uint16_t h = quant_f32_to_f16(0.01f * gauss());

				if (AT[i].off[k] >= 0)
					memcpy(w + b * bytes + AT[i].off[k], &h, 2);
			}
}

static void fill_weights(int type, uint8_t *w, size_t n)
{
	const struct quant_info *q = quant_info(type);

	for (size_t i = 0; i < n; i++)
		if (type == QUANT_F32) {
			float f = gauss();

			memcpy(w + 4 * i, &f, 4);
		} else if (type == QUANT_F16 || type == QUANT_BF16) {
			float f = gauss();
			uint16_t h = quant_f32_to_f16(f);
			uint32_t u;

			memcpy(&u, &f, 4);
			if (type == QUANT_BF16)
				h = (uint16_t)(u >> 16);
			memcpy(w + 2 * i, &h, 2);
		}
	if (q->block_elems == 1)
		return;
	for (size_t i = 0; i < n / q->block_elems * q->block_bytes; i++)
		w[i] = (uint8_t)rnd();
	tame_scales(type, w, n / q->block_elems);
}

static void act_room(struct act *a)
{
	size_t n = a->n_row * a->n_col;

	size_t tiled = (a->n_row + ACT_TILE - 1) / ACT_TILE * ACT_TILE * a->n_col;

	a->q = room(n), a->q2 = room(n);
	a->d = room(n / 8), a->d2 = room(n / 8), a->s = room(n / 4);
	a->tile_q = room(tiled), a->tile_q2 = room(tiled);
	a->tile_s = room(tiled / ACT_TILE / ACT_BLOCK * sizeof(*a->tile_s));
}

static void act_free(struct act *a)
{
	free(a->q), free(a->q2), free(a->d), free(a->d2), free(a->s);
	free(a->tile_q), free(a->tile_q2), free(a->tile_s);
}

/* Linear: the fast sets see activations in int8, so the oracle multiplies dequantised weights with
 * those same rounded activations; what is left is the order of sums. */
static void test_linear(const struct kern *k, int type, size_t n_col, size_t n_row, size_t n_tok)
{
	size_t bytes = quant_row_bytes(type, n_col);
	uint8_t *w = room(n_row * bytes);
	float *x = room(n_tok * n_col * 4), *xq = room(n_tok * n_col * 4);
	float *want = room(n_tok * n_row * 4), *got = room(n_tok * n_row * 4);
	struct act a = { .n_row = n_tok, .n_col = n_col, .x = x };
	struct rows rows = { .data = w, .type = type, .row_bytes = bytes, .r0 = 0, .r1 = n_row };
	void *scratch = room(k->linear_scratch(n_col) + kern_ref.linear_scratch(n_col));
	double worst = 0, scale = 0;
	size_t at = 0;

	fill_weights(type, w, n_row * n_col);
	for (size_t i = 0; i < n_tok * n_col; i++)
		x[i] = gauss() * (i % 37 == 0 ? 20 : 1);
	memcpy(xq, x, n_tok * n_col * 4);
	if (k->int8 && quant_info(type)->block_elems > 1) {
		act_room(&a);
		for (size_t t = 0; t < n_tok; t++)
			k->quant_act(&a, t);
		for (size_t i = 0; i < n_tok * n_col; i++)
			xq[i] = (float)a.q[i] * a.d[i / 32] + (float)a.q2[i] * a.d2[i / 32];
	}
	{
		struct act ref = { .n_row = n_tok, .n_col = n_col, .x = xq };

		kern_ref.linear(&rows, &ref, 0, n_tok, want, n_row, scratch);
	}
	/* in two uneven pieces, both ways */
	rows.r1 = n_row / 3;
	k->linear(&rows, &a, 0, n_tok, got, n_row, scratch);
	rows.r0 = n_row / 3, rows.r1 = n_row;
	k->linear(&rows, &a, 0, n_tok / 2, got, n_row, scratch);
	k->linear(&rows, &a, n_tok / 2, n_tok, got, n_row, scratch);
	for (size_t i = 0; i < n_tok * n_row; i++) {
		double err = fabs((double)got[i] - (double)want[i]);

		scale += fabs((double)want[i]) / (double)(n_tok * n_row);
		if (!(err <= worst))
			worst = err, at = i;
	}
	ok(worst <= 2e-5 * scale + 1e-6, "%s linear %s [%zu x %zu] x %zu tokens: worst %.2e of %.2e at %zu", k->name,
	   quant_name(type), n_row, n_col, n_tok, worst, scale, at);
	free(w), free(x), free(xq), free(want), free(got), free(scratch);
	act_free(&a);
}

static void test_quant_act(const struct kern *k)
{
	enum { N = 192 };
	float x[N], worst = 0;
	struct act a[2] = { { .n_row = 1, .n_col = N, .x = x }, { .n_row = 1, .n_col = N, .x = x } };

	for (int i = 0; i < N; i++)
		x[i] = i / 32 == 1 ? 0 : gauss();
	x[70] = 100;
	for (int i = 0; i < 2; i++) {
		act_room(&a[i]);
		(i ? &kern_ref : k)->quant_act(&a[i], 0);
	}
	ok(!memcmp(a[0].q, a[1].q, N) && !memcmp(a[0].d, a[1].d, N / 8) &&
	   !memcmp(a[0].q2, a[1].q2, N) && !memcmp(a[0].d2, a[1].d2, N / 8) &&
	   !memcmp(a[0].s, a[1].s, N / 4) && a[0].d[1] == 0,
	   "%s int8 activations equal the reference bit for bit, a block of zeros too", k->name);
	for (int i = 64; i < 96; i++)
		worst = fmaxf(worst, fabsf(x[i] - (float)a[0].q[i] * a[0].d[2] - (float)a[0].q2[i] * a[0].d2[2]));
	ok(a[0].d2[2] > 0 && a[0].d2[0] == 0 && worst <= 0.51f * a[0].d2[2],
	   "%s: the block of an outlier gets a second digit, the others do not: worst error %.1e", k->name,
	   (double)worst);
	act_free(&a[0]), act_free(&a[1]);
}

static void test_elem(const struct kern *k)
{
	enum { N = 103 };
	float x[N], w[N], a[N], b[N], worst = 0;

	for (int i = 0; i < N; i++)
		x[i] = 3 * gauss(), w[i] = gauss();
	x[0] = 200, x[1] = -200, x[2] = 0;
	k->rms_norm(x, w, a, N, 1e-5f), kern_ref.rms_norm(x, w, b, N, 1e-5f);
	for (int i = 0; i < N; i++)
		worst = fmaxf(worst, fabsf(a[i] - b[i]) / (1 + fabsf(b[i])));
	ok(worst < 1e-6f, "%s rms_norm: %.2e", k->name, (double)worst);
	memcpy(a, x, sizeof(a)), memcpy(b, x, sizeof(b)), worst = 0;
	k->swiglu(a, w, N), kern_ref.swiglu(b, w, N);
	for (int i = 0; i < N; i++)
		worst = fmaxf(worst, fabsf(a[i] - b[i]) / (1 + fabsf(b[i])));
	ok(worst < 1e-6f, "%s swiglu, far tails too: %.2e", k->name, (double)worst);
}

/* One state over n_page pages, rows with limits of their own; then the same keys in two calls. */
static void test_attn(const struct kern *k, size_t hd, size_t n_row, size_t n_page, bool f16)
{
	size_t plane = hd * KV_PAGE * (f16 ? 2 : 4);
	const void **kp = room(n_page * sizeof(void *)), **vp = room(n_page * sizeof(void *));
	float *q = room(n_row * hd * 4), *m = room(n_row * 12), *l = room(n_row * 12), *o = room(3 * n_row * hd * 4);
	int64_t *lo = room(n_row * 8), *hi = room(n_row * 8);
	float *scratch = room(4 * (k->attn_scratch(n_row, hd) + kern_ref.attn_scratch(n_row, hd)));
	struct attn_args a = { .q = q, .n_row = n_row, .head_dim = hd, .k = kp, .v = vp, .n_page = n_page,
			       .f16 = f16, .lo = lo, .hi = hi, .scratch = scratch };
	double worst = 0;

	for (size_t p = 0; p < n_page; p++) {
		void *kk = room(plane), *vv = room(plane);
		float tmp[512];

		for (size_t t = 0; t < KV_PAGE; t++) {
			for (size_t d = 0; d < hd; d++)
				tmp[d] = gauss();
			kern_put_k(&kk, t, tmp, 1, hd, hd, f16);
			kern_put_v(&vv, t, tmp, 1, hd, hd, f16);
		}
		kp[p] = kk, vp[p] = vv;
	}
	for (size_t r = 0; r < n_row; r++) {
		lo[r] = (int64_t)(rnd() % 70) - 20;
		hi[r] = (int64_t)(rnd() % (n_page * KV_PAGE + 1));
		for (size_t d = 0; d < hd; d++)
			q[r * hd + d] = gauss() * 0.4f;
	}
	hi[0] = (int64_t)(n_page * KV_PAGE), lo[0] = 0;
	for (int pass = 0; pass < 3; pass++) {
		a.m = m + (size_t)pass * n_row, a.l = l + (size_t)pass * n_row, a.o = o + (size_t)pass * n_row * hd;
		for (size_t r = 0; r < n_row; r++)
			a.m[r] = -INFINITY;
		if (pass < 2) {
			(pass ? &kern_ref : k)->attn(&a);
			continue;
		}
		a.n_page = 1;
		k->attn(&a);
		for (size_t r = 0; r < n_row; r++)
			lo[r] -= KV_PAGE, hi[r] -= KV_PAGE;
		a.k = kp + 1, a.v = vp + 1, a.n_page = n_page - 1;
		k->attn(&a);
	}
	for (size_t r = 0; r < n_row; r++)
		for (size_t d = 0; d < hd; d++)
			for (int pass = 0; pass < 3; pass += 2) {
				float la = l[(size_t)pass * n_row + r], lb = l[n_row + r];
				float x = la > 0 ? o[((size_t)pass * n_row + r) * hd + d] / la : 0;
				float y = lb > 0 ? o[(n_row + r) * hd + d] / lb : 0;

				worst = fmax(worst, fabs((double)x - (double)y));
			}
	ok(worst < 2e-5, "%s attention, head_dim %zu, %zu rows, %zu %s pages, whole and merged: %.2e", k->name, hd,
	   n_row, n_page, f16 ? "f16" : "f32", worst);
	for (size_t p = 0; p < n_page; p++)
		free((void *)kp[p]), free((void *)vp[p]);
	free(kp), free(vp), free(q), free(m), free(l), free(o), free(lo), free(hi), free(scratch);
}

int main(void)
{
	static const int TYPES[] = { QUANT_F32, QUANT_F16, QUANT_BF16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1,
				     QUANT_Q8_0, QUANT_Q2_K, QUANT_Q3_K, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K,
				     QUANT_IQ4_NL, QUANT_IQ4_XS };
	const struct kern *k;

	ok(kern_choose("ref") == &kern_ref && !kern_choose("nonsense"), "sets are chosen by name");
	for (int i = 0; (k = kern_at(i)); i++) {
		test_quant_act(k);
		test_elem(k);
		for (size_t t = 0; t < ARRAY_LEN(TYPES); t++) {
			size_t be = quant_info(TYPES[t])->block_elems;

			test_linear(k, TYPES[t], be == 256 ? 512 : be == 32 ? 352 : 67, 45, 1);
			test_linear(k, TYPES[t], be == 256 ? 256 : be == 32 ? 64 : 67, 71, 3);
			test_linear(k, TYPES[t], be == 256 ? 512 : be == 32 ? 352 : 131, 71, 23);
			/* more tokens than a share of any thread, and no multiple of a tile */
			test_linear(k, TYPES[t], be == 256 ? 256 : be == 32 ? 64 : 67, 33, 521);
		}
		for (int f16 = 0; f16 < 2; f16++) {
			test_attn(k, 64, 1, 3, f16);
			test_attn(k, 64, 48, 5, f16);
			test_attn(k, 128, 7, 4, f16);
			test_attn(k, 128, 40, 2, f16);
			test_attn(k, 40, 5, 3, f16);
		}
	}
	return done();
}
