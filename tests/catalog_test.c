/* The catalog by its header: engines, sources, snapshots, documents, maps, spans, extents. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "cache/cat_int.h"
#include "cache/catalog.h"
#include "cache/library.h"
#include "check.h"
#include "libtemp.h"

static struct err e;

static struct library *open_lib(const char *name, unsigned flags)
{
	struct library *lib = NULL;

	if (lib_open(&lib, temp_path(name), flags, &e))
		printf("# lib_open: %s\n", e.msg);
	return lib;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

static void library_test(void)
{
	struct library *lib, *other;
	struct buf b = { 0 };
	uint64_t g;
	int n;

	ok(lib_open(&lib, temp_path("none"), 0, &e) == ERR_NOLIB, "a missing library is ERR_NOLIB");
	lib = open_lib("a", LIB_CREATE);
	ok(lib && lib_exists(temp_path("a")), "LIB_CREATE makes one");
	buf_adds(&b, temp_path("a"));
	buf_adds(&b, "/CACHEDIR.TAG");
	ok(!access(b.data, F_OK), "it carries CACHEDIR.TAG");
	ok(!access(temp_path("a/.gitignore"), F_OK), "it ignores itself in git");
	lib_close(lib);
	ok(access(temp_path("a/catalog.sqlite-wal"), F_OK) < 0, "closing leaves no journal behind");

	lib = open_lib("a", 0);
	other = open_lib("a", 0);
	ok(lib && other, "two may have it open");
	ok(!lib_lock_long(lib, "ingest", &e), "the long lock is had");
	ok(lib_lock_long(other, "prune", &e) == ERR_BUSY && strstr(e.msg, "folio ingest") &&
	   strstr(e.msg, "process"), "a second one is told who holds it: %s", e.msg);
	lib_unlock_long(lib);
	ok(!lib_lock_long(other, "prune", &e), "and has it once the first is done");
	lib_unlock_long(other);
	ok(!lib_lock_writer(lib, 0, &e) && lib_lock_writer(other, 20, &e) == ERR_BUSY,
	   "the writer's lock excludes");
	lib_unlock_writer(lib);

	ok(!lib_next_generation(lib, &g, &e) && g == 1, "a new generation begins");
	ok(!lib_readers_left(lib, 0, &n, &e) && n == 1, "the other reader is of the old one (8)");
	lib_close(other);
	ok(!lib_readers_left(lib, 0, &n, &e) && n == 0, "until it closes");
	other = open_lib("a", 0);
	ok(lib_generation(other) == 1 && !lib_readers_left(lib, 0, &n, &e) && n == 0,
	   "a later reader is of the new one");
	lib_close(other);
	lib_close(lib);

	write_text(temp_path("a/format"), "folio library 2\n");
	ok(lib_open(&lib, temp_path("a"), 0, &e) == ERR_NEWER, "a newer format is ERR_NEWER: %s",
	   e.msg);
	write_text(temp_path("a/format"), "folio library 1\n");
	mkdir(temp_path("full"), 0777);
	write_text(temp_path("full/x"), "x");
	ok(lib_open(&lib, temp_path("full"), LIB_CREATE, &e) == ERR_INVALID,
	   "a folder of other files is not filled: %s", e.msg);
	buf_release(&b);
}

static void newer_catalog_test(void)
{
	struct library *lib = open_lib("newer", LIB_CREATE);
	sqlite3 *db;

	lib_close(lib);
	/* Through the same VFS, so that the sums are right and the version alone is wrong. */
	sqlite3_open_v2(temp_path("newer/catalog.sqlite"), &db, SQLITE_OPEN_READWRITE, "folio-sum");
	sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL);
	sqlite3_close(db);
	ok(lib_open(&lib, temp_path("newer"), 0, &e) == ERR_NEWER,
	   "a newer catalog is ERR_NEWER: %s", e.msg);
}

