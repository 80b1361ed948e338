/* Crashes: a writer is killed at every write and sync, and at random ones, with the power gone or
 * not; each time the library is opened again, verified byte by byte, and compared with what was
 * committed.
 *
 * The work is a list of steps, each one commit; what a step does follows from its number alone; pages
 * come with sketches and index parts, and in the end the index is made anew for another list. The
 * child tells through a pipe which commits returned.  The library must then hold exactly the steps
 * that were told, or one more: the one whose commit was under way.
 *
 * crash_test [N [STRIDE]]: N random kills beside a sweep over every STRIDE-th call (40, 41); `make
 * check-crash` says 2000 1. */
#include "config.h"

#include "fault.h"

#include <sys/wait.h>

#include "base/clock.h"
#include "cache/care.h"
#include "cache/derive.h"
#include "cache/extent.h"
#include "cache/search.h"
#include "cache/session.h"
#include "check.h"
#include "libtemp.h"

#define N_STEP 13

static struct err e;
static int        told = -1;	/* the pipe */

/* ---- Steps ----------------------------------------------------------------------------------- */

static const struct kv_geom geom = { 2, 1, 8, KV_PAGE_TOKENS };

static void text_of(int step, struct buf *b)
{
	for (int i = 0; i < 40 + step * 7; i++)
		buf_addf(b, "step %d line %d of a text about crashes\n", step, i * step);
}

static struct cat_engine engine(void)
{
	struct cat_engine en = { .n_far_layer = geom.n_far_layer, .n_head_kv = geom.n_head_kv,
				 .head_dim = geom.head_dim, .page_tokens = geom.page_tokens,
				 .kv_type = KV_Q8, .name = "crash" };

	en.fingerprint = id_of("crash", 5);
	en.preamble = id_of("pre", 3);
	return en;
}

/* The sealed pages of a step: 100 tokens, so two pages. */
static struct extent_build *pages_of(int step)
{
	static float k[100 * 8], v[100 * 8];
	struct cat_engine en = engine();
	int32_t token[100];
	struct extent_desc d = {.geom = geom,
				.type = KV_Q8,
				.mode = IDENT_ISOLATED,
				.token = token,
				.n_token = 100};
	struct extent_build *b;

	d.engine = en.fingerprint;
	d.attends = en.preamble;
	for (int i = 0; i < 100; i++)
		token[i] = step * 1000 + i;
	if (extent_build_new(&b, &d, &e))
		return NULL;
	for (uint32_t layer = 0; layer < geom.n_far_layer; layer++) {
		for (int i = 0; i < 800; i++) {
			k[i] = (float)((step * 31 + i * 7 + (int)layer) % 97) / 97;
			v[i] = (float)((step * 17 + i * 5 + (int)layer) % 89) / 89;
		}
		if (extent_build_layer(b, layer, k, v, &e))
			return NULL;
	}
	return extent_build_seal(b, &e) ? NULL : b;
}

struct work {
	struct library *lib;
	struct catalog *c;
	struct kv_store *store;
	struct kv_writer *writer;
	int64_t engine;
	struct derive want;
};

static const struct spanidx_pair pair[] = { { 1, 0 }, { 0, 0 } };

/* From now on pages have sketches, and the keys of these pairs are indexed. */
static int want_summaries(struct work *w, uint32_t n_pair)
{
	int rc = cat_begin(w->c, &e);

	if (!rc)
		rc = derive_set_sketches(w->c, w->engine, true, &e);
	if (!rc)
		rc = derive_set_pairs(w->c, w->engine, pair, n_pair, &e);
	if (!rc)
		rc = cat_commit(w->c, &e);
	cat_rollback(w->c);
	derive_release(&w->want);
	return rc ? rc : derive_get(w->c, w->engine, &w->want, &e);
}

static int new_number(void *ctx, uint32_t *number, struct err *err)
{
	struct work *w = ctx;

	return cat_new_segment(w->c, w->engine, number, err);
}

