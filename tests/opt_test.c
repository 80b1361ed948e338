#include "config.h"

#include "cmd/ctx.h"
#include "cmd/json.h"
#include "cmd/opt.h"
#include "cmd/signals.h"
#include "cmd/term.h"

#include "base/buf.h"
#include "base/mapped.h"
#include "base/size.h"
#include "base/stop.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct line {
	bool flag, other;
	int loud, color;
	const char *name, *maybe;
	struct strs list;
	int64_t n;
	uint64_t size;
	double t;
};

static const struct opt table[] = {
	{ "flag", 'f', OPT_FLAG, OPT_AT(struct line, flag), NULL, .help = "a flag" },
	{ "other", 'o', OPT_FLAG, OPT_AT(struct line, other), NULL, .help = "a flag", .key = "x.other" },
	{ "loud", 'v', OPT_COUNT, OPT_AT(struct line, loud), NULL, .help = "a count" },
	{ "name", 'n', OPT_STR, OPT_AT(struct line, name), "NAME", .help = "a word", .env = "OPT_TEST_NAME" },
	{ "maybe", 0, OPT_OPTSTR, OPT_AT(struct line, maybe), "PCT", .help = "perhaps a word" },
	{ "list", 'g', OPT_LIST, OPT_AT(struct line, list), "GLOB", .help = "words", .key = "x.list" },
	{ "count", 'k', OPT_INT, OPT_AT(struct line, n), "N", .help = "a number", .key = "x.count" },
	{ "size", 0, OPT_SIZE, OPT_AT(struct line, size), "SIZE", .help = "bytes", .def = "2K" },
	{ "temp", 't', OPT_REAL, OPT_AT(struct line, t), "T", .help = "a number" },
	{ "color", 0, OPT_ENUM, OPT_AT(struct line, color), "auto|always|never", .help = "when", .def = "never" },
	OPT_END
};

static const char *no_config(void *arg, const char *key)
{
	(void)arg;
	(void)key;
	return NULL;
}

static const char *some_config(void *arg, const char *key)
{
	(void)arg;
	return !strcmp(key, "x.count") ? "12" : !strcmp(key, "x.other") ? "yes" :
	       !strcmp(key, "x.list") ? "*.conf" : NULL;
}

/* Parse words up to NULL; operands stay in argv. */
static int parse(struct line *l, char **argv, int *n_args, opt_lookup_fn *get, struct err *e)
{
	int argc = 0, rc;

	while (argv[argc])
		argc++;
	*l = (struct line){ 0 };
	e->hint[0] = '\0';
	rc = opt_defaults(table, l, get, NULL, e);
	return rc ? rc : opt_parse(table, l, NULL, NULL, argc, argv, false, n_args, e);
}

#define PARSE(...) parse(&l, (argv = (char *[]){ __VA_ARGS__, NULL }), &n, no_config, &e)

static void test_parse(void)
{
	struct line l;
	struct err e;
	char **argv;
	int n;

	ok(!PARSE("a") && !l.flag && !l.name && l.n == -1 && isnan(l.t) && l.size == 2048 &&
	   l.color == 2 && !l.list.n, "what is not given is nothing, or the default");
	ok(!PARSE("x", "--flag", "y", "-n", "N") && l.flag && n == 2 && !strcmp(argv[0], "x") &&
	   !strcmp(argv[1], "y") && !strcmp(l.name, "N"), "options may stand after operands");
	ok(!PARSE("--name=a=b") && !strcmp(l.name, "a=b"), "a value after = may hold a =");
	ok(!PARSE("--name=") && !strcmp(l.name, ""), "a value may be empty");
	ok(!PARSE("--name", "--flag") && !strcmp(l.name, "--flag") && !l.flag,
	   "the word after an option that wants a value is its value");
	ok(!PARSE("-fvvk5", "-nX") && l.flag && l.loud == 2 && l.n == 5 && !strcmp(l.name, "X"),
	   "letters cluster, and the last may take its value");
	ok(!PARSE("-g", "a", "-gb", "--list=c") && l.list.n == 3 && !strcmp(l.list.v[2], "c"),
	   "a repeatable option keeps every value in order");
	opt_release(table, &l);
	ok(!PARSE("-f", "--", "-v", "--nonsense") && n == 2 && !l.loud && !strcmp(argv[1], "--nonsense"),
	   "after -- everything is an operand");
	ok(!PARSE("-", "-f") && n == 1 && !strcmp(argv[0], "-"), "a lone dash is an operand");
	ok(!PARSE("--maybe") && l.maybe && !*l.maybe && !PARSE("--maybe=5%") && !strcmp(l.maybe, "5%"),
	   "an optional value needs its =");
	ok(!PARSE("--maybe", "x") && n == 1, "and the next word is not it");
	ok(!PARSE("--size", "1.5M") && l.size == 1536 * 1024, "sizes take K, M, G, T");
	ok(!PARSE("--size=2GiB") && l.size == 2ull << 30, "and KiB, GiB");
	ok(!PARSE("-t", "0.7") && l.t == 0.7, "numbers with a point");
	ok(!PARSE("--color=auto") && l.color == 0, "a word of a list is its place");
	opt_release(table, &l);
}

