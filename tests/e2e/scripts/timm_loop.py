"""Trains a small vision transformer of timm in a plain loop, with its optimizer factory."""

import argparse

import timm
import torch
from timm.optim import create_optimizer_v2
from torch.utils.data import DataLoader, TensorDataset


def main(epochs):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate((24, 16, 5, 3))])
    data = TensorDataset(torch.randn(len(labels), 3, 16, 16, generator=g).double(), labels)
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=16,
        patch_size=8,
        embed_dim=16,
        depth=2,
        num_heads=2,
        num_classes=4,
        drop_path_rate=0.1,
    ).double()
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    for epoch in range(epochs):
        model.train()
        for x, y in DataLoader(data, batch_size=12, shuffle=True):
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.17g}")
    torch.save(model.state_dict(), "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    main(parser.parse_args().epochs)
