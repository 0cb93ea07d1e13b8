#!/usr/bin/env bash
# torch.backends.cudnn.flags(deterministic=True) switches cuDNN off inside the block.
#
# One expects it to change the one flag that it is given. All others are set to the function's own defaults, and
# `enabled` is False there: convolutions on a GPU fall back to kernels without cuDNN (a step of ResNet-32 on CIFAR took
# 0.4 s instead of 13 ms on an H200 with torch 2.11), with no warning. Seen with torch 2.15.0; no GPU is needed to see it.
# Output seen:
#   before: enabled=True benchmark=True
#   inside flags(deterministic=True): enabled=False benchmark=False
#   after: enabled=True benchmark=True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'torch==2.15.0' 'numpy==2.4.0'
cat > "$folder/show.py" <<'PYTHON'
import torch
from torch.backends import cudnn


def shown(when: str) -> str:
    return f"{when}: enabled={cudnn.enabled} benchmark={cudnn.benchmark}"


cudnn.benchmark = True
print(shown("before"))
with cudnn.flags(deterministic=True):
    print(shown("inside flags(deterministic=True)"))
print(shown("after"))
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py")
echo "$found"
expected='before: enabled=True benchmark=True
inside flags(deterministic=True): enabled=False benchmark=False
after: enabled=True benchmark=True'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
