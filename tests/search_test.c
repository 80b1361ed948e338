/* Full text: ranking, marks, candidates that never leave a document out, deletion. */
#include "config.h"

#include "base/buf.h"
#include "cache/cat_int.h"
#include "cache/search.h"
#include "check.h"
#include "libtemp.h"

static struct err e;

static int see_hit(void *ctx, const struct search_hit *h)
{
	buf_addf(ctx, "%lld[%llu,%llu)", (long long)h->document, (unsigned long long)h->start,
		 (unsigned long long)h->end);
	for (size_t i = 0; i < h->n_mark; i++)
		buf_addf(ctx, " %llu-%llu", (unsigned long long)h->mark[i].start,
			 (unsigned long long)h->mark[i].end);
	buf_addc(ctx, ';');
	return 0;
}

/* The hits of a query as text; "" for none. */
static const char *hits(struct catalog *c, const char *query, const int64_t *snap, size_t n,
			size_t k)
{
	static struct buf b;

	buf_clear(&b);
	buf_adds(&b, "");
	if (search_words(c, query, snap, n, k, see_hit, &b, &e))
		return e.msg;
	return b.data ? b.data : "";
}

static const char *query_of(const char *text)
{
	static struct buf b;

	buf_clear(&b);
	return search_query_of(text, strlen(text), &b, &e) ? "" : b.data;
}

static size_t n_candidates(struct catalog *c, const char *lit, bool fold)
{
	struct search_literal l = { lit, strlen(lit) };
	int64_t *doc;
	size_t n;

	if (search_candidates(c, &l, 1, fold, NULL, 0, &doc, &n, &e))
		return 9999;
	free(doc);
	return n;
}

static void query_test(void)
{
	ok(!strcmp(query_of("where is wal_checkpoint?"), "\"where\" OR \"is\" OR \"wal_checkpoint\""
		   " OR \"wal\" OR \"checkpoint\""), "words of a question, a name in parts: %s",
	   query_of("where is wal_checkpoint?"));
	ok(!strcmp(query_of("HTTPServer"), "\"HTTPServer\" OR \"HTTP\" OR \"Server\""),
	   "camel case too: %s", query_of("HTTPServer"));
	ok(!strcmp(query_of("a \"b\" NEAR(c)"), "\"a\" OR \"b\" OR \"NEAR\" OR \"c\""),
	   "nothing in a question is syntax");
	ok(!*query_of("?!__") && e.code == ERR_NOTFOUND, "no word: ERR_NOTFOUND");
	ok(!strcmp(query_of("\xff na\xc3\xafve"), "\"na\xc3\xafve\""),
	   "bytes that are no text are left out");
}

static void words_test(void)
{
	struct library *lib;
	struct catalog *c;
	int64_t src, snap[2], d[4];
	uint64_t left;

	lib_open(&lib, temp_path("w"), LIB_CREATE, &e);
	c = lib_catalog(lib);
	cat_begin(c, &e);
	cat_put_source(c, "x", "dir", "/x", &src, &e);
	cat_snapshot_begin(c, src, "", 0, &snap[0], &e);
	d[0] = temp_text(c, snap[0], "a", "the wal_checkpoint function\nis here\n", &e);
	d[1] = temp_text(c, snap[0], "b", "checkpoint checkpoint checkpoint\n", &e);
	cat_snapshot_begin(c, src, "", 0, &snap[1], &e);
	d[2] = temp_text(c, snap[1], "c", "another checkpoint and \xc3\x9c" "bermut\n", &e);
	ok(!cat_commit(c, &e) && d[0] == 1 && d[1] == 2 && d[2] == 3, "three texts");
	ok(!strcmp(hits(c, "wal", NULL, 0, 9), "1[0,36) 4-7;"),
	   "a word is found with its bytes: %s", hits(c, "wal", NULL, 0, 9));
	ok(!strcmp(hits(c, "\"wal checkpoint\"", NULL, 0, 9), "1[0,36) 4-18;"),
	   "a phrase is one mark");
	ok(!strncmp(hits(c, "checkpoint", snap, 2, 9), "2[0,33) 0-10 11-21 22-32;", 25),
	   "the densest comes first: %s", hits(c, "checkpoint", snap, 2, 9));
	ok(!strcmp(hits(c, "checkpoint", snap + 1, 1, 9), "3[0,32) 8-18;"),
	   "only of the snapshots asked for: %s", hits(c, "checkpoint", snap + 1, 1, 9));
	ok(!strcmp(hits(c, "checkpoint", NULL, 0, 1), "2[0,33) 0-10 11-21 22-32;"), "at most k");
	ok(!strcmp(hits(c, "ubermut", NULL, 0, 1), "3[0,32) 23-31;"),
	   "diacritics fold, marks stay on bytes: %s", hits(c, "ubermut", NULL, 0, 1));
	ok(!*hits(c, "nothing", NULL, 0, 9), "no match, no hit");
	ok(search_words(c, "\"unclosed", NULL, 0, 3, see_hit, NULL, &e) == ERR_INVALID,
	   "bad syntax is the caller's: %s", e.msg);

	ok(n_candidates(c, "checkpoint", false) == 3 && n_candidates(c, "zzz", false) == 3,
	   "before the trigram index is filled, everything is a candidate");
	ok(!search_fill(c, 1, &left, &e) && left > 0, "it fills in bounded steps");
	ok(n_candidates(c, "zzz", false) == 2, "and narrows what it has reached");
	ok(!search_fill(c, 1 << 20, &left, &e) && left == 0, "until it is full");
	ok(n_candidates(c, "zzz", false) == 0 && n_candidates(c, "l_check", false) == 1 &&
	   n_candidates(c, "L_CHECK", true) == 1 && n_candidates(c, "point", false) == 3 &&
	   n_candidates(c, "zz", false) == 3 && n_candidates(c, "\xff\xfe\xfd", false) == 3 &&
	   n_candidates(c, "he\nis", false) == 0 && n_candidates(c, "on\nis h", false) == 1,
	   "literals narrow; short ones and broken ones do not");
	ok(n_candidates(c, "\xc3\x9c" "berm", false) == 1, "characters above ASCII count as one");

	ok(!cat_begin(c, &e) && !cat_del_snapshot(c, snap[0], &e) &&
		   !cat_del_document(c, d[1], &e) && !cat_commit(c, &e),
	   "a document goes");
	ok(!strcmp(hits(c, "checkpoint", NULL, 0, 9), "3[0,32) 8-18;1[0,36) 8-18;") ||
	   !strcmp(hits(c, "checkpoint", NULL, 0, 9), "1[0,36) 8-18;3[0,32) 8-18;"),
	   "and is found no more: %s", hits(c, "checkpoint", NULL, 0, 9));
	ok(n_candidates(c, "checkpoint", false) == 2, "nor a candidate");
	ok(!cat_exec(c, "INSERT INTO words(words) VALUES('integrity-check')", &e) &&
	   !cat_exec(c, "INSERT INTO trigram(trigram) VALUES('integrity-check')", &e),
	   "both indexes are sound");
	ok(!cat_begin(c, &e) && !search_rebuild(c, &e) && !cat_commit(c, &e),
	   "they are made again");
	ok(!strcmp(hits(c, "wal", NULL, 0, 9), "1[0,36) 4-7;"), "from the text alone");
	lib_close(lib);
}

