#include "config.h"

#include "cache/cat_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


#define SETTING_MAX (16u << 20)

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void copy_text(char *out, size_t n, const char *s)
{
	snprintf(out, n, "%s", s);
}

/* ---- Engines --------------------------------------------------------------------------------- */

#define ENGINE_COLS "id, fingerprint, preamble, name, n_far_layer, n_head_kv, head_dim," \
	" page_tokens, kv_type, made"

static int engine_row(sqlite3_stmt *st, struct cat_engine *en, struct err *e)
{
	bool bad = false;

	*en = (struct cat_engine){ .id = sqlite3_column_int64(st, 0) };
	bad |= !cat_col_id(st, 1, &en->fingerprint);
	bad |= !cat_col_id(st, 2, &en->preamble);
	copy_text(en->name, sizeof(en->name), cat_col_text(st, 3));
	en->n_far_layer = cat_col_u32(st, 4, &bad);
	en->n_head_kv = cat_col_u32(st, 5, &bad);
	en->head_dim = cat_col_u32(st, 6, &bad);
	en->page_tokens = cat_col_u32(st, 7, &bad);
	en->kv_type = cat_col_u32(st, 8, &bad);
	en->made = sqlite3_column_int64(st, 9);
	return bad ? cat_bad_row("engine", en->id, e) : 0;
}

static int one_engine(struct catalog *c, sqlite3_stmt *st, struct cat_engine *out, struct err *e)
{
	int rc = cat_step(c, st, e);

	if (rc > 0)
		rc = engine_row(st, out, e);
	else if (rc == 0)
		rc = err_set(e, ERR_NOTFOUND, "the library knows no such engine");
	cat_done(c, st);
	return rc;
}

int cat_engine(struct catalog *c, int64_t id, struct cat_engine *out, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT " ENGINE_COLS " FROM engine WHERE id = ?1", "i", id);

	return rc ? rc : one_engine(c, st, out, e);
}

int cat_engine_find(struct catalog *c, const struct id *fingerprint, struct cat_engine *out,
		    struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT " ENGINE_COLS " FROM engine WHERE fingerprint = ?1", "I",
		       fingerprint);

	return rc ? rc : one_engine(c, st, out, e);
}

int cat_put_engine(struct catalog *c, const struct cat_engine *in, int64_t *id, struct err *e)
{
	struct cat_engine old;
	int rc = cat_need_batch(c, e);

	if (rc)
		return rc;
	rc = cat_engine_find(c, &in->fingerprint, &old, e);
	if (!rc) {
		if (old.n_far_layer != in->n_far_layer || old.n_head_kv != in->n_head_kv ||
		    old.head_dim != in->head_dim || old.page_tokens != in->page_tokens ||
		    old.kv_type != in->kv_type || !id_eq(&old.preamble, &in->preamble))
			return err_set(e, ERR_MISMATCH, "engine '%s' is known with another shape",
				       in->name);
		*id = old.id;
		return strcmp(old.name, in->name)
			       ? cat_run(c, e, "UPDATE engine SET name = ?2 WHERE id = ?1", "it",
					 old.id, in->name)
			       : 0;
	}
	if (rc != ERR_NOTFOUND)
		return rc;
	rc = cat_run(c, e,
		     "INSERT INTO engine(fingerprint, preamble, name, n_far_layer, n_head_kv,"
		     " head_dim, page_tokens, kv_type, made) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
		     "IItiiiiii", &in->fingerprint, &in->preamble, in->name,
		     (int64_t)in->n_far_layer, (int64_t)in->n_head_kv, (int64_t)in->head_dim,
		     (int64_t)in->page_tokens, (int64_t)in->kv_type, now_ns());
	if (!rc)
		*id = sqlite3_last_insert_rowid(c->db);
	return rc;
}

