#include "config.h"

#include "cmd/opt.h"

#include "base/size.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *field(const struct opt *o, void *base)
{
	return (char *)base + o->at;
}

static bool takes_value(const struct opt *o)
{
	return o->kind != OPT_FLAG && o->kind != OPT_COUNT && o->kind != OPT_OPTSTR;
}

/* --- reading one value --- */

bool opt_read_int(const char *s, int64_t *out)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(s, &end, 10);
	if (end == s || *end || errno || v < 0 || *s == '+' || *s == ' ')
		return false;
	*out = v;
	return true;
}

bool opt_read_size(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	char *end;
	double v;
	const char *u;
	int shift = 0;

	errno = 0;
	v = strtod(s, &end);
	if (end == s || errno || !(v >= 0) || *s < '.' || *s > '9')
		return false;
	if (*end) {
		u = strchr(units, *end & ~0x20);
		if (u && *u) {
			shift = 10 * (int)(u - units + 1);
			end++;
			if (*end == 'i')
				end++;
		}
		if (*end == 'B' || *end == 'b')
			end++;
		if (*end)
			return false;
	}
	v = ldexp(v, shift);
	if (v >= 0x1p63)
		return false;
	*out = (uint64_t)v;
	return true;
}

bool opt_read_real(const char *s, double *out)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(s, &end);
	if (end == s || *end || errno || !isfinite(v) || *s == ' ')
		return false;
	*out = v;
	return true;
}

/* Place of word in "a|b|c", -1 when it is none of them. */
static int word_place(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (int i = 0;; i++) {
		size_t len = strcspn(words, "|");

		if (len == n && !memcmp(words, word, n))
			return i;
		if (!words[len])
			return -1;
		words += len + 1;
	}
}

/* git-config's spellings. */
static bool read_bool(const char *s, bool *out)
{
	static const char *const yes[] = { "true", "yes", "on", "1" };
	static const char *const no[] = { "false", "no", "off", "0", "" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!strcmp(s, yes[i]))
			return *out = true;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (!strcmp(s, no[i])) {
			*out = false;
			return true;
		}
	return false;
}

static const char *wanted(enum opt_kind kind)
{
	switch (kind) {
	case OPT_FLAG: return "true or false";
	case OPT_COUNT:
	case OPT_INT: return "a whole number";
	case OPT_SIZE: return "a size such as 800K or 2G";
	case OPT_REAL: return "a number";
	default: return "another word";
	}
}

/* Store value in o's field; what names the place it came from: "--name", "FOLIO_X". */
static int put(const struct opt *o, void *base, const char *value, const char *what, struct err *e)
{
	void *p = field(o, base);
	bool good = true;
	int64_t count;
	struct strs *l;
	const char **v;

	switch (o->kind) {
	case OPT_FLAG:
		good = read_bool(value, p);
		break;
	case OPT_COUNT:
		good = opt_read_int(value, &count) && count < 100;
		if (good)
			*(int *)p = (int)count;
		break;
	case OPT_STR:
	case OPT_OPTSTR:
		*(const char **)p = value;
		break;
	case OPT_LIST:
		l = p;
		v = realloc(l->v, (l->n + 1) * sizeof(*v));
		if (!v)
			return err_nomem(e);
		l->v = v;
		l->v[l->n++] = value;
		break;
	case OPT_INT:
		good = opt_read_int(value, p);
		break;
	case OPT_SIZE:
		good = opt_read_size(value, p);
		break;
	case OPT_REAL:
		good = opt_read_real(value, p);
		break;
	case OPT_ENUM:
		count = word_place(o->arg, value);
		if (count < 0)
			return err_set(e, ERR_INVALID, "%s wants %s, not '%s'", what, o->arg, value);
		*(int *)p = (int)count;
		break;
	case OPT_NONE:
		break;
	}
	if (!good)
		return err_set(e, ERR_INVALID, "%s wants %s, not '%s'", what, wanted(o->kind), value);
	return 0;
}

/* --- defaults --- */

