/* cmd/signals.h - what the outside may do to us at any moment
 *
 * SIGINT and SIGTERM  once: base/stop.h is asked, the command ends at its next safe point with 130
 *                     or 143; twice: _exit at once.  The library survives both.
 * SIGPIPE             ignored, so that a crashed helper is an error and not our end; a closed stdout
 *                     ends the program quietly, see out.c.
 * SIGBUS              a mapped file was shortened or its disk failed: one line that names the file,
 *                     exit 13 (12 for a model, 2 for an input), only async-signal-safe calls.
 */
#ifndef CMD_SIGNALS_H
#define CMD_SIGNALS_H

#include <stdbool.h>

/* json: the SIGBUS message is a folio.error/1 on stdout as well. */
void signals_init(bool json);
void signals_set_json(bool json);
bool signals_got_term(void);

#endif
