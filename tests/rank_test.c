/* Covers ingest/rank.h: how a question's words meet those of code. */
#include "config.h"

#include "ingest/rank.h"
#include "tests/check.h"

#include <string.h>

static bool has(const struct rank_terms *t, const char *stem)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->stem[i], stem))
			return true;
	return false;
}

static struct rank_doc count(const char *question, const char *text)
{
	struct rank_terms t;
	struct rank_doc d;

	rank_split(question, strlen(question), &t);
	rank_count(&t, text, strlen(text), &d);
	return d;
}

int main(void)
{
	static const char *const TEXT[] = {
		"static int wal_checkpoint(struct wal *w)", "return checkpoints;", "nothing of the kind here at all",
		"a checkpoint, and far behind it, after many other words, the wal",
	};
	struct rank_terms t;
	struct rank_doc d[4];
	struct buf q = { 0 };
	double score[4];

	rank_split("Where does walCheckpoint get its locks?", 39, &t);
	ok(t.n == 4 && has(&t, "wal") && has(&t, "checkpoint") && has(&t, "get") && has(&t, "lock"),
	   "identifiers are taken apart, endings cut, function words left out");
	rank_query(&t, &q);
	ok(strstr(q.data, "\"wal\"* OR \"checkpoint\"*") == q.data, "the query asks for any of the stems");
	buf_release(&q);
	rank_split("running runs HTTPServer2", 24, &t);
	ok(t.n == 3 && has(&t, "run") && has(&t, "http") && has(&t, "serv"),
	   "equal stems are one term; HTTPServer2 is two, its lone digit none");
	rank_split("of the and in", 13, &t);
	ok(t.n == 0, "a question of function words has no term");
	rank_split("\xff\xfe\x80\x81", 4, &t);
	ok(t.n <= 1, "bytes that are no text do no harm");

	ok(count("checkpointing", "checkpoint_count = 1; Checkpoints").tf[0] == 2, "other endings and other spellings count");
	ok(count("config", "configure it").tf[0] == 1 && count("con", "configure").tf[0] == 0,
	   "a word that begins with the other counts from four letters on");
	ok(count("wal checkpoint", "wal_checkpoint").near[0] == 1 && count("wal checkpoint", "wal a b c d checkpoint").near[0] == 0,
	   "neighbours are within three words");
	rank_split("wal checkpoint", 14, &t);
	for (int i = 0; i < 4; i++)
		rank_count(&t, TEXT[i], strlen(TEXT[i]), &d[i]);
	rank_score(&t, d, 4, score);
	ok(score[0] > score[3] && score[3] > score[1] && score[1] > score[2] && score[2] == 0,
	   "both words side by side, both apart, one, none: in that order");
	return done();
}
