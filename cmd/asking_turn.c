/* One question: answered, and kept as a turn of its session. */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/size.h"
#include "cache/library.h"
#include "cache/session.h"
#include "ingest/rank.h"

#include <stdlib.h>
#include <string.h>

#define OWN_WORDS 3	/* a question with fewer words of its own is looked up with the one before */

int asking_attend(const char *word, uint64_t *out, struct err *e)
{
	int64_t n;

	if (!strcmp(word, "auto")) {
		*out = ATTEND_AUTO;
	} else if (!strcmp(word, "all")) {
		*out = ATTEND_ALL;
	} else if (opt_read_int(word, &n) && n > 0) {
		*out = (uint64_t)n;
	} else {
		err_set(e, ERR_INVALID, "--attend '%s' is none of auto, all and a number of tokens", word);
		return err_hint(e, ERR_INVALID, "--attend 4096 attends to the best passages of 4,096 tokens together");
	}
	return 0;
}

/* A session asked of other sources is pinned to those from now on. */
static int pin(struct asking *s, struct err *e)
{
	struct catalog *c = lib_catalog(s->lib);
	int rc = cat_begin(c, e);

	if (!rc)
		rc = sess_pin(c, talk_session(s->talk), s->snapshot, s->n_snapshot, e);
	if (!rc)
		return cat_commit(c, e);
	cat_rollback(c);
	return rc;
}

static bool same_pins(struct asking *s)
{
	int64_t *v;
	size_t n, k = 0;

	if (sess_pins(lib_catalog(s->lib), talk_session(s->talk), &v, &n, NULL))
		return true;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < s->n_snapshot; j++)
			k += v[i] == s->snapshot[j];
	free(v);
	return k == n && k == s->n_snapshot;
}

int asking_session(struct asking *s, const char *name, struct err *e)
{
	int rc = talk_open(&s->talk, s->lib, s->pages, s->enc, name, e);

	if (!rc && talk_session(s->talk) && !same_pins(s)) {
		rc = pin(s, e);
		if (!rc)
			note(s->c, "session '%s' is pinned to other snapshots from now on", name);
	}
	return rc;
}

static void info_json(struct buf *b, struct asking *s, const struct ask_opts *o, bool interrupted)
{
	const struct answer *a = &s->a;
	struct jw j = { .out = b };

	jw_open(&j, NULL, '{');
	jw_str(&j, "status", a->found ? "answered" : "not_found");
	jw_uint(&j, "attended_tokens", a->attended);
	jw_uint(&j, "total_tokens", a->total);
	jw_str(&j, "model", engine_plan(s->en)->name);
	jw_int(&j, "seed", o->seed);
	jw_bool(&j, "truncated", a->truncated && a->found);
	jw_bool(&j, "interrupted", interrupted);
	jw_close(&j);
}

static int keep(struct asking *s, const struct ask_opts *o, bool interrupted, struct err *e)
{
	struct buf cites = { 0 }, info = { 0 }, none = { 0 };
	struct jw j = { .out = &cites };
	struct talk_turn t = { .question = s->question.data ? s->question.data : "", .snapshot = s->snapshot,
			       .n_snapshot = s->n_snapshot };
	int rc;

	asking_citations(&j, NULL, s);
	info_json(&info, s, o, interrupted);
	buf_addf(&none, "Not found in %llu files, %llu tokens.", (unsigned long long)s->a.n_file,
		 (unsigned long long)s->a.total);
	t.answer = s->a.found ? s->a.text.data : none.data;
	t.citations = cites.data;
	t.info = info.data;
	rc = cites.failed || info.failed || none.failed ? err_nomem(e) : talk_keep(s->talk, &t, &s->forked, e);
	s->kept = !rc;
	buf_release(&cites);
	buf_release(&info);
	buf_release(&none);
	return rc;
}

static void fill(struct asking *s, const struct ask_opts *o, struct answer_opts *ao)
{
	struct rank_terms terms;

	*ao = (struct answer_opts){
		.question = s->question.data ? s->question.data : "", .n_question = s->question.len,
		.snapshot = s->snapshot, .n_snapshot = s->n_snapshot, .document = s->document,
		.n_document = s->n_document, .context = s->context.data, .n_context = s->context.len,
		.max_tokens = o->max_tokens, .temperature = o->temperature, .top_p = o->top_p, .min_p = o->min_p,
		.repeat_penalty = o->repeat_penalty, .seed = (uint64_t)o->seed, .no_encode = o->no_encode,
		.no_guess = o->no_guess, .law = (enum plan_law)o->law, .strict = o->strict,
		.anyway = o->anyway, .talk = s->talk, .ctx = s, .on_text = asking_on_text,
		.on_cite = asking_on_cite, .on_encode = asking_on_encode,
	};
	rank_split(ao->question, ao->n_question, &terms);
	if (s->talk && terms.n < OWN_WORDS) {
		ao->also = talk_last_question(s->talk);
		ao->n_also = strlen(ao->also);
	}
}

int asking_answer(struct asking *s, const struct ask_opts *o, struct err *e)
{
	struct answer_opts ao;
	struct err why;
	int rc, kept = 0;

	s->forked = s->kept = false;
	fill(s, o, &ao);
	rc = asking_attend(o->attend, &ao.attend, e);
	answer_release(&s->a);
	if (!rc)
		rc = answer_question(s->pages, lib_catalog(s->lib), s->enc, &ao, &s->a, e);
	if (s->encoding)
		progress_end(&s->progress);
	s->encoding = false;
	if (s->talk && (!rc || (rc == ERR_INTR && s->a.text.len)))
		kept = keep(s, o, rc == ERR_INTR, &why);
	if (kept && !rc) {
		/* The answer is worth showing even when the disk is full. */
		talk_drop(s->talk);
		warn(s->c, "this turn could not be kept: %s", why.msg);
	}
	return rc;
}
