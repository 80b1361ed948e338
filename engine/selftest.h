/* engine/selftest.h - do the kernels of a set compute what the reference does, on this processor?
 *
 * Small shapes with odd sizes and tails, random weights of every tensor type: a small part of what
 * tests/kern_test.c does, built into the program, because a processor, a hypervisor or a compiler can be
 * at fault where the program runs and not where it was tested.
 *
 * Threads: any; nothing is shared.
 */
#ifndef ENGINE_SELFTEST_H
#define ENGINE_SELFTEST_H

#include "base/err.h"
#include "engine/kern.h"

struct selftest {
	unsigned n, n_bad;	/* comparisons; those over their limit */
	double   worst;		/* the largest error, in units of its limit: at most 1 is good */
	char     where[64];	/* "linear Q4_K, 23 tokens" */
};

/* Run them all on k.  ERR_NOMEM; a kernel that computes wrong is no error but n_bad. */
int selftest_run(const struct kern *k, struct selftest *out, struct err *e);

#endif