static int put_step(struct work *w, int step, const struct cat_blob *blob, const struct kv_ref *ref,
		    const struct part_ref *part, struct extent_build *pages)
{
	struct cat_extent x = {.engine = w->engine,
			       .ref = *ref,
			       .type = KV_Q8,
			       .n_token = 100,
			       .n_page = 2,
			       .page = extent_build_pages(pages)};
	struct cat_span s = {
		.start = 0, .end = 40, .n_token = 100, .last = extent_build_span(pages)};
	struct cat_entry en = { .state = CAT_TEXT };
	int64_t src, snap, doc = 0, xid;
	char path[32];
	int rc;

	s.after = engine().preamble;
	en.path_n = (size_t)snprintf(path, sizeof(path), "file%d", step);
	en.path = path;
	rc = cat_put_source(w->c, "x", "dir", "/x", &src, &e);
	if (!rc)
		rc = cat_snapshot_open(w->c, src, &snap, &e);
	if (rc == ERR_NOTFOUND)
		rc = cat_snapshot_begin(w->c, src, "", 0, &snap, &e);
	if (!rc)
		rc = cat_put_text(w->c, blob, &doc, NULL, &e);
	en.document = doc;
	if (!rc)
		rc = cat_put_entry(w->c, snap, &en, &e);
	if (!rc)
		rc = cat_put_spans(w->c, doc, w->engine, CAT_ISOLATED, &s, 1, &e);
	if (!rc)
		rc = cat_put_extent(w->c, &x, &xid, NULL, &e);
	if (!rc)
		rc = cat_put_part(w->c, xid, &w->want.profile, part, &e);
	if (!rc)
		rc = cat_set(w->c, 0, "step", &step, sizeof(step), &e);
	return rc;
}

/* A text with its pages and a span, in one batch. */
static int do_text(struct work *w, int step)
{
	struct extent_build *pages = pages_of(step);
	struct cat_blob *blob = NULL;
	struct buf text = { 0 };
	struct kv_ref ref;
	struct part_ref part;
	struct derived d = { 0 };
	const void *image;
	size_t n;
	int rc;

	text_of(step, &text);
	if (text.failed) {	/* less than the text: not what is to be stored */
		extent_build_free(pages);
		buf_release(&text);
		return ERR_NOMEM;
	}
	rc = cat_blob_new(&blob, &(struct cat_text){ text.data, text.len, "text", NULL, 0 }, &e);
	if (!rc && !pages)
		rc = ERR_NOMEM;
	if (!rc) {
		image = extent_build_image(pages, &n);
		rc = derive_make(&w->want, image, n, &d, &e);
	}
	if (!rc)
		rc = kv_writer_add(w->writer, image, n, d.sketch, d.sketch_n, &ref, &e);
	if (!rc)
		rc = kv_writer_add_part(w->writer, d.part, d.part_n, &part, &e);
	derive_drop(&d);
	if (!rc)
		rc = kv_writer_sync(w->writer, &e);
	if (!rc)
		rc = cat_begin(w->c, &e);
	if (!rc)
		rc = put_step(w, step, blob, &ref, &part, pages);
	if (!rc)
		rc = cat_commit(w->c, &e);
	cat_blob_free(blob);
	extent_build_free(pages);
	buf_release(&text);
	return rc;
}

static int keep_session(void *ctx, const struct session *s)
{
	((int64_t *)ctx)[0] = s->id;
	((int64_t *)ctx)[1] = s->turn;
	return 0;
}

