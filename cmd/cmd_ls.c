/* folio ls: sources, snapshots, files with their state and reason */
#include "config.h"

#include "cmd/cmd_ls.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"
#include "cmd/sources.h"

#include "base/buf.h"
#include "base/size.h"
#include "cache/library.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const struct opt ls_opts[] = {
	{ "status", 0, OPT_FLAG, OPT_AT(struct ls_opts, status), NULL,
	  .help = "state, tokens, bytes and reason of every file" },
	OPT_END
};

struct count {
	uint64_t text, encoded, listed, skipped, bytes, token, token_encoded;
};

struct ls {
	struct ctx     *c;
	struct catalog *cat;
	struct jw      *j;		/* NULL: for people */
	struct buf     *b;
	bool            status, files;
	bool            has_engine;
	int64_t         engine;
	enum cat_mode   mode;
	struct count    n;
	struct err      e;
};

static void flush(struct ls *l)
{
	if (l->b->len < 1 << 16)
		return;
	fwrite(l->b->data, 1, l->b->len, stdout);
	buf_clear(l->b);
}

static void show_file(struct ls *l, const struct cat_entry *en, const char *state, uint64_t token,
		      uint64_t encoded)
{
	char bytes[16], count[16];
	enum style style = en->state == CAT_SKIPPED ? STYLE_BAD : en->state == CAT_LISTED ? STYLE_DIM :
			   STYLE_GOOD;

	if (l->j) {
		jw_open(l->j, NULL, '{');
		jw_path(l->j, "path", en->path, en->path_n);
		jw_str(l->j, "state", state);
		jw_uint(l->j, "tokens", token);
		jw_uint(l->j, "encoded_tokens", encoded);
		jw_int(l->j, "bytes", en->st.size);
		jw_str(l->j, "reason", en->reason);
		jw_close(l->j);
		flush(l);
		return;
	}
	if (l->status) {
		buf_addf(l->b, "%s%-8s%s ", term_style(&l->c->out, style), state,
			 term_style(&l->c->out, STYLE_PLAIN));
		buf_addf(l->b, "%8s %10s  ", l->has_engine ? term_count(count, (double)token) : "-",
			 term_bytes(bytes, (double)en->st.size));
	}
	term_text(l->b, en->path, en->path_n, false);
	if (l->status && en->reason[0]) {
		buf_addf(l->b, "  %s", term_style(&l->c->out, STYLE_DIM));
		term_text(l->b, en->reason, strlen(en->reason), false);
		buf_adds(l->b, term_style(&l->c->out, STYLE_PLAIN));
	}
	buf_addc(l->b, '\n');
	flush(l);
}

static int one_file(void *ctx, const struct cat_entry *en)
{
	struct ls *l = ctx;
	uint64_t token = 0, encoded = 0;
	const char *state = en->state == CAT_LISTED ? "listed" : en->state == CAT_SKIPPED ? "skipped" :
			    "text";
	int rc;

	if (en->state == CAT_TEXT && l->has_engine) {
		rc = cat_coverage(l->cat, en->document, l->engine, l->mode, &token, &encoded, &l->e);
		if (rc)
			return rc;
		if (token && token == encoded) {
			state = "encoded";
			l->n.encoded++;
		}
	}
	l->n.text += en->state == CAT_TEXT;
	l->n.listed += en->state == CAT_LISTED;
	l->n.skipped += en->state == CAT_SKIPPED;
	l->n.bytes += en->state == CAT_TEXT ? (uint64_t)en->st.size : 0;
	l->n.token += token;
	l->n.token_encoded += encoded;
	if (l->files)
		show_file(l, en, state, token, encoded);
	return 0;
}

