/* cmd/cmd_ask.h - options of `folio ask`, `folio chat` and `folio find` */
#ifndef CMD_CMD_ASK_H
#define CMD_CMD_ASK_H

#include "cmd/opt.h"

#include <stdbool.h>
#include <stdint.h>

/* chat uses the same struct, with fewer options. */
struct ask_opts {
	struct strs source, only, file;
	const char *session, *attend;
	int     law;			/* enum plan_law */
	int64_t max_tokens, seed, quote;
	double  temperature, top_p, min_p, repeat_penalty;
	bool    no_encode, strict, no_keep, no_guess, anyway;
};
extern const struct opt ask_opts[], chat_opts[];

struct find_opts {
	struct strs source;
	int64_t k;
};
extern const struct opt find_opts[];

#endif
