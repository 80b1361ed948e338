#include "config.h"

#include "engine/tok_bpe.h"

#include "base/size.h"

#include <stdlib.h>

/* Up to here searching again beats the heap (measured: the two meet between 48 and 96 bytes). */
#define SHORT 64
/* Bytes of a window, of which the next one repeats an eighth: windows agree after a token or a few.
 * All lists of a window stay in the first-level cache. */
#define WINDOW 1024

struct tok_work *tok_work_new(void)
{
	struct tok_work *w = calloc(1, sizeof *w);
	size_t size = sizeof(struct tok_cached) << TOK_CACHE_BITS;

	_Static_assert(sizeof(struct tok_cached) == 64, "an entry is one cache line");
	if (!w)
		return NULL;
	w->cache = aligned_alloc(64, size);
	w->window = WINDOW;
	w->cap = SHORT;
	w->sym = malloc(w->cap * sizeof *w->sym);
	w->rank = malloc(w->cap * sizeof *w->rank);
	if (!w->cache || !w->sym || !w->rank) {
		tok_work_free(w);
		return NULL;
	}
	memset(w->cache, 0, size);
	return w;
}

void tok_work_free(struct tok_work *w)
{
	if (!w)
		return;
	free(w->cache);
	free(w->sym);
	free(w->done);
	free(w->left);
	free(w->right);
	free(w->rank);
	free(w->heap);
	free(w);
}

static size_t merge_short(const struct tok_vocab *v, struct tok_work *w, const uint8_t *s, size_t n)
{
	uint32_t *sym = w->sym, *rank = w->rank;

	for (size_t i = 0; i < n; i++)
		sym[i] = v->byte[s[i]];
	for (size_t i = 0; i + 1 < n; i++)
		rank[i] = v->byte_rank[s[i] << 8 | s[i + 1]];
	while (n > 1) {
		uint32_t best = TOK_NONE;
		size_t at = 0;

		for (size_t i = 0; i + 1 < n; i++) {
			if (rank[i] < best) {
				best = rank[i];
				at = i;
			}
		}
		if (best == TOK_NONE)
			break;
		sym[at] = v->merged[best];
		n--;
		memmove(sym + at + 1, sym + at + 2, (n - at - 1) * sizeof *sym);
		memmove(rank + at, rank + at + 1, (n - at - 1) * sizeof *rank);
		if (at)
			rank[at - 1] = tok_vocab_rank(v, sym[at - 1], sym[at]);
		if (at + 1 < n)
			rank[at] = tok_vocab_rank(v, sym[at], sym[at + 1]);
	}
	return n;
}

static bool grow(struct tok_work *w, size_t n)
{
	if (n <= w->cap && w->left)
		return true;
	if (n < w->cap)
		n = w->cap;
	free(w->sym);
	free(w->left);
	free(w->right);
	free(w->rank);
	w->sym = malloc(n * sizeof *w->sym);
	w->left = malloc(n * sizeof *w->left);
	w->right = malloc(n * sizeof *w->right);
	w->rank = malloc(n * sizeof *w->rank);
	w->cap = n;
	return w->sym && w->left && w->right && w->rank;
}

/* Four children to a node: half the depth of a binary heap, and the children share a line. */
static void sift_down(uint64_t *heap, size_t n, size_t i)
{
	uint64_t x = heap[i];

	for (;;) {
		size_t child = 4 * i + 1, best = child, end = child + 4 < n ? child + 4 : n;

		if (child >= n)
			break;
		for (size_t j = child + 1; j < end; j++)
			if (heap[j] < heap[best])
				best = j;
		if (heap[best] >= x)
			break;
		heap[i] = heap[best];
		i = best;
	}
	heap[i] = x;
}

static void push(struct tok_work *w, uint32_t rank, uint32_t pos)
{
	uint64_t x = (uint64_t)rank << 32 | pos;
	size_t i = w->n_heap++;

	while (i > 0 && w->heap[(i - 1) / 4] > x) {
		w->heap[i] = w->heap[(i - 1) / 4];
		i = (i - 1) / 4;
	}
	w->heap[i] = x;
}

static uint64_t pop(struct tok_work *w)
{
	uint64_t x = w->heap[0];

	w->heap[0] = w->heap[--w->n_heap];
	if (w->n_heap)
		sift_down(w->heap, w->n_heap, 0);
	return x;
}

/* The rank of the pair at pos may be new: note it, and put it in the heap.  An entry whose rank is
 * no longer that of its position is stale. */
static void renew(const struct tok_vocab *v, struct tok_work *w, uint32_t pos, uint32_t n)
{
	uint32_t next = w->right[pos];
	uint32_t rank = next < n ? tok_vocab_rank(v, w->sym[pos], w->sym[next]) : TOK_NONE;

	w->rank[pos] = rank;
	if (rank != TOK_NONE)
		push(w, rank, pos);
}

