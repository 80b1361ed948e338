/* ingest/pipeline.h - a source into a library: the text stage
 *
 *   walk -> (unchanged? done) -> read, extract, classify, pack -> commit text and full text
 *           owner's thread       threads of work.h                owner's thread
 *
 * After it the library can be searched and asked.  Behind it come the trigram index (ingest_fill),
 * the symbols of source files (ingest_symbols), which are anchors and decide nothing, and pages (encode
 * stage, pages.h).
 *
 * SOURCES AND SNAPSHOTS.  A source has a name and an origin, the absolute path it was read from.  A
 * run makes one snapshot of it.  The snapshot begins as a copy of the newest one, when the first
 * difference is found, and is open until the run is complete; a run that was interrupted, killed or
 * out of disk leaves it open, and the next run goes on with it.  A run that finds nothing new
 * writes nothing.
 *
 * WHAT IS NOT READ AGAIN.  A file whose stat data is trusted (cat_stat_trusted: git's racy rule), a
 * blob with the same object name, an archive whose own stat data is trusted, with all its members.
 * Not with opts.rehash, and not when the options that decide about content changed since the last
 * run (they are kept in the setting "ingest.SOURCE", and then the snapshot begins empty).  What
 * failed last time is tried again.  A file that moved is read, but its text is stored once.
 *
 * COMMITS.  A batch is committed when its texts reach PIPELINE_BATCH_BYTES or it is
 * PIPELINE_BATCH_SECONDS old, so a crash costs no more than that.  An archive's own entry is
 * committed last: it vouches for its members.
 *
 * ERRORS.  One bad file costs one file: it is an entry with a reason, told through on_item, and
 * counted.  ERR_INTR: somebody asked to stop; what was done is committed.  ERR_FULL, ERR_BUSY,
 * ERR_CORRUPT and so on are the catalog's.
 */
#ifndef INGEST_PIPELINE_H
#define INGEST_PIPELINE_H

#include "cache/catalog.h"
#include "ingest/source.h"
#include "ingest/work.h"

enum { PIPELINE_BATCH_BYTES = 16 << 20, PIPELINE_BATCH_SECONDS = 5, PIPELINE_BATCH_ENTRIES = 4096 };

/* What a root is, by looking at it.  Strings are fresh memory; source_release. */
struct source_info {
	char *name;		/* last component of the path, or "stdin" */
	const char *kind;	/* "git", "dir", "archive", "file", "stdin", "list" */
	char *origin;		/* absolute path, "-" */
	bool  is_dir;
};
/* ERR_NOTFOUND: there is no such path. */
int source_look(struct source_info *out, const char *root, struct err *e);
void source_release(struct source_info *s);

enum ingest_phase { INGEST_TEXT, INGEST_INDEX, INGEST_SYMBOLS };

struct ingest_progress {
	enum ingest_phase phase;
	uint64_t files;			/* items looked at so far */
	uint64_t bytes;			/* of files read so far, of text indexed, of text looked through */
	uint64_t total_bytes;		/* of text; 0 in INGEST_TEXT, where it is not known */
	const char *path;		/* the last one, NULL when there is none */
};

struct ingest_opts {
	struct walk_opts   walk;
	const char *const *roots;
	size_t             n_root;
	int                list_fd;	/* >= 0: read paths from here, roots is not looked at */
	bool               list_nul;

	const char *name, *kind, *origin;	/* of the source */
	bool        allow_secrets, rehash;
	int         n_thread;			/* 0: 1 */
	struct extract_opt extract;

	/* All may be NULL. */
	void  *ctx;
	void (*on_progress)(void *ctx, const struct ingest_progress *p);
	/* Every item with its final state, STATE_OUT too; n_token only in a rehearsal. */
	void (*on_item)(void *ctx, const struct item *it, uint64_t n_text, uint64_t n_token,
			bool is_copy);
};

struct ingest_result {
	int64_t  source, snapshot;
	char     hash[65];		/* of the snapshot, hex */
	bool     changed;		/* the snapshot differs from the one before */
	uint64_t n_text, n_reused, n_listed, n_skipped, n_problem, n_out, n_gone;
	uint64_t n_new_text;		/* documents the library did not have */
	uint64_t bytes_read, bytes_text;
	uint64_t n_token;		/* rehearsal */
	double   seconds;
};

/* The text stage.  On an error *out is what was done so far. */
int ingest_text(struct catalog *c, const struct ingest_opts *o, struct ingest_result *out,
		struct err *e);

/* The same walk and extraction without a library: counts.  count says how many tokens a document
 * has; a text that comes twice is counted once (is_copy).  Symbols are not looked for. */
int ingest_rehearse(const struct ingest_opts *o, work_count_fn *count, void *count_ctx,
		    struct ingest_result *out, struct err *e);

/* Fill the trigram index until it is done or somebody asks to stop; *n_byte counts the text. */
int ingest_fill(struct catalog *c, const struct ingest_opts *o, uint64_t *n_byte, struct err *e);

struct ingest_symbols_result {
	uint64_t n_document, n_symbol, n_byte;	/* source files looked through by this call */
	uint64_t n_lacking;		/* of them, whose symbols are missing or not all there */
	char     why[200];		/* what became of the first of those */
};

/* Find the symbols of every source file in the library that was not looked through yet, and store them
 * as anchors.  Commits every few megabytes; a call that was interrupted or killed is gone on with by
 * the next.  Without ctags it does nothing, and the first call that finds one does it all. */
int ingest_symbols(struct catalog *c, const struct ingest_opts *o, struct ingest_symbols_result *out,
		   struct err *e);

/* What the rules say about one path of a source: the item that decides on it, through fn, once; the
 * last component of that item's path may be a folder above.  Content is looked at as well.
 * ERR_NOTFOUND: the walk does not come by. */
int ingest_explain(const struct ingest_opts *o, const char *path, walk_fn *fn, void *ctx,
		   struct err *e);

/* The seam to the encode stage: documents of a snapshot, each once, in order of their first path,
 * for which `engine` has no complete set of encoded spans in `mode`. */
typedef int ingest_todo_fn(void *ctx, int64_t document, const char *path, size_t n_path,
			   struct err *e);
int ingest_todo(struct catalog *c, int64_t snapshot, int64_t engine, enum cat_mode mode,
		ingest_todo_fn *fn, void *ctx, struct err *e);

#endif
