#include "config.h"

#include "engine/heads.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#define HEADS_VERSION 1
#define FILE_MAX      (1u << 20)

bool heads_possible(const struct plan *p)
{
	return p->n_far == p->n_layer && !plan_is_irope(p) && p->qk_norm == PLAN_QK_NONE;
}

/* ---- lists ---- */

static int by_pair(const void *a, const void *b)
{
	const struct spanidx_pair *x = a, *y = b;

	if (x->far_layer != y->far_layer)
		return x->far_layer < y->far_layer ? -1 : 1;
	return x->head < y->head ? -1 : x->head > y->head;
}

static int by_head(const void *a, const void *b)
{
	const struct head *x = a, *y = b;

	if (x->far_layer != y->far_layer)
		return x->far_layer < y->far_layer ? -1 : 1;
	return x->head < y->head ? -1 : x->head > y->head;
}

static struct spanidx_pair pair_of(const struct plan *p, const struct head *h)
{
	return (struct spanidx_pair){ h->far_layer, h->head / (p->n_head / p->n_head_kv) };
}

int heads_set(struct heads *out, const struct plan *p, const struct head *head, uint32_t n, struct err *e)
{
	struct spanidx_pair key, *found;
	uint32_t m = 0;

	*out = (struct heads){ 0 };
	if (!n)
		return err_set(e, ERR_INVALID, "a profile without heads");
	for (uint32_t i = 0; i < n; i++) {
		if (head[i].far_layer >= p->n_far || head[i].head >= p->n_head)
			return err_set(e, ERR_INVALID, "there is no head %u in far layer %u", head[i].head,
				       head[i].far_layer);
		for (uint32_t j = 0; j < i; j++)
			if (head[i].far_layer == head[j].far_layer && head[i].head == head[j].head)
				return err_set(e, ERR_INVALID, "head %u of far layer %u is there twice",
					       head[i].head, head[i].far_layer);
	}
	out->head = calloc(n, sizeof(*out->head));
	out->pair_of = calloc(n, sizeof(*out->pair_of));
	out->pair = calloc(n, sizeof(*out->pair));
	if (!out->head || !out->pair_of || !out->pair)
		return err_nomem(e);
	memcpy(out->head, head, n * sizeof(*head));
	qsort(out->head, n, sizeof(*head), by_head);
	out->n = n;
	for (uint32_t i = 0; i < n; i++)
		out->pair[i] = pair_of(p, &out->head[i]);
	qsort(out->pair, n, sizeof(*out->pair), by_pair);
	for (uint32_t i = 0; i < n; i++)
		if (!m || by_pair(&out->pair[m - 1], &out->pair[i]))
			out->pair[m++] = out->pair[i];
	out->n_pair = m;
	for (uint32_t i = 0; i < n; i++) {
		key = pair_of(p, &out->head[i]);
		found = bsearch(&key, out->pair, m, sizeof(key), by_pair);
		out->pair_of[i] = (uint32_t)(found - out->pair);
	}
	return 0;
}

void heads_release(struct heads *h)
{
	free(h->head);
	free(h->pair_of);
	free(h->pair);
	*h = (struct heads){ 0 };
}

/* ---- text ---- */

struct reading {
	const char *name;
	unsigned    line;
	bool        version, model, text;
	struct id   id;
	double      weight;
	struct head *head;
	uint32_t    n;
};

static int bad(const struct reading *r, const char *what, struct err *e)
{
	err_set(e, ERR_INVALID, "%s, line %u: %s", r->name, r->line, what);
	return err_hint(e, ERR_INVALID, "remove the file, or make it anew with 'folio model calibrate'");
}

static bool number(const char **s, uint32_t *out)
{
	char *end;
	unsigned long v;

	while (**s == ' ')
		++*s;
	if (**s < '0' || **s > '9')
		return false;
	v = strtoul(*s, &end, 10);
	*s = end;
	*out = (uint32_t)v;
	return v <= UINT16_MAX;
}