static void test_mistakes(void)
{
	static const char *const bad_size[] = { "x", "-1", "1Q", "1KX", "", "nan", "1e30", " 1" };
	static const char *const bad_int[] = { "x", "-1", "1x", "", "99999999999999999999", "+1" };
	struct line l;
	struct err e;
	char **argv;
	int n;
	size_t i;

	ok(PARSE("--nmae", "x") == ERR_INVALID && strstr(e.hint, "'--name'"),
	   "a mistyped option is answered with the near one");
	ok(PARSE("--zzzzzz") == ERR_INVALID && !e.hint[0], "an option like no other with nothing");
	ok(PARSE("--nam", "x") == ERR_INVALID && strstr(e.hint, "'--name'"),
	   "long options are not abbreviated, but guessed");
	ok(PARSE("-fz") == ERR_INVALID && strstr(e.msg, "'-z'"), "an unknown letter is named");
	ok(PARSE("--name") == ERR_INVALID && strstr(e.msg, "NAME"), "a missing value is named");
	ok(PARSE("-fn") == ERR_INVALID, "also at the end of a cluster");
	ok(PARSE("--flag=1") == ERR_INVALID, "a flag takes no value");
	ok(PARSE("--color=red") == ERR_INVALID && strstr(e.msg, "auto|always|never"),
	   "a word that is not in the list is answered with the list");
	for (i = 0; i < ARRAY_LEN(bad_size); i++) {
		uint64_t v;

		ok(!opt_read_size(bad_size[i], &v), "'%s' is no size", bad_size[i]);
	}
	for (i = 0; i < ARRAY_LEN(bad_int); i++) {
		int64_t v;

		ok(!opt_read_int(bad_int[i], &v), "'%s' is no number", bad_int[i]);
	}
}

static void test_defaults(void)
{
	struct line l;
	struct err e;
	char *none[] = { NULL }, *given[] = { "-k", "3", "-g", "*.c", NULL };
	int n;

	ok(!parse(&l, none, &n, some_config, &e) && l.n == 12 && l.other && l.list.n == 1,
	   "values come from the configuration");
	opt_release(table, &l);
	ok(!parse(&l, given, &n, some_config, &e) && l.n == 3, "the command line wins");
	ok(l.list.n == 1 && !strcmp(l.list.v[0], "*.c"), "and a list given there replaces the other");
	opt_release(table, &l);
	setenv("OPT_TEST_NAME", "env", 1);
	ok(!parse(&l, none, &n, some_config, &e) && !strcmp(l.name, "env"), "the environment counts");
	opt_release(table, &l);
	setenv("OPT_TEST_NAME", "", 1);
	ok(!parse(&l, none, &n, some_config, &e) && !l.name, "an empty variable does not");
	opt_release(table, &l);
	unsetenv("OPT_TEST_NAME");
}

/* The tables themselves: two options of one name would hide each other. */
static void test_table(const struct opt *t, const char *name)
{
	int bad = 0;

	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		for (const struct opt *p = t; p < o; p++)
			bad += !strcmp(p->name, o->name) || (o->letter && p->letter == o->letter);
		for (const struct opt *p = global_opts; t != global_opts && p->kind != OPT_NONE; p++)
			bad += !strcmp(p->name, o->name) || (o->letter && p->letter == o->letter);
		bad += !o->help || !*o->help || (o->kind != OPT_FLAG && o->kind != OPT_COUNT && !o->arg);
	}
	ok(!bad, "%s: names and letters are its own, all are explained", name);
}

static void test_commands(const struct cmd *table_, const char *prefix)
{
	for (const struct cmd *k = table_; k->name; k++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s", prefix, k->name);
		ok(k->summary && (!k->run) == (k->sub != NULL), "%s has a summary and something to do",
		   name);
		test_table(k->opts, name);
		if (k->sub) {
			snprintf(name, sizeof(name), "%s%s ", prefix, k->name);
			test_commands(k->sub, name);
		}
	}
}

