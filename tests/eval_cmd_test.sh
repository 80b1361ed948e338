#!/bin/sh
# folio eval: a run over the sources beside this file with the model of samples/model.
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
if ! command -v jq >/dev/null; then
  echo "1..0 # SKIP no jq"
  exit 0
fi
export FOLIO_MODEL="$srcdir/samples/model/folio-needle.gguf" FOLIO_THREADS=1 TMPDIR="$tmp"
# shellcheck disable=SC2317
json() { jq -e "$1" "$out" >/dev/null; }

run "$FOLIO" eval --json -q -l 6k -n 6 -t single,multikey,multiquery --attend exact,select "$srcdir/engine" "$srcdir/cache"
check "a run exits 0" is 0
check "JSON has its schema" json '.schema == "folio.eval/1" and .model == "folio-needle"'
check "the text is as long as asked" json '.lengths[0] | .wanted == 6000 and .tokens > 5700 and .tokens <= 6000'
check "all of it is encoded" json '.lengths[0] | .encoded == .tokens'
check "both ways of asking are there" json '[.lengths[0].ways[].attend] == ["exact", "select"]'
check "every planted value is found" json 'all(.lengths[0].ways[].tasks[]; .n == 6 and .right == 6)'
check "the interval is Wilson's" json '.lengths[0].ways[0].tasks[0].interval95 | (.[0] - 0.6097 | fabs) < 1e-4 and .[1] == 1'
check "nothing is left behind" sh -c "! ls '$tmp' | grep -q folio-eval"
cp "$out" "$tmp/first.json"
run "$FOLIO" eval -q -l 6k -n 6 -t single "$srcdir/engine" --keep "$tmp/kept"
check "without --json it is a table in Markdown" says '| single | 6 | 100.0 %'
check "--keep leaves text and library" test -d "$tmp/kept/6000/library" -a -f "$tmp/kept/6000/text/000000.txt"
run "$FOLIO" eval -q -l 6k -n 6 -t single "$srcdir/engine" --keep "$tmp/kept" --json
check "where the same text was kept nothing is encoded again" json '.lengths[0].encoded == 0'
run "$FOLIO" eval -t nonsense
check "an unknown task is a usage error" is 2
check "and the tasks are named" complains 'multivalue'
run "$FOLIO" eval -l 8x
check "so is a length that is none" is 2
run "$FOLIO" eval --attend most
check "a way of attending that is none" is 2
run "$FOLIO" eval --attn-temperature warm
check "and a law" is 2
run "$FOLIO" eval -t single -n 2 -l 900m "$srcdir/engine"
check "too little text: 1" is 1
check "it says what to do" complains 'name folders with more text'
"$PWD/tests/tiny_file" "$tmp/tiny.gguf" 7
run "$FOLIO" eval -m "$tmp/tiny.gguf"
check "a model that is no iRoPE model exits 12" is 12
finish
