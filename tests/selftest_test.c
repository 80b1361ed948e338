/* Covers engine/selftest.h: every set of this processor passes, and a broken one is found and named. */
#include "config.h"

#include "engine/selftest.h"
#include "tests/check.h"

#include <math.h>
#include <string.h>

static struct kern broken;

static void off_by_little(const struct rows *w, const struct act *a, size_t t0, size_t t1, float *y, size_t ldy,
			  void *scratch)
{
	kern_ref.linear(w, a, t0, t1, y, ldy, scratch);
	if (w->type == 12)	/* Q4_K */
		y[t0 * ldy + w->r0] *= 1.001f;
}

static void not_a_number(const struct attn_args *a)
{
	kern_ref.attn(a);
	a->o[a->n_row * a->head_dim - 1] = NAN;
}

int main(void)
{
	const struct kern *k;
	struct selftest t;
	struct err e;

	for (int i = 0; (k = kern_at(i)); i++) {
		int rc = selftest_run(k, &t, &e);

		ok(!rc && t.n > 60 && t.n_bad == 0 && t.worst <= 1,
		   "%s: %u comparisons, worst at %.0f %% of its limit: %s", k->name, t.n, 100 * t.worst,
		   t.where);
	}
	broken = kern_ref;
	broken.linear = off_by_little;
	ok(!selftest_run(&broken, &t, &e) && t.n_bad == 3 && strstr(t.where, "linear Q4_K"),
	   "a row that is off by a thousandth is found: %s", t.where);
	broken = kern_ref;
	broken.attn = not_a_number;
	ok(!selftest_run(&broken, &t, &e) && t.n_bad == 18 && strstr(t.where, "attention"),
	   "a NaN is found: %s", t.where);
	return done();
}
