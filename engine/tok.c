#include "config.h"

#include "engine/tok.h"
#include "engine/tok_bpe.h"
#include "engine/tok_class.h"
#include "engine/tok_load.h"

#include "base/hash.h"
#include "base/size.h"
#include "base/utf8.h"

#include <pthread.h>
#include <stdlib.h>

/* Idle work areas.  One per thread that ever encoded at the same time as others. */
struct idle {
	pthread_mutex_t  lock;
	struct tok_work *first;
};

struct tok {
	struct tok_file f;
	const uint8_t  *cls;
	tok_split_fn   *split;
	bool           *stop;		/* [n_vocab] */
	struct id       id;
	struct idle    *idle;
};

/* Tokens that end an answer, by the names they go by in the families we read; beside those that the
 * file names as eos, eot and eom.  The last four are how code models end a file. */
static const char *const stop_names[] = {
	"<|eot|>", "<|eom|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>",
	"<|endoftext|>", "<end_of_turn>", "<|END_OF_TURN_TOKEN|>", "[|endofturn|]",
	"<|fim_pad|>", "<|repo_name|>", "<reponame>", "<|file_sep|>",
};

/* Control tokens that converters are known to have marked as user-defined, which would let plain
 * text spell them. */
static const char *const control_names[] = {
	"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|im_start|>", "<|begin_of_text|>",
	"<|start_header_id|>", "<|end_header_id|>", "<|header_start|>", "<|header_end|>",
};

/* Opening. */

/* Make the token of this name a control token; true when it was not one. */
static bool make_control(struct tok_vocab *v, uint32_t id)
{
	if (id == TOK_NONE || v->type[id] == TOK_CONTROL)
		return false;
	v->type[id] = TOK_CONTROL;
	return true;
}

static uint32_t find_name(const struct tok_vocab *v, const char *name)
{
	uint32_t id = tok_vocab_named(v, name, strlen(name));

	/* "<|" starts no word that any text has, so a normal token of that name is a mistake. */
	if (id == TOK_NONE && strncmp(name, "<|", 2) == 0)
		id = tok_vocab_find(v, name, strlen(name));
	return id;
}

static int find_stops(struct tok *t, struct err *e)
{
	struct tok_vocab *v = &t->f.vocab;
	int32_t given[] = { t->f.eos, t->f.eot, t->f.eom };
	bool changed = false;

	t->stop = calloc(v->n, sizeof *t->stop);
	if (!t->stop)
		return err_nomem(e);
	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		if (given[i] >= 0)
			t->stop[given[i]] = true;
	for (size_t i = 0; i < ARRAY_LEN(stop_names); i++) {
		uint32_t id = find_name(v, stop_names[i]);

		if (id == TOK_NONE)
			continue;
		t->stop[id] = true;
		changed |= make_control(v, id);
	}
	for (size_t i = 0; i < ARRAY_LEN(control_names); i++)
		changed |= make_control(v, find_name(v, control_names[i]));
	return changed ? tok_vocab_index(v, e) : 0;
}

static void identify(struct tok *t)
{
	const struct tok_file *f = &t->f;
	int32_t fixed[] = { 1, (int32_t)f->vocab.n, (int32_t)f->pre, f->whole_first, f->add_bos,
			    f->bos, f->eos, f->eot, f->eom };
	struct hasher h;

	hasher_init(&h);
	hasher_field(&h, "tokenizer", 9);
	hasher_field(&h, fixed, sizeof fixed);
	hasher_field(&h, f->vocab.text, f->vocab.off[f->vocab.n]);
	hasher_field(&h, f->vocab.off, (f->vocab.n + 1ul) * sizeof *f->vocab.off);
	hasher_field(&h, f->vocab.type, f->vocab.n);
	hasher_field(&h, &f->merges, sizeof f->merges);
	t->id = hasher_done(&h);
}

static int finish(struct tok *t, struct err *e)
{
	int rc = find_stops(t, e);

	if (rc)
		return rc;
	identify(t);
	t->cls = tok_class_get();
	t->split = tok_split_get(t->f.pre);
	t->idle = calloc(1, sizeof *t->idle);
	if (!t->idle)
		return err_nomem(e);
	pthread_mutex_init(&t->idle->lock, NULL);
	return 0;
}

static int open_any(struct tok **out, const struct gguf *g, const char *path, const char *family,
		    struct err *e)
{
	struct tok *t = calloc(1, sizeof *t);
	int rc;

