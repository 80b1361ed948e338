#include "config.h"

#include "cmd/exit.h"
#include "cmd/signals.h"

#include "base/err.h"

int exit_of(int err_code)
{
	switch (err_code) {
	case 0: return EXIT_DONE;
	case ERR_NOTFOUND: return EXIT_NO;
	case ERR_CORRUPT: return EXIT_DAMAGE;
	case ERR_MISMATCH: return EXIT_MODEL;
	case ERR_MODEL: return EXIT_MODEL;
	case ERR_BUSY: return EXIT_BUSY;
	case ERR_BUDGET: return EXIT_BUDGET;
	case ERR_NEWER: return EXIT_NEWER;
	case ERR_NOLIB: return EXIT_NOLIB;
	case ERR_INTR: return signals_got_term() ? EXIT_TERM : EXIT_INTR;
	default: return EXIT_ERROR;
	}
}
