/* base/stop.h - "please stop", asked once and seen by everyone
 *
 * Ctrl-C, SIGTERM or a budget of time ask a long piece of work to end at its next safe point.  Work
 * that may take longer than a second looks here between its steps, finishes the write in flight and
 * returns ERR_INTR.  Nobody is interrupted in the middle of anything.
 *
 * Threads and signals: all three may be called from anywhere, signal handlers included.
 */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include <stdbool.h>

void stop_request(void);
bool stop_requested(void);
/* Forget the request: an interactive session goes on after the answer was stopped. */
void stop_clear(void);

#endif
