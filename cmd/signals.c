#include "config.h"

#include "cmd/signals.h"

#include "base/mapped.h"
#include "base/stop.h"
#include "cmd/exit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t got_term, want_json;

static void on_stop(int sig)
{
	if (stop_requested())
		_exit(sig == SIGTERM ? EXIT_TERM : EXIT_INTR);
	if (sig == SIGTERM)
		got_term = 1;
	stop_request();
}

/* Append s to line; snprintf is not async-signal-safe.  What JSON or a terminal would choke on
 * becomes '?'. */
static size_t append(char *line, size_t at, size_t cap, const char *s)
{
	for (; *s && at + 1 < cap; s++)
		line[at++] = (unsigned char)*s < 0x20 || *s == '"' || *s == '\\' ? '?' : *s;
	return at;
}

static size_t append_raw(char *line, size_t at, size_t cap, const char *s)
{
	while (*s && at + 1 < cap)
		line[at++] = *s++;
	return at;
}

static void on_bus(int sig, siginfo_t *info, void *uc)
{
	static char line[1024];
	enum mapped_kind kind = MAPPED_LIBRARY;
	const char *path = mapped_find(info->si_addr, &kind);
	int code = kind == MAPPED_MODEL ? EXIT_MODEL :
		   kind == MAPPED_LIBRARY ? EXIT_DAMAGE : EXIT_ERROR;
	static const char why[] = "' became shorter or unreadable while it was being read";
	const char *hint = kind == MAPPED_LIBRARY ?
		"run 'folio verify', then 'folio repair'" : "check the disk and try again";
	char digits[3] = { (char)('0' + code / 10), (char)('0' + code % 10), '\0' };
	size_t n = 0;

	(void)sig;
	(void)uc;
	n = append_raw(line, n, sizeof(line), "folio: '");
	n = append(line, n, sizeof(line), path ? path : "a mapped file");
	n = append_raw(line, n, sizeof(line), why);
	n = append_raw(line, n, sizeof(line), "\nhint: ");
	n = append_raw(line, n, sizeof(line), hint);
	n = append_raw(line, n, sizeof(line), "\n");
	if (!want_json && write(STDERR_FILENO, line, n) < 0)
		_exit(code);
	if (want_json) {
		n = append_raw(line, 0, sizeof(line), "{\"schema\":\"folio.error/1\",\"code\":");
		n = append_raw(line, n, sizeof(line), digits[0] == '0' ? digits + 1 : digits);
		n = append_raw(line, n, sizeof(line), ",\"message\":\"'");
		n = append(line, n, sizeof(line), path ? path : "a mapped file");
		n = append_raw(line, n, sizeof(line), why);
		n = append_raw(line, n, sizeof(line), "\",\"hint\":\"");
		n = append_raw(line, n, sizeof(line), hint);
		n = append_raw(line, n, sizeof(line), "\"}\n");
		if (write(STDOUT_FILENO, line, n) < 0)
			_exit(code);
	}
	_exit(code);
}

void signals_init(bool json)
{
	struct sigaction sa = { .sa_handler = on_stop }, before;

	want_json = json;
	sigemptyset(&sa.sa_mask);
	/* No SA_RESTART: a read that waits for the user should return.  A SIGINT that was ignored
	 * when we started (a background job of a script, nohup) stays ignored. */
	if (!sigaction(SIGINT, NULL, &before) && before.sa_handler != SIG_IGN)
		sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sa = (struct sigaction){ .sa_flags = SA_SIGINFO };
	sa.sa_sigaction = on_bus;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, NULL);
}

void signals_set_json(bool json)
{
	want_json = json;
}

bool signals_got_term(void)
{
	return got_term;
}
