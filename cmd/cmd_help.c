#include "config.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"

#include <stdio.h>

int cmd_help(struct ctx *c, int argc, char **argv)
{
	const struct cmd *cmd;
	struct buf b = { 0 };
	struct err e;
	char name[64];
	int used, rc;

	rc = cmd_lookup(&cmd, argv, argc, &used, name, sizeof(name), &e);
	if (rc)
		return fail(c, &e);
	if (cmd)
		help_command(&b, &c->out, cmd, name);
	else
		help_overview(&b, &c->out);
	if (b.failed) {
		err_nomem(&e);
		return fail(c, &e);
	}
	pager_start(c);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	return EXIT_DONE;
}
