#include "config.h"

#include "ingest/diff.h"

#include "base/hash.h"
#include "base/size.h"
#include "base/stop.h"
#include "ingest/diff_lines.h"
#include "ingest/diff_rename.h"
#include "ingest/diff_sections.h"
#include "ingest/diff_side.h"
#include "ingest/diff_symbols.h"
#include "ingest/extract.h"
#include "ingest/language.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* core.bigFileThreshold: git calls larger files binary. */
#define BIG_FILE ((uint64_t)512 << 20)
/* Extracted documents and prose beyond this are not looked at paragraph by paragraph. */
#define PROSE_MAX ((size_t)32 << 20)

struct facts {
	struct diff_report *r;
	struct side_entry *a, *b;	/* of the sides */
	size_t n_a, n_b;
	const struct diff_opts *o;
	struct extractor *x;
	struct pair *pair;
	size_t n_pair;
	uint64_t no_symbols;		/* files too large for ctags */
};

/* Entries of both sides that stand for one file; SIZE_MAX: none. */
struct pair {
	size_t   a, b;
	uint32_t score;			/* of 60,000, when it is a rename */
	bool     renamed;
};

static int interrupted(struct err *e)
{
	return stop_requested() ? err_set(e, ERR_INTR, "interrupted") : 0;
}

/* ---- which files differ ---- */

static int note_not_compared(struct facts *k, const char *path, const char *why, struct err *e)
{
	struct buf *b = &k->r->not_compared;

	buf_add(b, path, strlen(path) + 1);
	buf_add(b, why, strlen(why) + 1);
	k->r->n_not_compared++;
	return b->failed ? err_nomem(e) : 0;
}

static int not_readable(struct facts *k, const char *path, struct err *e)
{
	char why[sizeof(e->msg)] = "not readable";

	if (e)
		memcpy(why, e->msg, sizeof(why));
	k->r->n_unreadable++;
	return note_not_compared(k, path, why, e);
}

/* Two entries of one path.  1: they differ, 0: they do not, or an error. */
static int differ(struct facts *k, struct side_entry *a, struct side_entry *b, struct err *e)
{
	struct buf x = { 0 }, y = { 0 };
	int rc;

	if (a->reason || b->reason)
		return note_not_compared(k, b->path, b->reason ? b->reason : a->reason, e);
	if (a->mode && b->mode && a->mode != b->mode)
		return 1;
	if (a->oid[0] && b->oid[0] && strlen(a->oid) == strlen(b->oid) && !strncmp(a->oid, b->oid, 3) &&
	    !strcmp(a->oid, b->oid))
		return 0;
	if (a->size != UINT64_MAX && b->size != UINT64_MAX && a->size != b->size)
		return 1;
	rc = side_read(k->r->a, a, SIZE_MAX >> 2, &x, e);
	if (!rc)
		rc = side_read(k->r->b, b, SIZE_MAX >> 2, &y, e);
	if (rc == ERR_IO || rc == ERR_NOTFOUND || rc == ERR_CORRUPT)
		rc = not_readable(k, b->path, e);
	else if (!rc)
		rc = x.len != y.len || (x.len && memcmp(x.data, y.data, x.len)) ? 1 : 0;
	buf_release(&x);
	buf_release(&y);
	return rc;
}

struct renames {
	struct facts *k;
	struct rename_file *del, *add;
	size_t n_del, n_add;
};

static int read_rename(void *ctx, bool deleted, const struct rename_file *f, struct buf *out, struct err *e)
{
	struct renames *n = ctx;
	struct facts *k = n->k;

	return deleted ? side_read(k->r->a, &k->a[f->user], SIZE_MAX >> 2, out, e)
		       : side_read(k->r->b, &k->b[f->user], SIZE_MAX >> 2, out, e);
}

/* The same name for the same bytes: objects where both sides have them, else a hash. */
static int name_content(struct facts *k, struct rename_file *f, bool deleted, bool by_oid, struct err *e)
{
	struct side_entry *en = deleted ? &k->a[f->user] : &k->b[f->user];
	struct buf b = { 0 };
	struct hasher h;
	struct id id;
	int rc;

	f->size = side_size(deleted ? k->r->a : k->r->b, en);
	if (by_oid) {
		memcpy(f->content, en->oid, sizeof(f->content));
		return 0;
	}
	rc = side_read(deleted ? k->r->a : k->r->b, en, SIZE_MAX >> 2, &b, e);
	if (!rc) {
		hasher_init(&h);
		hasher_add(&h, b.data ? b.data : "", b.len);
		id = hasher_done(&h);
		id_hex(&id, f->content);
	}
	buf_release(&b);
	return rc;
}

