/* cmd/settings.h - settings, in git-config's syntax
 *
 *   flag > FOLIO_* > $XDG_CONFIG_HOME/folio/config (or --config FILE) > /etc/folio/config > built in
 *
 * The keys are those the option tables name (`key`), plus core.model: a key that no option reads is
 * refused by `config set` with "did you mean", and reported by `config list`.  A file inside an
 * ingested tree is never configuration.
 */
#ifndef CMD_SETTINGS_H
#define CMD_SETTINGS_H

#include "base/err.h"

#include <stdbool.h>

struct settings;

/* Where the user's own settings live, made by the caller's free().  NULL without HOME and XDG. */
char *settings_user_path(void);

/* Read /etc/folio/config and user_path (a missing file is an empty one, except when must_exist).
 * ERR_INVALID with file, line and reason. */
int settings_open(struct settings **out, const char *user_path, bool must_exist, struct err *e);
void settings_close(struct settings *c);

/* Value of key, borrowed until close; NULL when no file sets it.  Fits opt_lookup_fn. */
const char *settings_get(void *config, const char *key);
/* The file it came from, NULL when none sets it. */
const char *settings_origin(const struct settings *c, const char *key);

/* Write one key to the user's file, making file and folder; value NULL removes it.  ERR_NOTFOUND
 * when there was nothing to remove. */
int settings_set(const char *user_path, const char *key, const char *value, struct err *e);

/* Every key a file sets, in file order: fn(arg, key, value, file). */
void settings_each(const struct settings *c,
		 void (*fn)(void *arg, const char *key, const char *value, const char *file),
		 void *arg);

#endif
