#include "config.h"

#include "ingest/doc.h"

#include "base/size.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define NAME_MAX_BYTES 1000u
#define PACK_HEAD      104u
#define PACK_ANCHOR    32u

static const char PACK_MAGIC[8] = "FOLIODOC";

const char *doc_kind_name(enum doc_kind kind)
{
	static const char *const name[DOC_N_KIND] = {
		"text", "code", "markdown", "html", "pdf", "epub", "docx", "notebook"
	};

	return (unsigned)kind < DOC_N_KIND ? name[kind] : "unknown";
}

const char *anchor_kind_name(enum anchor_kind kind)
{
	static const char *const name[ANCHOR_N_KIND] = {
		"chapter", "page", "cell", "heading", "symbol"
	};

	return (unsigned)kind < ANCHOR_N_KIND ? name[kind] : "unknown";
}

const char *doc_format(const struct document *d, char out[32])
{
	size_t i;

	if (d->kind != DOC_CODE || !d->language[0])
		return doc_kind_name(d->kind);
	for (i = 0; i < 31 && d->language[i]; i++)
		out[i] = (char)tolower((unsigned char)d->language[i]);
	out[i] = 0;
	return out;
}

const char *doc_name(const struct document *d, uint32_t at)
{
	return at < d->names.len ? d->names.data + at : "";
}

/* Store a string and give its offset. */
static uint32_t add_name(struct document *d, const char *s)
{
	size_t n = s ? strlen(s) : 0, at;

	/* Up to a broken character, or one that does not fit. */
	n = utf8_check(s, n > NAME_MAX_BYTES ? NAME_MAX_BYTES : n);
	if (!n)
		return 0;
	if (!d->names.len)
		buf_addc(&d->names, '\0');
	at = d->names.len;
	if (at > UINT32_MAX - n - 1)
		d->names.failed = true;
	buf_add(&d->names, s, n);
	buf_addc(&d->names, '\0');
	if (d->names.failed) {
		d->text.failed = true;
		return 0;
	}
	return (uint32_t)at;
}

static bool room_for_anchor(struct document *d)
{
	size_t cap = d->cap_anchor ? 2 * d->cap_anchor : 16;
	struct anchor *a;

	if (d->n_anchor < d->cap_anchor)
		return true;
	a = reallocarray(d->anchor, cap, sizeof(*a));
	if (!a) {
		d->text.failed = true;
		return false;
	}
	d->anchor = a;
	d->cap_anchor = cap;
	return true;
}

void doc_anchor(struct document *d, enum anchor_kind kind, uint32_t number, uint64_t at,
		const char *title, const char *detail)
{
	struct anchor *a;

	if (!room_for_anchor(d))
		return;
	a = &d->anchor[d->n_anchor++];
	*a = (struct anchor){ .at = at, .kind = kind, .number = number };
	a->title = add_name(d, title);
	a->detail = add_name(d, detail);
}

