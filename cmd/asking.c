/* What a question stands on: library, snapshots, model; and what is shown while it is answered. */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_generate.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"

#include "base/size.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "ingest/pages.h"

#include <stdio.h>
#include <stdlib.h>

/* The encoder whose pages the library holds; for a library without pages of this model, the default. */
static int open_encoder(struct asking *s, struct err *e)
{
	static const enum kv_type types[] = { KV_Q8, KV_Q4, KV_F16, KV_Q8 };
	struct cat_engine found;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(types) && !rc; i++) {
		encoder_close(s->enc);
		rc = encoder_open(&s->enc, s->en, s->tok, types[i], e);
		if (!rc && !cat_engine_find(lib_catalog(s->lib), encoder_fingerprint(s->enc), &found, NULL))
			break;
	}
	return rc;
}

int asking_open(struct asking *s, const struct strs *source, struct err *e)
{
	int rc = library_open(s->c, &s->lib, 0, e);

	if (!rc)
		rc = sources_pick(lib_catalog(s->lib), source, &s->picks, e);
	if (!rc && !s->picks.n) {
		err_set(e, ERR_NOTFOUND, "the library has no source");
		rc = err_hint(e, ERR_NOTFOUND, "'folio ingest PATH' adds one");
	}
	if (!rc && !(s->snapshot = calloc(s->picks.n + 1, sizeof(int64_t))))
		rc = err_nomem(e);
	for (size_t i = 0; i < s->picks.n && !rc; i++)
		s->snapshot[i] = s->picks.v[i].snapshot;
	if (!rc)
		rc = cmd_open_model(s->c, NULL, &s->en, &s->tok, e);
	if (!rc)
		rc = open_encoder(s, e);
	if (!rc)
		rc = pages_open(&s->pages, s->lib, s->enc, e);
	return rc;
}

void asking_close(struct asking *s)
{
	answer_release(&s->a);
	pages_close(s->pages);
	encoder_close(s->enc);
	tok_close(s->tok);
	engine_close(s->en);
	picks_release(&s->picks);
	free(s->snapshot);
	lib_close(s->lib);
	buf_release(&s->question);
	buf_release(&s->context);
}

void asking_on_text(void *ctx, const char *text, size_t n)
{
	struct asking *s = ctx;

	if (s->encoding)
		progress_end(&s->progress);
	s->encoding = false;
	if (s->c->g.jsonl) {
		struct buf b = { 0 };
		struct jw j = { .out = &b };

		jw_open(&j, NULL, '{');
		jw_str(&j, "event", "token");
		jw_strn(&j, "text", text, n);
		jw_close(&j);
		jw_end_line(&j);
		fwrite(b.data, 1, b.len, stdout);
		buf_release(&b);
	} else if (s->streams) {
		fwrite(text, 1, n, stdout);
	}
	fflush(stdout);
}

void asking_on_encode(void *ctx, const struct pages_progress *p)
{
	struct asking *s = ctx;

	if (!s->encoding)
		progress_start(&s->progress, s->c, "encoding", PROGRESS_TOKENS, p->total);
	s->encoding = true;
	progress_set(&s->progress, p->done, NULL);
}

uint64_t asking_tokens(struct asking *s)
{
	struct cat_mount *m;
	uint64_t total = 0, missing = 0;
	size_t n;

	if (cat_mounts(lib_catalog(s->lib), pages_engine(s->pages), CAT_ISOLATED, s->snapshot, s->picks.n, NULL, 0,
		       NULL, &m, &n, &missing, NULL))
		return 0;
	for (size_t i = 0; i < n; i++)
		total += m[i].n_token;
	free(m);
	return total + missing;
}
