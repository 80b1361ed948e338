/* engine/agree.h - how well two runs over the same tokens agree
 *
 * Compares rows of logits of a reference with rows of a faster way, position by position:
 *
 *     top-1       share of positions whose largest logit is the same token's (ties: the lower id)
 *     KL          mean over positions of sum_i p_i * ln(p_i / q_i), p of the reference; nats
 *     perplexity  exp of the mean of -ln of the probability of the token that did come next
 *
 * Rows are added slice by slice, nothing is kept: a vocabulary of 150,000 is 600 KB a row.  Sums are
 * double.  Logits that are not finite make KL and perplexity NaN, which passes no limit.
 */
#ifndef ENGINE_AGREE_H
#define ENGINE_AGREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a fast way must reach against the reference on real text. */
#define AGREE_TOP1 0.98		/* at least */
#define AGREE_KL   2e-3		/* mean, at most */
#define AGREE_PPL  2e-3		/* |ratio of perplexities - 1|, at most */

/* Zero-initialise. */
struct agree {
	uint64_t n, n_same;	/* positions; those with the same largest logit */
	uint64_t n_next;	/* positions whose next token is known */
	double   kl;		/* sum over positions */
	double   worst_kl;	/* of one position */
	uint64_t worst_at;	/* which, from 0 */
	double   nll_ref, nll_fast;	/* sums of -ln p(next) */
};

/* Add one position: logits [n_vocab] of both; next is the token that follows, or -1. */
void agree_add(struct agree *a, const float *ref, const float *fast, size_t n_vocab, int32_t next);

double agree_top1(const struct agree *a);
double agree_kl(const struct agree *a);
double agree_ppl_ref(const struct agree *a);
double agree_ppl_fast(const struct agree *a);
/* Perplexity of the fast way over that of the reference. */
double agree_ratio(const struct agree *a);

/* All three limits above hold.  False without positions. */
bool agree_good(const struct agree *a);

#endif
