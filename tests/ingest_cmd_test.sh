#!/bin/sh
# init, ingest, ls, show, search: what a person sees, what a script relies on.
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
cd "$tmp" || exit 99
mkdir -p p/src p/doc
cp "$srcdir"/samples/book.* p/doc/
printf 'int main(void)\n{\n\treturn 0;\n}\n' >p/src/main.c
printf 'first\nsecond needle line\nthird\nfourth\n' >p/src/notes.txt
printf 'x\n' >p/.hidden
printf 'k\n' >p/Cargo.lock
cd p || exit 99

run "$FOLIO" ls
check "without a library ls exits 10" is 10
run "$FOLIO" init
check "init exits 0" is 0
check "and says what it made" says ".folio"
check "the library ignores itself in git" grep -q '^\*' .folio/.gitignore
run "$FOLIO" init
check "a second init leaves it as it is" says "library exists"

run "$FOLIO" ingest .
check "ingest exits 0" is 0
check "and says what it read" says "read, 0 unchanged"
run "$FOLIO" ingest .
check "again: nothing is read" says "0 read"
run "$FOLIO" ls
check "ls prints the source and where it came from" says "$tmp/p"
run "$FOLIO" ls p
check "ls SOURCE prints its paths" says "src/main.c"
check "hidden files are not there" test -z "$(grep hidden "$out")"
run "$FOLIO" ls --status p
check "--status prints the reason" says "a lock file"
run "$FOLIO" ls nope
check "ls of a source that is none exits 1" is 1
run "$FOLIO" ls --json
check "ls --json has its schema" says '"schema":"folio.ls/1"'
check "and states" says '"path":"src/main.c","state":"text"'

run "$FOLIO" show src/notes.txt:2-3
check "show prints lines" test "$(cat "$out")" = "second needle line
third"
run "$FOLIO" show p/src/main.c
check "SOURCE/PATH names a file, and bytes come back" cmp -s src/main.c "$out"
run "$FOLIO" show src/notes.txt:9
check "a line that is not there exits 1" is 1
run "$FOLIO" show Cargo.lock
check "the text of a listed file is not stored" complains "only listed"
run "$FOLIO" show --json src/notes.txt:2
check "show --json has the hash of the text" says '"sha256":"'
rm src/notes.txt
run "$FOLIO" show src/notes.txt:2
check "what was stored is shown though the file is gone" says "needle"

run "$FOLIO" search needle
check "search prints path, line and text" says "src/notes.txt:2:second needle line"
run "$FOLIO" search -F 'main(void'
check "-F takes the pattern as it stands" says "src/main.c:1:int main(void)"
run "$FOLIO" search 'NEEDLE'
check "no match exits 1" is 1
run "$FOLIO" search -i 'NEEDLE'
check "-i does not mind" is 0
run "$FOLIO" search '^fir|thi.d$'
check "alternatives need no literal" says "src/notes.txt:3:third"
run "$FOLIO" search -l 'e'
check "-l prints paths" grep -qx src/notes.txt "$out"
run "$FOLIO" search -C 1 second
check "-C prints lines around" says "src/notes.txt-1-first"
check "and those behind" says "src/notes.txt-3-third"
run "$FOLIO" search 'a('
check "a wrong pattern exits 2" is 2
check "and says where" complains "at character"
run "$FOLIO" search --fts 'needle haystack'
check "--fts finds any of the words" says "needle"
run "$FOLIO" search --json needle
check "search --json" says '{"source":"p","path":"src/notes.txt","line":2,"column":8,"text":"second needle line"}'
run "$FOLIO" search -F -P x
check "two kinds of pattern are refused" is 2
printf '%s\n' "$(printf 'a%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30)b" >slow.txt
"$FOLIO" -q ingest . >/dev/null 2>&1
run "$FOLIO" search '^(a+)+$'
check "a pattern that explodes ends" test "$rc" != 124

run "$FOLIO" ingest .
run "$FOLIO" search needle
check "a deleted file is out of the new snapshot" is 1
old=$("$FOLIO" ls --json | sed 's/.*"snapshot":"\([0-9a-f]*\)".*/\1/')
printf 'more\n' >src/more.txt
"$FOLIO" ingest . >/dev/null
run "$FOLIO" ls "p@$old"
check "an older snapshot still has its files" test -z "$(grep more.txt "$out")"

# Problems
printf 'broken' >bad.zip
run "$FOLIO" ingest .
check "a file that cannot be read: exit 3" is 3
check "named with its reason" complains "skipped bad.zip: a damaged archive"
run "$FOLIO" ingest --json .
check "--json lists it" says '"path":"bad.zip","reason":"a damaged archive'
check "and its files add up" says '"schema":"folio.ingest/1"'
rm bad.zip
printf 't = "%s_%s"\n' ghp a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8 >conf.py
run "$FOLIO" ingest .
check "a secret is left out: exit 3" is 3
check "without being shown" test -z "$(grep a1B2c3 "$out" "$err")"
rm conf.py