/* Property: whatever text, whatever literal cut out of it, the document stays a candidate. */
static void never_left_out_test(void)
{
	static const char *const alphabet[] = {
		"a", "B",  "k",  "S",        "\xc5\xbf",         "\xe2\x84\xaa",
		"_", "\"", "\n", "\xc3\xa9", "\xf0\x9f\x98\x80", " ",
		"1", "'"};
	struct library *lib;
	struct catalog *c;
	int64_t src, snap;
	uint64_t left;
	unsigned seed = 1;
	char text[60][512];
	int lost = 0, tried = 0;

	lib_open(&lib, temp_path("n"), LIB_CREATE, &e);
	c = lib_catalog(lib);
	cat_begin(c, &e);
	cat_put_source(c, "x", "dir", "/x", &src, &e);
	cat_snapshot_begin(c, src, "", 0, &snap, &e);
	for (int i = 0; i < 60; i++) {
		char path[16];

		*text[i] = '\0';
		for (int j = 0; j < 80; j++)
			strcat(text[i], alphabet[rand_r(&seed) % 14]);
		snprintf(path, sizeof(path), "%d", i);
		temp_text(c, snap, path, text[i], &e);
	}
	cat_commit(c, &e);
	search_fill(c, UINT64_MAX, &left, &e);
	for (int i = 0; i < 60; i++)
		for (int j = 0; j < 40; j++) {
			size_t n = strlen(text[i]), at = (size_t)rand_r(&seed) % n;
			size_t len = 1 + (size_t)rand_r(&seed) % 12;
			struct search_literal l = { text[i] + at, at + len > n ? n - at : len };
			int64_t *doc;
			size_t n_doc;
			bool found = false;
			bool fold = j & 1;

			if (search_candidates(c, &l, 1, fold, NULL, 0, &doc, &n_doc, &e))
				break;
			for (size_t k = 0; k < n_doc; k++)
				found |= doc[k] == i + 1;
			free(doc);
			tried++;
			lost += !found;
		}
	ok(tried == 2400 && !lost, "%d literals cut out of texts at any byte: %d left out", tried,
	   lost);
	lib_close(lib);
}

static void pieces_test(void)
{
	struct library *lib;
	struct catalog *c;
	struct buf b = { 0 };
	int64_t src, snap, bad, doc;

	lib_open(&lib, temp_path("p"), LIB_CREATE, &e);
	c = lib_catalog(lib);
	for (int i = 0; i < 4000; i++)
		buf_addf(&b, "line %d with some words\n", i);
	for (int i = 0; i < 20000; i++)
		buf_adds(&b, "\xc3\xa9");
	cat_begin(c, &e);
	cat_put_source(c, "x", "dir", "/x", &src, &e);
	cat_snapshot_begin(c, src, "", 0, &snap, &e);
	doc = temp_text(c, snap, "a", b.data, &e);
	ok(!cat_commit(c, &e), "a long text, its end one long line");
	ok(!cat_int(c, &bad, &e,
		    "SELECT count(*) FROM piece p WHERE document = ?1 AND (end - start > 6144 OR"
		    " (start > 0 AND NOT EXISTS (SELECT 1 FROM piece q WHERE q.document = "
		    "p.document AND"
		    " q.end = p.start)))",
		    "i", doc) &&
		   bad == 0,
	   "pieces are bounded and leave no gap");
	ok(!strncmp(hits(c, "\"line 3999\"", NULL, 0, 2), "1[", 2), "the last line is found");
	ok(!cat_begin(c, &e) && !cat_del_snapshot(c, snap, &e) && !cat_del_document(c, doc, &e) &&
		   !cat_commit(c, &e) && !*hits(c, "line", NULL, 0, 2) &&
		   !cat_exec(c, "INSERT INTO words(words) VALUES('integrity-check')", &e),
	   "and taken out again");
	buf_release(&b);
	lib_close(lib);
}

int main(void)
{
	temp_make();
	query_test();
	words_test();
	never_left_out_test();
	pieces_test();
	return done();
}
