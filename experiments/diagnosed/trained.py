"""Small real trainings whose truth is known by how they are made: clusters of points, and a network of two layers.

Every step is measured. Ten classes are clusters around corners; the first five are the head, the others the tail. What is wrong
is put in on purpose: few images, wrong labels, a sampler, an order, a learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.runlog import Run

GROUPS = ClassGroups({"head": range(5), "tail": range(5, 10)}, 10)
SIZE = 12


def sgd(params: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    """Returns plain gradient descent."""
    return torch.optim.SGD(params, 0.1)


@dataclass(frozen=True)
class Small:
    """A small training. The default is a balanced one in which nothing is wrong.

    Attributes:
        images: Images of each class of the head and of the tail.
        optimizer: Makes the optimizer.
        spread: Size of the clusters.
        steps: Number of steps.
        batch: Samples of a step.
        wrong: Part of the tail's labels that are drawn anew, among the classes of the tail.
        shuffled_labels: Whether all labels are shuffled against the inputs.
        even: Whether a sampler draws all classes equally often.
        sorted: Whether batches go through the data in the order of their classes.
        without_tail: Whether the tail is left out of the batches.
        first_phase: Steps of a phase I that leaves the tail out; 0 = one phase.
        stops: From this step on the learning rate is 0; None = never.
    """

    images: tuple[int, int] = (200, 200)
    optimizer: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer] = sgd
    spread: float = 0.9
    steps: int = 320
    batch: int = 64
    wrong: float = 0.0
    shuffled_labels: bool = False
    even: bool = False
    sorted: bool = False
    without_tail: bool = False
    first_phase: int = 0
    stops: int | None = None

    def but(self, **changes: Any) -> Small:
        """Returns a training with other attributes."""
        return replace(self, **changes)


def train(path: Path, small: Small, seed: int = 0) -> Run:
    """Trains, and opens the run."""
    torch.manual_seed(seed)
    inputs, labels = _data(small)
    model = nn.Sequential(nn.Linear(SIZE, 24), nn.ReLU(), nn.Linear(24, 10))
    optimizer = small.optimizer(model.parameters())
    counts = torch.bincount(labels, minlength=10).tolist()
    with Lens(
        model, GROUPS, out=path, optimizer=optimizer, every=1, update=True, layers=True, class_counts=counts
    ) as lens:
        for step, rows in enumerate(_batches(small, labels)):
            if small.first_phase and step in (0, small.first_phase):
                lens.phase("I" if step == 0 else "II")
            if step == small.stops:
                for group in optimizer.param_groups:
                    group["lr"] = 0.0
            loss = F.cross_entropy(model(inputs[rows]), labels[rows])
            lens.backward(loss, labels[rows])
            optimizer.step()
            optimizer.zero_grad()
    return Run(path)


def _data(small: Small) -> tuple[Tensor, Tensor]:
    corners = 2 * torch.randn(10, SIZE)
    labels = torch.cat([torch.full((small.images[c >= 5],), c) for c in range(10)])
    inputs = corners[labels] + small.spread * torch.randn(len(labels), SIZE)
    if small.wrong:
        tail = (labels >= 5) & (torch.rand(len(labels)) < small.wrong)
        labels = torch.where(tail, torch.randint(5, 10, labels.shape), labels)
    if small.shuffled_labels:
        labels = labels[torch.randperm(len(labels))]
    return inputs, labels


def _batches(small: Small, labels: Tensor) -> Iterator[Tensor]:
    head = torch.nonzero(labels < 5).flatten()
    weights = 1.0 / torch.bincount(labels, minlength=10).double()[labels]
    order = torch.argsort(labels, stable=True)
    for step in range(small.steps):
        if small.without_tail or step < small.first_phase:
            yield head[torch.randint(len(head), (small.batch,))]
        elif small.even or small.first_phase:
            yield torch.multinomial(weights, small.batch, replacement=True)
        elif small.sorted:
            yield order[torch.arange(step * small.batch, (step + 1) * small.batch) % len(order)]
        else:
            yield torch.randint(len(labels), (small.batch,))