static int merge_long(const struct tok_vocab *v, struct tok_work *w, const uint8_t *s, uint32_t n,
		      size_t *n_sym, struct err *e)
{
	size_t out = 0;

	/* Each merge takes one entry off and adds at most two, and there are at most n - 1 merges:
	 * 2n entries are enough. */
	if (!grow(w, n))
		goto nomem;
	if (w->cap_heap < 2 * (size_t)n) {
		free(w->heap);
		w->cap_heap = 2 * (size_t)n;
		w->heap = malloc(w->cap_heap * sizeof *w->heap);
		if (!w->heap)
			goto nomem;
	}
	w->n_heap = 0;
	for (uint32_t i = 0; i < n; i++) {
		w->sym[i] = v->byte[s[i]];
		w->left[i] = i - 1;	/* of the first: more than n */
		w->right[i] = i + 1;
		w->rank[i] = TOK_NONE;
	}
	for (uint32_t i = 0; i + 1 < n; i++) {
		w->rank[i] = v->byte_rank[s[i] << 8 | s[i + 1]];
		if (w->rank[i] != TOK_NONE)
			w->heap[w->n_heap++] = (uint64_t)w->rank[i] << 32 | i;
	}
	for (size_t i = w->n_heap / 4 + 1; i-- > 0;)
		if (i < w->n_heap)
			sift_down(w->heap, w->n_heap, i);
	while (w->n_heap) {
		uint64_t x = pop(w);
		uint32_t rank = (uint32_t)(x >> 32), pos = (uint32_t)x, gone;

		if (w->rank[pos] != rank)
			continue;
		gone = w->right[pos];
		w->sym[pos] = v->merged[rank];
		w->right[pos] = w->right[gone];
		w->rank[gone] = TOK_NONE;
		if (w->right[pos] < n)
			w->left[w->right[pos]] = pos;
		renew(v, w, pos, n);
		if (w->left[pos] < n)
			renew(v, w, w->left[pos], n);
	}
	for (uint32_t i = 0; i < n; i = w->right[i])
		w->sym[out++] = w->sym[i];
	*n_sym = out;
	return 0;
nomem:
	free(w->heap);
	w->heap = NULL;
	w->cap_heap = 0;
	return err_nomem(e);
}

static int merge_window(const struct tok_vocab *v, struct tok_work *w, const uint8_t *s, size_t n,
			size_t *n_sym, struct err *e)
{
	if (n > SHORT)
		return merge_long(v, w, s, (uint32_t)n, n_sym, e);
	*n_sym = merge_short(v, w, s, n);
	return 0;
}

static size_t length(const struct tok_vocab *v, uint32_t sym)
{
	return sym == TOK_NONE ? 1 : tok_vocab_len(v, sym);
}

/* Append the window's symbols from number first on. */
static int keep(struct tok_work *w, size_t first, size_t n_sym, struct err *e)
{
	size_t n = n_sym - first;

	if (w->cap_done - w->n_done < n) {
		size_t cap = 2 * (w->n_done + n);
		uint32_t *more = realloc(w->done, cap * sizeof *more);

		if (!more)
			return err_nomem(e);
		w->done = more;
		w->cap_done = cap;
	}
	memcpy(w->done + w->n_done, w->sym + first, n * sizeof *w->sym);
	w->n_done += n;
	return 0;
}

/* The symbols from done[*from] on, the first of which starts where the window at work does, and the
 * window's: find one that both have at the same place.  *from becomes its number in done, *first its
 * number in the window.  False when there is none. */
static bool agree(const struct tok_vocab *v, const struct tok_work *w, size_t *from, size_t n_sym,
		  size_t *first)
{
	size_t a = *from, b = 0, at_a = 0, at_b = 0;

	while (a < w->n_done && b < n_sym) {
		if (at_a == at_b && w->done[a] == w->sym[b]) {
			*from = a;
			*first = b;
			return true;
		}
		if (at_a <= at_b)
			at_a += length(v, w->done[a++]);
		else
			at_b += length(v, w->sym[b++]);
	}
	return false;
}

/* done holds the result for s[0..end) at any time.  Its last tokens are merged again as the beginning
 * of the next window; where the two do not agree, from four times as far back, at worst from the
 * start.  Windows go on at least as far as they went back, so that even then time stays linear. */
static int merge_windows(const struct tok_vocab *v, struct tok_work *w, const uint8_t *s, size_t n,
			 struct err *e)
{
	size_t end = w->window, overlap = w->window / 8 + 1, n_sym;
	int rc = merge_window(v, w, s, end, &n_sym, e);

	w->n_done = 0;
	if (!rc)
		rc = keep(w, 0, n_sym, e);
	while (!rc && end < n) {
		size_t from = w->n_done, start = end, first = 0, stop;

		while (from > 0 && end - start < overlap)
			start -= length(v, w->done[--from]);
		stop = end + MIN(n - end, MAX(w->window - w->window / 8, overlap));
		if (stop - start > INT32_MAX)
			return err_set(e, ERR_BUDGET, "a word of %zu bytes without a break", n);
		rc = merge_window(v, w, s + start, stop - start, &n_sym, e);
		if (rc)
			break;
		if (start > 0 && !agree(v, w, &from, n_sym, &first)) {
			overlap *= 4;
			continue;
		}
		w->n_done = from;
		rc = keep(w, first, n_sym, e);
		end = stop;
	}
	return rc;
}

int tok_bpe_merge(const struct tok_vocab *v, struct tok_work *w, const uint8_t *s, size_t n,
		  const uint32_t **sym, size_t *n_sym, struct err *e)
{
	int rc;

	if (n <= w->window) {
		rc = merge_window(v, w, s, n, n_sym, e);
		*sym = w->sym;
		return rc;
	}
	rc = merge_windows(v, w, s, n, e);
	*sym = w->done;
	*n_sym = w->n_done;
	return rc;
}
