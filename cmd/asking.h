/* cmd/asking.h - what asking stands on, shared by the commands that put questions to a library
 *
 *   asking_open     library, snapshots, model, pages      asking_json     folio.answer/1
 *   asking_session  the session, its pins                 asking_sources  what stands below an answer
 *   asking_answer   one question and what is kept of it   asking_not_found
 *
 * asking.c opens and closes, asking_scope.c finds the documents that are asked, asking_turn.c answers
 * and keeps, asking_json.c and asking_text.c show.
 */
#ifndef CMD_ASKING_H
#define CMD_ASKING_H

#include "base/buf.h"
#include "base/err.h"
#include "cmd/opt.h"
#include "cmd/progress.h"
#include "cmd/sources.h"
#include "ingest/answer.h"
#include "ingest/talk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask_opts;
struct ctx;
struct jw;
struct library;

struct asking {
	struct ctx     *c;
	struct library *lib;
	struct engine  *en;
	struct tok     *tok;
	struct encoder *enc;
	struct pages   *pages;
	int64_t        *snapshot;	/* asked */
	size_t          n_snapshot;
	int64_t        *document;	/* --only: these alone, sorted; else NULL */
	size_t          n_document;
	struct talk    *talk;		/* NULL: nothing is kept */
	bool            forked;		/* the session had moved on: the turn is in a fork */
	bool            kept;		/* the last answer is a turn of the session */
	struct buf      question, context;
	struct progress progress;
	bool            encoding;
	bool            streams;	/* the answer is printed as it is written */
	bool            in_chat;	/* the session's name is not said with every turn */
	struct answer   a;
};

/* Everything a question stands on.  source as in sources_pick; session NULL: the newest snapshots, or
 * those a session of that name is pinned to where source is empty. */
int asking_open(struct asking *s, const struct strs *source, const char *session, struct err *e);
void asking_close(struct asking *s);

/* asking_scope.c.  Only files whose path matches one of the globs.  ERR_NOTFOUND: none does. */
int asking_only(struct asking *s, const struct strs *glob, struct err *e);
/* Files from disk into the context, as the model reads them.  Call before asking_open: it forks. */
int asking_files(struct asking *s, const struct strs *file, struct err *e);
/* Did the file that was cited change, or go, in the newest snapshot of its source? */
bool asking_changed(struct catalog *c, const char *source, const char *path, const char *sha256);

/* asking_turn.c.  Open the session (name NULL: a new one).  Call after asking_open. */
int asking_session(struct asking *s, const char *name, struct err *e);
/* "--attend auto|all|TOKENS". */
int asking_attend(const char *word, uint64_t *out, struct err *e);
/* Answer s->question into s->a, and keep the turn.  An interrupted answer is kept and is ERR_INTR. */
int asking_answer(struct asking *s, const struct ask_opts *o, struct err *e);

/* asking_json.c: the whole answer as one document, or as the last event; its citations alone, an array. */
void asking_json(struct asking *s, const struct ask_opts *o);
void asking_citations(struct jw *j, const char *key, struct asking *s);
/* The first event of a stream. */
void asking_start_event(struct asking *s);
/* For struct answer_opts, ctx being the struct asking. */
void asking_on_text(void *ctx, const char *text, size_t n);
void asking_on_cite(void *ctx, const struct citation *ci);
void asking_on_encode(void *ctx, const struct pages_progress *p);

/* asking_text.c: what stands below an answer; the answer itself is printed before. */
void asking_sources(struct asking *s, const struct ask_opts *o);
void asking_not_found(struct asking *s);

#endif
