/* cmd/cmd_session.h - options of the session commands, and the export */
#ifndef CMD_CMD_SESSION_H
#define CMD_CMD_SESSION_H

#include "base/buf.h"
#include "base/err.h"
#include "cmd/opt.h"

#include <stdint.h>

struct ctx;
struct jw;
struct library;

enum session_format { SESSION_MD, SESSION_HTML, SESSION_JSON };

struct export_opts {
	int format;			/* enum session_format */
	const char *output;
};

/* The whole session as text of a format, appended to out.  ERR_NOTFOUND: no such session; ERR_CORRUPT. */
int session_export(struct library *lib, const char *name, enum session_format format, struct buf *out,
		   struct err *e);

#endif
