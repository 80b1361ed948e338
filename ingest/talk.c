#include "config.h"

#include "ingest/talk.h"
#include "base/size.h"
#include "cache/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct talk {
	struct library *lib;
	struct pages   *p;
	struct encoder *enc;
	char           *name;
	int64_t         session, turn;
	uint32_t        n_turn;
	struct turns   *kv;		/* NULL: a model with near layers */
	struct tok_ids  history;	/* then: ids of all turns kept */
	struct tok_ids  said;		/* since the newest turn */
	size_t          kept;		/* tokens of the session on disk */
	char           *question;	/* of the newest turn */
};

/* ---- opening ---- */

struct found {
	int64_t id, engine, turn;
	uint32_t n_turn;
};

static int keep_found(void *ctx, const struct session *s)
{
	*(struct found *)ctx = (struct found){ s->id, s->engine, s->turn, s->n_turn };
	return 0;
}

static int append(struct tok_ids *to, const int32_t *token, size_t n)
{
	if (to->n + n > to->cap) {
		size_t cap = 2 * to->cap + n + 64;
		int32_t *more = realloc(to->id, cap * sizeof(*more));

		if (!more)
			return ERR_NOMEM;
		to->id = more;
		to->cap = cap;
	}
	if (n)
		memcpy(to->id + to->n, token, n * sizeof(*token));
	to->n += n;
	return 0;
}

static int keep_turn(void *ctx, const struct sess_turn *s)
{
	struct talk *t = ctx;

	free(t->question);
	t->question = strdup(s->question);
	return !t->question ? ERR_NOMEM : t->kv ? 0 : append(&t->history, s->token, s->n_token);
}

static int wrong_model(struct talk *t, int64_t engine, struct err *e)
{
	struct cat_engine en;
	int rc = cat_engine(lib_catalog(t->lib), engine, &en, e);

	if (rc)
		return rc;
	err_set(e, ERR_MISMATCH, "session '%s' was held with model '%s', or with other settings of it", t->name,
		en.name);
	return err_hint(e, ERR_MISMATCH, "ask with that model (-m), or begin a session of another name");
}

/* The session's pages into memory. */
static int load(struct talk *t, struct err *e)
{
	struct sess_tail *tail = NULL;
	struct buf b = { 0 };
	size_t n;
	int rc = sess_tail(lib_catalog(t->lib), t->session, &tail, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		buf_clear(&b);
		if (tail[i].pos != turns_count(t->kv))
			rc = err_set(e, ERR_CORRUPT, "session '%s' lacks a page", t->name);
		if (!rc)
			rc = sess_tail_read(t->lib, &tail[i], false, &b, e);
		if (!rc)
			rc = turns_unpack(t->kv, tail[i].n_token, b.data, b.len, e);
	}
	t->kept = turns_count(t->kv);
	free(tail);
	buf_release(&b);
	if (rc == ERR_CORRUPT)
		err_hint(e, rc, "'folio session fork %s@TURN NEW' goes on from an earlier turn", t->name);
	return rc;
}

static int find(struct talk *t, struct err *e)
{
	struct catalog *c = lib_catalog(t->lib);
	struct found f;
	int rc = sess_find(c, t->name, keep_found, &f, NULL);

	if (rc == ERR_NOTFOUND)
		return 0;
	if (rc)
		return sess_find(c, t->name, keep_found, &f, e);
	t->session = f.id;
	t->turn = f.turn;
	t->n_turn = f.n_turn;
	if (f.engine != pages_engine(t->p))
		return wrong_model(t, f.engine, e);
	rc = sess_turns(c, f.id, keep_turn, t, e);
	if (rc == ERR_NOMEM)
		return err_nomem(e);
	if (rc || t->kv)
		return rc ? rc : load(t, e);
	t->kept = t->history.n;
	return 0;
}

int talk_open(struct talk **out, struct library *lib, struct pages *p, struct encoder *enc, const char *name,
	      struct err *e)
{
	const struct plan *plan = engine_plan(encoder_engine(enc));
	struct talk *t = calloc(1, sizeof(*t));
	int rc = 0;

