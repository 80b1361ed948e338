/* tests/ingest_test.c - the text stage: what is read, what is not read again, what a bad file costs */
#include "config.h"

#include "base/size.h"
#include "base/stop.h"
#include "cache/catalog.h"
#include "cache/library.h"
#include "cache/search.h"
#include "ingest/pipeline.h"
#include "tests/check.h"

#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[256];

static int remove_one(const char *p, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(p);
}

__attribute__((format(printf, 1, 2)))
static bool sh(const char *fmt, ...)
{
	char cmd[16384];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd '%s' && ", work);

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	return system(cmd) == 0;
}

struct told {
	struct buf log;		/* "state path: reason" */
};

static void on_item(void *ctx, const struct item *it, uint64_t n_text, uint64_t n_token, bool is_copy)
{
	struct told *t = ctx;

	(void)n_text, (void)n_token, (void)is_copy;
	buf_addf(&t->log, "%s %s: %s\n", state_name(it->state), it->path, it->reason);
}

static struct told told;
static struct err e;

static int ingest(struct library *lib, const char *dir, struct ingest_opts o, struct ingest_result *r)
{
	char path[400];
	const char *root = path;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", work, dir);
	buf_clear(&told.log);
	o.roots = &root;
	o.n_root = 1;
	o.list_fd = -1;
	o.name = dir;
	o.kind = "dir";
	o.origin = path;
	o.ctx = &told;
	o.on_item = on_item;
	o.n_thread = 2;
	rc = ingest_text(lib_catalog(lib), &o, r, &e);
	if (rc)
		printf("# %d %s\n", rc, e.msg);
	return rc;
}

static bool logged(const char *what)
{
	return told.log.data && strstr(told.log.data, what);
}

static struct library *open_lib(void)
{
	struct library *lib = NULL;
	char path[400];

	snprintf(path, sizeof(path), "%s/lib", work);
	if (lib_open(&lib, path, LIB_CREATE, &e))
		printf("# %s\n", e.msg);
	return lib;
}

struct entries {
	struct buf paths;
	size_t     n;
	int64_t    document;
};

static int list_entry(void *ctx, const struct cat_entry *en)
{
	struct entries *l = ctx;

	buf_addf(&l->paths, "%d %s\n", en->state, en->path);
	l->n++;
	l->document = en->document;
	return 0;
}

static bool has_entry(struct library *lib, int64_t snapshot, const char *line)
{
	struct entries l = { 0 };
	bool has;

	cat_entries(lib_catalog(lib), snapshot, list_entry, &l, NULL);
	has = l.paths.data && strstr(l.paths.data, line);
	buf_release(&l.paths);
	return has;
}

static int count_hit(void *ctx, const struct search_hit *h)
{
	(void)h;
	++*(int *)ctx;
	return 0;
}

static int hits(struct library *lib, const char *word)
{
	int n = 0;

	search_words(lib_catalog(lib), word, NULL, 0, 100, count_hit, &n, NULL);
	return n;
}

/* Files older than the racy tick, so that stat data can be trusted. */
static void settle(void)
{
	usleep(30000);
}

