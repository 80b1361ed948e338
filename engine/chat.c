#include "config.h"

#include "engine/chat.h"

#include "base/buf.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* A message is: before (id), role, after (id, or none), gap + text, end (id), close. */
static const struct shape {
	const char *name;
	const char *before, *after, *end;
	const char *gap;		/* between the header and the text */
	const char *close;		/* after the end marker */
	bool always_bos;		/* the template itself puts it */
	bool trim[3];			/* by role */
} shapes[] = {
	[CHAT_PLAIN] = { "plain", NULL, NULL, NULL, "", "\n\n", false, { false, false, false } },
	[CHAT_LLAMA3] = { "llama3", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "\n\n", "",
			  true, { true, true, true } },
	[CHAT_LLAMA4] = { "llama4", "<|header_start|>", "<|header_end|>", "<|eot|>", "\n\n", "", true,
			  { true, false, false } },
	[CHAT_CHATML] = { "chatml", "<|im_start|>", NULL, "<|im_end|>", "\n", "\n", false,
			  { false, false, false } },
};

static const char *const roles[] = {
	[CHAT_SYSTEM] = "system", [CHAT_USER] = "user", [CHAT_ASSISTANT] = "assistant",
};

struct chat {
	const struct tok *tok;
	const struct shape *shape;
	bool    known;
	int32_t before, after, end;	/* -1: none */
	char   *system;			/* "" when the template has none */
	char   *no_think;
};

/* Reading a template. */

static const char *find(const char *s, const char *end, const char *what)
{
	return s < end ? memmem(s, (size_t)(end - s), what, strlen(what)) : NULL;
}

/* The rest of a Jinja string literal from s on: unescaped into out up to the text `stop`, or to the
 * closing quote where stop is NULL.  False when the literal ends too early or goes on for ever. */
static bool literal(const char *s, const char *end, char quote, const char *stop, struct buf *out)
{
	for (; s < end; s++) {
		if (stop && (size_t)(end - s) >= strlen(stop) && !memcmp(s, stop, strlen(stop)))
			return true;
		if (*s == quote)
			return !stop;
		if (*s == '\\' && s + 1 < end) {
			s++;
			buf_addc(out, *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'r' ? '\r' : *s);
			continue;
		}
		buf_addc(out, *s);
	}
	return false;
}

/* Skip one line end, written as it is or escaped; NULL when there is none. */
static const char *line_end(const char *s, const char *end)
{
	if (s < end && *s == '\n')
		return s + 1;
	if (end - s >= 2 && s[0] == '\\' && s[1] == 'n')
		return s + 2;
	return NULL;
}

/* '<|im_start|>system\nTEXT<|im_end|>' as one literal is a default system message; where the message
 * is put together from parts, the literal ends at the line end. */
static char *find_system(const char *s, const char *end)
{
	static const char mark[] = "<|im_start|>system";
	const char *start = s;
	struct buf b = { 0 };

	while ((s = find(s, end, mark))) {
		const char *text = line_end(s + sizeof mark - 1, end);
		char quote = s > start ? s[-1] : 0;

		buf_clear(&b);
		if (text && (quote == '\'' || quote == '"') &&
		    literal(text, end, quote, "<|im_end|>", &b) && b.len)
			return buf_take(&b);
		s += sizeof mark - 1;
	}
	buf_release(&b);
	return strdup("");
}

/* '...<think>\n\n</think>...' as one literal is what asks for no reasoning. */
static char *find_no_think(const char *s, const char *end)
{
	static const char mark[] = "<think>";
	struct buf b = { 0 };

	while ((s = find(s, end, mark))) {
		const char *p = line_end(s + sizeof mark - 1, end);
		char quote;

		p = p ? line_end(p, end) : NULL;
		if (p && end - p >= 8 && !memcmp(p, "</think>", 8)) {
			/* Which quote closes it: the first one behind. */
			const char *q = p;

			while (q < end && *q != '\'' && *q != '"')
				q++;
			quote = q < end ? *q : 0;
			buf_clear(&b);
			if (quote && literal(s, end, quote, NULL, &b))
				return buf_take(&b);
		}
		s += sizeof mark - 1;
	}
	buf_release(&b);
	return strdup("");
}

static enum chat_family recognise(const char *s, size_t n, bool *known)
{
	const char *end = s + n;

	*known = true;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		if (n == strlen(shapes[i].name) && !memcmp(s, shapes[i].name, n))
			return (enum chat_family)i;
	if (find(s, end, "<|im_start|>"))
		return CHAT_CHATML;
	if (find(s, end, "<|header_start|>"))
		return CHAT_LLAMA4;
	if (find(s, end, "<|start_header_id|>"))
		return CHAT_LLAMA3;
	*known = n == 0;
	return CHAT_PLAIN;
}

static int marker(const struct chat *c, const char *name, int32_t *id, struct err *e)
{
	*id = name ? tok_find(c->tok, name) : -1;
	if (name && *id < 0)
		return err_set(e, ERR_MODEL, "the chat template is of the family '%s', and the "
			       "vocabulary has no '%s'", c->shape->name, name);
	return 0;
}

int chat_open_text(struct chat **out, const char *text, size_t n, const struct tok *t,
		   struct err *e)
{
	struct chat *c = calloc(1, sizeof *c);
	int rc;

