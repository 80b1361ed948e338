#include "config.h"

#include "cmd/progress.h"

#include "base/clock.h"
#include "base/size.h"
#include "cmd/ctx.h"
#include "cmd/json.h"

#include <stdio.h>
#include <string.h>

/* Seconds: before anything is shown; between redraws; between plain lines; between events; of work
 * the rate looks back on. */
#define QUIET_S  1.0
#define DRAW_S   0.1
#define PLAIN_S  10.0
#define EVENT_S  1.0
#define WINDOW_S 5.0

static const char *const unit_name[] = { "bytes", "tokens", "files", "steps" };

static double interval(const struct progress *p)
{
	const struct ctx *c = p->c;

	if (c->g.jsonl || c->g.progress == PROGRESS_JSON)
		return EVENT_S;
	if (c->g.quiet || c->g.progress == PROGRESS_NONE)
		return -1;
	return c->err.cursor && c->g.progress == PROGRESS_AUTO ? DRAW_S : PLAIN_S;
}

void progress_start(struct progress *p, struct ctx *c, const char *phase, enum progress_unit unit,
		    uint64_t total)
{
	*p = (struct progress){ .c = c, .phase = phase, .unit = unit, .total = total };
	p->start = p->shown = clock_now();
	p->mark_at[0] = p->mark_at[1] = p->start;
}

void progress_total(struct progress *p, uint64_t total)
{
	p->total = total;
	if (!p->done)	/* what came before was getting ready, not work */
		p->mark_at[0] = p->mark_at[1] = clock_now();
}

static double rate(const struct progress *p, double now)
{
	double dt = now - p->mark_at[0];

	return dt > 0 ? (double)(p->done - p->mark_done[0]) / dt : 0;
}

/* mark[0] is between one and two windows old once the work is that old. */
static void move_marks(struct progress *p, double now)
{
	if (p->done < p->mark_done[1])	/* started over */
		p->mark_done[0] = p->mark_done[1] = p->done;
	if (now - p->mark_at[1] < WINDOW_S)
		return;
	p->mark_at[0] = p->mark_at[1];
	p->mark_done[0] = p->mark_done[1];
	p->mark_at[1] = now;
	p->mark_done[1] = p->done;
}

static char *amount(const struct progress *p, char out[16], double n)
{
	return p->unit == PROGRESS_BYTES ? term_bytes(out, n) : term_count(out, n);
}

/* "42%  1.2M of 3.0M tokens  12.3k tokens/s  ETA 0:43" */
static void figures(const struct progress *p, double now, struct buf *out)
{
	char a[16], b[16];
	const char *unit = p->unit == PROGRESS_BYTES ? "" : unit_name[p->unit];
	const char *gap = *unit ? " " : "";
	double r = rate(p, now);

	if (p->total) {
		buf_addf(out, "%3.0f%%  ",
			 100.0 * (double)MIN(p->done, p->total) / (double)p->total);
		buf_addf(out, "%s of %s%s%s", amount(p, a, (double)p->done),
			 amount(p, b, (double)p->total), gap, unit);
	} else {
		buf_addf(out, "%s%s%s", amount(p, a, (double)p->done), gap, unit);
	}
	if (r > 0)
		buf_addf(out, "  %s%s%s/s", amount(p, a, r), gap, unit);
	if (r > 0 && p->total > p->done)
		buf_addf(out, "  ETA %s", term_duration(a, (double)(p->total - p->done) / r));
}

