/* engine/tok_class.h - what kind of character: the classes that pre-tokenizer patterns name
 *
 * One byte of flags per code point, filled once from utf8proc's general categories (Unicode 15 in
 * Debian 12).  Knows characters, not patterns.  No flag at all means "neither space, letter nor
 * digit": [^\s\p{L}\p{N}], which is also the class of unassigned and private code points.
 *
 * CLASS_S is White_Space: \p{Z}, TAB to CR, and NEL.  CLASS_UP and CLASS_LOW are the two halves of
 * the O200K patterns; modifier letters, other letters and marks belong to both.
 *
 * Threads: tok_class_get may be called from any thread; the table never changes afterwards.
 */
#ifndef ENGINE_TOK_CLASS_H
#define ENGINE_TOK_CLASS_H

#include <stdint.h>

enum {
	CLASS_L   = 1,		/* \p{L} */
	CLASS_N   = 2,		/* \p{N} */
	CLASS_S   = 4,		/* \s */
	CLASS_NL  = 8,		/* [\r\n], beside CLASS_S */
	CLASS_UP  = 16,		/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
	CLASS_LOW = 32		/* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
};

/* The table, indexed by code point, 0 to 0x10ffff.  Borrowed for ever. */
const uint8_t *tok_class_get(void);

#endif
