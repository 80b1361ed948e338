#include "config.h"

#include "ingest/diff_side.h"
#include "ingest/diff_side_int.h"

#include "base/file.h"
#include "base/size.h"
#include "cache/catalog.h"
#include "ingest/glob.h"
#include "ingest/repo_index.h"
#include "ingest/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MODE_TREE = 040000, TREE_DEPTH = 1024 };

/* ---- which paths ---- */

/* prefix/arg with "." and ".." taken out; NULL: it leads out of the tree, or there is no memory. */
static char *normal_path(const char *prefix, const char *arg)
{
	struct buf b = { 0 };
	const char *part[2] = { prefix, arg };

	for (int i = 0; i < 2; i++) {
		for (const char *p = part[i]; *p;) {
			size_t n = strcspn(p, "/");

			if (n == 2 && !strncmp(p, "..", 2)) {
				if (!b.len) {
					buf_release(&b);
					return NULL;
				}
				while (b.len && b.data[b.len - 1] != '/')
					b.len--;
				b.len -= b.len > 0;
				b.data[b.len] = 0;
			} else if (n && !(n == 1 && *p == '.')) {
				buf_addf(&b, "%s%.*s", b.len ? "/" : "", (int)n, p);
			}
			p += n;
			p += *p == '/';
		}
	}
	buf_adds(&b, "");
	if (!b.data && buf_reserve(&b, 1))
		b.data[0] = 0;
	return buf_take(&b);
}

static bool path_counts(const struct side_paths *p, const char *path, size_t n)
{
	if (!p || !p->n)
		return true;
	for (size_t i = 0; i < p->n; i++) {
		size_t k = strlen(p->v[i]);

		if (!k || (n >= k && !strncmp(path, p->v[i], k) && (n == k || path[k] == '/')) ||
		    glob_match(p->v[i], k, path, n, 0))
			return true;
	}
	return false;
}

int side_add(struct diff_side *s, const char *path, size_t n, const struct side_paths *p,
	     struct side_entry **out, struct err *e)
{
	if (out)
		*out = NULL;
	if (!path_counts(p, path, n))
		return 0;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct side_entry *v = reallocarray(s->v, cap, sizeof(*v));

		if (!v)
			return err_nomem(e);
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n] = (struct side_entry){ .path = strndup(path, n), .size = UINT64_MAX };
	if (!s->v[s->n].path)
		return err_nomem(e);
	if (out)
		*out = &s->v[s->n];
	s->n++;
	return 0;
}

static int set_reason(struct side_entry *en, const char *why, struct err *e)
{
	en->reason = strdup(why);
	return en->reason ? 0 : err_nomem(e);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct side_entry *)a)->path, ((const struct side_entry *)b)->path);
}

/* ---- two trees of one repository, or one tree alone ---- */

struct node {
	char    *name;
	size_t   n;
	uint32_t mode;
	char     oid[REPO_OID_MAX];
};

struct nodes {
	struct node *v;
	size_t n, cap;
};

static int take_node(void *ctx, const struct repo_entry *en, struct err *e)
{
	struct nodes *l = ctx;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 32;
		struct node *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return err_nomem(e);
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = (struct node){ strndup(en->name, en->n_name), en->n_name, en->mode, "" };
	if (!l->v[l->n].name)
		return err_nomem(e);
	memcpy(l->v[l->n++].oid, en->oid, sizeof(en->oid));
	return 0;
}

static void drop_nodes(struct nodes *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
}

static bool is_tree(const struct node *x)
{
	return (x->mode & MODE_TYPE_MASK) == MODE_TREE;
}

/* git's order of a tree: a folder's name counts with a slash behind it. */
static int node_cmp(const struct node *a, const struct node *b)
{
	size_t n = MIN(a->n, b->n);
	int d = memcmp(a->name, b->name, n);
	unsigned char ca, cb;

	if (d)
		return d;
	ca = a->n > n ? (unsigned char)a->name[n] : is_tree(a) ? '/' : 0;
	cb = b->n > n ? (unsigned char)b->name[n] : is_tree(b) ? '/' : 0;
	return ca < cb ? -1 : ca > cb;
}

struct pair_walk {
	struct diff_side *s[2];
	const struct side_paths *p;
	struct buf path;
};

static int walk_trees(struct pair_walk *w, const char *a, const char *b, int depth, struct err *e);

