/* cmd/json.h - write JSON into a buffer, field by field
 *
 *   struct jw j = { .out = &b };
 *   jw_open(&j, NULL, '{');
 *   jw_str(&j, "schema", "folio.ls/1");
 *   jw_open(&j, "sources", '[');
 *   ...
 *   jw_close(&j); jw_close(&j); jw_end_line(&j);
 *
 * Commas and quoting are taken care of.  key is NULL inside an array and at the top.  Text from files
 * may hold anything: bytes that are no UTF-8 become U+FFFD, because JSON has no other way; where the
 * exact bytes matter jw_path adds them in base64.  Reading JSON is jansson's work, not ours.
 */
#ifndef CMD_JSON_H
#define CMD_JSON_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct jw {
	struct buf *out;
	int   depth;
	char  kind[32];		/* '{' or '[' of each open level */
	bool  some[32];		/* it has a member already */
};

void jw_open(struct jw *j, const char *key, char kind);
void jw_close(struct jw *j);
/* s NULL writes null. */
void jw_str(struct jw *j, const char *key, const char *s);
void jw_strn(struct jw *j, const char *key, const char *s, size_t n);
void jw_int(struct jw *j, const char *key, int64_t v);
void jw_uint(struct jw *j, const char *key, uint64_t v);
/* Up to 9 significant digits; what is not finite becomes null. */
void jw_real(struct jw *j, const char *key, double v);
void jw_bool(struct jw *j, const char *key, bool v);
void jw_null(struct jw *j, const char *key);
/* A value that is JSON already. */
void jw_raw(struct jw *j, const char *key, const char *json);
/* "path": lossy text, and "path_bytes": base64 beside it when the bytes are not UTF-8. */
void jw_path(struct jw *j, const char *key, const char *path, size_t n);
/* A newline after the whole document. */
void jw_end_line(struct jw *j);

#endif
