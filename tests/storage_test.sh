#!/bin/sh
# What a library costs on disk, and what becomes of one whose files are cut, newer or on a full disk:
# with a tiny model, by the commands a person would type.
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
tiny=$PWD/tests/tiny_file
cd "$tmp" || exit 99
"$tiny" rope.gguf 7 llama || exit 99
"$tiny" irope.gguf 7 llama4 || exit 99

# Numbers of a library's files, and of the last run's JSON.
bytes() { find "$1" -type f ! -path '*/lock/*' ! -name '*-shm' -exec cat {} + | wc -c; }
number() { sed -n "s/.*\"$1\":{*[^}]*\"$2\":\([0-9]*\).*/\1/p" "$out"; }

# 200 kB, so 200,000 tokens, that pages of the catalog do not weigh: no line twice.
mkdir one ten
awk 'BEGIN { for (i = 0; i < 4400; i++) printf "%d: the quick brown fox jumps over %d dogs\n", i, i * 7919 % 10007 }' >one/a.txt
for i in 0 1 2 3 4 5 6 7 8 9; do mkdir ten/$i && cp one/a.txt ten/$i/copy.txt; done

run "$FOLIO" -L lib1 -m irope.gguf ingest --json one
check "a document is encoded" is 0
tokens=$(number tokens encoded)
check "byte by byte: $tokens tokens" test "$tokens" = "$(wc -c <one/a.txt)"
run "$FOLIO" -L lib10 -m irope.gguf ingest --json ten
check "ten copies of it are encoded once" test "$(number tokens encoded)" = "$tokens"
a=$(bytes lib1) b=$(bytes lib10)
check "and cost at most 1.001 of one: $b and $a bytes" test $((b * 1000)) -le $((a * 1001))
kv=$(bytes lib1/segments)

# A line in the middle.
sed '2200s/$/ and one more/' one/a.txt >edited && mv edited one/a.txt
run "$FOLIO" -L lib1 -m irope.gguf ingest --json one
edit=$(number tokens encoded)
check "an edit in the middle encodes the spans it touches: $edit tokens" test "$edit" -gt 0 -a "$edit" -le 3072
check "of all the others nothing is computed" test "$(number tokens reused)" -ge $((tokens - 3072))
kv2=$(bytes lib1/segments)
check "and keeps no more than those: $((kv2 - kv)) bytes beside $kv" test $((kv2 - kv)) -le $((kv * 4000 / tokens + 16384))
mv one/a.txt one/b.txt
run "$FOLIO" -L lib1 -m irope.gguf ingest --json one
check "another name costs nothing" test "$(number tokens encoded)" = 0

run "$FOLIO" -L lib1 forget
run "$FOLIO" -L lib1 prune
check "prune takes the old spans away" is 0
run "$FOLIO" -L lib1 verify --read-data
check "and leaves a whole library" is 0

