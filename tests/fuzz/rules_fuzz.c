/* Any bytes as an ignore file, whose lines are matched against each other as paths, and as a text in
 * which secrets are looked for. */
#include "config.h"

#include "ingest/classify.h"
#include "ingest/ignore.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const names[] = { "a.c", "d/.env", "x/configure", "k.pem", ".netrc", "m.min.js" };
	const char *text = (const char *)data, *p = text, *end = text + n;
	struct rules *r;
	size_t i, at;

	if (rules_new(&r, "fuzz", n ? text : "", n, NULL))
		return 0;
	for (i = 0; p < end && i < 64; i++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		const struct rule *hit;

		if (len) {
			hit = rules_match(r, p, len, i & 1, i & 2);
			if (hit && hit->line < 1)
				abort();
		}
		p += len + 1;
	}
	rules_free(r);
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct item it = { .path = names[i], .n_path = strlen(names[i]), .size = n };

		if (secret_find(names[i], n ? text : "", n, &at) && at > n)
			abort();
		classify_name(&it);
		classify_text(&it, n ? text : "", n, false);
	}
	return 0;
}
