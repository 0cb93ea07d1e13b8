#!/usr/bin/env bash
# The multiclass FocalLoss of segmentation-models-pytorch charges for perfect probabilities.
#
# One expects from_logits=False to change only what the loss is given: probabilities, of which a perfect one costs nothing, as in
# the modes binary and multilabel. In the mode multiclass their logarithms are taken and then put through a sigmoid, which gives
# p / (1 + p): a probability of 1 counts as one half. Pixels that are sure and right cost a third as much as pixels that are a
# coin's toss, so they outweigh the few hard ones, which is what a focal loss is there to prevent.
# Seen with segmentation-models-pytorch 0.6.0; two classes, and the same probability of the true class everywhere.
# Output seen:
#   true class 50%: binary 0.173, multilabel 0.173, multiclass 0.267
#   true class 90%: binary 0.001, multilabel 0.001, multiclass 0.104
#   true class 100%: binary 0.000, multilabel 0.000, multiclass 0.087
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'segmentation-models-pytorch==0.6.0' 'torch==2.15.0' 'torchvision==0.29.2' 'timm==1.0.31' 'numpy==2.4.0'
cat > "$folder/show.py" <<'PYTHON'
import torch
from segmentation_models_pytorch.losses import FocalLoss

mask = torch.tensor([[[0, 1], [1, 0]]])
both = torch.stack([1 - mask, mask], 1)
for sure in (0.5, 0.9, 1.0):
    scores = torch.where(both == 1, sure, 1 - sure)
    losses = {
        "binary": FocalLoss("binary", from_logits=False)(scores[:, 1], mask),
        "multilabel": FocalLoss("multilabel", from_logits=False)(scores, both),
        "multiclass": FocalLoss("multiclass", from_logits=False)(scores, mask),
    }
    print(f"true class {sure:.0%}: " + ", ".join(f"{mode} {loss.item():.3f}" for mode, loss in losses.items()))
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py")
echo "$found"
expected='true class 50%: binary 0.173, multilabel 0.173, multiclass 0.267
true class 90%: binary 0.001, multilabel 0.001, multiclass 0.104
true class 100%: binary 0.000, multilabel 0.000, multiclass 0.087'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
