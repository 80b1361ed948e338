#include "config.h"

#include "ingest/symbols.h"

#include "base/clock.h"
#include "base/size.h"
#include "ingest/extract.h"
#include "ingest/language.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RESTART_BYTES (64u << 20)	/* of source, so that no leak and no CPU limit adds up */
#define MAX_SYMBOLS   200000u		/* of one file: more is generated data */
#define MAX_LINE      (1u << 20)	/* of ctags' answer */

const char *const symbols_args[5] = {
	"--options=NONE", "--_interactive=sandbox",
	"--fields={name}{line}{end}{kind}{signature}{scope}{typeref}",
	"--extras=-{anonymous}", NULL
};

struct symbols {
	struct sandbox *box;
	size_t   job;
	unsigned wall_seconds;
	int      fd;		/* -1: not running */
	uint64_t bytes;		/* of source this ctags has seen */
	struct buf in;		/* of ctags' answer, not yet taken apart */
};

int symbols_new(struct symbols **out, struct sandbox *box, size_t job, unsigned wall_seconds,
		struct err *e)
{
	struct symbols *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return err_nomem(e);
	s->box = box;
	s->job = job;
	s->wall_seconds = wall_seconds;
	s->fd = -1;
	return 0;
}

static void stop(struct symbols *s)
{
	if (s->fd >= 0)
		sandbox_stop(s->box);
	s->fd = -1;
	s->bytes = 0;
	buf_clear(&s->in);
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	stop(s);
	buf_release(&s->in);
	free(s);
}

/*** Talking to ctags ***/

static bool start(struct symbols *s, struct err *e)
{
	static const struct sandbox_limit lim = {
		.memory = 1ull << 30, .output = 1u << 20, .cpu_seconds = 300, .wall_seconds = 0
	};

	if (s->fd >= 0 && s->bytes < RESTART_BYTES)
		return true;
	stop(s);
	return !sandbox_spawn(s->box, s->job, &lim, &s->fd, e);
}

/* Wait until ctags can be written to (out) or read from.  False: the time is over. */
static bool wait_for(const struct symbols *s, bool out, double end, short *what)
{
	struct pollfd p = { .fd = s->fd, .events = (short)(POLLIN | (out ? POLLOUT : 0)) };
	double left;
	int n;

	do {
		left = end - clock_now();
		n = left > 0 ? poll(&p, 1, (int)(left * 1000) + 1) : 0;
	} while (n < 0 && errno == EINTR);
	*what = p.revents;
	return n > 0;
}

