/* cmd/cmd_bench.h - options of `folio bench` */
#ifndef CMD_CMD_BENCH_H
#define CMD_CMD_BENCH_H

#include "cmd/opt.h"

#include <stdbool.h>
#include <stdint.h>

struct bench_opts {
	const char *prefill, *decode_after;
	int64_t reps;
	bool csv;
};
extern const struct opt bench_opts[];

#endif
