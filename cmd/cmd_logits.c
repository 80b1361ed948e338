/* folio logits: raw logits for parity tests. */
#include "config.h"

#include "cmd/cmd_generate.h"
#include "cmd/cmd_logits.h"
#include "cmd/commands.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include "base/file.h"
#include "base/size.h"
#include "base/stop.h"
#include "engine/engine.h"
#include "engine/tok.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) OPT_AT(struct logits_opts, field)

const struct opt logits_opts[] = {
	{ "tokens", 0, OPT_STR, AT(tokens), "I,I,...", .help = "token ids, separated by commas" },
	{ "tokens-file", 0, OPT_STR, AT(tokens_file), "FILE", .help = "token ids as raw little-endian int32" },
	{ "all", 0, OPT_FLAG, AT(all), NULL, .help = "logits after every token, not only the last" },
	{ "output", 'o', OPT_STR, AT(output), "FILE", .help = "where the raw float32 logits go" },
	OPT_END
};

/* "1,2,3" with blanks allowed between. */
static int parse_list(const char *s, struct tok_ids *out, struct err *e)
{
	while (*s) {
		char *end;
		long v;

		errno = 0;
		v = strtol(s, &end, 10);
		if (end == s || errno || v < 0 || v > INT32_MAX)
			return err_set(e, ERR_INVALID, "'%.20s' in --tokens is not a token id", s);
		if (out->n == out->cap) {
			size_t cap = 2 * out->cap + 64;
			int32_t *id = realloc(out->id, cap * sizeof(*id));

			if (!id)
				return err_nomem(e);
			out->id = id;
			out->cap = cap;
		}
		out->id[out->n++] = (int32_t)v;
		s = end + strspn(end, " \t\n");
		if (*s == ',')
			s++;
		else if (*s)
			return err_set(e, ERR_INVALID, "'%.20s' in --tokens: a comma is expected", s);
	}
	return 0;
}

static int read_tokens(const struct logits_opts *o, struct tok_ids *out, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	if (!o->tokens == !o->tokens_file)
		return err_set(e, ERR_INVALID, "give either --tokens or --tokens-file");
	if (o->tokens)
		rc = parse_list(o->tokens, out, e);
	else
		rc = file_read(&b, o->tokens_file, (size_t)1 << 30, e);
	if (!rc && o->tokens_file) {
		if (b.len % 4)
			rc = err_set(e, ERR_INVALID, "'%s' holds %zu bytes, not a whole number of int32",
				     o->tokens_file, b.len);
		out->n = b.len / 4;
		out->id = (int32_t *)buf_take(&b);
	}
	buf_release(&b);
	if (!rc && !out->n)
		rc = err_set(e, ERR_INVALID, "no tokens");
	return rc;
}

static int write_all(const float *x, size_t n, FILE *f, const char *path, struct err *e)
{
	if (fwrite(x, sizeof(float), n, f) != n)
		return err_set(e, ERR_IO, "cannot write '%s': %s", path, strerror(errno));
	return 0;
}

/* Rows go out batch by batch: all logits of a long text would not fit in memory. */
static int compute(struct engine *en, const struct tok_ids *ids, bool all, FILE *f, const char *path, struct err *e)
{
	size_t n_vocab = engine_plan(en)->n_vocab, batch = all ? 64 : ENGINE_BATCH;
	float *logits = malloc((all ? batch : 1) * n_vocab * sizeof(float));
	struct kv *kv = NULL;
	int rc = logits ? engine_seq(en, NULL, &kv, e) : err_nomem(e);

	for (size_t i = 0; i < ids->n && !rc; i += batch) {
		size_t n = MIN(batch, ids->n - i);
		bool last = i + n == ids->n;

		rc = engine_feed(en, kv, ids->id + i, n, all || last ? logits : NULL, all, NULL, e);
		if (!rc && (all || last))
			rc = write_all(logits, (all ? n : 1) * n_vocab, f, path, e);
		if (!rc && stop_requested())
			rc = err_set(e, ERR_INTR, "interrupted after %zu of %zu tokens", i + n, ids->n);
	}
	kv_free(kv);
	free(logits);
	return rc;
}

int cmd_logits(struct ctx *c, int argc, char **argv)
{
	const struct logits_opts *o = c->opts;
	struct engine *en = NULL;
	struct tok_ids ids = { 0 };
	FILE *f = NULL;
	struct err e;
	int rc = 0;

	(void)argc, (void)argv;
	if (!o->output)
		rc = err_set(&e, ERR_INVALID, "give the file to write with -o FILE");
	if (!rc)
		rc = read_tokens(o, &ids, &e);
	if (!rc)
		rc = cmd_open_model(c, NULL, &en, NULL, &e);
	if (!rc && !(f = fopen(o->output, "wb")))
		rc = err_set(&e, ERR_IO, "cannot create '%s': %s", o->output, strerror(errno));
	if (!rc)
		rc = compute(en, &ids, o->all, f, o->output, &e);
	if (f && fclose(f) && !rc)
		rc = err_set(&e, ERR_IO, "cannot write '%s': %s", o->output, strerror(errno));
	if (!rc) {
		uint32_t n_vocab = engine_plan(en)->n_vocab;
		size_t rows = o->all ? ids.n : 1;

		if (c->g.json || c->g.jsonl) {
			struct buf b = { 0 };
			struct jw j = { .out = &b };

			jw_open(&j, NULL, '{');
			if (c->g.jsonl)
				jw_str(&j, "event", "done");
			jw_str(&j, "schema", "folio.logits/1");
			jw_uint(&j, "rows", rows);
			jw_uint(&j, "n_vocab", n_vocab);
			jw_str(&j, "kernels", engine_kernels(en));
			jw_close(&j);
			jw_end_line(&j);
			fwrite(b.data, 1, b.len, stdout);
			buf_release(&b);
		} else {
			note(c, "wrote %zu x %u float32 to %s (%s kernels)", rows, n_vocab, o->output,
			     engine_kernels(en));
		}
	}
	free(ids.id);
	engine_close(en);
	return rc ? fail(c, &e) : EXIT_DONE;
}