/* "█████▍    ", eighths of a cell where the locale can, '#' where it cannot. */
static void bar(const struct progress *p, struct buf *out, int cells)
{
	static const char *const eighth[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	double part = (double)MIN(p->done, p->total) / (double)p->total * cells;
	int full = (int)part, rest = (int)((part - full) * 8), used = full;

	for (int i = 0; i < full; i++)
		buf_adds(out, p->c->err.utf8 ? "█" : "#");
	if (p->c->err.utf8 && rest) {
		buf_adds(out, eighth[rest]);
		used++;
	}
	buf_addf(out, "%*s", cells - used, "");
}

/* As much of item as fits in cols columns, its end rather than its beginning: the end names it. */
static void tail(struct buf *out, const char *item, size_t cols)
{
	struct buf safe = { 0 };
	const char *s;

	term_text(&safe, item, strlen(item), false);
	s = safe.data ? safe.data : "";
	while (*s && term_columns(s, strlen(s)) > cols)
		do
			s++;
		while (((unsigned char)*s & 0xc0) == 0x80);
	buf_adds(out, s);
	buf_release(&safe);
}

static void draw(struct progress *p, double now, const char *item)
{
	struct buf line = { 0 }, fig = { 0 };
	int width = p->c->err.width - 1, cells;
	size_t used;

	figures(p, now, &fig);
	buf_adds(&line, p->phase);
	cells = width - (int)strlen(p->phase) - (int)fig.len - 5;
	cells = MIN(cells, 20);
	if (p->total && cells >= 5) {
		buf_adds(&line, p->c->err.utf8 ? " ▕" : " [");
		bar(p, &line, cells);
		buf_adds(&line, p->c->err.utf8 ? "▏" : "]");
	}
	buf_addc(&line, ' ');
	if (fig.data)
		buf_adds(&line, fig.data);
	used = line.data ? term_columns(line.data, line.len) : 0;
	if (item && used + 12 < (size_t)width) {
		buf_adds(&line, "  ");
		tail(&line, item, (size_t)width - used - 2);
	}
	if (!line.failed) {
		/* A narrow terminal must not wrap, or every redraw leaves a line behind. */
		while (line.len && term_columns(line.data, line.len) > (size_t)width)
			line.data[--line.len] = '\0';
		fprintf(stderr, "\r\033[K%s", line.data);
		fflush(stderr);
		p->drawn = true;
	}
	buf_release(&fig);
	buf_release(&line);
}

static void plain(const struct progress *p, double now, const char *item)
{
	struct buf fig = { 0 }, safe = { 0 };

	figures(p, now, &fig);
	if (item)
		term_text(&safe, item, strlen(item), false);
	fprintf(stderr, "%s: %s%s%s\n", p->phase, fig.data ? fig.data : "", item ? "  " : "",
		safe.data ? safe.data : "");
	buf_release(&fig);
	buf_release(&safe);
}

static void event(const struct progress *p, double now, const char *item)
{
	struct buf b = { 0 };
	struct jw j = { .out = &b };
	double r = rate(p, now);
	FILE *f = p->c->g.jsonl && p->c->g.progress != PROGRESS_JSON ? stdout : stderr;

	jw_open(&j, NULL, '{');
	jw_str(&j, "event", "progress");
	jw_str(&j, "phase", p->phase);
	jw_str(&j, "unit", unit_name[p->unit]);
	jw_uint(&j, "done", p->done);
	if (p->total)
		jw_uint(&j, "total", p->total);
	else
		jw_null(&j, "total");
	jw_real(&j, "rate", r);
	jw_real(&j, "eta_s", p->total && r > 0 ?
		  (double)(p->total - MIN(p->done, p->total)) / r : 0.0 / 0.0);
	jw_real(&j, "elapsed_s", now - p->start);
	jw_str(&j, "item", item);
	jw_close(&j);
	jw_end_line(&j);
	if (!b.failed)
		fwrite(b.data, 1, b.len, f);
	fflush(f);
	buf_release(&b);
}

void progress_set(struct progress *p, uint64_t done, const char *item)
{
	double now = clock_now(), every = interval(p);

	p->done = done;
	move_marks(p, now);
	if (every < 0 || now - p->start < QUIET_S || now - p->shown < every)
		return;
	p->shown = now;
	if (every == EVENT_S)
		event(p, now, item);
	else if (every == DRAW_S)
		draw(p, now, item);
	else
		plain(p, now, item);
}

void progress_end(struct progress *p)
{
	if (!p->drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->drawn = false;
}