static void trust_test(void)
{
	struct library *lib = open_lib("repo/.folio", LIB_CREATE);
	char cmd[PATH_MAX + 256];
	int version;

	ok(lib, "a library inside a folder that will be a repository");
	lib_close(lib);
	snprintf(cmd, sizeof(cmd), "cd '%s' && git init -q . && git add -f .folio/format",
		 temp_path("repo"));
	if (system("git --version >/dev/null 2>&1") || system(cmd)) {
		ok(1, "trust # SKIP git is not installed");
		return;
	}
	for (version = 2; version <= 4; version++) {
		snprintf(cmd, sizeof(cmd), "cd '%s' && echo x >.folders && git add -f .folders &&"
			 " git update-index --index-version %d", temp_path("repo"), version);
		ok(!system(cmd) && lib_open(&lib, temp_path("repo/.folio"), 0, &e) == ERR_INVALID &&
			   strstr(e.msg, "git"),
		   "one that git tracks is refused (index version %d)", version);
	}
	ok(!lib_open(&lib, temp_path("repo/.folio"), LIB_TRUST, &e), "unless it is trusted");
	lib_close(lib);
	snprintf(cmd, sizeof(cmd), "cd '%s' && git rm -q --cached .folio/format",
		 temp_path("repo"));
	ok(!system(cmd) && !lib_open(&lib, temp_path("repo/.folio"), 0, &e),
	   "one that lies in a repository untracked is fine");
	lib_close(lib);
	if (geteuid() == 0) {
		ok(!chown(temp_path("repo/.folio"), 12345, 12345) &&
		   lib_open(&lib, temp_path("repo/.folio"), 0, &e) == ERR_INVALID,
		   "one of another user is refused: %s", e.msg);
		ok(!chown(temp_path("repo/.folio"), 0, 0), "(given back)");
	}
}

static int count_entry(void *ctx, const struct cat_entry *en)
{
	(void)en;
	++*(int *)ctx;
	return 0;
}

static int see_text(void *ctx, const struct cat_entry *en, const char *text, size_t n)
{
	buf_addf(ctx, "%.*s=%.*s;", (int)en->path_n, en->path, (int)n, text);
	return 0;
}

static void snapshot_test(void)
{
	struct library *lib = open_lib("snap", LIB_CREATE);
	struct catalog *c = lib_catalog(lib);
	int64_t src, s1 = 0, s2 = 0, s3 = 0, id = 0, doc, again;
	struct cat_snapshot sn;
	struct buf b = { 0 };
	char hex[65];
	int n;

	ok(cat_put_source(c, "x", "dir", "/x", &src, &e) == ERR_INVALID,
	   "no write outside a batch");
	ok(!cat_begin(c, &e) && !cat_put_source(c, "x", "dir", "/x", &src, &e) &&
	   !cat_snapshot_begin(c, src, "", 0, &s1, &e), "a source and a snapshot begin");
	doc = temp_text(c, s1, "a.txt", "one\ntwo\n", &e);
	ok(doc > 0, "a text is put");
	again = temp_text(c, s1, "sub/b.txt", "one\ntwo\n", &e);
	ok(again == doc, "the same text twice is one document");
	ok(temp_text(c, s1, "sub/c.txt", "three", &e) > 0, "another one");
	ok(!cat_commit(c, &e), "committed");
	ok(!cat_snapshot_open(c, src, &id, &e) && id == s1, "the open snapshot is found again");
	ok(!cat_snapshot_find(c, "x", NULL, &id, &e) && id == s1, "and used while it is open");
	ok(!cat_texts(c, s1, see_text, &b, &e) &&
	   !strcmp(b.data, "a.txt=one\ntwo\n;sub/b.txt=one\ntwo\n;sub/c.txt=three;"),
	   "its texts come back in order of path");

	ok(!cat_begin(c, &e) && !cat_snapshot_finish(c, s1, &id, &e) && id == s1 &&
		   !cat_commit(c, &e),
	   "it is finished");
	ok(!cat_snapshot(c, s1, &sn, &e) && sn.complete, "and complete");
	id_hex(&sn.hash, hex);
	hex[6] = '\0';
	ok(!cat_snapshot_find(c, "x", hex, &id, &e) && id == s1, "found by six digits of its hash");
	ok(cat_snapshot_find(c, "x", "zzz", &id, &e) == ERR_NOTFOUND, "not by others");

	ok(!cat_begin(c, &e) && !cat_snapshot_begin(c, src, "", s1, &s2, &e) &&
	   !cat_snapshot_finish(c, s2, &id, &e) && id == s1 && !cat_commit(c, &e),
	   "an unchanged tree is the same snapshot");
	ok(!cat_begin(c, &e) && !cat_snapshot_begin(c, src, "", s1, &s2, &e) &&
		   !cat_del_entry(c, s2, "a.txt", 5, &e) && !cat_snapshot_finish(c, s2, &id, &e) &&
		   id == s2 && !cat_commit(c, &e),
	   "a deleted file makes a new one");
	n = 0;
	ok(!cat_entries(c, s2, count_entry, &n, &e) && n == 2, "which has the rest");
	n = 0;
	ok(!cat_entries(c, s1, count_entry, &n, &e) && n == 3, "while the old one keeps it");
	ok(!cat_begin(c, &e) && !cat_snapshot_begin(c, src, "", s1, &s3, &e) &&
	   !cat_snapshot_finish(c, s3, &id, &e) && id == s3 && !cat_commit(c, &e),
	   "going back is a new snapshot, so that the newest is what is there");
	ok(cat_entry(c, s2, "a.txt", 5, count_entry, &n, &e) == ERR_NOTFOUND,
	   "no entry: ERR_NOTFOUND");

	ok(!cat_begin(c, &e) && temp_text(c, s3, "lost", "lost", &e),
	   "a batch that is not committed");
	cat_rollback(c);
	ok(cat_entry(c, s3, "lost", 4, count_entry, &n, &e) == ERR_NOTFOUND, "leaves nothing (8)");
	ok(!cat_begin(c, &e) && !cat_del_source(c, src, &e) && !cat_commit(c, &e),
	   "a source is removed");
	n = 0;
	ok(!cat_entries(c, s1, count_entry, &n, &e) && n == 0, "with its snapshots and entries");
	buf_release(&b);
	lib_close(lib);
}

