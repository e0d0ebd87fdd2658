#!/usr/bin/env bash
# Runs the proof that adapters pass between `lora` and Python's peft, in a venv of its own.
#   Scripts/conformance/run.sh [MODEL.gguf [LORA_BINARY]]
# Defaults: LORA_DEMO_MODEL or the cache folder of `make demo`, and .build/release/lora.
# Where Python or its packages are not to be had, it prints "SKIPPED: reason" and exits 0.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
model="${1:-${LORA_DEMO_MODEL:-$HOME/.cache/swift-lora/SmolLM2-135M-Instruct.Q4_1.gguf}}"
lora="${2:-$root/.build/release/lora}"

# What is ours to provide is an error, not a reason to skip.
[ -f "$model" ] || { echo "no demo model at $model: run \`make demo\` or set LORA_DEMO_MODEL" >&2; exit 1; }
[ -x "$lora" ] || { echo "no command at $lora: run \`make build\`" >&2; exit 1; }

runner="$(dirname "$lora")/lora-conformance"
[ -x "$runner" ] || { echo "no runner at $runner: run \`make build\`" >&2; exit 1; }

python=$("$root/Scripts/conformance/python.sh") || { [ $? = 3 ] && exit 0; exit 1; }

export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
"$python" "$root/Scripts/conformance/matrix.py" "$runner"
"$python" "$root/Scripts/conformance/peft_interop.py" "$model" "$lora"
exec "$python" "$root/Scripts/conformance/merge_interop.py" "$model" "$lora"
