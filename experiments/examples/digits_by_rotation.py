"""Groups of an attribute instead of classes: python experiments/examples/digits_by_rotation.py [RUN_FOLDER].

The data are the handwritten digits of scikit-learn. Most are upright, and some are turned by a quarter, a half or three quarters.
The network learns which digit an image shows; the groups are made of how the image is turned.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from gradlens import ClassGroups, Lens, Run

ANGLES = ["upright", "quarter", "half", "three quarters"]

torch.manual_seed(0)
pixels, digits = map(torch.tensor, load_digits(return_X_y=True))
angle = torch.multinomial(torch.tensor([0.85, 0.05, 0.05, 0.05]), len(digits), replacement=True)
images = pixels.float().view(-1, 8, 8) / 16
turned = torch.stack([image.rot90(int(turns)) for image, turns in zip(images, angle, strict=True)])
loader = DataLoader(TensorDataset(turned.flatten(1), digits, angle), batch_size=64, shuffle=True)

model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

# Values are named by their order: 0 is "upright". Without the last argument, each value is a group.
groups = ClassGroups.of_attribute("angle", ANGLES, {"upright": ["upright"], "turned": ANGLES[1:]})
folder = sys.argv[1] if len(sys.argv) > 1 else "runs/digits_by_rotation"

with Lens(model, groups, out=folder, optimizer=optimizer, every=1) as lens:
    for _ in lens.epochs(range(10)):
        for x, y, turns in loader:
            loss = F.cross_entropy(model(x), y)
            lens.backward(loss, y, members=turns)  # accuracy is counted from y, groups are made of turns
            optimizer.step()
            optimizer.zero_grad()

run = Run(folder)
last = slice(-len(loader), None)
for name in groups.names:
    samples = run.counts[last, groups.names.index(name)].sum()
    right = np.nansum(run.correct[last, groups.names.index(name)]) / samples
    print(f"{name}: {np.nanmean(run.share(name)):.0%} of the update, {right:.0%} right in the last epoch")
print(f"cosine of the two: {np.nanmean(run.conflict(*groups.names)):+.2f}")