static void trusted_test(void)
{
	struct cat_stat was = {.size = 5,
			       .mtime_ns = 1000000000,
			       .ctime_ns = 1000000000,
			       .inode = 7,
			       .mode = 0644,
			       .seen_ns = 2000000000};
	struct cat_stat now = was;

	ok(cat_stat_trusted(&was, &now), "an old file that did not change is trusted");
	now.mtime_ns++;
	ok(!cat_stat_trusted(&was, &now), "a newer mtime is not");
	now = was;
	now.ctime_ns++;
	ok(!cat_stat_trusted(&was, &now), "a newer ctime is not");
	now = was;
	now.inode++;
	ok(!cat_stat_trusted(&was, &now), "another inode is not");
	now = was;
	was.seen_ns = was.mtime_ns + 5000000;
	ok(!cat_stat_trusted(&was, &now), "one read in the tick it was written in is not (racy)");
}

static void map_test(void)
{
	static const char text[] = "one\ntwo\n\nlast without end";
	struct cat_anchor a[] = {
		{ 0, 0, 1, 1, "page 1", NULL }, { 4, 24, 3, 0, "outer", "struct" },
		{ 8, 9, 3, 1, "inner", "field" }, { 9, 0, 1, 2, "page 2", NULL }
	};
	struct cat_text t = { text, sizeof(text) - 1, "pdf", a, 4 };
	struct library *lib = open_lib("map", LIB_CREATE);
	struct catalog *c = lib_catalog(lib);
	struct cat_document d;
	struct cat_blob *b;
	struct cat_map *m;
	uint64_t from, to;
	int64_t doc = 0;
	bool fresh;
	size_t n;

	ok(!cat_blob_new(&b, &t, &e) && !cat_begin(c, &e) &&
		   !cat_put_text(c, b, &doc, &fresh, &e) && fresh && !cat_commit(c, &e),
	   "a text with anchors is put");
	ok(!cat_document(c, doc, &d, &e) && d.n_byte == t.n && d.n_line == 4 &&
	   !memcmp(d.sha256, cat_blob_sha256(b), 32), "and described");
	cat_blob_free(b);
	ok(!cat_map_open(&m, c, doc, &e) && cat_map_lines(m) == 4, "its map has four lines");
	ok(cat_map_line(m, 0) == 1 && cat_map_line(m, 3) == 1 && cat_map_line(m, 4) == 2 &&
	   cat_map_line(m, 8) == 3 && cat_map_line(m, 9) == 4 && cat_map_line(m, 1000) == 4,
	   "bytes are on their lines (6)");
	ok(cat_map_range(m, 2, &from, &to) && from == 4 && to == 8 &&
		   cat_map_range(m, 4, &from, &to) && to == t.n &&
		   !cat_map_range(m, 5, &from, &to) && !cat_map_range(m, 0, &from, &to),
	   "lines are where they are");
	ok(!strcmp(cat_map_anchor(m, 3, 8)->title, "inner") &&
		   !strcmp(cat_map_anchor(m, 3, 9)->title, "outer") &&
		   cat_map_anchor(m, 3, 3) == NULL && cat_map_anchor(m, 1, 20)->number == 2 &&
		   cat_map_anchor(m, 1, 5)->number == 1,
	   "the innermost anchor around a byte is found");
	ok(cat_map_anchors(m, &n)[1].end == 24 && n == 4 &&
		   !strcmp(cat_map_anchors(m, &n)[2].detail, "field"),
	   "all anchors come back");
	cat_map_close(m);
	a[1].start = 30;
	ok(cat_blob_new(&b, &t, &e) == ERR_INVALID, "an anchor outside the text is refused");

	t = (struct cat_text){ "", 0, "text", NULL, 0 };
	ok(!cat_blob_new(&b, &t, &e) && !cat_begin(c, &e) && !cat_put_text(c, b, &doc, NULL, &e) &&
	   !cat_commit(c, &e) && !cat_map_open(&m, c, doc, &e) && cat_map_lines(m) == 0,
	   "an empty text has no line");
	cat_blob_free(b);
	cat_map_close(m);
	lib_close(lib);
}

