#include "config.h"

#include "engine/encode.h"
#include "base/size.h"
#include "base/stop.h"

#include <stdlib.h>
#include <string.h>

/* Said once to the model, before everything it will ever read. */
static const char INSTRUCTION[] =
	"Answer from the passages below, in few words. If they do not say it, say so.";

struct encoder {
	struct engine    *engine;
	const struct tok *tok;
	struct chat      *chat;
	struct tok_ids    preamble;
	struct kv        *kv;		/* of the preamble */
	struct kv_geom    geom;
	enum kv_type      type;
	struct id         fingerprint, preamble_id;
};

static struct id fingerprint_of(const struct encoder *enc)
{
	uint32_t recipe[] = { ENCODE_RECIPE, enc->type, encoder_span_max(enc) };
	struct id model, tok;
	struct hasher h;

	model_id(engine_model(enc->engine), &model);
	tok_id(enc->tok, &tok);
	hasher_init(&h);
	hasher_field(&h, "folio engine", 12);
	hasher_add(&h, model.b, sizeof(model.b));
	hasher_add(&h, tok.b, sizeof(tok.b));
	hasher_field(&h, recipe, sizeof(recipe));
	hasher_field(&h, enc->preamble.id, enc->preamble.n * sizeof(int32_t));
	return hasher_done(&h);
}

static int write_preamble(struct encoder *enc, struct err *e)
{
	int rc = chat_begin(enc->chat, 0, &enc->preamble, e);

	if (!rc && chat_family(enc->chat) != CHAT_PLAIN)
		rc = chat_message(enc->chat, CHAT_SYSTEM, INSTRUCTION, strlen(INSTRUCTION), &enc->preamble, e);
	if (!rc)
		rc = chat_head(enc->chat, CHAT_USER, &enc->preamble, e);
	/* A base model without template: something has to be the first token all attend to. */
	if (!rc && enc->preamble.n == 0)
		rc = tok_encode(enc->tok, "\n", 1, 0, &enc->preamble, NULL, e);
	return rc;
}

int encoder_open(struct encoder **out, struct engine *en, const struct tok *tok, enum kv_type type,
		 struct err *e)
{
	const struct plan *p = engine_plan(en);
	struct encoder *enc = calloc(1, sizeof(*enc));
	int rc;

	*out = NULL;
	if (!enc)
		return err_nomem(e);
	enc->engine = en;
	enc->tok = tok;
	enc->type = type;
	enc->geom = (struct kv_geom){ p->n_far, p->n_head_kv, p->head_dim, KV_PAGE_TOKENS };
	rc = kv_geom_check(&enc->geom, e);
	if (!rc)
		rc = chat_open(&enc->chat, engine_model(en)->gguf, tok, e);
	if (!rc)
		rc = write_preamble(enc, e);
	if (!rc && p->attn_chunk && enc->preamble.n + 64 > p->attn_chunk)
		rc = err_set(e, ERR_MODEL, "a preamble of %zu tokens leaves no room in chunks of %u",
			     enc->preamble.n, p->attn_chunk);
	if (!rc)
		rc = engine_seq(en, NULL, &enc->kv, e);
	if (!rc)
		rc = engine_feed(en, enc->kv, enc->preamble.id, enc->preamble.n, NULL, false, NULL, e);
	if (rc) {
		encoder_close(enc);
		return rc;
	}
	enc->fingerprint = fingerprint_of(enc);
	enc->preamble_id = ident_span(&enc->fingerprint, IDENT_PREAMBLE, NULL, enc->preamble.id,
				      (uint32_t)enc->preamble.n, NULL);
	*out = enc;
	return 0;
}

void encoder_close(struct encoder *enc)
{
	if (!enc)
		return;
	kv_free(enc->kv);
	chat_close(enc->chat);
	free(enc->preamble.id);
	free(enc);
}

