/* ingest/source.h - what there is to read: the walk over files, revisions, archives and stdin
 *
 * The walk turns the paths a user gave into an ordered stream of items, one callback each: every
 * file, and every thing that is not read, with the decision and its reason.  It opens no file of the
 * user except rule files and archives; content is read on request through item_read().  Memory is
 * bounded by the largest single folder, the ignore files on the way down and the list of tracked
 * paths, never by the tree.
 *
 * WHAT IS LEFT OUT, and by whose word; the first that has an opinion decides:
 *   1. a path given by the user is always read, whatever any rule says about it or its parents
 *   2. -g globs: a match includes, `!glob` excludes; with an including glob, files that match none
 *      are out.  Relative to the root of the source, gitignore syntax.
 *   3. .folioignore, then .ignore, of the folder and all its parents up to /, the deepest first
 *   4. in a git repository: tracked files are in
 *   5. .gitignore of the folder and its parents up to the top, deepest first; info/exclude;
 *      core.excludesFile.  Outside a repository .gitignore means nothing.
 *   6. names that begin with a dot are out, unless --hidden, or a rule of 2, 3 or 5 includes them
 * A folder that is out is not entered, so nothing below can be included again, except what git
 * tracks there.  .git and .folio folders are never entered.
 *
 * ORDER is that of whole paths compared by bytes, within each root, for files and for revisions, as
 * in `git ls-files`; archive members come in the order of the archive, after the archive itself.
 *
 * Member paths continue the path of their archive with a slash (src.tar.gz/lib/a.c): a file cannot
 * be a folder too, so this names nothing twice.
 *
 * Trouble with an archive as a whole (damaged, a bomb, encrypted names) is told by a second item with
 * the archive's own path, which replaces the first; members told before it stay good.
 *
 * Symbolic links are listed and not followed (a root given by the user is).  FIFOs, sockets and
 * devices are listed and not opened.
 *
 * Threads: one walk per thread; item_read of a FROM_FILE item copied by item_copy works anywhere.
 */
#ifndef INGEST_SOURCE_H
#define INGEST_SOURCE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum item_kind {
	ITEM_FILE,
	ITEM_ARCHIVE,		/* a tar, zip or 7z; its members follow unless the callback says no */
	ITEM_DIR,		/* a folder that is not entered */
	ITEM_SYMLINK,
	ITEM_SUBMODULE,		/* or another repository inside this one */
	ITEM_SPECIAL		/* FIFO, socket, device */
};

enum item_origin { FROM_FILE, FROM_GIT, FROM_ARCHIVE, FROM_STDIN };

/* What to do with it.  LIST and SKIP are part of a snapshot, OUT is not. */
enum item_state {
	STATE_TAKE,		/* read it */
	STATE_LIST,		/* known by name, not read: binary, lock file, symbolic link, ... */
	STATE_SKIP,		/* should have been read and cannot be, or must not be (secrets) */
	STATE_OUT		/* the rules leave it out */
};

enum item_why {
	WHY_NONE,
	WHY_IGNORED, WHY_GLOB, WHY_HIDDEN, WHY_OWN,	/* OWN: .git, .folio */
	WHY_SYMLINK, WHY_SPECIAL, WHY_SUBMODULE, WHY_ARCHIVE,
	WHY_BINARY, WHY_LOCK, WHY_MINIFIED, WHY_GENERATED, WHY_DATA,
	/* From here on something is wrong or missing that the user may want to know: exit 3. */
	WHY_SECRET, WHY_TOO_LARGE, WHY_UNREADABLE, WHY_DAMAGED, WHY_ENCRYPTED, WHY_BOMB,
	WHY_UNSAFE_PATH
};

static inline bool why_is_problem(enum item_why why)
{
	return why >= WHY_SECRET;
}

