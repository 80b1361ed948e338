/* Profiles that come with the program: none of the models it knows by name has heads that help
 * (ingest/README.md has the figures). */
#include "config.h"

#include "engine/heads.h"

const char *const heads_known[] = {
	NULL
};
