#include "config.h"

#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

static struct cpu the_cpu;

#ifdef __x86_64__
static void probe_x86(struct cpu *c)
{
	unsigned a, b, x, d, brand[12];

	__builtin_cpu_init();
	c->avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	if (!__get_cpuid(1, &a, &b, &x, &d) || !(x & bit_F16C))
		c->avx2_fma = false;
	c->avx512 = c->avx2_fma && __builtin_cpu_supports("avx512f") &&
		    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
		    __builtin_cpu_supports("avx512dq");
	c->avx512_vnni = c->avx512 && __builtin_cpu_supports("avx512vnni");
	c->avx512_bf16 = c->avx512 && __get_cpuid_count(7, 1, &a, &b, &x, &d) && (a & (1u << 5));
	for (unsigned i = 0; i < 3; i++)
		if (!__get_cpuid(0x80000002u + i, brand + 4 * i, brand + 4 * i + 1,
				 brand + 4 * i + 2, brand + 4 * i + 3))
			return;
	memcpy(c->name, brand, sizeof(brand));
}
#endif

static void probe(void)
{
	struct cpu *c = &the_cpu;
	cpu_set_t set;
	size_t n;

	strcpy(c->name, "unknown processor");
#ifdef __x86_64__
	probe_x86(c);
#endif
	c->name[sizeof(c->name) - 1] = '\0';
	for (n = strlen(c->name); n && c->name[n - 1] == ' '; n--)
		c->name[n - 1] = '\0';
	c->n_core = sched_getaffinity(0, sizeof(set), &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN)
							    : CPU_COUNT(&set);
	if (c->n_core < 1)
		c->n_core = 1;
}

const struct cpu *cpu_get(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, probe);
	return &the_cpu;
}