/* A turn with two private pages.  Its number is its step: the info says so. */
static int do_turn(struct work *w, int step)
{
	char far[2][2048], info[32];
	int64_t s[2], turn;
	int32_t token[100];
	struct sess_turn t = {.question = "q",
			      .answer = "a",
			      .citations = "[]",
			      .info = info,
			      .token = token,
			      .n_token = 100};
	struct sess_page page[2];
	struct sess_tail *tail;
	size_t n;
	uint64_t pos;
	int rc = sess_find(w->c, "s", keep_session, s, &e);

	if (rc == ERR_NOTFOUND) {
		rc = cat_begin(w->c, &e);
		if (!rc)
			rc = sess_new(w->c, "s", w->engine, CAT_ISOLATED, NULL, 0, &s[0], &e);
		if (!rc)
			rc = cat_commit(w->c, &e);
		s[1] = 0;
	}
	if (!rc)
		rc = sess_tail(w->c, s[0], &tail, &n, &e);
	if (rc)
		return rc;
	pos = n ? tail[n - 1].pos + tail[n - 1].n_token : 0;
	free(tail);
	for (int i = 0; i < 100; i++)
		token[i] = step + i;
	memset(far, step, sizeof(far));
	snprintf(info, sizeof(info), "{\"step\":%d}", step);
	page[0] = (struct sess_page){.pos = pos,
				     .n_token = 50,
				     .far = far[0],
				     .far_n = 2048,
				     .near = far[1],
				     .near_n = 100};
	page[1] = (struct sess_page){.pos = pos + 50, .n_token = 50, .far = far[1], .far_n = 2048};
	return sess_add_turn(w->lib, s[0], s[1], &t, page, 2, 50, &turn, &e);
}

static int do_fill(struct work *w)
{
	uint64_t left;

	return search_fill(w->c, 5000, &left, &e);
}

static bool is_turn(int step) { return step % 5 == 3; }
static bool is_fill(int step) { return step % 5 == 4; }

/* How far the library is: the number of steps it holds, by the setting and the turns. */
static int see_step(void *ctx, const struct sess_turn *t)
{
	int step = 0;

	sscanf(t->info, "{\"step\":%d}", &step);
	if (step > *(int *)ctx)
		*(int *)ctx = step;
	return 0;
}

static int steps_held(struct catalog *c, int *out)
{
	struct buf b = { 0 };
	int64_t s[2];
	int turn = 0, rc = cat_get(c, 0, "step", &b, &e);

	*out = 0;
	if (!rc && b.len == sizeof(*out))
		memcpy(out, b.data, sizeof(*out));
	buf_release(&b);
	if (rc == ERR_NOTFOUND)
		rc = 0;
	if (!rc && !sess_find(c, "s", keep_session, s, &e))
		rc = sess_turns(c, s[0], see_step, &turn, &e);
	if (turn > *out)
		*out = turn;
	return rc;
}

static void tell(int step)
{
	if (told >= 0)
		syscall(SYS_write, told, &step, sizeof(step));
}

/* Do the steps that are missing up to last; tell each commit. */
static int work(const char *dir, int last)
{
	struct work w = { 0 };
	struct cat_engine en = engine();
	int held = 0, rc = lib_open(&w.lib, dir, LIB_CREATE, &e);

	if (rc)
		return rc;
	w.c = lib_catalog(w.lib);
	rc = cat_begin(w.c, &e);
	if (!rc)
		rc = cat_put_engine(w.c, &en, &w.engine, &e);
	if (!rc)
		rc = cat_commit(w.c, &e);
	if (!rc)
		rc = steps_held(w.c, &held);
	if (!rc && held < N_STEP)
		rc = want_summaries(&w, 2);
	if (!rc)
		rc = kv_store_open(&w.store, lib_segments(w.lib), &e);
	if (!rc)
		rc = kv_writer_new(&w.writer, w.store, 0, new_number, &w, &e);
	for (int step = held + 1; !rc && step <= last; step++) {
		rc = is_turn(step)   ? do_turn(&w, step)
		     : is_fill(step) ? do_fill(&w)
				     : do_text(&w, step);
		if (!rc && !is_fill(step))
			tell(step);
	}
	/* Another list: all parts are made again, beside what is there. */
	if (!rc && last == N_STEP)
		rc = want_summaries(&w, 1);
	if (!rc && last == N_STEP)
		rc = derive_fill(w.lib, w.store, w.engine, NULL, NULL, NULL, NULL, &e);
	cat_rollback(w.c);
	derive_release(&w.want);
	kv_writer_free(w.writer);
	kv_store_close(w.store);
	lib_close(w.lib);
	return rc;
}

