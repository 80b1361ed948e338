/* Sessions: turns and their private pages, forks that share, names, removal. */
#include "config.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "cache/cat_int.h"
#include "cache/session.h"
#include "check.h"
#include "libtemp.h"

static struct err e;

struct view {
	int64_t  id, turn;
	uint32_t n_turn;
	char     name[64];
};

static int keep(void *ctx, const struct session *s)
{
	struct view *v = ctx;

	v->id = s->id;
	v->turn = s->turn;
	v->n_turn = s->n_turn;
	snprintf(v->name, sizeof(v->name), "%s", s->name);
	return 0;
}

static struct view get(struct catalog *c, int64_t id)
{
	struct view v = { 0 };

	sess_get(c, id, keep, &v, &e);
	return v;
}

static int see_turn(void *ctx, const struct sess_turn *t)
{
	buf_addf(ctx, "%u:%s=%s@%llu+%zu;", t->n, t->question, t->answer,
		 (unsigned long long)t->pos, t->n_token);
	return 0;
}

static const char *turns(struct catalog *c, int64_t id)
{
	static struct buf b;

	buf_clear(&b);
	if (sess_turns(c, id, see_turn, &b, &e))
		return e.msg;
	return b.data && b.len ? b.data : "";
}

/* Keep a turn of n tokens whose pages hold recognisable bytes: the tail is written out as an engine
 * would, the open page anew. */
static int add(struct library *lib, int64_t id, const char *q, const char *a, uint32_t n)
{
	struct catalog *c = lib_catalog(lib);
	struct view v = get(c, id);
	int32_t token[1000];
	struct sess_turn t = {.question = q,
			      .answer = a,
			      .citations = "[]",
			      .info = "{}",
			      .token = token,
			      .n_token = n};
	struct sess_page page[20];
	static char far[20][4096], near[20][512];
	struct sess_tail *tail;
	size_t n_tail, n_page = 0;
	uint64_t pos = 0, end, start;
	int64_t turn;

	for (uint32_t i = 0; i < n; i++)
		token[i] = (int32_t)i;
	if (sess_tail(c, id, &tail, &n_tail, &e))
		return e.code;
	if (n_tail) {
		pos = tail[n_tail - 1].pos + tail[n_tail - 1].n_token;
		start = tail[n_tail - 1].n_token < 64 ? tail[n_tail - 1].pos : pos;
	} else {
		start = 0;
	}
	free(tail);
	end = pos + n;
	for (; start < end; start += page[n_page++].n_token) {
		page[n_page].pos = start;
		page[n_page].n_token = (uint32_t)(end - start < 64 ? end - start : 64);
		memset(far[n_page], (int)(start & 0xff) + 1, sizeof(far[0]));
		memset(near[n_page], (int)(start & 0xff) + 2, sizeof(near[0]));
		page[n_page].far = far[n_page];
		page[n_page].far_n = page[n_page].n_token * 64;
		page[n_page].near = near[n_page];
		page[n_page].near_n = page[n_page].n_token * 8;
		if (page[n_page].n_token < 64) {
			n_page++;
			break;
		}
	}
	return sess_add_turn(lib, id, v.turn, &t, page, n_page, 64, &turn, &e);
}

/* Do the tail's pages cover [0, end) and read back? */
static bool tail_whole(struct library *lib, int64_t id, uint64_t end, bool near)
{
	struct sess_tail *t;
	struct buf b = { 0 };
	size_t n;
	uint64_t pos = 0;
	bool good = !sess_tail(lib_catalog(lib), id, &t, &n, &e);

	for (size_t i = 0; good && i < n; i++) {
		buf_clear(&b);
		good = t[i].pos == pos && !sess_tail_read(lib, &t[i], false, &b, &e) &&
		       b.len == t[i].n_token * 64 &&
		       (uint8_t)b.data[0] == (uint8_t)((pos & 0xff) + 1);
		buf_clear(&b);
		if (good && near)
			good = !sess_tail_read(lib, &t[i], true, &b, &e) &&
			       b.len == t[i].n_token * 8;
		pos += t[i].n_token;
	}
	free(t);
	buf_release(&b);
	return good && pos == end;
}

