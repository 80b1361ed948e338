/* folio init: make a library */
#include "config.h"

#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/buf.h"
#include "base/file.h"
#include "cache/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_init(struct ctx *c, int argc, char **argv)
{
	const char *dir = argc ? argv[0] : ".";
	char *path = c->g.library ? path_join(c->g.library, "") : path_join(dir, ".folio");
	struct library *lib = NULL;
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	struct err e = { 0 };
	bool existed;
	int rc = path ? 0 : err_nomem(&e);

	if (!rc && c->g.library) {	/* -L names the library itself */
		path[strlen(path) - 1] = 0;
		if (argc)
			rc = err_set(&e, ERR_INVALID, "-L names the library, so '%.100s' has no meaning", dir);
	}
	existed = !rc && lib_exists(path);
	if (!rc && !c->g.library)
		rc = file_mkdirs(dir, &e);
	if (!rc)
		rc = lib_open(&lib, path, LIB_CREATE | (c->g.trust_library ? LIB_TRUST : 0), &e);
	lib_close(lib);
	if (rc) {
		free(path);
		return fail(c, &e);
	}
	if (c->g.json || c->g.jsonl) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "schema", "folio.init/1");
		jw_str(&j, "library", path);
		jw_bool(&j, "existed", existed);
		jw_close(&j);
		jw_end_line(&j);
		fwrite(b.data, 1, b.len, stdout);
	} else {
		printf("%s %s\n", existed ? "library exists:" : "made the library", path);
	}
	buf_release(&b);
	free(path);
	return EXIT_DONE;
}
