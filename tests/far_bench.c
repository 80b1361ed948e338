/* far_bench MODEL LIBRARY WHAT - far attention over a real library, as CSV: what,tokens,variant,value,unit,note
 *
 *   speed            opening, memory, time per decoded token by mounted tokens, exact and select; what the
 *                    time per token may be by the memory's bandwidth
 *   decode TOKENS exact|select N   N decoded tokens, nothing else: for a profiler
 *   cold             the same library with nothing of it in the page cache: first token, one exact scan
 *   orders N TOKENS  N random orders of mounting TOKENS tokens on 1 and 2 threads, warm and cold: are all
 *                    logits the same bits?
 *   recall FILE      lines PROMPT<TAB>ANSWER: is ANSWER what the model writes?  In exact, and in select
 *                    with several numbers of tokens read
 *
 * Kernels, threads: FOLIO_BENCH_THREADS (default: all processors).  Inside the timed window of a decoded token: the
 * whole forward pass and the output matrix.  Wall times are medians; on a busy machine processor time of the
 * whole process, given beside them, is the better figure. */
#include "config.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/size.h"
#include "cache/catalog.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "engine/far.h"
#include "engine/forward_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STEPS 24

struct bench {
	const char *model, *dir;
	struct library  *lib;
	struct engine   *en;
	struct tok      *tok;
	struct encoder  *enc;
	struct kv_store *store;
	struct view_entry *entry;
	size_t   n_entry;
	uint64_t n_token;
};

static void must(int rc, const struct err *e, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "far_bench: %s: %s\n", what, e->msg);
	exit(1);
}

static void row(const char *what, uint64_t tokens, const char *variant, double value, const char *unit,
		const char *note)
{
	printf("%s,%llu,%s,%.5g,%s,%s\n", what, (unsigned long long)tokens, variant, value, unit, note);
	fflush(stdout);
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *x, size_t n)
{
	qsort(x, n, sizeof(*x), by_value);
	return x[n / 2];
}

/* Resident kilobytes: our own, and of mapped files. */
static void memory(double *anon, double *file)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	*anon = *file = 0;
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "RssAnon: %lf", anon);
		sscanf(line, "RssFile: %lf", file);
	}
	if (f)
		fclose(f);
}

/* ---- opening ---- */

static void open_model(struct bench *b, int threads)
{
	static const enum kv_type types[] = { KV_Q8, KV_Q4, KV_F16 };
	struct engine_opts o = { .n_thread = threads };
	struct cat_engine found;
	struct err e;

	must(engine_open(&b->en, b->model, &o, &e), &e, "model");
	must(tok_open(&b->tok, engine_model(b->en)->gguf, &e), &e, "tokenizer");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		must(encoder_open(&b->enc, b->en, b->tok, types[i], &e), &e, "encoder");
		if (!cat_engine_find(lib_catalog(b->lib), encoder_fingerprint(b->enc), &found, NULL))
			return;
		encoder_close(b->enc);
	}
	fprintf(stderr, "far_bench: the library has no pages of this model\n");
	exit(1);
}

static void open_library(struct bench *b)
{
	struct err e;

	must(lib_open(&b->lib, b->dir, 0, &e), &e, "library");
}

static void mount_all(struct bench *b)
{
	struct cat_engine found;
	struct cat_mount *m;
	uint64_t missing;
	struct err e;

	must(cat_engine_find(lib_catalog(b->lib), encoder_fingerprint(b->enc), &found, &e), &e, "engine");
	must(cat_mounts(lib_catalog(b->lib), found.id, CAT_ISOLATED, NULL, 0, NULL, 0, NULL, &m, &b->n_entry, &missing,
			&e), &e, "mounts");
	must(kv_store_open(&b->store, lib_segments(b->lib), &e), &e, "store");
	b->entry = calloc(b->n_entry + 1, sizeof(*b->entry));
	b->n_token = 0;
	for (size_t i = 0; b->entry && i < b->n_entry; i++) {
		b->entry[i] = (struct view_entry){ .span = m[i].last, .kv = m[i].ref, .n_token = m[i].n_token,
						   .type = (uint8_t)m[i].type, .user = i };
		b->n_token += m[i].n_token;
	}
	free(m);
}

