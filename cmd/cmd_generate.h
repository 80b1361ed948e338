/* cmd/cmd_generate.h - what the commands that run a model share */
#ifndef CMD_CMD_GENERATE_H
#define CMD_CMD_GENERATE_H

#include "base/buf.h"
#include "base/err.h"
#include "cmd/opt.h"

#include <stdbool.h>
#include <stdint.h>

struct ctx;
struct encoder;
struct engine;
struct library;
struct tok;

struct generate_opts {
	int64_t n;
	double  temperature, top_p, min_p, repeat_penalty;
	int64_t seed;
	bool    special;
};
extern const struct opt generate_opts[];

/* Open the model this command line means (see paths.h) with -j and --kernels; tok may be NULL. */
int cmd_open_model(struct ctx *c, const char *library_model, struct engine **en, struct tok **tok, struct err *e);

/* The encoder whose pages the library holds; for a library without pages of this model, the default. */
int cmd_open_encoder(struct library *lib, struct engine *en, struct tok *tok, struct encoder **out, struct err *e);

/* The operand itself, or all of standard input for "-". */
int cmd_read_text(const char *arg, struct buf *out, struct err *e);

#endif
