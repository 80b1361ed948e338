#!/bin/sh
# The stages of `folio ingest --text-only` over a folder: CSV.  text.sh FOLIO SOURCE
#   text     reading, extraction, text, line maps, words index: then the library can be asked
#   trigram  the index for search, behind it
#   symbols  ctags over the source files, behind it
#   first    the whole command; again: the same command when nothing changed
# mb_s is by the clock, mb_cpu_s by processor time: of all threads and children, so a stage on two
# processors can be faster by the clock.  On a machine that others use only processor time counts.
folio=$1
source=$2
[ -d "$source" ] || { echo "usage: $0 FOLIO SOURCE" >&2; exit 2; }
lib=$(mktemp -d "${TMPDIR:-/tmp}/folio-bench.XXXXXX") || exit 1
trap 'rm -rf "$lib"' EXIT
field() { sed "s/.*$1\([0-9.e+-]*\).*/\1/" "$lib/out"; }
echo "run,files,bytes,wall_s,mb_s,cpu_s,mb_cpu_s,max_rss_kb"
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
  files=$(field '"files":{"total":')
  for stage in text trigram symbols; do
    [ $run = first ] || continue
    echo "$stage,$files,$(field "\"stage\":\"$stage\",\"bytes\":"),$(field "\"stage\":\"$stage\",\"bytes\":[0-9]*,\"seconds\":"),$(
      field "\"stage\":\"$stage\",[^}]*\"cpu_seconds\":")" |
      awk -F, '{ printf "%s,%s,%s,%.2f,%.1f,%.2f,%.1f,\n", $1, $2, $3, $4, $4 ? $3 / $4 / 1e6 : 0, $5,
        $5 ? $3 / $5 / 1e6 : 0 }'
  done
  tail -n 1 "$lib/time" | awk -v r="$run" -v f="$files" -v b="$(field '"bytes":\([0-9]*\),"seconds":[0-9.e+-]*,"stages')" \
    -v s="$start" -v e="$end" '{ printf "%s,%s,%s,%.2f,,%.2f,,%s\n", r, f, b, e - s, $1 + $2, $3 }'
done