static int one_node(struct pair_walk *w, int side, const struct node *x, int depth, struct err *e)
{
	size_t keep = w->path.len;
	struct side_entry *en;
	int rc;

	buf_addf(&w->path, "%s%s", keep ? "/" : "", x->name);
	if (w->path.failed)
		return err_nomem(e);
	if (is_tree(x)) {
		rc = side ? walk_trees(w, NULL, x->oid, depth + 1, e) : walk_trees(w, x->oid, NULL, depth + 1, e);
	} else {
		rc = side_add(w->s[side], w->path.data, w->path.len, w->p, &en, e);
		if (!rc && en) {
			/* Old trees have 100664 and the like; git shows them as the nearest it writes now. */
			en->mode = (x->mode & MODE_TYPE_MASK) == MODE_FILE ? (x->mode & 0100 ? 0100755 : 0100644) : x->mode;
			memcpy(en->oid, x->oid, sizeof(en->oid));
		}
	}
	walk_cut(&w->path, keep);
	return rc;
}

static int walk_trees(struct pair_walk *w, const char *a, const char *b, int depth, struct err *e)
{
	struct nodes l[2] = { 0 };
	size_t i = 0, j = 0;
	int rc = walk_stopped(e);

	if (!rc && depth > TREE_DEPTH)
		rc = err_set(e, ERR_CORRUPT, "folders nested more than %d deep", TREE_DEPTH);
	if (!rc && a)
		rc = repo_tree(w->s[0]->repo, a, take_node, &l[0], e);
	if (!rc && b)
		rc = repo_tree(w->s[1]->repo, b, take_node, &l[1], e);
	while (!rc && (i < l[0].n || j < l[1].n)) {
		int d = i == l[0].n ? 1 : j == l[1].n ? -1 : node_cmp(&l[0].v[i], &l[1].v[j]);

		if (d) {
			rc = d < 0 ? one_node(w, 0, &l[0].v[i++], depth, e) : one_node(w, 1, &l[1].v[j++], depth, e);
			continue;
		}
		if (!strcmp(l[0].v[i].oid, l[1].v[j].oid) && l[0].v[i].mode == l[1].v[j].mode) {
			;	/* equal, with all below */
		} else if (is_tree(&l[0].v[i]) && is_tree(&l[1].v[j])) {
			size_t keep = w->path.len;

			buf_addf(&w->path, "%s%s", keep ? "/" : "", l[0].v[i].name);
			rc = w->path.failed ? err_nomem(e) : walk_trees(w, l[0].v[i].oid, l[1].v[j].oid, depth + 1, e);
			walk_cut(&w->path, keep);
		} else {
			rc = one_node(w, 0, &l[0].v[i], depth, e);
			if (!rc)
				rc = one_node(w, 1, &l[1].v[j], depth, e);
		}
		i++;
		j++;
	}
	drop_nodes(&l[0]);
	drop_nodes(&l[1]);
	return rc;
}

static int list_trees(struct diff_side *a, struct diff_side *b, const struct side_paths *p, struct err *e)
{
	struct pair_walk w = { { a, b }, p, { 0 } };
	int rc = walk_trees(&w, a ? a->tree : NULL, b ? b->tree : NULL, 0, e);

	buf_release(&w.path);
	return rc;
}

/* ---- a worktree ---- */

struct list {
	struct diff_side *s;
	const struct side_paths *p;
};

/* What a submodule has checked out; its commit in the index where it is not there. */
static void module_head(const char *dir, char oid[REPO_OID_MAX])
{
	char commit[REPO_OID_MAX], tree[REPO_OID_MAX];
	struct repo *r = NULL;
	int64_t when;

	if (repo_is_top(dir) && !repo_open(&r, dir, false, NULL) &&
	    !repo_resolve(r, "HEAD", "", commit, tree, &when, NULL))
		memcpy(oid, commit, REPO_OID_MAX);
	repo_close(r);
}

static int take_indexed(void *ctx, const struct repo_indexed *x, struct err *e)
{
	struct list *l = ctx;
	struct side_entry *en;
	struct stat st;
	char *file = path_join(l->s->root, x->path);
	bool there = file && !lstat(file, &st), fresh;
	int rc;

	if (!file)
		return err_nomem(e);
	/* Deleted; a folder in place of a tracked file has deleted it too, but a submodule is one. */
	if (!there || S_ISDIR(st.st_mode) != ((x->mode & MODE_TYPE_MASK) == MODE_MODULE)) {
		free(file);
		return walk_stopped(e);
	}
	rc = side_add(l->s, x->path, strlen(x->path), l->p, &en, e);
	if (rc || !en) {
		free(file);
		return rc;
	}
	en->mode = S_ISDIR(st.st_mode) ? MODE_MODULE : S_ISLNK(st.st_mode) ? MODE_LINK :
		   st.st_mode & 0100 ? 0100755 : 0100644;
	fresh = x->fresh && x->mtime_s == st.st_mtim.tv_sec && x->size == (uint32_t)st.st_size &&
		(!x->mtime_ns || x->mtime_ns == (uint32_t)st.st_mtim.tv_nsec) &&
		(!x->ino || x->ino == (uint32_t)st.st_ino) &&
		(x->mode & MODE_TYPE_MASK) == (en->mode & MODE_TYPE_MASK);
	if (en->mode == MODE_MODULE || fresh)
		memcpy(en->oid, x->oid, sizeof(en->oid));
	if (en->mode == MODE_MODULE)
		module_head(file, en->oid);
	free(file);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode))
		return set_reason(en, "neither a file nor a link any more", e);
	return walk_stopped(e);
}

