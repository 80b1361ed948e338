#include "config.h"

#include "cmd/paths.h"

#include "base/file.h"
#include "cache/library.h"
#include "cmd/settings.h"
#include "cmd/ctx.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* $XDG_DATA_HOME/folio/leaf */
static char *data_path(const char *leaf)
{
	const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	struct buf b = { 0 };

	if (xdg && xdg[0] == '/')
		buf_addf(&b, "%s/folio/%s", xdg, leaf);
	else if (home && *home)
		buf_addf(&b, "%s/.local/share/folio/%s", home, leaf);
	return buf_take(&b);
}

/* --- the library --- */

/* The nearest folder at or above the working one that holds .folio; NULL when none does. */
static char *nearest(void)
{
	char *dir = getcwd(NULL, 0), *lib, *slash;

	while (dir && *dir) {
		lib = path_join(dir, ".folio");
		if (!lib || lib_exists(lib)) {
			free(dir);
			return lib;
		}
		free(lib);
		if (!dir[1])
			break;
		slash = strrchr(dir, '/');
		slash[slash == dir] = '\0';
	}
	free(dir);
	return NULL;
}

int library_find(struct ctx *c, struct library_place *out, struct err *e)
{
	const char *env = getenv("FOLIO_LIBRARY");

	*out = (struct library_place){ 0 };
	if (c->g.library) {
		out->path = strdup(c->g.library);
		out->why = env && c->g.library == env ? "$FOLIO_LIBRARY" : "-L";
	} else if ((out->path = nearest())) {
		out->why = "found above this folder";
	} else {
		out->path = data_path("default");
		out->why = "default";
	}
	if (!out->path) {
		err_set(e, ERR_INVALID, "there is no place for a library");
		return err_hint(e, ERR_INVALID, "set HOME or XDG_DATA_HOME, or pass -L DIR");
	}
	out->exists = lib_exists(out->path);
	return 0;
}

int library_open(struct ctx *c, struct library **out, unsigned flags, struct err *e)
{
	struct library_place p;
	int rc = library_find(c, &p, e);

	*out = NULL;
	if (rc)
		return rc;
	if (!p.exists && !(flags & LIB_CREATE)) {
		err_set(e, ERR_NOLIB, "there is no library at '%s' (%s)", p.path, p.why);
		rc = err_hint(e, ERR_NOLIB, "-L DIR or FOLIO_LIBRARY names another place");
	} else {
		rc = lib_open(out, p.path, flags | (c->g.trust_library ? LIB_TRUST : 0), e);
	}
	if (!rc && !p.exists)
		note(c, "made the library %s", p.path);
	free(p.path);
	return rc;
}

/* --- models --- */

char *models_folder(void)
{
	return data_path("models");
}

/* Length of the name in NAME.gguf or NAME-00001-of-00003.gguf; 0 for other files and other parts. */
static size_t name_length(const char *file, int *n_part)
{
	size_t n = strlen(file);
	int part, of, used = 0;

	*n_part = 1;
	if (n <= 5 || strcmp(file + n - 5, ".gguf"))
		return 0;
	n -= 5;
	if (n > 15 && sscanf(file + n - 15, "-%5d-of-%5d%n", &part, &of, &used) == 2 && used == 15) {
		*n_part = of;
		return part == 1 ? n - 15 : 0;
	}
	return n;
}

/* Path of part i (from 1) of the model whose first part is path; free() it. */
static char *part_path(const char *path, int i, int n_part)
{
	char *p = strdup(path), digits[16];

	if (p && n_part > 1) {	/* ...-0000i-of-0000n.gguf */
		snprintf(digits, sizeof(digits), "%05d", i);
		memcpy(p + strlen(p) - 19, digits, 5);
	}
	return p;
}

static uint64_t bytes_of(const char *path, int n_part)
{
	uint64_t sum = 0;
	struct stat st;

	for (int i = 1; i <= n_part; i++) {
		char *p = part_path(path, i, n_part);

		if (p && !stat(p, &st))
			sum += (uint64_t)st.st_size;
		free(p);
	}
	return sum;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct model_file *)a)->name, ((const struct model_file *)b)->name);
}

static int add_model(struct model_list *l, const char *dir, const char *file, struct err *e)
{
	int n_part;
	size_t n = name_length(file, &n_part);
	struct model_file *v, m;

	if (!n)
		return 0;
	for (size_t i = 0; i < l->n; i++)
		if (strlen(l->v[i].name) == n && !memcmp(l->v[i].name, file, n))
			return 0;
	v = realloc(l->v, (l->n + 1) * sizeof(*v));
	if (!v)
		return err_nomem(e);
	l->v = v;
	m.name = strndup(file, n);
	m.path = path_join(dir, file);
	if (!m.name || !m.path) {
		free(m.name);
		free(m.path);
		return err_nomem(e);
	}
	m.bytes = bytes_of(m.path, n_part);
	v[l->n++] = m;
	return 0;
}

