#include "config.h"

#include "cache/care.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cache/care_int.h"
#include "cache/derive.h"
#include "cache/extent.h"
#include "cache/search.h"
#include "cache/sess_int.h"

struct repair {
	struct care  k;
	struct care_repaired *out;
	bool         words_stale;	/* a text went without its full-text rows */
	struct kv_writer *writer;	/* made when something has to move */
	int64_t      engine;
};

static int finish(struct repair *r, int rc, struct err *e)
{
	if (!rc)
		rc = cat_commit(r->k.c, e);
	cat_rollback(r->k.c);
	return rc;
}

/* ---- The catalog ----------------------------------------------------------------------------- */

static int alone(struct library *lib, struct err *e)
{
	int n, rc = lib_readers_left(lib, lib_generation(lib) + 1, &n, e);

	if (!rc && n) {
		rc = err_set(
			e, ERR_BUSY,
			"the catalog must be rewritten, and another process has the library open");
		err_hint(e, rc,
			 "end other folio commands and servers, then run `folio repair` again");
	}
	return rc;
}

static int mend_catalog(struct repair *r, struct err *e)
{
	struct care *k = &r->k;
	char *path = path_join(lib_dir(k->lib), "catalog.repaired.sqlite");
	uint64_t before = k->n_damage;
	int rc;

	if (!path)
		return err_nomem(e);
	if (!access(path, F_OK)) {	/* finished by a repair that did not come to the swap */
		rc = alone(k->lib, e);
		if (!rc)
			rc = lib_swap_catalog(k->lib, path, e);
		k->c = lib_catalog(k->lib);
		if (rc) {
			free(path);
			return rc;
		}
	}
	rc = care_check_catalog(k, e);
	if (!rc && k->n_damage > before) {
		rc = alone(k->lib, e);
		if (!rc)
			rc = lib_lock_writer(k->lib, 30000, e);
		if (!rc) {
			rc = care_salvage(k, path, e);
			if (!rc)
				rc = lib_swap_catalog(k->lib, path, e);
			k->c = lib_catalog(k->lib);
			lib_unlock_writer(k->lib);
		}
	}
	free(path);
	return rc;
}

/* ---- Texts and maps -------------------------------------------------------------------------- */

/* Its full-text rows cannot be taken out without the text: the indexes are made again at the end.
 */
static int drop_text(struct repair *r, int64_t document, struct err *e)
{
	struct catalog *c = r->k.c;
	int rc = cat_begin(c, e);

	if (!rc)
		rc = cat_run(
			c, e,
			"UPDATE entry SET state = 2, document = NULL, reason = ?2, seen = 0 WHERE"
			" document = ?1",
			"it", document, CARE_TEXT_LOST);
	if (!rc)
		rc = cat_run(c, e, "DELETE FROM document WHERE id = ?1", "i", document);
	r->words_stale = true;
	r->out->documents_lost++;
	return finish(r, rc, e);
}

static int mend_texts(struct repair *r, struct err *e)
{
	struct buf path = { 0 };
	int64_t *doc;
	size_t n;
	int rc = care_ids(r->k.c, "SELECT id FROM document ORDER BY id", 0, &doc, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		buf_clear(&path);
		rc = care_check_text(&r->k, doc[i], e);
		if (rc == ERR_CORRUPT) {
			care_path_of_document(&r->k, doc[i], &path);
			rc = care_report(&r->k, "text", path.data ? path.data : "?", 0, false, "%s",
					 e->msg);
			if (!rc)
				rc = drop_text(r, doc[i], e);
			continue;
		}
		if (!rc)
			rc = care_check_map(&r->k, doc[i], e);
		if (rc == ERR_CORRUPT) {
			care_path_of_document(&r->k, doc[i], &path);
			rc = care_report(&r->k, "map", path.data ? path.data : "?", 0, false,
					 "anchors are lost, lines were counted again");
			if (!rc)
				rc = cat_begin(r->k.c, e);
			if (!rc)
				rc = finish(r, cat_remake_map(r->k.c, doc[i], e), e);
		}
		if (!rc && !(i & 63))
			rc = care_progress(&r->k, "texts", i, n);
	}
	free(doc);
	buf_release(&path);
	return rc;
}

