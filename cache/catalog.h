/* cache/catalog.h - what exists: the SQLite side of a library
 *
 * Engines, sources, snapshots, documents with their text and maps, spans, extents and pages by
 * identity, settings.  Sessions (session.h), search (search.h) and care (care.h) live in the same
 * file.  Knows bytes, shapes and identities; does not know what a model or a file type is.  The
 * tables, column by column: doc/library-format.md.
 *
 * INVARIANTS (numbers of the design page)
 *   (2) A row that names bytes of a segment is committed after their fdatasync: the caller syncs
 *       the segment, then calls cat_begin, puts, cat_commit.  Nothing is visible before the commit.
 *   (3) One identity, one extent: the first sealed bytes stay; a second put of the same identity
 *       is answered with the first.
 *   (4) Each page of catalog.sqlite ends in 16 bytes of XXH3-128 over its number and its bytes,
 *       written and checked below SQLite (sumvfs.h); texts, maps and tails carry sums of their own.
 *       A mismatch is ERR_CORRUPT and never data.
 *   (8) A batch is all or nothing.  The writer's lock is held from cat_begin to cat_commit, so a
 *       caller prepares everything (compresses, syncs) before; readers never wait for it.
 *
 * UNITS.  Byte offsets are into the document's extracted text (UTF-8), ranges half-open [start,
 * end).  Lines count from 1, tokens from 0.  Times are Unix nanoseconds unless a name says seconds.
 * Row ids are positive; 0 means none.
 *
 * CALLBACKS.  cat_*_fn return 0 to go on; anything else stops the walk and is returned as it is.
 * What they are given is borrowed until they return.  They may read the catalog, not write to it.
 *
 * ERRORS.  ERR_NOTFOUND where nothing matches, ERR_CORRUPT on damage, ERR_BUSY when the writer's
 * lock could not be had in 30 s, ERR_FULL when the disk is full (the batch is rolled back, the
 * library intact), ERR_IO, ERR_NOMEM.  After an error inside a batch only cat_rollback is allowed.
 * A failed sync is sticky: later batches are refused until the library is opened again.
 */
#ifndef CACHE_CATALOG_H
#define CACHE_CATALOG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "cache/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;

/* ---- Batches --------------------------------------------------------------------------------- */

/* Every cat_put_*, cat_set_*, cat_del_* and cat_snapshot_* stands between these two.  cat_rollback
 * forgets the batch; it may be called at any time. */
int cat_begin(struct catalog *c, struct err *e);
int cat_commit(struct catalog *c, struct err *e);
void cat_rollback(struct catalog *c);

/* Hold one state of the catalog while several reads run, so that they agree; readers need this only
 * where two calls must see the same commit.  Does not nest, not inside a batch. */
int cat_read_begin(struct catalog *c, struct err *e);
void cat_read_end(struct catalog *c);

/* ---- Engines: what computed the pages -------------------------------------------------------- */

/* Shape of the far layers (geom.h) plus names.  fingerprint is the identity of weights, tokenizer,
 * layer plan, preamble, span recipe, KV type and format version, so two KV types are two engines.
 * preamble is the identity of the preamble's last page: what an isolated span attends to. */
struct cat_engine {
	int64_t   id;
	struct id fingerprint;
	struct id preamble;
	char      name[128];		/* the model's name, for people */
	uint32_t  n_far_layer, n_head_kv, head_dim, page_tokens;
	uint32_t  kv_type;		/* kvtype.h */
	int64_t   made;			/* when it was first put */
};

/* Add, or find by fingerprint and rename; in->id and in->made are not read.  *id gets its row.
 * ERR_MISMATCH: the same fingerprint with another shape. */
int cat_put_engine(struct catalog *c, const struct cat_engine *in, int64_t *id, struct err *e);
int cat_engine(struct catalog *c, int64_t id, struct cat_engine *out, struct err *e);
int cat_engine_find(struct catalog *c, const struct id *fingerprint, struct cat_engine *out,
		    struct err *e);
typedef int cat_engine_fn(void *ctx, const struct cat_engine *en);
int cat_engines(struct catalog *c, cat_engine_fn *fn, void *ctx, struct err *e);

