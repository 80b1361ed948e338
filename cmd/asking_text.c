/* What stands below an answer, for people: its sources, what it rests on, what it cost. */
#include "config.h"

#include "cmd/asking.h"
#include "cmd/cmd_ask.h"
#include "cmd/ctx.h"

#include <stdio.h>
#include <string.h>

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

void asking_sources(struct asking *s, const struct ask_opts *o)
{
	const struct answer *a = &s->a;
	const struct term *t = &s->c->out;
	struct buf b = { 0 };

	buf_adds(&b, "\n\n");
	for (size_t i = 0; i < a->n_cite; i++) {
		const struct citation *ci = &a->cite[i];
		const struct answer_span *sp = &a->span[ci->span];
		struct buf label = { 0 };

		buf_addf(&label, "%s:%llu-%llu", sp->path, (unsigned long long)ci->first, (unsigned long long)ci->last);
		buf_addf(&b, "  [%d] %s", ci->n, term_style(t, STYLE_BOLD));
		if (label.data)
			term_text(&b, label.data, label.len, false);
		buf_adds(&b, term_style(t, STYLE_PLAIN));
		if (ci->page)
			buf_addf(&b, "  p.%u", ci->page);
		if (ci->anchor) {
			buf_adds(&b, "  ");
			term_text(&b, ci->anchor, strlen(ci->anchor), false);
		}
		buf_addc(&b, '\n');
		print_quote(&b, t, ci->quote, o->quote);
		buf_release(&label);
	}
	if (a->n_unsupported)
		buf_addf(&b, "  %zu sentence%s without support in the passages%s\n", a->n_unsupported,
			 a->n_unsupported == 1 ? "" : "s", o->strict ? ", left out" : "");
	if (b.data)
		fwrite(b.data, 1, b.len, stdout);
	fflush(stdout);
	buf_release(&b);
	if (a->by_attention)
		note(s->c, "attended %llu of %llu tokens, %s (%.1f %% of the attention), isolated%s",
		     (unsigned long long)a->attended, (unsigned long long)asking_tokens(s),
		     a->exact ? "exact" : "select", 100 * a->mass,
		     a->encoded ? "; passages were encoded for this question and are kept" : "");
	else
		note(s->c, "attended %llu of %llu tokens in %zu passages chosen by full text, isolated%s",
		     (unsigned long long)a->attended, (unsigned long long)asking_tokens(s), a->n_span,
		     a->encoded ? "; passages were encoded for this question and are kept" : "");
	if (a->truncated)
		warn(s->c, "the answer was cut at --max-tokens %lld", (long long)o->max_tokens);
	detail(s->c, "choose %.0f ms, encode %.0f ms (%llu tokens), prefill %.0f ms (%llu tokens read back, %llu computed), "
	       "first token after %.0f ms", 1e3 * a->t_choose, 1e3 * a->t_encode, (unsigned long long)a->encoded,
	       1e3 * a->t_prefill, (unsigned long long)a->reused, (unsigned long long)a->fresh, 1e3 * a->t_first);
}

void asking_not_found(struct asking *s)
{
	fflush(stdout);
	fprintf(stdout, "Not found in %llu files, %llu tokens.\n", (unsigned long long)s->a.n_file,
		(unsigned long long)asking_tokens(s));
}