static void test_json(void)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };

	jw_open(&j, NULL, '{');
	jw_str(&j, "a", "q\"\\\n\x01\xc3\xa9");
	jw_open(&j, "b", '[');
	jw_int(&j, NULL, -3);
	jw_real(&j, NULL, 0.5);
	jw_real(&j, NULL, NAN);
	jw_close(&j);
	jw_str(&j, "c", NULL);
	jw_path(&j, "p", "a\xff" "b", 3);
	jw_close(&j);
	ok(b.data && !strcmp(b.data, "{\"a\":\"q\\\"\\\\\\n\\u0001\xc3\xa9\",\"b\":[-3,0.5,null],"
	   "\"c\":null,\"p\":\"a\xef\xbf\xbd" "b\",\"p_bytes\":\"Yf9i\"}"), "JSON is quoted and nested");
	buf_release(&b);
}

static void test_term(void)
{
	struct buf b = { 0 };
	char s[16];

	term_text(&b, "a\033[31m\n\t\xc2\x9b\xe2\x80\xae\xff", 14, false);
	ok(!strcmp(b.data, "a\\x1b[31m\\n\\t\\u009b\\u202e\\xff"),
	   "text from a file cannot drive the terminal");
	buf_clear(&b);
	term_text(&b, "a\n\tb\r", 5, true);
	ok(!strcmp(b.data, "a\n\tb\\x0d"), "lines stay lines where they may");
	buf_release(&b);
	ok(!strcmp(term_bytes(s, 999), "999 B") && !strcmp(term_bytes(s, 98362432), "98.4 MB") &&
	   !strcmp(term_bytes(s, 999999), "1.00 MB"), "bytes are counted as disks are sold");
	ok(!strcmp(term_duration(s, 3725), "1:02:05") && !strcmp(term_duration(s, -1), "0.0s"),
	   "durations");
}

static void test_base(void)
{
	static char file[64];
	enum mapped_kind kind = MAPPED_INPUT;

	ok(!stop_requested(), "nobody has asked to stop");
	stop_request();
	ok(stop_requested(), "a request to stop is seen");
	stop_clear();
	ok(!stop_requested(), "and can be forgotten");
	mapped_add(file, sizeof(file), MAPPED_MODEL, "/some/model.gguf");
	ok(mapped_find(file + 63, &kind) && kind == MAPPED_MODEL, "a mapped address knows its file");
	ok(!mapped_find(file + 64, &kind), "the byte after it does not");
	mapped_remove(file);
	ok(!mapped_find(file, &kind), "nor one that was removed");
}

/* What a process ends with that reads a mapping whose file became shorter: exit code, and what it
 * said, in said. */
static int end_of_reader(enum mapped_kind kind, bool json, char *said, size_t n)
{
	char name[] = "/tmp/folio-opt-test-XXXXXX";
	int fd = mkstemp(name), p[2], status = 0;
	ssize_t got;
	volatile char *map;

	if (fd < 0 || ftruncate(fd, 8192) < 0 || pipe(p) < 0)
		return -1;
	map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	if (fork() == 0) {
		dup2(p[1], json ? STDOUT_FILENO : STDERR_FILENO);
		signals_init(json);
		mapped_add((const char *)map, 8192, kind, "/a/file");
		if (ftruncate(fd, 0) < 0)
			_exit(99);
		_exit(map[5000] ? 98 : 97);
	}
	close(p[1]);
	got = read(p[0], said, n - 1);
	said[got > 0 ? got : 0] = '\0';
	wait(&status);
	close(p[0]);
	munmap((char *)map, 8192);
	close(fd);
	unlink(name);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

static void test_bus(void)
{
	char said[512];

	ok(end_of_reader(MAPPED_MODEL, false, said, sizeof(said)) == 12 && strstr(said, "'/a/file'"),
	   "a model cut short under us ends in 12 and is named");
	ok(end_of_reader(MAPPED_LIBRARY, false, said, sizeof(said)) == 13 && strstr(said, "repair"),
	   "a library file in 13, with what to do");
	ok(end_of_reader(MAPPED_INPUT, true, said, sizeof(said)) == 2 &&
	   strstr(said, "\"schema\":\"folio.error/1\",\"code\":2,"), "an input in 2; JSON where asked");
}

int main(void)
{
	test_parse();
	test_mistakes();
	test_defaults();
	test_table(global_opts, "global options");
	test_commands(commands, "");
	test_json();
	test_term();
	test_base();
	test_bus();
	return done();
}
