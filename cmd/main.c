/* folio - the program: find the command, parse its line, run it, flush what it said */
#include "config.h"

#include "cmd/settings.h"
#include "cmd/ctx.h"
#include "cmd/signals.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* stdout, with the two manners that printf lacks: a closed pipe ends the program the way SIGPIPE
 * would, and any other failure to write is said at once instead of being lost. */
static ssize_t write_stdout(void *cookie, const char *s, size_t n)
{
	size_t left = n;

	(void)cookie;
	while (left) {
		ssize_t w = write(STDOUT_FILENO, s, left);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EPIPE) {
			signal(SIGPIPE, SIG_DFL);
			raise(SIGPIPE);
		}
		if (w < 0) {
			fprintf(stderr, "folio: cannot write to standard output: %s\n",
				strerror(errno));
			_exit(EXIT_ERROR);
		}
		s += w;
		left -= (size_t)w;
	}
	return (ssize_t)n;
}

static void stdout_init(void)
{
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write_stdout });

	if (!f)
		return;
	setvbuf(f, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, 1 << 16);
	stdout = f;
}

static bool line_says(int argc, char **argv, const char *option)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], option))
			return true;
	return false;
}

/* One pass over the line: options into c->g and c->opts, the command into c->cmd, operands to the
 * front of argv.  c->cmd stays NULL when the line names none. */
static int parse_line(struct ctx *c, int argc, char **argv, int *n_args, struct err *e)
{
	const struct cmd *table = commands;
	int n = argc, rc, used;

	c->cmd = NULL;
	c->name[0] = '\0';
	c->g = (struct globals){ 0 };
	rc = opt_defaults(global_opts, &c->g, settings_get, c->settings, e);
	/* Down the groups: options may stand before any word of the command. */
	while (!rc && table) {
		rc = opt_parse(NULL, NULL, global_opts, &c->g, n, argv, true, &n, e);
		if (rc || !n)
			break;
		if (table == commands) {
			rc = cmd_lookup(&c->cmd, argv, 1, &used, c->name, sizeof(c->name), e);
		} else {
			char *words[] = { c->name, argv[0] };
			char name[64];

			rc = cmd_lookup(&c->cmd, words, 2, &used, name, sizeof(name), e);
			if (!rc)
				memcpy(c->name, name, sizeof(name));
		}
		if (rc)
			break;
		argv[0] = NULL;
		memmove(argv, argv + 1, (size_t)--n * sizeof(*argv));
		table = c->cmd->sub;
	}
	if (rc || !c->cmd || c->cmd->sub) {
		*n_args = n;
		return rc;
	}
	free(c->opts);
	c->opts = calloc(1, c->cmd->opts_bytes + 1);
	if (!c->opts)
		return err_nomem(e);
	rc = opt_defaults(c->cmd->opts, c->opts, settings_get, c->settings, e);
	if (!rc)
		rc = opt_parse(c->cmd->opts, c->opts, global_opts, &c->g, n, argv, false, n_args, e);
	return rc;
}

/* The line says which configuration to read, and the configuration has defaults for the line: so it
 * is parsed twice, the first time for --config and --no-config alone. */
static int prepare(struct ctx *c, int argc, char **argv, int *n_args, struct err *e)
{
	char **copy = malloc(((size_t)argc + 1) * sizeof(*copy)), *user = NULL;
	int rc;

	if (!copy)
		return err_nomem(e);
	memcpy(copy, argv, ((size_t)argc + 1) * sizeof(*copy));
	rc = parse_line(c, argc, copy, n_args, e);
	free(copy);
	if (rc || c->g.no_config || c->g.help || c->g.version)
		return rc ? rc : parse_line(c, argc, argv, n_args, e);
	if (!c->g.config)
		user = settings_user_path();
	rc = settings_open(&c->settings, c->g.config ? c->g.config : user, c->g.config, e);
	free(user);
	if (rc)
		return err_hint(e, rc, "correct the file, or pass --no-config");
	if (c->opts)
		opt_release(c->cmd->opts, c->opts);
	return parse_line(c, argc, argv, n_args, e);
}

static int usage(struct ctx *c)
{
	struct buf b = { 0 };

	if (c->cmd)
		help_command(&b, &c->err, c->cmd, c->name);
	else
		help_overview(&b, &c->err);
	if (!b.failed)
		fwrite(b.data, 1, b.len, stderr);
	buf_release(&b);
	return EXIT_ERROR;
}

static int wrong_operands(struct ctx *c, int argc, char **argv)
{
	struct buf b = { 0 };
	int code;

	help_usage(&b, c->cmd, c->name);
	if (argc < c->cmd->min_args)
		code = fail_with(c, ERR_INVALID, b.data, "'folio %s' wants %s", c->name,
				 c->cmd->args);
	else
		code = fail_with(c, ERR_INVALID, b.data, "'folio %s' does not know what to do with "
				 "'%.100s'", c->name, argv[c->cmd->max_args]);
	buf_release(&b);
	return code;
}

static int run(struct ctx *c, int argc, char **argv)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	int n_args = 0, rc;

	/* Errors in the line itself must already speak JSON. */
	c->g.json = line_says(argc, argv, "--json");
	c->g.jsonl = line_says(argc, argv, "--jsonl");
	term_init(&c->out, STDOUT_FILENO, COLOR_AUTO);
	term_init(&c->err, STDERR_FILENO, COLOR_AUTO);
	signals_init(c->g.json || c->g.jsonl);
	rc = prepare(c, argc - 1, argv + 1, &n_args, &e);
	if (rc) {
		c->g.json = line_says(argc, argv, "--json");
		c->g.jsonl = line_says(argc, argv, "--jsonl");
		return fail(c, &e);
	}
	term_init(&c->out, STDOUT_FILENO, (enum color_choice)c->g.color);
	term_init(&c->err, STDERR_FILENO, (enum color_choice)c->g.color);
	if (c->g.version) {
		puts("folio " PACKAGE_VERSION);
		return EXIT_DONE;
	}
	if (c->g.help) {
		if (c->cmd)
			help_command(&b, &c->out, c->cmd, c->name);
		else
			help_overview(&b, &c->out);
		fwrite(b.data, 1, b.len, stdout);
		buf_release(&b);
		return EXIT_DONE;
	}
	if (!c->cmd || c->cmd->sub)
		return usage(c);
	argv++;
	if (n_args < c->cmd->min_args || (c->cmd->max_args >= 0 && n_args > c->cmd->max_args))
		return wrong_operands(c, n_args, argv);
	return c->cmd->run(c, n_args, argv);
}

int main(int argc, char **argv)
{
	struct ctx c = { 0 };
	int code;

	/* Only the encoding: numbers are written the same in every country. */
	setlocale(LC_CTYPE, "");
	stdout_init();
	code = run(&c, argc, argv);
	fflush(stdout);
	pager_wait();
	if (c.opts)
		opt_release(c.cmd->opts, c.opts);
	free(c.opts);
	settings_close(c.settings);
	return code;
}
