#include "config.h"

#include "ingest/classify.h"

#include "base/size.h"
#include "ingest/walk.h"

#include <string.h>
#include <strings.h>

enum {
	BIG_SVG = 32 << 10,	/* drawings by hand are smaller, exported ones are not */
	BIG_DATA = 1 << 20,
	HEAD = 2048,		/* where a generator signs */
	LONG_LINE = 500,	/* mean bytes a line, from where code was not typed */
	MINIFIED_FROM = 4096
};

static const char *const lock_names[] = {
	"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock",
	"deno.lock", "Cargo.lock", "composer.lock", "Gemfile.lock", "poetry.lock", "Pipfile.lock",
	"uv.lock", "pdm.lock", "go.sum", "go.work.sum", "flake.lock", "mix.lock", "pubspec.lock",
	"Podfile.lock", "Cartfile.resolved", "Package.resolved", "packages.lock.json",
	"gradle.lockfile", "conda-lock.yml", "stack.yaml.lock", "cabal.project.freeze", "rebar.lock",
	"MODULE.bazel.lock", "pixi.lock", ".terraform.lock.hcl",
};

static const char *const minified_ends[] = {
	".min.js", ".min.mjs", ".min.cjs", ".min.css", "-min.js", "-min.css", ".js.map", ".css.map",
	".mjs.map", ".cjs.map", ".ts.map", ".bundle.js",
};

static const char *const generated_ends[] = {
	".pb.go", ".pb.cc", ".pb.h", "_pb2.py", "_pb2_grpc.py", "_pb2.pyi", ".pb.dart", ".g.dart",
	".freezed.dart", ".designer.cs", ".g.cs", "_grpc.pb.go",
};

static const char *const data_ends[] = {
	".json", ".jsonl", ".ndjson", ".geojson", ".topojson", ".csv", ".tsv", ".xml", ".sql", ".log",
	".svg", ".ttl", ".nt", ".pdb", ".fasta", ".fa", ".fastq", ".vcf", ".dat", ".po", ".pot",
	".snap", ".har",
};

/* Never text; everything else is opened to find out. */
static const char *const binary_ends[] = {
	".png", ".jpg", ".jpeg", ".gif", ".bmp", ".ico", ".icns", ".webp", ".avif", ".heic", ".tif",
	".tiff", ".psd", ".xcf", ".jxl", ".mp3", ".mp4", ".m4a", ".m4v", ".mkv", ".webm", ".mov",
	".avi", ".wav", ".flac", ".ogg", ".opus", ".aac", ".woff", ".woff2", ".ttf", ".otf", ".eot",
	".o", ".a", ".so", ".lo", ".obj", ".lib", ".dll", ".exe", ".dylib", ".class", ".jar", ".war",
	".pyc", ".pyo", ".whl", ".egg", ".deb", ".rpm", ".apk", ".ipa", ".dmg", ".iso", ".img",
	".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzma", ".rar", ".cab", ".gguf", ".safetensors",
	".npy", ".npz", ".pt", ".pth", ".onnx", ".h5", ".parquet", ".feather", ".arrow", ".sqlite",
	".sqlite3", ".db", ".mdb", ".wasm", ".bin", ".pack", ".idx", ".gcda", ".gcno", ".mo", ".swf",
};

