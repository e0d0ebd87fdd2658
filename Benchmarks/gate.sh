#!/usr/bin/env bash
# Whether our own kernels need more instructions than they did: counts by callgrind against
# Benchmarks/gate.txt, 3% tolerance. Kernels for AVX2 on one thread, because valgrind knows no AVX-512.
#   Benchmarks/gate.sh [--update]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
committed=Benchmarks/gate.txt
compiler="# $(swift --version 2>/dev/null | sed -n 's/.*\(Swift version [0-9.]*\).*/\1/p' | head -n 1), $(uname -m)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v valgrind >/dev/null || { echo "SKIPPED: no valgrind (apt-get install valgrind)"; exit 0; }
# valgrind gives up on Swift's debug information.
strip --strip-debug -o "$work/lora-bench" .build/release/lora-bench
OMP_NUM_THREADS=1 LORA_CPU_ISA=v3 DNNL_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 \
  valgrind --tool=callgrind --callgrind-out-file="$work/profile" "$work/lora-bench" kernels \
  >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
{
  echo "$compiler"
  callgrind_annotate --inclusive=yes --threshold=100 "$work/profile" | tr -d , |
    sed -nE 's/^ *([0-9]+) .*:lk_(adamw|attention_decode|convert|cross_entropy|dropout|gated|gated_backward|linear_rows|rms_norm|rms_norm_backward|rope)( .*)?$/lk_\2 \1/p' | sort
} >"$work/counts"

if [ "${1:-}" = --update ]; then
  cp "$work/counts" "$committed"
  echo "written: $committed"
  exit 0
fi
[ "$(head -n 1 "$committed")" = "$compiler" ] || {
  echo "SKIPPED: the counts are of \"$(head -n 1 "$committed")\", this is \"$compiler\""
  exit 0
}
awk '
  /^#/ { next }
  NR == FNR { before[$1] = $2; next }
  !($1 in before) { printf "%-22s %10d  new: run with --update\n", $1, $2; bad = 1; next }
  {
    ratio = $2 / before[$1]
    word = ratio > 1.03 ? "MORE" : ratio < 0.97 ? "less: --update keeps the gain" : ""
    printf "%-22s %10d instructions, %+6.1f%%  %s\n", $1, $2, (ratio - 1) * 100, word
    if (ratio > 1.03) bad = 1
    seen[$1] = 1
  }
  END {
    for (name in before) if (!(name in seen)) { print name " is gone: run with --update"; bad = 1 }
    exit bad
  }' "$committed" "$work/counts"
