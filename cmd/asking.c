/* What a question stands on: library, snapshots, model, pages. */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_generate.h"
#include "cmd/ctx.h"
#include "cmd/paths.h"

#include "cache/library.h"
#include "cache/session.h"
#include "engine/encode.h"

#include <stdlib.h>

static int keep_id(void *ctx, const struct session *f)
{
	*(int64_t *)ctx = f->id;
	return 0;
}

/* A session's pins.  *n stays 0 where there is no such session. */
static int pins(struct asking *s, const char *session, struct err *e)
{
	struct catalog *c = lib_catalog(s->lib);
	int64_t id;

	if (!session || sess_find(c, session, keep_id, &id, NULL))
		return 0;
	return sess_pins(c, id, &s->snapshot, &s->n_snapshot, e);
}

static int pick(struct asking *s, const struct strs *source, struct err *e)
{
	struct picks picks;
	int rc = sources_pick(lib_catalog(s->lib), source, &picks, e);

	if (rc)
		return rc;
	s->snapshot = calloc(picks.n + 1, sizeof(*s->snapshot));
	if (!s->snapshot)
		rc = err_nomem(e);
	for (size_t i = 0; i < picks.n && !rc; i++)
		if (picks.v[i].snapshot)
			s->snapshot[s->n_snapshot++] = picks.v[i].snapshot;
	if (!rc && !s->n_snapshot) {
		err_set(e, ERR_NOTFOUND, picks.n ? "the library's sources hold nothing yet" : "the library has no source");
		rc = err_hint(e, ERR_NOTFOUND, "'folio ingest PATH' adds one");
	}
	picks_release(&picks);
	return rc;
}

int asking_open(struct asking *s, const struct strs *source, const char *session, struct err *e)
{
	int rc = library_open(s->c, &s->lib, 0, e);

	if (!rc && !source->n)
		rc = pins(s, session, e);
	if (!rc && !s->n_snapshot)
		rc = pick(s, source, e);
	if (!rc)
		rc = cmd_open_model(s->c, NULL, &s->en, &s->tok, e);
	if (!rc)
		rc = cmd_open_encoder(s->lib, s->en, s->tok, &s->enc, e);
	if (!rc)
		rc = pages_open(&s->pages, s->lib, s->enc, e);
	return rc;
}

void asking_close(struct asking *s)
{
	if (s->encoding)
		progress_end(&s->progress);
	answer_release(&s->a);
	talk_close(s->talk);
	pages_close(s->pages);
	encoder_close(s->enc);
	tok_close(s->tok);
	engine_close(s->en);
	free(s->snapshot);
	free(s->document);
	lib_close(s->lib);
	buf_release(&s->question);
	buf_release(&s->context);
}
