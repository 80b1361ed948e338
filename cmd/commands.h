/* cmd/commands.h - the commands, one file each: cmd_NAME.c */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#include "cmd/opt.h"

int cmd_ask(struct ctx *c, int argc, char **argv);
int cmd_bench(struct ctx *c, int argc, char **argv);
int cmd_chat(struct ctx *c, int argc, char **argv);
int cmd_completion(struct ctx *c, int argc, char **argv);
int cmd_diff(struct ctx *c, int argc, char **argv);
int cmd_eval(struct ctx *c, int argc, char **argv);
int cmd_doctor(struct ctx *c, int argc, char **argv);
int cmd_find(struct ctx *c, int argc, char **argv);
int cmd_generate(struct ctx *c, int argc, char **argv);
int cmd_help(struct ctx *c, int argc, char **argv);
int cmd_ingest(struct ctx *c, int argc, char **argv);
int cmd_init(struct ctx *c, int argc, char **argv);
int cmd_logits(struct ctx *c, int argc, char **argv);
int cmd_ls(struct ctx *c, int argc, char **argv);
int cmd_search(struct ctx *c, int argc, char **argv);
int cmd_show(struct ctx *c, int argc, char **argv);
int cmd_tokenize(struct ctx *c, int argc, char **argv);

/* cmd_care.c */
int cmd_forget(struct ctx *c, int argc, char **argv);
int cmd_prune(struct ctx *c, int argc, char **argv);
int cmd_repair(struct ctx *c, int argc, char **argv);
int cmd_stats(struct ctx *c, int argc, char **argv);
int cmd_verify(struct ctx *c, int argc, char **argv);

/* Groups of commands, each ending with a NULL name. */
extern const struct cmd config_commands[];
extern const struct cmd model_commands[];
extern const struct cmd session_commands[];

/* cmd_model_info.c, cmd_model_check.c */
int model_info(struct ctx *c, int argc, char **argv);
int model_check(struct ctx *c, int argc, char **argv);
struct model_check_opts {
	int64_t positions;
	const char *set;
};
extern const struct opt model_check_opts[];
/* cmd_model_calibrate.c */
int model_calibrate(struct ctx *c, int argc, char **argv);
struct model_calibrate_opts {
	int64_t questions, seed;
	bool    dry_run;
};
extern const struct opt model_calibrate_opts[];

#endif
