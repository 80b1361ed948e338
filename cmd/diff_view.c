/* What the writers of a report share. */
#include "config.h"

#include "cmd/cmd_diff.h"

#include "ingest/diff_side.h"

#include <string.h>

char diff_status_letter(enum diff_status s)
{
	return "MADRT"[s];
}

const char *diff_kind_word(enum diff_kind k)
{
	static const char *const word[] = { "removed", "file removed", "signature", "default", "value", "moved",
					    "mode", "number", "added" };

	return word[k];
}

void diff_stat_line(const struct diff_report *r, struct buf *out)
{
	buf_addf(out, "%zu file%s changed", r->n_file, r->n_file == 1 ? "" : "s");
	if (r->insertions || !r->deletions)
		buf_addf(out, ", %llu insertion%s(+)", (unsigned long long)r->insertions, r->insertions == 1 ? "" : "s");
	if (r->deletions || !r->insertions)
		buf_addf(out, ", %llu deletion%s(-)", (unsigned long long)r->deletions, r->deletions == 1 ? "" : "s");
}

static void add_url(struct buf *out, const char *s, size_t n)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.~";

	for (size_t i = 0; i < n; i++)
		if (s[i] && strchr(plain, s[i]))
			buf_addc(out, s[i]);
		else
			buf_addf(out, "%%%02X", (unsigned char)s[i]);
}

bool diff_link(const struct diff_view *v, const char *path, uint64_t line, bool on_new, struct buf *out)
{
	const struct diff_side *side = on_new ? v->r->b : v->r->a;
	const char *rev = side_commit(side)[0] ? side_commit(side) : side_label(side);

	if (!v->link_template) {
		/* Only the newer version lies on the disk. */
		if (!v->relative || !on_new)
			return false;
		if (v->relative[0]) {
			add_url(out, v->relative, strlen(v->relative));
			buf_addc(out, '/');
		}
		add_url(out, path, strlen(path));
		if (line)
			buf_addf(out, "#L%llu", (unsigned long long)line);
		return true;
	}
	for (const char *p = v->link_template; *p;) {
		if (!strncmp(p, "{path}", 6)) {
			add_url(out, path, strlen(path));
			p += 6;
		} else if (!strncmp(p, "{line}", 6)) {
			buf_addf(out, "%llu", (unsigned long long)(line ? line : 1));
			p += 6;
		} else if (!strncmp(p, "{rev}", 5)) {
			add_url(out, rev, strlen(rev));
			p += 5;
		} else {
			buf_addc(out, *p++);
		}
	}
	return true;
}

/* First the files of the report that have no sentence, then those that were not compared. */
bool diff_next_unsaid(const struct diff_view *v, size_t *at, const char **path, const char **why)
{
	const struct diff_report *r = v->r;
	const char *p = r->not_compared.data;

	for (; *at < r->n_file; ++*at) {
		const struct diff_file *f = &r->file[*at];

		if (!f->unsaid)
			continue;
		*path = diff_word(r, f->path);
		*why = diff_word(r, f->unsaid);
		++*at;
		return true;
	}
	if (*at - r->n_file >= r->n_not_compared)
		return false;
	for (size_t i = r->n_file; i < *at; i++) {
		p += strlen(p) + 1;
		p += strlen(p) + 1;
	}
	*path = p;
	*why = p + strlen(p) + 1;
	++*at;
	return true;
}

size_t diff_count_unsaid(const struct diff_view *v)
{
	size_t n = v->r->n_not_compared;

	for (size_t i = 0; i < v->r->n_file; i++)
		n += v->r->file[i].unsaid != 0;
	return n;
}
