#include "config.h"

#include "cache/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cache/cat_int.h"
#include "cache/sess_int.h"

#define NAME_MAX_BYTES 200

/* ---- Sessions -------------------------------------------------------------------------------- */

static int check_name(struct catalog *c, const char *name, struct err *e)
{
	size_t n = strlen(name);
	int64_t id;
	int rc;

	if (!n || n > NAME_MAX_BYTES || utf8_check(name, n) != n)
		return err_set(e, ERR_INVALID, "a session's name has 1 to %d bytes of UTF-8",
			       NAME_MAX_BYTES);
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '/' || *p == '@')
			return err_set(e, ERR_INVALID,
				       "session name '%s' holds '/', '@' or a control character",
				       name);
	rc = cat_int(c, &id, e, "SELECT id FROM session WHERE name = ?1", "t", name);
	if (!rc)
		return err_set(e, ERR_INVALID, "there is a session '%s' already", name);
	return rc == ERR_NOTFOUND ? 0 : rc;
}

/* The next free "sN". */
static int free_name(struct catalog *c, char *out, size_t n, struct err *e)
{
	int64_t i, id;
	int rc = cat_int(c, &i, e, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name ="
			 " 'session'), 0)", "");

	while (!rc) {
		snprintf(out, n, "s%lld", (long long)++i);
		rc = cat_int(c, &id, e, "SELECT id FROM session WHERE name = ?1", "t", out);
	}
	return rc == ERR_NOTFOUND ? 0 : rc;
}

static int insert(struct catalog *c, const char *name, int64_t engine, int64_t mode, int64_t turn,
		  int64_t *id, struct err *e)
{
	char buf[32];
	int rc = cat_need_batch(c, e);

	if (!rc && name)
		rc = check_name(c, name, e);
	else if (!rc)
		rc = free_name(c, buf, sizeof(buf), e);
	if (!rc)
		rc = cat_run(c, e,
			     "INSERT INTO session(name, engine, mode, made, used, turn)"
			     " VALUES(?1, ?2, ?3, ?4, ?4, nullif(?5, 0))",
			     "tiiii", name ? name : buf, engine, mode, clock_unix(), turn);
	if (!rc)
		*id = sqlite3_last_insert_rowid(c->db);
	return rc;
}

int sess_pin(struct catalog *c, int64_t id, const int64_t *snapshot, size_t n, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_run(c, e, "DELETE FROM pin WHERE session = ?1", "i", id);
	for (size_t i = 0; i < n && !rc; i++)
		rc = cat_run(c, e, "INSERT OR IGNORE INTO pin(session, snapshot) VALUES(?1, ?2)",
			     "ii", id, snapshot[i]);
	return rc;
}

int sess_new(struct catalog *c, const char *name, int64_t engine, enum cat_mode mode,
	     const int64_t *snapshot, size_t n, int64_t *id, struct err *e)
{
	int rc = insert(c, name, engine, mode, 0, id, e);

	return rc ? rc : sess_pin(c, *id, snapshot, n, e);
}

#define SESSION_COLS "s.id, s.name, s.engine, s.mode, s.made, s.used, coalesce(s.turn, 0)," \
	" coalesce((SELECT t.n FROM turn t WHERE t.id = s.turn), 0)"

static int session_walk(struct catalog *c, sqlite3_stmt *st, sess_fn *fn, void *ctx, int *n,
			struct err *e)
{
	int rc;

