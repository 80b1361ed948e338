/* tests/libtemp.h - a folder of its own for a test, and short ways to fill a library */
#ifndef TESTS_LIBTEMP_H
#define TESTS_LIBTEMP_H

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/catalog.h"
#include "cache/ident.h"
#include "cache/kvtype.h"
#include "cache/library.h"

static char temp_dir[PATH_MAX];

static int temp_unlink(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

__attribute__((unused)) static void temp_clear(const char *path)
{
	nftw(path, temp_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

__attribute__((unused)) static void temp_remove(void)
{
	if (*temp_dir)
		temp_clear(temp_dir);
}

/* Make the folder; it goes when the program ends. */
__attribute__((unused)) static void temp_make(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(temp_dir, sizeof(temp_dir) - 64, "%s/folio-test.XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(temp_dir)) {
		perror("mkdtemp");
		exit(99);
	}
	atexit(temp_remove);
}

/* A path in it; one of four buffers in turn. */
__attribute__((unused)) static const char *temp_path(const char *name)
{
	static char path[4][PATH_MAX + 64];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", temp_dir, name);
	return path[i];
}

/* Put one text as an entry, in a batch that is open.  Returns the document or 0. */
__attribute__((unused)) static int64_t temp_text(struct catalog *c, int64_t snapshot,
						 const char *path, const char *text, struct err *e)
{
	struct cat_text t = { .text = text, .n = strlen(text), .format = "text" };
	struct cat_entry en = { .path = path, .path_n = strlen(path), .state = CAT_TEXT };
	struct cat_blob *b;
	int64_t doc = 0;

	if (cat_blob_new(&b, &t, e))
		return 0;
	if (cat_put_text(c, b, &doc, NULL, e))
		doc = 0;
	cat_blob_free(b);
	en.document = doc;
	if (doc && cat_put_entry(c, snapshot, &en, e))
		doc = 0;
	return doc;
}

/* A small engine: 2 far layers, 1 KV head of 8. */
__attribute__((unused)) static int64_t temp_engine(struct catalog *c, const char *name,
						   struct err *e)
{
	struct cat_engine en = { .n_far_layer = 2, .n_head_kv = 1, .head_dim = 8,
				 .page_tokens = KV_PAGE_TOKENS, .kv_type = KV_F16 };
	int64_t id = 0;

	en.fingerprint = id_of(name, strlen(name));
	en.preamble = id_of("preamble", 8);
	snprintf(en.name, sizeof(en.name), "%s", name);
	return cat_put_engine(c, &en, &id, e) ? 0 : id;
}

#endif
