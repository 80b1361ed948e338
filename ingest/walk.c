#include "config.h"

#include "ingest/walk.h"

#include "base/file.h"
#include "base/size.h"
#include "base/stop.h"
#include "ingest/classify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- shared by all kinds of walk --- */

int walk_stopped(struct err *e)
{
	return stop_requested() ? err_set(e, ERR_INTR, "interrupted") : 0;
}

uint64_t walk_max_file(const struct walk *w)
{
	return w->o->max_file ? w->o->max_file : WALK_MAX_FILE;
}

void walk_verdict(struct item *it, enum item_state s, enum item_why why, const char *fmt, ...)
{
	va_list ap;

	it->state = s;
	it->why = why;
	va_start(ap, fmt);
	vsnprintf(it->reason, sizeof(it->reason), fmt, ap);
	va_end(ap);
}

int walk_enter(struct walk *w, const char *name, size_t n, struct place *back, struct err *e)
{
	*back = (struct place){ w->full.len, w->path.len };
	buf_addc(&w->full, '/');
	buf_add(&w->full, name, n);
	if (w->path.len)
		buf_addc(&w->path, '/');
	buf_add(&w->path, name, n);
	return w->full.failed || w->path.failed ? err_nomem(e) : 0;
}

static void cut(struct buf *b, size_t n)
{
	b->len = n;
	if (b->data)
		b->data[n] = 0;
}

void walk_leave(struct walk *w, struct place back)
{
	cut(&w->full, back.full);
	cut(&w->path, back.path);
}

bool walk_wants(const struct walk *w)
{
	const char *only = w->o->only;
	size_t n = w->path.len;

	if (!only || !n)
		return true;
	return !strncmp(only, w->path.data, MIN(n, strlen(only))) &&
	       (strlen(only) > n ? only[n] == '/' : w->path.data[strlen(only)] == 0 ||
		w->path.data[strlen(only)] == '/');
}

/* Does the rule list say something about the place as seen from the root of the source? */
static const struct rule *ask_globs(const struct walk *w, bool is_dir)
{
	size_t base = w->glob_base ? w->glob_base + 1 : 0;

	if (!w->globs || w->path.len <= base)
		return NULL;
	return rules_match(w->globs, w->path.data + base, w->path.len - base, is_dir, false);
}

static void ruled(struct item *it, enum item_why why, struct decision d)
{
	it->rule_file = d.file;
	it->rule_line = d.rule->line;
	walk_verdict(it, STATE_OUT, why, "ignored by %s:%d: %s", d.file, d.rule->line, d.rule->text);
}

/* True when -g has the last word. */
static bool decide_globs(struct walk *w, struct item *it, bool is_dir)
{
	const struct rule *r = ask_globs(w, is_dir);

	if (r && r->negated) {
		walk_verdict(it, STATE_OUT, WHY_GLOB, "left out by -g '%s'", r->text);
		return true;
	}
	if (r) {
		it->wanted = true;
		return true;
	}
	if (w->globs_include && !is_dir) {
		walk_verdict(it, STATE_OUT, WHY_GLOB, "matches no -g glob");
		return true;
	}
	return false;
}

static const char *last_name(const struct buf *b)
{
	const char *slash = b->len ? memrchr(b->data, '/', b->len) : NULL;

	return slash ? slash + 1 : b->data;
}

void walk_decide(struct walk *w, struct item *it, bool is_dir, bool tracked, bool *git_only)
{
	struct decision d = { 0 };
	bool icase = w->repo && repo_icase(w->repo);

	if (git_only)
		*git_only = false;
	it->state = STATE_TAKE;
	if (decide_globs(w, it, is_dir))
		return;
	if (!w->o->no_ignore) {
		d = rulestack_ask(&w->rules, RULES_FOLIO, RULES_GIT, w->full.data, w->full.len,
				  is_dir, false);
		if (d.rule && !d.rule->negated) {
			ruled(it, WHY_IGNORED, d);
			return;
		}
		if (!d.rule && !tracked) {
			d = rulestack_ask(&w->rules, RULES_GIT, RULES_N_GROUP, w->full.data,
					  w->full.len, is_dir, icase);
			if (d.rule && !d.rule->negated) {
				ruled(it, WHY_IGNORED, d);
				if (git_only)
					*git_only = true;
				return;
			}
		}
	}
	/* An explicit "!.name" shows a hidden file, as in ripgrep; being tracked alone does not. */
	if (!d.rule && !w->o->hidden && last_name(&w->full)[0] == '.')
		walk_verdict(it, STATE_OUT, WHY_HIDDEN, "hidden (--hidden includes it)");
}

