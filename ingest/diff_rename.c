#include "config.h"

#include "ingest/diff_rename.h"

#include "base/size.h"
#include "base/stop.h"

#include <stdlib.h>
#include <string.h>

enum { N_NUMBER = 107927, PIECE = 64, BEST = 4, BINARY_LOOK = 8000 };
/* Prints of sources that are kept at once; more are made again for each added file. */
#define KEEP_BYTES ((size_t)128 << 20)

bool rename_is_binary(const void *bytes, size_t n)
{
	return n && memchr(bytes, 0, MIN(n, (size_t)BINARY_LOOK)) != NULL;
}

/* ---- similarity ---- */

struct piece {
	uint32_t number, bytes;
};

/* Pieces of a file by number, each number once. */
struct print {
	struct piece *v;
	size_t n;
	bool   made;
};

static int make_print(struct print *p, const void *data, size_t n, uint32_t *table, struct err *e)
{
	const uint8_t *s = data, *end = s + n;
	bool text = !rename_is_binary(data, n);
	uint32_t lo = 0, hi = 0, len = 0;
	size_t used = 0;

	memset(table, 0, N_NUMBER * sizeof(*table));
	for (; s < end; s++) {
		uint32_t was = lo;

		if (text && *s == '\r' && s + 1 < end && s[1] == '\n')
			continue;
		lo = (lo << 7 ^ hi >> 25) + *s;
		hi = hi << 7 ^ was >> 25;
		if (++len < PIECE && *s != '\n')
			continue;
		table[(lo + hi * 0x61) % N_NUMBER] += len;
		len = lo = hi = 0;
	}
	for (size_t i = 0; i < N_NUMBER; i++)
		used += table[i] != 0;
	p->v = calloc(used + 1, sizeof(*p->v));
	if (!p->v)
		return err_nomem(e);
	for (uint32_t i = 0; i < N_NUMBER; i++)
		if (table[i])
			p->v[p->n++] = (struct piece){ i, table[i] };
	p->made = true;
	return 0;
}

static uint64_t common_bytes(const struct print *a, const struct print *b)
{
	uint64_t sum = 0;

	for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
		if (a->v[i].number < b->v[j].number)
			i++;
		else if (a->v[i].number > b->v[j].number)
			j++;
		else
			sum += MIN(a->v[i].bytes, b->v[j].bytes), i++, j++;
	}
	return sum;
}

static uint32_t score_of(const struct print *a, uint64_t n_a, const struct print *b, uint64_t n_b)
{
	uint64_t larger = MAX(n_a, n_b);

	return n_b ? (uint32_t)(common_bytes(a, b) * RENAME_FULL / larger) : 0;
}

int rename_similarity(const void *a, size_t n_a, const void *b, size_t n_b, uint32_t *score, struct err *e)
{
	uint32_t *table = malloc(N_NUMBER * sizeof(*table));
	struct print pa = { 0 }, pb = { 0 };
	int rc = table ? make_print(&pa, a, n_a, table, e) : err_nomem(e);

	if (!rc)
		rc = make_print(&pb, b, n_b, table, e);
	if (!rc)
		*score = score_of(&pa, n_a, &pb, n_b);
	free(table);
	free(pa.v);
	free(pb.v);
	return rc;
}

/* ---- the search ---- */

struct search {
	struct rename_file *del, *add;
	size_t   n_del, n_add;
	rename_read_fn *read;
	void    *ctx;
	uint32_t *table;
	struct print *print;	/* of sources */
	size_t   kept;		/* bytes of them */
};

struct match {
	int64_t  add, del;	/* add -1: an empty place */
	uint32_t score;
	bool     name;		/* base names are equal */
};