static void put_nothing(const struct opt *o, void *base)
{
	void *p = field(o, base);

	if (o->kind == OPT_INT)
		*(int64_t *)p = -1;
	else if (o->kind == OPT_REAL)
		*(double *)p = NAN;
}

int opt_defaults(const struct opt *t, void *out, opt_lookup_fn *get, void *get_arg, struct err *e)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		const char *v = o->env ? getenv(o->env) : NULL, *what = o->env;
		int rc = 0;

		put_nothing(o, out);
		if (v && !*v)
			v = NULL;	/* an empty variable is no value */
		if (!v && o->key && get) {
			v = get(get_arg, o->key);
			what = o->key;
		}
		if (!v) {
			v = o->def;
			what = o->name;
		}
		if (v)
			rc = put(o, out, v, what, e);
		if (rc)
			return rc;
	}
	return 0;
}

void opt_release(const struct opt *t, void *out)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		struct strs *l = field(o, out);

		if (o->kind != OPT_LIST)
			continue;
		free(l->v);
		*l = (struct strs){ 0 };
	}
}

/* --- the command line --- */

const struct opt *opt_find(const struct opt *t, const char *name, size_t n)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++)
		if (strlen(o->name) == n && !memcmp(o->name, name, n))
			return o;
	return NULL;
}

const struct opt *opt_find_letter(const struct opt *t, char letter)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

struct parse {
	const struct opt *own, *global;
	void *own_out, *global_out;
	int argc, i;
	char **argv;
	/* Lists given on the command line replace those from env and configuration. */
	const struct opt *fresh[64];
	size_t n_fresh;
};

static const struct opt *look(struct parse *p, const char *name, size_t n, void **out)
{
	const struct opt *o = opt_find(p->own, name, n);

	*out = p->own_out;
	if (o)
		return o;
	*out = p->global_out;
	return opt_find(p->global, name, n);
}

static const struct opt *look_letter(struct parse *p, char letter, void **out)
{
	const struct opt *o = opt_find_letter(p->own, letter);

	*out = p->own_out;
	if (o)
		return o;
	*out = p->global_out;
	return opt_find_letter(p->global, letter);
}

static int unknown_long(const struct parse *p, const char *name, size_t n, struct err *e)
{
	const char *words[256], *near;
	char typed[64];
	size_t k = 0;

	snprintf(typed, sizeof(typed), "%.*s", (int)MIN(n, (size_t)60), name);
	for (const struct opt *o = p->own; o && o->kind != OPT_NONE && k < 128; o++)
		if (!o->hidden)
			words[k++] = o->name;
	for (const struct opt *o = p->global; o && o->kind != OPT_NONE && k < 256; o++)
		if (!o->hidden)
			words[k++] = o->name;
	err_set(e, ERR_INVALID, "unknown option '--%s'", typed);
	near = suggest(typed, words, k);
	return near ? err_hint(e, ERR_INVALID, "did you mean '--%s'?", near) : ERR_INVALID;
}

static int store(struct parse *p, const struct opt *o, void *out, const char *value,
		 const char *what, struct err *e)
{
	size_t i;

	if (o->kind == OPT_FLAG) {
		*(bool *)field(o, out) = true;
		return 0;
	}
	if (o->kind == OPT_COUNT) {
		++*(int *)field(o, out);
		return 0;
	}
	if (o->kind == OPT_LIST) {
		for (i = 0; i < p->n_fresh && p->fresh[i] != o; i++)
			;
		if (i == p->n_fresh && i < ARRAY_LEN(p->fresh)) {
			((struct strs *)field(o, out))->n = 0;
			p->fresh[p->n_fresh++] = o;
		}
	}
	return put(o, out, value ? value : "", what, e);
}

static int no_value(const char *what, const struct opt *o, struct err *e)
{
	err_set(e, ERR_INVALID, "%s wants a value: %s", what, o->arg);
	return ERR_INVALID;
}