void walk_decide_member(struct walk *w, struct item *it, size_t n_archive)
{
	const char *p = w->path.data + n_archive;

	it->state = STATE_TAKE;
	if (decide_globs(w, it, false) || w->o->hidden)
		return;
	for (; p; p = strchr(p + 1, '/'))
		if (p[0] == '/' && p[1] == '.')
			walk_verdict(it, STATE_OUT, WHY_HIDDEN, "hidden (--hidden includes it)");
}

int walk_emit(struct walk *w, struct item *it, struct err *e)
{
	const char *only = w->o->only;

	it->path = w->path.data;
	it->n_path = w->path.len;
	/* With `only`, folders on the way are walked but not told, unless they end it. */
	if (only && (!walk_wants(w) || (it->n_path < strlen(only) && it->state == STATE_TAKE)))
		return 0;
	if (it->kind == ITEM_FILE && it->state == STATE_TAKE) {
		if (it->size != UINT64_MAX && it->size > walk_max_file(w))
			walk_verdict(it, STATE_SKIP, WHY_TOO_LARGE,
				     "too large: %llu bytes, the limit is %llu (--max-filesize)",
				     (unsigned long long)it->size, (unsigned long long)walk_max_file(w));
		else
			classify_name(it);
	}
	return w->fn(w->ctx, it, e);
}

/* --- reading --- */

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fill_stat(struct item *it, const struct stat *st)
{
	it->has_stat = true;
	it->size = (uint64_t)st->st_size;
	it->mtime_ns = ns_of(st->st_mtim);
	it->ctime_ns = ns_of(st->st_ctim);
	it->ino = st->st_ino;
	it->dev = st->st_dev;
	it->mode = st->st_mode;
}

static int read_fd(int fd, const char *name, size_t max, struct buf *out, struct err *e)
{
	size_t start = out->len;

	for (;;) {
		size_t want = MIN((size_t)1 << 18, max - (out->len - start) + 1);
		ssize_t n;

		if (!buf_reserve(out, want))
			return err_nomem(e);
		n = read(fd, out->data + out->len, want);
		if (n < 0 && errno == EINTR) {
			if (stop_requested())	/* a pipe may have nothing to say for ever */
				return err_set(e, ERR_INTR, "interrupted");
			continue;
		}
		if (n < 0)
			return err_set(e, ERR_IO, "cannot read '%s': %s", name, strerror(errno));
		if (n == 0)
			break;
		out->len += (size_t)n;
		if (out->len - start > max)
			return err_set(e, ERR_BUDGET, "'%s' holds more than %zu bytes", name, max);
	}
	cut(out, out->len);
	return 0;
}

