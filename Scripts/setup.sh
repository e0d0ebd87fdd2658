#!/usr/bin/env bash
# Installs what the build links against and nothing else; does nothing when all of it is there.
set -euo pipefail

packages=()
command -v pkg-config >/dev/null || packages+=(pkg-config)
[ -e /usr/include/oneapi/dnnl/dnnl.h ] || compgen -G '/usr/include/*/oneapi/dnnl/dnnl.h' >/dev/null ||
  packages+=(libdnnl-dev)
[ -e /usr/include/pcre2.h ] || packages+=(libpcre2-dev)
# Any LAPACK will do; liblapack-dev is the lightest.
compgen -G '/usr/lib/*/liblapack.so' >/dev/null || packages+=(liblapack-dev)
# libgomp.so, the link name of the thread pool that oneDNN uses too, comes with gcc.
compgen -G '/usr/lib/gcc/*/*/libgomp.so' >/dev/null || packages+=(gcc)
command -v python3 >/dev/null || packages+=(python3)
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
command -v swift >/dev/null || {
  echo "swift is not on the PATH: install Swift 6.1 or newer from swift.org/install/linux" >&2
  exit 1
}
if [ ${#packages[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  echo "installing: ${packages[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${packages[@]}" >/dev/null
fi
