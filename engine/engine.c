#include "config.h"

#include "engine/engine.h"
#include "base/cpu.h"
#include "base/pool.h"
#include "base/size.h"
#include "base/stop.h"
#include "engine/kern.h"

#include <stdlib.h>

struct engine {
	struct model   *model;
	struct pool    *pool;
	struct forward *forward;
	const struct kern *kern;
};

int engine_open(struct engine **out, const char *path, const struct engine_opts *o, struct err *e)
{
	struct engine *en = calloc(1, sizeof(*en));
	const char *kernels = o->kernels ? o->kernels : "auto";
	int rc;

	*out = NULL;
	if (!en)
		return err_nomem(e);
	en->kern = kern_choose(kernels);
	if (!en->kern) {
		free(en);
		err_set(e, ERR_INVALID, "kernel set '%s' is not possible on this processor", kernels);
		return err_hint(e, ERR_INVALID, "`folio doctor` lists those that are");
	}
	rc = model_open(&en->model, path, e);
	if (!rc)
		rc = pool_new(&en->pool, o->n_thread > 0 ? o->n_thread : cpu_get()->n_core, e);
	if (!rc)
		rc = forward_new(&en->forward, en->model, en->kern, en->pool,
				 o->n_batch ? o->n_batch : ENGINE_BATCH, e);
	if (rc) {
		engine_close(en);
		return rc;
	}
	*out = en;
	return 0;
}

void engine_close(struct engine *en)
{
	if (!en)
		return;
	forward_free(en->forward);
	pool_free(en->pool);
	model_close(en->model);
	free(en);
}

const struct plan *engine_plan(const struct engine *en)
{
	return &en->model->plan;
}

const struct model *engine_model(const struct engine *en)
{
	return en->model;
}

struct forward *engine_forward(struct engine *en)
{
	return en->forward;
}

const char *engine_kernels(const struct engine *en)
{
	return en->kern->name;
}

int engine_threads(const struct engine *en)
{
	return pool_threads(en->pool);
}

int engine_seq(struct engine *en, const struct kv *prefix, struct kv **out, struct err *e)
{
	return kv_new(out, &en->model->plan, en->kern->int8, prefix, e);
}

int engine_feed(struct engine *en, struct kv *kv, const int32_t *token, size_t n, float *logits, bool all,
		const struct far_source *source, struct err *e)
{
	size_t batch = forward_batch(en->forward), n_vocab = en->model->plan.n_vocab;

	for (size_t i = 0; i < n; i += batch) {
		size_t m = MIN(batch, n - i);
		bool last = i + m == n;
		struct fwd_item item = {
			.kv = kv, .token = token + i, .n = m, .all_logits = all, .source = source,
			.logits = all && logits ? logits + i * n_vocab : last ? logits : NULL,
		};
		int rc = forward_run(en->forward, &item, 1, e);

		if (rc)
			return rc;
		if (!last && stop_requested())
			return err_set(e, ERR_INTR, "interrupted after %zu of %zu tokens", i + m, n);
	}
	return 0;
}