struct item {
	const char      *path;		/* bytes, NUL-terminated, '/' between, relative to the source */
	size_t           n_path;
	enum item_kind   kind;
	enum item_origin origin;
	enum item_state  state;
	enum item_why    why;
	char             reason[256];	/* "" when state is TAKE */
	const char      *rule_file;	/* the rule that decided, or NULL */
	int              rule_line;

	bool     wanted;	/* by name: given by the user, or included by -g */
	bool     has_stat;		/* the next line is from lstat of a file on disk */
	uint64_t size;			/* bytes; UINT64_MAX when the archive does not say */
	int64_t  mtime_ns, ctime_ns;
	uint64_t ino, dev;
	uint32_t mode;
	char     oid[65];		/* git's object name for FROM_GIT, else "" */

	const char *file;		/* absolute path on disk, or NULL (FROM_GIT, FROM_ARCHIVE) */
	int  (*read)(void *self, const struct item *it, size_t max, struct buf *out, struct err *e);
	void  *self;
};

struct walk_opts {
	const char *const *globs;	/* -g, in order */
	size_t      n_glob;
	bool        hidden;
	bool        no_ignore;		/* rules 3, 4 and 5 do not hold */
	bool        submodules;		/* enter submodules and repositories inside repositories */
	bool        no_archives;	/* archives are ordinary files */
	uint64_t    max_file;		/* bytes; 0: WALK_MAX_FILE */
	const char *ref;		/* walk this revision instead of the files; NULL: the files */
	const char *only;		/* emit this one path and what decides on it; for --explain */
	/* Limits of one archive, 0: the defaults below. */
	uint64_t    max_archive;	/* bytes it may expand to */
	unsigned    max_ratio;		/* times its own size, once beyond WALK_RATIO_FLOOR */
	unsigned    max_depth;		/* archives inside archives */
};

#define WALK_MAX_FILE    (64ull << 20)
#define WALK_MAX_ARCHIVE (16ull << 30)
#define WALK_RATIO_FLOOR (64ull << 20)
#define WALK_MAX_RATIO   200u
#define WALK_MAX_DEPTH   2u
#define WALK_MAX_MEMBERS 2000000u

/* What a callback returns: go on; for an ITEM_ARCHIVE: do not open it; or an ERR_* to end. */
enum { WALK_ON = 0, WALK_PASS = 1 };
typedef int walk_fn(void *ctx, const struct item *it, struct err *e);

/* Walk the roots in order.  "-" is stdin, named "stdin".  With one root that is a folder, paths are
 * relative to it; otherwise each begins with its root, as given when that is a plain relative path,
 * else by its last component.  Errors of single files are items, not errors.  ERR_NOTFOUND: a root
 * does not exist.  ERR_INTR: somebody asked to stop (base/stop.h).  Else what fn returned. */
int walk_run(const struct walk_opts *o, const char *const *roots, size_t n_root, walk_fn *fn,
	     void *ctx, struct err *e);

/* Walk the paths listed in an open descriptor, one per line or, with nul, each ended by a NUL byte.
 * Each counts as given by the user; one that does not exist is an item with a reason. */
int walk_list(const struct walk_opts *o, int fd, bool nul, walk_fn *fn, void *ctx, struct err *e);

/* The commit and date the walk with opts.ref reads, before walking. */
int walk_resolve(const char *root, const char *ref, char commit[65], int64_t *when, struct err *e);

/* Append the item's bytes.  ERR_BUDGET: more than max (what came so far is dropped).  ERR_IO: not
 * readable.  ERR_CORRUPT: damaged archive.  Inside the callback, once; a FROM_FILE item also later.
 * For a file, *after (may be NULL) gets the item's stat fields as they were once all was read. */
int item_read(const struct item *it, size_t max, struct buf *out, struct item *after,
	      struct err *e);

/* A FROM_FILE item that outlives its callback: one allocation, free() it. */
struct item *item_copy(const struct item *it);

const char *state_name(enum item_state s);

#endif
