/* Any bytes as an archive read in place: members come with sane paths, and limits hold. */
#include "config.h"

#include "ingest/walk.h"

#include <stdlib.h>
#include <string.h>

static int member(void *ctx, const struct item *it, struct err *e)
{
	struct buf text = { 0 };
	const char *p = it->path;

	(void)ctx;
	(void)e;
	if (strncmp(p, "a.tar", 5) || strstr(p, "//") || strstr(p, "/../") || p[it->n_path])
		abort();
	if (it->state == STATE_TAKE && !item_read(it, 1 << 16, &text, NULL, NULL) && text.len > 1 << 16)
		abort();
	buf_release(&text);
	return WALK_ON;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct walk_opts o = { .hidden = true, .max_file = 1 << 16, .max_archive = 1 << 22 };
	struct walk w = { .o = &o, .fn = member };

	if (!n)
		return 0;
	buf_adds(&w.full, "/a.tar");
	buf_adds(&w.path, "a.tar");
	walk_archive(&w, NULL, data, n, 0, NULL);
	buf_release(&w.full);
	buf_release(&w.path);
	return 0;
}
