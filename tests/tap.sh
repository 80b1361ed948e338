# shellcheck shell=sh
# TAP for tests of commands: source this, then `check "what is true" COMMAND...`, end with `finish`.
# The program is $FOLIO (./folio in the build folder by default); $tmp is a fresh folder, HOME and the
# XDG folders lie in it, so no test sees the user's own.
: "${FOLIO:=$PWD/folio}"
: "${srcdir:=.}"
srcdir=$(cd "$srcdir" && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/folio-test.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
unset FOLIO_LIBRARY FOLIO_MODEL FOLIO_THREADS FOLIO_KERNELS FOLIO_COLOR FOLIO_PROGRESS FOLIO_CONFIG
unset NO_COLOR CLICOLOR_FORCE PAGER FOLIO_PAGER
export HOME="$tmp/home" XDG_DATA_HOME="$tmp/data" XDG_CONFIG_HOME="$tmp/config" LC_ALL=C.UTF-8
mkdir -p "$HOME"
tap_n=0
tap_failed=0

# run COMMAND...: its output in $out and $err (files), its status in $rc
out=$tmp/.out
err=$tmp/.err
rc=0
run() {
  rc=0
  "$@" >"$out" 2>"$err" </dev/null || rc=$?
}

report() { # STATUS DESCRIPTION
  tap_n=$((tap_n + 1))
  if [ "$1" = 0 ]; then
    echo "ok $tap_n - $2"
  else
    tap_failed=$((tap_failed + 1))
    echo "not ok $tap_n - $2"
    echo "# exit status $rc"
    [ -f "$out" ] && sed 's/^/# out: /' "$out" | head -n 15
    [ -f "$err" ] && sed 's/^/# err: /' "$err" | head -n 15
  fi
}

check() { # DESCRIPTION COMMAND...: true when the command succeeds
  tap_what=$1
  shift
  if "$@" >/dev/null 2>&1; then report 0 "$tap_what"; else report 1 "$tap_what"; fi
}

# is STATUS / says TEXT / complains TEXT: about the last run
is() { [ "$rc" = "$1" ]; }
says() { grep -qF -- "$1" "$out"; }
complains() { grep -qF -- "$1" "$err"; }
silent() { [ ! -s "$err" ]; }

skip() { # DESCRIPTION WHY
  tap_n=$((tap_n + 1))
  echo "ok $tap_n - $1 # SKIP $2"
}

finish() {
  echo "1..$tap_n"
  [ "$tap_failed" = 0 ]
  exit
}
