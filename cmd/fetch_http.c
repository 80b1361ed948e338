#include "config.h"

#include "cmd/fetch.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/stop.h"
#include "cmd/ctx.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Tries before giving up on a connection that keeps breaking; a try that moved bytes does not count. */
enum { TRIES = 4 };

struct transfer {
	struct ctx *c;
	struct sink *s;
	CURL *curl;
	const char *url, *from;
	uint64_t began_at;	/* s->n when this try began */
	bool started;		/* the first body byte was looked at */
	long status;
	char etag[256];		/* of the response being read */
	char known[256];	/* of the part, from the .from file */
	uint64_t range_at;	/* start in Content-Range */
	bool has_range;
	int rc;			/* a failure of ours, with its message in *e */
	struct err *e;
};

/* --- what the part is a part of: two lines, URL and ETag --- */

static void read_from(struct transfer *t, struct err *e)
{
	struct buf b = { 0 };
	char *line2;
	bool same = false;

	t->known[0] = '\0';
	if (t->s->n && !file_read(&b, t->from, 65536, NULL) && b.data &&
	    (line2 = strchr(b.data, '\n'))) {
		*line2++ = '\0';
		line2[strcspn(line2, "\n")] = '\0';
		same = !strcmp(b.data, t->url);
		snprintf(t->known, sizeof(t->known), "%s", line2);
	}
	/* Without an ETag nothing proves that the rest belongs to what is here. */
	if (t->s->n && (!same || !t->known[0]))
		t->rc = sink_restart(t->s, e);
	buf_release(&b);
}

static int write_from(struct transfer *t)
{
	struct buf b = { 0 };
	int rc;

	buf_addf(&b, "%s\n%s\n", t->url, t->etag);
	rc = b.failed ? err_nomem(t->e) : file_write_atomic(t->from, b.data, b.len, t->e);
	buf_release(&b);
	return rc;
}

/* --- the response --- */

/* value of "Name: value" when the header is name; copied without quotes of the line's end. */
static bool header_is(const char *line, size_t n, const char *name, char *out, size_t cap)
{
	size_t k = strlen(name);

	if (n <= k || strncasecmp(line, name, k) || line[k] != ':')
		return false;
	for (k++; k < n && (line[k] == ' ' || line[k] == '\t'); k++)
		;
	while (n > k && isspace((unsigned char)line[n - 1]))
		n--;
	snprintf(out, cap, "%.*s", (int)(n - k), line + k);
	return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	char v[256], hex[65];
	unsigned long long at;

	n *= size;
	if (n >= 5 && !memcmp(line, "HTTP/", 5)) {	/* a redirect's headers are over */
		t->etag[0] = '\0';
		t->has_range = false;
	} else if (header_is(line, n, "etag", v, sizeof(v))) {
		snprintf(t->etag, sizeof(t->etag), "%s", v);
	} else if (header_is(line, n, "content-range", v, sizeof(v)) &&
		   sscanf(v, "bytes %llu-", &at) == 1) {
		t->range_at = at;
		t->has_range = true;
	} else if (header_is(line, n, "x-linked-etag", v, sizeof(v)) &&
		   sscanf(v, "\"%64[0-9a-f]\"", hex) == 1 && strlen(hex) == 64) {
		/* The hub names the sha256 of large files on the way to them. */
		memcpy(t->s->expect, hex, sizeof(hex));
	}
	return n;
}

/* The first body byte: is this the rest, the whole, or a page about an error? */
static int begin(struct transfer *t)
{
	curl_off_t length = -1;
	int rc = 0;

	t->started = true;
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->status);
	curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (t->status == 200 && t->s->n)
		rc = sink_restart(t->s, t->e);
	else if (t->status == 206 && (!t->has_range || t->range_at != t->s->n))
		rc = err_set(t->e, ERR_IO, "'%s' answered with another range than asked for",
			     t->url);
	else if (t->status != 200 && t->status != 206)
		return 1;	/* not ours to keep; `finish` says what happened */
	if (!rc && length > 0)
		progress_total(&t->s->bar, t->s->n + (uint64_t)length);
	if (!rc && t->etag[0] && t->status == 200)
		rc = write_from(t);
	return rc;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	int rc = t->started ? 0 : begin(t);

	n *= size;
	if (rc == 1 || t->status >= 300)
		return n;
	if (!rc)
		rc = sink_write(t->s, data, n, t->e);
	t->rc = rc;
	return rc ? 0 : n;
}