static int last_doc(void *ctx, const struct cat_document *d, const char *path, size_t path_n)
{
	(void)path;
	*(int64_t *)ctx = path_n ? -1 : d->id;
	return 0;
}

static void anchor_test(void)
{
	static const char text[] = "one\ntwo\nthree\n";
	struct cat_anchor a[] = { { 0, 4, 4, 0, "f", "function()" }, { 4, 8, 4, 0, "g", "" } };
	struct cat_text t = { text, sizeof(text) - 1, "c", NULL, 0 };
	struct library *lib = open_lib("anchor", LIB_CREATE);
	struct catalog *c = lib_catalog(lib);
	int64_t doc = 0, mark = 1, seen = 0;
	struct cat_blob *b;
	struct cat_map *m;
	uint64_t left;
	size_t n;

	ok(!cat_blob_new(&b, &t, &e) && !cat_begin(c, &e) && !cat_put_text(c, b, &doc, NULL, &e) &&
	   !cat_commit(c, &e), "a text without anchors is put");
	cat_blob_free(b);
	ok(!cat_anchored(c, &mark, &left, &e) && mark == 0 && left == t.n, "the pass has not come by");
	ok(!cat_documents_after(c, mark, 10, last_doc, &seen, &e) && seen == doc,
	   "documents behind the mark are told, also one without a path");
	ok(cat_put_anchors(c, doc, a, 2, &e) == ERR_INVALID, "anchors are put in a batch");
	ok(!cat_begin(c, &e) && !cat_put_anchors(c, doc, a, 2, &e) && !cat_set_anchored(c, doc, &e) &&
	   !cat_commit(c, &e), "anchors are put later");
	ok(!cat_map_open(&m, c, doc, &e) && cat_map_lines(m) == 3 &&
	   !strcmp(cat_map_anchor(m, 4, 5)->title, "g"), "and are in the map, beside its lines");
	cat_map_close(m);
	seen = 0;
	ok(!cat_anchored(c, &mark, &left, &e) && mark == doc && left == 0 &&
	   !cat_documents_after(c, mark, 10, last_doc, &seen, &e) && !seen, "nothing is behind the mark");
	a[1].start = 30;
	ok(!cat_begin(c, &e) && cat_put_anchors(c, doc, a, 2, &e) == ERR_INVALID,
	   "an anchor outside the text is refused here too");
	cat_rollback(c);
	ok(!cat_begin(c, &e) && !cat_remake_map(c, doc, &e) && !cat_commit(c, &e) &&
	   !cat_anchored(c, &mark, NULL, &e) && mark == doc - 1, "a map made anew takes the mark back");
	ok(!cat_map_open(&m, c, doc, &e) && cat_map_lines(m) == 3 && (cat_map_anchors(m, &n), n == 0),
	   "since its anchors are gone");
	cat_map_close(m);
	lib_close(lib);
}

