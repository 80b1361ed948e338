#!/bin/sh
# What may happen to an ingest: edits, sudden death at any moment, Ctrl-C, a full disk, files that mean harm.
# The model is a tiny one of random weights.
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
tiny=$PWD/tests/tiny_file
if ! command -v jq >/dev/null; then
  echo "1..0 # SKIP no jq"
  exit 0
fi
cd "$tmp" || exit 99
"$tiny" "$tmp/tiny.gguf" 7 || exit 99
export FOLIO_MODEL="$tmp/tiny.gguf" FOLIO_THREADS=1

# lines FROM TO: text of which no two lines are alike
lines() { awk -v a="$1" -v b="$2" 'BEGIN { for (i = a; i < b; i++) print "line " i " says word" i * 7919 % 10007 " here" }'; }
# tokens: of the last --json run, encoded and total
# shellcheck disable=SC2317
tokens() { test "$(jq ".tokens.$1" "$out")" "$2" "$3"; }
# state LIBRARY: everything a question can see of it
state() { "$FOLIO" -L "$1" ls --json | jq -S '[.sources[] | {name, snapshot, complete, files}]'; }

# Edits
mkdir e
lines 0 3000 >e/long.txt
lines 5000 5400 >e/short.txt
run "$FOLIO" -L le ingest --json e
check "a first run encodes all there is" sh -c "jq -e '.tokens.encoded > 0 and .tokens.encoded == .tokens.total' '$out'"
total=$(jq .tokens.total "$out")
run "$FOLIO" -L le ingest --json e
check "nothing changed: 0 tokens" tokens encoded = 0
mv e/short.txt e/renamed.txt
run "$FOLIO" -L le ingest --json e
check "a rename: 0 tokens" tokens encoded = 0
check "of as many as before" tokens total = "$total"
mkdir e/copy && cp e/renamed.txt e/copy/
run "$FOLIO" -L le ingest --json e
check "a copy: 0 tokens" tokens encoded = 0
sed -i '1500i one line more, and nothing else' e/long.txt
run "$FOLIO" -L le ingest --json e
check "an inserted line encodes a few spans" tokens encoded -gt 0
check "and no other: less than a sixth" tokens encoded -lt $((total / 6))
rm e/renamed.txt e/copy/renamed.txt
run "$FOLIO" -L le ingest --json e
check "a deletion: 0 tokens" tokens encoded = 0
check "and fewer in the snapshot" tokens total -lt "$total"
printf '\377\376a\000\r\000\n\000' >e/u16.txt
printf '\357\273\277bom\r\nsecond\r\n' >e/crlf.txt
run env LANG=C LC_ALL=C "$FOLIO" -L le ingest e
run "$FOLIO" -L le show e/crlf.txt:2
check "CRLF stays, a byte-order mark goes, lines count as in sed" test "$(od -An -c "$out" | tr -d ' \n')" = 'second\r\n'
run "$FOLIO" -L le show e/u16.txt
check "UTF-16 comes out as UTF-8" test "$(od -An -c "$out" | tr -d ' \n')" = 'a\r\n'

# Before it costs
"$FOLIO" -L dry ingest -n --json e >plan.json 2>/dev/null
check "--dry-run makes no library" test ! -e dry
run "$FOLIO" -L dry ingest --json e
check "its tokens are those of the run" test "$(jq .tokens plan.json)" = "$(jq .tokens.total "$out")"
run "$FOLIO" -L over ingest --budget 100 e
check "over the budget: 14" is 14
check "and nothing was made" test ! -e over

# Sudden death
mkdir k
i=0
while [ $i -lt 60 ]; do
  i=$((i + 1))
  lines $((i * 1000)) $((i * 1000 + 60)) >k/f$i.txt
  echo "int f$i(void) { return $i; }" >k/f$i.c
done
"$FOLIO" -q -L whole ingest k >/dev/null 2>&1
state whole >want
for stage in --text-only --kv=q8; do
  deaths=0
  for pause in 0.01 0.03 0.05 0.08 0.1 0.15 0.2 0.3 0.5; do
    "$FOLIO" -q -L killed ingest $stage k >/dev/null 2>&1 &
    victim=$!
    sleep $pause
    kill -KILL $victim 2>/dev/null && deaths=$((deaths + 1))
    wait $victim 2>/dev/null
  done
  echo "# $deaths deaths with $stage"
