/* tests/vector.h - read a file of tests/vectors/ from wherever the test runs */
#ifndef TESTS_VECTOR_H
#define TESTS_VECTOR_H

#include "base/buf.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>

/* Where it lies; borrowed until the next call. */
__attribute__((unused)) static const char *vector_path(const char *name)
{
	static char path[4096];
	const char *srcdir = getenv("srcdir");

	snprintf(path, sizeof(path), "%s/tests/vectors/%s", srcdir ? srcdir : ".", name);
	return path;
}

/* The whole file, or the end of the test. */
__attribute__((unused)) static struct buf vector_read(const char *name)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	if (file_read(&b, vector_path(name), (size_t)1 << 30, &e)) {
		printf("Bail out! %s\n", e.msg);
		exit(99);
	}
	return b;
}

#endif
