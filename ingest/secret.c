#include "config.h"

#include "ingest/classify.h"

#include "base/size.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Tokens whose issuers gave them a prefix for this very purpose: prefix, then at least `min`
 * characters of the set, and where `exact` no more of them. */
enum set { ALNUM, UPPER, WORD, DASHED, DOTTED };
static const struct {
	const char *prefix;
	enum set    set;
	unsigned    min;
	bool        exact;
	const char *what;
} tokens[] = {
	{ "AKIA", UPPER, 16, true, "an AWS access key" },
	{ "ASIA", UPPER, 16, true, "an AWS access key" },
	{ "ghp_", ALNUM, 36, false, "a GitHub token" },
	{ "gho_", ALNUM, 36, false, "a GitHub token" },
	{ "ghu_", ALNUM, 36, false, "a GitHub token" },
	{ "ghs_", ALNUM, 36, false, "a GitHub token" },
	{ "ghr_", ALNUM, 36, false, "a GitHub token" },
	{ "github_pat_", WORD, 60, false, "a GitHub token" },
	{ "glpat-", DASHED, 20, false, "a GitLab token" },
	{ "xoxb-", DASHED, 24, false, "a Slack token" },
	{ "xoxp-", DASHED, 24, false, "a Slack token" },
	{ "xoxa-", DASHED, 24, false, "a Slack token" },
	{ "AIza", DASHED, 35, true, "a Google API key" },
	{ "sk_live_", ALNUM, 24, false, "a Stripe key" },
	{ "rk_live_", ALNUM, 24, false, "a Stripe key" },
	{ "npm_", ALNUM, 36, true, "an npm token" },
	{ "pypi-AgEIcHlwaS5vcmc", DASHED, 50, false, "a PyPI token" },
	{ "SG.", DOTTED, 64, false, "a SendGrid key" },
	{ "hf_", ALNUM, 34, true, "a Hugging Face token" },
	{ "sk-ant-", DASHED, 40, false, "an API key" },
	{ "sk-proj-", DASHED, 40, false, "an API key" },
	{ "dop_v1_", ALNUM, 64, true, "a DigitalOcean token" },
};

static bool in_set(enum set set, unsigned char c)
{
	switch (set) {
	case UPPER:
		return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
	case WORD:
		return isalnum(c) || c == '_';
	case DASHED:
		return isalnum(c) || c == '_' || c == '-';
	case DOTTED:
		return isalnum(c) || c == '_' || c == '-' || c == '.';
	default:
		return isalnum(c);
	}
}

/* "AKIAIOSFODNN7EXAMPLE", "ghp_xxxxxxxx": what documentation shows is none. */
static bool is_example(const char *s, size_t n)
{
	bool seen[256] = { false };
	size_t i, distinct = 0;

	if (memmem(s, n, "EXAMPLE", 7) || memmem(s, n, "example", 7))
		return true;
	for (i = 0; i < n; i++) {
		distinct += !seen[(unsigned char)s[i]];
		seen[(unsigned char)s[i]] = true;
	}
	return distinct < 8;
}

static const char *match_token(const char *s, size_t n)
{
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(tokens); i++) {
		size_t m = strlen(tokens[i].prefix);

		if (n < m + tokens[i].min || memcmp(s, tokens[i].prefix, m))
			continue;
		for (k = m; k < n && in_set(tokens[i].set, (unsigned char)s[k]); k++)
			;
		k -= m;
		if ((tokens[i].exact ? k == tokens[i].min : k >= tokens[i].min) &&
		    !is_example(s + m, k))
			return tokens[i].what;
	}
	return NULL;
}

static size_t base64_run(const char *p, const char *stop)
{
	size_t k = 0;

	while (p + k < stop && (isalnum((unsigned char)p[k]) || p[k] == '+' || p[k] == '/' ||
				p[k] == '='))
		k++;
	return k;
}

/* "-----BEGIN ... PRIVATE KEY-----" and then a line of base64: the marker alone is in many a source
 * file.  In JSON the lines are told apart by a backslash and an n. */