done
run "$FOLIO" -L killed ingest k
check "after all of them the same command goes on" is 0
state killed >got
check "to the library of a run that nobody disturbed" cmp -s want got
run "$FOLIO" -L killed verify --read-data
check "in which every byte is right" is 0

# Ctrl-C.  A shell starts what runs behind it deaf to it.
mkfifo list
env --default-signal=INT "$FOLIO" -L stopped ingest --text-only --files-from list --name slow >/dev/null 2>stop.err &
victim=$!
exec 3>list
i=0
while [ ! -s stopped/lock/long ] && [ $i -lt 100 ]; do
  sleep 0.1
  i=$((i + 1))
done
kill -INT $victim
wait $victim
rc=$?
exec 3>&-
check "Ctrl-C: 130" is 130
check "and how to go on" grep -q "the same command goes on" stop.err

# A disk that is full; needs the right to mount, so a namespace of its own
mkdir -p mnt big
i=0
while [ $i -lt 40 ]; do
  i=$((i + 1))
  od -An -tx1 -v -N 60000 /dev/urandom >big/r$i.txt
done
cat >full.sh <<'S'
mount -t tmpfs -o size=6m none mnt || exit 77
"$FOLIO" -q -L mnt/l ingest --text-only big 2>full.err
echo "first $?"
"$FOLIO" -q -L mnt/l verify --read-data >/dev/null 2>&1
echo "verify $?"
mount -o remount,size=100m mnt
"$FOLIO" -q -L mnt/l ingest --text-only big >/dev/null 2>&1
echo "again $?"
"$FOLIO" -q -L mnt/l ls big | wc -l
"$FOLIO" -q -L mnt/l verify --read-data >/dev/null 2>&1
echo "verify $?"
S
export FOLIO
run unshare -rm sh full.sh
if [ "$rc" = 0 ]; then
  check "a full disk: 2" says "first 2"
  check "with how much is free" grep -q "free" full.err
  check "the library is whole, and the same command goes on" test "$(tr '\n' ' ' <"$out")" = "first 2 verify 0 again 0 40 verify 0 "
else
  echo "# no right to mount here: a full disk was not tried"
fi

# 50 good files among what means harm
mkdir h && cd h || exit 99
i=0
while [ $i -lt 50 ]; do
  i=$((i + 1))
  echo "good file number $i" >good$i.txt
done
mkfifo fifo
ln -s . loop
ln -s loop/loop/fifo tangle
truncate -s 2G sparse.txt
head -c 700 "$srcdir/samples/book.epub" >cut.epub
head -c 700 "$srcdir/samples/book.docx" >cut.docx
printf '%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R]/Count 1>>endobj\ntrailer<</Root 1 0 R>>\n' >loop.pdf
mkdir ../evil && echo out >../evil/x
tar -cPf evil.tar ../evil/x good1.txt
echo secret >unreadable.txt && chmod 000 unreadable.txt
head -c 5000000 /dev/zero | tr '\0' 'x' >oneline.txt
: >empty.txt
cd .. || exit 99
chmod -R a+rX . 2>/dev/null
chmod 000 h/unreadable.txt
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && setpriv --reuid=65534 --regid=65534 --clear-groups test -r h/good1.txt; then
  mkdir harmlib && chown 65534:65534 harmlib
  as="setpriv --reuid=65534 --regid=65534 --clear-groups"
else
  as=
fi
# shellcheck disable=SC2086
run timeout 120 $as "$FOLIO" -L harmlib/l ingest --text-only h
[ -n "$as" ] || [ "$(id -u)" = 0 ] || mkdir -p harmlib
check "a folder of harm: 3, in time" is 3
for what in sparse.txt cut.epub cut.docx loop.pdf unreadable.txt; do
  [ $what = unreadable.txt ] && [ "$(id -u)" = 0 ] && [ -z "$as" ] && continue
  check "$what is named with its reason" grep -q "skipped $what: ." "$err"
done
check "a path out of an archive is refused" grep -q "skipped evil.tar/.*evil/x: " "$err"
# shellcheck disable=SC2086
run $as "$FOLIO" -L harmlib/l ls h
check "all 50 good ones are in" test "$(grep -c '^good' "$out")" = 50
# shellcheck disable=SC2086
run $as "$FOLIO" -L harmlib/l ls --status h
check "FIFO and links are listed" grep -q "fifo  a FIFO" "$out"
chmod 600 h/unreadable.txt
finish
