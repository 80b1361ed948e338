#include "config.h"

#include "ingest/eval_run.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/size.h"
#include "base/stop.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 64
#define SLACK 8			/* tokens that an answer may be longer than the right one */

/* One question on its way. */
struct seat {
	const struct eval_question *q;	/* NULL: nobody sits here */
	struct eval_answer *a;
	struct kv *kv;
	struct tok_ids feed;		/* what the next pass takes */
	struct buf said;
	size_t turn, left;		/* tokens that this turn may still have */
	size_t n_line;			/* of the right answer */
};

struct run {
	const struct eval_run *o;
	const struct far_source *source;
	struct seat *seat;
	struct fwd_item *item;
	size_t *who;			/* [items] -> seat */
	float  *logits;
	size_t  n_seat, n_vocab;
	struct eval_stats *st;
};

static size_t lines_of(const char *s)
{
	size_t n = 1;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

/* The next prompt; behind an answer it stands on a line of its own. */
static int begin_turn(struct run *r, struct seat *s, struct err *e)
{
	const struct tok *tok = encoder_tok(r->o->enc);
	const struct eval_turn *t = &s->q->turn[s->turn];
	uint64_t n;
	int rc = tok_encode(tok, t->prompt, strlen(t->prompt), 0, &s->feed, NULL, e);

	if (!rc)
		rc = tok_count(tok, t->gold, strlen(t->gold), &n, e);
	if (rc)
		return rc;
	s->left = (size_t)n + SLACK;
	s->n_line = lines_of(t->gold);
	return 0;
}

static int sit_down(struct run *r, struct seat *s, const struct eval_question *q, struct eval_answer *a, struct err *e)
{
	int rc;

	s->q = q;
	s->a = a;
	s->turn = 0;
	s->feed.n = 0;
	rc = engine_seq(encoder_engine(r->o->enc), encoder_preamble(r->o->enc), &s->kv, e);
	return rc ? rc : begin_turn(r, s, e);
}

static void get_up(struct seat *s)
{
	kv_free(s->kv);
	s->kv = NULL;
	s->q = NULL;
}

/* The answer as gold is kept: without the space in front, cut behind as many lines. */
static char *trimmed(const struct seat *s)
{
	const char *p = s->said.data ? s->said.data : "";
	size_t n = 0, line = 0;

	p += *p == ' ';
	while (p[n] && (p[n] != '\n' || ++line < s->n_line))
		n++;
	return strndup(p, n);
}

/* The token that was written: goes on, begins the next turn, or ends the question. */
static int hear(struct run *r, struct seat *s, int32_t id, struct err *e)
{
	const struct tok *tok = encoder_tok(r->o->enc);
	size_t n_line = 0;
	bool over;

	tok_piece(tok, id, false, &s->said);
	for (size_t i = 0; i < s->said.len; i++)
		n_line += s->said.data[i] == '\n';
	over = --s->left == 0 || n_line >= s->n_line || tok_is_stop(tok, id);
	s->feed.n = 0;
	r->st->n_token++;
	if (over) {
		s->a->said[s->turn] = trimmed(s);
		if (!s->a->said[s->turn] || s->said.failed)
			return err_nomem(e);
		buf_clear(&s->said);
		if (++s->turn == s->q->n_turn) {
			s->a->right = eval_right(s->q, s->a->said);
			get_up(s);
			return 0;
		}
		/* What ended the turn is the newline that the next prompt stands behind; where it did not, one
		 * is put there. */
		if (tok_encode(tok, "\n", 1, 0, &s->feed, NULL, e))
			return ERR_NOMEM;
		return begin_turn(r, s, e);
	}
	s->feed.id[s->feed.n++] = id;
	return 0;
}

static int32_t largest(const float *x, size_t n)
{
	size_t at = 0;

	for (size_t i = 1; i < n; i++)
		at = x[i] > x[at] ? i : at;
	return (int32_t)at;
}

static int pass(struct run *r, struct err *e)
{
	struct forward *fwd = engine_forward(encoder_engine(r->o->enc));
	size_t room = forward_batch(fwd), n = 0;
	int rc;

	for (size_t i = 0; i < r->n_seat; i++) {
		struct seat *s = &r->seat[i];

		if (!s->q || s->feed.n > room)
			continue;
		room -= s->feed.n;
		r->item[n] = (struct fwd_item){ .kv = s->kv, .token = s->feed.id, .n = s->feed.n,
						.logits = r->logits + n * r->n_vocab, .source = r->source };
		r->who[n++] = i;
	}
	rc = forward_run(fwd, r->item, n, e);
	for (size_t i = 0; i < n && !rc; i++)
		rc = hear(r, &r->seat[r->who[i]], largest(r->logits + i * r->n_vocab, r->n_vocab), e);
	r->st->n_pass++;
	return rc;
}

static int ask_all(struct run *r, const struct eval_set *set, struct eval_answer *answer, struct err *e)
{
	size_t next = 0, seated;
	int rc = 0;

	do {
		seated = 0;
		for (size_t i = 0; i < r->n_seat && !rc; i++) {
			if (!r->seat[i].q && next < set->n) {
				rc = sit_down(r, &r->seat[i], &set->question[next], &answer[next], e);
				next++;
			}
			seated += r->seat[i].q != NULL;
		}
		if (!rc && stop_requested())
			return err_set(e, ERR_INTR, "interrupted while asking");
		if (!rc && seated)
			rc = pass(r, e);
		if (!rc && r->o->on_step)
			r->o->on_step(r->o->ctx, next - seated, set->n);
	} while (!rc && seated);
	return rc;
}

int eval_run(const struct eval_run *o, const struct eval_set *set, struct eval_answer *answer, struct eval_stats *st,
	     struct err *e)
{
	struct run r = { .o = o, .n_seat = o->n_batch ? o->n_batch : BATCH, .st = st };
	struct engine *en = encoder_engine(o->enc);
	double start = clock_now(), cpu = clock_cpu();
	struct far *far = NULL;
	int rc;

	*st = (struct eval_stats){ 0 };
	r.n_vocab = engine_plan(en)->n_vocab;
	r.seat = calloc(r.n_seat, sizeof(*r.seat));
	r.item = calloc(r.n_seat, sizeof(*r.item));
	r.who = calloc(r.n_seat, sizeof(*r.who));
	r.logits = malloc(r.n_seat * r.n_vocab * sizeof(*r.logits));
	rc = r.seat && r.item && r.who && r.logits ? far_new(&far, en, o->view, &o->far, e) : err_nomem(e);
	if (!rc) {
		r.source = far_source(far);
		rc = ask_all(&r, set, answer, e);
		st->far = far_stats(far);
	}
	for (size_t i = 0; r.seat && i < r.n_seat; i++) {
		kv_free(r.seat[i].kv);
		free(r.seat[i].feed.id);
		buf_release(&r.seat[i].said);
	}
	far_free(far);
	free(r.seat);
	free(r.item);
	free(r.who);
	free(r.logits);
	st->seconds = clock_now() - start;
	st->cpu = clock_cpu() - cpu;
	return rc;
}

void eval_answers_release(struct eval_answer *answer, size_t n)
{
	for (size_t i = 0; answer && i < n; i++)
		for (size_t j = 0; j < EVAL_MOST_TURN; j++)
			free(answer[i].said[j]);
	free(answer);
}
