/* The hand-written pre-tokenizers against the regular expressions they stand for, run by PCRE2. */
#include "config.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/tok_class.h"
#include "engine/tok_split.h"

#include "base/clock.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tests/check.h"

#include <string.h>

/* \s as the model families mean it: PCRE2's own has U+180E too. */
#define S "\\p{Z}\\t-\\r\\x{85}"
#define C "'s|'t|'re|'ve|'m|'ll|'d"
#define P "[^\\r\\n\\p{L}\\p{N}]?"
#define O "[^" S "\\p{L}\\p{N}]+"
#define W "[" S "]*[\\r\\n]+|[" S "]+(?![^" S "])|[" S "]+"
#define UP "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOW "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

#define LLAMA4 P UP "*" LOW "+(?i:" C ")?|" P UP "+" LOW "*(?i:" C ")?|\\p{N}{1,3}| ?" O "[\\r\\n/]*|" W
#define LLAMA3 "(?i:" C ")|" P "\\p{L}+|\\p{N}{1,3}| ?" O "[\\r\\n]*|" W
#define QWEN2 "(?i:" C ")|" P "\\p{L}+|\\p{N}| ?" O "[\\r\\n]*|" W
#define GPT2 C "| ?\\p{L}+| ?\\p{N}+| ?" O "|[" S "]+(?![^" S "])|[" S "]+"

static const struct family {
	const char *name, *pattern;
	enum tok_pre pre;
	bool digits_first;
} family[] = {
	{ "llama4", LLAMA4, TOK_PRE_LLAMA4, false },
	{ "llama-bpe", LLAMA3, TOK_PRE_LLAMA3, false },
	{ "qwen2", QWEN2, TOK_PRE_QWEN2, false },
	{ "gpt-2", GPT2, TOK_PRE_GPT2, false },
	{ "smollm", GPT2, TOK_PRE_SMOLLM, true },
};

static pcre2_match_data *md;
static uint8_t known[0x110000];		/* has the same classes in PCRE2 and in our table */
static uint32_t *pool;			/* all that are known */
static size_t n_pool;
static uint64_t seed = 1;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull >> 16;
}

static pcre2_code *compile(const char *pattern)
{
	PCRE2_SIZE at;
	int code;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				       PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);

	if (!re) {
		printf("Bail out! pattern '%s': error %d at %zu\n", pattern, code, (size_t)at);
		exit(99);
	}
	pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
	return re;
}

/* End of the match at from, 0 when there is none. */
static size_t match(const pcre2_code *re, const char *s, size_t n, size_t from, size_t *start)
{
	int rc = pcre2_match(re, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, md, NULL);

	if (rc < 0)
		return 0;
	*start = pcre2_get_ovector_pointer(md)[0];
	return pcre2_get_ovector_pointer(md)[1];
}

/* Give flag to every character of all[0..n) that the class matches. */
static void mark(const char *pattern, const char *all, size_t n, uint8_t flag, uint8_t *out)
{
	pcre2_code *re = compile(pattern);
	size_t at = 0, start, end;

	while (at < n && (end = match(re, all, n, at, &start))) {
		for (at = start; at < end;) {
			uint32_t c;

			at += utf8_decode(all + at, n - at, &c);
			out[c] |= flag;
		}
	}
	pcre2_code_free(re);
}

/* Every code point: PCRE2's answers beside ours.  They may know different versions of Unicode, so a
 * code point that one of them holds unassigned may differ, and then takes no part in what follows. */
static void test_classes(void)
{
	static uint8_t theirs[0x110000], unassigned[0x110000];
	const uint8_t *ours = tok_class_get();
	char *all = malloc(4 * 0x110000);
	size_t n = 0, n_diff = 0, n_wrong = 0;

	for (uint32_t c = 0; c < 0x110000; c++)
		if (c < 0xd800 || c > 0xdfff)
			n += utf8_encode(c, all + n);
	mark("\\p{L}+", all, n, CLASS_L, theirs);
	mark("\\p{N}+", all, n, CLASS_N, theirs);
	mark("[" S "]+", all, n, CLASS_S, theirs);
	mark("[\\r\\n]+", all, n, CLASS_NL, theirs);
	mark(UP "+", all, n, CLASS_UP, theirs);
	mark(LOW "+", all, n, CLASS_LOW, theirs);
	mark("\\p{Cn}+", all, n, 1, unassigned);
	pool = malloc(0x110000 * sizeof *pool);
	for (uint32_t c = 0; c < 0x110000; c++) {
		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		known[c] = ours[c] == theirs[c];
		n_diff += !known[c];
		if (!known[c] && !unassigned[c] && ++n_wrong < 10)
			printf("# U+%04X: %02x here, %02x in PCRE2\n", c, ours[c], theirs[c]);
		if (known[c] && !unassigned[c])
			pool[n_pool++] = c;
	}
	ok(n_wrong == 0 && n_pool > 140000,
	   "classes equal PCRE2's for every code point it knows (%zu differ, new in Unicode)", n_diff);
	free(all);
}

