/* cache/guard.h - a bus error under a mapping becomes damage, not a crash
 *
 * Reading a mapped page that the disk cannot deliver, or that a truncated file no longer has,
 * raises SIGBUS.  For addresses inside a guarded range the handler puts a page of zeros there,
 * counts the fault, and lets the reader go on; the reader asks guard_faults() when it is done with
 * the bytes and throws away what it computed from them.  Any other SIGBUS goes where it went
 * before.
 *
 * We do not jump out of the handler: kernels on many threads would have to be entered through
 * sigsetjmp, and locks they hold would stay held.
 *
 * Threads: all functions from any thread.  The handler is installed once, by the first guard_add().
 */
#ifndef CACHE_GUARD_H
#define CACHE_GUARD_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct guard;

/* Guard [p, p + n), a mapping.  ERR_FULL beyond 65,536 ranges. */
int guard_add(struct guard **out, const void *p, size_t n, struct err *e);
/* Faults caught in the range so far. */
uint64_t guard_faults(const struct guard *g);
/* Faults caught in any range since the program began: 0 means that all of them are whole. */
uint64_t guard_total(void);
/* Before the mapping goes away.  NULL is fine. */
void guard_remove(struct guard *g);

#endif
