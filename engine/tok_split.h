/* engine/tok_split.h - pre-tokenizers: where a text is cut before byte pairs are merged
 *
 * Each family's tokenizer was trained on pieces that a regular expression cuts out of the text; the
 * same cuts must be made here.  The expressions (alternatives tried in order, the first match wins):
 *
 *   llama4     P?[UP]*[LOW]+(C)?  P?[UP]+[LOW]*(C)?  \p{N}{1,3}  \x20?O+[\r\n/]*  W
 *   llama-bpe  (C)  P?\p{L}+  \p{N}{1,3}  \x20?O+[\r\n]*  W
 *   qwen2      (C)  P?\p{L}+  \p{N}       \x20?O+[\r\n]*  W
 *   gpt-2      (c)  \x20?\p{L}+  \x20?\p{N}+  \x20?O+  \s+(?!\S)  \s+
 *   smollm     each \p{N} by itself; gpt-2 on every stretch between
 *
 *   C  (?i:'s|'t|'re|'ve|'m|'ll|'d), c the same in lower case only    O  [^\s\p{L}\p{N}]
 *   P  [^\r\n\p{L}\p{N}]      W  \s*[\r\n]+  \s+(?!\S)  \s+           UP, LOW  see tok_class.h
 *
 * They are matched by hand: no expression here needs more than one look back, so time is linear
 * whatever the text, and a run of a million spaces is nothing special.  tests/tok_split_test.c
 * proves the hand-written functions equal to the expressions, run by PCRE2, on random text.
 *
 * Two points where engines differ are fixed thus: \s is White_Space (U+180E is not one), and C
 * ignores case as Unicode does, so that U+017F (long s) counts as an s.
 */
#ifndef ENGINE_TOK_SPLIT_H
#define ENGINE_TOK_SPLIT_H

#include <stddef.h>
#include <stdint.h>

enum tok_pre {
	TOK_PRE_LLAMA4, TOK_PRE_LLAMA3, TOK_PRE_QWEN2, TOK_PRE_GPT2, TOK_PRE_SMOLLM
};

/* The piece that starts at s[i] ends at s[result]; i < result <= n.  s[0..n) is well-formed UTF-8,
 * i < n is the start of a character, and cls is tok_class_get(). */
typedef size_t tok_split_fn(const uint8_t *cls, const uint8_t *s, size_t i, size_t n);

tok_split_fn *tok_split_get(enum tok_pre pre);

#endif
