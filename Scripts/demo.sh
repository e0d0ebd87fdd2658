#!/usr/bin/env bash
# Fine-tunes the demo model on Examples/orders and shows what that changes.
#   Scripts/demo.sh [OUTPUT]            default: build/demo-adapter under the cache folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

model=$(Scripts/demo-model.sh)
lora=.build/release/lora
output="${1:-${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora/orders-adapter}"
start=$SECONDS

echo "== before: what the model answers to sentences it has never seen"
"$lora" eval --model "$model" --data Examples/orders/test.jsonl --generate --samples 1

echo
echo "== training: 480 sentences about orders and the JSON they stand for, two epochs"
"$lora" train --model "$model" --data Examples/orders/train.jsonl --output "$output" --overwrite \
  --rank 16 --alpha 32 --learning-rate 1e-3 --epochs 2 --batch-size 16

echo
echo "== after: the same sentences, with the adapter"
"$lora" eval --model "$model" --adapter "$output" --data Examples/orders/test.jsonl --generate \
  --samples 3

cat <<END

Training and both evaluations took $((SECONDS - start)) s. The adapter, which PEFT reads too, is in
  $output
Try it:
  $lora generate --model "$model" --adapter "$output" \\
    --system "Write the order as JSON." --prompt "Please send twelve red lamps to Oslo, it is urgent."
END
