#include "config.h"

#include "cmd/line.h"
#include "cmd/paths.h"

#include "base/file.h"
#include "base/stop.h"

#include <errno.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LINES 1000

struct line {
	EditLine *el;			/* NULL: no terminal */
	History  *history;
	char     *path;			/* of the history */
	const char *prompt;
	FILE     *tty;			/* stdout is a stream without a descriptor (main.c) */
};

static char *prompt(EditLine *el)
{
	struct line *l;

	el_get(el, EL_CLIENTDATA, &l);
	return (char *)(uintptr_t)l->prompt;
}

/* libedit's own reader begins again after a signal; Ctrl-C is to end the line. */
static int get_char(EditLine *el, wchar_t *out)
{
	mbstate_t state = { 0 };
	char c;

	(void)el;
	for (;;) {
		ssize_t n = stop_requested() ? -1 : read(STDIN_FILENO, &c, 1);
		size_t m;

		if (n == 0)
			return 0;
		if (n < 0 && (errno != EINTR || stop_requested()))
			return -1;
		if (n < 0)
			continue;
		m = mbrtowc(out, &c, 1, &state);
		if (m <= 1)
			return 1;
		if (m == (size_t)-1)	/* no character: leave the byte out */
			memset(&state, 0, sizeof(state));
	}
}

static char *history_path(void)
{
	char *models = models_folder(), *slash = models ? strrchr(models, '/') : NULL, *path = NULL;

	if (slash) {
		*slash = '\0';
		if (!file_mkdirs(models, NULL))
			path = path_join(models, "history");
	}
	free(models);
	return path;
}

static void open_editor(struct line *l)
{
	HistEvent ev;
	int fd = dup(STDOUT_FILENO);

	l->tty = fd >= 0 ? fdopen(fd, "w") : NULL;
	l->el = l->tty ? el_init("folio", stdin, l->tty, stderr) : NULL;
	l->history = history_init();
	if (!l->el || !l->history)
		return;
	l->path = history_path();
	history(l->history, &ev, H_SETSIZE, HISTORY_LINES);
	history(l->history, &ev, H_SETUNIQUE, 1);
	if (l->path)
		history(l->history, &ev, H_LOAD, l->path);
	el_set(l->el, EL_CLIENTDATA, l);
	el_set(l->el, EL_PROMPT, prompt);
	el_set(l->el, EL_EDITOR, "emacs");
	el_set(l->el, EL_HIST, history, l->history);
	el_set(l->el, EL_SIGNAL, 0);
	el_set(l->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_source(l->el, NULL);
	el_set(l->el, EL_GETCFN, get_char);
}

int line_open(struct line **out, const char *prompt_text, struct err *e)
{
	struct line *l = calloc(1, sizeof(*l));

	*out = NULL;
	if (!l)
		return err_nomem(e);
	l->prompt = prompt_text;
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
		open_editor(l);
		if (!l->el || !l->history) {
			line_close(l);
			return err_set(e, ERR_IO, "cannot edit lines on this terminal (TERM is '%s')",
				       getenv("TERM") ? getenv("TERM") : "");
		}
	}
	*out = l;
	return 0;
}

void line_close(struct line *l)
{
	HistEvent ev;
	mode_t was;

	if (!l)
		return;
	if (l->history && l->path) {
		was = umask(077);
		history(l->history, &ev, H_SAVE, l->path);
		umask(was);
	}
	if (l->el)
		el_end(l->el);
	if (l->history)
		history_end(l->history);
	if (l->tty)
		fclose(l->tty);
	free(l->path);
	free(l);
}

bool line_is_tty(const struct line *l)
{
	return l->el != NULL;
}

static enum line_got read_plain(struct buf *out)
{
	int c;

	while ((c = getchar()) != EOF && c != '\n')
		buf_addc(out, (char)c);
	if (c == EOF && stop_requested())
		return LINE_STOPPED;
	return c == EOF && !out->len ? LINE_END : LINE_TEXT;
}

enum line_got line_read(struct line *l, struct buf *out)
{
	HistEvent ev;
	const char *s;
	int n = 0;

	buf_clear(out);
	if (!l->el)
		return read_plain(out);
	el_resize(l->el);
	s = el_gets(l->el, &n);
	if (!s || n <= 0) {
		el_reset(l->el);
		putchar('\n');
		fflush(stdout);
		return stop_requested() ? LINE_STOPPED : LINE_END;
	}
	n -= s[n - 1] == '\n';
	buf_add(out, s, (size_t)n);
	if (n)
		history(l->history, &ev, H_ENTER, s);
	return LINE_TEXT;
}
