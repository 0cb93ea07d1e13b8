"""Trains a small network with batch normalisation on imbalanced blobs."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return self.head(self.body(x))


def make_data(counts=(60, 40, 12, 8)):
    g = torch.Generator().manual_seed(1)
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    centres = 2 * torch.randn(len(counts), 8, generator=g)
    return TensorDataset(centres[labels] + torch.randn(len(labels), 8, generator=g), labels)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--save", default="model.pt")
    args = parser.parse_args()
    torch.manual_seed(0)
    data = make_data()
    loader = DataLoader(data, batch_size=20, shuffle=True)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            x, y = data.tensors
            out = model(x)
            print(
                f"epoch {epoch}: loss {total / len(loader)!r}, val {F.cross_entropy(out, y).item()!r}, acc {(out.argmax(1) == y).float().mean().item():.3f}"
            )
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}, args.save
    )


if __name__ == "__main__":
    main()
