/* base/clock.h - two clocks: one for durations, one for dates */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Seconds since some fixed moment; never goes back. */
double clock_now(void);

/* Seconds of processor time of this process, all threads, and of the children it has waited for with
 * theirs. */
double clock_cpu(void);

/* Unix time in whole seconds, for what is stored. */
int64_t clock_unix(void);

#endif
