#!/bin/sh
# The manners of the command line: help, mistakes, configuration, streams, signals.
. "${srcdir:-.}/tests/tap.sh"

run "$FOLIO" --version
check "--version prints one line and exits 0" is 0
check "--version names the program" says "folio 0."

run "$FOLIO"
check "no command at all is a usage error" is 2
check "and the overview goes to stderr" complains "Usage: folio"

run "$FOLIO" help
check "help exits 0" is 0
check "help lists commands" says "doctor"
run "$FOLIO" --help
check "--help is the same as help" says "doctor"
run "$FOLIO" help config
check "help of a group lists its commands" says "config list"
run "$FOLIO" config set -h
check "-h after a command explains it" says "--unset"
check "help goes to stdout" silent

run "$FOLIO" doctr
check "a mistyped command exits 2" is 2
check "and gets did you mean" complains "did you mean 'folio doctor'?"
run "$FOLIO" config lst
check "a mistyped command of a group too" complains "did you mean 'folio config list'?"
run "$FOLIO" doctor --jsn
check "a mistyped option gets did you mean" complains "did you mean '--json'?"
run "$FOLIO" doctor -Z
check "an unknown letter is named" complains "unknown option '-Z'"
run "$FOLIO" --kernels ref doctor
check "doctor says which kernels are used" says "ref is used"
run "$FOLIO" --kernels avx3 doctor
check "an unknown kernel set is refused" is 2
run "$FOLIO" -j x doctor
check "a number that is none is refused with the option" complains "-j wants a whole number, not 'x'"
run "$FOLIO" --color=mauve doctor
check "a word that is none is refused with the choice" complains "auto|always|never"
run "$FOLIO" doctor extra
check "an operand too many is refused" complains "'extra'"
run "$FOLIO" config get
check "an operand too few is refused" complains "wants KEY"
run "$FOLIO" doctor --json=yes
check "a flag with a value is refused" complains "takes no value"
run env FOLIO_THREADS=many "$FOLIO" doctor
check "a bad environment variable is named" complains "FOLIO_THREADS wants"

run "$FOLIO" --json doctr
check "with --json an error is on stdout" says '"schema":"folio.error/1"'
check "with its exit code" says '"code":2'
check "and nothing on stderr" silent
run "$FOLIO" doctor --jsonl --nonsense
check "with --jsonl it is an event" says '"event":"error"'

# --- configuration ---
run "$FOLIO" config get core.threads
check "a key that is not set exits 1" is 1
run "$FOLIO" config set core.threads 3
check "config set exits 0" is 0
check "and writes the user's file" test -f "$XDG_CONFIG_HOME/folio/config"
run "$FOLIO" config get core.threads
check "config get reads it back" says 3
run "$FOLIO" config list --show-origin
check "config list says where a value comes from" says "$XDG_CONFIG_HOME/folio/config"
check "and what is built in" says "built in"
run env FOLIO_THREADS=7 "$FOLIO" config get core.threads
check "the environment beats the file" says 7
run "$FOLIO" --no-config config get core.threads
check "--no-config reads no file" is 1
printf '[core]\n\tthreads = 9\n' >"$tmp/other"
run "$FOLIO" --config "$tmp/other" config get core.threads
check "--config reads another file" says 9
run "$FOLIO" --config "$tmp/none" config list
check "--config of a missing file is an error" is 2
run "$FOLIO" config set core.threds 3
check "an unknown key gets did you mean" complains "did you mean 'core.threads'?"
run "$FOLIO" config set core.threads lots
check "a value the option would refuse is refused" complains "core.threads wants a whole number"
run "$FOLIO" config set --unset core.threads
check "config set --unset removes a key" is 0
run "$FOLIO" config get core.threads
check "and it is gone" is 1
printf '[core\n' >"$tmp/bad"
run "$FOLIO" --config "$tmp/bad" doctor
check "a broken file is an error that names it" complains "$tmp/bad"
check "and says how to go on" complains "--no-config"

# --- doctor ---
run "$FOLIO" doctor
check "doctor exits 0 here" is 0
check "doctor talks about io_uring" says io_uring
run "$FOLIO" doctor --json
check "doctor --json has a schema" says '"schema":"folio.doctor/1"'
if command -v jq >/dev/null; then
  check "and is one JSON document" jq -e '.libraries | length > 5' "$out"
else
  skip "and is one JSON document" "no jq"
fi

# --- colour ---
run "$FOLIO" help
check "no escapes in a pipe" sh -c "! grep -q '$(printf '\033')' '$out'"
run "$FOLIO" --color=always help
check "--color=always forces them" grep -q "$(printf '\033')" "$out"
run env CLICOLOR_FORCE=1 "$FOLIO" help
check "CLICOLOR_FORCE does too" grep -q "$(printf '\033')" "$out"
run env CLICOLOR_FORCE=1 NO_COLOR=1 "$FOLIO" help
check "NO_COLOR wins over it" sh -c "! grep -q '$(printf '\033')' '$out'"
run env COLUMNS=40 "$FOLIO" help
check "40 columns are kept" sh -c "awk 'length > 40 && !/Usage/ { bad = 1 } END { exit bad }' '$out'"

# --- streams ---
rc=$( { "$FOLIO" help; echo $? >&3; } 3>&1 >/dev/full 2>"$err")
check "a full disk under stdout exits 2" is 2
check "and says so" complains "No space left on device"
"$FOLIO" completion bash 2>"$err" | head -n 1 >/dev/null
check "a closed pipe ends quietly" silent

# --- completions ---
for shell in bash zsh fish; do
  run "$FOLIO" completion $shell
  check "completion $shell exits 0" is 0
  if command -v $shell >/dev/null; then
    check "and $shell can read it" $shell -n "$out"
  else
    skip "and $shell can read it" "no $shell"
  fi
done
run "$FOLIO" completion tcsh
check "another shell is refused" is 2
offers() { # WORDS...: what bash offers for the last one
  # shellcheck disable=SC2317
  FOLIO=$FOLIO bash -c 'source <("$FOLIO" completion bash); COMP_WORDS=(folio "$@")
    COMP_CWORD=$#; _folio; printf "%s\n" "${COMPREPLY[@]}"' offers "$@"
}
if command -v bash >/dev/null; then
  run offers doc
  check "bash completes a command" says doctor
  run offers config ''
  check "bash completes a command of a group" says list
  run offers doctor --js
  check "bash completes a long option" says --jsonl
  run offers doctor --color ''
  check "bash completes a value" says always
  run offers doctor --color = al
  check "bash completes a value after =" says always
  run offers -L /x config s
  check "bash steps over an option's value" says set
  run offers completion ''
  check "bash completes an operand" says fish
else
  skip "bash completes" "no bash"
fi

finish
