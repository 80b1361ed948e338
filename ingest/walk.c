#include "config.h"

#include "ingest/walk.h"

#include "base/size.h"
#include "base/stop.h"
#include "ingest/classify.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- shared by all kinds of walk --- */

int walk_stopped(struct err *e)
{
	return stop_requested() ? err_set(e, ERR_INTR, "interrupted") : 0;
}

int walk_wait(int fd, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int rc, n;

	do {
		rc = walk_stopped(e);
		n = rc ? 0 : poll(&p, 1, 100);
	} while (!rc && (n == 0 || (n < 0 && errno == EINTR)));
	return rc;
}

uint64_t walk_max_file(const struct walk *w)
{
	return w->o->max_file ? w->o->max_file : WALK_MAX_FILE;
}

void walk_verdict(struct item *it, enum item_state s, enum item_why why, const char *fmt, ...)
{
	va_list ap;

	it->state = s;
	it->why = why;
	va_start(ap, fmt);
	vsnprintf(it->reason, sizeof(it->reason), fmt, ap);
	va_end(ap);
}

int walk_enter(struct walk *w, const char *name, size_t n, struct place *back, struct err *e)
{
	*back = (struct place){ w->full.len, w->path.len };
	buf_addc(&w->full, '/');
	buf_add(&w->full, name, n);
	if (w->path.len)
		buf_addc(&w->path, '/');
	buf_add(&w->path, name, n);
	return w->full.failed || w->path.failed ? err_nomem(e) : 0;
}

void walk_leave(struct walk *w, struct place back)
{
	walk_cut(&w->full, back.full);
	walk_cut(&w->path, back.path);
}

bool walk_wants(const struct walk *w)
{
	const char *only = w->o->only;
	size_t n = w->path.len;

	if (!only || !n)
		return true;
	return !strncmp(only, w->path.data, MIN(n, strlen(only))) &&
	       (strlen(only) > n ? only[n] == '/' : w->path.data[strlen(only)] == 0 ||
		w->path.data[strlen(only)] == '/');
}

/* Does the rule list say something about the place as seen from the root of the source? */
static const struct rule *ask_globs(const struct walk *w, bool is_dir)
{
	size_t base = w->glob_base ? w->glob_base + 1 : 0;

	if (!w->globs || w->path.len <= base)
		return NULL;
	return rules_match(w->globs, w->path.data + base, w->path.len - base, is_dir, false);
}

static void ruled(struct item *it, enum item_why why, struct decision d)
{
	it->rule_file = d.file;
	it->rule_line = d.rule->line;
	walk_verdict(it, STATE_OUT, why, "ignored by %s:%d: %s", d.file, d.rule->line, d.rule->text);
}

/* True when -g has the last word. */
static bool decide_globs(struct walk *w, struct item *it, bool is_dir)
{
	const struct rule *r = ask_globs(w, is_dir);

	if (r && r->negated) {
		walk_verdict(it, STATE_OUT, WHY_GLOB, "left out by -g '%s'", r->text);
		return true;
	}
	if (r) {
		it->wanted = true;
		return true;
	}
	if (w->globs_include && !is_dir) {
		walk_verdict(it, STATE_OUT, WHY_GLOB, "matches no -g glob");
		return true;
	}
	return false;
}

static const char *last_name(const struct buf *b)
{
	const char *slash = b->len ? memrchr(b->data, '/', b->len) : NULL;

	return slash ? slash + 1 : b->data;
}

void walk_decide(struct walk *w, struct item *it, bool is_dir, bool tracked, bool *git_only)
{
	struct decision d = { 0 };
	bool icase = w->repo && repo_icase(w->repo);

	if (git_only)
		*git_only = false;
	it->state = STATE_TAKE;
	if (decide_globs(w, it, is_dir))
		return;
	if (!w->o->no_ignore) {
		d = rulestack_ask(&w->rules, RULES_FOLIO, RULES_GIT, w->full.data, w->full.len,
				  is_dir, false);
		if (d.rule && !d.rule->negated) {
			ruled(it, WHY_IGNORED, d);
			return;
		}
		if (!d.rule && !tracked) {
			d = rulestack_ask(&w->rules, RULES_GIT, RULES_N_GROUP, w->full.data,
					  w->full.len, is_dir, icase);
			if (d.rule && !d.rule->negated) {
				ruled(it, WHY_IGNORED, d);
				if (git_only)
					*git_only = true;
				return;
			}
		}
	}
	/* An explicit "!.name" shows a hidden file, as in ripgrep; being tracked alone does not. */
	if (!d.rule && !w->o->hidden && last_name(&w->full)[0] == '.')
		walk_verdict(it, STATE_OUT, WHY_HIDDEN, "hidden (--hidden includes it)");
}

