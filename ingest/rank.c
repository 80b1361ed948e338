#include "config.h"

#include "ingest/rank.h"
#include "base/size.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NEAR 0.6
#define K1 1.2
#define B 0.75

/* Words that say nothing of what a question is about. */
static const char *const FUNCTION_WORDS[] = {
	"a", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "code", "could", "did", "do",
	"does", "each", "for", "from", "function", "gets", "give", "given", "has", "have", "how", "if", "in", "into",
	"is", "it", "its", "may", "not", "of", "on", "one", "or", "should", "so", "some", "such", "than", "that", "the",
	"their", "them", "then", "there", "these", "they", "this", "those", "to", "under", "use", "used", "uses", "was",
	"were", "what", "when", "where", "which", "who", "whose", "why", "will", "with", "would", "you",
};

static bool is_function_word(const char *w)
{
	for (size_t i = 0; i < ARRAY_LEN(FUNCTION_WORDS); i++)
		if (!strcmp(FUNCTION_WORDS[i], w))
			return true;
	return false;
}

/* Cut common English endings; what is left has three letters or more. */
static size_t cut_ending(char *w, size_t n)
{
	static const char *const END[] = { "ations", "ation", "ingly", "ings", "ing", "ers", "ies", "ied", "ion", "ed",
					   "es", "er", "ly", "s", "e", "y" };

	for (size_t i = 0; i < ARRAY_LEN(END); i++) {
		size_t m = strlen(END[i]);

		if (n >= m + 3 && !memcmp(w + n - m, END[i], m)) {
			n -= m;
			if (n > 3 && w[n - 1] == w[n - 2] && !strchr("ls", w[n - 1]))
				n--;	/* running, stopped */
			break;
		}
	}
	w[n] = '\0';
	return n;
}

/* The next piece of a word at *at: letters or digits, cut at '_', at a change to upper case, and
 * between letters and digits.  False at the end. */
static bool next_piece(const char *s, size_t n, size_t *at, char out[RANK_STEM], size_t *len)
{
	size_t i = *at, k = 0;

	while (i < n && !isalnum((unsigned char)s[i]) && (unsigned char)s[i] < 0x80)
		i++;
	if (i == n)
		return false;
	do {
		unsigned char c = (unsigned char)s[i];

		if (k + 1 < RANK_STEM)
			out[k++] = (char)tolower(c);
		i++;
		if (i < n && ((islower(c) && isupper((unsigned char)s[i])) ||
			      (isdigit(c) != 0) != (isdigit((unsigned char)s[i]) != 0)))
			break;
		/* HTTPServer: the last capital begins the next piece */
		if (i + 1 < n && isupper(c) && isupper((unsigned char)s[i]) && islower((unsigned char)s[i + 1]))
			break;
	} while (i < n && (isalnum((unsigned char)s[i]) || (unsigned char)s[i] >= 0x80));
	out[k] = '\0';
	*len = k;
	*at = i;
	return true;
}

void rank_split(const char *text, size_t n, struct rank_terms *out)
{
	char w[RANK_STEM];
	size_t at = 0, len;

	out->n = 0;
	while (out->n < RANK_TERMS && next_piece(text, n, &at, w, &len)) {
		bool again = false;

		if (len < 2 || is_function_word(w))
			continue;
		len = cut_ending(w, len);
		for (size_t i = 0; i < out->n; i++)
			again |= out->len[i] == len && !memcmp(out->stem[i], w, len);
		if (again)
			continue;
		memcpy(out->stem[out->n], w, len + 1);
		out->len[out->n++] = len;
	}
}

void rank_query(const struct rank_terms *t, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++)
		buf_addf(out, "%s\"%s\"*", i ? " OR " : "", t->stem[i]);
}

void rank_count(const struct rank_terms *t, const char *text, size_t n, struct rank_doc *out)
{
	char w[RANK_STEM];
	size_t at = 0, len, last[RANK_TERMS], word = 0;

	*out = (struct rank_doc){ 0 };
	for (size_t i = 0; i < RANK_TERMS; i++)
		last[i] = SIZE_MAX;
	while (next_piece(text, n, &at, w, &len)) {
		word++;
		if (len < 2)
			continue;
		len = cut_ending(w, len);
		for (size_t i = 0; i < t->n; i++) {
			/* equal stems, or one begins with the other: configure and config */
			size_t m = MIN(len, t->len[i]);

			if (memcmp(w, t->stem[i], m) || (len != t->len[i] && m < 4))
				continue;
			out->tf[i] += 1;
			last[i] = word;
			for (size_t j = i ? i - 1 : 0; j <= i + 1 && j < t->n; j++)
				if (j != i && last[j] != SIZE_MAX && word - last[j] <= 3)
					out->near[MIN(i, j)] = 1;
			break;
		}
	}
	out->length = (double)word;
}

void rank_score(const struct rank_terms *t, const struct rank_doc *doc, size_t n, double *score)
{
	double mean = 0, idf[RANK_TERMS];

	for (size_t i = 0; i < n; i++)
		mean += doc[i].length / (double)n;
	for (size_t k = 0; k < t->n; k++) {
		double df = 0;

		for (size_t i = 0; i < n; i++)
			df += doc[i].tf[k] > 0;
		idf[k] = log(1 + ((double)n - df + 0.5) / (df + 0.5));
	}
	for (size_t i = 0; i < n; i++) {
		double norm = K1 * (1 - B + B * doc[i].length / (mean > 0 ? mean : 1));

		score[i] = 0;
		for (size_t k = 0; k < t->n; k++) {
			score[i] += idf[k] * doc[i].tf[k] * (K1 + 1) / (doc[i].tf[k] + norm);
			if (k + 1 < t->n && doc[i].near[k] > 0)
				score[i] += NEAR * MIN(idf[k], idf[k + 1]);
		}
	}
}
