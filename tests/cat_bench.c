/* Speeds of the catalog, one line each:  cat_bench [TOKENS [TEXT]]
 *
 * Fills a library with TOKENS tokens (default ten million) in spans of 1,024 whose pages are rows
 * only: what is measured is the catalog.  TEXT is a file to cut documents from; without it they are
 * made of words with a frequency like a language's. */
#include "config.h"

#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "cache/care.h"
#include "cache/search.h"
#include "cache/session.h"
#include "libtemp.h"

#define SPAN_TOKENS 1024u
#define DOC_SPANS   4u

static struct err e;

static void die(const char *what)
{
	fprintf(stderr, "cat_bench: %s: %s\n", what, e.msg);
	exit(2);
}

#define TRY(x) do { if (x) die(#x); } while (0)

static uint64_t rng = 88172645463325252ull;

static uint64_t next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static struct buf given;	/* text to cut documents from */

/* 4 bytes a token: what was given, over and over, or lines of made-up words with 1 / rank
 * frequencies. */
static void make_text(struct buf *b, size_t n)
{
	static size_t at;
	size_t line = 0;

	buf_clear(b);
	if (given.len > n) {
		if (at + n > given.len)
			at = (at + n) % 4099; /* the next round is cut elsewhere: other documents */
		buf_add(b, given.data + at, n);
		at += n;
		return;
	}
	while (b->len < n) {
		double u = (double)(next() >> 11) / 9007199254740992.0;
		unsigned rank = 1;

		for (double x = 1; x < u * 10.3 && rank < 30000; rank = rank * 2)
			x += 0.69;
		rank += (unsigned)(next() % rank);
		buf_addf(b, "%c%x_%u%c", "abcdefghij"[rank % 10], rank, rank % 7,
			 line++ % 9 == 8 ? '\n' : ' ');
	}
}

/* Processor time: what a busy machine does not change much. */
static double cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Private memory of this process in MB. */
static double private_mb(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char s[256];
	double kb = 0, v;

	while (f && fgets(s, sizeof(s), f))
		if (sscanf(s, "Private_Dirty: %lf", &v) == 1 ||
		    sscanf(s, "Private_Clean: %lf", &v) == 1)
			kb += v;
	if (f)
		fclose(f);
	return kb / 1024;
}