/* ---- Settings: small named values, among them engines' own blobs ----------------------------- */

/* engine 0: the library's own.  Up to 16 MiB; checksummed. */
int cat_set(struct catalog *c, int64_t engine, const char *key, const void *v, size_t n,
	    struct err *e);
int cat_get(struct catalog *c, int64_t engine, const char *key, struct buf *out, struct err *e);
int cat_unset(struct catalog *c, int64_t engine, const char *key, struct err *e);

/* ---- Sources and snapshots ------------------------------------------------------------------- */

struct cat_source {
	int64_t     id;
	const char *name;	/* unique in the library */
	const char *kind;	/* "git", "dir", "file", "archive", "stdin", ...: ingest's word */
	const char *origin;	/* path or URL it was read from; bytes, NUL-terminated */
	int64_t     made;
	int64_t     newest;	/* newest complete snapshot, 0 if none */
};

/* Add, or find by name (kind and origin are then updated). */
int cat_put_source(struct catalog *c, const char *name, const char *kind, const char *origin,
		   int64_t *id, struct err *e);
/* Remove a source with all its snapshots; pinned ones (session.h) are ERR_INVALID and named. */
int cat_del_source(struct catalog *c, int64_t id, struct err *e);
typedef int cat_source_fn(void *ctx, const struct cat_source *s);
int cat_sources(struct catalog *c, cat_source_fn *fn, void *ctx, struct err *e);
int cat_source_find(struct catalog *c, const char *name, int64_t *id, struct err *e);
/* The name, in fresh memory. */
int cat_source_name(struct catalog *c, int64_t id, char **name, struct err *e);

/* A snapshot is built over many batches: it is open while entries are put, and complete after
 * cat_snapshot_finish.  Readers may use an open one (ask at once); an ingest that starts again
 * finds it with cat_snapshot_open and goes on. */
struct cat_snapshot {
	int64_t   id;
	int64_t   source;
	struct id hash; /* over paths, documents and states; zero while open.  The six
			 * hex digits people see are its first three bytes, more if needed */
	bool      complete;
	int64_t   made;		/* when it was begun */
	char      rev[72];	/* git commit or "", ingest's word */
};

/* Begin one; from (0: none) gives entries to start from, copied in one statement with their stat
 * data, so that an ingest of a big tree writes only what changed. */
int cat_snapshot_begin(struct catalog *c, int64_t source, const char *rev, int64_t from,
		       int64_t *id, struct err *e);
/* Close it.  When an older complete snapshot of the source has the same hash, the new one is
 * dropped, the older one gets its stat data and *id is the older one. */
int cat_snapshot_finish(struct catalog *c, int64_t snapshot, int64_t *id, struct err *e);
int cat_del_snapshot(struct catalog *c, int64_t snapshot, struct err *e);
/* The open snapshot of a source, the newest first: ERR_NOTFOUND if none. */
int cat_snapshot_open(struct catalog *c, int64_t source, int64_t *id, struct err *e);
int cat_snapshot(struct catalog *c, int64_t id, struct cat_snapshot *out, struct err *e);
/* By source name and a prefix of the hash in hex; prefix NULL or "": the newest complete one, or
 * the open one if no other is there.  ERR_INVALID: the prefix fits several. */
int cat_snapshot_find(struct catalog *c, const char *source, const char *prefix, int64_t *id,
		      struct err *e);
typedef int cat_snapshot_fn(void *ctx, const struct cat_snapshot *s);
/* Newest first; source 0: of all sources. */
int cat_snapshots(struct catalog *c, int64_t source, cat_snapshot_fn *fn, void *ctx, struct err *e);

enum cat_state {
	CAT_LISTED = 1,		/* the name is known, the content was left out on purpose */
	CAT_SKIPPED = 2,	/* could not be read or is not text: see reason */
	CAT_TEXT = 3		/* the text is stored.  "encoded" is not stored: it follows from the
				 * spans, see cat_coverage */
};

