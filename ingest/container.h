/* ingest/container.h - the members of a ZIP container in memory, and XML out of them
 *
 * EPUB and DOCX are ZIP files of XML.  All members whose names end in something worth reading are
 * unpacked at once, within FORMAT_MAX_UNPACKED bytes and FORMAT_MAX_MEMBERS names; nothing touches
 * the disk, so a member called "../../etc/passwd" is a name and no more.
 *
 * XML is parsed without network and without entities: a document that declares any is refused
 * where it matters (these formats never do), and references to them are no text.
 */
#ifndef INGEST_CONTAINER_H
#define INGEST_CONTAINER_H

#include "base/buf.h"
#include "base/err.h"

#include <libxml/tree.h>
#include <stddef.h>
#include <stdint.h>

struct member {
	char      *name;	/* as stored, UTF-8; "\" never, no "./" in front */
	struct buf data;
};

struct container {
	struct member *member;		/* sorted by name */
	size_t n_member, cap;
	char   damage[200];		/* why reading stopped early, "" when it did not */
};

/* endings: what to keep, a NULL-ended list of ".xml", ".html" ...  A container cut short gives what
 * came before, with damage set.  ERR_CORRUPT: no ZIP, encrypted, over a limit. */
int container_open(struct container *c, const uint8_t *in, size_t n, const char *const *endings,
		   struct err *e);
/* NULL when there is no such member. */
const struct buf *container_find(const struct container *c, const char *name);
void container_release(struct container *c);

/* NULL when it is no XML at all, or declares entities.  xmlFreeDoc it. */
xmlDoc *xml_read(const struct buf *b);
/* Does the element have this name, whatever its namespace? */
int xml_is(const xmlNode *node, const char *name);
/* The first child element with this name; NULL, also for node NULL. */
xmlNode *xml_child(const xmlNode *node, const char *name);
/* The node after node in document order that is inside root, not looking into node when skip is
 * set; NULL at the end.  For walks without recursion. */
xmlNode *xml_next(const xmlNode *root, xmlNode *node, int skip);
/* Where such a walk begins; NULL for an empty root or none. */
xmlNode *xml_first(const xmlNode *root);
/* The attribute's value, whatever its namespace, "" when it has none; borrowed. */
const char *xml_attr(const xmlNode *node, const char *name);
/* Append all text below node; blanks collapsed, none at both ends. */
void xml_text(const xmlNode *node, struct buf *out);

#endif
