#!/bin/sh
# The order of writing, as the kernel sees it: pages and sketches are written, then synced, then
# committed (invariant 2); the number beside the journal comes after the commit.
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
tiny=$PWD/tests/tiny_file
command -v strace >/dev/null || { echo '1..0 # SKIP no strace'; exit 77; }
cd "$tmp" || exit 99
strace -o probe true 2>/dev/null || { echo '1..0 # SKIP strace may not trace here'; exit 77; }
"$tiny" m.gguf 7 llama4 || exit 99
mkdir in
awk 'BEGIN { for (i = 0; i < 200; i++) printf "%d: the quick brown fox jumps over %d dogs\n", i, i * 7919 % 10007 }' >in/a.txt

# LeakSanitizer cannot look at a process that is traced.
run env ASAN_OPTIONS=detect_leaks=0 strace -f -y -o trace -e trace=write,pwrite64,pwritev,fsync,fdatasync \
	"$FOLIO" -L lib -m m.gguf ingest in
check "an ingest under strace" is 0

# A file is dirty from a write to it until it is synced.  A sync of the journal is a commit.
cat >order.awk <<'AWK'
{
	if (!match($0, /[a-z0-9_]+\([0-9]+<[^>]*>/))
		next
	call = substr($0, RSTART, RLENGTH)
	file = call
	sub(/\(.*/, "", call)
	sub(/^[^<]*</, "", file)
	sub(/>$/, "", file)
	n_segment = file ~ /\/segments\/[0-9]+\.(kv|sk|si)$/
	if (call ~ /write/) {
		if (n_segment) { dirty[file] = 1; written[file]++ }
		if (file ~ /-wal$/) journal = 1
		if (file ~ /\/commits$/) { if (journal) early++; numbers++ }
	} else {
		if (n_segment) { delete dirty[file]; synced[file] = written[file] }
		if (file ~ /-wal$/) {
			for (f in dirty) late++
			journal = 0
			commits++
			for (f in synced) if (synced[f] > 1) visible[f] = 1
		}
	}
}
END { for (f in visible) kinds++
	print "commits=" commits + 0, "late=" late + 0, "early=" early + 0, "numbers=" numbers + 0, "files=" kinds + 0 }
AWK
said=$(awk -f order.awk trace)
field() { echo "$said" | tr ' ' '\n' | sed -n "s/^$1=//p"; }
check "pages and sketches were written, synced and committed after that ($said)" test "$(field files)" -ge 2
check "nothing was committed while a segment was not synced" test "$(field late)" = 0 -a "$(field commits)" -ge 3
check "the number of a commit is written when its journal is synced" test "$(field early)" = 0 -a "$(field numbers)" -ge 3

finish