static int by_place(const void *x, const void *y)
{
	const struct anchor *a = x, *b = y;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

/* Letters and digits of any script in lower case, blanks and "-" to "-", the rest left out. */
static void slug_of(const char *title, struct buf *out)
{
	size_t n = strlen(title);

	for (size_t i = 0; i < n && out->len < NAME_MAX_BYTES - 16;) {
		uint32_t c;
		size_t len = utf8_decode(title + i, n - i, &c);
		utf8proc_category_t cat;
		uint32_t lower;
		char u[4];

		if (!len)
			break;
		i += len;
		cat = utf8proc_category((utf8proc_int32_t)c);
		lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
		if (c == ' ' || c == '-' || c == '\t')
			buf_addc(out, '-');
		else if (c == '_' || (cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_NO))
			buf_add(out, u, utf8_encode(lower, u));
	}
}

/* Slugs already given, open addressing over offsets into names. */
struct slugs {
	uint32_t *at;
	uint32_t *next;		/* the next number to try after this slug */
	size_t    cap;		/* a power of two, more than twice the headings */
};

static size_t slug_slot(const struct slugs *s, const struct document *d, const char *slug)
{
	size_t h = 5381;

	for (const char *p = slug; *p; p++)
		h = h * 33 + (unsigned char)*p;
	h ^= h >> 17;
	for (h &= s->cap - 1; s->at[h]; h = (h + 1) & (s->cap - 1))
		if (!strcmp(doc_name(d, s->at[h]), slug))
			break;
	return h;
}

static void give_slug(struct document *d, struct slugs *s, struct anchor *a, struct buf *tmp)
{
	size_t base, slot;

	buf_clear(tmp);
	slug_of(doc_name(d, a->title), tmp);
	if (!tmp->len)
		buf_adds(tmp, "section");
	if (tmp->failed) {
		d->text.failed = true;
		return;
	}
	base = tmp->len;
	slot = slug_slot(s, d, tmp->data);
	if (s->at[slot]) {
		uint32_t *next = &s->next[slot];

		do {
			tmp->len = base;
			buf_addf(tmp, "-%u", (*next)++);
			if (tmp->failed)
				break;
			slot = slug_slot(s, d, tmp->data);
		} while (s->at[slot]);
	}
	if (tmp->failed) {
		d->text.failed = true;
		return;
	}
	a->detail = add_name(d, tmp->data);
	s->at[slot] = a->detail;
	s->next[slot] = 2;
}

static void give_slugs(struct document *d)
{
	struct slugs s = { .cap = 16 };
	struct buf tmp = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < d->n_anchor; i++)
		n += d->anchor[i].kind == ANCHOR_HEADING && !d->anchor[i].detail;
	if (!n)
		return;
	while (s.cap < 2 * n + 2)
		s.cap *= 2;
	s.at = calloc(s.cap, sizeof(*s.at));
	s.next = calloc(s.cap, sizeof(*s.next));
	if (s.at && s.next) {
		for (size_t i = 0; i < d->n_anchor && !d->text.failed; i++)
			if (d->anchor[i].kind == ANCHOR_HEADING && !d->anchor[i].detail)
				give_slug(d, &s, &d->anchor[i], &tmp);
	} else {
		d->text.failed = true;
	}
	free(s.at);
	free(s.next);
	buf_release(&tmp);
}

void doc_finish(struct document *d)
{
	bool sorted = true;

	for (size_t i = 1; i < d->n_anchor && sorted; i++)
		sorted = by_place(&d->anchor[i - 1], &d->anchor[i]) <= 0;
	if (!sorted)
		qsort(d->anchor, d->n_anchor, sizeof(*d->anchor), by_place);
	give_slugs(d);
}

void doc_note(struct document *d, const char *fmt, ...)
{
	char line[512];
	const char *p = d->notes.data;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	n = strlen(line);
	for (size_t i = utf8_check(line, n); i < n; i += utf8_check(line + i, n - i))
		line[i] = '?';		/* words of other libraries may hold a stranger's bytes */
	while (p && *p) {
		const char *nl = strchr(p, '\n');
		size_t len = nl ? (size_t)(nl - p) : strlen(p);

		if (len == n && !memcmp(p, line, n))
			return;
		p += len + (nl != NULL);
	}
	if (d->notes.len)
		buf_addc(&d->notes, '\n');
	buf_add(&d->notes, line, n);
}

const struct anchor *doc_anchor_at(const struct document *d, enum anchor_kind kind, uint64_t at)
{
	size_t lo = 0, hi = d->n_anchor;

	while (lo < hi) {		/* lo: the first anchor that begins behind at */
		size_t mid = lo + (hi - lo) / 2;

		if (d->anchor[mid].at <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo > 0) {
		const struct anchor *a = &d->anchor[--lo];

		if (a->kind == kind && (!a->end || a->end > at))
			return a;
	}
	return NULL;
}

static void put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> (8 * i));
}

