/* tests/walk_test.c - ignore rules against git itself, archives, classes and odd files
 *
 * Random repositories (seeded, so a failure can be repeated: walk_test SEED) with nested ignore
 * files, negations, escapes, sets, `**`, odd names and files that are tracked although ignored; the
 * walk must find what `git ls-files -co --exclude-standard` finds. */
#include "config.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/stop.h"
#include "ingest/classify.h"
#include "ingest/glob.h"
#include "ingest/source.h"
#include "tests/check.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char work[256];

/* --- small helpers --- */

static uint64_t rng;
static bool icase;	/* core.ignoreCase: names that differ by case only are left out then */

static unsigned pick(unsigned n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((rng >> 33) % n);
}

static int remove_one(const char *p, const struct stat *st, int flag, struct FTW *f)
{
	(void)st, (void)flag, (void)f;
	return remove(p);
}

static void remove_tree(const char *dir)
{
	nftw(dir, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) < 0 || fclose(f))
		printf("# cannot write %s\n", path);
}

/* A set of strings, sorted on demand. */
struct set {
	char **v;
	size_t n, cap;
};

static void set_add(struct set *s, const char *p)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->v = realloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n++] = strdup(p);
}

static int cmp_str(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void set_free(struct set *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct set){ 0 };
}

static bool sh(const char *cmd)
{
	return system(cmd) == 0;
}

/* --- what a walk says --- */

struct seen {
	struct set in;		/* taken or listed */
	struct buf log;		/* "state path: reason\n" */
	struct buf text;	/* content of what was taken, when wanted */
	bool       read;
	int        rc;		/* of the last failing read */
	size_t     n;
};

static int note(void *ctx, const struct item *it, struct err *e)
{
	struct seen *s = ctx;
	struct err why;

	(void)e;
	s->n++;
	if (it->state != STATE_OUT && it->kind != ITEM_SPECIAL)
		set_add(&s->in, it->path);
	buf_addf(&s->log, "%s %s: %s\n", state_name(it->state), it->path, it->reason);
	if (s->read && it->state == STATE_TAKE) {
		int rc = item_read(it, WALK_MAX_FILE, &s->text, NULL, &why);

		if (rc) {
			buf_addf(&s->log, "failed %s: %s\n", it->path, why.msg);
			s->rc = rc;
		}
	}
	return WALK_ON;
}

static void seen_free(struct seen *s)
{
	set_free(&s->in);
	buf_release(&s->log);
	buf_release(&s->text);
}

static bool logged(const struct seen *s, const char *what)
{
	return s->log.data && strstr(s->log.data, what);
}

static int walk(struct seen *s, const char *root, struct walk_opts o)
{
	struct err e = { 0 };
	int rc = walk_run(&o, &root, 1, note, s, &e);

	if (rc)
		printf("# %s\n", e.msg);
	return rc;
}

/* --- globs --- */

static void test_globs(void)
{
	static const struct { const char *p, *t; int yes; } c[] = {
		{ "foo", "foo", 1 }, { "*", "a/b", 0 }, { "**", "a/b", 1 }, { "a/**/b", "a/b", 1 },
		{ "a/**/b", "a/x/y/b", 1 }, { "a/**/b", "axb", 0 }, { "a**b", "a/b", 0 },
		{ "a**b", "axxb", 1 }, { "**/b", "b", 1 }, { "**/b", "x/y/b", 1 }, { "a/**", "a", 0 },
		{ "a/**", "a/x/y", 1 }, { "a?c", "a/c", 0 }, { "[a-c]x", "bx", 1 }, { "[!a-c]x", "bx", 0 },
		{ "[^a]x", "bx", 1 }, { "[]]", "]", 1 }, { "[a", "[a", 0 }, { "\\*", "*", 1 },
		{ "\\*", "x", 0 }, { "[[:digit:]]", "7", 1 }, { "[[:nope:]]", "7", 0 }, { "a\\", "a\\", 0 },
		{ "*.c", ".c", 1 }, { "*a*b*c", "xaybzbzc", 1 }, { "**/a/**/b", "a/b", 1 },
		{ "[/]", "/", 0 }, { "*/b", "a/b", 1 }, { "*/b", "x/a/b", 0 }, { "**/*.o", "x/y.o", 1 },
	};
	struct buf hostile = { 0 }, text = { 0 };
	size_t i, bad = 0;

	for (i = 0; i < ARRAY_LEN(c); i++) {
		if (glob_match(c[i].p, strlen(c[i].p), c[i].t, strlen(c[i].t), GLOB_PATHNAME) != c[i].yes) {
			printf("# '%s' on '%s'\n", c[i].p, c[i].t);
			bad++;
		}
	}
	ok(!bad, "globs match as gitignore(5) says");
	for (i = 0; i < 400; i++) {
		buf_adds(&hostile, i % 2 ? "**/" : "*a");
		buf_adds(&text, "aa/");
	}
	ok(!glob_match(hostile.data, hostile.len, text.data, text.len, GLOB_PATHNAME),
	   "a hostile glob ends");
	buf_release(&hostile);
	buf_release(&text);
}

