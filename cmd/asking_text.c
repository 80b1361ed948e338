/* What stands below an answer, for people: its sources, what it rests on, what it cost. */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/ctx.h"

#include "base/size.h"
#include "cache/library.h"
#include "cache/session.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define NEAREST 3	/* passages shown where nothing was found */

static void print_quote(struct buf *b, const struct term *t, const char *quote, int64_t lines)
{
	while (lines-- > 0 && *quote) {
		size_t n = strcspn(quote, "\n");

		buf_addf(b, "      %s", term_style(t, STYLE_DIM));
		term_text(b, quote, n, false);
		buf_addf(b, "%s\n", term_style(t, STYLE_PLAIN));
		quote += n + (quote[n] == '\n');
	}
}

static void print_place(struct buf *b, const struct term *t, const char *path, uint64_t first, uint64_t last)
{
	struct buf label = { 0 };

	buf_addf(&label, "%s:%llu-%llu", path, (unsigned long long)first, (unsigned long long)last);
	buf_adds(b, term_style(t, STYLE_BOLD));
	term_text(b, label.data ? label.data : "", label.len, false);
	buf_adds(b, term_style(t, STYLE_PLAIN));
	buf_release(&label);
}

static void print_cites(struct asking *s, const struct ask_opts *o, struct buf *b)
{
	const struct answer *a = &s->a;
	const struct term *t = &s->c->out;

	for (size_t i = 0; i < a->n_cite; i++) {
		const struct citation *ci = &a->cite[i];
		const struct answer_span *sp = &a->span[ci->span];

		buf_addf(b, "  [%d] ", ci->n);
		print_place(b, t, sp->path, ci->first, ci->last);
		if (ci->page)
			buf_addf(b, "  p.%u", ci->page);
		if (ci->anchor) {
			buf_adds(b, "  ");
			term_text(b, ci->anchor, strlen(ci->anchor), false);
		}
		if (asking_changed(lib_catalog(s->lib), sp->source, sp->path, ci->sha256))
			buf_adds(b, "  (changed since)");
		buf_addc(b, '\n');
		print_quote(b, t, ci->quote, o->quote);
	}
	if (a->n_unsupported)
		buf_addf(b, "  %s%zu sentence%s without support in the passages%s\n", o->strict ? "" : "[?] ",
			 a->n_unsupported, a->n_unsupported == 1 ? "" : "s", o->strict ? ", left out" : "");
}

/* Files that any turn of the session cited and that are not what they were. */
struct changes {
	struct asking *s;
	json_t *seen;			/* path -> true */
	size_t  n;
};

static int look_back(void *ctx, const struct sess_turn *turn)
{
	struct changes *ch = ctx;
	json_t *cites = json_loads(turn->citations, 0, NULL), *c;
	size_t i;

	json_array_foreach(cites, i, c) {
		const char *source = json_string_value(json_object_get(c, "source"));
		const char *path = json_string_value(json_object_get(c, "path"));
		const char *sha = json_string_value(json_object_get(c, "sha256"));

		if (!source || !path || !sha || json_object_get(ch->seen, path))
			continue;
		json_object_set_new(ch->seen, path, json_true());
		ch->n += asking_changed(lib_catalog(ch->s->lib), source, path, sha);
	}
	json_decref(cites);
	return 0;
}

static void print_session(struct asking *s)
{
	struct changes ch = { s, json_object(), 0 };

	if (ch.seen)
		sess_turns(lib_catalog(s->lib), talk_session(s->talk), look_back, &ch, NULL);
	if (s->forked)
		warn(s->c, "the session was gone on with by another process; this turn is kept in the fork '%s'",
		     talk_name(s->talk));
	if (!s->in_chat)
		note(s->c, "session %s, turn %u", talk_name(s->talk), talk_turns(s->talk));
	if (ch.n)
		note(s->c, "%zu file%s cited here changed since", ch.n, ch.n == 1 ? "" : "s");
	json_decref(ch.seen);
}

static void print_rests_on(struct asking *s)
{
	const struct answer *a = &s->a;
	const char *about = a->total_estimated ? "about " : "";
	const char *kept = a->encoded ? "; passages were encoded for this question and are kept" : "";

	if (a->by_attention)
		note(s->c, "attended %llu of %s%llu tokens, %s (%.1f %% of the attention), isolated%s",
		     (unsigned long long)a->attended, about, (unsigned long long)a->total, a->exact ? "exact" : "select",
		     100 * a->mass, kept);
	else
		note(s->c, "attended %llu of %s%llu tokens in %zu passage%s %s, isolated%s",
		     (unsigned long long)a->attended, about, (unsigned long long)a->total, a->n_span,
		     a->n_span == 1 ? "" : "s", a->exact ? "(all there are)" :
		     a->by_heads ? "chosen by retrieval heads and full text" : "chosen by full text", kept);
}

void asking_sources(struct asking *s, const struct ask_opts *o)
{
	const struct answer *a = &s->a;
	struct buf b = { 0 };

	buf_adds(&b, "\n\n");
	print_cites(s, o, &b);
	if (b.data)
		fwrite(b.data, 1, b.len, stdout);
	fflush(stdout);
	buf_release(&b);
	print_rests_on(s);
	if (a->truncated)
		warn(s->c, "the answer was cut at --max-tokens %lld", (long long)o->max_tokens);
	detail(s->c, "choose %.0f ms, encode %.0f ms (%llu tokens), prefill %.0f ms (%llu tokens read back, %llu computed), "
	       "first token after %.0f ms; %llu of %llu drafted tokens held", 1e3 * a->t_choose, 1e3 * a->t_encode,
	       (unsigned long long)a->encoded, 1e3 * a->t_prefill, (unsigned long long)a->reused,
	       (unsigned long long)a->fresh, 1e3 * a->t_first, (unsigned long long)a->held,
	       (unsigned long long)a->drafted);
	if (s->kept)
		print_session(s);
}

static void print_absent(struct buf *b, const struct answer *a)
{
	const char *name = a->absent.data;

	for (size_t i = 0; i < a->n_absent; i++, name += strlen(name) + 1) {
		buf_adds(b, i ? ", '" : ": nothing there is called '");
		term_text(b, name, strlen(name), false);
		buf_addc(b, '\'');
	}
}

void asking_not_found(struct asking *s)
{
	const struct answer *a = &s->a;
	struct buf b = { 0 };

	/* An answer was shown while it was written, and none of it stands. */
	if (s->streams && a->n_unsupported)
		buf_adds(&b, "\n\nNone of that stands in the passages. ");
	buf_addf(&b, "Not found in %llu file%s, %s%llu tokens", (unsigned long long)a->n_file,
		 a->n_file == 1 ? "" : "s", a->total_estimated ? "about " : "", (unsigned long long)a->total);
	print_absent(&b, a);
	buf_adds(&b, ".\n");
	if (a->n_span)
		buf_adds(&b, "Nearest passages:\n");
	for (size_t i = 0; i < MIN(a->n_span, (size_t)NEAREST); i++) {
		buf_adds(&b, "  ");
		print_place(&b, &s->c->out, a->span[i].path, a->span[i].first, a->span[i].last);
		buf_addc(&b, '\n');
	}
	if (b.data)
		fwrite(b.data, 1, b.len, stdout);
	fflush(stdout);
	buf_release(&b);
	if (s->kept)
		print_session(s);
}