/* ---- Looking at what is left ----------------------------------------------------------------- */

static int say_damage(void *ctx, const struct care_damage *d)
{
	(void)ctx;
	printf("# damage: %s %s: %s\n", d->kind, d->path, d->what);
	return 0;
}

struct seen {
	int n_text, n_turn, wrong;
};

static int check_text(void *ctx, const struct cat_entry *en, const char *text, size_t n)
{
	struct seen *s = ctx;
	struct buf want = { 0 };

	text_of(atoi(en->path + 4), &want);
	if (want.len != n || memcmp(want.data, text, n))
		s->wrong++;
	s->n_text++;
	buf_release(&want);
	return 0;
}

static int check_turn(void *ctx, const struct sess_turn *t)
{
	struct seen *s = ctx;
	int step = 0;

	sscanf(t->info, "{\"step\":%d}", &step);
	s->n_turn++;
	if (t->n_token != 100 || t->token[99] != step + 99 || !is_turn(step))
		s->wrong++;
	return 0;
}

static int check_pages(void *ctx, const struct cat_extent *x)
{
	struct seen *s = ctx;
	bool known = false;

	for (int step = 1; step <= N_STEP && !known; step++) {
		struct extent_build *b = pages_of(step);
		struct id span = extent_build_span(b);

		known = id_eq(&span, &x->page[x->n_page - 1]);
		extent_build_free(b);
	}
	s->wrong += !known;
	return 0;
}

/* Returns the steps held, or -1 with words. */
static int look(const char *dir, int at_least)
{
	struct care_watch watch = { .damage = say_damage };
	struct care_verified v;
	struct library *lib;
	struct catalog *c;
	struct seen seen = { 0 };
	struct sess_tail *tail;
	struct cat_mount *m;
	struct buf b = { 0 };
	int64_t snap, s[2] = { 0 };
	uint64_t missing = 0;
	int held = 0, want_text = 0, want_turn = 0, rc;
	size_t n = 0, n_mount = 0;

	rc = lib_open(&lib, dir, 0, &e);
	if (rc == ERR_NOLIB && at_least == 0)
		return 0;	/* died before it became one */
	if (rc) {
		printf("# cannot open: %s\n", e.msg);
		return -1;
	}
	c = lib_catalog(lib);
	rc = care_verify(lib, 1, 0, &watch, &v, &e);
	if (!rc)
		rc = steps_held(c, &held);
	if (!rc && v.n_damage)
		rc = ERR_CORRUPT;
	if (!rc && !cat_snapshot_find(c, "x", NULL, &snap, &e))
		rc = cat_texts(c, snap, check_text, &seen, &e);
	if (!rc && !sess_find(c, "s", keep_session, s, &e)) {
		rc = sess_turns(c, s[0], check_turn, &seen, &e);
		if (!rc)
			rc = sess_tail(c, s[0], &tail, &n, &e);
		for (size_t i = 0; !rc && i < n; i++)
			rc = sess_tail_read(lib, &tail[i], false, &b, &e);
		if (!rc)
			free(tail);
	}
	if (!rc)
		rc = cat_extents(c, check_pages, &seen, &e);
	if (!rc)
		rc = cat_mounts(c, 1, CAT_ISOLATED, NULL, 0, NULL, 0, NULL, &m, &n_mount, &missing,
				&e);
	if (!rc)
		free(m);
	for (int i = 1; i <= held; i++) {
		want_turn += is_turn(i);
		want_text += !is_turn(i) && !is_fill(i);
	}
	if (rc || seen.wrong || seen.n_text != want_text || seen.n_turn != want_turn || missing ||
	    n_mount != (size_t)want_text || n != (size_t)want_turn * 2) {
		printf("# after step %d: error %d (%s), %d of %d texts, %d of %d turns, %zu "
		       "mounts, %d wrong\n",
		       held, rc, rc ? e.msg : "", seen.n_text, want_text, seen.n_turn, want_turn,
		       n_mount, seen.wrong);
		held = -1;
	}
	buf_release(&b);
	lib_close(lib);
	return held;
}