/* What globs mean, said as simply as possible and in exponential time. */
static bool simple_glob(const char *start, const char *p, const char *t)
{
	const char *q = p, *k;

	if (!*p)
		return !*t;
	if (*p != '*')
		return *t && (*p == '?' ? *t != '/' : *p == *t) && simple_glob(start, p + 1, t + 1);
	while (*q == '*')
		q++;
	if (q - p > 1 && (p == start || p[-1] == '/') && !*q)
		return true;
	if (q - p > 1 && (p == start || p[-1] == '/') && *q == '/') {
		if (simple_glob(start, q + 1, t))
			return true;
		for (k = t; (k = strchr(k, '/')); k++)
			if (simple_glob(start, q + 1, k + 1))
				return true;
		return false;
	}
	for (k = t;; k++) {
		if (simple_glob(start, q, k))
			return true;
		if (!*k || *k == '/')
			return false;
	}
}

static void test_random_globs(void)
{
	static const char alphabet[] = "ab/*?**/";
	unsigned i, k, bad = 0, yes = 0;

	rng = 7;
	for (i = 0; i < 200000 && bad < 5; i++) {
		char p[12], t[12];
		unsigned n = pick(sizeof(p)), m = pick(sizeof(t));
		bool a, b;

		for (k = 0; k < n; k++)
			p[k] = alphabet[pick(sizeof(alphabet) - 1)];
		for (k = 0; k < m; k++)
			t[k] = alphabet[pick(3)];
		p[n] = t[m] = 0;
		a = glob_match(p, n, t, m, GLOB_PATHNAME);
		b = simple_glob(p, p, t);
		yes += a;
		if (a != b) {
			printf("# '%s' on '%s': %d, should be %d\n", p, t, a, b);
			bad++;
		}
	}
	ok(!bad && yes > 2000, "random globs match as the simplest matcher says (%u of %u match)", yes, i);
}

/* --- against git --- */

static const char *const names[] = {
	"a", "b", "ab", "abc", "A", "foo.o", "foo.c", "bar", "build", "x y", "tail ", "x*y", "[c]", "#h",
	"!n", "b\\s", "\xc3\xa9", "\xff\xfe", "new\nline", ".hid", "a.b.c", "d-e", "0", "x]y",
};
static const char *const parts[] = {
	"a", "b", "ab", "*", "**", "?", "[ab]", "[!a]", "[a-c]*", "foo", ".o", "*.o", "build", "/", "/",
	"/", "\\*", "\\#h", "\\!n", "x y", "tail\\ ", "\xc3\xa9", "*.c", "[[:upper:]]", "\\", "[", "x\\*y",
	"**/", "/**", "/**/", ".hid", "#", "b\\\\s", "[]]", "x[]]y", "\xff*", "new*", "[^b]", "?*", "***",
};

