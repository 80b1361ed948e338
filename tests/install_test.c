/* Built against an installed libfolio by `make installcheck`: one call into each folder. */
#include <folio.h>

#include <stdio.h>

int main(void)
{
	struct library *lib;
	struct gguf *g;
	struct document d = { 0 };
	struct err e;

	doc_release(&d);
	if (lib_open(&lib, "/nonexistent", 0, &e) != ERR_NOLIB ||
	    gguf_open(&g, "/nonexistent", &e) != ERR_MODEL || cpu_get()->n_core < 1)
		return 1;
	puts(e.msg);
	return 0;
}
