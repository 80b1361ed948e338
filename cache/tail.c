/* Tail pages: written to new files, synced, then named by the commit that keeps their turn. */
#include "config.h"

#include "cache/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "cache/cat_int.h"
#include "cache/sess_int.h"

/* One turn's pages on disk, before their commit. */
struct tail_files {
	uint32_t number;
	bool     far, near;		/* which files exist */
	struct sess_tail *page;		/* [n] */
	size_t   n;
};

static int sync_folder(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0 || fsync(fd) < 0)
		rc = err_set(e, ERR_IO, "cannot sync folder '%s': %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static void unlink_files(struct library *lib, const struct tail_files *t)
{
	struct buf path = { 0 };

	for (int near = 0; near < 2; near++) {
		if (!(near ? t->near : t->far))
			continue;
		buf_clear(&path);
		lib_tail_path(lib, t->number, near ? "near" : "far", &path);
		if (!path.failed)
			unlink(path.data);
	}
	buf_release(&path);
}

/* Make a file nobody has; the number is drawn until one is free. */
static int create(struct library *lib, struct tail_files *t, int *fd, struct err *e)
{
	struct buf path = { 0 };
	int rc = 0;

	for (int i = 0; i < 100; i++) {
		if (getrandom(&t->number, sizeof(t->number), 0) != sizeof(t->number))
			t->number = (uint32_t)getpid() * 2654435761u + (uint32_t)i;
		buf_clear(&path);
		lib_tail_path(lib, t->number, "far", &path);
		if (path.failed) {
			rc = err_nomem(e);
			break;
		}
		*fd = open(path.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (*fd >= 0 || errno != EEXIST)
			break;
	}
	if (!rc && *fd < 0)
		rc = err_set(e, ERR_IO, "cannot create '%s': %s", path.data, strerror(errno));
	t->far = !rc;
	buf_release(&path);
	return rc;
}

static int create_near(struct library *lib, struct tail_files *t, int *fd, struct err *e)
{
	struct buf path = { 0 };
	int rc = 0;

	lib_tail_path(lib, t->number, "near", &path);
	if (path.failed)
		return err_nomem(e);
	/* Left by a crash under the same number: nobody names it, or the far file would exist. */
	*fd = open(path.data, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (*fd < 0)
		rc = err_set(e, ERR_IO, "cannot create '%s': %s", path.data, strerror(errno));
	t->near = !rc;
	buf_release(&path);
	return rc;
}

/* Head and blobs; offsets and sums go to t->page. */
static int write_file(struct tail_files *t, int fd, bool near, const struct sess_page *page,
		      struct err *e)
{
	uint8_t head[TAIL_HEAD] = TAIL_MAGIC;
	uint32_t kind = near ? 2 : 1;
	uint64_t at = TAIL_HEAD;
	int rc;

	for (size_t i = 0; i < t->n; i++)
		at = round_up(at + (near ? page[i].near_n : page[i].far_n), TAIL_HEAD);
	/* First the room, so that a full disk is known before anything is written. */
	rc = posix_fallocate(fd, 0, (off_t)at);
	if (rc)
		return err_set(e, rc == ENOSPC || rc == EDQUOT || rc == EFBIG ? ERR_FULL : ERR_IO,
			       "cannot reserve %llu bytes for a turn: %s", (unsigned long long)at,
			       strerror(rc));
	memcpy(head + 8, &t->number, 4);
	memcpy(head + 12, &kind, 4);
	rc = file_pwrite(fd, head, sizeof(head), 0, "a tail file", e);
	at = TAIL_HEAD;
	for (size_t i = 0; i < t->n && !rc; i++) {
		const void *blob = near ? page[i].near : page[i].far;
		size_t n = near ? page[i].near_n : page[i].far_n;
		struct sum128 sum = sum128_of(blob, n);

		rc = file_pwrite(fd, blob, n, at, "a tail file", e);
		if (near) {
			t->page[i].near_at = at;
			t->page[i].near_n = n;
			t->page[i].near_sum = sum;
		} else {
			t->page[i].far_at = at;
			t->page[i].far_n = n;
			t->page[i].far_sum = sum;
		}
		at = round_up(at + n, TAIL_HEAD);
	}
	if (!rc && fdatasync(fd) < 0)
		rc = err_set(e, ERR_IO, "cannot sync a tail file: %s", strerror(errno));
	return rc;
}

static int write_pages(struct library *lib, struct tail_files *t, const struct sess_page *page,
		       struct err *e)
{
	char *dir = path_join(lib_dir(lib), "tails");
	size_t near_n = 0;
	int fd = -1, rc;

	if (!dir)
		return err_nomem(e);
	for (size_t i = 0; i < t->n; i++) {
		t->page[i] = (struct sess_tail){ .pos = page[i].pos, .n_token = page[i].n_token };
		near_n += page[i].near_n;
	}
	rc = create(lib, t, &fd, e);
	if (!rc)
		rc = write_file(t, fd, false, page, e);
	if (fd >= 0)
		close(fd);
	fd = -1;
	if (!rc && near_n)
		rc = create_near(lib, t, &fd, e);
	if (!rc && near_n)
		rc = write_file(t, fd, true, page, e);
	if (fd >= 0)
		close(fd);
	if (!rc)
		rc = sync_folder(dir, e);
	free(dir);
	return rc;
}

/* Where a session stands: its newest turn and the last page of its tail. */
struct head {
	int64_t  turn, tail, tail_parent;
	uint32_t n_turn;
	uint64_t pos;		/* of the last page */
	uint32_t n_token;
	uint64_t turn_end; /* where the newest turn's tokens end: there is a turn without pages */
};

static int get_head(struct catalog *c, int64_t id, struct head *h, struct err *e)
{
	sqlite3_stmt *st;
	bool bad = false;
	int rc = cat_q(c, &st, e, "SELECT coalesce(s.turn, 0), coalesce(t.n, 0), coalesce(a.id, 0),"
		       " coalesce(a.parent, 0), coalesce(a.pos, 0), coalesce(a.n_token, 0),"
		       " coalesce(t.pos + length(t.token) / 4, 0) FROM session s"
		       " LEFT JOIN turn t ON t.id = s.turn LEFT JOIN tail a ON a.id = t.tail"
		       " WHERE s.id = ?1", "i", id);

	if (rc)
		return rc;
	rc = cat_step(c, st, e);
	if (rc > 0) {
		h->turn = sqlite3_column_int64(st, 0);
		h->n_turn = cat_col_u32(st, 1, &bad);
		h->tail = sqlite3_column_int64(st, 2);
		h->tail_parent = sqlite3_column_int64(st, 3);
		h->pos = cat_col_u64(st, 4, &bad);
		h->n_token = cat_col_u32(st, 5, &bad);
		h->turn_end = cat_col_u64(st, 6, &bad);
		rc = bad ? cat_bad_row("tail", h->tail, e) : 0;
	} else if (rc == 0) {
		rc = err_set(e, ERR_NOTFOUND, "there is no session number %lld", (long long)id);
	}
	cat_done(c, st);
	return rc;
}

/* Do the pages go on from there?  *parent is the page before page[0]. */
static int check_pages(const struct head *h, const struct sess_page *page, size_t n, uint32_t full,
		       int64_t *parent, struct err *e)
{
	uint64_t end = h->pos + h->n_token;

	*parent = h->tail;
	if (n && h->tail && page[0].pos == h->pos && h->n_token < full &&
	    page[0].n_token > h->n_token)
		*parent = h->tail_parent;
	else if (n && page[0].pos != end)
		return err_set(e, ERR_INVALID,
			       "a turn's pages begin at token %llu, the session has %llu",
			       (unsigned long long)page[0].pos, (unsigned long long)end);
	for (size_t i = 0; i < n; i++)
		if (!page[i].n_token || page[i].n_token > full ||
		    (i && page[i].pos != page[i - 1].pos + page[i - 1].n_token))
			return err_set(e, ERR_INVALID,
				       "page %zu of a turn is empty, too long or out of order", i);
	return 0;
}

static int put_turn(struct catalog *c, int64_t id, const struct head *h, const struct sess_turn *in,
		    const struct tail_files *files, int64_t parent, int64_t *turn, struct err *e)
{
	struct sess_turn t = *in;
	int64_t tail = parent;
	struct sum128 sum;
	int rc = 0;

	for (size_t i = 0; i < files->n && !rc; i++) {
		const struct sess_tail *p = &files->page[i];

		rc = cat_run(c, e,
			     "INSERT INTO tail(parent, pos, n_token, file, far_at, far_n, far_sum,"
			     " near_at, near_n, near_sum) VALUES(nullif(?1, 0), ?2, ?3, ?4, ?5, "
			     "?6, ?7, ?8,"
			     " ?9, ?10)",
			     "iiiiiisiis", tail, (int64_t)p->pos, (int64_t)p->n_token,
			     (int64_t)files->number, (int64_t)p->far_at, (int64_t)p->far_n,
			     &p->far_sum, (int64_t)p->near_at, (int64_t)p->near_n, &p->near_sum);
		tail = sqlite3_last_insert_rowid(c->db);
	}
	t.n = h->n_turn + 1;
	t.at = clock_unix();
	t.pos = h->turn_end;
	sum = sess_turn_sum(&t);
	if (!rc)
		rc = cat_run(
			c, e,
			"INSERT INTO turn(parent, n, at, question, answer, citations, info, token,"
			" pos, tail, sum) VALUES(nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
			" nullif(?10, 0), ?11)",
			"iiittttbiis", h->turn, (int64_t)t.n, t.at, t.question, t.answer,
			t.citations, t.info, t.token, t.n_token * sizeof(*t.token), (int64_t)t.pos,
			tail, &sum);
	*turn = sqlite3_last_insert_rowid(c->db);
	return rc ? rc
		  : cat_run(c, e, "UPDATE session SET turn = ?2, used = ?3 WHERE id = ?1", "iii",
			    id, *turn, t.at);
}

static int moved(struct err *e)
{
	err_set(e, ERR_MISMATCH, "the session has a newer turn, kept by another process");
	return err_hint(e, ERR_MISMATCH, "fork it from the turn before, or ask again");
}

int sess_add_turn(struct library *lib, int64_t id, int64_t expect, const struct sess_turn *t,
		  const struct sess_page *page, size_t n_page, uint32_t page_full, int64_t *turn,
		  struct err *e)
{
	struct catalog *c = lib_catalog(lib);
	struct tail_files files = { .n = n_page };
	struct head h, again;
	int64_t parent;
	int rc = get_head(c, id, &h, e);

	if (!rc && h.turn != expect)
		rc = moved(e);
	if (!rc)
		rc = check_pages(&h, page, n_page, page_full, &parent, e);
	if (rc)
		return rc;
	files.page = calloc(n_page + 1, sizeof(*files.page));
	if (!files.page)
		return err_nomem(e);
	if (n_page)
		rc = write_pages(lib, &files, page, e);
	if (!rc)
		rc = cat_begin(c, e);
	if (!rc)
		rc = get_head(c, id, &again, e);
	if (!rc && again.turn != expect)
		rc = moved(e);
	if (!rc)
		rc = put_turn(c, id, &h, t, &files, parent, turn, e);
	if (!rc)
		rc = cat_commit(c, e);
	if (rc) {
		cat_rollback(c);
		/* A commit whose sync failed may be on disk: then prune decides. */
		if (!c->broken)
			unlink_files(lib, &files);
	}
	free(files.page);
	return rc;
}

/* ---- Reading --------------------------------------------------------------------------------- */

int sess_tail(struct catalog *c, int64_t id, struct sess_tail **out, size_t *n, struct err *e)
{
	struct buf b = { 0 };
	struct head h;
	sqlite3_stmt *st;
	int rc = get_head(c, id, &h, e);

	*out = NULL;
	*n = 0;
	if (!rc)
		rc = cat_q(
			c, &st, e,
			"WITH RECURSIVE path(id, parent) AS (SELECT id, parent FROM tail WHERE"
			" id = ?1 UNION SELECT t.id, t.parent FROM path p JOIN tail t ON t.id ="
			" p.parent) SELECT t.id, t.pos, t.n_token, t.file, t.far_at, t.far_n, "
			"t.far_sum,"
			" t.near_at, t.near_n, t.near_sum FROM path p JOIN tail t ON t.id = p.id"
			" ORDER BY t.pos",
			"i", h.tail);
	if (rc)
		return rc;
	while ((rc = cat_step(c, st, e)) > 0) {
		struct sess_tail t = { .id = sqlite3_column_int64(st, 0) };
		bool bad = false;

		t.pos = cat_col_u64(st, 1, &bad);
		t.n_token = cat_col_u32(st, 2, &bad);
		t.file = cat_col_u32(st, 3, &bad);
		t.far_at = cat_col_u64(st, 4, &bad);
		t.far_n = cat_col_u64(st, 5, &bad);
		bad |= !cat_col_sum(st, 6, &t.far_sum);
		t.near_at = cat_col_u64(st, 7, &bad);
		t.near_n = cat_col_u64(st, 8, &bad);
		bad |= !cat_col_sum(st, 9, &t.near_sum);
		if (bad) {
			rc = cat_bad_row("tail", t.id, e);
			break;
		}
		buf_add(&b, &t, sizeof(t));
		++*n;
	}
	cat_done(c, st);
	if (!rc && b.failed)
		rc = err_nomem(e);
	if (rc) {
		buf_release(&b);
		*n = 0;
	} else {
		*out = (struct sess_tail *)(void *)buf_take(&b);
	}
	return rc;
}

int sess_tail_read(struct library *lib, const struct sess_tail *t, bool near, struct buf *out,
		   struct err *e)
{
	uint64_t at = near ? t->near_at : t->far_at, n = near ? t->near_n : t->far_n;
	struct sum128 want = near ? t->near_sum : t->far_sum;
	struct buf path = { 0 };
	size_t start = out->len;
	int fd = -1, rc = 0;

	if (!n)
		return err_set(e, ERR_NOTFOUND, "the page keeps no %s keys and values",
			       near ? "near" : "far");
	lib_tail_path(lib, t->file, near ? "near" : "far", &path);
	if (path.failed || !buf_reserve(out, n)) {
		rc = err_nomem(e);
		goto done;
	}
	fd = open(path.data, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		rc = err_set(e, errno == ENOENT ? ERR_CORRUPT : ERR_IO, "cannot open '%s': %s",
			     path.data, strerror(errno));
		goto done;
	}
	rc = file_pread(fd, out->data + start, n, at, path.data, e);
	if (!rc && !sum128_eq(want, sum128_of(out->data + start, n)))
		rc = err_set(e, ERR_CORRUPT, "a page in '%s' does not match its checksum",
			     path.data);
	if (!rc)
		out->len = start + n;
	out->data[out->len] = '\0';
done:
	if (fd >= 0)
		close(fd);
	buf_release(&path);
	return rc;
}

int sess_drop_near(struct catalog *c, int64_t id, uint64_t pos, struct err *e)
{
	static const struct sum128 none;
	struct head h;
	int rc = cat_need_batch(c, e);

	if (!rc)
		rc = get_head(c, id, &h, e);
	return rc ? rc
		  : cat_run(c, e,
			    "WITH RECURSIVE path(id, parent) AS (SELECT id, parent FROM tail"
			    " WHERE id = ?1 UNION SELECT t.id, t.parent FROM path p JOIN tail t"
			    " ON t.id = p.parent) UPDATE tail SET near_at = 0, near_n = 0, "
			    "near_sum = ?3"
			    " WHERE id IN (SELECT id FROM path) AND pos + n_token <= ?2 AND near_n "
			    "> 0",
			    "iis", h.tail, (int64_t)pos, &none);
}
