/* ingest/tags.h - the tags of an HTML or XHTML text, one after the other, without a tree
 *
 * What has to be known before a parser may be trusted with a page, and done to it so that it can
 * be: how deep it nests, empty XHTML elements written out, nesting taken off.  Linear in the size
 * of the page whatever it holds.
 */
#ifndef INGEST_TAGS_H
#define INGEST_TAGS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct tag {
	const char *at, *end;	/* from "<" to behind ">" */
	const char *name;	/* behind "<" or "</" */
	size_t      n_name;
	bool        closes;	/* </p> */
	bool        empty;	/* <p/> */
};

struct tags {
	const char *p, *end;
	bool        xml;	/* <script/> is complete: no raw text follows */
};

/* The next tag; comments, declarations and the insides of script, style and the like are skipped.
 * False at the end. */
bool tags_next(struct tags *t, struct tag *out);

/* Is the tag's name this one, in any case? */
bool tag_is(const struct tag *t, const char *name);

/* An estimate, from above, of how deep a parser's tree gets.  Elements whose end tag may be left
 * out do not count. */
size_t tags_depth(const char *p, size_t n, bool xml);

/* Append the text with "<a id='x'/>" as "<a id='x'></a>", except for the elements that are always
 * empty: an HTML parser would leave them open to the end of the page. */
void tags_write_out_empty(const char *p, size_t n, struct buf *out);

/* Append the text with headings, script, style and title as they are, other block elements as
 * "<br>", and no tag for the rest: the tree of that is flat. */
void tags_flatten(const char *p, size_t n, bool xml, struct buf *out);

#endif
