#include "config.h"

#include "cache/sumvfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Only main database files are wrapped: struct sumfile, then the real file in the same memory.
 * Journals and temporary files get the real one directly. */
struct sumfile {
	sqlite3_file base;
	uint8_t     *page;	/* where a page gets its sum before it is written */
};

static sqlite3_file *real(sqlite3_file *f)
{
	return (sqlite3_file *)((struct sumfile *)f + 1);
}

static struct sum128 sum_of(const uint8_t *page, uint32_t pgno)
{
	struct sum128 s = sum128_of(page, SUMVFS_PAGE - SUMVFS_RESERVE);

	s.lo += pgno;
	return s;
}

bool sumvfs_check(const uint8_t *page, uint32_t pgno)
{
	struct sum128 s = sum_of(page, pgno);

	return !memcmp(page + SUMVFS_PAGE - SUMVFS_RESERVE, &s, SUMVFS_RESERVE);
}

void sumvfs_seal(uint8_t *page, uint32_t pgno)
{
	struct sum128 s = sum_of(page, pgno);

	memcpy(page + SUMVFS_PAGE - SUMVFS_RESERVE, &s, SUMVFS_RESERVE);
}

static int sum_close(sqlite3_file *f)
{
	struct sumfile *s = (struct sumfile *)f;
	int rc = real(f)->pMethods->xClose(real(f));

	free(s->page);
	s->page = NULL;
	return rc;
}

static int sum_read(sqlite3_file *f, void *buf, int n, sqlite3_int64 at)
{
	int rc = real(f)->pMethods->xRead(real(f), buf, n, at);

	if (rc != SQLITE_OK)
		return rc;	/* an end of file too: SQLite fills with zeros and decides */
	if (n == (int)SUMVFS_PAGE && at % SUMVFS_PAGE == 0)
		return sumvfs_check(buf, (uint32_t)(at / SUMVFS_PAGE + 1)) ? SQLITE_OK
									     : SQLITE_IOERR_DATA;
	/* The header, and the change counter in it: hints, read again with the page. */
	if (at + n <= 100)
		return SQLITE_OK;
	/* A page size that is not ours: the header is damaged, or this is no catalog. */
	return SQLITE_IOERR_DATA;
}

static int sum_write(sqlite3_file *f, const void *buf, int n, sqlite3_int64 at)
{
	struct sumfile *s = (struct sumfile *)f;

	if (n != (int)SUMVFS_PAGE || at % SUMVFS_PAGE)
		return SQLITE_IOERR_WRITE;	/* no page: nothing of ours writes this */
	memcpy(s->page, buf, SUMVFS_PAGE);
	sumvfs_seal(s->page, (uint32_t)(at / SUMVFS_PAGE + 1));
	return real(f)->pMethods->xWrite(real(f), s->page, n, at);
}

static int sum_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return real(f)->pMethods->xTruncate(real(f), n);
}

static int sum_sync(sqlite3_file *f, int flags)
{
	return real(f)->pMethods->xSync(real(f), flags);
}

static int sum_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real(f)->pMethods->xFileSize(real(f), n);
}

static int sum_lock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xLock(real(f), level);
}

static int sum_unlock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xUnlock(real(f), level);
}

static int sum_reserved(sqlite3_file *f, int *out)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int sum_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int sum_sector(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int sum_traits(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int sum_shm_map(sqlite3_file *f, int region, int n, int extend, void volatile **out)
{
	return real(f)->pMethods->xShmMap(real(f), region, n, extend, out);
}

static int sum_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void sum_shm_barrier(sqlite3_file *f)
{
	real(f)->pMethods->xShmBarrier(real(f));
}

static int sum_shm_unmap(sqlite3_file *f, int del)
{
	return real(f)->pMethods->xShmUnmap(real(f), del);
}

/* Version 2: with shared memory for WAL, without memory-mapped reads. */
static const sqlite3_io_methods sum_methods = {
	2, sum_close, sum_read, sum_write, sum_truncate, sum_sync, sum_size, sum_lock, sum_unlock,
	sum_reserved, sum_control, sum_sector, sum_traits, sum_shm_map, sum_shm_lock,
	sum_shm_barrier, sum_shm_unmap, NULL, NULL
};

static sqlite3_vfs *root(sqlite3_vfs *v)
{
	return v->pAppData;
}

static int sum_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct sumfile *s = (struct sumfile *)f;
	int rc;

	if (!(flags & SQLITE_OPEN_MAIN_DB))
		return root(v)->xOpen(root(v), name, f, flags, out);
	memset(s, 0, sizeof(*s));
	s->page = malloc(SUMVFS_PAGE);
	if (!s->page)
		return SQLITE_NOMEM;
	rc = root(v)->xOpen(root(v), name, real(f), flags, out);
	if (rc != SQLITE_OK) {
		free(s->page);
		return rc;
	}
	f->pMethods = &sum_methods;
	return SQLITE_OK;
}

static int sum_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	return root(v)->xDelete(root(v), name, sync_dir);
}

static int sum_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	return root(v)->xAccess(root(v), name, flags, out);
}

static int sum_full_name(sqlite3_vfs *v, const char *name, int n, char *out)
{
	return root(v)->xFullPathname(root(v), name, n, out);
}

static int sum_random(sqlite3_vfs *v, int n, char *out)
{
	return root(v)->xRandomness(root(v), n, out);
}

static int sum_sleep(sqlite3_vfs *v, int us)
{
	return root(v)->xSleep(root(v), us);
}

static int sum_time(sqlite3_vfs *v, double *out)
{
	return root(v)->xCurrentTime(root(v), out);
}

static int sum_last_error(sqlite3_vfs *v, int n, char *out)
{
	return root(v)->xGetLastError(root(v), n, out);
}

static int sum_time64(sqlite3_vfs *v, sqlite3_int64 *out)
{
	return root(v)->xCurrentTimeInt64(root(v), out);
}

static sqlite3_vfs sum_vfs = {
	.iVersion = 2,
	.zName = SUMVFS_NAME,
	.xOpen = sum_open,
	.xDelete = sum_delete,
	.xAccess = sum_access,
	.xFullPathname = sum_full_name,
	.xRandomness = sum_random,
	.xSleep = sum_sleep,
	.xCurrentTime = sum_time,
	.xGetLastError = sum_last_error,
	.xCurrentTimeInt64 = sum_time64,
};

static int register_rc;

static void register_once(void)
{
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");

	if (!unix_vfs) {
		register_rc = SQLITE_ERROR;
		return;
	}
	sum_vfs.pAppData = unix_vfs;
	sum_vfs.szOsFile = (int)sizeof(struct sumfile) + unix_vfs->szOsFile;
	sum_vfs.mxPathname = unix_vfs->mxPathname;
	register_rc = sqlite3_vfs_register(&sum_vfs, 0);
}

int sumvfs_register(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_once);
	return register_rc;
}