/* ---- folders, archives, files ---- */

static int take_item(void *ctx, const struct item *it, struct err *e)
{
	struct list *l = ctx;
	struct side_entry *en;
	int rc;

	if (it->kind == ITEM_DIR)
		return 0;
	rc = side_add(l->s, it->path, it->n_path, l->p, &en, e);
	if (rc || !en)
		return rc;
	if (it->kind == ITEM_SYMLINK) {
		en->mode = MODE_LINK;
	} else if (it->kind == ITEM_SPECIAL || it->why == WHY_UNREADABLE) {
		rc = set_reason(en, it->reason, e);
	} else {
		en->mode = it->mode & 0100 ? 0100755 : 0100644;
		en->size = it->size;
	}
	return rc ? rc : WALK_PASS;
}

static int list_folder(struct diff_side *s, const struct side_paths *p, struct err *e)
{
	struct walk_opts o = { .hidden = true, .no_ignore = true, .submodules = true, .no_archives = true,
			       .max_file = UINT64_MAX / 2 };
	const char *root = s->root;
	struct list l = { s, p };

	return walk_run(&o, &root, 1, take_item, &l, e);
}

static int to_spool(struct diff_side *s, struct side_entry *en, const struct buf *b, struct err *e)
{
	if (s->spool < 0) {
		char name[] = "/tmp/folio-diff.XXXXXX", *path = NULL;
		const char *tmp = getenv("TMPDIR");

		if (tmp && *tmp)
			path = path_join(tmp, "folio-diff.XXXXXX");
		s->spool = mkostemp(path ? path : name, O_CLOEXEC);
		if (s->spool < 0)
			err_set(e, ERR_IO, "cannot make a file in '%s': %s", tmp && *tmp ? tmp : "/tmp", strerror(errno));
		else
			unlink(path ? path : name);
		free(path);
		if (s->spool < 0)
			return ERR_IO;
	}
	en->at = s->n_spool;
	en->size = b->len;
	s->n_spool += b->len;
	return b->len ? file_pwrite(s->spool, b->data, b->len, en->at, "a temporary file", e) : 0;
}

/* The target of a link is known from the words that tell about it. */
static void link_target(const char *reason, struct buf *out)
{
	const char *a = strchr(reason, '\''), *z = a ? strrchr(reason, '\'') : NULL;

	if (a && z > a)
		buf_add(out, a + 1, (size_t)(z - a - 1));
}

static int take_member(void *ctx, const struct item *it, struct err *e)
{
	struct list *l = ctx;
	struct buf b = { 0 };
	struct side_entry *en;
	struct err why = { 0 };
	int rc;

	if (it->kind == ITEM_ARCHIVE && it->origin == FROM_FILE)
		return 0;
	if (it->why == WHY_BOMB || (it->why == WHY_DAMAGED && it->origin == FROM_ARCHIVE && it->kind == ITEM_FILE &&
				    !it->read))
		return err_set(e, ERR_CORRUPT, "'%s': %s", l->s->label, it->reason);
	if (it->why == WHY_ENCRYPTED)
		return err_set(e, ERR_CORRUPT, "'%s': %s", l->s->label, it->reason);
	rc = side_add(l->s, it->path, it->n_path, NULL, &en, e);
	if (rc || !en)
		return rc;
	en->mode = it->kind == ITEM_SYMLINK ? (uint32_t)MODE_LINK : it->mode & 0100 ? 0100755 : 0100644;
	if (it->kind == ITEM_SYMLINK)
		link_target(it->reason, &b);
	else
		rc = item_read(it, SIZE_MAX >> 2, &b, NULL, &why);
	if (rc && rc != ERR_NOMEM && rc != ERR_INTR)
		rc = set_reason(en, why.msg, e);
	else if (rc && e)
		*e = why;
	else
		rc = b.failed ? err_nomem(e) : to_spool(l->s, en, &b, e);
	buf_release(&b);
	return rc ? rc : WALK_PASS;
}

