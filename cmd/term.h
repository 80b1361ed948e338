/* cmd/term.h - what a stream's terminal can do, decided once
 *
 * Colour: --color wins, then NO_COLOR (any non-empty value: never), then CLICOLOR_FORCE (non-empty
 * and not 0: always), then: only on a terminal whose TERM is set and not "dumb".
 */
#ifndef CMD_TERM_H
#define CMD_TERM_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum color_choice { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_HEAD, STYLE_PATH, STYLE_LINE, STYLE_MATCH,
	     STYLE_GOOD, STYLE_WARN, STYLE_BAD };

struct term {
	bool tty;
	bool cursor;	/* a line can be drawn over: a terminal that is not dumb */
	bool color;
	bool links;	/* OSC 8 hyperlinks */
	bool utf8;	/* the locale's encoding */
	int  width;	/* columns: the terminal's, COLUMNS, or 80 */
};

void term_init(struct term *t, int fd, enum color_choice choice);

/* The escape that begins a style, "" without colour; STYLE_PLAIN ends any. */
const char *term_style(const struct term *t, enum style s);

/* Append text from files or the user: control characters become visible escapes ("\x1b"), so that no
 * file name or document drives the terminal.  Newlines and tabs stay only when keep_lines. */
void term_text(struct buf *out, const char *s, size_t n, bool keep_lines);

/* Append path[:line] with a hyperlink to the file where the terminal can; path must be absolute for
 * a link, and shown is what is printed. */
void term_link(struct buf *out, const struct term *t, const char *path, long line,
	       const char *shown);

/* Columns a UTF-8 text takes (East Asian wide characters two, combining marks none). */
size_t term_columns(const char *s, size_t n);

/* "1.2 MB", "98.4k", "3:07" - into out, which is returned.  Bytes are decimal, as disks are sold. */
char *term_bytes(char out[16], double n);
char *term_count(char out[16], double n);
char *term_duration(char out[16], double seconds);

#endif
