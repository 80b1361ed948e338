#include "config.h"

#include "engine/agree.h"

#include <math.h>

static size_t largest(const float *x, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (x[i] > x[best])
			best = i;
	return best;
}

void agree_add(struct agree *a, const float *ref, const float *fast, size_t n_vocab, int32_t next)
{
	size_t top_ref = largest(ref, n_vocab), top_fast = largest(fast, n_vocab);
	double max_ref = (double)ref[top_ref], max_fast = (double)fast[top_fast];
	double sum_ref = 0, sum_fast = 0, gap = 0, lse_ref, lse_fast, kl;

	/* With p = exp(ref - lse_ref): KL = sum p * (ref - fast) - lse_ref + lse_fast.  Both shifted by
	 * their maximum, so that logits far from zero lose no digits in the difference. */
	for (size_t i = 0; i < n_vocab; i++) {
		double r = (double)ref[i] - max_ref, f = (double)fast[i] - max_fast;
		double p = (double)expf((float)r);

		sum_ref += p;
		sum_fast += (double)expf((float)f);
		/* Minus infinity on both sides is a token that neither can choose. */
		gap += p > 0 ? p * (r - f) : 0;
	}
	lse_ref = log(sum_ref);
	lse_fast = log(sum_fast);
	kl = gap / sum_ref - lse_ref + lse_fast;
	if (!(kl <= a->worst_kl)) {
		a->worst_kl = isnan(kl) ? INFINITY : kl;
		a->worst_at = a->n;
	}
	a->kl += kl;
	a->n_same += top_ref == top_fast;
	a->n++;
	if (next >= 0 && (size_t)next < n_vocab) {
		a->nll_ref += lse_ref + max_ref - (double)ref[next];
		a->nll_fast += lse_fast + max_fast - (double)fast[next];
		a->n_next++;
	}
}

double agree_top1(const struct agree *a)
{
	return (double)a->n_same / (double)a->n;
}

double agree_kl(const struct agree *a)
{
	return a->kl / (double)a->n;
}

double agree_ppl_ref(const struct agree *a)
{
	return exp(a->nll_ref / (double)a->n_next);
}

double agree_ppl_fast(const struct agree *a)
{
	return exp(a->nll_fast / (double)a->n_next);
}

double agree_ratio(const struct agree *a)
{
	return exp((a->nll_fast - a->nll_ref) / (double)a->n_next);
}

bool agree_good(const struct agree *a)
{
	return a->n && a->n_next && agree_top1(a) >= AGREE_TOP1 && agree_kl(a) <= AGREE_KL &&
	       fabs(agree_ratio(a) - 1) <= AGREE_PPL;
}
