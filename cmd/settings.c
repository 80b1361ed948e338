#include "config.h"

#include "cmd/settings.h"

#include "base/file.h"

#include <errno.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_PATH "/etc/folio/config"

/* Copied out of libgit2 once: few keys, read often, and borrowed words must stay. */
struct entry {
	char *key, *value, *file;
};

struct settings {
	struct entry *v;
	size_t n;
};

char *settings_user_path(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	struct buf b = { 0 };

	if (xdg && xdg[0] == '/')
		buf_addf(&b, "%s/folio/config", xdg);
	else if (home && *home)
		buf_addf(&b, "%s/.config/folio/config", home);
	return buf_take(&b);
}

static int git_fail(struct err *e, const char *what, const char *path)
{
	const git_error *g = git_error_last();

	return err_set(e, ERR_INVALID, "cannot %s '%s': %s", what, path,
		       g && g->message ? g->message : "unknown reason");
}

static int add_entry(struct settings *c, const git_config_entry *g, const char *file)
{
	struct entry *v = realloc(c->v, (c->n + 1) * sizeof(*v)), *x;

	if (!v)
		return -1;
	c->v = v;
	x = &v[c->n++];
	x->key = strdup(g->name);
	/* "[ask] strict" without a value means true, as in git. */
	x->value = strdup(g->value ? g->value : "true");
	x->file = strdup(file);
	return x->key && x->value && x->file ? 0 : -1;
}

/* Append path's entries; later files rule, so callers go from the system to the user. */
static int read_file(struct settings *c, const char *path, bool must_exist, struct err *e)
{
	git_config *git = NULL;
	git_config_iterator *it = NULL;
	git_config_entry *g;
	int rc = 0;

	if (access(path, F_OK) < 0 && !must_exist)
		return 0;
	if (access(path, R_OK) < 0)
		return err_set(e, ERR_INVALID, "cannot read '%s': %s", path, strerror(errno));
	if (git_config_open_ondisk(&git, path) < 0)
		return git_fail(e, "read", path);
	if (git_config_iterator_new(&it, git) < 0)
		rc = git_fail(e, "read", path);
	while (!rc && !git_config_next(&g, it))
		if (add_entry(c, g, path) < 0)
			rc = err_nomem(e);
	git_config_iterator_free(it);
	git_config_free(git);
	return rc;
}

int settings_open(struct settings **out, const char *user_path, bool must_exist, struct err *e)
{
	struct settings *c = calloc(1, sizeof(*c));
	int rc;

	*out = NULL;
	if (!c)
		return err_nomem(e);
	git_libgit2_init();
	rc = read_file(c, SYSTEM_PATH, false, e);
	if (!rc && user_path)
		rc = read_file(c, user_path, must_exist, e);
	if (rc)
		settings_close(c);
	else
		*out = c;
	return rc;
}

void settings_close(struct settings *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].key);
		free(c->v[i].value);
		free(c->v[i].file);
	}
	free(c->v);
	free(c);
	git_libgit2_shutdown();
}

static const struct entry *last(const struct settings *c, const char *key)
{
	for (size_t i = c ? c->n : 0; i-- > 0;)
		if (!strcmp(c->v[i].key, key))
			return &c->v[i];
	return NULL;
}

const char *settings_get(void *config, const char *key)
{
	const struct entry *x = last(config, key);

	return x ? x->value : NULL;
}

const char *settings_origin(const struct settings *c, const char *key)
{
	const struct entry *x = last(c, key);

	return x ? x->file : NULL;
}

int settings_set(const char *user_path, const char *key, const char *value, struct err *e)
{
	git_config *git = NULL;
	char *dir = strdup(user_path), *slash;
	int rc = 0, git_rc;

	if (!dir)
		return err_nomem(e);
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		rc = file_mkdirs(dir, e);
	}
	free(dir);
	if (rc)
		return rc;
	git_libgit2_init();
	if (git_config_open_ondisk(&git, user_path) < 0) {
		rc = git_fail(e, "read", user_path);
	} else {
		git_rc = value ? git_config_set_string(git, key, value) :
				 git_config_delete_entry(git, key);
		if (git_rc == GIT_ENOTFOUND)
			rc = err_set(e, ERR_NOTFOUND, "'%s' is not set in '%s'", key, user_path);
		else if (git_rc < 0)
			rc = git_fail(e, "write", user_path);
	}
	git_config_free(git);
	git_libgit2_shutdown();
	return rc;
}

void settings_each(const struct settings *c,
		 void (*fn)(void *arg, const char *key, const char *value, const char *file),
		 void *arg)
{
	for (size_t i = 0; c && i < c->n; i++)
		fn(arg, c->v[i].key, c->v[i].value, c->v[i].file);
}
