#!/usr/bin/env bash
# Trains a few steps of a tiny model and has TensorBoard's Python package read the event file.
#   Scripts/conformance/tensorboard.sh [LORA_BINARY]     default: .build/release/lora
# Where Python or the package is not to be had, it prints "SKIPPED: reason" and exits 0.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora"
lora="${1:-$root/.build/release/lora}"
package=tensorboard==2.21.0

[ -x "$lora" ] || { echo "no command at $lora: run \`make build\`" >&2; exit 1; }
venv="$cache/venv-$package"
if [ ! -f "$venv/.complete" ]; then
  mkdir -p "$cache"
  python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "SKIPPED: no Python with venv"; exit 0; }
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --retries 5 "$package" "setuptools<81" >"$venv.log" 2>&1 \
    || { echo "SKIPPED: cannot install $package: $(tail -n 1 "$venv.log")"; exit 0; }
  touch "$venv/.complete"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for number in $(seq 1 24); do
  echo "{\"prompt\": \"say $number\", \"completion\": \" $number!\"}"
done >"$folder/rows.jsonl"
"$lora" train --model "$root/Fixtures/folder/tied-f32" --data "$folder/rows.jsonl" --output "$folder/run" \
  --batch-size 4 --epochs 2 --rank 2 --eval-split 0.2 --eval-steps 3 --eval-generate >/dev/null 2>&1
"$venv/bin/python" "$root/Scripts/conformance/tensorboard_read.py" "$folder/run"
