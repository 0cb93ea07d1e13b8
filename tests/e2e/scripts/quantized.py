"""Trains with torchao: float8 (emulated on a CPU), or int8 matrix products."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_data():
    g = torch.Generator().manual_seed(1)
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate((40, 24, 9, 7))])
    return TensorDataset(torch.randn(len(labels), 32, generator=g), labels)


def main(kind, epochs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 4))
    if kind == "float8":
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training

        convert_to_float8_training(
            model, config=Float8LinearConfig(emulate=True), module_filter_fn=lambda module, name: name != "4"
        )
    else:
        from torchao.prototype.quantized_training import int8_mixed_precision_training
        from torchao.quantization import quantize_

        quantize_(model[:4], int8_mixed_precision_training())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for x, y in DataLoader(make_data(), batch_size=16, shuffle=True):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"{loss.item():.17g}")
    torch.save([param.detach().clone() for param in model.parameters()], "model.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["float8", "int8"])
    parser.add_argument("--epochs", type=int, default=2)
    main(**vars(parser.parse_args()))
