/* cmd/cmd_ask.h - options of `folio ask` and `folio find` */
#ifndef CMD_CMD_ASK_H
#define CMD_CMD_ASK_H

#include "cmd/opt.h"

#include <stdbool.h>
#include <stdint.h>

struct ask_opts {
	struct strs source;
	int64_t max_tokens, seed, quote, spans;
	double  temperature, top_p, min_p, repeat_penalty;
	const char *attend, *law;
	bool    no_encode, strict;
};
extern const struct opt ask_opts[];

struct find_opts {
	struct strs source;
	int64_t k;
};
extern const struct opt find_opts[];

#endif