/* O_NOFOLLOW and a second look: what lstat saw may have been swapped for a link or a FIFO since. */
static int read_file(const struct item *it, size_t max, struct buf *out, struct item *after,
		     struct err *e)
{
	int fd = open(it->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int rc;

	if (fd < 0)
		return err_set(e, ERR_IO, "cannot open: %s", strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = err_set(e, ERR_IO, "not a regular file any more");
	else if (!buf_reserve(out, MIN((size_t)st.st_size, max) + 1))
		rc = err_nomem(e);
	else
		rc = read_fd(fd, it->path, max, out, e);
	if (!rc && after && !fstat(fd, &st))
		fill_stat(after, &st);
	close(fd);
	return rc;
}

int item_read(const struct item *it, size_t max, struct buf *out, struct item *after,
	      struct err *e)
{
	size_t start = out->len;
	int rc;

	if (it->origin == FROM_FILE)
		rc = read_file(it, max, out, after, e);
	else if (it->origin == FROM_STDIN)
		rc = read_fd(STDIN_FILENO, "stdin", max, out, e);
	else if (it->read)
		rc = it->read(it->self, it, max, out, e);
	else
		rc = err_set(e, ERR_INVALID, "'%s' cannot be read here", it->path);
	if (rc)
		cut(out, start);
	return rc;
}

struct item *item_copy(const struct item *it)
{
	size_t n_file = it->file ? strlen(it->file) + 1 : 0;
	struct item *c = malloc(sizeof(*c) + it->n_path + 1 + n_file);
	char *p = (char *)(c + 1);

	if (!c)
		return NULL;
	*c = *it;
	memcpy(p, it->path, it->n_path);
	p[it->n_path] = 0;
	c->path = p;
	p += it->n_path + 1;
	if (it->file)
		memcpy(p, it->file, n_file);
	c->file = it->file ? p : NULL;
	c->rule_file = NULL;
	c->read = NULL;
	c->self = NULL;
	return c;
}

const char *state_name(enum item_state s)
{
	static const char *const name[] = { "taken", "listed", "skipped", "out" };

	return name[s];
}

/* --- files --- */

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
static int push_parents(struct walk *w, struct err *e)
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

/* What surrounds the place in terms of git; saved while a repository inside is walked. */
struct git_state {
	struct repo *repo;
	size_t       top;
	size_t       floor[RULES_N_GROUP], n[RULES_N_GROUP];
};

static int push_exclude(struct walk *w, enum rule_group g, const char *file, struct err *e)
{
	struct rules *r = NULL;
	int rc = file ? load_rules(&r, file, file, e) : 0;

	return rc || !r ? rc : rulestack_push(&w->rules, g, r, w->top, e);
}

/* The repository whose top is the first `top` bytes of full. */
static int enter_repo(struct walk *w, size_t top, struct git_state *save, struct err *e)
{
	char *dir = strndup(w->full.data, top);
	int g, rc = 0;

	*save = (struct git_state){ w->repo, w->top, { 0 }, { 0 } };
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

static void leave_repo(struct walk *w, const struct git_state *save)
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

static int walk_dir(struct walk *w, const struct item *parent_out, struct err *e);

static int file_entry(struct walk *w, struct item *it, struct err *e)
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
	struct git_state save;
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
		return walk_dir(w, parent_out ? parent_out : it, e);
	}
	if (!walk_wants(w))
		return 0;
	if (!top || below)
		return walk_dir(w, NULL, e);
	if (w->top && !w->o->submodules) {
		it->kind = ITEM_SUBMODULE;
		walk_verdict(it, STATE_LIST, WHY_SUBMODULE,
			     "a repository of its own (--submodules includes it)");
		return walk_emit(w, it, e);
	}
	rc = enter_repo(w, w->full.len, &save, e);
	if (!rc)
		rc = walk_dir(w, NULL, e);
	leave_repo(w, &save);
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

	fill_stat(&it, &en->st);
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
	return file_entry(w, &it, e);
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
static int walk_dir(struct walk *w, const struct item *parent_out, struct err *e)
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

/* --- roots --- */

/* What items of a root are called: nothing when it is the only one and a folder. */
static int root_prefix(struct walk *w, const char *given, const char *real, bool bare,
		       struct err *e)
{
	const char *p = given, *name = strrchr(real, '/');
	bool plain = *p != '/';

	buf_clear(&w->path);
	w->glob_base = 0;
	if (bare)
		return 0;
	while (plain && *p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !strncmp(p, "..", 2))
			plain = false;
		else if (n && !(n == 1 && *p == '.'))
			buf_addf(&w->path, "%s%.*s", w->path.len ? "/" : "", (int)n, p);
		p += n;
		while (*p == '/')
			p++;
	}
	if (!plain || !w->path.len) {
		buf_clear(&w->path);
		buf_adds(&w->path, name && name[1] ? name + 1 : "root");
	}
	return w->path.failed ? err_nomem(e) : 0;
}

size_t walk_find_top(const char *real)
{
	char *dir = strdup(real);
	size_t n = dir ? strlen(dir) : 0;

	while (n > 1 && !repo_is_top(dir)) {
		while (n > 1 && dir[n - 1] != '/')
			n--;
		if (n > 1)
			n--;
		dir[n] = 0;
	}
	free(dir);
	return n > 1 ? n : 0;
}

static int walk_root_dir(struct walk *w, const char *real, struct err *e)
{
	struct git_state save;
	size_t top;
	int rc;

	w->glob_base = w->path.len;
	if (w->o->ref)
		return walk_revision(w, real, e);
	buf_clear(&w->full);
	if (strcmp(real, "/"))
		buf_adds(&w->full, real);
	if (!buf_reserve(&w->full, 1))
		return err_nomem(e);
	cut(&w->full, w->full.len);
	top = walk_find_top(real);
	rc = top ? enter_repo(w, top, &save, e) : 0;
	if (!rc)
		rc = push_parents(w, e);	/* those of this folder itself are read by walk_dir */
	if (!rc)
		rc = walk_dir(w, NULL, e);
	if (top)
		leave_repo(w, &save);
	rulestack_release(&w->rules);
	return rc;
}

static int walk_root_file(struct walk *w, const char *real, const struct stat *st, struct err *e)
{
	struct item it = { .origin = FROM_FILE, .kind = ITEM_FILE, .wanted = true };

	buf_clear(&w->full);
	buf_adds(&w->full, real);
	if (w->full.failed)
		return err_nomem(e);
	it.path = w->path.data;
	it.n_path = w->path.len;
	w->glob_base = w->path.len;
	fill_stat(&it, st);
	if (!S_ISREG(st->st_mode)) {
		it.kind = ITEM_SPECIAL;
		walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "not a regular file");
	}
	return file_entry(w, &it, e);
}

