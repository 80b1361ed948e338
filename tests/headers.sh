#!/bin/sh
# Proves that every header folio.h leads to is installed with it: named in Makefile.am's list.
: "${srcdir:=.}"
cd "$srcdir" || exit 99
seen=folio.h
todo=folio.h
while [ -n "$todo" ]; do
  next=
  for h in $todo; do
    for inc in $(sed -n 's/^#[ ]*include "\([a-z0-9_]*\/[a-z0-9_]*\.h\)".*/\1/p' "$h"); do
      case " $seen " in
      *" $inc "*) ;;
      *) seen="$seen $inc" next="$next $inc" ;;
      esac
    done
  done
  todo=$next
done
installed=$(sed -n '/^nobase_pkginclude_HEADERS/,/[^\\]$/p' Makefile.am | tr '\\\n\t' '   ')
missing=
for h in $seen; do
  case " $installed " in *" $h "*) ;; *) missing="$missing $h" ;; esac
done
[ -z "$missing" ] && echo "ok 1 - every header of folio.h is installed" ||
  echo "not ok 1 - every header of folio.h is installed: not$missing"
echo "1..1"
