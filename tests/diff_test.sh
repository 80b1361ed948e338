#!/bin/sh
# folio diff: what is reported, in which formats, and what is refused.
# shellcheck disable=SC2016,SC2317
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
: "${JSON_CHECK:=$PWD/tests/json_check}"
: "${TINY_FILE:=$PWD/tests/tiny_file}"
vectors=$srcdir/tests/vectors/diff
cd "$tmp" || exit 99
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
fits() { "$JSON_CHECK" "$vectors/folio.diff.schema.json" "$1"; }

# --- two revisions with planted changes ---
mkdir -p r/src r/pkg && cd r || exit 99
git init -q .
cat >src/wal.h <<'END'
#ifndef WAL_H
#define WAL_H
#define WAL_PAGES 64
int wal_open(const char *path);
int wal_sync(int fd, int full);
int wal_trim(int fd);
#endif
END
cat >src/wal.c <<'END'
#include "wal.h"

static int seal(int fd)
{
	return fd;
}

int wal_open(const char *path)
{
	return path != 0;
}

int wal_sync(int fd, int full)
{
	return seal(fd) + full;
}

int wal_trim(int fd)
{
	return fd - 1;
}
END
cat >pkg/store.py <<'END'
LIMIT = 10


def load(path, retries=3, strict=False):
    return path, retries, strict


def old_api(path):
    return load(path)


class Store:
    def put(self, key, value):
        return key, value


def moved_helper(x):
    return x + 1
END
printf 'def nothing():\n    pass\n' >pkg/util.py
printf 'a\0b\n' >blob.bin
printf 'same\nlines\nhere\nand\nthere\n' >keep.txt
printf 'echo hi\n' >run.sh
git add -A && git commit -qm one && git tag v1
sed -i 's/retries=3/retries=5/; s/LIMIT = 10/LIMIT = 12/; s/put(self, key, value)/put(self, key, value, ttl)/; /^def old_api/,/^$/d; /^def moved_helper/,$d' pkg/store.py
printf '\n\ndef moved_helper(x):\n    return x + 1\n' >>pkg/util.py
sed -i '/wal_trim/d; s/WAL_PAGES 64/WAL_PAGES 128/; s/int full/int full, int wait/' src/wal.h
sed -i '/^int wal_trim/,$d; s/int full/int full, int wait/' src/wal.c
printf 'a\0c\n' >blob.bin
git mv keep.txt kept.txt
chmod +x run.sh
git add -A && git commit -qm two && git tag v2
cd .. || exit 99

