/* tests/zip.h - ZIP files in memory, good and bad ones, for the tests of containers */
#ifndef TESTS_ZIP_H
#define TESTS_ZIP_H

#include "base/buf.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct zip {
	struct archive *a;
	char  *mem;
	size_t cap, len;
};

/* Room for n bytes of output; the zip does not grow past it. */
static bool zip_begin(struct zip *z, size_t n)
{
	z->mem = malloc(n);
	z->cap = n;
	z->len = 0;
	z->a = archive_write_new();
	return z->mem && z->a && !archive_write_set_format_zip(z->a) &&
	       !archive_write_open_memory(z->a, z->mem, n, &z->len);
}

/* A member of n bytes: text over and over, or text itself when n is 0. */
static void zip_add(struct zip *z, const char *name, const char *text, size_t n)
{
	struct archive_entry *entry = archive_entry_new();
	size_t len = strlen(text), left = n ? n : len;
	char block[65536];
	size_t whole = len > sizeof(block) ? 0 : sizeof(block) / (len ? len : 1) * len;

	for (size_t i = 0; i < whole; i++)
		block[i] = text[i % len];
	archive_entry_set_pathname(entry, name);
	archive_entry_set_size(entry, (int64_t)left);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_write_header(z->a, entry);
	while (left) {
		size_t k = n && whole ? (left < whole ? left : whole) : len;

		archive_write_data(z->a, n && whole ? block : text, k);
		left -= k;
	}
	archive_entry_free(entry);
}

static void zip_end(struct zip *z)
{
	archive_write_close(z->a);
	archive_write_free(z->a);
}

#endif