	while ((rc = cat_step(c, st, e)) > 0) {
		bool bad = false;
		struct session s = {
			.id = sqlite3_column_int64(st, 0), .name = cat_col_text(st, 1),
			.engine = sqlite3_column_int64(st, 2),
			.mode = (enum cat_mode)sqlite3_column_int(st, 3),
			.made = sqlite3_column_int64(st, 4), .used = sqlite3_column_int64(st, 5),
			.turn = sqlite3_column_int64(st, 6), .n_turn = cat_col_u32(st, 7, &bad)
		};

		++*n;
		rc = bad ? cat_bad_row("session", s.id, e) : fn(ctx, &s);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

int sess_each(struct catalog *c, sess_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int n = 0, rc;

	rc = cat_q(c, &st, e,
		   "SELECT " SESSION_COLS " FROM session s ORDER BY s.used DESC, s.id DESC", "");
	return rc ? rc : session_walk(c, st, fn, ctx, &n, e);
}

int sess_find(struct catalog *c, const char *name, sess_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int n = 0, rc;

	rc = cat_q(c, &st, e, "SELECT " SESSION_COLS " FROM session s WHERE s.name = ?1", "t",
		   name);
	if (!rc)
		rc = session_walk(c, st, fn, ctx, &n, e);
	return rc || n ? rc : err_set(e, ERR_NOTFOUND, "there is no session '%s'", name);
}

int sess_get(struct catalog *c, int64_t id, sess_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int n = 0, rc;

	rc = cat_q(c, &st, e, "SELECT " SESSION_COLS " FROM session s WHERE s.id = ?1", "i", id);
	if (!rc)
		rc = session_walk(c, st, fn, ctx, &n, e);
	return rc || n ? rc
		       : err_set(e, ERR_NOTFOUND, "there is no session number %lld", (long long)id);
}

int sess_pins(struct catalog *c, int64_t id, int64_t **snapshot, size_t *n, struct err *e)
{
	struct buf b = { 0 };
	sqlite3_stmt *st;
	int rc;

	*snapshot = NULL;
	*n = 0;
	rc = cat_q(c, &st, e, "SELECT snapshot FROM pin WHERE session = ?1 ORDER BY snapshot", "i",
		   id);
	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		int64_t v = sqlite3_column_int64(st, 0);

		buf_add(&b, &v, sizeof(v));
	}
	cat_done(c, st);
	*n = b.len / sizeof(int64_t);
	if (!rc && b.failed)
		rc = err_nomem(e);
	if (rc)
		buf_release(&b);
	else
		*snapshot = (int64_t *)(void *)buf_take(&b);
	return rc;
}

struct session_row {
	int64_t  engine, mode, turn;
	uint32_t n_turn;
};

static int keep_row(void *ctx, const struct session *s)
{
	*(struct session_row *)ctx = (struct session_row){ s->engine, s->mode, s->turn, s->n_turn };
	return 0;
}

/* The turn number n on the path to head. */
#define PATH_TO_HEAD \
	"WITH RECURSIVE path(id, parent, n) AS (SELECT id, parent, n FROM turn WHERE id = ?1" \
	" UNION SELECT t.id, t.parent, t.n FROM path p JOIN turn t ON t.id = p.parent)"

int sess_fork(struct catalog *c, int64_t id, uint32_t turn, const char *name, int64_t *forked,
	      struct err *e)
{
	struct session_row s;
	int64_t at = 0;
	int rc = sess_get(c, id, keep_row, &s, e);

