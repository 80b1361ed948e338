#include "config.h"

#include "ingest/extract.h"

#include "base/size.h"
#include "ingest/encode.h"
#include "ingest/format.h"
#include "ingest/language.h"
#include "ingest/sandbox.h"
#include "ingest/symbols.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Numbers of jobs in the sandbox; the first ones are functions, one per format. */
enum { JOB_MARKDOWN, JOB_HTML, JOB_EPUB, JOB_DOCX, JOB_NOTEBOOK, JOB_PDF, JOB_CTAGS, N_JOB };

struct extractor {
	struct sandbox *box;
	struct symbols *symbols;
	struct sandbox_limit lim;
	char pdftotext[256];		/* absolute path, "" where there is none */
	char ctags[256];
	const char *pdf_argv[8];
	const char *ctags_argv[8];
};

/*** Detection ***/

static bool is_zip(const uint8_t *p, size_t n)
{
	return n >= 30 && !memcmp(p, "PK\3\4", 4);
}

/* EPUB wants its first member stored and named "mimetype": the type stands at a fixed place. */
static bool says_epub(const uint8_t *p, size_t n)
{
	static const char type[] = "mimetypeapplication/epub+zip";

	return n >= 30 + sizeof(type) - 1 && !memcmp(p + 30, type, sizeof(type) - 1);
}

static bool begins_html(const uint8_t *p, size_t n)
{
	size_t i = n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;

	while (i < n && strchr(" \t\r\n", p[i]) && p[i])
		i++;
	return (n - i >= 14 && !strncasecmp((const char *)p + i, "<!doctype html", 14)) ||
	       (n - i >= 6 && !strncasecmp((const char *)p + i, "<html>", 6)) ||
	       (n - i >= 6 && !strncasecmp((const char *)p + i, "<html ", 6));
}

static bool begins_object(const uint8_t *p, size_t n)
{
	size_t i = n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;

	while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n'))
		i++;
	return i < n && p[i] == '{';
}

enum doc_kind extract_detect(const char *name, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	if (n >= 5 && (!memcmp(p, "%PDF-", 5) ||
		       (name_ends(name, "pdf") && memmem(p, MIN(n, (size_t)1024), "%PDF-", 5))))
		return DOC_PDF;
	if (is_zip(p, n)) {
		if (says_epub(p, n) || name_ends(name, "epub"))
			return DOC_EPUB;
		if (name_ends(name, "docx") || name_ends(name, "docm") || name_ends(name, "dotx"))
			return DOC_DOCX;
	}
	if (name_ends(name, "ipynb") && begins_object(p, n))
		return DOC_NOTEBOOK;
	if (name_ends(name, "html") || name_ends(name, "htm") || name_ends(name, "xhtml") ||
	    (begins_html(p, n) && !extract_language(name, p, n)[0]))
		return DOC_HTML;
	if (name_ends(name, "md") || name_ends(name, "markdown") || name_ends(name, "mkd") ||
	    name_ends(name, "mdown") || name_ends(name, "mdwn"))
		return DOC_MARKDOWN;
	return extract_language(name, p, n)[0] ? DOC_CODE : DOC_TEXT;
}

/*** Inside the sandbox ***/

static int pack_format(format_fn *fn, const uint8_t *in, size_t n, struct buf *out,
		       struct err *e)
{
	struct document d = { 0 };
	int rc = fn(in, n, &d, e);

	if (!rc) {
		doc_finish(&d);
		rc = doc_pack(&d, out, e);
	}
	doc_release(&d);
	return rc;
}

