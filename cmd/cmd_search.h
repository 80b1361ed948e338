/* cmd/cmd_search.h - options of `folio search` */
#ifndef CMD_CMD_SEARCH_H
#define CMD_CMD_SEARCH_H

#include "cmd/opt.h"

#include <stdbool.h>
#include <stdint.h>

struct search_opts {
	bool        fixed, perl, fts, ignore_case, list;
	int64_t     context, limit;
	struct strs source;
};
extern const struct opt search_opts[];

#endif
