/* cmd/paths.h - where the library and the models are
 *
 *   library  -L DIR > $FOLIO_LIBRARY > nearest .folio upwards > $XDG_DATA_HOME/folio/default
 *   model    -m > $FOLIO_MODEL > the library's > core.model > the only one installed
 *   models   $XDG_DATA_HOME/folio/models, /usr/share/folio/models
 *
 * Whether a library may be trusted is decided where it is opened (cache/library.h).
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

/* The library this command line means, whether it exists or not.  ERR_INVALID when no place can be
 * named. */
int library_find(struct ctx *c, struct library_place *out, struct err *e);

/* Open it; flags are those of lib_open, --trust-library is added.  With LIB_CREATE a library that was
 * not there is made and that is said.  ERR_NOLIB and the errors of lib_open. */
struct library;
int library_open(struct ctx *c, struct library **out, unsigned flags, struct err *e);

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
