#!/usr/bin/env bash
# Runs a command on a processor with AVX512-BF16 as if it had AMX: oneDNN takes its AMX kernels,
# whose tile instructions are executed one by one. For bits, not for time.
#   Scripts/amx/run.sh COMMAND …       AMX_L2_KB=2048 is the second-level cache that is claimed
# For Debian's and Ubuntu's libdnnl 2.6; needs gcc and objdump. The library itself is not changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
grep -q avx512_bf16 /proc/cpuinfo || { echo "SKIPPED: this processor has no AVX512-BF16" >&2; exit 3; }
library=$(ldconfig -p | awk '/libdnnl\.so\.2 / { print $NF; exit }')
[ -n "$library" ] || { echo "SKIPPED: there is no libdnnl.so.2" >&2; exit 3; }
library=$(readlink -f "$library")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/swift-lora"
emulator="$cache/amx-$(cat "$library" "$here/emulator.c" | sha256sum | cut -c1-12).so"
if [ ! -f "$emulator" ]; then
  mkdir -p "$cache"
  # Where the library asks the processor what it is.
  sites=$(objdump -d --no-show-raw-insn "$library" |
    awk '$2 == "cpuid" { sub(":", "", $1); printf "0x%s,", $1 }')
  gcc -O2 -shared -fPIC -mavx512f -mfma -Wl,-z,initfirst -DSITES="$sites" \
    -o "$emulator.tmp" "$here/emulator.c"
  mv "$emulator.tmp" "$emulator"
fi
exec env LD_PRELOAD="$emulator" "$@"
