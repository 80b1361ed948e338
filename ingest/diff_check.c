#include "config.h"

#include "ingest/diff_check.h"

#include "base/size.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MIN = 4, WORDS_MAX = 30, STEM = 5, LEN_MAX = 64, SENTENCE_WORDS = 64 };

/* ---- words of a hunk ---- */

struct seen {
	const char *s;
	size_t   n;
	unsigned came, went, stayed;	/* lines of each kind that hold it */
};

struct table {
	struct seen *v;
	size_t n, cap;
	bool   failed;
};

static bool is_word_byte(unsigned char c)
{
	return isalnum(c) || c == '_' || c >= 0x80;
}

/* The next run of word bytes in [*p, end). */
static bool next_word(const char **p, const char *end, const char **word, size_t *n)
{
	while (*p < end && !is_word_byte((unsigned char)**p))
		++*p;
	*word = *p;
	while (*p < end && is_word_byte((unsigned char)**p))
		++*p;
	*n = (size_t)(*p - *word);
	return *n > 0;
}

static struct seen *find(struct table *t, const char *s, size_t n)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].n == n && !memcmp(t->v[i].s, s, n))
			return &t->v[i];
	return NULL;
}

static struct seen *put(struct table *t, const char *s, size_t n)
{
	struct seen *x = find(t, s, n);

	if (x)
		return x;
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 256;
		struct seen *v = reallocarray(t->v, cap, sizeof(*v));

		if (!v) {
			t->failed = true;
			return NULL;
		}
		t->v = v;
		t->cap = cap;
	}
	t->v[t->n] = (struct seen){ .s = s, .n = n };
	return &t->v[t->n++];
}

static void read_hunk(struct table *t, const char *hunk, size_t n)
{
	const char *p = hunk, *end = hunk + n;

	while (p < end && !t->failed) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end, *q = p + 1, *word;
		size_t k;

		while (q < stop && next_word(&q, stop, &word, &k)) {
			struct seen *x = put(t, word, k);

			if (x)
				(*p == '+' ? x->came++ : *p == '-' ? x->went++ : x->stayed++);
		}
		p = stop + 1;
	}
}

static void read_around(struct table *t, const char *around)
{
	const char *p = around, *end = around + strlen(around), *word;
	size_t k;

	while (next_word(&p, end, &word, &k)) {
		struct seen *x = put(t, word, k);

		if (x)
			x->stayed++;
	}
}

/* ---- words of the sentence ---- */

struct said {
	const char *s;
	size_t n;
	char   low[LEN_MAX];	/* in small letters, cut */
	bool   name, number, generic;
	const struct seen *exact;	/* of names and numbers */
};

