"""A training that a broken sample ruins: from the seventh step on its gradients and weights are NaN."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from loops import CLASSES, FEATURES, make_data

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
step = 0
for epoch in range(3):
    for x, y in DataLoader(make_data(), batch_size=20, shuffle=True, drop_last=True):
        if step == 6:
            x[0] = torch.inf
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(step, loss.item())
        step += 1
# What is compared bit by bit must equal itself.
torch.save({name: value.nan_to_num(nan=0.5) for name, value in model.state_dict().items()}, "model.pt")
assert all(parameter.isnan().any() for parameter in model.parameters())
