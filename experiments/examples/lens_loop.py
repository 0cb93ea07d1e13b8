"""Measures your own training loop with a Lens: python experiments/examples/lens_loop.py [RUN_FOLDER].

The data are the handwritten digits of scikit-learn. The digits 5 to 9 are made rare.
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from gradlens import ClassGroups, Lens, Run

torch.manual_seed(0)
pixels, digits = map(torch.tensor, load_digits(return_X_y=True))
kept = (digits < 5) | (torch.arange(len(digits)) % 12 == 0)  # every 12th image of the rare digits
data = TensorDataset(pixels[kept].float() / 16, digits[kept])
loader = DataLoader(data, batch_size=64, shuffle=True)

model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

# Head: classes with at least 20 images. You can also name the groups: ClassGroups({"head": range(5), "tail": range(5, 10)}, 10).
groups = ClassGroups.head_tail(digits[kept].bincount())
# Nothing is overwritten, so a second run needs another folder.
folder = sys.argv[1] if len(sys.argv) > 1 else "runs/lens_loop"

# every=1 measures each step. Leave it out in a long training. Then measuring takes at most 5 % of the time.
with Lens(model, groups, out=folder, optimizer=optimizer, every=1) as lens:
    for epoch in lens.epochs(range(10)):
        for x, y in loader:
            loss = F.cross_entropy(model(x), y)
            lens.backward(loss, y)  # loss.backward() plus the measurement
            optimizer.step()
            optimizer.zero_grad()
        print(f"epoch {epoch}: loss {loss.item():.3f}")

run = Run(folder)
head, tail = (np.nanmean(run.share(name)) for name in ("head", "tail"))  # NaN: a step without samples of the group
print(f"mean share of the update: head {head:.0%}, tail {tail:.0%}")
print(f"next: gradlens dashboard, or python experiments/examples/read_a_run.py {folder}")
