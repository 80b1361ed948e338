#include "config.h"

#include "engine/kern.h"
#include "base/cpu.h"
#include "base/size.h"

#include <string.h>

#ifdef HAVE_X86_KERNELS
extern const struct kern kern_avx2, kern_avx512;
#endif

const struct kern *kern_at(int n)
{
	const struct kern *set[3] = { &kern_ref };
	int have = 1;

#ifdef HAVE_X86_KERNELS
	if (cpu_get()->avx2_fma)
		set[have++] = &kern_avx2;
	if (cpu_get()->avx512_vnni)
		set[have++] = &kern_avx512;
#endif
	return n >= 0 && n < have ? set[n] : NULL;
}

const struct kern *kern_choose(const char *name)
{
	const struct kern *best = NULL, *k;

	for (int i = 0; (k = kern_at(i)); i++) {
		if (!strcmp(k->name, name))
			return k;
		best = k;
	}
	return strcmp(name, "auto") ? NULL : best;
}
