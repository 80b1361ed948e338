/* cmd/cmd_logits.h - options of `folio logits` */
#ifndef CMD_CMD_LOGITS_H
#define CMD_CMD_LOGITS_H

#include "cmd/opt.h"

#include <stdbool.h>

struct logits_opts {
	const char *tokens, *tokens_file, *output;
	bool all;
};
extern const struct opt logits_opts[];

#endif