static int find_renames(struct facts *k, struct err *e)
{
	struct renames n = { .k = k };
	bool limited = false, by_oid = true;
	size_t i, out = 0;
	int rc = 0;

	n.del = calloc(k->n_pair + 1, sizeof(*n.del));
	n.add = calloc(k->n_pair + 1, sizeof(*n.add));
	if (!n.del || !n.add)
		rc = err_nomem(e);
	for (i = 0; i < k->n_pair && !rc; i++) {
		const struct pair *p = &k->pair[i];
		const struct side_entry *en = p->b == SIZE_MAX ? &k->a[p->a] : &k->b[p->b];

		if ((p->a != SIZE_MAX && p->b != SIZE_MAX) || en->reason)
			continue;
		by_oid &= en->oid[0] && strncmp(en->oid, "doc", 3);
		if (p->b == SIZE_MAX)
			n.del[n.n_del++] = (struct rename_file){ .path = en->path, .mode = en->mode, .user = p->a };
		else
			n.add[n.n_add++] = (struct rename_file){ .path = en->path, .mode = en->mode, .user = p->b };
	}
	if (!rc && n.n_del && n.n_add) {
		for (i = 0; i < n.n_del && !rc; i++)
			rc = name_content(k, &n.del[i], true, by_oid, e);
		for (i = 0; i < n.n_add && !rc; i++)
			rc = name_content(k, &n.add[i], false, by_oid, e);
		if (!rc)
			rc = rename_find(n.del, n.n_del, n.add, n.n_add, read_rename, &n, &limited, e);
	}
	if (limited)
		diff_note(k->r, "%zu added and %zu deleted files: too many to look for all renames with changes",
			  n.n_add, n.n_del);
	/* A deleted file that was renamed is told at its new place.  Both lists are in order of pairs. */
	for (size_t d = 0, a = 0, p = 0; !rc && n.n_del && n.n_add && p < k->n_pair; p++) {
		struct pair *q = &k->pair[p];
		bool gone = false;

		if (q->b == SIZE_MAX && d < n.n_del && n.del[d].user == q->a) {
			gone = n.del[d++].taken;
		} else if (q->a == SIZE_MAX && a < n.n_add && n.add[a].user == q->b) {
			if (n.add[a].source >= 0) {
				q->a = n.del[n.add[a].source].user;
				q->score = n.add[a].score;
				q->renamed = true;
			}
			a++;
		}
		if (!gone)
			k->pair[out++] = *q;
	}
	if (!rc && n.n_del && n.n_add)
		k->n_pair = out;
	free(n.del);
	free(n.add);
	return rc;
}

static int find_pairs(struct facts *k, struct err *e)
{
	size_t i = 0, j = 0;
	int rc = 0;

	k->pair = calloc(k->n_a + k->n_b + 1, sizeof(*k->pair));
	if (!k->pair)
		return err_nomem(e);
	/* Two files are meant as versions of one, whatever their names are. */
	if (side_kind(k->r->a) == SIDE_FILE && side_kind(k->r->b) == SIDE_FILE) {
		rc = differ(k, &k->a[0], &k->b[0], e);
		k->n_pair = rc == 1;
		k->pair[0] = (struct pair){ 0, 0, 0, false };
		return rc < 0 ? rc : 0;
	}
	while (rc >= 0 && (i < k->n_a || j < k->n_b)) {
		int d = i == k->n_a ? 1 : j == k->n_b ? -1 : strcmp(k->a[i].path, k->b[j].path);

		if (d < 0) {
			k->pair[k->n_pair++] = (struct pair){ i++, SIZE_MAX, 0, false };
		} else if (d > 0) {
			k->pair[k->n_pair++] = (struct pair){ SIZE_MAX, j++, 0, false };
		} else {
			rc = differ(k, &k->a[i], &k->b[j], e);
			if (rc == 1)
				k->pair[k->n_pair++] = (struct pair){ i, j, 0, false };
			i++;
			j++;
		}
		if (rc >= 0 && stop_requested())
			rc = interrupted(e);
	}
	return rc < 0 ? rc : find_renames(k, e);
}

/* ---- one file ---- */

