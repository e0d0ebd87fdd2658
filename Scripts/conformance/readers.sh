#!/usr/bin/env bash
# Runs the proofs that llama.cpp and mlx-lm read what `lora convert` and `lora merge` write, and that llama.cpp makes the
# tokens of Fixtures/tokenizer; those of the demo model where LORA_DEMO_MODEL is its path.
#   Scripts/conformance/readers.sh [LORA_BINARY]
# Where Python, its packages or the readers are not to be had, it prints "SKIPPED: reason" and exits 0.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lora="${1:-$root/.build/release/lora}"
[ -x "$lora" ] || { echo "no command at $lora: run \`make build\`" >&2; exit 1; }
python=$("$root/Scripts/conformance/python.sh") || { [ $? = 3 ] && exit 0; exit 1; }

# Beside the environment of the other proof, without the dependencies that it has already.
wanted="$root/Scripts/conformance/readers.txt"
readers="${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora/readers-$(sha256sum "$wanted" | cut -c1-12)"
if [ ! -f "$readers/.complete" ]; then
  rm -rf "$readers"
  if ! "$python" -m pip install --quiet --no-deps --target "$readers" -r "$wanted" >"$readers.log" 2>&1; then
    echo "SKIPPED: the readers cannot be installed: $(grep -i error "$readers.log" | tail -n 1)"
    exit 0
  fi
  touch "$readers/.complete"
fi

export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 PYTHONPATH="$readers"
"$python" "$root/Scripts/conformance/vocabularies.py" ${LORA_DEMO_MODEL:+"$LORA_DEMO_MODEL"}
exec "$python" "$root/Scripts/conformance/readers.py" "$lora"