/* Has every extent a part for the newest list? */
static bool is_indexed(const char *dir)
{
	struct id profile = derive_profile(pair, 1);
	struct cat_mount *m;
	struct library *lib;
	size_t n, n_part = 0;

	if (lib_open(&lib, dir, 0, &e))
		return false;
	if (!cat_mounts(lib_catalog(lib), 1, CAT_ISOLATED, NULL, 0, NULL, 0, &profile, &m, &n, NULL, &e)) {
		for (size_t i = 0; i < n; i++)
			n_part += m[i].part.number != 0;
		free(m);
	}
	lib_close(lib);
	return n_part && n_part == n;
}

/* A fill keeps no number of its own: the step before or after it may be what is seen. */
static bool agrees(int held, int acked)
{
	int next = acked + 1;

	if (next <= N_STEP && is_fill(next))
		next++;
	return held == acked || held == next;
}

struct outcome {
	bool good, hit;
	int  code;
};

/* Fork, arm, work, see what became of it. */
static struct outcome one(const char *dir, enum fault_mode mode, long at, int when, int error,
			  bool power, unsigned seed, int last, int acked)
{
	struct outcome o = { .good = false };
	struct { int hit, code; } result = { 0, 0 };
	int fd[2], rfd[2], status, step, held;
	pid_t pid;

	fflush(stdout);
	if (pipe(fd) || pipe(rfd) || (pid = fork()) < 0)
		return o;
	if (!pid) {
		close(fd[0]);
		close(rfd[0]);
		told = fd[1];
		fault_arm(mode, mode >= FAULT_ALLOC ? -1 : at, when, error, power, seed);
		if (mode == FAULT_ALLOC)
			fault.alloc_at = at;
		if (mode == FAULT_MAP)
			fault.map_at = at;
		result.code = work(dir, last);
		result.hit = fault.hit;
		fault.armed = false;
		syscall(SYS_write, rfd[1], &result, sizeof(result));
		_exit(0);
	}
	close(fd[1]);
	close(rfd[1]);
	while (read(fd[0], &step, sizeof(step)) == sizeof(step))
		acked = step;
	close(fd[0]);
	o.hit = read(rfd[0], &result, sizeof(result)) != sizeof(result) || result.hit;
	o.code = result.code;
	close(rfd[0]);
	waitpid(pid, &status, 0);
	if (power) {
		char shm[PATH_MAX];

		snprintf(shm, sizeof(shm), "%s/catalog.sqlite-shm", dir);
		syscall(SYS_unlink, shm);
	}
	held = look(dir, acked);
	o.good = held >= 0 && agrees(held, acked);
	if (!o.good)
		printf("# mode %d at %ld when %d error %d power %d seed %u: %d told, %d held\n",
		       mode, at, when, error, power, seed, acked, held);
	return o;
}

/* Every call in turn, from an empty folder, until the work gets through. */
static void sweep(const char *name, enum fault_mode mode, int error, bool power, int when,
		  long stride)
{
	long at, n = 0, bad = 0;
	int full = 0;

	for (at = 1;; at += stride) {
		struct outcome o;
		const char *dir = temp_path("sweep");

		o = one(dir, mode, at, when, error, power, (unsigned)at, N_STEP, 0);
		temp_clear(dir);
		bad += !o.good;
		full += o.code == ERR_FULL;
		n++;
		if (!o.hit)
			break;
	}
	ok(n > 5 && !bad, "%s: %ld of its %ld calls, %ld bad", name, n - 1, at - stride, bad);
	if (error == ENOSPC)
		ok(full > 0, "a full disk is ERR_FULL (%d times)", full);
}

