#!/usr/bin/env bash
# Every case of the benchmarks, one after the other, each in a process of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=$(Scripts/demo-model.sh)
bench=.build/release/lora-bench

"$bench" micro
"$bench" step --model "$model" --rows 4 --length 512
"$bench" step --model "$model" --rows 4 --length 512 --precision float32
"$bench" step --model "$model" --rows 8 --length 128
"$bench" step --model "$model" --rows 8 --length 250 --spread 0.6 --supervised 0.4
# The memory of one row must grow with its length, not with its square.
for length in 1024 2048 4096; do
  "$bench" step --model "$model" --rows 1 --length $length --steps 2 --warm-up 1
done
"$bench" layer
Benchmarks/start.sh "$model"
"$bench" decode --model "$model"