/* Spans and extents without data files: the catalog does not look at them. */
static struct cat_extent extent_of(struct id *page, uint32_t n_token, const char *what,
				   int64_t engine)
{
	struct cat_extent x = {.engine = engine,
			       .n_token = n_token,
			       .n_page = kv_page_count(n_token),
			       .page = page,
			       .type = KV_F16};

	for (uint32_t i = 0; i < x.n_page; i++) {
		char s[64];

		snprintf(s, sizeof(s), "%s %u", what, i);
		page[i] = id_of(s, strlen(s));
	}
	return x;
}

static int first_span(void *ctx, const struct cat_span *s)
{
	*(struct cat_span *)ctx = *s;
	return 7;
}

static void span_test(void)
{
	struct library *lib = open_lib("span", LIB_CREATE);
	struct catalog *c = lib_catalog(lib);
	int64_t src = 0, snap = 0, d1, d2, d3 = 0, en = 0, xa = 0, xb = 0, again = 0;
	struct id pa[3], pb[2], pre = id_of("preamble", 8), profile = id_of("p", 1);
	struct cat_extent a, b;
	struct cat_span s[2] = { 0 }, got;
	struct cat_mount *m;
	struct part_ref part = { .number = 1, .off = 4096, .bytes = 640 };
	struct cat_totals t;
	uint64_t missing, n_token, n_enc;
	uint32_t number, pgno;
	int64_t extent;
	bool fresh;
	size_t n;

	ok(!cat_begin(c, &e) && (en = temp_engine(c, "m1", &e)) &&
		   !cat_put_source(c, "x", "dir", "/x", &src, &e) &&
		   !cat_snapshot_begin(c, src, "", 0, &snap, &e),
	   "an engine");
	ok(temp_engine(c, "m1", &e) == en, "the same fingerprint is the same engine");
	d1 = temp_text(c, snap, "a", "aaaaaaaaaa", &e);
	d2 = temp_text(c, snap, "b", "bbbbbbbbbb", &e);
	a = extent_of(pa, 150, "a", en);
	b = extent_of(pb, 100, "b", en);
	s[0] = (struct cat_span){.after = pre, .last = pa[2], .start = 0, .end = 6, .n_token = 150};
	s[1] = (struct cat_span){
		.after = pre, .last = pb[1], .start = 6, .end = 10, .n_token = 100};
	ok(!cat_put_spans(c, d1, en, CAT_ISOLATED, s, 2, &e) &&
		   !cat_put_spans(c, d2, en, CAT_ISOLATED, s, 1, &e) && !cat_commit(c, &e),
	   "spans come before their pages");
	ok(!cat_coverage(c, d1, en, CAT_ISOLATED, &n_token, &n_enc, &e) && n_token == 250 &&
		   n_enc == 0,
	   "nothing is encoded yet");
	ok(!cat_new_segment(c, en, &number, &e) && number == 1, "the first segment is number 1");
	ok(!cat_begin(c, &e) && cat_put_extent(c, &a, &xa, &fresh, &e) == ERR_INVALID,
	   "an extent in a segment that nobody gave out is refused");
	cat_rollback(c);
	a.ref = (struct kv_ref){ .number = number, .off = 4096, .bytes = 8192, .sketch_off = 4096 };
	b.ref = (struct kv_ref){ .number = number, .off = 12288, .bytes = 8192, .sketch_off = 0 };
	ok(!cat_begin(c, &e) && !cat_put_extent(c, &a, &xa, &fresh, &e) && fresh &&
		   !cat_commit(c, &e),
	   "an extent is put");
	ok(!cat_coverage(c, d1, en, CAT_ISOLATED, &n_token, &n_enc, &e) && n_enc == 150 &&
	   !cat_coverage(c, d2, en, CAT_ISOLATED, &n_token, &n_enc, &e) && n_enc == 150,
	   "both documents' span is encoded by it");
	ok(!cat_begin(c, &e) && !cat_put_extent(c, &a, &again, &fresh, &e) && !fresh &&
		   again == xa && !cat_commit(c, &e),
	   "a second put of one identity keeps the first bytes (3)");
	ok(!cat_page_find(c, &pa[1], &extent, &pgno, &e) && extent == xa && pgno == 1 &&
		   !cat_extent_find(c, &pa[2], &extent, &e) && extent == xa &&
		   cat_page_find(c, &pb[0], &extent, &pgno, &e) == ERR_NOTFOUND,
	   "pages are found by identity");
	ok(!cat_mounts(c, en, CAT_ISOLATED, &snap, 1, NULL, 0, NULL, &m, &n, &missing, &e) &&
		   n == 1 && missing == 100 && m[0].extent == xa && m[0].document == d1 &&
		   m[0].ref.off == 4096 && m[0].part.number == 0,
	   "one extent is mounted once; what is missing is counted");
	free(m);
	ok(!cat_begin(c, &e) && !cat_put_extent(c, &b, &xb, NULL, &e) &&
		   !cat_put_part(c, xa, &profile, &part, &e) && !cat_commit(c, &e),
	   "the second one, and an index part");
	ok(!cat_mounts(c, en, CAT_ISOLATED, NULL, 0, NULL, 0, &profile, &m, &n, &missing, &e) &&
		   n == 2 && missing == 0 && id_cmp(&m[0].last, &m[1].last) < 0,
	   "mounts are in canonical order (7)");
	ok(m[m[0].extent == xa ? 0 : 1].part.bytes == 640,
	   "with the part of the profile asked for");
	free(m);
	ok(!cat_mounts(c, en, CAT_ISOLATED, NULL, 0, &d2, 1, NULL, &m, &n, NULL, &e) && n == 1 &&
	   m[0].document == d2, "or of some documents only");
	free(m);
	ok(!cat_totals(c, en, CAT_ISOLATED, &snap, 1, NULL, 0, &t, &e) && t.n_token == 250 && t.n_encoded == 250 &&
	   t.n_document == 2 && !t.n_uncut && t.bytes_cut == 20 && t.n_estimated == 250,
	   "totals count each span once");
	ok(!cat_begin(c, &e) && (d3 = temp_text(c, snap, "c", "cccccccccccccccccccc", &e)) && !cat_commit(c, &e) &&
	   !cat_totals(c, en, CAT_ISOLATED, &snap, 1, NULL, 0, &t, &e) && t.n_token == 250 && t.n_uncut == 1 &&
	   t.bytes_uncut == 20 && t.n_estimated == 500, "and estimate what is not cut yet by what is");
	ok(!cat_totals(c, en, CAT_ISOLATED, NULL, 0, &d3, 1, &t, &e) && t.n_token == 0 && t.n_estimated == 5 &&
	   t.n_document == 1, "or by four bytes a token where nothing is");
	ok(cat_spans(c, d1, en, CAT_ISOLATED, first_span, &got, &e) == 7 && got.extent == xa &&
	   id_eq(&got.last, &pa[2]) && got.end == 6, "a walk stops when told to, with its answer");
	ok(!cat_begin(c, &e) && !cat_del_extent(c, xa, &e) && !cat_commit(c, &e) &&
	   !cat_coverage(c, d1, en, CAT_ISOLATED, &n_token, &n_enc, &e) && n_enc == 100 &&
	   cat_page_find(c, &pa[1], &extent, &pgno, &e) == ERR_NOTFOUND,
	   "damage: a forgotten extent leaves its spans to be encoded again");
	lib_close(lib);
}

