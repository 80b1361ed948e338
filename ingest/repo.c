#include "config.h"

#include "ingest/repo.h"

#include "base/file.h"
#include "ingest/gitproc.h"

#include <git2.h>
#include <git2/sys/repository.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MODE_LINK = 0160000, INDEX_MAX = 1 << 30 };

/* Paths of the index, sorted by bytes, each NUL-terminated in `names`. */
struct tracked {
	struct buf names;
	size_t    *at;		/* offset of the i-th path, its lowest bit of flags apart */
	bool      *is_link;
	size_t     n, cap;
};

struct repo {
	git_repository *git;	/* NULL: plumbing */
	struct gitproc *cat;	/* started at the first object */
	char           *dir;
	char           *info_exclude, *global_exclude;
	bool            icase;
	struct tracked  idx;
};

/* Once for the process.  Ownership is not checked: the check protects against configuration that
 * runs programs, and libgit2 runs none for what is asked of it here. */
static void init_git2(void)
{
	static const char *extensions[] = { "worktreeConfig", "partialClone", "partialclone",
					    "worktreeconfig", "noop" };

	git_libgit2_init();
	git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, sizeof(extensions) / sizeof(*extensions));
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
}

static void git2_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_git2);
}

static int git2_err(struct err *e, int code, const char *what, const char *name)
{
	const git_error *ge = git_error_last();

	return err_set(e, code, "%s '%s': %s", what, name, ge ? ge->message : "unknown");
}

/* The mode of dir/name, 0 when there is none. */
static mode_t mode_of(const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	struct stat st;
	mode_t mode = path && !stat(path, &st) ? st.st_mode : 0;

	free(path);
	return mode;
}

/* A FIFO in place of a file would hold libgit2 and git for ever. */
static bool is_git_dir(const char *dir)
{
	static const char *const files[] = { "config", "config.worktree", "index", "packed-refs",
					     "shallow", "commondir" };
	size_t i;

	if (!S_ISREG(mode_of(dir, "HEAD")))
		return false;
	for (i = 0; i < sizeof(files) / sizeof(*files); i++) {
		mode_t mode = mode_of(dir, files[i]);

		if (mode && !S_ISREG(mode))
			return false;
	}
	return S_ISDIR(mode_of(dir, "objects")) || mode_of(dir, "commondir");
}

bool repo_is_top(const char *dir)
{
	char *git = path_join(dir, ".git"), *target;
	struct buf b = { 0 };
	struct stat st;
	bool is = false;

	if (!git || stat(git, &st) < 0) {
		free(git);
		return false;
	}
	if (S_ISDIR(st.st_mode))
		is = is_git_dir(git);
	else if (S_ISREG(st.st_mode) && !file_read(&b, git, 65536, NULL) && b.len > 8 &&
		 !strncmp(b.data, "gitdir: ", 8)) {
		while (b.len && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == '\r'))
			b.data[--b.len] = 0;
		target = b.data[8] == '/' ? strdup(b.data + 8) : path_join(dir, b.data + 8);
		is = target && is_git_dir(target);
		free(target);
	}
	buf_release(&b);
	free(git);
	return is;
}

static int track(struct tracked *t, const char *path, bool is_link, struct err *e)
{
	if (t->n && !strcmp(t->names.data + t->at[t->n - 1], path))
		return 0;		/* another stage of a conflict */
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 1024;
		size_t *at = realloc(t->at, cap * sizeof(*at));
		bool *link;

		if (!at)
			return err_nomem(e);
		t->at = at;
		link = realloc(t->is_link, cap * sizeof(*link));
		if (!link)
			return err_nomem(e);
		t->is_link = link;
		t->cap = cap;
	}
	t->at[t->n] = t->names.len;
	t->is_link[t->n++] = is_link;
	buf_add(&t->names, path, strlen(path) + 1);
	return t->names.failed ? err_nomem(e) : 0;
}

static int cmp_names(const void *a, const void *b, void *names)
{
	return strcmp((const char *)names + *(const size_t *)a, (const char *)names + *(const size_t *)b);
}