/* Paths begin with the archive's name, and often with one folder named after the release. */
static int strip_archive(struct diff_side *s, const struct side_paths *p, struct err *e)
{
	size_t skip = 0, top = 0, k = 0;

	for (size_t i = 0; i < s->n; i++) {
		const char *name = strchr(s->v[i].path, '/');
		size_t n = name ? strcspn(name + 1, "/") : 0;

		if (!name || !name[1 + n])
			top = SIZE_MAX;		/* a member without a folder */
		else if (!i)
			top = n;
		else if (top != SIZE_MAX && (top != n || strncmp(name + 1, strchr(s->v[0].path, '/') + 1, n)))
			top = SIZE_MAX;
		skip = name ? (size_t)(name - s->v[i].path) + 1 : 0;
	}
	if (top && top != SIZE_MAX)
		skip += top + 1;
	for (size_t i = 0; i < s->n; i++) {
		struct side_entry en = s->v[i];
		size_t n = strlen(en.path);

		if (n >= skip)
			memmove(en.path, en.path + skip, n - skip + 1);
		if (path_counts(p, en.path, strlen(en.path))) {
			s->v[k++] = en;
		} else {
			free(en.path);
			free(en.reason);
		}
	}
	s->n = k;
	(void)e;
	return 0;
}

static int list_archive(struct diff_side *s, const struct side_paths *p, struct err *e)
{
	struct walk_opts o = { .hidden = true, .no_ignore = true, .max_depth = 1, .max_file = UINT64_MAX / 2 };
	const char *root = s->root;
	struct list l = { s, NULL };
	int rc = walk_run(&o, &root, 1, take_member, &l, e);

	return rc ? rc : strip_archive(s, p, e);
}

static int list_file(struct diff_side *s, struct err *e)
{
	const char *name = strrchr(s->root, '/');
	struct side_entry *en;
	struct stat st;
	int rc = side_add(s, name ? name + 1 : s->root, strlen(name ? name + 1 : s->root), NULL, &en, e);

	if (rc)
		return rc;
	if (stat(s->root, &st))
		return err_set(e, ERR_IO, "cannot read '%s': %s", s->label, strerror(errno));
	en->mode = st.st_mode & 0100 ? 0100755 : 0100644;
	en->size = (uint64_t)st.st_size;
	return 0;
}

static int take_cat(void *ctx, const struct cat_entry *ce)
{
	struct list *l = ctx;
	struct side_entry *en;
	int rc = side_add(l->s, ce->path, ce->path_n, l->p, &en, NULL);

	if (rc || !en)
		return rc;
	en->document = ce->document;
	if (ce->state != CAT_TEXT)
		return set_reason(en, ce->reason && *ce->reason ? ce->reason : "only its name is in the library", NULL);
	/* One document, one text: the number stands for the bytes. */
	snprintf(en->oid, sizeof(en->oid), "doc%lld", (long long)ce->document);
	return 0;
}

static int list_one(struct diff_side *s, const struct side_paths *p, struct err *e)
{
	struct list l = { s, p };
	int rc;

	switch (s->kind) {
	case SIDE_REVISION:
		return list_trees(s, NULL, p, e);
	case SIDE_WORKTREE:
		return repo_index(s->repo, take_indexed, &l, e);
	case SIDE_FOLDER:
		return list_folder(s, p, e);
	case SIDE_ARCHIVE:
		return list_archive(s, p, e);
	case SIDE_FILE:
		return list_file(s, e);
	case SIDE_SNAPSHOT:
		rc = cat_entries(s->cat, s->snapshot, take_cat, &l, e);
		return rc == ERR_NOMEM ? err_nomem(e) : rc;
	}
	return 0;
}

/* PATH arguments as paths of the tree. */
static int paths_of(const struct diff_side *s, const struct side_paths *given, char ***out, struct err *e)
{
	char **v = calloc(given ? given->n + 1 : 1, sizeof(*v));

	*out = v;
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; given && i < given->n; i++) {
		v[i] = normal_path(s->below, given->v[i]);
		if (!v[i])
			return err_set(e, ERR_INVALID, "'%s' leads out of what is compared", given->v[i]);
	}
	return 0;
}

int side_list_both(struct diff_side *a, struct diff_side *b, const struct side_paths *given, struct err *e)
{
	struct diff_side *s[2] = { a, b };
	bool pair = a->kind == SIDE_REVISION && b->kind == SIDE_REVISION && !strcmp(a->root, b->root);
	int rc = 0;

	for (int i = 0; i < 2 && !rc; i++) {
		char **v;
		struct side_paths p;

		rc = paths_of(s[i], given, &v, e);
		p = (struct side_paths){ (const char *const *)v, given ? given->n : 0 };
		if (!rc && pair && i == 0)
			rc = list_trees(a, b, &p, e);
		else if (!rc && !pair)
			rc = list_one(s[i], &p, e);
		for (size_t j = 0; v && given && j < given->n; j++)
			free(v[j]);
		free(v);
		if (!rc && !pair)
			qsort(s[i]->v, s[i]->n, sizeof(*s[i]->v), by_path);
	}
	for (int i = 0; i < 2 && !rc && pair; i++)
		if (s[i]->n)
			qsort(s[i]->v, s[i]->n, sizeof(*s[i]->v), by_path);
	return rc;
}
