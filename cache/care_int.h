/* cache/care_int.h - what verify, repair and prune share; nobody else includes it */
#ifndef CACHE_CARE_INT_H
#define CACHE_CARE_INT_H

#include "cache/care.h"
#include "cache/cat_int.h"

struct care {
	struct library          *lib;
	struct catalog          *c;
	const struct care_watch *w;	/* may be NULL */
	struct kv_store         *store;	/* for looking at heads */
	uint64_t n_damage, n_lost, checked;
};

/* Count and report.  what is a format; 0, or the watcher's answer. */
int care_report(struct care *k, const char *kind, const char *path, uint64_t tokens,
		bool repairable, const char *what, ...) __attribute__((format(printf, 6, 7)));
int care_progress(struct care *k, const char *phase, uint64_t done, uint64_t total);

/* "source:path" of some entry that holds the document (or uses the extent), else "document 12". */
void care_path_of_document(struct care *k, int64_t document, struct buf *out);
void care_path_of_extent(struct care *k, int64_t extent, struct buf *out);

/* Is a file of the library at least this long?  ERR_CORRUPT says what is wrong. */
int care_check_file(struct care *k, const char *file, uint64_t bytes, struct err *e);

/* The catalog itself: pages, b-trees, SQLite's own checks.  Damage is reported, not an error. */
int care_check_catalog(struct care *k, struct err *e);

/* Put whole extents of the segment files back that the catalog does not know; *n counts them. */
int care_adopt(struct care *k, uint64_t *n, struct err *e);

/* Are there fewer commits than were made? */
int care_check_commits(struct care *k);

/* Copy every row of a damaged catalog that can still be read into a new one at path, put right what
 * refers to nothing, make the derived tables again, and say what is lost.  The new file is complete
 * and synced on success. */
int care_salvage(struct care *k, const char *path, struct err *e);

/* The reason of an entry whose text is gone: the next ingest reads it again. */
#define CARE_TEXT_LOST "its text was damaged: ingest the source again"

/* Read every byte of an extent (or of its sketch) and check them; last is the identity of its last
 * page, x->page is not looked at.  ERR_CORRUPT: damage, or no sketch where one is wanted. */
int care_check_extent(struct care *k, const struct cat_extent *x, const struct id *last,
		      struct err *e);
int care_check_sketch(struct care *k, const struct cat_extent *x, const struct id *last,
		      bool wanted, struct err *e);
/* Should this engine's extents have sketches (derive.h)? */
int care_wants_sketch(struct care *k, int64_t engine, bool *wanted, struct err *e);
/* Any record of the segment file with this extension; as above. */
int care_read_record(struct care *k, uint32_t number, const char *ext, uint64_t off, uint64_t n,
		     void **out, struct err *e);

/* Move what is alive out of segments that are mostly dead, or small and many; *moved gets the
 * bytes. */
int care_rewrite(struct care *k, uint64_t *moved, struct err *e);

/* Do the files of a reference open: head, kind, version, length? */
int care_check_heads(struct care *k, const struct kv_ref *ref, struct err *e);
/* The bytes of an extent, 64-aligned, unchecked; free() them. */
int care_read_extent(struct care *k, const struct kv_ref *ref, void **out, struct err *e);

/* Every byte of a text (sum and SHA-256) and its map. */
int care_check_text(struct care *k, int64_t document, struct err *e);
int care_check_map(struct care *k, int64_t document, struct err *e);

/* Check all of them, report, and append the ids (int64_t): extents of bad index parts; tail rows
 * whose far bytes, or only near bytes, are bad. */
int care_bad_parts(struct care *k, struct buf *extent, struct err *e);
int care_bad_tails(struct care *k, struct buf *far, struct buf *near, struct err *e);

/* Bytes of a file of the library by name ("segments/00000001.kv"), 0 when it is not there. */
uint64_t care_file_bytes(struct care *k, const char *file);

/* The first column of a query (a literal, see cat_int.h), fresh memory.  arg: ?1, if it has one. */
int care_ids(struct catalog *c, const char *sql, int64_t arg, int64_t **out, size_t *n,
	     struct err *e);

#endif