int cat_engines(struct catalog *c, cat_engine_fn *fn, void *ctx, struct err *e)
{
	struct cat_engine en;
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT " ENGINE_COLS " FROM engine ORDER BY id", "");

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		rc = engine_row(st, &en, e);
		if (!rc)
			rc = fn(ctx, &en);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

/* ---- Settings -------------------------------------------------------------------------------- */

int cat_set(struct catalog *c, int64_t engine, const char *key, const void *v, size_t n,
	    struct err *e)
{
	struct sum128 sum = sum128_of(v, n);
	int rc = cat_need_batch(c, e);

	if (rc)
		return rc;
	if (n > SETTING_MAX)
		return err_set(e, ERR_INVALID, "setting '%s' of %zu bytes, at most %u are kept",
			       key, n, SETTING_MAX);
	return cat_run(c, e, "INSERT INTO setting(engine, key, value, sum) VALUES(?1, ?2, ?3, ?4)"
		       " ON CONFLICT(engine, key) DO UPDATE SET value = ?3, sum = ?4",
		       "itbs", engine, key, v, n, &sum);
}

int cat_get(struct catalog *c, int64_t engine, const char *key, struct buf *out, struct err *e)
{
	struct sum128 sum;
	sqlite3_stmt *st;
	const void *v;
	size_t n;
	int rc = cat_q(c, &st, e, "SELECT value, sum FROM setting WHERE engine = ?1 AND key = ?2",
		       "it", engine, key);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		v = sqlite3_column_blob(st, 0);
		n = (size_t)sqlite3_column_bytes(st, 0);
		rc = 0;
		if (!cat_col_sum(st, 1, &sum) || !sum128_eq(sum, sum128_of(v, n)))
			rc = err_set(e, ERR_CORRUPT, "setting '%s' does not match its checksum",
				     key);
		else
			buf_add(out, v, n);
		if (out->failed)
			rc = err_nomem(e);
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOTFOUND, "the library has no setting '%s'", key);
	}
	cat_done(c, st);
	return rc;
}

int cat_unset(struct catalog *c, int64_t engine, const char *key, struct err *e)
{
	int rc = cat_need_batch(c, e);

	return rc ? rc : cat_run(c, e, "DELETE FROM setting WHERE engine = ?1 AND key = ?2", "it",
				 engine, key);
}

/* ---- Sources --------------------------------------------------------------------------------- */

int cat_put_source(struct catalog *c, const char *name, const char *kind, const char *origin,
		   int64_t *id, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_run(c, e,
			     "INSERT INTO source(name, kind, origin, made) VALUES(?1, ?2, ?3, ?4)"
			     " ON CONFLICT(name) DO UPDATE SET kind = ?2, origin = ?3",
			     "ttti", name, kind, origin, now_ns());
	return rc ? rc : cat_source_find(c, name, id, e);
}

int cat_source_find(struct catalog *c, const char *name, int64_t *id, struct err *e)
{
	int rc = cat_int(c, id, e, "SELECT id FROM source WHERE name = ?1", "t", name);

	return rc == ERR_NOTFOUND ? err_set(e, rc, "the library has no source '%s'", name) : rc;
}

int cat_source_name(struct catalog *c, int64_t id, char **name, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT name FROM source WHERE id = ?1", "i", id);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		*name = strdup(cat_col_text(st, 0));
		rc = *name ? 0 : err_nomem(e);
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOTFOUND, "the library has no source number %lld",
			     (long long)id);
	}
	cat_done(c, st);
	return rc;
}

int cat_sources(struct catalog *c, cat_source_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT id, name, kind, origin, made, coalesce((SELECT max(n.id)"
		       " FROM snapshot n WHERE n.source = s.id AND n.complete), 0)"
		       " FROM source s ORDER BY name", "");

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		struct cat_source s = {
			.id = sqlite3_column_int64(st, 0), .name = cat_col_text(st, 1),
			.kind = cat_col_text(st, 2), .origin = cat_col_text(st, 3),
			.made = sqlite3_column_int64(st, 4), .newest = sqlite3_column_int64(st, 5)
		};

		rc = fn(ctx, &s);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

/* Refuse to remove what a session needs: the first one is named. */
static int check_pins(struct catalog *c, const char *sql, int64_t id, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, sql, "i", id);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		rc = err_set(e, ERR_INVALID, "session '%s' is pinned to a snapshot that would go",
			     cat_col_text(st, 0));
		err_hint(e, rc, "remove the session first: `folio session rm NAME`");
	}
	cat_done(c, st);
	return rc;
}

