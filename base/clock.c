#include "config.h"

#include "base/clock.h"

#include <sys/resource.h>
#include <time.h>

double clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double used(int who)
{
	struct rusage r = { 0 };

	getrusage(who, &r);
	return (double)r.ru_utime.tv_sec + 1e-6 * (double)r.ru_utime.tv_usec +
	       (double)r.ru_stime.tv_sec + 1e-6 * (double)r.ru_stime.tv_usec;
}

double clock_cpu(void)
{
	return used(RUSAGE_SELF) + used(RUSAGE_CHILDREN);
}

int64_t clock_unix(void)
{
	return (int64_t)time(NULL);
}