	*out = NULL;
	if (!t)
		return err_nomem(e);
	t->lib = lib;
	t->p = p;
	t->enc = enc;
	if (plan->n_far == plan->n_layer)
		rc = turns_new(&t->kv, plan, e);
	if (!rc && name) {
		t->name = strdup(name);
		rc = t->name ? find(t, e) : err_nomem(e);
	}
	if (rc) {
		talk_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

void talk_close(struct talk *t)
{
	if (!t)
		return;
	turns_free(t->kv);
	free(t->history.id);
	free(t->said.id);
	free(t->name);
	free(t->question);
	free(t);
}

const char *talk_name(const struct talk *t) { return t->name; }
int64_t talk_session(const struct talk *t) { return t->session; }
uint32_t talk_turns(const struct talk *t) { return t->n_turn; }
const char *talk_last_question(const struct talk *t) { return t->question ? t->question : ""; }
size_t talk_count(const struct talk *t) { return t->kept + t->said.n; }
const struct turns *talk_kv(const struct talk *t) { return t->kv; }
const struct tok_ids *talk_history(const struct talk *t) { return t->kv ? NULL : &t->history; }
const struct far_sink *talk_sink(struct talk *t) { return t->kv ? turns_sink(t->kv) : NULL; }

int talk_said(struct talk *t, const int32_t *token, size_t n, struct err *e)
{
	return append(&t->said, token, n) ? err_nomem(e) : 0;
}

void talk_truncate(struct talk *t, size_t n)
{
	n = MAX(n, t->kept);
	if (t->kv)
		turns_truncate(t->kv, n);
	t->said.n = MIN(t->said.n, n - t->kept);
}

void talk_drop(struct talk *t)
{
	talk_truncate(t, t->kept);
}

/* ---- keeping ---- */

/* Pages from the one that is open (written anew, longer) to the end.  Bytes lie in b. */
static int cut_pages(struct talk *t, struct sess_page *page, size_t n_page, struct buf *b, struct err *e)
{
	const struct plan *p = engine_plan(encoder_engine(t->enc));
	size_t first = t->kept / KV_PAGE * KV_PAGE, total = t->kept + t->said.n, at = 0;
	int rc = 0;

	for (size_t i = 0; i < n_page && !rc; i++)
		rc = turns_pack(t->kv, first + i * KV_PAGE, MIN((size_t)KV_PAGE, total - first - i * KV_PAGE), b, e);
	for (size_t i = 0; i < n_page && !rc; i++) {
		size_t m = MIN((size_t)KV_PAGE, total - first - i * KV_PAGE), bytes = turns_bytes(p, m);

		page[i] = (struct sess_page){ .pos = first + i * KV_PAGE, .n_token = (uint32_t)m, .far = b->data + at,
					      .far_n = bytes };
		at += bytes;
	}
	return rc;
}

/* The next free "NAME-2", "NAME-3", ...; fresh memory. */
static char *free_name(struct catalog *c, const char *name)
{
	struct buf b = { 0 };
	struct found f;

	for (int i = 2; i < 10000 && !b.failed; i++) {
		buf_clear(&b);
		buf_addf(&b, "%s-%d", name, i);
		if (!b.failed && sess_find(c, b.data, keep_found, &f, NULL) == ERR_NOTFOUND)
			return buf_take(&b);
	}
	buf_release(&b);
	return NULL;
}

static int name_of(void *ctx, const struct session *s)
{
	*(char **)ctx = strdup(s->name);
	return *(char **)ctx ? 0 : ERR_NOMEM;
}

/* Make the session (from none), or a fork of it at the turn this talk started from.  The name is looked up
 * inside the batch: nobody takes it between. */
static int make(struct talk *t, const struct talk_turn *turn, bool *fork, struct err *e)
{
	struct catalog *c = lib_catalog(t->lib);
	char *name = NULL, *given = NULL;
	struct found f;
	int64_t id = 0;
	int rc = cat_begin(c, e);

	*fork = !rc && (t->session || (t->name && !sess_find(c, t->name, keep_found, &f, NULL)));
	if (!rc && t->name) {
		name = *fork ? free_name(c, t->name) : strdup(t->name);
		rc = name ? 0 : err_nomem(e);
	}
	if (!rc && t->session)
		rc = sess_fork(c, t->session, t->n_turn, name, &id, e);
	else if (!rc)
		rc = sess_new(c, name, pages_engine(t->p), CAT_ISOLATED, turn->snapshot, turn->n_snapshot, &id, e);
	if (!rc)
		rc = cat_commit(c, e);
	else
		cat_rollback(c);
	free(name);
	if (!rc)
		rc = sess_get(c, id, name_of, &given, e);
	if (rc)
		return rc;
	free(t->name);
	t->name = given;
	t->session = id;
	rc = sess_get(c, id, keep_found, &f, e);
	t->turn = rc ? 0 : f.turn;
	return rc;
}

int talk_keep(struct talk *t, const struct talk_turn *turn, bool *forked, struct err *e)
{
	size_t total = t->kept + t->said.n, first = t->kept / KV_PAGE * KV_PAGE;
	size_t n_page = t->kv && t->said.n ? (total - first + KV_PAGE - 1) / KV_PAGE : 0;
	struct sess_page *page = calloc(n_page + 1, sizeof(*page));
	struct sess_turn st = { .question = turn->question, .answer = turn->answer, .citations = turn->citations,
				.info = turn->info, .token = t->said.id, .n_token = t->said.n };
	struct buf b = { 0 };
	bool fork = false;
	int64_t id;
	int rc = page ? 0 : err_nomem(e);

	if (!rc && t->kv && turns_count(t->kv) != total)
		rc = err_set(e, ERR_INVALID, "a turn of %zu tokens has keys of %zu", t->said.n,
			     turns_count(t->kv) - t->kept);
	if (!rc)
		rc = cut_pages(t, page, n_page, &b, e);
	if (!rc && !t->session)
		rc = make(t, turn, &fork, e);
	if (!rc)
		rc = sess_add_turn(t->lib, t->session, t->turn, &st, page, n_page, KV_PAGE, &id, e);
	if (rc == ERR_MISMATCH) {
		rc = make(t, turn, &fork, e);
		if (!rc)
			rc = sess_add_turn(t->lib, t->session, t->turn, &st, page, n_page, KV_PAGE, &id, e);
	}
	free(page);
	buf_release(&b);
	if (forked)
		*forked = fork && !rc;
	if (rc)
		return rc;
	t->turn = id;
	t->n_turn++;
	if (!t->kv && append(&t->history, t->said.id, t->said.n))
		return err_nomem(e);
	t->kept = total;
	t->said.n = 0;
	free(t->question);
	t->question = strdup(turn->question);
	return t->question ? 0 : err_nomem(e);
}