	if (rc)
		return rc;
	if (turn == UINT32_MAX || turn == s.n_turn) {
		at = s.turn;
	} else if (turn) {
		rc = cat_int(c, &at, e, PATH_TO_HEAD " SELECT id FROM path WHERE n = ?2", "ii",
			     s.turn, (int64_t)turn);
		if (rc == ERR_NOTFOUND)
			return err_set(e, rc, "the session has %u turns, no turn %u", s.n_turn,
				       turn);
	}
	if (!rc)
		rc = insert(c, name, s.engine, s.mode, at, forked, e);
	return rc ? rc
		  : cat_run(c, e,
			    "INSERT INTO pin(session, snapshot) SELECT ?2, snapshot FROM pin"
			    " WHERE session = ?1",
			    "ii", id, *forked);
}

int sess_rename(struct catalog *c, int64_t id, const char *name, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = check_name(c, name, e);
	return rc ? rc
		  : cat_run(c, e, "UPDATE session SET name = ?2 WHERE id = ?1", "it", id, name);
}

/* Remove a tail page and those before it that nobody else needs. */
static int drop_tail(struct catalog *c, int64_t tail, struct err *e)
{
	int64_t parent, used;
	int rc = 0;

	while (!rc && tail) {
		rc = cat_int(c, &used, e, "SELECT EXISTS(SELECT 1 FROM tail WHERE parent = ?1) OR"
			     " EXISTS(SELECT 1 FROM turn WHERE tail = ?1)", "i", tail);
		if (rc || used)
			break;
		rc = cat_int(c, &parent, e, "SELECT coalesce(parent, 0) FROM tail WHERE id = ?1",
			     "i", tail);
		if (!rc)
			rc = cat_run(c, e, "DELETE FROM tail WHERE id = ?1", "i", tail);
		tail = parent;
	}
	return rc;
}

int sess_rm(struct catalog *c, int64_t id, struct err *e)
{
	struct session_row s;
	int64_t turn, used, parent, tail;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = sess_get(c, id, keep_row, &s, e);
	if (!rc)
		rc = cat_run(c, e, "DELETE FROM session WHERE id = ?1", "i", id);
	if (rc)
		return rc;
	for (turn = s.turn; turn && !rc; turn = parent) {
		rc = cat_int(c, &used, e, "SELECT EXISTS(SELECT 1 FROM turn WHERE parent = ?1) OR"
			     " EXISTS(SELECT 1 FROM session WHERE turn = ?1)", "i", turn);
		if (rc || used)
			break;
		rc = cat_int(c, &parent, e, "SELECT coalesce(parent, 0) FROM turn WHERE id = ?1",
			     "i", turn);
		if (!rc)
			rc = cat_int(c, &tail, e,
				     "SELECT coalesce(tail, 0) FROM turn WHERE id = ?1", "i", turn);
		if (!rc)
			rc = cat_run(c, e, "DELETE FROM turn WHERE id = ?1", "i", turn);
		if (!rc)
			rc = drop_tail(c, tail, e);
	}
	return rc;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

struct sum128 sess_turn_sum(const struct sess_turn *t)
{
	const char *text[] = { t->question, t->answer, t->citations, t->info };
	struct sum128 part[6];
	uint64_t number[4] = { t->n, (uint64_t)t->at, t->pos, t->n_token };

	for (int i = 0; i < 4; i++)
		part[i] = sum128_of(text[i], strlen(text[i]));
	part[4] = sum128_of(t->token, t->n_token * sizeof(*t->token));
	part[5] = sum128_of(number, sizeof(number));
	return sum128_of(part, sizeof(part));
}

/* Columns of sess_turn_row, in this order. */
int sess_turn_row(sqlite3_stmt *st, struct sess_turn *t, struct err *e)
{
	struct sum128 sum;
	bool bad = false;

	*t = (struct sess_turn){
		.id = sqlite3_column_int64(st, 0), .at = sqlite3_column_int64(st, 2),
		.question = cat_col_text(st, 3), .answer = cat_col_text(st, 4),
		.citations = cat_col_text(st, 5), .info = cat_col_text(st, 6),
		.token = sqlite3_column_blob(st, 7),
		.n_token = (size_t)sqlite3_column_bytes(st, 7) / sizeof(int32_t)
	};
	t->n = cat_col_u32(st, 1, &bad);
	t->pos = cat_col_u64(st, 8, &bad);
	if (bad || !cat_col_sum(st, 9, &sum) || !sum128_eq(sum, sess_turn_sum(t)))
		return err_set(e, ERR_CORRUPT, "turn %u of a session does not match its checksum",
			       t->n);
	return 0;
}

int sess_turns(struct catalog *c, int64_t id, sess_turn_fn *fn, void *ctx, struct err *e)
{
	struct session_row s;
	struct sess_turn t;
	sqlite3_stmt *st;
	int rc = sess_get(c, id, keep_row, &s, e);

	if (rc || !s.turn)
		return rc;
	rc = cat_q(c, &st, e,
		   PATH_TO_HEAD " SELECT t.id, t.n, t.at, t.question, t.answer, t.citations,"
				" t.info, t.token, t.pos, t.sum FROM path p JOIN turn t ON t.id = "
				"p.id ORDER BY t.n",
		   "i", s.turn);
	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		rc = sess_turn_row(st, &t, e);
		if (!rc)
			rc = fn(ctx, &t);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}
