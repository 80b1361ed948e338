/* base/pool.h - threads that share one loop
 *
 * A pool runs fn(ctx, task, worker) for every task in [0, n_task), each exactly once, on the calling
 * thread and n_thread - 1 helpers, and returns when all are done.  Which worker runs a task is not
 * fixed, so a task must not depend on it, beyond using scratch of its own (worker < n_thread); then
 * results are the same for every number of threads.
 *
 * Threads: one caller at a time per pool.  A task must not call pool_run on its own pool.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/err.h"

#include <stddef.h>

struct pool;

typedef void pool_fn(void *ctx, size_t task, int worker);

/* n_thread >= 1; 1 makes no thread at all.  ERR_NOMEM or ERR_IO (no thread to be had). */
int pool_new(struct pool **out, int n_thread, struct err *e);
int pool_threads(const struct pool *p);
void pool_run(struct pool *p, size_t n_task, pool_fn *fn, void *ctx);
void pool_free(struct pool *p);

#endif