int cat_del_source(struct catalog *c, int64_t id, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = check_pins(c, "SELECT s.name FROM snapshot n JOIN pin p ON p.snapshot = n.id"
				" JOIN session s ON s.id = p.session WHERE n.source = ?1"
				" ORDER BY s.name LIMIT 1", id, e);
	if (!rc)
		rc = cat_run(c, e, "DELETE FROM snapshot WHERE source = ?1", "i", id);
	return rc ? rc : cat_run(c, e, "DELETE FROM source WHERE id = ?1", "i", id);
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

#define SNAPSHOT_COLS "id, source, hash, complete, made, rev"

static int snapshot_row(sqlite3_stmt *st, struct cat_snapshot *s, struct err *e)
{
	*s = (struct cat_snapshot){
		.id = sqlite3_column_int64(st, 0), .source = sqlite3_column_int64(st, 1),
		.complete = sqlite3_column_int(st, 3), .made = sqlite3_column_int64(st, 4)
	};
	copy_text(s->rev, sizeof(s->rev), cat_col_text(st, 5));
	return cat_col_id(st, 2, &s->hash) ? 0 : cat_bad_row("snapshot", s->id, e);
}

int cat_snapshot_begin(struct catalog *c, int64_t source, const char *rev, int64_t from,
		       int64_t *id, struct err *e)
{
	static const struct id none;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = cat_run(c, e, "INSERT INTO snapshot(source, hash, complete, made, rev)"
			     " VALUES(?1, ?2, 0, ?3, ?4)", "iIit", source, &none, now_ns(), rev);
	if (rc)
		return rc;
	*id = sqlite3_last_insert_rowid(c->db);
	return from ? cat_run(c, e,
			      "INSERT INTO entry SELECT ?1, path, state, document, reason, size,"
			      " mtime, ctime, inode, mode, seen FROM entry WHERE snapshot = ?2",
			      "ii", *id, from)
		    : 0;
}

/* The hash of a snapshot: path, state, document (by hash and format) and reason of every entry in
 * order of path.  Stat data is left out: touching a file makes no new state. */
static int snapshot_hash(struct catalog *c, int64_t id, struct id *out, struct err *e)
{
	struct hasher h;
	sqlite3_stmt *st;
	int rc;

	hasher_init(&h);
	hasher_field(&h, "folio snapshot 1", 16);
	rc = cat_q(c, &st, e, "SELECT n.path, n.state, d.sha256, d.format, n.reason FROM entry n"
		   " LEFT JOIN document d ON d.id = n.document WHERE n.snapshot = ?1"
		   " ORDER BY n.path", "i", id);
	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		uint8_t state = (uint8_t)sqlite3_column_int(st, 1);

		hasher_field(&h, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
		hasher_add(&h, &state, 1);
		hasher_field(&h, sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2));
		hasher_field(&h, cat_col_text(st, 3), (size_t)sqlite3_column_bytes(st, 3));
		hasher_field(&h, cat_col_text(st, 4), (size_t)sqlite3_column_bytes(st, 4));
	}
	cat_done(c, st);
	*out = hasher_done(&h);
	return rc;
}

/* The newest complete snapshot of the same source and hash, 0 if none. */
static int same_snapshot(struct catalog *c, int64_t snapshot, const struct id *hash, int64_t *old,
			 struct err *e)
{
	int rc = cat_int(c, old, e,
			 "SELECT id FROM snapshot WHERE complete AND hash = ?2 AND source ="
			 " (SELECT source FROM snapshot WHERE id = ?1) AND id <> ?1"
			 " ORDER BY id DESC LIMIT 1",
			 "iI", snapshot, hash);

	if (rc == ERR_NOTFOUND)
		*old = 0;
	return rc == ERR_NOTFOUND ? 0 : rc;
}

int cat_snapshot_finish(struct catalog *c, int64_t snapshot, int64_t *id, struct err *e)
{
	struct id hash;
	int64_t old, newest;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = snapshot_hash(c, snapshot, &hash, e);
	if (!rc)
		rc = same_snapshot(c, snapshot, &hash, &old, e);
	if (!rc && old)
		rc = cat_int(c, &newest, e,
			     "SELECT max(id) FROM snapshot WHERE complete AND source ="
			     " (SELECT source FROM snapshot WHERE id = ?1)",
			     "i", snapshot);
	if (rc)
		return rc;
	*id = snapshot;
	/* Going back to an older state is a new snapshot: "newest" must mean what is there now. */
	if (!old || old != newest)
		return cat_run(c, e, "UPDATE snapshot SET complete = 1, hash = ?2 WHERE id = ?1",
			       "iI", snapshot, &hash);
	*id = old;
	rc = cat_run(c, e,
		     "UPDATE entry SET (size, mtime, ctime, inode, mode, seen) ="
		     " (SELECT size, mtime, ctime, inode, mode, seen FROM entry n"
		     "  WHERE n.snapshot = ?2 AND n.path = entry.path) WHERE snapshot = ?1",
		     "ii", old, snapshot);
	return rc ? rc : cat_del_snapshot(c, snapshot, e);
}