static void fill(const char *dir, uint64_t n_token)
{
	struct library *lib;
	struct catalog *c;
	struct buf text = { 0 };
	int64_t src, snap, en, doc;
	uint64_t n_doc = n_token / (SPAN_TOKENS * DOC_SPANS), bytes = 0, nr = 0;
	double t0, blob_s = 0, put_s = 0, span_s = 0, commit_s = 0;
	uint32_t number;

	TRY(lib_open(&lib, dir, LIB_CREATE, &e));
	c = lib_catalog(lib);
	TRY(cat_begin(c, &e));
	en = temp_engine(c, "bench", &e);
	TRY(cat_put_source(c, "bench", "dir", "/bench", &src, &e));
	TRY(cat_snapshot_begin(c, src, "", 0, &snap, &e));
	TRY(cat_commit(c, &e));
	TRY(cat_new_segment(c, en, &number, &e));
	for (uint64_t d = 0; d < n_doc;) {
		t0 = cpu();
		TRY(cat_begin(c, &e));
		commit_s += cpu() - t0;
		for (int i = 0; i < 64 && d < n_doc; i++, d++) {
			struct cat_span span[DOC_SPANS];
			struct cat_entry entry = { .state = CAT_TEXT };
			struct cat_blob *b;
			char path[64];

			make_text(&text, SPAN_TOKENS * DOC_SPANS * 4);
			bytes += text.len;
			t0 = cpu();
			TRY(cat_blob_new(
				&b, &(struct cat_text){text.data, text.len, "text", NULL, 0}, &e));
			blob_s += cpu() - t0;
			t0 = cpu();
			TRY(cat_put_text(c, b, &doc, NULL, &e));
			entry.path = path;
			entry.path_n =
				(size_t)snprintf(path, sizeof(path), "dir%llu/file%llu.c",
						 (unsigned long long)d / 50, (unsigned long long)d);
			entry.document = doc;
			TRY(cat_put_entry(c, snap, &entry, &e));
			put_s += cpu() - t0;
			cat_blob_free(b);
			t0 = cpu();
			for (unsigned s = 0; s < DOC_SPANS; s++, nr++) {
				struct id page[SPAN_TOKENS / KV_PAGE_TOKENS];
				struct cat_extent x = {.engine = en,
						       .type = KV_Q4,
						       .n_token = SPAN_TOKENS,
						       .n_page = SPAN_TOKENS / KV_PAGE_TOKENS,
						       .page = page};
				int64_t id;

				for (unsigned p = 0; p < x.n_page; p++) {
					uint64_t key[2] = { nr, p };

					page[p] = id_of(key, sizeof(key));
				}
				x.ref = (struct kv_ref){number, 4096 + nr * 1048576, 1048576,
							4096 + nr * 8192};
				TRY(cat_put_extent(c, &x, &id, NULL, &e));
				span[s] = (struct cat_span){.start = s * SPAN_TOKENS,
							    .end = (s + 1) * SPAN_TOKENS,
							    .n_token = SPAN_TOKENS,
							    .last = page[x.n_page - 1]};
			}
			TRY(cat_put_spans(c, doc, en, CAT_ISOLATED, span, DOC_SPANS, &e));
			span_s += cpu() - t0;
		}
		t0 = cpu();
		TRY(cat_commit(c, &e));
		commit_s += cpu() - t0;
	}
	TRY(cat_begin(c, &e));
	TRY(cat_snapshot_finish(c, snap, &snap, &e));
	TRY(cat_commit(c, &e));
	printf("(in processor time, one thread:)\n");
	printf("compress and hash texts          %8.1f MB/s\n", (double)bytes / 1e6 / blob_s);
	printf("put texts with the words index   %8.1f MB/s\n", (double)bytes / 1e6 / put_s);
	printf("both, with commits               %8.1f MB/s\n",
	       (double)bytes / 1e6 / (blob_s + put_s + commit_s));
	printf("put spans, extents and pages     %8.0f tokens/s\n", (double)n_token / span_s);
	t0 = cpu();
	for (uint64_t left = 1; left;)
		TRY(search_fill(c, 4 << 20, &left, &e));
	printf("fill the trigram index           %8.1f MB/s\n", (double)bytes / 1e6 / (cpu() - t0));
	buf_release(&text);
	lib_close(lib);
}

static void small_commits(const char *dir)
{
	struct library *lib;
	struct catalog *c;
	int64_t en, id, f;
	struct cat_engine found;
	struct id fp = id_of("bench", 5);
	double t0, work = 0, all = 0;
	int n = 300;

	TRY(lib_open(&lib, dir, 0, &e));
	c = lib_catalog(lib);
	TRY(cat_engine_find(c, &fp, &found, &e));
	en = found.id;
	t0 = clock_now();
	for (int i = 0; i < n; i++) {
		TRY(cat_begin(c, &e));
		TRY(cat_set(c, 0, "bench", &i, sizeof(i), &e));
		TRY(cat_commit(c, &e));
	}
	printf("small commits, each synced       %8.0f /s\n", n / (clock_now() - t0));
	TRY(cat_begin(c, &e));
	TRY(sess_new(c, "bench", en, CAT_ISOLATED, NULL, 0, &id, &e));
	TRY(cat_commit(c, &e));
	for (int i = 0; i < n; i++) {
		double t1;

		t0 = clock_now();
		TRY(cat_begin(c, &e));
		TRY(sess_fork(c, id, UINT32_MAX, NULL, &f, &e));
		t1 = clock_now();
		TRY(cat_commit(c, &e));
		work += t1 - t0;
		all += clock_now() - t0;
	}
	printf("fork: beside the commit          %8.3f ms, with its sync %.2f ms\n", work / n * 1e3,
	       all / n * 1e3);
	lib_close(lib);
}

