#!/usr/bin/env bash
# The other party: PEFT + PyTorch, in the environment of the conformance proof.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LORA_DEMO_MODEL; LORA_DEMO_MODEL=$(Scripts/demo-model.sh)
Scripts/conformance/run.sh "$LORA_DEMO_MODEL" .build/release/lora >/dev/null
venv=$(ls -d "${XDG_CACHE_HOME:-$HOME/.cache}"/swift-lora/venv-*/ | tail -n 1)
"$venv/bin/python" Benchmarks/peft/train_step.py