static void test_incremental(void)
{
	struct library *lib = open_lib();
	struct ingest_result r, first, r2;

	sh("mkdir -p t/src t/doc && printf 'int alpha;\\nint beta;\\n' > t/src/a.c &&"
	   "printf '# Title\\n\\nGamma text.\\n' > t/doc/m.md && printf 'plain\\n' > t/x.txt &&"
	   "head -c 3000 /dev/zero > t/bin.dat && printf 'k\\n' > t/Cargo.lock && ln -s x.txt t/l");
	settle();
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &first), "a folder is ingested");
	ok(first.n_text == 3 && first.n_listed == 3 && !first.n_skipped && first.n_new_text == 3,
	   "three texts; binary, lock file and link are listed (%d, %d)", (int)first.n_text,
	   (int)first.n_listed);
	ok(has_entry(lib, first.snapshot, "3 src/a.c\n") && has_entry(lib, first.snapshot, "1 Cargo.lock\n"),
	   "entries say so");
	ok(hits(lib, "gamma") == 1, "full text finds a word at once");
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r) && r.n_reused == 3 && r.bytes_read == 0 &&
	   r.snapshot == first.snapshot && !r.changed, "nothing changed: nothing is read, no new snapshot");

	sh("mv t/x.txt t/y.txt && rm t/doc/m.md");
	settle();
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r) && r.n_new_text == 0 && r.n_gone == 2 && r.changed,
	   "a renamed file is no new text, a deleted one is gone");
	ok(has_entry(lib, r.snapshot, "3 y.txt\n") && !has_entry(lib, r.snapshot, "m.md"),
	   "the new snapshot has them so");
	ok(has_entry(lib, first.snapshot, "3 doc/m.md\n"), "the old one keeps what it had");
	sh("touch t/src/a.c");
	settle();
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_text == 1 && r2.n_new_text == 0 &&
	   r2.snapshot == r.snapshot, "a touched file is read, and is what it was");
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_text == 0,
	   "and its new stat data is remembered");
	sh("printf 'int alphb;\\nint beta;\\n' > t/src/a.c");
	settle();
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_new_text == 1 && r2.changed,
	   "an edit is one new text");
	/* Same size, same mtime, same inode: only ctime tells. */
	sh("touch -r t/src/a.c ref && printf 'int alphc;\\nint beta;\\n' > t/src/a.c && touch -r ref t/src/a.c");
	settle();
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_new_text == 1,
	   "an edit with its old time stamp put back is found");
	/* A stamp that is not older than the reading: must be read again. */
	sh("printf 'racy one\\n' > t/y.txt && touch -d '1 hour' t/y.txt");
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_new_text == 1, "a file just written");
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_text == 1 && r2.n_new_text == 0,
	   "is read once more, because its stamp could be of two contents");
	sh("touch t/y.txt");
	settle();
	ingest(lib, "t", (struct ingest_opts){ 0 }, &r2);
	ok(!ingest(lib, "t", (struct ingest_opts){ .rehash = true }, &r2) && r2.n_text == 2 && !r2.n_reused &&
	   !r2.changed, "--rehash reads everything and finds nothing new");
	sh("printf 't = \"%%s_%%s\"\\n' ghp a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8 > t/s.py");
	settle();
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_skipped == 1 && r2.n_problem == 1 &&
	   logged("skipped s.py: a likely secret"), "a secret is left out and told");
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && r2.n_problem == 1 && r2.n_text == 0,
	   "and told again without being read");
	ok(!ingest(lib, "t", (struct ingest_opts){ .allow_secrets = true }, &r2) && r2.n_problem == 0 &&
	   has_entry(lib, r2.snapshot, "3 s.py\n"), "unless it is allowed");
	ok(!ingest(lib, "t", (struct ingest_opts){ 0 }, &r2) && has_entry(lib, r2.snapshot, "2 s.py\n"),
	   "which holds for one run");
	lib_close(lib);
}

/* 50 good files among what hurts readers. */
static void test_broken(void)
{
	struct library *lib = open_lib();
	struct ingest_result r;
	char src[4096];
	int i;

	if (!realpath(getenv("srcdir") ? getenv("srcdir") : ".", src))
		return;
	sh("mkdir -p b && cd b && for i in $(seq 50); do echo \"good number $i\" > good$i.txt; done &&"
	   "mkfifo fifo && ln -s . loop && truncate -s 2G sparse.txt && printf '%%%%PDF-1.7\\nbroken' > t.pdf &&"
	   "head -c 1000 '%s/samples/book.docx' > r.docx && head -c 1000 '%s/samples/book.epub' > e.epub &&"
	   "printf '{\"cells\": [' > n.ipynb && printf 'not a zip' > z.zip && : > empty.txt &&"
	   "head -c 5000000 /dev/zero | tr '\\0' x > oneline.txt &&"
	   "printf '\\377\\376h\\000i\\000\\n\\000' > u16.txt",
	   src, src);
	settle();
	ok(!ingest(lib, "b", (struct ingest_opts){ 0 }, &r), "a folder of broken files is ingested");
	for (i = 1; i <= 50; i++) {
		char line[64];

		snprintf(line, sizeof(line), "3 good%d.txt\n", i);
		if (!has_entry(lib, r.snapshot, line))
			break;
	}
	ok(i == 51, "all 50 good files are in");
	ok(logged("skipped sparse.txt: too large"), "the sparse file is too large");
	ok(logged("listed fifo: a FIFO") && logged("listed loop: symbolic link"), "FIFO and link are listed");
	ok(logged("skipped t.pdf: ") && logged("skipped r.docx: ") && logged("skipped e.epub: "),
	   "broken containers are skipped, each with a reason");
	ok(logged("skipped z.zip: a damaged archive"), "so is the broken archive");
	ok(logged("taken empty.txt") && logged("taken oneline.txt") && logged("taken u16.txt"),
	   "an empty file, one line of 5 MB and UTF-16 are texts");
	ok(r.n_problem >= 6, "problems are counted (%d)", (int)r.n_problem);
	ok(!ingest(lib, "b", (struct ingest_opts){ 0 }, &r) && !r.changed, "a second run changes nothing");
	lib_close(lib);
}