/* What stat said when the file was read; all 0 where there is no file. */
struct cat_stat {
	int64_t  size, mtime_ns, ctime_ns;
	uint64_t inode;
	uint32_t mode;
	int64_t  seen_ns;	/* clock just before the content was read */
};

struct cat_entry {
	const char     *path;		/* bytes, no NUL inside, '/' between names */
	size_t          path_n;
	enum cat_state  state;
	int64_t         document;	/* 0 unless CAT_TEXT */
	const char     *reason;		/* of LISTED and SKIPPED; of TEXT a remark, "" mostly */
	struct cat_stat st;
};

/* Add or replace by path. */
int cat_put_entry(struct catalog *c, int64_t snapshot, const struct cat_entry *en, struct err *e);
int cat_del_entry(struct catalog *c, int64_t snapshot, const char *path, size_t n, struct err *e);
typedef int cat_entry_fn(void *ctx, const struct cat_entry *en);
/* In order of path bytes. */
int cat_entries(struct catalog *c, int64_t snapshot, cat_entry_fn *fn, void *ctx, struct err *e);
/* One entry, through fn. */
int cat_entry(struct catalog *c, int64_t snapshot, const char *path, size_t n, cat_entry_fn *fn,
	      void *ctx, struct err *e);
/* Entries of a snapshot that hold this document. */
int cat_entries_of(struct catalog *c, int64_t snapshot, int64_t document, cat_entry_fn *fn,
		   void *ctx, struct err *e);

/* May the content be taken as unchanged?  Size, mtime, ctime, inode and mode must be equal, and the
 * old stamp must be older than the moment the content was read: a file changed in the same tick of
 * the clock as it was read (10 ms are allowed for) has to be read again.  (git's racy rule) */
bool cat_stat_trusted(const struct cat_stat *was, const struct cat_stat *now);

/* ---- Documents ------------------------------------------------------------------------------- */

/* A named place or range: a page, a heading, a symbol.  kind is ingest's number (0 to 31).  end 0:
 * it reaches to the next one of its kind. */
struct cat_anchor {
	uint64_t    start, end;
	uint32_t    kind;
	uint32_t    number;		/* page number, heading level, ...: ingest's meaning */
	const char *title, *detail;	/* UTF-8 */
};

/* A text to store.  Two documents are the same when sha256 (of the text, computed here) and format
 * are equal; the anchors of the first one stay. */
struct cat_text {
	const char *text;
	size_t      n;
	const char *format;		/* ingest's word: "text", "c", "markdown", "pdf", ... */
	const struct cat_anchor *anchor;	/* in order of start; the outer one first */
	size_t      n_anchor;
};

/* What cat_put_text writes, made outside the batch by any thread (compression and hashing are the
 * slow part).  Zero-initialise; release in the end. */
struct cat_blob;
int cat_blob_new(struct cat_blob **out, const struct cat_text *t, struct err *e);
void cat_blob_free(struct cat_blob *b);
const uint8_t *cat_blob_sha256(const struct cat_blob *b);	/* 32 bytes, borrowed */

/* Store it, with its full-text rows (unicode61); the trigram index follows later, see search.h.
 * *is_new (may be NULL) is false when it was there. */
int cat_put_text(struct catalog *c, const struct cat_blob *b, int64_t *document, bool *is_new,
		 struct err *e);

struct cat_document {
	int64_t  id;
	uint8_t  sha256[32];
	char     format[32];
	uint64_t n_byte, n_line;
};
int cat_document(struct catalog *c, int64_t id, struct cat_document *out, struct err *e);
int cat_document_find(struct catalog *c, const uint8_t sha256[32], const char *format, int64_t *id,
		      struct err *e);
/* Append the text; checked against its sum. */
int cat_text(struct catalog *c, int64_t document, struct buf *out, struct err *e);

/* Anchors that are found after the text was committed: replace those of a document, in order as in
 * struct cat_text.  ERR_CORRUPT: its map is damaged (repair makes a new one). */
int cat_put_anchors(struct catalog *c, int64_t document, const struct cat_anchor *a, size_t n,
		    struct err *e);
/* How far a pass that finds them has come: documents up to this id have theirs, 0 at first; *left (may
 * be NULL) counts the bytes of text behind it.  A map that repair makes anew takes the mark back, so
 * that the pass comes by again. */