static void source_line(struct ls *l, const struct picked *p)
{
	char bytes[16], count[16], date[32] = "";
	time_t t = (time_t)(p->made / 1000000000);
	struct tm tm;

	if (localtime_r(&t, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm);
	buf_addf(l->b, "%s", term_style(&l->c->out, STYLE_BOLD));
	term_text(l->b, p->name, strlen(p->name), false);
	buf_addf(l->b, "%s@%.*s  %s  %llu files, %s", term_style(&l->c->out, STYLE_PLAIN), HASH_SHOWN,
		 p->complete ? p->hash : "(unfinished)", date,
		 (unsigned long long)(l->n.text + l->n.listed + l->n.skipped),
		 term_bytes(bytes, (double)l->n.bytes));
	if (l->has_engine)
		buf_addf(l->b, ", %s tokens, %d%% encoded", term_count(count, (double)l->n.token),
			 l->n.token ? (int)(100 * l->n.token_encoded / l->n.token) : 0);
	if (l->n.listed || l->n.skipped)
		buf_addf(l->b, " (%llu listed, %llu skipped)", (unsigned long long)l->n.listed,
			 (unsigned long long)l->n.skipped);
	buf_adds(l->b, "  ");
	buf_adds(l->b, term_style(&l->c->out, STYLE_DIM));
	term_text(l->b, p->origin, strlen(p->origin), false);
	buf_addf(l->b, "%s\n", term_style(&l->c->out, STYLE_PLAIN));
}

static int one_source(struct ls *l, const struct picked *p)
{
	int rc = 0;

	l->n = (struct count){ 0 };
	if (l->j) {
		jw_open(l->j, NULL, '{');
		jw_str(l->j, "name", p->name);
		jw_strn(l->j, "snapshot", p->hash, MIN(strlen(p->hash), (size_t)HASH_SHOWN));
		jw_str(l->j, "kind", p->kind);
		jw_str(l->j, "origin", p->origin);
		jw_str(l->j, "rev", p->rev);
		jw_bool(l->j, "complete", p->complete);
		jw_open(l->j, "files", '[');
	}
	if (p->snapshot)
		rc = cat_entries(l->cat, p->snapshot, one_file, l, &l->e);
	if (l->j) {
		jw_close(l->j);
		jw_close(l->j);
	}
	return rc;
}

static int list(struct ls *l, const struct picks *picks, bool one)
{
	size_t i;
	int rc = 0;

	if (l->j) {
		jw_open(l->j, NULL, '{');
		jw_str(l->j, "schema", "folio.ls/1");
		jw_open(l->j, "sources", '[');
	}
	for (i = 0; i < picks->n && !rc; i++) {
		l->files = l->j || one || l->status;
		if (!l->j && l->status && !one) {	/* the heading first */
			l->files = false;
			rc = one_source(l, &picks->v[i]);
			source_line(l, &picks->v[i]);
			l->files = true;
			l->n = (struct count){ 0 };
		}
		if (!rc)
			rc = one_source(l, &picks->v[i]);
		if (!l->j && !one && !l->status)
			source_line(l, &picks->v[i]);
	}
	if (l->j) {
		jw_close(l->j);
		jw_close(l->j);
		jw_end_line(l->j);
	}
	return rc;
}

int cmd_ls(struct ctx *c, int argc, char **argv)
{
	const struct ls_opts *o = c->opts;
	const char *want[] = { argc ? argv[0] : NULL };
	struct strs names = { want, (size_t)argc };
	struct library *lib = NULL;
	struct picks picks = { 0 };
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	struct ls l = { .c = c, .b = &b, .status = o->status,
			.j = c->g.json || c->g.jsonl ? &j : NULL };
	int rc = library_open(c, &lib, 0, &l.e);

	if (!rc) {
		l.cat = lib_catalog(lib);
		rc = cat_read_begin(l.cat, &l.e);
	}
	if (!rc) {
		l.has_engine = sources_engine(l.cat, &l.engine, &l.mode);
		rc = sources_pick(l.cat, &names, &picks, &l.e);
		if (!rc) {
			if (!l.j)
				pager_start(c);
			rc = list(&l, &picks, argc > 0);
		}
		cat_read_end(l.cat);
	}
	if (!rc && !picks.n)
		note(c, "the library is empty; 'folio ingest PATH' fills it");
	if (!rc)
		fwrite(b.data, 1, b.len, stdout);
	picks_release(&picks);
	buf_release(&b);
	lib_close(lib);
	return rc ? fail(c, &l.e) : EXIT_DONE;
}
