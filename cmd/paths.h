/* cmd/paths.h - where the library and the models are
 *
 *   library  -L DIR > $FOLIO_LIBRARY > nearest .folio upwards > $XDG_DATA_HOME/folio/default
 *   model    -m > $FOLIO_MODEL > the library's > core.model > the only one installed
 *   models   $XDG_DATA_HOME/folio/models, /usr/share/folio/models
 *
 * A library decides what a user is shown, so one that somebody else could have planted is not used
 * unasked: owned by another user, or tracked by the git repository it lies in.  The repository itself
 * is not opened for that (its configuration is a stranger's), only its index is read.
 */
#ifndef CMD_PATHS_H
#define CMD_PATHS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ctx;

struct library_place {
	char *path;		/* free() it */
	const char *why;	/* "-L", "$FOLIO_LIBRARY", "found above this folder", "default" */
	bool exists;
};

/* The library this command line means, whether it exists or not.  ERR_INVALID when it may not be
 * trusted (above) or no place can be named. */
int library_find(struct ctx *c, struct library_place *out, struct err *e);
/* The same for commands that need one: ERR_NOLIB with a hint when there is none.  *path is the
 * caller's to free(). */
int library_need(struct ctx *c, char **path, struct err *e);

struct model_file {
	char    *name;		/* file name without .gguf and part number */
	char    *path;		/* of the first part */
	uint64_t bytes;		/* all parts */
};

struct model_list {
	struct model_file *v;
	size_t n;
};

/* Every installed model, the user's before the system's; of two with one name the user's counts. */
int models_list(struct model_list *out, struct err *e);
void models_release(struct model_list *l);

/* Remove a model's file, or all parts of it.  ERR_IO. */
int models_remove(const struct model_file *f, struct err *e);

/* The user's models folder; free() it.  NULL without HOME and XDG_DATA_HOME. */
char *models_folder(void);

/* Path of the model to use.  library_model: what the library was encoded with, or NULL.
 * ERR_MODEL with a hint when there is none, or several to choose from. */
int model_find(struct ctx *c, const char *library_model, char **path, struct err *e);
/* Path of a model by name or file. */
int model_resolve(const char *name, char **path, struct err *e);

#endif