static const char *const key_ends[] = { ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk" };

static const char *find_end(const char *const *v, size_t n, const char *path, size_t n_path)
{
	size_t i;

	for (i = 0; i < n; i++) {
		size_t m = strlen(v[i]);

		if (n_path > m && !strncasecmp(path + n_path - m, v[i], m))
			return v[i];
	}
	return NULL;
}
#define FIND_END(v, it) find_end(v, ARRAY_LEN(v), (it)->path, (it)->n_path)

static const char *base_name(const struct item *it)
{
	const char *slash = memrchr(it->path, '/', it->n_path);

	return slash ? slash + 1 : it->path;
}

void classify_name(struct item *it)
{
	const char *name = base_name(it), *end;
	size_t i;

	if (it->state != STATE_TAKE || it->kind != ITEM_FILE)
		return;
	end = FIND_END(key_ends, it);
	if (end) {
		walk_verdict(it, STATE_SKIP, WHY_SECRET, "a likely secret: a key store (%s)", end);
		return;
	}
	if (it->wanted)
		return;
	end = FIND_END(binary_ends, it);
	if (end) {
		walk_verdict(it, STATE_LIST, WHY_BINARY, "binary: %s", end);
		return;
	}
	for (i = 0; i < ARRAY_LEN(lock_names); i++) {
		if (!strcmp(name, lock_names[i])) {
			walk_verdict(it, STATE_LIST, WHY_LOCK, "a lock file (-g %s includes it)", name);
			return;
		}
	}
	end = FIND_END(minified_ends, it);
	if (end) {
		walk_verdict(it, STATE_LIST, WHY_MINIFIED, "minified: *%s (-g '*%s' includes it)", end, end);
		return;
	}
	end = FIND_END(generated_ends, it);
	if (end) {
		walk_verdict(it, STATE_LIST, WHY_GENERATED, "generated: *%s (-g '*%s' includes it)", end,
			     end);
		return;
	}
	end = FIND_END(data_ends, it);
	if (end && it->size != UINT64_MAX &&
	    it->size > (uint64_t)(strcmp(end, ".svg") ? BIG_DATA : BIG_SVG))
		walk_verdict(it, STATE_LIST, WHY_DATA,
			     "data: a %s of %llu bytes, from %d on (-g '*%s' includes it)", end,
			     (unsigned long long)it->size, strcmp(end, ".svg") ? BIG_DATA : BIG_SVG, end);
}

static size_t line_of(const char *text, size_t at)
{
	size_t n = 1;
	const char *p = text, *end = text + at;

	while ((p = memchr(p, '\n', (size_t)(end - p)))) {
		n++;
		p++;
	}
	return n;
}

static bool is_minified(const struct item *it, const char *text, size_t n)
{
	static const char *const ends[] = { ".js", ".mjs", ".cjs", ".css" };

	return n >= MINIFIED_FROM && FIND_END(ends, it) && n / line_of(text, n) > LONG_LINE;
}

/* A generator's signature in the first lines, in a form that a sentence about generators does not
 * have: at the begin of a comment, or in capitals. */
static const char *generated_mark(const char *text, size_t n)
{
	static const char *const marks[] = {
		"@generated", "DO NOT EDIT", "Do not edit! ", "Generated by GNU Autoconf",
		"generated automatically by aclocal", "generated by automake", "Autogenerated by Thrift",
		"Generated from ltmain", "<auto-generated", "A Bison parser, made by GNU Bison",
		"A lexical scanner generated by flex", "This file was automatically generated by SWIG",
	};
	size_t i;

	n = MIN(n, (size_t)HEAD);
	for (i = 0; i < ARRAY_LEN(marks); i++)
		if (memmem(text, n, marks[i], strlen(marks[i])))
			return marks[i];
	return NULL;
}

void classify_text(struct item *it, const char *text, size_t n, bool allow_secrets)
{
	const char *what;
	size_t at;

	if (it->state != STATE_TAKE)
		return;
	what = allow_secrets ? NULL : secret_find(it->path, text, n, &at);
	if (what) {
		walk_verdict(it, STATE_SKIP, WHY_SECRET,
			     "a likely secret: %s at line %zu (--allow-secrets includes it)", what,
			     line_of(text, at));
		return;
	}
	if (it->wanted)
		return;
	if (is_minified(it, text, n)) {
		walk_verdict(it, STATE_LIST, WHY_MINIFIED, "minified: %zu bytes a line (-g includes it)",
			     n / line_of(text, n));
		return;
	}
	what = generated_mark(text, n);
	if (what)
		walk_verdict(it, STATE_LIST, WHY_GENERATED, "generated: it says '%s' (-g includes it)",
			     what);
}
