#!/bin/sh
# The text stage of `folio ingest` over a folder: CSV.  text.sh FOLIO SOURCE
#   first   reading, extraction, symbols, text, line maps, words; then the trigram index
#   again   the same command when nothing changed
# Processor time counts on a machine that others use; wall time on a quiet one.
folio=$1
source=$2
[ -d "$source" ] || { echo "usage: $0 FOLIO SOURCE" >&2; exit 2; }
lib=$(mktemp -d "${TMPDIR:-/tmp}/folio-bench.XXXXXX") || exit 1
trap 'rm -rf "$lib"' EXIT
echo "run,files,bytes,text_stage_s,wall_s,cpu_s,max_rss_kb"
for run in first again; do
  start=$(date +%s.%N)
  if [ -x /usr/bin/time ]; then
    /usr/bin/time -o "$lib/time" -f "%U %S %M" "$folio" -q -L "$lib/l" ingest --text-only --json "$source" >"$lib/out"
  else
    "$folio" -q -L "$lib/l" ingest --text-only --json "$source" >"$lib/out"
    echo "0 0 0" >"$lib/time"
  fi
  rc=$?
  [ "$rc" = 0 ] || [ "$rc" = 3 ] || exit "$rc"
  end=$(date +%s.%N)
  files=$(sed 's/.*"files":{"total":\([0-9]*\).*/\1/' "$lib/out")
  bytes=$(sed 's/.*"bytes":\([0-9]*\),"seconds".*/\1/' "$lib/out")
  text=$(sed 's/.*"bytes":[0-9]*,"seconds":\([0-9.e-]*\).*/\1/' "$lib/out")
  tail -n 1 "$lib/time" | awk -v r="$run" -v f="$files" -v b="$bytes" -v t="$text" -v s="$start" -v e="$end" \
    '{ printf "%s,%s,%s,%.2f,%.2f,%.2f,%s\n", r, f, b, t, e - s, $1 + $2, $3 }'
done
