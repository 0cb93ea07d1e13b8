"""python members.py STYLE: trainings whose batches tell a domain beside the label. Each step is kept in steps.pt."""

import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

STYLE = sys.argv[1]
DOMAINS = ("photo", "sketch", "cartoon", "other")


class Data(Dataset):
    def __init__(self):
        g = torch.Generator().manual_seed(1)
        self.y, self.domain = torch.randint(0, 3, (48,), generator=g), torch.randint(0, 4, (48,), generator=g)
        self.x = torch.randn(48, 5, generator=g) + torch.randn(4, 5, generator=g)[self.domain]

    def __len__(self):
        return 48

    def __getitem__(self, i):
        domain = DOMAINS[self.domain[i]] if STYLE == "texts" else int(self.domain[i])
        return (
            {"x": self.x[i], "y": self.y[i], "domain": domain} if STYLE != "tuple" else (self.x[i], self.y[i], domain)
        )


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
kept = []
for epoch in range(2):
    micro = []
    for number, batch in enumerate(DataLoader(Data(), batch_size=16 if STYLE == "chunks" else 8, shuffle=True)):
        x, y, domain = (batch["x"], batch["y"], batch["domain"]) if isinstance(batch, dict) else batch
        ids = torch.tensor([DOMAINS.index(name) for name in domain]) if STYLE == "texts" else domain
        micro.append(({name: t.clone() for name, t in model.state_dict().items()}, x, y, ids))
        if STYLE == "chunks":
            logits = model(x)
            loss = sum(
                F.cross_entropy(part, label, reduction="sum") for part, label in zip(logits.split(8), y.split(8))
            ) / len(y)
        elif STYLE == "accumulate":
            loss = F.cross_entropy(model(x), y) / 2
        elif STYLE == "mixup":
            mixed = torch.randperm(len(x))
            logits = model(0.7 * x + 0.3 * x[mixed])
            loss = 0.7 * F.cross_entropy(logits, y) + 0.3 * F.cross_entropy(logits, y[mixed])
        else:
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        if STYLE != "accumulate" or number % 2:
            optimizer.step()
            optimizer.zero_grad()
            kept.append(micro)
            micro = []
    print(epoch, loss.item())
torch.save(kept, "steps.pt")
torch.save(model.state_dict(), "model.pt")
