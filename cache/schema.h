/* cache/schema.h - the tables of catalog.sqlite, version by version
 *
 * migration[v] takes a catalog from user_version v to v + 1, inside one transaction; a step that
 * was released is never edited.  What the columns mean: doc/library-format.md.
 */
#ifndef CACHE_SCHEMA_H
#define CACHE_SCHEMA_H

#define CATALOG_APPLICATION_ID 0x464f4c49	/* "FOLI", for file(1) */

static const char *const migration[] = {
	/* 0 -> 1 */
	"CREATE TABLE head(id INTEGER PRIMARY KEY CHECK(id = 1), commits INTEGER NOT NULL);"
	"INSERT INTO head VALUES(1, 0);"

	"CREATE TABLE engine(id INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL UNIQUE,"
	" preamble BLOB NOT NULL, name TEXT NOT NULL, n_far_layer INTEGER NOT NULL,"
	" n_head_kv INTEGER NOT NULL, head_dim INTEGER NOT NULL, page_tokens INTEGER NOT NULL,"
	" kv_type INTEGER NOT NULL, made INTEGER NOT NULL);"
	"CREATE TABLE setting(id INTEGER PRIMARY KEY, engine INTEGER NOT NULL, key TEXT NOT NULL,"
	" value BLOB NOT NULL, sum BLOB NOT NULL, UNIQUE(engine, key));"

	"CREATE TABLE source(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
	" kind TEXT NOT NULL, origin TEXT NOT NULL, made INTEGER NOT NULL);"
	"CREATE TABLE snapshot(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" source INTEGER NOT NULL REFERENCES source, hash BLOB NOT NULL,"
	" complete INTEGER NOT NULL, made INTEGER NOT NULL, rev TEXT NOT NULL);"
	"CREATE INDEX snapshot_source ON snapshot(source);"
	"CREATE TABLE document(id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 BLOB NOT NULL,"
	" format TEXT NOT NULL, n_byte INTEGER NOT NULL, n_line INTEGER NOT NULL,"
	" trigram INTEGER NOT NULL, UNIQUE(sha256, format));"
	"CREATE INDEX document_trigram ON document(id) WHERE trigram = 0;"
	"CREATE TABLE entry(snapshot INTEGER NOT NULL REFERENCES snapshot ON DELETE CASCADE,"
	" path BLOB NOT NULL, state INTEGER NOT NULL, document INTEGER REFERENCES document,"
	" reason TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
	" ctime INTEGER NOT NULL, inode INTEGER NOT NULL, mode INTEGER NOT NULL,"
	" seen INTEGER NOT NULL, PRIMARY KEY(snapshot, path)) WITHOUT ROWID;"
	"CREATE INDEX entry_document ON entry(document, snapshot);"

	"CREATE TABLE text(document INTEGER PRIMARY KEY REFERENCES document ON DELETE CASCADE,"
	" data BLOB NOT NULL, sum BLOB NOT NULL);"
	"CREATE TABLE map(document INTEGER PRIMARY KEY REFERENCES document ON DELETE CASCADE,"
	" lines BLOB NOT NULL, anchors BLOB NOT NULL, sum BLOB NOT NULL);"
	"CREATE TABLE piece(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,"
	" start INTEGER NOT NULL, end INTEGER NOT NULL);"
	"CREATE INDEX piece_document ON piece(document);"

	"CREATE TABLE segment(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" engine INTEGER NOT NULL REFERENCES engine, made INTEGER NOT NULL);"
	"CREATE TABLE extent(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" engine INTEGER NOT NULL REFERENCES engine, last BLOB NOT NULL UNIQUE,"
	" segment INTEGER NOT NULL REFERENCES segment, offset INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, sketch INTEGER NOT NULL, type INTEGER NOT NULL,"
	" n_token INTEGER NOT NULL, n_page INTEGER NOT NULL, pages BLOB NOT NULL);"
	"CREATE INDEX extent_segment ON extent(segment, offset);"
	"CREATE TABLE page(id BLOB NOT NULL,"
	" extent INTEGER NOT NULL REFERENCES extent ON DELETE CASCADE, pgno INTEGER NOT NULL,"
	" PRIMARY KEY(id, extent)) WITHOUT ROWID;"
	"CREATE TABLE part(extent INTEGER NOT NULL REFERENCES extent ON DELETE CASCADE,"
	" profile BLOB NOT NULL, segment INTEGER NOT NULL REFERENCES segment,"
	" offset INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY(extent, profile))"
	" WITHOUT ROWID;"
	"CREATE INDEX part_segment ON part(segment);"
	"CREATE TABLE span(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE,"
	" engine INTEGER NOT NULL REFERENCES engine, mode INTEGER NOT NULL, after BLOB NOT NULL,"
	" last BLOB NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,"
	" n_token INTEGER NOT NULL, extent INTEGER REFERENCES extent ON DELETE SET NULL);"
	"CREATE INDEX span_document ON span(document, engine, mode, start);"
	"CREATE INDEX span_last ON span(last);"
	"CREATE INDEX span_extent ON span(extent);"
	"CREATE TABLE doomed(id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE,"
	" bytes INTEGER NOT NULL, generation INTEGER NOT NULL);"

	"CREATE TABLE tail(id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER REFERENCES tail,"
	" pos INTEGER NOT NULL, n_token INTEGER NOT NULL, file INTEGER NOT NULL,"
	" far_at INTEGER NOT NULL, far_n INTEGER NOT NULL, far_sum BLOB NOT NULL,"
	" near_at INTEGER NOT NULL, near_n INTEGER NOT NULL, near_sum BLOB NOT NULL);"
	"CREATE INDEX tail_parent ON tail(parent);"
	"CREATE INDEX tail_file ON tail(file);"
	"CREATE TABLE turn(id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER REFERENCES turn,"
	" n INTEGER NOT NULL, at INTEGER NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL,"
	" citations TEXT NOT NULL, info TEXT NOT NULL, token BLOB NOT NULL, pos INTEGER NOT NULL,"
	" tail INTEGER REFERENCES tail, sum BLOB NOT NULL);"
	"CREATE INDEX turn_parent ON turn(parent);"
	"CREATE INDEX turn_tail ON turn(tail);"
	"CREATE TABLE session(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
	" engine INTEGER NOT NULL REFERENCES engine, mode INTEGER NOT NULL, made INTEGER NOT NULL,"
	" used INTEGER NOT NULL, turn INTEGER REFERENCES turn);"
	"CREATE INDEX session_turn ON session(turn);"
	"CREATE TABLE pin(session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,"
	" snapshot INTEGER NOT NULL REFERENCES snapshot, PRIMARY KEY(session, snapshot))"
	" WITHOUT ROWID;"
	"CREATE INDEX pin_snapshot ON pin(snapshot);"

	"CREATE VIRTUAL TABLE words USING fts5(body, content='', tokenize='unicode61');"
	"CREATE VIRTUAL TABLE trigram USING fts5(body, content='', detail=none, columnsize=0,"
	" tokenize='trigram');",
};

#define CATALOG_VERSION ((int)(sizeof(migration) / sizeof(migration[0])))

#endif
