/* folio ingest --dry-run, --budget and --explain: what it would cost, and why a file is in or out */
#include "config.h"

#include "cmd/cmd_ingest.h"

#include "cmd/cmd_generate.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/size.h"
#include "cache/extent.h"
#include "engine/encode.h"
#include "engine/tok.h"
#include "ingest/cut.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file that would be taken. */
struct plan_file {
	size_t   path;		/* offset in paths, "SOURCE/PATH" */
	uint64_t bytes, tokens;
};

struct rehearsal {
	struct ingest_run *u;
	struct engine     *en;		/* NULL: no model, tokens are not counted */
	struct tok        *tok;
	struct encoder    *enc;
	_Atomic uint64_t   tokens, pages;	/* of all documents, copies too: their ratio counts */
	double             rate;	/* tokens a second, 0: not known */
	struct buf         paths;
	struct plan_file  *v;
	size_t             n, cap;
};

static uint64_t weigh(void *ctx, const char *text, size_t n)
{
	uint64_t count = n;

	return tok_count(ctx, text, n, &count, NULL) ? n : count;
}

/* Tokens of a document, cut and tokenised as the encode stage does it, and the bytes of its pages. */
static int count_tokens(void *ctx, const struct document *d, uint64_t *n, struct err *e)
{
	struct rehearsal *p = ctx;
	uint32_t max = encoder_span_max(p->enc);
	struct cut_opt opt = { .max_tokens = max - max / 64, .weigh = weigh, .ctx = p->tok };
	struct spans s = { 0 };
	struct extent_plan plan;
	size_t i;
	int rc = cut_document(d, &opt, &s, e);

	*n = 0;
	for (i = 0; i < s.n && !rc; i++) {
		uint64_t k = 0;

		rc = tok_count(p->tok, d->text.data + s.span[i].at, s.span[i].end - s.span[i].at, &k, e);
		if (rc || !k)
			continue;
		rc = extent_plan_init(&plan, encoder_geom(p->enc), encoder_type(p->enc),
				      (uint32_t)MIN(k, (uint64_t)max), e);
		if (!rc)
			p->pages += plan.bytes;
		*n += k;
	}
	p->tokens += *n;
	free(s.span);
	return rc;
}

static void on_item(void *ctx, const struct item *it, uint64_t n_text, uint64_t n_token, bool is_copy)
{
	struct rehearsal *p = ctx;

	ingest_on_item(p->u, it, n_text, n_token, is_copy);
	if (it->state != STATE_TAKE)
		return;
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 256;
		struct plan_file *v = realloc(p->v, cap * sizeof(*v));

		if (!v) {
			p->paths.failed = true;
			return;
		}
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n++] = (struct plan_file){ p->paths.len, n_text, is_copy ? 0 : n_token };
	buf_adds(&p->paths, p->u->source);
	buf_addc(&p->paths, '/');
	buf_add(&p->paths, it->path, it->n_path + 1);
}

static void on_progress(void *ctx, const struct ingest_progress *p)
{
	ingest_on_progress(((struct rehearsal *)ctx)->u, p);
}

/* Beside the pages: text, words and trigrams take about 1.2 times the text (measured on C, 73 MB). */
static uint64_t disk_of(const struct rehearsal *p, uint64_t tokens, uint64_t bytes)
{
	double pages = p->tokens ? (double)p->pages / (double)p->tokens * (double)tokens : 0;

	return (uint64_t)(pages + 1.2 * (double)bytes);
}

static double seconds_of(const struct rehearsal *p, uint64_t tokens)
{
	return p->rate > 0 ? (double)tokens / p->rate : 0;
}

/* --- folders --- */

struct folder {
	const char *path;
	size_t      n_path, depth;
	uint64_t    files, bytes, tokens;
};

struct folders {
	struct folder *v;
	size_t         n, cap;
};

static const char *sort_paths;

static int cmp_files(const void *a, const void *b)
{
	return strcmp(sort_paths + ((const struct plan_file *)a)->path,
		      sort_paths + ((const struct plan_file *)b)->path);
}

