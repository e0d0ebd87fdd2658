#!/usr/bin/env bash
# Makes the Python environment of the proofs once, and prints the path of its Python.
# Where Python or its packages are not to be had, it prints "SKIPPED: reason" to stderr and exits 3.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora"
requirements="$root/Scripts/requirements.txt"

skip() {
  echo "SKIPPED: $1" >&2
  exit 3
}

python=""
for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
  if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || skip "no Python 3.11 or newer with venv (apt-get install python3-venv)"

venv="$cache/venv-$(sha256sum "$requirements" | cut -c1-12)"
if [ ! -f "$venv/.complete" ]; then
  mkdir -p "$cache"
  log="$venv.log"
  echo "installing Python packages into $venv (once; log: $log)" >&2
  "$python" -m venv --clear "$venv" >"$log" 2>&1 || skip "cannot make a venv: $(tail -n 1 "$log")"
  installed=no
  for attempt in 1 2 3; do
    if "$venv/bin/python" -m pip install --quiet --retries 5 -r "$requirements" >>"$log" 2>&1; then
      installed=yes
      break
    fi
    echo "attempt $attempt failed: $(tail -n 1 "$log")" >&2
    sleep $((attempt * 5))
  done
  [ "$installed" = yes ] || skip "Python packages cannot be installed: $(grep -i 'error' "$log" | tail -n 1)"
  touch "$venv/.complete"
fi
echo "$venv/bin/python"