/* Index order is byte order already, save with core.ignoreCase, where libgit2 folds. */
static int sort_tracked(struct tracked *t, struct err *e)
{
	struct tracked s = { 0 };
	size_t i, *order;
	int rc = 0;

	for (i = 1; i < t->n; i++)
		if (strcmp(t->names.data + t->at[i - 1], t->names.data + t->at[i]) > 0)
			break;
	if (i >= t->n)
		return 0;
	/* Links are few; look each up by its offset after the sort. */
	order = malloc(t->n * sizeof(*order));
	if (!order)
		return err_nomem(e);
	memcpy(order, t->at, t->n * sizeof(*order));
	qsort_r(order, t->n, sizeof(*order), cmp_names, t->names.data);
	for (i = 0; i < t->n && !rc; i++) {
		size_t lo = 0, hi = t->n;

		while (hi - lo > 1) {	/* offsets grow in t->at */
			size_t mid = lo + (hi - lo) / 2;

			if (t->at[mid] <= order[i])
				lo = mid;
			else
				hi = mid;
		}
		rc = track(&s, t->names.data + order[i], t->is_link[lo], e);
	}
	free(order);
	buf_release(&t->names);
	free(t->at);
	free(t->is_link);
	*t = s;
	return rc;
}

static int read_index_git2(struct repo *r, struct err *e)
{
	git_index *index;
	size_t i, n;
	int rc = 0;

	if (git_repository_index(&index, r->git) < 0)
		return git2_err(e, ERR_INVALID, "cannot read the index of", r->dir);
	n = git_index_entrycount(index);
	for (i = 0; i < n && !rc; i++) {
		const git_index_entry *entry = git_index_get_byindex(index, i);

		rc = track(&r->idx, entry->path, entry->mode == MODE_LINK, e);
	}
	git_index_free(index);
	return rc;
}

static int read_index_plumbing(struct repo *r, struct err *e)
{
	static const char *const args[] = { "ls-files", "-s", "-z", "--full-name", NULL };
	struct buf b = { 0 };
	char *p, *end;
	int rc = gitproc_read(r->dir, args, INDEX_MAX, &b, e);

	/* "MODE OID STAGE\tPATH\0" */
	for (p = b.data, end = p + b.len; !rc && p && p < end; p += strlen(p) + 1) {
		char *tab = strchr(p, '\t');

		if (!tab)
			rc = err_set(e, ERR_INVALID, "git ls-files said something strange in '%s'", r->dir);
		else
			rc = track(&r->idx, tab + 1, !strncmp(p, "160000", 6), e);
	}
	buf_release(&b);
	return rc;
}

/* Where git looks when core.excludesFile is not set. */
static char *default_excludes(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (xdg && *xdg)
		return path_join(xdg, "git/ignore");
	return home && *home ? path_join(home, ".config/git/ignore") : NULL;
}

static void read_config_git2(struct repo *r)
{
	git_config *cfg = NULL;
	git_buf b = GIT_BUF_INIT;
	int icase = 0;

	if (!git_repository_item_path(&b, r->git, GIT_REPOSITORY_ITEM_INFO))
		r->info_exclude = path_join(b.ptr, "exclude");
	git_buf_dispose(&b);
	if (!git_repository_config_snapshot(&cfg, r->git)) {
		if (!git_config_get_path(&b, cfg, "core.excludesfile")) {
			r->global_exclude = b.ptr[0] == '/' ? strdup(b.ptr) : path_join(r->dir, b.ptr);
			git_buf_dispose(&b);
		}
		if (!git_config_get_bool(&icase, cfg, "core.ignorecase"))
			r->icase = icase;
	}
	git_config_free(cfg);
}

/* The one line git prints, without its end; NULL when it failed. */
static char *git_line(const struct repo *r, const char *const *args)
{
	struct buf b = { 0 };

	if (gitproc_read(r->dir, args, 65536, &b, NULL)) {
		buf_release(&b);
		return NULL;
	}
	while (b.len && b.data[b.len - 1] == '\n')
		b.data[--b.len] = 0;
	return buf_take(&b);
}

