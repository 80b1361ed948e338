#include "config.h"

#include "cmd/child.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"

#include "base/cpu.h"
#include "base/size.h"
#include "engine/kern.h"

#include <archive.h>
#include <cmark-gfm.h>
#include <curl/curl.h>
#include <errno.h>
#include <git2.h>
#include <histedit.h>
#include <jansson.h>
#include <liburing.h>
#include <libxml/xmlversion.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <seccomp.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <uchardet/uchardet.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

/* What a line of the report says about the installation. */
enum verdict { FINE, LACKS, BROKEN };

struct report {
	struct ctx *c;
	struct jw *j;		/* NULL: for people */
	struct buf *out;
	int worst;
};

/* One finding: a line, or a member of the open JSON object. */
static void say(struct report *r, enum verdict v, const char *name, const char *text,
		const char *advice)
{
	static const char *const word[] = { "ok", "missing", "broken" };
	const struct term *t = &r->c->out;
	static const enum style style[] = { STYLE_GOOD, STYLE_WARN, STYLE_BAD };

	if ((int)v > r->worst)
		r->worst = v;
	if (r->j) {
		jw_open(r->j, NULL, '{');
		jw_str(r->j, "name", name);
		jw_str(r->j, "state", word[v]);
		jw_str(r->j, "text", text);
		jw_str(r->j, "advice", advice);
		jw_close(r->j);
		return;
	}
	buf_addf(r->out, "  %s%-8s%s %-12s ", term_style(t, style[v]), word[v],
		 term_style(t, STYLE_PLAIN), name);
	term_text(r->out, text, strlen(text), false);
	if (advice)
		buf_addf(r->out, "\n%24s%s", "", advice);
	buf_addc(r->out, '\n');
}

static void section(struct report *r, const char *key, const char *title)
{
	const struct term *t = &r->c->out;

	if (r->j)
		jw_open(r->j, key, '[');
	else
		buf_addf(r->out, "%s%s%s\n", term_style(t, STYLE_BOLD), title,
			 term_style(t, STYLE_PLAIN));
}

static void end_section(struct report *r)
{
	if (r->j)
		jw_close(r->j);
	else
		buf_addc(r->out, '\n');
}

/* The kernel sets this processor can run, and the one that this command line would use. */
static void kernels(struct report *r)
{
	const struct kern *use = kern_choose(ctx_kernels(r->c));
	struct buf b = { 0 };

	for (int i = 0; kern_at(i); i++)
		buf_addf(&b, "%s%s", i ? ", " : "", kern_at(i)->name);
	if (use)
		buf_addf(&b, "; %s is used", use->name);
	else
		buf_addf(&b, "; %s is asked for and not possible", ctx_kernels(r->c));
	say(r, use ? FINE : BROKEN, "kernels", b.data ? b.data : "",
	    use ? NULL : "take another set with --kernels, FOLIO_KERNELS or core.kernels");
	buf_release(&b);
}

static void processor(struct report *r)
{
	const struct cpu *cpu = cpu_get();
	struct buf b = { 0 };
	struct sysinfo si;
	struct utsname un;
	char total[16], avail[16];

	section(r, "machine", "Machine");
	buf_addf(&b, "%s, %d core%s usable", cpu->name[0] ? cpu->name : "unknown", cpu->n_core,
		 cpu->n_core == 1 ? "" : "s");
	say(r, FINE, "processor", b.data ? b.data : "", NULL);
	buf_clear(&b);
	buf_addf(&b, "%s%s%s%s", cpu->avx2_fma ? "AVX2+FMA " : "", cpu->avx512 ? "AVX-512 " : "",
		 cpu->avx512_vnni ? "VNNI " : "", cpu->avx512_bf16 ? "BF16 " : "");
	if (!b.len)
		buf_adds(&b, "none: the portable C kernels are used");
	else if (b.data[b.len - 1] == ' ')
		b.data[--b.len] = '\0';
	say(r, FINE, "features", b.data ? b.data : "", NULL);
	kernels(r);
	if (!sysinfo(&si)) {
		buf_clear(&b);
		buf_addf(&b, "%s, %s free without the page cache",
			 term_bytes(total, (double)si.totalram * si.mem_unit),
			 term_bytes(avail, (double)si.freeram * si.mem_unit));
		say(r, FINE, "memory", b.data ? b.data : "", NULL);
	}
	if (!uname(&un)) {
		buf_clear(&b);
		buf_addf(&b, "%s %s", un.sysname, un.release);
		say(r, FINE, "kernel", b.data ? b.data : "", NULL);
	}
	buf_release(&b);
}