static int read_line(struct reading *r, const char *s, struct err *e)
{
	uint32_t version;
	char *end;

	if (!*s || *s == '#')
		return 0;
	if (!r->version) {
		if (strncmp(s, "folio heads ", 12) || (s += 12, !number(&s, &version)) || *s || !version)
			return bad(r, "a profile begins with 'folio heads 1'", e);
		if (version > HEADS_VERSION)
			return err_set(e, ERR_NEWER, "%s has format version %u, this program knows %d",
				       r->name, version, HEADS_VERSION);
		r->version = true;
		return 0;
	}
	if (!strncmp(s, "model ", 6)) {
		if (r->model || strlen(s + 6) != 64 || !id_parse(s + 6, &r->id))
			return bad(r, "'model' wants 64 hex digits, once", e);
		r->model = true;
		return 0;
	}
	if (!strncmp(s, "text ", 5)) {
		r->weight = strtod(s + 5, &end);
		if (r->text || end == s + 5 || *end || !(r->weight >= 0 && r->weight <= 1000))
			return bad(r, "'text' wants a weight from 0 to 1000, once", e);
		r->text = true;
		return 0;
	}
	if (strncmp(s, "head ", 5))
		return bad(r, "neither 'model', 'text' nor 'head'", e);
	s += 5;
	if (r->n >= SPANIDX_MAX_PAIR)
		return bad(r, "too many heads", e);
	if (!number(&s, &r->head[r->n].far_layer) || !number(&s, &r->head[r->n].head) || *s)
		return bad(r, "'head' wants the numbers of a far layer and of a head", e);
	r->n++;
	return 0;
}

int heads_parse(struct heads *out, const struct plan *p, const char *text, size_t n, const char *name,
		struct err *e)
{
	struct reading r = { .name = name, .head = calloc(SPANIDX_MAX_PAIR, sizeof(*r.head)) };
	char line[256];
	size_t at = 0;
	int rc = r.head ? 0 : err_nomem(e);

	*out = (struct heads){ 0 };
	while (!rc && at < n) {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t len = nl ? (size_t)(nl - text) - at : n - at;

		r.line++;
		if (len >= sizeof(line) || memchr(text + at, '\0', len)) {
			rc = bad(&r, "not a line of a profile", e);
			break;
		}
		memcpy(line, text + at, len);
		line[len] = '\0';
		rc = read_line(&r, line, e);
		at += len + 1;
	}
	if (!rc && (!r.version || !r.model || !r.text || !r.n))
		rc = bad(&r, "it ends without a version, a model, a weight of text or a head", e);
	if (!rc)
		rc = heads_set(out, p, r.head, r.n, e);
	out->model = r.id;
	out->text = r.weight;
	free(r.head);
	return rc;
}

void heads_print(const struct heads *h, struct buf *out)
{
	char hex[65];

	id_hex(&h->model, hex);
	buf_addf(out, "folio heads %d\nmodel %s\ntext %g\n", HEADS_VERSION, hex, h->text);
	for (uint32_t i = 0; i < h->n; i++)
		buf_addf(out, "head %u %u\n", h->head[i].far_layer, h->head[i].head);
}

/* ---- files ---- */

char *heads_path(const struct model *m)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s.heads", gguf_path(m->gguf));
	return buf_take(&b);
}

static int from_file(struct heads *out, const struct model *m, const struct id *id, struct err *e)
{
	char *path = heads_path(m);
	struct buf text = { 0 };
	int rc = path ? file_read(&text, path, FILE_MAX, e) : err_nomem(e);

	if (!rc)
		rc = heads_parse(out, &m->plan, text.data ? text.data : "", text.len, path, e);
	if (!rc && !id_eq(&out->model, id)) {
		err_set(e, ERR_MISMATCH, "'%s' was made for other weights", path);
		rc = err_hint(e, ERR_MISMATCH, "remove it, or make it anew with 'folio model calibrate'");
	}
	buf_release(&text);
	free(path);
	return rc;
}

int heads_find(struct heads *out, const struct model *m, struct err *e)
{
	struct id id;
	int rc;

	model_id(m, &id);
	rc = from_file(out, m, &id, e);
	if (rc != ERR_NOTFOUND)
		return rc;
	for (size_t i = 0; heads_known[i]; i++) {
		/* Another model's list may name heads that this one does not have. */
		rc = heads_parse(out, &m->plan, heads_known[i], strlen(heads_known[i]), "a profile", NULL);
		if (!rc && id_eq(&out->model, &id))
			return 0;
		heads_release(out);
	}
	return err_set(e, ERR_NOTFOUND, "no retrieval heads are known of '%s'", m->plan.name);
}

int heads_write(const struct heads *h, const struct model *m, struct err *e)
{
	char *path = heads_path(m);
	struct buf b = { 0 };
	int rc;

	heads_print(h, &b);
	rc = path && !b.failed ? file_write_atomic(path, b.data, b.len, e) : err_nomem(e);
	buf_release(&b);
	free(path);
	return rc;
}
