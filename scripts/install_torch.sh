#!/bin/sh
# Installs torch and torchvision from torch's own index where the package index has the wrong build: on Linux it has them
# with CUDA alone, which is gigabytes. What it leaves out comes with the package itself, from the package index.
# Usage: [TORCH=...] scripts/install_torch.sh PYTHON, the interpreter of the environment. By uv where there is one (UV=
# does without), else by pip.
#
#   TORCH=auto   with an NVIDIA GPU as cuda, else as cpu; the default
#   TORCH=cpu    the build without CUDA; where torch's index cannot be reached, as cuda
#   TORCH=cuda   the package index's build
#   TORCH=none   installs nothing and says nothing
#   TORCH=URL    the build of that index, such as torch's own of another version of CUDA, or of ROCm
set -eu

python=$1
torch=${TORCH:-auto}
uv=${UV-$(command -v uv || true)}
index=https://download.pytorch.org/whl/cpu
say() { echo "torch: $*" >&2; }

case $torch in
  none) exit ;;
  auto | cpu | cuda) ;;
  http://* | https://*) index=$torch ;;
  *) say "TORCH=$torch is none of auto, cpu, cuda, none and an index's URL" && exit 2 ;;
esac

if "$python" -c 'from importlib.metadata import version; version("torch"), version("torchvision")' 2>/dev/null; then
  say "installed already, left as it is" && exit
fi

# Elsewhere than on Linux the package index has builds without CUDA.
if [ "$torch" = auto ]; then
  if [ "$(uname -s)" != Linux ] || nvidia-smi -L >/dev/null 2>&1 || [ -e /dev/nvidia0 ]; then torch=cuda; else torch=cpu; fi
fi
[ "$torch" != cuda ] || { say "the package index's build for this system" && exit; }

# One short look, by a process that ends in any case: where a firewall drops packets, or no name server answers, an
# installer would try for minutes.
look='
import os, sys, threading, urllib.request
threading.Timer(8, os._exit, [1]).start()
try:
    urllib.request.urlopen(sys.argv[1] + "/torch/", timeout=4).close()
except OSError:
    os._exit(1)
os._exit(0)
'
if [ "$torch" = cpu ] && ! "$python" -c "$look" "$index"; then
  say "no GPU, but $index cannot be reached: the package index's build, which may be with CUDA" && exit
fi
say "the build of $index (TORCH=cuda for the package index's)"

# These two alone come from there, without what they need: that index has copies of it, older ones, and were both indexes
# asked at once, either could answer for a name of the other.
set -- --quiet --no-deps torch torchvision
if [ -n "$uv" ]; then
  "$uv" pip install --python "$python" --index "$index" "$@"
else
  "$python" -m pip install --disable-pip-version-check --index-url "$index" "$@"
fi
