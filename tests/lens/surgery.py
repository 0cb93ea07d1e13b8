"""A training step of several backward passes, with a lens and without: the network, the step's parts and their combinations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.tracking.attach.tracked_lens import TrackedLens
from tests.engines.zoo import CLASSES

Terms = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Net(nn.Module):
    """Two heads on a trunk."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 7), nn.Tanh())
        self.head = nn.Linear(7, CLASSES)
        self.other = nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


class Training:
    """A model, its optimizer and a lens, or none."""

    def __init__(self, lens: TrackedLens | None, model: Net, optimizer: torch.optim.Optimizer) -> None:
        self.lens, self.model, self.optimizer = lens, model, optimizer
        self.params = list(model.parameters())
        self.to_none = True

    def backward(self, loss: Tensor, y: Tensor, out: Tensor, retain: bool = True) -> list[Tensor]:
        """Runs a pass on fresh gradients, and returns copies of them."""
        self.optimizer.zero_grad(set_to_none=self.to_none)
        return self.added(loss, y, out, retain)

    def added(self, loss: Tensor, y: Tensor, out: Tensor, retain: bool = True) -> list[Tensor]:
        """Runs a pass on top of what is there."""
        if self.lens is None:
            loss.backward(retain_graph=retain)
        else:
            self.lens.backward(loss, y, out, retain_graph=retain)
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.params]

    def step(self, gradients: Sequence[Tensor] | None = None) -> None:
        if gradients is not None:
            self.give(gradients)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def give(self, gradients: Sequence[Tensor]) -> None:
        for p, g in zip(self.params, gradients, strict=True):
            p.grad = g.clone()

    def run(self, program: Callable[[Training, Tensor, Tensor], None], x: Tensor, y: Tensor) -> None:
        """Trains one step."""
        program(self, x, y)


class InClosure(Training):
    """The optimizer's own step runs the passes."""

    def run(self, program: Callable[[Training, Tensor, Tensor], None], x: Tensor, y: Tensor) -> None:
        self.optimizer.step(lambda: program(self, x, y))
        self.optimizer.zero_grad()

    def step(self, gradients: Sequence[Tensor] | None = None) -> None:
        if gradients is not None:
            self.give(gradients)


def combined(passes: Sequence[Sequence[Tensor]], weights: Sequence[float]) -> list[Tensor]:
    return [sum(w * g for w, g in zip(weights, parts, strict=True)) for parts in zip(*passes, strict=True)]


def projected(passes: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """PCGrad: of each gradient only what does not conflict with the others is left."""
    flat = [torch.cat([g.flatten() for g in one]) for one in passes]
    total = torch.zeros_like(flat[0])
    for i, own in enumerate(flat):
        left = own.clone()
        for j, other in enumerate(flat):
            if i != j and left @ other < 0:
                left -= left @ other / (other @ other) * other
        total += left
    return [p.view_as(g) for p, g in zip(total.split([g.numel() for g in passes[0]]), passes[0], strict=True)]


def ce(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x), y, reduction="none")


def of(classes: Sequence[int], each: Tensor, y: Tensor) -> Tensor:
    return each * torch.isin(y, torch.tensor(classes))


PARTS = ([0, 1, 2], [3, 4, 5, 6, 7, 8, 9])
THREE = ([0, 4], [1, 2, 3], [5, 6, 7, 8, 9])


def mean(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return ce(model, x, y) / len(y)


def by_classes(t: Training, x: Tensor, y: Tensor, parts: Sequence[Sequence[int]] = PARTS) -> list[list[Tensor]]:
    out = t.model(x)
    each = F.cross_entropy(out, y, reduction="none") / len(y)
    return [t.backward(of(ids, each, y).sum(), y, out) for ids in parts]


@dataclass(frozen=True)
class Case:
    """A program, the terms that must count, whether another direction is said, and how often each sample counts."""

    program: Callable[[Training, Tensor, Tensor], None]
    terms: Terms = mean
    says: bool | None = False  # None: it depends on the step
    rest: bool = False
    times: int = 1


def part_of(classes: Sequence[int], terms: Terms, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return of(classes, terms(model, x.double(), y), y).sum()
