/* engine/tok.h - text to token ids and back: byte-level BPE
 *
 * A tokenizer comes from a model file's own vocabulary (gguf.h) or from a tiktoken file
 * (Llama 4's tokenizer.model).  Pre-tokenizers: llama4 (O200K classes), llama-bpe, smollm, gpt-2,
 * qwen2; an unknown one is ERR_MODEL and named.  Bytes that are no UTF-8 are tokenised byte by byte
 * and come back unchanged; what lies between them is tokenised as texts by themselves.  A byte for
 * which the vocabulary has no token (SmolLM2 lacks 21 of 256) gives no id; offsets show the gap.
 * User-defined tokens, "<think>" and the like, are matched in any text and are no specials.
 *
 * Threads: read-only after open; tok_encode may run in any number of threads.
 */
#ifndef ENGINE_TOK_H
#define ENGINE_TOK_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tok;

/* A growable list of token ids.  Zero-initialise; free(t.id) in the end. */
struct tok_ids {
	int32_t *id;
	size_t   n, cap;
};

enum {
	TOK_SPECIAL = 1,	/* special tokens written in the text ("<|eot|>") become their ids */
	TOK_BOS     = 2		/* put BOS first where the model's file asks for it */
};

/* g may be closed afterwards: everything needed is copied.  ERR_MODEL, ERR_NOMEM. */
int tok_open(struct tok **out, const struct gguf *g, struct err *e);
/* base64-rank lines; specials and pattern by family ("llama4"). */
int tok_open_tiktoken(struct tok **out, const char *path, const char *family, struct err *e);
void tok_close(struct tok *t);

/* Append the ids of text[0..n).  Time is close to linear for any input.  If off is not NULL, also
 * append, for each id, the byte offset in text where its bytes start; offsets never decrease. */
struct tok_offs {
	uint64_t *at;
	size_t    n, cap;
};
int tok_encode(const struct tok *t, const char *text, size_t n, unsigned flags,
	       struct tok_ids *ids, struct tok_offs *off, struct err *e);

/* How many ids tok_encode would give; the same work, without keeping them. */
int tok_count(const struct tok *t, const char *text, size_t n, uint64_t *count, struct err *e);

/* Append the bytes of one id (they may be part of a character).  Special tokens give their text
 * when specials is true, else nothing.  An id out of range gives nothing. */
void tok_piece(const struct tok *t, int32_t id, bool specials, struct buf *out);

/* Streaming: feed ids one by one; only whole characters are appended to out, the rest is held.
 * Invalid bytes are held at most 3 bytes long and then given as they are. */
struct tok_stream {
	char   held[8];
	size_t n;
};
void tok_stream_push(const struct tok *t, struct tok_stream *s, int32_t id, struct buf *out);
void tok_stream_flush(struct tok_stream *s, struct buf *out);

int32_t tok_n_vocab(const struct tok *t);
int32_t tok_bos(const struct tok *t);			/* -1: none */
int32_t tok_eos(const struct tok *t);
bool tok_is_stop(const struct tok *t, int32_t id);	/* ends an answer: eos, eot, eom ... */
bool tok_is_special(const struct tok *t, int32_t id);
int32_t tok_find(const struct tok *t, const char *piece);	/* a special by its text; -1 */
/* "llama4", "llama-bpe", "smollm", "gpt-2", "qwen2". */
const char *tok_pre(const struct tok *t);
/* Identity of vocabulary, merges, pre-tokenizer and specials: part of the engine fingerprint. */
struct id;
void tok_id(const struct tok *t, struct id *out);

#endif
