#!/usr/bin/env bash
# The focal loss of balanced-loss gives NaN gradients for logits below -88, right answers included.
#
# One expects what F.cross_entropy and torchvision's sigmoid_focal_loss do: any finite logit has a finite loss and gradient, and
# the surest mistake costs most. Here exp() of the negative logit is taken in float32 and becomes infinite: the surest mistake
# costs nothing, and its gradient is NaN. The gradient is NaN, too, where a model is right and rules out a wrong class: the loss
# looks healthy, and the next step of the optimizer writes NaN into the weights.
# Seen with balanced-loss 0.1.1; float64 gives the right numbers.
# Output seen:
#   the true class has logit -80: loss 80.35, its gradient -1.00
#   the true class has logit -100: loss 0.35, its gradient nan
#   a wrong class has logit -80: loss 0.17, its gradient 0.00
#   a wrong class has logit -100: loss 0.17, its gradient nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'balanced-loss==0.1.1' 'torch==2.15.0' 'numpy==2.4.0'
cat > "$folder/show.py" <<'PYTHON'
import torch
from balanced_loss import Loss

focal_loss = Loss("focal_loss")


def shown(case: str, logits: list[float], place: int) -> None:
    leaf = torch.tensor([logits], requires_grad=True)
    loss = focal_loss(leaf, torch.tensor([0]))
    loss.backward()
    print(f"{case} has logit {logits[place]:.0f}: loss {loss.item():.2f}, its gradient {leaf.grad[0, place].item() + 0.0:.2f}")


for logit in (-80.0, -100.0):
    shown("the true class", [logit, 0.0, 0.0], 0)
for logit in (-80.0, -100.0):
    shown("a wrong class", [5.0, 0.0, logit], 2)
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py")
echo "$found"
expected='the true class has logit -80: loss 80.35, its gradient -1.00
the true class has logit -100: loss 0.35, its gradient nan
a wrong class has logit -80: loss 0.17, its gradient 0.00
a wrong class has logit -100: loss 0.17, its gradient nan'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