static struct folder *new_folder(struct folders *f)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct folder *v = realloc(f->v, cap * sizeof(*v));

		if (!v)
			return NULL;
		f->v = v;
		f->cap = cap;
	}
	return &f->v[f->n++];
}

/* Sums for every folder that has a file somewhere below, parents first. */
static int sum_folders(struct rehearsal *p, struct folders *out, struct err *e)
{
	size_t open[256], depth = 0, i, k;

	sort_paths = p->paths.data;
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), cmp_files);
	for (i = 0; i < p->n; i++) {
		const char *path = p->paths.data + p->v[i].path, *slash = path;

		while (depth && (strncmp(out->v[open[depth - 1]].path, path, out->v[open[depth - 1]].n_path) ||
				 path[out->v[open[depth - 1]].n_path] != '/'))
			depth--;
		if (depth)
			slash = path + out->v[open[depth - 1]].n_path + 1;
		while ((slash = strchr(slash, '/')) && depth < ARRAY_LEN(open)) {
			struct folder *f = new_folder(out);

			if (!f)
				return err_nomem(e);
			*f = (struct folder){ .path = path, .n_path = (size_t)(slash - path), .depth = depth };
			open[depth++] = out->n - 1;
			slash++;
		}
		for (k = 0; k < depth; k++) {
			out->v[open[k]].files++;
			out->v[open[k]].bytes += p->v[i].bytes;
			out->v[open[k]].tokens += p->v[i].tokens;
		}
	}
	return 0;
}

/* --- printing --- */

static void print_folder(const struct rehearsal *p, struct buf *b, const struct folder *f)
{
	const struct ctx *c = p->u->c;
	char n[16], size[16], disk[16], time[16];
	const char *name = f->path;
	size_t i, len = f->n_path;

	if (f->depth) {
		const char *slash = memrchr(f->path, '/', f->n_path);

		name = slash + 1;
		len = (size_t)(f->path + f->n_path - name);
	}
	buf_addf(b, "%8s %10s %10s %9s %7llu  ", p->enc ? term_count(n, (double)f->tokens) : "-",
		 p->enc ? term_bytes(disk, (double)disk_of(p, f->tokens, f->bytes)) : "-",
		 p->rate > 0 ? term_duration(time, seconds_of(p, f->tokens)) : "-",
		 term_bytes(size, (double)f->bytes), (unsigned long long)f->files);
	for (i = 0; i < f->depth; i++)
		buf_adds(b, "  ");
	buf_adds(b, term_style(&c->out, STYLE_PATH));
	term_text(b, name, len, false);
	buf_addf(b, "%s/\n", term_style(&c->out, STYLE_PLAIN));
}

static void print_json(struct rehearsal *p, const struct folders *f, const struct ingest_result *sum)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	size_t i;

	jw_open(&j, NULL, '{');
	if (p->u->c->g.jsonl)
		jw_str(&j, "event", "done");
	jw_str(&j, "schema", "folio.plan/1");
	jw_open(&j, "files", '{');
	jw_uint(&j, "total", sum->n_text + sum->n_listed + sum->n_skipped);
	jw_uint(&j, "text", sum->n_text);
	jw_uint(&j, "listed", sum->n_listed);
	jw_uint(&j, "skipped", sum->n_skipped);
	jw_uint(&j, "left_out", sum->n_out);
	jw_close(&j);
	jw_uint(&j, "bytes", sum->bytes_text);
	if (p->enc) {
		jw_uint(&j, "tokens", sum->n_token);
		jw_uint(&j, "disk", disk_of(p, sum->n_token, sum->bytes_text));
		jw_real(&j, "seconds", seconds_of(p, sum->n_token));
	} else {
		jw_null(&j, "tokens");
		jw_null(&j, "disk");
		jw_null(&j, "seconds");
	}
	jw_open(&j, "directories", '[');
	for (i = 0; i < f->n; i++) {
		jw_open(&j, NULL, '{');
		jw_path(&j, "path", f->v[i].path, f->v[i].n_path);
		jw_uint(&j, "files", f->v[i].files);
		jw_uint(&j, "bytes", f->v[i].bytes);
		if (p->enc) {
			jw_uint(&j, "tokens", f->v[i].tokens);
			jw_uint(&j, "disk", disk_of(p, f->v[i].tokens, f->v[i].bytes));
			jw_real(&j, "seconds", seconds_of(p, f->v[i].tokens));
		}
		jw_close(&j);
	}
	jw_close(&j);
	problems_json(&p->u->problems, &j);
	jw_close(&j);
	jw_end_line(&j);
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

