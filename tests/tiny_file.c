/* tests/tiny_file FILE [SEED [ARCH]]: a tiny model for tests of commands */
#include "config.h"

#include "tests/tiny_model.h"

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	tiny_model_of(argv[1], argc > 2 ? strtoull(argv[2], NULL, 10) : 7, argc > 3 ? argv[3] : "llama");
	return 0;
}
