/* folio.h - the library behind the program, in one include
 *
 *   base    errors, bytes, hashes, threads            cc x.c $(pkg-config --cflags --libs libfolio)
 *   cache   libraries, pages, sessions, search
 *   engine  model files, tokenizers, the forward pass
 *   ingest  documents to text to spans to pages
 *
 * What each header promises stands in the header.  The library never prints and never exits.  Before
 * 1.0 names may still change from version to version.
 */
#ifndef FOLIO_H
#define FOLIO_H

#ifdef __cplusplus
#error "folio's headers are C"
#endif

#include "base/buf.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/pool.h"
#include "base/stop.h"
#include "base/utf8.h"

#include "cache/care.h"
#include "cache/catalog.h"
#include "cache/derive.h"
#include "cache/library.h"
#include "cache/search.h"
#include "cache/session.h"
#include "cache/store.h"
#include "cache/view.h"

#include "engine/chat.h"
#include "engine/compose.h"
#include "engine/encode.h"
#include "engine/engine.h"
#include "engine/gguf.h"
#include "engine/sample.h"
#include "engine/tok.h"

#include "ingest/answer.h"
#include "ingest/doc.h"
#include "ingest/extract.h"
#include "ingest/pages.h"
#include "ingest/pipeline.h"

#endif