static void unmount(struct bench *b)
{
	free(b->entry);
	kv_store_close(b->store);
	b->entry = NULL;
}

static void close_model(struct bench *b)
{
	encoder_close(b->enc);
	tok_close(b->tok);
	engine_close(b->en);
}

/* The first spans, canonically, that hold n tokens: identities are hashes, so they are a sample. */
static struct view *mount(struct bench *b, uint64_t n)
{
	uint64_t sum = 0;
	struct view *v;
	struct err e;
	size_t i = 0;

	while (i < b->n_entry && sum < n)
		sum += b->entry[i++].n_token;
	must(view_new(&v, b->store, encoder_geom(b->enc), b->entry, i, &e), &e, "view");
	return v;
}

/* Nothing of the library stays in the page cache; mapped pages are not dropped, so the store is closed. */
static void drop_caches(struct bench *b)
{
	char path[4096];
	const char *dir = lib_segments(b->lib);
	struct dirent *f;
	DIR *d = opendir(dir);
	struct err e;

	kv_store_close(b->store);
	while (d && (f = readdir(d))) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s", dir, f->d_name);
		fd = open(path, O_RDONLY);
		if (fd >= 0) {
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			close(fd);
		}
	}
	if (d)
		closedir(d);
	must(kv_store_open(&b->store, dir, &e), &e, "store");
}

/* ---- asking ---- */

static struct kv *sequence(struct bench *b)
{
	struct kv *kv;
	struct err e;

	must(engine_seq(b->en, encoder_preamble(b->enc), &kv, &e), &e, "sequence");
	return kv;
}

static const char QUESTION[] = "Where is the buffer of a connection freed, and by which function?";

/* The question's tokens through the model; logits of the last one. */
static void ask(struct bench *b, struct kv *kv, const struct far_source *src, float *logits)
{
	struct tok_ids ids = { 0 };
	struct err e;

	must(tok_encode(b->tok, QUESTION, sizeof(QUESTION) - 1, 0, &ids, NULL, &e), &e, "tokens");
	must(engine_feed(b->en, kv, ids.id, ids.n, logits, false, src, &e), &e, "question");
	free(ids.id);
}

static int32_t largest(const float *x, size_t n)
{
	size_t at = 0;

	for (size_t i = 1; i < n; i++)
		at = x[i] > x[at] ? i : at;
	return (int32_t)at;
}

struct took {
	double wall, cpu;	/* seconds a token */
	struct far_stats st;	/* of one token */
	double view_bytes;
};

static struct took decode(struct bench *b, struct view *v, const struct far_opts *o, int steps)
{
	size_t n_vocab = engine_plan(b->en)->n_vocab;
	float *logits = malloc(n_vocab * sizeof(*logits));
	double wall[STEPS], start;
	struct far_stats a, z;
	struct kv *kv = sequence(b);
	struct took t = { 0 };
	struct far *f;
	struct err e;

	must(far_new(&f, b->en, v, o, &e), &e, "far");
	ask(b, kv, far_source(f), logits);
	a = far_stats(f);
	start = cpu_now();
	for (int i = 0; i < steps; i++) {
		int32_t id = largest(logits, n_vocab);
		double t0 = clock_now();

		must(engine_feed(b->en, kv, &id, 1, logits, false, far_source(f), &e), &e, "decode");
		wall[i] = clock_now() - t0;
	}
	t.cpu = (cpu_now() - start) / steps;
	t.wall = median(wall, (size_t)steps);
	z = far_stats(f);
	t.st.strips = (z.strips - a.strips) / (uint64_t)steps;
	t.st.strip_bytes = (z.strip_bytes - a.strip_bytes) / (uint64_t)steps;
	t.st.sketch_bytes = (z.sketch_bytes - a.sketch_bytes) / (uint64_t)steps;
	t.st.t_score = (z.t_score - a.t_score) / steps;
	t.st.t_read = (z.t_read - a.t_read) / steps;
	t.st.t_attend = (z.t_attend - a.t_attend) / steps;
	t.view_bytes = (double)view_bytes(v);
	far_free(f);
	kv_free(kv);
	free(logits);
	return t;
}