static int mend_words(struct repair *r, struct err *e)
{
	struct catalog *c = r->k.c;
	uint64_t left = 1;
	int rc = 0;

	if (!r->words_stale) {
		static const char *const check[] = {
			"INSERT INTO words(words) VALUES('integrity-check')",
			"INSERT INTO trigram(trigram) VALUES('integrity-check')"
		};

		for (int i = 0; i < 2 && !rc; i++)
			if (cat_exec(c, check[i], NULL)) {
				r->words_stale = true;
				rc = care_report(&r->k, i ? "trigram" : "words", "full-text index",
						 0, true, "the index contradicts itself");
			}
	}
	if (rc || !r->words_stale)
		return rc;
	rc = cat_begin(c, e);
	if (!rc)
		rc = finish(r, search_rebuild(c, e), e);
	while (!rc && left) {
		rc = search_fill(c, 8 << 20, &left, e);
		if (!rc)
			rc = care_progress(&r->k, "full text", 0, left);
	}
	return rc;
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static int new_number(void *ctx, uint32_t *number, struct err *e)
{
	struct repair *r = ctx;

	return cat_new_segment(r->k.c, r->engine, number, e);
}

/* Whole pages with a bad or missing sketch, or in a file with a bad head: both go to a new place,
 * the sketch made again; the old bytes die. */
static int relocate(struct repair *r, const struct cat_extent *x, bool sketched, struct err *e)
{
	const struct derive want = { .sketches = true };
	struct derived d = { 0 };
	struct kv_ref ref;
	void *image;
	int rc = care_read_extent(&r->k, &x->ref, &image, e);

	if (rc)
		return rc;
	if (x->ref.sketch_off || sketched)
		rc = derive_make(&want, image, x->ref.bytes, &d, e);
	if (r->writer && r->engine != x->engine) {	/* a file holds pages of one engine */
		kv_writer_free(r->writer);
		r->writer = NULL;
	}
	r->engine = x->engine;
	if (!rc && !r->writer)
		rc = kv_writer_new(&r->writer, r->k.store, 0, new_number, r, e);
	if (!rc)
		rc = kv_writer_add(r->writer, image, x->ref.bytes, d.sketch, d.sketch_n,
				   &ref, e);
	if (!rc)
		rc = kv_writer_sync(r->writer, e);
	if (!rc)
		rc = cat_begin(r->k.c, e);
	if (!rc)
		rc = finish(r,
			    cat_run(r->k.c, e,
				    "UPDATE extent SET segment = ?2, offset = ?3, sketch = ?4"
				    " WHERE id = ?1",
				    "iiii", x->id, (int64_t)ref.number, (int64_t)ref.off,
				    (int64_t)ref.sketch_off),
			    e);
	free(image);
	derive_drop(&d);
	return rc;
}

struct one_extent {
	struct cat_extent x;
	struct id last;
};

static int keep_extent(void *ctx, const struct cat_extent *x)
{
	struct one_extent *o = ctx;

	o->x = *x;
	o->last = x->page[x->n_page - 1];
	return 0;
}

static int mend_extent(struct repair *r, int64_t id, struct err *e)
{
	struct buf path = { 0 };
	struct one_extent o;
	bool pages_good = false, sketched = false;
	int rc = cat_extent(r->k.c, id, keep_extent, &o, e);

	if (!rc)
		rc = care_check_extent(&r->k, &o.x, &o.last, e);
	if (!rc) {
		pages_good = true;
		rc = care_wants_sketch(&r->k, o.x.engine, &sketched, e);
		if (!rc)
			rc = care_check_heads(&r->k, &o.x.ref, e);
		if (!rc)
			rc = care_check_sketch(&r->k, &o.x, &o.last, sketched, e);
	}
	if (rc != ERR_CORRUPT)
		return rc;
	care_path_of_extent(&r->k, id, &path);
	rc = care_report(&r->k, pages_good ? "summary" : "pages", path.data ? path.data : "?",
			 o.x.n_token, true, "%s", e->msg);
	buf_release(&path);
	if (!rc && pages_good)
		return relocate(r, &o.x, sketched, e);
	if (!rc)
		rc = cat_begin(r->k.c, e);
	if (!rc) {
		r->out->tokens_to_encode += o.x.n_token;
		rc = finish(r, cat_del_extent(r->k.c, id, e), e);
	}
	return rc;
}

static int mend_extents(struct repair *r, struct err *e)
{
	int64_t *id;
	size_t n;
	int rc = care_ids(r->k.c, "SELECT id FROM extent ORDER BY segment, offset", 0, &id, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = mend_extent(r, id[i], e);
		if (!rc && !(i & 15))
			rc = care_progress(&r->k, "pages", i, n);
	}
	free(id);
	return rc;
}

static int keep_engine(void *ctx, const struct cat_engine *en)
{
	buf_add(ctx, &en->id, sizeof(en->id));
	return 0;
}

/* What is missing of the span index, whether damage took it or a stopped calibration. */
static int fill_parts(struct repair *r, struct err *e)
{
	struct buf id = { 0 };
	int rc = cat_engines(r->k.c, keep_engine, &id, e);

	if (!rc && id.failed)
		rc = err_nomem(e);
	for (size_t at = 0; at < id.len && !rc; at += sizeof(int64_t)) {
		int64_t engine;

		memcpy(&engine, id.data + at, sizeof(engine));
		rc = derive_fill(r->k.lib, r->k.store, engine, NULL, NULL, NULL, NULL, e);
	}
	buf_release(&id);
	return rc;
}

/* Index parts are derived: the bad ones are forgotten, and made again. */
static int mend_parts(struct repair *r, struct err *e)
{
	struct buf bad = { 0 };
	int rc = care_bad_parts(&r->k, &bad, e);

	if (!rc && bad.len)
		rc = cat_begin(r->k.c, e);
	if (!rc && bad.len) {
		for (size_t at = 0; at < bad.len && !rc; at += sizeof(int64_t)) {
			int64_t extent;

			memcpy(&extent, bad.data + at, sizeof(extent));
			rc = cat_run(r->k.c, e, "DELETE FROM part WHERE extent = ?1", "i", extent);
		}
		rc = finish(r, rc, e);
	}
	buf_release(&bad);
	return rc ? rc : fill_parts(r, e);
}

/* ---- Sessions -------------------------------------------------------------------------------- */

/* A page that is gone takes the ones after it along: the turns that stood on them keep their words
 * and their tokens, which are read again when the session goes on. */
static int drop_tail(struct repair *r, int64_t tail, bool near_only, struct err *e)
{
	static const struct sum128 none;
	struct catalog *c = r->k.c;
	int rc = cat_begin(c, e);

	if (!rc && near_only)
		return finish(r,
			      cat_run(c, e,
				      "UPDATE tail SET near_at = 0, near_n = 0, near_sum = ?2 WHERE"
				      " id = ?1",
				      "is", tail, &none),
			      e);
	if (!rc)
		rc = cat_exec(c, "PRAGMA defer_foreign_keys = ON", e);
	if (!rc)
		rc = cat_run(
			c, e,
			"WITH RECURSIVE d(id) AS (SELECT ?1 UNION SELECT t.id FROM tail t JOIN d ON"
			" t.parent = d.id) UPDATE turn SET tail = NULL WHERE tail IN (SELECT id "
			"FROM d)",
			"i", tail);
	if (!rc)
		rc = cat_run(
			c, e,
			"WITH RECURSIVE d(id) AS (SELECT ?1 UNION SELECT t.id FROM tail t JOIN d ON"
			" t.parent = d.id) DELETE FROM tail WHERE id IN (SELECT id FROM d)",
			"i", tail);
	return finish(r, rc, e);
}

static int mend_tails(struct repair *r, struct err *e)
{
	struct buf bad[2] = { { 0 }, { 0 } };
	int rc = care_bad_tails(&r->k, &bad[0], &bad[1], e);

	for (int near = 0; near < 2; near++) {
		for (size_t at = 0; at < bad[near].len && !rc; at += sizeof(int64_t)) {
			int64_t id;

			memcpy(&id, bad[near].data + at, sizeof(id));
			rc = drop_tail(r, id, near, e);
		}
		buf_release(&bad[near]);
	}
	return rc;
}

/* A turn whose words are damaged keeps its place, so that those after it keep theirs. */
static int mend_turns(struct repair *r, struct err *e)
{
	struct catalog *c = r->k.c;
	int64_t *id;
	size_t n;
	int rc = care_ids(c, "SELECT id FROM turn ORDER BY id", 0, &id, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		struct sess_turn t;
		struct sum128 sum;
		sqlite3_stmt *st;

		rc = cat_q(
			c, &st, e,
			"SELECT id, n, at, question, answer, citations, info, token, pos, sum FROM"
			" turn WHERE id = ?1",
			"i", id[i]);
		if (rc)
			break;
		rc = cat_step(c, st, e);
		rc = rc < 0 ? rc : sess_turn_row(st, &t, e);
		cat_done(c, st);
		if (rc != ERR_CORRUPT)
			continue;
		rc = care_report(&r->k, "turn", "turn", 0, false, "turn %u of a session is lost",
				 t.n);
		t.question = "";
		t.answer = "(damaged, could not be restored)";
		t.citations = "[]";
		t.info = "{}";
		t.token = NULL;
		t.n_token = 0;
		sum = sess_turn_sum(&t);
		if (!rc)
			rc = cat_begin(c, e);
		if (!rc)
			rc = finish(r,
				    cat_run(c, e,
					    "UPDATE turn SET question = ?2, answer = ?3, citations "
					    "= ?4,"
					    " info = ?5, token = x'', sum = ?6 WHERE id = ?1",
					    "itttts", id[i], t.question, t.answer, t.citations,
					    t.info, &sum),
				    e);
	}
	free(id);
	return rc;
}

static int mend_settings(struct repair *r, struct err *e)
{
	struct catalog *c = r->k.c;
	int64_t *id;
	size_t n;
	int rc = care_ids(c, "SELECT id FROM setting ORDER BY id", 0, &id, &n, e);

	for (size_t i = 0; i < n && !rc; i++) {
		struct sum128 sum;
		sqlite3_stmt *st;
		bool good;

		rc = cat_q(c, &st, e, "SELECT key, value, sum FROM setting WHERE id = ?1", "i",
			   id[i]);
		if (rc)
			break;
		rc = cat_step(c, st, e);
		good = rc > 0 && cat_col_sum(st, 2, &sum) &&
		       sum128_eq(sum, sum128_of(sqlite3_column_blob(st, 1),
						(size_t)sqlite3_column_bytes(st, 1)));
		if (rc > 0)
			rc = good ? 0
				  : care_report(&r->k, "settings", cat_col_text(st, 0), 0, false,
						"setting '%s' is lost", cat_col_text(st, 0));
		cat_done(c, st);
		if (rc || good)
			continue;
		rc = cat_begin(c, e);
		if (!rc)
			rc = finish(r,
				    cat_run(c, e, "DELETE FROM setting WHERE id = ?1", "i", id[i]),
				    e);
	}
	free(id);
	return rc;
}

int care_repair(struct library *lib, const struct care_watch *w, struct care_repaired *out,
		struct err *e)
{
	struct repair r = { .k = { .lib = lib, .c = lib_catalog(lib), .w = w }, .out = out };
	struct err mine;
	int rc;

	if (!e)
		e = &mine;
	*out = (struct care_repaired){ 0 };
	rc = lib_lock_long(lib, "repair", e);
	if (rc)
		return rc;
	rc = care_check_commits(&r.k);
	if (!rc)
		rc = mend_catalog(&r, e);
	if (!rc)
		rc = kv_store_open(&r.k.store, lib_segments(lib), e);
	/* Damage so far was the catalog's: it may have forgotten pages that are there. */
	if (!rc && r.k.n_damage)
		rc = care_adopt(&r.k, &out->extents_found, e);
	if (!rc)
		rc = mend_settings(&r, e);
	if (!rc)
		rc = mend_turns(&r, e);
	if (!rc)
		rc = mend_tails(&r, e);
	if (!rc)
		rc = mend_texts(&r, e);
	if (!rc)
		rc = mend_words(&r, e);
	if (!rc)
		rc = mend_extents(&r, e);
	if (!rc)
		rc = mend_parts(&r, e);
	/* What is here now is what there is. */
	if (!rc)
		lib_set_commits(lib, lib_commits(lib));
	kv_writer_free(r.writer);
	kv_store_close(r.k.store);
	out->n_damage = r.k.n_damage;
	out->n_lost = r.k.n_lost;
	lib_unlock_long(lib);
	return rc;
}
