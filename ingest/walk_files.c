#include "config.h"

#include "ingest/walk.h"

#include "base/file.h"
#include "base/size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct dir_entry {
	char       *name;
	size_t      n;
	struct stat st;
	int         error;	/* errno of lstat */
};

struct dir {
	struct dir_entry *v;
	size_t            n, cap;
};

static void dir_release(struct dir *d)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		free(d->v[i].name);
	free(d->v);
}

/* By bytes, a folder as if a slash followed its name: then whole paths come out sorted. */
static int cmp_entries(const void *pa, const void *pb)
{
	const struct dir_entry *a = pa, *b = pb;
	size_t n = MIN(a->n, b->n);
	int c = memcmp(a->name, b->name, n);
	unsigned char ca, cb;

	if (c)
		return c;
	ca = a->n > n ? (unsigned char)a->name[n] : S_ISDIR(a->st.st_mode) ? '/' : 0;
	cb = b->n > n ? (unsigned char)b->name[n] : S_ISDIR(b->st.st_mode) ? '/' : 0;
	return ca - cb;
}

/* Returns errno, or 0. */
static int dir_read(struct dir *d, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	int error = 0;

	if (!dir)
		return errno;
	while (!error && (errno = 0, de = readdir(dir))) {
		struct dir_entry *en;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (d->n == d->cap) {
			size_t cap = d->cap ? d->cap * 2 : 64;
			struct dir_entry *v = realloc(d->v, cap * sizeof(*v));

			if (!v) {
				error = ENOMEM;
				break;
			}
			d->v = v;
			d->cap = cap;
		}
		en = &d->v[d->n];
		*en = (struct dir_entry){ .name = strdup(de->d_name), .n = strlen(de->d_name) };
		if (!en->name) {
			error = ENOMEM;
			break;
		}
		d->n++;
		if (fstatat(dirfd(dir), de->d_name, &en->st, AT_SYMLINK_NOFOLLOW) < 0)
			en->error = errno;
	}
	if (!error)
		error = errno;
	closedir(dir);
	if (d->n)
		qsort(d->v, d->n, sizeof(*d->v), cmp_entries);
	return error;
}

/* Read one rule file into a list, NULL when it is not there or no regular file.  label: as people
 * should see it. */
static int load_rules(struct rules **out, const char *path, const char *label, struct err *e)
{
	struct buf b = { 0 };
	struct stat st;
	int rc = 0;

	*out = NULL;
	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;	/* git does not follow a linked .gitignore either */
	if (!file_read(&b, path, RULE_FILE_MAX, NULL))
		rc = rules_new(out, label, b.data ? b.data : "", b.len, e);
	buf_release(&b);
	return rc;
}

/* Push the rule file `name` of the folder that is the first base bytes of full. */
static int push_file(struct walk *w, enum rule_group g, const char *name, size_t base,
		     const char *label_dir, bool *pushed, struct err *e)
{
	struct buf path = { 0 }, label = { 0 };
	struct rules *r = NULL;
	int rc;

	buf_add(&path, w->full.data, base);
	buf_addf(&path, "/%s", name);
	buf_addf(&label, "%s%s%s", label_dir, *label_dir ? "/" : "", name);
	rc = path.failed || label.failed ? err_nomem(e) : load_rules(&r, path.data, label.data, e);
	if (!rc && r) {
		rc = rulestack_push(&w->rules, g, r, base, e);
		*pushed = !rc;
	}
	buf_release(&path);
	buf_release(&label);
	return rc;
}

static const struct {
	enum rule_group group;
	const char     *name;
} rule_files[] = {
	{ RULES_FOLIO, ".folioignore" }, { RULES_IGNORE, ".ignore" }, { RULES_GIT, ".gitignore" },
};

/* Rule files of the folders above the root: .gitignore from the repository's top on. */
int walk_push_parents(struct walk *w, struct err *e)
{
	size_t at, i;
	int rc = 0;

	if (w->o->no_ignore)
		return 0;
	for (at = 0; at < w->full.len && !rc; at++) {
		char label[PATH_MAX];
		bool pushed;

		if (w->full.data[at] != '/')
			continue;
		snprintf(label, sizeof(label), "%.*s", (int)at, w->full.data);
		for (i = 0; i < ARRAY_LEN(rule_files) && !rc; i++)
			if (rule_files[i].group != RULES_GIT || (w->repo && at >= w->top))
				rc = push_file(w, rule_files[i].group, rule_files[i].name, at, label,
					       &pushed, e);
	}
	return rc;
}

