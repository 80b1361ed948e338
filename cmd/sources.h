/* cmd/sources.h - SOURCE[@SNAP] and FILE[:A-B], as people type them, to what the catalog holds
 *
 * SOURCE is the name `folio ls` shows, SNAP the beginning of a snapshot's hash; without it the newest
 * one.  A file is PATH, where one source has it, or SOURCE/PATH, or SOURCE@SNAP/PATH; behind it
 * ":12" or ":12-20" picks lines, counted from 1, both ends included.
 */
#ifndef CMD_SOURCES_H
#define CMD_SOURCES_H

#include "base/err.h"
#include "cache/catalog.h"
#include "cmd/opt.h"

#include <stddef.h>
#include <stdint.h>

struct picked {
	int64_t source, snapshot;	/* snapshot 0: none yet */
	char   *name;
	char    hash[65];		/* hex; "" while the snapshot is open */
	char    kind[16];
	char   *origin;
	bool    complete;
	int64_t made;			/* of the snapshot */
	char    rev[72];
};

struct picks {
	struct picked *v;
	size_t         n;
};

enum { HASH_SHOWN = 6 };

/* The sources named, or all when want is empty (NULL is fine), in order of name.  ERR_NOTFOUND with
 * "did you mean". */
int sources_pick(struct catalog *c, const struct strs *want, struct picks *out, struct err *e);
void picks_release(struct picks *p);

/* One file of one snapshot. */
struct found {
	struct cat_entry entry;		/* path below, reason lost */
	char    *path;
	char    *source;
	char     hash[65];
	int64_t  snapshot;
	uint64_t first, last;		/* lines asked for; 0, 0: all */
};
/* ERR_NOTFOUND; ERR_INVALID when several sources have it, with the names to choose from. */
int sources_file(struct catalog *c, const char *arg, struct found *out, struct err *e);
void found_release(struct found *f);

/* The engine and mode whose pages `ls` tells about: the newest that has any.  False: none. */
bool sources_engine(struct catalog *c, int64_t *engine, enum cat_mode *mode);

#endif