/* One version of it. */
struct version {
	struct diff_side  *side;
	struct side_entry *en;		/* NULL: not there */
	struct buf         raw;
	struct document    doc;		/* filled when it was extracted or stored */
	bool               has_doc;
};

static void drop_version(struct version *v)
{
	buf_release(&v->raw);
	doc_release(&v->doc);
}

static const char *text_of(const struct version *v, size_t *n)
{
	const struct buf *b = v->has_doc ? &v->doc.text : &v->raw;

	*n = b->len;
	return b->data ? b->data : "";
}

static bool is_file(const struct version *v)
{
	return v->en && (!v->en->mode || (v->en->mode & MODE_TYPE_MASK) == MODE_FILE);
}

static int load(struct version *v, struct err *e)
{
	if (!v->en || v->en->reason)
		return 0;
	if (side_kind(v->side) == SIDE_SNAPSHOT) {
		v->has_doc = true;
		return side_document(v->side, v->en, &v->doc, e);
	}
	return side_read(v->side, v->en, SIZE_MAX >> 2, &v->raw, e);
}

/* Its text instead of its bytes.  A file nobody can read stays bytes, and the reason is told. */
static int take_text(struct facts *k, struct version *v, struct diff_file *f, struct err *e)
{
	struct err why = { 0 };
	int rc;

	if (!v->en || v->has_doc || v->en->reason)
		return 0;
	rc = extract(k->x, v->en->path, v->raw.data ? v->raw.data : "", v->raw.len, &v->doc, &why);
	v->has_doc = !rc;
	if (!rc || rc == ERR_MISMATCH)
		return 0;
	if (rc == ERR_CORRUPT || rc == ERR_NOTFOUND) {
		f->note = diff_keep(k->r, why.msg, strlen(why.msg));
		return 0;
	}
	if (e)
		*e = why;
	return rc;
}

static enum doc_kind kind_of(const struct version *v)
{
	if (!v->en)
		return DOC_TEXT;
	if (v->has_doc)
		return v->doc.kind;
	return extract_detect(v->en->path, v->raw.data ? v->raw.data : "", v->raw.len);
}

static bool laid_out(enum doc_kind kind)
{
	return kind == DOC_PDF || kind == DOC_EPUB || kind == DOC_DOCX || kind == DOC_HTML || kind == DOC_NOTEBOOK;
}

/* Formats whose keys are no symbols of a program. */
static bool has_symbols(const char *language)
{
	static const char *const data[] = { "JSON", "Yaml", "TOML", "XML", "SVG", "Iniconf", "Conf", "Diff", "Tex",
					    "BibTeX", "Make", "Automake", "Autoconf", "M4", "CMake", "XSLT", "CSS",
					    "SCSS", "LESS", "DosBatch", "" };

	for (size_t i = 0; i < ARRAY_LEN(data); i++)
		if (!strcmp(language, data[i]))
			return false;
	return true;
}

/* Prose inside a tree: a list of requirements is text as well, and no prose. */
static bool is_prose(const char *path, enum doc_kind kind)
{
	static const char *const names[] = { "README", "NEWS", "CHANGE", "HISTORY", "INSTALL", "COPYING", "LICENSE" };
	const char *tail = name_tail(path);

	if (kind == DOC_MARKDOWN || name_ends(path, "rst"))
		return true;
	if (!name_ends(path, "txt") && strchr(tail, '.'))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strncmp(tail, names[i], strlen(names[i])))
			return true;
	return strstr(path, "doc/") || strstr(path, "docs/");
}

static int get_symbols(struct facts *k, struct version *v, struct err *e)
{
	if (!v->en || v->doc.n_anchor)
		return 0;	/* a stored document has its symbols */
	if (!v->has_doc) {
		v->doc.text = v->raw;
		v->raw = (struct buf){ 0 };
		v->doc.kind = DOC_CODE;
		v->has_doc = true;
	}
	/* Symbols of a library are found behind the text, perhaps not yet. */
	snprintf(v->doc.language, sizeof(v->doc.language), "%s",
		 extract_language(v->en->path, v->doc.text.data ? v->doc.text.data : "", v->doc.text.len));
	return extract_symbols(k->x, v->en->path, &v->doc, e);
}

