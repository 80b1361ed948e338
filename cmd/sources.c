#include "config.h"

#include "cmd/sources.h"

#include "base/buf.h"
#include "base/size.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gather {
	struct picks *out;
	struct err   *e;
};

static int gather_source(void *ctx, const struct cat_source *s)
{
	struct gather *g = ctx;
	struct picked *v = realloc(g->out->v, (g->out->n + 1) * sizeof(*v)), *p;

	if (!v)
		return ERR_NOMEM;
	g->out->v = v;
	p = &v[g->out->n++];
	*p = (struct picked){ .source = s->id, .snapshot = s->newest, .made = s->made };
	snprintf(p->kind, sizeof(p->kind), "%s", s->kind);
	p->name = strdup(s->name);
	p->origin = strdup(s->origin);
	return p->name && p->origin ? 0 : ERR_NOMEM;
}

static int cmp_picks(const void *a, const void *b)
{
	return strcmp(((const struct picked *)a)->name, ((const struct picked *)b)->name);
}

/* Details of p->snapshot; an open one where there is no other. */
static int fill_snapshot(struct catalog *c, struct picked *p, struct err *e)
{
	struct cat_snapshot s;
	int rc = 0;

	if (!p->snapshot)
		rc = cat_snapshot_open(c, p->source, &p->snapshot, e);
	if (rc == ERR_NOTFOUND) {
		p->snapshot = 0;
		return 0;
	}
	if (!rc)
		rc = cat_snapshot(c, p->snapshot, &s, e);
	if (rc)
		return rc;
	p->complete = s.complete;
	p->made = s.made;
	memcpy(p->rev, s.rev, sizeof(p->rev));
	if (s.complete)
		id_hex(&s.hash, p->hash);
	return 0;
}

static int all_sources(struct catalog *c, struct picks *out, struct err *e)
{
	struct gather g = { out, e };
	size_t i;
	int rc = cat_sources(c, gather_source, &g, e);

	if (rc == ERR_NOMEM)
		err_nomem(e);
	if (!rc && out->n)
		qsort(out->v, out->n, sizeof(*out->v), cmp_picks);
	for (i = 0; i < out->n && !rc; i++)
		rc = fill_snapshot(c, &out->v[i], e);
	return rc;
}

static int no_source(const struct picks *all, const char *name, struct err *e)
{
	const char **names = calloc(all->n + 1, sizeof(*names)), *near;
	size_t i;

	for (i = 0; names && i < all->n; i++)
		names[i] = all->v[i].name;
	near = names ? suggest(name, names, all->n) : NULL;
	err_set(e, ERR_NOTFOUND, "there is no source '%s'", name);
	if (near)
		err_hint(e, ERR_NOTFOUND, "did you mean '%s'?", near);
	else
		err_hint(e, ERR_NOTFOUND, "'folio ls' prints the sources");
	free(names);
	return ERR_NOTFOUND;
}

/* A copy of one of `all`, at another snapshot when spec says so. */
static int pick_one(struct catalog *c, const struct picks *all, const char *spec, struct picks *out,
		    struct err *e)
{
	const char *at = strrchr(spec, '@');
	struct picked *p = NULL, *q;
	size_t i;
	int rc = 0;

	for (i = 0; i < all->n && !p; i++)	/* a name may hold an @ itself */
		if (!strcmp(all->v[i].name, spec))
			p = &all->v[i], at = NULL;
	for (i = 0; i < all->n && !p && at; i++)
		if (strlen(all->v[i].name) == (size_t)(at - spec) &&
		    !strncmp(all->v[i].name, spec, (size_t)(at - spec)))
			p = &all->v[i];
	if (!p)
		return no_source(all, spec, e);
	q = &out->v[out->n];
	*q = *p;
	q->name = strdup(p->name);
	q->origin = strdup(p->origin);
	out->n++;
	if (!q->name || !q->origin)
		return err_nomem(e);
	if (at) {
		rc = cat_snapshot_find(c, q->name, at + 1, &q->snapshot, e);
		if (!rc)
			rc = fill_snapshot(c, q, e);
	}
	return rc;
}

int sources_pick(struct catalog *c, const struct strs *want, struct picks *out, struct err *e)
{
	struct picks all = { 0 };
	size_t i;
	int rc = all_sources(c, &all, e);

	*out = (struct picks){ 0 };
	if (!rc && (!want || !want->n)) {
		*out = all;
		return 0;
	}
	if (!rc) {
		out->v = calloc(want->n, sizeof(*out->v));
		if (!out->v)
			rc = err_nomem(e);
	}
	for (i = 0; !rc && i < want->n; i++)
		rc = pick_one(c, &all, want->v[i], out, e);
	picks_release(&all);
	if (rc)
		picks_release(out);
	return rc;
}

void picks_release(struct picks *p)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		free(p->v[i].name);
		free(p->v[i].origin);
	}
	free(p->v);
	*p = (struct picks){ 0 };
}

/* --- one file --- */

