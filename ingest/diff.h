/* ingest/diff.h - what changed between two versions: the report that `folio diff` prints
 *
 *   sides (diff_side.h) -> pairs, renames (diff_rename.h) -> hunks (diff_lines.h) -> symbols of both
 *   sides (diff_symbols.c), sections of prose (diff_sections.c) -> what is visible outside
 *                                                        all of this is computed: the facts
 *   -> sentences of a model (diff_words.h), each tied to hunks or cut
 *
 * COUNTS are those of `git diff --numstat -M`: lines by libgit2's xdiff, binary files without lines,
 * a submodule as one line.  HUNKS have three lines of context and are numbered h1, h2, … through the
 * whole report, files in order of path; the same two versions give the same numbers.
 *
 * DOCUMENTS.  EPUB, DOCX, PDF, HTML and notebooks that are compared as single files are compared by
 * their extracted text, and so are stored texts; inside trees, PDF, EPUB and DOCX count as binary, as
 * for git, and get the hunks of their text beside that.
 *
 * MEMORY.  One pair of files is in memory at a time.  A hunk is some 100 bytes; its lines are kept up
 * to DIFF_KEEP_HUNK bytes and DIFF_KEEP_ALL in all.  Larger files fall back, and say so in `note`:
 * see diff_lines.h.
 *
 * Threads: one.
 */
#ifndef INGEST_DIFF_H
#define INGEST_DIFF_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIFF_KEEP_HUNK = 16 << 10, DIFF_KEEP_ALL = 8 << 20 };

enum diff_status { DIFF_MODIFIED, DIFF_ADDED, DIFF_DELETED, DIFF_RENAMED, DIFF_TYPE };

struct diff_hunk {
	uint32_t file;			/* index */
	uint64_t old_first, old_n;	/* lines from 1, context included; n 0: none there */
	uint64_t new_first, new_n;
	uint64_t insertions, deletions;
	uint32_t head;			/* what stands around it, in `words`; 0: "" */
	uint32_t n_text;		/* bytes of its lines, each led by ' ', '+' or '-' */
	uint64_t text;			/* where they begin in `text` */
	bool     cut;			/* there are more lines than were kept */
};

/* A section of prose, moved or written anew. */
enum diff_fate { FATE_MOVED, FATE_EDITED_AND_MOVED, FATE_REWRITTEN, FATE_ADDED, FATE_REMOVED, FATE_REFLOWED };
struct diff_section {
	uint32_t file;
	enum diff_fate fate;
	uint64_t old_first, old_last, new_first, new_last;	/* lines; 0: not there */
	uint32_t old_page, new_page;				/* 0: none */
	uint32_t old_head, new_head;	/* heading it stands under, in `words` */
	uint32_t start;			/* its first words, in `words` */
	uint32_t share;			/* of its words that stayed, in percent */
	uint32_t hunk[2];		/* indexes of the hunks on both sides; UINT32_MAX: none */
};

enum diff_kind {
	CHANGE_REMOVED, CHANGE_FILE_REMOVED, CHANGE_SIGNATURE, CHANGE_DEFAULT, CHANGE_VALUE, CHANGE_MOVED,
	CHANGE_MODE, CHANGE_NUMBER, CHANGE_ADDED
};

/* Something that may be visible outside: of a symbol, or of a file (symbol ""). */
struct diff_change {
	enum diff_kind kind;
	uint32_t file;
	bool     is_public;		/* by the language's own rules; tests are not */
	bool     on_new;		/* which side the lines are of */
	uint64_t first, last;
	uint32_t symbol, type;		/* name in its scope; "function", "macro"; in `words` */
	uint32_t before, after;		/* signatures or values, in `words` */
	uint32_t hunk;			/* index; UINT32_MAX: no line of it changed (a mode) */
};

/* Hunks of a sentence are indexes, in `ref`. */
struct diff_sentence {
	uint32_t file;			/* UINT32_MAX: of the overview */
	uint32_t text;			/* in `words` */
	uint32_t ref, n_ref;
	bool     by_model;
};