static bool is_file(const struct rename_file *f)
{
	return (f->mode & 0170000) == 0100000;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool same_name(const struct rename_file *a, const struct rename_file *b)
{
	return !strcmp(base_name(a->path), base_name(b->path));
}

static void join(struct search *s, size_t add, size_t del, uint32_t score)
{
	s->add[add].source = (int64_t)del;
	s->add[add].score = score;
	s->del[del].taken = true;
}

static int print_of(struct search *s, bool deleted, const struct rename_file *f, struct print *out,
		    struct err *e)
{
	struct buf b = { 0 };
	int rc = s->read(s->ctx, deleted, f, &b, e);

	if (!rc)
		rc = make_print(out, b.data ? b.data : "", b.len, s->table, e);
	buf_release(&b);
	return rc;
}

/* Sizes alone may say that less than min is possible. */
static bool sizes_allow(const struct rename_file *a, const struct rename_file *b, uint32_t min)
{
	uint64_t larger = MAX(a->size, b->size), less = MIN(a->size, b->size);

	return (__int128)larger * (RENAME_FULL - min) >= (__int128)(larger - less) * RENAME_FULL;
}

static int score_pair(struct search *s, size_t del, const struct rename_file *add, struct print *to,
		      uint32_t min, uint32_t *score, struct err *e)
{
	const struct rename_file *from = &s->del[del];
	struct print *p = &s->print[del];
	bool fresh;
	int rc = 0;

	*score = 0;
	if (!is_file(from) || !is_file(add) || !sizes_allow(from, add, min))
		return 0;
	fresh = !p->made;
	if (fresh)
		rc = print_of(s, true, from, p, e);
	if (!rc && !to->made)
		rc = print_of(s, false, add, to, e);
	if (rc)
		return rc;
	*score = score_of(p, from->size, to, add->size);
	if (fresh && s->kept + p->n * sizeof(*p->v) > KEEP_BYTES) {
		free(p->v);
		*p = (struct print){ 0 };
	} else if (fresh) {
		s->kept += p->n * sizeof(*p->v);
	}
	return 0;
}

static int cmp_content(const void *a, const void *b, void *arg)
{
	const struct rename_file *f = arg;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int d = strcmp(f[x].content, f[y].content);

	return d ? d : x < y ? -1 : x > y;
}

/* Step 1. */
static int find_equal(struct search *s, struct err *e)
{
	size_t *order = malloc((s->n_del + 1) * sizeof(*order));

	if (!order)
		return err_nomem(e);
	for (size_t i = 0; i < s->n_del; i++)
		order[i] = i;
	qsort_r(order, s->n_del, sizeof(*order), cmp_content, s->del);
	for (size_t i = 0; i < s->n_add; i++) {
		size_t lo = 0, hi = s->n_del, best = SIZE_MAX;

		if (!s->add[i].content[0])
			continue;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (strcmp(s->del[order[mid]].content, s->add[i].content) < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; lo < s->n_del && !strcmp(s->del[order[lo]].content, s->add[i].content); lo++) {
			struct rename_file *d = &s->del[order[lo]];

			if (d->taken || ((!is_file(d) || !is_file(&s->add[i])) && d->mode != s->add[i].mode))
				continue;
			if (best == SIZE_MAX)
				best = order[lo];
			if (same_name(d, &s->add[i])) {
				best = order[lo];
				break;
			}
		}
		if (best != SIZE_MAX)
			join(s, i, best, RENAME_FULL);
	}
	free(order);
	return 0;
}

static int cmp_base(const void *a, const void *b, void *arg)
{
	const struct rename_file *f = arg;

	return strcmp(base_name(f[*(const size_t *)a].path), base_name(f[*(const size_t *)b].path));
}

/* Indexes of files that are still free, in order of base name. */
static size_t *by_base(struct rename_file *f, size_t n, bool added, size_t *n_out)
{
	size_t *v = malloc((n + 1) * sizeof(*v));

	*n_out = 0;
	for (size_t i = 0; v && i < n; i++)
		if (added ? f[i].source < 0 : !f[i].taken)
			v[(*n_out)++] = i;
	if (v)
		qsort_r(v, *n_out, sizeof(*v), cmp_base, f);
	return v;
}

/* Is v[i] the only one of its base name? */
static bool is_only(struct rename_file *f, const size_t *v, size_t n, size_t i)
{
	return !(i && !cmp_base(&v[i - 1], &v[i], f)) && !(i + 1 < n && !cmp_base(&v[i], &v[i + 1], f));
}

/* Step 2. */
static int find_by_base(struct search *s, struct err *e)
{
	const uint32_t min = RENAME_MIN + (RENAME_FULL - RENAME_MIN) / 2;
	size_t n_d, n_a;
	size_t *d = by_base(s->del, s->n_del, false, &n_d), *a = by_base(s->add, s->n_add, true, &n_a);
	int rc = d && a ? 0 : err_nomem(e);

	for (size_t i = 0, j = 0; !rc && i < n_d && j < n_a;) {
		int c = strcmp(base_name(s->del[d[i]].path), base_name(s->add[a[j]].path));

		if (!c && is_only(s->del, d, n_d, i) && is_only(s->add, a, n_a, j)) {
			struct print to = { 0 };
			uint32_t score;

			rc = score_pair(s, d[i], &s->add[a[j]], &to, min, &score, e);
			if (!rc && score >= min)
				join(s, a[j], d[i], score);
			free(to.v);
		}
		i += c <= 0;
		j += c > 0;
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted");
	}
	free(d);
	free(a);
	return rc;
}

/* Empty places last, then the best first. */
static int cmp_match(const struct match *a, const struct match *b)
{
	if (a->add < 0 || b->add < 0)
		return a->add < 0 ? b->add >= 0 : -1;
	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return (int)b->name - (int)a->name;
}

struct order {
	struct match m;
	size_t at;
};

static int cmp_order(const void *x, const void *y)
{
	const struct order *a = x, *b = y;
	int d = a->m.add < 0 && b->m.add < 0 ? 0 : cmp_match(&a->m, &b->m);

	return d ? d : a->at < b->at ? -1 : a->at > b->at;
}

static void put_match(struct match best[BEST], const struct match *m)
{
	int worst = 0;

	for (int i = 1; i < BEST; i++)
		if (cmp_match(&best[i], &best[worst]) > 0)
			worst = i;
	if (cmp_match(&best[worst], m) > 0)
		best[worst] = *m;
}

/* Step 3 for one added file. */
static int best_sources(struct search *s, size_t add, struct order *out, struct err *e)
{
	struct match best[BEST];
	struct print to = { 0 };
	int rc = 0;

	for (int i = 0; i < BEST; i++)
		best[i] = (struct match){ .add = -1 };
	for (size_t d = 0; d < s->n_del && !rc; d++) {
		struct match m = { .add = (int64_t)add, .del = (int64_t)d };

		if (s->del[d].taken)
			continue;
		m.name = same_name(&s->del[d], &s->add[add]);
		rc = score_pair(s, d, &s->add[add], &to, RENAME_MIN, &m.score, e);
		put_match(best, &m);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted");
	}
	for (int i = 0; i < BEST; i++)
		out[i].m = best[i];
	free(to.v);
	return rc;
}

static int find_others(struct search *s, bool *limited, struct err *e)
{
	size_t n_d = 0, n_a = 0, k = 0;
	struct order *v;
	int rc = 0;

	for (size_t i = 0; i < s->n_del; i++)
		n_d += !s->del[i].taken;
	for (size_t i = 0; i < s->n_add; i++)
		n_a += s->add[i].source < 0;
	if (!n_d || !n_a)
		return 0;
	if (n_d > (size_t)RENAME_LIMIT * RENAME_LIMIT / n_a) {
		*limited = true;
		return 0;
	}
	v = calloc(n_a * BEST, sizeof(*v));
	if (!v)
		return err_nomem(e);
	for (size_t i = 0; i < s->n_add && !rc; i++)
		if (s->add[i].source < 0)
			rc = best_sources(s, i, &v[BEST * k++], e);
	for (size_t i = 0; i < n_a * BEST; i++)
		v[i].at = i;
	if (!rc)
		qsort(v, n_a * BEST, sizeof(*v), cmp_order);
	for (size_t i = 0; !rc && i < n_a * BEST && v[i].m.add >= 0 && v[i].m.score >= RENAME_MIN; i++)
		if (s->add[v[i].m.add].source < 0 && !s->del[v[i].m.del].taken)
			join(s, (size_t)v[i].m.add, (size_t)v[i].m.del, v[i].m.score);
	free(v);
	return rc;
}

int rename_find(struct rename_file *del, size_t n_del, struct rename_file *add, size_t n_add,
		rename_read_fn *read, void *ctx, bool *limited, struct err *e)
{
	struct search s = { .del = del, .add = add, .n_del = n_del, .n_add = n_add, .read = read, .ctx = ctx };
	int rc;

	*limited = false;
	for (size_t i = 0; i < n_add; i++)
		add[i].source = -1;
	if (!n_del || !n_add)
		return 0;
	s.table = malloc(N_NUMBER * sizeof(*s.table));
	s.print = calloc(n_del, sizeof(*s.print));
	rc = s.table && s.print ? find_equal(&s, e) : err_nomem(e);
	if (!rc)
		rc = find_by_base(&s, e);
	if (!rc)
		rc = find_others(&s, limited, e);
	for (size_t i = 0; s.print && i < n_del; i++)
		free(s.print[i].v);
	free(s.print);
	free(s.table);
	return rc;
}
