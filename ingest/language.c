#include "config.h"

#include "ingest/extract.h"
#include "ingest/language.h"

#include "base/size.h"

#include <string.h>
#include <strings.h>

/* By the end of the name.  Names of languages are those of universal-ctags where it has one. */
static const struct { const char *ext, *language; } by_ext[] = {
	{ "ada", "Ada" }, { "adb", "Ada" }, { "ads", "Ada" }, { "asm", "Asm" }, { "s", "Asm" },
	{ "awk", "Awk" }, { "bat", "DosBatch" }, { "cmd", "DosBatch" }, { "c", "C" }, { "h", "C" },
	{ "cc", "C++" }, { "cpp", "C++" }, { "cxx", "C++" }, { "c++", "C++" }, { "hh", "C++" },
	{ "hpp", "C++" }, { "hxx", "C++" }, { "inl", "C++" }, { "ipp", "C++" }, { "tcc", "C++" },
	{ "clj", "Clojure" }, { "cljs", "Clojure" }, { "cljc", "Clojure" }, { "cmake", "CMake" },
	{ "cob", "Cobol" }, { "cbl", "Cobol" }, { "cs", "C#" }, { "css", "CSS" },
	{ "scss", "SCSS" },
	{ "less", "LESS" }, { "cu", "CUDA" }, { "cuh", "CUDA" }, { "d", "D" }, { "dart", "Dart" },
	{ "diff", "Diff" }, { "patch", "Diff" }, { "dts", "DTS" }, { "dtsi", "DTS" },
	{ "el", "EmacsLisp" }, { "erl", "Erlang" }, { "hrl", "Erlang" }, { "ex", "Elixir" },
	{ "exs", "Elixir" }, { "elm", "Elm" }, { "f", "Fortran" }, { "f77", "Fortran" },
	{ "f90", "Fortran" }, { "f95", "Fortran" }, { "f03", "Fortran" }, { "for", "Fortran" },
	{ "fs", "F#" }, { "fsi", "F#" }, { "fsx", "F#" }, { "glsl", "GLSL" }, { "go", "Go" },
	{ "gradle", "Groovy" }, { "groovy", "Groovy" }, { "graphql", "GraphQL" },
	{ "hs", "Haskell" }, { "lhs", "Haskell" }, { "hcl", "HCL" }, { "tf", "HCL" },
	{ "ini", "Iniconf" }, { "conf", "Conf" }, { "cfg", "Iniconf" }, { "java", "Java" },
	{ "jl", "Julia" }, { "js", "JavaScript" }, { "mjs", "JavaScript" }, { "cjs", "JavaScript" },
	{ "jsx", "JavaScript" }, { "json", "JSON" }, { "jsonl", "JSON" }, { "json5", "JSON" },
	{ "kt", "Kotlin" }, { "kts", "Kotlin" }, { "lisp", "Lisp" }, { "lsp", "Lisp" },
	{ "cl", "Lisp" }, { "lua", "Lua" }, { "m4", "M4" }, { "ac", "Autoconf" },
	{ "am", "Automake" },
	{ "m", "ObjectiveC" }, { "mm", "ObjectiveC" }, { "mk", "Make" }, { "mak", "Make" },
	{ "ml", "OCaml" }, { "mli", "OCaml" }, { "nim", "Nim" }, { "nix", "Nix" },
	{ "p", "Pascal" }, { "pas", "Pascal" }, { "pp", "PuppetManifest" }, { "pl", "Perl" },
	{ "pm", "Perl" }, { "t", "Perl" }, { "php", "PHP" }, { "phtml", "PHP" },
	{ "proto", "Protobuf" }, { "ps1", "PowerShell" }, { "psm1", "PowerShell" },
	{ "py", "Python" }, { "pyi", "Python" }, { "pyw", "Python" }, { "pyx", "Python" },
	{ "pxd", "Python" }, { "r", "R" }, { "rb", "Ruby" }, { "rake", "Ruby" },
	{ "gemspec", "Ruby" }, { "rs", "Rust" }, { "sc", "Scala" }, { "scala", "Scala" },
	{ "scm", "Scheme" }, { "ss", "Scheme" }, { "rkt", "Scheme" }, { "sed", "Sed" },
	{ "sh", "Sh" }, { "bash", "Sh" }, { "ksh", "Sh" }, { "zsh", "Zsh" }, { "fish", "Fish" },
	{ "sql", "SQL" }, { "sv", "SystemVerilog" }, { "svh", "SystemVerilog" }, { "v", "Verilog" },
	{ "vh", "Verilog" }, { "vhd", "VHDL" }, { "vhdl", "VHDL" }, { "swift", "Swift" },
	{ "tcl", "Tcl" }, { "tex", "Tex" }, { "sty", "Tex" }, { "bib", "BibTeX" },
	{ "toml", "TOML" }, { "ts", "TypeScript" }, { "tsx", "TypeScript" },
	{ "mts", "TypeScript" },
	{ "cts", "TypeScript" }, { "vb", "Basic" }, { "bas", "Basic" }, { "vim", "Vim" },
	{ "vue", "Vue" }, { "svelte", "Svelte" }, { "wat", "WebAssembly" }, { "xml", "XML" },
	{ "xsd", "XML" }, { "xsl", "XSLT" }, { "xslt", "XSLT" }, { "svg", "SVG" },
	{ "yaml", "Yaml" }, { "yml", "Yaml" }, { "y", "YACC" }, { "yy", "YACC" }, { "l", "LEX" },
	{ "ll", "LEX" }, { "zig", "Zig" }, { "sol", "Solidity" },
};