static int push_exclude(struct walk *w, enum rule_group g, const char *file, struct err *e)
{
	struct rules *r = NULL;
	int rc = file ? load_rules(&r, file, file, e) : 0;

	return rc || !r ? rc : rulestack_push(&w->rules, g, r, w->top, e);
}

/* The repository whose top is the first `top` bytes of full. */
int walk_enter_repo(struct walk *w, size_t top, struct walk_git_state *save, struct err *e)
{
	char *dir = strndup(w->full.data, top);
	int g, rc = 0;

	*save = (struct walk_git_state){ w->repo, w->top, { 0 }, { 0 } };
	if (!dir)
		return err_nomem(e);
	for (g = RULES_GIT; g < RULES_N_GROUP; g++) {
		save->floor[g] = w->rules.floor[g];
		save->n[g] = w->rules.n[g];
		w->rules.floor[g] = w->rules.n[g];
	}
	w->top = top;
	/* A repository nobody can read still has its .gitignore files. */
	if (repo_open(&w->repo, dir, true, &w->repo_err))
		w->repo = NULL;
	free(dir);
	if (w->repo && !w->o->no_ignore) {
		rc = push_exclude(w, RULES_GIT_INFO, repo_info_exclude(w->repo), e);
		if (!rc)
			rc = push_exclude(w, RULES_GIT_GLOBAL, repo_global_exclude(w->repo), e);
	}
	return rc;
}

void walk_leave_repo(struct walk *w, const struct walk_git_state *save)
{
	int g;

	repo_close(w->repo);
	w->repo = save->repo;
	w->top = save->top;
	for (g = RULES_GIT; g < RULES_N_GROUP; g++) {
		while (w->rules.n[g] > save->n[g])
			rulestack_pop(&w->rules, g);
		w->rules.floor[g] = save->floor[g];
	}
}

/* The place as git names it. */
static const char *git_path(const struct walk *w, size_t *n)
{
	*n = w->full.len > w->top + 1 ? w->full.len - w->top - 1 : 0;
	return w->full.data + (*n ? w->top + 1 : w->full.len);
}

int walk_file_entry(struct walk *w, struct item *it, struct err *e)
{
	struct place here = { w->full.len, w->path.len };
	int rc;

	it->file = w->full.data;
	if (it->state == STATE_TAKE && !w->o->no_archives && it->size &&
	    walk_is_archive(it->path, it->n_path)) {
		it->kind = ITEM_ARCHIVE;
		walk_verdict(it, STATE_LIST, WHY_ARCHIVE, "an archive, read member by member");
	}
	rc = walk_emit(w, it, e);
	if (rc == WALK_PASS)
		return 0;
	if (!rc && it->kind == ITEM_ARCHIVE)
		rc = walk_archive(w, it->file, NULL, 0, 0, e);
	walk_leave(w, here);
	return rc;
}

/* A folder that rules leave out is entered all the same when git tracks something in it. */
static int dir_entry(struct walk *w, struct item *it, const struct item *parent_out, bool git_only,
		     bool is_link, struct err *e)
{
	struct walk_git_state save;
	size_t n;
	const char *rel = git_path(w, &n);
	bool below = w->repo && !w->o->no_ignore && repo_tracks_below(w->repo, rel, n);
	bool top = repo_is_top(w->full.data);
	int rc;

	it->kind = ITEM_DIR;
	if (is_link && it->state == STATE_TAKE && !w->o->submodules) {
		it->kind = ITEM_SUBMODULE;
		walk_verdict(it, STATE_LIST, WHY_SUBMODULE, "a submodule (--submodules includes it)");
		return walk_emit(w, it, e);
	}
	if (parent_out || it->state == STATE_OUT) {
		if (!below || (!parent_out && !git_only))
			return walk_emit(w, it, e);
		return walk_files(w, parent_out ? parent_out : it, e);
	}
	if (!walk_wants(w))
		return 0;
	if (!top || below)
		return walk_files(w, NULL, e);
	if (w->top && !w->o->submodules) {
		it->kind = ITEM_SUBMODULE;
		walk_verdict(it, STATE_LIST, WHY_SUBMODULE,
			     "a repository of its own (--submodules includes it)");
		return walk_emit(w, it, e);
	}
	rc = walk_enter_repo(w, w->full.len, &save, e);
	if (!rc)
		rc = walk_files(w, NULL, e);
	walk_leave_repo(w, &save);
	return rc;
}

static bool is_own(const char *name)
{
	return !strcmp(name, ".git") || !strcmp(name, ".folio");
}

static int one_entry(struct walk *w, const struct dir_entry *en, const struct item *parent_out,
		     struct err *e)
{
	struct item it = { .origin = FROM_FILE, .path = w->path.data, .n_path = w->path.len };
	bool is_dir = S_ISDIR(en->st.st_mode), git_only = false, tracked, is_link = false;
	size_t n;
	const char *rel = git_path(w, &n);
	ssize_t len;