static int keep_entry(void *ctx, const struct cat_entry *en)
{
	struct found *f = ctx;

	f->entry = *en;
	f->entry.reason = "";
	return 0;
}

/* Look for path in one snapshot.  ERR_NOTFOUND. */
static int look_in(struct catalog *c, const struct picked *p, const char *path, struct found *f,
		   struct err *e)
{
	int rc;

	if (!p->snapshot)
		return ERR_NOTFOUND;
	rc = cat_entry(c, p->snapshot, path, strlen(path), keep_entry, f, e);
	if (rc)
		return rc;
	free(f->path);
	free(f->source);
	f->path = strdup(path);
	f->source = strdup(p->name);
	f->entry.path = f->path;
	f->snapshot = p->snapshot;
	memcpy(f->hash, p->hash, sizeof(f->hash));
	return f->path && f->source ? 0 : err_nomem(e);
}

/* "SOURCE/PATH" or "SOURCE@SNAP/PATH": the source's name ends at one of the slashes. */
static int look_named(struct catalog *c, const char *arg, struct found *f, struct err *e)
{
	const char *slash;
	int rc = ERR_NOTFOUND;

	for (slash = strchr(arg, '/'); slash && rc == ERR_NOTFOUND; slash = strchr(slash + 1, '/')) {
		char *name = strndup(arg, (size_t)(slash - arg));
		const char *names[] = { name };
		struct strs want = { names, 1 };
		struct picks one;

		if (!name)
			return err_nomem(e);
		rc = sources_pick(c, &want, &one, e);
		if (!rc) {
			rc = look_in(c, &one.v[0], slash + 1, f, e);
			picks_release(&one);
		}
		free(name);
	}
	return rc;
}

static int look_anywhere(struct catalog *c, const char *path, struct found *f, struct err *e)
{
	struct picks all;
	struct buf who = { 0 };
	size_t i, n = 0;
	int rc = sources_pick(c, NULL, &all, e);

	for (i = 0; !rc && i < all.n; i++) {
		int one = look_in(c, &all.v[i], path, f, e);

		if (!one)
			buf_addf(&who, "%s%s/%s", n++ ? ", " : "", all.v[i].name, path);
		else if (one != ERR_NOTFOUND)
			rc = one;
	}
	if (!rc && !n)
		rc = ERR_NOTFOUND;
	if (!rc && n > 1) {
		err_set(e, ERR_INVALID, "%zu sources have '%s'", n, path);
		rc = err_hint(e, ERR_INVALID, "give one of: %.200s", who.data ? who.data : "");
	}
	buf_release(&who);
	picks_release(&all);
	return rc;
}

static bool is_number(const char *s, const char *end, uint64_t *out)
{
	if (s == end)
		return false;
	for (*out = 0; s < end; s++) {
		if (!isdigit((unsigned char)*s) || *out > UINT32_MAX)
			return false;
		*out = *out * 10 + (uint64_t)(*s - '0');
	}
	return true;
}

/* Cut ":A-B" off path. */
static bool cut_lines(char *path, uint64_t *first, uint64_t *last)
{
	char *colon = strrchr(path, ':'), *dash, *end;

	if (!colon)
		return false;
	end = colon + strlen(colon);
	dash = strchr(colon, '-');
	if (!is_number(colon + 1, dash ? dash : end, first) || !*first)
		return false;
	*last = *first;
	if (dash && (!is_number(dash + 1, end, last) || *last < *first))
		return false;
	*colon = 0;
	return true;
}

int sources_file(struct catalog *c, const char *arg, struct found *out, struct err *e)
{
	char *path = strdup(arg);
	uint64_t first = 0, last = 0;
	int rc, round;

	*out = (struct found){ 0 };
	if (!path)
		return err_nomem(e);
	/* The whole argument first: a name may end in ":12". */
	for (round = 0, rc = ERR_NOTFOUND; round < 2 && rc == ERR_NOTFOUND; round++) {
		if (round && !cut_lines(path, &first, &last))
			break;
		rc = look_anywhere(c, path, out, e);
		if (rc == ERR_NOTFOUND)
			rc = look_named(c, path, out, e);
	}
	free(path);
	if (rc == ERR_NOTFOUND) {
		err_set(e, rc, "no source has a file '%s'", arg);
		err_hint(e, rc, "'folio ls SOURCE' prints what there is");
	}
	out->first = first;
	out->last = last;
	if (rc)
		found_release(out);
	return rc;
}

void found_release(struct found *f)
{
	free(f->path);
	free(f->source);
	*f = (struct found){ 0 };
}

static int last_engine(void *ctx, const struct cat_engine *en)
{
	if (en->id > *(int64_t *)ctx)
		*(int64_t *)ctx = en->id;
	return 0;
}

bool sources_engine(struct catalog *c, int64_t *engine, enum cat_mode *mode)
{
	*engine = 0;
	*mode = CAT_ISOLATED;
	return !cat_engines(c, last_engine, engine, NULL) && *engine;
}