/* One character of text that is likely to reach the corners of the patterns. */
static uint32_t character(void)
{
	static const char likely[] = "aAbBsStTrReEvVmMlLdD'''''\"/.,;-_()09 \t\r\n\n    ";
	static const uint32_t odd[] = {
		0x17f, 0x212a, 0x85, 0xa0, 0x180e, 0x2003, 0x2028, 0x3000, 0x200d, 0xfeff, 0x301,
		0x64b, 0x93f, 0x1c5, 0x2b0, 0x2c6, 0x4e2d, 0x65e5, 0x3042, 0xac00, 0x5d0, 0x628,
		0x915, 0xe01, 0xb2, 0xbd, 0x2160, 0x660, 0x1f600, 0x1f468, 0xfe0f, 0xc4, 0xe4,
		0xdf, 0x130, 0x131, 0x3a3, 0x3c2, 0x10400, 0x10428, 0x1d400, 0xfffd, 0xe000, 0x2019,
	};

	switch (rnd() % 8) {
	case 0:
		return pool[rnd() % n_pool];
	case 1:
	case 2:
		return odd[rnd() % ARRAY_LEN(odd)];
	default:
		return (uint8_t)likely[rnd() % (sizeof likely - 1)];
	}
}

/* Random text of about n bytes: characters, some of them in runs. */
static size_t make_text(char *s, size_t n)
{
	size_t k = 0;

	while (k + 4 <= n) {
		uint32_t c = character();
		size_t times = rnd() % 8 ? 1 : 1 + rnd() % 6;

		while (times-- && k + 4 <= n)
			k += utf8_encode(c, s + k);
	}
	return k;
}

/* Compare all cuts of one text; the offset of the first difference, or n. */
static size_t differ(const struct family *f, const pcre2_code *re, const pcre2_code *digit,
		     const char *s, size_t n)
{
	const uint8_t *cls = tok_class_get();
	tok_split_fn *split = tok_split_get(f->pre);
	size_t at = 0, stretch = 0, start;

	while (at < n) {
		size_t want;

		if (f->digits_first && at >= stretch) {
			/* The next stretch without a digit, or one digit. */
			want = match(digit, s, n, at, &start);
			stretch = want ? start : n;
			if (want && start == at) {
				if (split(cls, (const uint8_t *)s, at, n) != want)
					return at;
				at = want;
				continue;
			}
		}
		want = match(re, s, f->digits_first ? stretch : n, at, &start);
		if (!want || start != at || split(cls, (const uint8_t *)s, at, n) != want)
			return at;
		at = want;
	}
	return n;
}

static void test_family(const struct family *f, size_t n_text)
{
	pcre2_code *re = compile(f->pattern), *digit = compile("\\p{N}");
	char s[512];
	size_t bad = 0, n_byte = 0;

	for (size_t i = 0; i < n_text && bad < 5; i++) {
		size_t n = make_text(s, 8 + rnd() % (sizeof s - 8)), at = differ(f, re, digit, s, n);

		n_byte += n;
		if (at == n)
			continue;
		bad++;
		printf("# differs at %zu of:", at);
		for (size_t k = at > 8 ? at - 8 : 0; k < n && k < at + 24; k++)
			printf(" %02x", (uint8_t)s[k]);
		printf("\n");
	}
	ok(!bad, "%s cuts %zu random texts, %zu bytes, as its expression does", f->name, n_text,
	   n_byte);
	pcre2_code_free(re);
	pcre2_code_free(digit);
}

/* Two million characters that could trap a matcher which looks back. */
static void test_long_runs(void)
{
	static const char *const unit[] = {
		" ", "\n", " \n", "a", "A", "\xe6\x97\xa5", "\xcc\x81", "9", ".", "'", "/", "\xe6\x97\xa5\101",
		" a", "\t ", "\r\n", "'s",
	};
	size_t n_max = 2000000;
	char *s = malloc(n_max + 8);
	double slowest = 0;

	for (size_t u = 0; u < ARRAY_LEN(unit); u++) {
		size_t len = strlen(unit[u]), n = 0;

		while (n + len <= n_max) {
			memcpy(s + n, unit[u], len);
			n += len;
		}
		for (size_t f = 0; f < ARRAY_LEN(family); f++) {
			tok_split_fn *split = tok_split_get(family[f].pre);
			double t0 = clock_now(), t;

			s[n] = 'x';
			for (size_t i = 0; i < n + 1;)
				i = split(tok_class_get(), (const uint8_t *)s, i, n + 1);
			t = clock_now() - t0;
			slowest = MAX(slowest, t);
		}
	}
	ok(slowest < 2, "runs of 2 MB are cut in linear time (slowest: %.0f ms)", slowest * 1e3);
	free(s);
}

int main(void)
{
	const char *more = getenv("FOLIO_TEST_ROUNDS");
	size_t n_text = more ? strtoull(more, NULL, 10) : 20000;

	md = pcre2_match_data_create(4, NULL);
	test_classes();
	for (size_t f = 0; f < ARRAY_LEN(family); f++)
		test_family(&family[f], n_text);
	test_long_runs();
	pcre2_match_data_free(md);
	free(pool);
	return done();
}
