/* ingest/repo_index.h - what a comparison needs from a repository beside its trees (repo.h)
 *
 * Read only, as repo.h: libgit2's own conversion of line ends is applied, filters that run programs
 * are not.
 */
#ifndef INGEST_REPO_INDEX_H
#define INGEST_REPO_INDEX_H

#include "ingest/repo.h"

struct repo_indexed {
	const char *path;
	uint32_t mode;
	char     oid[REPO_OID_MAX];
	/* As the index remembers the file; 0 where it does not.  fresh: older than the index itself, so
	 * that a file with the same stat data has this object name. */
	int64_t  mtime_s;
	uint32_t mtime_ns, size, ino;
	bool     fresh;
};

/* Every path of the index once, in order of bytes.  Not 0 from fn: stop, returned as it is. */
typedef int repo_indexed_fn(void *ctx, const struct repo_indexed *x, struct err *e);
int repo_index(struct repo *r, repo_indexed_fn *fn, void *ctx, struct err *e);

/* A file's bytes as git would store them, in place. */
int repo_to_git(struct repo *r, const char *path, struct buf *bytes, struct err *e);

/* The attribute "diff" of a path: 1 set, 0 unset (binary), -1 neither. */
int repo_attr_diff(struct repo *r, const char *path);

/* The best common ancestor of two revisions.  ERR_NOTFOUND: none, or no such revision. */
int repo_merge_base(struct repo *r, const char *a, const char *b, char commit[REPO_OID_MAX],
		    struct err *e);

#endif