run "$FOLIO" --json diff --no-llm -C r v1..v2
check "two revisions: exit 0" is 0
cp "$out" v.json
check "the JSON fits its schema" fits v.json
has() { jq -e --arg k "$1" --arg s "$2" --arg p "$3" '.breaking[] | select(.kind == $k and .symbol == $s and .path == $p)
  | select(.hunk != null and (.lines | length) == 2)' v.json; }
if command -v jq >/dev/null; then
  check "a removed function of C is breaking, with hunk and lines" has removed wal_trim src/wal.c
  check "a removed function of Python" has removed old_api pkg/store.py
  check "a changed signature of C" has signature_changed wal_sync src/wal.c
  check "a changed signature of Python" has signature_changed Store.put pkg/store.py
  check "a changed default" has default_changed load pkg/store.py
  check "a changed macro" has value_changed WAL_PAGES src/wal.h
  check "a changed constant" has value_changed LIMIT pkg/store.py
  check "a function that went to another file is moved, not removed" has moved moved_helper pkg/util.py
  check "old and new value are told" \
    jq -e '.breaking[] | select(.symbol == "LIMIT" and .before == "10" and .after == "12" and .public)' v.json
  check "the declaration of a removed function is not told twice" \
    test "$(jq '[.breaking[] | select(.symbol == "wal_trim")] | length' v.json)" = 1
  check "a mode is visible" jq -e '.breaking[] | select(.kind == "mode_changed" and .path == "run.sh")' v.json
  check "a rename has its old name" jq -e '.files[] | select(.status == "renamed" and .old_path == "keep.txt" and .path == "kept.txt")' v.json
  check "a binary file has no lines" jq -e '.files[] | select(.path == "blob.bin" and .binary and .insertions == 0)' v.json
  check "and stands under not summarised" jq -e '.not_summarised[] | select(.path == "blob.bin" and .reason == "binary")' v.json
  check "hunks are numbered through, from h1" jq -e '[.files[].hunks[].id] == [range(1; [.files[].hunks[]] | length + 1) | "h\(.)"]' v.json
  check "every sentence names hunks that exist" jq -e '([.files[].hunks[].id]) as $all |
    [.overview[], .files[].summary[] | .hunks[]] | all(. as $h | $all | index($h))' v.json
  check "every changed line of a summary has a hunk" jq -e '[.files[] | select(.hunks | length > 0) | .summary | length > 0] | all' v.json
else
  skip "what is breaking" "no jq"
fi
run "$FOLIO" diff --no-llm -C r v1 v2
check "two operands are the same as a range" says "wal_trim"
check "in a pipe there are no escape sequences" test -z "$(grep "$(printf '\033')" "$out")"
run "$FOLIO" diff --no-llm --color=always -C r v1 v2
check "--color=always colours" grep -q "$(printf '\033')" "$out"
run env NO_COLOR=1 COLUMNS=40 "$FOLIO" diff --no-llm -C r v1 v2
check "40 columns are enough" test "$(wc -L <"$out")" -le 40
run "$FOLIO" diff --no-llm -C r v1...v2
check "three dots mean the common ancestor" says "wal_trim"
run "$FOLIO" diff --no-llm -C r v1..v2 -- pkg
check "PATH limits" test -z "$(grep wal_trim "$out")"
check "to what is below" says old_api
run "$FOLIO" diff --no-llm -C r v1 v2 -- 'src/*.h'
check "or a glob" says "1 file changed"
run "$FOLIO" diff --no-llm -C r --max-files 1 v1..v2
check "--max-files says what is left out" says "beyond --max-files 1"
run "$FOLIO" diff --no-llm -C r --length short v1..v2
check "--length short lists" says "pkg/store.py"
check "without sentences of files" test -z "$(grep 'Removes' "$out")"
run "$FOLIO" diff --no-llm -C r --length full v1..v2
check "--length full shows the lines" says "+LIMIT = 12"

# --- exit codes ---
run "$FOLIO" diff --no-llm --exit-code -C r v1..v2
check "--exit-code: differences are 1" is 1
run "$FOLIO" diff --no-llm --exit-code -C r v2..v2
check "identical: 0" is 0
check "and it says so" says "no differences"
run "$FOLIO" --json diff --no-llm -C r v2..v2
cp "$out" same.json
check "identical, as JSON" fits same.json
run "$FOLIO" diff --no-llm -C r v1..nope
check "a revision that is not there: 2" is 2
check "is named" complains nope
run "$FOLIO" diff --no-llm -C r v1
check "one version is not enough" complains "worktree"
run "$FOLIO" diff --no-llm nope1 nope2
check "neither path nor revision nor source: 2" is 2
check "which is said" complains "no path, no revision"
run "$FOLIO" diff --no-lm -C r v1..v2
check "a mistyped option gets a suggestion" complains "did you mean '--no-llm'"
run "$FOLIO" diff --lenght full -C r v1..v2
check "and so does another" complains "--length"
run "$FOLIO" diff --no-llm --link-template 'http://x/{file}' -C r v1..v2
check "a template with an unknown name is refused" complains "{file}"

# --- without a model ---
run "$FOLIO" diff -C r v1..v2
check "no model is installed: the facts come, exit 0" is 0
check "all of them" says "wal_trim"
check "with a warning that says what to do" complains "--no-llm"
run "$FOLIO" -m nope diff -C r v1..v2
check "a model that was named and is not there: 12" is 12
run "$FOLIO" --json diff -C r v1..v2
cp "$out" facts.json
check "with --json it is a note in the document" says '"facts alone, without a model'
check "which fits, and stderr is silent" fits facts.json
check "(silent)" silent

# --- with a model that babbles ---
for arch in llama llama4; do
  "$TINY_FILE" "$arch.gguf" 7 "$arch"
  run "$FOLIO" -L words --json -m "$arch.gguf" diff -C r v1..v2
  check "$arch: what it says is cut, the report comes" is 0
  cp "$out" words.json
  check "$arch: the JSON fits" fits words.json
  check "$arch: every sentence that was cut is counted" test -z "$(grep '"cut_sentences":0' "$out")"
  check "$arch: files without one are named, with the reason" says "could not be tied to a hunk"
done
run "$FOLIO" -L words -v -m llama.gguf diff -C r v1..v2
check "-v shows what was cut" complains "cut for its"

# --- worktree, folders, archives, snapshots ---
echo more >>r/run.sh
run "$FOLIO" diff --no-llm -C r v2 worktree
check "the worktree is a version" says "run.sh"
check "only what differs" says "1 file changed, 1 insertion(+)"
git -C r checkout -q run.sh
mkdir a b && git -C r archive v1 | tar xf - -C a && git -C r archive v2 | tar xf - -C b
run "$FOLIO" diff --no-llm a b
check "two folders" says "wal_trim"
git -C r archive --prefix=p-1/ v1 | gzip >p-1.tar.gz
git -C r archive --prefix=p-2/ v2 | gzip >p-2.tar.gz
run "$FOLIO" --json diff --no-llm p-1.tar.gz p-2.tar.gz
check "two archives, without their top folders" says '"path":"src/wal.c"'
run "$FOLIO" diff --no-llm p-1.tar.gz a --exit-code
check "an archive and the same folder do not differ" is 0
run "$FOLIO" diff --no-llm a r/run.sh
check "a folder and a file are no versions of one thing" is 2
"$FOLIO" -q -L lib ingest --text-only --name p a >/dev/null 2>&1
one=$("$FOLIO" -L lib ls --json | sed 's/.*"snapshot":"\([0-9a-f]*\)".*/\1/')
rm -rf a && cp -r b a
"$FOLIO" -q -L lib ingest --text-only --name p a >/dev/null 2>&1
run "$FOLIO" -L lib diff --no-llm "p@$one" p
check "two snapshots of a library" says "wal_trim"
check "files without stored text are named" says "blob.bin"
run "$FOLIO" -L lib diff --no-llm "p@$one" px
check "a source that is none" is 2

# --- documents ---
run "$FOLIO" --json diff --no-llm "$vectors/terms-1.pdf" "$vectors/terms-2.pdf"
if [ "$rc" = 0 ] && command -v pdftotext >/dev/null; then
  cp "$out" pdf.json
  check "two PDFs: the JSON fits" fits pdf.json
  check "the number that changed" says '"before":"30","after":"45"'
  check "the section that moved, with its pages" grep -q \
    '"fate":"moved","starts":"2. Opening hours[^}]*"page":1[^}]*},"new":{[^}]*"page":3' "$out"
  check "one is rewritten, none else moved" test "$(grep -o '"fate":"moved"' "$out" | wc -l)" = 1
else
  skip "two PDFs" "no pdftotext"
fi
run "$FOLIO" diff --no-llm --exit-code "$srcdir/samples/book.html" "$srcdir/samples/book.epub"
check "the same book in two formats does not differ" is 0
awk '/^## The Bell/ { hold = 1 } /^## The Ledger/ { hold = 0 } hold { kept = kept $0 "\n"; next } { print }
  END { printf "%s", kept }' "$srcdir/samples/book.md" | sed 's/thirty-one years/thirty-two years/; s/386/390/' >book2.md
run "$FOLIO" --json diff --no-llm "$srcdir/samples/book.md" book2.md
cp "$out" book.json
check "two editions of a book: the JSON fits" fits book.json
check "a chapter that moved, with a paragraph that was edited as well" says \
  '"fate":"moved_and_edited","starts":"## The Bell","old":{"lines":[12,16]'
check "is one section" test "$(grep -o '"fate"' book.json | wc -l)" = 2
check "and one that was rewritten in place" says '"fate":"rewritten"'
check "under its heading" says '"heading":"The Keeper"'
check "the number" says '"before":"386","after":"390"'

# --- names and bytes are data ---
mkdir -p e1 e2
esc=$(printf 'e\033[31mx.txt')
printf 'one\n' >"e1/$esc"
printf 'two \033]0;title\007 <script>alert(1)</script> `x` |\n' >"e2/$esc"
run "$FOLIO" diff --no-llm --length full --color=always e1 e2
check "escape sequences of names and lines do not reach the terminal" \
  test -z "$(grep -e "$(printf '\033')\[31mx" -e "$(printf '\033')\]0;" "$out")"
run "$FOLIO" diff --no-llm --length full --format html e1 e2
check "HTML: no tag comes out of a file" test -z "$(grep '<script>alert' "$out")"
check "and no script is in it at all" test -z "$(grep -i '<script' "$out")"
check "nothing is loaded from elsewhere" test -z "$(grep -E '(src|href)="(http|//)' "$out")"
run "$FOLIO" diff --no-llm --length full --format md e1 e2
check "Markdown: the name is escaped" test -z "$(grep "$(printf '\033')" "$out")"
printf 'x\n' >"e2/$(printf 'b\377.txt')"
run "$FOLIO" --json diff --no-llm e1 e2
cp "$out" bytes.json
check "a name that is no UTF-8 comes in base64" says '"path_bytes"'
check "and fits the schema" fits bytes.json

# --- files and links ---
run "$FOLIO" diff --no-llm -o report.html -C r v1..v2
check "-o FILE: the ending decides" grep -q '^<!doctype html>' report.html
check "nothing on stdout" test ! -s "$out"
run "$FOLIO" diff --no-llm -o no/such/folder/x.md -C r v1..v2
check "a folder that is not there: 2" is 2
run "$FOLIO" diff --no-llm -o r/report.md -C r v1..v2
check "links are relative to the report" grep -qF '](<pkg/store.py#L1>)' r/report.md
run "$FOLIO" diff --no-llm --format md -C r v1..v2
check "or to the current folder" says '](<r/pkg/store.py#L1>)'
rev=$(git -C r rev-parse v2)
run "$FOLIO" diff --no-llm --format md --link-template 'https://example.org/{rev}/{path}#n{line}' -C r v1..v2
check "--link-template" says "(<https://example.org/$rev/pkg/store.py#n1>)"
rev=$(git -C r rev-parse v1)
check "what is gone is linked where it was" says "(<https://example.org/$rev/src/wal.c#n18>)"
run "$FOLIO" --jsonl diff --no-llm -C r v1..v2
check "--jsonl ends with the document" grep -q '^{"event":"done","schema":"folio.diff/1"' "$out"

# --- many files ---
mkdir m1 m2
awk 'BEGIN { for (i = 0; i < 300; i++) { f = "m1/f" i; for (j = 0; j < 20; j++) print i, j >f; close(f) } }'
awk 'BEGIN { for (i = 0; i < 300; i++) { f = "m2/g" i; for (j = 0; j < 20; j++) print i, (j == 7 ? "x" : j) >f; close(f) } }'
run "$FOLIO" --json diff --no-llm m1 m2
check "300 renames with edits" says '"renamed":300'

finish