static void random_rules(struct buf *out)
{
	unsigned n = 1 + pick(6), i, k;

	if (!pick(12))
		buf_adds(out, "\xef\xbb\xbf");
	for (i = 0; i < n; i++) {
		if (!pick(10)) {
			buf_adds(out, pick(2) ? "# comment\n" : "\n");
			continue;
		}
		if (!pick(3))
			buf_addc(out, '!');
		if (!pick(4))
			buf_addc(out, '/');
		if (pick(3)) {
			buf_adds(out, names[pick(ARRAY_LEN(names))]);
		} else {
			for (k = 1 + pick(4); k; k--)
				buf_adds(out, parts[pick(ARRAY_LEN(parts))]);
		}
		if (!pick(4))
			buf_addc(out, '/');
		if (!pick(8))
			buf_adds(out, "  ");
		buf_adds(out, pick(10) ? "\n" : "\r\n");
	}
	if (!pick(4) && out->len)
		out->len--;	/* no newline at the end */
}

static void random_tree(const char *dir, unsigned depth)
{
	unsigned n = 2 + pick(6), i;
	char path[2048];

	if (mkdir(dir, 0755) < 0 && access(dir, F_OK))
		return;
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[pick(ARRAY_LEN(names))]);
		if (access(path, F_OK) == 0 || (icase && !strcmp(strrchr(path, '/'), "/A")))
			continue;
		if (depth < 4 && pick(5) < 2)
			random_tree(path, depth + 1);
		else if (!pick(12) && symlink("a", path) == 0)
			continue;
		else
			put(path, "x\n");
	}
	if (pick(3) == 0 || depth == 0) {
		struct buf b = { 0 };

		random_rules(&b);
		snprintf(path, sizeof(path), "%s/.gitignore", dir);
		put(path, b.data ? b.data : "");
		buf_release(&b);
	}
}

static void show_difference(const struct set *git, const struct set *walked)
{
	size_t i = 0, k = 0;

	while (i < git->n || k < walked->n) {
		int c = i == git->n ? 1 : k == walked->n ? -1 : strcmp(git->v[i], walked->v[k]);

		if (c)
			printf("#   only %s: %s\n", c < 0 ? "git" : "the walk", c < 0 ? git->v[i] : walked->v[k]);
		i += c <= 0;
		k += c >= 0;
	}
}

static bool compare(const char *repo, const char *below, unsigned seed)
{
	struct seen s = { 0 };
	struct buf cmd = { 0 }, root = { 0 };
	struct set git = { 0 };
	char *line = NULL;
	size_t cap = 0, i;
	bool same, sorted = true;
	FILE *f;

	buf_addf(&root, "%s%s%s", repo, *below ? "/" : "", below);
	buf_addf(&cmd, "cd '%s' && git ls-files -co --exclude-standard -z", root.data);
	f = popen(cmd.data, "r");
	while (f && getdelim(&line, &cap, 0, f) > 0)
		if (!git.n || strcmp(git.v[git.n - 1], line))
			set_add(&git, line);
	if (f)
		pclose(f);
	qsort(git.v, git.n, sizeof(*git.v), cmp_str);
	walk(&s, root.data, (struct walk_opts){ .hidden = true, .no_archives = true });
	for (i = 1; i < s.in.n; i++)
		sorted &= strcmp(s.in.v[i - 1], s.in.v[i]) < 0;
	same = git.n == s.in.n && sorted;
	for (i = 0; same && i < git.n; i++)
		same = !strcmp(git.v[i], s.in.v[i]);
	if (!same) {
		printf("# seed %u, '%s': git %zu, walk %zu, sorted %d\n", seed, below, git.n, s.in.n, sorted);
		show_difference(&git, &s.in);
	}
	free(line);
	set_free(&git);
	seen_free(&s);
	buf_release(&cmd);
	buf_release(&root);
	return same;
}

