"""Trains with Opacus: gradients of samples are clipped and noise is added."""

import argparse
import warnings

import torch
from ddp import make_data, make_model
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader

warnings.filterwarnings("ignore")


def main(epochs):
    net = make_model()
    torch.manual_seed(0)
    model, optimizer, loader = PrivacyEngine().make_private(
        module=net,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.05),
        data_loader=DataLoader(make_data(), batch_size=20),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"{loss.item():.17g}")
    torch.save(net.state_dict(), "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    main(parser.parse_args().epochs)
