/* tests/cache_make.h - made-up spans for the tests and benches of cache/ */
#ifndef TESTS_CACHE_MAKE_H
#define TESTS_CACHE_MAKE_H

#include "cache/extent.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t make_seed = 88172645463325252u;

__attribute__((unused)) static uint64_t make_rnd(void)
{
	make_seed ^= make_seed << 13;
	make_seed ^= make_seed >> 7;
	return make_seed ^= make_seed << 17;
}

__attribute__((unused)) static float make_gauss(void)
{
	float s = 0;

	for (int i = 0; i < 4; i++)
		s += (float)(make_rnd() >> 40) * 0x1p-24f;
	return (s - 2) * 1.7f;
}

/* Keys or values of a span: [n_token][row], different for every (which, layer). */
__attribute__((unused)) static void make_values(float *x, size_t n, uint64_t which)
{
	make_seed = which * 0x9e3779b97f4a7c15u | 1;
	for (int i = 0; i < 8; i++)
		make_rnd();
	for (size_t i = 0; i < n; i++)
		x[i] = make_gauss();
}

/* A sealed extent of made-up tokens and values, number `which`.  Dies when it cannot. */
__attribute__((unused)) static struct extent_build *make_extent(const struct kv_geom *g,
								 enum kv_type type,
								 uint32_t n_token, uint64_t which)
{
	size_t n = (size_t)n_token * kv_row(g);
	float *k = malloc(n * sizeof(*k)), *v = malloc(n * sizeof(*v));
	int32_t *tok = malloc(n_token * sizeof(*tok));
	struct extent_desc d = { .geom = *g, .type = type, .mode = IDENT_ISOLATED, .token = tok,
				 .n_token = n_token, .engine = { { 7 } }, .attends = { { 9 } } };
	struct extent_build *b = NULL;
	struct err e = { 0 };
	int rc;

	for (uint32_t i = 0; i < n_token; i++)
		tok[i] = (int32_t)(which * 1000 + i);
	rc = extent_build_new(&b, &d, &e);
	for (uint32_t layer = 0; !rc && layer < g->n_far_layer; layer++) {
		make_values(k, n, which * 100 + layer * 2);
		make_values(v, n, which * 100 + layer * 2 + 1);
		rc = extent_build_layer(b, layer, k, v, &e);
	}
	if (!rc)
		rc = extent_build_seal(b, &e);
	if (rc) {
		printf("Bail out! cannot make an extent: %s\n", e.msg);
		exit(1);
	}
	free(k);
	free(v);
	free(tok);
	return b;
}

/* A fresh folder under TMPDIR, removed by make_rmdir with the files in it. */
__attribute__((unused)) static char *make_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = malloc(4096);

	snprintf(dir, 4096, "%s/folio-test-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir)) {
		printf("Bail out! cannot make %s\n", dir);
		exit(1);
	}
	return dir;
}

__attribute__((unused)) static void make_rmdir(char *dir)
{
	char name[4400];
	DIR *d = opendir(dir);
	struct dirent *f;

	while (d && (f = readdir(d))) {
		if (f->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", dir, f->d_name);
		unlink(name);
	}
	if (d)
		closedir(d);
	rmdir(dir);
	free(dir);
}

#endif