static int compare_symbols(struct facts *k, uint32_t file, struct version v[2], struct err *e)
{
	int rc = 0;

	for (int i = 0; i < 2; i++) {
		size_t n;

		text_of(&v[i], &n);
		if (n > DIFF_SYMBOLS_MAX) {
			k->no_symbols++;
			return 0;
		}
	}
	for (int i = 0; i < 2 && !rc; i++)
		rc = get_symbols(k, &v[i], e);
	return rc ? rc : diff_symbols(k->r, file, v[0].en ? &v[0].doc : NULL, v[1].en ? &v[1].doc : NULL, e);
}

static int compare_prose(struct facts *k, uint32_t file, struct version v[2], struct err *e)
{
	struct diff_file *f = &k->r->file[file];
	int rc = 0;

	for (int i = 0; i < 2; i++) {
		size_t n;

		text_of(&v[i], &n);
		if (n > PROSE_MAX)
			return 0;
	}
	for (int i = 0; i < 2 && !rc; i++)
		rc = take_text(k, &v[i], f, e);
	return rc || !v[0].has_doc || !v[1].has_doc ? rc : diff_sections(k->r, file, &v[0].doc, &v[1].doc, e);
}

static int tell_file(struct facts *k, uint32_t file, enum diff_kind kind, const char *before, const char *after,
		     struct err *e)
{
	const struct diff_file *f = &k->r->file[file];
	struct diff_change c = { .kind = kind, .file = file, .hunk = f->n_hunk ? f->hunk : UINT32_MAX,
				 .on_new = kind == CHANGE_MODE };

	c.is_public = !diff_is_test(diff_word(k->r, f->path));
	c.type = diff_keep(k->r, "file", 4);
	c.before = before ? diff_keep(k->r, before, strlen(before)) : 0;
	c.after = after ? diff_keep(k->r, after, strlen(after)) : 0;
	if (kind == CHANGE_FILE_REMOVED) {
		c.first = f->deletions > 0;
		c.last = f->deletions;
	}
	return diff_add_change(k->r, &c, e);
}

static const char *mode_name(uint32_t mode)
{
	switch (mode) {
	case MODE_LINK:
		return "symbolic link";
	case MODE_MODULE:
		return "submodule";
	case 0100755:
		return "executable";
	default:
		return "plain file";
	}
}

static int new_file(struct facts *k, const struct pair *p, struct err *e)
{
	struct diff_report *r = k->r;
	const struct side_entry *a = p->a == SIZE_MAX ? NULL : &k->a[p->a], *b = p->b == SIZE_MAX ? NULL : &k->b[p->b];
	const char *path = b ? b->path : a->path, *language = extract_language(path, "", 0);
	struct diff_file f = { .old_entry = p->a, .new_entry = p->b, .hunk = (uint32_t)r->n_hunk };

	f.path = diff_keep(r, path, strlen(path));
	f.n_path = (uint32_t)strlen(path);
	f.language = diff_keep(r, language, strlen(language));
	f.old_mode = a ? a->mode : 0;
	f.new_mode = b ? b->mode : 0;
	if (a && b && strcmp(a->path, b->path)) {
		f.old_path = diff_keep(r, a->path, strlen(a->path));
		f.n_old_path = (uint32_t)strlen(a->path);
	}
	f.status = !a ? DIFF_ADDED : !b ? DIFF_DELETED : p->renamed ? DIFF_RENAMED :
		   a->mode && b->mode && (a->mode & MODE_TYPE_MASK) != (b->mode & MODE_TYPE_MASK) ? DIFF_TYPE :
		   DIFF_MODIFIED;
	f.score = p->renamed ? p->score * 100 / RENAME_FULL : 0;
	if (r->n_file == r->cap_file) {
		size_t cap = r->cap_file ? 2 * r->cap_file : 64;
		struct diff_file *v = reallocarray(r->file, cap, sizeof(*v));

		if (!v)
			return err_nomem(e);
		r->file = v;
		r->cap_file = cap;
	}
	r->file[r->n_file++] = f;
	r->added += f.status == DIFF_ADDED;
	r->deleted += f.status == DIFF_DELETED;
	r->renamed += f.status == DIFF_RENAMED;
	return r->words.failed ? err_nomem(e) : 0;
}

static bool is_binary(struct facts *k, const struct version v[2])
{
	for (int i = 1; i >= 0; i--) {
		int attr = v[i].en && is_file(&v[i]) ? side_attr_text(v[i].side, v[i].en->path) : -1;

		if (attr >= 0)
			return !attr;
	}
	(void)k;
	for (int i = 0; i < 2; i++)
		if (v[i].en && (v[i].en->reason || (v[i].has_doc ? v[i].doc.text.len : v[i].raw.len) > BIG_FILE ||
				(!v[i].has_doc && rename_is_binary(v[i].raw.data, v[i].raw.len))))
			return true;
	return false;
}

