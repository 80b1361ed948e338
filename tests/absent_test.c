/* Covers ingest/absent.h: what in a question is a name, and what bears one. */
#include "config.h"

#include "ingest/absent.h"
#include "tests/check.h"

#include <string.h>

static const char *names_of(const char *q)
{
	static struct buf b;
	size_t n;

	buf_clear(&b);
	n = absent_names(q, strlen(q), &b);
	for (size_t i = 0; i + 1 < b.len; i++)
		if (!b.data[i])
			b.data[i] = ' ';
	return n && !b.failed ? b.data : "";
}

int main(void)
{
	static const struct { const char *q, *names; } Q[] = {
		{ "Where does the mail client add a DKIM signature?", "DKIM" },
		{ "How does the JSON decoder accept JSON5 input?", "JSON JSON5" },
		{ "Who is the king of Denmark?", "Denmark" },
		{ "Denmark is what?", "" },
		{ "What does sqlite3_step return after wal_checkpoint?", "sqlite3_step wal_checkpoint" },
		{ "what is written after 30 seconds", "" },
		{ "Wo wird die Sperre genommen?", "" },
		{ "Wo wird MQTT5 gelesen?", "MQTT5" },
		{ "WHERE IS THE LOCK TAKEN", "" },
		{ "Is the Lock taken? The other one is the lock.", "Lock" },
		{ "How is an X used?", "" },
		{ "", "" },
	};
	static const struct { const char *text, *name; bool bears; } T[] = {
		{ "int sqlite3WalCheckpoint(void)", "WalCheckpoint", true },
		{ "int wal_checkpoint(void)", "WalCheckpoint", true },
		{ "int walcheckpoint(void)", "wal_checkpoint", true },
		{ "a librarian", "IBAN", false },
		{ "check the iban here", "IBAN", true },
		{ "many IBANs", "IBAN", true },
		{ "IBANset", "IBAN", false },
		{ "parseIBANNumber", "IBAN", true },
		{ "HTTPServer", "HTTP", true },
		{ "https", "HTTP", true },
		{ "x", "x2", false },
		{ "", "x2", false },
		{ "json5", "JSON5", true },
		{ "json51", "JSON5", false },
	};

	for (size_t i = 0; i < sizeof(Q) / sizeof(Q[0]); i++) {
		const char *got = names_of(Q[i].q);

		ok(!strcmp(got, Q[i].names), "'%s' names '%s', got '%s'", Q[i].q, Q[i].names, got);
	}
	for (size_t i = 0; i < sizeof(T) / sizeof(T[0]); i++)
		ok(absent_bears(T[i].text, strlen(T[i].text), T[i].name, strlen(T[i].name)) == T[i].bears,
		   "'%s' %s '%s'", T[i].text, T[i].bears ? "bears" : "does not bear", T[i].name);
	return done();
}
