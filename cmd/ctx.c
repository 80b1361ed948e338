#include "config.h"

#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/cpu.h"
#include "base/stop.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail_json(struct ctx *c, const struct err *e, int code)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };

	jw_open(&j, NULL, '{');
	if (c->g.jsonl)
		jw_str(&j, "event", "error");
	jw_str(&j, "schema", "folio.error/1");
	jw_int(&j, "code", code);
	jw_str(&j, "message", e->msg);
	jw_str(&j, "hint", e->hint[0] ? e->hint : NULL);
	jw_close(&j);
	jw_end_line(&j);
	if (!b.failed)
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

int fail(struct ctx *c, const struct err *e)
{
	int code = exit_of(e->code);
	struct buf b = { 0 };

	if (c->g.json || c->g.jsonl) {
		fail_json(c, e, code);
		return code;
	}
	fflush(stdout);		/* what was said before it comes before it */
	buf_addf(&b, "folio: %s", term_style(&c->err, STYLE_BAD));
	term_text(&b, e->msg, strlen(e->msg), true);
	buf_addf(&b, "%s\n", term_style(&c->err, STYLE_PLAIN));
	if (e->hint[0]) {
		buf_addf(&b, "%shint:%s ", term_style(&c->err, STYLE_BOLD),
			 term_style(&c->err, STYLE_PLAIN));
		term_text(&b, e->hint, strlen(e->hint), true);
		buf_addc(&b, '\n');
	}
	if (!b.failed)
		fwrite(b.data, 1, b.len, stderr);
	buf_release(&b);
	return code;
}

int fail_with(struct ctx *c, int err_code, const char *hint, const char *fmt, ...)
{
	struct err e = { .code = err_code };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
	va_end(ap);
	if (hint)
		snprintf(e.hint, sizeof(e.hint), "%s", hint);
	return fail(c, &e);
}

static void say(struct ctx *c, const char *lead, const char *fmt, va_list ap)
{
	struct buf b = { 0 };
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	buf_adds(&b, lead);
	term_text(&b, text, strlen(text), true);
	buf_addc(&b, '\n');
	if (c->err.cursor)
		fputs("\r\033[K", stderr);	/* over a progress bar */
	if (!b.failed)
		fwrite(b.data, 1, b.len, stderr);
	buf_release(&b);
}

void warn(struct ctx *c, const char *fmt, ...)
{
	va_list ap;

	if (c->g.quiet)
		return;
	va_start(ap, fmt);
	say(c, "folio: warning: ", fmt, ap);
	va_end(ap);
}

void note(struct ctx *c, const char *fmt, ...)
{
	va_list ap;

	if (c->g.quiet || c->g.json || c->g.jsonl)
		return;
	va_start(ap, fmt);
	say(c, "", fmt, ap);
	va_end(ap);
}

void detail(struct ctx *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->g.verbose || c->g.quiet)
		return;
	va_start(ap, fmt);
	say(c, "", fmt, ap);
	va_end(ap);
}

int ctx_threads(const struct ctx *c)
{
	if (c->g.threads > 0)
		return c->g.threads > 1024 ? 1024 : (int)c->g.threads;
	return cpu_get()->n_core;
}

const char *ctx_kernels(const struct ctx *c)
{
	static const char *const word[] = { "auto", "ref", "avx2", "avx512" };

	return word[c->g.kernels];
}

bool confirm(struct ctx *c, const char *question)
{
	char line[16];

	if (c->g.yes)
		return true;
	if (c->g.quiet || !isatty(STDIN_FILENO))
		return false;
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (!fgets(line, sizeof(line), stdin) || stop_requested())
		return false;
	return line[0] == 'y' || line[0] == 'Y';
}

static pid_t pager_pid;

void pager_start(struct ctx *c)
{
	const char *pager = getenv("FOLIO_PAGER");
	int fd[2];

	if (!pager)
		pager = getenv("PAGER");
	if (!pager)
		pager = "less";
	if (!c->out.tty || c->g.no_pager || c->g.json || c->g.jsonl || !*pager ||
	    !strcmp(pager, "cat") || pipe(fd) < 0)
		return;
	fflush(stdout);
	pager_pid = fork();
	if (pager_pid == 0) {
		/* As git does: quit at once when it fits, colours as they are, leave it on screen. */
		setenv("LESS", "FRX", 0);
		dup2(fd[0], STDIN_FILENO);
		close(fd[0]);
		close(fd[1]);
		execl("/bin/sh", "sh", "-c", pager, (char *)NULL);
		_exit(127);
	}
	if (pager_pid > 0)
		dup2(fd[1], STDOUT_FILENO);
	else
		pager_pid = 0;	/* no process to be had: print without one */
	close(fd[0]);
	close(fd[1]);
}

void pager_wait(void)
{
	if (!pager_pid)
		return;
	fflush(stdout);
	close(STDOUT_FILENO);
	while (waitpid(pager_pid, NULL, 0) < 0 && stop_requested())
		stop_clear();	/* Ctrl-C belongs to the pager */
	pager_pid = 0;
}