/* Lines, or, of a binary document, the lines of its text, which do not count. */
static int compare_lines(struct facts *k, struct version v[2], struct err *e)
{
	struct diff_report *r = k->r;
	struct diff_file *f = &r->file[r->n_file - 1];
	bool stored = side_kind(r->a) == SIDE_SNAPSHOT || side_kind(r->b) == SIDE_SNAPSHOT;
	bool single = side_kind(r->a) == SIDE_FILE && side_kind(r->b) == SIDE_FILE;
	bool counted = false, read = false;
	enum doc_kind kind[2] = { kind_of(&v[0]), kind_of(&v[1]) };
	const char *text[2];
	size_t n[2];
	int rc = 0;

	f->binary = is_binary(k, v);
	if (stored || single) {
		read = true;
	} else if (f->binary) {
		for (int i = 0; i < 2; i++)
			read |= v[i].en && (kind[i] == DOC_PDF || kind[i] == DOC_EPUB || kind[i] == DOC_DOCX);
	}
	for (int i = 0; i < 2 && !rc && read; i++)
		rc = take_text(k, &v[i], f, e);
	for (int i = 0; i < 2; i++)
		read &= !v[i].en || v[i].has_doc;
	if (rc)
		return rc;
	f->extracted = read && ((v[0].en && laid_out(kind[0])) || (v[1].en && laid_out(kind[1])));
	if ((stored || single) && read)
		f->binary = false;
	if (f->binary && !read)
		return 0;
	for (int i = 0; i < 2; i++)
		text[i] = text_of(&v[i], &n[i]);
	rc = diff_lines(r, text[0], n[0], text[1], n[1], &counted, e);
	f = &r->file[r->n_file - 1];
	if (counted) {
		const char *why = "too large to compare line by line: lines were counted, moved ones do not count";

		f->note = diff_keep(r, why, strlen(why));
		diff_note(r, "%s: %s", diff_word(r, f->path), why);
	}
	/* git counts no lines in a binary file. */
	if (f->binary)
		f->insertions = f->deletions = 0;
	if (f->extracted && !f->n_hunk && !f->note) {
		const char *why = "its text is the same";

		f->note = diff_keep(r, why, strlen(why));
	}
	return rc;
}

/* Documents that are compared by their text alone do not differ when it is equal. */
static void drop_equal(struct facts *k)
{
	struct diff_report *r = k->r;
	const struct diff_file *f = &r->file[r->n_file - 1];
	bool by_text = side_kind(r->a) == SIDE_SNAPSHOT || side_kind(r->b) == SIDE_SNAPSHOT ||
		       (side_kind(r->a) == SIDE_FILE && side_kind(r->b) == SIDE_FILE);

	if (!by_text || f->status != DIFF_MODIFIED || f->n_hunk || f->binary || (f->old_mode && f->new_mode && f->old_mode != f->new_mode))
		return;
	diff_note(r, "%s: the bytes differ, the text does not", diff_word(r, f->path));
	r->n_file--;
}

/* What to look for beyond lines. */
static int compare_meaning(struct facts *k, struct version v[2], struct err *e)
{
	struct diff_report *r = k->r;
	uint32_t file = (uint32_t)(r->n_file - 1);
	struct diff_file *f = &r->file[file];
	enum doc_kind kind = kind_of(v[1].en ? &v[1] : &v[0]);
	bool single = side_kind(r->a) == SIDE_FILE && side_kind(r->b) == SIDE_FILE;
	const char *path = diff_word(r, f->path);
	int rc = 0;

	if (f->n_hunk && !k->o->no_symbols && kind == DOC_CODE && (is_file(&v[0]) || is_file(&v[1])) &&
	    has_symbols(diff_word(r, f->language)))
		rc = compare_symbols(k, file, v, e);
	else if (f->n_hunk && v[0].en && v[1].en && is_file(&v[0]) && is_file(&v[1]) && kind != DOC_CODE &&
		 (single || f->extracted || is_prose(path, kind)))
		rc = compare_prose(k, file, v, e);
	f = &r->file[file];
	if (!rc && f->status == DIFF_DELETED)
		rc = tell_file(k, file, CHANGE_FILE_REMOVED, NULL, NULL, e);
	else if (!rc && f->old_mode && f->new_mode && f->old_mode != f->new_mode)
		rc = tell_file(k, file, CHANGE_MODE, mode_name(f->old_mode), mode_name(f->new_mode), e);
	return rc;
}