#ifndef FAULT_NO_ALLOC
/* Memory runs out once, at one allocation after the other. */
static void allocations(long n_try)
{
	long total, n = 0, bad = 0, stopped = 0;
	const char *dir = temp_path("alloc");

	fault_arm(FAULT_NONE, 0, 0, 0, false, 0);
	fault.alloc_at = -1;
	work(dir, N_STEP);
	total = fault.alloc_n;
	fault_arm(FAULT_NONE, 0, 0, 0, false, 0);
	temp_clear(dir);
	for (long at = 1; at <= total; at += total / n_try + 1, n++) {
		struct outcome o = one(dir, FAULT_ALLOC, at, 0, 0, false, 1, N_STEP, 0);

		bad += !o.good;
		stopped += o.code != 0;
		temp_clear(dir);
	}
	ok(!bad && stopped > n / 2,
	   "memory runs out at %ld of %ld allocations: %ld end in an error, %ld"
	   " bad",
	   n, total, stopped, bad);
}

/* So does room for mappings: segments, and SQLite's shared memory. */
static void mappings(void)
{
	long n = 0, bad = 0, stopped = 0;
	const char *dir = temp_path("map");

	for (;; n++) {
		struct outcome o = one(dir, FAULT_MAP, n + 1, 0, 0, false, 1, N_STEP, 0);

		bad += !o.good;
		stopped += o.code != 0;
		temp_clear(dir);
		if (!o.hit)
			break;
	}
	ok(!bad && n > 1 && stopped, "each of %ld mappings fails: %ld end in an error, %ld bad", n, stopped, bad);
}
#endif

static void random_kills(long n)
{
	unsigned seed = 20;
	long bad = 0, done_ = 0, runs = 0;
	double t0 = clock_now();

	while (done_ < n) {
		const char *dir = temp_path("random");
		int held = 0;

		/* One library dies again and again, until it is complete. */
		for (int i = 0; i < 40 && held < N_STEP; i++) {
			struct outcome o =
				one(dir, FAULT_KILL, 1 + rand_r(&seed) % 120, rand_r(&seed) % 3, 0,
				    rand_r(&seed) & 1, rand_r(&seed), N_STEP, held);

			bad += !o.good;
			done_ += o.hit;
			held = look(dir, 0);
			if (held < 0 || done_ >= n)
				break;
		}
		runs++;
		temp_clear(dir);
	}
	ok(!bad, "%ld kills at random calls of %ld libraries: %ld bad (%.0f s)", done_, runs, bad,
	   clock_now() - t0);
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 40;
	long stride = argc > 2 ? atol(argv[2]) : 41;
	struct outcome o;

	temp_make();
	fault_arm(FAULT_NONE, 0, 0, 0, false, 0);	/* no sync is needed here either */
	o = one(temp_path("plain"), FAULT_NONE, 0, 0, 0, false, 1, N_STEP, 0);
	ok(o.good && !o.code && look(temp_path("plain"), N_STEP) == N_STEP,
	   "nothing happens: all steps are there");
	ok(is_indexed(temp_path("plain")), "and the index was made anew for the other list");
	sweep("killed before a call", FAULT_KILL, 0, false, 0, stride);
	sweep("killed halfway through a write", FAULT_KILL, 0, false, 1, stride + (stride > 1));
	sweep("power lost before a call", FAULT_KILL, 0, true, 0, stride);
	sweep("power lost halfway through a write", FAULT_KILL, 0, true, 1, stride + (stride > 1));
	sweep("power lost after a call", FAULT_KILL, 0, true, 2, stride);
	sweep("a call fails with EIO", FAULT_FAIL, EIO, false, 0, stride);
	sweep("a write fails halfway with ENOSPC", FAULT_FAIL, ENOSPC, false, 1, stride);
#ifndef FAULT_NO_ALLOC
	allocations(stride > 1 ? 40 : 2000);
	mappings();
#endif
	random_kills(n);
	return done();
}
