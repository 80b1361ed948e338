/* cmd/asking.h - what asking stands on, shared by the commands that put questions to a library
 *
 *   asking_open  library, snapshots, model, pages        asking_json  folio.answer/1
 *   callbacks    text as it is written, progress         asking_text  the answer's sources, for people
 */
#ifndef CMD_ASKING_H
#define CMD_ASKING_H

#include "base/buf.h"
#include "base/err.h"
#include "cmd/opt.h"
#include "cmd/progress.h"
#include "cmd/sources.h"
#include "ingest/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask_opts;
struct ctx;
struct library;

struct asking {
	struct ctx     *c;
	struct library *lib;
	struct engine  *en;
	struct tok     *tok;
	struct encoder *enc;
	struct pages   *pages;
	struct picks    picks;
	int64_t        *snapshot;
	struct buf      question, context;
	struct progress progress;
	bool            encoding;
	bool            streams;	/* the answer is printed as it is written */
	struct answer   a;
};

/* Everything a question stands on: library, model, the snapshots asked (source as in sources_pick). */
int asking_open(struct asking *s, const struct strs *source, struct err *e);
void asking_close(struct asking *s);

/* For struct answer_opts, ctx being the struct asking. */
void asking_on_text(void *ctx, const char *text, size_t n);
void asking_on_encode(void *ctx, const struct pages_progress *p);

/* Tokens of the snapshots asked. */
uint64_t asking_tokens(struct asking *s);

/* asking_json.c: the whole answer as one document, or as the last event. */
void asking_json(struct asking *s, const struct ask_opts *o);
/* asking_text.c: what stands below an answer; the answer itself is printed before. */
void asking_sources(struct asking *s, const struct ask_opts *o);
void asking_not_found(struct asking *s);

#endif
