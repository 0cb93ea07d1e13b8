"""A dataset without labels that could be read in advance, loaded by spawned workers."""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class Signals(Dataset):
    def __len__(self):
        return 48

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(i)
        label = min(int(torch.rand((), generator=g) ** 2 * 3), 2)
        return torch.randn(16, generator=g) + label, label


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(1, 8, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return F.log_softmax(self.out(self.encoder(x[..., None])[0][:, -1]), dim=1)


def main():
    torch.manual_seed(0)
    model = Tagger()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = DataLoader(
        Signals(), batch_size=16, num_workers=1, multiprocessing_context=sys.argv[1], persistent_workers=True
    )
    for epoch in range(3):
        for x, y in loader:
            loss = F.nll_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("epoch", epoch, loss.item())
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    main()
