#!/bin/sh
# Every number of `folio diff` against git's, over random repositories: files, lines, renames, modes.
# DIFF_SEEDS=N tries N of them.
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
if ! command -v jq >/dev/null || ! command -v git >/dev/null; then
  skip "numbers are those of git" "no jq or no git"
  finish
fi
cd "$tmp" || exit 99
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null

# make_files SEED: some thirty files of lines that repeat
make_files() {
  awk -v seed="$1" 'BEGIN {
    srand(seed)
    n = 12 + int(rand() * 24)
    for (i = 0; i < n; i++) {
      dir = substr("abc", 1 + int(rand() * 3), 1)
      name = dir "/" (rand() < .3 ? "same" int(rand() * 4) : "f" i) (rand() < .5 ? ".c" : ".txt")
      system("mkdir -p " dir)
      lines = rand() < .1 ? 0 : int(rand() * 70)
      printf "" > name
      for (l = 0; l < lines; l++) {
        s = ""
        for (w = int(rand() * 9); w >= 0; w--) s = s " w" int(rand() * 40)
        end = rand() < .04 ? "\r\n" : l == lines - 1 && rand() < .3 ? "" : "\n"
        printf "%s%s", s, end > name
      }
      close(name)
    }
  }'
}

# change_files SEED: edit, delete, rename, copy over, chmod, make binary
change_files() {
  find . -name .git -prune -o -type f -print | sort >../list
  awk -v seed="$1" 'BEGIN { srand(seed) } {
    f = $0; r = rand()
    edit = "awk -v s=" int(rand() * 1e6) " -v p=" (rand() < .5 ? .05 : .4) \
      " \047BEGIN { srand(s) } rand() < p { if (rand() < .5) next; print \"new \" int(rand() * 30) } { print }\047 " \
      f " > x.tmp && cat x.tmp > " f " && rm x.tmp"
    to = substr("abcd", 1 + int(rand() * 4), 1) "/" (rand() < .4 ? gensub_name(f) : "n" NR ".c")
    dir = substr(to, 1, 1)
    if (r < .25) print edit
    else if (r < .35) print "rm " f
    else if (r < .48) print "mkdir -p " dir "; mv -n " f " " to
    else if (r < .65) print edit "; mkdir -p " dir "; mv -n " f " " to
    else if (r < .70) print "chmod +x " f
    else if (r < .74) print "printf \"a\\000b" NR "\" > " f
    else if (r < .78) print "rm " f "; ln -s target" NR " " f
    else if (r < .82) print "mkdir -p " dir "; cp " f " " to
  }
  function gensub_name(p) { sub(/.*\//, "", p); return p }' ../list >../change.sh
  sh ../change.sh 2>/dev/null
}

git_numbers() { # ARGUMENT...: insertions, deletions, old and new path, a line each
  git diff --numstat -M -z "$@" | tr '\0' '\n' |
    awk -F'\t' 'left == 2 { old = $0; left = 1; next } left == 1 { print n "\t" old "\t" $0; left = 0; next }
      { n = $1 "\t" $2; if ($3 == "") left = 2; else print n "\t" $3 "\t" $3 }' | sort
}

git_status() { # status letter and new path
  git diff --name-status -M -z "$@" | tr '\0' '\n' |
    awk 'left == 2 { left = 1; next } left == 1 { print s "\t" $0; left = 0; next }
      s == "" || left == 0 && !want { s = substr($0, 1, 1); if (s == "R") left = 2; else want = 1; next }
      want { print s "\t" $0; want = 0; next }' | sort
}

folio_numbers() {
  jq -r '.files[] | [(if .binary then "-" else .insertions end), (if .binary then "-" else .deletions end),
    (.old_path // .path), .path] | @tsv' "$1" | sort
}

folio_status() {
  jq -r '.files[] | [({modified: "M", added: "A", deleted: "D", renamed: "R", type_changed: "T"}[.status]), .path] | @tsv' \
    "$1" | sort
}

compare() { # WHAT JSON GIT-ARGUMENT...
  what=$1
  json=$2
  shift 2
  git_numbers "$@" >"$tmp/want"
  folio_numbers "$json" >"$tmp/got"
  if cmp -s "$tmp/want" "$tmp/got"; then rc=0; else
    rc=1
    diff "$tmp/want" "$tmp/got" >"$err"
  fi
  [ "$rc" = 0 ] || { report 1 "$what: the numbers of git"; return 1; }
  git_status "$@" >"$tmp/want"
  folio_status "$json" >"$tmp/got"
  cmp -s "$tmp/want" "$tmp/got" || { diff "$tmp/want" "$tmp/got" >"$err"; report 1 "$what: the status of git"; return 1; }
}

seeds=${DIFF_SEEDS:-6}
seed=1
bad=0
renames=0
while [ "$seed" -le "$seeds" ]; do
  rm -rf r && mkdir r && cd r || exit 99
  git init -q .
  make_files "$seed"
  git add -A && git commit -qm one
  git tag one
  change_files "$((seed + 1000))"
  git add -A
  "$FOLIO" --json diff --no-llm one worktree >../w.json 2>"$err" || bad=1
  compare "seed $seed, worktree" ../w.json one || bad=1
  git commit -qm two --allow-empty
  git update-index --add --cacheinfo "160000,$(git rev-parse one),sub" && git commit -qm three
  "$FOLIO" --json diff --no-llm one..HEAD >../c.json 2>"$err" || bad=1
  compare "seed $seed, commits" ../c.json one HEAD || bad=1
  want=$(git diff --shortstat -M one HEAD)
  got=$("$FOLIO" diff --no-llm --no-pager --length short one..HEAD | sed -n 2p | sed 's/;.*//')
  [ "$want" = " $got" ] || { rc=1; echo "$want /$got" >"$err"; report 1 "seed $seed: the line of --shortstat"; bad=1; }
  renames=$((renames + $(jq .stat.renamed ../c.json)))
  # The same two trees as folders give the same numbers, by another way.
  rm -rf ../one ../two && mkdir ../one ../two
  git archive one | tar xf - -C ../one
  git archive HEAD | tar xf - -C ../two
  rmdir ../two/sub
  "$FOLIO" --json diff --no-llm ../one ../two >../d.json 2>"$err" || bad=1
  jq -S '[.files[] | select(.path != "sub") | {path, old_path, status, insertions, deletions, binary}]' ../c.json >../want
  jq -S '[.files[] | {path, old_path, status, insertions, deletions, binary}]' ../d.json >../got
  cmp -s ../want ../got || { rc=1; diff ../want ../got >"$err"; report 1 "seed $seed: folders as commits"; bad=1; }
  cd .. || exit 99
  seed=$((seed + 1))
done
rc=$bad
check "$seeds random repositories: numbers, status, renames as git says" test "$bad" = 0
check "with renames among them" test "$renames" -gt 5

finish
