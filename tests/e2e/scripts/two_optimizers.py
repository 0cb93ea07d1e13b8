"""Backbone and classifier are separate modules with an optimizer each."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from plain_loop import make_data

torch.manual_seed(0)
backbone = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
classifier = nn.Linear(16, 4)
for p in backbone[0].parameters():
    p.requires_grad_(p.ndim > 1)  # the bias stays as it is
opt_b = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.01)
opt_c = torch.optim.Adam(classifier.parameters(), lr=0.01)
criterion = nn.CrossEntropyLoss(reduction="none")
for epoch in range(2):
    for x, y in DataLoader(make_data(), batch_size=24, shuffle=True, drop_last=True):
        losses = criterion(classifier(backbone(x)), y)
        penalty = sum(p.square().sum() for p in classifier.parameters())
        opt_b.zero_grad(), opt_c.zero_grad()
        torch.autograd.backward([losses.mean(), 1e-3 * penalty])
        opt_b.step(), opt_c.step()
    print(losses.mean().item())
torch.save([backbone.state_dict(), classifier.state_dict()], "model.pt")
