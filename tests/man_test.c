/* The manual says what the tables say: a page per command with its summary, every subcommand, every
 * option with its letter and argument, and nothing that the tables do not have. */
#include "config.h"

#include "cmd/ctx.h"

#include "base/buf.h"
#include "base/file.h"
#include "tests/check.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const char *srcdir;

/* name: with its section, "folio.1" */
static bool read_page(const char *name, struct buf *b)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "%s/man/%s", srcdir, name);
	rc = file_read(b, path.data, 1 << 20, NULL);
	buf_release(&path);
	return !rc;
}

/* Does a line of the page hold each of the words, as whole words? */
static bool has_line(const struct buf *page, const char *macro, const char *const *words)
{
	for (const char *line = page->data; line && *line;) {
		size_t n = strcspn(line, "\n");
		bool good = !strncmp(line, macro, strlen(macro));

		for (const char *const *w = words; good && *w; w++) {
			const char *at = line;
			size_t k = strlen(*w);

			do {
				at = memmem(at, (size_t)(line + n - at), *w, k);
				good = at != NULL;
			} while (good && (at[-1] != ' ' || (at[k] != ' ' && at + k < line + n)) && ++at);
		}
		if (good)
			return true;
		line += n + (line[n] != '\0');
	}
	return false;
}

static void test_options(const struct buf *page, const struct opt *t, const char *name)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++) {
		char longer[64], letter[4] = { o->letter, '\0' };
		const char *words[4] = { longer, NULL, NULL, NULL };

		if (o->hidden)
			continue;
		snprintf(longer, sizeof(longer), "-%s", o->name);
		if (o->letter)
			words[1] = letter;
		ok(has_line(page, ".It Fl", words), "%s: --%s%s%s is in OPTIONS", name, o->name,
		   o->letter ? " with -" : "", letter);
	}
}

static bool in_table(const struct opt *t, const char *name, size_t n)
{
	return opt_find(t, name, n) != NULL;
}

static bool in_group(const struct cmd *k, const char *name, size_t n)
{
	if (in_table(k->opts, name, n))
		return true;
	for (const struct cmd *s = k->sub; s && s->name; s++)
		if (in_group(s, name, n))
			return true;
	return false;
}

/* Every ".It Fl ... -name" of a page is an option of the program. */
static void test_nothing_else(const struct buf *page, const struct cmd *k, const char *name)
{
	int unknown = 0;

	for (const char *line = page->data; line; line = strchr(line, '\n')) {
		const char *fl;
		size_t n;

		line += *line == '\n';
		if (strncmp(line, ".It Fl", 6)) {
			if (!*line)
				break;
			continue;
		}
		fl = strstr(line, "Fl -");
		if (!fl || fl > strchr(line, '\n'))
			continue;
		n = strcspn(fl + 4, " \n");
		if (!in_table(global_opts, fl + 4, n) && !(k && in_group(k, fl + 4, n))) {
			unknown++;
			printf("# %s: --%.*s is no option\n", name, (int)n, fl + 4);
		}
	}
	ok(!unknown, "%s: the page lists no option that does not exist", name);
}

static void test_command(const struct cmd *k)
{
	struct buf page = { 0 };
	char name[64], words[128];

	snprintf(name, sizeof(name), "folio-%s.1", k->name);
	if (!ok(read_page(name, &page), "%s has a page", name))
		return;
	snprintf(words, sizeof(words), ".Nd %s\n", k->summary);
	ok(strstr(page.data, words) != NULL, "%s: NAME is the summary of the table", name);
	snprintf(words, sizeof(words), ".Nm folio %s", k->name);
	ok(strstr(page.data, words) != NULL, "%s: SYNOPSIS begins with the command", name);
	ok(strstr(page.data, "\n.Sh EXAMPLES\n") && strstr(page.data, "\n.Sh EXIT STATUS\n"),
	   "%s: has examples and exit status", name);
	test_options(&page, k->opts, name);
	for (const struct cmd *s = k->sub; s && s->name; s++) {
		snprintf(words, sizeof(words), ".Nm folio %s %s\n", k->name, s->name);
		ok(strstr(page.data, words) != NULL, "%s: SYNOPSIS has %s", name, s->name);
		test_options(&page, s->opts, name);
	}
	test_nothing_else(&page, k, name);
	buf_release(&page);
}

static void test_key(const struct buf *page, const char *key)
{
	char words[128];

	snprintf(words, sizeof(words), ".It Cm %s\n", key);
	ok(strstr(page->data, words) != NULL, "folio-config.5: has %s", key);
}

static void test_keys(const struct buf *page, const struct opt *t)
{
	for (const struct opt *o = t; o && o->kind != OPT_NONE; o++)
		if (o->key)
			test_key(page, o->key);
}

static void test_command_keys(const struct buf *page, const struct cmd *table)
{
	for (const struct cmd *k = table; k->name; k++) {
		test_keys(page, k->opts);
		if (k->sub)
			test_command_keys(page, k->sub);
	}
}

/* Every "folio.NAME/N" that a source of cmd/ prints is described. */
static void test_schemas(const struct buf *page)
{
	struct buf dir = { 0 };
	struct dirent *x;
	DIR *d;

	buf_addf(&dir, "%s/cmd", srcdir);
	d = opendir(dir.data);
	while (d && (x = readdir(d))) {
		struct buf path = { 0 }, text = { 0 };
		size_t n = strlen(x->d_name);

		buf_addf(&path, "%s/%s", dir.data, x->d_name);
		if (n > 2 && !strcmp(x->d_name + n - 2, ".c") &&
		    !file_read(&text, path.data, 1 << 20, NULL))
			for (const char *s = text.data; (s = strstr(s, "\"folio.")); s++) {
				char words[80];
				size_t len = strcspn(s + 1, "\\\" ");

				if (len > 40 || s[1 + len] == ' ' || !memchr(s, '/', len))
					continue;
				snprintf(words, sizeof(words), ".It Cm %.*s\n", (int)len, s + 1);
				ok(strstr(page->data, words) != NULL, "folio-json.5: has %.*s",
				   (int)len, s + 1);
			}
		buf_release(&path);
		buf_release(&text);
	}
	if (d)
		closedir(d);
	buf_release(&dir);
}

int main(void)
{
	struct buf page = { 0 };

	srcdir = getenv("srcdir");
	if (!srcdir)
		srcdir = ".";
	if (ok(read_page("folio.1", &page), "folio has a page")) {
		test_options(&page, global_opts, "folio");
		test_nothing_else(&page, NULL, "folio");
		for (const struct cmd *k = commands; k->name; k++) {
			char see[64];

			snprintf(see, sizeof(see), ".Xr folio-%s 1", k->name);
			ok(strstr(page.data, see) != NULL, "folio: SEE ALSO has %s", k->name);
		}
	}
	buf_release(&page);
	if (ok(read_page("folio-config.5", &page), "the configuration has a page")) {
		test_key(&page, "core.model");
		test_keys(&page, global_opts);
		test_command_keys(&page, commands);
	}
	buf_release(&page);
	if (ok(read_page("folio-json.5", &page), "JSON has a page"))
		test_schemas(&page);
	buf_release(&page);
	for (const struct cmd *k = commands; k->name; k++)
		test_command(k);
	return done();
}