static int read_config_plumbing(struct repo *r, struct err *e)
{
	static const char *const info[] = { "rev-parse", "--git-path", "info/exclude", NULL };
	static const char *const global[] = { "config", "--path", "core.excludesFile", NULL };
	static const char *const icase[] = { "config", "--bool", "core.ignoreCase", NULL };
	char *s = git_line(r, info);

	if (!s)
		return err_set(e, ERR_INVALID, "neither libgit2 nor git can read the repository '%s'",
			       r->dir);
	r->info_exclude = s[0] == '/' ? strdup(s) : path_join(r->dir, s);
	free(s);
	s = git_line(r, global);
	if (s && *s)
		r->global_exclude = s[0] == '/' ? strdup(s) : path_join(r->dir, s);
	free(s);
	s = git_line(r, icase);
	r->icase = s && !strcmp(s, "true");
	free(s);
	return 0;
}

int repo_open(struct repo **out, const char *dir, bool want_index, struct err *e)
{
	struct repo *r = calloc(1, sizeof(*r));
	int rc = 0;

	*out = NULL;
	git2_once();
	if (!r || !(r->dir = strdup(dir))) {
		free(r);
		return err_nomem(e);
	}
	if (git_repository_open_ext(&r->git, dir, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) < 0)
		r->git = NULL;
	if (r->git && want_index && read_index_git2(r, NULL)) {
		git_repository_free(r->git);
		r->git = NULL;
		r->idx.n = 0;
		buf_clear(&r->idx.names);
	}
	if (r->git)
		read_config_git2(r);
	else
		rc = read_config_plumbing(r, e);
	if (!rc && !r->git && want_index)
		rc = read_index_plumbing(r, e);
	if (!rc)
		rc = sort_tracked(&r->idx, e);
	if (!rc && !r->global_exclude)
		r->global_exclude = default_excludes();
	if (rc)
		repo_close(r);
	else
		*out = r;
	return rc;
}

void repo_close(struct repo *r)
{
	if (!r)
		return;
	git_repository_free(r->git);
	gitproc_stop(r->cat);
	buf_release(&r->idx.names);
	free(r->idx.at);
	free(r->idx.is_link);
	free(r->info_exclude);
	free(r->global_exclude);
	free(r->dir);
	free(r);
}

bool repo_plumbing(const struct repo *r)
{
	return !r->git;
}

struct git_repository *repo_libgit2(const struct repo *r)
{
	return r->git;
}

const char *repo_dir(const struct repo *r)
{
	return r->dir;
}

bool repo_icase(const struct repo *r)
{
	return r->icase;
}

const char *repo_info_exclude(const struct repo *r)
{
	return r->info_exclude;
}

const char *repo_global_exclude(const struct repo *r)
{
	return r->global_exclude;
}

/* The first tracked path that is not less than name (n bytes). */
static size_t lower_bound(const struct tracked *t, const char *name, size_t n)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strncmp(t->names.data + t->at[mid], name, n) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool repo_tracks(const struct repo *r, const char *path, size_t n, bool *is_link)
{
	size_t i = lower_bound(&r->idx, path, n);

	if (is_link)
		*is_link = false;
	if (i == r->idx.n)
		return false;
	if (strncmp(r->idx.names.data + r->idx.at[i], path, n) ||
	    r->idx.names.data[r->idx.at[i] + n])
		return false;
	if (is_link)
		*is_link = r->idx.is_link[i];
	return true;
}

bool repo_tracks_below(const struct repo *r, const char *dir, size_t n)
{
	struct buf b = { 0 };
	size_t i;
	bool is;

	if (!n)
		return r->idx.n > 0;
	buf_add(&b, dir, n);
	buf_addc(&b, '/');
	if (b.failed)
		return false;
	i = lower_bound(&r->idx, b.data, b.len);
	is = i < r->idx.n && !strncmp(r->idx.names.data + r->idx.at[i], b.data, b.len);
	buf_release(&b);
	return is;
}

/* Objects, through libgit2. */