static int add_folder(struct model_list *l, const char *dir, struct err *e)
{
	DIR *d = opendir(dir);
	struct dirent *x;
	size_t first = l->n;
	int rc = 0;

	if (!d)
		return 0;	/* no such folder: no models there */
	while (!rc && (x = readdir(d)))
		rc = add_model(l, dir, x->d_name, e);
	closedir(d);
	if (l->n > first)
		qsort(l->v + first, l->n - first, sizeof(*l->v), by_name);
	return rc;
}

int models_list(struct model_list *out, struct err *e)
{
	char *own = models_folder();
	int rc = 0;

	*out = (struct model_list){ 0 };
	if (own)
		rc = add_folder(out, own, e);
	free(own);
	if (!rc)
		rc = add_folder(out, "/usr/share/folio/models", e);
	if (rc)
		models_release(out);
	return rc;
}

void models_release(struct model_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].path);
	}
	free(l->v);
	*l = (struct model_list){ 0 };
}

int models_remove(const struct model_file *f, struct err *e)
{
	const char *file = strrchr(f->path, '/');
	int n_part, rc = 0;

	name_length(file ? file + 1 : f->path, &n_part);
	for (int i = n_part; i >= 1; i--) {	/* the first part makes it a model: last */
		char *p = part_path(f->path, i, n_part);

		if (!p)
			return err_nomem(e);
		if (unlink(p) < 0 && errno != ENOENT)
			rc = err_set(e, ERR_IO, "cannot remove '%s': %s", p, strerror(errno));
		free(p);
	}
	return rc;
}

static int no_such_model(const struct model_list *l, const char *name, struct err *e)
{
	const char *near, **names = calloc(l->n + 1, sizeof(*names));

	for (size_t i = 0; names && i < l->n; i++)
		names[i] = l->v[i].name;
	near = names ? suggest(name, names, l->n) : NULL;
	err_set(e, ERR_MODEL, "there is no model '%s': neither a file nor installed", name);
	if (near)
		err_hint(e, ERR_MODEL, "did you mean '%s'?", near);
	else
		err_hint(e, ERR_MODEL, "'folio model ls' lists what is installed and what 'folio "
			 "model get' knows");
	free(names);
	return ERR_MODEL;
}

int model_resolve(const char *name, char **path, struct err *e)
{
	struct model_list l;
	struct stat st;
	int rc;

	*path = NULL;
	if (!stat(name, &st) && !S_ISDIR(st.st_mode))
		*path = strdup(name);
	else if (strchr(name, '/'))
		return err_set(e, ERR_MODEL, "cannot open model '%s': %s", name,
			       errno ? strerror(errno) : "it is a folder");
	if (*path)
		return 0;
	rc = models_list(&l, e);
	if (rc)
		return rc;
	for (size_t i = 0; i < l.n && !*path; i++)
		if (!strcmp(l.v[i].name, name))
			*path = strdup(l.v[i].path);
	rc = *path ? 0 : no_such_model(&l, name, e);
	models_release(&l);
	return rc;
}

int model_find(struct ctx *c, const char *library_model, char **path, struct err *e)
{
	const char *set = settings_get(c->settings, "core.model");
	struct model_list l;
	int rc;

	*path = NULL;
	if (c->g.model)
		return model_resolve(c->g.model, path, e);
	if (library_model)
		return model_resolve(library_model, path, e);
	if (set)
		return model_resolve(set, path, e);
	rc = models_list(&l, e);
	if (rc)
		return rc;
	if (l.n == 1 && !(*path = strdup(l.v[0].path))) {
		rc = err_nomem(e);
	} else if (l.n == 0) {
		err_set(e, ERR_MODEL, "no model is installed");
		rc = err_hint(e, ERR_MODEL, "'folio model get smollm2-135m' fetches a small one; -m "
			      "FILE uses a file you have");
	} else if (l.n > 1) {
		err_set(e, ERR_MODEL, "%zu models are installed and none is chosen", l.n);
		rc = err_hint(e, ERR_MODEL, "'folio model use %s' chooses one for good, -m NAME for "
			      "once", l.v[0].name);
	}
	models_release(&l);
	return rc;
}
