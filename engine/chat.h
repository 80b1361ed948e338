/* engine/chat.h - turning messages into the tokens a chat model was trained on
 *
 * A model file carries its template as a Jinja program.  Nearly all of them are one of a few shapes,
 * and it is the shape that is recognised here, by the markers in the template's text; no template is
 * run.  What differs within a shape is taken from the text itself: the default system message, and
 * the words that tell a model which reasons aloud not to.
 *
 *   llama4   <|header_start|>ROLE<|header_end|>\n\nTEXT<|eot|>           system text is trimmed
 *   llama3   <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>  every text is trimmed
 *   chatml   <|im_start|>ROLE\nTEXT<|im_end|>\n                          SmolLM2, SmolLM3, Qwen
 *   plain    TEXT\n\n                           no template, or one of an unknown shape
 *
 * Not done: tools, and what some templates compute (the dates of Llama 3.1, SmolLM3's metadata).
 *
 * INVARIANTS
 *   (1) A message's text never becomes a special token, whatever it says: markers are put as ids,
 *       text is encoded without TOK_SPECIAL.
 *   (2) chat_message gives the ids that the template's text would have as a whole.
 *
 * Threads: read-only after open.
 */
#ifndef ENGINE_CHAT_H
#define ENGINE_CHAT_H

#include "base/err.h"
#include "engine/gguf.h"
#include "engine/tok.h"

#include <stdbool.h>
#include <stddef.h>

enum chat_family { CHAT_PLAIN, CHAT_LLAMA3, CHAT_LLAMA4, CHAT_CHATML };

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT };

enum {
	CHAT_DEFAULT_SYSTEM = 1,	/* chat_begin: the family's own system message */
	CHAT_NO_THINK = 2		/* chat_prompt: an empty <think></think>, where known */
};

struct chat;

/* By the template in the file's tokenizer.chat_template.  t is borrowed until chat_close, g is not.
 * ERR_MODEL when the vocabulary lacks a marker of the family. */
int chat_open(struct chat **out, const struct gguf *g, const struct tok *t, struct err *e);
/* By a template's text, n bytes.  A family's name ("llama4", "llama3", "chatml", "plain") does as
 * well, for files that have no template. */
int chat_open_text(struct chat **out, const char *text, size_t n, const struct tok *t,
		   struct err *e);
void chat_close(struct chat *c);

enum chat_family chat_family(const struct chat *c);
const char *chat_name(const struct chat *c);
/* False where the file has a template and its shape is not known: plain was taken instead. */
bool chat_known(const struct chat *c);
/* The template's own system message, "" when it has none.  Borrowed. */
const char *chat_default_system(const struct chat *c);

/* All of these append to ids; after an error ids holds what it held before. */

/* What comes before the first message: BOS where the family or the file wants it. */
int chat_begin(const struct chat *c, unsigned flags, struct tok_ids *ids, struct err *e);
/* A whole message: marker, role, text, end. */
int chat_message(const struct chat *c, enum chat_role role, const char *text, size_t n,
		 struct tok_ids *ids, struct err *e);
/* The assistant's header, after which the model answers. */
int chat_prompt(const struct chat *c, unsigned flags, struct tok_ids *ids, struct err *e);

/* The two ends of a message, for text that is tokenised elsewhere.  Where that text begins with
 * white space, the ids may differ from chat_message's: there the role's line end and the text are
 * tokenised in one go. */
int chat_head(const struct chat *c, enum chat_role role, struct tok_ids *ids, struct err *e);
/* Also what must follow an answer before the next message.  The stop token that ended the answer is
 * part of it: do not put that, too. */
int chat_tail(const struct chat *c, struct tok_ids *ids, struct err *e);

#endif
