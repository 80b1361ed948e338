/* Any bytes as a text file: conversion to UTF-8, then spans.  What cut.h and encode.h promise is
 * checked, not only that nothing crashes. */
#include "config.h"

#include "base/utf8.h"
#include "ingest/cut.h"
#include "ingest/encode.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct cut_opt opt = { .min_tokens = 4, .max_tokens = 16 };
	struct document d = { 0 };
	struct spans s = { 0 };
	struct encoding enc;
	uint64_t at = 0;

	if (n) {		/* the first byte widens the spans */
		opt.min_tokens += data[0];
		opt.max_tokens = 3 * opt.min_tokens + 4;
	}
	if (!encode_to_utf8(&d.text, &enc, data, n, NULL)) {
		if (utf8_check(d.text.data ? d.text.data : "", d.text.len) != d.text.len ||
		    (d.text.len && memchr(d.text.data, 0, d.text.len)))
			abort();
		if (cut_document(&d, &opt, &s, NULL))
			abort();
		for (size_t i = 0; i < s.n; i++) {
			if (s.span[i].at != at || s.span[i].tokens > opt.max_tokens ||
			    (s.n > 1 && s.span[i].tokens < opt.min_tokens) ||
			    ((unsigned char)d.text.data[at] & 0xc0) == 0x80)
				abort();
			at = s.span[i].end;
		}
		if (at != d.text.len)
			abort();
	}
	free(s.span);
	doc_release(&d);
	return 0;
}
