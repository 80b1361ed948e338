/* cmd/check_text.h - the text that `folio model check` reads: prose and code made for this
 * purpose, some thousand tokens.  check_text.c is made from tests/vectors/text_2000.txt. */
#ifndef CMD_CHECK_TEXT_H
#define CMD_CHECK_TEXT_H

extern const char check_text[];
extern const unsigned long check_text_bytes;

#endif
