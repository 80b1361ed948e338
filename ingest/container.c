#include "config.h"

#include "ingest/container.h"

#include "base/size.h"
#include "base/utf8.h"
#include "ingest/encode.h"
#include "ingest/format.h"

#include <archive.h>
#include <archive_entry.h>
#include <libxml/parser.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool wanted(const char *name, const char *const *endings)
{
	size_t n = strlen(name);

	for (; *endings; endings++) {
		size_t k = strlen(*endings);

		if (n >= k && !strcasecmp(name + n - k, *endings))
			return true;
	}
	return false;
}

/* Read one member's bytes, counting them into *total.  A damaged one keeps what came out. */
static int read_member(struct archive *a, struct container *c, struct buf *out, uint64_t *total,
		       struct err *e)
{
	for (;;) {
		char block[16384];
		ssize_t k = archive_read_data(a, block, sizeof(block));

		if (k == 0)
			return 0;
		if (k < 0) {
			if (archive_read_has_encrypted_entries(a) == 1)
				return err_set(e, ERR_CORRUPT, "encrypted: a password is needed");
			snprintf(c->damage, sizeof(c->damage), "%s", archive_error_string(a));
			return 0;
		}
		*total += (uint64_t)k;
		if (*total > FORMAT_MAX_UNPACKED)
			return err_set(e, ERR_CORRUPT, "unpacks to more than %u MiB",
				       FORMAT_MAX_UNPACKED >> 20);
		if (out)
			buf_add(out, block, (size_t)k);
		if (out && out->failed)
			return err_nomem(e);
	}
}

static struct member *new_member(struct container *c, const char *name)
{
	struct member *m;

	if (c->n_member == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;

		m = reallocarray(c->member, cap, sizeof(*m));
		if (!m)
			return NULL;
		c->member = m;
		c->cap = cap;
	}
	while (!strncmp(name, "./", 2))
		name += 2;
	m = &c->member[c->n_member];
	*m = (struct member){ .name = strdup(name) };
	if (!m->name)
		return NULL;
	c->n_member++;
	return m;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(((const struct member *)x)->name, ((const struct member *)y)->name);
}

static int read_all(struct archive *a, struct container *c, const char *const *endings,
		    struct err *e)
{
	struct archive_entry *entry;
	uint64_t total = 0;
	unsigned n = 0;
	int rc, got;

	while ((got = archive_read_next_header(a, &entry)) == ARCHIVE_OK || got == ARCHIVE_WARN) {
		const char *name = archive_entry_pathname_utf8(entry);
		struct member *m = NULL;

		if (!name)
			name = archive_entry_pathname(entry);
		if (!name || utf8_check(name, strlen(name)) != strlen(name))
			name = "";
		if (++n > FORMAT_MAX_MEMBERS)
			return err_set(e, ERR_CORRUPT, "more than %u files in it",
				       FORMAT_MAX_MEMBERS);
		if (archive_entry_is_encrypted(entry))
			return err_set(e, ERR_CORRUPT, "encrypted: a password is needed");
		if (!wanted(name, endings))
			continue;
		m = new_member(c, name);
		if (!m)
			return err_nomem(e);
		rc = read_member(a, c, &m->data, &total, e);
		if (rc)
			return rc;
	}
	if (got != ARCHIVE_EOF && !c->damage[0])
		snprintf(c->damage, sizeof(c->damage), "%s", archive_error_string(a));
	if (!n)
		return err_set(e, ERR_CORRUPT, "damaged container: %.200s",
			       c->damage[0] ? c->damage : "nothing in it");
	return 0;
}

static int open_and_read(struct archive *a, struct container *c, const uint8_t *in, size_t n,
			 const char *const *endings, struct err *e)
{
	if (archive_read_support_format_zip(a) != ARCHIVE_OK ||
	    archive_read_open_memory(a, in, n) != ARCHIVE_OK)
		return err_set(e, ERR_CORRUPT, "damaged container: %.200s", archive_error_string(a));
	return read_all(a, c, endings, e);
}

