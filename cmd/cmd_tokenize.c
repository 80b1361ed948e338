/* folio tokenize: token ids, one line */
#include "config.h"

#include "cmd/cmd_generate.h"
#include "cmd/cmd_tokenize.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/paths.h"

#include "engine/gguf.h"
#include "engine/tok.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field) OPT_AT(struct tokenize_opts, field)

const struct opt tokenize_opts[] = {
	{ "ids", 0, OPT_FLAG, AT(ids), NULL, .help = "the ids alone; this is the default and kept for scripts" },
	{ "special", 0, OPT_FLAG, AT(special), NULL, .help = "special tokens written in the text count as such" },
	{ "bos", 0, OPT_FLAG, AT(bos), NULL,
	  .help = "put the beginning-of-text token first where the model asks for it" },
	OPT_END
};

static void print(struct ctx *c, const struct tok *t, const struct tok_ids *ids)
{
	struct buf b = { 0 }, piece = { 0 };
	struct jw j = { .out = &b };

	if (!c->g.json && !c->g.jsonl) {
		for (size_t i = 0; i < ids->n; i++)
			buf_addf(&b, "%s%d", i ? " " : "", ids->id[i]);
		buf_addc(&b, '\n');
	} else {
		jw_open(&j, NULL, '{');
		if (c->g.jsonl)
			jw_str(&j, "event", "done");
		jw_str(&j, "schema", "folio.tokens/1");
		jw_str(&j, "pre", tok_pre(t));
		jw_uint(&j, "count", ids->n);
		jw_open(&j, "ids", '[');
		for (size_t i = 0; i < ids->n; i++)
			jw_int(&j, NULL, ids->id[i]);
		jw_close(&j);
		jw_open(&j, "pieces", '[');
		for (size_t i = 0; i < ids->n; i++) {
			buf_clear(&piece);
			tok_piece(t, ids->id[i], true, &piece);
			jw_strn(&j, NULL, piece.data ? piece.data : "", piece.len);
		}
		jw_close(&j);
		jw_close(&j);
		jw_end_line(&j);
	}
	fwrite(b.data, 1, b.len, stdout);
	buf_release(&b);
	buf_release(&piece);
}

/* Llama 4's own tokenizer file is no GGUF but lines of base64 and rank. */
static int open_tokenizer(const char *path, struct tok **t, struct err *e)
{
	char magic[4] = "";
	struct gguf *g;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	bool other = fd >= 0 && read(fd, magic, 4) == 4 && memcmp(magic, "GGUF", 4) &&
		     isprint((unsigned char)magic[0]);

	if (fd >= 0)
		close(fd);
	if (other)
		return tok_open_tiktoken(t, path, "llama4", e);
	rc = gguf_open(&g, path, e);
	if (rc)
		return rc;
	rc = tok_open(t, g, e);
	gguf_close(g);
	return rc;
}

int cmd_tokenize(struct ctx *c, int argc, char **argv)
{
	const struct tokenize_opts *o = c->opts;
	unsigned flags = (o->special ? TOK_SPECIAL : 0) | (o->bos ? TOK_BOS : 0);
	struct tok *t = NULL;
	struct tok_ids ids = { 0 };
	struct buf text = { 0 };
	char *path = NULL;
	struct err e;
	int rc;

	(void)argc;
	rc = model_find(c, NULL, &path, &e);
	if (!rc)
		rc = open_tokenizer(path, &t, &e);
	if (!rc)
		rc = cmd_read_text(argv[0], &text, &e);
	if (!rc)
		rc = tok_encode(t, text.data ? text.data : "", text.len, flags, &ids, NULL, &e);
	if (!rc)
		print(c, t, &ids);
	free(ids.id);
	buf_release(&text);
	tok_close(t);
	free(path);
	return rc ? fail(c, &e) : EXIT_DONE;
}
