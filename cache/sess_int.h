/* cache/sess_int.h - what session.c, tail.c, verify.c and repair.c share; nobody else includes it
 */
#ifndef CACHE_SESS_INT_H
#define CACHE_SESS_INT_H

#include <sqlite3.h>

#include "cache/session.h"

/* XXH3-128 over the sums of question, answer, citations, info, token ids and numbers. */
struct sum128 sess_turn_sum(const struct sess_turn *t);
/* From columns id, n, at, question, answer, citations, info, token, pos, sum, checked. */
int sess_turn_row(sqlite3_stmt *st, struct sess_turn *t, struct err *e);

#define TAIL_HEAD  4096u	/* bytes before the first blob; also the alignment of blobs */
#define TAIL_MAGIC "FOLIOTL1"

#endif
