#include "config.h"

#include "ingest/rulestack.h"

#include <stdlib.h>

int rulestack_push(struct rulestack *s, enum rule_group g, struct rules *rules, size_t base,
		   struct err *e)
{
	if (s->n[g] == s->cap[g]) {
		size_t cap = s->cap[g] ? s->cap[g] * 2 : 16;
		struct rule_list *v = realloc(s->v[g], cap * sizeof(*v));

		if (!v) {
			rules_free(rules);
			return err_nomem(e);
		}
		s->v[g] = v;
		s->cap[g] = cap;
	}
	s->v[g][s->n[g]++] = (struct rule_list){ rules, base };
	return 0;
}

void rulestack_pop(struct rulestack *s, enum rule_group g)
{
	rules_free(s->v[g][--s->n[g]].rules);
}

void rulestack_release(struct rulestack *s)
{
	int g;

	for (g = 0; g < RULES_N_GROUP; g++) {
		while (s->n[g])
			rulestack_pop(s, g);
		free(s->v[g]);
	}
	*s = (struct rulestack){ 0 };
}

struct decision rulestack_ask(const struct rulestack *s, enum rule_group from, enum rule_group to,
			      const char *full, size_t n, bool is_dir, bool icase)
{
	int g;
	size_t i;

	for (g = (int)from; g < (int)to; g++) {
		for (i = s->n[g]; i-- > s->floor[g];) {
			const struct rule_list *l = &s->v[g][i];
			const struct rule *r;

			if (!rules_count(l->rules) || n <= l->base + 1)
				continue;
			r = rules_match(l->rules, full + l->base + 1, n - l->base - 1, is_dir, icase);
			if (r)
				return (struct decision){ r, rules_label(l->rules) };
		}
	}
	return (struct decision){ 0 };
}
