#include "config.h"

#include "ingest/eval_task.h"
#include "base/buf.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* None of them is a word the model's names were made of in training. */
static const char *const words[] = {
	"amber", "anvil", "apron", "atlas", "bacon", "badge", "basil", "beach", "berry", "birch", "bison", "blaze",
	"bloom", "brass", "bread", "brick", "brook", "cabin", "camel", "candle", "canoe", "canyon", "cedar", "cello",
	"chalk", "cherry", "cliff", "clover", "cobra", "comet", "copper", "coral", "cotton", "crane", "creek", "dahlia",
	"daisy", "desert", "dolphin", "eagle", "ember", "falcon", "fern", "fiddle", "flame", "flute", "forest", "fox",
	"frost", "garden", "garlic", "ginger", "glacier", "goose", "grape", "harbor", "harp", "hazel", "heron", "honey",
	"island", "ivory", "jade", "jasper", "juniper", "kettle", "kite", "ladder", "lagoon", "lantern", "lemon",
	"lilac", "linen", "lion", "lotus", "magnet", "mango", "maple", "marble", "meadow", "melon", "mint", "moose",
	"moss", "nectar", "nickel", "ocean", "olive", "onion", "opal", "orbit", "orchid", "otter", "owl", "panda",
	"pearl", "pepper", "piano", "pine", "planet", "plum", "pollen", "poppy", "prairie", "quartz", "quill",
	"rabbit", "raven", "reef", "ribbon", "river", "robin", "saddle", "sage", "salmon", "sand", "satin", "seal",
	"shell", "silver", "slate", "sparrow", "spruce", "stone", "storm", "sugar", "summit", "swan", "thistle",
	"thunder", "tiger", "timber", "topaz", "trout", "tulip", "tundra", "turtle", "valley", "velvet", "violet",
	"walnut", "whale", "willow", "wolf", "yarrow", "zebra",
};

static const char *const names[EVAL_N_TASK] = {
	"single", "long", "multikey", "multiquery", "multivalue", "variable", "hop", "round", "frequent"
};

const char *eval_task_name(enum eval_task t)
{
	return names[t];
}

int eval_task_find(const char *name, size_t n)
{
	for (int i = 0; i < EVAL_N_TASK; i++)
		if (strlen(names[i]) == n && !memcmp(names[i], name, n))
			return i;
	return -1;
}

uint64_t eval_random(struct eval_rng *r, uint64_t below)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (x ^ x >> 31) % below;
}

void eval_interval(size_t right, size_t of, double *low, double *high)
{
	const double z = 1.959963984540054;
	double n = (double)of, p = n > 0 ? (double)right / n : 0, d, mid, half;

	*low = 0;
	*high = 1;
	if (of == 0)
		return;
	d = 1 + z * z / n;
	mid = (p + z * z / (2 * n)) / d;
	half = z / d * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
	*low = fmax(0, mid - half);
	*high = fmin(1, mid + half);
}

/* ---- names ---- */

/* Names, nodes and values that were given out, so that none comes twice: an open hash of their text. */
struct used {
	char   (*text)[64];
	uint32_t *slot;
	size_t   n, cap, mask;
};

struct maker {
	struct eval_set *out;
	struct eval_rng rng;
	struct used used;
	size_t cap_line;
	struct err *e;
};

static uint64_t hash_of(const char *s)
{
	uint64_t h = 14695981039346656037u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return h;
}

static bool grow(struct used *u)
{
	size_t cap = u->cap ? 2 * u->cap : 1024;
	char (*text)[64] = realloc(u->text, cap * sizeof(*text));
	uint32_t *slot = text ? calloc(2 * cap, sizeof(*slot)) : NULL;

	if (text)
		u->text = text;
	if (!slot)
		return false;
	free(u->slot);
	u->slot = slot;
	u->cap = cap;
	u->mask = 2 * cap - 1;
	for (size_t i = 0; i < u->n; i++) {
		size_t at = hash_of(text[i]) & u->mask;

		while (slot[at])
			at = (at + 1) & u->mask;
		slot[at] = (uint32_t)i + 1;
	}
	return true;
}

/* True when s is new; it is used from now on. */
static int take(struct maker *m, const char *s, bool *is_new)
{
	struct used *u = &m->used;
	size_t at;

	if (u->n == u->cap && !grow(u))
		return err_nomem(m->e);
	at = hash_of(s) & u->mask;
	while (u->slot[at]) {
		if (!strcmp(u->text[u->slot[at] - 1], s)) {
			*is_new = false;
			return 0;
		}
		at = (at + 1) & u->mask;
	}
	snprintf(u->text[u->n], sizeof(u->text[u->n]), "%s", s);
	u->slot[at] = (uint32_t)++u->n;
	*is_new = true;
	return 0;
}

