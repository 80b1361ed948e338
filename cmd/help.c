/* Help is laid out from the tables: nothing is said twice, so nothing can disagree. */
#include "config.h"

#include "cmd/ctx.h"

#include "base/size.h"

#include <stdio.h>
#include <string.h>

/* Append text wrapped at width columns; the cursor stands at column at, lines after the first are
 * indented by indent. */
static void wrap(struct buf *out, const char *text, size_t indent, size_t at, size_t width)
{
	while (*text) {
		size_t n = strcspn(text, " \n");

		if (at > indent && at + 1 + n > width) {
			buf_addf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			buf_addc(out, ' ');
			at++;
		}
		buf_add(out, text, n);
		at += n;
		text += n;
		if (text[0] == '\n') {
			buf_addf(out, "\n%*s", (int)indent, "");
			at = indent;
		}
		text += *text != '\0';
	}
	buf_addc(out, '\n');
}

static void option_name(struct buf *out, const struct opt *o)
{
	if (o->letter)
		buf_addf(out, "-%c, ", o->letter);
	else
		buf_adds(out, "    ");
	buf_addf(out, "--%s", o->name);
	if (o->kind == OPT_OPTSTR)
		buf_addf(out, "[=%s]", o->arg);
	else if (o->arg)
		buf_addf(out, " %s", o->arg);
}

static void option_line(struct buf *out, const struct term *t, const struct opt *o)
{
	struct buf name = { 0 }, text = { 0 };
	size_t width = (size_t)MIN(t->width, 100), col = width < 60 ? 8 : 28;

	option_name(&name, o);
	buf_adds(&text, o->help);
	if (o->kind == OPT_LIST)
		buf_adds(&text, "; may be repeated");
	if (o->def)
		buf_addf(&text, " [%s]", o->def);
	if (o->env)
		buf_addf(&text, " ($%s)", o->env);
	buf_addf(out, "  %s%s%s", term_style(t, STYLE_BOLD), name.data ? name.data : "",
		 term_style(t, STYLE_PLAIN));
	if (name.len + 4 > col)
		buf_addf(out, "\n%*s", (int)col, "");
	else
		buf_addf(out, "%*s", (int)(col - 2 - name.len), "");
	wrap(out, text.data ? text.data : "", col, col, width);
	out->failed |= name.failed || text.failed;
	buf_release(&name);
	buf_release(&text);
}

static void heading(struct buf *out, const struct term *t, const char *text)
{
	buf_addf(out, "\n%s%s:%s\n", term_style(t, STYLE_BOLD), text, term_style(t, STYLE_PLAIN));
}

/* All options of a table, group by group in the order of first appearance. */
static void options(struct buf *out, const struct term *t, const struct opt *table,
		    const char *title)
{
	for (const struct opt *o = table; o && o->kind != OPT_NONE; o++) {
		const char *group = o->group ? o->group : title;
		bool seen = o->hidden;

		for (const struct opt *p = table; p < o; p++)
			seen |= !p->hidden && !strcmp(p->group ? p->group : title, group);
		if (seen)
			continue;
		heading(out, t, group);
		for (const struct opt *p = o; p->kind != OPT_NONE; p++)
			if (!p->hidden && !strcmp(p->group ? p->group : title, group))
				option_line(out, t, p);
	}
}

void help_usage(struct buf *out, const struct cmd *cmd, const char *name)
{
	buf_addf(out, "folio %s", name);
	if (cmd->sub) {
		buf_adds(out, " COMMAND");
		return;
	}
	for (const struct opt *o = cmd->opts; o && o->kind != OPT_NONE; o++) {
		if (o->hidden)
			continue;
		buf_adds(out, " [");
		if (o->letter)
			buf_addf(out, "-%c", o->letter);
		else
			buf_addf(out, "--%s", o->name);
		if (o->kind == OPT_OPTSTR)
			buf_addf(out, "[=%s]", o->arg);
		else if (o->arg)
			buf_addf(out, " %s", o->arg);
		buf_adds(out, o->kind == OPT_LIST ? "]..." : "]");
	}
	if (cmd->args && *cmd->args)
		buf_addf(out, " %s", cmd->args);
}

