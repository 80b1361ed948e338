/* cmd/line.h - one line from the user: edited on a terminal, read as it is from a pipe
 *
 * On a terminal libedit edits (emacs or vi keys as ~/.editrc says), with a history that is kept in
 * $XDG_DATA_HOME/folio/history, readable by the user alone.  Ctrl-C empties the line, Ctrl-D on an empty
 * one ends.  Where standard input is no terminal nothing is printed and no history is kept.
 */
#ifndef CMD_LINE_H
#define CMD_LINE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct line;

enum line_got { LINE_TEXT, LINE_STOPPED, LINE_END };

/* prompt is borrowed until line_close. */
int line_open(struct line **out, const char *prompt, struct err *e);
/* Saves the history. */
void line_close(struct line *l);
bool line_is_tty(const struct line *l);

/* The next line without its newline into out, which is cleared before.  LINE_STOPPED: Ctrl-C, or SIGTERM;
 * base/stop.h tells which, the caller clears it. */
enum line_got line_read(struct line *l, struct buf *out);

#endif