struct engine *encoder_engine(const struct encoder *enc) { return enc->engine; }
const struct tok *encoder_tok(const struct encoder *enc) { return enc->tok; }
const struct chat *encoder_chat(const struct encoder *enc) { return enc->chat; }
const struct id *encoder_fingerprint(const struct encoder *enc) { return &enc->fingerprint; }
const struct id *encoder_preamble_id(const struct encoder *enc) { return &enc->preamble_id; }
const struct kv *encoder_preamble(const struct encoder *enc) { return enc->kv; }
const struct kv_geom *encoder_geom(const struct encoder *enc) { return &enc->geom; }
enum kv_type encoder_type(const struct encoder *enc) { return enc->type; }

uint32_t encoder_span_max(const struct encoder *enc)
{
	const struct plan *p = engine_plan(enc->engine);
	uint32_t n = plan_is_irope(p) ? 8192 : 1024;

	if (p->attn_chunk)
		n = MIN(n, p->attn_chunk - (uint32_t)enc->preamble.n);
	/* A span never outgrows a batch: it is encoded in one go. */
	return MIN(n, (uint32_t)forward_batch(engine_forward(enc->engine)));
}

/* ---- one batch ---- */

static int put_layer(void *ctx, uint32_t far, const float *k, const float *v, size_t n, struct err *e)
{
	(void)n;
	return extent_build_layer(ctx, far, k, v, e);
}

static int run_batch(struct encoder *enc, const struct encode_span *span, size_t n, encode_fn *fn, void *ctx,
		     struct err *e)
{
	struct fwd_item *item = calloc(n, sizeof(*item));
	struct far_sink *sink = calloc(n, sizeof(*sink));
	int rc = item && sink ? 0 : err_nomem(e);

	for (size_t i = 0; i < n && !rc; i++) {
		struct extent_desc d = { .geom = enc->geom, .type = enc->type, .mode = IDENT_ISOLATED,
					 .engine = enc->fingerprint, .attends = enc->preamble_id,
					 .token = span[i].token, .n_token = span[i].n };
		struct extent_build *b = NULL;

		rc = extent_build_new(&b, &d, e);
		sink[i] = (struct far_sink){ .ctx = b, .put = put_layer };
		item[i] = (struct fwd_item){ .token = span[i].token, .n = span[i].n, .sink = &sink[i],
					     .keys_only = true };
		if (!rc)
			rc = engine_seq(enc->engine, enc->kv, &item[i].kv, e);
	}
	if (!rc)
		rc = forward_run(engine_forward(enc->engine), item, n, e);
	for (size_t i = 0; i < n && !rc; i++) {
		rc = extent_build_seal(sink[i].ctx, e);
		if (!rc)
			rc = fn(ctx, &span[i], sink[i].ctx, e);
	}
	for (size_t i = 0; item && sink && i < n; i++) {
		kv_free(item[i].kv);
		extent_build_free(sink[i].ctx);
	}
	free(item);
	free(sink);
	return rc;
}

int encoder_run(struct encoder *enc, const struct encode_span *span, size_t n, encode_fn *fn, void *ctx,
		struct err *e)
{
	size_t batch = forward_batch(engine_forward(enc->engine)), i = 0;

	while (i < n) {
		size_t tokens = 0, m = 0;
		int rc;

		while (i + m < n && (m == 0 || tokens + span[i + m].n <= batch)) {
			if (span[i + m].n == 0 || span[i + m].n > encoder_span_max(enc))
				return err_set(e, ERR_INVALID, "a span of %u tokens; 1 to %u can be encoded",
					       span[i + m].n, encoder_span_max(enc));
			tokens += span[i + m++].n;
		}
		rc = run_batch(enc, span + i, m, fn, ctx, e);
		if (rc)
			return rc;
		i += m;
		if (i < n && stop_requested())
			return err_set(e, ERR_INTR, "interrupted after %zu of %zu spans", i, n);
	}
	return 0;
}
