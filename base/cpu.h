/* base/cpu.h - what this processor offers, asked once
 *
 * Kernels are compiled for several instruction sets and chosen at start; `folio doctor` prints the
 * same answers.  A set counts only when the operating system saves its registers (XGETBV).
 */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

struct cpu {
	bool avx2_fma;		/* AVX2, FMA3 and F16C */
	bool avx512;		/* F, BW, VL, DQ */
	bool avx512_vnni;	/* avx512 and VNNI */
	bool avx512_bf16;	/* avx512 and BF16 */
	int  n_core;		/* usable by this process (affinity mask) */
	char name[64];		/* the maker's string, trimmed */
};

/* Borrowed, valid for ever, the same on every call.  Thread-safe. */
const struct cpu *cpu_get(void);

#endif