/* ---- speed ---- */

struct reading {
	const struct kern *kern;
	const uint8_t *p;
	size_t each;
	volatile uint64_t sum;
};

static void read_task(void *ctx, size_t task, int worker)
{
	struct reading *r = ctx;

	(void)worker;
	r->sum += r->kern->read(r->p + task * r->each, r->each);
}

/* Bytes a second that the pool's threads read from memory together: the best of five. */
static double bandwidth(struct bench *b)
{
	struct forward *f = engine_forward(b->en);
	size_t n = 512u << 20;
	struct reading r = { .kern = f->kern, .each = 8u << 20 };
	uint8_t *p = malloc(n);
	double best = 0;

	if (!p)
		return 0;
	memset(p, 1, n);
	r.p = p;
	for (int i = 0; i < 5; i++) {
		double start = clock_now();

		pool_run(f->pool, n / r.each, read_task, &r);
		best = fmax(best, (double)n / (clock_now() - start));
	}
	free(p);
	return best;
}

static void select_rows(struct bench *b, uint64_t n, const struct took *t, double at_8k, double rate)
{
	double kv = t->view_bytes, bound;

	row("sketches", n, "select", (double)t->st.sketch_bytes / 1e6, "MB", "a decoded token");
	row("strips", n, "select", (double)t->st.strips, "strips", "a decoded token");
	row("strips", n, "select", 100 * (double)t->st.strip_bytes / kv, "%", "of the K and V bytes");
	row("bytes", n, "select", 100 * (double)(t->st.strip_bytes + t->st.sketch_bytes) / kv, "%",
	    "sketches too; of the K and V bytes");
	row("score", n, "select", 1e3 * t->st.t_score, "ms", "of a decoded token");
	row("read", n, "select", 1e3 * t->st.t_read, "ms", "of a decoded token");
	bound = at_8k + (double)t->st.sketch_bytes / rate;
	row("bound", n, "select", 1e3 * bound, "ms", "time at 8K + sketch bytes / memory bandwidth");
	row("ratio", n, "select", t->wall / bound, "x", "time per token / bound");
	(void)b;
}

static void speed(struct bench *b)
{
	static const uint64_t size[] = { 8192, 65536, 1000000, 10000000 };
	double t0 = clock_now(), anon, file, rate, at_8k = 0, t_open, cpu;
	struct view *v;
	struct far *f;
	struct err e;

	open_library(b);
	open_model(b, getenv("FOLIO_BENCH_THREADS") ? atoi(getenv("FOLIO_BENCH_THREADS")) : 0);
	t_open = clock_now();
	cpu = cpu_now();
	mount_all(b);
	v = mount(b, UINT64_MAX);
	must(far_new(&f, b->en, v, &(struct far_opts){ .mode = FAR_SELECT }, &e), &e, "far");
	row("open", b->n_token, "library and model", 1e3 * (t_open - t0), "ms", "page cache as it was");
	row("open", b->n_token, "mounting", 1e3 * (clock_now() - t_open), "ms", "catalog to far attention");
	row("open", b->n_token, "mounting", 1e3 * (cpu_now() - cpu), "ms", "processor time");
	row("bytes a token", b->n_token, kv_type_name(encoder_type(b->enc)), (double)view_bytes(v) / (double)b->n_token,
	    "B", "K and V");
	far_free(f);
	view_free(v);
	rate = bandwidth(b);
	row("memory", 0, engine_kernels(b->en), rate / 1e9, "GB/s", "reading, all threads");
	for (size_t i = 0; i < ARRAY_LEN(size); i++) {
		struct far_opts select = { .mode = FAR_SELECT }, exact = { .mode = FAR_EXACT };
		struct took t;
		uint64_t n;

		if (i && b->n_token < size[i - 1])
			break;
		v = mount(b, size[i]);
		n = view_tokens(v);
		decode(b, v, &select, 1);	/* sketches are checked once a view */
		t = decode(b, v, &select, STEPS);
		at_8k = i ? at_8k : t.wall;
		row("decode", n, "select", 1e3 * t.wall, "ms", "a token, wall, median");
		row("decode", n, "select", 1e3 * t.cpu, "ms", "a token, processor time");
		select_rows(b, n, &t, at_8k, rate);
		t = decode(b, v, &exact, n > 2000000 ? 3 : STEPS);
		row("decode", n, "exact", 1e3 * t.wall, "ms", "a token, wall, median, warm");
		row("decode", n, "exact", 1e3 * t.cpu, "ms", "a token, processor time");
		row("scan", n, "exact", (double)t.st.strip_bytes / t.wall / 1e9, "GB/s", "warm");
		view_free(v);
	}
	memory(&anon, &file);
	row("memory", b->n_token, "own", anon / 1e3, "MB", "resident, without mapped files");
	row("memory", b->n_token, "mapped", file / 1e3, "MB", "resident pages of files");
}