static bool in_list(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

/* Words that say nothing about which change it is. */
static bool is_generic(const char *low)
{
	static const char *const words[] = {
		"the", "this", "that", "these", "those", "change", "changes", "changed", "changing", "diff", "hunk", "commit",
		"adds", "add", "added", "adding", "removes", "remove", "removed", "removing", "updates", "update", "updated",
		"updating", "new", "old", "now", "and", "with", "from", "for", "into", "onto", "its", "it", "is", "are", "was",
		"were", "has", "have", "had", "been", "being", "will", "would", "can", "may", "instead", "of", "to", "in", "on",
		"by", "as", "at", "an", "or", "be", "also", "more", "than", "when", "where", "which", "while", "then", "only",
		"each", "both", "all", "any", "some", "other", "another", "same", "before", "after", "about", "over", "under",
		"between", "function", "functions", "method", "methods", "class", "classes", "variable", "variables", "value",
		"values", "parameter", "parameters", "argument", "arguments", "constant", "constants", "field", "fields",
		"attribute", "attributes", "default", "defaults", "line", "lines", "code", "file", "files", "name", "names",
		"named", "type", "types", "call", "calls", "called", "calling", "use", "uses", "used", "using", "set", "sets",
		"setting", "make", "makes", "made", "let", "lets", "include", "includes", "included", "including", "introduces",
		"introduce", "introduced", "replaces", "replace", "replaced", "replacing", "renames", "rename", "renamed",
		"moves", "move", "moved", "deletes", "delete", "deleted", "drops", "drop", "dropped", "modifies", "modify",
		"modified", "defines", "define", "defined", "definition", "declares", "declaration", "implements",
		"implementation", "existing", "additional", "specific", "following", "given", "version", "versions", "section",
		"sections", "paragraph", "sentence", "text", "word", "words", "statement", "statements", "expression", "block",
		"content", "contents", "signature", "previous", "previously", "longer", "there", "their", "they", "them",
		"create", "creates", "created", "provides", "provide", "allows", "allow", "takes", "take", "passes", "pass",
		"returns", "return", "returned", "returning", "list", "one", "first", "second", "last",
		/* size_holds looks after these */
		"increases", "increase", "increased", "decreases", "decrease", "decreased", "reduces", "reduced", "raises",
		"raised", "lowers", "lowered",
	};

	return strlen(low) < 3 || in_list(low, words, ARRAY_LEN(words));
}

static bool begins(const char *low, const char *stem)
{
	return !strncmp(low, stem, strlen(stem));
}

static void lower(const char *s, size_t n, char low[LEN_MAX])
{
	size_t k = MIN(n, (size_t)LEN_MAX - 1);

	for (size_t i = 0; i < k; i++)
		low[i] = (char)tolower((unsigned char)s[i]);
	low[k] = 0;
}

/* quoted: inside backquotes; first: begins the sentence, where a capital letter means nothing. */
static bool looks_like_name(const char *s, size_t n, bool quoted, bool first, bool called)
{
	bool upper = false, digit = false, small = false;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '_')
			return true;
		digit |= isdigit((unsigned char)s[i]) != 0;
		upper |= isupper((unsigned char)s[i]) && (i || !first);
		small |= islower((unsigned char)s[i]) != 0;
	}
	return quoted || called || upper || (digit && small);
}

static size_t read_sentence(const char *s, size_t n, struct table *t, struct said *out)
{
	const char *p = s, *end = s + n, *word, *at = s;
	size_t k = 0, len;
	bool quoted = false;

	while (k < SENTENCE_WORDS && next_word(&p, end, &word, &len)) {
		struct said *w = &out[k];
		bool digits = true;

		for (; at < word; at++)
			quoted ^= *at == '`';
		*w = (struct said){ .s = word, .n = len };
		lower(word, len, w->low);
		for (size_t i = 0; i < len; i++)
			digits &= isdigit((unsigned char)word[i]) != 0;
		w->number = digits;
		/* A lone letter is an article or the end of "it's", unless it is quoted. */
		w->name = !digits && (len > 1 || quoted) && looks_like_name(word, len, quoted, !k, p < end && *p == '(');
		w->generic = !digits && !w->name && is_generic(w->low);
		w->exact = find(t, word, len);
		k++;
	}
	return k;
}

/* ---- (2): words by their first letters ---- */

/* Parts of a name count alone: "retries" is in "max_retries" and in "maxRetries". */
static bool part_matches(const struct seen *x, const char *low)
{
	size_t want = strlen(low);

	for (size_t i = 0; i < x->n;) {
		char part[LEN_MAX];
		size_t k = i, n, same;

		while (k < x->n && x->s[k] == '_')
			k++;
		n = k;
		while (n < x->n && x->s[n] != '_' && !(n > k && isupper((unsigned char)x->s[n]) && islower((unsigned char)x->s[n - 1])))
			n++;
		lower(x->s + k, n - k, part);
		for (same = 0; part[same] && part[same] == low[same]; same++)
			;
		if (same >= STEM || (same == strlen(part) && same >= 3) || (same == want && same >= 3))
			return true;
		i = MAX(n, k + 1);
	}
	return false;
}