static void test_archive(void)
{
	struct library *lib = open_lib();
	struct ingest_result r;

	sh("mkdir -p ar in/d && echo 'inside one' > in/d/one.txt && echo 'inside two' > in/two.txt &&"
	   "tar czf ar/s.tar.gz -C in . && echo out > ar/o.txt");
	settle();
	ok(!ingest(lib, "ar", (struct ingest_opts){ 0 }, &r) && r.n_text == 3 &&
	   has_entry(lib, r.snapshot, "3 s.tar.gz/d/one.txt\n") && has_entry(lib, r.snapshot, "1 s.tar.gz\n"),
	   "members of an archive are texts");
	ok(!ingest(lib, "ar", (struct ingest_opts){ 0 }, &r) && r.n_text == 0 && r.n_reused == 3 && !r.changed,
	   "an unchanged archive is not opened");
	sh("rm in/two.txt && echo 'inside three' > in/three.txt && tar czf ar/s.tar.gz -C in .");
	settle();
	ok(!ingest(lib, "ar", (struct ingest_opts){ 0 }, &r) && r.n_new_text == 1 &&
	   !has_entry(lib, r.snapshot, "two.txt") && has_entry(lib, r.snapshot, "3 s.tar.gz/three.txt\n"),
	   "a new archive replaces the members");
	sh("rm ar/s.tar.gz");
	ok(!ingest(lib, "ar", (struct ingest_opts){ 0 }, &r) && !has_entry(lib, r.snapshot, "s.tar.gz"),
	   "without it they are gone");
	lib_close(lib);
}

static int stop_after;

static void stop_item(void *ctx, const struct item *it, uint64_t n_text, uint64_t n_token, bool is_copy)
{
	on_item(ctx, it, n_text, n_token, is_copy);
	if (n_text && --stop_after == 0)
		stop_request();
}

static void test_interrupt(void)
{
	struct library *lib = open_lib();
	struct ingest_result r;
	char path[400];
	const char *root = path;
	struct ingest_opts o = { .roots = &root, .n_root = 1, .list_fd = -1, .name = "many", .kind = "dir",
				 .origin = path, .ctx = &told, .on_item = stop_item, .n_thread = 2 };
	uint64_t sum = 0;
	int rc, rounds = 0;

	snprintf(path, sizeof(path), "%s/many", work);
	sh("mkdir -p many && cd many && for i in $(seq 400); do echo \"word$i of many\" > f$i.txt; done");
	settle();
	do {
		stop_after = 150;
		rc = ingest_text(lib_catalog(lib), &o, &r, &e);
		stop_clear();
		sum += r.n_new_text;
	} while (rc == ERR_INTR && ++rounds < 20);
	ok(!rc && rounds > 0, "interrupted %d times, it comes to its end", rounds);
	ok(sum == 400, "and no text was stored twice or lost (%d)", (int)sum);
	ok(has_entry(lib, r.snapshot, "3 f399.txt\n") && hits(lib, "word400") == 1, "all are there");
	lib_close(lib);
}

/* Titles of a document's symbols, "A.f g". */
static void symbols_of(struct library *lib, int64_t document, struct buf *out)
{
	const struct cat_anchor *a;
	struct cat_map *m;
	size_t n;

	buf_clear(out);
	buf_adds(out, "");
	if (cat_map_open(&m, lib_catalog(lib), document, &e))
		return;
	a = cat_map_anchors(m, &n);
	for (size_t i = 0; i < n; i++)
		if (a[i].kind == ANCHOR_SYMBOL)
			buf_addf(out, "%s%s", i ? " " : "", a[i].title);
	cat_map_close(m);
}

static int64_t document_of(struct library *lib, int64_t snapshot, const char *path)
{
	struct entries l = { 0 };

	cat_entry(lib_catalog(lib), snapshot, path, strlen(path), list_entry, &l, &e);
	buf_release(&l.paths);
	return l.document;
}

static void stop_symbols(void *ctx, const struct ingest_progress *p)
{
	(void)ctx;
	if (p->phase == INGEST_SYMBOLS && p->files && --stop_after == 0)
		stop_request();
}