static const char *word(struct maker *m)
{
	return words[eval_random(&m->rng, ARRAY_LEN(words))];
}

static void digits(struct maker *m, int n, char *out)
{
	for (int i = 0; i < n; i++)
		out[i] = (char)('0' + eval_random(&m->rng, 10));
	out[n] = '\0';
}

struct name {
	const char *a, *b;
	unsigned    n;		/* 100 to 999 */
	char        text[64];
};

static void spell(struct name *x)
{
	snprintf(x->text, sizeof(x->text), "%s_%s_%u", x->a, x->b, x->n);
}

/* A new name; with twin, one that differs from it in one place. */
static int new_name(struct maker *m, const struct name *twin, struct name *out)
{
	bool is_new = false;

	while (!is_new) {
		if (twin) {
			uint64_t part = eval_random(&m->rng, 3);

			*out = *twin;
			if (part == 0)
				out->a = word(m);
			else if (part == 1)
				out->b = word(m);
			else
				out->n = 100 + (unsigned)eval_random(&m->rng, 900);
		} else {
			out->a = word(m);
			out->b = word(m);
			out->n = 100 + (unsigned)eval_random(&m->rng, 900);
		}
		spell(out);
		if (take(m, out->text, &is_new))
			return ERR_NOMEM;
	}
	return 0;
}

static int new_node(struct maker *m, char letter, char out[8])
{
	bool is_new = false;

	out[0] = letter;
	while (!is_new) {
		digits(m, 6, out + 1);
		if (take(m, out, &is_new))
			return ERR_NOMEM;
	}
	return 0;
}

/* ---- lines and questions ---- */

static int plant(struct maker *m, const char *key, const char *value)
{
	struct eval_set *s = m->out;
	struct buf b = { 0 };

	if (s->n_line == m->cap_line) {
		size_t cap = m->cap_line ? 2 * m->cap_line : 256;
		char **more = realloc(s->line, cap * sizeof(*more));

		if (!more)
			return err_nomem(m->e);
		s->line = more;
		m->cap_line = cap;
	}
	buf_addf(&b, "%s = %s\n", key, value);
	s->line[s->n_line] = buf_take(&b);
	if (!s->line[s->n_line])
		return err_nomem(m->e);
	s->n_line++;
	return 0;
}

static int turn(struct maker *m, struct eval_question *q, const char *key, const char *gold)
{
	struct eval_turn *t = &q->turn[q->n_turn];
	struct buf b = { 0 };

	buf_addf(&b, "%s =", key);
	t->prompt = buf_take(&b);
	t->gold = strdup(gold);
	q->n_turn++;
	return t->prompt && t->gold ? 0 : err_nomem(m->e);
}

static int ask_value(struct maker *m, struct eval_question *q, int n_digit)
{
	struct name x;
	char v[32];
	int rc = new_name(m, NULL, &x);

	digits(m, n_digit, v);
	if (!rc)
		rc = plant(m, x.text, v);
	return rc ? rc : turn(m, q, x.text, v);
}

static int ask_twins(struct maker *m, struct eval_question *q)
{
	struct name x, y;
	char v[8];
	int rc = new_name(m, NULL, &x);

	digits(m, 6, v);
	if (!rc)
		rc = plant(m, x.text, v);
	if (!rc)
		rc = turn(m, q, x.text, v);
	for (int i = 0; i < 3 && !rc; i++) {
		rc = new_name(m, &x, &y);
		digits(m, 6, v);
		if (!rc)
			rc = plant(m, y.text, v);
	}
	return rc;
}

static int ask_queries(struct maker *m, struct eval_question *q)
{
	int rc = 0;

	for (int i = 0; i < EVAL_MOST_TURN && !rc; i++)
		rc = ask_value(m, q, 6);
	return rc;
}

static int ask_values(struct maker *m, struct eval_question *q)
{
	struct name x;
	char v[EVAL_MOST_TURN][8];
	int rc = new_name(m, NULL, &x);

	for (int i = 0; i < EVAL_MOST_TURN && !rc; i++) {
		bool again = true;

		while (again) {
			digits(m, 6, v[i]);
			again = false;
			for (int j = 0; j < i; j++)
				again |= !strcmp(v[i], v[j]);
		}
		rc = plant(m, x.text, v[i]);
		if (!rc)
			rc = turn(m, q, x.text, v[i]);
	}
	return rc;
}

