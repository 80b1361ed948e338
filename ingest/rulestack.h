/* ingest/rulestack.h - the ignore files that hold at one place of a walk, and what they say
 *
 * Lists are pushed on the way down and popped on the way up.  Each belongs to a group; groups are
 * asked in the order of the enum, lists of a group from the last pushed to the first, and the first
 * rule that matches decides (source.h, WHAT IS LEFT OUT).  Paths are "full": they begin with a slash
 * and go to the top of what is walked, be that a disk or the tree of a revision; a list knows how
 * many bytes of it are its own folder.
 */
#ifndef INGEST_RULESTACK_H
#define INGEST_RULESTACK_H

#include "ingest/ignore.h"

enum rule_group {
	RULES_FOLIO, RULES_IGNORE,			/* .folioignore, .ignore */
	RULES_GIT, RULES_GIT_INFO, RULES_GIT_GLOBAL,	/* .gitignore, info/exclude, excludesFile */
	RULES_N_GROUP
};

struct rulestack {
	struct rule_list {
		struct rules *rules;
		size_t        base;	/* bytes of the full path that are the list's folder */
	} *v[RULES_N_GROUP];
	size_t n[RULES_N_GROUP], cap[RULES_N_GROUP];
	size_t floor[RULES_N_GROUP];	/* lists below are of another repository: silent */
};

/* Who decided.  rule is NULL when nobody had an opinion. */
struct decision {
	const struct rule *rule;
	const char        *file;
};

/* Takes rules over, whatever happens.  ERR_NOMEM. */
int rulestack_push(struct rulestack *s, enum rule_group g, struct rules *rules, size_t base,
		   struct err *e);
void rulestack_pop(struct rulestack *s, enum rule_group g);
void rulestack_release(struct rulestack *s);

/* Ask groups [from, to). */
struct decision rulestack_ask(const struct rulestack *s, enum rule_group from, enum rule_group to,
			      const char *full, size_t n, bool is_dir, bool icase);

#endif