static int resolve_git2(struct repo *r, const char *rev, const char *below, char *commit, char *tree,
			int64_t *when, struct err *e)
{
	git_object *obj = NULL, *peeled = NULL;
	git_tree *top = NULL;
	git_tree_entry *entry = NULL;
	int rc = 0;

	*when = 0;
	if (git_revparse_single(&obj, r->git, rev) < 0 ||
	    git_object_peel(&peeled, obj, GIT_OBJECT_COMMIT) < 0) {
		git_object_free(obj);
		return err_set(e, ERR_NOTFOUND, "no commit '%s' in '%s'", rev, r->dir);
	}
	git_oid_tostr(commit, REPO_OID_MAX, git_object_id(peeled));
	*when = git_commit_time((git_commit *)peeled);
	if (git_commit_tree(&top, (git_commit *)peeled) < 0)
		rc = git2_err(e, ERR_CORRUPT, "cannot read the tree of", rev);
	else if (!*below)
		git_oid_tostr(tree, REPO_OID_MAX, git_tree_id(top));
	else if (git_tree_entry_bypath(&entry, top, below) < 0 ||
		 git_tree_entry_type(entry) != GIT_OBJECT_TREE)
		rc = err_set(e, ERR_NOTFOUND, "no folder '%s' in '%s'", below, rev);
	else
		git_oid_tostr(tree, REPO_OID_MAX, git_tree_entry_id(entry));
	git_tree_entry_free(entry);
	git_tree_free(top);
	git_object_free(peeled);
	git_object_free(obj);
	return rc;
}

static int tree_git2(struct repo *r, const char *tree, repo_entry_fn *fn, void *ctx, struct err *e)
{
	git_tree *t;
	git_oid oid;
	size_t i, n;
	int rc = 0;

	if (git_oid_fromstr(&oid, tree) < 0 || git_tree_lookup(&t, r->git, &oid) < 0)
		return git2_err(e, ERR_CORRUPT, "cannot read tree", tree);
	n = git_tree_entrycount(t);
	for (i = 0; i < n && !rc; i++) {
		const git_tree_entry *te = git_tree_entry_byindex(t, i);
		struct repo_entry entry = { .name = git_tree_entry_name(te),
					    .mode = git_tree_entry_filemode_raw(te) };

		entry.n_name = strlen(entry.name);
		git_oid_tostr(entry.oid, sizeof(entry.oid), git_tree_entry_id(te));
		rc = fn(ctx, &entry, e);
	}
	git_tree_free(t);
	return rc;
}

static int size_git2(struct repo *r, const char *oid_hex, uint64_t *size, struct err *e)
{
	git_object_t type;
	git_odb *odb = NULL;
	size_t n = 0;
	git_oid oid;
	int rc = 0;

	if (git_oid_fromstr(&oid, oid_hex) < 0 || git_repository_odb(&odb, r->git) < 0 ||
	    git_odb_read_header(&n, &type, odb, &oid) < 0)
		rc = git2_err(e, ERR_CORRUPT, "cannot read object", oid_hex);
	git_odb_free(odb);
	*size = n;
	return rc;
}

static int blob_git2(struct repo *r, const char *oid_hex, struct buf *out, struct err *e)
{
	git_odb_object *obj = NULL;
	git_odb *odb = NULL;
	git_oid oid;
	int rc = 0;

	if (git_oid_fromstr(&oid, oid_hex) < 0 || git_repository_odb(&odb, r->git) < 0 ||
	    git_odb_read(&obj, odb, &oid) < 0)
		rc = git2_err(e, ERR_CORRUPT, "cannot read object", oid_hex);
	else
		buf_add(out, git_odb_object_data(obj), git_odb_object_size(obj));
	git_odb_object_free(obj);
	git_odb_free(odb);
	return rc ? rc : out->failed ? err_nomem(e) : 0;
}

/* Objects, through the program. */

static int start_cat(struct repo *r, struct err *e)
{
	return r->cat ? 0 : gitproc_start(&r->cat, r->dir, e);
}