static int walk_stdin(struct walk *w, struct err *e)
{
	struct item it = { .origin = FROM_STDIN, .kind = ITEM_FILE, .wanted = true,
			   .size = UINT64_MAX };

	buf_clear(&w->path);
	buf_adds(&w->path, "stdin");
	return w->path.failed ? err_nomem(e) : walk_emit(w, &it, e);
}

/* listed: one of many, whose absence is told and not fatal. */
static int walk_root(struct walk *w, const char *given, bool only_root, bool listed, struct err *e)
{
	struct stat st;
	char *real;
	int rc;

	if (!strcmp(given, "-") && !listed)
		return walk_stdin(w, e);
	real = realpath(given, NULL);
	if (!real || stat(given, &st) < 0) {
		int error = errno;

		free(real);
		if (!listed)
			return err_set(e, error == ENOENT || error == ENOTDIR ? ERR_NOTFOUND : ERR_IO,
				       "cannot read '%s': %s", given, strerror(error));
		rc = root_prefix(w, given, given, false, e);
		if (!rc) {
			struct item it = { .origin = FROM_FILE, .kind = ITEM_FILE };

			walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "cannot open: %s", strerror(error));
			rc = walk_emit(w, &it, e);
		}
		return rc;
	}
	rc = root_prefix(w, given, real, S_ISDIR(st.st_mode) && only_root, e);
	if (!rc)
		rc = S_ISDIR(st.st_mode) ? walk_root_dir(w, real, e) : walk_root_file(w, real, &st, e);
	free(real);
	return rc == WALK_PASS ? 0 : rc;
}

static int walk_begin(struct walk *w, const struct walk_opts *o, walk_fn *fn, void *ctx,
		      struct err *e)
{
	size_t i;
	int rc;

	*w = (struct walk){ .o = o, .fn = fn, .ctx = ctx };
	if (!o->n_glob)
		return 0;
	rc = rules_new(&w->globs, "-g", "", 0, e);
	for (i = 0; i < o->n_glob && !rc; i++) {
		w->globs_include |= o->globs[i][0] != '!';
		rc = rules_add(w->globs, o->globs[i], e);
	}
	return rc;
}

static void walk_end(struct walk *w)
{
	rules_free(w->globs);
	rulestack_release(&w->rules);
	buf_release(&w->full);
	buf_release(&w->path);
}

int walk_run(const struct walk_opts *o, const char *const *roots, size_t n_root, walk_fn *fn,
	     void *ctx, struct err *e)
{
	struct walk w;
	size_t i;
	int rc = walk_begin(&w, o, fn, ctx, e);

	for (i = 0; i < n_root && !rc; i++)
		rc = walk_root(&w, roots[i], n_root == 1, false, e);
	walk_end(&w);
	return rc;
}

int walk_list(const struct walk_opts *o, int fd, bool nul, walk_fn *fn, void *ctx, struct err *e)
{
	int dup_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3), rc;
	FILE *f = dup_fd >= 0 ? fdopen(dup_fd, "r") : NULL;
	char *line = NULL;
	size_t cap = 0;
	struct walk w;
	ssize_t n;

	if (!f) {
		if (dup_fd >= 0)
			close(dup_fd);
		return err_set(e, ERR_IO, "cannot read the list of files: %s", strerror(errno));
	}
	rc = walk_begin(&w, o, fn, ctx, e);
	while (!rc && (n = getdelim(&line, &cap, nul ? 0 : '\n', f)) > 0) {
		if (!nul && line[n - 1] == '\n')
			line[--n] = 0;
		if (n && line[0])
			rc = walk_root(&w, line, false, true, e);
		if (!rc)
			rc = walk_stopped(e);
	}
	if (!rc)
		rc = walk_stopped(e);
	if (!rc && ferror(f))
		rc = err_set(e, ERR_IO, "cannot read the list of files: %s", strerror(errno));
	free(line);
	fclose(f);
	walk_end(&w);
	return rc;
}