	walk_fill_stat(&it, &en->st);
	it.kind = is_dir ? ITEM_DIR : S_ISREG(en->st.st_mode) ? ITEM_FILE :
		  S_ISLNK(en->st.st_mode) ? ITEM_SYMLINK : ITEM_SPECIAL;
	if (is_own(en->name)) {
		walk_verdict(&it, STATE_OUT, WHY_OWN, "%s's own data", en->name + 1);
		if (w->top && !w->repo && w->full.len == w->top + 5)
			walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "all files count as untracked: %.180s",
				     w->repo_err.msg);
		return walk_emit(w, &it, e);
	}
	tracked = w->repo && repo_tracks(w->repo, rel, n, &is_link);
	walk_decide(w, &it, is_dir, tracked, &git_only);
	if (parent_out && it.state == STATE_TAKE && !tracked) {
		it.state = parent_out->state;
		it.why = parent_out->why;
		memcpy(it.reason, parent_out->reason, sizeof(it.reason));
		it.rule_file = parent_out->rule_file;
		it.rule_line = parent_out->rule_line;
	}
	if (is_dir)
		return dir_entry(w, &it, parent_out, git_only, is_link, e);
	if (it.state == STATE_OUT)
		return walk_emit(w, &it, e);
	if (en->error) {
		walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "cannot stat: %s", strerror(en->error));
	} else if (it.kind == ITEM_SYMLINK) {
		char target[160];

		len = readlink(w->full.data, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = 0;
		walk_verdict(&it, STATE_LIST, WHY_SYMLINK, "symbolic link to '%s', not followed", target);
	} else if (it.kind == ITEM_SPECIAL) {
		walk_verdict(&it, STATE_LIST, WHY_SPECIAL, "%s, not opened",
			     S_ISFIFO(en->st.st_mode) ? "a FIFO" : S_ISSOCK(en->st.st_mode) ? "a socket" :
			     "a device");
	}
	return walk_file_entry(w, &it, e);
}

static bool holds(const struct dir *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->n; i++)
		if (!strcmp(d->v[i].name, name))
			return true;
	return false;
}

/* A library of any name: its own bytes are no source. */
static bool is_library(const struct dir *d)
{
	return holds(d, "CACHEDIR.TAG") && holds(d, "catalog.sqlite") && holds(d, "format") &&
	       holds(d, "segments");
}

/* parent_out: why everything here is out that git does not track; NULL when it is not. */
int walk_files(struct walk *w, const struct item *parent_out, struct err *e)
{
	bool pushed[ARRAY_LEN(rule_files)] = { false };
	struct dir d = { 0 };
	int error = dir_read(&d, w->full.len ? w->full.data : "/"), rc = 0;
	size_t i;

	if (error == ENOMEM)
		rc = err_nomem(e);
	else if (error) {
		struct item it = { .origin = FROM_FILE, .kind = ITEM_DIR };

		walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "cannot read the folder: %s",
			     strerror(error));
		rc = walk_emit(w, &it, e);
	}
	if (!rc && d.n && is_library(&d)) {
		struct item it = { .origin = FROM_FILE, .kind = ITEM_DIR };

		walk_verdict(&it, STATE_OUT, WHY_OWN, "a library of folio's");
		rc = walk_emit(w, &it, e);
		dir_release(&d);
		return rc == WALK_PASS ? 0 : rc;
	}
	for (i = 0; i < ARRAY_LEN(rule_files) && !rc && !w->o->no_ignore; i++)
		if (holds(&d, rule_files[i].name) && (rule_files[i].group != RULES_GIT || w->top))
			rc = push_file(w, rule_files[i].group, rule_files[i].name, w->full.len,
				       w->path.len ? w->path.data : "", &pushed[i], e);
	for (i = 0; i < d.n && !rc; i++) {
		struct place back;

		rc = walk_stopped(e);
		if (!rc)
			rc = walk_enter(w, d.v[i].name, d.v[i].n, &back, e);
		if (rc)
			break;
		if (walk_wants(w))
			rc = one_entry(w, &d.v[i], parent_out, e);
		walk_leave(w, back);
		free(d.v[i].name);	/* names already walked are not needed on the way down */
		d.v[i].name = NULL;
	}
	for (i = ARRAY_LEN(rule_files); i-- > 0;)
		if (pushed[i])
			rulestack_pop(&w->rules, rule_files[i].group);
	dir_release(&d);
	return rc == WALK_PASS ? 0 : rc;
}