# Names and streams
nl=$(printf 'new\nline.txt')
printf 'odd name\n' >"$nl"
printf 'bytes\n' >"$(printf 'b\377.txt')"
run env LC_ALL=C "$FOLIO" ingest .
check "names with newlines and broken UTF-8 are taken under LC_ALL=C" is 0
run "$FOLIO" show "$nl"
check "and shown" says "odd name"
run "$FOLIO" ls --json p
check "bytes that are no UTF-8 come in base64" says '"path_bytes":"Yv8udHh0"'
cd ..
printf 'from a pipe\n' | "$FOLIO" -L p/.folio ingest - >"$out" 2>"$err"
run "$FOLIO" -L p/.folio show stdin
check "standard input is a source" says "from a pipe"
(cd p && find src -type f -print0 | "$FOLIO" ingest --files-from - -0 --name listed) >"$out" 2>"$err"
run "$FOLIO" -L p/.folio ls listed
check "--files-from takes a list" says "src/more.txt"
run "$FOLIO" -L p/.folio search more
check "with several sources the path has the source's name" says "p/src/more.txt:1:more"
run "$FOLIO" -L p/.folio show src/more.txt
check "a path that two sources have is refused" complains "give one of"
tar czf arch.tar.gz -C p src doc
run "$FOLIO" -L p/.folio ingest arch.tar.gz
check "an archive is a source" is 0
run "$FOLIO" -L p/.folio show arch.tar.gz/src/main.c
if [ "$rc" = 0 ]; then report 0 "whose members have paths"; else
  run "$FOLIO" -L p/.folio show arch.tar.gz/arch.tar.gz/src/main.c
  check "whose members have paths" is 0
fi
mkdir -p other/p && echo x >other/p/x
run "$FOLIO" -L p/.folio ingest other/p
check "a second source of the same name is refused" complains "--name"
run "$FOLIO" -L p/.folio ingest --name p2 other/p
check "and taken by another" is 0
run "$FOLIO" -L p/.folio ingest nowhere
check "a path that is not there exits 1" is 1

# Before it costs
run "$FOLIO" -L none ingest -n --tree p
check "--dry-run exits 0" is 0
check "prints folders" says "src/"
check "and touches nothing" test ! -e none
run "$FOLIO" ingest -n --json p
check "--dry-run --json" says '"schema":"folio.plan/1"'
run "$FOLIO" ingest --explain p/Cargo.lock p
check "--explain says why" says "listed, a lock file"
echo '*.c' >p/.ignore
run "$FOLIO" ingest --explain p/src/main.c p
check "and by which rule" says "left out, ignored by .ignore:1: *.c"
run "$FOLIO" ingest --explain p/nothing p
check "a file that is not there exits 1" is 1

# Two at once, and interrupted
if command -v git >/dev/null; then
  git init -q g && echo one >g/f && git -C g add f &&
    git -C g -c user.name=t -c user.email=t@localhost commit -qm one && echo two >g/f
  run "$FOLIO" -L p/.folio ingest --ref HEAD --name g1 g
  check "--ref reads a revision" is 0
  run "$FOLIO" -L p/.folio show g1/f
  check "not the working tree" says "one"
fi
run "$FOLIO" ingest --ref HEAD p/src/main.c
check "--ref wants a repository" is 2

# A library inside the source
mkdir -p inside && echo x >inside/x
run "$FOLIO" -L inside/lib ingest inside
run "$FOLIO" -L inside/lib ingest inside
run "$FOLIO" -L inside/lib ls inside
check "a library does not read itself" test "$(cat "$out")" = x
mkdir -p fifo/.git/objects && mkfifo fifo/.git/HEAD fifo/.git/index && echo x >fifo/x
run timeout 20 "$FOLIO" -L busy2 ingest fifo
check "FIFOs in place of a repository's files hold nobody" is 0

# Another one at work, interruption, sudden death
mkfifo list
"$FOLIO" -L busy ingest --files-from list --name slow >/dev/null 2>"$tmp/slow.err" &
slow=$!
exec 3>list
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  test -s busy/lock/long && break
  sleep 0.1
done
run "$FOLIO" -L busy ingest p/src
check "while another ingest is at work: exit 11" is 11
check "which names it" complains "ingest"
run "$FOLIO" -L busy ls
check "reading goes on" is 0
kill -TERM "$slow"	# (SIGINT is ignored by what a script starts with &)
wait "$slow"
rc=$?
check "an interrupted ingest exits 143" is 143
check "and says how to go on" grep -q "goes on" "$tmp/slow.err"
exec 3>&-

mkdir many
i=0
while [ "$i" -lt 300 ]; do
  i=$((i + 1))
  echo "word$i stands here" >"many/f$i.txt"
done
for pause in 0.02 0.05 0.1 0.15 0.3; do
  "$FOLIO" -q -L killed ingest many >/dev/null 2>&1 &
  victim=$!
  sleep "$pause"
  kill -KILL "$victim" 2>/dev/null
  wait "$victim" 2>/dev/null
done
run "$FOLIO" -L killed ingest many
check "after sudden deaths the same command goes on" is 0
check "and has every file" test "$("$FOLIO" -L killed ls many | wc -l)" = 300
run "$FOLIO" -L killed search -F word300
check "with its text" says "f300.txt:1:word300"
finish
