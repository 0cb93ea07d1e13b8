#!/usr/bin/env bash
# Macro accuracy of torchmetrics counts classes without images, and top-1 counts other ones than top-2.
#
# One expects the mean of the recalls of the classes that have images: scored on the images of the rare classes only, a model that
# gets half of each class right has 0.5. But a class that is wrongly predicted counts too, with a recall of 0: each further class that
# a mistake falls on lowers the number, so two models with the same recalls get different ones. With top_k=2 only classes that have
# images count: on this batch no second guess helps, every recall is the same, and yet the accuracy grows from 0.33 to 0.50.
# Seen with torchmetrics 1.9.0.
# Output seen:
#   mistakes fall on one class, top 1: recalls [0.0, 0.0, 0.5, 0.5], macro 0.33
#   mistakes fall on one class, top 2: recalls [0.0, 0.0, 0.5, 0.5], macro 0.50
#   mistakes fall on two classes, top 1: recalls [0.0, 0.0, 0.5, 0.5], macro 0.25
#   mistakes fall on two classes, top 2: recalls [0.0, 0.0, 0.5, 0.5], macro 0.50
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'torchmetrics==1.9.0' 'torch==2.15.0' 'numpy==2.4.0'
cat > "$folder/show.py" <<'PYTHON'
import torch
from torchmetrics.classification import MulticlassAccuracy

labels = torch.tensor([2, 2, 3, 3])
right = [[0.2, 0.0, 0.8, 0.0], [0.2, 0.0, 0.0, 0.8]]
wrong = {"one class": [[0.8, 0.2, 0.0, 0.0], [0.8, 0.2, 0.0, 0.0]], "two classes": [[0.8, 0.2, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0]]}
for where, mistakes in wrong.items():
    scores = torch.tensor([right[0], mistakes[0], right[1], mistakes[1]])
    for k in (1, 2):
        recalls = MulticlassAccuracy(4, average="none", top_k=k)(scores, labels).tolist()
        macro = MulticlassAccuracy(4, average="macro", top_k=k)(scores, labels).item()
        print(f"mistakes fall on {where}, top {k}: recalls {recalls}, macro {macro:.2f}")
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py")
echo "$found"
expected='mistakes fall on one class, top 1: recalls [0.0, 0.0, 0.5, 0.5], macro 0.33
mistakes fall on one class, top 2: recalls [0.0, 0.0, 0.5, 0.5], macro 0.50
mistakes fall on two classes, top 1: recalls [0.0, 0.0, 0.5, 0.5], macro 0.25
mistakes fall on two classes, top 2: recalls [0.0, 0.0, 0.5, 0.5], macro 0.50'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