/* n lines; the last node is a number when letter is 'x'. */
static int ask_chain(struct maker *m, struct eval_question *q, char letter, int n)
{
	char first[8], node[8], next[8];
	struct buf gold = { 0 };
	int rc = new_node(m, letter, first);

	strcpy(node, first);
	for (int i = 0; i < n && !rc; i++) {
		rc = new_node(m, letter, next);
		if (i == n - 1 && letter == 'x')
			memmove(next, next + 1, strlen(next));
		if (!rc)
			rc = plant(m, node, next);
		if (i)
			buf_addf(&gold, "\n%s = ", node);
		buf_adds(&gold, next);
		strcpy(node, next);
	}
	if (!rc && gold.failed)
		rc = err_nomem(m->e);
	if (!rc)
		rc = turn(m, q, first, gold.data);
	buf_release(&gold);
	return rc;
}

static int ask_round(struct maker *m, struct eval_question *q)
{
	struct name x;
	uint64_t asked = eval_random(&m->rng, 4);
	int rc = new_name(m, NULL, &x);

	for (unsigned i = 0; i < 4 && !rc; i++) {
		char key[64], v[64];

		snprintf(key, sizeof(key), "%s_%s round %u", x.a, x.b, i + 1);
		snprintf(v, sizeof(v), "%s %s %s", word(m), word(m), word(m));
		rc = plant(m, key, v);
		if (!rc && i == asked)
			rc = turn(m, q, key, v);
	}
	return rc;
}

static int ask_frequent(struct maker *m, struct eval_question *q, size_t n)
{
	struct name x;
	char v[8];
	size_t left = n;
	int rc = new_name(m, NULL, &x);

	for (size_t share = (n + 1) / 2; left && !rc; share = MAX(share / 2, (size_t)1)) {
		digits(m, 6, v);
		if (left == n)
			rc = turn(m, q, x.text, v);
		for (size_t i = 0; i < share && left && !rc; i++, left--)
			rc = plant(m, x.text, v);
	}
	return rc;
}

static int ask(struct maker *m, struct eval_question *q, size_t n_frequent)
{
	switch (q->task) {
	case EVAL_SINGLE:     return ask_value(m, q, 6);
	case EVAL_LONG:       return ask_value(m, q, 24);
	case EVAL_MULTIKEY:   return ask_twins(m, q);
	case EVAL_MULTIQUERY: return ask_queries(m, q);
	case EVAL_MULTIVALUE: return ask_values(m, q);
	case EVAL_VARIABLE:   return ask_chain(m, q, 'x', 3);
	case EVAL_HOP:        return ask_chain(m, q, 'h', 4);
	case EVAL_ROUND:      return ask_round(m, q);
	case EVAL_FREQUENT:   return ask_frequent(m, q, n_frequent);
	}
	return 0;
}

int eval_set_make(struct eval_set *out, unsigned tasks, size_t n, size_t n_frequent, uint64_t seed, struct err *e)
{
	struct maker m = { .out = out, .rng = { seed }, .e = e };
	int rc = 0;

	*out = (struct eval_set){ 0 };
	out->question = calloc(EVAL_N_TASK * n + 1, sizeof(*out->question));
	if (!out->question)
		return err_nomem(e);
	for (int t = 0; t < EVAL_N_TASK; t++) {
		size_t of = t == EVAL_FREQUENT ? MIN(n, (size_t)4) : n;

		for (size_t i = 0; tasks >> t & 1 && i < of && !rc; i++) {
			out->question[out->n].task = (enum eval_task)t;
			rc = ask(&m, &out->question[out->n++], n_frequent);
		}
	}
	for (size_t i = out->n_line; i > 1; i--) {
		size_t j = (size_t)eval_random(&m.rng, i);
		char *x = out->line[i - 1];

		out->line[i - 1] = out->line[j];
		out->line[j] = x;
	}
	free(m.used.text);
	free(m.used.slot);
	if (rc)
		eval_set_release(out);
	return rc;
}

void eval_set_release(struct eval_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t j = 0; j < s->question[i].n_turn; j++) {
			free(s->question[i].turn[j].prompt);
			free(s->question[i].turn[j].gold);
		}
	for (size_t i = 0; i < s->n_line; i++)
		free(s->line[i]);
	free(s->question);
	free(s->line);
	*s = (struct eval_set){ 0 };
}

bool eval_right(const struct eval_question *q, char *const said[EVAL_MOST_TURN])
{
	bool taken[EVAL_MOST_TURN] = { false };

	for (size_t i = 0; i < q->n_turn; i++) {
		size_t j = i, end = i + 1;

		if (q->task == EVAL_MULTIVALUE) {
			j = 0;
			end = q->n_turn;
		}
		while (j < end && (taken[j] || strcmp(said[i], q->turn[j].gold)))
			j++;
		if (j == end)
			return false;
		taken[j] = true;
	}
	return true;
}
