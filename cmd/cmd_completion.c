/* Completion scripts, generated from the tables.  What a value may be is told by its name in the
 * table: FILE and PATH complete files, DIR folders, words with '|' complete themselves. */
#include "config.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"

#include <stdio.h>
#include <string.h>

static bool takes_value(const struct opt *o)
{
	return o->kind != OPT_FLAG && o->kind != OPT_COUNT && o->kind != OPT_OPTSTR;
}

enum what { NOTHING, FILES, FOLDERS, WORDS };

static enum what what_value(const struct opt *o)
{
	if (o->kind == OPT_ENUM)
		return WORDS;
	if (!o->arg)
		return NOTHING;
	if (strstr(o->arg, "DIR") || strstr(o->arg, "REPO"))
		return FOLDERS;
	return strstr(o->arg, "FILE") || strstr(o->arg, "PATH") || strstr(o->arg, "IMAGE") ?
		FILES : NOTHING;
}

static enum what what_operand(const struct cmd *k)
{
	const char *a = k->args ? k->args : "";

	if (strstr(a, "FILE") || strstr(a, "PATH"))
		return FILES;
	if (strstr(a, "DIR"))
		return FOLDERS;
	/* "bash|zsh|fish", but not "QUESTION|-" */
	return strchr(a, '|') && a[0] >= 'a' && a[0] <= 'z' ? WORDS : NOTHING;
}

static void put_words(struct buf *b, const char *words)
{
	for (; *words; words++)
		buf_addc(b, *words == '|' ? ' ' : *words);
}

typedef void leaf_fn(struct buf *b, const struct cmd *k, const char *name);

/* Every command that runs, with its whole name: "model get". */
static void each_leaf(struct buf *b, const struct cmd *table, const char *prefix, leaf_fn *fn)
{
	for (const struct cmd *k = table; k->name; k++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? " " : "", k->name);
		if (k->sub)
			each_leaf(b, k->sub, name, fn);
		else
			fn(b, k, name);
	}
}

/* --- bash --- */

static void bash_names(struct buf *b, const struct opt *t)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		if (o->hidden)
			continue;
		buf_addf(b, "--%s%s ", o->name, o->kind == OPT_OPTSTR ? "=" : "");
		if (o->letter)
			buf_addf(b, "-%c ", o->letter);
	}
}

/* "PREFIX:--name|PREFIX:-n) what to offer" */
static void bash_values(struct buf *b, const struct opt *t, const char *name)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		if (o->hidden || !takes_value(o))
			continue;
		buf_addf(b, "    %s:--%s", name, o->name);
		if (o->letter)
			buf_addf(b, "|%s:-%c", name, o->letter);
		buf_adds(b, ") ");
		switch (what_value(o)) {
		case WORDS:
			buf_adds(b, "words='");
			put_words(b, o->arg);
			buf_adds(b, "'; want=words");
			break;
		case FILES: buf_adds(b, "want=files"); break;
		case FOLDERS: buf_adds(b, "want=folders"); break;
		case NOTHING: buf_adds(b, "want=nothing"); break;
		}
		buf_adds(b, " ;;\n");
	}
}

static void bash_leaf_values(struct buf *b, const struct cmd *k, const char *name)
{
	char quoted[80];

	snprintf(quoted, sizeof(quoted), "'%s'", name);
	bash_values(b, k->opts, quoted);
}

static void bash_leaf(struct buf *b, const struct cmd *k, const char *name)
{
	buf_addf(b, "    '%s') opts='", name);
	bash_names(b, k->opts);
	buf_adds(b, "'; ");
	switch (what_operand(k)) {
	case WORDS:
		buf_adds(b, "args='");
		put_words(b, k->args);
		buf_adds(b, "'");
		break;
	case FILES: buf_adds(b, "operand=files"); break;
	case FOLDERS: buf_adds(b, "operand=folders"); break;
	case NOTHING: buf_adds(b, "operand=nothing"); break;
	}
	buf_adds(b, " ;;\n");
}

static void bash_tree(struct buf *b, const struct cmd *table, const char *name)
{
	buf_addf(b, "    '%s') subs='", name);
	for (const struct cmd *k = table; k->name; k++)
		buf_addf(b, "%s ", k->name);
	buf_adds(b, "' ;;\n");
	for (const struct cmd *k = table; k->name; k++)
		if (k->sub)
			bash_tree(b, k->sub, k->name);
}

static void bash_steps(struct buf *b, const struct cmd *table, const char *prefix)
{
	for (const struct cmd *k = table; k->name; k++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? " " : "", k->name);
		buf_addf(b, "%s'%s:%s'", *prefix || k != table ? "|" : "", prefix, k->name);
		if (k->sub)
			bash_steps(b, k->sub, name);
	}
}

