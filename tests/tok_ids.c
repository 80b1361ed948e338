/* Ids of a file's bytes, for tests/vectors/make_tok.py to compare with other implementations.
 *
 *   tok_ids [-s] [-b] MODEL FILE     i32 ids on standard output; -s specials, -b BOS
 *   tok_ids -t N SEED                the text of tok_text.h instead
 *
 * MODEL is a GGUF, or a tiktoken file of Llama 4 named tokenizer.model. */
#include "config.h"

#include "engine/tok.h"

#include "base/file.h"
#include "tests/tok_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_model(struct tok **t, const char *path, struct err *e)
{
	struct gguf *g;
	size_t n = strlen(path);
	int rc;

	if (n >= 15 && strcmp(path + n - 15, "tokenizer.model") == 0)
		return tok_open_tiktoken(t, path, "llama4", e);
	rc = gguf_open(&g, path, e);
	if (rc)
		return rc;
	rc = tok_open(t, g, e);
	gguf_close(g);
	return rc;
}

int main(int argc, char **argv)
{
	struct tok *t = NULL;
	struct tok_ids ids = { 0 };
	struct tok_offs off = { 0 };
	struct buf text = { 0 }, back = { 0 };
	struct err e;
	unsigned flags = 0;
	bool make = false;
	int c;

	while ((c = getopt(argc, argv, "sbt")) != -1) {
		flags |= c == 's' ? TOK_SPECIAL : c == 'b' ? TOK_BOS : 0;
		make |= c == 't';
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: tok_ids [-s] [-b] MODEL FILE | tok_ids -t N SEED\n");
		return 2;
	}
	if (make) {
		tok_text(&text, strtoull(argv[optind], NULL, 10),
			 strtoull(argv[optind + 1], NULL, 10));
		fwrite(text.data, 1, text.len, stdout);
		buf_release(&text);
		return 0;
	}
	if (open_model(&t, argv[optind], &e) ||
	    file_read(&text, argv[optind + 1], SIZE_MAX, &e) ||
	    tok_encode(t, text.data, text.len, flags, &ids, &off, &e)) {
		fprintf(stderr, "tok_ids: %s\n", e.msg);
		return 1;
	}
	fwrite(ids.id, sizeof *ids.id, ids.n, stdout);
	for (size_t i = 0; i < ids.n; i++)
		tok_piece(t, ids.id[i], true, &back);
	/* Said, not judged: a vocabulary may lack tokens for some bytes. */
	fprintf(stderr, "%zu bytes, %zu ids, %s\n", text.len, ids.n,
		back.len == text.len && memcmp(back.data, text.data, back.len) == 0
			? "which give the bytes back" : "which do not give the bytes back");
	buf_release(&text);
	buf_release(&back);
	free(ids.id);
	free(off.at);
	tok_close(t);
	return 0;
}
