"""Trainings that together lead through nearly all of tracking."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def data():
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate((20, 12, 6))])
    return TensorDataset(torch.randn(38, 5, generator=torch.Generator().manual_seed(0)), labels)


class Unreadable(torch.utils.data.Dataset):
    def __init__(self):
        self.pairs = list(data())

    def __len__(self):
        return 38

    def __getitem__(self, index):
        return self.pairs[index]


def network():
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))


def epochs(model, dataset, loss, count=2):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(count):
        for x, y in DataLoader(dataset, batch_size=19, shuffle=True):
            optimizer.zero_grad()
            with torch.autograd.graph.save_on_cpu():
                output = model(x)
            loss(output, y).backward()
            optimizer.step()


def by_hand(logits, y):
    return -logits.log_softmax(1).gather(1, y[:, None]).mean()


def train():
    """Trainings that together lead through nearly all of tracking, one after the other; returns what they leave."""
    torch.manual_seed(0)
    first, second = network(), network()
    epochs(first, Unreadable(), F.cross_entropy)  # its labels are counted in the first pass
    lam = 0.3
    epochs(
        second, data(), lambda out, y: lam * F.cross_entropy(out, y) + (1 - lam) * F.cross_entropy(out, y.flip(0)), 12
    )
    return [*first.state_dict().values(), *second.state_dict().values(), torch.get_rng_state()]


def train_by_hand():
    torch.manual_seed(0)
    model = network()
    epochs(model, data(), by_hand)
    return [*model.state_dict().values(), torch.get_rng_state()]


def train_without_optimizer():
    torch.manual_seed(0)
    model = network()
    params = list(model.parameters())
    for _ in range(4):
        for x, y in DataLoader(data(), batch_size=19, shuffle=True):
            gradients = torch.autograd.grad(F.cross_entropy(model(x), y), params)
            with torch.no_grad():
                for param, gradient in zip(params, gradients, strict=True):
                    param -= 0.1 * gradient
    return [*model.state_dict().values(), torch.get_rng_state()]


def train_one_model():
    torch.manual_seed(0)
    model = network()
    epochs(model, data(), F.cross_entropy, 6)
    return [*model.state_dict().values(), torch.get_rng_state()]


TRAININGS = {"loss calls": train, "by hand": train_by_hand, "without optimizer": train_without_optimizer}
