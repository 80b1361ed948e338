/* tests/check.h - TAP, the protocol automake's driver reads, in forty lines */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int check_n, check_failed;

/* One assertion.  The description says what is true, in the words of the spec. */
#define ok(cond, ...) check_report(!!(cond), __FILE__, __LINE__, #cond, __VA_ARGS__)

__attribute__((format(printf, 5, 6), unused))
static int check_report(int good, const char *file, int line, const char *cond, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++check_n);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (!good) {
		check_failed++;
		printf("# %s:%d: %s\n", file, line, cond);
	}
	fflush(stdout);
	return good;
}

/* The whole program cannot run here; say why. */
__attribute__((unused)) static void skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

static int done(void)
{
	printf("1..%d\n", check_n);
	return check_failed != 0;
}

#endif
