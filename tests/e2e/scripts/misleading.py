"""python misleading.py KIND: batches and losses that hold integers and take labels, which are not the classes."""

import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from loops import FEATURES, make_data


class SupCon(nn.Module):
    def forward(self, features, labels):
        z = F.normalize(features, dim=1)
        similar, itself = z @ z.T / 0.5, torch.eye(len(z), dtype=torch.bool)
        logp = similar - torch.logsumexp(similar.masked_fill(itself, -9.0), 1, keepdim=True)
        return -(logp * ((labels[:, None] == labels[None]) & ~itself)).sum() / len(z) ** 2


kind = sys.argv[1]
torch.manual_seed(0)
x, y = make_data().tensors
columns = {"indices": (torch.arange(len(y)),), "two_columns": (y, torch.arange(len(y)) % 3)}.get(kind, (y,))
model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 6))
teacher = nn.Linear(FEATURES, 4).requires_grad_(False)
criterion = SupCon()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for batch in DataLoader(TensorDataset(x, *columns), batch_size=20, shuffle=True):
        z, labels = model(batch[0]), batch[1]
        if kind == "shuffled":
            labels = labels[torch.randperm(len(labels))]
        elif kind == "teacher":
            labels = teacher(batch[0]).argmax(1)
        elif kind == "positions":
            labels = torch.arange(len(labels)) // 2
        loss = criterion(z, labels)
        if kind == "two_columns":
            loss = loss + (z - batch[2][:, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.17g}")
torch.save(model.state_dict(), "model.pt")
