/* cmd/cmd_tokenize.h - options of `folio tokenize` */
#ifndef CMD_CMD_TOKENIZE_H
#define CMD_CMD_TOKENIZE_H

#include "cmd/opt.h"

#include <stdbool.h>

struct tokenize_opts {
	bool ids, special, bos;
};
extern const struct opt tokenize_opts[];

#endif