#define FORMAT_JOB(what) \
	static int job_##what(const uint8_t *in, size_t n, const char *arg, struct buf *out, \
			      struct err *e) \
	{ \
		(void)arg; \
		return pack_format(format_##what, in, n, out, e); \
	}
FORMAT_JOB(markdown)
FORMAT_JOB(html)
FORMAT_JOB(epub)
FORMAT_JOB(docx)
FORMAT_JOB(notebook)

/*** The extractor ***/

/* Find a program on PATH; "" when it is not there. */
static void find_program(const char *name, char *path, size_t size)
{
	const char *p = getenv("PATH");

	p = p && *p ? p : "/usr/local/bin:/usr/bin:/bin";
	while (*p) {
		size_t len = strcspn(p, ":");
		int k = snprintf(path, size, "%.*s/%s", (int)len, p, name);

		/* An empty or relative part would mean the current folder: a stranger's, maybe. */
		if (p[0] == '/' && k > 0 && (size_t)k < size && !access(path, X_OK))
			return;
		p += len + (p[len] == ':');
	}
	path[0] = '\0';
}

int extractor_new(struct extractor **out, const struct extract_opt *opt, struct err *e)
{
	static const struct extract_opt none;
	const struct extract_opt *o = opt ? opt : &none;
	struct extractor *x = calloc(1, sizeof(*x));
	int rc;

	*out = NULL;
	if (!x)
		return err_nomem(e);
	x->lim = (struct sandbox_limit){
		.memory = o->memory ? o->memory : 1ull << 30,
		.output = o->max_text ? o->max_text : 256ull << 20,
		.cpu_seconds = o->cpu_seconds ? o->cpu_seconds : 30,
		.wall_seconds = o->wall_seconds ? o->wall_seconds : 60
	};
	find_program("pdftotext", x->pdftotext, sizeof(x->pdftotext));
	find_program("ctags", x->ctags, sizeof(x->ctags));
	x->pdf_argv[0] = x->pdftotext;
	x->pdf_argv[1] = "-enc";
	x->pdf_argv[2] = "UTF-8";
	x->pdf_argv[3] = "-eol";
	x->pdf_argv[4] = "unix";
	x->pdf_argv[5] = "-";
	x->pdf_argv[6] = "-";
	x->ctags_argv[0] = x->ctags;
	memcpy(x->ctags_argv + 1, symbols_args, sizeof(symbols_args));

	const struct sandbox_job jobs[N_JOB] = {
		[JOB_MARKDOWN] = { "markdown", job_markdown, NULL },
		[JOB_HTML] = { "html", job_html, NULL },
		[JOB_EPUB] = { "epub", job_epub, NULL },
		[JOB_DOCX] = { "docx", job_docx, NULL },
		[JOB_NOTEBOOK] = { "notebook", job_notebook, NULL },
		[JOB_PDF] = { "pdf", NULL, x->pdf_argv },
		[JOB_CTAGS] = { "symbol", NULL, x->ctags_argv },
	};

	rc = sandbox_new(&x->box, jobs, N_JOB, e);
	if (!rc && x->ctags[0])
		rc = symbols_new(&x->symbols, x->box, JOB_CTAGS, x->lim.wall_seconds, e);
	if (rc)
		extractor_free(x);
	else
		*out = x;
	return rc;
}

void extractor_free(struct extractor *x)
{
	if (!x)
		return;
	symbols_free(x->symbols);
	sandbox_free(x->box);
	free(x);
}

const char *extract_pdftotext(const struct extractor *x)
{
	return x->pdftotext[0] ? x->pdftotext : NULL;
}

const char *extract_ctags(const struct extractor *x)
{
	return x->ctags[0] ? x->ctags : NULL;
}

/* Bytes to UTF-8 in this process; says what was converted. */
static int to_text(struct document *d, const char *charset, const void *bytes, size_t n,
		   struct err *e)
{
	struct encoding enc;
	char declared[32];
	int rc;

	if (!charset && encode_declared(bytes, n, declared))
		charset = declared;
	rc = encode_from(&d->text, &enc, charset, bytes, n, e);
	if (rc)
		return rc;
	snprintf(d->encoding, sizeof(d->encoding), "%s", enc.name);
	if (strcmp(enc.name, "UTF-8"))
		doc_note(d, "converted from %s%s", enc.name, enc.guessed ? " (guessed)" : "");
	if (enc.n_replaced)
		doc_note(d, "%llu bytes that are no text in %s were replaced",
			 (unsigned long long)enc.n_replaced, enc.name);
	return 0;
}

/* Run a format's job on bytes and take its document. */
static int run_job(struct extractor *x, int job, const void *bytes, size_t n,
		   struct document *out, struct err *e)
{
	struct sandbox_limit lim = x->lim;
	struct buf packed = { 0 };
	int rc;

	lim.output += lim.output / 4;	/* anchors and their names come on top of the text */
	rc = sandbox_run(x->box, (size_t)job, NULL, bytes, n, &lim, &packed, NULL, e);
	if (!rc)
		rc = doc_unpack(out, packed.data, packed.len, e);
	buf_release(&packed);
	return rc;
}

/* Headings into a document whose text is there; without them when the parser died. */
static int add_headings(struct extractor *x, struct document *d, struct err *e)
{
	struct document heads = { 0 };
	struct err why = { 0 };
	int rc = run_job(x, JOB_MARKDOWN, d->text.data, d->text.len, &heads, &why);

	if (rc == ERR_NOMEM || rc == ERR_IO) {
		if (e)
			*e = why;
	} else if (rc) {
		doc_note(d, "headings not found: %s", why.msg);
		rc = 0;
	} else if (heads.text.len == d->text.len) {
		d->anchor = heads.anchor;
		d->n_anchor = heads.n_anchor;
		d->cap_anchor = heads.cap_anchor;
		d->names = heads.names;
		heads.anchor = NULL;
		heads.names = (struct buf){ 0 };
	}
	doc_release(&heads);
	return rc;
}

static int extract_html(struct extractor *x, const void *bytes, size_t n, struct document *out,
			struct err *e)
{
	struct document utf8 = { 0 };
	char charset[32];
	bool named = format_html_charset(bytes, n, charset);
	int rc = to_text(&utf8, named ? charset : NULL, bytes, n, e);

	if (!rc)
		rc = run_job(x, JOB_HTML, utf8.text.data, utf8.text.len, out, e);
	if (!rc) {
		memcpy(out->encoding, utf8.encoding, sizeof(out->encoding));
		if (utf8.notes.len)
			doc_note(out, "%s", utf8.notes.data);
	}
	doc_release(&utf8);
	return rc;
}

/* pdftotext's complaints in our words. */
static int pdf_reason(struct err *e)
{
	char was[sizeof(e->msg)];

	if (!e)
		return ERR_CORRUPT;
	if (strcasestr(e->msg, "incorrect password"))
		return err_set(e, ERR_CORRUPT, "encrypted: a password is needed");
	memcpy(was, e->msg, sizeof(was));
	return err_set(e, ERR_CORRUPT, "damaged PDF: %.400s", was);
}

static int extract_pdf(struct extractor *x, const void *bytes, size_t n, struct document *out,
		       struct err *e)
{
	struct buf pages = { 0 };
	struct err why = { 0 };
	int rc, status = 0;

	if (!x->pdftotext[0]) {
		err_set(e, ERR_NOTFOUND, "no program to read PDF files");
		return err_hint(e, ERR_NOTFOUND, "install poppler-utils, which has pdftotext");
	}
	rc = sandbox_run(x->box, JOB_PDF, NULL, bytes, n, &x->lim, &pages, &status, &why);
	if (rc == ERR_MISMATCH)
		rc = pdf_reason(&why);
	if (rc && e)
		*e = why;
	if (!rc)
		rc = format_pdf_pages((const uint8_t *)pages.data, pages.len, out, e);
	if (!rc)
		doc_finish(out);
	buf_release(&pages);
	return rc;
}

int extract(struct extractor *x, const char *name, const void *bytes, size_t n,
	    struct document *out, struct err *e)
{
	enum doc_kind kind = extract_detect(name, bytes, n);
	int rc;

	switch (kind) {
	case DOC_HTML:
		rc = extract_html(x, bytes, n, out, e);
		break;
	case DOC_PDF:
		rc = extract_pdf(x, bytes, n, out, e);
		break;
	case DOC_EPUB:
		rc = run_job(x, JOB_EPUB, bytes, n, out, e);
		break;
	case DOC_DOCX:
		rc = run_job(x, JOB_DOCX, bytes, n, out, e);
		break;
	case DOC_NOTEBOOK:
		rc = run_job(x, JOB_NOTEBOOK, bytes, n, out, e);
		break;
	default:
		rc = to_text(out, NULL, bytes, n, e);
		if (!rc && kind == DOC_MARKDOWN)
			rc = add_headings(x, out, e);
	}
	if (!rc && (out->text.failed || out->names.failed || out->notes.failed))
		rc = err_nomem(e);
	if (rc) {
		doc_release(out);
		return rc;
	}
	out->kind = kind;
	if (kind == DOC_CODE)
		snprintf(out->language, sizeof(out->language), "%s",
			 extract_language(name, out->text.data, out->text.len));
	return 0;
}

int extract_symbols(struct extractor *x, const char *name, struct document *d, struct err *e)
{
	if (!x->symbols || d->kind != DOC_CODE || !d->language[0])
		return 0;
	return symbols_add(x->symbols, name, d, e);
}
