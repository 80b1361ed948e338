/* A stranger's catalog: whatever its rows say, readers answer or refuse, and end.
 *
 * The first byte says what the rest is:
 *
 *   0, 1   patches of a small catalog with everything in it, 4 bytes each: offset (u24) and value.
 *          Page sums are made right again, so that SQLite and the readers see them.  1: repaired too
 *   2      packed lines and anchors of a document, with the right sum: u16 length of lines, lines,
 *          anchors
 *   3      the index of a git repository
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>

#include "base/file.h"
#include "cache/care.h"
#include "cache/gitindex.h"
#include "cache/sumvfs.h"
#include "tests/libfill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct buf  catalog;	/* the template */
static const char *dir;

static void must(int rc, const struct err *e)
{
	if (rc) {
		fprintf(stderr, "catalog_fuzz: %s\n", e->msg);
		abort();
	}
}

static void make_template(void)
{
	static char path[PATH_MAX];
	struct cat_anchor anchor[2] = { { 0, 9, 1, 1, "one", "two" }, { 4, 0, 2, 7, "three", "" } };
	struct cat_text t = { "line one\nline two\n", 18, "text", anchor, 2 };
	struct err e = { 0 };
	struct cat_blob *b;
	struct fill f;
	uint64_t left;
	int64_t doc;

	temp_make();
	snprintf(path, sizeof(path), "%s", temp_path("lib"));
	dir = path;
	must(fill_open(&f, dir, &e), &e);
	must(fill_document(&f, 1, "a", 100, &e) || fill_document(&f, 2, "b", 70, &e), &e);
	must(fill_turn(&f, &e) || fill_turn(&f, &e), &e);
	must(cat_blob_new(&b, &t, &e) || cat_begin(f.c, &e) || cat_put_text(f.c, b, &doc, NULL, &e) ||
		     cat_set(f.c, 0, "key", "value", 5, &e) || cat_commit(f.c, &e), &e);
	cat_blob_free(b);
	must(search_fill(f.c, UINT64_MAX, &left, &e), &e);
	fill_close(&f);
	must(file_read(&catalog, temp_path("lib/catalog.sqlite"), 1u << 24, &e), &e);
}