static int one_pair(struct facts *k, const struct pair *p, struct err *e)
{
	struct diff_report *r = k->r;
	struct version v[2] = { { .side = r->a, .en = p->a == SIZE_MAX ? NULL : &k->a[p->a] },
				{ .side = r->b, .en = p->b == SIZE_MAX ? NULL : &k->b[p->b] } };
	int rc = load(&v[0], e);

	if (!rc)
		rc = load(&v[1], e);
	if (rc == ERR_IO || rc == ERR_NOTFOUND || rc == ERR_CORRUPT) {
		const char *path = v[1].en ? v[1].en->path : v[0].en->path;

		rc = not_readable(k, path, e);
		goto out;
	}
	if (!rc)
		rc = new_file(k, p, e);
	if (!rc) {
		const char *reason = v[0].en && v[0].en->reason ? v[0].en->reason :
				     v[1].en && v[1].en->reason ? v[1].en->reason : "";
		struct diff_file *f = &r->file[r->n_file - 1];

		f->note = diff_keep(r, reason, strlen(reason));
		rc = compare_lines(k, v, e);
	}
	if (!rc)
		rc = compare_meaning(k, v, e);
	if (!rc) {
		const struct diff_file *f = &r->file[r->n_file - 1];

		r->insertions += f->insertions;
		r->deletions += f->deletions;
		drop_equal(k);
	}
out:
	drop_version(&v[0]);
	drop_version(&v[1]);
	return rc;
}

static int check_kinds(struct diff_side *a, struct diff_side *b, struct err *e)
{
	bool fa = side_kind(a) == SIDE_FILE, fb = side_kind(b) == SIDE_FILE;

	if (fa == fb)
		return 0;
	err_set(e, ERR_INVALID, "'%s' is a file and '%s' is not: they cannot be versions of one thing",
		side_label(fa ? a : b), side_label(fa ? b : a));
	return err_hint(e, ERR_INVALID, "compare two files; a file's older version in git is: folio diff REV worktree -- FILE");
}

int diff_facts(struct diff_report *r, struct diff_side *a, struct diff_side *b, const struct diff_opts *o,
	       struct err *e)
{
	struct facts k = { .r = r, .o = o };
	struct side_paths paths = { o->paths, o->n_path };
	int rc = check_kinds(a, b, e);

	r->a = a;
	r->b = b;
	if (!rc)
		rc = side_list_both(a, b, &paths, e);
	if (rc)
		return rc;
	k.a = (struct side_entry *)side_entries(a, &k.n_a);
	k.b = (struct side_entry *)side_entries(b, &k.n_b);
	rc = extractor_new(&k.x, NULL, e);
	if (!rc)
		rc = find_pairs(&k, e);
	for (size_t i = 0; i < k.n_pair && !rc; i++) {
		size_t keep_change = r->n_change, keep_section = r->n_section, keep_file = r->n_file, keep_hunk = r->n_hunk;

		rc = interrupted(e);
		if (!rc)
			rc = one_pair(&k, &k.pair[i], e);
		if (rc) {	/* half a file is none */
			r->n_change = keep_change;
			r->n_section = keep_section;
			r->n_file = keep_file;
			r->n_hunk = keep_hunk;
			break;
		}
		if (o->on_progress)
			o->on_progress(o->ctx, i + 1, k.n_pair, diff_word(r, r->n_file ? r->file[r->n_file - 1].path : 0));
	}
	if (k.no_symbols)
		diff_note(r, "symbols of %llu files over %d MiB were not compared", (unsigned long long)k.no_symbols,
			  DIFF_SYMBOLS_MAX >> 20);
	if (!k.o->no_symbols && !extract_ctags(k.x))
		diff_note(r, "ctags is not installed: symbols were not compared");
	extractor_free(k.x);
	free(k.pair);
	if (!rc || rc == ERR_INTR) {
		r->interrupted = rc == ERR_INTR;
		diff_symbols_moved(r);
		diff_order_changes(r);
		if (diff_say_facts(r, rc ? NULL : e) && !rc)
			rc = ERR_NOMEM;
	}
	return rc;
}
