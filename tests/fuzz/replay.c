/* Driver for a fuzz target without a fuzzer: runs it over files, so that `make check` replays the
 * seeds with any compiler.
 *
 *   NAME_fuzz               every file of tests/fuzz/seeds/NAME/
 *   NAME_fuzz FILE|DIR ...  these files, and every file of these folders
 *
 * Each input is a block of its exact size: reading past it is seen by ASan.
 */
#include "config.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t n_run;

static void die(const char *what, const char *path)
{
	printf("Bail out! %s '%s'\n", what, path);
	exit(99);
}

static void run_file(const char *path, size_t n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(n ? n : 1);

	if (!f || !data || fread(data, 1, n, f) != n)
		die("cannot read", path);
	fclose(f);
	/* Said before it runs: a crash leaves the name as the last line. */
	printf("# %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	n_run++;
}

static void run_path(const char *path)
{
	struct stat st;
	struct dirent **list;
	int n;

	if (stat(path, &st))
		die("cannot find", path);
	if (!S_ISDIR(st.st_mode)) {
		run_file(path, (size_t)st.st_size);
		return;
	}
	n = scandir(path, &list, NULL, alphasort);
	if (n < 0)
		die("cannot list", path);
	for (int i = 0; i < n; i++) {
		char *sub;

		if (list[i]->d_name[0] != '.') {
			if (asprintf(&sub, "%s/%s", path, list[i]->d_name) < 0)
				die("no memory for", path);
			run_path(sub);
			free(sub);
		}
		free(list[i]);
	}
	free(list);
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir"), *name = strrchr(argv[0], '/');
	char *seeds;

	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	if (argc == 1) {
		name = name ? name + 1 : argv[0];
		if (asprintf(&seeds, "%s/tests/fuzz/seeds/%.*s", srcdir ? srcdir : ".",
			     (int)strcspn(name, "_"), name) < 0)
			die("no memory for", name);
		run_path(seeds);
		free(seeds);
	}
	printf("%s 1 - %zu inputs replayed\n1..1\n", n_run ? "ok" : "not ok", n_run);
	return !n_run;
}