static void setting_test(void)
{
	struct library *lib = open_lib("set", LIB_CREATE);
	struct catalog *c = lib_catalog(lib);
	struct buf b = { 0 };

	ok(!cat_begin(c, &e) && !cat_set(c, 0, "k", "v1", 2, &e) &&
		   !cat_set(c, 0, "k", "v2", 2, &e) && !cat_commit(c, &e) &&
		   !cat_get(c, 0, "k", &b, &e) && b.len == 2 && !memcmp(b.data, "v2", 2),
	   "a setting is replaced");
	ok(cat_get(c, 1, "k", &b, &e) == ERR_NOTFOUND, "another engine's is another");
	ok(!cat_begin(c, &e) && !cat_unset(c, 0, "k", &e) && !cat_commit(c, &e) &&
	   cat_get(c, 0, "k", &b, &e) == ERR_NOTFOUND, "and removed");
	buf_release(&b);
	lib_close(lib);
}

static void commits_test(void)
{
	struct library *lib = open_lib("commits", LIB_CREATE);
	struct catalog *c = lib_catalog(lib);
	uint64_t n = 1000;
	int fd;

	ok(!cat_begin(c, &e) && !cat_set(c, 0, "k", "v", 1, &e) && !cat_commit(c, &e) &&
		   lib_commits(lib) == 1,
	   "commits are counted");
	lib_close(lib);
	lib = open_lib("commits", 0);
	ok(lib && lib_commits(lib) == 1, "and known after opening");
	lib_close(lib);
	fd = open(temp_path("commits/commits"), O_WRONLY);
	ok(fd >= 0 && pwrite(fd, &n, 8, 0) == 8, "(the file says more)");
	close(fd);
	ok(lib_open(&lib, temp_path("commits"), 0, &e) == ERR_CORRUPT,
	   "lost commits are noticed (4, 5): %s", e.msg);
	ok(!lib_open(&lib, temp_path("commits"), LIB_DAMAGED, &e), "and can be looked after");
	lib_close(lib);
}