int cat_del_snapshot(struct catalog *c, int64_t snapshot, struct err *e)
{
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = check_pins(c, "SELECT s.name FROM pin p JOIN session s ON s.id = p.session"
				" WHERE p.snapshot = ?1 ORDER BY s.name LIMIT 1", snapshot, e);
	return rc ? rc : cat_run(c, e, "DELETE FROM snapshot WHERE id = ?1", "i", snapshot);
}

int cat_snapshot_open(struct catalog *c, int64_t source, int64_t *id, struct err *e)
{
	int rc = cat_int(c, id, e, "SELECT id FROM snapshot WHERE source = ?1 AND NOT complete"
			 " ORDER BY id DESC LIMIT 1", "i", source);

	return rc == ERR_NOTFOUND ? err_set(e, rc, "no snapshot is open") : rc;
}

int cat_snapshot(struct catalog *c, int64_t id, struct cat_snapshot *out, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT " SNAPSHOT_COLS " FROM snapshot WHERE id = ?1", "i", id);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0)
		rc = snapshot_row(st, out, e);
	else if (rc == 0)
		rc = err_set(e, ERR_NOTFOUND, "the library has no snapshot number %lld",
			     (long long)id);
	cat_done(c, st);
	return rc;
}

int cat_snapshots(struct catalog *c, int64_t source, cat_snapshot_fn *fn, void *ctx, struct err *e)
{
	struct cat_snapshot s;
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e, "SELECT " SNAPSHOT_COLS " FROM snapshot"
		       " WHERE ?1 = 0 OR source = ?1 ORDER BY id DESC", "i", source);

	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		rc = snapshot_row(st, &s, e);
		if (!rc)
			rc = fn(ctx, &s);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

struct prefix_match {
	const char *prefix;
	size_t      n;
	int64_t     id;
	struct id   hash;
	bool        several;
};

static int match_prefix(void *ctx, const struct cat_snapshot *s)
{
	struct prefix_match *m = ctx;
	char hex[65];

	id_hex(&s->hash, hex);
	if (!s->complete || strncmp(hex, m->prefix, m->n))
		return 0;
	/* One state that came twice is one answer, the newer one. */
	if (m->id && !id_eq(&m->hash, &s->hash))
		m->several = true;
	if (!m->id) {
		m->id = s->id;
		m->hash = s->hash;
	}
	return 0;
}

int cat_snapshot_find(struct catalog *c, const char *source, const char *prefix, int64_t *id,
		      struct err *e)
{
	struct prefix_match m = { .prefix = prefix, .n = prefix ? strlen(prefix) : 0 };
	int64_t source_id;
	int rc = cat_source_find(c, source, &source_id, e);

	if (rc)
		return rc;
	if (!m.n) {
		rc = cat_int(c, id, e, "SELECT id FROM snapshot WHERE source = ?1"
			     " ORDER BY complete DESC, id DESC LIMIT 1", "i", source_id);
		return rc == ERR_NOTFOUND ? err_set(e, rc, "source '%s' has no snapshot", source)
					  : rc;
	}
	rc = cat_snapshots(c, source_id, match_prefix, &m, e);
	if (rc)
		return rc;
	if (!m.id)
		return err_set(e, ERR_NOTFOUND, "source '%s' has no snapshot '%s'", source, prefix);
	if (m.several)
		return err_set(e, ERR_INVALID, "several snapshots of '%s' begin with '%s'", source,
			       prefix);
	*id = m.id;
	return 0;
}

/* ---- Entries --------------------------------------------------------------------------------- */

#define ENTRY_COLS "path, state, document, reason, size, mtime, ctime, inode, mode, seen"

