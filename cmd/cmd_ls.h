/* cmd/cmd_ls.h - options of `folio ls` */
#ifndef CMD_CMD_LS_H
#define CMD_CMD_LS_H

#include "cmd/opt.h"

#include <stdbool.h>

struct ls_opts {
	bool status;
};
extern const struct opt ls_opts[];

#endif