static void bash(struct buf *b)
{
	buf_adds(b,
"# bash completion for folio: source <(folio completion bash)\n"
"_folio() {\n"
"  local cur=${COMP_WORDS[COMP_CWORD]} prev= cmd= opts= subs= args= words= want= operand= i w skip=\n"
"  local globals='");
	bash_names(b, global_opts);
	buf_adds(b, "'\n"
"  COMPREPLY=()\n"
"  # bash splits --name=value at '='; put the two halves where '--name value' has them\n"
"  ((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
"  if [[ $cur == '=' ]]; then cur=\n"
"  elif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
"  for ((i = 1; i < COMP_CWORD; i++)); do\n"
"    w=${COMP_WORDS[i]}\n"
"    [[ $skip ]] && { [[ $w == '=' ]] || skip=; continue; }\n"
"    case \"$w\" in\n"
"    ");
	for (const struct opt *o = global_opts; o->kind != OPT_NONE; o++)
		if (takes_value(o)) {
			buf_addf(b, "%s--%s", o == global_opts ? "" : "|", o->name);
			if (o->letter)
				buf_addf(b, "|-%c", o->letter);
		}
	buf_adds(b, ") skip=1; continue ;;\n"
"    -*) continue ;;\n"
"    esac\n"
"    case \"$cmd:$w\" in\n"
"    ");
	bash_steps(b, commands, "");
	buf_adds(b, ") cmd=${cmd:+$cmd }$w ;;\n"
"    esac\n"
"  done\n"
"  case \"$cmd\" in\n");
	bash_tree(b, commands, "");
	each_leaf(b, commands, "", bash_leaf);
	buf_adds(b,
"  esac\n"
"  case \"$cmd:$prev\" in\n");
	each_leaf(b, commands, "", bash_leaf_values);
	bash_values(b, global_opts, "*");
	buf_adds(b,
"  esac\n"
"  if [[ ! $want ]]; then\n"
"    if [[ $cur == -* ]]; then words=\"$opts $globals\"; want=words\n"
"    elif [[ $subs || $args ]]; then words=\"$subs $args\"; want=words\n"
"    else want=$operand; fi\n"
"  fi\n"
"  case \"$want\" in\n"
"  words) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\") ;;\n"
"  files) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames 2>/dev/null ;;\n"
"  folders) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); compopt -o filenames 2>/dev/null ;;\n"
"  esac\n"
"}\n"
"complete -F _folio folio\n");
}

/* --- zsh --- */

/* Inside single quotes and inside _arguments' [..] and :..: fields. */
static void zsh_text(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '\'')
			buf_adds(b, "'\\''");
		else if (strchr("[]:\\", *s))
			buf_addf(b, "\\%c", *s);
		else
			buf_addc(b, *s);
	}
}

static void zsh_option(struct buf *b, const struct opt *o, const char *dash, const char *name)
{
	bool many = o->kind == OPT_LIST || o->kind == OPT_COUNT;

	buf_addf(b, "    '%s%s%s%s[", many ? "*" : "", dash, name,
		 takes_value(o) && dash[1] ? "=" : takes_value(o) ? "+" :
		 o->kind == OPT_OPTSTR ? "=-" : "");
	zsh_text(b, o->help);
	buf_adds(b, "]");
	if (o->arg) {
		buf_adds(b, o->kind == OPT_OPTSTR ? "::" : ":");
		zsh_text(b, o->kind == OPT_ENUM ? o->name : o->arg);
		buf_adds(b, ":");
		switch (what_value(o)) {
		case WORDS:
			buf_adds(b, "(");
			put_words(b, o->arg);
			buf_adds(b, ")");
			break;
		case FILES: buf_adds(b, "_files"); break;
		case FOLDERS: buf_adds(b, "_files -/"); break;
		case NOTHING: buf_adds(b, " "); break;
		}
	}
	buf_adds(b, "'\n");
}

static void zsh_options(struct buf *b, const struct opt *t)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		char letter[2] = { o->letter, '\0' };

		if (o->hidden)
			continue;
		if (o->letter)
			zsh_option(b, o, "-", letter);
		zsh_option(b, o, "--", o->name);
	}
}

static void zsh_table(struct buf *b, const struct cmd *table, const char *function)
{
	char name[128];

	buf_addf(b, "%s() {\n  local -a cmds opts\n  local state line\n  cmds=(\n", function);
	for (const struct cmd *k = table; k->name; k++) {
		buf_addf(b, "    '%s:", k->name);
		zsh_text(b, k->summary);
		buf_adds(b, "'\n");
	}
	buf_adds(b, "  )\n"
"  _arguments -C $_folio_globals '1:command:->cmd' '*::argument:->args'\n"
"  case $state in\n"
"  cmd) _describe -t commands command cmds ;;\n"
"  args)\n"
"    case $words[1] in\n");
	for (const struct cmd *k = table; k->name; k++) {
		buf_addf(b, "    %s)\n", k->name);
		if (k->sub) {
			buf_addf(b, "      %s_%s ;;\n", function, k->name);
			continue;
		}
		buf_adds(b, "      opts=(\n");
		zsh_options(b, k->opts);
		buf_adds(b, "      )\n      _arguments $_folio_globals $opts '*:");
		zsh_text(b, k->args && *k->args ? k->args : "nothing");
		buf_adds(b, ":");
		switch (what_operand(k)) {
		case WORDS:
			buf_adds(b, "(");
			put_words(b, k->args);
			buf_adds(b, ")");
			break;
		case FILES: buf_adds(b, "_files"); break;
		case FOLDERS: buf_adds(b, "_files -/"); break;
		case NOTHING: buf_adds(b, " "); break;
		}
		buf_adds(b, "' ;;\n");
	}
	buf_adds(b, "    esac ;;\n  esac\n}\n");
	for (const struct cmd *k = table; k->name; k++)
		if (k->sub) {
			snprintf(name, sizeof(name), "%s_%s", function, k->name);
			zsh_table(b, k->sub, name);
		}
}