static void decode_only(struct bench *b, uint64_t tokens, const char *mode, int n)
{
	struct far_opts o = { .mode = strcmp(mode, "exact") ? FAR_SELECT : FAR_EXACT };
	struct view *v;

	open_library(b);
	open_model(b, getenv("FOLIO_BENCH_THREADS") ? atoi(getenv("FOLIO_BENCH_THREADS")) : 0);
	mount_all(b);
	v = mount(b, tokens);
	decode(b, v, &o, 1);
	for (; n > 0; n -= STEPS) {
		struct took t = decode(b, v, &o, MIN(n, STEPS));

		row("decode", view_tokens(v), mode, 1e3 * t.wall, "ms", "a token, wall, median");
		row("decode", view_tokens(v), mode, 1e3 * t.cpu, "ms", "a token, processor time");
		row("score", view_tokens(v), mode, 1e3 * t.st.t_score, "ms", "");
		row("read", view_tokens(v), mode, 1e3 * t.st.t_read, "ms", "");
		row("attend", view_tokens(v), mode, 1e3 * t.st.t_attend, "ms", "");
	}
	view_free(v);
}

/* ---- cold ---- */

static void cold(struct bench *b)
{
	static const enum far_mode mode[] = { FAR_SELECT, FAR_EXACT, FAR_SELECT, FAR_EXACT };

	open_library(b);
	open_model(b, 0);
	mount_all(b);
	for (size_t i = 0; i < ARRAY_LEN(mode); i++) {
		const char *name = mode[i] == FAR_EXACT ? "exact" : "select";
		float *logits = malloc(engine_plan(b->en)->n_vocab * sizeof(*logits));
		struct far_opts o = { .mode = mode[i] };
		struct kv *kv = sequence(b);
		struct far_stats st;
		struct view *v;
		struct far *f;
		struct err e;
		double start, cpu;
		int32_t id = 1;

		drop_caches(b);
		start = clock_now();
		cpu = cpu_now();
		v = mount(b, UINT64_MAX);
		must(far_new(&f, b->en, v, &o, &e), &e, "far");
		if (mode[i] == FAR_SELECT)
			ask(b, kv, far_source(f), logits);
		else
			must(engine_feed(b->en, kv, &id, 1, logits, false, far_source(f), &e), &e, "scan");
		st = far_stats(f);
		row(mode[i] == FAR_EXACT ? "one token" : "first token", b->n_token, name, 1e3 * (clock_now() - start),
		    "ms", "cold, from mounting on");
		row(mode[i] == FAR_EXACT ? "one token" : "first token", b->n_token, name, 1e3 * (cpu_now() - cpu), "ms",
		    "processor time");
		row("read", b->n_token, name, (double)st.strip_bytes / 1e6, "MB", "strips");
		if (mode[i] == FAR_EXACT)
			row("scan", b->n_token, name, (double)st.strip_bytes / (clock_now() - start) / 1e6, "MB/s",
			    "cold");
		far_free(f);
		view_free(v);
		kv_free(kv);
		free(logits);
	}
}

