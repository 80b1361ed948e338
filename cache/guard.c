#include "config.h"

#include "cache/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_GUARD 65536u

/* A free slot has n == 0.  The handler reads start only where n != 0, and n is set last. */
struct guard {
	_Atomic uintptr_t start;
	_Atomic size_t    n;
	_Atomic uint64_t  faults;
};

static struct guard slots[MAX_GUARD];
static _Atomic uint64_t total;
static _Atomic uint32_t n_used;		/* slots that were ever taken */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static uintptr_t page_bytes;

static struct guard *find(uintptr_t at)
{
	uint32_t n = atomic_load(&n_used);

	for (uint32_t i = 0; i < n; i++) {
		size_t len = atomic_load(&slots[i].n);

		if (len && at - atomic_load(&slots[i].start) < len)
			return &slots[i];
	}
	return NULL;
}

/* Not ours: what was there before gets it.  The default action is put back and met when the
 * faulting instruction runs again. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(sig, info, context);
	else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
		before.sa_handler(sig);
	else
		signal(sig, SIG_DFL);
}

static void on_bus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	struct guard *g = find(at);
	int saved = errno;
	void *p;

	if (!g) {
		pass_on(sig, info, context);
		return;
	}
	/* Counted before the zeros appear, so that nobody can read them and not see the count. */
	atomic_fetch_add(&g->faults, 1);
	atomic_fetch_add(&total, 1);
	p = mmap((void *)(at & ~(page_bytes - 1)), page_bytes, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		signal(sig, SIG_DFL);
	errno = saved;
}

static int install(struct err *e)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_RESTART };

	if (page_bytes)
		return 0;
	page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, &sa, &before) < 0) {
		page_bytes = 0;
		return err_set(e, ERR_IO, "cannot catch bus errors: %s", strerror(errno));
	}
	return 0;
}

int guard_add(struct guard **out, const void *p, size_t n, struct err *e)
{
	uint32_t i, used;
	int rc;

	*out = NULL;
	pthread_mutex_lock(&lock);
	rc = install(e);
	used = atomic_load(&n_used);
	for (i = 0; !rc && i < used && atomic_load(&slots[i].n); i++)
		;
	if (!rc && i == MAX_GUARD)
		rc = err_set(e, ERR_FULL, "more than %u files are mapped", MAX_GUARD);
	if (!rc) {
		atomic_store(&slots[i].start, (uintptr_t)p);
		atomic_store(&slots[i].faults, 0);
		atomic_store(&slots[i].n, n);
		if (i == used)
			atomic_store(&n_used, used + 1);
		*out = &slots[i];
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

uint64_t guard_faults(const struct guard *g)
{
	return atomic_load(&((struct guard *)g)->faults);
}

uint64_t guard_total(void)
{
	return atomic_load(&total);
}

void guard_remove(struct guard *g)
{
	if (!g)
		return;
	pthread_mutex_lock(&lock);
	atomic_store(&g->n, 0);
	pthread_mutex_unlock(&lock);
}
