/* ingest/talk.h - a session while it is used: earlier turns as keys and values, the next one kept
 *
 *   talk_open   turns of the session and their pages from disk: nothing is computed again
 *   answer      places them behind the spans (layout.c), adds the new question's and answer's
 *   talk_keep   the new turn's pages synced, then named by the commit; or talk_drop
 *
 * What a turn keeps in pages are the tokens from the end of the turn before to the end of its answer,
 * spans left out: those are the library's, and chosen anew for every question.
 *
 * TWO SHELLS on one session do not wait for each other.  Whoever keeps a turn second finds that the
 * session has moved on; its turn then goes into a fork, at the turn it started from, under the next
 * free "NAME-2", "NAME-3", ...
 *
 * A model with near layers (iRoPE) keeps no pages: it reads the ids of earlier turns again.
 *
 * Threads: one.
 */
#ifndef INGEST_TALK_H
#define INGEST_TALK_H

#include "base/buf.h"
#include "base/err.h"
#include "cache/library.h"
#include "engine/encode.h"
#include "engine/turns.h"
#include "ingest/pages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct talk;

/* name NULL: a new session, named "sN" when its first turn is kept.  A name that no session has is a new
 * session, too; it exists once a turn is kept.  All but name is borrowed until talk_close.
 * ERR_MISMATCH: the session was held with another model; ERR_CORRUPT: a page of it is damaged. */
int talk_open(struct talk **out, struct library *lib, struct pages *p, struct encoder *enc, const char *name,
	      struct err *e);
void talk_close(struct talk *t);

/* NULL while it has none. */
const char *talk_name(const struct talk *t);
/* 0: no such session yet. */
int64_t talk_session(const struct talk *t);
uint32_t talk_turns(const struct talk *t);
/* The newest turn's question; "" without one. */
const char *talk_last_question(const struct talk *t);

/* Tokens of the turns so far, and of what was fed since. */
size_t talk_count(const struct talk *t);
/* Their K and V; NULL for a model with near layers. */
const struct turns *talk_kv(const struct talk *t);
/* Such a model reads their ids again, these; NULL for the others. */
const struct tok_ids *talk_history(const struct talk *t);
/* What is fed goes here: K and V into the sink (NULL where there are none), ids into talk_said. */
const struct far_sink *talk_sink(struct talk *t);
int talk_said(struct talk *t, const int32_t *token, size_t n, struct err *e);
/* Forget what was fed since the last turn, or the part of it from token n of the session on. */
void talk_drop(struct talk *t);
void talk_truncate(struct talk *t, size_t n);

struct talk_turn {
	const char *question, *answer;
	const char *citations, *info;	/* as in session.h */
	const int64_t *snapshot;	/* a new session is pinned to these */
	size_t         n_snapshot;
};
/* Keep the turn.  *forked (may be NULL): the session had moved on, and talk is now at the fork. */
int talk_keep(struct talk *t, const struct talk_turn *turn, bool *forked, struct err *e);

#endif
