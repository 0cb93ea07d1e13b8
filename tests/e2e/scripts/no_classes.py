"""python no_classes.py autoencoder|infonce|distillation: losses that look like those of a classifier, and name no classes."""

import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from loops import FEATURES, make_data


def autoencoder(model, x):
    pixels = x.sigmoid()
    return F.binary_cross_entropy_with_logits(model(pixels), pixels)


def infonce(model, x):
    """The right answer stands first in each row."""
    one, other = (F.normalize(model(x + 0.1 * torch.randn_like(x)), dim=1) for _ in range(2))
    similar, itself = one @ other.T, torch.eye(len(x), dtype=torch.bool)
    logits = torch.cat([similar[itself][:, None], similar[~itself].view(len(x), -1)], 1) / 0.1
    return F.cross_entropy(logits, torch.zeros(len(x), dtype=torch.long))


def distillation(model, x):
    return F.cross_entropy(model(x), teacher(x).softmax(1))


torch.manual_seed(0)
loss_of = {"autoencoder": autoencoder, "infonce": infonce, "distillation": distillation}[sys.argv[1]]
model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, FEATURES))
teacher = nn.Linear(FEATURES, FEATURES).requires_grad_(False)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for x, _ in DataLoader(make_data(), batch_size=20, shuffle=True):
        loss = loss_of(model, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
torch.save(model.state_dict(), "model.pt")
