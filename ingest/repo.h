/* ingest/repo.h - what the walk needs from a git repository, and nothing else
 *
 * Which paths are tracked, where the exclude files are, and the objects of a revision.  Everything
 * is read; no hook, filter, fsmonitor or remote is ever run or asked, so a hostile repository can
 * at worst give wrong answers about itself.
 *
 * libgit2 answers where it opens the repository.  Where it does not (SHA-256 objects, a sparse or
 * split index, extensions it has not heard of) the `git` program is asked instead, by plumbing
 * commands with a fixed output; repo_plumbing() tells.  The ignore rules themselves are matched by
 * ignore.c in both cases, because both only answer "ignored", not "by which line".
 *
 * Object names are hexadecimal strings, 40 or 64 digits.
 *
 * Threads: one thread at a time per repo.
 */
#ifndef INGEST_REPO_H
#define INGEST_REPO_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPO_OID_MAX 65

struct repo;

/* One entry of a tree object. */
struct repo_entry {
	const char *name;	/* bytes, NUL-terminated */
	size_t      n_name;
	uint32_t    mode;	/* as git stores it: 040000, 100644, 100755, 120000, 160000 */
	char        oid[REPO_OID_MAX];
};

/* True when dir/.git makes dir the top of a working tree: a git folder, or a file that leads to
 * one. */
bool repo_is_top(const char *dir);

/* Open the repository whose working tree has its top at dir, or dir itself when bare.
 * want_index: read which paths are tracked.  ERR_INVALID: neither libgit2 nor git can. */
int repo_open(struct repo **out, const char *dir, bool want_index, struct err *e);
void repo_close(struct repo *r);

bool repo_plumbing(const struct repo *r);
/* libgit2's own handle, NULL with plumbing, and the folder that was opened; both borrowed. */
struct git_repository *repo_libgit2(const struct repo *r);
const char *repo_dir(const struct repo *r);
bool repo_icase(const struct repo *r);
/* Absolute paths of info/exclude and of core.excludesFile (or its default), whether they exist or
 * not; NULL when there is none. */
const char *repo_info_exclude(const struct repo *r);
const char *repo_global_exclude(const struct repo *r);

/* path relative to the top.  *is_link (may be NULL): it is a submodule. */
bool repo_tracks(const struct repo *r, const char *path, size_t n, bool *is_link);
/* Is anything below this folder tracked? */
bool repo_tracks_below(const struct repo *r, const char *dir, size_t n);

/* The commit a revision names, and the tree at `below` (a folder relative to the top, or "") in it.
 * when: the commit's date, Unix seconds.  ERR_NOTFOUND: no such revision, or no such folder. */
int repo_resolve(struct repo *r, const char *rev, const char *below, char commit[REPO_OID_MAX],
		 char tree[REPO_OID_MAX], int64_t *when, struct err *e);

/* Call fn for every entry of a tree, in git's order; stop when it returns non-zero, and return
 * that. */
typedef int repo_entry_fn(void *ctx, const struct repo_entry *entry, struct err *e);
int repo_tree(struct repo *r, const char *tree, repo_entry_fn *fn, void *ctx, struct err *e);

int repo_blob_size(struct repo *r, const char *oid, uint64_t *size, struct err *e);
/* Append a blob to out; ERR_BUDGET when it is larger than max. */
int repo_blob(struct repo *r, const char *oid, size_t max, struct buf *out, struct err *e);

#endif
