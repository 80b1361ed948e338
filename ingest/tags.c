#include "config.h"

#include "ingest/tags.h"

#include "base/size.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Elements whose content is text up to their own end tag. */
static const char *const raw[] = {
	"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"
};
static const char *const always_empty[] = {
	"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param",
	"source", "track", "wbr", "basefont", "bgsound", "frame", "keygen"
};
static const char *const end_optional[] = {
	"p", "li", "dd", "dt", "tr", "td", "th", "tbody", "thead", "tfoot", "option", "html",
	"head", "body", "colgroup"
};
static const char *const blocks[] = {
	"p", "div", "li", "dd", "dt", "tr", "br", "hr", "ul", "ol", "dl", "table", "pre",
	"blockquote", "section", "article", "main", "header", "footer", "nav", "aside", "form",
	"center", "address"
};
static const char *const kept[] = {
	"h1", "h2", "h3", "h4", "h5", "h6", "script", "style", "title"
};

static bool ends_name(char c)
{
	return c && strchr(" \t\r\n\f/>", c);
}

static bool among(const struct tag *t, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (tag_is(t, list[i]))
			return true;
	return false;
}
#define AMONG(t, list) among(t, list, ARRAY_LEN(list))

bool tag_is(const struct tag *t, const char *name)
{
	return !strncasecmp(t->name, name, t->n_name) && !name[t->n_name];
}

/* Behind the ">" of the tag that begins at p, quotes respected; the end when there is none. */
static const char *tag_end(const char *p, const char *end)
{
	char quote = 0;

	for (p++; p < end; p++) {
		if (quote) {
			if (*p == quote)
				quote = 0;
		} else if ((*p == '"' || *p == '\'') && p[-1] == '=') {
			quote = *p;
		} else if (*p == '>') {
			return p + 1;
		}
	}
	return end;
}

/* Behind the next occurrence of s, or the end. */
static const char *behind(const char *p, const char *end, const char *s)
{
	const char *q = memmem(p, (size_t)(end - p), s, strlen(s));

	return q ? q + strlen(s) : end;
}

/* Where the end tag of a raw element stands, or the end. */
static const char *raw_end(const char *p, const char *end, const struct tag *t)
{
	while (p < end && (p = memchr(p, '<', (size_t)(end - p)))) {
		if ((size_t)(end - p) > t->n_name + 2 && p[1] == '/' &&
		    !strncasecmp(p + 2, t->name, t->n_name) &&
		    ends_name(p[2 + t->n_name]))
			return p;
		p++;
	}
	return end;
}

bool tags_next(struct tags *t, struct tag *out)
{
	while (t->p < t->end && (t->p = memchr(t->p, '<', (size_t)(t->end - t->p)))) {
		const char *p = t->p;
		size_t left = (size_t)(t->end - p);

		if (left >= 4 && !memcmp(p, "<!--", 4)) {
			t->p = behind(p + 2, t->end, "-->");
		} else if (left >= 9 && !memcmp(p, "<![CDATA[", 9)) {
			t->p = behind(p, t->end, "]]>");
		} else if (left >= 2 && (p[1] == '!' || p[1] == '?')) {
			t->p = behind(p, t->end, ">");
		} else {
			*out = (struct tag){ .at = p, .closes = left >= 2 && p[1] == '/' };
			out->name = p + 1 + out->closes;
			if (out->name >= t->end || !isalpha((unsigned char)*out->name)) {
				t->p++;
				continue;
			}
			while (out->name + out->n_name < t->end &&
			       !ends_name(out->name[out->n_name]))
				out->n_name++;
			out->end = tag_end(p, t->end);
			out->empty = out->end - p >= 3 && !memcmp(out->end - 2, "/>", 2);
			t->p = out->end;
			if (!out->closes && !(t->xml && out->empty) && AMONG(out, raw))
				t->p = raw_end(out->end, t->end, out);
			return true;
		}
	}
	t->p = t->end;
	return false;
}

size_t tags_depth(const char *p, size_t n, bool xml)
{
	struct tags t = { p, p + n, xml };
	size_t depth = 0, deepest = 0, foreign = 0;
	struct tag tag;

	while (tags_next(&t, &tag)) {
		bool switches = tag_is(&tag, "svg") || tag_is(&tag, "math");

		/* Inside SVG and MathML no element is empty or closed by habit. */
		if (!foreign && (AMONG(&tag, end_optional) || AMONG(&tag, always_empty)))
			continue;
		if (tag.empty && (xml || foreign))
			continue;
		if (switches && tag.closes)
			foreign -= foreign > 0;
		else if (switches)
			foreign++;
		if (tag.closes)
			depth -= depth > 0;
		else
			depth++;
		deepest = MAX(deepest, depth);
	}
	return deepest;
}

void tags_write_out_empty(const char *p, size_t n, struct buf *out)
{
	struct tags t = { p, p + n, true };
	const char *from = p;
	struct tag tag;

	while (tags_next(&t, &tag)) {
		if (!tag.empty || tag.closes || AMONG(&tag, always_empty))
			continue;
		buf_add(out, from, (size_t)(tag.end - 2 - from));
		buf_adds(out, "></");
		buf_add(out, tag.name, tag.n_name);
		buf_addc(out, '>');
		from = tag.end;
	}
	buf_add(out, from, (size_t)(p + n - from));
}

void tags_flatten(const char *p, size_t n, bool xml, struct buf *out)
{
	struct tags t = { p, p + n, xml };
	const char *from = p;
	struct tag tag;

	while (tags_next(&t, &tag)) {
		if (AMONG(&tag, kept))
			continue;
		buf_add(out, from, (size_t)(tag.at - from));
		if (AMONG(&tag, blocks))
			buf_adds(out, "<br>");
		else if (tag_is(&tag, "td") || tag_is(&tag, "th"))
			buf_addc(out, ' ');
		from = tag.end;
	}
	buf_add(out, from, (size_t)(p + n - from));
}