int cat_anchored(struct catalog *c, int64_t *document, uint64_t *left, struct err *e);
int cat_set_anchored(struct catalog *c, int64_t document, struct err *e);
/* Documents with a greater id, in order of id; path is one of those that had it ("" when none has).
 * Stops after max. */
typedef int cat_document_fn(void *ctx, const struct cat_document *d, const char *path, size_t path_n);
int cat_documents_after(struct catalog *c, int64_t id, size_t max, cat_document_fn *fn, void *ctx,
			struct err *e);

/* Texts of a snapshot in order of path, each document once per path, decompressed one at a time. */
typedef int cat_text_fn(void *ctx, const struct cat_entry *en, const char *text, size_t n);
int cat_texts(struct catalog *c, int64_t snapshot, cat_text_fn *fn, void *ctx, struct err *e);

/* The maps of one document, in memory: lines and anchors. */
struct cat_map;
int cat_map_open(struct cat_map **out, struct catalog *c, int64_t document, struct err *e);
void cat_map_close(struct cat_map *m);
uint64_t cat_map_lines(const struct cat_map *m);
/* Line that holds the byte; a byte at or past the end gives the last line. */
uint64_t cat_map_line(const struct cat_map *m, uint64_t byte);
/* Byte range of a line with its newline.  False when there is no such line. */
bool cat_map_range(const struct cat_map *m, uint64_t line, uint64_t *start, uint64_t *end);
/* The anchor of a kind that the byte belongs to: the last one that begins at or before it and does
 * not end before it.  NULL if none; borrowed until the map is closed. */
const struct cat_anchor *cat_map_anchor(const struct cat_map *m, uint32_t kind, uint64_t byte);
const struct cat_anchor *cat_map_anchors(const struct cat_map *m, size_t *n);

/* ---- Spans and extents ----------------------------------------------------------------------- */

/* As ident.h numbers them. */
enum cat_mode { CAT_ISOLATED = 2, CAT_CAUSAL = 3 };

/* One span of a document as one engine cuts it.  `last` is the identity of its last page and names
 * the whole span, since pages are chained.  Causal spans hang off what they attend to: `after` is
 * the identity of the last page before; for isolated ones it is the engine's preamble. */
struct cat_span {
	int64_t       id;
	int64_t       document, engine;
	enum cat_mode mode;
	struct id     after, last;
	uint64_t      start, end;	/* bytes of the document */
	uint32_t      n_token;
	int64_t       extent;		/* 0: not encoded */
};

/* Replace the spans of (document, engine, mode, spans[0].after for causal) by these, in order;
 * their id, document, engine and extent fields are not read: extents that exist are found by
 * `last`. */
int cat_put_spans(struct catalog *c, int64_t document, int64_t engine, enum cat_mode mode,
		  const struct cat_span *span, size_t n, struct err *e);
typedef int cat_span_fn(void *ctx, const struct cat_span *s);
/* Spans of one document in order of start. */
int cat_spans(struct catalog *c, int64_t document, int64_t engine, enum cat_mode mode,
	      cat_span_fn *fn, void *ctx, struct err *e);
int cat_span(struct catalog *c, int64_t id, struct cat_span *out, struct err *e);

/* Where the pages of a span lie.  page is [n_page] identities, the last one naming the extent. */
struct cat_extent {
	int64_t          id;
	int64_t          engine;
	struct kv_ref    ref;		/* store.h: file number, offset, bytes, sketch */
	uint32_t         type;		/* enum kv_type as wanted when it was encoded */
	uint32_t         n_token, n_page;
	const struct id *page;
};

/* The bytes are on disk (2).  When an extent with this identity exists, *id is that one and nothing
 * is written (3): *is_new (may be NULL) tells.  Spans that wait for it become encoded. */
int cat_put_extent(struct catalog *c, const struct cat_extent *x, int64_t *id, bool *is_new,
		   struct err *e);
