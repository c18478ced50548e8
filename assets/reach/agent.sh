# Listens and tries paths for the preflight of mosip-setup: POSIX sh, leaves nothing behind.
# Set before it: marker, address, life (seconds), wanted (ports, as t443,u8472), low (1: some are below 1024), python, perl (programs).

LC_ALL=C
export LC_ALL
PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

put() { printf '%s %s=%s\n' "$marker" "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

try_with_nc() { # ID KIND ADDRESS PORT SECONDS
  case $2 in
  u) put path "$1 untried nc cannot try UDP" ;;
  m) put path "$1 untried nc cannot measure packets" ;;
  *)
    begun=$(date +%s)
    if nc -z -w "$5" "$3" "$4" >/dev/null 2>&1 </dev/null; then
      put path "$1 open 0"
    elif [ $(($(date +%s) - begun)) -ge "$5" ]; then
      put path "$1 silent"
    else
      put path "$1 refused"
    fi
    ;;
  esac
}

with_nc() {
  # nc of different origins listen in different ways, and none echoes: what it cannot prove is said to be unknown.
  put tool nc
  put ready 1
  (
    sleep "$life" &
    clock=$!
    trap 'kill "$clock"' TERM
    wait "$clock" && kill "$$"
  ) >/dev/null 2>&1 </dev/null &
  guard=$!
  while IFS= read -r line; do
    # shellcheck disable=SC2086
    set -- $line
    if [ "${1:-}" != go ]; then continue; fi
    patience=$2
    shift 2
    tries=""
    for word in "$@"; do
      old=$IFS
      IFS=:
      # shellcheck disable=SC2086
      set -- $word
      IFS=$old
      try_with_nc "$1" "$2" "$3" "$4" "$patience" &
      tries="$tries $!"
    done
    # shellcheck disable=SC2086
    wait $tries
    put paths "done"
  done
  kill "$guard" 2>/dev/null
}

reach() {
  if [ "$low" = 1 ] && [ "$(id -u)" != 0 ] && have sudo && sudo -n true >/dev/null 2>&1 </dev/null; then as="sudo -n"; else as=""; fi
  # A program that is there and does not run gives way to the next one.
  for candidate in /usr/bin/python3 python3; do
    if have "$candidate"; then
      put tool python3
      $as "$candidate" -I -S -c "$python" "$marker" "$address" "$life" "$wanted" 2>/dev/null && return
    fi
  done
  if have perl; then
    put tool perl
    $as perl -e "$perl" "$marker" "$address" "$life" "$wanted" 2>/dev/null && return
  fi
  if have nc; then
    with_nc
    return
  fi
  put tool none
  put ready 1
}

echo
reach
# Whatever else may come on stdin, nothing waits for it.
exit 0