static void list_commands(struct buf *out, const struct term *t, const struct cmd *table,
			  const char *prefix)
{
	size_t width = (size_t)MIN(t->width, 100), widest = 0;

	for (const struct cmd *k = table; k->name; k++)
		widest = MAX(widest, strlen(k->name) + strlen(prefix));
	for (const struct cmd *k = table; k->name; k++) {
		size_t n = strlen(k->name) + strlen(prefix);

		buf_addf(out, "  %s%s%s%s%*s", term_style(t, STYLE_BOLD), prefix, k->name,
			 term_style(t, STYLE_PLAIN), (int)(widest - n + 2), "");
		wrap(out, k->summary, widest + 4, widest + 4, width);
	}
}

void help_overview(struct buf *out, const struct term *t)
{
	size_t width = (size_t)MIN(t->width, 100);
	const struct cmd *k, *m;

	wrap(out, "folio " PACKAGE_VERSION ": read documents once, ask them for ever after", 0, 0,
	     width);
	buf_adds(out, "\nUsage: folio [options] COMMAND [...]\n");
	for (k = commands; k->name; k++) {
		struct cmd group[64] = { { 0 } };
		size_t n = 0;

		for (m = commands; m < k && strcmp(m->group, k->group); m++)
			;
		if (m < k)
			continue;
		for (m = k; m->name; m++)
			if (!strcmp(m->group, k->group) && n < ARRAY_LEN(group) - 1)
				group[n++] = *m;
		heading(out, t, k->group);
		list_commands(out, t, group, "");
	}
	options(out, t, global_opts, "Options of every command");
	buf_addc(out, '\n');
	wrap(out, "`folio help COMMAND` explains a command and its options.", 0, 0, width);
}

void help_command(struct buf *out, const struct term *t, const struct cmd *cmd, const char *name)
{
	size_t width = (size_t)MIN(t->width, 100);
	struct buf usage = { 0 };

	buf_addf(&usage, "folio %s: %s", name, cmd->summary);
	if (usage.data)
		wrap(out, usage.data, 0, 0, width);
	buf_clear(&usage);
	help_usage(&usage, cmd, name);
	buf_adds(out, "\nUsage: ");
	if (usage.data)
		wrap(out, usage.data, 7, 7, width);
	buf_release(&usage);
	if (cmd->more) {
		buf_addc(out, '\n');
		wrap(out, cmd->more, 0, 0, width);
	}
	if (cmd->sub) {
		char prefix[64];

		snprintf(prefix, sizeof(prefix), "%s ", name);
		heading(out, t, "Commands");
		list_commands(out, t, cmd->sub, prefix);
	}
	options(out, t, cmd->opts, "Options");
	buf_addc(out, '\n');
	wrap(out, "`folio help` lists the options of every command.", 0, 0, width);
}

int cmd_lookup(const struct cmd **out, char **words, int n, int *used, char *name, size_t name_n,
	     struct err *e)
{
	const struct cmd *table = commands, *found = NULL;
	int i = 0;

	name[0] = '\0';
	while (table && i < n) {
		const struct cmd *k;
		const char *names[128], *near;
		size_t count = 0, len = strlen(name);

		for (k = table; k->name && strcmp(k->name, words[i]); k++)
			if (count < ARRAY_LEN(names))
				names[count++] = k->name;
		if (!k->name) {
			err_set(e, ERR_INVALID, "'%.60s' is no command of folio%s%s", words[i],
				*name ? " " : "", name);
			near = suggest(words[i], names, count);
			return near ? err_hint(e, ERR_INVALID, "did you mean 'folio %s%s%s'?", name,
					       *name ? " " : "", near) :
				      err_hint(e, ERR_INVALID, "see 'folio help%s%s'",
					       *name ? " " : "", name);
		}
		snprintf(name + len, name_n - len, "%s%s", len ? " " : "", k->name);
		found = k;
		table = k->sub;
		i++;
	}
	*used = i;
	*out = found;
	return 0;
}