static const char *match_key(const char *s, size_t n)
{
	static const char begin[] = "-----BEGIN ", end[] = "PRIVATE KEY";
	const char *p, *stop = s + n;
	size_t k;

	if (n < 128 || memcmp(s, begin, sizeof(begin) - 1))
		return NULL;
	p = memmem(s, 64, end, sizeof(end) - 1);
	if (!p || memchr(s, '\n', (size_t)(p - s)))
		return NULL;
	k = (size_t)(p - s) + sizeof(end) - 1;
	k += n - k >= 7 && !memcmp(s + k, "-----\\n", 7) ? 7 : 0;
	if (s[k - 1] == 'n' && base64_run(s + k, stop) >= 40)
		return "a private key";
	p = memchr(p, '\n', (size_t)(stop - p));
	/* Headers ("Proc-Type: ...") and an empty line may come first. */
	for (; p && p < stop; p = memchr(p, '\n', (size_t)(stop - p))) {
		k = base64_run(++p, stop);
		if (k >= 40 && !is_example(p, k))
			return "a private key";
		if (p < stop && *p == '-')
			return NULL;
		if (p - s > 1024)
			return NULL;
	}
	return NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool has_word(const char *s, size_t n, const char *word)
{
	size_t m = strlen(word), i;

	for (i = 0; i + m <= n; i++)
		if (!strncasecmp(s + i, word, m))
			return true;
	return false;
}

/* A value that is meant to be replaced, or refers to another place. */
static bool is_placeholder(const char *v, size_t n)
{
	static const char *const words[] = { "change", "your", "xxx", "example", "todo", "placeholder",
					     "dummy", "secret_here", "replace", "test" };
	size_t i;

	if (n < 8 || v[0] == '$' || v[0] == '<' || v[0] == '{')
		return true;
	for (i = 0; i < ARRAY_LEN(words); i++)
		if (has_word(v, n, words[i]))
			return true;
	return false;
}

/* Lines NAME=value or NAME: value of files made for credentials. */
static const char *match_settings(const char *text, size_t n, size_t *at)
{
	static const char *const names[] = { "secret", "token", "passw", "api_key", "apikey",
					     "private_key", "access_key", "credential" };
	const char *p = text, *end = text + n;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end, *eq, *v;
		size_t i;

		eq = memchr(p, '=', (size_t)(stop - p));
		if (eq && *p != '#') {
			for (v = eq + 1; v < stop && (*v == ' ' || *v == '"' || *v == '\''); v++)
				;
			while (stop > v && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '"' ||
					    stop[-1] == '\''))
				stop--;
			for (i = 0; i < ARRAY_LEN(names); i++) {
				if (has_word(p, (size_t)(eq - p), names[i]) &&
				    !is_placeholder(v, (size_t)(stop - v))) {
					*at = (size_t)(p - text);
					return "a credential";
				}
			}
		}
		if (!nl)
			break;
		p = nl + 1;
	}
	return NULL;
}

static bool is_settings(const char *name)
{
	size_t n = strlen(name);

	if (has_word(name, n, "example") || has_word(name, n, "sample") ||
	    has_word(name, n, "template") || has_word(name, n, ".dist"))
		return false;
	return !strcmp(name, ".env") || !strncmp(name, ".env.", 5) || !strcmp(name, ".envrc") ||
	       (n > 4 && !strcmp(name + n - 4, ".env")) || !strcmp(name, ".npmrc") ||
	       !strcmp(name, ".pypirc") || !strcmp(name, "credentials") || !strcmp(name, ".s3cfg");
}

static const char *match_name(const char *name, const char *text, size_t n)
{
	if (!n)
		return NULL;
	if (!strcmp(name, ".pgpass"))
		return "a password file";
	if (!strcmp(name, ".htpasswd"))
		return "a password file";
	if ((!strcmp(name, ".netrc") || !strcmp(name, "_netrc")) && memmem(text, n, "password", 8))
		return "a password file";
	if (!strcmp(name, ".git-credentials"))
		return "a password file";
	return NULL;
}

/* Pairs of bytes a secret may begin with: most positions are done after one look. */
static void first_pairs(uint8_t map[8192])
{
	size_t i;

	memset(map, 0, 8192);
	for (i = 0; i <= ARRAY_LEN(tokens); i++) {
		const char *s = i < ARRAY_LEN(tokens) ? tokens[i].prefix : "--";
		unsigned pair = (unsigned char)s[0] << 8 | (unsigned char)s[1];

		map[pair >> 3] |= (uint8_t)(1u << (pair & 7));
	}
}

const char *secret_find(const char *path, const char *text, size_t n, size_t *at)
{
	const char *name = base_name(path), *what = match_name(name, text, n);
	uint8_t map[8192];
	size_t i;

	*at = 0;
	if (what)
		return what;
	if (is_settings(name) && (what = match_settings(text, n, at)))
		return what;
	first_pairs(map);
	for (i = 0; i + 1 < n; i++) {
		unsigned pair = (unsigned)(unsigned char)text[i] << 8 | (unsigned char)text[i + 1];

		if (!(map[pair >> 3] & 1u << (pair & 7)))
			continue;
		if (text[i] == '-') {
			what = match_key(text + i, n - i);
			if (!what)	/* rulers of dashes are long */
				while (i + 1 < n && text[i + 1] == '-')
					i++;
		} else if (!i || !(isalnum((unsigned char)text[i - 1]) || text[i - 1] == '_')) {
			what = match_token(text + i, n - i);
		}
		if (what) {
			*at = i;
			return what;
		}
	}
	return NULL;
}
