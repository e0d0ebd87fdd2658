#!/usr/bin/env bash
# Every case of the benchmarks, one after the other, each in a process of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=$(Scripts/demo-model.sh)
bench=.build/release/lora-bench

"$bench" step --model "$model" --rows 4 --length 512
"$bench" step --model "$model" --rows 4 --length 512 --precision float32
"$bench" step --model "$model" --rows 8 --length 128
"$bench" step --model "$model" --rows 8 --length 250 --spread 0.6 --supervised 0.4
"$bench" step --model "$model" --rows 1 --length 4096 --steps 3
"$bench" layer
"$bench" decode --model "$model"
