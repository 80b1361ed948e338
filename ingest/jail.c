#include "config.h"

#include "ingest/jail.h"

#include "base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Bytes of address space this process has mapped; all of it is there before the job starts. */
static uint64_t mapped_bytes(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%llu", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool limit(int what, uint64_t soft, uint64_t hard)
{
	struct rlimit old, r = { .rlim_cur = soft, .rlim_max = hard };

	if (getrlimit(what, &old))
		return false;
	r.rlim_max = MIN(r.rlim_max, old.rlim_max);
	r.rlim_cur = MIN(r.rlim_cur, r.rlim_max);
	return !setrlimit(what, &r);
}

/* fresh: an exec follows, and the address space counts from nothing. */
static bool set_limits(const struct sandbox_limit *lim, bool fresh)
{
	uint64_t memory = lim->memory + (fresh ? 0 : mapped_bytes());

	/* The hard CPU limit is one second later: at the soft one SIGXCPU says what happened. */
	return limit(RLIMIT_CPU, lim->cpu_seconds, lim->cpu_seconds + 1) &&
	       limit(RLIMIT_FSIZE, lim->output, lim->output) &&
	       limit(RLIMIT_NOFILE, 32, 32) && limit(RLIMIT_CORE, 0, 0) &&
	       limit(RLIMIT_AS, memory, memory);
}

/* Calls that move bytes between memory and files that are open already. */
static const int common[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
	SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat),
	SCMP_SYS(newfstatat), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk),
	SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(exit), SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times),
	SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getrusage),
	SCMP_SYS(sched_yield),
};

/* What a program needs to start and to read its data files. */
static const int program[] = {
	SCMP_SYS(execve), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(fcntl),
	SCMP_SYS(dup), SCMP_SYS(fadvise64), SCMP_SYS(arch_prctl), SCMP_SYS(set_tid_address),
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(uname), SCMP_SYS(sysinfo),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
	SCMP_SYS(getppid), SCMP_SYS(getrlimit), SCMP_SYS(sched_getaffinity), SCMP_SYS(poll),
	SCMP_SYS(umask), SCMP_SYS(seccomp),	/* ctags puts a filter of its own on top */
};

/* A call this kernel or architecture does not have is no loss: rules for it are skipped. */
static bool allow_all(scmp_filter_ctx ctx, const int *call, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (call[i] >= 0 && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call[i], 0))
			return false;
	return true;
}

/* mmap and mprotect where nothing becomes executable. */
static bool allow_common(scmp_filter_ctx ctx)
{
	return allow_all(ctx, common, ARRAY_LEN(common)) &&
	       !seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) &&
	       !seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static bool allow_reading(scmp_filter_ctx ctx)
{
	scmp_datum_t writes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;

	if (SCMP_SYS(open) >= 0 &&
	    seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
			     SCMP_A1(SCMP_CMP_MASKED_EQ, writes, O_RDONLY)))
		return false;
	return !seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				 SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY)) &&
	       !seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				 SCMP_A0(SCMP_CMP_EQ, PR_SET_NO_NEW_PRIVS, 0)) &&
	       /* asking for limits, not setting them */
	       !seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
				 SCMP_A2(SCMP_CMP_EQ, 0, 0));
}

/* The filter as the kernel takes it.  Refused calls fail with ENOSYS and the job goes on: libc
 * tries new calls and falls back, and a list that killed for them would rot with every release.
 * Calls of another architecture kill. */
static bool build(bool is_program, struct sock_fprog *prog)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int fd = memfd_create("filter", MFD_CLOEXEC);
	bool good = ctx && fd >= 0 && allow_common(ctx);
	off_t n;

	if (good && is_program)
		good = allow_all(ctx, program, ARRAY_LEN(program)) && allow_reading(ctx);
	good = good && !seccomp_export_bpf(ctx, fd) && (n = lseek(fd, 0, SEEK_END)) > 0 &&
	       n / (off_t)sizeof(struct sock_filter) <= USHRT_MAX;
	if (good) {
		prog->len = (unsigned short)(n / (off_t)sizeof(struct sock_filter));
		prog->filter = malloc((size_t)n);
		good = prog->filter && pread(fd, prog->filter, (size_t)n, 0) == n;
	}
	if (ctx)
		seccomp_release(ctx);
	if (fd >= 0)
		close(fd);
	return good;
}

static struct sock_fprog for_function, for_program;

bool jail_prepare(void)
{
	return build(false, &for_function) && build(true, &for_program);
}

/* No memory is taken here: a program's limit may be less than what this process, a copy of one with
 * a model mapped, has already. */
static bool enter(const struct sandbox_limit *lim, const struct sock_fprog *prog, bool fresh)
{
	return prog->len && set_limits(lim, fresh) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog);
}

bool jail_function(const struct sandbox_limit *lim)
{
	return enter(lim, &for_function, false);
}

bool jail_program(const struct sandbox_limit *lim)
{
	return enter(lim, &for_program, true);
}
