/* ingest/diff_side.h - one of the two versions that are compared: a list of entries and their bytes
 *
 *   revision   the tree of a commit                      bytes: objects, as git stores them
 *   worktree   what the index tracks, as it is on disk   bytes: as git would store them (line ends)
 *   folder     every file but .git and .folio            bytes: the file
 *   archive    its members, without a common top folder  bytes: spooled to an unnamed file
 *   file       itself                                    bytes: the file
 *   snapshot   the entries of a library's snapshot       bytes: the stored text
 *
 * Entries are sorted by the bytes of their paths.  A symbolic link's bytes are its target, a
 * submodule's are "Subproject commit OID\n", as git compares them.
 *
 * A worktree's entry has an object name where its stat data is that of the index and older than the
 * index itself (git's racy rule); else it is read.  Filters that run programs are not run.
 *
 * Threads: one at a time per side.
 */
#ifndef INGEST_DIFF_SIDE_H
#define INGEST_DIFF_SIDE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum side_kind { SIDE_REVISION, SIDE_WORKTREE, SIDE_FOLDER, SIDE_ARCHIVE, SIDE_FILE, SIDE_SNAPSHOT };

/* Modes as git stores them. */
enum { MODE_TYPE_MASK = 0170000, MODE_LINK = 0120000, MODE_MODULE = 0160000, MODE_FILE = 0100000 };

struct side_entry {
	char    *path;
	uint32_t mode;		/* 100644, 100755, 120000, 160000; 0: not known */
	uint64_t size;		/* bytes; UINT64_MAX: not known before it is read */
	char     oid[65];	/* "": not known */
	uint64_t at;		/* of an archive's member in the spool */
	int64_t  document;	/* of a snapshot */
	char    *reason;	/* why there are no bytes; NULL: there are */
};

struct diff_side;
struct catalog;

/* Which paths count: PATH itself, all below it, or a glob over whole paths. */
struct side_paths {
	const char *const *v;
	size_t      n;
};

/* What an operand means: "worktree", an existing path, a revision of the repository at or around repo
 * (NULL: the current folder).  With repo given revisions go before paths.  ERR_NOTFOUND: none of them.
 * *twice is set when it is a path and a revision too.  Nothing is listed yet. */
int side_open(struct diff_side **out, const char *operand, const char *repo, bool *twice, struct err *e);
/* A revision that must be one: an end of A..B.  "" is HEAD. */
int side_open_rev(struct diff_side **out, const char *rev, const char *repo, struct err *e);
/* The best common ancestor of two revisions, for A...B. */
int side_open_base(struct diff_side **out, const char *a, const char *b, const char *repo, struct err *e);
/* c is borrowed until side_close; the label is copied. */
int side_open_snapshot(struct diff_side **out, struct catalog *c, int64_t snapshot, const char *label,
		       struct err *e);
void side_close(struct diff_side *s);

enum side_kind side_kind(const struct diff_side *s);
/* Fill the lists of both sides with what may differ; what is certainly equal (subtrees of one
 * object name) is left out of both.  Paths are relative to the folder that repo (or the current
 * folder) is, within a repository.  ERR_INTR. */
int side_list_both(struct diff_side *a, struct diff_side *b, const struct side_paths *p, struct err *e);

const struct side_entry *side_entries(const struct diff_side *s, size_t *n);
/* Size in bytes, asked for when it was not known. */
uint64_t side_size(struct diff_side *s, struct side_entry *en);
/* Append an entry's bytes.  ERR_BUDGET: more than max. */
int side_read(struct diff_side *s, const struct side_entry *en, size_t max, struct buf *out,
	      struct err *e);
/* A stored document of a snapshot, with its anchors; zero-initialised before. */
struct document;
int side_document(struct diff_side *s, const struct side_entry *en, struct document *out, struct err *e);
/* What a repository's attributes say about diffs of a path: 1 text, 0 binary, -1 nothing. */
int side_attr_text(struct diff_side *s, const char *path);

/* As the user wrote it, and the commit or "" . */
const char *side_label(const struct diff_side *s);
const char *side_commit(const struct diff_side *s);
/* Absolute path of the folder below which entries are files on disk; NULL: they are not. */
const char *side_root(const struct diff_side *s);

#endif
