#!/bin/sh
# verify, repair, forget, prune, stats: what a person sees, what a script relies on.
# shellcheck source=tests/tap.sh
. "${srcdir:-.}/tests/tap.sh"
cd "$tmp" || exit 99
mkdir p
printf 'one needle\ntwo\n' >p/a.txt
printf 'three\nfour\n' >p/b.txt
cd p || exit 99

run "$FOLIO" verify
check "without a library verify exits 10" is 10
"$FOLIO" init >/dev/null
run "$FOLIO" ingest .
check "a library of two files" is 0
run "$FOLIO" verify
check "a new library is whole" is 0
check "and the words say that data was not read" says "--read-data"
run "$FOLIO" verify --read-data --json
check "reading everything finds nothing" is 0
check "in JSON as well" says '"schema":"folio.verify/1","damaged":[],"checked_bytes":'
run "$FOLIO" verify --read-data=50%
check "a share is read" is 0
run "$FOLIO" verify --read-data=5
check "a share without % is a usage error" is 2

run "$FOLIO" stats
check "stats exits 0" is 0
check "and counts texts" says "texts      2"
run "$FOLIO" stats --json
check "stats --json has its schema" says '"schema":"folio.stats/1"'

rm b.txt
run "$FOLIO" ingest .
run "$FOLIO" forget --dry-run
check "forget --dry-run counts" says "1 snapshots would be forgotten"
run "$FOLIO" forget
check "forget removes the old snapshot" says "1 snapshots forgotten"
run "$FOLIO" forget nowhere
check "a source that is none exits 1" is 1
run "$FOLIO" prune --dry-run --json
check "prune --dry-run counts" says '"documents":1'
run "$FOLIO" prune
check "prune removes its text" says "1 texts"
run "$FOLIO" search three
check "which is found no more" is 1
run "$FOLIO" search needle
check "while the other one is" is 0

# Rot: one byte in the middle of each page of the catalog in turn.
cp -R .folio ../good
n=$(($(wc -c <.folio/catalog.sqlite) / 8192))
page=0 unseen=0 broken=0
while [ $page -lt $n ]; do
	printf '\245' | dd of=.folio/catalog.sqlite bs=1 seek=$((page * 8192 + 4000)) conv=notrunc 2>/dev/null
	"$FOLIO" verify >/dev/null 2>&1
	[ $? = 13 ] || unseen=$((unseen + 1))
	"$FOLIO" repair >"$out" 2>&1
	case $? in 0 | 13) ;; *) broken=$((broken + 1)) ;; esac
	"$FOLIO" verify --read-data >"$out" 2>&1 || broken=$((broken + 1))
	rm -rf .folio
	cp -R ../good .folio
	page=$((page + 7))
done
check "rot in every seventh page of the catalog is found, exit 13" test $unseen = 0
check "and mended" test $broken = 0
finish