static void print_plan(struct rehearsal *p, const struct folders *f, const struct ingest_result *sum)
{
	const struct ingest_cmd_opts *o = p->u->c->opts;
	struct buf b = { 0 };
	char n[16], size[16], disk[16], time[16];
	size_t i;

	if (p->u->c->g.json || p->u->c->g.jsonl) {
		print_json(p, f, sum);
		return;
	}
	if (o->tree && f->n)
		buf_addf(&b, "%8s %10s %10s %9s %7s\n", "tokens", "disk", "time", "text", "files");
	for (i = 0; o->tree && i < f->n; i++)
		print_folder(p, &b, &f->v[i]);
	buf_addf(&b, "%llu files, %s of text", (unsigned long long)sum->n_text,
		 term_bytes(size, (double)sum->bytes_text));
	if (p->enc)
		buf_addf(&b, ", %s tokens: about %s on disk and %s (%.0f tokens/s)",
			 term_count(n, (double)sum->n_token),
			 term_bytes(disk, (double)disk_of(p, sum->n_token, sum->bytes_text)),
			 term_duration(time, seconds_of(p, sum->n_token)), p->rate);
	buf_addf(&b, "; %llu listed, %llu skipped, %llu left out by rules\n",
		 (unsigned long long)sum->n_listed, (unsigned long long)sum->n_skipped,
		 (unsigned long long)sum->n_out);
	if (b.data)
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
}

static int no_sink(void *ctx, const struct encode_span *span, const struct extent_build *built,
		   struct err *e)
{
	(void)ctx;
	(void)span;
	(void)built;
	(void)e;
	return 0;
}

/* How fast this model encodes here: one span, for about a second on a small model. */
static int measure_rate(struct rehearsal *p, struct err *e)
{
	enum { PROBE = 256 };
	int32_t token[PROBE];
	struct encode_span span = { token, MIN(PROBE, encoder_span_max(p->enc)), 0 };
	double start = clock_now();
	int32_t i;
	int rc;

	for (i = 0; i < PROBE; i++)
		token[i] = i * 31 % tok_n_vocab(p->tok);
	rc = encoder_run(p->enc, &span, 1, no_sink, NULL, e);
	p->rate = span.n / (clock_now() - start);
	return rc;
}

/* The model the line means.  Without one tokens stay uncounted, unless they are what was asked for. */
static int open_model(struct rehearsal *p, bool need, struct err *e)
{
	struct ctx *c = p->u->c;
	int rc = cmd_open_model(c, NULL, &p->en, &p->tok, e);

	if (!rc)
		rc = encoder_open(&p->enc, p->en, p->tok, ingest_kv_type(c->opts), e);
	if (rc != ERR_MODEL || need || c->g.model)
		return rc;
	note(c, "no model, so tokens are not counted: %s", e->msg);
	*e = (struct err){ 0 };
	return 0;
}

