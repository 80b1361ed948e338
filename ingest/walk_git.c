#include "config.h"

#include "ingest/walk.h"

#include "base/size.h"
#include "ingest/classify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TREE_DEPTH_MAX = 1024, MODE_TYPE = 0170000, MODE_DIR = 040000, MODE_SYMLINK = 0120000,
       MODE_COMMIT = 0160000 };

struct revision {
	struct walk *w;
	struct repo *repo;
	unsigned     depth;
	const char  *label_dir;		/* of the folder whose rule files are looked for */
	size_t       base;
	bool         pushed[2];
};

static int read_blob(void *self, const struct item *it, size_t max, struct buf *out, struct err *e)
{
	struct revision *v = self;

	return repo_blob(v->repo, it->oid, max, out, e);
}

/* First pass over a tree: its .folioignore and .ignore. */
static int find_rules(void *ctx, const struct repo_entry *en, struct err *e)
{
	static const char *const names[] = { ".folioignore", ".ignore" };
	struct revision *v = ctx;
	struct buf text = { 0 }, label = { 0 };
	struct rules *r;
	int rc = 0, g;

	for (g = 0; g < 2; g++)
		if (!strcmp(en->name, names[g]))
			break;
	if (g == 2 || (en->mode & MODE_TYPE) != 0100000)
		return 0;
	buf_addf(&label, "%s%s%s", v->label_dir, *v->label_dir ? "/" : "", en->name);
	rc = repo_blob(v->repo, en->oid, RULE_FILE_MAX, &text, NULL);
	if (rc == ERR_NOMEM || label.failed)
		rc = err_nomem(e);
	else if (rc)
		rc = 0;		/* as with a file nobody may read */
	else
		rc = rules_new(&r, label.data, text.data ? text.data : "", text.len, e);
	if (!rc && text.data)
		rc = rulestack_push(&v->w->rules, RULES_FOLIO + g, r, v->base, e);
	v->pushed[g] = !rc && text.data;
	buf_release(&text);
	buf_release(&label);
	return rc;
}

static int walk_tree(struct revision *v, const char *tree, struct err *e);

static int blob_entry(struct revision *v, struct item *it, const struct repo_entry *en,
		      struct err *e)
{
	struct walk *w = v->w;
	struct buf bytes = { 0 };
	int rc = 0;

	if ((en->mode & MODE_TYPE) == MODE_SYMLINK) {
		it->kind = ITEM_SYMLINK;
		if (!repo_blob(v->repo, en->oid, 4096, &bytes, NULL))
			walk_verdict(it, STATE_LIST, WHY_SYMLINK,
				     "symbolic link to '%.150s', not followed", bytes.data ? bytes.data : "");
		else
			walk_verdict(it, STATE_LIST, WHY_SYMLINK, "symbolic link, not followed");
		buf_release(&bytes);
		return walk_emit(w, it, e);
	}
	if (repo_blob_size(v->repo, en->oid, &it->size, NULL)) {
		walk_verdict(it, STATE_SKIP, WHY_UNREADABLE,
			     "git has no object %s here (a partial clone?)", en->oid);
		return walk_emit(w, it, e);
	}
	if (w->o->no_archives || !it->size || it->size > walk_max_file(w) ||
	    !walk_is_archive(w->path.data, w->path.len))
		return walk_emit(w, it, e);
	it->kind = ITEM_ARCHIVE;
	walk_verdict(it, STATE_LIST, WHY_ARCHIVE, "an archive, read member by member");
	rc = walk_emit(w, it, e);
	if (rc)
		return rc == WALK_PASS ? 0 : rc;
	rc = repo_blob(v->repo, en->oid, (size_t)walk_max_file(w), &bytes, e);
	if (!rc)
		rc = walk_archive(w, NULL, bytes.data, bytes.len, 0, e);
	buf_release(&bytes);
	return rc;
}