static int64_t rows(struct catalog *c, const char *table)
{
	char sql[64];
	sqlite3_stmt *st;
	int64_t n;

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	sqlite3_prepare_v2(c->db, sql, -1, &st, NULL);
	sqlite3_step(st);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static void turn_test(void)
{
	struct library *lib;
	struct catalog *c;
	int64_t en, src, snap, id, f0 = 0, f1 = 0, f2 = 0, *pin;
	struct sess_tail *t;
	struct view v;
	struct buf b = { 0 };
	size_t n;
	int64_t turn;
	struct sess_turn tt = { .question = "q", .answer = "a", .citations = "[]", .info = "{}" };

	lib_open(&lib, temp_path("s"), LIB_CREATE, &e);
	c = lib_catalog(lib);
	cat_begin(c, &e);
	en = temp_engine(c, "m", &e);
	cat_put_source(c, "x", "dir", "/x", &src, &e);
	cat_snapshot_begin(c, src, "", 0, &snap, &e);
	cat_snapshot_finish(c, snap, &snap, &e);
	ok(!sess_new(c, "main", en, CAT_ISOLATED, &snap, 1, &id, &e), "a session begins");
	ok(sess_new(c, "main", en, CAT_ISOLATED, &snap, 1, &f0, &e) == ERR_INVALID,
	   "names are unique");
	ok(sess_new(c, "a/b", en, CAT_ISOLATED, &snap, 1, &f0, &e) == ERR_INVALID &&
	   sess_new(c, "a@1", en, CAT_ISOLATED, &snap, 1, &f0, &e) == ERR_INVALID &&
	   sess_new(c, "", en, CAT_ISOLATED, &snap, 1, &f0, &e) == ERR_INVALID, "and plain");
	ok(!cat_commit(c, &e) && !*turns(c, id), "no turn yet");

	ok(!add(lib, id, "q1", "a1", 20) && !add(lib, id, "q2", "a2", 30) &&
		   !add(lib, id, "q3", "a3", 100),
	   "three turns of 20, 30 and 100 tokens");
	ok(!strcmp(turns(c, id), "1:q1=a1@0+20;2:q2=a2@20+30;3:q3=a3@50+100;"), "come back: %s",
	   turns(c, id));
	ok(tail_whole(lib, id, 150, true), "their pages too, the open one filled up");
	ok(!sess_tail(c, id, &t, &n, &e) && n == 3, "150 tokens are 3 pages");
	free(t);
	lib_close(lib);
	lib_open(&lib, temp_path("s"), 0, &e);
	c = lib_catalog(lib);
	ok(tail_whole(lib, id, 150, true) && get(c, id).n_turn == 3, "after a restart as well");
	v = get(c, id);
	ok(sess_add_turn(lib, id, v.turn - 1, &tt, NULL, 0, 64, &turn, &e) == ERR_MISMATCH,
	   "a turn on top of an older one is refused: %s", e.msg);

	ok(!cat_begin(c, &e) && !sess_fork(c, id, 2, "what-if", &f2, &e) &&
	   !sess_fork(c, id, 0, NULL, &f0, &e) && !sess_fork(c, id, UINT32_MAX, "copy", &f1, &e) &&
	   !cat_commit(c, &e), "forks from a turn, from the start, from the end");
	ok(cat_begin(c, &e) || sess_fork(c, id, 9, "no", &f1, &e) == ERR_NOTFOUND,
	   "no such turn: %s", e.msg);
	cat_rollback(c);
	ok(!strcmp(turns(c, f2), "1:q1=a1@0+20;2:q2=a2@20+30;"),
	   "a fork has the turns up to there");
	ok(tail_whole(lib, f2, 50, true) && tail_whole(lib, f0, 0, true) &&
		   tail_whole(lib, f1, 150, true),
	   "and the pages as they were then");
	ok(!add(lib, f2, "q3'", "a3'", 10) && tail_whole(lib, f2, 60, true) &&
		   tail_whole(lib, id, 150, true),
	   "each goes its own way");
	ok(!strcmp(turns(c, f2), "1:q1=a1@0+20;2:q2=a2@20+30;3:q3'=a3'@50+10;"), "%s",
	   turns(c, f2));
	ok(!strcmp(get(c, f0).name, "s3"), "a fork without a name gets one: %s", get(c, f0).name);
	ok(!sess_pins(c, f2, &pin, &n, &e) && n == 1 && pin[0] == snap, "pins are inherited");
	free(pin);
	ok(!cat_begin(c, &e) && cat_del_snapshot(c, snap, &e) == ERR_INVALID &&
		   strstr(e.msg, "session"),
	   "a pinned snapshot stays: %s", e.msg);
	cat_rollback(c);

	ok(!cat_begin(c, &e) && !sess_drop_near(c, id, 64, &e) && !cat_commit(c, &e),
	   "a chunk is closed");
	ok(!sess_tail(c, id, &t, &n, &e) && t[0].near_n == 0 && t[1].near_n &&
		   tail_whole(lib, id, 150, false),
	   "its pages have lost near K and V and kept far ones");
	ok(sess_tail_read(lib, &t[0], true, &b, &e) == ERR_NOTFOUND, "which is said");
	free(t);

	ok(!cat_begin(c, &e) && !sess_rename(c, f1, "renamed", &e) && !cat_commit(c, &e) &&
	   !sess_find(c, "renamed", keep, &v, &e) && v.id == f1, "renamed");
	ok(!cat_begin(c, &e) && !sess_rm(c, id, &e) && !cat_commit(c, &e),
	   "the first one is removed");
	ok(tail_whole(lib, f1, 150, false) && tail_whole(lib, f2, 60, false),
	   "its forks keep what they share");
	ok(!cat_begin(c, &e) && !sess_rm(c, f1, &e) && !sess_rm(c, f2, &e) && !cat_commit(c, &e) &&
	   rows(c, "turn") == 0 && rows(c, "tail") == 0, "with the last one, turns and pages go");
	buf_release(&b);
	lib_close(lib);
}

static void many_forks_test(void)
{
	struct library *lib;
	struct catalog *c;
	int64_t en, id, f;
	struct stat st;
	double t0, dt, worst = 0;
	int good = 1;
	const int n = 10000;

	lib_open(&lib, temp_path("many"), LIB_CREATE, &e);
	c = lib_catalog(lib);
	cat_begin(c, &e);
	en = temp_engine(c, "m", &e);
	sess_new(c, "main", en, CAT_ISOLATED, NULL, 0, &id, &e);
	cat_commit(c, &e);
	for (int i = 0; i < 20; i++)
		good &= !add(lib, id, "q", "a", 50);
	ok(good, "a session of 1,000 tokens");
	/* Forks in one batch: the work beside the sync. */
	t0 = clock_now();
	good &= !cat_begin(c, &e);
	for (int i = 0; i < n && good; i++) {
		double t = clock_now();

		good &= !sess_fork(c, id, i & 1 ? UINT32_MAX : 10, NULL, &f, &e);
		t = clock_now() - t;
		if (t > worst)
			worst = t;
	}
	good &= !cat_commit(c, &e);
	dt = clock_now() - t0;
	ok(good, "%d forks: %.1f us each, worst %.0f us, the commit apart", n, dt / n * 1e6,
	   worst * 1e6);
	lib_close(lib);
	good = !stat(temp_path("many/catalog.sqlite"), &st);
	ok(good && st.st_size < 10 << 20, "take %.1f MB on disk (100 MB are allowed)",
	   (double)st.st_size / 1e6);
}

int main(void)
{
	temp_make();
	turn_test();
	many_forks_test();
	return done();
}
