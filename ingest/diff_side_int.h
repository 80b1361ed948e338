/* ingest/diff_side_int.h - what diff_side.c (opening, reading) and diff_list.c (listing) share */
#ifndef INGEST_DIFF_SIDE_INT_H
#define INGEST_DIFF_SIDE_INT_H

#include "ingest/diff_side.h"
#include "ingest/repo.h"

struct diff_side {
	enum side_kind kind;
	char  *label;
	char   commit[REPO_OID_MAX], tree[REPO_OID_MAX];
	struct repo *repo;	/* revision, worktree */
	char  *root;		/* absolute: top of the repository, folder, archive or file */
	char  *folder;		/* below it entries are files on the disk as they are compared; or NULL */
	char  *below;		/* where in the repository the user is, "" at its top */
	struct catalog *cat;
	int64_t snapshot;
	int    spool;		/* of an archive, -1: none yet */
	uint64_t n_spool;
	struct side_entry *v;
	size_t n, cap;
};

/* Add an entry; path is copied.  *out may be NULL and is valid until the next call. */
int side_add(struct diff_side *s, const char *path, size_t n, const struct side_paths *p,
	     struct side_entry **out, struct err *e);

#endif
