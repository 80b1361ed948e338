#include "config.h"

#include "cmd/opt.h"

#include "base/size.h"

#include <string.h>

/* Longest word that is compared; command and option names are far shorter. */
enum { WORD_MAX = 40 };

/* Edits that turn a into b: insert, delete, replace, swap two neighbours (optimal string alignment,
 * three rows).  A swap is one slip of the fingers, so it counts as one. */
static size_t distance(const char *a, const char *b)
{
	size_t row[3][WORD_MAX + 1], na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *cur = row[i % 3], *prev = row[(i + 2) % 3], *before = row[(i + 1) % 3];

		cur[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t d = prev[j - 1] + (a[i - 1] != b[j - 1]);

			d = MIN(d, MIN(prev[j], cur[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = MIN(d, before[j - 2] + 1);
			cur[j] = d;
		}
	}
	return row[na % 3][nb];
}

const char *suggest(const char *word, const char *const *words, size_t n)
{
	size_t best_d = strlen(word) < 4 ? 2 : 3, len = strlen(word);
	const char *best = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(word, words[i]);

		/* The beginning of a word is a good guess however much is missing. */
		if (len >= 3 && !strncmp(word, words[i], len))
			d = MIN(d, (size_t)1);
		if (d < best_d) {
			best_d = d;
			best = words[i];
		}
	}
	return best;
}