struct diff_file {
	uint32_t path, old_path;	/* in `words`; old_path 0 unless it has another name */
	uint32_t n_path, n_old_path;
	enum diff_status status;
	uint32_t old_mode, new_mode;	/* 0: not there, or not known */
	uint32_t score;			/* of a rename, percent */
	bool     binary;		/* no lines for git */
	bool     extracted;		/* the hunks are of extracted text */
	uint64_t insertions, deletions;
	uint32_t hunk, n_hunk;		/* first and number */
	uint32_t language;		/* in `words` */
	uint32_t note;			/* what was done otherwise than usual, in `words` */
	uint32_t unsaid;		/* why it has no sentence of a model, in `words` */
	size_t   old_entry, new_entry;	/* of the sides; SIZE_MAX: not there */
};

struct diff_report {
	struct diff_side *a, *b;	/* borrowed */
	struct buf words;		/* strings, NUL-terminated; 0 is "" */
	struct buf text;		/* of hunks */
	struct diff_file *file;
	size_t n_file, cap_file;
	struct diff_hunk *hunk;
	size_t n_hunk, cap_hunk;
	struct diff_section *section;
	size_t n_section, cap_section;
	struct diff_change *change;	/* what matters most first: see diff_order_changes */
	size_t n_change, cap_change;
	struct diff_sentence *sentence;	/* of the overview first, then in order of files */
	size_t n_sentence, cap_sentence;
	uint32_t *ref;
	size_t n_ref, cap_ref;
	uint64_t insertions, deletions, added, deleted, renamed;
	size_t n_not_compared;		/* files one side has no bytes of; they count as no change */
	size_t n_unreadable;		/* of them, files that should have been readable */
	struct buf not_compared;	/* path NUL reason NUL */
	struct buf notes;		/* a remark a line: limits that were reached */
	uint32_t n_cut;			/* sentences of a model that were cut */
	bool    interrupted;
};

struct diff_opts {
	const char *const *paths;
	size_t n_path;
	bool   no_symbols;
	/* Files done, of how many; may be NULL. */
	void (*on_progress)(void *ctx, uint64_t done, uint64_t total, const char *path);
	void  *ctx;
};

/* The facts.  Zero-initialised before, released in the end whatever happened.  ERR_INTR: what was
 * done until then is in the report, `interrupted` is set. */
int diff_facts(struct diff_report *r, struct diff_side *a, struct diff_side *b, const struct diff_opts *o,
	       struct err *e);
void diff_release(struct diff_report *r);

/* Say of all files but the `n` with the most changed lines that they are beyond a limit: `why` becomes
 * their `unsaid`, and with `drop` their sentences go.  ERR_NOMEM. */
int diff_limit(struct diff_report *r, size_t n, const char *why, bool drop, struct err *e);

/* Nothing differs. */
bool diff_is_empty(const struct diff_report *r);

const char *diff_word(const struct diff_report *r, uint32_t at);
/* "modified", ...; "removed", "signature_changed", ...; "moved", ... as in JSON. */
const char *diff_status_name(enum diff_status s);
const char *diff_kind_name(enum diff_kind k);
const char *diff_fate_name(enum diff_fate f);

/* ---- for the parts below ---- */

/* A copy of a string in `words`; 0 for "" and without memory (words.failed tells). */
uint32_t diff_keep(struct diff_report *r, const char *s, size_t n);
int diff_add_change(struct diff_report *r, const struct diff_change *c, struct err *e);
int diff_add_section(struct diff_report *r, const struct diff_section *s, struct err *e);
int diff_add_sentence(struct diff_report *r, uint32_t file, const char *text, size_t n, const uint32_t *hunk,
		      size_t n_hunk, bool by_model, struct err *e);
void diff_note(struct diff_report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The hunk of a file that changes a line of [first, last] on that side; else UINT32_MAX. */
uint32_t diff_hunk_at(const struct diff_report *r, uint32_t file, bool on_new, uint64_t first, uint64_t last);
/* Breaking ones first, public ones before internal ones, then by path and line. */
void diff_order_changes(struct diff_report *r);
/* Sentences from the facts alone: overview, and one or two for every file. */
int diff_say_facts(struct diff_report *r, struct err *e);
/* Sentences in the order that the struct promises. */
void diff_order_sentences(struct diff_report *r);

#endif
