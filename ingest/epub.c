#include "config.h"

#include "ingest/format.h"

#include "base/size.h"
#include "base/utf8.h"
#include "ingest/container.h"
#include "ingest/encode.h"
#include "ingest/html.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_SPINE   20000u
#define MAX_CHAPTER 50000u
#define PATH_BYTES  1024u

/* One entry of the table of contents. */
struct entry {
	char    *file;		/* path in the container */
	char    *fragment;	/* "" = the file's beginning */
	char    *title;
	bool     found;
	uint64_t at;
};

struct epub {
	struct document *d;
	struct container c;
	struct entry *toc;	/* sorted by file and fragment */
	size_t n_toc, cap_toc;
	const char *file;	/* the one that is being read */
	unsigned n_missing;
};

/*** Paths ***/

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 32) : NULL;

	return at && isxdigit((unsigned char)c) ? (int)(at - digits) : -1;
}

/* Take off "%41". */
static void unescape(char *s)
{
	char *o = s;

	for (; *s; s++) {
		if (*s == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0 && (hex(s[1]) || hex(s[2]))) {
			*o++ = (char)(hex(s[1]) << 4 | hex(s[2]));
			s += 2;
		} else {
			*o++ = *s;
		}
	}
	*o = '\0';
}

/* href, as seen from the file base, to a path in the container and a fragment behind "#".  False
 * when it leads out of the container or elsewhere. */
static bool resolve(const char *base, const char *href, char out[PATH_BYTES], const char **fragment)
{
	const char *slash = strrchr(base, '/');
	size_t dir = slash ? (size_t)(slash - base) + 1 : 0, len = strcspn(href, "#");
	char joined[2 * PATH_BYTES], *part, *save = NULL;
	size_t n = 0;

	*fragment = href[len] ? href + len + 1 : "";
	if (dir + len >= PATH_BYTES || memchr(href, ':', len))
		return false;
	if (!len) {			/* "#x": this file */
		snprintf(out, PATH_BYTES, "%s", base);
		return true;
	}
	memcpy(joined, base, dir);
	memcpy(joined + dir, href, len);
	joined[dir + len] = '\0';
	unescape(joined + dir);
	out[0] = '\0';
	for (part = strtok_r(joined, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			char *up = strrchr(out, '/');

			if (!n)
				return false;
			n = up ? (size_t)(up - out) : 0;
			out[n] = '\0';
			continue;
		}
		n += (size_t)snprintf(out + n, PATH_BYTES - n, "%s%s", n ? "/" : "", part);
		if (n >= PATH_BYTES)
			return false;
	}
	return n > 0;
}

/*** Table of contents ***/

static int by_target(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int c = strcmp(a->file, b->file);

	return c ? c : strcmp(a->fragment, b->fragment);
}

static void add_entry(struct epub *x, const char *base, const char *href, const struct buf *title)
{
	char path[PATH_BYTES];
	const char *fragment;
	struct entry *t;

	if (title->failed || !title->len || x->n_toc >= MAX_CHAPTER ||
	    !resolve(base, href, path, &fragment))
		return;
	if (x->n_toc == x->cap_toc) {
		size_t cap = x->cap_toc ? 2 * x->cap_toc : 32;

		t = reallocarray(x->toc, cap, sizeof(*t));
		if (!t) {
			x->d->text.failed = true;
			return;
		}
		x->toc = t;
		x->cap_toc = cap;
	}
	t = &x->toc[x->n_toc++];
	*t = (struct entry){ .file = strdup(path), .fragment = strdup(fragment),
			     .title = strdup(title->data) };
	if (!t->file || !t->fragment || !t->title) {
		free(t->file);
		free(t->fragment);
		free(t->title);
		x->n_toc--;
		x->d->text.failed = true;
		return;
	}
	unescape(t->fragment);
}

/* EPUB 3: <nav epub:type="toc"> with links; without a type the first nav there is. */
static void read_nav(struct epub *x, const char *path, const xmlNode *root)
{
	const xmlNode *nav = NULL;
	xmlNode *k;

	for (k = xml_first(root); k; k = xml_next(root, k, 0))
		if (xml_is(k, "nav") && (!nav || !strcmp(xml_attr(k, "type"), "toc"))) {
			nav = k;
			if (!strcmp(xml_attr(k, "type"), "toc"))
				break;
		}
	for (k = xml_first(nav); k; k = xml_next(nav, k, 0)) {
		struct buf title = { 0 };

		if (!xml_is(k, "a"))
			continue;
		xml_text(k, &title);
		add_entry(x, path, xml_attr(k, "href"), &title);
		buf_release(&title);
	}
}

