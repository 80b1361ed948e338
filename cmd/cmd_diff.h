/* cmd/cmd_diff.h - options of folio diff, and the four ways its report is written
 *
 * A view is a report with what decides about its look.  Each writer appends the whole report to a
 * buffer; what came from files is data in all of them: escaped for the terminal, Markdown, HTML, JSON.
 */
#ifndef CMD_CMD_DIFF_H
#define CMD_CMD_DIFF_H

#include "base/buf.h"
#include "cmd/opt.h"
#include "cmd/term.h"
#include "ingest/diff.h"

struct diff_cmd_opts {
	int         format;		/* enum diff_format */
	const char *output;
	bool        no_llm;
	int         length;		/* enum diff_length */
	int64_t     max_files;
	const char *link_template;
	bool        exit_code;
	const char *repo;
};
extern const struct opt diff_opts[];

enum diff_format { DIFF_TERM, DIFF_MD, DIFF_HTML, DIFF_JSON };
enum diff_length { DIFF_SHORT, DIFF_MEDIUM, DIFF_FULL };

struct diff_view {
	const struct diff_report *r;
	enum diff_length length;
	const struct term *t;		/* for DIFF_TERM */
	const char *link_template;	/* or NULL */
	char *base;			/* absolute folder of the files, or NULL: no links without a template */
	char *relative;			/* the same, from where the report lies; "" is there */
	const char *model;		/* that wrote sentences, or NULL */
	bool  event;			/* --jsonl */
};

void diff_write_term(const struct diff_view *v, struct buf *out);
void diff_write_md(const struct diff_view *v, struct buf *out);
void diff_write_html(const struct diff_view *v, struct buf *out);
void diff_write_json(const struct diff_view *v, struct buf *out);

/* ---- shared by the writers ---- */

/* The address of a line of a file; line 0: of the file.  False: there is none. */
bool diff_link(const struct diff_view *v, const char *path, uint64_t line, bool on_new, struct buf *out);
/* "12 files changed, 3 insertions(+), 1 deletion(-)", as git words it. */
void diff_stat_line(const struct diff_report *r, struct buf *out);
/* One letter as git shows it: M A D R T. */
char diff_status_letter(enum diff_status s);
/* Files without a sentence of their own and why: 1 while there are more; *at begins at 0. */
bool diff_next_unsaid(const struct diff_view *v, size_t *at, const char **path, const char **why);
/* How many of them. */
size_t diff_count_unsaid(const struct diff_view *v);
/* What a kind of change is called for people: "signature". */
const char *diff_kind_word(enum diff_kind k);

#endif
