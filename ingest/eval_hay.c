#include "config.h"

#include "ingest/eval_hay.h"
#include "ingest/eval_task.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/size.h"
#include "base/stop.h"
#include "base/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LEAST_BYTES 1024
#define MOST_BYTES  (256 << 10)
#define MOST_DEPTH  32

struct paths {
	char **v;
	size_t n, cap;
};

static int add_path(struct paths *p, const char *path, struct err *e)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 1024;
		char **more = realloc(p->v, cap * sizeof(*more));

		if (!more)
			return err_nomem(e);
		p->v = more;
		p->cap = cap;
	}
	p->v[p->n] = strdup(path);
	return p->v[p->n] ? (p->n++, 0) : err_nomem(e);
}

/* Folders that cannot be opened are passed over, links not followed: neither is ours to complain about
 * in a tree of somebody else's files. */
static int collect(struct paths *p, const char *path, int depth, struct err *e)
{
	struct stat st;
	struct dirent *f;
	DIR *d;
	int rc = 0;

	if (lstat(path, &st))
		return depth ? 0 : err_set(e, ERR_NOTFOUND, "cannot read '%s': %s", path, strerror(errno));
	if (S_ISREG(st.st_mode))
		return st.st_size >= LEAST_BYTES && st.st_size <= MOST_BYTES ? add_path(p, path, e) : 0;
	if (!S_ISDIR(st.st_mode) || depth == MOST_DEPTH || !(d = opendir(path)))
		return 0;
	while (!rc && (f = readdir(d))) {
		char *sub;

		if (f->d_name[0] == '.')
			continue;
		sub = path_join(path, f->d_name);
		rc = sub ? collect(p, sub, depth + 1, e) : err_nomem(e);
		free(sub);
	}
	closedir(d);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void shuffle(struct paths *p, struct eval_rng *r)
{
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), by_name);
	for (size_t i = p->n; i > 1; i--) {
		size_t j = (size_t)eval_random(r, i);
		char *x = p->v[i - 1];

		p->v[i - 1] = p->v[j];
		p->v[j] = x;
	}
}

static bool is_text(const struct buf *b)
{
	return b->len && !memchr(b->data, 0, b->len) && utf8_check(b->data, b->len) == b->len;
}

/* Keep whole lines of b up to about n tokens. */
static int cut_to(struct buf *b, uint64_t n, const struct tok *tok, struct err *e)
{
	size_t low = 0, high = b->len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const char *nl = memchr(b->data + mid, '\n', b->len - mid);	/* the last byte is one */
		size_t end = (size_t)(nl - b->data) + 1;
		uint64_t count;

		if (tok_count(tok, b->data, end, &count, e))
			return ERR_NOMEM;
		if (count > n)
			high = mid;
		else
			low = end;
	}
	b->len = low;
	b->data[low] = '\0';
	return 0;
}

struct doc {
	struct buf text;
	size_t n_line;
};

/* Texts that together hold n tokens. */
static int choose(struct paths *p, uint64_t n, const struct tok *tok, struct doc **doc, size_t *n_doc, uint64_t *got,
		  struct err *e)
{
	int rc = 0;