void walk_decide_member(struct walk *w, struct item *it, size_t n_archive)
{
	const char *p = w->path.data + n_archive;

	it->state = STATE_TAKE;
	if (decide_globs(w, it, false) || w->o->hidden)
		return;
	for (; p; p = strchr(p + 1, '/'))
		if (p[0] == '/' && p[1] == '.')
			walk_verdict(it, STATE_OUT, WHY_HIDDEN, "hidden (--hidden includes it)");
}

int walk_emit(struct walk *w, struct item *it, struct err *e)
{
	const char *only = w->o->only;

	it->path = w->path.data;
	it->n_path = w->path.len;
	/* With `only`, folders on the way are walked but not told, unless they end it. */
	if (only && (!walk_wants(w) || (it->n_path < strlen(only) && it->state == STATE_TAKE)))
		return 0;
	if (it->kind == ITEM_FILE && it->state == STATE_TAKE) {
		if (it->size != UINT64_MAX && it->size > walk_max_file(w))
			walk_verdict(it, STATE_SKIP, WHY_TOO_LARGE,
				     "too large: %llu bytes, the limit is %llu (--max-filesize)",
				     (unsigned long long)it->size, (unsigned long long)walk_max_file(w));
		else
			classify_name(it);
	}
	return w->fn(w->ctx, it, e);
}

/* --- roots --- */

/* What items of a root are called: nothing when it is the only one and a folder. */
static int root_prefix(struct walk *w, const char *given, const char *real, bool bare,
		       struct err *e)
{
	const char *p = given, *name = strrchr(real, '/');
	bool plain = *p != '/';

	buf_clear(&w->path);
	w->glob_base = 0;
	if (bare)
		return 0;
	while (plain && *p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !strncmp(p, "..", 2))
			plain = false;
		else if (n && !(n == 1 && *p == '.'))
			buf_addf(&w->path, "%s%.*s", w->path.len ? "/" : "", (int)n, p);
		p += n;
		while (*p == '/')
			p++;
	}
	if (!plain || !w->path.len) {
		buf_clear(&w->path);
		buf_adds(&w->path, name && name[1] ? name + 1 : "root");
	}
	return w->path.failed ? err_nomem(e) : 0;
}

size_t walk_find_top(const char *real)
{
	char *dir = strdup(real);
	size_t n = dir ? strlen(dir) : 0;

	while (n > 1 && !repo_is_top(dir)) {
		while (n > 1 && dir[n - 1] != '/')
			n--;
		if (n > 1)
			n--;
		dir[n] = 0;
	}
	free(dir);
	return n > 1 ? n : 0;
}

static int walk_root_dir(struct walk *w, const char *real, struct err *e)
{
	struct walk_git_state save;
	size_t top;
	int rc;

	w->glob_base = w->path.len;
	if (w->o->ref)
		return walk_revision(w, real, e);
	buf_clear(&w->full);
	if (strcmp(real, "/"))
		buf_adds(&w->full, real);
	if (!buf_reserve(&w->full, 1))
		return err_nomem(e);
	walk_cut(&w->full, w->full.len);
	top = walk_find_top(real);
	rc = top ? walk_enter_repo(w, top, &save, e) : 0;
	if (!rc)
		rc = walk_push_parents(w, e);	/* those of this folder itself are read by walk_dir */
	if (!rc)
		rc = walk_files(w, NULL, e);
	if (top)
		walk_leave_repo(w, &save);
	rulestack_release(&w->rules);
	return rc;
}

static int walk_root_file(struct walk *w, const char *real, const struct stat *st, struct err *e)
{
	struct item it = { .origin = FROM_FILE, .kind = ITEM_FILE, .wanted = true };

	buf_clear(&w->full);
	buf_adds(&w->full, real);
	if (w->full.failed)
		return err_nomem(e);
	it.path = w->path.data;
	it.n_path = w->path.len;
	w->glob_base = w->path.len;
	walk_fill_stat(&it, st);
	if (!S_ISREG(st->st_mode)) {
		it.kind = ITEM_SPECIAL;
		walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "not a regular file");
	}
	return walk_file_entry(w, &it, e);
}

