#!/usr/bin/env bash
# ImbalancedDatasetSampler balances nothing when its indices are not in order.
#
# One gives it the indices of a random split and their labels, in the same order, and expects every class to be drawn equally
# often. But the labels are sorted by index and the indices are not: each index gets the weight that belongs to another one. The
# classes are drawn about as often as they occur, nothing warns, and who trains on it believes that resampling does not help.
# With the same indices in order the classes are balanced. Seen with torchsampler 0.1.2.
# Output seen:
#   images of the split: 91% 6% 3%
#   drawn, indices in order: 33% 33% 33%
#   drawn, indices as split: 90% 5% 4%
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$folder/env" "$folder/env/bin/uv" pip install --quiet 'torchsampler==0.1.2' 'torch==2.15.0' 'torchvision==0.29.2' 'pandas==3.1.1' 'numpy==2.4.0'
cat > "$folder/show.py" <<'PYTHON'
import torch
from torch.utils.data import TensorDataset, random_split
from torchsampler import ImbalancedDatasetSampler

labels = torch.tensor([0] * 900 + [1] * 70 + [2] * 30)
dataset = TensorDataset(torch.arange(1000.0), labels)
split, _ = random_split(dataset, [800, 200], torch.Generator().manual_seed(0))


def shown(how: str, indices: list[int]) -> None:
    torch.manual_seed(0)
    sampler = ImbalancedDatasetSampler(dataset, labels[indices].tolist(), indices, num_samples=100_000)
    counts = torch.bincount(labels[list(sampler)])
    print(f"{how}: " + " ".join(f"{count / counts.sum():.0%}" for count in counts))


there = torch.bincount(labels[list(split.indices)])
print("images of the split: " + " ".join(f"{count / there.sum():.0%}" for count in there))
shown("drawn, indices in order", sorted(split.indices))
shown("drawn, indices as split", list(split.indices))
PYTHON
found=$("$folder/env/bin/python" "$folder/show.py")
echo "$found"
expected='images of the split: 91% 6% 3%
drawn, indices in order: 33% 33% 33%
drawn, indices as split: 90% 5% 4%'
[ "$found" = "$expected" ] || { echo "the behaviour has changed" >&2; exit 1; }
