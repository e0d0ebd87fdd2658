#!/usr/bin/env bash
# swift-lora against PEFT + PyTorch on this machine; `Benchmarks/peft/run.sh --help` says what it takes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LORA_DEMO_MODEL; LORA_DEMO_MODEL=$(Scripts/demo-model.sh)
python=$(Scripts/conformance/python.sh) || { [ $? = 3 ] && exit 0; exit 1; }
folder="${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora/bench-peft"
"$python" Benchmarks/peft/prepare.py "$folder" 2>"$folder.log" || { cat "$folder.log" >&2; exit 1; }
exec "$python" Benchmarks/peft/compare.py "$LORA_DEMO_MODEL" "$folder" "$@"
