/* Covers engine/kern.h: no kernel reads behind the last byte of a matrix.  A model's last tensor may end where
 * its file does, and the next page belongs to nobody: here it is a page that must not be touched. */
#include "config.h"

#include "base/size.h"
#include "engine/kern.h"
#include "engine/quant.h"
#include "tests/check.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char now[128];	/* what runs; for the handler */

static void touched(int sig)
{
	static const char text[] = "\nBail out! read behind the matrix: ";

	(void)sig;
	if (write(1, text, sizeof(text) - 1) < 0 || write(1, now, strlen(now)) < 0 || write(1, "\n", 1) < 0)
		_exit(98);
	_exit(99);
}

static void *room(size_t n)
{
	void *p = aligned_alloc(64, round_up(n + 64, 64));

	if (!p)
		exit(99);
	memset(p, 0, round_up(n + 64, 64));
	return p;
}

static void run(const struct kern *k, int type, size_t n_col, size_t n_row, size_t n_tok)
{
	size_t bytes = quant_row_bytes(type, n_col), page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = round_up(n_row * bytes, page), n = n_tok * n_col;
	uint8_t *map = mmap(NULL, len + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	float *x = room(n * sizeof(float)), *y = room(n_tok * n_row * sizeof(float));
	size_t n_tile = (n_tok + ACT_TILE - 1) / ACT_TILE, n_block = n_col / ACT_BLOCK + 1;
	struct act a = { .n_row = n_tok, .n_col = n_col, .x = x, .q = room(n), .q2 = room(n),
			 .d = room(n / 8), .d2 = room(n / 8), .s = room(n / 4), .tile_q = room(n_tile * ACT_TILE * n_col),
			 .tile_q2 = room(n_tile * ACT_TILE * n_col),
			 .tile_s = room(n_tile * n_block * sizeof(struct act_scales)) };
	struct rows w = { .data = map + len - n_row * bytes, .type = type, .row_bytes = bytes, .r0 = 0, .r1 = n_row };
	void *scratch = room(k->linear_scratch(n_col));

	if (map == MAP_FAILED || mprotect(map + len, page, PROT_NONE))
		exit(99);
	snprintf(now, sizeof(now), "%s, %s, %zu rows of %zu, %zu tokens", k->name, quant_name(type), n_row, n_col, n_tok);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i % 13) - 6;
	for (size_t t = 0; t < n_tok && n_col % ACT_BLOCK == 0; t++)
		k->quant_act(&a, t);
	k->linear(&w, &a, 0, n_tok, y, n_row, scratch);
	munmap(map, len + page);
	free(x), free(y), free(scratch);
	free(a.q), free(a.q2), free(a.d), free(a.d2), free(a.s);
	free(a.tile_q), free(a.tile_q2), free(a.tile_s);
}

int main(void)
{
	static const int TYPES[] = { QUANT_F32, QUANT_F16, QUANT_BF16, QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0, QUANT_Q5_1,
				     QUANT_Q8_0, QUANT_Q2_K, QUANT_Q3_K, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K,
				     QUANT_IQ4_NL, QUANT_IQ4_XS };
	static const size_t ROWS[] = { 1, 3, 4, 7, 33 }, TOKENS[] = { 1, 4, 5, 17 };
	const struct kern *k;

	signal(SIGSEGV, touched);
	signal(SIGBUS, touched);
	for (int i = 0; (k = kern_at(i)); i++)
		for (size_t t = 0; t < ARRAY_LEN(TYPES); t++) {
			size_t be = quant_info(TYPES[t])->block_elems;

			for (size_t r = 0; r < ARRAY_LEN(ROWS); r++)
				for (size_t n = 0; n < ARRAY_LEN(TOKENS); n++) {
					run(k, TYPES[t], be == 1 ? 35 : be, ROWS[r], TOKENS[n]);
					run(k, TYPES[t], be == 1 ? 64 : 3 * be, ROWS[r], TOKENS[n]);
				}
			ok(true, "%s reads %s to the last byte and no further", k->name, quant_name(TYPES[t]));
		}
	return done();
}