/* ---- orders ---- */

static uint64_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	return *s ^= *s << 17;
}

static void answer(struct bench *b, const struct view_entry *entry, size_t n, float *logits)
{
	struct far_opts o = { .mode = FAR_EXACT };
	struct kv *kv = sequence(b);
	struct view *v;
	struct far *f;
	struct err e;
	int32_t id[4] = { 5, 77, 130, 9 };

	must(view_new(&v, b->store, encoder_geom(b->enc), entry, n, &e), &e, "view");
	must(far_new(&f, b->en, v, &o, &e), &e, "far");
	must(engine_feed(b->en, kv, id, 4, logits, false, far_source(f), &e), &e, "question");
	far_free(f);
	view_free(v);
	kv_free(kv);
}

static void orders(struct bench *b, int n_order, uint64_t n_token)
{
	struct bench two;
	uint64_t sum = 0, seed = 88172645463325252u;
	struct view_entry *entry;
	float *want, *got;
	size_t n = 0, bytes;
	int same = 0, threads[2] = { 0, 0 }, cold_runs = 0;

	open_library(b);
	open_model(b, 1);
	mount_all(b);
	two = *b;
	open_model(&two, 2);
	while (n < b->n_entry && sum < n_token)
		sum += b->entry[n++].n_token;
	bytes = engine_plan(b->en)->n_vocab * sizeof(float);
	entry = malloc(n * sizeof(*entry));
	want = malloc(bytes);
	got = malloc(bytes);
	memcpy(entry, b->entry, n * sizeof(*entry));
	answer(b, entry, n, want);
	for (int i = 0; i < n_order; i++) {
		struct bench *who = i % 2 ? &two : b;

		for (size_t k = n; k > 1; k--) {
			size_t j = rnd(&seed) % k;
			struct view_entry x = entry[k - 1];

			entry[k - 1] = entry[j];
			entry[j] = x;
		}
		if (i % 50 == 49) {
			drop_caches(b);
			two.store = b->store;
			cold_runs++;
		}
		answer(who, entry, n, got);
		threads[i % 2]++;
		same += !memcmp(want, got, bytes);
	}
	row("orders", sum, "exact", same, "orders", "with the same bits");
	row("orders", sum, "exact", n_order, "orders", "of mounting");
	row("spans", sum, "exact", (double)n, "spans", "mounted");
	row("threads", sum, "1", threads[0], "orders", "");
	row("threads", sum, "2", threads[1], "orders", "");
	row("cold", sum, "exact", cold_runs, "orders", "nothing in the page cache");
	free(entry);
	free(want);
	free(got);
	close_model(&two);
}

/* ---- recall ---- */

#define BATCH 20
#define WRITE 8		/* tokens; the answers have seven bytes */

struct probe {
	char *prompt, *answer;
	struct kv *kv;
	int32_t said[WRITE];
	size_t n;
	struct tok_ids ids;
	float *logits;
};

static size_t read_probes(const char *path, struct probe **out)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0, n = 0;

	*out = NULL;
	while (f && getline(&line, &cap, f) > 0) {
		char *tab = strchr(line, '\t'), *end = strchr(line, '\n');

		if (!tab)
			continue;
		*tab = '\0';
		if (end)
			*end = '\0';
		*out = realloc(*out, (n + 1) * sizeof(**out));
		(*out)[n++] = (struct probe){ .prompt = strdup(line), .answer = strdup(tab + 1) };
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}

