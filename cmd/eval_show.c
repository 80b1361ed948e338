/* What `folio eval` prints: a Markdown table per length, or folio.eval/1. */
#include "config.h"

#include "cmd/cmd_eval.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include <stdio.h>

static const char *const laws[] = { [PLAN_LAW_MODEL] = "llama4", [PLAN_LAW_LOG] = "log", [PLAN_LAW_OFF] = "off" };

const char *eval_way_name(const struct eval_way *w, char out[64])
{
	if (w->mode == FAR_EXACT)
		snprintf(out, 64, "exact, %s", laws[w->law]);
	else if (w->rerank)
		snprintf(out, 64, "select %u, %s", w->rerank, laws[w->law]);
	else
		snprintf(out, 64, "select, %s", laws[w->law]);
	return out;
}

void eval_markdown(struct ctx *c, const struct eval_report *r)
{
	char name[64];

	(void)c;
	printf("Model %s, keys and values in %s, kernels %s, seed %llu.\n", r->model, r->kv, r->kernels,
	       (unsigned long long)r->seed);
	for (size_t i = 0; i < r->n; i++) {
		const struct eval_length *l = &r->length[i];

		printf("\n## %llu tokens\n\n| task | n |", (unsigned long long)l->n_token);
		for (size_t w = 0; w < r->n_way; w++)
			printf(" %s |", eval_way_name(&l->way[w], name));
		printf("\n|---|---|");
		for (size_t w = 0; w < r->n_way; w++)
			printf("---|");
		putchar('\n');
		for (int t = 0; t < EVAL_N_TASK; t++) {
			if (!(r->tasks >> t & 1))
				continue;
			printf("| %s | %zu |", eval_task_name((enum eval_task)t), l->way[0].cell[t].of);
			for (size_t w = 0; w < r->n_way; w++) {
				const struct eval_cell *x = &l->way[w].cell[t];
				double low, high;

				eval_interval(x->right, x->of, &low, &high);
				printf(" %.1f %% (%.1f to %.1f) |", 100.0 * (double)x->right / (double)x->of, 100 * low,
				       100 * high);
			}
			putchar('\n');
		}
		printf("| processor seconds | |");
		for (size_t w = 0; w < r->n_way; w++)
			printf(" %.1f |", l->way[w].stats.cpu);
		putchar('\n');
	}
}

static void cell_json(struct jw *j, int task, const struct eval_cell *x)
{
	static const char *const part[] = { "prompt", "right", "said" };
	double low, high;

	eval_interval(x->right, x->of, &low, &high);
	jw_open(j, NULL, '{');
	jw_str(j, "task", eval_task_name((enum eval_task)task));
	jw_uint(j, "n", x->of);
	jw_uint(j, "right", x->right);
	jw_real(j, "share", (double)x->right / (double)x->of);
	jw_open(j, "interval95", '[');
	jw_real(j, NULL, low);
	jw_real(j, NULL, high);
	jw_close(j);
	jw_open(j, "wrong", '[');
	for (size_t i = 0; i < x->n_wrong; i++) {
		jw_open(j, NULL, '{');
		for (int k = 0; k < 3; k++)
			jw_str(j, part[k], x->wrong[i][k]);
		jw_close(j);
	}
	jw_close(j);
	jw_close(j);
}

static void way_json(struct jw *j, const struct eval_report *r, const struct eval_way *w)
{
	jw_open(j, NULL, '{');
	jw_str(j, "attend", w->mode == FAR_EXACT ? "exact" : "select");
	jw_uint(j, "rerank", w->mode == FAR_EXACT ? 0 : w->rerank ? w->rerank : FAR_RERANK);
	jw_str(j, "attn_temperature", laws[w->law]);
	jw_real(j, "seconds", w->stats.seconds);
	jw_real(j, "cpu_seconds", w->stats.cpu);
	jw_uint(j, "passes", w->stats.n_pass);
	jw_uint(j, "tokens", w->stats.n_token);
	jw_uint(j, "scans", w->stats.far.scans);
	jw_uint(j, "strip_bytes", w->stats.far.strip_bytes);
	jw_uint(j, "sketch_bytes", w->stats.far.sketch_bytes);
	jw_open(j, "tasks", '[');
	for (int t = 0; t < EVAL_N_TASK; t++)
		if (r->tasks >> t & 1)
			cell_json(j, t, &w->cell[t]);
	jw_close(j);
	jw_close(j);
}

void eval_json(const struct eval_report *r)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };

	jw_open(&j, NULL, '{');
	jw_str(&j, "schema", "folio.eval/1");
	jw_str(&j, "model", r->model);
	jw_str(&j, "kernels", r->kernels);
	jw_str(&j, "kv", r->kv);
	jw_str(&j, "mode", "isolated");
	jw_uint(&j, "seed", r->seed);
	jw_open(&j, "lengths", '[');
	for (size_t i = 0; i < r->n; i++) {
		const struct eval_length *l = &r->length[i];

		jw_open(&j, NULL, '{');
		jw_uint(&j, "wanted", l->wanted);
		jw_uint(&j, "tokens", l->n_token);
		jw_uint(&j, "files", l->hay.n_file);
		jw_uint(&j, "bytes", l->hay.n_byte);
		jw_uint(&j, "encoded", l->encoded);
		jw_real(&j, "encode_seconds", l->encode_seconds);
		jw_open(&j, "ways", '[');
		for (size_t w = 0; w < r->n_way; w++)
			way_json(&j, r, &l->way[w]);
		jw_close(&j);
		jw_close(&j);
	}
	jw_close(&j);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}
