/* engine/sample.h - choose the next token from logits
 *
 * Order of the filters: repetition penalty, temperature, min-p, top-p; then one draw.  Temperature 0 is
 * greedy: the largest logit after the penalty, the lowest id on ties.  The same seed, logits and
 * history give the same tokens on every machine with IEEE floats.
 *
 *   repetition penalty  logits of tokens seen in the last `repeat_last` are divided by it when
 *                       positive, multiplied when negative (Keskar et al. 2019, arXiv:1909.05858)
 *   min-p               keeps tokens of at least min_p times the largest probability
 *   top-p               keeps the smallest set of most probable tokens that reaches top_p (Holtzman
 *                       et al. 2019, arXiv:1904.09751)
 */
#ifndef ENGINE_SAMPLE_H
#define ENGINE_SAMPLE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct sample_opts {
	double   temperature;		/* 0: greedy */
	double   top_p;			/* 1 (or 0): off */
	double   min_p;			/* 0: off */
	double   repeat_penalty;	/* 1 (or 0): off */
	size_t   repeat_last;		/* tokens of history that count; 0: 64 */
	uint64_t seed;
};

struct sampler;

int sampler_new(struct sampler **out, const struct sample_opts *o, uint32_t n_vocab, struct err *e);
void sampler_free(struct sampler *s);

/* logits [n_vocab] are read only; history is what was said before, oldest first. */
int32_t sampler_next(struct sampler *s, const float *logits, const int32_t *history, size_t n_history);

#endif
