"""Losses of libraries' kinds, written small, and trainings with them in the process of the tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

COUNTS = (36, 24, 12, 8)
LABELS = torch.cat([torch.full((n,), c) for c, n in enumerate(COUNTS)])
INPUTS = torch.randn(len(LABELS), 5, generator=torch.Generator().manual_seed(0)) + LABELS[:, None]


class SupCon(nn.Module):
    """Compares pairs of samples."""

    def forward(self, features, labels):
        z = F.normalize(features, dim=1)
        similar, itself = z @ z.T / 0.5, torch.eye(len(z), dtype=torch.bool)
        logp = similar - torch.logsumexp(similar.masked_fill(itself, -9.0), 1, keepdim=True)
        return -(logp * ((labels[:, None] == labels[None]) & ~itself)).sum() / len(z) ** 2


class Odd(nn.Module):
    """A loss of logits that keeps no labels in the graph in a form that is known."""

    def forward(self, logits, target):
        return (F.softmax(logits, 1) - F.one_hot(target.long(), logits.shape[1])).abs().sum(1).add(1e-3).sqrt().mean()


class Rows(Dataset):
    """Columns without names: the data set tells nothing of its labels."""

    def __init__(self, *columns: Any) -> None:
        self.rows = list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Named(Rows):
    """Samples that are dicts."""

    def __init__(self, **columns: Any) -> None:
        super().__init__(*columns.values())
        self.names = list(columns)

    def __getitem__(self, index):
        return dict(zip(self.names, self.rows[index], strict=True))


def columns(*others: Tensor) -> TensorDataset:
    return TensorDataset(INPUTS, *others)


def network(outputs=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs))


@dataclass
class Trained:
    """What a training has done, for an oracle: copies of the model and the losses, and the batches."""

    steps: list[tuple[nn.Module, Any]] = field(default_factory=list)


def train(
    loss: Callable[[nn.Module, Any], Tensor],
    dataset: Any,
    model: nn.Module,
    *others: nn.Module,
    epochs: int = 2,
    batch: int = 20,
) -> Trained:
    """Trains with a loss of the model and a batch. Other modules are losses, whose parameters are trained, too."""
    found = Trained()
    optimizer = torch.optim.SGD([p for module in (model, *others) for p in module.parameters()], lr=0.1)
    torch.manual_seed(1)
    for _ in range(epochs):
        for each in DataLoader(dataset, batch, shuffle=True):
            found.steps.append((copy.deepcopy(model).double(), each))
            optimizer.zero_grad()
            loss(model, each).backward()
            optimizer.step()
    return found


def grams(
    trained: Trained, cotangents: Callable[[Tensor, Any], Tensor], groups: Sequence[Sequence[int]]
) -> list[Tensor]:
    """The Gram matrix of each step, by one backward pass for each group from the rows of the model's output.

    Args:
        trained: The training.
        cotangents: The loss of a model's output and a batch, in float64.
        groups: The classes of each group.
    """
    found = []
    for model, (x, y, *_) in trained.steps:
        output = model(x.double())
        (rows,) = torch.autograd.grad(cotangents(output, y), output, retain_graph=True)
        vectors = []
        for ids in groups:
            mask = torch.isin(y, torch.tensor(ids)).double().reshape(-1, *(1,) * (rows.ndim - 1))
            own = torch.autograd.grad(output, list(model.parameters()), rows * mask, retain_graph=True)
            vectors.append(torch.cat([g.reshape(-1) for g in own]))
        stacked = torch.stack(vectors)
        found.append(stacked @ stacked.T)
    return found