int container_open(struct container *c, const uint8_t *in, size_t n, const char *const *endings,
		   struct err *e)
{
	/* In a locale that is not UTF-8 libarchive loses names that are. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t was = utf8 ? uselocale(utf8) : (locale_t)0;
	struct archive *a = archive_read_new();
	int rc;

	*c = (struct container){ 0 };
	if (!a)
		rc = err_nomem(e);
	else
		rc = open_and_read(a, c, in, n, endings, e);
	archive_read_free(a);
	if (utf8) {
		uselocale(was);
		freelocale(utf8);
	}
	if (rc)
		container_release(c);
	else if (c->n_member)
		qsort(c->member, c->n_member, sizeof(*c->member), by_name);
	return rc;
}

const struct buf *container_find(const struct container *c, const char *name)
{
	struct member key = { .name = (char *)(uintptr_t)name };
	const struct member *m = c->n_member ? bsearch(&key, c->member, c->n_member,
						       sizeof(*c->member), by_name) : NULL;

	return m ? &m->data : NULL;
}

void container_release(struct container *c)
{
	for (size_t i = 0; i < c->n_member; i++) {
		free(c->member[i].name);
		buf_release(&c->member[i].data);
	}
	free(c->member);
	*c = (struct container){ 0 };
}

/*** XML ***/

xmlDoc *xml_read(const struct buf *b)
{
	struct encoding enc;
	struct buf text = { 0 };
	xmlDoc *doc = NULL;

	/* Decoded here: what libxml2 recovers from bytes in a wrong encoding need not be UTF-8. */
	if (b->len && b->len < INT32_MAX &&
	    !format_decode(&text, &enc, b->data, b->len, NULL) && text.len && text.len < INT32_MAX)
		/* RECOVER: a book with one stray "&" is still a book. */
		doc = xmlReadMemory(text.data, (int)text.len, NULL, "UTF-8",
				    XML_PARSE_NONET | XML_PARSE_RECOVER | XML_PARSE_NOERROR |
				    XML_PARSE_NOWARNING | XML_PARSE_COMPACT);
	buf_release(&text);
	if (doc && doc->intSubset && doc->intSubset->entities) {
		xmlFreeDoc(doc);
		doc = NULL;
	}
	return doc;
}

int xml_is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

xmlNode *xml_child(const xmlNode *node, const char *name)
{
	for (xmlNode *kid = node ? node->children : NULL; kid; kid = kid->next)
		if (xml_is(kid, name))
			return kid;
	return NULL;
}

xmlNode *xml_next(const xmlNode *root, xmlNode *node, int skip)
{
	if (!node)
		return NULL;		/* a document without a root */
	/* Below an entity reference hangs the entity's own tree: never go there. */
	if (!skip && node->children && node->type == XML_ELEMENT_NODE)
		return node->children;
	while (node && node != root && !node->next)
		node = node->parent;
	return node && node != root ? node->next : NULL;
}

xmlNode *xml_first(const xmlNode *root)
{
	return xml_next(root, (xmlNode *)(uintptr_t)root, 0);
}

const char *xml_attr(const xmlNode *node, const char *name)
{
	for (const xmlAttr *a = node ? node->properties : NULL; a; a = a->next)
		if (!strcmp((const char *)a->name, name))
			return a->children && a->children->type == XML_TEXT_NODE &&
			       a->children->content ? (const char *)a->children->content : "";
	return "";
}

void xml_text(const xmlNode *node, struct buf *out)
{
	bool space = false, begun = false;

	for (xmlNode *k = xml_first(node); k; k = xml_next(node, k, 0)) {
		if (k->type != XML_TEXT_NODE && k->type != XML_CDATA_SECTION_NODE)
			continue;
		for (const char *s = (const char *)k->content; s && *s; s++) {
			if (strchr(" \t\r\n", *s)) {
				space = true;
				continue;
			}
			if (space && begun)
				buf_addc(out, ' ');
			space = false;
			begun = true;
			buf_addc(out, *s);
		}
	}
}