static void zsh(struct buf *b)
{
	buf_adds(b, "#compdef folio\n"
"# zsh completion for folio: source <(folio completion zsh), or put it in $fpath as _folio\n"
"typeset -ga _folio_globals\n_folio_globals=(\n");
	zsh_options(b, global_opts);
	buf_adds(b, ")\n");
	zsh_table(b, commands, "_folio");
	buf_adds(b, "if [[ $funcstack[1] == _folio ]]; then _folio \"$@\"; "
		    "else compdef _folio folio; fi\n");
}

/* --- fish --- */

static void fish_text(struct buf *b, const char *s)
{
	buf_addc(b, '\'');
	for (; *s; s++)
		if (*s == '\'' || *s == '\\')
			buf_addf(b, "\\%c", *s);
		else
			buf_addc(b, *s);
	buf_addc(b, '\'');
}

/* seen: the condition after -n, without quotes. */
static void fish_options(struct buf *b, const struct opt *t, const char *seen)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		if (o->hidden)
			continue;
		buf_adds(b, "complete -c folio");
		if (*seen)
			buf_addf(b, " -n '%s'", seen);
		if (o->letter)
			buf_addf(b, " -s %c", o->letter);
		buf_addf(b, " -l %s", o->name);
		if (takes_value(o)) {
			switch (what_value(o)) {
			case WORDS:
				buf_adds(b, " -x -a '");
				put_words(b, o->arg);
				buf_adds(b, "'");
				break;
			case FILES: buf_adds(b, " -r -F"); break;
			case FOLDERS: buf_adds(b, " -x -a '(__fish_complete_directories)'"); break;
			case NOTHING: buf_adds(b, " -x"); break;
			}
		}
		buf_adds(b, " -d ");
		fish_text(b, o->help);
		buf_addc(b, '\n');
	}
}

static void fish_leaf(struct buf *b, const struct cmd *k, const char *name)
{
	char seen[200];
	const char *space = strchr(name, ' ');

	if (space)
		snprintf(seen, sizeof(seen), "__fish_seen_subcommand_from %.*s; and "
			 "__fish_seen_subcommand_from %s", (int)(space - name), name, space + 1);
	else
		snprintf(seen, sizeof(seen), "__fish_seen_subcommand_from %s", name);
	fish_options(b, k->opts, seen);
	switch (what_operand(k)) {
	case WORDS:
		buf_addf(b, "complete -c folio -n '%s' -a '", seen);
		put_words(b, k->args);
		buf_adds(b, "'\n");
		break;
	case FILES: buf_addf(b, "complete -c folio -n '%s' -F\n", seen); break;
	case FOLDERS:
		buf_addf(b, "complete -c folio -n '%s' -a '(__fish_complete_directories)'\n", seen);
		break;
	case NOTHING: break;
	}
}

static void fish_names(struct buf *b, const struct cmd *table, const char *seen)
{
	for (const struct cmd *k = table; k->name; k++) {
		buf_addf(b, "complete -c folio -n '%s' -a %s -d ", seen, k->name);
		fish_text(b, k->summary);
		buf_addc(b, '\n');
	}
	for (const struct cmd *k = table; k->name; k++) {
		struct buf below = { 0 };

		if (!k->sub)
			continue;
		buf_addf(&below, "__fish_seen_subcommand_from %s; and not "
			 "__fish_seen_subcommand_from", k->name);
		for (const struct cmd *m = k->sub; m->name; m++)
			buf_addf(&below, " %s", m->name);
		if (below.data)
			fish_names(b, k->sub, below.data);
		buf_release(&below);
	}
}

static void fish(struct buf *b)
{
	buf_adds(b, "# fish completion for folio: folio completion fish | source\n"
		    "complete -c folio -f\n");
	fish_names(b, commands, "__fish_use_subcommand");
	fish_options(b, global_opts, "");
	each_leaf(b, commands, "", fish_leaf);
}

int cmd_completion(struct ctx *c, int argc, char **argv)
{
	struct buf b = { 0 };

	(void)argc;
	if (!strcmp(argv[0], "bash"))
		bash(&b);
	else if (!strcmp(argv[0], "zsh"))
		zsh(&b);
	else if (!strcmp(argv[0], "fish"))
		fish(&b);
	else
		return fail_with(c, ERR_INVALID, "folio completion bash|zsh|fish",
				 "no completion for shell '%.60s'", argv[0]);
	if (!b.failed)
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	return EXIT_DONE;
}
