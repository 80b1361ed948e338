#!/bin/sh
# Writes library1.tar.gz and library1.txt beside this script: make_library1.sh BUILD/tests/library1_test
# Version 1 exists once; this is how it was made.
set -e
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$1" make "$tmp/library1" >"$here/library1.txt"
rm -f "$tmp"/library1/lock/*
tar -C "$tmp" --sort=name --owner=0 --group=0 --numeric-owner -cf - library1 | gzip -9n >"$here/library1.tar.gz"