/* EPUB 2: navPoint elements with a label and a target. */
static void read_ncx(struct epub *x, const char *path, const xmlNode *root)
{
	const xmlNode *map = xml_child(root, "navMap");
	xmlNode *k;

	for (k = xml_first(map); k; k = xml_next(map, k, 0)) {
		const xmlNode *label, *content;
		struct buf title = { 0 };

		if (!xml_is(k, "navPoint"))
			continue;
		label = xml_child(k, "navLabel");
		content = xml_child(k, "content");
		if (label && content) {
			xml_text(label, &title);
			add_entry(x, path, xml_attr(content, "src"), &title);
		}
		buf_release(&title);
	}
}

static void read_toc(struct epub *x, const char *opf, const char *href, bool is_nav)
{
	char path[PATH_BYTES];
	const char *fragment;
	const struct buf *b;
	xmlDoc *doc;

	if (x->n_toc || !resolve(opf, href, path, &fragment))
		return;
	b = container_find(&x->c, path);
	doc = b ? xml_read(b) : NULL;
	if (!doc)
		return;
	if (is_nav)
		read_nav(x, path, xmlDocGetRootElement(doc));
	else
		read_ncx(x, path, xmlDocGetRootElement(doc));
	xmlFreeDoc(doc);
}

/*** Chapters ***/

/* An element with an id has begun its text: is it the target of an entry? */
static void on_id(void *ctx, const char *id, uint64_t at)
{
	struct epub *x = ctx;
	struct entry key = { .file = (char *)(uintptr_t)x->file,
			     .fragment = (char *)(uintptr_t)id };
	struct entry *t = x->n_toc ? bsearch(&key, x->toc, x->n_toc, sizeof(*t), by_target) : NULL;

	if (!t)
		return;
	while (t > x->toc && !by_target(t - 1, &key))
		t--;
	for (; t < x->toc + x->n_toc && !by_target(t, &key); t++)
		if (!t->found) {
			t->found = true;
			t->at = at;
		}
}

/* One file of the spine.  Entries whose fragment is nowhere begin with the file. */
static int add_file(struct epub *x, const char *path, struct err *e)
{
	const struct buf *b = container_find(&x->c, path);
	struct html_opt opt = { .xml = true, .on_id = on_id, .ctx = x };
	struct encoding enc;
	struct buf page = { 0 };
	uint64_t at;
	int rc;

	if (!b || !b->len) {
		x->n_missing++;
		return 0;
	}
	rc = format_decode(&page, &enc, b->data, b->len, NULL);
	if (rc == ERR_MISMATCH) {
		x->n_missing++;
		rc = 0;
	} else if (!rc) {
		if (x->d->text.len)
			buf_addc(&x->d->text, '\n');
		at = x->d->text.len;
		x->file = path;
		rc = html_append(x->d, page.data ? page.data : "", page.len, &opt, e);
		if (x->d->text.len == at && at)
			x->d->text.len--;	/* a file without text leaves no blank line */
		for (size_t i = 0; i < x->n_toc; i++)
			if (!x->toc[i].found && !strcmp(x->toc[i].file, path)) {
				x->toc[i].found = true;
				x->toc[i].at = MIN(at, x->d->text.len);
			}
	}
	buf_release(&page);
	return rc ? err_nomem(e) : 0;
}

static int by_offset(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;

	return (a->at > b->at) - (a->at < b->at);
}

static void add_chapters(struct epub *x)
{
	uint32_t n = 0;

	if (x->n_toc)
		qsort(x->toc, x->n_toc, sizeof(*x->toc), by_offset);
	for (size_t i = 0; i < x->n_toc; i++)
		if (x->toc[i].found)
			doc_anchor(x->d, ANCHOR_CHAPTER, ++n, x->toc[i].at, x->toc[i].title, NULL);
}

/*** The package ***/

static const xmlNode *manifest_item(const xmlNode *manifest, const char *id)
{
	for (const xmlNode *k = manifest ? manifest->children : NULL; k; k = k->next)
		if (xml_is(k, "item") && *id && !strcmp(xml_attr(k, "id"), id))
			return k;
	return NULL;
}

static void find_toc(struct epub *x, const char *opf, const xmlNode *manifest, const xmlNode *spine)
{
	const xmlNode *ncx;

	for (const xmlNode *k = manifest ? manifest->children : NULL; k; k = k->next)
		if (xml_is(k, "item") && strstr(xml_attr(k, "properties"), "nav"))
			read_toc(x, opf, xml_attr(k, "href"), true);
	ncx = manifest_item(manifest, xml_attr(spine, "toc"));
	if (ncx)
		read_toc(x, opf, xml_attr(ncx, "href"), false);
	if (x->n_toc)
		qsort(x->toc, x->n_toc, sizeof(*x->toc), by_target);
}