static void put_catalog(const char *bytes, size_t n)
{
	int fd = open(temp_path("lib/catalog.sqlite"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
	uint64_t none = 0;

	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		abort();
	close(fd);
	unlink(temp_path("lib/catalog.sqlite-wal"));
	unlink(temp_path("lib/catalog.sqlite-shm"));
	fd = open(temp_path("lib/commits"), O_WRONLY);
	if (fd < 0 || write(fd, &none, 8) != 8)
		abort();
	close(fd);
}

/* ---- Readers ---------------------------------------------------------------------------------- */

static int one_text(void *ctx, const struct cat_entry *en, const char *text, size_t n)
{
	*(size_t *)ctx += en->path_n + n + (n ? (size_t)text[n - 1] : 0);
	return 0;
}

static int one_turn(void *ctx, const struct sess_turn *t)
{
	*(size_t *)ctx += strlen(t->question) + strlen(t->answer) + t->n_token;
	return 0;
}

static int one_session(void *ctx, const struct session *s)
{
	*(int64_t *)ctx = s->id;
	return 0;
}

static int one_extent(void *ctx, const struct cat_extent *x)
{
	*(size_t *)ctx += x->page[x->n_page - 1].b[0];
	return 0;
}

static int one_hit(void *ctx, const struct search_hit *h)
{
	for (size_t i = 0; i < h->n_mark; i++)
		*(size_t *)ctx += h->mark[i].end;
	return 0;
}

static int one_engine(void *ctx, const struct cat_engine *en)
{
	*(size_t *)ctx += strlen(en->name);
	return 0;
}

static void read_map(struct catalog *c, int64_t doc, size_t *sum)
{
	struct cat_map *m;
	uint64_t a, b;

	if (cat_map_open(&m, c, doc, NULL))
		return;
	for (uint64_t i = 0; i < cat_map_lines(m) + 2; i++)
		if (cat_map_range(m, i, &a, &b))
			*sum += (size_t)(b - a) + cat_map_line(m, a);
	for (uint32_t k = 0; k < 4; k++) {
		const struct cat_anchor *x = cat_map_anchor(m, k, 5);

		*sum += x ? strlen(x->title) + strlen(x->detail) : 0;
	}
	cat_map_close(m);
}

static void read_all(struct library *lib)
{
	struct search_literal lit = { "line", 4 };
	struct catalog *c = lib_catalog(lib);
	struct id profile = id_of("profile", 7);
	struct sess_tail *tail;
	struct cat_mount *m;
	struct care_stats st;
	struct buf b = { 0 };
	int64_t id = 0, *doc, *pin;
	size_t sum = 0, n;
	uint64_t missing;

	cat_engines(c, one_engine, &sum, NULL);
	if (!cat_snapshot_find(c, "src", NULL, &id, NULL))
		cat_texts(c, id, one_text, &sum, NULL);
	cat_get(c, 0, "key", &b, NULL);
	for (int64_t d = 1; d < 5; d++) {
		read_map(c, d, &sum);
		buf_clear(&b);
		cat_text(c, d, &b, NULL);
	}
	if (!cat_mounts(c, 1, CAT_ISOLATED, NULL, 0, NULL, 0, &profile, &m, &n, &missing, NULL))
		free(m);
	cat_extents(c, one_extent, &sum, NULL);
	search_words(c, "line OR document", NULL, 0, 5, one_hit, &sum, NULL);
	if (!search_candidates(c, &lit, 1, true, NULL, 0, &doc, &n, NULL))
		free(doc);
	id = 0;
	sess_each(c, one_session, &id, NULL);
	sess_turns(c, id, one_turn, &sum, NULL);
	if (!sess_pins(c, id, &pin, &n, NULL))
		free(pin);
	if (!sess_tail(c, id, &tail, &n, NULL)) {
		for (size_t i = 0; i < n; i++) {
			buf_clear(&b);
			if (tail[i].far_n < 1 << 24)
				sess_tail_read(lib, &tail[i], false, &b, NULL);
		}
		free(tail);
	}
	care_stats(lib, &st, NULL);
	buf_release(&b);
}

/* ---- Inputs ----------------------------------------------------------------------------------- */

static void patches(const uint8_t *data, size_t n, bool repair)
{
	char *bytes = malloc(catalog.len);
	struct care_verified v;
	struct care_repaired r;
	struct care_pruned p;
	struct library *lib;

	memcpy(bytes, catalog.data, catalog.len);
	for (size_t i = 0; i + 4 <= n && i < 1024; i += 4) {
		size_t at = ((size_t)data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16) %
			    catalog.len;
		size_t page = at / SUMVFS_PAGE;

		bytes[at] = (char)data[i + 3];
		sumvfs_seal((uint8_t *)bytes + page * SUMVFS_PAGE, (uint32_t)page + 1);
	}
	put_catalog(bytes, catalog.len);
	free(bytes);
	if (!lib_open(&lib, dir, repair ? LIB_MEND : LIB_DAMAGED, NULL)) {
		read_all(lib);
		care_verify(lib, 1, 0, NULL, &v, NULL);
		if (repair && !care_repair(lib, NULL, &r, NULL))
			read_all(lib);
		lib_close(lib);
	}
	if (repair && !lib_open(&lib, dir, 0, NULL)) {
		care_prune(lib, true, NULL, &p, NULL);
		lib_close(lib);
	}
}

static void map(const uint8_t *data, size_t n)
{
	struct library *lib;
	sqlite3_stmt *st;
	sqlite3 *db;
	size_t lines_n, sum = 0;

	if (n < 2)
		return;
	lines_n = (size_t)data[0] | (size_t)data[1] << 8;
	data += 2;
	n -= 2;
	lines_n = lines_n < n ? lines_n : n;
	put_catalog(catalog.data, catalog.len);
	if (sqlite3_open_v2(temp_path("lib/catalog.sqlite"), &db, SQLITE_OPEN_READWRITE, SUMVFS_NAME) ==
	    SQLITE_OK) {
		struct sum128 s[2] = { sum128_of(data, lines_n), sum128_of(data + lines_n, n - lines_n) };
		uint64_t all[6] = { lines_n, s[0].lo, s[0].hi, n - lines_n, s[1].lo, s[1].hi };
		struct sum128 sealed = sum128_of(all, sizeof(all));

		sqlite3_prepare_v2(db, "UPDATE map SET lines = ?1, anchors = ?2, sum = ?3 WHERE document = 3",
				   -1, &st, NULL);
		sqlite3_bind_blob(st, 1, data, (int)lines_n, SQLITE_STATIC);
		sqlite3_bind_blob(st, 2, data + lines_n, (int)(n - lines_n), SQLITE_STATIC);
		sqlite3_bind_blob(st, 3, &sealed, sizeof(sealed), SQLITE_STATIC);
		sqlite3_step(st);
		sqlite3_finalize(st);
	}
	sqlite3_close(db);
	if (!lib_open(&lib, dir, 0, NULL)) {
		read_map(lib_catalog(lib), 3, &sum);
		lib_close(lib);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (!catalog.len)
		make_template();
	if (!n)
		return 0;
	if (data[0] < 2)
		patches(data + 1, n - 1, data[0]);
	else if (data[0] == 2)
		map(data + 1, n - 1);
	else
		gitindex_has(data + 1, n - 1, "a/.folio", 8);
	return 0;
}