/* Set up a small ring and let it do nothing once: containers may refuse at either step. */
static void ring(struct report *r)
{
	struct io_uring u;
	struct io_uring_cqe *cqe = NULL;
	char text[160];
	int rc = io_uring_queue_init(4, &u, 0);

	if (!rc) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&u);

		if (sqe)
			io_uring_prep_nop(sqe);
		rc = io_uring_submit(&u);
		rc = rc < 0 ? rc : io_uring_wait_cqe(&u, &cqe);
		if (!rc)
			io_uring_cqe_seen(&u, cqe);
		io_uring_queue_exit(&u);
	}
	if (rc < 0) {
		snprintf(text, sizeof(text), "refused (%s): plain reads are used instead",
			 strerror(-rc));
		say(r, LACKS, "io_uring", text, rc == -EPERM || rc == -EACCES ?
		    "a container's seccomp profile or kernel.io_uring_disabled forbids it" :
		    rc == -ENOSYS ? "this kernel was built without it" : NULL);
	} else {
		say(r, FINE, "io_uring", "works", NULL);
	}
	end_section(r);
}

static void libraries(struct report *r)
{
	char v[64];
	int major, minor, rev;
	const struct scmp_version *sv = seccomp_version();
	char pcre[64] = "";

	section(r, "libraries", "Libraries");
	snprintf(v, sizeof(v), "%s", sodium_version_string());
	say(r, sodium_init() < 0 ? BROKEN : FINE, "libsodium", v, NULL);
	snprintf(v, sizeof(v), "%u.%u.%u", XXH_versionNumber() / 10000,
		 XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100);
	say(r, FINE, "xxhash", v, NULL);
	say(r, sqlite3_compileoption_used("ENABLE_FTS5") ? FINE : BROKEN, "sqlite",
	    sqlite3_libversion(), sqlite3_compileoption_used("ENABLE_FTS5") ? NULL :
	    "this build has no FTS5, the full-text index");
	say(r, FINE, "zstd", ZSTD_versionString(), NULL);
	pcre2_config(PCRE2_CONFIG_VERSION, pcre);
	say(r, FINE, "pcre2", pcre, NULL);
	git_libgit2_version(&major, &minor, &rev);
	snprintf(v, sizeof(v), "%d.%d.%d", major, minor, rev);
	say(r, FINE, "libgit2", v, NULL);
	say(r, FINE, "libarchive", archive_version_string(), NULL);
	say(r, FINE, "libxml2", LIBXML_DOTTED_VERSION, NULL);
	say(r, FINE, "cmark-gfm", cmark_version_string(), NULL);
	say(r, FINE, "jansson", JANSSON_VERSION, NULL);
	say(r, FINE, "libcurl", curl_version_info(CURLVERSION_NOW)->version, NULL);
	snprintf(v, sizeof(v), "%u.%u.%u", sv->major, sv->minor, sv->micro);
	say(r, FINE, "seccomp", v, NULL);
	snprintf(v, sizeof(v), "%d.%d", LIBEDIT_MAJOR, LIBEDIT_MINOR);
	say(r, FINE, "libedit", v, NULL);
	end_section(r);
}