static bool occurs(const struct table *t, const char *low, bool *changed)
{
	bool any = false;

	for (size_t i = 0; i < t->n; i++)
		if (part_matches(&t->v[i], low)) {
			any = true;
			*changed |= t->v[i].came || t->v[i].went;
		}
	return any;
}

/* ---- (3): what came and what went ---- */

enum direction { NO_DIRECTION, CAME, WENT };

static enum direction verb(const char *low)
{
	static const char *const came[] = { "add", "adds", "added", "adding", "introduces", "introduced", "creates",
					    "created", "inserts", "inserted", "includes", "implements" };
	static const char *const went[] = { "remove", "removes", "removed", "removing", "deletes", "deleted", "drops",
					    "dropped", "eliminates", "eliminated" };

	return in_list(low, came, ARRAY_LEN(came)) ? CAME : in_list(low, went, ARRAY_LEN(went)) ? WENT : NO_DIRECTION;
}

static bool came(const struct seen *x)
{
	return x && x->came > x->went;
}

static bool went(const struct seen *x)
{
	return x && x->went > x->came;
}

static bool is_preposition(const char *low)
{
	static const char *const words[] = { "to", "in", "from", "of", "with", "for", "on", "into", "by", "as", "at", "within" };

	return in_list(low, words, ARRAY_LEN(words));
}

/* Every name and number that a verb is about, up to a preposition, must have come or gone: "adds X to f",
 * f was there.  Where there is none before it, one behind it must have. */
static bool direction_holds(const struct said *w, size_t n)
{
	enum direction d = NO_DIRECTION;
	bool about = false, named = false, later = false, good = false;

	for (size_t i = 0; i <= n; i++) {
		enum direction next = i < n ? verb(w[i].low) : NO_DIRECTION;

		if (i == n || next) {
			if (d && !named && later && !good)
				return false;
			if (i == n)
				break;
			d = next;
			about = true;
			named = later = good = false;
			continue;
		}
		if (is_preposition(w[i].low))
			about = false;
		if (!d || (!w[i].name && !w[i].number) || !w[i].exact)
			continue;
		if (about && !(d == CAME ? came(w[i].exact) : went(w[i].exact)))
			return false;
		named |= about;
		later |= !about;
		good |= d == CAME ? came(w[i].exact) : went(w[i].exact);
	}
	return true;
}

static const struct said *next_fact(const struct said *w, size_t n, size_t i)
{
	for (; i < n && i < SENTENCE_WORDS; i++) {
		if (w[i].name || w[i].number)
			return &w[i];
		if (!strcmp(w[i].low, "to") || !strcmp(w[i].low, "from") || !strcmp(w[i].low, "with"))
			return NULL;
	}
	return NULL;
}

/* "from A to B", "replaces A with B", "renames A to B". */
static bool pair_holds(const struct said *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool from = !strcmp(w[i].low, "from"), instead = begins(w[i].low, "replac") || begins(w[i].low, "renam");
		const struct said *a = from || instead ? next_fact(w, n, i + 1) : NULL, *b = NULL;

		for (size_t j = i + 1; a && j < n; j++)
			if (&w[j] > a && (!strcmp(w[j].low, "to") || !strcmp(w[j].low, "with") || !strcmp(w[j].low, "by"))) {
				b = next_fact(w, n, j + 1);
				break;
			}
		if (a && b && (!a->exact || !a->exact->went || !b->exact || !b->exact->came))
			return false;
	}
	return true;
}

