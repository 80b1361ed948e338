/* cmd/cmd_care.h - options of `folio verify`, `forget` and `prune` */
#ifndef CMD_CMD_CARE_H
#define CMD_CMD_CARE_H

#include "cmd/opt.h"

#include <stdbool.h>
#include <stdint.h>

struct verify_opts {
	const char *read_data;		/* NULL, "" for all, "5%" */
};
extern const struct opt verify_opts[];

struct forget_opts {
	int64_t keep_last;
	bool    dry_run;
};
extern const struct opt forget_opts[];

struct prune_opts {
	bool dry_run;
};
extern const struct opt prune_opts[];

#endif