/* A helper program: its first line of version text, or what is lost without it. */
static void program(struct report *r, const char *name, const char *arg, const char *must_say,
		    const char *lost)
{
	char *argv[] = { (char *)name, (char *)arg, NULL };
	struct buf out = { 0 };
	int status;

	if (child_run(argv, &out, true, &status, NULL) || !out.data) {
		say(r, LACKS, name, "not found", lost);
	} else if (must_say && !strstr(out.data, must_say)) {
		say(r, LACKS, name, "another program of this name", lost);
	} else {
		out.data[strcspn(out.data, "\n")] = '\0';
		out.data[MIN(strlen(out.data), (size_t)70)] = '\0';
		say(r, FINE, name, out.data, NULL);
	}
	buf_release(&out);
}

static void programs(struct report *r)
{
	section(r, "programs", "Programs it calls");
	program(r, "pdftotext", "-v", "pdftotext",
		"without it PDF files are listed but not read (Debian: poppler-utils)");
	program(r, "ctags", "--version", "Universal Ctags",
		"without it there are no symbols (Debian: universal-ctags)");
	program(r, "git", "--version", "git version",
		"needed for repositories that libgit2 refuses (Debian: git)");
	end_section(r);
}

static void models(struct report *r)
{
	struct model_list l;
	char text[4200], size[16];

	section(r, "models", "Models");
	if (models_list(&l, NULL))
		l = (struct model_list){ 0 };
	for (size_t i = 0; i < l.n; i++) {
		snprintf(text, sizeof(text), "%s, %s", term_bytes(size, (double)l.v[i].bytes),
			 l.v[i].path);
		say(r, FINE, l.v[i].name, text, NULL);
	}
	if (!l.n)
		say(r, LACKS, "models", "none installed",
		    "'folio model get smollm2-135m' fetches a small one");
	models_release(&l);
	end_section(r);
}

/* Free space where path is, or where its nearest existing parent is. */
static void disk(struct report *r, const char *name, const char *path)
{
	char *p = strdup(path), *slash, text[4200], size[16];
	struct statvfs fs;

	while (p && *p && statvfs(p, &fs) < 0 && (slash = strrchr(p, '/')) && slash != p)
		*slash = '\0';
	if (p && *p && !statvfs(p, &fs)) {
		snprintf(text, sizeof(text), "%s free at %s",
			 term_bytes(size, (double)fs.f_bavail * (double)fs.f_frsize), path);
		say(r, FINE, name, text, NULL);
	}
	free(p);
}

static void places(struct report *r)
{
	struct library_place lib;
	char *folder = models_folder();
	struct err e;

	section(r, "places", "Places");
	if (library_find(r->c, &lib, &e)) {
		say(r, BROKEN, "library", e.msg, e.hint);
	} else {
		disk(r, lib.exists ? "library" : "(library)", lib.path);
		free(lib.path);
	}
	if (folder)
		disk(r, "models", folder);
	free(folder);
	end_section(r);
}

int cmd_doctor(struct ctx *c, int argc, char **argv)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	struct report r = { .c = c, .out = &b };

	(void)argc;
	(void)argv;
	if (c->g.json || c->g.jsonl) {
		r.j = &j;
		jw_open(&j, NULL, '{');
		jw_str(&j, "schema", "folio.doctor/1");
		jw_str(&j, "version", PACKAGE_VERSION);
	} else {
		buf_adds(&b, "folio " PACKAGE_VERSION "\n\n");
	}
	processor(&r);
	ring(&r);
	libraries(&r);
	programs(&r);
	models(&r);
	places(&r);
	if (r.j) {
		jw_bool(&j, "healthy", r.worst < BROKEN);
		jw_close(&j);
		jw_end_line(&j);
	} else {
		while (b.len && b.data[b.len - 1] == '\n')
			b.len--;
		buf_addc(&b, '\n');
	}
	if (!b.failed)
		fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	return r.worst == BROKEN ? EXIT_ERROR : EXIT_DONE;
}