static int resolve_plumbing(struct repo *r, const char *rev, const char *below, char *commit,
			    char *tree, int64_t *when, struct err *e)
{
	struct buf spec = { 0 };
	char *line = NULL, *date = NULL;
	int rc = 0;

	buf_addf(&spec, "%s^{commit}", rev);
	if (!spec.failed) {
		const char *args[] = { "rev-parse", "--verify", "--quiet", "--end-of-options",
				       spec.data, NULL };

		line = git_line(r, args);
	}
	if (!line || strlen(line) >= REPO_OID_MAX) {
		rc = err_set(e, ERR_NOTFOUND, "no commit '%s' in '%s'", rev, r->dir);
		goto out;
	}
	strcpy(commit, line);
	buf_clear(&spec);
	buf_addf(&spec, "%s:%s", commit, below);
	if (!spec.failed) {
		const char *args[] = { "rev-parse", "--verify", "--quiet", "--end-of-options",
				       spec.data, NULL };
		const char *show[] = { "show", "-s", "--no-show-signature", "--format=%ct", commit, NULL };

		free(line);
		line = git_line(r, args);
		date = git_line(r, show);
	}
	if (!line || strlen(line) >= REPO_OID_MAX) {
		rc = err_set(e, ERR_NOTFOUND, "no folder '%s' in '%s'", below, rev);
		goto out;
	}
	strcpy(tree, line);
	*when = date ? strtoll(date, NULL, 10) : 0;
out:
	free(line);
	free(date);
	buf_release(&spec);
	return rc;
}

/* A tree object is a run of "MODE NAME\0" and the raw object name. */
static int tree_plumbing(struct repo *r, const char *tree, repo_entry_fn *fn, void *ctx,
			 struct err *e)
{
	size_t n_oid = strlen(tree) / 2;
	struct buf b = { 0 };
	const char *p, *end;
	char type[16];
	uint64_t size;
	int rc = start_cat(r, e);

	if (!rc)
		rc = gitproc_object(r->cat, tree, INDEX_MAX, &b, &size, type, e);
	if (!rc && strcmp(type, "tree"))
		rc = err_set(e, ERR_INVALID, "object %s is no tree", tree);
	for (p = b.data, end = p + b.len; !rc && p && p < end;) {
		struct repo_entry entry = { 0 };
		const char *nul = memchr(p, 0, (size_t)(end - p)), *space = memchr(p, ' ', (size_t)(end - p));
		size_t i;

		if (!nul || !space || space > nul || (size_t)(end - nul - 1) < n_oid) {
			rc = err_set(e, ERR_CORRUPT, "tree %s is damaged", tree);
			break;
		}
		entry.mode = (uint32_t)strtoul(p, NULL, 8);
		entry.name = space + 1;
		entry.n_name = (size_t)(nul - entry.name);
		for (i = 0; i < n_oid; i++) {
			static const char hex[] = "0123456789abcdef";

			entry.oid[2 * i] = hex[(uint8_t)nul[1 + i] >> 4];
			entry.oid[2 * i + 1] = hex[nul[1 + i] & 15];
		}
		p = nul + 1 + n_oid;
		rc = fn(ctx, &entry, e);
	}
	buf_release(&b);
	return rc;
}

int repo_resolve(struct repo *r, const char *rev, const char *below, char commit[REPO_OID_MAX],
		 char tree[REPO_OID_MAX], int64_t *when, struct err *e)
{
	return r->git ? resolve_git2(r, rev, below, commit, tree, when, e)
		      : resolve_plumbing(r, rev, below, commit, tree, when, e);
}

int repo_tree(struct repo *r, const char *tree, repo_entry_fn *fn, void *ctx, struct err *e)
{
	return r->git ? tree_git2(r, tree, fn, ctx, e) : tree_plumbing(r, tree, fn, ctx, e);
}

int repo_blob_size(struct repo *r, const char *oid, uint64_t *size, struct err *e)
{
	char type[16];

	if (r->git)
		return size_git2(r, oid, size, e);
	return start_cat(r, e) ? ERR_IO : gitproc_object(r->cat, oid, 0, NULL, size, type, e);
}

int repo_blob(struct repo *r, const char *oid, size_t max, struct buf *out, struct err *e)
{
	uint64_t size;
	char type[16];
	int rc;

	if (r->git) {
		rc = size_git2(r, oid, &size, e);
		if (!rc && size > max)
			rc = err_set(e, ERR_BUDGET, "object %s holds more than %zu bytes", oid, max);
		return rc ? rc : blob_git2(r, oid, out, e);
	}
	rc = start_cat(r, e);
	return rc ? rc : gitproc_object(r->cat, oid, max, out, &size, type, e);
}