/* Is any page of the spine under the key of a shop?  Obfuscated fonts are harmless. */
static bool has_drm(const struct epub *x)
{
	const struct buf *b = container_find(&x->c, "META-INF/encryption.xml");
	xmlDoc *doc = b ? xml_read(b) : NULL;
	bool found = false;

	if (doc) {
		const xmlNode *root = xmlDocGetRootElement(doc);

		for (xmlNode *k = xml_first(root); k && !found; k = xml_next(root, k, 0)) {
			const char *uri = xml_is(k, "CipherReference") ? xml_attr(k, "URI") : "";
			size_t n = strlen(uri);

			found = n > 4 && (!strcasecmp(uri + n - 4, "html") ||
					  !strcasecmp(uri + n - 4, ".htm"));
		}
		xmlFreeDoc(doc);
	}
	return found;
}

static int read_spine(struct epub *x, const char *opf, const xmlNode *package, struct err *e)
{
	const xmlNode *manifest = xml_child(package, "manifest");
	const xmlNode *spine = xml_child(package, "spine");
	unsigned n = 0;
	int rc = 0;

	if (!spine || !manifest)
		return err_set(e, ERR_CORRUPT, "its package file has no spine");
	find_toc(x, opf, manifest, spine);
	for (const xmlNode *k = spine->children; k && !rc && n < MAX_SPINE; k = k->next) {
		const xmlNode *item;
		char path[PATH_BYTES];
		const char *fragment;

		if (!xml_is(k, "itemref"))
			continue;
		n++;
		item = manifest_item(manifest, xml_attr(k, "idref"));
		if (item && resolve(opf, xml_attr(item, "href"), path, &fragment))
			rc = add_file(x, path, e);
		else
			x->n_missing++;
		if (x->d->text.failed)
			rc = err_nomem(e);
		if (x->d->text.len > FORMAT_MAX_UNPACKED)
			rc = err_set(e, ERR_CORRUPT, "more than %u MiB of text",
				     FORMAT_MAX_UNPACKED >> 20);
	}
	if (rc)
		return rc;
	add_chapters(x);
	if (x->n_missing)
		doc_note(x->d, "%u of %u files of the spine are missing or unreadable",
			 x->n_missing, n);
	if (!x->d->text.len)
		return err_set(e, ERR_CORRUPT, "no text in it");
	return 0;
}

static int read_package(struct epub *x, struct err *e)
{
	const struct buf *b = container_find(&x->c, "META-INF/container.xml");
	xmlDoc *box = b ? xml_read(b) : NULL, *package;
	const xmlNode *files = box ? xml_child(xmlDocGetRootElement(box), "rootfiles") : NULL;
	char opf[PATH_BYTES] = "";
	int rc;

	snprintf(opf, sizeof(opf), "%s", xml_attr(xml_child(files, "rootfile"), "full-path"));
	xmlFreeDoc(box);
	b = container_find(&x->c, opf);
	package = b ? xml_read(b) : NULL;
	if (!package || !xmlDocGetRootElement(package))
		rc = err_set(e, ERR_CORRUPT, "its package file is missing or unreadable%s%.150s",
			     x->c.damage[0] ? ": " : "", x->c.damage);
	else if (has_drm(x))
		rc = err_set(e, ERR_CORRUPT, "encrypted: its pages need a key (DRM)");
	else
		rc = read_spine(x, opf, xmlDocGetRootElement(package), e);
	xmlFreeDoc(package);
	return rc;
}

int format_epub(const uint8_t *in, size_t n, struct document *d, struct err *e)
{
	static const char *const endings[] = {
		".xml", ".opf", ".ncx", ".xhtml", ".html", ".htm", NULL
	};
	struct epub x = { .d = d };
	int rc = container_open(&x.c, in, n, endings, e);

	if (rc)
		return rc;
	d->kind = DOC_EPUB;
	snprintf(d->encoding, sizeof(d->encoding), "UTF-8");
	rc = read_package(&x, e);
	if (x.c.damage[0])
		doc_note(d, "damaged, read as far as it goes: %s", x.c.damage);
	for (size_t i = 0; i < x.n_toc; i++) {
		free(x.toc[i].file);
		free(x.toc[i].fragment);
		free(x.toc[i].title);
	}
	free(x.toc);
	container_release(&x.c);
	return rc ? rc : d->text.failed ? err_nomem(e) : 0;
}