static void test_symbols(void)
{
	struct library *lib = open_lib();
	struct catalog *c = lib_catalog(lib);
	struct ingest_opts o = { .n_thread = 2 };
	struct ingest_symbols_result s;
	struct ingest_result r;
	struct buf names = { 0 };
	uint64_t left;
	int64_t mark;
	int rc;

	sh("mkdir -p sy && printf 'class A:\n    def f(self):\n        pass\n\ndef g():\n    pass\n' > sy/a.py &&"
	   "printf 'plain\n' > sy/p.txt && cd sy && for i in $(seq 40); do"
	   " echo \"int sy$i(void) { return $i; }\" > s$i.c; done");
	settle();
	ok(!ingest(lib, "sy", o, &r), "sources are ingested");
	symbols_of(lib, document_of(lib, r.snapshot, "a.py"), &names);
	ok(names.len == 0, "their text is there before their symbols");
	ok(!cat_anchored(c, &mark, &left, &e) && left > 0, "and how much is left is known");
	o.on_progress = stop_symbols;
	stop_after = 3;
	rc = ingest_symbols(c, &o, &s, &e);
	stop_clear();
	if (!rc && !s.n_document) {
		printf("# no ctags here\n");
		lib_close(lib);
		return;
	}
	ok(rc == ERR_INTR, "the pass can be interrupted");
	ok(!ingest_symbols(c, &o, &s, &e) && s.n_document >= 41, "and gone on with (%d files)",
	   (int)s.n_document);
	symbols_of(lib, document_of(lib, r.snapshot, "a.py"), &names);
	ok(!strcmp(names.data, "A A.f g"), "symbols are anchors: %s", names.data);
	symbols_of(lib, document_of(lib, r.snapshot, "s40.c"), &names);
	ok(!strcmp(names.data, "sy40"), "of every file: %s", names.data);
	ok(!ingest_symbols(c, &o, &s, &e) && !s.n_document, "a second pass finds nothing to do");
	sh("printf 'int fresh(void);\nint more(void) { return 1; }\n' > sy/s40.c");
	settle();
	ok(!ingest(lib, "sy", o, &r) && !ingest_symbols(c, &o, &s, &e) && s.n_document == 1,
	   "after an edit it looks at what is new");
	buf_release(&names);
	lib_close(lib);
}

static void test_notes(void)
{
	struct library *lib = open_lib();
	struct ingest_result r;

	sh("mkdir -p no && printf 'caf\\351 cr\\350me br\\373l\\351e\n' > no/latin.txt && echo plain > no/p.txt");
	settle();
	ok(!ingest(lib, "no", (struct ingest_opts){ 0 }, &r) && logged("taken latin.txt: ") &&
	   !logged("taken latin.txt: \n") && logged("taken p.txt: \n"),
	   "what extraction had to guess is told with the file");
	lib_close(lib);
}

static int count_bytes(void *ctx, const struct document *d, uint64_t *n, struct err *ce)
{
	(void)ctx, (void)ce;
	*n = d->text.len;
	return 0;
}

static int explain(void *ctx, const struct item *it, struct err *ee)
{
	(void)ee;
	buf_addf(ctx, "%s %s: %s", state_name(it->state), it->path, it->reason);
	return 0;
}

static void test_questions(void)
{
	struct ingest_result r;
	struct buf said = { 0 };
	char path[400];
	const char *root = path;
	struct ingest_opts o = { .roots = &root, .n_root = 1, .list_fd = -1, .n_thread = 2 };

	snprintf(path, sizeof(path), "%s/q", work);
	sh("mkdir -p q/sub && printf 12345 > q/a.txt && printf 12345 > q/b.txt && printf 123 > q/sub/c.txt &&"
	   "printf '\\0' > q/z && echo 'sub/' > q/.ignore");
	ok(!ingest_rehearse(&o, count_bytes, NULL, &r, &e) && r.n_text == 2 && r.n_token == 5 && r.n_listed == 1,
	   "a rehearsal counts, copies once (%d)", (int)r.n_token);
	ok(!ingest_explain(&o, "a.txt", explain, &said, &e) && !strcmp(said.data, "taken a.txt: "),
	   "a file that is taken");
	buf_clear(&said);
	ok(!ingest_explain(&o, "sub/c.txt", explain, &said, &e) &&
	   !strcmp(said.data, "out sub: ignored by .ignore:1: sub/"), "a file below an ignored folder");
	buf_clear(&said);
	ok(!ingest_explain(&o, "z", explain, &said, &e) && strstr(said.data, "listed z: binary"),
	   "a file that its content makes binary");
	ok(ingest_explain(&o, "none", explain, &said, &e) == ERR_NOTFOUND, "a file that is not there");
	buf_release(&said);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(work, sizeof(work), "%.150s/folio-ingest-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(work))
		skip_all("no folder for temporary files");
	test_incremental();
	test_broken();
	test_archive();
	test_interrupt();
	test_symbols();
	test_notes();
	test_questions();
	buf_release(&told.log);
	nftw(work, remove_one, 32, FTW_DEPTH | FTW_PHYS);
	return done();
}