/* One repository; true when walk and git agree everywhere in it. */
static bool one_repo(unsigned seed)
{
	char repo[300], cmd[1024], path[600];
	struct buf b = { 0 };
	bool good;
	DIR *d;
	struct dirent *de;

	rng = seed * 2654435761u + 12345;
	snprintf(repo, sizeof(repo), "%s/r%u", work, seed);
	icase = seed % 7 == 6;
	random_tree(repo, 0);
	snprintf(cmd, sizeof(cmd), "cd '%s' && git init -q%s . && git config core.ignorecase %s", repo,
		 seed % 5 == 4 ? " --object-format=sha256" : "", icase ? "true" : "false");
	if (!sh(cmd))
		return false;
	if (pick(2)) {
		random_rules(&b);
		snprintf(path, sizeof(path), "%s/.git/info/exclude", repo);
		put(path, b.data ? b.data : "");
		buf_clear(&b);
	}
	if (pick(2)) {
		random_rules(&b);
		snprintf(path, sizeof(path), "%s/.git/global", repo);
		put(path, b.data ? b.data : "");
		snprintf(cmd, sizeof(cmd), "cd '%s' && git config core.excludesFile .git/global", repo);
		sh(cmd);
	}
	/* Some of what is ignored gets tracked all the same. */
	snprintf(cmd, sizeof(cmd), "cd '%s' && git ls-files -o -z | awk 'BEGIN{RS=ORS=\"\\0\";srand(%u)}"
		 "rand()<0.15' | xargs -0 -r git add -f -- 2>/dev/null", repo, seed);
	sh(cmd);
	good = compare(repo, "", seed);
	d = opendir(repo);
	while (d && (de = readdir(d)) && good) {
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", repo, de->d_name);
		if (de->d_name[0] == '.' || strpbrk(de->d_name, "\n'") || lstat(path, &st) < 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		/* A root the user gives is read whatever rules say about it, so ask only about
		 * those that git would enter. */
		snprintf(cmd, sizeof(cmd), "cd '%s' && ! git check-ignore -q --no-index './%s'", repo,
			 de->d_name);
		if (sh(cmd))
			good = compare(repo, de->d_name, seed);
	}
	if (d)
		closedir(d);
	buf_release(&b);
	if (good || !getenv("WALK_KEEP"))
		remove_tree(repo);
	return good;
}

static void test_git(unsigned from, unsigned to)
{
	unsigned seed, good = 0;

	if (!sh("git --version >/dev/null 2>&1")) {
		printf("# no git, so nothing to compare with\n");
		return;
	}
	for (seed = from; seed < to; seed++)
		good += one_repo(seed);
	ok(good == to - from, "%u random repositories: the walk finds what git ls-files finds",
	   to - from);
}

/* --- odd files --- */

static void test_odd(void)
{
	char dir[300], path[400], cmd[1200];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct seen s = { .read = true };
	int fd;

	snprintf(dir, sizeof(dir), "%s/odd", work);
	mkdir(dir, 0755);
	snprintf(cmd, sizeof(cmd),
		 "cd '%s' && mkfifo fifo && ln -s . loop && ln -s nowhere gone && mkdir d && ln -s ../d d/up"
		 " && truncate -s 2G sparse.txt && printf 'x\\n' > good.txt && printf 'y\\n' > .hidden &&"
		 " mkdir .git.d && printf 'one' > 'new\nline.txt'", dir);
	sh(cmd);
	snprintf(un.sun_path, sizeof(un.sun_path), "%.90s/sock", dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ok(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0, "a socket lies in the folder");
	close(fd);
	ok(!walk(&s, dir, (struct walk_opts){ 0 }), "a folder of odd files is walked");
	ok(logged(&s, "listed fifo: a FIFO"), "a FIFO is listed and not opened");
	ok(logged(&s, "listed sock: a socket"), "a socket is listed");
	ok(logged(&s, "listed loop: symbolic link to '.'"), "a link to its own folder is not followed");
	ok(logged(&s, "listed gone: symbolic link to 'nowhere'"), "a broken link is listed");
	ok(logged(&s, "skipped sparse.txt: too large: 2147483648"), "a sparse file of 2 GiB is too large");
	ok(logged(&s, "out .hidden: hidden"), "a hidden file is out");
	ok(logged(&s, "taken new\nline.txt: "), "a newline in a name is only a byte");
	ok(s.text.len == 2 + 3, "what is taken can be read (%zu bytes)", s.text.len);
	seen_free(&s);
	if (getuid()) {
		s = (struct seen){ .read = true };
		snprintf(cmd, sizeof(cmd), "chmod 0 '%s/d' '%s/good.txt'", dir, dir);
		sh(cmd);
		walk(&s, dir, (struct walk_opts){ 0 });
		ok(logged(&s, "skipped d: cannot read the folder: Permission denied"),
		   "an unreadable folder is skipped with its reason");
		ok(logged(&s, "failed good.txt: cannot open: Permission denied"),
		   "an unreadable file gives its reason");
		seen_free(&s);
		snprintf(cmd, sizeof(cmd), "chmod 755 '%s/d'", dir);
		sh(cmd);
	}
	/* The root itself may be a link, a file, or missing. */
	snprintf(path, sizeof(path), "%s/loop", dir);
	s = (struct seen){ 0 };
	ok(!walk(&s, path, (struct walk_opts){ 0 }) && logged(&s, "taken good.txt"),
	   "a root that is a link is followed");
	seen_free(&s);
	s = (struct seen){ 0 };
	snprintf(path, sizeof(path), "%s/.hidden", dir);
	ok(!walk(&s, path, (struct walk_opts){ 0 }) && logged(&s, "taken .hidden"),
	   "a file given by name is taken whatever it is called");
	seen_free(&s);
	s = (struct seen){ 0 };
	snprintf(path, sizeof(path), "%s/none", dir);
	ok(walk(&s, path, (struct walk_opts){ 0 }) == ERR_NOTFOUND, "a missing root is ERR_NOTFOUND");
	seen_free(&s);
	s = (struct seen){ 0 };
	stop_request();
	ok(walk(&s, dir, (struct walk_opts){ 0 }) == ERR_INTR, "a request to stop ends the walk");
	stop_clear();
	seen_free(&s);
	remove_tree(dir);
}

/* --- archives --- */

static void add_member(struct archive *a, const char *name, const void *text, size_t n)
{
	struct archive_entry *en = archive_entry_new();

	archive_entry_set_pathname(en, name);
	archive_entry_set_size(en, (la_int64_t)n);
	archive_entry_set_filetype(en, AE_IFREG);
	archive_entry_set_perm(en, 0644);
	archive_write_header(a, en);
	archive_write_data(a, text, n);
	archive_entry_free(en);
}

static struct archive *new_archive(const char *path)
{
	struct archive *a = archive_write_new();

	setlocale(LC_ALL, "C.UTF-8");	/* for the writer; the walk is shown under C */
	archive_write_set_format_filter_by_ext(a, path);
	archive_write_open_filename(a, path);
	return a;
}

static void one_archive(const char *dir, const char *name)
{
	char path[400], want[500];
	struct seen s = { .read = true };
	struct archive *a;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	a = new_archive(path);
	add_member(a, "src/one.c", "int one;\n", 9);
	add_member(a, "src/one.c", "int two;\n", 9);
	add_member(a, "../../evil", "evil", 4);
	add_member(a, "/abs.txt", "abs\n", 4);
	add_member(a, "\xc3\xa9.txt", "e\n", 2);
	add_member(a, "src/.git/config", "x", 1);
	archive_write_free(a);
	setlocale(LC_ALL, "C");
	ok(!walk(&s, dir, (struct walk_opts){ 0 }), "%s: walked", name);
	snprintf(want, sizeof(want), "listed %s: an archive", name);
	ok(logged(&s, want), "%s: the archive itself is listed", name);
	snprintf(want, sizeof(want), "taken %s/src/one.c: ", name);
	ok(logged(&s, want), "%s: members follow behind a slash", name);
	snprintf(want, sizeof(want), "taken %s/src/one.c~2: ", name);
	ok(logged(&s, want), "%s: a name that comes twice gets a number", name);
	snprintf(want, sizeof(want), "skipped %s/evil: its name leaves the archive: '../../evil'", name);
	ok(logged(&s, want), "%s: ../../evil is refused", name);
	snprintf(want, sizeof(want), "taken %s/\xc3\xa9.txt: ", name);
	ok(logged(&s, want), "%s: names keep their bytes", name);
	ok(s.text.len == 9 + 9 + 4 + 2 && !s.rc, "%s: members are read (%zu bytes)", name, s.text.len);
	seen_free(&s);
	unlink(path);
}

static void test_archives(void)
{
	static const char *const ext[] = { "a.tar", "a.tar.gz", "a.zip", "a.7z" };
	struct walk_opts o = { .max_archive = 0 };
	char dir[300], path[400];
	struct seen s = { .read = true };
	struct archive *a;
	char *big = calloc(1, 8 << 20);
	size_t i;
	FILE *f;

	snprintf(dir, sizeof(dir), "%s/arch", work);
	mkdir(dir, 0755);
	for (i = 0; i < ARRAY_LEN(ext); i++)
		one_archive(dir, ext[i]);

	snprintf(path, sizeof(path), "%s/bomb.tar.gz", dir);
	a = new_archive(path);
	add_member(a, "first.txt", "first\n", 6);
	for (i = 0; i < 20; i++)
		add_member(a, "zeros.txt", big, 8 << 20);
	add_member(a, "last.txt", "last\n", 5);
	archive_write_free(a);
	walk(&s, dir, o);
	ok(logged(&s, "skipped bomb.tar.gz: stopped after") && !logged(&s, "last.txt"),
	   "a bomb is stopped and told");
	ok(logged(&s, "taken bomb.tar.gz/first.txt"), "what came before stays");
	seen_free(&s);

	s = (struct seen){ 0 };
	walk(&s, dir, o);
	ok(logged(&s, "skipped bomb.tar.gz: stopped after"), "a bomb is stopped when only passed over, too");
	seen_free(&s);
	unlink(path);

	snprintf(path, sizeof(path), "%s/cut.tar.gz", dir);
	a = new_archive(path);
	add_member(a, "one.txt", "one\n", 4);
	for (i = 0; i < 8 << 20; i++)
		big[i] = (char)pick(256);
	add_member(a, "two.bin", big, 1 << 20);
	archive_write_free(a);
	ok(!truncate(path, 600000), "an archive is cut in the middle");
	s = (struct seen){ .read = true };
	walk(&s, dir, o);
	ok(logged(&s, "skipped cut.tar.gz: a damaged archive") && logged(&s, "taken cut.tar.gz/one.txt"),
	   "a truncated archive gives what it has and says so");
	seen_free(&s);
	unlink(path);

	snprintf(path, sizeof(path), "%s/no.zip", dir);
	f = fopen(path, "w");
	fputs("this is no archive\n", f);
	fclose(f);
	s = (struct seen){ .read = true };
	walk(&s, dir, o);
	ok(logged(&s, "skipped no.zip: a damaged archive"), "text that is called .zip is skipped");
	seen_free(&s);
	unlink(path);

	snprintf(path, sizeof(path), "%s/in.zip", dir);
	a = new_archive(path);
	add_member(a, "deep.txt", "deep\n", 5);
	archive_write_free(a);
	{
		struct buf in = { 0 };
		char outer[400];

		file_read(&in, path, 1 << 20, NULL);
		snprintf(outer, sizeof(outer), "%s/out.tar", dir);
		a = new_archive(outer);
		add_member(a, "in.zip", in.data, in.len);
		archive_write_free(a);
		buf_release(&in);
		s = (struct seen){ .read = true };
		walk(&s, dir, o);
		ok(logged(&s, "taken out.tar/in.zip/deep.txt"), "an archive in an archive is read");
		seen_free(&s);
		s = (struct seen){ .read = true };
		o.max_depth = 1;
		walk(&s, dir, o);
		ok(logged(&s, "listed out.tar/in.zip: an archive inside") && !logged(&s, "out.tar/in.zip/deep"),
		   "but not deeper than allowed");
		seen_free(&s);
	}
	free(big);
	remove_tree(dir);
}

/* --- classes --- */

static enum item_why class_of(const char *path, uint64_t size, const char *text, size_t n)
{
	struct item it = { .path = path, .n_path = strlen(path), .size = size };

	classify_name(&it);
	if (it.state == STATE_TAKE && text)
		classify_text(&it, text, n, false);
	return it.why;
}

static void test_classes(void)
{
	static const char key[] =
		"-----BEGIN RSA PRIVATE KEY-----\n"
		"MIIEowIBAAKCAQEAq3Wd8sk2hVb1nXcL0pYtRz7uJfGmE5oHiKxQvNwSaDyTgBrC\n"
		"-----END RSA PRIVATE KEY-----\n                                        \n";
	static const char json_key[] =
		"{\"private_key\": \"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA"
		"q3Wd8sk2hVb1nXcL0pYtRz\\n-----END PRIVATE KEY-----\\n\"}                   ";
	static const char marker[] =
		"if (!strncmp(s, \"-----BEGIN RSA PRIVATE KEY-----\", 31))\n\treturn parse_a_private_key(s);\n"
		"/* and some more lines of ordinary source code, long enough to be looked at in earnest */\n";
	char token[64], one_line[8192];
	size_t at;

	ok(class_of("a/Cargo.lock", 10, NULL, 0) == WHY_LOCK, "a lock file is listed");
	ok(class_of("a/x.min.js", 10, NULL, 0) == WHY_MINIFIED, "*.min.js is listed");
	ok(class_of("a/x_pb2.py", 10, NULL, 0) == WHY_GENERATED, "*_pb2.py is listed");
	ok(class_of("a/x.svg", 40000, NULL, 0) == WHY_DATA && class_of("a/x.svg", 400, NULL, 0) == WHY_NONE,
	   "a large drawing is data, a small one is text");
	ok(class_of("a/x.png", 10, NULL, 0) == WHY_BINARY, "a picture is binary by name");
	memset(one_line, 'x', sizeof(one_line));
	ok(class_of("a/x.js", 8192, one_line, sizeof(one_line)) == WHY_MINIFIED,
	   "a script of one long line is minified");
	ok(class_of("a/x.txt", 8192, one_line, sizeof(one_line)) == WHY_NONE, "a text of one long line is not");
	ok(class_of("a/configure", 99, "#! /bin/sh\n# Generated by GNU Autoconf 2.71\n", 44) == WHY_GENERATED,
	   "a generator's signature counts");
	ok(class_of("id_rsa", sizeof(key), key, sizeof(key) - 1) == WHY_SECRET, "a private key is a secret");
	ok(class_of("k.json", sizeof(json_key), json_key, sizeof(json_key) - 1) == WHY_SECRET,
	   "so is one in a JSON string");
	ok(class_of("x.c", sizeof(marker), marker, sizeof(marker) - 1) == WHY_NONE,
	   "code that looks for keys is not");
	snprintf(token, sizeof(token), "t = \"%s_%s\"\n", "ghp", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
	ok(class_of("x.py", 60, token, strlen(token)) == WHY_SECRET, "a token is a secret");
	ok(secret_find("x.py", token, strlen(token), &at) && at == 5, "and its place is known");
	ok(class_of("x.md", 60, "AKIAIOSFODNN7EXAMPLE\n", 21) == WHY_NONE, "an example of one is not");
	ok(class_of("d/.env", 60, "A=1\nDB_PASSWORD=hunter2hunter2\n", 31) == WHY_SECRET,
	   ".env with a password is a secret");
	ok(class_of("d/.env.example", 60, "A=1\nDB_PASSWORD=hunter2hunter2\n", 31) == WHY_NONE,
	   ".env.example is not");
	ok(class_of("d/.env", 60, "A=1\nDB_PASSWORD=\nPORT=80\n", 25) == WHY_NONE, "nor is an empty one");
}

int main(int argc, char **argv)
{
	unsigned from = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	unsigned to = argc > 2 ? (unsigned)atoi(argv[2]) : argc > 1 ? from + 1 : 31;
	const char *tmp = getenv("TMPDIR");

	snprintf(work, sizeof(work), "%.150s/folio-walk-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(work))
		skip_all("no folder for temporary files");
	test_globs();
	test_random_globs();
	test_classes();
	test_git(from, to);
	test_odd();
	test_archives();
	if (!getenv("WALK_KEEP"))
		remove_tree(work);
	return done();
}
