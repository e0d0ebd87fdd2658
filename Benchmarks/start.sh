#!/usr/bin/env bash
# The seconds from `lora train` on the demo's data until its first step begins.
#   Benchmarks/start.sh MODEL [--json]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=$1
format='start of lora train until the first step begins: %.2f s\n'
[ "${2:-}" = --json ] && format='{"start": %.4f}\n'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

began=$(date +%s.%N)
.build/release/lora train --model "$model" --data Examples/orders/train.jsonl --output "$work/run" \
  --batch-size 16 --max-steps 1 >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
# The step's line is written as it ends, and says how long it took.
ended=$(stat -c %.9Y "$work/run/metrics.jsonl")
step=$(sed -n '1s/.*"seconds": *\([0-9.]*\).*/\1/p' "$work/run/metrics.jsonl")
awk -v a="$began" -v b="$ended" -v c="$step" -v f="$format" 'BEGIN { printf f, b - a - c }'