/* Read what is there.  False: ctags is gone, or its answer has no end. */
static bool take(struct symbols *s)
{
	ssize_t r;

	if (s->in.len > MAX_LINE || !buf_reserve(&s->in, 65536))
		return false;
	r = recv(s->fd, s->in.data + s->in.len, 65536, MSG_DONTWAIT);
	if (r < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (r <= 0)
		return false;
	s->in.len += (size_t)r;
	return true;
}

typedef bool line_fn(void *ctx, json_t *j);	/* true: the answer is complete */

/* Give every whole line in the buffer to fn.  *done: one of them was the last. */
static void lines(struct symbols *s, line_fn *fn, void *ctx, bool *done)
{
	char *p = s->in.data, *nl;
	size_t left = s->in.len;

	while (!*done && left && (nl = memchr(p, '\n', left))) {
		json_t *j = json_loadb(p, (size_t)(nl - p), 0, NULL);

		left -= (size_t)(nl + 1 - p);
		p = nl + 1;
		if (j)
			*done = fn(ctx, j);
		json_decref(j);
	}
	if (left)
		memmove(s->in.data, p, left);
	s->in.len = left;
}

/* Send head and body, and read lines until the last.  NULL, or what went wrong. */
static const char *ask(struct symbols *s, const char *head, size_t n_head, const char *body,
		       size_t n_body, line_fn *fn, void *ctx)
{
	double end = clock_now() + s->wall_seconds;
	bool done = false;

	while (!done) {
		short what;

		if (!wait_for(s, n_head || n_body, end, &what))
			return "took too long";
		if (what & (POLLIN | POLLHUP | POLLERR)) {
			if (!take(s))
				return "ended before its answer did";
			lines(s, fn, ctx, &done);
		} else if (what & POLLOUT) {
			const char *p = n_head ? head : body;
			size_t *n = n_head ? &n_head : &n_body;
			ssize_t w = send(s->fd, p, *n, MSG_NOSIGNAL | MSG_DONTWAIT);

			if (w < 0 && errno != EINTR && errno != EAGAIN)
				return "ended before its answer did";
			if (w > 0) {
				*n -= (size_t)w;
				if (p == head)
					head += w;
				else
					body += w;
			}
		}
	}
	s->bytes += n_body;
	return NULL;
}

/*** Its answers ***/

struct job {
	struct document *d;
	uint64_t *line;		/* offset of each line, and of the end: n_line + 1 of them */
	size_t    n_line;
	size_t    n_symbol;
};

static bool line_starts(struct job *k)
{
	const char *p = k->d->text.data, *q;
	size_t n = k->d->text.len, cap = 1;

	for (q = p; (q = memchr(q, '\n', (size_t)(p + n - q))); q++)
		cap++;
	k->line = reallocarray(NULL, cap + 1, sizeof(*k->line));
	if (!k->line)
		return false;
	k->line[k->n_line++] = 0;
	for (q = p; (q = memchr(q, '\n', (size_t)(p + n - q))); q++)
		if (q + 1 < p + n)
			k->line[k->n_line++] = (uint64_t)(q + 1 - p);
	k->line[k->n_line] = n;
	return true;
}

static const char *text_of(json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

static void add_symbol(struct job *k, json_t *j)
{
	json_int_t at = json_integer_value(json_object_get(j, "line"));
	json_int_t end = json_integer_value(json_object_get(j, "end"));
	const char *name = text_of(j, "name"), *scope = text_of(j, "scope");
	const char *kind = text_of(j, "kind"), *type = text_of(j, "typeref");
	const char *colon = strchr(type, ':');
	struct buf title = { 0 }, detail = { 0 };

	if (at < 1 || (size_t)at > k->n_line || !*name || k->n_symbol >= MAX_SYMBOLS ||
	    strstr(name, "__anon"))
		return;
	end = MIN(MAX(end, at), (json_int_t)k->n_line);
	if (*scope && !strstr(scope, "__anon")) {
		bool colons = strstr(scope, "::") || !strncmp(k->d->language, "C++", 3) ||
			      !strcmp(k->d->language, "Rust") || !strcmp(k->d->language, "Perl");

		buf_addf(&title, "%s%s", scope, colons ? "::" : ".");
	}
	buf_adds(&title, name);
	buf_addf(&detail, "%s%s", kind, text_of(j, "signature"));
	if (*type)
		buf_addf(&detail, " -> %s",
			 colon && !strncmp(type, "typename:", 9) ? colon + 1 : type);
	if (title.failed || detail.failed) {
		k->d->text.failed = true;
	} else {
		doc_anchor(k->d, ANCHOR_SYMBOL, 0, k->line[at - 1], title.data, detail.data);
		if (!k->d->text.failed)
			k->d->anchor[k->d->n_anchor - 1].end = k->line[end];
		k->n_symbol++;
	}
	buf_release(&title);
	buf_release(&detail);
}

static bool on_line(void *ctx, json_t *j)
{
	const char *type = text_of(j, "_type");

	if (!strcmp(type, "tag"))
		add_symbol(ctx, j);
	return !strcmp(type, "completed") || !strcmp(type, "error");
}

/* A name that makes ctags choose the right parser and that needs no quoting. */
static void plain_name(const char *name, const struct document *d, char *out, size_t size)
{
	const char *tail = name_tail(name), *ext = language_ending(d->language);
	bool plain = (strchr(tail, '.') && !name_ends(tail, "in")) || !*ext;

	for (const char *p = tail; *p && plain; p++)
		plain = isalnum((unsigned char)*p) || strchr("._-+", *p);
	if (plain && strlen(tail) < size)
		snprintf(out, size, "%s", tail);
	else
		snprintf(out, size, "f.%s", *ext ? ext : "txt");
}

int symbols_add(struct symbols *s, const char *name, struct document *d, struct err *e)
{
	char plain[128], head[256];
	struct job k = { .d = d };
	const char *wrong;
	struct err why;
	int n;

	if (!d->text.len)
		return 0;
	if (!line_starts(&k))
		return err_nomem(e);
	if (!start(s, &why)) {
		doc_note(d, "no symbols: %s", why.msg);
		free(k.line);
		return 0;
	}
	plain_name(name, d, plain, sizeof(plain));
	n = snprintf(head, sizeof(head),
		     "{\"command\":\"generate-tags\",\"filename\":\"%s\",\"size\":%zu}\n", plain,
		     d->text.len);
	wrong = ask(s, head, (size_t)n, d->text.data, d->text.len, on_line, &k);
	if (wrong) {
		doc_note(d, "symbols are missing: ctags %s", wrong);
		stop(s);
	}
	if (k.n_symbol >= MAX_SYMBOLS)
		doc_note(d, "only the first %u symbols are kept", MAX_SYMBOLS);
	free(k.line);
	if (d->text.failed)
		return err_nomem(e);
	doc_finish(d);
	return 0;
}