	*out = NULL;
	if (!t)
		return err_nomem(e);
	rc = g ? tok_load_gguf(&t->f, g, e) : tok_load_tiktoken(&t->f, path, family, e);
	if (!rc)
		rc = finish(t, e);
	if (rc) {
		tok_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

int tok_open(struct tok **out, const struct gguf *g, struct err *e)
{
	return open_any(out, g, NULL, NULL, e);
}

int tok_open_tiktoken(struct tok **out, const char *path, const char *family, struct err *e)
{
	return open_any(out, NULL, path, family, e);
}

void tok_close(struct tok *t)
{
	if (!t)
		return;
	tok_vocab_release(&t->f.vocab);
	free(t->stop);
	if (t->idle) {
		while (t->idle->first) {
			struct tok_work *w = t->idle->first;

			t->idle->first = w->next;
			tok_work_free(w);
		}
		pthread_mutex_destroy(&t->idle->lock);
		free(t->idle);
	}
	free(t);
}

/* Encoding. */

/* Where ids go.  When only counting, ids is a scratch list that is emptied again and again. */
struct sink {
	const struct tok *t;
	struct tok_work  *w;
	const char       *text;		/* offsets are relative to it */
	size_t            n_text;
	struct tok_ids   *ids;
	struct tok_offs  *off;		/* NULL: not wanted */
	bool              count_only;
	uint64_t          count;
	struct err       *e;
};

static int room(struct sink *k, size_t n)
{
	struct tok_ids *ids = k->ids;
	struct tok_offs *off = k->off;

	if (k->count_only) {
		k->count += ids->n;
		ids->n = 0;
	}
	if (ids->cap - ids->n < n) {
		size_t cap = MAX(ids->n + n, ids->cap + ids->cap / 2 + 64);
		int32_t *more = realloc(ids->id, cap * sizeof *more);

		if (!more)
			return err_nomem(k->e);
		ids->id = more;
		ids->cap = cap;
	}
	if (off && off->cap - off->n < n) {
		size_t cap = MAX(off->n + n, off->cap + off->cap / 2 + 64);
		uint64_t *more = realloc(off->at, cap * sizeof *more);

		if (!more)
			return err_nomem(k->e);
		off->at = more;
		off->cap = cap;
	}
	return 0;
}

static int put_one(struct sink *k, int32_t id, const char *at)
{
	int rc = room(k, 1);

	if (rc)
		return rc;
	k->ids->id[k->ids->n++] = id;
	if (k->off)
		k->off->at[k->off->n++] = (uint64_t)(at - k->text);
	return 0;
}

/* The symbols of a piece that starts at s.  TOK_NONE is a byte without a token: nothing stands for
 * it.  There is room. */
static void put_symbols(struct sink *k, const uint32_t *sym, size_t n_sym, const char *s)
{
	uint64_t at = (uint64_t)(s - k->text);

	for (size_t i = 0; i < n_sym; i++) {
		if (sym[i] == TOK_NONE) {
			at++;
			continue;
		}
		k->ids->id[k->ids->n++] = (int32_t)sym[i];
		if (k->off) {
			k->off->at[k->off->n++] = at;
			at += tok_vocab_len(&k->t->f.vocab, sym[i]);
		}
	}
}

/* The symbols of a piece, past the cache. */
static int merge(struct sink *k, const char *s, size_t n, const uint32_t **sym, size_t *n_sym)
{
	const struct tok_file *f = &k->t->f;

	if (f->whole_first) {
		uint32_t id = tok_vocab_find(&f->vocab, s, n);

		if (id != TOK_NONE) {
			k->w->sym[0] = id;
			*sym = k->w->sym;
			*n_sym = 1;
			return 0;
		}
	}
	return tok_bpe_merge(&f->vocab, k->w, (const uint8_t *)s, n, sym, n_sym, k->e);
}

static inline uint64_t load64(const char *s)
{
	uint64_t w;

	memcpy(&w, s, 8);
	return w;
}

/* A piece of at most TOK_CACHE_TEXT bytes as three words; text goes on for n_more bytes. */
static inline void key_of(const char *s, size_t n, size_t n_more, uint64_t key[3])
{
	key[0] = key[1] = key[2] = 0;
	if (n_more < TOK_CACHE_TEXT) {
		memcpy(key, s, n);
	} else if (n <= 8) {
		key[0] = load64(s) & ~0ull >> (64 - 8 * n);
	} else if (n <= 16) {
		key[0] = load64(s);
		key[1] = load64(s + 8) & ~0ull >> (128 - 8 * n);
	} else {
		key[0] = load64(s);
		key[1] = load64(s + 8);
		key[2] = load64(s + 16) & ~0ull >> (192 - 8 * n);
	}
}

static inline struct tok_cached *slot_of(struct tok_work *w, const uint64_t key[3], size_t n)
{
	uint64_t h = key[0] * 0x9e3779b97f4a7c15ull;

	h = (h ^ h >> 32 ^ key[1]) * 0xff51afd7ed558ccdull;
	h = (h ^ h >> 32 ^ key[2] ^ n) * 0xc4ceb9fe1a85ec53ull;
	return &w->cache[h >> (64 - TOK_CACHE_BITS)];
}

/* Remember a result, if it is short and stands for all bytes of its piece. */
static void remember(struct tok_cached *c, const uint64_t key[3], size_t n, const uint32_t *sym,
		     size_t n_sym)
{
	if (n_sym > TOK_CACHE_IDS)
		return;
	for (size_t i = 0; i < n_sym; i++)
		if (sym[i] == TOK_NONE)
			return;
	memcpy(c->text, key, sizeof c->text);
	c->n_text = (uint8_t)n;
	c->n_id = (uint8_t)n_sym;
	memcpy(c->id, sym, n_sym * sizeof *sym);
}

/* One piece of n bytes; at s the text goes on for n_more bytes. */
static inline int put_piece(struct sink *k, const char *s, size_t n, size_t n_more)
{
	struct tok_cached *c = NULL;
	const uint32_t *sym;
	uint64_t key[3];
	size_t n_sym;
	int rc = 0;

	/* A token is at least a byte, so n ids are enough; the cached ones are copied as a block. */
	if (k->count_only || k->ids->cap - k->ids->n < MAX(n, TOK_CACHE_IDS) || k->off)
		rc = room(k, MAX(n, TOK_CACHE_IDS));
	if (rc)
		return rc;
	if (n <= TOK_CACHE_TEXT) {
		key_of(s, n, n_more, key);
		c = slot_of(k->w, key, n);
		if (c->n_text == n && c->text[0] == key[0] && c->text[1] == key[1] &&
		    c->text[2] == key[2]) {
			if (k->off) {
				put_symbols(k, (const uint32_t *)c->id, c->n_id, s);
			} else {
				memcpy(k->ids->id + k->ids->n, c->id, sizeof c->id);
				k->ids->n += c->n_id;
			}
			return 0;
		}
	}
	rc = merge(k, s, n, &sym, &n_sym);
	if (rc)
		return rc;
	if (c)
		remember(c, key, n, sym, n_sym);
	put_symbols(k, sym, n_sym, s);
	return 0;
}

/* Plain text without specials.  Bytes that are no UTF-8 are one piece each, and what lies between
 * them is tokenised as if it were a text by itself. */
static int put_text(struct sink *k, const char *s, size_t n)
{
	const uint8_t *cls = k->t->cls;
	tok_split_fn *split = k->t->split;
	const char *end = k->text + k->n_text;

	while (n) {
		size_t good = utf8_check(s, n);

		for (size_t i = 0; i < good;) {
			size_t next = split(cls, (const uint8_t *)s, i, good);
			int rc = put_piece(k, s + i, next - i, (size_t)(end - s) - i);

			if (rc)
				return rc;
			i = next;
		}
		s += good;
		n -= good;
		if (n) {
			uint32_t id = k->t->f.vocab.byte[(uint8_t)*s];
			int rc = id == TOK_NONE ? 0 : put_one(k, (int32_t)id, s);

			if (rc)
				return rc;
			s++;
			n--;
		}
	}
	return 0;
}

static int put_all(struct sink *k, unsigned flags)
{
	const struct tok_vocab *v = &k->t->f.vocab;
	bool specials = flags & TOK_SPECIAL;
	const uint8_t *first = specials ? v->special_first : v->user_first;
	const char *from = k->text, *end = k->text + k->n_text, *p = from;
	int rc = 0;

	if (flags & TOK_BOS && k->t->f.add_bos)
		rc = put_one(k, k->t->f.bos, k->text);
	if (!(specials ? v->n_special : v->n_user))
		p = end;
	while (!rc && p < end) {
		uint32_t id = first[(uint8_t)*p]
			? tok_vocab_special(v, p, (size_t)(end - p), specials) : TOK_NONE;

		if (id == TOK_NONE) {
			p++;
			continue;
		}
		rc = put_text(k, from, (size_t)(p - from));
		if (!rc)
			rc = put_one(k, (int32_t)id, p);
		p += tok_vocab_len(v, id);
		from = p;
	}
	return rc ? rc : put_text(k, from, (size_t)(end - from));
}

static struct tok_work *take_work(const struct tok *t)
{
	struct tok_work *w;

	pthread_mutex_lock(&t->idle->lock);
	w = t->idle->first;
	if (w)
		t->idle->first = w->next;
	pthread_mutex_unlock(&t->idle->lock);
	return w ? w : tok_work_new();
}

/* One that failed, or that grew for a huge word, is not kept. */
static void give_work(const struct tok *t, struct tok_work *w, int rc)
{
	if (rc || w->cap > 1u << 16 || w->cap_done > 1u << 16) {
		tok_work_free(w);
		return;
	}
	pthread_mutex_lock(&t->idle->lock);
	w->next = t->idle->first;
	t->idle->first = w;
	pthread_mutex_unlock(&t->idle->lock);
}

static int encode(struct sink *k, unsigned flags)
{
	int rc;

	k->w = take_work(k->t);
	if (!k->w)
		return err_nomem(k->e);
	rc = put_all(k, flags);
	give_work(k->t, k->w, rc);
	return rc;
}

int tok_encode(const struct tok *t, const char *text, size_t n, unsigned flags,
	       struct tok_ids *ids, struct tok_offs *off, struct err *e)
{
	struct sink k = { .t = t, .text = text, .n_text = n, .ids = ids, .off = off, .e = e };
	size_t n_id = ids->n, n_off = off ? off->n : 0;
	int rc = encode(&k, flags);

	if (rc) {
		ids->n = n_id;
		if (off)
			off->n = n_off;
	}
	return rc;
}

int tok_count(const struct tok *t, const char *text, size_t n, uint64_t *count, struct err *e)
{
	struct tok_ids ids = { 0 };
	struct sink k = { .t = t, .text = text, .n_text = n, .ids = &ids, .count_only = true,
			  .e = e };
	int rc = encode(&k, 0);

	if (!rc)
		*count = k.count + ids.n;
	free(ids.id);
	return rc;
}

/* Decoding. */

void tok_piece(const struct tok *t, int32_t id, bool specials, struct buf *out)
{
	const struct tok_vocab *v = &t->f.vocab;

	if (id < 0 || (uint32_t)id >= v->n || (!specials && tok_is_special(t, id)))
		return;
	buf_add(out, v->text + v->off[id], tok_vocab_len(v, (uint32_t)id));
}

void tok_stream_push(const struct tok *t, struct tok_stream *s, int32_t id, struct buf *out)
{
	size_t start = out->len, tail;

	buf_add(out, s->held, s->n);
	tok_piece(t, id, false, out);
	if (out->failed)
		return;
	tail = utf8_tail(out->data + start, out->len - start);
	s->n = tail;
	memcpy(s->held, out->data + out->len - tail, tail);
	out->len -= tail;
	out->data[out->len] = '\0';
}

void tok_stream_flush(struct tok_stream *s, struct buf *out)
{
	buf_add(out, s->held, s->n);
	s->n = 0;
}

/* Facts. */

int32_t tok_n_vocab(const struct tok *t)
{
	return (int32_t)t->f.vocab.n;
}

int32_t tok_bos(const struct tok *t)
{
	return t->f.bos;
}

int32_t tok_eos(const struct tok *t)
{
	return t->f.eos;
}

bool tok_is_stop(const struct tok *t, int32_t id)
{
	return id >= 0 && (uint32_t)id < t->f.vocab.n && t->stop[id];
}

bool tok_is_special(const struct tok *t, int32_t id)
{
	uint8_t type;

	if (id < 0 || (uint32_t)id >= t->f.vocab.n)
		return false;
	type = t->f.vocab.type[id];
	return type == TOK_CONTROL || type == TOK_UNKNOWN || type == TOK_UNUSED;
}

int32_t tok_find(const struct tok *t, const char *piece)
{
	uint32_t id = tok_vocab_named(&t->f.vocab, piece, strlen(piece));

	return id == TOK_NONE ? -1 : (int32_t)id;
}

const char *tok_pre(const struct tok *t)
{
	static const char *const name[] = {
		[TOK_PRE_LLAMA4] = "llama4", [TOK_PRE_LLAMA3] = "llama-bpe",
		[TOK_PRE_QWEN2] = "qwen2", [TOK_PRE_GPT2] = "gpt-2", [TOK_PRE_SMOLLM] = "smollm",
	};

	return name[t->f.pre];
}

void tok_id(const struct tok *t, struct id *out)
{
	*out = t->id;
}