	*doc = calloc(p->n + 1, sizeof(**doc));
	*n_doc = 0;
	*got = 0;
	if (!*doc)
		return err_nomem(e);
	for (size_t i = 0; i < p->n && *got < n && !rc; i++) {
		struct doc *d = &(*doc)[*n_doc];
		uint64_t count = 0;

		if (stop_requested())
			return err_set(e, ERR_INTR, "interrupted while gathering text");
		buf_clear(&d->text);
		if (file_read(&d->text, p->v[i], MOST_BYTES, NULL) || !is_text(&d->text))
			continue;
		if (d->text.data[d->text.len - 1] != '\n')
			buf_addc(&d->text, '\n');
		rc = d->text.failed ? err_nomem(e) : tok_count(tok, d->text.data, d->text.len, &count, e);
		if (!rc && *got + count > n) {
			rc = cut_to(&d->text, n - *got, tok, e);
			count = n - *got;
		}
		for (size_t j = 0; j < d->text.len; j++)
			d->n_line += d->text.data[j] == '\n';
		*got += count;
		++*n_doc;
	}
	return rc;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* One document: its lines, and before line number at[k] of all text the planted line k. */
static int write_doc(const char *dir, size_t number, const struct doc *d, uint64_t first, const uint64_t *at,
		     char *const *line, size_t n_line, size_t *k, uint64_t *bytes, struct err *e)
{
	struct buf out = { 0 };
	char name[32], *path;
	const char *s = d->text.data, *end = s + d->text.len;
	FILE *f;
	int rc = 0;

	for (uint64_t i = first; s < end; i++) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));
		size_t n = (size_t)(nl - s) + 1;

		while (*k < n_line && at[*k] <= i)
			buf_adds(&out, line[(*k)++]);
		buf_add(&out, s, n);
		s += n;
	}
	snprintf(name, sizeof(name), "%06zu.txt", number);
	path = path_join(dir, name);
	f = path && !out.failed ? fopen(path, "w") : NULL;
	if (!path || out.failed)
		rc = err_nomem(e);
	else if (!f || fwrite(out.data, 1, out.len, f) != out.len)
		rc = err_set(e, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
	if (f && fclose(f) && !rc)
		rc = err_set(e, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
	*bytes += out.len;
	free(path);
	buf_release(&out);
	return rc;
}

static int write_all(const char *dir, const struct eval_hay *h, const struct doc *doc, size_t n_doc, struct eval_rng *r,
		     struct eval_hay_result *out, struct err *e)
{
	uint64_t n_line = 0, first = 0, *at = calloc(h->n_line + 1, sizeof(*at));
	size_t k = 0;
	int rc = 0;

	if (!at)
		return err_nomem(e);
	for (size_t i = 0; i < n_doc; i++)
		n_line += doc[i].n_line;
	for (size_t i = 0; i < h->n_line; i++)
		at[i] = eval_random(r, n_line);
	qsort(at, h->n_line, sizeof(*at), by_number);
	for (size_t i = 0; i < n_doc && !rc; i++) {
		rc = write_doc(dir, i, &doc[i], first, at, h->line, h->n_line, &k, &out->n_byte, e);
		first += doc[i].n_line;
	}
	out->n_file = n_doc;
	free(at);
	return rc;
}

int eval_hay_write(const char *dir, const struct eval_hay *h, const struct tok *tok, struct eval_hay_result *out,
		   struct err *e)
{
	struct eval_rng r = { h->seed };
	struct paths p = { 0 };
	struct doc *doc = NULL;
	uint64_t planted = 0, got = 0, count;
	size_t n_doc = 0;
	int rc = 0;

	*out = (struct eval_hay_result){ 0 };
	for (size_t i = 0; i < h->n_path && !rc; i++)
		rc = collect(&p, h->path[i], 0, e);
	shuffle(&p, &r);
	for (size_t i = 0; i < h->n_line && !rc; i++) {
		rc = tok_count(tok, h->line[i], strlen(h->line[i]), &count, e);
		planted += count;
	}
	if (!rc && planted * 2 > h->n_token) {
		err_set(e, ERR_BUDGET, "the planted lines alone are %llu tokens of %llu", (unsigned long long)planted,
			(unsigned long long)h->n_token);
		rc = err_hint(e, ERR_BUDGET, "ask fewer questions, or about a longer text");
	}
	if (!rc)
		rc = choose(&p, h->n_token - planted, tok, &doc, &n_doc, &got, e);
	if (!rc && got < h->n_token - planted) {
		err_set(e, ERR_NOTFOUND, "the paths hold %llu tokens of text, %llu are wanted", (unsigned long long)got,
			(unsigned long long)(h->n_token - planted));
		rc = err_hint(e, ERR_NOTFOUND, "name folders with more text");
	}
	out->n_token = got + planted;
	if (!rc)
		rc = write_all(dir, h, doc, n_doc, &r, out, e);
	for (size_t i = 0; doc && i < p.n + 1; i++)
		buf_release(&doc[i].text);
	for (size_t i = 0; i < p.n; i++)
		free(p.v[i]);
	free(doc);
	free(p.v);
	return rc;
}
