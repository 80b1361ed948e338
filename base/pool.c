#include "config.h"

#include "base/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A decode step is some hundred loops of a few microseconds each.  A helper therefore looks for the
 * next loop this many times before it sleeps; sleeping and waking costs tens of microseconds. */
#define SPIN 4000

struct worker {
	struct pool *pool;
	pthread_t    thread;
	int          number;
};

/* ticket = number of tasks << 32 | next task.  A task is taken by raising next with a compare-and-swap
 * on the whole ticket, so nobody can take one of a loop that is over: then next == number.  fn and ctx
 * are read after taking and written only while no task can be taken and all taken ones are done; so a
 * helper that lost its processor at any point is never waited for, unless it holds a task. */
struct pool {
	int            n_thread;
	struct worker *workers;		/* n_thread - 1 */
	pthread_mutex_t lock;
	pthread_cond_t  wake;
	_Atomic bool     quit;
	_Atomic uint32_t epoch;		/* one more for every loop: what sleepers look at */
	_Atomic int      n_sleeping;
	pool_fn       *fn;
	void          *ctx;
	_Atomic uint64_t ticket;
	_Atomic size_t   n_done;
};

static inline void relax(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

static void take_tasks(struct pool *p, int worker)
{
	uint64_t t = atomic_load(&p->ticket);

	while ((uint32_t)t < t >> 32) {
		if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1))
			continue;
		p->fn(p->ctx, (uint32_t)t, worker);
		atomic_fetch_add_explicit(&p->n_done, 1, memory_order_release);
		t = atomic_load(&p->ticket);
	}
}

static void *helper(void *arg)
{
	struct worker *w = arg;
	struct pool *p = w->pool;
	uint32_t seen = 0;

	for (;;) {
		for (int i = 0; i < SPIN && atomic_load(&p->epoch) == seen; i++)
			relax();
		if (atomic_load(&p->epoch) == seen) {
			pthread_mutex_lock(&p->lock);
			atomic_fetch_add(&p->n_sleeping, 1);
			while (atomic_load(&p->epoch) == seen)
				pthread_cond_wait(&p->wake, &p->lock);
			atomic_fetch_sub(&p->n_sleeping, 1);
			pthread_mutex_unlock(&p->lock);
		}
		seen = atomic_load(&p->epoch);
		if (atomic_load(&p->quit))
			return NULL;
		take_tasks(p, w->number);
	}
}

/* Start a new epoch.  A helper that is about to sleep holds the lock and looks at epoch again, so
 * either it sees the new one or we see it sleeping (both sides are sequentially consistent). */
static void next_epoch(struct pool *p)
{
	atomic_fetch_add(&p->epoch, 1);
	if (atomic_load(&p->n_sleeping)) {
		pthread_mutex_lock(&p->lock);
		pthread_cond_broadcast(&p->wake);
		pthread_mutex_unlock(&p->lock);
	}
}

int pool_new(struct pool **out, int n_thread, struct err *e)
{
	struct pool *p = calloc(1, sizeof(*p));

	*out = NULL;
	if (!p)
		return err_nomem(e);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->n_thread = 1;
	p->workers = calloc((size_t)n_thread, sizeof(*p->workers));
	if (!p->workers) {
		pool_free(p);
		return err_nomem(e);
	}
	for (; p->n_thread < n_thread; p->n_thread++) {
		struct worker *w = &p->workers[p->n_thread - 1];
		int rc;

		w->pool = p;
		w->number = p->n_thread;
		rc = pthread_create(&w->thread, NULL, helper, w);
		if (rc) {
			rc = err_set(e, ERR_IO, "cannot start thread %d: %s", p->n_thread,
				     strerror(rc));
			pool_free(p);
			return rc;
		}
	}
	*out = p;
	return 0;
}

int pool_threads(const struct pool *p)
{
	return p->n_thread;
}

void pool_run(struct pool *p, size_t n_task, pool_fn *fn, void *ctx)
{
	/* Tasks are counted in 32 bits; no loop of ours comes near. */
	assert(n_task <= UINT32_MAX);
	if (p->n_thread == 1 || n_task <= 1) {
		for (size_t t = 0; t < n_task; t++)
			fn(ctx, t, 0);
		return;
	}
	p->fn = fn;
	p->ctx = ctx;
	atomic_store(&p->n_done, 0);
	atomic_store(&p->ticket, (uint64_t)n_task << 32);
	next_epoch(p);
	take_tasks(p, 0);
	/* A helper may have lost its processor to somebody else: after a while, let it have ours. */
	for (int i = 0; atomic_load_explicit(&p->n_done, memory_order_acquire) < n_task; i++)
		if (i < SPIN)
			relax();
		else
			sched_yield();
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	if (p->workers && p->n_thread > 1) {
		atomic_store(&p->quit, true);
		next_epoch(p);
		for (int i = 0; i < p->n_thread - 1; i++)
			pthread_join(p->workers[i].thread, NULL);
	}
	free(p->workers);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
