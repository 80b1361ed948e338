#include "config.h"

#include "ingest/diff_words.h"

#include "base/size.h"
#include "base/stop.h"
#include "engine/compose.h"
#include "engine/sample.h"
#include "ingest/classify.h"
#include "ingest/diff_check.h"
#include "ingest/diff_side.h"
#include "ingest/extract.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HUNK_SHOWN = 1800, SENTENCE_TOKENS = 48, OVERVIEW_LINES = 8, NO_SPAN = -1 };

struct words {
	struct diff_report *r;
	struct pages   *p;
	struct catalog *c;
	struct encoder *enc;
	const struct diff_words_opts *o;
	struct extractor *x;
	struct sampler *sampler;
	float          *logits;
	struct compose *comp;		/* of the sentence under way; NULL with near layers */
	struct kv      *kv;		/* its sequence; own, without comp */
	uint64_t        done, total;	/* hunks */
};

/* ---- documents of both versions ---- */

/* One version of a file in the library. */
struct stored {
	int64_t   document;
	struct buf text;
	struct cat_span *span;		/* in order */
	size_t    n_span, cap;
};

static void drop_stored(struct stored *s)
{
	buf_release(&s->text);
	free(s->span);
}

static int take_span(void *ctx, const struct cat_span *s)
{
	struct stored *d = ctx;

	if (d->n_span == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 16;
		struct cat_span *v = reallocarray(d->span, cap, sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		d->span = v;
		d->cap = cap;
	}
	d->span[d->n_span++] = *s;
	return 0;
}

static int put_document(struct words *w, const struct document *d, int64_t *id, struct err *e)
{
	struct cat_anchor *v = calloc(d->n_anchor + 1, sizeof(*v));
	struct cat_text t = { .text = d->text.data ? d->text.data : "", .n = d->text.len, .anchor = v,
			      .n_anchor = d->n_anchor };
	struct cat_blob *blob = NULL;
	char format[32];
	int rc = v ? 0 : err_nomem(e);

	for (size_t i = 0; i < d->n_anchor && !rc; i++) {
		const struct anchor *a = &d->anchor[i];

		v[i] = (struct cat_anchor){ a->at, a->end, a->kind, a->number, doc_name(d, a->title),
					    doc_name(d, a->detail) };
	}
	t.format = doc_format(d, format);
	if (!rc)
		rc = cat_blob_new(&blob, &t, e);
	if (!rc)
		rc = cat_begin(w->c, e);
	if (!rc) {
		rc = cat_put_text(w->c, blob, id, NULL, e);
		if (!rc)
			rc = cat_commit(w->c, e);
		else
			cat_rollback(w->c);
	}
	cat_blob_free(blob);
	free(v);
	return rc;
}

/* The document of one version, stored or put now.  *why is set when it must not or cannot be. */
static int store(struct words *w, struct diff_side *side, size_t entry, struct stored *out, const char **why,
		 struct err *e)
{
	const struct side_entry *en;
	struct document d = { 0 };
	struct buf raw = { 0 };
	struct err mine = { 0 };
	size_t n, at;
	int rc = 0;

	if (entry == SIZE_MAX)
		return 0;
	en = &side_entries(side, &n)[entry];
	if (side_kind(side) == SIDE_SNAPSHOT) {
		out->document = en->document;
	} else {
		rc = side_read(side, en, SIZE_MAX >> 2, &raw, e);
		if (!rc)
			rc = extract(w->x, en->path, raw.data ? raw.data : "", raw.len, &d, &mine);
		if (rc == ERR_MISMATCH || rc == ERR_CORRUPT || rc == ERR_NOTFOUND) {
			*why = "its text cannot be read";
			rc = 0;
		} else if (!rc && d.text.len > DIFF_WORDS_FILE) {
			*why = "too large to be read by a model";
		} else if (!rc && secret_find(en->path, d.text.data ? d.text.data : "", d.text.len, &at)) {
			*why = "it looks like it holds a secret, so it is not put into the library";
		} else if (!rc) {
			if (d.kind == DOC_CODE)
				rc = extract_symbols(w->x, en->path, &d, e);
			if (!rc)
				rc = put_document(w, &d, &out->document, e);
		} else if (e && mine.code) {
			*e = mine;
		}
	}
	if (!rc && !*why && out->document) {
		rc = cat_text(w->c, out->document, &out->text, e);
		if (!rc)
			rc = pages_cut(w->p, &out->document, 1, e);
		if (!rc)
			rc = cat_spans(w->c, out->document, pages_engine(w->p), CAT_ISOLATED, take_span, out, e);
		if (rc == ERR_NOMEM)
			err_nomem(e);
	}
	buf_release(&raw);
	doc_release(&d);
	return rc;
}

/* ---- spans around a hunk ---- */

/* The byte where a line begins. */
static uint64_t byte_of(const struct buf *text, uint64_t line)
{
	size_t at = 0;

	for (uint64_t i = 1; i < line && at < text->len; i++) {
		const char *nl = memchr(text->data + at, '\n', text->len - at);

		at = nl ? (size_t)(nl + 1 - text->data) : text->len;
	}
	return at;
}

/* The span that holds the middle of a hunk on one side. */
static int64_t span_at(const struct stored *s, uint64_t first, uint64_t n)
{
	uint64_t at;

	if (!s->n_span || !n)
		return NO_SPAN;
	at = byte_of(&s->text, first + n / 2);
	for (size_t i = 0; i < s->n_span; i++)
		if (at < s->span[i].end || i + 1 == s->n_span)
			return (int64_t)i;
	return NO_SPAN;
}

static int take_extent(void *ctx, const struct cat_extent *x)
{
	struct view_entry *en = ctx;

	en->kv = x->ref;
	en->n_token = x->n_token;
	en->type = (uint8_t)x->type;
	return 0;
}

/* Encode a span that has no pages yet and open a view over it. */
static int open_span(struct words *w, struct cat_span *s, struct view **out, struct err *e)
{
	struct view_entry entry = { 0 };
	int rc = 0;

	if (!s->extent) {
		rc = pages_encode(w->p, s, 1, NULL, NULL, NULL, e);
		if (!rc)
			rc = cat_span(w->c, s->id, s, e);
	}
	entry.span = s->last;
	if (!rc)
		rc = cat_extent(w->c, s->extent, take_extent, &entry, e);
	return rc ? rc : view_new(out, pages_store(w->p), encoder_geom(w->enc), &entry, 1, e);
}

/* ---- talking to the model ---- */

static int begin(struct words *w, struct err *e)
{
	const struct plan *plan = engine_plan(encoder_engine(w->enc));

	if (plan->n_far == plan->n_layer) {
		int rc = compose_new(&w->comp, w->enc, e);

		w->kv = rc ? NULL : compose_kv(w->comp);
		return rc;
	}
	return engine_seq(encoder_engine(w->enc), encoder_preamble(w->enc), &w->kv, e);
}

static void end(struct words *w)
{
	if (w->comp)
		compose_free(w->comp);
	else
		kv_free(w->kv);
	w->comp = NULL;
	w->kv = NULL;
}

static int feed(struct words *w, const struct tok_ids *ids, struct err *e)
{
	return ids->n ? engine_feed(encoder_engine(w->enc), w->kv, ids->id, ids->n, w->logits, false, NULL, e) : 0;
}

static int say(struct words *w, const char *text, size_t n, struct err *e)
{
	struct tok_ids ids = { 0 };
	int rc = tok_encode(encoder_tok(w->enc), text, n, 0, &ids, NULL, e);

	if (!rc)
		rc = feed(w, &ids, e);
	free(ids.id);
	return rc;
}

/* End the user's message and begin the answer with these words. */
static int ask(struct words *w, const char *lead, struct err *e)
{
	struct tok_ids ids = { 0 };
	int rc = chat_tail(encoder_chat(w->enc), &ids, e);

	if (!rc)
		rc = chat_prompt(encoder_chat(w->enc), CHAT_NO_THINK, &ids, e);
	if (!rc)
		rc = tok_encode(encoder_tok(w->enc), lead, strlen(lead), 0, &ids, NULL, e);
	if (!rc)
		rc = feed(w, &ids, e);
	free(ids.id);
	return rc;
}

/* Greedily, until a stop, a line end, or a full stop before a blank.  What has no end by then is cut as
 * a whole: half a sentence may say the opposite. */
static int listen(struct words *w, struct buf *out, struct err *e)
{
	struct tok_stream stream = { 0 };
	bool whole = false;
	int rc = 0;

	for (int i = 0; i < SENTENCE_TOKENS && !rc; i++) {
		int32_t id = sampler_next(w->sampler, w->logits, NULL, 0);

		if (stop_requested())
			return err_set(e, ERR_INTR, "interrupted");
		whole = tok_is_stop(encoder_tok(w->enc), id);
		if (whole)
			break;
		tok_stream_push(encoder_tok(w->enc), &stream, id, out);
		if (out->failed)
			return err_nomem(e);
		whole = out->len && (strchr(out->data, '\n') || strstr(out->data, ". "));
		if (whole)
			break;
		rc = engine_feed(encoder_engine(w->enc), w->kv, &id, 1, w->logits, false, NULL, e);
	}
	tok_stream_flush(&stream, out);
	if (!rc && !whole)
		buf_clear(out);
	return rc;
}

/* A hunk's lines as they are shown to the model: whole lines, so many bytes. */
static size_t shown(const struct diff_report *r, const struct diff_hunk *h)
{
	const char *p = r->text.data + h->text;
	size_t n = h->n_text;

	if (n <= HUNK_SHOWN)
		return n;
	for (n = HUNK_SHOWN; n && p[n - 1] != '\n'; n--)
		;
	return n;
}

static int lay_span(struct words *w, const char *title, const char *path, struct cat_span *s, struct err *e)
{
	struct view *view = NULL;
	struct buf b = { 0 };
	int rc = open_span(w, s, &view, e);

	buf_addf(&b, "%s %s:\n", title, path);
	if (!rc)
		rc = b.failed ? err_nomem(e) : say(w, b.data, b.len, e);
	if (!rc)
		rc = compose_span(w->comp, view, 0, e);
	if (!rc)
		rc = say(w, "\n\n", 2, e);
	view_free(view);
	buf_release(&b);
	return rc;
}

/* What stands around a hunk, for the check: paths, heading, symbols that have it as theirs. */
static void around(const struct diff_report *r, uint32_t hunk, struct buf *out)
{
	const struct diff_hunk *h = &r->hunk[hunk];
	const struct diff_file *f = &r->file[h->file];

	buf_addf(out, "%s %s %s %s", diff_word(r, f->path), diff_word(r, f->old_path), diff_word(r, h->head),
		 diff_word(r, f->language));
	for (size_t i = 0; i < r->n_change; i++)
		if (r->change[i].hunk == hunk)
			buf_addf(out, " %s %s", diff_word(r, r->change[i].symbol), diff_word(r, r->change[i].type));
}

/* Keep the sentence when it holds against these lines. */
static int keep(struct words *w, uint32_t file, struct buf *text, const uint32_t *hunk, size_t n_hunk, const char *lines,
		size_t n_lines, const char *near, struct err *e)
{
	bool prose = file != UINT32_MAX && !w->r->file[file].language;
	const char *why;

	if (!diff_check(text->data, text->len, lines, n_lines, near, prose, &why)) {
		w->r->n_cut++;
		if (w->o->on_cut)
			w->o->on_cut(w->o->ctx, file == UINT32_MAX ? "overview" : diff_word(w->r, w->r->file[file].path),
				     text->data, why);
		return 0;
	}
	if (text->len && !strchr(".!?", text->data[text->len - 1]))
		buf_addc(text, '.');
	return text->failed ? err_nomem(e) :
	       diff_add_sentence(w->r, file, text->data, text->len, hunk, n_hunk, true, e);
}

/* Put the lead before it, cut its tail. */
static int finish(const char *lead, struct buf *said, struct buf *out, struct err *e)
{
	size_t n;

	buf_adds(out, lead);
	buf_add(out, said->data ? said->data : "", said->len);
	if (out->failed)
		return err_nomem(e);
	for (size_t i = 0; i < out->len; i++)	/* what a terminal could take for more than text */
		if ((unsigned char)out->data[i] < 0x20 && out->data[i] != '\n')
			out->data[i] = ' ';
	n = diff_check_trim(out->data, out->len);
	while (n && isspace((unsigned char)out->data[n - 1]))
		n--;
	out->len = n;
	out->data[n] = 0;
	return 0;
}

static int word_hunk(struct words *w, uint32_t hunk, struct stored v[2], struct err *e)
{
	struct diff_report *r = w->r;
	const struct diff_hunk *h = &r->hunk[hunk];
	const struct diff_file *f = &r->file[h->file];
	const char *lead = f->status == DIFF_ADDED ? "This file" : h->deletions ? "This change" : "This change adds";
	int64_t old = h->deletions && f->status != DIFF_ADDED ? span_at(&v[0], h->old_first, h->old_n) : NO_SPAN;
	int64_t new = span_at(&v[1], h->new_first, h->new_n);
	struct buf b = { 0 }, said = { 0 }, text = { 0 }, near = { 0 };
	char *path = strdup(diff_word(r, f->path));
	int rc = path ? begin(w, e) : err_nomem(e);

	/* A span that did not change is one span: shown once. */
	if (!rc && w->comp && old >= 0 && !(new >= 0 && id_eq(&v[0].span[old].last, &v[1].span[new].last)))
		rc = lay_span(w, "Before, in", path, &v[0].span[old], e);
	if (!rc && w->comp && new >= 0)
		rc = lay_span(w, "Now, in", path, &v[1].span[new], e);
	buf_addf(&b, "A diff of %s (lines with - were removed, lines with + were added):\n", path ? path : "");
	buf_add(&b, r->text.data + h->text, shown(r, h));
	buf_adds(&b, f->status == DIFF_ADDED ?
		 "\nIn one short sentence, say what this new file defines. Use its identifiers.\n" :
		 "\nIn one short sentence, say what these lines change. Use the identifiers in them.\n");
	if (!rc)
		rc = b.failed ? err_nomem(e) : say(w, b.data, b.len, e);
	if (!rc)
		rc = ask(w, lead, e);
	if (!rc)
		rc = listen(w, &said, e);
	if (!rc)
		rc = finish(lead, &said, &text, e);
	around(r, hunk, &near);
	if (!rc)
		rc = near.failed ? err_nomem(e) :
		     keep(w, h->file, &text, &hunk, 1, r->text.data + h->text, h->n_text, near.data, e);
	end(w);
	buf_release(&b);
	buf_release(&said);
	buf_release(&text);
	buf_release(&near);
	free(path);
	return rc;
}

/* ---- a file ---- */

/* The hunks with the most changed lines, in order of place. */
static size_t choose(const struct diff_report *r, const struct diff_file *f, size_t max, uint32_t *out)
{
	size_t n = 0;

	for (uint32_t i = f->hunk; i < f->hunk + f->n_hunk; i++) {
		const struct diff_hunk *h = &r->hunk[i];
		size_t at = n;

		if (!shown(r, h))
			continue;
		if (n == max) {
			uint64_t least = UINT64_MAX;

			for (size_t k = 0; k < n; k++) {
				uint64_t lines = r->hunk[out[k]].insertions + r->hunk[out[k]].deletions;

				if (lines < least) {
					least = lines;
					at = k;
				}
			}
			if (h->insertions + h->deletions <= least)
				continue;
			memmove(&out[at], &out[at + 1], (n - at - 1) * sizeof(*out));
			at = n - 1;
		} else {
			n++;
		}
		out[at] = i;
	}
	return n;
}

/* Lists of data say more by their numbers than a sentence could. */
static const char *not_worded(const struct diff_report *r, const struct diff_file *f)
{
	struct item it = { .path = diff_word(r, f->path), .n_path = f->n_path, .kind = ITEM_FILE, .size = 1 };

	if (f->status == DIFF_DELETED)
		return "deleted: nothing is left to be worded";
	if (f->binary && !f->n_hunk)
		return "binary";
	if (!f->n_hunk)
		return f->note ? diff_word(r, f->note) : "no line changed";
	classify_name(&it);
	return it.state != STATE_TAKE ? "a list of data, or made by a program" : NULL;
}

static int unsaid(struct diff_report *r, uint32_t file, const char *why, struct err *e)
{
	uint32_t at = diff_keep(r, why, strlen(why));

	r->file[file].unsaid = at;
	return at ? 0 : err_nomem(e);
}

static int word_file(struct words *w, uint32_t file, const uint32_t *hunk, size_t n, struct err *e)
{
	struct diff_report *r = w->r;
	struct stored v[2] = { { 0 }, { 0 } };
	const char *why = NULL;
	size_t before = r->n_sentence;
	int rc = store(w, r->a, r->file[file].status == DIFF_ADDED ? SIZE_MAX : r->file[file].old_entry, &v[0], &why, e);

	if (!rc && !why)
		rc = store(w, r->b, r->file[file].new_entry, &v[1], &why, e);
	for (size_t i = 0; i < n && !rc && !why; i++) {
		if (w->o->on_progress)
			w->o->on_progress(w->o->ctx, w->done, w->total, diff_word(r, r->file[file].path));
		rc = stop_requested() ? err_set(e, ERR_INTR, "interrupted") : word_hunk(w, hunk[i], v, e);
		w->done++;
	}
	if (!rc && why)
		rc = unsaid(r, file, why, e);
	else if (!rc && r->n_sentence == before)
		rc = unsaid(r, file, "what the model wrote could not be tied to a hunk", e);
	drop_stored(&v[0]);
	drop_stored(&v[1]);
	return rc;
}

/* ---- the whole ---- */

/* One sentence over those that hold; it must hold against the hunks they rest on, taken together. */
static int word_overview(struct words *w, struct err *e)
{
	struct diff_report *r = w->r;
	struct buf b = { 0 }, lines = { 0 }, near = { 0 }, said = { 0 }, text = { 0 };
	uint32_t hunk[OVERVIEW_LINES];
	size_t n = 0;
	int rc;

	buf_adds(&b, "Changes between two versions:\n");
	for (size_t i = 0; i < r->n_sentence && n < OVERVIEW_LINES; i++) {
		const struct diff_sentence *s = &r->sentence[i];

		if (!s->by_model)
			continue;
		hunk[n] = r->ref[s->ref];
		buf_addf(&b, "- %s: %s\n", diff_word(r, r->file[s->file].path), diff_word(r, s->text));
		buf_add(&lines, r->text.data + r->hunk[hunk[n]].text, r->hunk[hunk[n]].n_text);
		around(r, hunk[n], &near);
		buf_addc(&near, ' ');
		n++;
	}
	if (n < 3)
		goto out;	/* two sentences need no third one about them */
	buf_adds(&b, "\nIn one short sentence, say what these changes are about. Use the identifiers in them.\n");
	rc = b.failed || lines.failed || near.failed ? err_nomem(e) : begin(w, e);
	if (!rc)
		rc = say(w, b.data, b.len, e);
	if (!rc)
		rc = ask(w, "These changes", e);
	if (!rc)
		rc = listen(w, &said, e);
	if (!rc)
		rc = finish("These changes", &said, &text, e);
	if (!rc)
		rc = keep(w, UINT32_MAX, &text, hunk, n, lines.data, lines.len, near.data, e);
	end(w);
	buf_release(&said);
	buf_release(&text);
	buf_release(&b);
	buf_release(&lines);
	buf_release(&near);
	return rc;
out:
	buf_release(&b);
	buf_release(&lines);
	buf_release(&near);
	return 0;
}

int diff_words(struct diff_report *r, struct pages *p, struct catalog *c, struct encoder *enc,
	       const struct diff_words_opts *o, struct err *e)
{
	static const struct sample_opts greedy = { 0 };
	struct words w = { .r = r, .p = p, .c = c, .enc = enc, .o = o };
	uint32_t n_vocab = engine_plan(encoder_engine(enc))->n_vocab, *hunk = calloc(o->per_file + 1, sizeof(*hunk));
	int rc = extractor_new(&w.x, NULL, e);

	w.logits = malloc(n_vocab * sizeof(*w.logits));
	if (!rc && (!w.logits || !hunk))
		rc = err_nomem(e);
	if (!rc)
		rc = sampler_new(&w.sampler, &greedy, n_vocab, e);
	for (uint32_t i = 0; i < r->n_file && !rc; i++) {
		const char *why = r->file[i].unsaid ? NULL : not_worded(r, &r->file[i]);

		if (why)
			rc = unsaid(r, i, why, e);
		if (!r->file[i].unsaid)
			w.total += choose(r, &r->file[i], o->per_file, hunk);
	}
	for (uint32_t i = 0; i < r->n_file && !rc; i++) {
		size_t n = r->file[i].unsaid ? 0 : choose(r, &r->file[i], o->per_file, hunk);

		if (n)
			rc = word_file(&w, i, hunk, n, e);
		else if (!r->file[i].unsaid)
			rc = unsaid(r, i, "its lines were not kept: too many changed", e);
	}
	if (!rc)
		rc = word_overview(&w, e);
	if (!rc && o->on_progress)
		o->on_progress(o->ctx, w.total, w.total, NULL);
	if (rc == ERR_INTR) {
		size_t s = 0;

		/* What was not reached has no sentence, and says why. */
		r->interrupted = true;
		for (uint32_t i = 0; i < r->n_file; i++) {
			bool has = false;

			for (s = 0; s < r->n_sentence && !has; s++)
				has = r->sentence[s].by_model && r->sentence[s].file == i;
			if (!has && !r->file[i].unsaid && unsaid(r, i, "interrupted before it was reached", NULL))
				break;
		}
	}
	diff_order_sentences(r);
	sampler_free(w.sampler);
	extractor_free(w.x);
	free(w.logits);
	free(hunk);
	return rc;
}
