#include "config.h"

#include "ingest/ignore.h"

#include "ingest/glob.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct parsed {
	struct rule shown;
	const char *pattern;	/* behind '!' */
	size_t      len;	/* less the trailing slash */
	size_t      literal;	/* leading bytes without wildcards, <= len */
	bool        must_be_dir;
	bool        basename;	/* no slash inside: matches the last component */
	bool        ends_with;	/* `*literal` */
};

struct rules {
	char          *label;
	struct parsed *v;
	size_t         n, cap;
	int            line;	/* of the last one read */
};

/* Cut trailing spaces that no backslash protects. */
static void trim_spaces(char *s)
{
	char *space = NULL, *p;

	for (p = s; *p; p++) {
		if (*p == ' ') {
			if (!space)
				space = p;
			continue;
		}
		space = NULL;
		if (*p == '\\' && !*++p)
			return;
	}
	if (space)
		*space = 0;
}

/* Takes text over. */
static int add_rule(struct rules *r, char *text, int line, struct err *e)
{
	struct parsed *k;

	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct parsed *v = realloc(r->v, cap * sizeof(*v));

		if (!v) {
			free(text);
			return err_nomem(e);
		}
		r->v = v;
		r->cap = cap;
	}
	k = &r->v[r->n++];
	*k = (struct parsed){ .shown = { text, line, text[0] == '!' } };
	k->pattern = text + k->shown.negated;
	k->len = strlen(k->pattern);
	k->ends_with = *k->pattern == '*' &&
		       glob_literal(k->pattern + 1, k->len - 1) == k->len - 1;
	if (k->len && k->pattern[k->len - 1] == '/') {
		k->len--;
		k->must_be_dir = true;
	}
	k->basename = !memchr(k->pattern, '/', k->len);
	k->literal = glob_literal(k->pattern, k->len);
	return 0;
}

int rules_new(struct rules **out, const char *label, const char *text, size_t n, struct err *e)
{
	struct rules *r = calloc(1, sizeof(*r));
	const char *end = text + n;
	int rc = 0;

	*out = NULL;
	if (!r || !(r->label = strdup(label))) {
		free(r);
		return err_nomem(e);
	}
	if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		text += 3;
	while (text < end && !rc) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((nl ? nl : end) - text);
		char *line;

		r->line++;
		if (len && text[0] != '#') {
			line = strndup(text, len - (text[len - 1] == '\r'));
			if (!line) {
				rc = err_nomem(e);
				break;
			}
			trim_spaces(line);
			if (*line)
				rc = add_rule(r, line, r->line, e);
			else
				free(line);
		}
		text += len + 1;
	}
	if (rc)
		rules_free(r);
	else
		*out = r;
	return rc;
}

int rules_add(struct rules *r, const char *line, struct err *e)
{
	char *s = strdup(line);

	return s ? add_rule(r, s, ++r->line, e) : err_nomem(e);
}

const char *rules_label(const struct rules *r)
{
	return r->label;
}

size_t rules_count(const struct rules *r)
{
	return r->n;
}

void rules_free(struct rules *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->n; i++)
		free((char *)r->v[i].shown.text);
	free(r->v);
	free(r->label);
	free(r);
}

static bool same(const char *a, const char *b, size_t n, bool icase)
{
	return !(icase ? strncasecmp(a, b, n) : memcmp(a, b, n));
}

static bool match_base(const struct parsed *k, const char *name, size_t n, bool icase)
{
	if (k->literal == k->len)
		return k->len == n && same(k->pattern, name, n, icase);
	if (k->ends_with)
		return k->len - 1 <= n &&
		       same(k->pattern + 1, name + n - (k->len - 1), k->len - 1, icase);
	return glob_match(k->pattern, k->len, name, n, icase ? GLOB_ICASE : 0);
}

/* The literal part is compared first and cut off: quick, and it is what git does, which shows in
 * patterns such as `foo**` + `/bar` (glob.h). */
static bool match_path(const struct parsed *k, const char *path, size_t n, bool icase)
{
	const char *p = k->pattern;
	size_t len = k->len, literal = k->literal;

	if (*p == '/') {
		p++;
		len--;
		literal -= literal > 0;
	}
	if (literal > n || !same(p, path, literal, icase))
		return false;
	if (literal == len && literal == n)
		return true;
	return glob_match(p + literal, len - literal, path + literal, n - literal,
			  GLOB_PATHNAME | (icase ? GLOB_ICASE : 0));
}

const struct rule *rules_match(const struct rules *r, const char *path, size_t n, bool is_dir,
			       bool icase)
{
	const char *slash = memrchr(path, '/', n), *name = slash ? slash + 1 : path;
	size_t n_name = n - (size_t)(name - path), i;

	for (i = r->n; i-- > 0;) {
		const struct parsed *k = &r->v[i];

		if (k->must_be_dir && !is_dir)
			continue;
		if (k->basename ? match_base(k, name, n_name, icase) : match_path(k, path, n, icase))
			return &k->shown;
	}
	return NULL;
}
