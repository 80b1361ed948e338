/* cache/gitindex.h - does the git repository around a folder track anything in it?
 *
 * Reads .git/index itself (versions 2 to 4) instead of asking git: nothing of a stranger's
 * configuration is loaded and nothing is run.  Follows `gitdir:` files of worktrees and submodules.
 * A split index (extension "link") is answered from both of its files.
 */
#ifndef CACHE_GITINDEX_H
#define CACHE_GITINDEX_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *tracked: an entry lies at or below the existing folder dir.  No repository, no index, or one
 * that cannot be read as an index: false.  ERR_NOMEM, ERR_IO. */
int gitindex_tracks(const char *dir, bool *tracked, struct err *e);

/* The parser: is there an entry that is prefix, or begins with prefix and '/'? */
bool gitindex_has(const uint8_t *data, size_t n, const char *prefix, size_t prefix_n);

#endif