int plan_run(struct ingest_run *u, bool print, uint64_t *n_token, struct err *e)
{
	struct rehearsal p = { .u = u };
	struct ingest_result sum = { 0 };
	struct folders f = { 0 };
	size_t i;
	int rc = open_model(&p, !print, e);

	for (i = 0; i < u->n && !rc; i++) {
		struct target *t = &u->v[i];
		struct ingest_opts o = t->o;

		if (o.list_fd >= 0 && !print && lseek(o.list_fd, 0, SEEK_CUR) < 0) {
			rc = err_set(e, ERR_INVALID, "--budget reads the list twice, so it must be a file");
			break;
		}
		u->source = o.name;
		o.ctx = &p;
		o.on_item = on_item;
		o.on_progress = on_progress;
		rc = ingest_rehearse(&o, p.enc ? count_tokens : NULL, &p, &t->r, e);
		ingest_end_progress(u);
		if (o.list_fd > STDERR_FILENO)
			lseek(o.list_fd, 0, SEEK_SET);
		sum.n_text += t->r.n_text;
		sum.n_listed += t->r.n_listed;
		sum.n_skipped += t->r.n_skipped;
		sum.n_out += t->r.n_out;
		sum.n_token += t->r.n_token;
		sum.bytes_text += t->r.bytes_text;
	}
	if (!rc && p.paths.failed)
		rc = err_nomem(e);
	if (!rc && print && p.enc && p.tokens)
		rc = measure_rate(&p, e);
	if (!rc && print)
		rc = sum_folders(&p, &f, e);
	if (!rc && print)
		print_plan(&p, &f, &sum);
	if (!print) {		/* the run tells them itself */
		buf_clear(&u->problems.text);
		u->problems.n = 0;
	}
	*n_token = sum.n_token;
	free(f.v);
	free(p.v);
	buf_release(&p.paths);
	encoder_close(p.enc);
	tok_close(p.tok);
	engine_close(p.en);
	return rc;
}

/* --- one file --- */

static int print_explained(void *ctx, const struct item *it, struct err *e)
{
	struct ctx *c = ctx;
	struct buf b = { 0 };
	struct jw j = { .out = &b };

	(void)e;
	if (c->g.json || c->g.jsonl) {
		jw_open(&j, NULL, '{');
		jw_str(&j, "schema", "folio.explain/1");
		jw_path(&j, "path", it->path, it->n_path);
		jw_str(&j, "state", state_name(it->state));
		jw_str(&j, "reason", it->reason);
		jw_str(&j, "rule_file", it->rule_file);
		if (it->rule_file)
			jw_int(&j, "rule_line", it->rule_line);
		jw_close(&j);
		jw_end_line(&j);
	} else {
		term_text(&b, it->path, it->n_path, false);
		buf_addf(&b, ": %s", it->state == STATE_OUT ? "left out" : state_name(it->state));
		if (it->reason[0]) {
			buf_adds(&b, ", ");
			term_text(&b, it->reason, strlen(it->reason), false);
		}
		buf_addc(&b, '\n');
	}
	if (b.data)
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	return 0;
}

/* FILE as the source calls it: below the root, or already so. */
static char *below_root(const struct source_info *info, const char *file)
{
	char *dir = strdup(file), *slash = dir ? strrchr(dir, '/') : NULL, *real, *out = NULL;
	const char *name = slash ? slash + 1 : file;
	size_t n = strlen(info->origin);

	if (slash)
		*slash = 0;
	/* The folder is resolved, the last name is not: it may be a link. */
	real = dir ? realpath(slash ? slash == dir ? "/" : dir : ".", NULL) : NULL;
	if (real && !info->is_dir)
		out = strdup(strrchr(info->origin, '/') + 1);
	else if (real && !strncmp(real, info->origin, n) && (!real[n] || real[n] == '/')) {
		struct buf b = { 0 };

		if (real[n])
			buf_addf(&b, "%s/", real + n + 1);
		buf_adds(&b, name);
		out = buf_take(&b);
	}
	free(real);
	free(dir);
	return out ? out : strdup(file);
}

int plan_explain(struct ingest_run *u, struct err *e)
{
	const struct ingest_cmd_opts *o = u->c->opts;
	char *path;
	int rc;

	if (u->n != 1 || u->v[0].o.list_fd >= 0)
		return err_set(e, ERR_INVALID, "--explain wants one PATH");
	path = below_root(&u->v[0].info, o->explain);
	if (!path)
		return err_nomem(e);
	rc = ingest_explain(&u->v[0].o, path, print_explained, u->c, e);
	free(path);
	return rc;
}
