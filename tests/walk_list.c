/* tests/walk_list.c - print what the walk finds, for walk_git.sh
 *
 *   walk_list [-i] [-s] [-n] [-o ONLY] [-r REV] [-g GLOB]... [-v] ROOT...
 *
 * Without -v the paths that are in (taken or listed), each ended by a NUL byte, as `git ls-files -z`
 * prints them; with -v one line per item: state, path, reason.  -H leaves hidden files out.
 */
#include "config.h"

#include "ingest/source.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool verbose;

static int show(void *ctx, const struct item *it, struct err *e)
{
	(void)ctx;
	(void)e;
	if (verbose)
		printf("%s\t%s\t%s\n", state_name(it->state), it->path, it->reason);
	else if (it->state != STATE_OUT && it->kind != ITEM_SPECIAL)
		printf("%s%s%c", it->path, "", 0);
	return WALK_ON;
}

int main(int argc, char **argv)
{
	const char *globs[64];
	struct walk_opts o = { .globs = globs, .hidden = true, .no_archives = true };
	struct err e = { 0 };
	int c, rc;

	while ((c = getopt(argc, argv, "aHsno:r:g:v")) != -1) {
		switch (c) {
		case 'a':
			o.no_archives = false;
			break;
		case 'H':
			o.hidden = false;
			break;
		case 's':
			o.submodules = true;
			break;
		case 'n':
			o.no_ignore = true;
			break;
		case 'o':
			o.only = optarg;
			break;
		case 'r':
			o.ref = optarg;
			break;
		case 'g':
			if (o.n_glob < 64)
				globs[o.n_glob++] = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			return 2;
		}
	}
	rc = walk_run(&o, (const char *const *)argv + optind, (size_t)(argc - optind), show, NULL, &e);
	if (rc)
		fprintf(stderr, "walk_list: %s\n", e.msg);
	return rc ? 2 : 0;
}
