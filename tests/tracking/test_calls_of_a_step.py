"""A step that is not measured: how many functions of gradlens Python enters in it. Counted, not timed: always the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.tracking.counted_calls import Calls

CLASSES, BATCH = 4, 5


class Training:
    """A model of two layers, its optimizer, and the batches of one pass over the data."""

    def __init__(self, kind: Callable[[Training], None]) -> None:
        self.model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, CLASSES))
        self.optimizer = None if kind in (by_hand, in_backward) else torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.of_param = (
            {p: torch.optim.SGD([p], lr=0.1) for p in self.model.parameters()} if kind is in_backward else {}
        )
        for param in self.of_param:
            param.register_post_accumulate_grad_hook(self.step_of)
        self.beside = [torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1) for _ in range(3)]
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        labels = torch.arange(40 * BATCH) % CLASSES
        x = torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(0))
        self.batches = iter(DataLoader(TensorDataset(x, labels), batch_size=BATCH))

    def step_of(self, param) -> None:
        self.of_param[param].step()
        self.of_param[param].zero_grad()

    def loss(self):
        x, y = next(self.batches)
        return F.cross_entropy(self.model(x), y)


def plain(training: Training) -> None:
    training.optimizer.zero_grad()
    training.loss().backward()
    training.optimizer.step()


def accumulated(training: Training) -> None:
    training.optimizer.zero_grad()
    training.loss().backward()
    training.loss().backward()
    training.optimizer.step()


def scaled(training: Training) -> None:
    training.optimizer.zero_grad()
    training.scaler.scale(training.loss()).backward()
    training.scaler.step(training.optimizer)
    training.scaler.update()


def by_hand(training: Training) -> None:
    params = list(training.model.parameters())
    gradients = torch.autograd.grad(training.loss(), params)
    with torch.no_grad():
        for param, gradient in zip(params, gradients, strict=True):
            param -= 0.1 * gradient


def beside(training: Training) -> None:
    plain(training)
    for optimizer in training.beside:
        optimizer.step()


def in_backward(training: Training) -> None:
    """Each of six parameters has an optimizer of its own, which steps as soon as the gradient is there."""
    training.loss().backward()


@pytest.mark.parametrize(
    ("step", "most"),
    [(plain, 14), (accumulated, 22), (scaled, 19), (by_hand, 27), (beside, 22), (in_backward, 21)],
    ids=["plain", "accumulated", "scaled", "by hand", "optimizers beside", "optimizers in the backward pass"],
)
def test_a_step_that_is_not_measured_calls_few_functions(step, most, start):
    tracker = start(every=1000, groups="a=0,b=1-3")
    training = Training(step)
    for _ in range(6):
        step(training)
    assert tracker.lens is not None
    assert not tracker.lens.armed
    found = []
    for _ in range(5):
        with Calls() as calls:
            step(training)
        found.append(calls.functions)
    assert tracker.faults.failure is None
    assert found[0] == found[1] == found[2] == found[3] == found[4]
    assert 0 < len(found[0]) <= most, found[0]