static int on_tick(void *arg, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total, curl_off_t ul)
{
	(void)arg;
	(void)dl_total;
	(void)dl;
	(void)ul_total;
	(void)ul;
	return stop_requested();
}

/* --- one try, and tries --- */

static CURLcode try_once(struct transfer *t, struct curl_slist **headers)
{
	char range[64], line[300];

	t->started = false;
	t->status = 0;
	t->began_at = t->s->n;
	curl_slist_free_all(*headers);
	*headers = NULL;
	if (t->s->n) {
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)t->s->n);
		snprintf(line, sizeof(line), "If-Range: %s", t->known);
		*headers = curl_slist_append(NULL, line);
	}
	curl_easy_setopt(t->curl, CURLOPT_RANGE, t->s->n ? range : NULL);
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, *headers);
	return curl_easy_perform(t->curl);
}

static int finish(struct transfer *t, CURLcode code, const char *why)
{
	struct err *e = t->e;

	if (t->rc)
		return t->rc;
	if (code == CURLE_ABORTED_BY_CALLBACK) {
		err_set(e, ERR_INTR, "interrupted, %llu bytes are kept",
			(unsigned long long)t->s->n);
		return err_hint(e, ERR_INTR, "the same command goes on from there");
	}
	if (code)
		return err_set(e, ERR_IO, "cannot fetch '%s': %s", t->url,
			       *why ? why : curl_easy_strerror(code));
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->status);
	if (t->status == 404 || t->status == 410)
		return err_set(e, ERR_MODEL, "there is nothing at '%s' (status %ld)", t->url,
			       t->status);
	if (t->status == 401 || t->status == 403)
		return err_set(e, ERR_MODEL, "'%s' is not open to everyone (status %ld)", t->url,
			       t->status);
	if (t->status != 200 && t->status != 206)
		return err_set(e, ERR_IO, "'%s' answered with status %ld", t->url, t->status);
	if (!t->started && t->s->n == 0)
		return err_set(e, ERR_MODEL, "'%s' is empty", t->url);
	return 0;
}

static bool worth_again(CURLcode code)
{
	return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
	       code == CURLE_OPERATION_TIMEDOUT || code == CURLE_HTTP2_STREAM;
}

static void options(struct transfer *t, char *why)
{
	CURL *h = t->curl;

	curl_easy_setopt(h, CURLOPT_URL, t->url);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	/* What began encrypted stays encrypted. */
	curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR,
			 strncasecmp(t->url, "https:", 6) ? "http,https" : "https");
	curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(h, CURLOPT_MAXREDIRS, 8L);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_USERAGENT, "folio/" PACKAGE_VERSION);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, 30L);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, 60L);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_tick);
	curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
}

int fetch_http(struct ctx *c, struct sink *s, const char *url, const char *from, struct err *e)
{
	struct transfer t = { .c = c, .s = s, .url = url, .from = from, .e = e };
	struct curl_slist *headers = NULL;
	char why[CURL_ERROR_SIZE] = "";
	CURLcode code = CURLE_OK;
	int left = TRIES, rc;

	if (strchr(url, '\n') || strchr(url, '\r'))
		return err_set(e, ERR_INVALID, "a URL has no line ends");
	read_from(&t, e);
	if (t.rc)
		return t.rc;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(t.curl = curl_easy_init()))
		return err_set(e, ERR_IO, "cannot set libcurl up");
	if (s->n)
		note(c, "going on at byte %llu", (unsigned long long)s->n);
	options(&t, why);
	while (left--) {
		code = try_once(&t, &headers);
		if (t.rc || !worth_again(code) || stop_requested())
			break;
		if (s->n > t.began_at)
			left = TRIES - 1;
		if (t.etag[0])
			memcpy(t.known, t.etag, sizeof(t.known));
		if (!t.known[0] && (t.rc = sink_restart(s, e)))
			break;
		detail(c, "%s; trying again", *why ? why : curl_easy_strerror(code));
		sleep(1);
	}
	curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &t.status);
	if (!t.rc && code == CURLE_OK && t.status == 416 && s->n) {
		/* Nothing is left to send: the part was whole, or belongs to something else.  The
		 * hash, if there is one, will tell. */
		rc = 0;
	} else {
		rc = finish(&t, code, why);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(t.curl);
	curl_global_cleanup();
	return rc;
}