/* All probes of a batch share every scan, the questions' and each written token's. */
static int ask_batch(struct bench *b, struct probe *p, size_t n, const struct far_source *src)
{
	size_t n_vocab = engine_plan(b->en)->n_vocab;
	struct fwd_item item[BATCH];
	struct err e;
	int right = 0;

	for (size_t i = 0; i < n; i++) {
		p[i].kv = sequence(b);
		p[i].n = 0;
		p[i].ids.n = 0;
		p[i].logits = malloc(n_vocab * sizeof(float));
		must(tok_encode(b->tok, p[i].prompt, strlen(p[i].prompt), 0, &p[i].ids, NULL, &e), &e, "tokens");
		item[i] = (struct fwd_item){ .kv = p[i].kv, .token = p[i].ids.id, .n = p[i].ids.n,
					     .logits = p[i].logits, .source = src };
	}
	must(forward_run(engine_forward(b->en), item, n, &e), &e, "questions");
	for (size_t k = 0; k < WRITE; k++) {
		for (size_t i = 0; i < n; i++) {
			p[i].said[p[i].n++] = largest(p[i].logits, n_vocab);
			item[i].token = &p[i].said[p[i].n - 1];
			item[i].n = 1;
		}
		if (k + 1 < WRITE)
			must(forward_run(engine_forward(b->en), item, n, &e), &e, "decode");
	}
	for (size_t i = 0; i < n; i++) {
		struct tok_stream stream = { 0 };
		struct buf text = { 0 };

		for (size_t k = 0; k < p[i].n; k++)
			tok_stream_push(b->tok, &stream, p[i].said[k], &text);
		right += text.data && !strncmp(text.data, p[i].answer, strlen(p[i].answer));
		buf_release(&text);
		kv_free(p[i].kv);
		free(p[i].logits);
		free(p[i].ids.id);
		p[i].ids = (struct tok_ids){ 0 };
	}
	return right;
}

static void recall_by(struct bench *b, struct view *v, struct probe *p, size_t n, struct far_opts o,
		      const char *name)
{
	struct far_stats st;
	char note[128];
	struct far *f;
	struct err e;
	int right = 0;

	must(far_new(&f, b->en, v, &o, &e), &e, "far");
	for (size_t i = 0; i < n; i += BATCH)
		right += ask_batch(b, p + i, MIN((size_t)BATCH, n - i), far_source(f));
	st = far_stats(f);
	snprintf(note, sizeof(note), "of %zu; %.4g MB of strips a scan", n,
		 (double)st.strip_bytes / 1e6 / (double)MAX(st.scans, (uint64_t)1));
	row("recall", view_tokens(v), name, right, "answers", note);
	far_free(f);
}

static void recall(struct bench *b, const char *path)
{
	static const uint32_t rerank[] = { FAR_RERANK, 64 };
	struct probe *p;
	struct view *v;
	size_t n = read_probes(path, &p);

	open_library(b);
	open_model(b, 0);
	mount_all(b);
	v = mount(b, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_LEN(rerank); i++) {
		char name[64];

		snprintf(name, sizeof(name), "select %u", rerank[i]);
		recall_by(b, v, p, n, (struct far_opts){ .mode = FAR_SELECT, .rerank = rerank[i] }, name);
	}
	recall_by(b, v, p, n, (struct far_opts){ .mode = FAR_SELECT, .law = PLAN_LAW_OFF }, "select; no temperature");
	recall_by(b, v, p, MIN(n, (size_t)100), (struct far_opts){ .mode = FAR_EXACT }, "exact");
	view_free(v);
	for (size_t i = 0; i < n; i++) {
		free(p[i].prompt);
		free(p[i].answer);
	}
	free(p);
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };

	if (argc < 4) {
		fprintf(stderr, "usage: %s MODEL LIBRARY speed|decode TOKENS MODE N|cold|orders N TOKENS|recall FILE\n", argv[0]);
		return 2;
	}
	b.model = argv[1];
	b.dir = argv[2];
	if (!strcmp(argv[3], "speed"))
		speed(&b);
	else if (!strcmp(argv[3], "cold"))
		cold(&b);
	else if (!strcmp(argv[3], "decode") && argc == 7)
		decode_only(&b, strtoull(argv[4], NULL, 10), argv[5], atoi(argv[6]));
	else if (!strcmp(argv[3], "orders") && argc == 6)
		orders(&b, atoi(argv[4]), strtoull(argv[5], NULL, 10));
	else if (!strcmp(argv[3], "recall") && argc == 5)
		recall(&b, argv[4]);
	else
		return 2;
	unmount(&b);
	close_model(&b);
	lib_close(b.lib);
	return 0;
}
