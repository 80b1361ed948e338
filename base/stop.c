#include "config.h"

#include "base/stop.h"

#include <stdatomic.h>

static atomic_bool requested;
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "a signal handler stores it");

void stop_request(void)
{
	atomic_store_explicit(&requested, true, memory_order_relaxed);
}

bool stop_requested(void)
{
	return atomic_load_explicit(&requested, memory_order_relaxed);
}

void stop_clear(void)
{
	atomic_store_explicit(&requested, false, memory_order_relaxed);
}