static int tree_entry(void *ctx, const struct repo_entry *en, struct err *e)
{
	struct revision *v = ctx;
	struct walk *w = v->w;
	struct item it = { .origin = FROM_GIT, .kind = ITEM_FILE, .read = read_blob, .self = v };
	bool is_dir = (en->mode & MODE_TYPE) == MODE_DIR;
	struct place back;
	int rc = walk_stopped(e);

	if (!rc)
		rc = walk_enter(w, en->name, en->n_name, &back, e);
	if (rc)
		return rc;
	if (!walk_wants(w))
		goto out;
	memcpy(it.oid, en->oid, sizeof(it.oid));
	it.mode = en->mode;
	walk_decide(w, &it, is_dir, true, NULL);
	if (is_dir && it.state == STATE_TAKE && v->depth >= TREE_DEPTH_MAX)
		walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "folders nested more than %d deep",
			     TREE_DEPTH_MAX);
	if (is_dir)
		it.kind = ITEM_DIR;
	if ((en->mode & MODE_TYPE) == MODE_COMMIT && it.state == STATE_TAKE) {
		it.kind = ITEM_SUBMODULE;
		walk_verdict(&it, STATE_LIST, WHY_SUBMODULE, "a submodule at %.12s", en->oid);
	}
	if (it.state != STATE_TAKE)
		rc = walk_emit(w, &it, e);
	else if (is_dir)
		rc = walk_tree(v, en->oid, e);
	else
		rc = blob_entry(v, &it, en, e);
out:
	walk_leave(w, back);
	return rc == WALK_PASS ? 0 : rc;
}

static int push_rules(struct revision *v, const char *tree, size_t base, const char *label_dir,
		      bool pushed[2], struct err *e)
{
	int rc;

	v->pushed[0] = v->pushed[1] = false;
	v->base = base;
	v->label_dir = label_dir;
	rc = v->w->o->no_ignore ? 0 : repo_tree(v->repo, tree, find_rules, v, e);
	memcpy(pushed, v->pushed, sizeof(v->pushed));
	return rc;
}

static int walk_tree(struct revision *v, const char *tree, struct err *e)
{
	struct walk *w = v->w;
	bool pushed[2];
	int rc, g;

	v->depth++;
	rc = push_rules(v, tree, w->full.len, w->path.len ? w->path.data : "", pushed, e);
	if (!rc)
		rc = repo_tree(v->repo, tree, tree_entry, v, e);
	for (g = 1; g >= 0; g--)
		if (pushed[g])
			rulestack_pop(&w->rules, RULES_FOLIO + g);
	v->depth--;
	return rc;
}

/* Rule files of the folders above the root, in the same revision. */
static int push_above(struct revision *v, const char *ref, const char *below, struct err *e)
{
	char commit[REPO_OID_MAX], tree[REPO_OID_MAX], *dir = strdup(below);
	size_t i;
	int64_t when;
	bool pushed[2];
	int rc = dir ? 0 : err_nomem(e);

	for (i = 0; !rc && below[i]; i++) {
		if (i && below[i] != '/')
			continue;
		memcpy(dir, below, i);
		dir[i] = 0;
		rc = repo_resolve(v->repo, ref, dir, commit, tree, &when, e);
		if (!rc)
			rc = push_rules(v, tree, i ? i + 1 : 0, dir, pushed, e);
	}
	free(dir);
	return rc;
}

/* The repository around root (or root itself, when bare) and the folder in it. */
static int open_around(struct repo **out, const char *root, const char **below, struct err *e)
{
	size_t top = walk_find_top(root);
	char *dir = strndup(root, top ? top : strlen(root));
	int rc;

	*out = NULL;
	if (!dir)
		return err_nomem(e);
	*below = top && root[top] ? root + top + 1 : "";
	rc = repo_open(out, dir, false, e);
	free(dir);
	return rc;
}

int walk_revision(struct walk *w, const char *root, struct err *e)
{
	struct revision v = { .w = w };
	char commit[REPO_OID_MAX], tree[REPO_OID_MAX];
	const char *below;
	int64_t when;
	int rc = open_around(&v.repo, root, &below, e);

	if (!rc)
		rc = repo_resolve(v.repo, w->o->ref, below, commit, tree, &when, e);
	if (!rc)
		rc = push_above(&v, commit, below, e);
	buf_clear(&w->full);
	if (*below)
		buf_addf(&w->full, "/%s", below);
	if (!rc && (w->full.failed || !buf_reserve(&w->full, 1)))
		rc = err_nomem(e);
	if (!rc) {
		w->full.data[w->full.len] = 0;
		rc = walk_tree(&v, tree, e);
	}
	rulestack_release(&w->rules);
	repo_close(v.repo);
	return rc;
}

int walk_resolve(const char *root, const char *ref, char commit[65], int64_t *when, struct err *e)
{
	char tree[REPO_OID_MAX], *real = realpath(root, NULL);
	struct repo *r = NULL;
	const char *below;
	int rc;

	if (!real)
		return err_set(e, ERR_NOTFOUND, "cannot read '%s'", root);
	rc = open_around(&r, real, &below, e);
	if (!rc)
		rc = repo_resolve(r, ref, below, commit, tree, when, e);
	repo_close(r);
	free(real);
	return rc;
}
