/* engine/tok_load.h - reading a vocabulary from a model file or a tiktoken file
 *
 * Internal to tok*.c.  Both give the same thing: tokens as bytes with types, merges as pairs of
 * tokens with ranks, and what the file says about beginning and end.
 *
 * GGUF writes tokens and merges in GPT-2's alphabet: each byte is a printable character, 33 to 126,
 * 161 to 172 and 174 to 255 as themselves, the other 68 as U+0100 and on in order.  (Space is
 * U+0120.)  Control, user-defined and unused tokens are written plainly.  A merge is two tokens
 * with a space between; one that names what is not in the vocabulary is never made, and passed over.
 *
 * A tiktoken file has a line per token: base64 of its bytes, a space, its rank; ranks are ids and
 * merge priorities alike: two neighbours merge where their bytes together are a token.
 */
#ifndef ENGINE_TOK_LOAD_H
#define ENGINE_TOK_LOAD_H

#include "base/err.h"
#include "base/hash.h"
#include "engine/gguf.h"
#include "engine/tok_split.h"
#include "engine/tok_vocab.h"

struct tok_file {
	struct tok_vocab vocab;
	enum tok_pre pre;
	bool    whole_first;	/* a piece that is a token is taken whole, whatever the merges say */
	bool    add_bos;
	int32_t bos, eos, eot, eom;	/* -1: not given */
	struct id merges;	/* hash of what is not in the vocabulary itself */
};

/* The caller releases out->vocab, after a failure too. */
int tok_load_gguf(struct tok_file *out, const struct gguf *g, struct err *e);
int tok_load_tiktoken(struct tok_file *out, const char *path, const char *family, struct err *e);
/* The same from memory; name stands for the path in messages. */
int tok_load_tiktoken_mem(struct tok_file *out, const void *data, size_t n, const char *name,
			  const char *family, struct err *e);

#endif
