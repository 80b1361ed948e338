#!/bin/sh
# folio tokenize, with a tokenizer of 256 bytes and one merge in the format of Llama 4's own file.
. "${srcdir:-.}/tests/tap.sh"
i=0
while [ $i -lt 256 ]; do
  # shellcheck disable=SC2059
  printf '%s %d\n' "$(printf "\\$(printf %03o $i)" | base64)" $i
  i=$((i + 1))
done >"$tmp/tok"
echo "YWI= 256" >>"$tmp/tok"

run "$FOLIO" tokenize -m "$tmp/tok" 'abba'
check "a text becomes ids on one line" test "$(cat "$out")" = "256 98 97"
run "$FOLIO" tokenize -m "$tmp/tok" ''
check "an empty text an empty line" test "$(cat "$out")" = ""
run "$FOLIO" tokenize -m "$tmp/tok" '<|end_of_text|>'
check "a special token is plain text" sh -c "! grep -qw 258 '$out'"
run "$FOLIO" tokenize -m "$tmp/tok" --special --bos 'a<|end_of_text|>'
check "unless --special says otherwise; --bos is first" test "$(cat "$out")" = "257 97 258"
printf 'a\377\000b' | "$FOLIO" tokenize -m "$tmp/tok" - >"$out"
check "any bytes come from standard input" test "$(cat "$out")" = "97 255 0 98"
run "$FOLIO" tokenize -m "$tmp/tok" --json 'ab'
check "--json has the pieces" says '"ids":[256],"pieces":["ab"]'
run "$FOLIO" tokenize 'ab'
check "without a model it exits 12" is 12
check "and says how to get one" complains "folio model get"
printf 'YWI= x\n' >"$tmp/bad"
run "$FOLIO" tokenize -m "$tmp/bad" ab
check "a broken tokenizer file exits 12" is 12
finish
