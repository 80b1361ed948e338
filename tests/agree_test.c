/* Covers engine/agree.h on distributions small enough to know the answer. */
#include "config.h"

#include "base/size.h"
#include "engine/agree.h"
#include "tests/check.h"

#include <math.h>

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-6 * (1 + fabs(b));
}

int main(void)
{
	/* p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4); any constant may be added to logits. */
	const float p[3] = { logf(2) + 100, 100, 100 }, q[3] = { -7, logf(2) - 7, -7 };
	const float bad[3] = { NAN, 0, 1 }, never[3] = { 0, 0, -INFINITY };
	struct agree a = { 0 };

	ok(!agree_good(&a), "nothing compared is no agreement");
	agree_add(&a, p, p, 3, 0);
	ok(a.n_same == 1 && near(agree_kl(&a), 0) && near(agree_ppl_ref(&a), 2) && near(agree_ratio(&a), 1),
	   "equal rows: KL 0, perplexity 2");
	ok(agree_good(&a), "and that is good");
	a = (struct agree){ 0 };
	agree_add(&a, p, q, 3, 0);
	ok(a.n_same == 0 && near(agree_kl(&a), 0.25 * log(2)),
	   "KL of (1/2, 1/4, 1/4) to (1/4, 1/2, 1/4) is ln(2) / 4: %.9f", agree_kl(&a));
	ok(near(agree_ppl_ref(&a), 2) && near(agree_ppl_fast(&a), 4) && near(agree_ratio(&a), 2),
	   "perplexity 2 beside 4");
	agree_add(&a, p, p, 3, 1);
	ok(near(agree_top1(&a), 0.5) && near(agree_kl(&a), 0.125 * log(2)) && a.worst_at == 0 &&
	   near(a.worst_kl, 0.25 * log(2)), "means over positions; the worst one is kept");
	ok(near(agree_ppl_ref(&a), sqrt(8)), "perplexity is the geometric mean");
	agree_add(&a, p, p, 3, -1);
	ok(a.n == 3 && a.n_next == 2, "the last token has no next one");
	a = (struct agree){ 0 };
	agree_add(&a, never, never, 3, 0);
	ok(near(agree_kl(&a), 0) && near(agree_ppl_ref(&a), 2), "a token of probability zero adds nothing");
	for (int i = 0; i < 2; i++) {
		a = (struct agree){ 0 };
		for (int j = 0; j < 100; j++)
			agree_add(&a, p, p, 3, 0);
		agree_add(&a, i ? bad : p, i ? p : bad, 3, 1);
		agree_add(&a, p, q, 3, 1);
		ok(!agree_good(&a) && a.worst_at == 100, "one NaN in 102 positions of the %s fails", i ? "reference" : "fast run");
	}
	a = (struct agree){ 0 };
	for (int j = 0; j < 97; j++)
		agree_add(&a, p, p, 3, 0);
	for (int j = 0; j < 3; j++)
		agree_add(&a, (float[3]){ 0, 1e-6f, 0 }, (float[3]){ 1e-6f, 0, 0 }, 3, 0);
	ok(!agree_good(&a) && near(agree_top1(&a), 0.97), "97 %% of top-1 is not enough, whatever KL says");
	return done();
}