static int long_option(struct parse *p, const char *s, struct err *e)
{
	size_t n = strcspn(s, "=");
	const char *value = s[n] ? s + n + 1 : NULL;
	const struct opt *o;
	char what[80];
	void *out;

	o = look(p, s, n, &out);
	if (!o)
		return unknown_long(p, s, n, e);
	snprintf(what, sizeof(what), "--%s", o->name);
	if (value && (o->kind == OPT_FLAG || o->kind == OPT_COUNT))
		return err_set(e, ERR_INVALID, "%s takes no value, got '%.100s'", what, value);
	if (!value && takes_value(o)) {
		if (p->i + 1 >= p->argc)
			return no_value(what, o, e);
		value = p->argv[++p->i];
	}
	return store(p, o, out, value, what, e);
}

static int short_options(struct parse *p, const char *s, struct err *e)
{
	for (; *s; s++) {
		const char *value = NULL;
		const struct opt *o;
		char what[4] = { '-', *s, '\0' };
		void *out;
		int rc;

		o = look_letter(p, *s, &out);
		if (!o)
			return err_set(e, ERR_INVALID, "unknown option '-%c'", *s);
		if (takes_value(o)) {
			if (s[1])
				value = s + 1;
			else if (p->i + 1 >= p->argc)
				return no_value(what, o, e);
			else
				value = p->argv[++p->i];
		}
		rc = store(p, o, out, value, what, e);
		if (rc || value)
			return rc;
	}
	return 0;
}

int opt_parse(const struct opt *own, void *own_out, const struct opt *global, void *global_out,
	      int argc, char **argv, bool stop_at_first, int *n_args, struct err *e)
{
	struct parse p = { own, global, own_out, global_out, argc, 0, argv, { NULL }, 0 };
	int n = 0;

	for (p.i = 0; p.i < argc; p.i++) {
		char *a = argv[p.i];
		int rc = 0;

		if (!strcmp(a, "--")) {
			while (++p.i < argc)
				argv[n++] = argv[p.i];
		} else if (a[0] == '-' && a[1] == '-') {
			rc = long_option(&p, a + 2, e);
		} else if (a[0] == '-' && a[1]) {
			rc = short_options(&p, a + 1, e);
		} else if (stop_at_first) {
			while (p.i < argc)
				argv[n++] = argv[p.i++];
		} else {
			argv[n++] = a;
		}
		if (rc)
			return rc;
	}
	*n_args = n;
	return 0;
}

void opt_show(const struct opt *o, const void *base, char *out, size_t n)
{
	const void *p = (const char *)base + o->at;
	const char *s, *words = o->arg;
	size_t len = 0;

	out[0] = '\0';
	switch (o->kind) {
	case OPT_FLAG:
		snprintf(out, n, "%s", *(const bool *)p ? "true" : "false");
		break;
	case OPT_COUNT:
		snprintf(out, n, "%d", *(const int *)p);
		break;
	case OPT_STR:
	case OPT_OPTSTR:
		s = *(const char *const *)p;
		snprintf(out, n, "%s", s ? s : "");
		break;
	case OPT_LIST:
		for (size_t i = 0; i < ((const struct strs *)p)->n && len < n; i++)
			len += (size_t)snprintf(out + len, n - len, "%s%s", i ? " " : "",
						((const struct strs *)p)->v[i]);
		break;
	case OPT_INT:
		if (*(const int64_t *)p >= 0)
			snprintf(out, n, "%lld", (long long)*(const int64_t *)p);
		break;
	case OPT_SIZE:
		snprintf(out, n, "%llu", (unsigned long long)*(const uint64_t *)p);
		break;
	case OPT_REAL:
		if (!isnan(*(const double *)p))
			snprintf(out, n, "%g", *(const double *)p);
		break;
	case OPT_ENUM:
		for (int i = *(const int *)p; i > 0; i--)
			words += strcspn(words, "|") + 1;
		snprintf(out, n, "%.*s", (int)strcspn(words, "|"), words);
		break;
	case OPT_NONE:
		break;
	}
}