int cat_put_entry(struct catalog *c, int64_t snapshot, const struct cat_entry *en, struct err *e)
{
	const struct cat_stat *t = &en->st;
	int rc = cat_need_batch(c, e);

	if (rc)
		return rc;
	if ((en->state == CAT_TEXT) != (en->document != 0) || !en->path_n)
		return err_set(e, ERR_INVALID,
			       "an entry without a path, or text without a document");
	return cat_run(c, e,
		       "INSERT OR REPLACE INTO entry(snapshot, path, state, document, reason, size,"
		       " mtime, ctime, inode, mode, seen)"
		       " VALUES(?1, ?2, ?3, nullif(?4, 0), ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
		       "ibiitiiiiii", snapshot, en->path, en->path_n, (int64_t)en->state,
		       en->document, en->reason ? en->reason : "", t->size, t->mtime_ns,
		       t->ctime_ns, (int64_t)t->inode, (int64_t)t->mode, t->seen_ns);
}

int cat_del_entry(struct catalog *c, int64_t snapshot, const char *path, size_t n, struct err *e)
{
	int rc = cat_need_batch(c, e);

	return rc ? rc : cat_run(c, e, "DELETE FROM entry WHERE snapshot = ?1 AND path = ?2", "ib",
				 snapshot, path, n);
}

static int entry_walk(struct catalog *c, sqlite3_stmt *st, cat_entry_fn *fn, void *ctx,
		      struct err *e)
{
	int rc;

	while ((rc = cat_step(c, st, e)) > 0) {
		struct cat_entry en = {
			.path = sqlite3_column_blob(st, 0),
			.path_n = (size_t)sqlite3_column_bytes(st, 0),
			.state = (enum cat_state)sqlite3_column_int(st, 1),
			.document = sqlite3_column_int64(st, 2), .reason = cat_col_text(st, 3),
			.st = {
				.size = sqlite3_column_int64(st, 4),
				.mtime_ns = sqlite3_column_int64(st, 5),
				.ctime_ns = sqlite3_column_int64(st, 6),
				.inode = (uint64_t)sqlite3_column_int64(st, 7),
				.mode = (uint32_t)sqlite3_column_int64(st, 8),
				.seen_ns = sqlite3_column_int64(st, 9)
			}
		};

		if (!en.path || en.state < CAT_LISTED || en.state > CAT_TEXT ||
		    (en.state == CAT_TEXT) != (en.document > 0)) {
			rc = cat_bad_row("entry", en.document, e);
			break;
		}
		rc = fn(ctx, &en);
		if (rc)
			break;
	}
	cat_done(c, st);
	return rc;
}

int cat_entries(struct catalog *c, int64_t snapshot, cat_entry_fn *fn, void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e,
		       "SELECT " ENTRY_COLS " FROM entry WHERE snapshot = ?1 ORDER BY path", "i",
		       snapshot);

	return rc ? rc : entry_walk(c, st, fn, ctx, e);
}

struct found_entry {
	cat_entry_fn *fn;
	void *ctx;
	bool  found;
};

static int found_one(void *ctx, const struct cat_entry *en)
{
	struct found_entry *f = ctx;

	f->found = true;
	return f->fn(f->ctx, en);
}

int cat_entry(struct catalog *c, int64_t snapshot, const char *path, size_t n, cat_entry_fn *fn,
	      void *ctx, struct err *e)
{
	struct found_entry f = { fn, ctx, false };
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e,
		       "SELECT " ENTRY_COLS " FROM entry WHERE snapshot = ?1 AND path = ?2", "ib",
		       snapshot, path, n);

	if (!rc)
		rc = entry_walk(c, st, found_one, &f, e);
	if (!rc && !f.found)
		rc = err_set(e, ERR_NOTFOUND, "the snapshot has no '%.*s'",
			     (int)(n < 300 ? n : 300), path);
	return rc;
}

int cat_entries_of(struct catalog *c, int64_t snapshot, int64_t document, cat_entry_fn *fn,
		   void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int rc = cat_q(c, &st, e,
		       "SELECT " ENTRY_COLS " FROM entry WHERE document = ?2 AND snapshot = ?1"
		       " ORDER BY path",
		       "ii", snapshot, document);

	return rc ? rc : entry_walk(c, st, fn, ctx, e);
}

bool cat_stat_trusted(const struct cat_stat *was, const struct cat_stat *now)
{
	const int64_t tick =
		10000000; /* 10 ms: the coarsest clock a Linux file system stamps with */
	int64_t stamp = was->mtime_ns > was->ctime_ns ? was->mtime_ns : was->ctime_ns;

	return was->size == now->size && was->mtime_ns == now->mtime_ns &&
	       was->ctime_ns == now->ctime_ns && was->inode == now->inode &&
	       was->mode == now->mode && stamp < was->seen_ns - tick;
}
