#!/bin/sh
# What a machine can say about style: shell scripts, manual pages, length, leftovers.  `make lint`
# runs it.  clang-format only reports: its layout differs from ours in places where ours reads better.
: "${srcdir:=.}"
cd "$srcdir" || exit 2
n=0
failed=0
report() { # STATUS DESCRIPTION
  n=$((n + 1))
  if [ "$1" = 0 ]; then echo "ok $n - $2"; else
    failed=$((failed + 1))
    echo "not ok $n - $2"
  fi
}
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
sources=$(find base cache engine ingest cmd tests folio.h -name '*.[ch]' 2>/dev/null | sort)
scripts="quickstart .ci/run $(find tests -name '*.sh' | sort)"

if command -v shellcheck >/dev/null; then
  # shellcheck disable=SC2086
  shellcheck -x -e SC1091,SC2013 $scripts
  report $? "shell scripts are clean"
else
  skip "shell scripts are clean" "no shellcheck"
fi
if command -v mandoc >/dev/null; then
  out=$(mandoc -Tlint -Wwarning man/*.[0-9])
  test -z "$out"
  report $? "manual pages are clean"
  test -z "$out" || echo "$out" | sed 's/^/# /'
else
  skip "manual pages are clean" "no mandoc"
fi
# A tab goes to the next multiple of 8, a character in another script counts once.  We aim at 100
# columns and say how many lines are over; a table or a sentence of a test often reads better when
# it is not broken, so only what is far beyond fails.
# shellcheck disable=SC2086
over() {
  for f in $sources; do
    expand "$f" | LC_ALL=C.UTF-8 sed 's/[^ -~]/x/g' |
      awk -v f="$f" -v n="$1" 'length > n { print f ":" NR }'
  done
}
out=$(over 140 | grep -v '^tests/.*_text.h:')
test -z "$out"
report $? "no line of C is far over 100 columns"
test -z "$out" || echo "$out" | sed 's/^/# /'
echo "# $(over 100 | wc -l) lines are over 100 columns"
# shellcheck disable=SC2086
out=$(wc -l $sources | awk '$2 != "total" && $1 > 1000')
test -z "$out"
report $? "no file is over 1,000 lines"
test -z "$out" || echo "$out" | sed 's/^/# /'
# shellcheck disable=SC2086
out=$(grep -nE '[ 	]+$' $sources)
test -z "$out"
report $? "no line ends in spaces"
test -z "$out" || echo "$out" | sed 's/^/# /'
if command -v clang-format >/dev/null; then
  # shellcheck disable=SC2086
  echo "# clang-format would change $(clang-format --dry-run $sources 2>&1 | grep -c warning) places"
fi
echo "1..$n"
test "$failed" = 0
