#include "config.h"

#include "ingest/diff_side.h"
#include "ingest/diff_side_int.h"

#include "base/file.h"
#include "base/size.h"
#include "cache/catalog.h"
#include "ingest/doc.h"
#include "ingest/repo_index.h"
#include "ingest/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ---- */

static int new_side(struct diff_side **out, enum side_kind kind, const char *label, struct err *e)
{
	struct diff_side *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s || !(s->label = strdup(label)) || !(s->below = strdup(""))) {
		side_close(s);
		*out = NULL;
		return err_nomem(e);
	}
	s->kind = kind;
	s->spool = -1;
	return 0;
}

void side_close(struct diff_side *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].path);
		free(s->v[i].reason);
	}
	if (s->spool >= 0)
		close(s->spool);
	repo_close(s->repo);
	free(s->v);
	free(s->root);
	free(s->folder);
	free(s->below);
	free(s->label);
	free(s);
}

/* The repository at or around `where`, and where in it that is. */
static int open_repo(struct diff_side *s, const char *where, struct err *e)
{
	char *real = realpath(where, NULL);
	size_t top;
	int rc;

	if (!real)
		return err_set(e, ERR_NOTFOUND, "cannot read '%s': %s", where, strerror(errno));
	top = walk_find_top(real);
	free(s->below);
	s->below = strdup(top && real[top] ? real + top + 1 : "");
	if (top)
		real[top] = 0;
	s->root = real;
	if (!s->below)
		return err_nomem(e);
	rc = repo_open(&s->repo, real, false, top ? e : NULL);
	if (rc && !top)
		rc = err_set(e, ERR_NOTFOUND, "'%s' is in no git repository", where);
	return rc;
}

int side_open_rev(struct diff_side **out, const char *rev, const char *repo, struct err *e)
{
	const char *name = *rev ? rev : "HEAD";
	char head[REPO_OID_MAX], tree[REPO_OID_MAX];
	int64_t when;
	int rc = new_side(out, SIDE_REVISION, name, e);

	if (!rc)
		rc = open_repo(*out, repo ? repo : ".", e);
	if (!rc)
		rc = repo_resolve((*out)->repo, name, "", (*out)->commit, (*out)->tree, &when, e);
	/* What is checked out lies on the disk, as far as nobody has changed it. */
	if (!rc && repo_is_top((*out)->root) && !repo_resolve((*out)->repo, "HEAD", "", head, tree, &when, NULL) &&
	    !strcmp(head, (*out)->commit) && !((*out)->folder = strdup((*out)->root)))
		rc = err_nomem(e);
	if (rc) {
		side_close(*out);
		*out = NULL;
	}
	return rc;
}

int side_open_base(struct diff_side **out, const char *a, const char *b, const char *repo, struct err *e)
{
	char commit[REPO_OID_MAX];
	struct diff_side *at;
	int rc = side_open_rev(&at, a, repo, e);

	*out = NULL;
	if (!rc)
		rc = repo_merge_base(at->repo, *a ? a : "HEAD", *b ? b : "HEAD", commit, e);
	if (!rc)
		rc = side_open_rev(out, commit, repo, e);
	side_close(at);
	return rc;
}

static int open_worktree(struct diff_side **out, const char *repo, struct err *e)
{
	int rc = new_side(out, SIDE_WORKTREE, "worktree", e);

	if (!rc)
		rc = open_repo(*out, repo ? repo : ".", e);
	if (!rc && !repo_is_top((*out)->root))
		rc = err_set(e, ERR_INVALID, "the repository '%s' is bare: it has no working tree", (*out)->root);
	if (!rc && !((*out)->folder = strdup((*out)->root)))
		rc = err_nomem(e);
	if (rc) {
		side_close(*out);
		*out = NULL;
	}
	return rc;
}

static int open_path(struct diff_side **out, const char *path, const struct stat *st, struct err *e)
{
	enum side_kind kind = S_ISDIR(st->st_mode) ? SIDE_FOLDER :
			      walk_is_archive(path, strlen(path)) ? SIDE_ARCHIVE : SIDE_FILE;
	int rc;

	if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
		return err_set(e, ERR_INVALID, "'%s' is neither a file nor a folder", path);
	rc = new_side(out, kind, path, e);
	if (!rc && !((*out)->root = realpath(path, NULL)))
		rc = err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
	if (!rc && kind != SIDE_ARCHIVE) {
		const char *name = strrchr((*out)->root, '/');

		(*out)->folder = kind == SIDE_FOLDER ? strdup((*out)->root) :
				 strndup((*out)->root, name && name > (*out)->root ? (size_t)(name - (*out)->root) : 1);
		if (!(*out)->folder)
			rc = err_nomem(e);
	}
	if (rc) {
		side_close(*out);
		*out = NULL;
	}
	return rc;
}

int side_open(struct diff_side **out, const char *operand, const char *repo, bool *twice, struct err *e)
{
	struct diff_side *rev = NULL;
	struct err first = { 0 };
	struct stat st;
	bool is_path = !stat(operand, &st);
	/* "./v1" and "/x/v1" cannot be meant as revisions. */
	bool plain = operand[0] != '/' && strncmp(operand, "./", 2) && strncmp(operand, "../", 3);
	int rc;

	*out = NULL;
	*twice = false;
	if (!strcmp(operand, "worktree"))
		return open_worktree(out, repo, e);
	rc = plain ? side_open_rev(&rev, operand, repo, &first) : ERR_NOTFOUND;
	if (rc == ERR_NOMEM) {
		if (e)
			*e = first;
		return rc;
	}
	if (!rc && (repo || !is_path)) {
		*out = rev;
		return 0;
	}
	*twice = !rc;
	side_close(rev);
	if (is_path)
		return open_path(out, operand, &st, e);
	err_set(e, ERR_NOTFOUND, "'%s' is neither a path nor a revision", operand);
	return err_hint(e, ERR_NOTFOUND, "%s", plain && first.msg[0] ? first.msg : "check the name");
}