/* Killed after its commits, a process leaves them in the journal alone. */
static void leave_journal(const char *name, int n)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct library *lib = open_lib(name, LIB_CREATE);
		struct catalog *c = lib_catalog(lib);

		for (int i = 0; i < n; i++)
			if (cat_begin(c, &e) || cat_set(c, 0, "n", &i, sizeof(i), &e) ||
			    cat_commit(c, &e))
				_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
}

static void journal_test(void)
{
	struct library *lib;
	struct stat st;
	char byte = 0x55;
	int fd;

	leave_journal("journal", 5);
	ok(!stat(temp_path("journal/catalog.sqlite-wal"), &st) && st.st_size > 0,
	   "a killed process leaves its commits in the journal");
	fd = open(temp_path("journal/catalog.sqlite-wal"), O_RDWR);
	ok(fd >= 0 && pwrite(fd, &byte, 1, st.st_size - 100) == 1, "(rot in its last page)");
	close(fd);
	ok(lib_open(&lib, temp_path("journal"), 0, &e) == ERR_CORRUPT &&
		   strstr(e.msg, "lost 1 commits"),
	   "which SQLite would drop without a word: %s", e.msg);
	leave_journal("journal2", 5);
	lib = open_lib("journal2", 0);
	ok(lib && lib_commits(lib) == 5, "a whole journal gives all commits back (8)");
	lib_close(lib);
	leave_journal("journal3", 5);
	ok(!unlink(temp_path("journal3/catalog.sqlite-wal")) &&
	   lib_open(&lib, temp_path("journal3"), 0, &e) == ERR_CORRUPT && strstr(e.msg, "lost 5"),
	   "a journal that was removed is missed: %s", e.msg);
	ok(!truncate(temp_path("journal3/catalog.sqlite"), 0) &&
	   lib_open(&lib, temp_path("journal3"), 0, &e) == ERR_CORRUPT,
	   "so is an emptied catalog: %s", e.msg);
	ok(!lib_open(&lib, temp_path("journal3"), LIB_MEND, &e) && lib_commits_lost(lib) == 5,
	   "which repair begins anew");
	lib_close(lib);
}

int main(void)
{
	temp_make();
	library_test();
	newer_catalog_test();
	trust_test();
	snapshot_test();
	trusted_test();
	map_test();
	anchor_test();
	span_test();
	setting_test();
	commits_test();
	journal_test();
	return done();
}
