#!/bin/sh
# Ten million tokens of real text under far attention: ten_million.sh FOLIO FAR_BENCH MODEL DIR [TOKENS]
#
# The text is what this machine has installed: sources, headers, scripts and documentation, in order of
# path, as many bytes as TOKENS (default 10000000) take in MODEL's tokens.  100 of the files come a second
# time with a line "NAME = 123456" planted in their middle; the questions are "NAME =".  Everything is
# written under DIR and stays there: the list, the library, the questions, and raw.csv with every figure.
#
# Prints what,tokens,variant,value,unit,note (tests/far_bench.c says what is inside each figure).
folio=$1 bench=$2 model=$3 dir=$4 tokens=${5:-10000000}
if [ ! -x "$folio" ] || [ ! -x "$bench" ] || [ ! -f "$model" ] || [ -z "$dir" ]; then
  echo "usage: $0 FOLIO FAR_BENCH MODEL DIR [TOKENS]" >&2
  exit 2
fi
mkdir -p "$dir/needles" || exit 1
export LC_ALL=C
lib=$dir/library

# ---- which text ----
find /usr/include /usr/lib/gcc /usr/lib/llvm-* /usr/lib/python3* /usr/share -xdev -type f -size -400k \
  \( -name '*.h' -o -name '*.hpp' -o -name '*.py' -o -name '*.pm' -o -name '*.pl' -o -name '*.txt' -o -name '*.rst' \
  -o -name '*.md' -o -name '*.vim' -o -name '*.el' -o -name '*.m4' -o -name '*.js' \) -printf '%s %p\n' 2>/dev/null |
  sort -k 2 -u >"$dir/all"
# Bytes a token, from every 50th file.
awk 'NR % 50 == 1 { sub(/^[0-9]+ /, ""); print }' "$dir/all" | head -n 200 | xargs -d '\n' cat >"$dir/sample"
n=$("$folio" tokenize -m "$model" --ids - <"$dir/sample" | wc -w)
bytes=$(wc -c <"$dir/sample")
want=$(awk -v t="$tokens" -v b="$bytes" -v n="$n" 'BEGIN { printf "%.0f", t * b / n * 1.12 }')
# Files all over the list, not its beginning alone: every k-th, so that kinds of text mix.
all=$(awk '{ s += $1 } END { printf "%.0f", s }' "$dir/all")
awk -v want="$want" -v all="$all" 'BEGIN { step = all / want; if (step < 1) step = 1 }
  { if (++i >= next_one) { next_one += step; s += $1; sub(/^[0-9]+ /, ""); print } } s >= want { exit }' \
  "$dir/all" >"$dir/list"
rm -f "$dir/sample"

# ---- needles ----
: >"$dir/questions.tsv"
awk -v n="$(wc -l <"$dir/list")" 'BEGIN { step = n / 100; if (step < 1) step = 1 } NR > k { k += step; print }' "$dir/list" |
  head -n 100 | {
  i=0
  while read -r file; do
    i=$((i + 1))
    name=$(awk -v i=$i 'BEGIN { srand(i); split("amber basin cedar delta ember fjord grove heron inlet jetty", w, " ");
      printf "%s_%s_%d", w[int(rand() * 10) + 1], w[int(rand() * 10) + 1], 100 + int(rand() * 900) }')
    value=$(awk -v i=$i 'BEGIN { srand(1000 + i); printf "%06d", 100000 + int(rand() * 900000) }')
    awk -v line="$name = $value" -v at="$(($(wc -l <"$file") / 2))" 'NR == at + 1 { print line } { print }' "$file" \
      >"$dir/needles/$i.txt"
    printf '%s =\t %s\n' "$name" "$value" >>"$dir/questions.tsv"
  done
}
ls "$dir"/needles/*.txt >>"$dir/list"

{
  echo "what,tokens,variant,value,unit,note"
  # ---- ingest ----
  if [ ! -d "$lib" ]; then
    start=$(date +%s.%N)
    /usr/bin/time -o "$dir/time" -f "%U %S %M" "$folio" -q -L "$lib" -m "$model" ingest --name corpus --no-ignore --json \
      --files-from "$dir/list" >"$dir/ingest.json"
    rc=$?
    [ "$rc" = 0 ] || [ "$rc" = 3 ] || exit "$rc"
    end=$(date +%s.%N)
    total=$(sed 's/.*"tokens":{"total":\([0-9]*\).*/\1/' "$dir/ingest.json")
    tail -n 1 "$dir/time" | awk -v n="$total" -v s="$start" -v e="$end" '{
      printf "ingest,%d,wall,%.1f,s,text and pages\ningest,%d,wall,%.0f,tokens/s,\n", n, e - s, n, n / (e - s)
      printf "ingest,%d,processor,%.0f,tokens/s,per processor second\ningest,%d,rss,%.0f,MB,at most\n", n, n / ($1 + $2), n, $3 / 1000 }'
    du -sb "$lib" | awk -v n="$total" '{ printf "library,%d,all,%.4g,GB,on disk\nlibrary,%d,all,%.1f,B,a token\n", n, $1 / 1e9, n, $1 / n }'
  fi
  "$bench" "$model" "$lib" speed
  "$bench" "$model" "$lib" cold
  if command -v fio >/dev/null; then
    for f in "$lib"/segments/*.kv; do
      fio --name=seq --readonly --filename="$f" --rw=read --bs=1M --direct=1 --ioengine=io_uring --iodepth=16 \
        --output-format=terse 2>/dev/null | awk -F ';' -v f="${f##*/}" '{ printf "fio,0,%s,%.1f,MB/s,sequential 1 MiB; O_DIRECT\n", f, $7 * 1.024 / 1000 }'
    done
  fi
  [ -z "$RECALL" ] || "$bench" "$model" "$lib" recall "$dir/questions.tsv"
} | tee "$dir/raw.csv"
