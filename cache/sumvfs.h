/* cache/sumvfs.h - a checksum under every page of a SQLite database
 *
 * SQLite believes its file.  One flipped bit in a key, a length or a posting list then changes an
 * answer, or hides a row, and `integrity_check` finds only what breaks its structure.  So the
 * catalog is opened through this VFS, which sits between SQLite and the unix one:
 *
 *   page = content | XXH3-128 of the content, page number added to its low half
 *
 * in the bytes that SQLite reserves at the end of each page when asked to (header byte 20). Written
 * whenever a page goes to the database file (in WAL mode: when it is checkpointed), checked
 * whenever one comes from it; a mismatch is SQLITE_IOERR_DATA, never data.  The -wal file is
 * SQLite's own and carries its own sums; how its loss is noticed is said in library.h.
 *
 * What SQLite reads outside pages (the first 100 bytes, before it knows the page size) is read
 * again as part of page 1.  Memory mapping is off: it would go past the check.
 *
 * Other programs can read such a file (the sqlite3 shell too); what they write has no sums.
 */
#ifndef CACHE_SUMVFS_H
#define CACHE_SUMVFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUMVFS_NAME    "folio-sum"
#define SUMVFS_PAGE    8192u
#define SUMVFS_RESERVE 16

/* Register the VFS, once per process; an SQLITE_* code.  Thread-safe. */
int sumvfs_register(void);

/* Is this page of SUMVFS_PAGE bytes whole?  pgno counts from 1.  For verify, which reads the file
 * by itself. */
bool sumvfs_check(const uint8_t *page, uint32_t pgno);
/* Write the sum into the last bytes of a page: for tests that repair what they broke. */
void sumvfs_seal(uint8_t *page, uint32_t pgno);

#endif
