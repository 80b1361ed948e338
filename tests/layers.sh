#!/bin/sh
# Proves the arrows of the layer drawing in README.md: a folder includes itself and what stands
# before it in this order, nothing else; and only cmd/ prints or exits.
order="base cache engine ingest cmd"
: "${srcdir:=.}"
n=0
report() { n=$((n + 1)); [ "$1" = 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"; }

bad=0 seen=
for layer in $order; do
  seen="$seen $layer"
  for inc in $(sed -n 's/^#[ ]*include "\([a-z]*\)\/.*/\1/p' "$srcdir/$layer"/*.[ch] | sort -u); do
    case " $seen " in *" $inc "*) ;; *) echo "# $layer includes $inc"; bad=1 ;; esac
  done
done
report $bad "includes only point down"

bad=0
for layer in base cache engine ingest; do
  if grep -nE '(^|[^a-z_n])(printf|puts|putchar|perror)\(|fprintf\(std(out|err)|[^a-z_]exit\(' \
      "$srcdir/$layer"/*.c | grep -v '_exit(' | sed 's/^/# /' | grep .; then bad=1; fi
done
report $bad "library code never prints and never exits"
echo "1..$n"
