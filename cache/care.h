/* cache/care.h - looking after a library: verify, repair, forget, prune, stats
 *
 *   verify   reads only, beside any other work.  Structure: every page of the catalog against its
 *            sum, SQLite's own checks, file sizes, that every span, extent, page and tail hangs
 *            together.  With a share > 0 also that share of texts, maps, segments and tails.
 *   repair   puts pages back that a damaged catalog has lost, drops what verify names and can be
 * had again, and says what must be encoded again; rebuilds full-text indexes; names what is lost.
 *   forget   removes snapshots; what only they used goes with the next prune.
 *   prune    drops documents, spans and extents that nothing refers to, rewrites segments that are
 *            mostly dead, unlinks dead files.  Each step is a batch of its own, so it can be
 *            stopped anywhere and started again; files are unlinked only when no reader that might
 *            use them is left (library.h), and otherwise wait for the next prune.
 *
 * repair and prune take the lock of long operations (ERR_BUSY).
 */
#ifndef CACHE_CARE_H
#define CACHE_CARE_H

#include "cache/catalog.h"
#include "cache/library.h"

struct care_damage {
	const char *kind; /* "catalog", "commits", "words", "trigram", "text", "map", "settings",
			   * "segment", "pages", "summary", "index", "tail", "turn", "entry" */
	const char *path;	/* source:path of what is hit, or the file or table */
	uint64_t    tokens;	/* whose pages are hit */
	bool        repairable;	/* from what is stored; false: only from the source, or lost */
	const char *what;	/* one line for people */
};

/* Nonzero stops the work: verify and repair then return it.  total 0: not known. */
typedef int care_damage_fn(void *ctx, const struct care_damage *d);
typedef int care_progress_fn(void *ctx, const char *phase, uint64_t done, uint64_t total);

struct care_watch {
	care_damage_fn   *damage;	/* may be NULL */
	care_progress_fn *progress;	/* may be NULL */
	void             *ctx;
};

struct care_verified {
	uint64_t checked_bytes;
	uint64_t n_damage, n_lost;	/* n_lost: of them, not repairable */
};
/* share in [0, 1]; which part is read is chosen by seed.  0 whatever was found, see out: errors are
 * what kept it from looking. */
int care_verify(struct library *lib, double share, uint64_t seed, const struct care_watch *w,
		struct care_verified *out, struct err *e);

struct care_repaired {
	uint64_t n_damage, n_lost;
	uint64_t tokens_to_encode;	/* of spans that lost their pages */
	uint64_t documents_lost;	/* texts that must be ingested again */
	uint64_t extents_found;		/* whole pages the catalog had lost, put back */
};
/* lib must be opened with LIB_MEND; lib_catalog() gives another one afterwards. */
int care_repair(struct library *lib, const struct care_watch *w, struct care_repaired *out,
		struct err *e);

/* Keep the newest keep complete snapshots of a source (0: of every source) and every pinned one.
 * With dry, only counts. */
int care_forget(struct library *lib, int64_t source, unsigned keep, bool dry, uint64_t *n_forgotten,
		struct err *e);

struct care_pruned {
	uint64_t n_document, n_extent, n_tail, n_file;
	uint64_t bytes_freed;		/* of files unlinked */
	uint64_t bytes_waiting;		/* of files that a reader may still use */
	uint64_t bytes_rewritten;
};
int care_prune(struct library *lib, bool dry, const struct care_watch *w, struct care_pruned *out,
	       struct err *e);

struct care_stats {
	uint64_t n_source, n_snapshot, n_entry, n_document, n_span, n_extent, n_page, n_session,
		n_turn;
	uint64_t text_bytes, text_stored;	/* extracted; compressed */
	uint64_t n_token, n_encoded;		/* of spans, each once per engine and identity */
	uint64_t catalog_bytes, segment_bytes, segment_live, tail_bytes;
	uint64_t trigram_left;			/* bytes of text */
};
int care_stats(struct library *lib, struct care_stats *out, struct err *e);

#endif