int side_open_snapshot(struct diff_side **out, struct catalog *c, int64_t snapshot, const char *label,
		       struct err *e)
{
	int rc = new_side(out, SIDE_SNAPSHOT, label, e);

	if (rc)
		return rc;
	(*out)->cat = c;
	(*out)->snapshot = snapshot;
	return 0;
}

/* ---- asking ---- */

enum side_kind side_kind(const struct diff_side *s)
{
	return s->kind;
}

const char *side_label(const struct diff_side *s)
{
	return s->label;
}

const char *side_commit(const struct diff_side *s)
{
	return s->commit;
}

const char *side_root(const struct diff_side *s)
{
	return s->folder;
}

const struct side_entry *side_entries(const struct diff_side *s, size_t *n)
{
	*n = s->n;
	return s->v;
}

int side_attr_text(struct diff_side *s, const char *path)
{
	return s->repo ? repo_attr_diff(s->repo, path) : -1;
}

int side_document(struct diff_side *s, const struct side_entry *en, struct document *out, struct err *e)
{
	const struct cat_anchor *v;
	struct cat_document cd;
	struct cat_map *map;
	size_t n;
	int rc = cat_document(s->cat, en->document, &cd, e);

	if (!rc)
		rc = cat_text(s->cat, en->document, &out->text, e);
	if (!rc)
		rc = cat_map_open(&map, s->cat, en->document, e);
	if (rc)
		return rc;
	v = cat_map_anchors(map, &n);
	for (size_t i = 0; i < n; i++) {
		doc_anchor(out, (enum anchor_kind)v[i].kind, v[i].number, v[i].start, v[i].title, v[i].detail);
		if (out->n_anchor)
			out->anchor[out->n_anchor - 1].end = v[i].end;
	}
	cat_map_close(map);
	out->kind = DOC_CODE;	/* formats beside those named are languages */
	for (int k = 0; k < DOC_N_KIND; k++)
		if (!strcmp(cd.format, doc_kind_name((enum doc_kind)k)))
			out->kind = (enum doc_kind)k;
	return out->text.failed ? err_nomem(e) : 0;
}

static char *full_path(const struct diff_side *s, const struct side_entry *en)
{
	return s->kind == SIDE_FILE ? strdup(s->root) : path_join(s->root, en->path);
}

uint64_t side_size(struct diff_side *s, struct side_entry *en)
{
	struct buf b = { 0 };

	if (en->size != UINT64_MAX || en->reason)
		return en->size == UINT64_MAX ? 0 : en->size;
	if (s->kind == SIDE_REVISION && (en->mode & MODE_TYPE_MASK) != MODE_MODULE &&
	    !repo_blob_size(s->repo, en->oid, &en->size, NULL))
		return en->size;
	if (!side_read(s, en, SIZE_MAX >> 1, &b, NULL))
		en->size = b.len;
	buf_release(&b);
	return en->size == UINT64_MAX ? 0 : en->size;
}

static int read_link(const char *path, struct buf *out, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n < 0)
		return err_set(e, ERR_IO, "cannot read the link '%s': %s", path, strerror(errno));
	buf_add(out, target, (size_t)n);
	return out->failed ? err_nomem(e) : 0;
}

static int read_disk(struct diff_side *s, const struct side_entry *en, size_t max, struct buf *out,
		     struct err *e)
{
	struct item it = { .origin = FROM_FILE, .path = en->path };
	char *path = full_path(s, en);
	size_t start = out->len;
	int rc;

	if (!path)
		return err_nomem(e);
	it.file = path;
	if ((en->mode & MODE_TYPE_MASK) == MODE_LINK)
		rc = read_link(path, out, e);
	else
		rc = item_read(&it, max, out, NULL, e);
	/* Only whole buffers can be converted: the callers' are empty. */
	if (!rc && s->kind == SIDE_WORKTREE && !start && (en->mode & MODE_TYPE_MASK) == MODE_FILE)
		rc = repo_to_git(s->repo, en->path, out, e);
	free(path);
	return rc;
}

static int read_spool(struct diff_side *s, const struct side_entry *en, size_t max, struct buf *out,
		      struct err *e)
{
	int rc;

	if (en->size > max)
		return err_set(e, ERR_BUDGET, "'%s' holds more than %zu bytes", en->path, max);
	if (!buf_reserve(out, en->size + 1))
		return err_nomem(e);
	rc = file_pread(s->spool, out->data + out->len, en->size, en->at, en->path, e);
	if (!rc)
		out->len += en->size;
	out->data[out->len] = 0;
	return rc;
}

int side_read(struct diff_side *s, const struct side_entry *en, size_t max, struct buf *out,
	      struct err *e)
{
	if (en->reason)
		return err_set(e, ERR_NOTFOUND, "%s", en->reason);
	if ((en->mode & MODE_TYPE_MASK) == MODE_MODULE) {
		buf_addf(out, "Subproject commit %s\n", en->oid);
		return out->failed ? err_nomem(e) : 0;
	}
	switch (s->kind) {
	case SIDE_REVISION:
		return repo_blob(s->repo, en->oid, max, out, e);
	case SIDE_ARCHIVE:
		return read_spool(s, en, max, out, e);
	case SIDE_SNAPSHOT:
		return cat_text(s->cat, en->document, out, e);
	default:
		return read_disk(s, en, max, out, e);
	}
}
