#include "config.h"

#include "engine/sample.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
	float   p;
	int32_t id;
};

struct sampler {
	struct sample_opts o;
	uint32_t n_vocab;
	uint64_t state;
	float   *logit;			/* after the penalty */
	struct candidate *cand;
};

int sampler_new(struct sampler **out, const struct sample_opts *o, uint32_t n_vocab, struct err *e)
{
	struct sampler *s;

	*out = NULL;
	if (!(o->temperature >= 0) || !(o->top_p >= 0 && o->top_p <= 1) || !(o->min_p >= 0 && o->min_p <= 1) ||
	    !(o->repeat_penalty >= 0))
		return err_set(e, ERR_INVALID, "sampling wants temperature >= 0, top-p and min-p from 0 to 1, "
			       "penalty >= 0");
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_nomem(e);
	s->o = *o;
	if (!s->o.repeat_last)
		s->o.repeat_last = 64;
	s->n_vocab = n_vocab;
	s->state = o->seed;
	s->logit = malloc(n_vocab * sizeof(float));
	s->cand = malloc(n_vocab * sizeof(*s->cand));
	if (!s->logit || !s->cand) {
		sampler_free(s);
		return err_nomem(e);
	}
	*out = s;
	return 0;
}

void sampler_free(struct sampler *s)
{
	if (!s)
		return;
	free(s->logit);
	free(s->cand);
	free(s);
}

/* splitmix64 (Steele, Lea, Flood 2014): one multiplication chain, any seed is good. */
static double uniform(struct sampler *s)
{
	uint64_t z = s->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static void penalise(struct sampler *s, const int32_t *history, size_t n)
{
	float k = (float)s->o.repeat_penalty;
	size_t first = n > s->o.repeat_last ? n - s->o.repeat_last : 0;

	if (k == 0 || k == 1)
		return;
	for (size_t i = first; i < n; i++) {
		bool again = false;

		/* A token counts once, however often it was said. */
		for (size_t j = first; j < i && !again; j++)
			again = history[j] == history[i];
		if (!again && history[i] >= 0 && (uint32_t)history[i] < s->n_vocab) {
			float *l = &s->logit[history[i]];

			*l = *l > 0 ? *l / k : *l * k;
		}
	}
}

static int by_falling_p(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->p != y->p)
		return x->p < y->p ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int32_t sampler_next(struct sampler *s, const float *logits, const int32_t *history, size_t n_history)
{
	uint32_t best = 0;
	size_t n = 0;
	double sum = 0, draw;

	/* A broken weight gives NaN everywhere; the answer is then noise, but always a token. */
	for (uint32_t i = 0; i < s->n_vocab; i++)
		s->logit[i] = isnan(logits[i]) ? -INFINITY : logits[i];
	penalise(s, history, n_history);
	for (uint32_t i = 1; i < s->n_vocab; i++)
		if (s->logit[i] > s->logit[best])
			best = i;
	if (s->o.temperature == 0 || isinf(s->logit[best]))
		return (int32_t)best;
	/* e^-40 of the best is nothing, and sorting what is left is cheap. */
	for (uint32_t i = 0; i < s->n_vocab; i++) {
		double x = ((double)s->logit[i] - (double)s->logit[best]) / s->o.temperature;

		if (x > -40 && exp(x) >= s->o.min_p)
			s->cand[n++] = (struct candidate){ (float)exp(x), (int32_t)i };
	}
	qsort(s->cand, n, sizeof(*s->cand), by_falling_p);
	for (size_t i = 0; i < n; i++)
		sum += (double)s->cand[i].p;
	if (s->o.top_p > 0 && s->o.top_p < 1) {
		double kept = 0;
		size_t k = 0;

		while (k < n && kept < s->o.top_p * sum)
			kept += (double)s->cand[k++].p;
		n = k;
		sum = kept;
	}
	draw = uniform(s) * sum;
	for (size_t i = 0; i < n; i++) {
		draw -= (double)s->cand[i].p;
		if (draw < 0)
			return s->cand[i].id;
	}
	return s->cand[n - 1].id;
}
