#!/usr/bin/env bash
# TorchJD's CAGrad returns a zero update for gradients that are small.
#
# One expects an update that scales with the gradients: CAGrad's answer lies within c times the length of the mean gradient from
# that mean, so with c below 1 it is zero only if the mean is. norm_eps is described as a small value against division by zero. But
# it is compared with the squared length of the whole Jacobian, and its default is 1e-4: as soon as all gradients together are
# shorter than 0.01 (late in training, or with a loss that is scaled down) the update is exactly zero. Training stands still
# without a warning, though the direction of the gradients is as clear as before. Seen with TorchJD 0.18.0.
# Output seen:
#   gradients times 1.0: update [0.42, 0.65, 0.21] times 1.0
#   gradients times 0.1: update [0.42, 0.65, 0.21] times 0.1
#   gradients times 0.01: update [0.42, 0.65, 0.21] times 0.01
#   gradients times 0.001: update [0.0, 0.0, 0.0] times 0.001
#   mean gradient: [0.25, 0.5, 0.15]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'torchjd[cagrad]==0.18.0' 'torch==2.15.0' 'numpy==2.4.0' 'cvxpy==1.9.3' 'clarabel==0.11.1'
cat > "$folder/show.py" <<'PYTHON'
import torch
from torchjd.aggregation import CAGrad

gradients = torch.tensor([[1.0, 0.0, 0.2], [-0.5, 1.0, 0.1]])
aggregator = CAGrad(c=0.4)
for scale in (1.0, 0.1, 0.01, 0.001):
    update = aggregator(gradients * scale) / scale
    print(f"gradients times {scale}: update {[round(value, 2) for value in update.tolist()]} times {scale}")
print(f"mean gradient: {[round(value, 2) for value in gradients.mean(0).tolist()]}")
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py")
echo "$found"
expected='gradients times 1.0: update [0.42, 0.65, 0.21] times 1.0
gradients times 0.1: update [0.42, 0.65, 0.21] times 0.1
gradients times 0.01: update [0.42, 0.65, 0.21] times 0.01
gradients times 0.001: update [0.0, 0.0, 0.0] times 0.001
mean gradient: [0.25, 0.5, 0.15]'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