typedef int cat_extent_fn(void *ctx, const struct cat_extent *x);
int cat_extent(struct catalog *c, int64_t id, cat_extent_fn *fn, void *ctx, struct err *e);
/* By the identity of any page; pgno is its index in the extent.  ERR_NOTFOUND is the usual miss. */
int cat_page_find(struct catalog *c, const struct id *page, int64_t *extent, uint32_t *pgno,
		  struct err *e);
/* By the identity of its last page. */
int cat_extent_find(struct catalog *c, const struct id *last, int64_t *extent, struct err *e);
/* All of them, in order of segment and offset. */
int cat_extents(struct catalog *c, cat_extent_fn *fn, void *ctx, struct err *e);
/* Damage: forget an extent.  Its spans are not encoded any more; the bytes wait for prune. */
int cat_del_extent(struct catalog *c, int64_t id, struct err *e);

/* The span index (spanidx.h) of one extent for one profile, in the .si file `number`.  A second put
 * for the same pair is ignored.  Derived: cat_del_parts forgets those of a profile (NULL: all). */
int cat_put_part(struct catalog *c, int64_t extent, const struct id *profile,
		 const struct part_ref *p, struct err *e);
int cat_del_parts(struct catalog *c, const struct id *profile, struct err *e);

/* What a question mounts: every encoded span, each extent once, in canonical order (by `last`).
 * Fresh memory, free() it. */
struct cat_mount {
	int64_t         span, document, extent;	/* one of its spans, the first by id */
	uint64_t        start, end;
	uint32_t        n_token, type;
	struct kv_ref   ref;
	struct id       last;
	struct part_ref part;		/* of the profile asked for */
};
/* Documents of these snapshots (none: of all), or, when doc is not NULL, of these documents alone
 * (sorted by id, each once).  profile may be NULL.  *n_missing (may be NULL) counts the tokens of
 * spans that are not encoded. */
int cat_mounts(struct catalog *c, int64_t engine, enum cat_mode mode,
	       const int64_t *snapshot, size_t n_snapshot, const int64_t *doc, size_t n_doc,
	       const struct id *profile, struct cat_mount **out, size_t *n, uint64_t *n_missing,
	       struct err *e);

/* How far a document is encoded: tokens of all spans and of encoded ones.  No span: both 0. */
int cat_coverage(struct catalog *c, int64_t document, int64_t engine, enum cat_mode mode,
		 uint64_t *n_token, uint64_t *n_encoded, struct err *e);

/* How much text there is to a question: what a total stands for. */
struct cat_totals {
	uint64_t n_token;	/* of spans, each identity once */
	uint64_t n_encoded;	/* of them, with pages */
	uint64_t n_document;
	uint64_t n_uncut;	/* of them, without spans yet: their tokens are not known */
	uint64_t bytes_cut, bytes_uncut;	/* of their texts */
	uint64_t n_estimated;	/* tokens of all: n_token, and the uncut bytes at the rate of the cut
				 * ones (4 a token where none is cut); n_token where all are cut */
};
/* Documents as cat_mounts() takes them. */
int cat_totals(struct catalog *c, int64_t engine, enum cat_mode mode, const int64_t *snapshot,
	       size_t n_snapshot, const int64_t *doc, size_t n_doc, struct cat_totals *out,
	       struct err *e);

/* ---- Segments -------------------------------------------------------------------------------- */

/* A number nobody has used, for new segment files (.kv, .sk, .si of one number; kv_number_fn of
 * store.h).  In a batch of its own.  A writer appends to segments it was given in this process
 * only, so two writers never share one. */
int cat_new_segment(struct catalog *c, int64_t engine, uint32_t *number, struct err *e);
struct cat_segment {
	uint32_t number;
	int64_t  engine;
	uint64_t kv_end, kv_live; /* end of the last committed extent, 0: none; bytes of them all */
	uint64_t sketch_end;		/* offset of the last sketch, 0: none */
	uint64_t part_end;		/* end of the last part of a span index, 0: none */
	uint64_t n_extent;
};
typedef int cat_segment_fn(void *ctx, const struct cat_segment *s);
int cat_segments(struct catalog *c, cat_segment_fn *fn, void *ctx, struct err *e);

#endif