static int walk_stdin(struct walk *w, struct err *e)
{
	struct item it = { .origin = FROM_STDIN, .kind = ITEM_FILE, .wanted = true,
			   .size = UINT64_MAX };

	buf_clear(&w->path);
	buf_adds(&w->path, "stdin");
	return w->path.failed ? err_nomem(e) : walk_emit(w, &it, e);
}

/* listed: one of many, whose absence is told and not fatal. */
static int walk_root(struct walk *w, const char *given, bool only_root, bool listed, struct err *e)
{
	struct stat st;
	char *real;
	int rc;

	if (!strcmp(given, "-") && !listed)
		return walk_stdin(w, e);
	real = realpath(given, NULL);
	if (!real || stat(given, &st) < 0) {
		int error = errno;

		free(real);
		if (!listed)
			return err_set(e, error == ENOENT || error == ENOTDIR ? ERR_NOTFOUND : ERR_IO,
				       "cannot read '%s': %s", given, strerror(error));
		rc = root_prefix(w, given, given, false, e);
		if (!rc) {
			struct item it = { .origin = FROM_FILE, .kind = ITEM_FILE };

			walk_verdict(&it, STATE_SKIP, WHY_UNREADABLE, "cannot open: %s", strerror(error));
			rc = walk_emit(w, &it, e);
		}
		return rc;
	}
	rc = root_prefix(w, given, real, S_ISDIR(st.st_mode) && only_root, e);
	if (!rc)
		rc = S_ISDIR(st.st_mode) ? walk_root_dir(w, real, e) : walk_root_file(w, real, &st, e);
	free(real);
	return rc == WALK_PASS ? 0 : rc;
}

static int walk_begin(struct walk *w, const struct walk_opts *o, walk_fn *fn, void *ctx,
		      struct err *e)
{
	size_t i;
	int rc;

	*w = (struct walk){ .o = o, .fn = fn, .ctx = ctx };
	if (!o->n_glob)
		return 0;
	rc = rules_new(&w->globs, "-g", "", 0, e);
	for (i = 0; i < o->n_glob && !rc; i++) {
		w->globs_include |= o->globs[i][0] != '!';
		rc = rules_add(w->globs, o->globs[i], e);
	}
	return rc;
}

static void walk_end(struct walk *w)
{
	rules_free(w->globs);
	rulestack_release(&w->rules);
	buf_release(&w->full);
	buf_release(&w->path);
}

int walk_run(const struct walk_opts *o, const char *const *roots, size_t n_root, walk_fn *fn,
	     void *ctx, struct err *e)
{
	struct walk w;
	size_t i;
	int rc = walk_begin(&w, o, fn, ctx, e);

	for (i = 0; i < n_root && !rc; i++)
		rc = walk_root(&w, roots[i], n_root == 1, false, e);
	walk_end(&w);
	return rc;
}

static int read_list(struct walk *w, int fd, char end, struct err *e)
{
	struct buf b = { 0 };
	int rc = 0;

	for (bool more = true; more && !rc;) {
		size_t at = 0;
		char *stop;
		ssize_t n;

		rc = walk_wait(fd, e);
		if (!rc && !buf_reserve(&b, 65536))
			rc = err_nomem(e);
		n = rc ? 0 : read(fd, b.data + b.len, 65536);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			rc = err_set(e, ERR_IO, "cannot read the list of files: %s", strerror(errno));
		if (n > 0)
			b.len += (size_t)n;
		else if (b.len)
			buf_addc(&b, end);	/* the last line needs no end of its own */
		more = n > 0;
		if (b.failed)
			rc = err_nomem(e);
		while (!rc && at < b.len && (stop = memchr(b.data + at, end, b.len - at))) {
			*stop = 0;
			if (b.data[at])
				rc = walk_root(w, b.data + at, false, true, e);
			at = (size_t)(stop + 1 - b.data);
			if (!rc)
				rc = walk_stopped(e);
		}
		if (at)
			memmove(b.data, b.data + at, b.len - at);
		b.len -= at;
	}
	buf_release(&b);
	return rc;
}

int walk_list(const struct walk_opts *o, int fd, bool nul, walk_fn *fn, void *ctx, struct err *e)
{
	struct walk w;
	int rc = walk_begin(&w, o, fn, ctx, e);

	if (!rc)
		rc = read_list(&w, fd, nul ? 0 : '\n', e);
	walk_end(&w);
	return rc;
}
