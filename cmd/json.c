#include "config.h"

#include "cmd/json.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quoted(struct buf *out, const char *s, size_t n)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t len = utf8_decode(s + i, n - i, &c);

		if (!len) {
			buf_adds(out, "\xef\xbf\xbd");
			i++;
			continue;
		}
		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", (char)c);
		else if (c == '\n')
			buf_adds(out, "\\n");
		else if (c == '\t')
			buf_adds(out, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\u%04x", (unsigned)c);
		else
			buf_add(out, s + i, len);
		i += len;
	}
	buf_addc(out, '"');
}

/* Comma and key before a value. */
static void lead(struct jw *j, const char *key)
{
	if (j->depth) {
		if (j->some[j->depth - 1])
			buf_addc(j->out, ',');
		j->some[j->depth - 1] = true;
	}
	if (key) {
		quoted(j->out, key, strlen(key));
		buf_addc(j->out, ':');
	}
}

void jw_open(struct jw *j, const char *key, char kind)
{
	lead(j, key);
	buf_addc(j->out, kind);
	if (j->depth == (int)sizeof(j->kind))
		abort();	/* our bug: no document of ours nests this deep */
	j->kind[j->depth] = kind;
	j->some[j->depth++] = false;
}

void jw_close(struct jw *j)
{
	buf_addc(j->out, j->kind[--j->depth] == '{' ? '}' : ']');
}

void jw_str(struct jw *j, const char *key, const char *s)
{
	if (s)
		jw_strn(j, key, s, strlen(s));
	else
		jw_null(j, key);
}

void jw_strn(struct jw *j, const char *key, const char *s, size_t n)
{
	lead(j, key);
	quoted(j->out, s, n);
}

void jw_int(struct jw *j, const char *key, int64_t v)
{
	lead(j, key);
	buf_addf(j->out, "%" PRId64, v);
}

void jw_uint(struct jw *j, const char *key, uint64_t v)
{
	lead(j, key);
	buf_addf(j->out, "%" PRIu64, v);
}

void jw_real(struct jw *j, const char *key, double v)
{
	if (!isfinite(v)) {
		jw_null(j, key);
		return;
	}
	lead(j, key);
	buf_addf(j->out, "%.9g", v);
}

void jw_bool(struct jw *j, const char *key, bool v)
{
	lead(j, key);
	buf_adds(j->out, v ? "true" : "false");
}

void jw_null(struct jw *j, const char *key)
{
	lead(j, key);
	buf_adds(j->out, "null");
}

void jw_raw(struct jw *j, const char *key, const char *json)
{
	lead(j, key);
	buf_adds(j->out, json);
}

static void base64(struct buf *out, const unsigned char *s, size_t n)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)s[i] << 16 | (i + 1 < n ? (uint32_t)s[i + 1] << 8 : 0) |
			     (i + 2 < n ? s[i + 2] : 0u);

		buf_addc(out, set[v >> 18]);
		buf_addc(out, set[v >> 12 & 63]);
		buf_addc(out, i + 1 < n ? set[v >> 6 & 63] : '=');
		buf_addc(out, i + 2 < n ? set[v & 63] : '=');
	}
}

void jw_path(struct jw *j, const char *key, const char *path, size_t n)
{
	char bytes_key[64];

	jw_strn(j, key, path, n);
	if (utf8_check(path, n) == n)
		return;
	snprintf(bytes_key, sizeof(bytes_key), "%s_bytes", key);
	lead(j, bytes_key);
	buf_addc(j->out, '"');
	base64(j->out, (const unsigned char *)path, n);
	buf_addc(j->out, '"');
}

void jw_end_line(struct jw *j)
{
	buf_addc(j->out, '\n');
}
