#include "config.h"

#include "ingest/repo_index.h"

#include "ingest/gitproc.h"

#include <git2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LIST_MAX = 1 << 30 };

static int index_git2(git_repository *git, repo_indexed_fn *fn, void *ctx, struct err *e)
{
	git_index *index;
	struct stat st;
	int64_t made = 0;
	int rc = 0;

	if (git_repository_index(&index, git) < 0)
		return err_set(e, ERR_INVALID, "cannot read the index: %s", git_error_last()->message);
	if (git_index_path(index) && !stat(git_index_path(index), &st))
		made = st.st_mtime;
	for (size_t i = 0; i < git_index_entrycount(index) && !rc; i++) {
		const git_index_entry *en = git_index_get_byindex(index, i);
		struct repo_indexed x = { .path = en->path, .mode = en->mode, .mtime_s = en->mtime.seconds,
					  .mtime_ns = en->mtime.nanoseconds, .size = en->file_size,
					  .ino = en->ino, .fresh = en->mtime.seconds < made };

		if (git_index_entry_stage(en) > 1)
			continue;	/* a conflict: one side of it is enough to know the path */
		git_oid_tostr(x.oid, sizeof(x.oid), &en->id);
		rc = fn(ctx, &x, e);
	}
	git_index_free(index);
	return rc;
}

static int index_plumbing(struct repo *r, repo_indexed_fn *fn, void *ctx, struct err *e)
{
	static const char *const args[] = { "ls-files", "-s", "-z", "--full-name", NULL };
	struct buf b = { 0 };
	int rc = gitproc_read(repo_dir(r), args, LIST_MAX, &b, e);

	/* "MODE OID STAGE\tPATH\0" */
	for (char *p = b.data, *end = p + b.len; !rc && p && p < end; p += strlen(p) + 1) {
		struct repo_indexed x = { .mode = (uint32_t)strtoul(p, NULL, 8) };
		char *oid = strchr(p, ' '), *tab = strchr(p, '\t'), *stage;

		if (!oid || !tab || !(stage = strchr(oid + 1, ' ')) ||
		    (size_t)(stage - oid) > sizeof(x.oid)) {
			rc = err_set(e, ERR_INVALID, "git ls-files said something strange in '%s'", repo_dir(r));
			break;
		}
		memcpy(x.oid, oid + 1, (size_t)(stage - oid - 1));
		x.path = tab + 1;
		if (stage[1] <= '1')
			rc = fn(ctx, &x, e);
		p = tab + 1;
	}
	buf_release(&b);
	return rc;
}

int repo_index(struct repo *r, repo_indexed_fn *fn, void *ctx, struct err *e)
{
	return repo_libgit2(r) ? index_git2(repo_libgit2(r), fn, ctx, e) : index_plumbing(r, fn, ctx, e);
}

int repo_to_git(struct repo *r, const char *path, struct buf *bytes, struct err *e)
{
	git_filter_list *list = NULL;
	git_buf out = GIT_BUF_INIT;
	int rc = 0;

	if (!repo_libgit2(r) || !bytes->len ||
	    git_filter_list_load(&list, repo_libgit2(r), NULL, path, GIT_FILTER_TO_ODB,
				 GIT_FILTER_ALLOW_UNSAFE) < 0 || !list)
		return 0;
	if (!git_filter_list_apply_to_buffer(&out, list, bytes->data, bytes->len)) {
		buf_clear(bytes);
		buf_add(bytes, out.ptr ? out.ptr : "", out.size);
		rc = bytes->failed ? err_nomem(e) : 0;
	}
	git_buf_dispose(&out);
	git_filter_list_free(list);
	return rc;
}

int repo_attr_diff(struct repo *r, const char *path)
{
	const char *value;

	if (!repo_libgit2(r) || git_attr_get(&value, repo_libgit2(r), GIT_ATTR_CHECK_FILE_THEN_INDEX, path, "diff"))
		return -1;
	switch (git_attr_value(value)) {
	case GIT_ATTR_VALUE_TRUE:
		return 1;
	case GIT_ATTR_VALUE_FALSE:
		return 0;
	default:
		return -1;
	}
}

static int base_git2(git_repository *git, const char *a, const char *b, char *commit)
{
	const char *rev[2] = { a, b };
	git_object *obj[2] = { NULL, NULL };
	git_oid oid;
	int rc = 0;

	for (int i = 0; i < 2 && !rc; i++) {
		git_object *any = NULL;

		rc = git_revparse_single(&any, git, rev[i]) < 0 || git_object_peel(&obj[i], any, GIT_OBJECT_COMMIT) < 0;
		git_object_free(any);
	}
	if (!rc)
		rc = git_merge_base(&oid, git, git_object_id(obj[0]), git_object_id(obj[1])) < 0;
	if (!rc)
		git_oid_tostr(commit, REPO_OID_MAX, &oid);
	git_object_free(obj[0]);
	git_object_free(obj[1]);
	return rc;
}

static int base_plumbing(struct repo *r, const char *a, const char *b, char *commit)
{
	const char *args[] = { "merge-base", "--end-of-options", a, b, NULL };
	struct buf out = { 0 };
	size_t n = 0;
	int rc = gitproc_read(repo_dir(r), args, 65536, &out, NULL);

	if (!rc)
		n = strcspn(out.data ? out.data : "", "\n");
	if (n && n < REPO_OID_MAX) {
		memcpy(commit, out.data, n);
		commit[n] = 0;
	}
	buf_release(&out);
	return rc || !n || n >= REPO_OID_MAX;
}

int repo_merge_base(struct repo *r, const char *a, const char *b, char commit[REPO_OID_MAX],
		    struct err *e)
{
	int rc = repo_libgit2(r) ? base_git2(repo_libgit2(r), a, b, commit) : base_plumbing(r, a, b, commit);

	return rc ? err_set(e, ERR_NOTFOUND, "'%s' and '%s' have no common ancestor in '%s'", a, b, repo_dir(r)) : 0;
}