/* By the whole name. */
static const struct { const char *name, *language; } by_name[] = {
	{ "Makefile", "Make" }, { "makefile", "Make" }, { "GNUmakefile", "Make" },
	{ "Makefile.am", "Automake" }, { "Makefile.in", "Make" }, { "configure.ac", "Autoconf" },
	{ "configure.in", "Autoconf" }, { "CMakeLists.txt", "CMake" },
	{ "Dockerfile", "Dockerfile" },
	{ "Rakefile", "Ruby" }, { "Gemfile", "Ruby" }, { "Vagrantfile", "Ruby" },
	{ "BUILD", "Python" }, { "WORKSPACE", "Python" }, { "SConstruct", "Python" },
	{ "meson.build", "Meson" }, { "Jenkinsfile", "Groovy" }, { ".bashrc", "Sh" },
	{ ".profile", "Sh" }, { ".vimrc", "Vim" }, { "Kconfig", "Kconfig" }, { "configure", "Sh" },
};

/* By the program a first line "#!" names, version digits apart. */
static const struct { const char *program, *language; } by_interpreter[] = {
	{ "sh", "Sh" }, { "bash", "Sh" }, { "dash", "Sh" }, { "ksh", "Sh" }, { "zsh", "Zsh" },
	{ "fish", "Fish" }, { "python", "Python" }, { "pypy", "Python" }, { "perl", "Perl" },
	{ "ruby", "Ruby" }, { "node", "JavaScript" }, { "nodejs", "JavaScript" },
	{ "deno", "TypeScript" }, { "lua", "Lua" }, { "luajit", "Lua" }, { "awk", "Awk" },
	{ "gawk", "Awk" }, { "mawk", "Awk" }, { "sed", "Sed" }, { "tclsh", "Tcl" },
	{ "wish", "Tcl" },
	{ "expect", "Tcl" }, { "php", "PHP" }, { "Rscript", "R" }, { "make", "Make" },
	{ "guile", "Scheme" }, { "ocaml", "OCaml" }, { "runghc", "Haskell" }, { "julia", "Julia" },
	{ "groovy", "Groovy" }, { "escript", "Erlang" }, { "elixir", "Elixir" },
};

const char *name_tail(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

bool name_ends(const char *name, const char *ext)
{
	const char *dot = strrchr(name_tail(name), '.');

	return dot && !strcasecmp(dot + 1, ext);
}

/* The interpreter of "#!/usr/bin/env -S python3 -u": its bare name without version digits. */
static const char *interpreter(const char *p, size_t n)
{
	const char *end = memchr(p, '\n', n > 256 ? 256 : n);
	size_t len = end ? (size_t)(end - p) : (n > 256 ? 256 : n);
	char line[257], *word, *save = NULL;

	if (len < 3 || memcmp(p, "#!", 2))
		return "";
	memcpy(line, p + 2, len - 2);
	line[len - 2] = '\0';
	for (word = strtok_r(line, " \t\r", &save); word; word = strtok_r(NULL, " \t\r", &save)) {
		const char *base = name_tail(word);
		size_t k = strlen(base);

		if (base[0] == '-' || !strcmp(base, "env") || strchr(base, '='))
			continue;
		while (k && strchr("0123456789.", base[k - 1]))
			k--;
		for (size_t i = 0; i < ARRAY_LEN(by_interpreter); i++)
			if (strlen(by_interpreter[i].program) == k &&
			    !memcmp(by_interpreter[i].program, base, k))
				return by_interpreter[i].language;
		return "";
	}
	return "";
}

/* By ending: n_ext bytes at ext.  "C" is the one where case matters. */
static const char *by_ending(const char *ext, size_t n_ext)
{
	if (n_ext == 1 && *ext == 'C')
		return "C++";
	for (size_t i = 0; i < ARRAY_LEN(by_ext); i++)
		if (strlen(by_ext[i].ext) == n_ext && !strncasecmp(by_ext[i].ext, ext, n_ext))
			return by_ext[i].language;
	return "";
}

const char *extract_language(const char *name, const void *bytes, size_t n)
{
	const char *base = name_tail(name), *dot = strrchr(base, '.'), *before, *language = "";

	for (size_t i = 0; i < ARRAY_LEN(by_name); i++)
		if (!strcmp(by_name[i].name, base))
			return by_name[i].language;
	if (dot && !strcmp(dot, ".in")) {	/* what configure fills in: "config.h.in" */
		before = memrchr(base, '.', (size_t)(dot - base));
		if (before)
			language = by_ending(before + 1, (size_t)(dot - before - 1));
	} else if (dot) {
		language = by_ending(dot + 1, strlen(dot + 1));
	}
	return *language ? language : interpreter(bytes, n);
}

const char *language_ending(const char *language)
{
	for (size_t i = 0; i < ARRAY_LEN(by_ext); i++)
		if (!strcmp(by_ext[i].language, language))
			return by_ext[i].ext;
	return "";
}

const char *language_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(by_ext); i++)
		if (!strcasecmp(by_ext[i].language, name))
			return by_ext[i].language;
	for (size_t i = 0; i < ARRAY_LEN(by_name); i++)
		if (!strcasecmp(by_name[i].language, name))
			return by_name[i].language;
	return NULL;
}
