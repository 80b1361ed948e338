#include "config.h"

#include "cmd/commands.h"
#include "cmd/settings.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config_opts {
	bool show_origin, unset;
};

static const struct opt list_opts[] = {
	{ "show-origin", 0, OPT_FLAG, OPT_AT(struct config_opts, show_origin), NULL,
	  .help = "print where each value comes from" },
	OPT_END
};

static const struct opt set_opts[] = {
	{ "unset", 0, OPT_FLAG, OPT_AT(struct config_opts, unset), NULL, .help = "remove the key" },
	OPT_END
};

/* --- the known keys: what the option tables name --- */

struct key {
	const char *key;
	const struct opt *opt;
};

struct keys {
	struct key v[256];
	size_t n;
};

static void add_keys(struct keys *k, const struct opt *t)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		size_t i;

		for (i = 0; o->key && i < k->n && strcmp(k->v[i].key, o->key); i++)
			;
		if (o->key && i == k->n && k->n < ARRAY_LEN(k->v))
			k->v[k->n++] = (struct key){ o->key, o };
	}
}

static void all_keys(struct keys *k, const struct cmd *table)
{
	for (const struct cmd *m = table; m->name; m++) {
		add_keys(k, m->opts);
		if (m->sub)
			all_keys(k, m->sub);
	}
}

static void known_keys(struct keys *k)
{
	k->n = 0;
	add_keys(k, global_opts);
	k->v[k->n++] = (struct key){ "core.model", opt_find(global_opts, "model", 5) };
	all_keys(k, commands);
}

static const struct key *find_key(const struct keys *k, const char *key)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->v[i].key, key))
			return &k->v[i];
	return NULL;
}

static int unknown_key(struct ctx *c, const struct keys *k, const char *key)
{
	const char *names[256], *near;
	char hint[128];

	for (size_t i = 0; i < k->n; i++)
		names[i] = k->v[i].key;
	near = suggest(key, names, k->n);
	if (near)
		snprintf(hint, sizeof(hint), "did you mean '%s'?", near);
	return fail_with(c, ERR_INVALID, near ? hint : "'folio config list' prints all keys",
			 "unknown key '%.100s'", key);
}

/* Value in force without flags, and its origin: environment, file, built in.  NULL: not set. */
static const char *in_force(struct ctx *c, const struct key *k, char *origin, size_t n)
{
	const char *v = k->opt && k->opt->env ? getenv(k->opt->env) : NULL;

	if (v && *v) {
		snprintf(origin, n, "$%s", k->opt->env);
		return v;
	}
	v = settings_get(c->settings, k->key);
	if (v) {
		snprintf(origin, n, "%s", settings_origin(c->settings, k->key));
		return v;
	}
	snprintf(origin, n, "built in");
	return k->opt ? k->opt->def : NULL;
}

static int config_list(struct ctx *c, int argc, char **argv)
{
	const struct config_opts *o = c->opts;
	struct keys k;
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	bool json = c->g.json || c->g.jsonl;

	(void)argc;
	(void)argv;
	known_keys(&k);
	if (json) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "schema", "folio.config/1");
		jw_open(&j, "settings", '[');
	}
	for (size_t i = 0; i < k.n; i++) {
		char origin[4096];
		const char *v = in_force(c, &k.v[i], origin, sizeof(origin));

		if (json) {
			jw_open(&j, NULL, '{');
			jw_str(&j, "key", k.v[i].key);
			jw_str(&j, "value", v);
			jw_str(&j, "origin", origin);
			jw_close(&j);
			continue;
		}
		if (!v)
			continue;
		if (o->show_origin)
			buf_addf(&b, "%s%s%s\t", term_style(&c->out, STYLE_DIM), origin,
				 term_style(&c->out, STYLE_PLAIN));
		buf_addf(&b, "%s=", k.v[i].key);
		term_text(&b, v, strlen(v), false);
		buf_addc(&b, '\n');
	}
	if (json) {
		jw_close(&j);
		jw_close(&j);
		jw_end_line(&j);
	}
	if (!b.failed)
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	return EXIT_DONE;
}

static int config_read(struct ctx *c, int argc, char **argv)
{
	struct keys k;
	const struct key *key;
	char origin[4096];
	const char *v;

	(void)argc;
	known_keys(&k);
	key = find_key(&k, argv[0]);
	if (!key)
		return unknown_key(c, &k, argv[0]);
	v = in_force(c, key, origin, sizeof(origin));
	if (!v)
		return fail_with(c, ERR_NOTFOUND, NULL, "'%s' is not set", argv[0]);
	puts(v);
	return EXIT_DONE;
}

/* What an option would refuse later is refused now, while the user looks. */
static int check_value(const struct key *key, const char *value, struct err *e)
{
	struct opt one[2] = { *key->opt, OPT_END };
	_Alignas(16) char room[64] = { 0 };
	int rc;

	one[0].at = 0;
	one[0].env = NULL;
	one[0].def = value;
	one[0].name = key->key;
	rc = opt_defaults(one, room, NULL, NULL, e);
	opt_release(one, room);
	return rc;
}

static int config_write(struct ctx *c, int argc, char **argv)
{
	const struct config_opts *o = c->opts;
	const char *value = argc > 1 ? argv[1] : NULL;
	char *own = NULL;
	const char *path = c->g.config;
	struct keys k;
	const struct key *key;
	struct err e;
	int rc;

	known_keys(&k);
	key = find_key(&k, argv[0]);
	if (!key && !o->unset)
		return unknown_key(c, &k, argv[0]);
	if (o->unset == (value != NULL))
		return fail_with(c, ERR_INVALID, "folio config set KEY VALUE, or folio config set "
				 "--unset KEY", "'folio config set' wants a value, or --unset");
	if (value) {
		rc = check_value(key, value, &e);
		if (rc)
			return fail(c, &e);
	}
	if (!path)
		path = own = settings_user_path();
	if (!path)
		return fail_with(c, ERR_INVALID, "set HOME or XDG_CONFIG_HOME, or pass --config FILE",
				 "there is no place for a configuration file");
	rc = settings_set(path, argv[0], value, &e);
	free(own);
	return rc ? fail(c, &e) : EXIT_DONE;
}

const struct cmd config_commands[] = {
	{ .name = "list", .args = "", .summary = "every setting and its value", .opts = list_opts,
	  .opts_bytes = sizeof(struct config_opts), .run = config_list },
	{ .name = "get", .args = "KEY", .summary = "the value of one setting", .min_args = 1,
	  .max_args = 1, .run = config_read },
	{ .name = "set", .args = "KEY [VALUE]", .summary = "write a setting to the user's file",
	  .opts = set_opts, .opts_bytes = sizeof(struct config_opts), .min_args = 1, .max_args = 2,
	  .run = config_write },
	{ 0 }
};
