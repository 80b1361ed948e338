/* ingest/encode.h - bytes in any encoding to UTF-8
 *
 * In this order, the first that fits:
 *   1. a byte-order mark: UTF-8, UTF-16 or UTF-32, either byte order; the mark is dropped
 *   2. well-formed UTF-8 without NUL: taken as it is.  A detector is never asked about such bytes.
 *      (7-bit text with the escapes of ISO-2022-JP is that instead)
 *   3. NUL bytes: UTF-16 or UTF-32 without a mark when every unit is a character that text has and
 *      blanks or ASCII letters are among them; anything else is binary
 *   4. UTF-8 with fewer bad bytes than a tenth of its good longer characters is text with damage,
 *      not another encoding: each bad byte becomes U+FFFD and the count is reported
 *   5. uchardet's answer, when iconv converts all with it but one byte in 512, or one in all; fewer
 *      than eight accents are not enough to believe in another Latin alphabet than the next one
 *   6. Windows-1252 (the five bytes it leaves out become the C1 controls they are in Latin-1)
 * Binary, too, are bytes whose first 64 KiB hold more control characters than text does: three in
 * ten of well-formed UTF-8, one in twenty of anything else.
 *
 * UTF-16, UTF-32, Latin-1 and Windows-1252 are decoded here; only the rest needs iconv, which may
 * load modules from disk and therefore does nothing inside the sandbox; and only encodings in a
 * list of ours, so that no stranger's bytes reach a rare converter.
 */
#ifndef INGEST_ENCODE_H
#define INGEST_ENCODE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct encoding {
	char     name[32];	/* "UTF-8", "UTF-16LE", "SHIFT_JIS", "WINDOWS-1252" */
	bool     had_bom;
	bool     guessed;	/* by uchardet or by falling through to the last resort */
	uint64_t n_replaced;	/* characters that became U+FFFD */
};

/* Append the UTF-8 form of bytes to out.  ERR_MISMATCH: binary, the message says what showed it
 * ("binary: NUL byte at offset 12"); out is then unchanged.  ERR_NOMEM. */
int encode_to_utf8(struct buf *out, struct encoding *enc, const void *bytes, size_t n,
		   struct err *e);

/* The same from an encoding somebody named (an HTML meta element, an XML declaration).  A name
 * nobody knows, or bytes that contradict it, fall back to encode_to_utf8. */
int encode_from(struct buf *out, struct encoding *enc, const char *name, const void *bytes,
		size_t n, struct err *e);

/* The encoding a text names in its first two lines, as editors and Python read it:
 * "-*- coding: koi8-r -*-", "vim: set fileencoding=gbk".  False when there is none. */
bool encode_declared(const void *bytes, size_t n, char name[32]);

#endif