/* "increases A to B" needs both numbers, in order. */
static bool size_holds(const struct said *w, size_t n)
{
	const struct said *number[2] = { NULL, NULL };
	int want = 0;

	for (size_t i = 0; i < n; i++) {
		if (begins(w[i].low, "increas") || begins(w[i].low, "rais"))
			want = 1;
		if (begins(w[i].low, "decreas") || begins(w[i].low, "reduc") || begins(w[i].low, "lower"))
			want = -1;
		if (w[i].number && !number[number[0] != NULL])
			number[number[0] != NULL] = &w[i];
	}
	if (!want)
		return true;
	return number[0] && number[1] && number[0]->exact && number[0]->exact->went && number[1]->exact &&
	       number[1]->exact->came && (atoll(number[1]->s) > atoll(number[0]->s)) == (want > 0);
}

/* ---- (4) ---- */

static bool claims(const struct said *w, size_t n, struct table *t)
{
	static const char *const stems[] = { "improv", "ensur", "fix", "bug", "perform", "effici", "secur", "readab",
					     "optimi", "better", "faster", "correct", "simplif", "enhanc", "prevent", "robust",
					     "clean", "refactor", "support", "compatib", "clari", "consisten", "maintain",
					     "unnecess", "differen", "approach", "redund", "unused", "important", "proper", "handl" };
	static const char *const counts[] = { "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten" };
	static const char *const absent[] = { "not", "no", "never", "none", "without", "nothing", "unchanged", "cannot" };

	for (size_t i = 0; i < n; i++) {
		bool changed = false;

		if (w[i].name || w[i].number)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(stems); k++)
			if (begins(w[i].low, stems[k]) && !occurs(t, w[i].low, &changed))
				return true;
		if ((in_list(w[i].low, absent, ARRAY_LEN(absent)) || in_list(w[i].low, counts, ARRAY_LEN(counts))) &&
		    !w[i].exact)
			return true;
	}
	return false;
}

bool diff_check(const char *sentence, size_t n, const char *hunk, size_t n_hunk, const char *around,
		bool prose, const char **why)
{
	struct said w[SENTENCE_WORDS];
	struct table t = { 0 };
	const char *broken = NULL;
	size_t k, words = 0, found = 0, facts = 0, tied = 0;

	read_hunk(&t, hunk, n_hunk);
	read_around(&t, around);
	k = read_sentence(sentence, n, &t, w);
	if (t.failed || k < WORDS_MIN || k > WORDS_MAX)
		broken = "length";
	for (size_t i = 0; i < k && !broken; i++) {
		if (w[i].name || w[i].number) {
			if (!w[i].exact)
				broken = w[i].name ? "name" : "number";
			else
				facts += w[i].exact->came || w[i].exact->went;
		} else if (!w[i].generic) {
			bool changed = false;

			words++;
			found += occurs(&t, w[i].low, &changed);
			tied += changed;
		}
	}
	if (!broken && claims(w, k, &t))
		broken = "claim";
	if (!broken && ((!facts && (!prose || tied < 3)) || 5 * found < 3 * words))
		broken = "words";
	if (!broken && (!direction_holds(w, k) || !pair_holds(w, k) || !size_holds(w, k)))
		broken = "direction";
	free(t.v);
	if (why)
		*why = broken ? broken : "";
	return !broken;
}

size_t diff_check_trim(const char *sentence, size_t n)
{
	static const char *const tails[] = {
		", ensuring", ", allowing", ", making", ", improving", ", which", ", so that", ", enabling", ", providing",
		", resulting", ", indicating", ", reflecting", " to ensure", " to improve", " in order to", " which ",
		" to make ", " to allow ", " so that ", " to provide ", " to better ", " to handle ", ", as well as",
		" to support ", " to match ", " to reflect ",
	};
	size_t end = n;

	for (size_t i = 0; i + 1 < n; i++)
		if (sentence[i] == '\n' || (strchr(".!?", sentence[i]) && sentence[i + 1] == ' ')) {
			end = i + (sentence[i] != '\n');
			break;
		}
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		const char *at = memmem(sentence, end, tails[i], strlen(tails[i]));

		if (at && at > sentence)
			end = (size_t)(at - sentence);
	}
	return end;
}
