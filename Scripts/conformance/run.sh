#!/usr/bin/env bash
# Runs the proof that adapters pass between `lora` and Python's peft, in a venv of its own.
#   Scripts/conformance/run.sh [MODEL.gguf [LORA_BINARY]]
# Defaults: LORA_DEMO_MODEL or the cache folder of `make demo`, and .build/release/lora.
# Where Python or its packages are not to be had, it prints "SKIPPED: reason" and exits 0.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora"
model="${1:-${LORA_DEMO_MODEL:-$HOME/.cache/swift-lora/SmolLM2-135M-Instruct.Q4_1.gguf}}"
lora="${2:-$root/.build/release/lora}"
requirements="$root/Scripts/requirements.txt"

skip() {
  echo "SKIPPED: $1"
  exit 0
}

# What is ours to provide is an error, not a reason to skip.
[ -f "$model" ] || { echo "no demo model at $model: run \`make demo\` or set LORA_DEMO_MODEL" >&2; exit 1; }
[ -x "$lora" ] || { echo "no command at $lora: run \`make build\`" >&2; exit 1; }

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
  echo "installing Python packages into $venv (once; log: $log)"
  "$python" -m venv --clear "$venv" >"$log" 2>&1 || skip "cannot make a venv: $(tail -n 1 "$log")"
  installed=no
  for attempt in 1 2 3; do
    if "$venv/bin/python" -m pip install --quiet --retries 5 -r "$requirements" >>"$log" 2>&1; then
      installed=yes
      break
    fi
    echo "attempt $attempt failed: $(tail -n 1 "$log")"
    sleep $((attempt * 5))
  done
  [ "$installed" = yes ] || skip "Python packages cannot be installed: $(grep -i 'error' "$log" | tail -n 1)"
  touch "$venv/.complete"
fi

export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
exec "$venv/bin/python" "$root/Scripts/conformance/peft_interop.py" "$model" "$lora"