/* Open, find the engine and the snapshot, list what is mounted. */
static void open_once(const char *dir, double *ms_open, double *ms_mount, uint64_t *n_token,
		      double *mb)
{
	struct library *lib;
	struct catalog *c;
	struct cat_engine en;
	struct id fp = id_of("bench", 5);
	struct cat_mount *m;
	int64_t snap;
	size_t n;
	double t0 = clock_now(), t1;

	TRY(lib_open(&lib, dir, 0, &e));
	c = lib_catalog(lib);
	t1 = clock_now();
	*ms_open = (t1 - t0) * 1e3;
	TRY(cat_engine_find(c, &fp, &en, &e));
	TRY(cat_snapshot_find(c, "bench", NULL, &snap, &e));
	TRY(cat_mounts(c, en.id, CAT_ISOLATED, &snap, 1, NULL, 0, NULL, &m, &n, NULL, &e));
	*ms_mount = (clock_now() - t1) * 1e3;
	*n_token = 0;
	for (size_t i = 0; i < n; i++)
		*n_token += m[i].n_token;
	*mb = private_mb();
	free(m);
	lib_close(lib);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void opens(const char *dir)
{
	double open_ms[15], mount_ms[15], mb = 0, worst = 0;
	uint64_t n_token = 0;
	int fd[2];

	for (int i = 0; i < 15; i++)
		open_once(dir, &open_ms[i], &mount_ms[i], &n_token, &mb);
	qsort(open_ms, 15, sizeof(*open_ms), by_value);
	qsort(mount_ms, 15, sizeof(*mount_ms), by_value);
	printf("open, %9llu tokens          %8.2f ms, list what is mounted %.1f ms (medians of "
	       "15)\n",
	       (unsigned long long)n_token, open_ms[7], mount_ms[7]);
	fflush(stdout);
	if (pipe(fd))
		return;
	for (int i = 0; i < 16; i++)
		if (!fork()) {
			double v[3];

			open_once(dir, &v[0], &v[1], &n_token, &v[2]);
			v[0] += v[1];
			if (write(fd[1], v, sizeof(v)) != sizeof(v))
				_exit(1);
			_exit(0);
		}
	mb = 0;
	for (int i = 0; i < 16; i++) {
		double v[3];

		if (read(fd[0], v, sizeof(v)) == sizeof(v)) {
			worst = v[0] > worst ? v[0] : worst;
			mb = v[2] > mb ? v[2] : mb;
		}
	}
	while (wait(NULL) > 0)
		;
	printf("16 readers at once               %8.1f ms the slowest, at most %.1f MB private "
	       "each\n",
	       worst, mb);
}

static int hit(void *ctx, const struct search_hit *h)
{
	(void)h;
	++*(int *)ctx;
	return 0;
}

static void searches(const char *dir)
{
	struct search_literal lit = { "c2b3_", 5 };
	struct library *lib;
	struct catalog *c;
	int64_t snap, *doc;
	int n_hit = 0;
	size_t n;
	double t0, t1;

	TRY(lib_open(&lib, dir, 0, &e));
	c = lib_catalog(lib);
	TRY(cat_snapshot_find(c, "bench", NULL, &snap, &e));
	t0 = clock_now();
	TRY(search_words(c, "c2b3 OR d1a7 OR e44f OR b1", &snap, 1, 20, hit, &n_hit, &e));
	t1 = clock_now();
	printf("20 best pieces for four words    %8.1f ms\n", (t1 - t0) * 1e3);
	t0 = clock_now();
	TRY(search_candidates(c, &lit, 1, false, &snap, 1, &doc, &n, &e));
	t1 = clock_now();
	printf("candidates for a literal         %8.1f ms, %zu documents\n", (t1 - t0) * 1e3, n);
	free(doc);
	lib_close(lib);
}

static int silent(void *ctx, const struct care_damage *d)
{
	(void)ctx;
	printf("damage: %s %s %s\n", d->kind, d->path, d->what);
	return ERR_INTR;	/* the pages are rows only: the first missing file ends it */
}

int main(int argc, char **argv)
{
	uint64_t n_token = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
	struct care_watch w = { .damage = silent };
	struct care_verified v;
	struct library *lib;
	const char *dir;
	struct stat st;
	double t0;

	temp_make();
	dir = temp_path("lib");
	if (argc > 2)
		TRY(file_read(&given, argv[2], 1u << 30, &e));
	fill(dir, n_token);
	small_commits(dir);
	opens(dir);
	searches(dir);
	if (!stat(temp_path("lib/catalog.sqlite"), &st))
		printf("catalog                          %8.1f MB, %.1f bytes/token\n",
		       (double)st.st_size / 1e6, (double)st.st_size / (double)n_token);
	TRY(lib_open(&lib, dir, 0, &e));
	t0 = clock_now();
	care_verify(lib, 0, 0, &w, &v, &e);
	printf("verify the catalog's structure   %8.1f s\n", clock_now() - t0);
	lib_close(lib);
	return 0;
}