# Sketches are derived: their loss costs reading, not encoding.
check "pages of an iRoPE model have sketches beside them" test -n "$(find lib1/segments -name '*.sk')"
rm -f lib1/segments/*.sk
run "$FOLIO" -L lib1 verify
check "lost sketches are damage: exit 13" is 13
run "$FOLIO" -L lib1 repair --json
check "repair encodes nothing for them" says '"tokens_to_encode":0'
run "$FOLIO" -L lib1 verify --read-data
check "and the library is whole again" is 0
run "$FOLIO" -L rope -m rope.gguf ingest one
check "pages of other models have none" test -z "$(find rope/segments -name '*.sk')"

# A smaller one for what follows.
mkdir small
head -n 250 ten/0/copy.txt >small/a.txt
run "$FOLIO" -L lib -m irope.gguf ingest --json small
tokens=$(number tokens encoded)

# A segment cut short under everything that was committed.
cp -R lib cut
kvfile=$(find cut/segments -name '*.kv' | head -n 1)
dd if=/dev/null of="$kvfile" bs=1 seek=8192 2>/dev/null
run "$FOLIO" -L cut verify
check "a segment cut short is damage: exit 13" is 13
cp -R cut cut2
run "$FOLIO" -L cut -m irope.gguf ask --attend all 'which fox?'
check "a question that comes upon it has an answer or none, and does not crash ($rc)" test "$rc" -le 1
run "$FOLIO" -L cut verify --read-data
check "because it encoded the passage again" is 0
run "$FOLIO" -L cut2 repair --json
check "repair names what must be encoded again" says "\"tokens_to_encode\":$tokens"
run "$FOLIO" -L cut2 -m irope.gguf ingest --json small
check "the next ingest does that" test "$(number tokens encoded)" = "$tokens"
run "$FOLIO" -L cut2 verify --read-data
check "and the library is whole" is 0

# While an ingest is at work a question is answered, encodes what it needs and keeps it: the lock of
# long operations is not its lock.
if command -v flock >/dev/null; then
	cp -R lib busy
	mkdir more0
	echo 'a zebra is a horse with stripes' >more0/z.txt
	run "$FOLIO" -L busy ingest --text-only more0
	flock -o busy/lock/long sleep 20 >"$tmp/.held" 2>&1 &
	holder=$!
	sleep 0.2
	run "$FOLIO" -L busy -m irope.gguf ingest small
	check "beside a long operation an ingest exits 11" is 11
	run "$FOLIO" -L busy -m irope.gguf ask --attend all 'which zebra?'
	check "a question does not ($rc)" test "$rc" -le 1
	kill $holder
	run "$FOLIO" -L busy -m irope.gguf ingest --json more0
	check "and what it encoded is kept" test "$(number tokens encoded)" = 0
else
	skip "a question beside an ingest" "no flock"
fi

# Newer than this program.
cp -R lib newer
echo 'folio library 2' >newer/format
bad=""
for c in 'ls' 'stats' 'verify' 'repair' 'prune' 'search fox' 'ingest one'; do
	# shellcheck disable=SC2086
	run "$FOLIO" -L newer $c
	is 15 || bad="$bad $c:$rc"
done
check "a newer format is refused by every command, exit 15 ($bad)" test -z "$bad"

# A disk of its own that is full: at every size from what the library needs alone to what all of it
# needs, so that room ends in the catalog, in its journal, in pages and in sketches.
mkdir disk more
sed 's/quick/slow/' small/a.txt >more/c.txt
if unshare -rm true 2>/dev/null && unshare -rm mount -t tmpfs none disk 2>/dev/null; then
	cat >full.sh <<-'END'
		mount -t tmpfs -o size=$1 none disk && cp -R lib disk/lib || exit 99
		"$FOLIO" -L disk/lib -m irope.gguf ingest more >said 2>&1
		echo $? >status
		"$FOLIO" -L disk/lib verify --read-data >found 2>&1 || exit 1
		mount -o remount,size=1g disk || exit 99
		"$FOLIO" -L disk/lib -m irope.gguf ingest more >again 2>&1 || exit 2
		"$FOLIO" -L disk/lib verify --read-data >found 2>&1 || exit 3
	END
	size=$(($(du -sk lib | cut -f1) + 16)) bad="" quiet="" full=0 i=0
	while [ $i -lt 60 ]; do
		run env FOLIO="$FOLIO" unshare -rm sh full.sh ${size}k
		is 0 || bad="$bad ${size}k:$rc"
		[ "$(cat status)" = 0 ] && break
		full=$((full + 1))
		[ "$(cat status)" = 2 ] || bad="$bad ${size}k:exit $(cat status)"
		grep -q 'disk is full.* [0-9][0-9]* ' said || quiet="$quiet ${size}k: $(cat said)"
		size=$((size + 96)) i=$((i + 1))
	done
	check "a full disk: $full of them, each exit 2, the library whole, the next run goes on ($bad)" \
		test -z "$bad" -a $full -gt 3 -a $i -lt 60
	check "each says so, with numbers ($quiet)" test -z "$quiet"
else
	skip "full disks" "a mount of one's own is not allowed here"
fi
finish