static void put64(char *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static uint64_t get64(const char *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

int doc_pack(const struct document *d, struct buf *out, struct err *e)
{
	char head[PACK_HEAD] = { 0 };

	if (d->text.failed || d->names.failed || d->notes.failed || d->n_anchor > UINT32_MAX ||
	    d->notes.len > UINT32_MAX)
		return err_nomem(e);
	memcpy(head, PACK_MAGIC, sizeof(PACK_MAGIC));
	put64(head + 8, d->text.len);
	put64(head + 16, d->names.len);
	put32(head + 24, (uint32_t)d->notes.len);
	put32(head + 28, (uint32_t)d->n_anchor);
	put32(head + 32, d->kind);
	memcpy(head + 40, d->language, sizeof(d->language));
	memcpy(head + 72, d->encoding, sizeof(d->encoding));
	buf_add(out, head, sizeof(head));
	buf_add(out, d->text.data, d->text.len);
	buf_add(out, d->names.data, d->names.len);
	buf_add(out, d->notes.data, d->notes.len);
	for (size_t i = 0; i < d->n_anchor; i++) {
		const struct anchor *a = &d->anchor[i];
		char rec[PACK_ANCHOR] = { 0 };

		put64(rec, a->at);
		put64(rec + 8, a->end);
		put32(rec + 16, a->kind);
		put32(rec + 20, a->number);
		put32(rec + 24, a->title);
		put32(rec + 28, a->detail);
		buf_add(out, rec, sizeof(rec));
	}
	return out->failed ? err_nomem(e) : 0;
}

static bool unpack_anchors(struct document *d, const char *rec, size_t n)
{
	if (!n)
		return true;
	d->anchor = reallocarray(NULL, n, sizeof(*d->anchor));
	if (!d->anchor) {
		d->text.failed = true;
		return true;
	}
	d->cap_anchor = n;
	for (size_t i = 0; i < n; i++, rec += PACK_ANCHOR) {
		struct anchor *a = &d->anchor[d->n_anchor++];

		*a = (struct anchor){ .at = get64(rec), .end = get64(rec + 8),
				      .kind = get32(rec + 16), .number = get32(rec + 20),
				      .title = get32(rec + 24), .detail = get32(rec + 28) };
		if (a->at > d->text.len || a->end > d->text.len || a->kind >= ANCHOR_N_KIND ||
		    (a->title && a->title >= d->names.len) ||
		    (a->detail && a->detail >= d->names.len) || (i && by_place(a - 1, a) > 0))
			return false;
	}
	return true;
}

static bool unpack(struct document *d, const char *p, size_t n)
{
	uint64_t n_text, n_names, n_notes, n_anchor, left = n;

	if (n < PACK_HEAD || memcmp(p, PACK_MAGIC, sizeof(PACK_MAGIC)))
		return false;
	n_text = get64(p + 8);
	n_names = get64(p + 16);
	n_notes = get32(p + 24);
	n_anchor = get32(p + 28);
	left -= PACK_HEAD;
	if (n_text > left || n_names > left - n_text || n_notes > left - n_text - n_names ||
	    left - n_text - n_names - n_notes != n_anchor * PACK_ANCHOR ||
	    get32(p + 32) >= DOC_N_KIND || p[40 + sizeof(d->language) - 1] ||
	    p[72 + sizeof(d->encoding) - 1])
		return false;
	d->kind = (enum doc_kind)get32(p + 32);
	memcpy(d->language, p + 40, sizeof(d->language));
	memcpy(d->encoding, p + 72, sizeof(d->encoding));
	p += PACK_HEAD;
	if (utf8_check(p, n_text) != n_text || memchr(p, 0, n_text) ||
	    utf8_check(p + n_text, n_names) != n_names || (n_names && p[n_text + n_names - 1]) ||
	    utf8_check(p + n_text + n_names, n_notes) != n_notes)
		return false;
	buf_add(&d->text, p, n_text);
	buf_add(&d->names, p + n_text, n_names);
	buf_add(&d->notes, p + n_text + n_names, n_notes);
	if (d->names.failed || d->notes.failed)
		d->text.failed = true;
	return d->text.failed || unpack_anchors(d, p + n_text + n_names + n_notes, n_anchor);
}

int doc_unpack(struct document *d, const void *data, size_t n, struct err *e)
{
	if (!unpack(d, data, n)) {
		doc_release(d);
		return err_set(e, ERR_CORRUPT, "the extractor gave back a broken document");
	}
	if (d->text.failed) {
		doc_release(d);
		return err_nomem(e);
	}
	return 0;
}

void doc_release(struct document *d)
{
	buf_release(&d->text);
	buf_release(&d->names);
	buf_release(&d->notes);
	free(d->anchor);
	*d = (struct document){ 0 };
}
