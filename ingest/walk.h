/* ingest/walk.h - what the parts of the walk share: walk.c (roots and decisions), walk_files.c
 * (folders), walk_git.c (revisions), walk_archive.c (members), item.c (reading).  Private to
 * ingest/.  The rules are told in source.h. */
#ifndef INGEST_WALK_H
#define INGEST_WALK_H

#include "ingest/repo.h"
#include "ingest/rulestack.h"
#include "ingest/source.h"

#include <sys/stat.h>

struct walk {
	const struct walk_opts *o;
	walk_fn *fn;
	void    *ctx;

	struct rules *globs;		/* -g, or NULL */
	bool          globs_include;	/* one of them includes */
	struct rulestack rules;

	/* The place.  full: from the slash at the top of the disk or of the revision; path: as items
	 * show it.  Both grow and shrink together. */
	struct buf full, path;
	size_t     glob_base;		/* bytes of path that are the prefix of this root */

	struct repo *repo;		/* around the place, or NULL */
	size_t       top;		/* bytes of full that are its top; 0: not in a repository */
	struct err   repo_err;		/* why repo is NULL although top is set */
};

enum { RULE_FILE_MAX = 16 << 20 };

/* ERR_INTR when the user wants to stop. */
int walk_stopped(struct err *e);
/* Wait until a pipe or terminal can be read or has ended.  ERR_INTR as soon as somebody asks to stop: a
 * signal between a look and a read() would otherwise wait as long as the other end is silent. */
int walk_wait(int fd, struct err *e);

/* Move to an entry of the current folder and back.  ERR_NOMEM. */
struct place { size_t full, path; };
int walk_enter(struct walk *w, const char *name, size_t n, struct place *back, struct err *e);
void walk_leave(struct walk *w, struct place back);

/* Decide about the place by rules 2, 3, 5 and 6 (rule 4 is tracked).  Sets state, why, reason and
 * rule of it; STATE_TAKE when nothing speaks against it.  *git_only (may be NULL): it is out by
 * git's rules alone, so that what is tracked below is still in. */
void walk_decide(struct walk *w, struct item *it, bool is_dir, bool tracked, bool *git_only);

/* Decide about an archive member at the place: globs and hidden names only. */
void walk_decide_member(struct walk *w, struct item *it, size_t n_archive);

/* Fill the path from the place, apply what the name and size tell (classify.h), call back. */
int walk_emit(struct walk *w, struct item *it, struct err *e);

__attribute__((format(printf, 4, 5)))
void walk_verdict(struct item *it, enum item_state s, enum item_why why, const char *fmt, ...);

/* Is an item for this path of interest, and may one be below it?  (opts.only) */
bool walk_wants(const struct walk *w);

static inline void walk_cut(struct buf *b, size_t n)
{
	b->len = n;
	if (b->data)
		b->data[n] = 0;
}

void walk_fill_stat(struct item *it, const struct stat *st);

/* What surrounds the place in terms of git; saved while a repository inside is walked. */
struct walk_git_state {
	struct repo *repo;
	size_t       top;
	size_t       floor[RULES_N_GROUP], n[RULES_N_GROUP];
};

/* The repository whose top is the first `top` bytes of full, and out of it again. */
int walk_enter_repo(struct walk *w, size_t top, struct walk_git_state *save, struct err *e);
void walk_leave_repo(struct walk *w, const struct walk_git_state *save);
/* Rule files of the folders above the root: .gitignore from the repository's top on. */
int walk_push_parents(struct walk *w, struct err *e);

/* The folder at the place and all below.  parent_out: why everything here is out that git does not
 * track; NULL when it is not. */
int walk_files(struct walk *w, const struct item *parent_out, struct err *e);
/* One file, or what cannot be opened: told, and entered when it is an archive. */
int walk_file_entry(struct walk *w, struct item *it, struct err *e);

/* A revision.  The place is at the root of the source. */
int walk_revision(struct walk *w, const char *root, struct err *e);

/* The members of an archive: a file on disk, or bytes (then file is NULL).  The place is at the
 * archive.  depth: archives around this one. */
int walk_archive(struct walk *w, const char *file, const void *bytes, size_t n, unsigned depth,
		 struct err *e);
bool walk_is_archive(const char *name, size_t n);

uint64_t walk_max_file(const struct walk *w);

/* Bytes of an absolute path that are the top of the repository around it, 0 when there is none. */
size_t walk_find_top(const char *real);

#endif