	*out = NULL;
	if (!c)
		return err_nomem(e);
	c->tok = t;
	c->shape = &shapes[recognise(text, n, &c->known)];
	c->system = c->shape == &shapes[CHAT_CHATML] ? find_system(text, text + n) : strdup("");
	c->no_think = find_no_think(text, text + n);
	if (!c->system || !c->no_think)
		rc = err_nomem(e);
	else
		rc = marker(c, c->shape->before, &c->before, e);
	if (!rc)
		rc = marker(c, c->shape->after, &c->after, e);
	if (!rc)
		rc = marker(c, c->shape->end, &c->end, e);
	if (rc) {
		chat_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

int chat_open(struct chat **out, const struct gguf *g, const struct tok *t, struct err *e)
{
	struct gguf_str s = { "", 0 };

	gguf_get_str(g, "tokenizer.chat_template", &s);
	return chat_open_text(out, s.s, s.n, t, e);
}

void chat_close(struct chat *c)
{
	if (!c)
		return;
	free(c->system);
	free(c->no_think);
	free(c);
}

enum chat_family chat_family(const struct chat *c)
{
	return (enum chat_family)(c->shape - shapes);
}

const char *chat_name(const struct chat *c)
{
	return c->shape->name;
}

bool chat_known(const struct chat *c)
{
	return c->known;
}

const char *chat_default_system(const struct chat *c)
{
	return c->system;
}

/* Writing messages. */

static int put_id(struct tok_ids *ids, int32_t id, struct err *e)
{
	if (id < 0)
		return 0;
	if (ids->n == ids->cap) {
		size_t cap = ids->cap * 2 + 16;
		int32_t *more = realloc(ids->id, cap * sizeof *more);

		if (!more)
			return err_nomem(e);
		ids->id = more;
		ids->cap = cap;
	}
	ids->id[ids->n++] = id;
	return 0;
}

static int put_text(const struct chat *c, const char *s, size_t n, struct tok_ids *ids,
		    struct err *e)
{
	return n ? tok_encode(c->tok, s, n, 0, ids, NULL, e) : 0;
}

static bool is_space(char x)
{
	return x == ' ' || (x >= '\t' && x <= '\r');
}

/* Marker and role; what follows them goes with the text. */
static int put_role(const struct chat *c, enum chat_role role, struct buf *rest,
		    struct tok_ids *ids, struct err *e)
{
	int rc = put_id(ids, c->before, e);

	if (c->before < 0)
		return rc;
	if (c->after < 0) {
		/* No marker between the role and its line end: they are one text. */
		buf_adds(rest, roles[role]);
		buf_adds(rest, c->shape->gap);
		return rc;
	}
	if (!rc)
		rc = put_text(c, roles[role], strlen(roles[role]), ids, e);
	if (!rc)
		rc = put_id(ids, c->after, e);
	buf_adds(rest, c->shape->gap);
	return rc;
}

/* Header, text, and the end if wanted; on an error ids is cut back to what it was. */
static int put_all(const struct chat *c, enum chat_role role, const char *text, size_t n, bool end,
		   struct tok_ids *ids, struct err *e)
{
	struct buf rest = { 0 };
	size_t n_before = ids->n;
	int rc = put_role(c, role, &rest, ids, e);

	buf_add(&rest, text, n);
	if (!rc && rest.failed)
		rc = err_nomem(e);
	if (!rc && end && c->end < 0)
		buf_adds(&rest, c->shape->close);
	if (!rc)
		rc = put_text(c, rest.data, rest.len, ids, e);
	if (!rc && end && c->end >= 0)
		rc = chat_tail(c, ids, e);
	if (rc)
		ids->n = n_before;
	buf_release(&rest);
	return rc;
}

int chat_begin(const struct chat *c, unsigned flags, struct tok_ids *ids, struct err *e)
{
	size_t n_before = ids->n;
	int rc;

	if (c->shape->always_bos)
		rc = put_id(ids, tok_bos(c->tok), e);
	else
		rc = tok_encode(c->tok, "", 0, TOK_BOS, ids, NULL, e);
	if (!rc && flags & CHAT_DEFAULT_SYSTEM && *c->system)
		rc = chat_message(c, CHAT_SYSTEM, c->system, strlen(c->system), ids, e);
	if (rc)
		ids->n = n_before;
	return rc;
}

int chat_message(const struct chat *c, enum chat_role role, const char *text, size_t n,
		 struct tok_ids *ids, struct err *e)
{
	if (c->shape->trim[role]) {
		while (n && is_space(text[n - 1]))
			n--;
		while (n && is_space(*text))
			text++, n--;
	}
	return put_all(c, role, text, n, true, ids, e);
}

int chat_prompt(const struct chat *c, unsigned flags, struct tok_ids *ids, struct err *e)
{
	const char *text = flags & CHAT_NO_THINK && c->before >= 0 ? c->no_think : "";

	return put_all(c, CHAT_ASSISTANT, text, strlen(text), false, ids, e);
}

int chat_head(const struct chat *c, enum chat_role role, struct tok_ids *ids, struct err *e)
{
	return put_all(c, role, "", 0, false, ids, e);
}

int chat_tail(const struct chat *c, struct tok_ids *ids, struct err *e)
{
	size_t n_before = ids->n;
	int rc = put_id(ids, c->end, e);

	if (!rc)
		rc = put_text(c, c->shape->close, strlen(c->shape->close), ids, e);
	if (rc)
		ids->n = n_before;
	return rc;
}
