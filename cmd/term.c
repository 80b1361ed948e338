#include "config.h"

#include "cmd/term.h"

#include "base/utf8.h"

#include <langinfo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

static bool is_set(const char *name)
{
	const char *v = getenv(name);

	return v && *v;
}

static bool want_color(bool tty, enum color_choice choice)
{
	const char *term = getenv("TERM"), *force = getenv("CLICOLOR_FORCE");

	if (choice != COLOR_AUTO)
		return choice == COLOR_ALWAYS;
	if (is_set("NO_COLOR"))
		return false;
	if (force && *force && strcmp(force, "0"))
		return true;
	return tty && term && *term && strcmp(term, "dumb");
}

/* Terminals that print OSC 8 as garbage are rare but real, and there is no way to ask: the known
 * good ones announce themselves, and VTE says its version. */
static bool can_link(void)
{
	static const char *const good[] = { "iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper" };
	const char *program = getenv("TERM_PROGRAM"), *term = getenv("TERM"),
		   *vte = getenv("VTE_VERSION");

	if (is_set("FORCE_HYPERLINK"))
		return strcmp(getenv("FORCE_HYPERLINK"), "0") != 0;
	if (vte && atoi(vte) >= 5000)
		return true;
	for (size_t i = 0; program && i < sizeof(good) / sizeof(*good); i++)
		if (!strcmp(program, good[i]))
			return true;
	return is_set("KITTY_WINDOW_ID") || is_set("KONSOLE_VERSION") || is_set("WT_SESSION") ||
	       (term && (!strncmp(term, "foot", 4) || !strcmp(term, "alacritty") ||
			 !strcmp(term, "xterm-kitty") || !strcmp(term, "xterm-ghostty")));
}

static int columns(int fd, bool tty)
{
	struct winsize ws;
	const char *env = getenv("COLUMNS");
	int n;

	if (tty && !ioctl(fd, TIOCGWINSZ, &ws) && ws.ws_col)
		return ws.ws_col < 20 ? 20 : ws.ws_col;
	n = env ? atoi(env) : 0;
	return n >= 20 && n <= 1000 ? n : 80;
}

void term_init(struct term *t, int fd, enum color_choice choice)
{
	t->tty = isatty(fd);
	t->cursor = t->tty && is_set("TERM") && strcmp(getenv("TERM"), "dumb");
	t->color = want_color(t->tty, choice);
	t->links = t->tty && t->color && can_link();
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	t->width = columns(fd, t->tty);
}

const char *term_style(const struct term *t, enum style s)
{
	static const char *const code[] = {
		[STYLE_PLAIN] = "\033[0m", [STYLE_BOLD] = "\033[1m", [STYLE_DIM] = "\033[2m",
		[STYLE_HEAD] = "\033[1;4m", [STYLE_PATH] = "\033[35m", [STYLE_LINE] = "\033[32m",
		[STYLE_MATCH] = "\033[1;31m", [STYLE_GOOD] = "\033[32m", [STYLE_WARN] = "\033[33m",
		[STYLE_BAD] = "\033[1;31m",
	};

	return t->color ? code[s] : "";
}

void term_text(struct buf *out, const char *s, size_t n, bool keep_lines)
{
	for (size_t i = 0; i < n;) {
		unsigned char b = (unsigned char)s[i];
		uint32_t c;
		size_t len = utf8_decode(s + i, n - i, &c);

		if (!len)
			buf_addf(out, "\\x%02x", b), len = 1;
		else if (keep_lines && (c == '\n' || c == '\t'))
			buf_addc(out, (char)c);
		else if (c == '\n')
			buf_adds(out, "\\n");
		else if (c == '\t')
			buf_adds(out, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\x%02x", b);
		else if (c >= 0x80 && c < 0xa0)	/* C1: some terminals obey them too */
			buf_addf(out, "\\u%04x", (unsigned)c);
		else if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
			buf_addf(out, "\\u%04x", (unsigned)c);	/* bidi overrides hide code */
		else
			buf_add(out, s + i, len);
		i += len;
	}
}

void term_link(struct buf *out, const struct term *t, const char *path, long line,
	       const char *shown)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "/-_.~";

	if (!t->links || path[0] != '/') {
		term_text(out, shown, strlen(shown), false);
		return;
	}
	buf_adds(out, "\033]8;;file://");
	for (const char *s = path; *s; s++)
		if (strchr(plain, *s))
			buf_addc(out, *s);
		else
			buf_addf(out, "%%%02X", (unsigned char)*s);
	if (line > 0)
		buf_addf(out, "#%ld", line);
	buf_adds(out, "\033\\");
	term_text(out, shown, strlen(shown), false);
	buf_adds(out, "\033]8;;\033\\");
}

size_t term_columns(const char *s, size_t n)
{
	size_t cols = 0;

	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t len = utf8_decode(s + i, n - i, &c);
		int w = len ? wcwidth((wchar_t)c) : 1;

		cols += w > 0 ? (size_t)w : w < 0 && len;
		i += len ? len : 1;
	}
	return cols;
}

/* Three significant digits, as far as they are known. */
static char *scaled(char out[16], double n, double step, const char *const *units, int n_unit)
{
	int u = 0;

	while (n >= step * 0.9995 && u < n_unit - 1) {
		n /= step;
		u++;
	}
	snprintf(out, 16, u == 0 || n >= 99.95 ? "%.0f%s" : n >= 9.995 ? "%.1f%s" : "%.2f%s", n,
		 units[u]);
	return out;
}

char *term_bytes(char out[16], double n)
{
	static const char *const units[] = { " B", " kB", " MB", " GB", " TB", " PB" };

	return scaled(out, n, 1000, units, 6);
}

char *term_count(char out[16], double n)
{
	static const char *const units[] = { "", "k", "M", "G", "T" };

	return scaled(out, n, 1000, units, 5);
}

char *term_duration(char out[16], double seconds)
{
	double s = seconds < 0 || !isfinite(seconds) ? 0 : seconds;

	if (s < 10)
		snprintf(out, 16, "%.1fs", s);
	else if (s < 3600)
		snprintf(out, 16, "%d:%02d", (int)s / 60, (int)s % 60);
	else if (s < 360000)
		snprintf(out, 16, "%d:%02d:%02d", (int)s / 3600, (int)s / 60 % 60, (int)s % 60);
	else
		snprintf(out, 16, "%.0f days", s < 8.64e9 ? s / 86400 : 1e5);
	return out;
}
