/* tests/libsay.h - everything a library answers, as one text: two libraries that say the same are the
 * same to whoever asks them */
#ifndef TESTS_LIBSAY_H
#define TESTS_LIBSAY_H

#include "libfill.h"

static struct err e;

static int say_text(void *ctx, const struct cat_entry *en, const char *text, size_t n)
{
	struct id id = id_of(text, n);
	char hex[65];

	id_hex(&id, hex);
	buf_addf(ctx, "text %.*s %s\n", (int)en->path_n, en->path, hex);
	return 0;
}

static int say_turn(void *ctx, const struct sess_turn *t)
{
	buf_addf(ctx, "turn %u %s %s %s %zu\n", t->n, t->question, t->answer, t->citations,
		 t->n_token);
	return 0;
}

static int say_hit(void *ctx, const struct search_hit *h)
{
	buf_addf(ctx, "hit %lld %llu %zu\n", (long long)h->document, (unsigned long long)h->start,
		 h->n_mark);
	return 0;
}

static int say_session(void *ctx, const struct session *s)
{
	*(int64_t *)ctx = s->id;
	return 0;
}

static int say_extent(void *ctx, const struct cat_extent *x)
{
	char hex[65];

	id_hex(&x->page[x->n_page - 1], hex);
	buf_addf(ctx, "extent %s %u\n", hex, x->n_token);
	return 0;
}

static void say_tail(struct library *lib, int64_t session, struct buf *out)
{
	struct sess_tail *t;
	struct buf b = { 0 };
	size_t n;

	if (sess_tail(lib_catalog(lib), session, &t, &n, &e)) {
		buf_addf(out, "tail error\n");
		return;
	}
	for (size_t i = 0; i < n; i++)
		for (int near = 0; near < 2; near++) {
			struct sum128 s;

			buf_clear(&b);
			if (sess_tail_read(lib, &t[i], near, &b, &e)) {
				buf_addf(out, "tail error\n");
				continue;
			}
			s = sum128_of(b.data, b.len);
			buf_addf(out, "tail %llu %d %llx\n", (unsigned long long)t[i].pos, near,
				 (unsigned long long)s.lo);
		}
	free(t);
	buf_release(&b);
}

static void say_pages(struct library *lib, struct buf *out)
{
	struct kv_store *st;
	struct cat_mount *m;
	struct segment *s;
	struct id profile = id_of("profile", 7);
	size_t n;

	if (kv_store_open(&st, lib_segments(lib), &e))
		return;
	if (cat_mounts(lib_catalog(lib), 1, CAT_ISOLATED, NULL, 0, NULL, 0, &profile, &m, &n, NULL,
		       &e)) {
		buf_adds(out, "mount error\n");
		n = 0;
		m = NULL;
	}
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p;
		struct sketch sk;
		struct spanidx part;
		struct sum128 sum = { 0, 0 };
		int rc = kv_store_segment(st, SEGMENT_KV, m[i].ref.number,
					  m[i].ref.off + m[i].ref.bytes, &s, &e);

		if (!rc)
			rc = segment_borrow(s, m[i].ref.off, m[i].ref.bytes, &p, &e);
		if (!rc)
			rc = extent_verify(p, m[i].ref.bytes, &(uint32_t){0}, &(uint32_t){0}, &e);
		if (!rc)
			sum = sum128_of(p, m[i].ref.bytes);
		if (!rc)
			rc = kv_store_segment(st, SEGMENT_SKETCH, m[i].ref.number,
					      m[i].ref.sketch_off + 64, &s, &e);
		if (!rc)
			rc = segment_borrow(s, m[i].ref.sketch_off, 16, &p, &e);
		if (!rc) {
			uint64_t size;

			memcpy(&size, p + 8, 8);
			rc = segment_borrow(s, m[i].ref.sketch_off, size, &p, &e);
			if (!rc)
				rc = sketch_parse(&sk, p, size, &e);
		}
		for (uint32_t l = 0; !rc && l < 2; l++)
			rc = sketch_check_layer(&sk, l, &e);
		buf_addf(out, "mount %zu %u %d %llx\n", i, m[i].n_token, rc,
			 (unsigned long long)sum.lo);
		if (!m[i].part.number)
			continue;
		rc = kv_store_segment(st, SEGMENT_SPANIDX, m[i].part.number,
				      m[i].part.off + m[i].part.bytes, &s, &e);
		if (!rc)
			rc = segment_borrow(s, m[i].part.off, m[i].part.bytes, &p, &e);
		if (!rc)
			rc = spanidx_parse(&part, p, m[i].part.bytes, &profile, &e);
		buf_addf(out, "part %zu %d\n", i, rc);
	}
	free(m);
	kv_store_close(st);
}

/* Errors are answers too: a change in them counts. */
static void say_all(const char *dir, struct buf *out)
{
	struct search_literal lit = { "line 7", 6 };
	struct library *lib;
	struct catalog *c;
	struct buf value = { 0 };
	int64_t snap = 0, session = 0, *doc;
	size_t n;

	if (lib_open(&lib, dir, 0, &e)) {
		buf_addf(out, "open error\n");
		return;
	}
	c = lib_catalog(lib);
	if (cat_snapshot_find(c, "src", NULL, &snap, &e) || cat_texts(c, snap, say_text, out, &e) ||
	    sess_find(c, "s", say_session, &session, &e) ||
	    sess_turns(c, session, say_turn, out, &e) ||
	    search_words(c, "document OR line", &snap, 1, 9, say_hit, out, &e) ||
	    cat_get(c, 0, "key", &value, &e) || cat_extents(c, say_extent, out, &e) ||
	    search_candidates(c, &lit, 1, false, NULL, 0, &doc, &n, &e))
		buf_addf(out, "error %s\n", e.msg);
	else
		free(doc);
	buf_addf(out, "value %.*s\n", (int)value.len, value.data ? value.data : "");
	say_tail(lib, session, out);
	say_pages(lib, out);
	buf_release(&value);
	lib_close(lib);
}

#endif
